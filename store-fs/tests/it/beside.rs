//! Damage beside the logs: every record with a bit flipped anywhere, and repairs that are stopped at every call.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use store_core::integrity::{
    EventKind, FindingKind, Integrity as _, MaintenanceOptions, NewCheckpoint, VerifyOptions, verify,
};
use store_core::{
    AppendOptions, CreateOptions, Fact, FactScope, Result, SessionId, Store as _, StoreError, TraceEntry,
};
use store_fs::disk::{Disk as _, OpenMode};
use store_fs::simulate::{Fault, Loss, SimDisk};
use store_fs::{FsStore, OpenAs};

use crate::support::{NOW, note, options, segment, session, start};

const ROOT: &str = "/home/store";

fn try_open(disk: &SimDisk) -> Result<FsStore> {
    FsStore::open_on(Arc::new(disk.start_process()), Path::new(ROOT), OpenAs::Shared, &options())
}

fn open(disk: &SimDisk) -> FsStore {
    try_open(disk).unwrap()
}

fn maintenance() -> MaintenanceOptions {
    MaintenanceOptions { now: NOW, ..MaintenanceOptions::default() }
}

fn fact(n: u64) -> Fact {
    Fact { ts: n, domain: "title".to_owned(), value: json!({"text": format!("title {n}"), "by": "person"}) }
}

/// A session with four of everything beside its log: facts, traces, checkpoints of which the last is void; and four facts and events of the store.
fn filled() -> SimDisk {
    let disk = SimDisk::new();
    let store = open(&disk);
    store.create_segment(session(1), segment(1), &[start(session(1), None)], &CreateOptions::default()).unwrap();
    for n in 1..=4 {
        store.put_fact(FactScope::Session(session(1)), &fact(n)).unwrap();
        store.put_fact(FactScope::Store, &fact(n)).unwrap();
        let trace = TraceEntry { ts: n, event: "called".to_owned(), payload: n.into() };
        store.append_trace(session(1), segment(1), &trace).unwrap();
        store.append_with(session(1), segment(1), &[note(n)], &AppendOptions::default()).unwrap();
        let new = NewCheckpoint { reason: "a test".to_owned(), name: None, now: NOW };
        store.checkpoint(session(1), segment(1), &new).unwrap();
    }
    for _ in 0..4 {
        let number = store.checkpoints(session(1), segment(1)).unwrap().iter().filter(|one| !one.void).count() as u64;
        if number > 1 {
            store.rollback(session(1), segment(1), number - 1, &maintenance()).unwrap();
        }
    }
    drop(store);
    disk.crash(Loss::Nothing, 0)
}

fn records() -> Vec<(PathBuf, Option<SessionId>)> {
    let (root, of_session) = (Path::new(ROOT), Some(session(1)));
    let folder = root.join(session(1).to_string());
    vec![
        (root.join("facts.jsonl"), None),
        (root.join("migrations.jsonl"), None),
        (folder.join("facts.jsonl"), of_session),
        (folder.join(format!("{}.trace.jsonl", segment(1))), of_session),
        (folder.join(format!("{}.checkpoints.jsonl", segment(1))), of_session),
    ]
}

fn bytes_of(disk: &SimDisk, path: &Path) -> Vec<u8> {
    disk.tree().into_iter().find(|(found, _)| found == path).and_then(|(_, bytes)| bytes).unwrap()
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.start_process().open(path, OpenMode::Append).unwrap();
    file.truncate(0).unwrap();
    let mut done = 0;
    while done < bytes.len() {
        done += file.append(&bytes[done..]).unwrap();
    }
    file.sync_file().unwrap();
}

