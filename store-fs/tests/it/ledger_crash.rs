//! What a ledger says when its disk fails in the middle of a call. What is left after a crash is for the simulator ([`crate::simulate_ledger`]).

use std::path::Path;
use std::sync::Arc;

use store_core::Seq;
use store_core::ledger::{Draft, Ledger as _, LedgerError, LedgerResult, Posting, verify_ledger};
use store_fs::simulate::{Fault, Loss, SimDisk};
use store_fs::{FsLedger, LedgerOptions};

use crate::ledger::{book, clock, id, prepare, transfer};

fn open(disk: &SimDisk) -> LedgerResult<FsLedger> {
    let options =
        LedgerOptions { snapshot_every: 5, keys_held_max: 6, max_part_bytes: 900, ..LedgerOptions::new(clock()) };
    FsLedger::open_on(Arc::new(disk.clone()), Path::new("/home/store"), &options)
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

/// A book whose log appeared and whose folder could not be synced then: whoever opens the ledger next sees to the name before anything is built on it.
#[test]
fn what_follows_a_creation_that_failed_survives_a_power_loss() {
    let mut failed = 0;
    for behind in 0..40 {
        let disk = SimDisk::new();
        let ledger = open(&disk).unwrap();
        let at = disk.calls() + behind;
        disk.plan(at, vec![(at, Fault::Refused)]);
        failed += u32::from(prepare(&ledger).is_err());
        disk.plan(0, Vec::new());
        ledger.shutdown().unwrap();
        let ledger = open(&disk).unwrap();
        prepare(&ledger).unwrap();
        ledger.commit(&book(), &transfer(1)).unwrap();
        let after = open(&disk.crash(Loss::Everything, behind).start_process()).unwrap();
        assert_eq!(verify_ledger(&after).unwrap().damage, [], "call {behind}");
        assert_eq!(after.balance(&id("a"), None).unwrap().amount, 1, "call {behind}");
    }
    assert!(failed > 10, "{failed} calls of the preparation failed");
}
