//! A damaged book is repaired where it is: each kind of damage to a log in files, and to what lies beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use store_core::codec::{LineFields, LogContext, encode_line};
use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{BookRepair, Event, Ledger, LedgerError, LedgerRepair, text, verify_ledger};
use store_core::{Seq, StoreError};
use store_fs::{FsLedger, LedgerOptions};
use tempfile::TempDir;

use crate::ledger::{book, clock, files_in, folder_of, id, log_in, prepare, transfer, with_runs, with_snapshots};

/// How many transactions the ledgers here have; their events are 3 to 42.
const COUNT: u64 = 40;

fn asked(dry_run: bool) -> MaintenanceOptions {
    MaintenanceOptions { now: 1_764_000_000_000, dry_run, correlation_id: None }
}

/// A ledger whose log has several parts, and the options that it is opened with.
fn in_parts() -> (TempDir, LedgerOptions) {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions { snapshot_every: 15, max_part_bytes: 2000, ..LedgerOptions::new(clock()) };
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    prepare(&ledger).unwrap();
    for n in 1..=COUNT {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
    ledger.shutdown().unwrap();
    (folder, options)
}

/// The parts of the book's log, in order.
fn parts(root: &Path) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "jsonl");
    let mut parts: Vec<PathBuf> = files_in(&folder_of(root, "")).into_iter().filter(is_log).collect();
    let number = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        name.split_once('.').map_or(1, |(_, part)| part.parse().unwrap())
    };
    parts.sort_by_key(number);
    parts
}

fn write(path: &Path, bytes: &[u8]) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

/// Changes the line of an event.
fn change(root: &Path, seq: u64, with: impl Fn(&str) -> String) {
    let start = format!("{{\"seq\":{seq},");
    for path in parts(root) {
        let before = fs::read_to_string(&path).unwrap();
        let lines = before.split_inclusive('\n');
        let after: String =
            lines.map(|line| if line.starts_with(&start) { with(line) } else { line.to_owned() }).collect();
        if after != before {
            return write(&path, after.as_bytes());
        }
    }
    panic!("the log has no event {seq}");
}

fn flip(root: &Path, seq: u64) {
    change(root, seq, |line| line.replacen("\"at\":1", "\"at\":0", 1));
}

/// The line of an event with another text and a right checksum.
fn forge(root: &Path, seq: u64, text: &str) {
    let stem = parts(root)[0].file_stem().unwrap().to_str().unwrap().to_owned();
    let context = LogContext::segment(stem.parse().unwrap());
    let mut line = Vec::new();
    encode_line(&mut line, &context, &LineFields { seq: Seq(seq), key: Some("forged"), ..LineFields::default() }, text);
    change(root, seq, |_| String::from_utf8(line.clone()).unwrap());
}

fn events(ledger: &dyn Ledger) -> Vec<Event> {
    ledger.read_events(&book(), Seq(1), usize::MAX).unwrap()
}

fn of_book(done: &LedgerRepair) -> &BookRepair {
    done.books.iter().find(|one| one.book == Some(book())).unwrap()
}

/// What a dry run says; it writes nothing, and needs no lock.
fn planned(root: &Path, options: &LedgerOptions) -> LedgerRepair {
    let before = picture(root);
    let told = FsLedger::open_read_only(root, options).unwrap().repair(None, &asked(true)).unwrap();
    assert_eq!(picture(root), before, "a dry run wrote something");
    told
}

