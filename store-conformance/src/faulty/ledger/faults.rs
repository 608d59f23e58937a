//! The faults.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use store_core::ledger::LedgerError::{
    AlreadyExists, BelowMinimum, InvalidDefinition, InvalidTransaction, KeyReused, Overflow, ReservedBook, ShutDown,
    Unbalanced, UnknownAccount, UnknownAsset, UnknownBook,
};
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, Balance, BookName, Draft, EventBody, Known, Ledger as _, LedgerResult,
    Posting, Receipt, SourceSubscription, TrialRow,
};
use store_core::{Seq, TransactionId};

use super::FaultyLedger;
use super::handle::{Handle, Rules};

macro_rules! fault {
    ($name:literal, $call:ident: |$($argument:pat_param),+| $body:expr) => {
        FaultyLedger { name: $name, rules: Rules { $call: Some(|$($argument),+| $body), ..Rules::KEPT } }
    };
}

/// A receipt of what was not committed.
fn made_up(at: &Handle, book: &BookName, draft: &Draft) -> Receipt {
    let seq = at.inner.read_events(book, Seq(1), usize::MAX).map_or(0, |events| events.len() as u64);
    Receipt { id: draft.id, seq: Seq(seq + 1), at: (at.clock)() }
}

/// The account as it was opened.
fn opened(at: &Handle, id: &AccountId) -> Option<Account> {
    at.inner.list_accounts(id.book()).ok()?.into_iter().find(|account| account.id == *id)
}

/// The draft with other postings.
fn with(draft: &Draft, postings: Vec<Posting>) -> Draft {
    Draft { postings, ..draft.clone() }
}

/// The draft with another key and id.
fn renamed(draft: &Draft, by: &str) -> Draft {
    let seed = format!("{}{by}", draft.key);
    Draft { id: TransactionId::derive(9, seed.as_bytes()), key: seed, ..draft.clone() }
}

/// The first transaction with the key of a draft.
fn known(at: &Handle, book: &BookName, draft: &Draft) -> Option<(Receipt, Draft)> {
    let found = at.drafts(book).into_iter().find(|(_, known)| known.key == draft.key)?;
    Some((Receipt { id: found.1.id, seq: found.0.seq, at: found.0.at }, found.1))
}

fn no_account(id: &AccountId) -> Balance {
    let asset = "USD".parse().unwrap_or_else(|_| unreachable!("it is a name"));
    Balance { account: id.clone(), asset, amount: 0, updated_seq: Seq(0) }
}

