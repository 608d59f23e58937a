//! Stores to test with.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store_core::{
    LogEntry, NewEntry, SegmentId, SegmentMeta, SegmentStart, SessionConfig, SessionId, Store as _, UserInput,
};
use store_sqlite::SqliteStore;
use tempfile::TempDir;

/// A folder with the place for a database in it.
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// The file beside the database with this suffix.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("store.db{suffix}"))
    }

    pub(crate) fn open(&self) -> SqliteStore {
        SqliteStore::open(self.database()).unwrap()
    }

    /// The database as any other program would open it.
    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// The names of the files in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// One session with one segment, always the same.
pub(crate) const SESSION: SessionId = SessionId::from_bytes([0x01; 16]);
pub(crate) const SEGMENT: SegmentId = SegmentId::from_bytes([0x02; 16]);

pub(crate) fn start(session: SessionId) -> NewEntry {
    NewEntry::typed(LogEntry::SegmentStart(Box::new(SegmentStart {
        ts: 1,
        session_id: session,
        system_prompt: None,
        config: SessionConfig::default(),
        history: Vec::new(),
        forked_from: None,
        compacted_from: None,
        meta: SegmentMeta::default(),
    })))
}

pub(crate) fn input(ts: u64) -> LogEntry {
    LogEntry::UserInput(UserInput { ts, content: Vec::new() })
}

/// An entry that the policy does not sync.
pub(crate) fn quiet(ts: u64) -> NewEntry {
    NewEntry::text(format!(r#"{{"kind":"test.quiet","ts":{ts}}}"#))
}

/// Makes the one segment with `entry_count` entries.
pub(crate) fn fill(store: &SqliteStore, entry_count: u64) {
    let mut entries = vec![start(SESSION)];
    entries.extend((2..=entry_count).map(|ts| NewEntry::typed(input(ts))));
    store.create_segment(SESSION, SEGMENT, &entries, &store_core::CreateOptions::default()).unwrap();
}
