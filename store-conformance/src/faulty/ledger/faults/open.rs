//! Faults of what is opened again, shared, snapshotted and shut down.

use std::sync::Arc;

use store_core::Seq;
use store_core::ledger::LedgerError::{
    BelowMinimum, InvalidDefinition, KeyReused, ReservedBook, ShutDown, UnknownBook,
};
use store_core::ledger::{Account, AccountId, Balance, Ledger as _, SourceSubscription};

use super::super::FaultyLedger;
use super::super::handle::{Handle, Rules};
use super::{fault, known, made_up};

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
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
