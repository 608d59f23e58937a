//! What a rollback and a repair share: who else is kept out, what goes to quarantine, and how the log becomes another one.
//!
//! Locks are taken in the order that all of the store keeps: `CREATE`, so that nobody forks meanwhile, the session's, the lease,
//! the parts that are replaced. A part is locked on a descriptor for reading, because one that is sealed cannot be opened for anything else.

use std::ops::Range;

use store_core::integrity::{EndState, ListedCheckpoint, Quarantined, Scanned, Visit, measure};
use store_core::{Damage, Result, SegmentId, Seq, SessionId, StoreError};

use super::scan::Parts;
use crate::create::CreateLock;
use crate::disk::{DiskFile, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::LogName;
use crate::lease::HeldLease;
use crate::live::Touched;
use crate::record_log::{NewParts, Replacing, Writers, decide, quarantine};
use crate::store::FsStore;

/// A session that nobody else maintains, deletes or forks from.
pub(super) struct HeldSession<'a> {
    pub(super) store: &'a FsStore,
    pub(super) session: SessionId,
    pub(super) segment: SegmentId,
    _locks: Option<(Box<dyn DiskFile>, CreateLock<'a>)>,
}

/// The segment's log, whose writers are kept out.
pub(super) struct HeldLog<'a> {
    pub(super) held: &'a HeldSession<'a>,
    pub(super) first: LogName,
    pub(super) parts: Parts,
    _lease: Option<HeldLease>,
}

impl FsStore {
    /// Keeps everybody else from maintaining a segment's session. A log of an older layout is written anew first; for a dry run it stays
    /// as it is, and is looked at as it would be then.
    pub(super) fn hold_session(
        &self,
        session: SessionId,
        segment: SegmentId,
        dry_run: bool,
    ) -> Result<HeldSession<'_>> {
        if dry_run && self.older_layout(session, segment)?.is_some() {
            return Ok(HeldSession { store: self, session, segment, _locks: None });
        }
        self.check_writable()?;
        let _writing = self.before_first_write();
        self.modernise(session, segment)?;
        let create = self.lock_create()?;
        let path = self.layout.session_lock(session);
        let lock = found(self.disk.open(&path, OpenMode::AppendOrCreate)).at("open", &path)?;
        let lock = lock.ok_or(StoreError::no_segment(segment))?;
        lock.lock(LockKind::Exclusive).at("lock", &path)?;
        if !self.has_log(session, segment)? {
            return Err(StoreError::no_segment(segment));
        }
        // Whoever decided on something and died has decided.
        self.logs.finish_replacing(session, segment)?;
        Ok(HeldSession { store: self, session, segment, _locks: Some((lock, create)) })
    }

    /// The other segments that continue one, with the seqs that they continue. The seq of one that cannot be read is not known.
    pub(super) fn continued_at(&self, segment: SegmentId) -> Result<Vec<(SegmentId, Option<Seq>)>> {
        let mut by = Vec::new();
        for child in self.children_of(segment)? {
            let Some(holder) = self.find_session_of(child)? else { continue };
            match self.origin_of(holder, child) {
                Ok(Some(origin)) if origin.segment_id == segment => by.push((child, Some(origin.seq))),
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                Err(StoreError::Corrupt(_)) => by.push((child, None)),
                Err(error) => return Err(error),
            }
        }
        by.sort_unstable();
        Ok(by)
    }

    /// Where a log ends, as far as it can be read. Appends go on meanwhile.
    pub(super) fn end_state(&self, session: SessionId, segment: SegmentId) -> Result<EndState> {
        end_of(segment, |visit| self.scan_log(session, segment, visit))
    }
}

