//! A ledger whose power is lost in any call, whose process dies in any call, and whose disk fails in any call.
//!
//! Scripts of registrations, openings, commits, batches, snapshots and reopens run on the simulated disk. Whatever happens, every transaction
//! that was acknowledged is there once, at the event that its receipt says, and what is there follows the rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use store_core::Seq;
use store_core::ledger::{Clock, Draft, EventBody, Ledger as _, LedgerError, LedgerResult, Posting, Receipt};
use store_fs::simulate::{Fault, Loss, Random, SimDisk};
use store_fs::{FsLedger, LedgerOptions};

use crate::ledger::{book, clock, id, prepare, transfer};

const ROOT: &str = "/home/store";

/// One step of a script.
#[derive(Clone, Copy, Debug)]
enum Step {
    Commit(u64),
    /// So many transactions from a number on.
    Batch(u64, u64),
    Snapshot,
    Reopen,
    Prepare,
}

fn options(clock: &Clock) -> LedgerOptions {
    LedgerOptions { snapshot_every: 5, keys_held_max: 6, max_part_bytes: 900, ..LedgerOptions::new(clock.clone()) }
}

fn open(disk: &SimDisk) -> LedgerResult<FsLedger> {
    FsLedger::open_on(Arc::new(disk.clone()), Path::new(ROOT), &options(&clock()))
}

fn scripts() -> Vec<Vec<Step>> {
    use Step::{Batch, Commit, Prepare, Reopen, Snapshot};
    vec![
        vec![Prepare, Commit(1), Commit(2), Batch(3, 3), Reopen, Commit(2), Commit(6)],
        vec![
            Prepare,
            Batch(1, 6),
            Snapshot,
            Batch(7, 2),
            Reopen,
            Commit(3),
            Commit(9),
            Snapshot,
            Commit(10),
            Reopen,
            Commit(11),
        ],
        vec![Prepare, Commit(1), Reopen, Reopen, Commit(2), Snapshot, Reopen, Batch(2, 4), Commit(1)],
    ]
}

/// What was promised: the receipt of each transaction that was acknowledged.
type Promised = BTreeMap<u64, Receipt>;

/// Runs a script until something fails, and answers with what was promised after each step; the disk is marked with how many that are.
fn run(disk: &SimDisk, script: &[Step]) -> (Vec<Promised>, LedgerResult<()>) {
    let mut promised = vec![Promised::new()];
    let ended = run_steps(disk, script, &mut promised);
    (promised, ended)
}

fn run_steps(disk: &SimDisk, script: &[Step], history: &mut Vec<Promised>) -> LedgerResult<()> {
    let mut ledger = open(disk)?;
    for step in script {
        let mut promised = history.last().cloned().unwrap_or_default();
        match *step {
            Step::Prepare => prepare(&ledger)?,
            Step::Commit(n) => keep(&mut promised, n, ledger.commit(&book(), &transfer(n))?),
            Step::Batch(from, count) => {
                let drafts: Vec<Draft> = (from..from + count).map(transfer).collect();
                for (n, receipt) in (from..).zip(ledger.commit_batch(&book(), &drafts)?) {
                    keep(&mut promised, n, receipt?);
                }
            }
            Step::Snapshot => ledger.snapshot_now(&book())?,
            Step::Reopen => {
                ledger.shutdown()?;
                ledger = open(disk)?;
            }
        }
        history.push(promised);
        disk.set_mark(history.len() - 1);
    }
    Ok(())
}

/// A transaction that was acknowledged before is answered with the same receipt.
fn keep(promised: &mut Promised, n: u64, receipt: Receipt) {
    let first = *promised.entry(n).or_insert(receipt);
    assert_eq!(receipt, first, "transaction {n} has another receipt than before");
}

