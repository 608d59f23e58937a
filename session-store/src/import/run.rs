//! A run: the files one after the other, and what came of each. A file that fails never stops the run.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use store_core::{Backend, FactScope, MemoryStore, Seq, SessionId, Store, StoreError, TimestampMs};

use super::codex;
use super::feed::{failure, feed};
use super::find::{Conversations, Job};
use super::record::{Agent, FileHead, ForkHint};
use super::report::{ImportReport, ImportStatus, ImportedFile};
use super::source;
use super::walk::Place;
use super::writer::{self, Cursor, Target, Writer};
use crate::error::{Result, SessionError};
use crate::facts::{SessionFacts, StoreFact};
use crate::index::Index;
use crate::leaf;

/// How many records of a parent are read at once.
const BATCH_RECORDS: usize = 256;

/// How an import is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whose files they are; `None`: what they hold tells.
    pub from: Option<Agent>,
    /// Say what would be written, write nothing.
    pub dry_run: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// How many files are done.
    pub done: usize,
    /// How many there are.
    pub files: usize,
    /// The next one.
    pub path: &'a Path,
}

/// Brings agents' files into a store.
#[derive(Clone, Copy)]
pub struct Importer<'a> {
    /// Where to.
    pub store: &'a dyn Backend,
    /// The store's index.
    pub index: &'a Index,
    /// The time, in milliseconds since the epoch.
    pub now: TimestampMs,
}

