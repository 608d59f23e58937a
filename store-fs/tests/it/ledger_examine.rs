//! What lies beside the logs of a ledger, and says otherwise or has lost its log, is found.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store_core::Seq;
use store_core::StoreError;
use store_core::ledger::{BookName, Clock, Ledger, LedgerError, LedgerFinding, LedgerFindingKind, verify_ledger};
use store_fs::{FsLedger, LedgerOptions};

use crate::ledger::{book, clock, files_in, folder_of, log_in, prepare, transfer, with_runs, with_snapshots};

/// What is found in the ledger of a folder, which is only read.
fn found(root: &Path) -> Vec<(LedgerFindingKind, Option<Seq>, String)> {
    told(&FsLedger::open_read_only(root, &LedgerOptions::new(clock())).unwrap())
}

fn told(ledger: &FsLedger) -> Vec<(LedgerFindingKind, Option<Seq>, String)> {
    let report = verify_ledger(ledger).unwrap();
    assert_eq!(report.ok, report.damage.is_empty());
    let of = |LedgerFinding { book: of, seq, kind, detail }| {
        assert_eq!(of, Some(book()));
        (kind, seq, detail)
    };
    report.damage.into_iter().map(of).collect()
}

fn projection(detail: impl Into<String>) -> Vec<(LedgerFindingKind, Option<Seq>, String)> {
    vec![(LedgerFindingKind::Projection, None, detail.into())]
}

/// The ordinal in the name of a snapshot's folder.
fn ordinal(snapshot: &Path) -> &str {
    snapshot.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn a_spoilt_snapshot_is_told() {
    let (folder, _, snapshots) = with_snapshots();
    assert_eq!(found(folder.path()), []);
    let shard = files_in(&snapshots[0]).remove(0);
    let mut bytes = fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&shard, bytes).unwrap();
    assert_eq!(found(folder.path()), projection(format!("the snapshot {} is not whole", ordinal(&snapshots[0]))));
}

#[test]
fn a_snapshot_of_more_than_the_log_has_is_told() {
    let (folder, _, snapshots) = with_snapshots();
    let log = log_in(folder.path());
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.split_inclusive('\n').take(25).collect::<String>()).unwrap();
    let detail = format!("the snapshot {} knows events that the log does not have", ordinal(&snapshots[1]));
    assert_eq!(found(folder.path()), projection(detail));
}

#[test]
fn a_snapshot_of_another_log_is_told() {
    let (folder, _, snapshots) = with_snapshots();
    // The same transactions at other times.
    let other = tempfile::tempdir().unwrap();
    let time = AtomicU64::new(1_765_000_000_000_000);
    let later: Clock = Arc::new(move || time.fetch_add(1, Ordering::SeqCst));
    let ledger =
        FsLedger::open(other.path(), &LedgerOptions { snapshot_every: 0, ..LedgerOptions::new(later) }).unwrap();
    prepare(&ledger).unwrap();
    for n in 1..=40 {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
    ledger.shutdown().unwrap();
    fs::copy(log_in(other.path()), log_in(folder.path())).unwrap();
    let details: Vec<_> = snapshots
        .iter()
        .flat_map(|path| projection(format!("the snapshot {} says otherwise than the log", ordinal(path))))
        .collect();
    assert_eq!(found(folder.path()), details);
}

#[test]
fn a_spoilt_run_of_keys_is_told() {
    let (folder, options) = with_runs();
    let ledger = FsLedger::open_read_only(folder.path(), &options).unwrap();
    assert_eq!(told(&ledger), []);
    for run in files_in(&folder_of(folder.path(), "keys")) {
        let mut bytes = fs::read(&run).unwrap();
        bytes[40] ^= 1;
        fs::write(&run, bytes).unwrap();
    }
    let found = told(&ledger);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == LedgerFindingKind::Projection && found[0].2.starts_with("keys cannot be read"), "{found:?}");
}

#[test]
fn a_book_that_lost_its_log_is_told_and_takes_no_writes() {
    for (folder, options) in [with_runs(), {
        let (folder, options, _) = with_snapshots();
        (folder, options)
    }] {
        let reader = FsLedger::open_read_only(folder.path(), &options).unwrap();
        assert_eq!(told(&reader), []);
        fs::remove_file(log_in(folder.path())).unwrap();
        let expected = [(LedgerFindingKind::Event, Some(Seq(1)))];
        let places = |found: Vec<(_, _, String)>| found.into_iter().map(|one| (one.0, one.1)).collect::<Vec<_>>();
        assert_eq!(places(told(&reader)), expected, "by who had it open");
        assert_eq!(places(found(folder.path())), expected);
        drop(reader);
        let ledger = FsLedger::open(folder.path(), &options).unwrap();
        assert_eq!(ledger.list_books().unwrap(), [BookName::system(), book()]);
        let refused = ledger.commit(&book(), &transfer(1));
        assert!(matches!(refused, Err(LedgerError::Damaged { seq: Seq(1), .. })), "{refused:?}");
        let account = store_core::ledger::Account {
            id: crate::ledger::id("a"),
            asset: "USD".parse().unwrap(),
            kind: store_core::ledger::AccountKind::Clearing,
            min_balance: None,
        };
        let refused = ledger.open_account(&account);
        assert!(matches!(refused, Err(LedgerError::Damaged { seq: Seq(1), .. })), "{refused:?}");
    }
}

#[test]
fn books_without_the_header_of_a_ledger_are_not_no_ledger() {
    let (folder, options) = with_runs();
    fs::remove_file(folder.path().join("ledger").join("ledger.json")).unwrap();
    let refused = FsLedger::open_read_only(folder.path(), &options).map(drop);
    assert!(matches!(refused, Err(LedgerError::Store(StoreError::NotAStore { .. }))), "{refused:?}");
    // Who writes makes it again, and what is in the books is there.
    FsLedger::open(folder.path(), &options).unwrap().shutdown().unwrap();
    assert_eq!(found(folder.path()), []);
}
