//! The logs that a handle has open: a bounded number of descriptors, the least recently used closed first.
//!
//! Of a log of several parts the newest is kept open. Closing one loses nothing but what the handle remembered of the log. Two descriptors of one log exclude each
//! other like two processes do, so a log that is closed while a thread still works on it is no danger.

mod older;
mod replacing;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use store_core::{Damage, FactScope, Result, SegmentId, Seq, SessionId, StoreError};

use crate::disk::{Disk, DiskFile, FileKind, OpenMode};
use crate::error::{At as _, found};
use crate::events::Events;
use crate::layout::{BookKey, Layout, LogName};
use crate::record_log::{RecordLog, find_parts, lock_mutex, read_replacing, seq_before};

/// How often a log is opened again whose name stands for another file than the one that was opened, until it is `Busy`: a filesystem
/// that gives a file two numbers would go on for ever.
const REOPEN_TRIES: usize = 32;

/// How often a log may be found to have gone on elsewhere while it is being opened. Only a medium that never answers the same gets there.
const OUTDATED_MAX: usize = 10_000;

/// Which log of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogKey {
    Segment(SessionId, SegmentId),
    Trace(SessionId, SegmentId),
    Checkpoints(SessionId, SegmentId),
    Facts(FactScope),
    Changes,
    Migrations,
    Book(BookKey),
}

impl LogKey {
    pub(crate) fn name(self, layout: &Layout) -> LogName {
        match self {
            Self::Segment(session, segment) => layout.log_name(session, segment),
            Self::Trace(session, segment) => layout.trace_name(session, segment),
            Self::Checkpoints(session, segment) => layout.checkpoints_name(session, segment),
            Self::Facts(FactScope::Session(session)) => layout.session_facts_name(session),
            Self::Facts(FactScope::Store) => layout.facts_name(),
            Self::Changes => layout.changes_name(),
            Self::Migrations => layout.migrations_name(),
            Self::Book(book) => layout.book_log_name(book),
        }
    }

    const fn session(self) -> Option<SessionId> {
        match self {
            Self::Segment(session, _)
            | Self::Trace(session, _)
            | Self::Checkpoints(session, _)
            | Self::Facts(FactScope::Session(session)) => Some(session),
            Self::Facts(FactScope::Store) | Self::Changes | Self::Migrations | Self::Book(_) => None,
        }
    }
}

/// What a log is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading only.
    Read,
    /// Appending to a log that exists.
    Append,
    /// Appending; the log is made if it does not exist.
    Create,
}

/// What opening a log came to.
enum Opened<T> {
    Log(T),
    Missing,
    /// What was the newest part is that no more: look again.
    Outdated,
}

#[derive(Debug)]
struct Slot {
    log: Arc<RecordLog>,
    used: u64,
    /// Whether all that this handle wrote to it before it was opened is on stable storage.
    was_settled: bool,
}

#[derive(Debug, Default)]
struct Slots {
    open: HashMap<LogKey, Slot>,
    clock: u64,
    /// Logs that are not open, and of which all that this handle ever wrote to them is on stable storage.
    settled: HashSet<LogKey>,
}

#[derive(Debug)]
pub(crate) struct Logs {
    disk: Arc<dyn Disk>,
    layout: Layout,
    writable: bool,
    open_max: usize,
    /// Where recovery records what it did.
    events: Option<Arc<Events>>,
    slots: Mutex<Slots>,
}

impl Slots {
    fn close(&mut self, key: LogKey) {
        let Some(Slot { log, was_settled, .. }) = self.open.remove(&key) else { return };
        // Somebody may still be writing to one that is in use.
        if Arc::strong_count(&log) == 1 && log.is_settled().unwrap_or(was_settled) {
            self.settled.insert(key);
        }
    }
}

