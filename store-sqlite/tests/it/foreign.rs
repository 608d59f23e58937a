//! What is not a store of ours is refused, and stays as it is.

use std::os::unix::fs::symlink;

use rusqlite::Connection;
use store_core::{Store as _, StoreError};
use store_sqlite::SqliteStore;

use crate::support::{Folder, SEGMENT, SESSION, fill, input};

type Opener = fn(&Folder) -> store_core::Result<SqliteStore>;

const OPENERS: [(&str, Opener); 3] = [
    ("open", |folder| SqliteStore::open(folder.database())),
    ("open_exclusive", |folder| SqliteStore::open_exclusive(folder.database())),
    ("open_read_only", |folder| SqliteStore::open_read_only(folder.database())),
];

/// Every way of opening what `make` made answers `NotAStore` and leaves every byte of the folder as it was.
#[track_caller]
fn refused_untouched(make: impl Fn(&Folder)) {
    for (name, open) in OPENERS {
        let folder = Folder::new();
        make(&folder);
        let names = folder.names();
        let bytes = std::fs::read(folder.database()).ok();
        match open(&folder) {
            Err(StoreError::NotAStore { .. }) => {}
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(folder.names(), names, "{name} must not leave a file behind");
        assert!(std::fs::read(folder.database()).ok() == bytes, "{name} must not change the file");
    }
}

#[test]
fn a_database_of_another_program_is_refused_untouched() {
    refused_untouched(|folder| {
        let other = folder.raw();
        other.pragma_update(None, "application_id", 0x1234_5678).unwrap();
        other.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    });
}

#[test]
fn a_database_that_names_no_program_is_refused_untouched() {
    refused_untouched(|folder| folder.raw().execute_batch("CREATE TABLE theirs (x)").unwrap());
}

#[test]
fn a_write_ahead_database_of_another_program_is_refused_untouched() {
    refused_untouched(|folder| {
        let other = folder.raw();
        other.pragma_update(None, "journal_mode", "WAL").unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    });
}

#[test]
fn a_database_with_our_tables_and_another_application_id_is_refused_untouched() {
    refused_untouched(|folder| {
        fill(&folder.open(), 2);
        folder.raw().pragma_update(None, "application_id", 7).unwrap();
        std::fs::remove_file(folder.beside(".lock")).unwrap();
    });
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    for content in ["x", "{\"kind\":\"user_input\"}\n", &"SQLite format 4\0".repeat(400)] {
        refused_untouched(|folder| std::fs::write(folder.database(), content).unwrap());
    }
}

#[test]
fn a_folder_in_its_place_is_refused_untouched() {
    refused_untouched(|folder| std::fs::create_dir(folder.database()).unwrap());
}

#[test]
fn a_symbolic_link_in_its_place_is_refused_untouched() {
    let target = Folder::new();
    fill(&target.open(), 2);
    refused_untouched(|folder| symlink(target.database(), folder.database()).unwrap());
    refused_untouched(|folder| symlink(folder.path().join("nowhere"), folder.database()).unwrap());
}

#[test]
fn a_symbolic_link_beside_it_is_refused() {
    for suffix in ["-wal", "-shm", "-journal", ".lock"] {
        let folder = Folder::new();
        drop(folder.open());
        let target = folder.path().join("target");
        std::fs::write(&target, "precious").unwrap();
        let link = folder.beside(suffix);
        std::fs::remove_file(&link).ok();
        symlink(&target, &link).unwrap();
        match SqliteStore::open(folder.database()) {
            Err(StoreError::NotAStore { path, .. }) => assert_eq!(path.file_name(), link.file_name()),
            other => panic!("{suffix}: {other:?}"),
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious", "{suffix}");
    }
}

#[test]
fn an_empty_file_becomes_a_store() {
    let folder = Folder::new();
    std::fs::write(folder.database(), "").unwrap();
    fill(&folder.open(), 2);
    assert_eq!(folder.open().read_entry_count(SESSION, SEGMENT).unwrap(), 2);
}

#[test]
fn a_log_whose_database_is_missing_is_not_played_into_a_new_one() {
    let folder = Folder::new();
    std::fs::write(folder.beside("-wal"), "the last commits of something").unwrap();
    match SqliteStore::open(folder.database()) {
        Err(StoreError::NotAStore { path, .. }) => assert_eq!(path.file_name(), folder.beside("-wal").file_name()),
        other => panic!("{other:?}"),
    }
    assert_eq!(folder.names(), ["store.db-wal", "store.db.lock"]);
}

#[test]
fn what_an_attempt_to_create_it_left_is_cleared_away() {
    let folder = Folder::new();
    std::fs::write(folder.beside(".new"), "half a database").unwrap();
    std::fs::write(folder.beside(".new-journal"), "and its journal").unwrap();
    fill(&folder.open(), 2);
    assert_eq!(folder.names(), ["store.db", "store.db.lock"]);
}

#[test]
fn create_refuses_what_is_there() {
    let folder = Folder::new();
    fill(&SqliteStore::create(folder.database()).unwrap(), 2);
    match SqliteStore::create(folder.database()) {
        Err(StoreError::Io { source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists),
        other => panic!("{other:?}"),
    }
    assert_eq!(folder.open().read_entry_count(SESSION, SEGMENT).unwrap(), 2);
}

#[test]
fn a_missing_store_is_not_made_by_reading() {
    let folder = Folder::new();
    for missing in [folder.database(), folder.path().join("nowhere/store.db")] {
        match SqliteStore::open_read_only(&missing) {
            Err(StoreError::NoStore { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(folder.names().is_empty());
}

/// A store that says that a newer program changed its format.
fn newer(min_reader: u32) -> Folder {
    let folder = Folder::new();
    fill(&folder.open(), 2);
    let raw: Connection = folder.raw();
    raw.pragma_update(None, "user_version", 9).unwrap();
    raw.execute("UPDATE store SET min_reader = ?1", [min_reader]).unwrap();
    folder
}

#[test]
fn a_newer_version_is_not_written_and_not_touched() {
    let folder = newer(1);
    let bytes = std::fs::read(folder.database()).unwrap();
    for (name, open) in &OPENERS[..2] {
        match open(&folder) {
            Err(StoreError::UnsupportedVersion { found: 9, known: 3 }) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(std::fs::read(folder.database()).unwrap() == bytes, "the file must not change");
}

#[test]
fn a_newer_version_that_lets_us_read_is_read() {
    let folder = newer(1);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    assert_eq!(store.read_all(SESSION, SEGMENT).unwrap().len(), 2);
    match store.append(SESSION, SEGMENT, &input(3)) {
        Err(StoreError::ReadOnly) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newer_version_that_does_not_let_us_read_is_not_read() {
    match SqliteStore::open_read_only(newer(4).database()) {
        Err(StoreError::UnsupportedVersion { found: 9, known: 3 }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newer_version_that_stands_in_the_log_only_is_noticed() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 2);
    folder.raw().pragma_update(None, "user_version", 9).unwrap();
    match SqliteStore::open(folder.database()) {
        Err(StoreError::UnsupportedVersion { found: 9, known: 3 }) => {}
        other => panic!("{other:?}"),
    }
}
