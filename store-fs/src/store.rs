//! The store itself: a handle on a folder, and the calls of the contract.
//!
//! Each call is thin here: what it does stands in the module of its name. A handle may be used by many threads.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use store_core::call;
use store_core::integrity::Integrity;
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Created, Durability,
    Fact, FactScope, LogEntry, NewEntry, NewSession, Position, Record, Result, SegmentId, Seq, SessionId, Store,
    StoreError, TimestampMs, TraceEntry, Watch,
};

use crate::disk::{Disk, DiskFile, FileKind};
use crate::error::{At as _, found};
use crate::events::Events;
use crate::layout::{FORMAT_VERSION, Layout};
use crate::live::Live;
use crate::logs::{LogKey, Logs, Purpose};
use crate::look_up::LookedUp;
use crate::open::{DurabilityPolicy, FsOptions};
use crate::read::{read_behind, read_entries, read_last};
use crate::record_log::{NewLine, View, lock_mutex};

/// What a handle may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    ReadOnly,
    /// The format is newer than this version may write.
    TooNew {
        found: u32,
    },
}

/// A store in a folder.
///
/// Closing it (dropping the handle) makes known what it changed. A second handle on the same folder, in this or
/// another process, is another [`FsStore`].
pub struct FsStore {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) layout: Layout,
    pub(crate) logs: Logs,
    /// Where recovery and maintenance record what they did.
    pub(crate) events: Arc<Events>,
    pub(crate) live: Live,
    /// What `lookup_session_of` found.
    pub(crate) looked_up: LookedUp,
    /// The file `CREATE` once it was opened. The thread that holds the mutex takes the file's lock.
    pub(crate) create: Mutex<Option<Box<dyn DiskFile>>>,
    /// The lock that all guards of blobs hold together.
    pub(crate) blob_hold: Mutex<Option<Weak<dyn DiskFile>>>,
    /// The folders of the store's own whose names this handle knows to be on stable storage.
    lasting: Mutex<HashSet<PathBuf>>,
    /// Whether what stopped creations and deletions left was looked for.
    cleared: AtomicBool,
    access: Access,
    format: u32,
    /// Whether the folder has a `store.json`: one of logs of the older layouts gets it when something is written to it.
    adopted: AtomicBool,
    /// When the handle was opened.
    pub(crate) now: TimestampMs,
    pub(crate) durability: DurabilityPolicy,
    /// How long a part of a log may become.
    pub(crate) max_part_bytes: u64,
    /// The lock on the store, which goes with the handle.
    lock: Mutex<Option<Box<dyn DiskFile>>>,
}

impl fmt::Debug for FsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsStore")
            .field("root", &self.layout.root())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// As [`make_folder`], and returns when the folder's name is on stable storage.
pub(crate) fn ensure_folder(disk: &dyn Disk, folder: &Path) -> Result<()> {
    make_folder(disk, folder)?;
    // Also where it stood already: whoever made it may not have come to syncing its name.
    let parent = folder.parent().unwrap_or(folder);
    disk.sync_folder(parent).at("sync", parent)
}

/// Makes a folder of the store's own if it is not there; what else stands in its place is refused.
pub(crate) fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<()> {
    match disk.create_folder(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if disk.stat(folder).at("stat", folder)?.kind != FileKind::Folder {
                return Err(StoreError::io("create", folder, error));
            }
        }
        made => made.at("create", folder)?,
    }
    Ok(())
}

impl FsStore {
    /// A handle on a store whose header was read; of format 0 if it has none, because it holds logs of the older layouts.
    pub(crate) fn assemble(
        disk: Arc<dyn Disk>,
        layout: Layout,
        access: Access,
        format: u32,
        lock: Option<Box<dyn DiskFile>>,
        options: &FsOptions,
    ) -> Self {
        let events = Arc::new(Events::new(Arc::clone(&disk), layout.clone(), options.now));
        let writable = access == Access::Write;
        let logs =
            Logs::new(Arc::clone(&disk), layout.clone(), writable, options.open_logs_max, Some(Arc::clone(&events)));
        Self {
            disk,
            layout,
            logs,
            events,
            live: Live::default(),
            looked_up: LookedUp::default(),
            create: Mutex::default(),
            blob_hold: Mutex::default(),
            lasting: Mutex::default(),
            cleared: AtomicBool::default(),
            access,
            format,
            adopted: AtomicBool::new(format > 0),
            now: options.now,
            durability: options.durability,
            max_part_bytes: options.max_part_bytes,
            lock: Mutex::new(lock),
        }
    }

    /// As [`ensure_folder`], for a folder that stays for ever once it is made: synced once by each handle.
    pub(crate) fn ensure_lasting_folder(&self, folder: &Path) -> Result<()> {
        let is_known = lock_mutex(&self.lasting).contains(folder);
        if is_known && found(self.disk.stat(folder)).at("stat", folder)?.is_some() {
            return Ok(());
        }
        ensure_folder(&*self.disk, folder)?;
        lock_mutex(&self.lasting).insert(folder.to_owned());
        Ok(())
    }

    /// Whether nobody has asked this before: what is done once by each handle.
    pub(crate) fn begins_to_create(&self) -> bool {
        !self.cleared.swap(true, Ordering::AcqRel)
    }

    /// Whether the folder is a store already: something that is in it may lead to its logs.
    pub(crate) fn is_adopted(&self) -> bool {
        self.adopted.load(Ordering::Acquire)
    }

    pub(crate) fn set_adopted(&self) {
        self.adopted.store(true, Ordering::Release);
    }