impl std::fmt::Debug for Importer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Importer<'_> {
    /// Imports files, and all conversations in folders, deep.
    ///
    /// Files that are not there, not readable or not conversations are in the report as failed; of those that a folder
    /// holds beside its conversations, and of a folder that holds none, the report says why they were left out.
    ///
    /// # Errors
    /// What the store or the index fails with as a whole.
    pub fn run(
        &self,
        paths: &[PathBuf],
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<ImportReport> {
        self.run_found(Conversations::find(paths, options.from), options.dry_run, progress)
    }

    /// Imports what was found, as [`run`](Self::run) does.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_found(
        &self,
        conversations: Conversations,
        dry_run: bool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<ImportReport> {
        let Conversations { jobs, mut report } = conversations;
        let removed = self.tombstones()?;
        if dry_run {
            return self.rehearse(&jobs, &removed, report, progress);
        }
        let births = births(&jobs);
        for (done, job) in jobs.iter().enumerate() {
            progress(Progress { done, files: jobs.len(), path: &job.path });
            report.add(self.file(job, &births, &removed));
        }
        self.index.refresh(self.store)?;
        Ok(report)
    }

    fn file(
        &self,
        job: &Job,
        births: &HashMap<(Agent, String), SessionId>,
        removed: &BTreeSet<String>,
    ) -> ImportedFile {
        if removed.contains(&job.head.native_id) {
            return job.report(ImportStatus::Removed);
        }
        match self.import(job, births) {
            Ok(file) => file,
            Err(error) => ImportedFile {
                error: Some(with_sources(&error)),
                met_damage: is_damage(&error),
                ..job.report(ImportStatus::Failed)
            },
        }
    }

    /// The native ids that were purged.
    fn tombstones(&self) -> Result<BTreeSet<String>> {
        let facts = self.store.facts(FactScope::Store)?;
        let facts = facts.iter().filter_map(StoreFact::from_fact);
        Ok(facts
            .filter_map(|fact| match fact {
                StoreFact::Tombstone { native_id, .. } => Some(native_id),
                StoreFact::Source { .. } => None,
            })
            .collect())
    }

    fn import(&self, job: &Job, births: &HashMap<(Agent, String), SessionId>) -> Result<ImportedFile> {
        let store: &dyn Store = self.store;
        let head = &job.head;
        // Copies, points that are continued and parents are looked up there.
        if head.agent == Agent::Claude || head.fork != ForkHint::None || head.parent.is_some() {
            self.index.refresh(store)?;
        }
        let session = writer::session_id(head);
        let continues = writer::reference_origin(store, self.index, head)?;
        if let Some(file) = self.unchanged(job, session, continues)? {
            return Ok(file);
        }
        let (parent, parent_call) = self.parent_of(head, births)?;
        let source = job.path.display().to_string();
        let target = Target { store, index: self.index, head, source, parent, parent_call, continues, now: self.now };
        let mut writer = Writer::new(target)?;
        if let ForkHint::ByReference { native_id, .. } = &head.fork
            && continues.is_none()
        {
            let message =
                format!("the conversation {native_id}, which this one continues, is not there, or not as far");
            writer.tally().warnings.push(writer::ImportWarning { line: None, message });
        }
        let cursor = feed(&job.path, head, &mut writer, |_| false)?;
        let outcome = writer.finish(cursor.with_head(head.archived, continues))?;
        let status = match outcome.leaf {
            Some(_) if !outcome.existed => ImportStatus::Imported,
            Some(_) if outcome.entries > 0 || outcome.said => ImportStatus::Updated,
            _ => ImportStatus::Unchanged,
        };
        Ok(ImportedFile {
            session_id: outcome.leaf.map(|_| outcome.session),
            segment_id: outcome.leaf,
            entries: outcome.entries,
            records: outcome.tally.records,
            skipped: outcome.tally.skipped,
            warnings: outcome.tally.warnings,
            ..job.report(status)
        })
    }

    /// The session and the call that started a sub-agent.
    fn parent_of(
        &self,
        head: &FileHead,
        births: &HashMap<(Agent, String), SessionId>,
    ) -> Result<(Option<SessionId>, Option<String>)> {
        let Some(parent) = &head.parent else { return Ok((None, None)) };
        let session = match births.get(&(head.agent, parent.native_id.clone())) {
            Some(session) => Some(*session),
            None => {
                let homes = self.index.find_native(Some(head.agent.name()), &parent.native_id)?;
                homes.first().map(|home| home.session_id)
            }
        };
        let call = match (&parent.call_id, session) {
            (None, Some(session)) if head.agent == Agent::Codex => self.spawning_call(session, &head.native_id)?,
            (call, _) => call.clone(),
        };
        Ok((session, call))
    }

    /// The call of a session that started a thread, told there alone.
    fn spawning_call(&self, session: SessionId, thread: &str) -> Result<Option<String>> {
        for segment in self.store.list_segments(session)? {
            let mut after = Seq::START;
            loop {
                let records = self.store.read_range(session, segment, after, BATCH_RECORDS)?;
                let Some(last) = records.last() else { break };
                after = last.position.seq;
                if let Some(call) = codex::spawning_call(records.iter().map(|record| &record.entry), thread) {
                    return Ok(Some(call));
                }
            }
        }
        Ok(None)
    }

    /// The report of a file of which the same bytes were imported before.
    fn unchanged(&self, job: &Job, session: SessionId, continues: Option<Place>) -> Result<Option<ImportedFile>> {
        if !self.store.exists(session)? {
            return Ok(None);
        }
        let facts = SessionFacts::read(self.store, session)?;
        let Some(before) = Cursor::read(&facts, &job.head.native_id) else { return Ok(None) };
        let now = source::cursor_of(&job.path).map_err(|error| failure(&job.path, error))?;
        if !before.is_of(&now.with_head(job.head.archived, continues)) {
            return Ok(None);
        }
        let current = leaf::current_leaf(self.store, session)?;
        Ok(Some(ImportedFile {
            session_id: Some(session),
            segment_id: Some(current),
            ..job.report(ImportStatus::Unchanged)
        }))
    }

    /// Imports into a store that is thrown away, and tells what would be new in this one.
    fn rehearse(
        &self,
        jobs: &[Job],
        removed: &BTreeSet<String>,
        mut report: ImportReport,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<ImportReport> {
        let store = MemoryStore::new();
        let index = Index::open(&store)?;
        let rehearsal = Importer { store: &store, index: &index, now: self.now };
        let births = births(jobs);
        for (done, job) in jobs.iter().enumerate() {
            progress(Progress { done, files: jobs.len(), path: &job.path });
            let mut file = rehearsal.file(job, &births, removed);
            if let Some(session) = file.session_id
                && self.store.exists(session)?
            {
                let continues = writer::reference_origin(self.store, self.index, &job.head)?;
                let is_same = self.unchanged(job, session, continues)?.is_some();
                file.entries = if is_same { 0 } else { self.missing(&store, session)? };
                file.status = if is_same { ImportStatus::Unchanged } else { ImportStatus::Updated };
                file.segment_id = Some(leaf::current_leaf(self.store, session)?);
            }
            report.add(file);
        }
        Ok(report)
    }

    /// How many entries of a session of another store are not in this one.
    fn missing(&self, other: &dyn Store, session: SessionId) -> Result<u64> {
        let mut missing = 0;
        for segment in other.list_segments(session)? {
            let count = other.read_entry_count(session, segment)?;
            let known = match self.store.lookup_session_of(segment)? {
                Some(session) => self.store.read_entry_count(session, segment)?,
                None => 0,
            };
            missing += count.saturating_sub(known);
        }
        Ok(missing)
    }
}

/// Whether the store is not as it was written.
const fn is_damage(error: &SessionError) -> bool {
    matches!(error, SessionError::Store(StoreError::Corrupt(_)) | SessionError::Lineage(_))
}

/// An error with what caused it.
fn with_sources(error: &SessionError) -> String {
    let mut text = match error {
        SessionError::Import { detail, .. } => return detail.clone(),
        error => error.to_string(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}


/// The sessions of the run's conversations.
fn births(jobs: &[Job]) -> HashMap<(Agent, String), SessionId> {
    jobs.iter().map(|job| ((job.head.agent, job.head.native_id.clone()), writer::session_id(&job.head))).collect()
}
