//! A record log: a file of checksummed lines that grows at its end.
//!
//! Segments, facts, traces and changes are all kept this way. [`read`] finds entries in a file that others may be
//! appending to, [`recover`] says where a file truly ends and takes out what a crash left behind that point,
//! [`append`] writes a call's lines so that they are all there or none, [`replace`] puts another file in a log's
//! place, [`older`] reads logs of older layouts, [`parts`] goes on in a new file when one has grown large, [`replace_parts`] puts others in the place of several at once, and [`scan`]
//! reads past everything. Readers take no lock and change nothing.
//!
//! A log is known by its name. Whoever holds the log's lock asks what the name stands for: another file means that
//! the log was replaced or deleted, and the descriptor is dropped. A file without write bits may have been sealed: if a
//! later part is there, the descriptor is dropped too.

mod append;
mod hole;
mod keys;
mod older;
mod parts;
mod read;
mod recover;
mod replace;
mod replace_parts;
mod scan;
mod shared;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_core::group_commit::Rounds;
use store_core::{Position, Result, Seq, StoreError};

pub(crate) use append::{Draft, Locked, NewLine, append_all_or_nothing};
use keys::Keys;
pub(crate) use keys::{Named, Pair, RunNames, Runs};
pub(crate) use older::{OlderFile, copy_of_older, first_older_entry, is_older, same_bytes};
pub(crate) use parts::{Place, find_parts, seq_before};
pub(crate) use read::View;
pub(crate) use recover::{End, quarantine};
pub(crate) use replace_parts::{NewParts, Replacing, decide, finish as finish_replacing, read_replacing};
pub(crate) use scan::{Scan, ScannedPart, Writers};
use shared::Shared;

use crate::append::Waiting;
use crate::disk::{Disk, DiskFile, FileId, FileKind, FileStat, LockKind};
use crate::error::{At as _, found};
use crate::events::{EventKind, Events};
use crate::layout::LogName;

/// An open log: the newest part of one that has several.
#[derive(Debug)]
pub(crate) struct RecordLog {
    disk: Arc<dyn Disk>,
    name: LogName,
    /// The last seq of the parts before this one, where it is known.
    before: Option<Seq>,
    /// Whether another part follows; such a log is only ever opened to be replaced.
    is_sealed: bool,
    /// What this process knows of the file's syncs. Let go of before the file is closed, whose number is then free for another.
    shared: Arc<Shared>,
    file: Box<dyn DiskFile>,
    id: FileId,
    /// Held by the thread that writes, before it takes the file's lock: one descriptor has one lock for all threads.
    writer: Mutex<Writer>,
    /// The calls that wait for one thread to make them together.
    rounds: Rounds<Arc<Waiting>>,
    /// Where the mark of a failed sync would stand.
    failed: PathBuf,
    /// How far the file was looked through for zeros.
    checked: AtomicU64,
    /// Whether leftovers beside the log were looked for.
    cleared: AtomicBool,
    events: Option<Arc<Events>>,
    /// The file, if it is one of an older layout: such a log is only read.
    older: Option<Arc<OlderFile>>,
}

/// How often a reader that takes no lock has looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// What looks wrong may be a writer at work.
    First,
    /// A writer had time to put right what looked wrong: what looks wrong is.
    Again,
}