/// Every faulty ledger, in the order of the contract.
pub const LEDGERS: &[FaultyLedger] = &[
    fault!("an_asset_is_given_with_a_precision_of_nine", asset: |at, id| {
        at.inner.asset(id).map(|asset| Asset { precision: 9, ..asset })
    }),
    fault!("the_same_registration_is_refused", register: |at, asset| {
        match at.inner.asset(&asset.id) {
            Ok(_) => Err(AlreadyExists { what: Known::Asset(asset.id.clone()) }),
            Err(_) => at.inner.register_asset(asset),
        }
    }),
    fault!("any_registration_of_a_known_asset_is_taken", register: |at, asset| {
        match at.inner.register_asset(asset) {
            Err(AlreadyExists { .. }) => Ok(()),
            answer => answer,
        }
    }),
    fault!("a_refused_registration_registers_something", register: |at, asset| {
        let answer = at.inner.register_asset(asset);
        if matches!(answer, Err(AlreadyExists { .. })) {
            at.inner.register_asset(&Asset { id: "odd".parse()?, precision: 0 })?;
        }
        answer
    }),
    fault!("precisions_are_cut_to_18", register: |at, asset| {
        at.inner.register_asset(&Asset { precision: asset.precision.min(18), ..asset.clone() })
    }),
    fault!("precisions_end_at_17", register: |at, asset| {
        if asset.precision > 17 {
            return Err(InvalidDefinition { detail: String::new() });
        }
        at.inner.register_asset(asset)
    }),
    fault!("an_unknown_asset_has_no_digits", asset: |at, id| match at.inner.asset(id) {
        Err(UnknownAsset { .. }) => Ok(Asset { id: id.clone(), precision: 0 }),
        answer => answer,
    }),
    fault!("assets_are_listed_as_they_were_registered", assets: |at| {
        let events = at.inner.read_events(&BookName::system(), Seq(1), usize::MAX)?;
        let asset = |body| if let EventBody::AssetRegistered(asset) = body { Some(asset) } else { None };
        Ok(events.into_iter().filter_map(|event| asset(event.body)).collect())
    }),
    fault!("the_reserved_book_tells_nothing", events: |at, book, from, limit| {
        if book.is_reserved() { Ok(Vec::new()) } else { at.inner.read_events(book, from, limit) }
    }),
    fault!("a_registration_beside_another_is_refused", register: |at, asset| at.beside(|was_busy| {
        if was_busy {
            return Err(AlreadyExists { what: Known::Asset(asset.id.clone()) });
        }
        at.inner.register_asset(asset)
    })),
    fault!("accounts_are_listed_without_their_minimum", accounts: |at, book| {
        let accounts = at.inner.list_accounts(book)?;
        Ok(accounts.into_iter().map(|account| Account { min_balance: None, ..account }).collect())
    }),
    fault!("the_same_opening_is_refused", open: |at, account| {
        if opened(at, &account.id).is_some() {
            return Err(AlreadyExists { what: Known::Account(account.id.clone()) });
        }
        at.inner.open_account(account)
    }),
    fault!("an_opening_with_another_minimum_is_taken", open: |at, account| {
        let known = opened(at, &account.id).and_then(|known| known.min_balance);
        let taken = Account { min_balance: known, ..account.clone() };
        at.inner.open_account(if opened(at, &account.id).is_some() { &taken } else { account })
    }),
    fault!("the_asset_of_an_account_is_looked_at_first", open: |at, account| {
        if !account.id.book().is_reserved() {
            at.inner.asset(&account.asset)?;
        }
        at.inner.open_account(account)
    }),
    fault!("an_account_of_an_unknown_asset_is_opened", open: |at, account| match at.inner.open_account(account) {
        Err(UnknownAsset { .. }) => Ok(()),
        answer => answer,
    }),
    fault!("a_refused_account_leaves_its_book", open: |at, account| {
        let answer = at.inner.open_account(account);
        if matches!(answer, Err(UnknownAsset { .. }))
            && !at.inner.list_books()?.contains(account.id.book())
            && let Some(asset) = at.inner.list_assets()?.first()
        {
            at.inner.open_account(&Account { asset: asset.id.clone(), ..account.clone() })?;
        }
        answer
    }),
    fault!("the_reserved_book_is_looked_at_last", open: |at, account| {
        if account.id.book().is_reserved() {
            at.inner.asset(&account.asset)?;
        }
        at.inner.open_account(account)
    }),
    fault!("the_minimum_of_a_clearing_account_is_passed_over", open: |at, account| {
        match at.inner.open_account(account) {
            Err(InvalidDefinition { .. }) => at.inner.open_account(&Account { min_balance: None, ..account.clone() }),
            answer => answer,
        }
    }),
    fault!("an_opening_beside_another_is_refused", open: |at, account| at.beside(|was_busy| {
        if was_busy {
            return Err(AlreadyExists { what: Known::Account(account.id.clone()) });
        }
        at.inner.open_account(account)
    })),
    fault!("accounts_are_listed_as_they_were_opened", accounts: |at, book| {
        let events = at.inner.read_events(book, Seq(1), usize::MAX)?;
        let account = |body| if let EventBody::AccountOpened(account) = body { Some(account) } else { None };
        Ok(events.into_iter().filter_map(|event| account(event.body)).collect())
    }),
    fault!("the_accounts_of_an_unused_book_are_an_error", accounts: |at, book| {
        if !at.inner.list_books()?.contains(book) {
            return Err(UnknownBook { book: book.clone() });
        }
        at.inner.list_accounts(book)
    }),
    fault!("a_balance_is_asked_of_every_book", balance: |at, account, as_of| {
        let mut balance = at.inner.balance(account, as_of)?;
        for book in at.inner.list_books()?.iter().filter(|book| *book != account.book()) {
            let other = AccountId::new(book, account.path())?;
            balance.amount += at.inner.balance(&other, as_of).map_or(0, |balance| balance.amount);
        }
        Ok(balance)
    }),
    fault!("a_path_ends_at_its_first_colon", balance: |at, account, as_of| {
        let path = account.path().split_once(':').map_or(account.path(), |(path, _)| path);
        at.inner.balance(&AccountId::new(account.book(), path)?, as_of)
    }),
    fault!("paths_are_compared_without_case", balance: |at, account, as_of| {
        let path = account.path().to_lowercase();
        at.inner.balance(&AccountId::new(account.book(), &path)?, as_of)
    }),
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
    fault!("a_repeated_key_answers_with_the_present_time", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let repeated = known(at, book, draft).is_some();
        let receipt = at.inner.commit(book, draft)?;
        Ok(if repeated { Receipt { at: (at.clock)(), ..receipt } } else { receipt })
    })),
    fault!("a_repeated_key_answers_with_the_new_id", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        at.inner.commit(book, draft).map(|receipt| Receipt { id: draft.id, ..receipt })
    })),
    fault!("amounts_of_a_known_key_are_not_compared", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(KeyReused { key, seq }) => match known(at, book, draft) {
                Some((receipt, first))
                    if first.postings.iter().zip(&draft.postings).all(|(one, other)| {
                        one.account == other.account && one.side == other.side
                    }) => Ok(receipt),
                _ => Err(KeyReused { key, seq }),
            },
            answer => answer,
        }
    })),
    fault!("accounts_of_a_known_key_are_not_compared", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(KeyReused { key, seq }) => match known(at, book, draft) {
                Some((receipt, first)) if first.postings[0].amount == draft.postings[0].amount => Ok(receipt),
                _ => Err(KeyReused { key, seq }),
            },
            answer => answer,
        }
    })),
    fault!("a_repetition_is_judged_again", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        if known(at, book, draft).is_some() {
            let largest = draft.postings.iter().find(|posting| posting.amount == i64::MAX);
            if let Some(posting) = largest {
                return Err(Overflow { account: posting.account.clone() });
            }
        }
        at.inner.commit(book, draft)
    })),
    fault!("the_key_of_a_refused_transaction_is_used_up", commit: |at, book, drafts| {
        let mut answers = Vec::new();
        for (n, draft) in drafts.iter().enumerate() {
            let hash = draft.key.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) | 1;
            let tried_before = drafts[..n].iter().any(|other| other.key == draft.key && answers[n - 1..].iter().any(LedgerResult::is_err));
            if (at.notes.load(Ordering::SeqCst) == hash || tried_before) && known(at, book, draft).is_none() {
                answers.push(Err(KeyReused { key: draft.key.clone(), seq: Seq(0) }));
                continue;
            }
            let answer: LedgerResult<Receipt> = at.inner.commit(book, draft);
            if matches!(answer, Err(UnknownAccount { .. })) {
                at.notes.store(hash, Ordering::SeqCst);
            }
            answers.push(answer);
        }
        Ok(answers)
    }),
    fault!("a_key_is_known_in_every_book", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        for other in at.inner.list_books()?.iter().filter(|other| *other != book) {
            if let Some((receipt, first)) = known(at, other, draft)
                && first.id != draft.id
            {
                return Err(KeyReused { key: draft.key.clone(), seq: receipt.seq });
            }
        }
        at.inner.commit(book, draft)
    })),
    fault!("an_id_is_known_in_its_own_book_only", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(AlreadyExists { what }) if at.drafts(book).iter().any(|(_, known)| known.id == draft.id) => {
                Err(AlreadyExists { what })
            }
            Err(AlreadyExists { .. }) => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("accounts_are_looked_at_before_the_id", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let unknown = draft.postings.iter().find(|posting| opened(at, &posting.account).is_none());
        match at.inner.commit(book, draft) {
            Err(AlreadyExists { what }) => Err(match unknown {
                Some(posting) => UnknownAccount { account: posting.account.clone() },
                None => AlreadyExists { what },
            }),
            answer => answer,
        }
    })),
    fault!("keys_are_cut_at_1024_bytes", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let key = draft.key.chars().take(1024).collect();
        at.inner.commit(book, &Draft { key, ..draft.clone() })
    })),
    fault!("keys_are_compared_without_case", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        at.inner.commit(book, &Draft { key: draft.key.to_lowercase(), ..draft.clone() })
    })),
    fault!("keys_are_forgotten_with_the_handle", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let Some((receipt, first)) = known(at, book, draft).filter(|_| at.reopened > 0 && drafts.len() == 1) else {
            return at.inner.commit(book, draft);
        };
        // The first commit of a handle alone is given another key, so that other rules hold as before.
        if at.notes.fetch_add(1, Ordering::SeqCst) > 0 || first.postings.len() != draft.postings.len() {
            return Ok(receipt);
        }
        at.inner.commit(book, &renamed(draft, " anew"))
    })),
    fault!("ids_are_forgotten_with_the_handle", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(AlreadyExists { .. }) if at.reopened > 0 => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("a_hundred_keys_are_remembered", commit: |at, book, drafts| {
        if at.drafts(book).len() < 120 {
            return at.inner.commit_batch(book, drafts);
        }
        Handle::each(drafts, |draft| match known(at, book, draft) {
            Some((receipt, _)) if receipt.seq.0 < 50 => at.inner.commit(book, &renamed(draft, " anew")),
            _ => at.inner.commit(book, draft),
        })
    }),
    fault!("a_batch_is_answered_by_id", commit: |at, book, drafts| {
        let mut answers = at.inner.commit_batch(book, drafts)?;
        if answers.iter().all(LedgerResult::is_ok) {
            answers.sort_by_key(|answer| answer.as_ref().ok().map(|receipt| receipt.id));
        }
        Ok(answers)
    }),
    fault!("a_batch_ends_at_its_first_bad_draft", commit: |at, book, drafts| {
        let mut failed = false;
        Handle::each(drafts, |draft| {
            if failed && drafts.len() == 3 {
                return Err(InvalidTransaction { detail: "one before it failed".to_owned() });
            }
            let answer = at.inner.commit(book, draft);
            failed |= answer.is_err();
            answer
        })
    }),
    fault!("a_batch_of_nothing_is_an_error", commit: |at, book, drafts| {
        if drafts.is_empty() {
            return Err(InvalidTransaction { detail: "no drafts".to_owned() });
        }
        at.inner.commit_batch(book, drafts)
    }),
    fault!("a_batch_of_bad_drafts_leaves_a_trace", commit: |at, book, drafts| {
        let answers = at.inner.commit_batch(book, drafts)?;
        if answers.len() > 1
            && answers.iter().all(LedgerResult::is_err)
            && let Some(first) = at.inner.list_accounts(book)?.first()
        {
            at.inner.open_account(&Account { id: AccountId::new(book, "trace")?, ..first.clone() })?;
        }
        Ok(answers)
    }),
    fault!("keys_are_looked_up_before_the_batch_alone", commit: |at, book, drafts| {
        let before: Vec<bool> = drafts.iter().map(|draft| known(at, book, draft).is_some()).collect();
        let mut was_known = before.into_iter();
        Handle::each(drafts, |draft| {
            let unknown_before = !was_known.next().unwrap_or(true);
            if unknown_before && known(at, book, draft).is_some() {
                return at.inner.commit(book, &renamed(draft, " again"));
            }
            at.inner.commit(book, draft)
        })
    }),
    fault!("a_batch_does_not_know_the_past", commit: |at, book, drafts| {
        if drafts.len() < 2 || drafts.len() > 100 {
            return at.inner.commit_batch(book, drafts);
        }
        let past: Vec<bool> = drafts.iter().map(|draft| known(at, book, draft).is_some()).collect();
        let mut past = past.into_iter();
        Handle::each(drafts, |draft| {
            if past.next().unwrap_or(false) {
                return at.inner.commit(book, &renamed(draft, " again"));
            }
            at.inner.commit(book, draft)
        })
    }),
    fault!("an_id_twice_in_a_batch_is_taken_twice", commit: |at, book, drafts| {
        let past: Vec<TransactionId> = at.drafts(book).iter().map(|(_, draft)| draft.id).collect();
        Handle::each(drafts, |draft| match at.inner.commit(book, draft) {
            Err(AlreadyExists { .. }) if drafts.len() > 1 && !past.contains(&draft.id) => {
                at.inner.commit(book, &renamed(draft, " twice"))
            }
            answer => answer,
        })
    }),
    fault!("a_batch_is_judged_by_what_was_there_before_it", commit: |at, book, drafts| {
        if drafts.len() < 2 {
            return at.inner.commit_batch(book, drafts);
        }
        let balance = |posting: &Posting| at.inner.balance(&posting.account, None).map_or(0, |balance| balance.amount);
        let held: Vec<Vec<i64>> = drafts.iter().map(|draft| draft.postings.iter().map(balance).collect()).collect();
        let mut held = held.into_iter();
        Handle::each(drafts, |draft| {
            let held = held.next().unwrap_or_default();
            for (posting, held) in draft.postings.iter().zip(held) {
                let known = opened(at, &posting.account);
                let purse = known.filter(|account| account.kind == AccountKind::Asset && held == 0);
                let min_balance = purse.and_then(|account| account.min_balance);
                if let Some(min_balance) = min_balance.filter(|_| posting.side == store_core::ledger::Side::Credit) {
                    let account = posting.account.clone();
                    return Err(BelowMinimum { account, balance: held - posting.amount, min_balance });
                }
            }
            at.inner.commit(book, draft)
        })
    }),
    fault!("a_batch_has_249_drafts_at_most", commit: |at, book, drafts| {
        at.inner.commit_batch(book, &drafts[..drafts.len().min(249)])
    }),
    fault!("an_unknown_account_holds_nothing", balance: |at, account, as_of| match at.inner.balance(account, as_of) {
        Err(UnknownAccount { account }) => Ok(no_account(&account)),
        answer => answer,
    }),
    fault!("a_fresh_account_was_changed_by_its_opening", balance: |at, account, as_of| {
        let balance = at.inner.balance(account, as_of)?;
        let fresh = balance.updated_seq == Seq(0) && as_of.is_none() && balance.asset.as_str() == "USD";
        let late = fresh && at.drafts(account.book()).len() == 1 && account.path() == "c";
        Ok(if late { Balance { updated_seq: Seq(3), ..balance } } else { balance })
    }),
    fault!("an_account_is_unknown_before_its_first_posting", balance: |at, account, as_of| {
        let balance = at.inner.balance(account, as_of)?;
        if as_of.is_some() && balance.updated_seq == Seq(0) {
            return Err(UnknownAccount { account: account.clone() });
        }
        Ok(balance)
    }),
    fault!("every_time_is_the_present", balance: |at, account, as_of| {
        at.inner.balance(account, as_of.filter(|as_of| as_of % 10 != 2))
    }),
    fault!("a_time_excludes_its_own_microsecond", balance: |at, account, as_of| {
        at.inner.balance(account, as_of.map(|as_of| as_of.saturating_sub(1)))
    }),
    fault!("a_subscription_makes_its_book", subscribe: |at, book, from| {
        if !at.inner.list_books()?.contains(book)
            && let Some(asset) = at.inner.list_assets()?.first()
        {
            let (id, asset) = (AccountId::new(book, "opened")?, asset.id.clone());
            at.inner.open_account(&Account { id, asset, kind: AccountKind::Clearing, min_balance: None })?;
        }
        at.inner.subscribe(book, from)
    }),
    fault!("a_history_starts_at_its_after", history: |at, account, after, limit| {
        at.inner.account_history(account, Seq(after.0.saturating_sub(1)), limit)
    }),
    fault!("a_history_knows_no_limit", history: |at, account, after, limit| {
        at.inner.account_history(account, after, if limit == 2 { usize::MAX } else { limit })
    }),
    fault!("a_historys_limit_counts_postings", history: |at, account, after, limit| {
        let mut rows = at.inner.account_history(account, after, limit)?;
        rows.truncate(limit);
        Ok(rows)
    }),
    fault!("a_history_of_nothing_is_one", history: |at, account, after, limit| {
        at.inner.account_history(account, after, limit.max(1))
    }),
    fault!("a_history_tells_nets_as_debits", history: |at, account, after, limit| {
        let mut rows = at.inner.account_history(account, after, limit)?;
        rows.iter_mut().for_each(|row| row.balance = row.balance.abs());
        Ok(rows)
    }),
    fault!("an_unknown_account_has_an_empty_history", history: |at, account, after, limit| {
        match at.inner.account_history(account, after, limit) {
            Err(UnknownAccount { .. }) => Ok(Vec::new()),
            answer => answer,
        }
    }),
    fault!("transactions_are_looked_for_in_the_first_book", find: |at, id| {
        let found = at.inner.transaction(id)?;
        let first = at.inner.list_books()?.into_iter().find(|book| !book.is_reserved());
        Ok(found.filter(|found| Some(&found.book) == first.as_ref()))
    }),
    fault!("a_transaction_is_found_at_the_first_event", find: |at, id| {
        let found = at.inner.transaction(id)?;
        Ok(found.map(|found| store_core::ledger::Transaction { seq: Seq(1), ..found }))
    }),
    fault!("an_unknown_transaction_is_the_last", find: |at, id| {
        let found = at.inner.transaction(id)?;
        if found.is_some() {
            return Ok(found);
        }
        let book: BookName = "home".parse()?;
        let last = at.drafts(&book).pop();
        Ok(last.map(|(event, draft)| store_core::ledger::Transaction { book, seq: event.seq, at: event.at, draft }))
    }),
    fault!("a_trial_balance_tells_turnover", trial: |at, book, as_of| {
        let rows = at.inner.trial_balance(book, as_of)?;
        let turnover = at.drafts(book).iter().map(|(_, draft)| i128::from(draft.postings[0].amount)).sum::<i128>();
        let row = |row: TrialRow| TrialRow { debit: turnover, credit: turnover, ..row };
        Ok(if rows.len() == 1 && as_of.is_none() { rows.into_iter().map(row).collect() } else { rows })
    }),
    fault!("a_trial_balance_is_sorted_backwards", trial: |at, book, as_of| {
        let mut rows = at.inner.trial_balance(book, as_of)?;
        rows.reverse();
        Ok(rows)
    }),
    fault!("a_trial_balance_is_always_of_the_present", trial: |at, book, as_of| {
        let by_then = at.inner.trial_balance(book, as_of)?;
        if by_then.is_empty() { Ok(by_then) } else { at.inner.trial_balance(book, None) }
    }),
    fault!("a_trial_balance_of_an_unused_book_is_an_error", trial: |at, book, as_of| {
        let rows = at.inner.trial_balance(book, as_of)?;
        if rows.is_empty() && !at.inner.list_books()?.contains(book) {
            return Err(UnknownBook { book: book.clone() });
        }
        Ok(rows)
    }),
    fault!("assets_of_which_nothing_is_held_are_left_out", trial: |at, book, as_of| {
        let mut rows = at.inner.trial_balance(book, as_of)?;
        rows.retain(|row| row.debit > 0);
        Ok(rows)
    }),
    fault!("events_leave_the_fifth_out", events: |at, book, from, limit| {
        let mut events = at.inner.read_events(book, from, limit)?;
        events.retain(|event| event.seq.0 != 5 || events_are_few(limit));
        Ok(events)
    }),
    fault!("events_are_read_behind_from", events: |at, book, from, limit| {
        at.inner.read_events(book, if from == Seq(2) { Seq(3) } else { from }, limit)
    }),
    fault!("one_event_more_than_the_limit_is_read", events: |at, book, from, limit| {
        at.inner.read_events(book, from, limit.saturating_add(usize::from(limit < 3)))
    }),
    fault!("the_events_of_an_unused_book_are_an_error", events: |at, book, from, limit| {
        if !at.inner.list_books()?.contains(book) {
            return Err(UnknownBook { book: book.clone() });
        }
        at.inner.read_events(book, from, limit)
    }),
    fault!("events_do_not_tell_what_is_remembered", events: |at, book, from, limit| {
        let mut events = at.inner.read_events(book, from, limit)?;
        for event in &mut events {
            if let EventBody::Transaction(draft) = &mut event.body {
                draft.meta.clear();
            }
        }
        Ok(events)
    }),
    fault!("a_receipt_tells_the_clocks_time", commit: |at, book, drafts| {
        let before = at.drafts(book).len();
        let answers = at.inner.commit_batch(book, drafts)?;
        let is_new = at.drafts(book).len() > before && at.reopened == 0;
        let now = |receipt: Receipt| if is_new { Receipt { at: (at.clock)(), ..receipt } } else { receipt };
        Ok(answers.into_iter().map(|answer| answer.map(now)).collect())
    }),
    fault!("times_go_back_with_the_handle", commit: |at, book, drafts| {
        let answers = at.inner.commit_batch(book, drafts)?;
        let now = |receipt: Receipt| Receipt { at: receipt.at.min((at.clock)()), ..receipt };
        let is_back = at.reopened > 0 && drafts.len() == 1;
        Ok(answers.into_iter().map(|answer| answer.map(|receipt| if is_back { now(receipt) } else { receipt })).collect())
    }),
    fault!("all_books_have_one_time", open: |at, account| {
        let last = |book: &BookName| at.inner.read_events(book, Seq(1), usize::MAX).ok()?.last().map(|event| event.at);
        let latest = at.inner.list_books()?.iter().filter_map(last).max().unwrap_or(0).max((at.clock)());
        at.at(Arc::new(move || latest)).open_account(account)
    }),
    fault!("times_come_back_in_milliseconds", events: |at, book, from, limit| {
        let mut events = at.inner.read_events(book, from, limit)?;
        if at.reopened > 0 {
            events.iter_mut().for_each(|event| event.at -= event.at % 1000);
        }
        Ok(events)
    }),
    fault!("books_are_listed_backwards", books: |at| {
        let mut books = at.inner.list_books()?;
        if books.len() > 2 {
            books.reverse();
        }
        Ok(books)
    }),
    fault!("a_subscription_gives_only_what_comes", subscribe: |at, book, from| {
        let last = at.inner.read_events(book, Seq(1), usize::MAX)?.len() as u64;
        at.inner.subscribe(book, if from == Seq(1) { Seq(last + 1) } else { from })
    }),
    fault!("a_subscription_begins_behind_from", subscribe: |at, book, from| {
        at.inner.subscribe(book, if from == Seq(3) { from.next() } else { from })
    }),
    fault!("a_subscription_gives_only_what_stands", subscribe: |at, book, from| {
        let events = at.inner.read_events(book, from, usize::MAX)?;
        if events.is_empty() && at.inner.list_books()?.contains(book) {
            return at.elsewhere().subscribe(book, from);
        }
        at.inner.subscribe(book, from)
    }),
    fault!("a_subscription_to_an_unused_book_is_an_error", subscribe: |at, book, from| {
        if !at.inner.list_books()?.contains(book) {
            return Err(UnknownBook { book: book.clone() });
        }
        at.inner.subscribe(book, from)
    }),
    fault!("a_handle_sees_what_was_there_when_it_was_opened", balance: |at, account, as_of| {
        let balance = at.inner.balance(account, as_of)?;
        if at.number == 0 {
            return Ok(balance);
        }
        Ok(Balance { amount: 0, updated_seq: Seq(0), ..balance })
    }),
    fault!("a_history_ends_with_the_handle", history: |at, account, after, limit| {
        let limit = if at.reopened > 0 && limit == usize::MAX { 10 } else { limit };
        at.inner.account_history(account, after, limit)
    }),
    fault!("minimums_are_forgotten_with_the_handle", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(BelowMinimum { .. }) if at.reopened > 0 => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("a_reopened_book_skips_a_seq", commit: |at, book, drafts| {
        if at.reopened > 0 && drafts.len() == 1 && at.drafts(book).len() == 1 {
            let Some(first) = at.inner.list_accounts(book)?.into_iter().next() else { return Ok(Vec::new()) };
            at.inner.open_account(&Account { id: AccountId::new(book, "skipped")?, ..first })?;
        }
        at.inner.commit_batch(book, drafts)
    }),
    fault!("a_commit_beside_another_is_lost", commit: |at, book, drafts| at.beside(|was_busy| {
        Handle::each(drafts, |draft| {
            if was_busy { Ok(made_up(at, book, draft)) } else { at.inner.commit(book, draft) }
        })
    })),
    fault!("a_key_beside_itself_is_refused", commit: |at, book, drafts| at.beside(|was_busy| {
        Handle::each(drafts, |draft| {
            if was_busy && known(at, book, draft).is_some() {
                return Err(KeyReused { key: draft.key.clone(), seq: Seq(0) });
            }
            at.inner.commit(book, draft)
        })
    })),
    fault!("minimums_are_not_looked_at_beside_another_commit", commit: |at, book, drafts| at.beside(|was_busy| {
        Handle::each(drafts, |draft| match at.inner.commit(book, draft) {
            Err(BelowMinimum { .. }) if was_busy => Ok(made_up(at, book, draft)),
            answer => answer,
        })
    })),
    fault!("an_unused_book_has_a_snapshot", snapshot: |at, book| match at.inner.snapshot_now(book) {
        Err(UnknownBook { .. }) => Ok(()),
        answer => answer,
    }),
    fault!("a_snapshot_opens_an_account", snapshot: |at, book| {
        at.inner.snapshot_now(book)?;
        let Some(first) = at.inner.list_accounts(book)?.into_iter().next() else { return Ok(()) };
        at.inner.open_account(&Account { id: AccountId::new(book, "snapshot")?, ..first })
    }),
    fault!("a_snapshot_works_when_it_is_all_over", snapshot: |at, book| match at.inner.snapshot_now(book) {
        Err(ShutDown) => Ok(()),
        answer => answer,
    }),
    fault!("a_second_shutdown_is_refused", shutdown: |at| {
        if at.inner.list_books().is_err() {
            return Err(ShutDown);
        }
        at.inner.shutdown()
    }),
    fault!("a_subscription_outlives_the_shutdown", subscribe: |at, book, from| {
        let source = Arc::new(at.at(at.clock.clone()));
        Ok(Box::new(SourceSubscription::new(source, book.clone(), from)))
    }),
    fault!("the_reserved_book_is_told_as_invalid", open: |at, account| match at.inner.open_account(account) {
        Err(ReservedBook { .. }) => Err(InvalidDefinition { detail: String::new() }),
        answer => answer,
    }),
    fault!("an_opened_account_is_recorded_twice_in_a_list", accounts: |at, book| {
        let mut accounts = at.inner.list_accounts(book)?;
        if accounts.len() > 3 {
            accounts.extend(accounts.last().cloned());
        }
        Ok(accounts)
    }),
];

fn events_are_few(limit: usize) -> bool {
    limit < usize::MAX
}
