//! Making a segment: everything that must be true before its log appears, and then the log, by one rename.
//!
//! The order is what makes it safe. The handle's `live/` entry, the look-up entry and the entry of who continues what
//! are on stable storage before the log has its name. A crash in between leaves entries without a log, which say
//! nothing and which the next creation takes over; it never leaves a log that nobody finds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use store_core::call::{self, Prepared};
use store_core::origin::{self, SegmentFacts};
use store_core::{LogEntry, Position, Result, SegmentId, SegmentOrigin, Seq, SessionId, StoreError};

use crate::disk::{DiskFile, FileKind, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::{Layout, LogName};
use crate::live::Touched;
use crate::logs::{LogKey, Purpose};
use crate::migrate_layout::Beside;
use crate::open::{read_small, write_whole};
use crate::record_log::{NewLine, RecordLog, View, lock_mutex};
use crate::store::{FsStore, ensure_folder};

/// The lock `CREATE`: whoever has one makes and deletes logs, and nobody else does.
pub(crate) struct CreateLock<'a>(MutexGuard<'a, Option<Box<dyn DiskFile>>>);

impl Drop for CreateLock<'_> {
    fn drop(&mut self) {
        if let Some(file) = &*self.0 {
            // The lock goes with the descriptor at the latest; there is nobody to tell.
            let _ = file.unlock();
        }
    }
}

/// More than an entry in `by-segment/` has: an id and a newline.
const LOOK_UP_BYTES_MAX: usize = 64;

/// What an entry in `by-segment/` says.
pub(crate) enum LookUp {
    None,
    Session(SessionId),
    /// An entry that was cut short, or that is damaged.
    Unreadable,
}