    pub(crate) fn lock_of_store(&self) -> MutexGuard<'_, Option<Box<dyn DiskFile>>> {
        lock_mutex(&self.lock)
    }

    /// Whether a read may put right what others left.
    pub(crate) fn may_tidy(&self) -> bool {
        self.access == Access::Write && self.is_adopted()
    }

    /// As [`check_writable`](Self::check_writable), of what only says what it would do: it makes no store of a folder.
    pub(crate) fn check_maintainable(&self, dry_run: bool) -> Result<()> {
        if dry_run && self.access == Access::Write { Ok(()) } else { self.check_writable() }
    }

    /// Whether the handle may write. What it is going to write to is a store when this returns.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match self.access {
            Access::Write if !self.is_adopted() => self.adopt(),
            Access::Write => Ok(()),
            Access::ReadOnly => Err(StoreError::ReadOnly),
            Access::TooNew { found } => Err(StoreError::UnsupportedVersion { found, known: FORMAT_VERSION }),
        }
    }

    /// Whether facts, which a person would miss, are synced.
    pub(crate) fn syncs_facts(&self) -> bool {
        self.durability != DurabilityPolicy::Always(Durability::Buffered)
    }

    /// Appends one text without a key to a log beside the segments.
    pub(crate) fn append_side_line(&self, key: LogKey, text: &str, durability: Durability) -> Result<Option<()>> {
        self.logs.on(key, Purpose::Create, |log| {
            let written = log.with_lock(|log| {
                log.write(&[NewLine { key: None, text: text.as_bytes() }])?;
                Ok(log.seq())
            })?;
            match (written, durability) {
                (Some(seq), Durability::Synced) => log.sync_through(seq).map(Some),
                (written, _) => Ok(written.map(|_| ())),
            }
        })
    }

    /// Every text of a log beside the segments; none if there is no such log.
    pub(crate) fn read_side_texts(&self, key: LogKey) -> Result<Vec<String>> {
        let texts = self.logs.on(key, Purpose::Read, |log| {
            log.read(|view| {
                let end = view.end()?;
                let mut texts = Vec::new();
                view.read_from(&end, Seq(1), |_, line| {
                    texts.push(line.text());
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(texts)
            })
        })?;
        Ok(texts.unwrap_or_default())
    }

    /// Whether a session has a folder.
    pub(crate) fn has_folder(&self, session: SessionId) -> Result<bool> {
        let folder = self.layout.session(session);
        let stat = found(self.disk.stat(&folder)).at("stat", &folder)?;
        Ok(stat.is_some_and(|stat| stat.kind == FileKind::Folder))
    }

    /// Reads something of a segment's log.
    pub(crate) fn read_segment<T>(
        &self,
        session: SessionId,
        segment: SegmentId,
        read: impl Fn(&View<'_>) -> Result<T>,
    ) -> Result<T> {
        let key = LogKey::Segment(session, segment);
        match self.logs.on(key, Purpose::Read, |log| log.read(&read))? {
            Some(read) => Ok(read),
            None => Err(self.without_log(session, segment)),
        }
    }
}

impl Store for FsStore {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        _options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        self.check_writable()?;
        let prepared = call::prepare_create(session, entries)?;
        self.create_prepared(session, segment, &prepared)
    }

    fn create_sessions(&self, sessions: &[NewSession]) -> Result<Vec<Created>> {
        self.check_writable()?;
        self.create_all(sessions)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        self.append_entries(session, segment, entries, options)
    }

    fn read_all(&self, session: SessionId, segment: SegmentId) -> Result<Vec<LogEntry>> {
        self.read_segment(session, segment, |view| read_entries(view, &view.end()?, segment))
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.read_segment(session, segment, |view| read_behind(view, &view.end()?, segment, after, limit))
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        self.read_segment(session, segment, |view| read_last(view, &view.end()?, segment, count))
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        self.read_segment(session, segment, |view| Ok(view.end()?.seq.0))
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        Ok(self.has_folder(session)? || self.flat_of(session)?.is_some())
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        let root = self.layout.root();
        let names = self.disk.list(root).at("list", root)?;
        let mut sessions: Vec<SessionId> = names.iter().filter_map(Layout::parse_session).collect();
        sessions.extend(names.iter().filter_map(Layout::parse_flat).map(|(session, _)| session));
        sessions.sort_unstable_by(|a, b| b.cmp(a));
        sessions.dedup();
        Ok(sessions)
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        let folder = self.layout.session(session);
        let names = if self.has_folder(session)? {
            found(self.disk.list(&folder)).at("list", &folder)?.unwrap_or_default()
        } else {
            Vec::new()
        };
        // One whose log is gone is there, and damaged, as long as anything beside it says so.
        let mut logs: BTreeSet<SegmentId> = names.iter().filter_map(Layout::parse_of_segment).collect();
        logs.extend(self.flat_of(session)?);
        Ok(logs.into_iter().rev().collect())
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        self.look_up_session_of(segment)
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.append_trace_line(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.read_trace_lines(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        self.append_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        self.read_facts(scope)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.keep_blob(bytes)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.read_blob(reference)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.changes_since(cursor)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.check_writable()?;
        self.delete_whole_session(session)
    }
}

impl Backend for FsStore {
    fn info(&self) -> BackendInfo {
        let read_only = self.access != Access::Write;
        BackendInfo {
            scheme: "fs".to_owned(),
            location: self.layout.root().display().to_string(),
            format_version: if self.is_adopted() { self.format.max(FORMAT_VERSION) } else { self.format },
            read_only,
            // In a folder that is no store yet nothing is kept.
            projection_path: self.may_tidy().then(|| self.layout.index()),
        }
    }

    fn watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn integrity(&self) -> Option<&dyn Integrity> {
        Some(self)
    }
}

impl Drop for FsStore {
    fn drop(&mut self) {
        // A list that cannot be moved stays in `live/` without its lock, and the next handle moves it.
        let _ = self.live.close(self);
    }
}