/// Opens what is left, holds it against what was promised, and goes on with it.
fn judge(disk: &SimDisk, promised: &Promised, what: &str) {
    let ledger = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let events = ledger.read_events(&book(), Seq(1), usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut stands = BTreeMap::new();
    for (seq, event) in (1..).zip(&events) {
        assert_eq!(event.seq, Seq(seq), "{what}: a gap");
        if let EventBody::Transaction(draft) = &event.body {
            assert!(stands.insert(draft.key.clone(), event.seq).is_none(), "{what}: {} stands there twice", draft.key);
        }
    }
    for (n, receipt) in promised {
        assert_eq!(stands.get(&format!("key {n}")), Some(&receipt.seq), "{what}: transaction {n} was acknowledged");
    }
    if !promised.is_empty() {
        let balance = ledger.balance(&id("a"), None).unwrap();
        assert_eq!(
            balance.amount,
            i64::try_from(stands.len()).unwrap(),
            "{what}: the balance is no fold of the events"
        );
    }
    prepare(&ledger).unwrap_or_else(|error| panic!("{what}: {error}"));
    for n in 1..=20 {
        let receipt = ledger.commit(&book(), &transfer(n)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let known = stands.get(&format!("key {n}"));
        assert!(known.is_none_or(|seq| *seq == receipt.seq), "{what}: transaction {n} is committed twice");
    }
    assert_eq!(ledger.balance(&id("b"), None).unwrap().amount, -20, "{what}");
}

/// Loses the power at every call of a script that changes the disk, in each way.
fn lose_power(script: &[Step], seed: u64, what: &str) {
    let disk = SimDisk::new();
    disk.keep_snapshots();
    let (history, ended) = run(&disk, script);
    ended.unwrap();
    for (number, snapshot) in (seed..).zip(disk.take_snapshots()) {
        for loss in Loss::ALL {
            let what = format!("{what}, power lost in call {} as {loss:?}", snapshot.call);
            judge(&snapshot.crash(loss, number), &history[snapshot.mark], &what);
        }
    }
}

#[test]
fn whatever_a_power_loss_keeps_every_acknowledged_transaction_is_there_once() {
    for (number, script) in (1..).zip(scripts()) {
        lose_power(&script, number, &format!("script {number}"));
    }
}

#[test]
fn random_scripts_lose_nothing_that_was_acknowledged() {
    for seed in 1..=2 {
        let mut random = Random::new(seed);
        let mut script = vec![Step::Prepare];
        for _ in 0..8 {
            let mut number = |end| u64::try_from(random.below(end)).unwrap();
            script.push(match number(9) {
                0 => Step::Snapshot,
                1 => Step::Reopen,
                2 | 3 => Step::Batch(1 + number(15), 1 + number(4)),
                _ => Step::Commit(1 + number(20)),
            });
        }
        lose_power(&script, seed, &format!("seed {seed}, {script:?}"));
    }
}

#[test]
fn after_any_failing_call_every_acknowledged_transaction_is_there_once() {
    for (number, script) in (1..).zip(scripts()) {
        let disk = SimDisk::new();
        run(&disk, &script).1.unwrap();
        for at in (number..=disk.calls()).step_by(3) {
            for fault in [Fault::Refused, Fault::Full, Fault::Short, Fault::ForgottenSync, Fault::Death] {
                let disk = SimDisk::new();
                disk.plan(at, vec![(at, fault)]);
                let (history, _) = run(&disk, &script);
                disk.plan(0, Vec::new());
                let promised = history.last().unwrap();
                let what = format!("script {number}, {fault:?} at {at}");
                // What is left is copied: judging goes on with the disk.
                let lost = disk.crash(Loss::Nothing, at);
                judge(&disk.start_process(), promised, &what);
                judge(&lost, promised, &format!("{what}, then every process dead"));
            }
        }
    }
}

/// A sync that fails closes the book for writing, leaves what was visible as it was, and shows nothing of what it was to make last.
#[test]
fn a_failed_sync_closes_the_book_and_shows_nothing_of_it() {
    let mut closed = 0;
    let disk = SimDisk::new();
    let before = {
        let ledger = open(&disk).unwrap();
        prepare(&ledger).unwrap();
        ledger.commit(&book(), &transfer(1)).unwrap();
        disk.calls()
    };
    for at in before..before + 60 {
        let disk = SimDisk::new();
        let ledger = open(&disk).unwrap();
        prepare(&ledger).unwrap();
        ledger.commit(&book(), &transfer(1)).unwrap();
        disk.plan(at, vec![(at, Fault::ForgottenSync)]);
        let second = ledger.commit(&book(), &transfer(2));
        disk.plan(0, Vec::new());
        if let Err(LedgerError::BookClosed { .. }) = second {
            closed += 1;
            assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 1);
            assert_eq!(ledger.read_events(&book(), Seq(1), 99).unwrap().len(), 3);
            assert!(ledger.transaction(transfer(2).id).unwrap().is_none());
            let third = ledger.commit(&book(), &transfer(3));
            assert!(matches!(third, Err(LedgerError::BookClosed { .. })), "{third:?}");
            ledger.shutdown().unwrap();
            let anew = open(&disk).unwrap();
            anew.commit(&book(), &transfer(2)).unwrap();
            assert_eq!(anew.balance(&id("a"), None).unwrap().amount, 2);
        }
    }
    assert!(closed > 0, "no sync of the log failed");
}

/// A batch that the medium has no room for is not there, and the next one is.
#[test]
fn a_full_disk_refuses_a_batch_whole_and_closes_nothing() {
    let mut refused = 0;
    for behind in 0..30 {
        let disk = SimDisk::new();
        let ledger = open(&disk).unwrap();
        prepare(&ledger).unwrap();
        let at = disk.calls() + behind;
        disk.plan(at, vec![(at, Fault::Full)]);
        let postings = vec![Posting::debit(id("a"), 1), Posting::credit(id("b"), 1)];
        let first = Draft { postings, ..transfer(1) };
        let answer = ledger.commit_batch(&book(), &[first, transfer(2)]);
        disk.plan(0, Vec::new());
        if answer.is_err() {
            refused += 1;
            assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 0, "call {behind}");
        }
        ledger.commit_batch(&book(), &[transfer(1), transfer(2)]).unwrap();
        assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 2, "call {behind}");
    }
    assert!(refused > 0, "the disk was never full");
}
