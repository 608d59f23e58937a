//! Logs that are gone without a word: told, kept from collection, repaired; and what is innocent is not told.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use store_core::integrity::{
    FindingKind, Integrity as _, MaintenanceOptions, NewCheckpoint, Report, VerifyOptions, verify,
};
use store_core::{CreateOptions, NewEntry, SegmentId, SegmentOrigin, Seq, Store as _, StoreError, TraceEntry};
use store_fs::FsStore;

use crate::faults::{Plan, open, open_with, open_without_syncs};
use crate::support::{Folder, NOW, append, create, in_parts, note, segment, session, start};

fn check(store: &FsStore) -> Report {
    verify(store, &VerifyOptions::default(), &|_| ControlFlow::Continue(())).unwrap()
}

/// What is told, once for each kind and segment.
fn told(store: &FsStore) -> Vec<(FindingKind, Option<SegmentId>)> {
    let told: BTreeSet<_> = check(store).damage.into_iter().map(|found| (found.kind, found.segment_id)).collect();
    told.into_iter().collect()
}

fn options() -> MaintenanceOptions {
    MaintenanceOptions { now: NOW, ..MaintenanceOptions::default() }
}

fn look_up(folder: &Folder, n: u64) -> PathBuf {
    let id = segment(n).to_string();
    folder.root().join("by-segment").join(&id[id.len() - 2..]).join(&id)
}

/// A blob that the last entry of segment 1 names.
fn with_blob(store: &FsStore) -> PathBuf {
    let guard = store.put_blob(b"what only this log names").unwrap();
    let reference = serde_json::to_value(guard.reference()).unwrap();
    let text = format!(r#"{{"kind":"note","ts":{NOW},"of":{reference}}}"#);
    store.append_with(session(1), segment(1), &[NewEntry::text(text)], &store_core::AppendOptions::default()).unwrap();
    let address = guard.reference().sha256.clone();
    PathBuf::from("blobs").join(&address[..2]).join(address)
}

fn is_damaged<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Corrupt(_)))
}

const LOST: FindingKind = FindingKind::Structure;

#[test]
fn a_log_that_is_gone_is_told_until_it_is_back_and_nothing_it_named_is_collected() {
    for beside in ["nothing", "checkpoints", "traces"] {
        let folder = Folder::new();
        let store = open_without_syncs(&folder);
        create(&store, 1);
        append(&store, 1, &[1, 2]).unwrap();
        let blob = folder.root().join(with_blob(&store));
        match beside {
            "checkpoints" => {
                let new = NewCheckpoint { now: NOW, reason: "test".to_owned(), name: None };
                store.checkpoint(session(1), segment(1), &new).unwrap();
            }
            "traces" => {
                let trace = TraceEntry { ts: NOW, event: "note".to_owned(), payload: serde_json::Value::Null };
                store.append_trace(session(1), segment(1), &trace).unwrap();
            }
            _ => {}
        }
        drop(store);
        let away = folder.root().with_extension("away");
        fs::rename(folder.log(1), &away).unwrap();
        for _ in 0..2 {
            let store = open_without_syncs(&folder);
            assert!(told(&store).contains(&(LOST, Some(segment(1)))), "{beside}: {:?}", check(&store).damage);
            assert!(!check(&store).ok);
            for dry_run in [true, false] {
                assert!(is_damaged(&store.collect(dry_run)), "{beside}");
            }
            // Others go on.
            create(&store, 2);
            store.delete_session(session(2)).unwrap();
        }
        let store = open_without_syncs(&folder);
        if beside != "nothing" {
            assert_eq!(store.list_segments(session(1)).unwrap(), [segment(1)]);
            assert!(is_damaged(&store.read_all(session(1), segment(1))), "{beside}");
            assert!(is_damaged(&append(&store, 1, &[3])), "{beside}");
            let again =
                store.create_segment(session(1), segment(1), &[start(session(1), None)], &CreateOptions::default());
            assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{beside}");
        }
        drop(store);
        fs::rename(&away, folder.log(1)).unwrap();
        let store = open_without_syncs(&folder);
        assert!(check(&store).ok, "{beside}: {:?}", check(&store).damage);
        assert_eq!(store.collect(false).unwrap().blobs.removed, 0);
        assert!(blob.exists());
    }
}