/// Where a log ends; without a head if it is damaged.
pub(crate) fn end_of(segment: SegmentId, scan: impl Fn(&mut Visit<'_>) -> Result<()>) -> Result<EndState> {
    match measure(segment, None, &scan) {
        Ok(measured) => return Ok(EndState { seq: measured.chain.seq, head: Some(measured.chain.head) }),
        Err(StoreError::Corrupt(_)) => {}
        Err(error) => return Err(error),
    }
    let mut seq = Seq::START;
    scan(&mut |scanned| {
        if let Scanned::Entry(entry) = scanned {
            seq = seq.max(entry.position.seq);
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(EndState { seq, head: None })
}

impl<'a> HeldSession<'a> {
    pub(super) fn checkpoints(&self) -> Result<Vec<ListedCheckpoint>> {
        self.store.read_checkpoints(self.session, self.segment)
    }

    /// The segment's lease, so that nobody else gets it.
    pub(super) fn hold_lease(&self) -> Result<Option<HeldLease>> {
        self.store.hold_lease(self.session, self.segment, OpenMode::Append)
    }

    /// Keeps writers out of the log.
    pub(super) fn hold_log(&'a self, lease: Option<HeldLease>) -> Result<HeldLog<'a>> {
        let first = self.store.layout.log_name(self.session, self.segment);
        let parts = loop {
            let parts = Parts::open(&*self.store.disk, &first, usize::MAX)?;
            let mut is_current = true;
            for (name, part) in parts.iter() {
                let Some(file) = part.as_ref().and_then(|part| part.file.as_ref()) else { continue };
                file.lock(LockKind::Exclusive).at("lock", &name.path)?;
                let id = file.stat().at("stat", &name.path)?.id;
                // Whoever deals with a failed sync replaces a part under its own lock.
                is_current &=
                    found(self.store.disk.stat(&name.path)).at("stat", &name.path)?.is_some_and(|stat| stat.id == id);
            }
            if is_current {
                break parts;
            }
        };
        Ok(HeldLog { held: self, first, parts, _lease: lease })
    }
}

impl HeldLog<'_> {
    pub(super) fn scan(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.parts.scan(&*self.held.store.disk, Writers::KeptOut, visit)
    }

    /// The file of a part; none if it is missing.
    pub(super) fn file(&self, part: u32) -> Option<&dyn DiskFile> {
        let found = self.parts.iter().find(|(name, _)| name.part == part)?;
        found.1.as_ref()?.file.as_deref()
    }

    /// How long a part is.
    pub(super) fn bytes(&self, part: u32) -> Result<u64> {
        let Some(file) = self.file(part) else { return Ok(0) };
        Ok(file.stat().at("stat", &self.first.of_part(part).path)?.bytes)
    }

    pub(super) fn newest(&self) -> u32 {
        self.parts.iter().map(|(name, _)| name.part).max().unwrap_or(1)
    }

    /// Bytes of a part.
    pub(super) fn read(&self, part: u32, range: Range<u64>) -> Result<Vec<u8>> {
        let path = self.first.of_part(part).path;
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        let mut done = 0;
        while done < bytes.len() {
            let Some(file) = self.file(part) else { return Err(self.damaged(part, "the part is not there")) };
            match file.read_at(&mut bytes[done..], range.start + done as u64) {
                Ok(0) => return Err(self.damaged(part, "the file got shorter")),
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &path, error)),
            }
        }
        Ok(bytes)
    }

    pub(super) fn damaged(&self, part: u32, detail: &str) -> StoreError {
        let (segment, detail) = (self.first.segment, detail.to_owned());
        StoreError::Corrupt(Damage { segment, part, offset: 0, seq: None, detail })
    }

    /// Copies what is taken out to quarantine, and returns when the copies are on stable storage.
    pub(super) fn keep(&self, taken: &mut [Quarantined]) -> Result<()> {
        for one in taken {
            let name = self.first.of_part(one.part);
            let Some(file) = self.file(one.part) else { continue };
            let kept = quarantine(&*self.held.store.disk, &name, file, one.offset..one.offset + one.bytes)?;
            one.path = Some(name.relative_path(&kept));
        }
        Ok(())
    }

    /// Takes the newest part's write bits: whoever has it open asks for its name and mode before writing, and waits for the lock.
    pub(super) fn protect(&self) -> Result<()> {
        self.held.store.touch(Touched::rewritten(self.held.session, self.held.segment))?;
        self.set_writable(false)
    }

    fn set_writable(&self, writable: bool) -> Result<()> {
        let newest = self.newest();
        let Some(file) = self.file(newest) else { return Ok(()) };
        file.set_writable(writable).at("write-protect", &self.first.of_part(newest).path)
    }

    /// Leaves the log as it was.
    pub(super) fn give_up(&self, from: u32) {
        NewParts::clear(&*self.held.store.disk, &self.first, from);
        // If this fails too, the next writer does it; and it does so where a sync of the log has failed.
        let newest = self.first.of_part(self.newest());
        if self.held.store.disk.stat(&newest.failed()).is_err() {
            let _ = self.set_writable(true);
        }
    }

    /// The log as it will be, with the new parts where they lie.
    pub(super) fn renewed(&self, from: u32, through: u32) -> Result<Parts> {
        let new = (from..=through).map(|part| {
            let name = self.first.of_part(part);
            LogName { path: name.replacement(), ..name }
        });
        Parts::of_names(&*self.held.store.disk, self.parts.before(from).chain(new))
    }

    /// The log is another one when this returns, and also after some of its errors: then whoever opens it next makes it so.
    pub(super) fn replace(&self, what: Replacing) -> Result<()> {
        let store = self.held.store;
        decide(&*store.disk, &store.layout.new_name(), &self.first, what)?;
        store.logs.finish_replacing(self.held.session, self.held.segment)
    }

    pub(super) fn is_decided(&self) -> bool {
        self.first.replacing_file().is_some_and(|path| self.held.store.disk.stat(&path).is_ok())
    }

    /// Refuses what stands in a part's place and is no file: nobody knows whose it is.
    pub(super) fn check_kinds(&self) -> Result<()> {
        for (name, _) in self.parts.iter().filter(|(_, part)| part.as_ref().is_none_or(|part| part.file.is_none())) {
            if found(self.held.store.disk.stat(&name.path)).at("stat", &name.path)?.is_some() {
                return Err(self.damaged(name.part, "what stands in the part's place is not a regular file"));
            }
        }
        Ok(())
    }
}
