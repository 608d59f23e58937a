//! What may be opened, by whom, and what is left alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use store_core::{Backend as _, BlobRef, Fact, FactScope, Store, StoreError, TraceEntry};
use store_fs::FsStore;

use crate::support::{Folder, NOW, append, create, names, note_texts, options, segment, session, start, texts, tree};

fn write_header(root: &Path, format: u32, min_reader: u32, min_writer: u32) {
    let header = format!(
        r#"{{"format":{format},"min_reader":{min_reader},"min_writer":{min_writer},"created_at":1,"later":true}}"#
    );
    fs::write(root.join("store.json"), header).unwrap();
}

/// Every call that writes, on a store that has segment 1.
fn refusals(store: &FsStore) -> Vec<StoreError> {
    let fact = Fact { ts: NOW, domain: "title".into(), value: 1.into() };
    let trace = TraceEntry { ts: NOW, event: "e".into(), payload: 1.into() };
    let entries = [start(session(2), None)];
    vec![
        store.create_segment(session(2), segment(2), &entries, &Default::default()).unwrap_err(),
        append(store, 1, &[1]).unwrap_err(),
        store.append_trace(session(1), segment(1), &trace).unwrap_err(),
        store.put_fact(FactScope::Store, &fact).unwrap_err(),
        store.put_fact(FactScope::Session(session(1)), &fact).unwrap_err(),
        store.put_blob(b"x").unwrap_err(),
        store.delete_session(session(1)).unwrap_err(),
    ]
}

#[test]
fn a_store_is_made_where_there_is_nothing_and_in_an_empty_folder() {
    let folder = Folder::new();
    let deep = folder.root().join("a/b/c");
    let options = options();
    assert!(!FsStore::open(&deep, &options).unwrap().info().read_only);
    let empty = folder.root().join("empty");
    fs::create_dir(&empty).unwrap();
    FsStore::open(&empty, &options).unwrap();
    let header = fs::read_to_string(empty.join("store.json")).unwrap();
    assert_eq!(header, format!("{{\"format\":1,\"min_reader\":1,\"min_writer\":1,\"created_at\":{NOW}}}\n"));
}

#[test]
fn a_first_opening_that_was_cut_short_is_taken_up_again() {
    let folder = Folder::new();
    fs::create_dir(folder.root()).unwrap();
    for name in ["LOCK", "CREATE", ".new-0"] {
        fs::write(folder.root().join(name), b"").unwrap();
    }
    create(&folder.open(), 1);
    assert!(!names(&folder.root()).contains(&".new-0".to_owned()));
}

#[test]
fn a_folder_of_other_things_is_not_a_store_and_stays_as_it_is() {
    let folder = Folder::new();
    let root = folder.root();
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("LOCK"), b"somebody's").unwrap();
    fs::write(root.join("src/main.rs"), b"fn main() {}").unwrap();
    let before = tree(&root);
    for opened in [
        FsStore::open(&root, &options()),
        FsStore::open_exclusive(&root, &options()),
        FsStore::open_read_only(&root, &options()),
    ] {
        let refused = opened.unwrap_err();
        assert!(matches!(&refused, StoreError::NotAStore { path, .. } if *path == root), "{refused}");
    }
    assert_eq!(tree(&root), before);
}

