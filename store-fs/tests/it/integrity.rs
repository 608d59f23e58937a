//! What a scan tells of every way to spoil a small log, held against what reads answer; and what a repair makes of it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::integrity::{
    FindingKind, Integrity as _, MaintenanceOptions, NewCheckpoint, Report, VerifyOptions, verify,
};
use store_core::{Fact, FactScope, Seq, Store as _, StoreError};
use store_fs::FsStore;

use crate::faults::open_without_syncs;
use crate::support::{Folder, NOW, append, append_synced, create, names, note_texts, segment, session, texts, tree};

fn check(store: &FsStore) -> Report {
    let options = VerifyOptions { threads: 1, deep: true, ..VerifyOptions::default() };
    verify(store, &options, &|_| ControlFlow::Continue(())).unwrap()
}

fn kinds(store: &FsStore) -> Vec<FindingKind> {
    check(store).damage.into_iter().map(|finding| finding.kind).collect()
}

/// The first valid line of each seq that the bytes of segment 1's log hold, taken apart at its newlines.
fn valid(log: &[u8]) -> BTreeMap<Seq, String> {
    let context = LogContext::segment(segment(1));
    let mut valid = BTreeMap::new();
    for line in log.split(|byte| *byte == b'\n') {
        if let Ok(line) = decode_line(&context, line) {
            let is_start = line.text().contains("segment_start");
            if is_start == (line.seq == Seq(1)) && line.seq > Seq(0) {
                valid.entry(line.seq).or_insert(line.text());
            }
        }
    }
    valid
}

/// The entries that a stopped write left, which nobody was promised.
fn unpromised(store: &FsStore, count: u64) -> bool {
    store.read_entry_count(session(1), segment(1)).is_ok_and(|now| now < count)
}

/// Puts bytes in the place of segment 1's log: what is read is what verifies, and a repair keeps what is valid and verifies.
fn spoil(folder: &Folder, log: &[u8], what: &str) {
    fs::write(folder.log(1), log).unwrap();
    let _ = fs::remove_dir_all(folder.quarantine(1));
    let _ = fs::remove_file(folder.root().join("migrations.jsonl"));
    let store = open_without_syncs(folder);
    let read = store.read_all(session(1), segment(1));
    let hole = store.hole(session(1), segment(1)).ok().flatten().is_some();
    let report = check(&store);
    match &read {
        Ok(read) => {
            assert_eq!(report.ok, !hole, "{what}: {:?}", report.damage);
            assert_eq!(report.entries, read.len() as u64, "{what}: {:?}", report.damage);
        }
        Err(StoreError::Corrupt(_)) => assert!(!report.ok, "{what}: reads say that it is damaged"),
        Err(error) => panic!("{what}: {error}"),
    }
    let valid = valid(log);
    let is_cut = read.is_ok() && unpromised(&store, valid.last_key_value().map_or(0, |(seq, _)| seq.0));
    let dry = MaintenanceOptions { now: NOW, dry_run: true, ..MaintenanceOptions::default() };
    let planned = store.repair(session(1), segment(1), &dry).unwrap();
    assert_eq!(fs::read(folder.log(1)).unwrap(), log, "{what}: a dry run changed the log");
    let done = store.repair(session(1), segment(1), &MaintenanceOptions { dry_run: false, ..dry }).unwrap();
    assert_eq!((planned.kept, &planned.lost, planned.after), (done.kept, &done.lost, done.after), "{what}");
    assert!(done.verification.holds(), "{what}");
    let after: BTreeMap<Seq, String> = store
        .read_range(session(1), segment(1), Seq::START, usize::MAX)
        .unwrap_or_else(|error| panic!("{what}: {error}"))
        .into_iter()
        .map(|record| (record.position.seq, record.text))
        .collect();
    for (seq, text) in &valid {
        assert!(is_cut || hole || after.get(seq) == Some(text), "{what}: entry {seq} is not what it was");
    }
    let report = check(&store);
    assert!(report.ok && report.damage.is_empty(), "{what}: {:?}", report.damage);
    if done.migration_id.is_none() {
        assert_eq!(fs::read(folder.log(1)).unwrap(), log, "{what}");
        assert!(store.events().unwrap().is_empty(), "{what}");
    } else {
        assert_eq!(store.events().unwrap().len(), 1, "{what}");
        append(&store, 1, &[99]).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let kept: u64 = names(&folder.quarantine(1))
        .iter()
        .map(|name| fs::metadata(folder.quarantine(1).join(name)).unwrap().len())
        .sum();
    assert_eq!(kept, done.quarantined.iter().map(|one| one.bytes).sum::<u64>(), "{what}");
}

/// A log of single entries and of calls, some of which are vouched for.
fn example() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append_synced(&store, 1, &[1]).unwrap();
    append(&store, 1, &[2, 3, 4]).unwrap();
    append(&store, 1, &[5]).unwrap();
    append_synced(&store, 1, &[6]).unwrap();
    append(&store, 1, &[7, 8]).unwrap();
    drop(store);
    let log = fs::read(folder.log(1)).unwrap();
    (folder, log)
}

