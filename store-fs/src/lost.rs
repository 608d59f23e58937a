//! Logs that are gone without a word: what proves that there was one.
//!
//! Nothing in this store takes a single log away, so whatever is only made where a log is proves that there was one. A file beside the log
//! does, and such a segment goes on being listed: it is there, and damaged. An entry in `by-segment/` is made before its log, and goes after it, so
//! it proves something only where nobody is at either: whoever makes a segment lists it as new in `live/` before the entry is made, and
//! takes the entry away again, or whoever finds him dead does, before that list goes; and what a deletion renamed keeps its logs' names until their entries
//! are gone for good. The price is a look at `live/` and at the root wherever an entry leads to nothing.

use std::collections::BTreeSet;

use store_core::integrity::{Finding, FindingKind};
use store_core::{Damage, Result, SegmentId, Seq, SessionId, Store as _, StoreError};

use crate::create::LookUp;
use crate::disk::{FileKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::Layout;
use crate::live::Touched;
use crate::store::FsStore;

/// Who is at making segments, or was when he died, and what is going away.
#[derive(Debug, Default)]
struct Excused {
    made: BTreeSet<Touched>,
    going: BTreeSet<SegmentId>,
    /// A list in `live/` cannot be read: it may excuse anything.
    everything: bool,
}

impl FsStore {
    /// Whether a file beside a segment's log says that it was there, although it is not.
    pub(crate) fn has_lost_log(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        for path in self.layout.beside_log(session, segment) {
            if found(self.disk.stat(&path)).at("stat", &path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why a segment's log cannot be used when there is none.
    pub(crate) fn without_log(&self, session: SessionId, segment: SegmentId) -> StoreError {
        let is_lost = || -> Result<bool> {
            let is_there = self.has_log_in_folder(session, segment)? || self.has_flat(session, segment)?;
            Ok(!is_there && self.has_lost_log(session, segment)?)
        };
        match is_lost() {
            Ok(true) => StoreError::Corrupt(self.damage_of_lost(session, segment)),
            Ok(false) => StoreError::no_segment(segment),
            Err(error) => error,
        }
    }

    fn damage_of_lost(&self, session: SessionId, segment: SegmentId) -> Damage {
        let name = self.layout.log_name(session, segment);
        let detail = format!(
            "the log {} is gone: put it back from a copy, or repair the segment, which gives its entries up",
            name.relative()
        );
        Damage { segment: Some(segment), part: 1, offset: 0, seq: Some(Seq(1)), detail }
    }

    /// Whether an entry in `by-segment/` is all that is left of a segment of this session.
    pub(crate) fn is_lost(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        // Without its folder a session may never have been: many that are made at once are listed with what leads to them, and not before it.
        Ok(self.is_adopted() && self.has_folder(session)? && self.leads_nowhere(session, segment)? && {
            let excused = self.excused()?;
            !excused.covers(session, segment) && self.leads_nowhere(session, segment)?
        })
    }

    /// The segments of which an entry in `by-segment/` is all that is left: of a session, or of all. Lists all of `by-segment/`.
    pub(crate) fn lost_segments(&self, of: Option<SessionId>) -> Result<Vec<(SessionId, SegmentId)>> {
        let mut lost = Vec::new();
        if !self.is_adopted() {
            return Ok(lost);
        }
        let root = self.layout.by_segment_root();
        for shard in found(self.disk.list(&root)).at("list", &root)?.unwrap_or_default() {
            if shard.kind != FileKind::Folder {
                continue;
            }
            let folder = Layout::listed(&root, &shard);
            let names = found(self.disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
            for segment in names.iter().filter_map(Layout::parse_look_up) {
                if let LookUp::Session(session) = self.look_up(segment)?
                    && of.is_none_or(|of| of == session)
                    && !self.has_log(session, segment)?
                    && self.has_folder(session)?
                {
                    lost.push((session, segment));
                }
            }
        }
        if lost.is_empty() {
            return Ok(lost);
        }
        // In this order: who is at it now has listed what he makes before, or takes the entry away before the rest.
        let excused = self.excused()?;
        let mut proved = Vec::new();
        for (session, segment) in lost {
            if !excused.covers(session, segment) && self.leads_nowhere(session, segment)? {
                proved.push((session, segment));
            }
        }
        proved.sort_unstable();
        Ok(proved)
    }

    fn leads_nowhere(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        let leads_here = matches!(self.look_up(segment)?, LookUp::Session(said) if said == session);
        Ok(leads_here && !self.has_log(session, segment)?)
    }

    fn excused(&self) -> Result<Excused> {
        let mut excused = Excused::default();
        match self.listed_as_new() {
            Ok(made) => excused.made = made,
            Err(StoreError::Corrupt(_)) => excused.everything = true,
            Err(error) => return Err(error),
        }
        let root = self.layout.root();
        for listed in self.disk.list(root).at("list", root)?.iter().filter(|listed| Layout::is_new(listed)) {
            if listed.kind == FileKind::Folder {
                let folder = Layout::listed(root, listed);
                let names = found(self.disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
                excused.going.extend(names.iter().filter_map(Layout::parse_of_segment));
            }
        }
        Ok(excused)
    }

    /// What is wrong with a segment of which an entry in `by-segment/` is all that is left.
    pub(crate) fn finding_of_lost(&self, session: SessionId, segment: SegmentId) -> Finding {
        Finding::of_damage(Some(session), FindingKind::Structure, self.damage_of_lost(session, segment))
    }

    /// What is wrong with a session that has a folder and no segment; nothing where it has one, or none any more.
    pub(crate) fn examine_empty_session(&self, session: SessionId) -> Result<Vec<Finding>> {
        if !self.list_segments(session)?.is_empty() || !self.exists(session)? {
            return Ok(Vec::new());
        }
        let lost = self.lost_segments(Some(session))?;
        if lost.is_empty() {
            let detail = "the session's logs are gone: put them back from a copy, or delete the session";
            return Ok(vec![Finding::of_session(session, FindingKind::Structure, detail)]);
        }
        Ok(lost.into_iter().map(|(session, segment)| self.finding_of_lost(session, segment)).collect())
    }

    /// Refuses what nobody may do while logs are known to be gone: what they referred to is not known.
    pub(crate) fn refuse_lost(&self) -> Result<()> {
        for session in self.list_sessions()? {
            if let Some(finding) = self.examine_empty_session(session)?.first() {
                return Err(StoreError::Corrupt(finding.to_damage()));
            }
        }
        match self.lost_segments(None)?.first() {
            Some((session, segment)) => Err(StoreError::Corrupt(self.damage_of_lost(*session, *segment))),
            None => Ok(()),
        }
    }

    /// Says beside a log that is gone that it was there, on stable storage. Its session has a folder.
    pub(crate) fn mark_lost(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        let path = self.layout.checkpoints_name(session, segment).path;
        self.disk.open(&path, OpenMode::AppendOrCreate).at("create", &path)?;
        let folder = self.layout.session(session);
        self.disk.sync_folder(&folder).at("sync", &folder)
    }

    /// Whether what leads to a segment, and to what it continues, says so. A look-up that leads to another log of this name does.
    pub(crate) fn ways_in_step(&self, session: SessionId, segment: SegmentId) -> Result<bool> {
        if !self.is_adopted() || self.has_flat(session, segment)? {
            return Ok(true);
        }
        let is_led = match self.look_up(segment)? {
            LookUp::Session(said) => said == session || self.has_log(said, segment)?,
            LookUp::None | LookUp::Unreadable => false,
        };
        Ok(is_led
            && match self.origin_of(session, segment) {
                Ok(Some(origin)) => {
                    let path = self.layout.by_origin(origin.segment_id, segment);
                    found(self.disk.stat(&path)).at("stat", &path)?.is_some()
                }
                Ok(None) | Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => true,
                Err(error) => return Err(error),
            })
    }

    /// Makes what leads to a segment anew where it is lost. The caller holds `CREATE` and no log's lock.
    pub(crate) fn set_ways_right(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        self.ensure_look_up(session, segment)?;
        match self.origin_of(session, segment) {
            Ok(Some(origin)) => self.write_by_origin(origin.segment_id, segment),
            Ok(None) | Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes away what leads to segments that somebody began to make and did not. The caller holds no lock, and the list that
    /// names them goes after this.
    pub(crate) fn forget_unmade(&self, touched: &BTreeSet<Touched>) -> Result<()> {
        let mut unmade = Vec::new();
        for (session, segment) in touched.iter().filter_map(Touched::new_segment_of) {
            if self.leads_nowhere(session, segment)? {
                unmade.push((session, segment));
            }
        }
        if unmade.is_empty() {
            return Ok(());
        }
        let _create = self.lock_create()?;
        // Whoever deleted a log of this name may have died before that was on stable storage: it must not come back without this.
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
        for (session, segment) in unmade {
            if self.leads_nowhere(session, segment)? {
                self.remove_look_up(segment)?;
            }
        }
        Ok(())
    }

    /// Takes away the entry that leads to a segment, for good. The caller holds `CREATE`.
    pub(crate) fn remove_look_up(&self, segment: SegmentId) -> Result<()> {
        let (folder, path) = (self.layout.by_segment_folder(segment), self.layout.by_segment(segment));
        found(self.disk.remove_file(&path)).at("remove", &path)?;
        self.disk.sync_folder(&folder).at("sync", &folder)
    }
}

impl Excused {
    fn covers(&self, session: SessionId, segment: SegmentId) -> bool {
        self.everything || self.going.contains(&segment) || self.made.contains(&Touched::new_segment(session, segment))
    }
}
