//! Faults of batches.

use store_core::TransactionId;
use store_core::ledger::LedgerError::{AlreadyExists, BelowMinimum, InvalidTransaction};
use store_core::ledger::{Account, AccountId, AccountKind, Ledger as _, LedgerResult, Posting};

use super::super::FaultyLedger;
use super::super::handle::{Handle, Rules};
use super::{fault, known, opened, renamed};

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
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
];
