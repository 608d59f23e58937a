//! Handles beside each other: in threads, in processes, and those that want the store for themselves.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use store_core::{AppendOptions, ChangeCursor, Durability, Store as _, StoreError};
use store_sqlite::{OpenAs, SqliteOptions, SqliteStore};

use crate::support::{Folder, SEGMENT, SESSION, fill, input, quiet};

const CHILD: &str = "STORE_SQLITE_TEST_DATABASE";

/// The database that this process was started to write to, if it was started by a test.
fn told_to_write() -> Option<SqliteStore> {
    std::env::var_os(CHILD).map(|path| SqliteStore::open(path).unwrap())
}

/// Runs one test of this binary in a process of its own.
fn spawn(test: &str, folder: &Folder) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder.database())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn seqs(store: &SqliteStore) -> Vec<u64> {
    let records = store.read_range(SESSION, SEGMENT, store_core::Seq(0), usize::MAX).unwrap();
    records.iter().map(|record| record.position.seq.0).collect()
}

#[test]
fn processes_that_append_at_once_lose_nothing() {
    if let Some(store) = told_to_write() {
        for ts in 0..50 {
            store.append(SESSION, SEGMENT, &input(ts)).unwrap();
        }
        return;
    }
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    let children: Vec<Child> =
        (0..3).map(|_| spawn("handles::processes_that_append_at_once_lose_nothing", &folder)).collect();
    for ts in 0..50 {
        store.append(SESSION, SEGMENT, &input(ts)).unwrap();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(seqs(&store), (1..=201).collect::<Vec<u64>>());
}

#[test]
fn a_killed_process_leaves_what_was_acknowledged() {
    if let Some(store) = told_to_write() {
        for ts in 0.. {
            let options = AppendOptions { durability: Some(Durability::Buffered), ..AppendOptions::default() };
            let position = store.append_with(SESSION, SEGMENT, &[quiet(ts), quiet(ts)], &options).unwrap()[1];
            println!("acknowledged {}", position.seq);
        }
        return;
    }
    let folder = Folder::new();
    fill(&folder.open(), 1);
    let mut child = spawn("handles::a_killed_process_leaves_what_was_acknowledged", &folder);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = lines.filter_map(|line| line.rsplit_once("acknowledged ").map(|(_, seq)| seq.parse::<u64>()));
    let last = acknowledged.take(200).last().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let store = folder.open();
    let found = seqs(&store);
    let count = found.len() as u64;
    assert!(count >= last, "{last} were acknowledged, {count} are there");
    assert_eq!(count % 2, 1, "a call is there with both entries or not at all");
    assert_eq!(found, (1..=count).collect::<Vec<u64>>());
    assert_eq!(store.append(SESSION, SEGMENT, &input(1)).unwrap().seq.0, count + 1);
}

#[test]
fn threads_that_open_a_missing_store_at_once_get_the_same_one() {
    for _ in 0..10 {
        let folder = Folder::new();
        let cursors: Vec<String> = std::thread::scope(|scope| {
            let opened: Vec<_> =
                (0..8).map(|_| scope.spawn(|| folder.open().changes(None).unwrap().cursor.0)).collect();
            opened.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(cursors.iter().all(|cursor| *cursor == cursors[0]), "{cursors:?}");
    }
}

#[test]
fn of_creations_at_once_one_makes_the_store() {
    let folder = Folder::new();
    let made = std::thread::scope(|scope| {
        let created: Vec<_> = (0..8).map(|_| scope.spawn(|| SqliteStore::create(folder.database()).is_ok())).collect();
        created.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
}

#[test]
fn a_writer_that_does_not_finish_is_waited_for_within_bounds() {
    let folder = Folder::new();
    fill(&folder.open(), 1);
    let options = SqliteOptions { busy_timeout_ms: 50, ..SqliteOptions::default() };
    let store = SqliteStore::open_with(folder.database(), &options).unwrap();
    let other = folder.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    match store.append(SESSION, SEGMENT, &input(2)) {
        Err(StoreError::Busy { .. }) => {}
        other => panic!("{other:?}"),
    }
    let waited = begun.elapsed();
    assert!((Duration::from_millis(40)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    assert_eq!(store.read_entry_count(SESSION, SEGMENT).unwrap(), 1, "readers do not wait for a writer");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.append(SESSION, SEGMENT, &input(2)).unwrap().seq.0, 2);
}

#[test]
fn more_readers_than_connections_take_turns() {
    let folder = Folder::new();
    let options = SqliteOptions { readers_max: 1, ..SqliteOptions::default() };
    let store = SqliteStore::open_with(folder.database(), &options).unwrap();
    fill(&store, 20);
    let (done, waited) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (store, done) = (&store, done.clone());
            scope.spawn(move || {
                (0..20).for_each(|_| done.send(store.read_all(SESSION, SEGMENT).unwrap().len()).unwrap());
            });
        }
    });
    drop(done);
    assert_eq!(waited.iter().filter(|count| *count == 20).count(), 160);
}

#[track_caller]
fn assert_locked(result: store_core::Result<SqliteStore>) {
    match result {
        Err(StoreError::Locked { path }) => assert!(path.to_string_lossy().ends_with("store.db.lock"), "{path:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exclusive_handle_keeps_the_others_out() {
    let folder = Folder::new();
    let store = SqliteStore::open_exclusive(folder.database()).unwrap();
    fill(&store, 2);
    assert_locked(SqliteStore::open(folder.database()));
    assert_locked(SqliteStore::open_exclusive(folder.database()));
    let reader = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(reader.read_entry_count(SESSION, SEGMENT).unwrap(), 2);
    drop(store);
    assert_eq!(folder.open().read_entry_count(SESSION, SEGMENT).unwrap(), 2);
}

#[test]
fn a_store_that_is_open_cannot_be_opened_exclusively() {
    let folder = Folder::new();
    let store = folder.open();
    assert_locked(SqliteStore::open_exclusive(folder.database()));
    drop(store);
    SqliteStore::open_exclusive(folder.database()).unwrap();
}

#[test]
fn a_blob_that_is_not_referred_to_yet_keeps_collectors_out() {
    let folder = Folder::new();
    let store = folder.open();
    let guard = store.put_blob(b"bytes").unwrap();
    drop(store);
    assert_locked(SqliteStore::open_exclusive(folder.database()));
    drop(guard);
    SqliteStore::open_exclusive(folder.database()).unwrap();
}

#[test]
fn an_exclusive_handle_may_create_the_store() {
    let folder = Folder::new();
    let options = SqliteOptions { open_as: OpenAs::Exclusive, ..SqliteOptions::default() };
    fill(&SqliteStore::open_with(folder.database(), &options).unwrap(), 2);
    assert_eq!(folder.open().read_entry_count(SESSION, SEGMENT).unwrap(), 2);
}

#[test]
fn nothing_is_written_to_a_database_that_was_removed_or_replaced() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 2);
    std::fs::rename(folder.database(), folder.beside(".away")).unwrap();
    match store.append(SESSION, SEGMENT, &input(3)) {
        Err(StoreError::Io { source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
    std::fs::write(folder.database(), "something else").unwrap();
    match store.append(SESSION, SEGMENT, &input(3)) {
        Err(StoreError::NotAStore { .. }) => {}
        other => panic!("{other:?}"),
    }
    std::fs::rename(folder.beside(".away"), folder.database()).unwrap();
    assert_eq!(store.append(SESSION, SEGMENT, &input(3)).unwrap().seq.0, 3);
}

#[test]
fn a_cursor_of_another_store_or_of_nobody_means_everything() {
    let folders = [Folder::new(), Folder::new()];
    let stores = folders.each_ref().map(Folder::open);
    stores.iter().for_each(|store| fill(store, 2));
    let foreign = stores[1].changes(None).unwrap().cursor;
    let own = stores[0].changes(None).unwrap().cursor;
    assert!(stores[0].changes(Some(&own)).unwrap().segments.is_empty());
    let ahead = ChangeCursor(own.0.replace(':', ":9"));
    for cursor in [foreign, ahead, ChangeCursor("garbage".to_owned())] {
        let changes = stores[0].changes(Some(&cursor)).unwrap();
        assert_eq!(changes.segments, [(SESSION, SEGMENT)], "{cursor:?}");
    }
}

/// Appends to the segment that changed last keep its number: what tells them apart is the count in the cursor.
#[test]
fn an_append_that_keeps_its_segments_change_is_named_once() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 3);
    let number = || -> i64 { folder.raw().query_row("SELECT change FROM segments", [], |row| row.get(0)).unwrap() };
    let (before, first) = (number(), store.changes(None).unwrap().cursor);
    store.append(SESSION, SEGMENT, &input(4)).unwrap();
    assert_eq!(number(), before, "nothing else has changed meanwhile");
    let since = store.changes(Some(&first)).unwrap();
    assert_eq!(since.segments, [(SESSION, SEGMENT)]);
    assert_eq!(store.changes(Some(&since.cursor)).unwrap().segments, [], "it is not named again");
    // A cursor of version 1 has no count: the segment is named once more, and then not.
    let old = ChangeCursor(first.0.rsplit_once(':').unwrap().0.to_owned());
    let since = store.changes(Some(&old)).unwrap();
    assert_eq!(since.segments, [(SESSION, SEGMENT)]);
    assert_eq!(store.changes(Some(&since.cursor)).unwrap().segments, []);
}