/// Every file of a folder, with its bytes.
fn picture(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in files_in(folder) {
        if path.is_dir() {
            found.extend(picture(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// Repairs a ledger of which `kept` events are to be kept, and sees to it that everything is as it should be; `before` is what the book was.
fn repaired(root: &Path, options: &LedgerOptions, before: &[Event], kept: usize) -> BookRepair {
    let old: Vec<Vec<u8>> = parts(root).iter().map(|path| fs::read(path).unwrap()).collect();
    let plan = planned(root, options);
    let ledger = FsLedger::open(root, options).unwrap();
    let done = ledger.repair(None, &asked(false)).unwrap();
    let done = of_book(&done).clone();
    let lost = of_book(&plan).lost.clone();
    assert_eq!((of_book(&plan).kept, lost), (done.kept, done.lost.clone()), "a dry run says what is done");
    assert_eq!(usize::try_from(done.kept).unwrap(), kept);
    assert_eq!(done.lost.as_ref().map(|lost| lost.from), (kept < before.len()).then(|| Seq(done.kept + 1)));
    let paths = done.set_aside.iter().filter_map(|aside| aside.path.as_ref()).map(|path| root.join(path));
    let aside: Vec<Vec<u8>> = paths.filter(|path| path.is_file()).map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(aside, old, "the log is set aside, whole");
    for _ in 0..2 {
        assert!(ledger.repair(None, &asked(false)).unwrap().is_whole());
    }
    works(&ledger, before, kept);
    ledger.shutdown().unwrap();
    let ledger = FsLedger::open(root, options).unwrap();
    assert_eq!(verify_ledger(&ledger).unwrap().damage, []);
    drop(ledger);
    let record = fs::read_to_string(root.join("migrations.jsonl")).unwrap();
    assert_eq!(record.matches("\"event\":\"ledger_repaired\"").count(), 1);
    assert!(record.contains(&format!("\"book\":\"home\",\"kept\":{kept}")), "{record}");
    done
}

/// A repaired book has what was kept, and takes all that was lost, with its keys and ids.
fn works(ledger: &FsLedger, before: &[Event], kept: usize) {
    assert_eq!(events(ledger), before[..kept]);
    assert_eq!(verify_ledger(ledger).unwrap().damage, []);
    prepare(ledger).unwrap();
    let committed = kept.saturating_sub(2) as u64;
    for n in 1..=COUNT {
        let receipt = ledger.commit(&book(), &transfer(n)).unwrap();
        assert_eq!(receipt.seq, Seq(n + 2), "{n} of {committed}");
        let found = ledger.transaction(transfer(n).id).unwrap().unwrap();
        assert_eq!((found.seq, found.at), (receipt.seq, receipt.at));
    }
    assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 40);
    assert_eq!(verify_ledger(ledger).unwrap().damage, []);
}

fn known(root: &Path, options: &LedgerOptions) -> Vec<Event> {
    events(&FsLedger::open_read_only(root, options).unwrap())
}

#[test]
fn a_flipped_bit_in_any_event_costs_what_stands_behind_it() {
    for seq in [1_u8, 2, 3, 17, 41, 42] {
        for (folder, options) in [in_parts(), with_runs()] {
            let root = folder.path();
            let before = known(root, &options);
            flip(root, seq.into());
            let done = repaired(root, &options, &before, usize::from(seq) - 1);
            assert_eq!(done.lost.unwrap().lines, 43 - u64::from(seq));
        }
    }
}

#[test]
fn a_part_that_is_missing_costs_what_stands_behind_it() {
    let (folder, options) = in_parts();
    let count = parts(folder.path()).len();
    assert!(count > 3, "the log has {count} parts");
    for missing in 0..count - 1 {
        let (folder, options) = in_parts();
        let root = folder.path();
        let before = known(root, &options);
        let first = fs::read_to_string(&parts(root)[missing]).unwrap();
        let first: usize = first[7..].split(',').next().unwrap().parse().unwrap();
        fs::remove_file(&parts(root)[missing]).unwrap();
        repaired(root, &options, &before, first - 1);
    }
    // Of the last nobody knows but what was made of it.
    let root = folder.path();
    fs::remove_file(parts(root).last().unwrap()).unwrap();
    let ledger = FsLedger::open(root, &options).unwrap();
    let done = ledger.repair(None, &asked(false)).unwrap();
    assert!(
        of_book(&done).made_anew.iter().all(|what| what.contains("knows events that the log does not have")),
        "{done:?}"
    );
    assert_eq!(verify_ledger(&ledger).unwrap().damage, []);
}

#[test]
fn a_cut_tail_is_no_damage() {
    let (folder, options) = with_runs();
    let log = log_in(folder.path());
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 30]).unwrap();
    assert!(planned(folder.path(), &options).books.iter().all(|one| one.lost.is_none()));
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    let done = ledger.repair(None, &asked(false)).unwrap();
    assert_eq!((of_book(&done).kept, &of_book(&done).lost), (41, &None));
}

#[test]
fn of_a_batch_that_is_cut_the_whole_events_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions::new(clock());
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    prepare(&ledger).unwrap();
    let drafts: Vec<_> = (1..=COUNT).map(transfer).collect();
    assert!(ledger.commit_batch(&book(), &drafts).unwrap().iter().all(Result::is_ok));
    let before = events(&ledger);
    ledger.shutdown().unwrap();
    flip(folder.path(), 20);
    repaired(folder.path(), &options, &before, 19);
}

/// A call that is longer than a part stands in one part nevertheless, also when that is written anew.
#[test]
fn a_batch_that_is_longer_than_a_part_is_kept_whole() {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions { max_part_bytes: 900, ..LedgerOptions::new(clock()) };
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    prepare(&ledger).unwrap();
    for numbers in [1..=20, 21..=COUNT] {
        let drafts: Vec<_> = numbers.map(transfer).collect();
        assert!(ledger.commit_batch(&book(), &drafts).unwrap().iter().all(Result::is_ok));
    }
    let before = events(&ledger);
    ledger.shutdown().unwrap();
    flip(folder.path(), 23);
    repaired(folder.path(), &options, &before, 22);
}

#[test]
fn an_event_that_does_not_follow_costs_what_stands_behind_it() {
    let (folder, options) = in_parts();
    let before = known(folder.path(), &options);
    let Event { at, body, .. } = before[20].clone();
    let forged = text::encode(at, &body).unwrap().replacen("\"debit\":1", "\"debit\":2", 1);
    forge(folder.path(), 21, &forged);
    let done = repaired(folder.path(), &options, &before, 20);
    assert!(done.lost.unwrap().detail.contains("unbalanced"));
}

#[test]
fn an_event_of_a_newer_version_is_no_damage_and_is_left() {
    let (folder, options) = in_parts();
    forge(folder.path(), 21, r#"{"kind":"closing","at":1764000000000030}"#);
    let before = picture(&folder.path().join("ledger"));
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    for dry_run in [true, false] {
        let refused = ledger.repair(None, &asked(dry_run));
        assert!(matches!(refused, Err(LedgerError::Store(StoreError::Unsupported { .. }))), "{refused:?}");
    }
    drop(ledger);
    assert_eq!(picture(&folder.path().join("ledger")), before);
}

#[test]
fn a_book_that_lost_its_log_is_empty_again() {
    for (folder, options) in [with_runs(), {
        let (folder, options, _) = with_snapshots();
        (folder, options)
    }] {
        let root = folder.path();
        fs::remove_file(log_in(root)).unwrap();
        let told = planned(root, &options);
        let lost = of_book(&told).lost.as_ref().unwrap();
        assert_eq!((of_book(&told).kept, lost.from, lost.lines), (0, Seq(1), 0));
        let reader = FsLedger::open_read_only(root, &options).unwrap();
        assert!(matches!(reader.read_events(&book(), Seq(1), 1), Err(LedgerError::Damaged { .. })));
        let ledger = FsLedger::open(root, &options).unwrap();
        let done = ledger.repair(Some(&book()), &asked(false)).unwrap();
        let aside = of_book(&done).set_aside.clone();
        assert!(
            !aside.is_empty() && aside.iter().all(|one| root.join(one.path.as_ref().unwrap()).is_dir()),
            "{aside:?}"
        );
        assert_eq!(reader.read_events(&book(), Seq(1), 1).unwrap(), []);
        works(&ledger, &[], 0);
        ledger.shutdown().unwrap();
        let ledger = FsLedger::open(root, &options).unwrap();
        assert_eq!(ledger.balance(&id("a"), None).unwrap().amount, 40);
    }
}

#[test]
fn a_spoilt_snapshot_is_put_aside_and_made_again() {
    let (folder, options, snapshots) = with_snapshots();
    let shard = files_in(&snapshots[0]).remove(0);
    let mut bytes = fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let told = planned(folder.path(), &options);
    assert!(of_book(&told).made_anew[0].contains("is not whole"), "{told:?}");
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    assert_eq!(of_book(&ledger.repair(None, &asked(false)).unwrap()).lost, None);
    assert_eq!(verify_ledger(&ledger).unwrap().damage, []);
    assert!(ledger.repair(None, &asked(false)).unwrap().is_whole());
    assert!(folder_of(folder.path(), "snapshots.aside-1").is_dir());
    assert_eq!(files_in(&folder_of(folder.path(), "snapshots")).iter().filter(|path| path.is_dir()).count(), 1);
}

#[test]
fn spoilt_runs_of_keys_are_put_aside_and_made_again() {
    let (folder, options) = with_runs();
    // Who opens the ledger later makes them again without being asked.
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    for run in files_in(&folder_of(folder.path(), "keys")) {
        let mut bytes = fs::read(&run).unwrap();
        bytes[40] ^= 1;
        fs::write(&run, bytes).unwrap();
    }
    let told = ledger.repair(None, &asked(true)).unwrap();
    assert!(of_book(&told).made_anew[0].contains("keys cannot be read"), "{told:?}");
    assert_eq!(of_book(&ledger.repair(None, &asked(false)).unwrap()).lost, None);
    assert_eq!(verify_ledger(&ledger).unwrap().damage, []);
    for n in 1..=COUNT {
        assert_eq!(ledger.commit(&book(), &transfer(n)).unwrap().seq, Seq(n + 2));
    }
}

#[test]
fn a_header_that_is_not_there_is_made_again_and_told() {
    let (folder, options) = with_runs();
    fs::remove_file(folder.path().join("ledger").join("ledger.json")).unwrap();
    let ledger = FsLedger::open_to_plan_repair(folder.path(), &options).unwrap();
    let told = ledger.repair(None, &asked(true)).unwrap();
    assert!(told.books.iter().any(|one| one.book.is_none() && one.made_anew[0].contains("header")), "{told:?}");
    assert!(!folder.path().join("ledger").join("ledger.json").exists());
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    assert!(!ledger.repair(None, &asked(false)).unwrap().is_whole());
    assert!(ledger.repair(None, &asked(false)).unwrap().is_whole());
    assert_eq!(verify_ledger(&ledger).unwrap().damage, []);
}

#[test]
fn who_only_reads_repairs_nothing_and_sees_what_the_owner_repairs() {
    let (folder, options) = in_parts();
    let reader = FsLedger::open_read_only(folder.path(), &options).unwrap();
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 40);
    flip(folder.path(), 20);
    let refused = reader.repair(None, &asked(false));
    assert!(matches!(refused, Err(LedgerError::Store(StoreError::ReadOnly))), "{refused:?}");
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    let locked = FsLedger::open(folder.path(), &options).map(drop);
    assert!(matches!(locked, Err(LedgerError::Store(StoreError::Locked { .. }))), "{locked:?}");
    ledger.repair(None, &asked(false)).unwrap();
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 17);
    // The book grows beyond what it was, with other transactions.
    for n in 100..=150 {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 68);
    assert_eq!(events(&reader), events(&ledger));
    assert_eq!(verify_ledger(&reader).unwrap().damage, []);
}

