//! Several handles, threads, reopening, shutting down.

use std::sync::Barrier;
use std::thread;

use store_core::Seq;
use store_core::ledger::{AccountKind, Ledger, LedgerError, Receipt};

use super::{Desk, account_of, away, clearing, home, id, in_book, transaction, transfer, usd};
use crate::checks::concurrency::{ROUNDS, THREADS};
use crate::checks::fixture::{Works as _, holds, refused, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome, race};

/// Calls `work` with its number in every thread at once, half of them on another handle.
pub(super) fn at_once<T: Send>(
    desk: &Desk<'_>,
    work: impl Fn(&dyn Ledger, u64) -> T + Sync,
) -> Result<Vec<T>, Failure> {
    let barrier = Barrier::new(THREADS);
    race::begin();
    thread::scope(|scope| {
        let (work, barrier) = (&work, &barrier);
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                scope.spawn(move || {
                    barrier.wait();
                    work(desk.handle(n), n as u64)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| Failure::new("a thread panicked"))).collect()
    })
}

pub(crate) fn another_handle_sees_what_was_committed(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.reopen_as(2)?;
    desk.handle(1).balance(&id("a"), None).works("asking for a balance")?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    let balance = desk.handle(1).balance(&id("a"), None).works("asking for a balance")?;
    same("the balance of another handle", (balance.amount, balance.updated_seq), (5, Seq(4)))?;
    let receipt = desk.handle(1).commit(&home(), &transfer(1, "a", "b", 5)).works("committing again")?;
    same("the seq of the repetition", receipt.seq, Seq(4))
}

pub(crate) fn a_ledger_is_the_same_after_a_reopen(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Liability, Some(-9)))?;
    for n in 1..=20 {
        desk.commit(&transfer(n, "a", "purse", 3))?;
    }
    let picture = |desk: &Desk<'_>| -> Result<_, Failure> {
        let ledger = desk.ledger();
        let history = ledger.account_history(&id("purse"), Seq(0), usize::MAX).works("reading a history")?;
        let trial = ledger.trial_balance(&home(), None).works("asking for a trial balance")?;
        let accounts = ledger.list_accounts(&home()).works("listing accounts")?;
        let assets = ledger.list_assets().works("listing assets")?;
        Ok((desk.events(&home())?, history, trial, accounts, assets))
    };
    let before = picture(&desk)?;
    desk.reopen()?;
    same("everything that can be asked", picture(&desk)?, before)
}

pub(crate) fn a_minimum_is_held_after_a_reopen(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Asset, Some(0)))?;
    desk.commit(&transfer(1, "purse", "a", 5))?;
    desk.reopen()?;
    refused!(
        "taking more than is there",
        desk.try_commit(&transfer(2, "a", "purse", 6)),
        LedgerError::BelowMinimum { .. }
    )?;
    desk.commit(&transfer(3, "a", "purse", 5)).map(drop)
}

pub(crate) fn seqs_go_on_after_a_reopen(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.reopen()?;
    same("the next seq", desk.commit(&transfer(2, "a", "b", 5))?.seq, Seq(5))
}

pub(crate) fn commits_at_once_are_all_there(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.reopen_as(2)?;
    let rounds = ROUNDS as u64;
    let answers = at_once(&desk, |ledger, n| {
        let commit = |round| ledger.commit(&home(), &transfer(n * rounds + round, "a", "b", 1)).ok();
        (0..rounds).map(commit).collect::<Vec<Option<Receipt>>>()
    })?;
    let all = THREADS as u64 * rounds;
    let mut seqs: Vec<u64> = answers.into_iter().flatten().flatten().map(|receipt| receipt.seq.0).collect();
    seqs.sort_unstable();
    same("the seqs of the answers", seqs, (4..4 + all).collect())?;
    let events: Vec<u64> = desk.events(&home())?.iter().map(|event| event.seq.0).collect();
    same("the seqs that are read", events, (1..4 + all).collect())?;
    same("the balance", desk.balance("a", None)?.0, i64::try_from(all).unwrap_or(0))
}

