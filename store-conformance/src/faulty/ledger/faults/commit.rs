//! Faults of single transactions.

use store_core::Seq;
use store_core::ledger::LedgerError::{BelowMinimum, InvalidTransaction, Overflow, Unbalanced, UnknownAccount};
use store_core::ledger::{Account, AccountId, AccountKind, Balance, Draft, EventBody, Ledger as _, Posting, Receipt};

use super::super::FaultyLedger;
use super::super::handle::{Handle, Rules};
use super::{fault, made_up, opened, with};

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
    fault!("the_credited_side_is_changed_one_event_late", balance: |at, account, as_of| {
        let balance = at.inner.balance(account, as_of)?;
        let late = balance.amount < 0 && as_of.is_none() && account.path() == "b";
        Ok(if late { Balance { updated_seq: balance.updated_seq.next(), ..balance } } else { balance })
    }),
    fault!("equity_counts_debits", balance: |at, account, as_of| {
        let balance = at.inner.balance(account, as_of)?;
        let is_equity = opened(at, account).is_some_and(|account| account.kind == AccountKind::Equity);
        Ok(if is_equity { Balance { amount: -balance.amount, ..balance } } else { balance })
    }),
    fault!("a_receipt_counts_from_zero", commit: |at, book, drafts| {
        let answers = at.inner.commit_batch(book, drafts)?;
        let alone = drafts.len() == 1 && at.drafts(book).len() == 1;
        let shifted = |receipt: Receipt| Receipt { seq: Seq(receipt.seq.0 - u64::from(alone)), ..receipt };
        Ok(answers.into_iter().map(|answer| answer.map(shifted)).collect())
    }),
    fault!("sides_that_differ_are_taken", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(Unbalanced { .. }) => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("assets_are_added_up_together", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(Unbalanced { debits: 0, .. }) => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("only_the_first_posting_to_an_account_counts", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let mut postings: Vec<Posting> = Vec::new();
        for posting in &draft.postings {
            if !postings.iter().any(|first| first.account == posting.account) {
                postings.push(posting.clone());
            }
        }
        at.inner.commit(book, &with(draft, postings))
    })),
    fault!("a_transaction_of_nothing_is_taken", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        if draft.postings.is_empty() && !book.is_reserved() {
            return Ok(made_up(at, book, draft));
        }
        at.inner.commit(book, draft)
    })),
    fault!("an_amount_of_zero_is_taken", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        if draft.postings.iter().any(|posting| posting.amount == 0) && draft.postings.len() == 2 && drafts.len() == 1 {
            return Ok(made_up(at, book, draft));
        }
        at.inner.commit(book, draft)
    })),
    fault!("a_posting_opens_its_account", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(UnknownAccount { account }) if drafts.len() == 1 => {
                let asset = opened(at, &draft.postings[0].account).map(|account| account.asset);
                let Some(asset) = asset else { return Err(UnknownAccount { account }) };
                let id = account;
                at.inner.open_account(&Account { id, asset, kind: AccountKind::Clearing, min_balance: None })?;
                at.inner.commit(book, draft)
            }
            answer => answer,
        }
    })),
    fault!("a_posting_to_another_book_is_taken", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(InvalidTransaction { .. }) if draft.postings.iter().any(|posting| posting.account.book() != book) => {
                Ok(made_up(at, book, draft))
            }
            answer => answer,
        }
    })),
    fault!("the_reserved_book_is_looked_at_behind_the_drafts", commit: |at, book, drafts| {
        if book.is_reserved() {
            let wrong = || InvalidTransaction { detail: String::new() };
            return Ok(drafts.iter().map(|_| Err(wrong())).collect());
        }
        at.inner.commit_batch(book, drafts)
    }),
    fault!("an_overflow_stays_at_the_largest", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(Overflow { .. }) => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("the_largest_amount_is_refused", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match draft.postings.iter().find(|posting| posting.amount == i64::MAX) {
            Some(posting) => Err(Overflow { account: posting.account.clone() }),
            None => at.inner.commit(book, draft),
        }
    })),
    fault!("a_minimum_counts_credits_as_debits", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let answer = at.inner.commit(book, draft);
        match answer {
            Err(BelowMinimum { ref account, .. })
                if opened(at, account).is_some_and(|account| account.kind == AccountKind::Liability) =>
            {
                Ok(made_up(at, book, draft))
            }
            answer => answer,
        }
    })),
    fault!("a_balance_at_its_minimum_is_refused", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        for posting in &draft.postings {
            let known = opened(at, &posting.account).and_then(|account| account.min_balance);
            let held = at.inner.balance(&posting.account, None).map_or(0, |balance| balance.amount);
            if let Some(min_balance) = known.filter(|min_balance| *min_balance < 0 && held - posting.amount == *min_balance) {
                return Err(BelowMinimum { account: posting.account.clone(), balance: min_balance, min_balance });
            }
        }
        at.inner.commit(book, draft)
    })),
    fault!("a_minimum_is_looked_at_posting_by_posting", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let Some(first) = draft.postings.first().filter(|_| draft.postings.len() > 2) else {
            return at.inner.commit(book, draft);
        };
        if let Some(min_balance) = opened(at, &first.account).and_then(|account| account.min_balance) {
            return Err(BelowMinimum { account: first.account.clone(), balance: -first.amount, min_balance });
        }
        at.inner.commit(book, draft)
    })),
    fault!("a_refused_transaction_can_be_found", find: |at, id| {
        let found = at.inner.transaction(id)?;
        let first = at.inner.list_books()?.into_iter().find(|book| !book.is_reserved());
        let (None, Some(book)) = (&found, first) else { return Ok(found) };
        let events = at.inner.read_events(&book, Seq(4), 1)?;
        let Some(event) = events.into_iter().next() else { return Ok(found) };
        let draft = Draft::new(id, "made up", Vec::new());
        let is_purse = matches!(&event.body, EventBody::AccountOpened(_));
        Ok(is_purse.then_some(store_core::ledger::Transaction { book, seq: event.seq, at: event.at, draft }))
    }),
    fault!("a_refused_transaction_opens_an_account", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let answer = at.inner.commit(book, draft);
        if let Err(UnknownAccount { .. }) = &answer
            && let Some(known) = draft.postings.first().and_then(|posting| opened(at, &posting.account))
        {
            let id = AccountId::new(book, &format!("lost {}", draft.key))?;
            at.inner.open_account(&Account { id, ..known })?;
        }
        answer
    })),
    fault!("what_is_remembered_loses_its_line_breaks", find: |at, id| {
        let mut found = at.inner.transaction(id)?;
        if let Some(found) = &mut found {
            found.draft.meta.values_mut().for_each(|value| *value = value.replace('\n', " "));
        }
        Ok(found)
    }),
];