#[test]
fn a_reader_that_did_not_look_meanwhile_sees_the_repaired_book() {
    let (folder, options) = in_parts();
    let reader = FsLedger::open_read_only(folder.path(), &options).unwrap();
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 40);
    flip(folder.path(), 20);
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    ledger.repair(None, &asked(false)).unwrap();
    for n in 100..=150 {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
    assert_eq!(reader.balance(&id("a"), None).unwrap().amount, 68);
    assert_eq!(events(&reader), events(&ledger));
}

#[test]
fn a_book_that_is_damaged_while_it_is_open_is_repaired_by_its_owner() {
    let (folder, options) = in_parts();
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    let before = events(&ledger);
    flip(folder.path(), 20);
    assert!(matches!(ledger.read_events(&book(), Seq(1), 99), Err(LedgerError::Damaged { .. })));
    ledger.repair(None, &asked(false)).unwrap();
    works(&ledger, &before, 19);
}

/// A ledger whose owner died when the repair of its seventh event was decided: nothing had its name yet.
#[test]
fn a_repair_that_was_decided_is_finished_by_whoever_opens_the_ledger_next() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ledger_v1-being-repaired");
    copy(&shipped, folder.path());
    let before = picture(folder.path());
    let options = LedgerOptions { max_part_bytes: 900, ..LedgerOptions::new(clock()) };
    let reader = FsLedger::open_read_only(folder.path(), &options).unwrap();
    assert_eq!(events(&reader).len(), 6);
    assert_eq!(verify_ledger(&reader).unwrap().damage, []);
    assert_eq!(picture(folder.path()), before, "reading changed something");
    let ledger = FsLedger::open(folder.path(), &options).unwrap();
    for n in 1..=12 {
        assert_eq!(ledger.commit(&book(), &transfer(n)).unwrap().seq, Seq(n + 2));
    }
    for ledger in [&ledger, &reader] {
        assert_eq!(events(ledger).len(), 14);
        assert_eq!(verify_ledger(ledger).unwrap().damage, []);
    }
    let left = |name: &str| picture(folder.path()).iter().any(|(path, _)| path.to_str().unwrap().ends_with(name));
    assert!(!left(".replacing") && !left(".jsonl.new"));
    let aside: Vec<Vec<u8>> =
        picture(&folder_of(folder.path(), "quarantine")).into_iter().map(|(_, bytes)| bytes).collect();
    let old = before
        .iter()
        .filter(|(path, _)| path.parent().unwrap().ends_with("home"))
        .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "jsonl"));
    assert_eq!(aside, old.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), "the old log is kept, whole");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files_in(from) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}