pub(crate) fn a_key_is_committed_once_by_many(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.reopen_as(2)?;
    for round in 0..ROUNDS as u64 {
        let answers = at_once(&desk, |ledger, n| {
            let mut draft = transfer(round, "a", "b", 1);
            draft.id = transaction(1000 * round + n);
            ledger.commit(&home(), &draft).ok()
        })?;
        let agree = answers.iter().all(|answer| answer.is_some() && *answer == answers[0]);
        holds("all who commit one key are given the same receipt", agree)?;
        same("how many transactions there are", desk.balance("a", None)?.0, i64::try_from(round).unwrap_or(0) + 1)?;
    }
    Ok(())
}

pub(crate) fn a_minimum_holds_against_commits_at_once(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Asset, Some(0)))?;
    desk.commit(&transfer(1, "purse", "a", 10))?;
    desk.reopen_as(2)?;
    let answers = at_once(&desk, |ledger, n| {
        let spend = |round| ledger.commit(&home(), &transfer(100 + n * 10 + round, "a", "purse", 1)).is_ok();
        (0..5).filter(|round| spend(*round)).count()
    })?;
    same("how many were let pass", answers.iter().sum::<usize>(), 10)?;
    same("what is left", desk.balance("purse", None)?.0, 0)
}

pub(crate) fn a_snapshot_of_an_unused_book_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "a snapshot of a book that nothing was written to",
        desk.ledger().snapshot_now(&away()),
        LedgerError::UnknownBook { book } if *book == away()
    )?;
    let books = desk.ledger().list_books().works("listing the books")?;
    holds("it makes no book", !books.contains(&away()))
}

pub(crate) fn a_snapshot_changes_no_answer(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    for n in 1..=20 {
        desk.commit(&transfer(n, "a", "b", 3))?;
    }
    desk.ledger().snapshot_now(&home()).works("making a snapshot")?;
    let first = desk.commit(&transfer(21, "a", "c", 4))?;
    desk.ledger().snapshot_now(&home()).works("making another snapshot")?;
    for round in 0..2 {
        let balances = ["a", "b", "c"].map(|path| desk.balance(path, None));
        let [a, b, c] = balances;
        same("the balances", [a?, b?, c?], [(64, 24), (-60, 23), (-4, 24)])?;
        same("how many events the book has", desk.count()?, 24)?;
        same("the receipt of a repetition", desk.commit(&transfer(21, "a", "c", 4))?, first)?;
        if round == 0 {
            desk.reopen()?;
        }
    }
    Ok(())
}

pub(crate) fn a_ledger_that_was_shut_down_refuses_everything(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let ledger = desk.ledger();
    ledger.shutdown().works("shutting down")?;
    let account = in_book(&home(), "a");
    refused!("a registration", ledger.register_asset(&usd()), LedgerError::ShutDown)?;
    refused!("an opening", ledger.open_account(&clearing("a")), LedgerError::ShutDown)?;
    refused!("a commit", ledger.commit(&home(), &transfer(1, "a", "b", 5)), LedgerError::ShutDown)?;
    refused!("a balance", ledger.balance(&account, None), LedgerError::ShutDown)?;
    refused!("events", ledger.read_events(&home(), Seq(1), 9), LedgerError::ShutDown)?;
    refused!("a snapshot", ledger.snapshot_now(&home()), LedgerError::ShutDown)
}

pub(crate) fn a_ledger_may_be_shut_down_twice(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.ledger().shutdown().works("shutting down")?;
    desk.ledger().shutdown().works("shutting down again")
}

pub(crate) fn a_subscription_ends_with_the_shutdown(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut events = desk.ledger().subscribe(&home(), Seq(4)).works("subscribing")?;
    desk.ledger().shutdown().works("shutting down")?;
    refused!("the next event", events.next(std::time::Duration::ZERO), LedgerError::ShutDown)
}
