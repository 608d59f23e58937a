//! Logs of the older layouts: where they lie, and when they become logs of today.
//!
//! There are two. A *flat* log is `<root>/<segment>.jsonl`, alone in a session of the same id. A log of *bare lines* lies where today's logs
//! do, and its lines have no `seq` and no `crc32c`; a flat one has such lines, too. Both are read where they are, as [`OlderFile`] says, and
//! nothing is written for that: not even a folder without `store.json` becomes a store before something is to be written to it ([`adopt`]).
//!
//! Whoever is to write to such a log writes it anew first ([`rewrite`]). The original goes to quarantine before the new log has its
//! name, so at every moment one of the two is whole and what counts; where both are, that is the one in the session's folder.

mod adopt;
mod rewrite;

use store_core::{Result, SegmentId, SessionId, StoreError};

use crate::disk::{FileKind, OpenMode};
use crate::error::{At as _, found};
use crate::logs::{LogKey, Purpose};
use crate::record_log::{RecordLog, is_older};
use crate::store::FsStore;

pub(crate) use adopt::holds_older;

/// In which older layout a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OlderLayout {
    /// In the root.
    Flat,
    /// In its session's folder, with lines that are not today's.
    BareLines,
}

/// What is done with a flat log that is still there beside the one that was made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// It is removed if its bytes are in quarantine.
    IfKept,
    /// Its bytes go to quarantine if they are not there.
    Keep,
}

impl FsStore {
    /// In which older layout a segment's log is, if it is in one.
    pub(crate) fn older_layout(&self, session: SessionId, segment: SegmentId) -> Result<Option<OlderLayout>> {
        let name = self.layout.log_name(session, segment);
        match found(self.disk.stat(&name.path)).at("stat", &name.path)? {
            Some(stat) if stat.kind == FileKind::File => {
                let Some(file) = found(self.disk.open(&name.path, OpenMode::Read)).at("open", &name.path)? else {
                    return Ok(None);
                };
                Ok(is_older(&*file, &name)?.then_some(OlderLayout::BareLines))
            }
            Some(_) => Ok(None),
            None if self.is_there(&name.of_part(2).path)? => Ok(None),
            None => Ok(self.has_flat(session, segment)?.then_some(OlderLayout::Flat)),
        }
    }

    fn is_there(&self, path: &std::path::Path) -> Result<bool> {
        Ok(found(self.disk.stat(path)).at("stat", path)?.is_some())
    }

    /// Whether a segment has a flat log, whatever lies in its session's folder.
    pub(crate) fn has_flat(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        let Some(name) = self.layout.flat_name(session, segment) else { return Ok(false) };
        let stat = found(self.disk.stat(&name.path)).at("stat", &name.path)?;
        Ok(stat.is_some_and(|stat| stat.kind == FileKind::File))
    }

    /// The flat segment of a session.
    pub(crate) fn flat_of(&self, session: SessionId) -> Result<Option<SegmentId>> {
        let segment = SegmentId::from_bytes(*session.as_bytes());
        Ok(self.has_flat(session, segment)?.then_some(segment))
    }

    /// Does `work` on a segment's log, which may then be written to: one of an older layout is written anew first. `None` if there is none.
    /// The caller holds no lock.
    pub(crate) fn on_segment<T>(
        &self,
        session: SessionId,
        segment: SegmentId,
        mut work: impl FnMut(&RecordLog) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let key = LogKey::Segment(session, segment);
        if let Some(done) = self.logs.on(key, Purpose::Append, &mut work)? {
            return Ok(Some(done));
        }
        if self.older_layout(session, segment)?.is_none() {
            // Somebody may have written it anew between the two looks.
            return if self.has_log(session, segment)? { self.logs.on(key, Purpose::Append, work) } else { Ok(None) };
        }
        // Behind an end that cannot be read nothing is written, so nothing is written anew for it.
        self.read_segment(session, segment, |view| view.end().map(drop))?;
        self.modernise(session, segment)?;
        self.logs.on(key, Purpose::Append, work)
    }

    /// Sees to it that a segment's log is in today's layout. The caller holds no lock.
    pub(crate) fn modernise(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        if self.older_layout(session, segment)?.is_none() {
            return Ok(());
        }
        let _writing = self.before_first_write();
        let _create = self.lock_create()?;
        self.modernise_held(session, segment)
    }

    /// The same. The caller holds `CREATE` and no log's lock.
    pub(crate) fn modernise_held(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        match self.older_layout(session, segment)? {
            Some(OlderLayout::Flat) => self.rewrite_flat(session, segment),
            Some(OlderLayout::BareLines) => self.rewrite_lines(session, segment),
            None => Ok(()),
        }
    }

    /// Sees to it that a session has a folder, in which what belongs to it can be put. The caller holds no lock.
    pub(crate) fn ensure_session_folder(&self, session: SessionId) -> Result<()> {
        if self.has_folder(session)? {
            return Ok(());
        }
        let segment = self.flat_of(session)?.ok_or(StoreError::no_session(session))?;
        self.modernise(session, segment)
    }
}