/// What can be read of the records; `None` for one that is damaged.
fn readable(store: &FsStore) -> [Option<Vec<String>>; 5] {
    fn texts<T: serde::Serialize>(read: Result<Vec<T>>) -> Option<Vec<String>> {
        match read {
            Ok(read) => Some(read.iter().map(|one| serde_json::to_string(one).unwrap()).collect()),
            Err(StoreError::Corrupt(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }
    let numbers = store.checkpoints(session(1), segment(1)).map(|listed| {
        listed.into_iter().map(|one| json!({"number": one.checkpoint.number, "void": one.void})).collect::<Vec<_>>()
    });
    [
        texts(store.facts(FactScope::Store)),
        texts(store.events()),
        texts(store.facts(FactScope::Session(session(1)))),
        texts(store.read_traces(session(1), segment(1))),
        texts(numbers),
    ]
}

fn damage(store: &FsStore) -> Vec<String> {
    let report = verify(store, &VerifyOptions::default(), &|_| ControlFlow::Continue(())).unwrap();
    let found = report.damage.iter().filter(|finding| finding.kind != FindingKind::TornTail);
    found.map(ToString::to_string).collect()
}

fn repair(store: &FsStore) -> Result<usize> {
    let mut repaired = 0;
    for scope in [None, Some(session(1))] {
        repaired += store.repair_beside(scope, &maintenance())?.len();
    }
    Ok(repaired)
}

#[test]
fn whatever_is_done_to_a_record_beside_the_log_every_whole_line_of_it_is_kept() {
    let before = filled();
    for (path, scope) in records() {
        let whole = bytes_of(&before, &path);
        let lines = whole.split_inclusive(|byte| *byte == b'\n').count();
        let zeros = {
            let mut bytes = whole.clone();
            bytes.splice(whole.len() / 2..whole.len() / 2 + 40, vec![0; 40]);
            bytes
        };
        let flipped = (0..whole.len()).step_by(7).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            bytes
        });
        for (number, bytes) in flipped.chain([zeros, [whole.as_slice(), b"{\"seq\":9}\n"].concat()]).enumerate() {
            let what = format!("{}, damage {number}", path.display());
            let disk = before.crash(Loss::Nothing, 0);
            put(&disk, &path, &bytes);
            let store = open(&disk);
            let found = damage(&store);
            let dry = store.repair_beside(scope, &MaintenanceOptions { dry_run: true, ..maintenance() }).unwrap();
            assert_eq!(bytes_of(&disk, &path), bytes, "{what}: a dry run changes nothing");
            let done = store.repair_beside(scope, &maintenance()).unwrap();
            assert_eq!(done.len(), usize::from(!found.is_empty()), "{what}: {found:?}");
            assert_eq!(dry.len(), done.len(), "{what}");
            assert_eq!(damage(&store), Vec::<String>::new(), "{what}");
            let kept = bytes_of(&disk, &path).split_inclusive(|byte| *byte == b'\n').count();
            // A flipped bit costs one line at most, and zeros the two that they stand in; the repair of the events adds one.
            assert!(kept + 3 >= lines, "{what}: {kept} of {lines} lines");
            for one in &done {
                let is_event = |event: &store_core::integrity::Event| matches!(&event.what, EventKind::RecordRepaired { migration_id, .. } if *migration_id == one.migration_id);
                assert!(store.events().unwrap().iter().any(is_event), "{what}: it is recorded");
                for taken in &one.quarantined {
                    let copy = bytes_of(&disk, &Path::new(ROOT).join(taken.path.as_ref().unwrap()));
                    let [from, to] = [taken.offset, taken.offset + taken.bytes].map(|at| usize::try_from(at).unwrap());
                    assert_eq!(copy, bytes[from..to], "{what}: what was taken out is kept");
                }
            }
            store.put_fact(FactScope::Session(session(1)), &fact(9)).unwrap();
            store.put_fact(FactScope::Store, &fact(9)).unwrap();
            assert_eq!(repair(&open(&disk)).unwrap(), 0, "{what}: nothing is left to repair");
        }
    }
}

#[test]
fn a_repair_of_a_log_with_line_ends_of_another_system_adds_no_entry() {
    let disk = filled();
    let path = Path::new(ROOT).join(session(1).to_string()).join(format!("{}.jsonl", segment(1)));
    let bytes = bytes_of(&disk, &path);
    let count = bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
    put(&disk, &path, &String::from_utf8(bytes.clone()).unwrap().replace('\n', "\r\n").into_bytes());
    let store = open(&disk);
    let done = store.repair(session(1), segment(1), &maintenance()).unwrap();
    assert_eq!((done.kept, done.lost, done.after.seq.0), (count, Vec::new(), count));
    assert_eq!(damage(&store), Vec::<String>::new());
}

#[test]
fn who_reads_a_first_call_that_is_cut_off_is_told_where_its_entries_end() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let entries = [start(session(1), None), note(1), note(2), note(3)];
    store.create_segment(session(1), segment(1), &entries, &CreateOptions::default()).unwrap();
    drop(store);
    let path = Path::new(ROOT).join(session(1).to_string()).join(format!("{}.jsonl", segment(1)));
    let bytes = bytes_of(&disk, &path);
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').map(|at| at + 1).collect();
    put(&disk, &path, &bytes[..ends[2] + 10]);
    let Err(StoreError::Corrupt(told)) = open(&disk).read_all(session(1), segment(1)) else { panic!("it is read") };
    assert_eq!((told.offset, told.seq.map(|seq| seq.0)), (ends[2] as u64, Some(4)), "{told}");
}