#[test]
fn a_log_that_is_gone_is_repaired_to_one_that_says_so() {
    for with_checkpoint in [false, true] {
        let folder = Folder::new();
        let store = open_without_syncs(&folder);
        create(&store, 1);
        append(&store, 1, &[1, 2]).unwrap();
        let forked = start(session(2), Some(origin(1, 2)));
        store.create_segment(session(2), segment(2), &[forked], &CreateOptions::default()).unwrap();
        if with_checkpoint {
            let new = NewCheckpoint { now: NOW, reason: "test".to_owned(), name: None };
            store.checkpoint(session(1), segment(1), &new).unwrap();
        }
        drop(store);
        fs::remove_file(folder.log(1)).unwrap();
        let store = open_without_syncs(&folder);
        let would = store.repair(session(1), segment(1), &MaintenanceOptions { dry_run: true, ..options() }).unwrap();
        assert!(!folder.log(1).exists() && !check(&store).ok);
        let done = store.repair(session(1), segment(1), &options()).unwrap();
        assert_eq!((would.kept, would.lost, would.after), (0, done.lost.clone(), done.after));
        assert_eq!(done.lost.iter().map(|lost| lost.count()).sum::<u64>(), if with_checkpoint { 3 } else { 2 });
        assert!(check(&store).ok, "{:?}", check(&store).damage);
        assert_eq!(store.collect(false).unwrap().blobs.removed, 0);
        let again = store.repair(session(1), segment(1), &options()).unwrap();
        assert_eq!(again.migration_id, None);
        append(&store, 1, &[7]).unwrap();
        assert!(check(&open_without_syncs(&folder)).ok);
    }
}

fn origin(n: u64, seq: u64) -> SegmentOrigin {
    SegmentOrigin { session_id: session(n), segment_id: segment(n), seq: Seq(seq), at_turn_index: 0 }
}

#[test]
fn a_session_that_is_gone_with_its_folder_is_told_and_given_up_by_a_repair() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    create(&store, 2);
    drop(store);
    fs::remove_dir_all(folder.root().join(session(1).to_string())).unwrap();
    let store = open_without_syncs(&folder);
    assert_eq!(told(&store), [(LOST, Some(segment(1)))]);
    assert!(is_damaged(&store.collect(false)));
    let done = store.repair(session(1), segment(1), &options()).unwrap();
    assert!(done.migration_id.is_some() && done.kept == 0);
    assert!(check(&store).ok, "{:?}", check(&store).damage);
    assert!(!look_up(&folder, 1).exists());
    assert!(matches!(store.repair(session(1), segment(1), &options()), Err(StoreError::NotFound(_))));
}

#[test]
fn a_session_without_any_log_is_told_and_can_be_deleted() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    drop(store);
    fs::remove_file(folder.log(1)).unwrap();
    fs::remove_file(look_up(&folder, 1)).unwrap();
    let store = open_without_syncs(&folder);
    assert_eq!(told(&store), [(LOST, None)]);
    assert!(is_damaged(&store.collect(true)));
    store.delete_session(session(1)).unwrap();
    assert!(check(&store).ok, "{:?}", check(&store).damage);
}

#[test]
fn a_lost_look_up_hides_nothing_from_who_names_the_session_and_is_made_again_by_a_repair() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    let forked = start(session(2), Some(origin(1, 1)));
    store.create_segment(session(2), segment(2), &[forked], &CreateOptions::default()).unwrap();
    drop(store);
    for n in [1, 2] {
        fs::remove_file(look_up(&folder, n)).unwrap();
    }
    fs::remove_dir_all(folder.root().join("by-origin")).unwrap();
    let store = open_without_syncs(&folder);
    append(&store, 1, &[1]).unwrap();
    assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), 2);
    let told = told(&store);
    assert!(told.iter().all(|(kind, _)| *kind == FindingKind::Projection), "{told:?}");
    assert_eq!(told.len(), 2);
    for n in [1, 2] {
        let would = store.repair(session(n), segment(n), &MaintenanceOptions { dry_run: true, ..options() }).unwrap();
        let done = store.repair(session(n), segment(n), &options()).unwrap();
        assert!(would.migration_id.is_some() && done.migration_id.is_some() && done.lost.is_empty());
    }
    assert!(check(&store).ok, "{:?}", check(&store).damage);
    assert_eq!(store.lookup_session_of(segment(2)).unwrap(), Some(session(2)));
    assert!(matches!(store.delete_session(session(1)), Err(StoreError::Referenced { .. })));
    assert_eq!(store.repair(session(1), segment(1), &options()).unwrap().migration_id, None);
}

/// What continued a segment was not seen where its look-up was lost, and the segment was deleted.
#[test]
fn a_child_whose_look_up_is_lost_keeps_what_it_continues() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    let forked = start(session(2), Some(origin(1, 1)));
    store.create_segment(session(2), segment(2), &[forked], &CreateOptions::default()).unwrap();
    fs::remove_file(look_up(&folder, 2)).unwrap();
    assert!(matches!(store.delete_session(session(1)), Err(StoreError::Referenced { .. })));
}

