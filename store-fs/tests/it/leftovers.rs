//! What stopped calls leave beside the logs, and who clears it away.

use std::fs;

use store_core::Store as _;

use crate::faults::open_without_syncs;
use crate::support::{Folder, append, create, names, segment, session};

fn leftovers(folder: &std::path::Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.starts_with(".new-")).collect()
}

#[test]
fn what_was_being_made_is_cleared_away_before_the_next_creation() {
    let folder = Folder::new();
    create(&open_without_syncs(&folder), 1);
    let root = folder.root();
    fs::write(root.join(".new-1"), "half a log").unwrap();
    fs::create_dir(root.join(".new-2")).unwrap();
    fs::write(root.join(".new-2").join(format!("{}.jsonl", segment(2))), "half a log").unwrap();
    fs::write(root.join(".new-2").join("LOCK"), "").unwrap();
    drop(folder.open_read_only());
    let store = open_without_syncs(&folder);
    append(&store, 1, &[1]).unwrap();
    assert_eq!(leftovers(&root), [".new-1", ".new-2"], "a large store is listed by who makes nothing");
    create(&store, 3);
    assert_eq!(leftovers(&root), Vec::<String>::new());
    assert_eq!(store.list_sessions().unwrap(), [session(3), session(1)]);
    fs::write(root.join(".new-3"), "being made by somebody else").unwrap();
    store.delete_session(session(3)).unwrap();
    assert_eq!(leftovers(&root), [".new-3"], "a handle looks once");
    open_without_syncs(&folder).delete_session(session(1)).unwrap();
    assert_eq!(leftovers(&root), Vec::<String>::new());
}

#[test]
fn a_blob_that_was_being_put_is_cleared_away_unless_somebody_holds_blobs() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    let guard = store.put_blob(b"kept").unwrap();
    let blobs = folder.root().join("blobs");
    fs::write(blobs.join(".new-1"), "half a bl").unwrap();
    drop(open_without_syncs(&folder));
    assert_eq!(leftovers(&blobs), [".new-1"]);
    drop(guard);
    let store = open_without_syncs(&folder);
    assert_eq!(leftovers(&blobs), Vec::<String>::new());
    assert_eq!(store.put_blob(b"kept").unwrap().reference().bytes, 4);
}

#[test]
fn the_entry_of_a_dead_handle_is_moved_and_that_of_a_living_one_is_not() {
    let folder = Folder::new();
    let living = open_without_syncs(&folder);
    create(&living, 1);
    create(&living, 2);
    let cursor = living.changes(None).unwrap().cursor;
    let live = folder.root().join("live");
    let entry = names(&live).remove(0);
    // What a handle leaves that was killed: its entry, the last line of it torn, and no lock.
    let copy = "00000000-0000-4000-8000-000000000000";
    fs::write(live.join(copy), b"").unwrap();
    append(&living, 1, &[1]).unwrap();
    let changes = open_without_syncs(&folder).changes(Some(&cursor)).unwrap();
    assert_eq!(changes.segments.len(), 2);
    assert_eq!(names(&live), [entry]);
}

/// A damaged entry once kept all others in `live/`.
#[test]
fn a_damaged_entry_of_a_dead_handle_keeps_no_other_there_and_means_everything() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    let cursor = store.changes(None).unwrap().cursor;
    drop(store);
    let live = folder.root().join("live");
    let (first, damaged, last) = (
        "00000000-0000-4000-8000-000000000000",
        "50000000-0000-4000-8000-000000000000",
        "ffffffff-0000-4000-8000-000000000000",
    );
    for name in [first, last] {
        fs::write(live.join(name), "").unwrap();
    }
    fs::write(live.join(damaged), "{\"seq\":1,\"session\":\"?\",\"crc32c\":\"00000000\"}\n").unwrap();
    let changes = open_without_syncs(&folder).changes(Some(&cursor)).unwrap();
    assert_eq!(changes.segments, [(session(1), segment(1))]);
    assert_eq!(names(&live), [damaged]);
}

#[test]
fn entries_that_lead_to_no_log_say_nothing_and_are_taken_over() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    let id = segment(2).to_string();
    let by_segment = folder.root().join("by-segment").join(&id[id.len() - 2..]);
    fs::create_dir_all(&by_segment).unwrap();
    fs::write(by_segment.join(&id), format!("{}\n", session(7))).unwrap();
    let by_origin = folder.root().join("by-origin").join(segment(1).to_string());
    fs::create_dir_all(&by_origin).unwrap();
    fs::write(by_origin.join(&id), "").unwrap();
    let store = open_without_syncs(&folder);
    assert_eq!(store.lookup_session_of(segment(2)).unwrap(), None);
    create(&store, 2);
    assert_eq!(store.lookup_session_of(segment(2)).unwrap(), Some(session(2)));
    // The child that never was does not keep its origin's session.
    store.delete_session(session(1)).unwrap();
}
