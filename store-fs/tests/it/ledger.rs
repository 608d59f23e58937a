//! Ledgers in files: the common checks, and what is their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store_conformance::LedgerHarness;
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, BookName, Clock, Draft, Ledger, LedgerError, LedgerResult, Posting, Receipt,
};
use store_core::{Seq, StoreError, TransactionId};
use store_fs::{FsLedger, LedgerOptions};
use tempfile::TempDir;

/// A ledger that does everything that large ones do after a few events, if `SMALL`.
struct FsLedgerHarness<const SMALL: bool>(TempDir);

impl<const SMALL: bool> LedgerHarness for FsLedgerHarness<SMALL> {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, clock: &Clock, count: usize) -> LedgerResult<Vec<Box<dyn Ledger>>> {
        let options = if SMALL { small(clock) } else { LedgerOptions::new(clock.clone()) };
        let ledger = FsLedger::open(self.0.path(), &options)?;
        Ok((0..count).map(|_| Box::new(ledger.clone()) as Box<dyn Ledger>).collect())
    }

    fn damage(&self, book: &BookName, seq: Seq) -> bool {
        flip_bit(self.0.path(), book, seq);
        true
    }
}

/// Flips a bit in the middle of an event's line.
fn flip_bit(root: &Path, book: &BookName, seq: Seq) {
    let folder = root.join("ledger").join(book.as_str());
    let start = format!("{{\"seq\":{seq},");
    for part in fs::read_dir(folder).unwrap().map(|part| part.unwrap().path()).filter(|path| path.is_file()) {
        let mut bytes = fs::read(&part).unwrap();
        let Some(at) = bytes.windows(start.len()).position(|window| window == start.as_bytes()) else { continue };
        bytes[at + start.len() + 20] ^= 1;
        let mut permissions = fs::metadata(&part).unwrap().permissions();
        let mode = permissions.mode();
        permissions.set_mode(0o600);
        fs::set_permissions(&part, permissions.clone()).unwrap();
        fs::write(&part, bytes).unwrap();
        permissions.set_mode(mode);
        return fs::set_permissions(&part, permissions).unwrap();
    }
    panic!("the log has no event {seq}");
}

fn small(clock: &Clock) -> LedgerOptions {
    LedgerOptions { snapshot_every: 4, keys_held_max: 4, max_part_bytes: 700, ..LedgerOptions::new(clock.clone()) }
}

mod whole {
    store_conformance::ledger_conformance_tests!(super::FsLedgerHarness<false>);
}

mod in_small_pieces {
    store_conformance::ledger_conformance_tests!(super::FsLedgerHarness<true>);
}

#[test]
fn a_ledger_in_files_answers_what_the_reference_answers() {
    store_conformance::ledger_model_test::<FsLedgerHarness<false>>(6);
    store_conformance::ledger_model_test::<FsLedgerHarness<true>>(10);
}

pub(crate) fn clock() -> Clock {
    let time = AtomicU64::new(1_764_000_000_000_000);
    Arc::new(move || time.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn book() -> BookName {
    "home".parse().unwrap()
}

pub(crate) fn id(path: &str) -> AccountId {
    AccountId::new(&book(), path).unwrap()
}

pub(crate) fn transfer(n: u64) -> Draft {
    let postings = vec![Posting::debit(id("a"), 1), Posting::credit(id("b"), 1)];
    Draft::new(TransactionId::derive(n, b"transfer"), format!("key {n}"), postings)
}

/// Registers an asset and opens the accounts `a` and `b`, which are events 1 and 2.
pub(crate) fn prepare(ledger: &dyn Ledger) -> LedgerResult<()> {
    let usd = Asset { id: "USD".parse()?, precision: 2 };
    ledger.register_asset(&usd)?;
    for path in ["a", "b"] {
        let kind = AccountKind::Clearing;
        ledger.open_account(&Account { id: id(path), asset: usd.id.clone(), kind, min_balance: None })?;
    }
    Ok(())
}

fn commit_all(ledger: &dyn Ledger, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        ledger.commit(&book(), &transfer(number)).unwrap();
    }
}

/// The seqs that all of these transactions are answered with.
fn seqs(ledger: &dyn Ledger, numbers: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    numbers.map(|number| ledger.commit(&book(), &transfer(number)).unwrap().seq.0).collect()
}

pub(crate) fn folder_of(root: &Path, name: &str) -> PathBuf {
    root.join("ledger").join("home").join(name)
}

/// The only part of the book's log.
pub(crate) fn log_in(root: &Path) -> PathBuf {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "jsonl");
    files_in(&folder_of(root, "")).into_iter().find(is_log).unwrap()
}

pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_ledger_has_one_owner_at_a_time_and_is_free_after_its_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions::new(clock());
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    let second = FsLedger::open(folder.path(), &options);
    assert!(matches!(second, Err(LedgerError::Store(StoreError::Locked { .. }))), "{second:?}");
    ledger.shutdown().unwrap();
    FsLedger::open(folder.path(), &options).unwrap();
}

#[test]
fn who_only_reads_sees_what_the_owner_commits_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions::new(clock());
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    prepare(&ledger).unwrap();
    let reader = FsLedger::open_read_only(folder.path(), &options).unwrap();
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 0);
    commit_all(&ledger, 1..=3);
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 3);
    assert_eq!(reader.read_events(&book(), Seq(1), 99).unwrap().len(), 5);
    assert!(reader.transaction(TransactionId::derive(2, b"transfer")).unwrap().is_some());
    let refused = reader.commit(&book(), &transfer(9));
    assert!(matches!(refused, Err(LedgerError::Store(StoreError::ReadOnly))), "{refused:?}");
}

/// A ledger of 40 transactions whose keys are in runs, and the folder that it is in.
pub(crate) fn with_runs() -> (TempDir, LedgerOptions) {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions { snapshot_every: 0, keys_held_max: 6, ..LedgerOptions::new(clock()) };
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    prepare(&ledger).unwrap();
    commit_all(&ledger, 1..=40);
    (folder, options)
}

#[test]
fn keys_answer_from_memory_and_from_runs() {
    let (folder, options) = with_runs();
    let runs = files_in(&folder_of(folder.path(), "keys"));
    assert!((1..=6).contains(&runs.len()), "80 keys and ids are in few runs: {runs:?}");
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    assert_eq!(seqs(&ledger, 1..=40), (3..=42).collect::<Vec<_>>());
    assert_eq!(files_in(&folder_of(folder.path(), "keys")), runs, "nothing had to be made again");
}

#[test]
fn keys_answer_after_the_runs_are_deleted_before_an_opening_and_after() {
    let (folder, options) = with_runs();
    fs::remove_dir_all(folder_of(folder.path(), "keys")).unwrap();
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    assert_eq!(seqs(&ledger, 1..=40), (3..=42).collect::<Vec<_>>());
    fs::remove_dir_all(folder_of(folder.path(), "keys")).unwrap();
    assert_eq!(seqs(&ledger, 1..=41), (3..=43).collect::<Vec<_>>());
}

#[test]
fn keys_answer_whatever_byte_of_a_run_is_damaged() {
    let (folder, options) = with_runs();
    let run = files_in(&folder_of(folder.path(), "keys")).remove(0);
    let whole = fs::read(&run).unwrap();
    for at in (0..whole.len()).step_by(311) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&run, &bytes).unwrap();
        let ledger = FsLedger::open(folder.path(), &options).unwrap();
        assert_eq!(seqs(&ledger, 1..=40), (3..=42).collect::<Vec<_>>(), "byte {at}");
    }
    fs::write(&run, &whole[..whole.len() / 2]).unwrap();
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    assert_eq!(seqs(&ledger, 1..=40), (3..=42).collect::<Vec<_>>());
}

