//! Opened for reading: nothing is written, whatever state the files are in.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use store_core::{CreateOptions, Fact, FactScope, SegmentId, Store as _, StoreError, TraceEntry};
use store_sqlite::SqliteStore;

use crate::support::{Folder, SEGMENT, SESSION, fill, input, start};

/// Name, size and time of every file in the folder.
fn state(folder: &Folder) -> BTreeMap<String, (u64, SystemTime)> {
    let look = |name: String| {
        let found = std::fs::metadata(folder.path().join(&name)).unwrap();
        (name, (found.len(), found.modified().unwrap()))
    };
    folder.names().into_iter().map(look).collect()
}

fn count(store: &SqliteStore) -> u64 {
    assert_eq!(store.list_sessions().unwrap(), [SESSION]);
    let count = store.read_entry_count(SESSION, SEGMENT).unwrap();
    assert_eq!(store.read_all(SESSION, SEGMENT).unwrap().len() as u64, count);
    count
}

/// The files of a store with three entries whose process died, but for those with these suffixes.
fn left_by_a_dead_process(without: &[&str]) -> Folder {
    let alive = Folder::new();
    let store = alive.open();
    fill(&store, 3);
    let dead = Folder::new();
    for suffix in ["", "-wal", "-shm", ".lock"] {
        if !without.contains(&suffix) {
            std::fs::copy(alive.beside(suffix), dead.beside(suffix)).unwrap();
        }
    }
    dead
}

#[test]
fn a_closed_store_is_read_without_a_file_beside_it() {
    let folder = Folder::new();
    fill(&folder.open(), 3);
    std::fs::remove_file(folder.beside(".lock")).unwrap();
    let before = state(&folder);
    assert_eq!(before.keys().collect::<Vec<_>>(), ["store.db"]);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(count(&store), 3);
    drop(store);
    assert_eq!(state(&folder), before);
}

#[test]
fn a_store_that_is_open_elsewhere_is_read_without_disturbing_it() {
    let folder = Folder::new();
    let writer = folder.open();
    fill(&writer, 3);
    let before = state(&folder);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(count(&store), 3);
    drop(store);
    assert_eq!(state(&folder), before);
    assert_eq!(writer.append(SESSION, SEGMENT, &input(4)).unwrap().seq.0, 4);
}

#[test]
fn a_store_whose_process_died_is_read_with_its_last_commits() {
    let folder = left_by_a_dead_process(&[]);
    let before = state(&folder);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(count(&store), 3);
    drop(store);
    assert_eq!(state(&folder), before);
}

#[test]
fn a_log_without_its_index_is_read_with_its_last_commits() {
    let folder = left_by_a_dead_process(&["-shm", ".lock"]);
    let before = state(&folder);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(count(&store), 3);
    drop(store);
    assert_eq!(state(&folder), before);
    let writer = folder.open();
    assert_eq!(count(&writer), 3);
    assert_eq!(writer.append(SESSION, SEGMENT, &input(4)).unwrap().seq.0, 4);
}

/// Nobody may write to the folder or its files. (The system lets root all the same; then the files tell.)
#[test]
fn a_folder_that_takes_no_writes_is_read() {
    let closed = Folder::new();
    fill(&closed.open(), 3);
    let folders = [closed, left_by_a_dead_process(&[]), left_by_a_dead_process(&["-shm"])];
    for folder in folders {
        for name in folder.names() {
            set_mode(&folder.path().join(name), 0o400);
        }
        set_mode(folder.path(), 0o500);
        let before = state(&folder);
        let store = SqliteStore::open_read_only(folder.database()).unwrap();
        assert_eq!(count(&store), 3, "{before:?}");
        assert_eq!(state(&folder), before);
        set_mode(folder.path(), 0o700);
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_others_write_is_seen_in_every_state_of_the_files() {
    let folder = Folder::new();
    fill(&folder.open(), 1);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(count(&store), 1);
    for round in 0..5 {
        let writer = folder.open();
        writer.append(SESSION, SEGMENT, &input(1)).unwrap();
        assert_eq!(count(&store), round * 2 + 2, "while the writer is there");
        writer.append(SESSION, SEGMENT, &input(2)).unwrap();
        drop(writer);
        assert_eq!(count(&store), round * 2 + 3, "after it has gone");
    }
}

/// SQLite opens the index of a log once for all connections of a process, as the first of them may use it.
#[test]
fn a_store_is_written_beside_who_read_first_what_a_dead_process_left() {
    let folder = left_by_a_dead_process(&[]);
    let reader = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(count(&reader), 3);
    let writer = folder.open();
    for expected in 4..7 {
        assert_eq!(writer.append(SESSION, SEGMENT, &input(4)).unwrap().seq.0, expected);
        assert_eq!(count(&reader), expected);
    }
}

#[test]
fn readers_beside_writers_that_come_and_go_never_see_less_than_before() {
    let folder = Folder::new();
    fill(&folder.open(), 1);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for ts in 0..60 {
                folder.open().append(SESSION, SEGMENT, &input(ts)).unwrap();
            }
        });
        let mut seen = 0;
        while !writer.is_finished() {
            let entries = store.read_all(SESSION, SEGMENT).unwrap().len();
            assert!(entries >= seen, "{entries} after {seen}");
            seen = entries;
        }
    });
    assert_eq!(count(&store), 61);
}

#[test]
fn every_write_is_refused() {
    let folder = Folder::new();
    fill(&folder.open(), 2);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    let fact = Fact { ts: 1, domain: "title".to_owned(), value: "t".into() };
    let trace = TraceEntry { ts: 1, event: "e".to_owned(), payload: serde_json::Value::Null };
    let other = SegmentId::from_bytes([9; 16]);
    let refused = [
        store.append(SESSION, SEGMENT, &input(3)).map(drop),
        store.create_segment(SESSION, other, &[start(SESSION)], &CreateOptions::default()).map(drop),
        store.append_trace(SESSION, SEGMENT, &trace),
        store.put_fact(FactScope::Store, &fact),
        store.put_fact(FactScope::Session(SESSION), &fact),
        store.put_blob(b"bytes").map(drop),
        store.delete_session(SESSION),
    ];
    for (at, result) in refused.into_iter().enumerate() {
        match result {
            Err(StoreError::ReadOnly) => {}
            other => panic!("write {at}: {other:?}"),
        }
    }
}
