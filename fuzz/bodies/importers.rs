//! Files as agents leave them, and as nobody ever wrote them.

use session_store::import::{Agent, ImportOptions, Importer};
use session_store::index::Index;
use store_core::{MemoryStore, Store as _};

/// How many entries each segment has.
fn counts(store: &MemoryStore) -> Vec<usize> {
    let sessions = store.list_sessions().expect("sessions are listed");
    let segments = sessions.iter().flat_map(|session| {
        let segments = store.list_segments(*session).expect("segments are listed");
        segments.into_iter().map(|segment| (*session, segment)).collect::<Vec<_>>()
    });
    segments
        .map(|(session, segment)| store.read_all(session, segment).expect("what was imported is read").len())
        .collect()
}

/// An import of any bytes ends with a report, and the same bytes again add nothing.
pub(crate) fn import(agent: Agent, data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("0199aaaa-0000-7000-8000-000000000001.jsonl");
    std::fs::write(&path, data).expect("the file is written");
    let store = MemoryStore::new();
    let index = Index::open(&store).expect("an index in memory opens");
    let importer = Importer { store: &store, index: &index, now: 1_764_000_000_000 };
    let options = ImportOptions { from: Some(agent), ..ImportOptions::default() };
    let paths = [path];
    let first = importer.run(&paths, &options, &mut |_| ()).expect("a file never fails the run");
    // Sub-agents among its records are reported with it.
    assert!(!first.sessions.is_empty(), "the file is reported");
    let imported = counts(&store);
    let again = importer.run(&paths, &options, &mut |_| ()).expect("a file never fails the run");
    assert_eq!((again.imported, again.updated, again.entries), (0, 0, 0), "the same file has something new");
    assert_eq!(counts(&store), imported, "the same file adds something");
}
