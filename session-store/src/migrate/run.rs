//! The whole of a migration: which segments, in which order, and what becomes of each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use store_core::integrity::{Event, EventKind, Outcome};
use store_core::{Backend, FactScope, LogEntry, MigrationId, SegmentId, SegmentOrigin, Seq, SessionId, StoreError};

use super::segment::{Copied, Passage, Problem};
use super::{MigrateFailure, MigrateFailureKind, MigrateOptions, MigrateProgress, MigrateReport, beside, url};
use crate::error::Result;
use crate::order::origins_first;

/// What is known of a session while its segments are copied.
#[derive(Debug, Default)]
struct Work {
    /// How many of its segments are still to be looked at.
    left: usize,
    /// Something was copied.
    new: bool,
    /// Something could not be copied.
    failed: bool,
}

/// One migration.
pub(super) struct Run<'a> {
    source: &'a dyn Backend,
    target: &'a dyn Backend,
    options: &'a MigrateOptions,
    progress: &'a mut dyn FnMut(MigrateProgress) -> ControlFlow<()>,
    report: MigrateReport,
    far: MigrateProgress,
    sessions: BTreeMap<SessionId, Work>,
    origins: BTreeMap<SegmentId, SegmentOrigin>,
    failed: BTreeSet<SegmentId>,
    /// Somebody said stop.
    stop: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        source: &'a dyn Backend,
        target: &'a dyn Backend,
        options: &'a MigrateOptions,
        progress: &'a mut dyn FnMut(MigrateProgress) -> ControlFlow<()>,
    ) -> Self {
        Self {
            source,
            target,
            options,
            progress,
            report: MigrateReport { dry_run: options.dry_run, ..MigrateReport::default() },
            far: MigrateProgress::default(),
            sessions: BTreeMap::new(),
            origins: BTreeMap::new(),
            failed: BTreeSet::new(),
            stop: false,
        }
    }

    /// Copies what there is to copy, and records it.
    pub(super) fn everything(mut self) -> Result<MigrateReport> {
        let segments = self.look()?;
        self.report.sessions = self.sessions.len() as u64;
        self.report.segments = segments.len() as u64;
        self.far.segments = self.report.segments;
        let copied = self.copy(&segments);
        if copied.is_ok() {
            self.count_sessions();
        }
        let recorded = self.record(copied.as_ref().err());
        copied?;
        recorded?;
        Ok(self.report)
    }

    /// Finds out which segments there are, and what they continue.
    fn look(&mut self) -> Result<Vec<(SessionId, SegmentId)>> {
        let mut next = match &self.options.sessions {
            None => self.source.list_sessions()?,
            Some(sessions) => sessions.clone(),
        };
        if self.options.sessions.is_some() {
            // What others continue is there or not; what was asked for has to be.
            for session in &next {
                if !self.source.exists(*session)? {
                    return Err(StoreError::no_session(*session).into());
                }
            }
        }
        let mut segments = BTreeSet::new();
        while let Some(session) = next.pop() {
            if self.sessions.contains_key(&session) {
                continue;
            }
            let own = self.source.list_segments(session)?;
            if own.is_empty() {
                continue;
            }
            self.sessions.insert(session, Work { left: own.len(), ..Work::default() });
            for segment in own {
                segments.insert((session, segment));
                if let Some(origin) = self.origin_of(session, segment)? {
                    self.origins.insert(segment, origin);
                    next.push(origin.session_id);
                }
            }
        }
        Ok(origins_first(&segments, &self.origins))
    }

    /// What a segment continues, as far as its first entry can be read; that it cannot is told when the segment is copied.
    fn origin_of(&self, session: SessionId, segment: SegmentId) -> Result<Option<SegmentOrigin>> {
        match self.source.read_range(session, segment, Seq::START, 1) {
            Ok(first) => Ok(match first.first().map(|record| &record.entry) {
                Some(LogEntry::SegmentStart(start)) => start.origin().copied(),
                _ => None,
            }),
            Err(StoreError::Corrupt(_) | StoreError::Io { .. } | StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn copy(&mut self, segments: &[(SessionId, SegmentId)]) -> Result<()> {
        for (session, segment) in segments {
            let mut copied = Copied::default();
            let done = self.segment(*session, *segment, &mut copied);
            self.add(*session, copied);
            match done {
                Ok(()) => {}
                Err(Problem::Stopped) => {
                    self.report.stopped = true;
                    return Ok(());
                }
                Err(problem) => self.fail(*session, *segment, problem)?,
            }
            self.far.segments_done += 1;
            self.finish_session(*session)?;
            self.stop |= (self.progress)(self.far).is_break();
            if self.stop && self.far.segments_done < self.far.segments {
                self.report.stopped = true;
                return Ok(());
            }
        }
        if self.options.sessions.is_none() {
            // What is said about the store is about sources and purged conversations, not about those that came over.
            self.facts(FactScope::Store, None)?;
        }
        Ok(())
    }

    fn segment(&mut self, session: SessionId, segment: SegmentId, copied: &mut Copied) -> Result<(), Problem> {
        let parent = self.origins.get(&segment).map(|origin| origin.segment_id);
        if let Some(parent) = parent.filter(|parent| self.failed.contains(parent)) {
            return Err(Problem::Ancestor(parent));
        }
        let (source, target, dry_run) = (self.source, self.target, self.options.dry_run);
        let passage = Passage { source, target, session, segment, dry_run };
        let (far, progress, stop) = (&mut self.far, &mut self.progress, &mut self.stop);
        passage.copy(copied, &mut |entries| {
            far.entries += entries;
            *stop |= progress(*far).is_break();
            !*stop
        })?;
        match beside::traces(source, target, session, segment, dry_run) {
            Ok(traces) => work_of(&mut self.sessions, session).new |= traces > 0,
            // The entries are there, and what continues them can follow.
            Err(error @ StoreError::Corrupt(_)) => {
                let message = format!("its trace was left behind: {error}");
                let (session_id, segment_id, kind) = (Some(session), Some(segment), MigrateFailureKind::Damaged);
                self.report.failures.push(MigrateFailure { session_id, segment_id, kind, message });
                work_of(&mut self.sessions, session).failed = true;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn add(&mut self, session: SessionId, copied: Copied) {
        self.report.entries += copied.entries;
        self.report.new_entries += copied.new_entries;
        self.report.new_segments += u64::from(copied.new_entries > 0);
        let (all, one) = (&mut self.report.verification, copied.verification);
        all.entry_count_match &= one.entry_count_match;
        all.hash_chain_match &= one.hash_chain_match;
        self.report.warnings.extend(copied.warnings.into_iter().map(|warning| format!("session {session}: {warning}")));
        let is_true = one.entry_count_match && one.hash_chain_match;
        let work = work_of(&mut self.sessions, session);
        work.new |= copied.new_entries > 0 || copied.checkpoints > 0;
        work.failed |= !is_true;
    }

    fn fail(&mut self, session: SessionId, segment: SegmentId, problem: Problem) -> Result<()> {
        let Some((kind, message)) = problem.of_one_segment() else {
            return match problem {
                Problem::Store(error) => Err(error.into()),
                _ => Ok(()),
            };
        };
        let (session_id, segment_id) = (Some(session), Some(segment));
        self.report.failures.push(MigrateFailure { session_id, segment_id, kind, message });
        self.failed.insert(segment);
        work_of(&mut self.sessions, session).failed = true;
        Ok(())
    }

    /// What is said about a session goes over when the last of its segments was looked at.
    fn finish_session(&mut self, session: SessionId) -> Result<()> {
        let is_there = self.options.dry_run || self.target.exists(session)?;
        let work = work_of(&mut self.sessions, session);
        work.left = work.left.saturating_sub(1);
        if work.left > 0 || !is_there {
            return Ok(());
        }
        match self.facts(FactScope::Session(session), Some(session))? {
            Some(new) => work_of(&mut self.sessions, session).new |= new > 0,
            None => work_of(&mut self.sessions, session).failed = true,
        }
        Ok(())
    }

    /// Copies facts; `None` if they cannot be read.
    fn facts(&mut self, scope: FactScope, session_id: Option<SessionId>) -> Result<Option<u64>> {
        match beside::facts(self.source, self.target, scope, self.options.dry_run) {
            Ok(new) => Ok(Some(new)),
            Err(error @ (StoreError::Corrupt(_) | StoreError::NotFound(_) | StoreError::TooLarge { .. })) => {
                let message = format!("what is said about it was left behind: {error}");
                let kind = MigrateFailureKind::Damaged;
                self.report.failures.push(MigrateFailure { session_id, segment_id: None, kind, message });
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn count_sessions(&mut self) {
        for work in self.sessions.values() {
            match work {
                // Somebody said stop before all of it was looked at.
                Work { left: 1.., failed: false, .. } => {}
                Work { failed: true, .. } => self.report.failed += 1,
                Work { new: true, .. } => self.report.migrated += 1,
                _ => self.report.already += 1,
            }
        }
    }

    /// Leaves an event in the target, unless nothing was copied.
    fn record(&self, error: Option<&crate::SessionError>) -> Result<()> {
        let report = &self.report;
        let Some(target) = self.target.integrity() else { return Ok(()) };
        if report.dry_run || (report.new_entries == 0 && report.migrated == 0) {
            return Ok(());
        }
        let now = self.options.now;
        let what = EventKind::Migrated {
            migration_id: MigrationId::mint(now),
            source: url(&self.source.info()),
            sessions: report.migrated,
            segments: report.new_segments,
            entries: report.new_entries,
            verification: Some(report.verification.into()),
        };
        let class = match error {
            Some(crate::SessionError::Store(error)) => Some(error.class().to_owned()),
            Some(_) => Some("session".to_owned()),
            None if report.stopped => Some("stopped".to_owned()),
            None => report.failures.first().map(|_| "segments_failed".to_owned()),
        };
        let outcome = if class.is_some() { Outcome::RecoverableError } else { Outcome::Ok };
        let correlation_id = self.options.correlation_id.clone();
        Ok(target.record(&Event { ts: now, what, outcome, error_class: class, correlation_id })?)
    }
}

/// Every session has its work from the beginning on.
fn work_of(sessions: &mut BTreeMap<SessionId, Work>, session: SessionId) -> &mut Work {
    sessions.entry(session).or_default()
}