fn lines(log: &[u8]) -> Vec<&[u8]> {
    log.split_inclusive(|byte| *byte == b'\n').collect()
}

#[test]
fn a_log_cut_at_any_byte_is_repaired() {
    let (folder, log) = example();
    for length in 1..=log.len() {
        spoil(&folder, &log[..length], &format!("cut to {length}"));
    }
}

#[test]
fn a_log_with_flipped_bits_is_repaired() {
    let (folder, log) = example();
    for at in 0..log.len() {
        let mut log = log.clone();
        log[at] ^= 1 << (at % 8);
        spoil(&folder, &log, &format!("bit {} of byte {at}", at % 8));
    }
}

#[test]
fn a_log_without_some_of_its_lines_or_with_some_twice_is_repaired() {
    let (folder, log) = example();
    let lines = lines(&log);
    for one in 0..lines.len() {
        for to in one + 1..=lines.len() {
            let left = [&lines[..one], &lines[to..]].concat().concat();
            if !left.is_empty() {
                spoil(&folder, &left, &format!("without lines {one}..{to}"));
            }
        }
        for other in 0..=lines.len() {
            let mut more = lines.clone();
            more.insert(other, lines[one]);
            spoil(&folder, &more.concat(), &format!("line {one} again before {other}"));
        }
        for other in one + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            spoil(&folder, &swapped.concat(), &format!("lines {one} and {other} swapped"));
        }
    }
}

#[test]
fn a_log_with_zeros_or_lines_of_another_is_repaired() {
    let (folder, log) = example();
    for from in (0..log.len()).step_by(11) {
        for length in [1, 8, 64, 512] {
            let mut log = log.clone();
            let to = log.len().min(from + length);
            log[from..to].fill(0);
            spoil(&folder, &log, &format!("{length} zeros from {from}"));
        }
    }
    let mut foreign = Vec::new();
    let fields = LineFields { seq: Seq(3), ..LineFields::default() };
    encode_line(&mut foreign, &LogContext::segment(segment(2)), &fields, r#"{"kind":"note","ts":1,"n":1}"#);
    for at in 0..=lines(&log).len() {
        let mut moved = lines(&log);
        moved.insert(at, &foreign);
        spoil(&folder, &moved.concat(), &format!("a line of another log before {at}"));
    }
}

#[test]
fn entries_whose_newline_is_gone_are_found() {
    let (folder, mut log) = example();
    let newline = log.iter().position(|byte| *byte == b'\n').unwrap();
    log[newline] = b' ';
    fs::write(folder.log(1), &log).unwrap();
    let store = open_without_syncs(&folder);
    assert_eq!(check(&store).entries, 9, "all of them are there");
    let done = store.repair(session(1), segment(1), &MaintenanceOptions::default()).unwrap();
    assert_eq!((done.kept, done.lost), (9, Vec::new()));
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2, 3, 4, 5, 6, 7, 8]));
}

#[test]
fn a_log_that_is_a_link_is_told_and_never_worked_over() {
    let (folder, log) = example();
    let elsewhere = folder.root().join("elsewhere");
    fs::write(&elsewhere, &log).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(folder.log(1)).unwrap();
    symlink(&elsewhere, folder.log(1)).unwrap();
    let store = open_without_syncs(&folder);
    assert!(kinds(&store).contains(&FindingKind::Structure), "{:?}", check(&store).damage);
    let refused = store.repair(session(1), segment(1), &MaintenanceOptions::default()).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    assert_eq!(fs::read(&elsewhere).unwrap(), log);
}