impl Logs {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        layout: Layout,
        writable: bool,
        open_max: usize,
        events: Option<Arc<Events>>,
    ) -> Self {
        Self { disk, layout, writable, open_max: open_max.max(1), events, slots: Mutex::default() }
    }

    /// Does `work` on a log; `None` if there is no such log. `work` answers `None` if the log's name does not stand for
    /// the file any more that was open: then it is opened again.
    pub(crate) fn on<T>(
        &self,
        key: LogKey,
        purpose: Purpose,
        mut work: impl FnMut(&RecordLog) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut left: Option<Arc<RecordLog>> = None;
        let mut tries = REOPEN_TRIES;
        let mut outdated = 0;
        while tries > 0 && outdated < OUTDATED_MAX {
            let log = match self.get(key, purpose)? {
                Opened::Log(log) => log,
                Opened::Missing => return Ok(None),
                Opened::Outdated => {
                    outdated += 1;
                    continue;
                }
            };
            if let Some(older) = left.take() {
                log.inherit(&older)?;
                // A log that went on in a later part has been written to, however often that happens.
                tries = if log.part() > older.part() { REOPEN_TRIES } else { tries - 1 };
            }
            match work(&log) {
                Ok(Some(done)) => return Ok(Some(done)),
                Ok(None) => {
                    self.forget(key, &log);
                    left = Some(log);
                }
                Err(error) => {
                    if matches!(error, StoreError::Io { .. }) && !log.is_poisoned() {
                        self.forget(key, &log);
                    }
                    return Err(error);
                }
            }
        }
        let holder = format!("whoever replaces {}", key.name(&self.layout).relative());
        Err(StoreError::Busy { holder, host: None, since: None })
    }

    fn get(&self, key: LogKey, purpose: Purpose) -> Result<Opened<Arc<RecordLog>>> {
        {
            let mut slots = lock_mutex(&self.slots);
            slots.clock += 1;
            let now = slots.clock;
            if let Some(slot) = slots.open.get_mut(&key) {
                if purpose == Purpose::Read || !slot.log.is_older() {
                    slot.used = now;
                    return Ok(Opened::Log(Arc::clone(&slot.log)));
                }
                slots.open.remove(&key);
            }
        }
        let (log, keep) = match self.open(key, purpose)? {
            Opened::Log(opened) => opened,
            Opened::Missing => return Ok(Opened::Missing),
            Opened::Outdated => return Ok(Opened::Outdated),
        };
        let log = Arc::new(log);
        if keep {
            self.keep(key, &log);
        }
        Ok(Opened::Log(log))
    }

    fn keep(&self, key: LogKey, log: &Arc<RecordLog>) {
        let mut slots = lock_mutex(&self.slots);
        while slots.open.len() >= self.open_max {
            // A log that is not trusted any more stays open: what is known of it goes with the last descriptor.
            let idle = slots
                .open
                .iter()
                .filter(|(_, slot)| !slot.log.is_poisoned())
                .min_by_key(|(_, slot)| (Arc::strong_count(&slot.log) > 1, slot.used));
            let Some(key) = idle.map(|(key, _)| *key) else { break };
            slots.close(key);
        }
        let used = slots.clock;
        let was_settled = slots.settled.remove(&key);
        slots.open.insert(key, Slot { log: Arc::clone(log), used, was_settled });
    }

    /// Whether the log is not open and all that this handle ever wrote to it is on stable storage.
    pub(crate) fn is_settled(&self, key: LogKey) -> bool {
        lock_mutex(&self.slots).settled.contains(&key)
    }

    /// Says that all of a log that was just made is on stable storage.
    pub(crate) fn is_made(&self, key: LogKey) {
        let mut slots = lock_mutex(&self.slots);
        if !slots.open.contains_key(&key) {
            slots.settled.insert(key);
        }
    }

    fn forget(&self, key: LogKey, log: &Arc<RecordLog>) {
        let mut slots = lock_mutex(&self.slots);
        if slots.open.get(&key).is_some_and(|slot| Arc::ptr_eq(&slot.log, log)) {
            slots.open.remove(&key);
        }
    }

    /// Closes what is open of a session.
    pub(crate) fn forget_session(&self, session: SessionId) {
        let mut slots = lock_mutex(&self.slots);
        slots.open.retain(|key, _| key.session() != Some(session));
        slots.settled.retain(|key| key.session() != Some(session));
    }

    /// Opens a log; and whether it may be kept. A log of an older layout is there for who reads, and for nobody else.
    fn open(&self, key: LogKey, purpose: Purpose) -> Result<Opened<(RecordLog, bool)>> {
        match self.open_present(key, purpose)? {
            Opened::Missing if purpose == Purpose::Read => self.open_flat(key),
            opened => Ok(opened),
        }
    }

    fn open_present(&self, key: LogKey, purpose: Purpose) -> Result<Opened<(RecordLog, bool)>> {
        if !self.is_session_folder(key)? {
            return Ok(Opened::Missing);
        }
        let (name, may_keep) = self.newest_part(key, purpose)?;
        let opened = match self.open_file(&name, purpose) {
            Err(error) => return Err(self.another_kind(&name).unwrap_or(error)),
            opened => opened?,
        };
        match opened {
            Some((file, _)) if self.is_older(&name, &*file)? => match purpose {
                Purpose::Read => self.older_log(&name, file),
                Purpose::Append | Purpose::Create => Ok(Opened::Missing),
            },
            Some((file, keep)) => match self.record_log(&name, file) {
                // The parts before it may have gone away with it.
                Err(StoreError::Corrupt(_)) if self.is_gone(&name)? => Ok(Opened::Outdated),
                log => Ok(Opened::Log((log?, keep && may_keep))),
            },
            None if self.newest_part(key, purpose)?.0.part != name.part || self.is_there(&name)? => {
                Ok(Opened::Outdated)
            }
            None => Ok(Opened::Missing),
        }
    }

    /// Where a log goes on, and whether it may be kept open there. A log of one part, which most are, costs three looks for names.
    fn newest_part(&self, key: LogKey, purpose: Purpose) -> Result<(LogName, bool)> {
        let first = key.name(&self.layout);
        if first.segment.is_none() {
            return Ok((first, true));
        }
        if let Some(what) = read_replacing(&*self.disk, &first)? {
            return self.replaced_part(key, purpose, &first, what);
        }
        let stat = |name: &LogName| found(self.disk.stat(&name.path)).at("stat", &name.path);
        // A part without write bits has another one behind it, even if that is not the next. Copies give write bits back, so a second part
        // that was lost is also known by the third. Listing the folder would tell more, and costs what all of a session's segments do.
        let is_lone = stat(&first.of_part(2))?.is_none() && stat(&first.of_part(3))?.is_none();
        if is_lone && stat(&first)?.is_none_or(|stat| stat.writable) {
            return Ok((first, true));
        }
        let parts = find_parts(&*self.disk, &first)?;
        let failed = parts.failed.iter().filter(|part| **part < parts.newest);
        let is_mended = purpose != Purpose::Read || !self.writable;
        if is_mended && self.writable {
            failed.clone().try_for_each(|part| self.mend(&first.of_part(*part)))?;
        }
        // Who only reads leaves what is to be mended to the next opening.
        Ok((first.of_part(parts.newest), is_mended || failed.count() == 0))
    }

    fn is_there(&self, name: &LogName) -> Result<bool> {
        Ok(found(self.disk.stat(&name.path)).at("stat", &name.path)?.is_some())
    }

    /// Writes a sealed part anew whose sync failed.
    fn mend(&self, name: &LogName) -> Result<()> {
        let Some((file, _)) = self.open_to_read(&name.path)? else { return Ok(()) };
        RecordLog::new(Arc::clone(&self.disk), name.clone(), file, None, self.events.clone())?.sealed().mend_sealed()
    }

    fn record_log(&self, name: &LogName, file: Box<dyn DiskFile>) -> Result<RecordLog> {
        let before = if name.part == 1 { Seq::START } else { seq_before(&*self.disk, &*file, name)? };
        RecordLog::new(Arc::clone(&self.disk), name.clone(), file, Some(before), self.events.clone())
    }

    fn is_gone(&self, name: &LogName) -> Result<bool> {
        Ok(found(self.disk.stat(&name.path)).at("stat", &name.path)?.is_none())
    }

    /// The log's file; and whether it serves every purpose.
    fn open_file(&self, name: &LogName, purpose: Purpose) -> Result<Option<(Box<dyn DiskFile>, bool)>> {
        let path = &name.path;
        if !self.writable {
            return self.open_to_read(path);
        }
        let opened = match found(self.disk.open(path, OpenMode::Append)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match purpose {
                Purpose::Read => return self.open_to_read(path),
                Purpose::Append | Purpose::Create => self.open_protected(name)?,
            },
            opened => opened.at("open", path)?,
        };
        if opened.is_some() || purpose != Purpose::Create {
            return self.sync_names(name, purpose, opened);
        }
        let created = found(self.disk.open(path, OpenMode::AppendOrCreate)).at("create", path)?;
        self.sync_names(name, purpose, created)
    }

    fn open_to_read(&self, path: &Path) -> Result<Option<(Box<dyn DiskFile>, bool)>> {
        let file = found(self.disk.open(path, OpenMode::Read)).at("open", path)?;
        Ok(file.map(|file| (file, !self.writable)))
    }

    /// Opens a log for appending that has no write bits: somebody is replacing it, or died while he did. `None` also if it
    /// goes on in a later part.
    fn open_protected(&self, name: &LogName) -> Result<Option<Box<dyn DiskFile>>> {
        let path = &name.path;
        let mut tries = 1;
        loop {
            let Some((file, _)) = self.open_to_read(path)? else { return Ok(None) };
            let log = RecordLog::new(Arc::clone(&self.disk), name.clone(), file, None, self.events.clone())?;
            if log.is_poisoned() {
                // Whoever opens it next to the one whose sync failed keeps the distrust, and nothing is written to it.
                return Ok(self.open_to_read(path)?.map(|(file, _)| file));
            }
            if !log.settle_if_protected()? {
                return Ok(None);
            }
            match found(self.disk.open(path, OpenMode::Append)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && tries < REOPEN_TRIES => tries += 1,
                opened => return opened.at("open", path),
            }
        }
    }

    /// Whoever writes the first line of a log beside the segments, or of a later part, sees to it that the file keeps its name;
    /// whoever opens an empty one to read does not keep it open. `None` if the folder went away.
    fn sync_names(
        &self,
        name: &LogName,
        purpose: Purpose,
        file: Option<Box<dyn DiskFile>>,
    ) -> Result<Option<(Box<dyn DiskFile>, bool)>> {
        let Some(file) = file else { return Ok(None) };
        let is_empty = file.stat().at("stat", &name.path)?.bytes == 0;
        let writes = purpose != Purpose::Read;
        if is_empty && writes {
            for folder in name.folders() {
                let synced = found(self.disk.sync_folder(folder)).at("sync", folder)?;
                if synced.is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(Some((file, !is_empty || writes)))
    }

    /// A session's folder is a folder of its own: a link to one elsewhere is as little trusted as a link to a log.
    fn is_session_folder(&self, key: LogKey) -> Result<bool> {
        let Some(folder) = key.session().map(|session| self.layout.session(session)) else { return Ok(true) };
        let stat = found(self.disk.stat(&folder)).at("stat", &folder)?;
        Ok(stat.is_some_and(|stat| stat.kind == FileKind::Folder))
    }

    /// The damage of a segment that has something else than a file in its log's place, which no opening takes for one.
    fn another_kind(&self, name: &LogName) -> Option<StoreError> {
        let segment = Some(name.segment?);
        self.disk.stat(&name.path).ok().filter(|stat| stat.kind != FileKind::File)?;
        let detail = "what stands in the log's place is not a regular file".to_owned();
        Some(StoreError::Corrupt(Damage { segment, part: name.part, offset: 0, seq: None, detail }))
    }
}
