//! A log of an older layout is written anew, as today's.
//!
//! The new log is written whole under a name of its own, synced, and read back; the original's bytes are in quarantine and synced; only then the new
//! log gets its place, by one rename. A flat log is removed after that; what a death leaves of it is removed by the next opening.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use store_core::integrity::{EndState, EventKind, Verification, Visit, measure, verification};
use store_core::{Damage, MigrationId, Result, SegmentId, SessionId, StoreError};

use super::Beside;
use crate::disk::{DiskFile, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::integrity::end_of;
use crate::layout::{Layout, LogName};
use crate::live::Touched;
use crate::record_log::{OlderFile, RecordLog, Scan, ScannedPart, Writers, copy_of_older, quarantine, same_bytes};
use crate::store::FsStore;

/// An original whose lock is held, and the same in today's form.
struct Original {
    name: LogName,
    file: Box<dyn DiskFile>,
    today: Arc<OlderFile>,
}

/// What was found when the new log was read back.
struct ReadBack {
    before: EndState,
    after: EndState,
    verification: Option<Verification>,
}

/// Waits for the lock on a log; `None` if the name stands for nothing, or for another file by now.
fn open_locked(store: &FsStore, name: &LogName) -> Result<Option<Box<dyn DiskFile>>> {
    let Some(file) = found(store.disk.open(&name.path, OpenMode::Read)).at("open", &name.path)? else {
        return Ok(None);
    };
    file.lock(LockKind::Exclusive).at("lock", &name.path)?;
    let id = file.stat().at("stat", &name.path)?.id;
    let is_it = found(store.disk.stat(&name.path)).at("stat", &name.path)?.is_some_and(|stat| stat.id == id);
    Ok(is_it.then_some(file))
}

impl Original {
    /// Waits for the lock on a log; `None` if the name stands for nothing, or for another file by now.
    fn open(store: &FsStore, name: &LogName) -> Result<Option<Self>> {
        let Some(file) = open_locked(store, name)? else { return Ok(None) };
        let second = store.disk.open(&name.path, OpenMode::Read).at("open", &name.path)?;
        let today = Arc::new(OlderFile::read(second, name)?);
        Ok(Some(Self { name: name.clone(), file, today }))
    }

    /// Copies all of it to a folder of quarantine, and returns when the copy is on stable storage.
    fn keep(&self, store: &FsStore, folder: PathBuf) -> Result<PathBuf> {
        let name = LogName { quarantine: folder, ..self.name.clone() };
        quarantine(&*store.disk, &name, &*self.file, 0..self.today.source_bytes())
    }
}

impl FsStore {
    /// Writes a flat log anew in its session's folder. The caller holds `CREATE`.
    pub(super) fn rewrite_flat(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        let Some(flat) = self.layout.flat_name(session, segment) else { return Ok(()) };
        self.lead_to(session, segment)?;
        let Some(original) = Original::open(self, &flat)? else { return Ok(()) };
        let temporary = self.layout.new_name();
        let made = if self.has_folder(session)? {
            self.put_into_session(&original, (session, segment), &temporary)
        } else {
            self.put_as_session(&original, (session, segment), &temporary)
        };
        let (kept, read_back) = made.inspect_err(|_| {
            // What stays is a leftover, and is cleared away with the others.
            let _ = self.clear_away(&temporary);
        })?;
        self.record_rewritten(&original, (session, segment), &kept, &read_back)?;
        self.remove_flat(&flat)
    }

    /// What has to be true before the log has its new place: who asks for changes is told of it, and it is found. The caller holds no log's
    /// lock: what looks damaged is looked at under one.
    fn lead_to(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        self.touch(Touched::segment(session, segment))?;
        self.ensure_look_up(session, segment)?;
        match self.origin_of(session, segment) {
            Ok(Some(origin)) => self.write_by_origin(origin.segment_id, segment),
            Ok(None) | Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Into a session's folder that is there.
    fn put_into_session(
        &self,
        original: &Original,
        (session, segment): (SessionId, SegmentId),
        temporary: &Path,
    ) -> Result<(PathBuf, ReadBack)> {
        let kept = original.keep(self, self.layout.quarantine(Some(session)))?;
        let name = LogName { path: temporary.to_owned(), ..self.layout.log_name(session, segment) };
        let (file, read_back) = self.write_today(original, &name)?;
        let (folder, path) = (self.layout.session(session), self.layout.log(session, segment));
        self.disk.rename(temporary, &path).at("rename", temporary)?;
        self.disk.sync_folder(&folder).at("sync", &folder)?;
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
        file.set_writable(true).at("unprotect", &path)?;
        Ok((kept, read_back))
    }

    /// With the session's folder, which is not there yet.
    fn put_as_session(
        &self,
        original: &Original,
        (session, segment): (SessionId, SegmentId),
        temporary: &Path,
    ) -> Result<(PathBuf, ReadBack)> {
        self.disk.create_folder(temporary).at("create", temporary)?;
        let name = self.layout.new_log_name(temporary, segment);
        let kept = original.keep(self, name.quarantine.clone())?;
        let (file, read_back) = self.write_today(original, &name)?;
        self.disk.sync_folder(temporary).at("sync", temporary)?;
        let folder = self.layout.session(session);
        self.disk.rename(temporary, &folder).at("rename", temporary)?;
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
        file.set_writable(true).at("unprotect", &folder)?;
        Ok((Layout::moved(&kept, temporary, &folder), read_back))
    }

    /// Writes today's form of a log under a name, without write bits, and returns when it is on stable storage and was read back.
    fn write_today(&self, original: &Original, name: &LogName) -> Result<(Box<dyn DiskFile>, ReadBack)> {
        let file = self.disk.open(&name.path, OpenMode::CreateNew).at("create", &name.path)?;
        copy_of_older(&original.today, name, &*file)?;
        file.set_writable(false).at("write-protect", &name.path)?;
        file.sync_file().at("sync", &name.path)?;
        let read_back = self.read_back(original, name)?;
        Ok((file, read_back))
    }

    /// Holds what was written against what was read: byte for byte, and as logs.
    fn read_back(&self, original: &Original, name: &LogName) -> Result<ReadBack> {
        let open = || self.disk.open(&name.path, OpenMode::Read).at("open", &name.path);
        let differs = || {
            let detail = "what was written is not what was read".to_owned();
            StoreError::Corrupt(Damage { segment: name.segment, part: 1, offset: 0, seq: None, detail })
        };
        if !same_bytes(&original.today, &*open()?).at("read", &name.path)? {
            return Err(differs());
        }
        let segment = name.segment.ok_or_else(differs)?;
        let scan = |file: Box<dyn DiskFile>, visit: &mut Visit<'_>| {
            let part = ScannedPart { name: name.clone(), file: Some(file), older: None };
            let mut scan = Scan::new(&*self.disk, Writers::KeptOut, visit);
            if scan.part(&part, true)?.is_continue() {
                let _: std::ops::ControlFlow<()> = scan.finish(name);
            }
            Ok(())
        };
        let scan_before = |visit: &mut Visit<'_>| scan(Box::new(Arc::clone(&original.today)), visit);
        let scan_after = |visit: &mut Visit<'_>| scan(open()?, visit);
        let before = end_of(segment, scan_before)?;
        let after = end_of(segment, scan_after)?;
        let verification = match measure(segment, None, scan_before) {
            Ok(measured) => Some(verification(measured.chain, scan_after)?),
            Err(StoreError::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        if before != after {
            return Err(differs());
        }
        Ok(ReadBack { before, after, verification })
    }

    /// Writes a log of bare lines anew, in its place. The caller holds `CREATE`.
    pub(super) fn rewrite_lines(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        let name = self.layout.log_name(session, segment);
        self.lead_to(session, segment)?;
        let Some(original) = Original::open(self, &name)? else { return Ok(()) };
        let kept = original.keep(self, name.quarantine.clone())?;
        let again = self.disk.open(&name.path, OpenMode::Read).at("open", &name.path)?;
        let log = RecordLog::new(Arc::clone(&self.disk), name.clone(), again, None, None)?;
        let new = LogName { path: name.replacement(), ..name.clone() };
        let mut read_back = None;
        log.replace(|file| {
            copy_of_older(&original.today, &new, file)?;
            read_back = Some(self.read_back(&original, &new)?);
            Ok(())
        })?;
        match read_back {
            Some(read_back) => self.record_rewritten(&original, (session, segment), &kept, &read_back),
            None => Ok(()),
        }
    }

    fn record_rewritten(
        &self,
        original: &Original,
        (session, segment): (SessionId, SegmentId),
        kept: &Path,
        &ReadBack { before, after, verification }: &ReadBack,
    ) -> Result<()> {
        self.events.record(EventKind::LayoutRewritten {
            migration_id: MigrationId::mint(self.now),
            session,
            segment,
            log: original.name.relative(),
            kept: original.name.relative_path(kept),
            bytes: original.today.source_bytes(),
            before,
            after,
            verification,
        })
    }

    fn remove_flat(&self, flat: &LogName) -> Result<()> {
        found(self.disk.remove_file(&flat.path)).at("remove", &flat.path)?;
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())
    }

    /// Removes a flat log beside the one that was made of it, if its bytes are kept. Answers with whether it is gone. The caller holds `CREATE`.
    pub(crate) fn put_away_flat(&self, session: SessionId, segment: SegmentId, beside: Beside) -> Result<bool> {
        let Some(flat) = self.layout.flat_name(session, segment) else { return Ok(true) };
        let Some(file) = open_locked(self, &flat)? else { return Ok(true) };
        // Whoever made the new log may have died before its name, in a folder that was there, or the folder's was on stable storage.
        let folder = self.layout.session(session);
        found(self.disk.sync_folder(&folder)).at("sync", &folder)?;
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
        if !self.is_kept(&*file, session, segment)? {
            if beside == Beside::IfKept {
                return Ok(false);
            }
            let bytes = file.stat().at("stat", &flat.path)?.bytes;
            quarantine(&*self.disk, &flat, &*file, 0..bytes)?;
        }
        self.remove_flat(&flat)?;
        Ok(true)
    }

    /// Whether a flat log stands beside the one in its session's folder, and has bytes that are not in quarantine: an older program wrote to it.
    pub(crate) fn is_flat_beside(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        let Some(flat) = self.layout.flat_name(session, segment) else { return Ok(false) };
        if !self.has_flat(session, segment)? || !self.has_log_in_folder(session, segment)? {
            return Ok(false);
        }
        let Some(file) = found(self.disk.open(&flat.path, OpenMode::Read)).at("open", &flat.path)? else {
            return Ok(false);
        };
        Ok(!self.is_kept(&*file, session, segment)?)
    }

    /// Whether the bytes of a flat log are in the quarantine of its session.
    fn is_kept(&self, flat: &dyn DiskFile, session: SessionId, segment: SegmentId) -> Result<bool> {
        let folder = self.layout.quarantine(Some(session));
        for listed in found(self.disk.list(&folder)).at("list", &folder)?.unwrap_or_default() {
            if !Layout::is_kept_log(&listed, segment) {
                continue;
            }
            let path = Layout::listed(&folder, &listed);
            let Some(kept) = found(self.disk.open(&path, OpenMode::Read)).at("open", &path)? else { continue };
            if same_bytes(flat, &*kept).at("read", &path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