/// What a handle remembers of a log between two writes.
#[derive(Debug, Default)]
struct Writer {
    known: Option<Known>,
    keys: Option<Keys>,
    /// What a handle of an earlier part knew of keys.
    inherited: Option<Keys>,
    /// Memory for the lines of the next call.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The file's length when it was looked at.
    bytes: u64,
    end: End,
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
    /// A log whose file is open; `before` is the last seq of the parts before it.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        name: LogName,
        file: Box<dyn DiskFile>,
        before: Option<Seq>,
        events: Option<Arc<Events>>,
    ) -> Result<Self> {
        let id = file.stat().at("stat", &name.path)?.id;
        let (shared, failed) = (Shared::of(disk.process(), id), name.failed());
        Ok(Self {
            disk,
            name,
            before,
            is_sealed: false,
            file,
            id,
            writer: Mutex::default(),
            rounds: Rounds::default(),
            shared,
            failed,
            checked: AtomicU64::default(),
            cleared: AtomicBool::default(),
            events,
            older: None,
        })
    }

    /// A log of an older layout, for reading.
    pub(crate) fn older(disk: Arc<dyn Disk>, name: LogName, file: Arc<OlderFile>) -> Result<Self> {
        let log = Self::new(disk, name, Box::new(Arc::clone(&file)), Some(Seq::START), None)?;
        Ok(Self { older: Some(file), ..log })
    }

    /// Whether it is one of an older layout.
    pub(crate) const fn is_older(&self) -> bool {
        self.older.is_some()
    }

    /// The same, of a part that another one follows.
    pub(crate) fn sealed(self) -> Self {
        Self { is_sealed: true, ..self }
    }

    /// Whether a sync of the file failed, so that nothing is written to it any more.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.shared.poisoned().is_some()
    }

    /// Whether all that was written to the log is known to be on stable storage; `None` if nobody wrote through this value.
    pub(crate) fn is_settled(&self) -> Option<bool> {
        let writer = self.writer.try_lock().ok()?;
        let known = writer.known?;
        Some(self.shared.group().synced() >= known.end.seq.0)
    }

    /// The calls that are made together.
    pub(crate) const fn rounds(&self) -> &Rounds<Arc<Waiting>> {
        &self.rounds
    }

    /// Takes the write bits of a log that is being made, because its name is not on stable storage yet, and returns when
    /// its bytes are.
    pub(crate) fn finish_new(&self) -> Result<()> {
        self.protect()?;
        self.file.sync_file().at("sync", &self.name.path)
    }

    /// Takes the write bits of a log that is being made.
    pub(crate) fn protect(&self) -> Result<()> {
        self.file.set_writable(false).at("write-protect", &self.name.path)
    }

    /// Where the log was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.name.path
    }

    /// Gives the write bits back, unless a sync of the log has failed: whoever left the mark of that took them, and takes them again
    /// when the mark is there.
    pub(crate) fn unprotect(&self) -> Result<()> {
        self.file.set_writable(true).at("unprotect", &self.name.path)?;
        if self.is_told_by_its_file() && self.has_failed_mark()? {
            self.file.set_writable(false).at("write-protect", &self.name.path)?;
        }
        Ok(())
    }

    /// Records what was done to the log; the record itself has no record.
    fn record(&self, what: EventKind) -> Result<()> {
        self.events.as_ref().map_or(Ok(()), |events| events.record(what))
    }

    /// What the log's name stands for, if it is still this file.
    fn stat_of_name(&self) -> Result<Option<FileStat>> {
        let stat = found(self.disk.stat(&self.name.path)).at("stat", &self.name.path)?;
        Ok(stat.filter(|stat| stat.kind == FileKind::File && stat.id == self.id))
    }

    fn has_its_name(&self) -> Result<bool> {
        self.stat_of_name().map(|stat| stat.is_some())
    }

    /// Whether the open file itself says that it may have been replaced or deleted, has had a sync that failed, or goes on in a later
    /// part: whoever does that takes its write bits first. The logs beside the segments are asked for by name, because they may be made
    /// in a session that is being deleted; those of older layouts, because they are not replaced in this way.
    const fn is_told_by_its_file(&self) -> bool {
        self.name.segment.is_some() && self.name.replacing.is_none() && self.older.is_none()
    }

    /// What the open file is, if nothing was done to it that its name, or one beside it, has to be asked for.
    fn stat_of_file(&self) -> Result<Option<FileStat>> {
        if !self.is_told_by_its_file() {
            return Ok(None);
        }
        let stat = self.file.stat().at("stat", &self.name.path)?;
        Ok(Some(stat).filter(|stat| stat.writable && stat.links > 0))
    }

    /// What the log's name stands for, if the log does not go on in a later part, and is not another one.
    fn stat(&self) -> Result<Option<FileStat>> {
        if let Some(stat) = self.stat_of_file()? {
            return Ok(Some(stat));
        }
        let mut stat = self.stat_of_name()?;
        if let Some(older) = &self.older {
            // What was added since has to be gone through first.
            stat = stat.filter(|stat| stat.bytes == older.source_bytes());
            stat = stat.map(|stat| FileStat { bytes: older.bytes(), ..stat });
        }
        if self.name.replacing.is_some() {
            return Ok(stat);
        }
        match stat {
            Some(stat) if !stat.writable && (self.has_successor()? || self.is_being_replaced()?) => Ok(None),
            stat => Ok(stat),
        }
    }

    /// Reads without a lock; `None` if the log's name no longer stands for this file, or the log goes on in another.
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
        self.unless_gone(read(&self.view(stat.bytes).confirmed()))
    }

    /// What was damaged because everything of it went away meanwhile is no damage.
    fn unless_gone<T>(&self, done: Result<T>) -> Result<Option<T>> {
        match done {
            Err(StoreError::Corrupt(_)) if !self.has_its_name()? => Ok(None),
            done => match &self.older {
                Some(older) => older.locate(done).map(Some),
                None => done.map(Some),
            },
        }
    }

    /// Reads without any lock, also where something looks damaged, and says what the file was then.
    pub(crate) fn peek<T>(&self, look: Look, read: impl Fn(&View<'_>) -> Result<T>) -> Result<Option<(T, FileStat)>> {
        let Some(stat) = self.stat()? else { return Ok(None) };
        let view = self.view(stat.bytes);
        let view = match look {
            Look::First => view,
            Look::Again => view.confirmed(),
        };
        self.unless_gone(read(&view).map(|done| (done, stat)))
    }

    fn view(&self, bytes: u64) -> View<'_> {
        let view = View::new(&*self.file, &self.name, bytes).behind(&*self.disk, self.before);
        if self.is_sealed { view.sealed() } else { view.checked_by(&self.checked) }
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
