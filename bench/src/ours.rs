//! The stores that are measured, opened as an application opens them.

use std::path::Path;
use std::time::{Duration, Instant};

use store_core::{AppendOptions, Backend, CreateOptions, Durability, NewEntry, SegmentId, SessionId, Store};
use store_fs::{FsOptions, FsStore};
use store_sqlite::SqliteStore;

use crate::{Result, entries};

/// Which of our backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The filesystem.
    Fs,
    /// SQLite.
    Sqlite,
}

/// All of them.
pub const KINDS: [Kind; 2] = [Kind::Fs, Kind::Sqlite];

impl Kind {
    /// What it is called in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fs => "**fs**",
            Self::Sqlite => "**sqlite**",
        }
    }

    /// A handle on the store in a folder; it is made if it is not there.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(self, folder: &Path) -> Result<Box<dyn Backend>> {
        Ok(match self {
            Self::Fs => Box::new(FsStore::open(folder.join("store"), &FsOptions::at(entries::START_MS))?),
            Self::Sqlite => Box::new(SqliteStore::open(folder.join("store.db"))?),
        })
    }

    /// The store in a folder as `pod` is told of it.
    pub fn url(self, folder: &Path) -> String {
        match self {
            Self::Fs => format!("fs:{}", folder.join("store").display()),
            Self::Sqlite => format!("sqlite:{}", folder.join("store.db").display()),
        }
    }

    /// A handle on a store with one segment that holds its first entry.
    ///
    /// # Errors
    /// Those of opening and creating.
    pub fn open_with_segment(self, folder: &Path) -> Result<(Box<dyn Backend>, SessionId, SegmentId)> {
        let store = self.open(folder)?;
        let (session, segment) = entries::ids(0);
        store.create_segment(session, segment, &[entries::start(session)], &CreateOptions::default())?;
        Ok((store, session, segment))
    }
}

/// Appending that survives the process, or power loss too.
pub const fn durable(durability: Durability) -> AppendOptions {
    AppendOptions { expected: None, durability: Some(durability) }
}

/// Appends entries in calls of `per_call`, and says how long it took.
///
/// # Errors
/// Those of appending.
pub fn append(
    store: &dyn Store,
    (session, segment): (SessionId, SegmentId),
    entries: &[NewEntry],
    (per_call, durability): (usize, Durability),
) -> Result<Duration> {
    let options = durable(durability);
    let begun = Instant::now();
    for call in entries.chunks(per_call) {
        store.append_with(session, segment, call, &options)?;
    }
    Ok(begun.elapsed())
}