#[test]
fn what_others_may_read_is_told() {
    let (folder, _) = example();
    let store = open_without_syncs(&folder);
    assert_eq!(kinds(&store), []);
    for path in [folder.log(1), folder.root().join("store.json"), folder.root().join("by-segment")] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(before.mode() | 0o040)).unwrap();
        assert_eq!(kinds(&store), [FindingKind::Permission], "{}", path.display());
        fs::set_permissions(&path, before).unwrap();
    }
    fs::set_permissions(folder.root(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(kinds(&store), [], "a root that was there before is its owner's");
    fs::set_permissions(folder.root(), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(kinds(&store), [FindingKind::Permission]);
}

/// What flipping one bit did to a store's file.
fn flip_and_look(folder: &Folder, name: &str, at: usize) -> (bool, Vec<FindingKind>) {
    let path = folder.root().join(name);
    let mut bytes = fs::read(&path).unwrap();
    let shown = show(folder);
    bytes[at] ^= 1 << (at % 7);
    fs::write(&path, &bytes).unwrap();
    let (same, found) = match FsStore::open_read_only(folder.root(), &crate::support::options()) {
        Err(_) => (false, vec![FindingKind::Structure]),
        Ok(store) => (show(folder) == shown, kinds(&store)),
    };
    bytes[at] ^= 1 << (at % 7);
    fs::write(&path, &bytes).unwrap();
    (same, found)
}

/// All that the contract shows of a store; an error where it cannot be shown.
fn show(folder: &Folder) -> Result<String, String> {
    let all = || -> store_core::Result<String> {
        let store = FsStore::open_read_only(folder.root(), &crate::support::options())?;
        let mut shown = format!("{:?}", store.facts(FactScope::Store)?);
        for session in store.list_sessions()? {
            shown += &format!("{session} {:?}", store.facts(FactScope::Session(session))?);
            for segment in store.list_segments(session)? {
                let records = store.read_range(session, segment, Seq::START, usize::MAX)?;
                let (traces, checkpoints) =
                    (store.read_traces(session, segment)?, store.checkpoints(session, segment)?);
                shown += &format!("{segment} {records:?} {traces:?} {checkpoints:?}");
                shown += &format!("{:?}", store.lookup_session_of(segment)?);
            }
        }
        Ok(shown + &format!("{:?}", store.events()?))
    };
    all().map_err(|error| error.to_string())
}

#[test]
fn a_flipped_bit_anywhere_in_a_store_is_found_or_changes_nothing_that_is_shown() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    append(&store, 1, &[1, 2, 3]).unwrap();
    append(&store, 1, &[4]).unwrap();
    store.checkpoint(session(1), segment(1), &NewCheckpoint::default()).unwrap();
    append(&store, 1, &[5]).unwrap();
    store.checkpoint(session(1), segment(1), &NewCheckpoint::default()).unwrap();
    store.rollback(session(1), segment(1), 1, &MaintenanceOptions::default()).unwrap();
    let origin =
        store_core::SegmentOrigin { session_id: session(1), segment_id: segment(1), seq: Seq(2), at_turn_index: 0 };
    let fork = [crate::support::start(session(2), Some(origin))];
    store.create_segment(session(2), segment(2), &fork, &store_core::CreateOptions::default()).unwrap();
    let fact = Fact { ts: NOW, domain: "title".into(), value: "The sky".into() };
    store.put_fact(FactScope::Session(session(1)), &fact).unwrap();
    store.put_fact(FactScope::Store, &fact).unwrap();
    let trace = store_core::TraceEntry { ts: NOW, event: "request".into(), payload: 1.into() };
    store.append_trace(session(1), segment(1), &trace).unwrap();
    let blob = store.put_blob(&[7; 300]).unwrap();
    let reference = serde_json::to_string(blob.reference()).unwrap();
    let entry = store_core::NewEntry::text(format!(r#"{{"kind":"note","ts":1,"blob":{reference}}}"#));
    store.append_with(session(2), segment(2), &[entry], &store_core::AppendOptions::default()).unwrap();
    drop((store, blob));
    let (mut flips, mut found) = (0, 0);
    for (name, bytes) in tree(&folder.root()) {
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 150) {
            let (is_same, kinds) = flip_and_look(&folder, &name, at);
            assert!(is_same || !kinds.is_empty(), "bit {} of byte {at} of {name} changes what is shown", at % 7);
            flips += 1;
            found += usize::from(!kinds.is_empty());
            let is_harmless = name == "store.json" || name.contains("quarantine");
            assert!(is_harmless || !kinds.is_empty(), "bit {} of byte {at} of {name} is not found", at % 7);
        }
    }
    assert!(flips > 500 && found + 150 > flips, "{found} of {flips} were found");
}

#[test]
fn ways_to_a_segment_that_are_lost_are_told() {
    let (folder, _) = example();
    let store = open_without_syncs(&folder);
    let by_segment = tree(&folder.root()).into_iter().find(|(name, _)| name.starts_with("by-segment")).unwrap().0;
    let path = folder.root().join(by_segment);
    let before = fs::read(&path).unwrap();
    fs::write(&path, b"nobody\n").unwrap();
    assert_eq!(kinds(&store), [FindingKind::Projection]);
    fs::remove_file(&path).unwrap();
    assert!(kinds(&store).contains(&FindingKind::Projection));
    fs::write(&path, before).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(kinds(&store), []);
}