#[test]
fn without_any_look_ups_every_segment_is_found_and_none_is_made_twice() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    for n in 1..=3 {
        create(&store, n);
    }
    drop(store);
    fs::remove_dir_all(folder.root().join("by-segment")).unwrap();
    let store = open_without_syncs(&folder);
    for n in 1..=3 {
        assert_eq!(store.lookup_session_of(segment(n)).unwrap(), Some(session(n)));
    }
    let again = store.create_segment(session(9), segment(1), &[start(session(9), None)], &CreateOptions::default());
    assert!(matches!(again, Err(StoreError::AlreadyExists { session: holder, .. }) if holder == session(1)));
}

/// Makes and deletes, and lets logs roll over; every call may be the last.
fn work(store: &FsStore) -> Result<(), StoreError> {
    let make = |of: u64, n: u64, origin| {
        let entries = [start(session(of), origin), note(n)];
        store.create_segment(session(of), segment(n), &entries, &CreateOptions::default()).map(drop)
    };
    make(1, 1, None)?;
    make(1, 2, None)?;
    append(store, 1, &[1, 2, 3])?;
    append(store, 1, &[4, 5, 6])?;
    make(3, 3, Some(origin(1, 1)))?;
    store.delete_session(session(3))?;
    make(3, 4, None)?;
    store.delete_session(session(1))?;
    make(1, 5, None)
}

/// A look-up that a creation which was cut short had made would be told for ever as that of a log which is gone.
#[test]
fn who_dies_in_any_call_leaves_nothing_that_is_told_as_lost() {
    let mut deaths = 0;
    for calls in 1.. {
        let folder = Folder::new();
        let plan = Plan::dies_after(calls);
        let done = open_with(&folder, &plan, &in_parts(200)).and_then(|store| work(&store));
        for reader in [true, false] {
            if !folder.root().join("store.json").exists() {
                break;
            }
            let store = if reader { folder.open_read_only() } else { open_without_syncs(&folder) };
            let report = check(&store);
            assert!(report.ok, "death in call {calls}: {:?}", report.damage);
        }
        // Whoever comes next collects what the dead one listed: that is when it would become proof.
        for _ in 0..2 {
            let store = open_with(&folder, &Plan::faultless(), &in_parts(200)).unwrap();
            create(&store, 7);
            store.delete_session(session(7)).unwrap();
            drop(store);
            let store = open_without_syncs(&folder);
            let report = check(&store);
            assert!(report.ok, "after death in call {calls}: {:?}", report.damage);
            store.collect(false).unwrap();
        }
        if done.is_ok() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 100, "{deaths}");
}

/// The same where the process goes on: what it could not make it takes back when it is closed.
#[test]
fn a_creation_that_failed_leaves_nothing_that_is_told_as_lost() {
    for space in 0..600 {
        let folder = Folder::new();
        let plan = Plan::faultless();
        let store = open(&folder, &plan);
        create(&store, 1);
        plan.space.store(space, std::sync::atomic::Ordering::Relaxed);
        let made = store.create_segment(session(1), segment(2), &[start(session(1), None)], &CreateOptions::default());
        plan.space.store(u64::MAX, std::sync::atomic::Ordering::Relaxed);
        assert!(check(&store).ok, "with {space} bytes: {:?}", check(&store).damage);
        drop(store);
        let store = open_without_syncs(&folder);
        assert!(check(&store).ok, "with {space} bytes, closed: {:?}", check(&store).damage);
        if made.is_ok() {
            assert_eq!(store.lookup_session_of(segment(2)).unwrap(), Some(session(1)));
            return;
        }
    }
    panic!("there was never space enough");
}

#[test]
fn the_lines_that_say_what_is_about_to_be_made_and_rewritten_are_the_documented_ones() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    let bytes = fs::read(folder.log(1)).unwrap();
    fs::write(folder.log(1), [&bytes[..], b"x\n"].concat()).unwrap();
    drop(store);
    let store = open_without_syncs(&folder);
    create(&store, 2);
    assert!(store.repair(session(1), segment(1), &options()).unwrap().migration_id.is_some());
    let live = folder.root().join("live");
    let listed: String =
        fs::read_dir(live).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let line = |n: u64| format!(r#""session":"{}","segment":"{}""#, session(n), segment(n));
    assert!(listed.contains(&format!(r#"{},"new":true,"crc32c""#, line(2))), "{listed}");
    assert!(listed.contains(&format!(r#"{},"rewritten":true,"crc32c""#, line(1))), "{listed}");
    drop(store);
    let moved = fs::read_to_string(folder.root().join("changes.jsonl")).unwrap();
    assert!(moved.contains(&format!(r#"{},"rewritten":true"#, line(1))) && !moved.contains("new"), "{moved}");
}
