//! Who may read what the store makes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use store_core::{Backend as _, Store as _};
use store_sqlite::SqliteStore;

use crate::support::{Folder, SEGMENT, SESSION, fill};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn every_file_is_for_its_owner_alone() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 3);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&folder.beside(suffix)), 0o600, "{suffix:?}");
    }
    assert_eq!(folder.names(), ["store.db", "store.db-shm", "store.db-wal", "store.db.lock"]);
}

#[test]
fn folders_that_are_made_are_for_their_owner_alone() {
    let folder = Folder::new();
    let path = folder.path().join("a/b/store.db");
    fill(&SqliteStore::open(&path).unwrap(), 2);
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    assert_eq!(mode(&folder.path().join("a/b")), 0o700);
}

#[test]
fn names_that_mean_something_to_sqlite_are_just_names() {
    for name in [":memory:", "file:x?mode=memory", "a b%20#?.db", "é\u{2028}"] {
        let folder = Folder::new();
        let path = folder.path().join(name);
        fill(&SqliteStore::open(&path).unwrap(), 2);
        assert!(path.is_file(), "{name}");
        let reader = SqliteStore::open_read_only(&path).unwrap();
        assert_eq!(reader.read_entry_count(SESSION, SEGMENT).unwrap(), 2, "{name}");
    }
}

#[test]
fn the_store_says_what_it_is() {
    let folder = Folder::new();
    let info = folder.open().info();
    assert_eq!((info.scheme.as_str(), info.format_version, info.read_only), ("sqlite", 3, false));
    assert_eq!(Path::new(&info.location).file_name(), Some("store.db".as_ref()));
    assert_eq!(info.projection_path.unwrap().file_name(), Some("store.db.index".as_ref()));
    let info = SqliteStore::open_read_only(folder.database()).unwrap().info();
    assert_eq!((info.read_only, info.projection_path), (true, None));
}
