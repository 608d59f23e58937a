//! Power losses that once took what was promised, each told by itself.

use std::path::Path;
use std::sync::Arc;

use store_core::{
    AppendOptions, CreateOptions, Durability, Fact, FactScope, NewEntry, Result, SegmentOrigin, Seq, Store as _,
};
use store_fs::simulate::{Fault, Loss, SimDisk};
use store_fs::{FsStore, OpenAs};

use crate::support::{NOW, note, options, segment, session, start};

fn open(disk: &SimDisk) -> Result<FsStore> {
    FsStore::open_on(Arc::new(disk.start_process()), Path::new("/home/store"), OpenAs::Shared, &options())
}

fn create(store: &FsStore, n: u64) -> Result<()> {
    store.create_segment(session(n), segment(n), &[start(session(n), None)], &CreateOptions::default()).map(|_| ())
}

fn append(store: &FsStore, n: u64, durability: Durability) -> Result<()> {
    let call = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
    store.append_with(session(n), segment(n), &[note(n)], &call).map(|_| ())
}

fn put_fact(store: &FsStore, scope: FactScope) -> Result<()> {
    store.put_fact(scope, &Fact { ts: NOW, domain: "title".into(), value: 1.into() })
}

fn make_everything(store: &FsStore, blob: &[u8]) -> Result<()> {
    create(store, 1)?;
    put_fact(store, FactScope::Session(session(1)))?;
    put_fact(store, FactScope::Store)?;
    store.put_blob(blob).map(|_| ())
}

/// A name made by a process that died before it synced the folder was never synced by those who went on with it, and
/// what they acknowledged as synced was lost with the name: the store's folder, a session, a side log, a folder of blobs.
#[test]
fn what_is_acknowledged_behind_a_name_of_a_dead_process_survives_a_power_loss() {
    for call in 1.. {
        let disk = SimDisk::new();
        disk.plan(call, vec![(call, Fault::Death)]);
        let first = open(&disk).and_then(|store| make_everything(&store, b"blob"));
        let store = open(&disk).unwrap();
        if store.exists(session(1)).unwrap() {
            append(&store, 1, Durability::Synced).unwrap();
        } else {
            create(&store, 1).unwrap();
        }
        let count = store.read_entry_count(session(1), segment(1)).unwrap();
        for scope in [FactScope::Session(session(1)), FactScope::Store] {
            // An empty log of facts that was opened to be read was once taken for one whose name is safe.
            store.facts(scope).unwrap();
            put_fact(&store, scope).unwrap();
        }
        let blob = store.put_blob(b"blob").unwrap();
        let after = open(&disk.crash(Loss::Everything, 0)).unwrap();
        assert_eq!(after.lookup_session_of(segment(1)).unwrap(), Some(session(1)), "death in call {call}");
        assert_eq!(after.read_entry_count(session(1), segment(1)).unwrap(), count, "death in call {call}");
        assert!(!after.facts(FactScope::Session(session(1))).unwrap().is_empty(), "death in call {call}");
        assert!(!after.facts(FactScope::Store).unwrap().is_empty(), "death in call {call}");
        assert_eq!(after.get_blob(blob.reference()).unwrap(), b"blob", "death in call {call}");
        if first.is_ok() {
            break;
        }
    }
}

/// A process died between the rename that deletes a session and its sync; the next one removed what led to the session's
/// segments, and the power loss brought the session back without it.
#[test]
fn a_deletion_that_comes_back_has_all_that_led_to_it() {
    let before = SimDisk::new();
    make_everything(&open(&before).unwrap(), b"blob").unwrap();
    for call in 1.. {
        let disk = before.crash(Loss::Nothing, 0);
        disk.plan(call, vec![(call, Fault::Death)]);
        let deleted = open(&disk).and_then(|store| store.delete_session(session(1)));
        drop(open(&disk).unwrap());
        for seed in 0..20 {
            let after = open(&disk.crash(Loss::Torn, seed)).unwrap();
            let listed = after.list_sessions().unwrap().first().copied();
            assert_eq!(after.lookup_session_of(segment(1)).unwrap(), listed, "death in call {call}");
        }
        if deleted.is_ok() {
            break;
        }
    }
}

/// A closed handle's list stood behind every cursor while its buffered entries were not on stable storage: when they were
/// lost, nobody who had seen them was told.
#[test]
fn entries_that_a_power_loss_takes_back_are_named_to_who_has_seen_them() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    create(&store, 1).unwrap();
    append(&store, 1, Durability::Buffered).unwrap();
    drop(store);
    let watcher = open(&disk).unwrap();
    let cursor = watcher.changes(None).unwrap().cursor;
    let seen = watcher.read_entry_count(session(1), segment(1)).unwrap();
    let after = open(&disk.crash(Loss::Everything, 0)).unwrap();
    let is_named = after.changes(Some(&cursor)).unwrap().segments.contains(&(session(1), segment(1)));
    assert!(is_named || after.read_entry_count(session(1), segment(1)).unwrap() == seen);
}