#[test]
fn a_run_that_is_damaged_while_the_ledger_is_open_is_made_again() {
    let (folder, options) = with_runs();
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    for run in files_in(&folder_of(folder.path(), "keys")) {
        let mut bytes = fs::read(&run).unwrap();
        bytes[40] ^= 1;
        fs::write(&run, bytes).unwrap();
    }
    assert_eq!(seqs(&ledger, 1..=40), (3..=42).collect::<Vec<_>>());
}

#[test]
fn runs_that_cover_events_the_log_has_lost_are_not_believed() {
    let (folder, options) = with_runs();
    let log = log_in(folder.path());
    let text = fs::read_to_string(&log).unwrap();
    let kept: String = text.split_inclusive('\n').take(12).collect();
    fs::write(&log, kept).unwrap();
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    assert_eq!(seqs(&ledger, 1..=10), (3..=12).collect::<Vec<_>>());
    assert_eq!(seqs(&ledger, 30..=31), [13, 14]);
}

/// The newest two snapshots of a ledger of 40 transactions, and the folder that it is in.
pub(crate) fn with_snapshots() -> (TempDir, LedgerOptions, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions { snapshot_every: 0, keys_held_max: 6, ..LedgerOptions::new(clock()) };
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    prepare(&ledger).unwrap();
    for round in 0..3 {
        commit_all(&ledger, round * 10 + 1..=round * 10 + 10);
        ledger.snapshot_now(&book()).unwrap();
    }
    commit_all(&ledger, 31..=40);
    ledger.shutdown().unwrap();
    let mut snapshots = files_in(&folder_of(folder.path(), "snapshots"));
    snapshots.retain(|path| path.extension().is_some_and(|ending| ending == "full"));
    assert_eq!(snapshots.len(), 2, "the newest two are kept");
    (folder, options, snapshots)
}

fn expect_whole(root: &Path, options: &LedgerOptions, what: &str) {
    let ledger = FsLedger::open(root, options).unwrap();
    assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 40, "{what}");
    assert_eq!(seqs(&ledger, 1..=40), (3..=42).collect::<Vec<_>>(), "{what}");
    let history = ledger.account_history(&id("b"), Seq(0), usize::MAX).unwrap();
    assert_eq!(history.iter().map(|row| row.balance).collect::<Vec<_>>(), (1..=40).map(|n| -n).collect::<Vec<_>>());
}

#[test]
fn no_byte_of_a_snapshot_keeps_a_ledger_from_being_opened_as_it_was() {
    let (folder, options, snapshots) = with_snapshots();
    expect_whole(folder.path(), &options, "whole");
    let newest = files_in(snapshots.last().unwrap()).remove(0);
    let whole = fs::read(&newest).unwrap();
    for at in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&newest, bytes).unwrap();
        expect_whole(folder.path(), &options, &format!("byte {at}"));
    }
    fs::write(&newest, &whole[..whole.len() - 9]).unwrap();
    expect_whole(folder.path(), &options, "cut");
}

#[test]
fn snapshots_that_are_gone_keep_no_ledger_from_being_opened_as_it_was() {
    let (folder, options, snapshots) = with_snapshots();
    fs::remove_dir_all(snapshots.last().unwrap()).unwrap();
    expect_whole(folder.path(), &options, "the newest is gone");
    let older = files_in(&snapshots[0]).remove(0);
    fs::remove_file(older).unwrap();
    expect_whole(folder.path(), &options, "the shard of the older is gone");
    fs::write(folder_of(folder.path(), "snapshots").join("9.full"), "not a folder").unwrap();
    expect_whole(folder.path(), &options, "a file stands in a snapshot's place");
    fs::remove_dir_all(folder_of(folder.path(), "snapshots")).unwrap();
    expect_whole(folder.path(), &options, "all are gone");
}

#[test]
fn a_snapshot_of_another_log_says_nothing() {
    let (folder, options, _) = with_snapshots();
    let log = log_in(folder.path());
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.split_inclusive('\n').take(20).collect::<String>()).unwrap();
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 18);
    assert_eq!(seqs(&ledger, 1..=18), (3..=20).collect::<Vec<_>>());
}

