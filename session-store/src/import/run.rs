//! A run: which files, in which order, and what came of each.
//!
//! All heads are read before the first file, because a conversation that others continue or were started by is imported before
//! them. A file that fails never stops the run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde_json::Value;
use store_core::{Backend, FactScope, MemoryStore, Seq, SessionId, Store, StoreError, TimestampMs};

use super::claude::ClaudeReader;
use super::codex::{self, CodexReader};
use super::detect::{self, Detected, FoundFile};
use super::inner::Inner;
use super::lines::{Found, Lines};
use super::pi::PiReader;
use super::record::{Agent, FileHead, ForkHint, RawRecord, Reader, Step};
use super::report::{IgnoredFile, ImportReport, ImportStatus, ImportedFile};
use super::source::{self, Source};
use super::walk::Place;
use super::writer::{self, Cursor, Outcome, Target, Writer};
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

/// A conversation that is to be imported.
#[derive(Debug)]
struct Job {
    path: PathBuf,
    head: FileHead,
}

impl Job {
    fn key(&self) -> (TimestampMs, &str, &Path) {
        (self.head.birth_ms, &self.head.native_id, &self.path)
    }

    /// The conversations that have to be there before.
    fn needs(&self) -> impl Iterator<Item = &str> {
        let fork = match &self.head.fork {
            ForkHint::None => None,
            ForkHint::ByReference { native_id, .. } | ForkHint::Copy { native_id } => Some(native_id.as_str()),
        };
        fork.into_iter().chain(self.head.parent.as_ref().map(|parent| parent.native_id.as_str()))
    }
}

/// The conversations that stand at some paths, found before there is a store to bring them to.
#[derive(Debug)]
pub struct Conversations {
    jobs: Vec<Job>,
    report: ImportReport,
}

impl Conversations {
    /// Looks for them at the paths, in folders deep. It reads heads only, and writes nothing.
    pub fn find(paths: &[PathBuf], from: Option<Agent>) -> Self {
        let mut report = ImportReport::default();
        let jobs = in_order(find(paths, from, &mut report));
        Self { jobs, report }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The report of an import of none of them: what is there that is no conversation.
    pub fn into_report(self) -> ImportReport {
        self.report
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
            self.file(job, &births, &removed).into_iter().for_each(|file| report.add(file));
        }
        self.index.refresh(self.store)?;
        Ok(report)
    }

