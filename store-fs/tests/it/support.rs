//! What the tests share: a folder, ids, and entries that are told apart by a number.

use std::path::{Path, PathBuf};

use store_core::{
    AppendOptions, CreateOptions, Durability, LogEntry, NewEntry, Position, Result, SegmentId, SegmentOrigin,
    SegmentStart, Seq, SessionId, Store,
};
use store_fs::{FsOptions, FsStore};
use tempfile::TempDir;

/// The time of everything that has one.
pub(crate) const NOW: u64 = 1_764_000_000_000;

/// A folder for one store, gone with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The store's root, which is not there yet.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().join("store")
    }

    pub(crate) fn open(&self) -> FsStore {
        FsStore::open(self.root(), &options()).unwrap()
    }

    pub(crate) fn open_read_only(&self) -> FsStore {
        FsStore::open_read_only(self.root(), &options()).unwrap()
    }

    pub(crate) fn log(&self, n: u64) -> PathBuf {
        self.root().join(session(n).to_string()).join(format!("{}.jsonl", segment(n)))
    }

    /// A part of segment `n`'s log.
    pub(crate) fn part(&self, n: u64, part: u32) -> PathBuf {
        if part == 1 { self.log(n) } else { self.log(n).with_extension(format!("{part}.jsonl")) }
    }

    pub(crate) fn quarantine(&self, n: u64) -> PathBuf {
        self.root().join(session(n).to_string()).join("quarantine")
    }
}

pub(crate) fn options() -> FsOptions {
    FsOptions::at(NOW)
}

/// The options of a store whose logs go on in a new part after so many bytes.
pub(crate) fn in_parts(max_part_bytes: u64) -> FsOptions {
    FsOptions { max_part_bytes, ..options() }
}

pub(crate) fn session(n: u64) -> SessionId {
    SessionId::derive(NOW + n, format!("session {n}").as_bytes())
}

pub(crate) fn segment(n: u64) -> SegmentId {
    SegmentId::derive(NOW + n, format!("segment {n}").as_bytes())
}

pub(crate) fn start(session: SessionId, origin: Option<SegmentOrigin>) -> NewEntry {
    let start = SegmentStart { forked_from: origin, ..SegmentStart::new(session, NOW) };
    NewEntry::typed(LogEntry::SegmentStart(Box::new(start)))
}

pub(crate) fn note_text(n: u64) -> String {
    format!(r#"{{"kind":"note","ts":{},"n":{n}}}"#, NOW + n)
}

pub(crate) fn note(n: u64) -> NewEntry {
    NewEntry::text(note_text(n))
}

/// Makes segment `n` of session `n`, with its start alone.
pub(crate) fn create(store: &FsStore, n: u64) -> Position {
    let entries = [start(session(n), None)];
    store.create_segment(session(n), segment(n), &entries, &CreateOptions::default()).unwrap()[0]
}

/// Appends one call of notes to segment `n`.
pub(crate) fn append(store: &FsStore, n: u64, notes: &[u64]) -> Result<Vec<Position>> {
    let entries: Vec<NewEntry> = notes.iter().map(|n| note(*n)).collect();
    store.append_with(session(n), segment(n), &entries, &AppendOptions::default())
}

/// Appends one call of notes to segment `n` and waits until it is on stable storage.
pub(crate) fn append_synced(store: &FsStore, n: u64, notes: &[u64]) -> Result<Vec<Position>> {
    let entries: Vec<NewEntry> = notes.iter().map(|n| note(*n)).collect();
    let options = AppendOptions { durability: Some(Durability::Synced), ..AppendOptions::default() };
    store.append_with(session(n), segment(n), &entries, &options)
}

/// The texts of segment `n` behind its start.
pub(crate) fn texts(store: &FsStore, n: u64) -> Result<Vec<String>> {
    let records = store.read_range(session(n), segment(n), Seq(1), usize::MAX)?;
    Ok(records.into_iter().map(|record| record.text).collect())
}

pub(crate) fn note_texts(notes: &[u64]) -> Vec<String> {
    notes.iter().map(|n| note_text(*n)).collect()
}

/// Every file below a folder with its bytes, by its path relative to the folder.
pub(crate) fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    collect(root, root, &mut files);
    files.sort();
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push((name, std::fs::read(&path).unwrap_or_default()));
        }
    }
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}