#[test]
fn a_file_and_a_strange_header_are_not_stores() {
    let folder = Folder::new();
    let file = folder.root();
    fs::write(&file, b"text").unwrap();
    let refused = FsStore::open(&file, &options()).unwrap_err();
    assert!(matches!(refused, StoreError::NotAStore { .. }), "{refused}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::write(file.join("store.json"), br#"{"name":"a shop"}"#).unwrap();
    let refused = FsStore::open(&file, &options()).unwrap_err();
    assert!(matches!(refused, StoreError::NotAStore { .. }), "{refused}");
    assert_eq!(names(&file), ["store.json"]);
}

#[test]
fn reading_only_needs_a_store_and_makes_none() {
    let folder = Folder::new();
    let refused = FsStore::open_read_only(folder.root(), &options()).unwrap_err();
    assert!(matches!(&refused, StoreError::NoStore { path } if *path == folder.root()), "{refused}");
    assert!(!folder.root().exists());
    // An empty folder, and what a creation leaves that is cut short, are no store either.
    fs::create_dir(folder.root()).unwrap();
    for leftover in ["", "LOCK", "CREATE", ".new-00000000-0000-4000-8000-000000000000"] {
        if !leftover.is_empty() {
            fs::write(folder.root().join(leftover), b"").unwrap();
        }
        let refused = FsStore::open_read_only(folder.root(), &options()).unwrap_err();
        assert!(matches!(refused, StoreError::NoStore { .. }), "{leftover:?}: {refused}");
    }
    drop(folder.open());
    assert!(FsStore::open_read_only(folder.root(), &options()).is_ok());
}

#[test]
fn an_exclusive_handle_excludes_every_other_but_readers() {
    let folder = Folder::new();
    let shared = folder.open();
    create(&shared, 1);
    let refused = FsStore::open_exclusive(folder.root(), &options()).unwrap_err();
    assert!(matches!(&refused, StoreError::Locked { path } if path.ends_with("LOCK")), "{refused}");
    drop(shared);
    let exclusive = FsStore::open_exclusive(folder.root(), &options()).unwrap();
    append(&exclusive, 1, &[1]).unwrap();
    for opened in [FsStore::open(folder.root(), &options()), FsStore::open_exclusive(folder.root(), &options())] {
        let refused = opened.unwrap_err();
        assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    }
    assert_eq!(texts(&folder.open_read_only(), 1).unwrap(), note_texts(&[1]));
    drop(exclusive);
    append(&folder.open(), 1, &[2]).unwrap();
}

#[test]
fn a_read_only_handle_reads_everything_and_writes_nothing() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    append(&store, 1, &[1, 2]).unwrap();
    let blob = store.put_blob(b"bytes").unwrap().reference().clone();
    drop(store);
    let mut permissions = fs::metadata(folder.root()).unwrap().permissions();
    permissions.set_mode(0o500);
    fs::set_permissions(folder.root(), permissions.clone()).unwrap();
    let before = tree(&folder.root());

    let reader = folder.open_read_only();
    assert!(reader.info().read_only);
    assert_eq!(reader.info().projection_path, None);
    for refused in refusals(&reader) {
        assert!(matches!(refused, StoreError::ReadOnly), "{refused}");
    }
    assert_eq!(texts(&reader, 1).unwrap(), note_texts(&[1, 2]));
    assert_eq!(reader.get_blob(&blob).unwrap(), b"bytes");
    assert_eq!(reader.facts(FactScope::Session(session(1))).unwrap(), []);
    assert_eq!(reader.read_traces(session(1), segment(1)).unwrap(), []);
    assert_eq!(reader.changes(None).unwrap().segments, [(session(1), segment(1))]);
    assert_eq!(reader.lookup_session_of(segment(1)).unwrap(), Some(session(1)));
    drop(reader);
    assert_eq!(tree(&folder.root()), before);
    permissions.set_mode(0o700);
    fs::set_permissions(folder.root(), permissions).unwrap();
}

#[test]
fn a_read_only_handle_follows_a_living_writer() {
    let folder = Folder::new();
    let writer = folder.open();
    create(&writer, 1);
    let reader = folder.open_read_only();
    let cursor = reader.changes(None).unwrap().cursor;
    append(&writer, 1, &[1]).unwrap();
    assert_eq!(texts(&reader, 1).unwrap(), note_texts(&[1]));
    assert_eq!(reader.changes(Some(&cursor)).unwrap().segments, [(session(1), segment(1))]);
}

#[test]
fn a_newer_format_for_newer_readers_is_not_opened() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    write_header(&folder.root(), 9, 8, 9);
    let before = tree(&folder.root());
    for opened in [
        FsStore::open(folder.root(), &options()),
        FsStore::open_exclusive(folder.root(), &options()),
        FsStore::open_read_only(folder.root(), &options()),
    ] {
        let refused = opened.unwrap_err();
        assert!(matches!(refused, StoreError::UnsupportedVersion { found: 8, known: 1 }), "{refused}");
    }
    assert_eq!(tree(&folder.root()), before);
}

#[test]
fn a_newer_format_for_older_readers_is_read_and_never_written() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    drop(store);
    write_header(&folder.root(), 9, 1, 1);
    let before = tree(&folder.root());
    let store = folder.open();
    assert_eq!(store.info().format_version, 9);
    assert!(store.info().read_only);
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1]));
    for refused in refusals(&store) {
        assert!(matches!(refused, StoreError::UnsupportedVersion { found: 9, known: 1 }), "{refused}");
    }
    let refused = FsStore::open_exclusive(folder.root(), &options()).unwrap_err();
    assert!(matches!(refused, StoreError::UnsupportedVersion { found: 9, known: 1 }), "{refused}");
    drop(store);
    assert_eq!(tree(&folder.root()), before);
}