#[test]
fn a_checkpoint_that_a_lost_line_had_made_void_does_not_hold_again() {
    let disk = filled();
    let (path, scope) = records().pop().unwrap();
    let mut bytes = bytes_of(&disk, &path);
    let void: Vec<usize> = memchr::memmem::find_iter(&bytes, b"void_after").collect();
    assert!(!void.is_empty());
    void.into_iter().for_each(|at| bytes[at] ^= 1);
    put(&disk, &path, &bytes);
    let store = open(&disk);
    store.repair_beside(scope, &maintenance()).unwrap();
    let holds: Vec<u64> = store
        .checkpoints(session(1), segment(1))
        .unwrap()
        .into_iter()
        .filter(|one| !one.void)
        .map(|one| one.checkpoint.number)
        .collect();
    assert_eq!(holds, [1]);
    assert_eq!(damage(&store), Vec::<String>::new());
}

#[test]
fn a_repair_beside_the_log_that_is_stopped_anywhere_leaves_the_old_record_or_the_whole_one() {
    for (at, (path, scope)) in records().into_iter().enumerate() {
        let before = filled();
        let mut bytes = bytes_of(&before, &path);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        put(&before, &path, &bytes);
        let before = before.crash(Loss::Nothing, 0);
        let ended = before.crash(Loss::Nothing, 0);
        open(&ended).repair_beside(scope, &maintenance()).unwrap();
        let whole = readable(&open(&ended));
        let (mut old, mut new) = (0, 0);
        for fault in [Fault::Death, Fault::Refused] {
            for call in 1.. {
                let disk = before.crash(Loss::Nothing, 0);
                disk.plan(call, vec![(call, fault)]);
                let worked = try_open(&disk).and_then(|store| store.repair_beside(scope, &maintenance()));
                let was_met = disk.faulted() > 0;
                for (seed, loss) in
                    [(0, Loss::Nothing), (call, Loss::ALL[usize::try_from(call).unwrap() % Loss::ALL.len()])]
                {
                    let what = format!("{}: {fault:?} in call {call}, then {loss:?} lost", path.display());
                    let disk = disk.crash(loss, seed);
                    let store = open(&disk);
                    let now = readable(&store);
                    if now[at].is_none() {
                        assert!(worked.is_err(), "{what}: it was acknowledged and is gone");
                        old += 1;
                        assert_eq!(bytes_of(&disk, &path), bytes, "{what}: the old record, byte for byte");
                        store.repair_beside(scope, &maintenance()).unwrap_or_else(|error| panic!("{what}: {error}"));
                    } else {
                        new += 1;
                    }
                    let now = readable(&store);
                    // The event of the repair may be missing if the process died before it was written.
                    if at != 1 {
                        assert_eq!(now[at], whole[at], "{what}");
                    }
                    assert!(now.iter().all(Option::is_some), "{what}");
                    store.put_fact(FactScope::Session(session(1)), &fact(9)).unwrap();
                    store.put_fact(FactScope::Store, &fact(9)).unwrap();
                    let found = damage(&store);
                    assert!(found.iter().all(|found| found.contains("hole")), "{what}: {found:?}");
                }
                if !was_met {
                    break;
                }
            }
        }
        assert!(old > 5 && new > 1, "{}: {old} times the old, {new} times the new", path.display());
    }
}