    fn file(
        &self,
        job: &Job,
        births: &HashMap<(Agent, String), SessionId>,
        removed: &BTreeSet<String>,
    ) -> Vec<ImportedFile> {
        if removed.contains(&job.head.native_id) {
            return vec![report_of(&job.path, &job.head, ImportStatus::Removed)];
        }
        self.import(job, births, removed).unwrap_or_else(|error| {
            vec![ImportedFile {
                error: Some(with_sources(&error)),
                met_damage: is_damage(&error),
                ..report_of(&job.path, &job.head, ImportStatus::Failed)
            }]
        })
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

    /// What came of the file's conversation, and of the sub-agents among its records.
    fn import(
        &self,
        job: &Job,
        births: &HashMap<(Agent, String), SessionId>,
        removed: &BTreeSet<String>,
    ) -> Result<Vec<ImportedFile>> {
        let store: &dyn Store = self.store;
        let head = &job.head;
        // Copies, points that are continued and parents are looked up there.
        if head.agent == Agent::Claude || head.fork != ForkHint::None || head.parent.is_some() {
            self.index.refresh(store)?;
        }
        let session = writer::session_id(head);
        let continues = writer::reference_origin(store, self.index, head)?;
        if let Some(file) = self.unchanged(job, session, continues)? {
            return Ok(vec![file]);
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
        let cursor = read(job, &mut writer)?;
        // The conversation's own cursor is put last: until then the file is read again whole.
        let inner = self.subagents(job, &writer.take_subagents(), removed)?;
        let outcome = writer.finish(cursor.with_head(head.archived, continues))?;
        Ok(std::iter::once(came_of(&job.path, head, outcome)).chain(inner).collect())
    }

    /// Imports the sub-agents among the records of a file.
    fn subagents(&self, job: &Job, heads: &[FileHead], removed: &BTreeSet<String>) -> Result<Vec<ImportedFile>> {
        if heads.is_empty() {
            return Ok(Vec::new());
        }
        let (store, index, now): (&dyn Store, _, _) = (self.store, self.index, self.now);
        let inner = Inner { store, index, now, path: &job.path, head: &job.head, heads };
        let outcomes = inner.import(removed)?;
        let files = heads.iter().zip(outcomes).map(|(head, outcome)| match outcome {
            Some(outcome) => came_of(&job.path, head, outcome),
            None => report_of(&job.path, head, ImportStatus::Removed),
        });
        Ok(files.collect())
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
            ..report_of(&job.path, &job.head, ImportStatus::Unchanged)
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
            let mut is_same = false;
            for (at, mut file) in rehearsal.file(job, &births, removed).into_iter().enumerate() {
                if let Some(session) = file.session_id
                    && self.store.exists(session)?
                {
                    // The first is the file's own conversation.
                    let continues = writer::reference_origin(self.store, self.index, &job.head)?;
                    is_same = at == 0 && self.unchanged(job, session, continues)?.is_some();
                    file.entries = if is_same { 0 } else { self.missing(&store, session)? };
                    let is_new = !is_same && (at == 0 || file.entries > 0);
                    file.status = if is_new { ImportStatus::Updated } else { ImportStatus::Unchanged };
                    file.segment_id = Some(leaf::current_leaf(self.store, session)?);
                }
                report.add(file);
                if is_same {
                    break;
                }
            }
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

/// Reads a file through its agent's reader into the writer.
fn read(job: &Job, writer: &mut Writer<'_>) -> Result<Cursor> {
    let mut reader: Box<dyn Reader> = match job.head.agent {
        Agent::Claude => Box::new(ClaudeReader::new(&job.head, &job.path)),
        Agent::Codex => Box::new(CodexReader::new(&job.head)),
        Agent::Pi => Box::new(PiReader::new(&job.head)),
    };
    let mut source = Source::open(&job.path).map_err(|error| failure(&job.path, error))?;
    let mut lines = Lines::new(&mut source.input, detect::is_record);
    let mut steps: Vec<Step> = Vec::new();
    let mut end_ordinal = None;
    while let Some(piece) = lines.next().map_err(|error| failure(&job.path, error))? {
        match piece.found {
            Found::Warning(message) => writer.tally().warn(piece.line, message),
            Found::Record { value, text } => {
                writer.tally().records += 1;
                let ordinal = value.get("ordinal").and_then(Value::as_u64).unwrap_or(piece.line);
                end_ordinal = end_ordinal.max(Some(ordinal.saturating_add(1)));
                reader.record(RawRecord { line: piece.line, value, text: &text }, &mut steps);
            }
        }
        steps.drain(..).try_for_each(|step| writer.take(step))?;
    }
    reader.finish(&mut steps);
    steps.drain(..).try_for_each(|step| writer.take(step))?;
    drop(lines);
    if let Some(message) = source.damage().map(str::to_owned) {
        writer.tally().warnings.push(writer::ImportWarning { line: None, message });
    }
    Ok(source.cursor(&job.path).with_end_ordinal(end_ordinal))
}

fn failure(path: &Path, error: std::io::Error) -> SessionError {
    SessionError::Import { path: path.to_owned(), detail: error.to_string(), source: Some(Box::new(error)) }
}

fn report_of(path: &Path, head: &FileHead, status: ImportStatus) -> ImportedFile {
    ImportedFile {
        agent: Some(head.agent),
        native_id: Some(head.native_id.clone()),
        ..ImportedFile::new(path.display().to_string(), status)
    }
}

/// The report of a conversation that was read.
fn came_of(path: &Path, head: &FileHead, outcome: Outcome) -> ImportedFile {
    let status = match outcome.leaf {
        Some(_) if !outcome.existed => ImportStatus::Imported,
        Some(_) if outcome.entries > 0 || outcome.said => ImportStatus::Updated,
        _ => ImportStatus::Unchanged,
    };
    ImportedFile {
        session_id: outcome.leaf.map(|_| outcome.session),
        segment_id: outcome.leaf,
        entries: outcome.entries,
        records: outcome.tally.records,
        skipped: outcome.tally.skipped,
        warnings: outcome.tally.warnings,
        ..report_of(path, head, status)
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

/// The conversations at the paths. What is none of them goes into the report.
fn find(paths: &[PathBuf], from: Option<Agent>, report: &mut ImportReport) -> Vec<Job> {
    let mut jobs: BTreeMap<PathBuf, FileHead> = BTreeMap::new();
    for path in paths {
        if !path.is_dir() {
            if let Err(NoJob::Refused(reason) | NoJob::Unreadable(reason)) = look_at(path, from, &mut jobs) {
                report.add(ImportedFile::failed(path.display().to_string(), reason));
            }
            continue;
        }
        let before = jobs.len();
        let mut left_out = Vec::new();
        for found in detect::search(path) {
            match found {
                FoundFile::Candidate(file) => match look_at(&file, from, &mut jobs) {
                    Ok(()) => {}
                    Err(NoJob::Refused(reason)) => {
                        left_out.push(IgnoredFile { source: file.display().to_string(), reason });
                    }
                    // Nobody can say that it is no conversation.
                    Err(NoJob::Unreadable(reason)) => {
                        report.add(ImportedFile::failed(file.display().to_string(), reason));
                    }
                },
                FoundFile::Unreadable(folder, error) => {
                    report.add(ImportedFile::failed(folder.display().to_string(), error.to_string()));
                }
            }
        }
        report.ignored.extend(left_out);
        if jobs.len() == before && !jobs.keys().any(|job| job.starts_with(path)) {
            let reason = "the folder holds no conversation".to_owned();
            report.ignored.push(IgnoredFile { source: path.display().to_string(), reason });
        }
    }
    jobs.into_iter().map(|(path, head)| Job { path, head }).collect()
}

/// Why a file is not imported.
enum NoJob {
    /// It is not a conversation.
    Refused(String),
    /// It cannot be read.
    Unreadable(String),
}

fn look_at(path: &Path, from: Option<Agent>, jobs: &mut BTreeMap<PathBuf, FileHead>) -> Result<(), NoJob> {
    match detect::detect(path, from) {
        Ok(Detected::Conversation(head)) => {
            jobs.insert(path.to_owned(), *head);
            Ok(())
        }
        Ok(Detected::Refused(reason)) => Err(NoJob::Refused(reason)),
        Err(error) => Err(NoJob::Unreadable(error.to_string())),
    }
}

/// The sessions of the run's conversations.
fn births(jobs: &[Job]) -> HashMap<(Agent, String), SessionId> {
    jobs.iter().map(|job| ((job.head.agent, job.head.native_id.clone()), writer::session_id(&job.head))).collect()
}

/// By birth and native id, but those that others need before them.
fn in_order(mut jobs: Vec<Job>) -> Vec<Job> {
    jobs.sort_by(|a, b| a.key().cmp(&b.key()));
    let by_id: HashMap<(Agent, &str), usize> =
        jobs.iter().enumerate().rev().map(|(at, job)| ((job.head.agent, job.head.native_id.as_str()), at)).collect();
    let mut order: Vec<usize> = Vec::with_capacity(jobs.len());
    let mut entered = vec![false; jobs.len()];
    for first in 0..jobs.len() {
        // A stack of jobs whose needs come first; a job that needs itself, by whatever way, is taken as it comes.
        let mut stack = vec![(first, false)];
        while let Some((at, is_ready)) = stack.pop() {
            if is_ready {
                order.push(at);
            } else if !std::mem::replace(&mut entered[at], true) {
                stack.push((at, true));
                let job = &jobs[at];
                let needs = job.needs().filter_map(|need| by_id.get(&(job.head.agent, need)).copied());
                stack.extend(needs.map(|need| (need, false)));
            }
        }
    }
    let mut jobs: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| jobs[at].take()).collect()
}