#[test]
fn a_link_in_place_of_a_log_is_refused() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    drop(store);
    let elsewhere = folder.root().with_file_name("elsewhere.jsonl");
    fs::rename(folder.log(1), &elsewhere).unwrap();
    symlink(&elsewhere, folder.log(1)).unwrap();
    let bytes = fs::read(&elsewhere).unwrap();
    let store = folder.open();
    for refused in [texts(&store, 1).map(drop), append(&store, 1, &[1]).map(drop)] {
        assert!(
            matches!(&refused, Err(StoreError::Corrupt(damage)) if damage.segment == Some(segment(1))),
            "{refused:?}"
        );
    }
    assert_eq!(store.list_segments(session(1)).unwrap(), [segment(1)], "damaged is not absent");
    assert_eq!(store.lookup_session_of(segment(1)).unwrap(), Some(session(1)));
    assert_eq!(fs::read(&elsewhere).unwrap(), bytes);
    store.delete_session(session(1)).unwrap();
    assert_eq!(fs::read(&elsewhere).unwrap(), bytes);
}

#[test]
fn a_link_in_place_of_a_session_is_not_followed() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    let (inside, elsewhere) = (folder.root().join(session(1).to_string()), folder.root().with_file_name("elsewhere"));
    fs::rename(&inside, &elsewhere).unwrap();
    symlink(&elsewhere, &inside).unwrap();
    let store = folder.open();
    assert_eq!(store.list_sessions().unwrap(), []);
    assert!(!store.exists(session(1)).unwrap());
    assert!(append(&store, 1, &[1]).is_err());
}

#[test]
fn a_link_in_place_of_the_roots_own_files_is_refused() {
    for name in ["store.json", "LOCK", "CREATE", "facts.jsonl"] {
        let folder = Folder::new();
        let store = folder.open();
        create(&store, 1);
        let fact = Fact { ts: NOW, domain: "title".into(), value: 1.into() };
        store.put_fact(FactScope::Store, &fact).unwrap();
        drop(store);
        let (inside, elsewhere) = (folder.root().join(name), folder.root().with_file_name("elsewhere"));
        fs::rename(&inside, &elsewhere).unwrap();
        symlink(&elsewhere, &inside).unwrap();
        let before = fs::read(&elsewhere).unwrap();
        let done = FsStore::open(folder.root(), &options()).and_then(|store| {
            store.put_fact(FactScope::Store, &fact)?;
            store.create_segment(session(2), segment(2), &[start(session(2), None)], &Default::default())
        });
        assert!(matches!(done, Err(StoreError::Io { .. })), "{name}: {done:?}");
        assert_eq!(fs::read(&elsewhere).unwrap(), before, "{name}");
    }
}

#[test]
fn a_link_in_place_of_the_roots_own_folders_takes_nothing() {
    for name in ["by-segment", "live"] {
        let folder = Folder::new();
        create(&folder.open(), 1);
        let (inside, elsewhere) = (folder.root().join(name), folder.root().with_file_name("elsewhere"));
        fs::rename(&inside, &elsewhere).unwrap();
        symlink(&elsewhere, &inside).unwrap();
        let before = tree(&elsewhere);
        let refused =
            folder.open().create_segment(session(2), segment(2), &[start(session(2), None)], &Default::default());
        assert!(matches!(refused, Err(StoreError::Io { .. })), "{name}: {refused:?}");
        assert_eq!(tree(&elsewhere), before, "{name}");
    }
}

#[test]
fn a_pipe_in_place_of_a_log_does_not_hang_a_reader() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    fs::remove_file(folder.log(1)).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.log(1), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let store = folder.open();
    assert!(texts(&store, 1).is_err());
    assert!(append(&store, 1, &[1]).is_err());
}

#[test]
fn files_and_folders_are_their_owners_alone() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    store.append_trace(session(1), segment(1), &TraceEntry { ts: 1, event: "e".into(), payload: 1.into() }).unwrap();
    store.put_fact(FactScope::Session(session(1)), &Fact { ts: 1, domain: "d".into(), value: 1.into() }).unwrap();
    store.put_blob(b"x").unwrap();
    let mut seen = 0;
    let mut folders = vec![folder.root()];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 9, "{seen} files");
}

#[test]
fn a_blob_that_went_bad_is_corrupt_until_its_bytes_are_put_again() {
    let folder = Folder::new();
    let store = folder.open();
    let reference: BlobRef = store.put_blob(b"some bytes").unwrap().reference().clone();
    let path = folder.root().join("blobs").join(&reference.sha256[..2]).join(&reference.sha256);
    for bad in [&b"same bytes"[..], b"some", b""] {
        fs::write(&path, bad).unwrap();
        let refused = store.get_blob(&reference).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
        store.put_blob(b"some bytes").unwrap();
        assert_eq!(store.get_blob(&reference).unwrap(), b"some bytes");
    }
}
