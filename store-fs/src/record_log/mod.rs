//! A record log: a file of checksummed lines that grows at its end.
//!
//! Segments, facts, traces and changes are all kept this way. [`read`] finds entries in a file that others may be
//! appending to, [`recover`] says where a file truly ends and takes out what a crash left behind that point, and
//! [`append`] writes a call's lines so that they are all there or none. Readers take no lock and change nothing.
//!
//! A log is known by its name. Whoever holds the log's lock asks what the name stands for: another file means that
//! the log was replaced or deleted, and the descriptor is dropped.

mod append;
mod read;
mod recover;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_core::{Position, Result, Seq, StoreError};

pub(crate) use append::{Locked, NewLine, append_all_or_nothing};
pub(crate) use read::View;
pub(crate) use recover::End;

use crate::disk::{Disk, DiskFile, FileId, FileKind, FileStat, LockKind};
use crate::error::{At as _, found};
use crate::layout::LogName;

/// An open log.
#[derive(Debug)]
pub(crate) struct RecordLog {
    disk: Arc<dyn Disk>,
    name: LogName,
    file: Box<dyn DiskFile>,
    id: FileId,
    /// Held by the thread that writes, before it takes the file's lock: one descriptor has one lock for all threads.
    writer: Mutex<Writer>,
    /// How far the file is known to be on stable storage; nothing while its name is not.
    synced: Mutex<Option<u64>>,
    /// How far this handle has written or seen whole lines.
    written: AtomicU64,
}

/// What a handle remembers of a log between two writes.
#[derive(Debug, Default)]
struct Writer {
    known: Option<Known>,
    keys: Option<HashMap<String, KeyAt>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The file's length when it was looked at.
    bytes: u64,
    end: End,
}

/// Where the entry of an idempotency key stands.
#[derive(Clone, Copy, Debug)]
struct KeyAt {
    position: Position,
    offset: u64,
}

/// A lock on a file that is given back at the end of a scope.
struct FileLock<'a>(&'a dyn DiskFile);

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // The lock goes with the descriptor at the latest; there is nobody to tell.
        let _ = self.0.unlock();
    }
}

pub(crate) fn lock_mutex<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RecordLog {
    /// A log whose file is open.
    pub(crate) fn new(disk: Arc<dyn Disk>, name: LogName, file: Box<dyn DiskFile>) -> Result<Self> {
        let id = file.stat().at("stat", &name.path)?.id;
        Ok(Self {
            disk,
            name,
            file,
            id,
            writer: Mutex::default(),
            synced: Mutex::default(),
            written: AtomicU64::default(),
        })
    }

    /// What the log's name stands for, if it is still this file.
    fn stat(&self) -> Result<Option<FileStat>> {
        let stat = found(self.disk.stat(&self.name.path)).at("stat", &self.name.path)?;
        Ok(stat.filter(|stat| stat.kind == FileKind::File && stat.id == self.id))
    }

    /// Reads without a lock; `None` if the log's name no longer stands for this file.
    ///
    /// A writer that takes back a torn line can show a reader bytes of two times. So what looks damaged is read
    /// once more while writers are kept out, and only then believed.
    pub(crate) fn read<T>(&self, read: impl Fn(&View<'_>) -> Result<T>) -> Result<Option<T>> {
        let Some(stat) = self.stat()? else { return Ok(None) };
        match read(&self.view(stat.bytes)) {
            Err(StoreError::Corrupt(_)) => {}
            done => return done.map(Some),
        }
        let _writer = lock_mutex(&self.writer);
        // Where a medium gives no locks the second reading is as good as the first.
        let _lock = self.file.lock(LockKind::Shared).ok().map(|()| FileLock(&*self.file));
        let Some(stat) = self.stat()? else { return Ok(None) };
        read(&self.view(stat.bytes)).map(Some)
    }

    fn view(&self, bytes: u64) -> View<'_> {
        View::new(&*self.file, &self.name, bytes)
    }
}

impl End {
    /// The end's position; seq 0 before the first entry.
    pub(crate) const fn position(&self) -> Position {
        Position { seq: self.seq, crc32c: self.crc32c }
    }

    /// The next entry's seq.
    const fn next_seq(&self) -> Seq {
        self.seq.next()
    }
}