#[test]
fn a_damaged_book_answers_damaged_and_keeps_nobody_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions::new(clock());
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    prepare(&ledger).unwrap();
    commit_all(&ledger, 1..=5);
    let away: BookName = "away".parse().unwrap();
    let account = Account {
        id: AccountId::new(&away, "a").unwrap(),
        asset: "USD".parse().unwrap(),
        kind: AccountKind::Asset,
        min_balance: None,
    };
    ledger.open_account(&account).unwrap();
    ledger.shutdown().unwrap();
    let log = log_in(folder.path());
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"debit\":1", "\"debit\":2", 1)).unwrap();
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    let answers = [
        ledger.balance(&id("a"), None).map(drop),
        ledger.commit(&book(), &transfer(9)).map(drop),
        ledger.read_events(&book(), Seq(1), 9).map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(LedgerError::Damaged { seq: Seq(3), .. })), "{answer:?}");
    }
    assert_eq!(ledger.balance(&account.id, None).unwrap().amount, 0);
}

#[test]
fn commits_of_many_threads_are_gapless_and_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = FsLedger::open(folder.path(), &small(&clock())).unwrap();
    prepare(&ledger).unwrap();
    let receipts: Vec<Receipt> = std::thread::scope(|scope| {
        let commit = |thread: u64| {
            let ledger = ledger.clone();
            let all = move || (0..20).map(|n| ledger.commit(&book(), &transfer(thread * 20 + n)).unwrap()).collect();
            scope.spawn::<_, Vec<Receipt>>(all)
        };
        let threads: Vec<_> = (0..8).map(commit).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut seqs: Vec<u64> = receipts.iter().map(|receipt| receipt.seq.0).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (3..=162).collect::<Vec<_>>());
    assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 160);
}

/// The ledger of the fixture: 10 transactions, keys in runs, a snapshot, two parts.
fn write_fixture(root: &Path) {
    let options =
        LedgerOptions { snapshot_every: 0, keys_held_max: 6, max_part_bytes: 1500, ..LedgerOptions::new(clock()) };
    let ledger = FsLedger::open(root, &options).unwrap();
    prepare(&ledger).unwrap();
    commit_all(&ledger, 1..=4);
    let mut draft = transfer(5);
    draft.effective_at = Some(1_763_000_000_000_000);
    draft.meta.insert("model".to_owned(), "m-1".to_owned());
    ledger.commit(&book(), &draft).unwrap();
    ledger.commit_batch(&book(), &[transfer(6), transfer(7)]).unwrap();
    ledger.snapshot_now(&book()).unwrap();
    commit_all(&ledger, 8..=10);
    ledger.shutdown().unwrap();
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ledger_v1")
}

/// Every file below a folder with its bytes, by its path there.
fn tree(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for path in files_in(&next) {
            if path.is_dir() {
                left.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_ledgers_bytes_are_those_of_version_1() {
    let folder = tempfile::tempdir().unwrap();
    write_fixture(folder.path());
    let (written, known) = (tree(folder.path()), tree(&fixture()));
    assert_eq!(written.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
    for (path, bytes) in known {
        // What a run holds is sorted, what a snapshot holds of the keys is not.
        if !path.to_string_lossy().contains("snapshots") {
            assert_eq!(String::from_utf8_lossy(&written[&path]), String::from_utf8_lossy(&bytes), "{}", path.display());
        }
    }
}

#[test]
fn a_ledger_of_version_1_is_opened_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in tree(&fixture()) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let options = LedgerOptions::new(clock());
    let reader = FsLedger::open_read_only(folder.path(), &options).unwrap();
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 10);
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    let found = ledger.transaction(transfer(5).id).unwrap().unwrap();
    assert_eq!((found.seq, found.draft.meta["model"].as_str()), (Seq(7), "m-1"));
    assert_eq!(seqs(&ledger, 1..=4), [3, 4, 5, 6]);
    assert_eq!(seqs(&ledger, 8..=12), [10, 11, 12, 13, 14]);
}
