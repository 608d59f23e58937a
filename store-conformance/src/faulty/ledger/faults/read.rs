//! Faults of what is read.

use std::sync::Arc;

use store_core::Seq;
use store_core::ledger::LedgerError::{UnknownAccount, UnknownBook};
use store_core::ledger::{
    Account, AccountId, AccountKind, Balance, BookName, EventBody, Ledger as _, Receipt, TrialRow,
};

use super::super::FaultyLedger;
use super::super::handle::Rules;
use super::{events_are_few, fault, no_account};

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
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
];