/// A handle that was open already took over what led to a segment whose deletion its maker had not synced; the power loss brought the
/// session back, and the way to it led elsewhere.
#[test]
fn what_led_to_a_deleted_segment_is_taken_over_only_when_the_deletion_lasts() {
    let before = SimDisk::new();
    create(&open(&before).unwrap(), 1).unwrap();
    for call in 1.. {
        let disk = before.crash(Loss::Nothing, 0);
        let second = open(&disk).unwrap();
        disk.plan(call, vec![(disk.calls() + call, Fault::Death)]);
        let deleted = open(&disk).and_then(|store| store.delete_session(session(1)));
        let entries = [start(session(2), None)];
        let _ = second.create_segment(session(2), segment(1), &entries, &CreateOptions::default());
        for seed in 0..20 {
            let after = open(&disk.crash(Loss::Torn, seed)).unwrap();
            for listed in after.list_sessions().unwrap() {
                assert_eq!(after.list_segments(listed).unwrap(), [segment(1)]);
                assert_eq!(after.lookup_session_of(segment(1)).unwrap(), Some(listed), "death in call {call}");
            }
        }
        if deleted.is_ok() {
            break;
        }
    }
}

/// The sync of a deletion failed, and the session that the deleted one had continued was deleted next; the power loss took back the
/// first deletion alone.
#[test]
fn a_session_goes_only_when_the_deletion_of_those_that_continued_it_lasts() {
    let before = SimDisk::new();
    let store = open(&before).unwrap();
    create(&store, 1).unwrap();
    let origin = SegmentOrigin { session_id: session(1), segment_id: segment(1), seq: Seq(1), at_turn_index: 0 };
    let entries = [start(session(2), Some(origin))];
    store.create_segment(session(2), segment(2), &entries, &CreateOptions::default()).unwrap();
    drop(store);
    for call in 1.. {
        let disk = before.crash(Loss::Nothing, 0);
        let store = open(&disk).unwrap();
        disk.plan(call, vec![(disk.calls() + call, Fault::Refused)]);
        let deleted = store.delete_session(session(2));
        let _ = store.delete_session(session(1));
        for seed in 0..20 {
            let sessions = open(&disk.crash(Loss::Torn, seed)).unwrap().list_sessions().unwrap();
            assert_ne!(sessions, [session(2)], "call {call} refused");
        }
        if deleted.is_ok() {
            break;
        }
    }
}

/// A cursor that stood on lines of `changes.jsonl` which a power loss took means everything; that is also what was deleted.
#[test]
fn a_deletion_is_named_also_to_who_comes_with_a_cursor_that_fits_no_more() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    create(&store, 1).unwrap();
    create(&store, 2).unwrap();
    store.delete_session(session(1)).unwrap();
    drop(store);
    let unknown = store_core::ChangeCursor("999:00000000".to_owned());
    let changes = open(&disk).unwrap().changes(Some(&unknown)).unwrap();
    assert_eq!(changes.sessions, [session(1), session(2)]);
}

/// A call whose entry has so many bytes of padding.
fn append_padded(store: &FsStore, bytes: usize) -> Result<()> {
    let entry = NewEntry::text(format!(r#"{{"kind":"note","ts":{NOW},"pad":"{}"}}"#, "x".repeat(bytes)));
    let call = AppendOptions { durability: Some(Durability::Buffered), ..AppendOptions::default() };
    store.append_with(session(1), segment(1), &[entry], &call).map(|_| ())
}

/// A store whose one log ends `bytes` behind where it would with an empty last entry.
fn padded(bytes: usize) -> (SimDisk, FsStore, usize) {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    create(&store, 1).unwrap();
    append_padded(&store, bytes).unwrap();
    let log = format!("/home/store/{}/{}.jsonl", session(1), segment(1));
    let length = disk.tree()[Path::new(&log)].as_ref().map_or(0, Vec::len);
    (disk, store, length)
}

/// The medium took a part of a call, and the rest by a second write. Of that the power loss took only what shared a sector with the first,
/// seven bytes at the most, which is too little to be known from damage.
#[test]
fn a_call_that_the_medium_took_a_part_of_leaves_a_hole_or_nothing_and_no_damage() {
    let sector = 512;
    let (.., empty) = padded(0);
    let padding = 2 * sector - 8 - empty % sector;
    for seed in 0..100 {
        let (disk, store, length) = padded(padding);
        assert_eq!(length % sector, sector - 8);
        disk.plan(seed, vec![(disk.calls() + 1, Fault::Short)]);
        append_padded(&store, 20).unwrap();
        append_padded(&store, 1000).unwrap();
        assert_eq!(disk.faulted(), 1);
        for crash in 0..10 {
            let after = open(&disk.crash(Loss::Sectors, crash)).unwrap();
            let read = after.read_all(session(1), segment(1));
            assert!(read.is_ok(), "a short write by seed {seed}, crash {crash}: {read:?}");
        }
    }
}