impl FsStore {
    /// Waits for the lock `CREATE`.
    pub(crate) fn lock_create(&self) -> Result<CreateLock<'_>> {
        let path = self.layout.create_lock();
        let file = self.create_file()?;
        if let Some(file) = &*file {
            file.lock(LockKind::Exclusive).at("lock", &path)?;
        }
        Ok(CreateLock(file))
    }

    fn create_file(&self) -> Result<MutexGuard<'_, Option<Box<dyn DiskFile>>>> {
        let path = self.layout.create_lock();
        let mut file = lock_mutex(&self.create);
        if file.is_none() {
            *file = Some(self.disk.open(&path, OpenMode::AppendOrCreate).at("open", &path)?);
        }
        Ok(file)
    }

    pub(crate) fn create_prepared(
        &self,
        session: SessionId,
        segment: SegmentId,
        prepared: &[Prepared],
    ) -> Result<Vec<Position>> {
        let slots = call::resolve_keys(prepared, |_| Ok(None))?;
        let writes = call::entries_to_write(prepared, &slots);
        let _writing = self.before_first_write();
        let start = prepared.first().and_then(|first| first.start.as_deref());
        if let Some(origin) = start.and_then(|start| start.origin()) {
            // What others continue is in a layout that can be synced, maintained and counted on.
            self.modernise(origin.session_id, origin.segment_id)?;
        }
        let _create = self.lock_create()?;
        self.clear_leftovers_once();
        if let Some(session) = self.holder_of(session, segment)? {
            return Err(StoreError::AlreadyExists { session, segment });
        }
        if let Some(start) = start {
            origin::check_origin(segment, start, |id| self.facts_of_segment(id))?;
        }
        let origin = start.and_then(|start| start.origin().copied());
        self.touch(Touched::new_segment(session, segment))?;
        self.write_look_up(session, segment)?;
        if let Some(origin) = &origin {
            self.sync_origin(origin)?;
            self.write_by_origin(origin.segment_id, segment)?;
        }
        let lines: Vec<NewLine<'_>> =
            writes.iter().map(|entry| NewLine { key: entry.key.as_deref(), text: entry.text.as_bytes() }).collect();
        let written = self.write_new_log(session, segment, &lines)?;
        self.logs.is_made(LogKey::Segment(session, segment));
        self.live.made(session, segment);
        Ok(call::answer(&slots, &written))
    }

    /// The session that has a segment of this id, also where its look-up entry is lost.
    fn holder_of(&self, session: SessionId, segment: SegmentId) -> Result<Option<SessionId>> {
        if let Some(holder) = self.session_of(segment)? {
            return Ok(Some(holder));
        }
        Ok(self.has_log(session, segment)?.then_some(session))
    }

    /// Whether a segment has a log, in whichever layout, or had one that is gone without a word: that one is damaged, and is not one that
    /// never was.
    pub(crate) fn has_log(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        Ok(self.has_log_in_folder(session, segment)?
            || self.has_flat(session, segment)?
            || self.has_lost_log(session, segment)?)
    }

    pub(crate) fn has_log_in_folder(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        let first = self.layout.log_name(session, segment);
        let has = |name: &LogName| found(self.disk.stat(&name.path)).at("stat", &name.path).map(|stat| stat.is_some());
        // A log that has lost its first part is damaged, and is not a log that never was.
        Ok(has(&first)? || has(&first.of_part(2))?)
    }

    /// Sees to it that the way to a log that is there is, too. It is never taken away for that: it may be all that leads to the log.
    pub(crate) fn ensure_look_up(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        match self.look_up(segment)? {
            LookUp::Session(said) if said == session => return Ok(()),
            LookUp::None => return self.write_look_up(session, segment),
            LookUp::Session(_) | LookUp::Unreadable => {}
        }
        let (folder, path) = (self.layout.by_segment_folder(segment), self.layout.by_segment(segment));
        write_whole(&*self.disk, &self.layout.new_name(), &path, format!("{session}\n").as_bytes())?;
        self.disk.sync_folder(&folder).at("sync", &folder)
    }

    fn write_look_up(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        let (folder, path) = (self.layout.by_segment_folder(segment), self.layout.by_segment(segment));
        self.ensure_lasting_folder(&self.layout.by_segment_root())?;
        self.ensure_lasting_folder(&folder)?;
        self.make_look_up(session, segment)?.sync_file().at("sync", &path)?;
        self.disk.sync_folder(&folder).at("sync", &folder)
    }

    /// Makes the entry that leads to a segment, whose folder is there. Neither it nor its name is on stable storage yet.
    pub(crate) fn make_look_up(&self, session: SessionId, segment: SegmentId) -> Result<Box<dyn DiskFile>> {
        let path = self.layout.by_segment(segment);
        // What stands here belongs to no log, or the creation would have been refused: a leftover.
        if found(self.disk.stat(&path)).at("stat", &path)?.is_some() {
            // Whoever deleted its log may have died before that was on stable storage: it must not come back without this.
            let root = self.layout.root();
            self.disk.sync_folder(root).at("sync", root)?;
            self.disk.remove_file(&path).at("remove", &path)?;
        }
        let file = self.disk.open(&path, OpenMode::CreateNew).at("create", &path)?;
        let text = format!("{session}\n");
        crate::record_log::append_all_or_nothing(&*file, 0, text.as_bytes()).at("write", &path)?;
        Ok(file)
    }

    pub(crate) fn write_by_origin(&self, segment: SegmentId, child: SegmentId) -> Result<()> {
        self.ensure_lasting_folder(&self.layout.by_origin_root())?;
        let folder = self.layout.by_origin_folder(segment);
        // It goes away with the segment, so it is never taken for granted.
        ensure_folder(&*self.disk, &folder)?;
        self.make_by_origin(segment, child)?;
        self.disk.sync_folder(&folder).at("sync", &folder)
    }

    /// Makes the entry of who continues a segment, in a folder that is there. Its name is not on stable storage yet.
    pub(crate) fn make_by_origin(&self, segment: SegmentId, child: SegmentId) -> Result<()> {
        let path = self.layout.by_origin(segment, child);
        self.disk.open(&path, OpenMode::AppendOrCreate).at("create", &path).map(drop)
    }

    /// What a segment continues must not be lost while the segment stays.
    pub(crate) fn sync_origin(&self, origin: &SegmentOrigin) -> Result<()> {
        let key = LogKey::Segment(origin.session_id, origin.segment_id);
        self.logs.on(key, Purpose::Append, RecordLog::sync)?;
        Ok(())
    }

    /// Makes a log that appears under its name whole. It has no write bits until its name is on stable storage, so that
    /// whoever finds it sooner sees to that first.
    fn write_new_log(&self, session: SessionId, segment: SegmentId, lines: &[NewLine<'_>]) -> Result<Vec<Position>> {
        let temporary = self.layout.new_name();
        let appeared = if self.has_folder(session)? {
            self.write_log(&temporary, segment, lines).and_then(|written| {
                self.disk.rename(&temporary, &self.layout.log(session, segment)).at("rename", &temporary)?;
                let folder = self.layout.session(session);
                self.disk.sync_folder(&folder).at("sync", &folder)?;
                Ok(written)
            })
        } else {
            self.write_session(&temporary, session, segment, lines)
        };
        let settled = appeared.and_then(|(written, log)| {
            self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
            log.unprotect()?;
            Ok(written)
        });
        if settled.is_err() {
            // What stays is a leftover, and is cleared away with the others.
            let _ = self.clear_away(&temporary);
        }
        settled
    }

    fn write_session(
        &self,
        temporary: &Path,
        session: SessionId,
        segment: SegmentId,
        lines: &[NewLine<'_>],
    ) -> Result<(Vec<Position>, RecordLog)> {
        self.disk.create_folder(temporary).at("create", temporary)?;
        let written = self.write_log(&Layout::log_in(temporary, segment), segment, lines)?;
        self.disk.sync_folder(temporary).at("sync", temporary)?;
        self.disk.rename(temporary, &self.layout.session(session)).at("rename", temporary)?;
        Ok(written)
    }

    /// Writes a log under a name of its own and returns when its bytes are on stable storage.
    fn write_log(&self, path: &Path, segment: SegmentId, lines: &[NewLine<'_>]) -> Result<(Vec<Position>, RecordLog)> {
        let file = self.disk.open(path, OpenMode::CreateNew).at("create", path)?;
        let name = Self::new_log_name(path, segment);
        let log = RecordLog::new(Arc::clone(&self.disk), name, file, Some(Seq::START), None)?;
        let written = log.with_lock(|log| log.write(lines))?;
        let positions = written.ok_or_else(|| StoreError::backend("a log that was being made is gone"))?;
        log.finish_new()?;
        Ok((positions, log))
    }

    pub(crate) fn new_log_name(path: &Path, segment: SegmentId) -> LogName {
        let context = store_core::codec::LogContext::segment(segment);
        let root = path.parent().unwrap_or(path).to_owned();
        LogName {
            path: path.to_owned(),
            context,
            segment: None,
            part: 1,
            quarantine: PathBuf::new(),
            root,
            replacing: None,
        }
    }

    /// The session of a segment that has a log.
    pub(crate) fn session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        match self.look_up(segment)? {
            LookUp::None
                if self.is_adopted() && self.has_flat(SessionId::from_bytes(*segment.as_bytes()), segment)? =>
            {
                Ok(Some(SessionId::from_bytes(*segment.as_bytes())))
            }
            // Where nothing leads anywhere yet, or any more, the few sessions that there are, or all, are searched.
            LookUp::None if !self.is_led()? => self.search_session_of(segment),
            LookUp::None => Ok(None),
            LookUp::Session(session) => Ok(self.has_log(session, segment)?.then_some(session)),
            // The entry is only a way to the log; where it is lost, the log is looked for.
            LookUp::Unreadable => self.search_session_of(segment),
        }
    }

    /// Whether the folder is there in which all entries stand that lead to segments: it is made with the first one and stays. The folders in
    /// it are not asked for: each comes with its first entry, and in a new store almost every look-up would search all sessions.
    fn is_led(&self) -> Result<bool> {
        let folder = self.layout.by_segment_root();
        Ok(self.is_adopted() && found(self.disk.stat(&folder)).at("stat", &folder)?.is_some())
    }

    /// The session of a segment that something other than its look-up names: where that is lost, the log is looked for.
    pub(crate) fn find_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        match self.session_of(segment)? {
            None => self.search_session_of(segment),
            known => Ok(known),
        }
    }

    pub(crate) fn look_up(&self, segment: SegmentId) -> Result<LookUp> {
        let path = self.layout.by_segment(segment);
        let Some(file) = found(self.disk.open(&path, OpenMode::Read)).at("open", &path)? else {
            return Ok(LookUp::None);
        };
        let bytes = read_small(&*file, LOOK_UP_BYTES_MAX).at("read", &path)?;
        let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
        Ok(text.and_then(|text| text.parse().ok()).map_or(LookUp::Unreadable, LookUp::Session))
    }

    pub(crate) fn facts_of_segment(&self, segment: SegmentId) -> Result<Option<SegmentFacts>> {
        let Some(session) = self.session_of(segment)? else { return Ok(None) };
        let (entry_count, origin) =
            self.read_segment(session, segment, |view| Ok((view.end()?.seq.0, read_origin(view)?)))?;
        Ok(Some(SegmentFacts { session, entry_count, origin }))
    }

    /// The point that a segment continues.
    pub(crate) fn origin_of(&self, session: SessionId, segment: SegmentId) -> Result<Option<SegmentOrigin>> {
        self.read_segment(session, segment, read_origin)
    }

    /// Clears away what stopped creations and deletions left, when this handle makes something for the first time: whoever only looks
    /// does not wait until a large store is listed. The caller holds `CREATE`.
    pub(crate) fn clear_leftovers_once(&self) {
        if self.begins_to_create() {
            // What cannot be cleared away now says nothing where it is.
            let _ = self.clear_leftovers();
        }
    }

    /// Clears away what stopped creations and deletions left. The caller holds `CREATE`, so that nobody is at it now.
    fn clear_leftovers(&self) -> Result<()> {
        let root = self.layout.root();
        let names = self.disk.list(root).at("list", root)?;
        let mut leftovers = names.iter().filter(|listed| Layout::is_new(listed)).peekable();
        let mut put_away = Vec::new();
        for (session, segment) in names.iter().filter_map(Layout::parse_flat) {
            if self.has_log_in_folder(session, segment)? {
                put_away.push((session, segment));
            }
        }
        if leftovers.peek().is_none() && put_away.is_empty() {
            return Ok(());
        }
        // Whoever renamed them may have died before that was on stable storage; what led to them must not go first.
        self.disk.sync_folder(root).at("sync", root)?;
        leftovers.try_for_each(|listed| self.clear_away(&Layout::listed(root, listed)))?;
        for (session, segment) in put_away {
            self.put_away_flat(session, segment, Beside::IfKept)?;
        }
        Ok(())
    }

    /// Removes a file or folder that has no name in the store any more, or not yet. The caller holds `CREATE`.
    pub(crate) fn clear_away(&self, path: &Path) -> Result<()> {
        match found(self.disk.stat(path)).at("stat", path)?.map(|stat| stat.kind) {
            None => Ok(()),
            Some(FileKind::Folder) => self.clear_folder(path),
            Some(_) => self.disk.remove_file(path).at("remove", path),
        }
    }

    fn clear_folder(&self, folder: &Path) -> Result<()> {
        let names = self.disk.list(folder).at("list", folder)?;
        let logs = names.iter().filter(|listed| listed.kind == FileKind::File).filter_map(Layout::parse_of_segment);
        let segments: BTreeSet<SegmentId> = logs.collect();
        let mut led = BTreeSet::new();
        for segment in segments {
            self.forget_segment(&Layout::log_in(folder, segment), segment)?;
            led.insert(self.layout.by_segment_folder(segment));
        }
        // The logs' names excuse what leads to them, so they go after it.
        for led in led {
            found(self.disk.sync_folder(&led)).at("sync", &led)?;
        }
        for listed in &names {
            self.clear_away(&Layout::listed(folder, listed))?;
        }
        found(self.disk.remove_folder(folder)).at("remove", folder)?;
        Ok(())
    }

    /// Removes the entries that led to a log which is going away, unless a log of this id stands in the store.
    fn forget_segment(&self, log: &Path, segment: SegmentId) -> Result<()> {
        if self.session_of(segment)?.is_some() {
            return Ok(());
        }
        if let Some(origin) = self.read_lone_origin(log, segment)? {
            let path = self.layout.by_origin(origin.segment_id, segment);
            found(self.disk.remove_file(&path)).at("remove", &path)?;
        }
        let folder = self.layout.by_origin_folder(segment);
        for child in self.children_of(segment)? {
            let path = self.layout.by_origin(segment, child);
            found(self.disk.remove_file(&path)).at("remove", &path)?;
        }
        found(self.disk.remove_folder(&folder)).at("remove", &folder)?;
        let path = self.layout.by_segment(segment);
        found(self.disk.remove_file(&path)).at("remove", &path)?;
        Ok(())
    }

    fn read_lone_origin(&self, path: &Path, segment: SegmentId) -> Result<Option<SegmentOrigin>> {
        let Some(file) = found(self.disk.open(path, OpenMode::Read)).at("open", path)? else { return Ok(None) };
        let bytes = file.stat().at("stat", path)?.bytes;
        let name = Self::new_log_name(path, segment);
        match read_origin(&View::new(&*file, &name, bytes).confirmed()) {
            // A log that was never finished, or is damaged: an entry that nothing stands behind says nothing.
            Err(StoreError::Corrupt(_)) => Ok(None),
            done => done,
        }
    }

    /// The segments that say, or once said, that they continue a segment.
    pub(crate) fn children_of(&self, segment: SegmentId) -> Result<Vec<SegmentId>> {
        if !self.is_adopted() {
            return self.search_children_of(segment);
        }
        let folder = self.layout.by_origin_folder(segment);
        let names = found(self.disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
        Ok(names.iter().filter_map(Layout::parse_child).collect())
    }
}

/// The point that a log continues, as its first entry says.
fn read_origin(view: &View<'_>) -> Result<Option<SegmentOrigin>> {
    let end = view.end()?;
    let mut origin = None;
    if end.seq == Seq::START {
        return Ok(None);
    }
    view.read_from(&end, Seq(1), |place, line| {
        match LogEntry::from_text(&line.text()) {
            Ok(LogEntry::SegmentStart(start)) => origin = start.origin().copied(),
            _ => return Err(view.corrupt(place.offset, Some(Seq(1)), "the first entry is not segment_start")),
        }
        Ok(std::ops::ControlFlow::Break(()))
    })?;
    Ok(origin)
}
