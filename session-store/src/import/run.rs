//! A run: the files one after the other, and what came of each. A file that fails never stops the run.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use store_core::{Backend, Seq, SessionId, Store, StoreError, TimestampMs};

use super::ahead::{self, Ahead, AheadText};
use super::codex;
use super::exported::Home;
use super::feed::{failure, is_damage, with_sources};
use super::find::{Conversations, Job};
use super::fresh::Fresh;
use super::inner::Inner;
use super::moved::{Moved, Moves};
use super::passage;
use super::raw::{self, RawArchive, Standing};
use super::record::{Agent, FileHead, ForkHint, ParentCall};
use super::rehearsal::Rehearsal;
use super::report::{ImportReport, ImportStatus, ImportedFile};
use super::source;
use super::staging::Staging;
use super::walk::Place;
use super::writer::{self, Cursor, Target};
use crate::error::{Result, SessionError};
use crate::facts::{SessionFact, SessionFacts, put_session_fact};
use crate::index::Index;
use crate::leaf;

/// How many records of a parent are read at once.
const BATCH_RECORDS: usize = 256;

/// How an import is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whose files they are; `None`: what they hold tells.
    pub from: Option<Agent>,
    /// Say what would be written, write nothing but temporary files, which go with the process.
    pub dry_run: bool,
    /// Whether the files' bytes are kept.
    pub raw: RawArchive,
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
        self.run_found(Conversations::find(paths, options.from), options, progress)
    }

    /// Imports what was found, as [`run`](Self::run) does.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_found(
        &self,
        conversations: Conversations,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<ImportReport> {
        self.run_while(conversations, options, &mut |at| {
            progress(at);
            ControlFlow::Continue(())
        })
    }

    /// Imports what was found as long as `next` says before each file that it should. The report has no word of the others.
    pub(super) fn run_while(
        &self,
        conversations: Conversations,
        options: &ImportOptions,
        next: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<ImportReport> {
        if options.dry_run {
            let store = Rehearsal::on(self.store)?;
            let index = self.index.copy()?;
            let importer = Importer { store: &store, index: &index, now: self.now };
            let options = ImportOptions { dry_run: false, raw: RawArchive::Off, ..*options };
            return importer.run_while(conversations, &options, next);
        }
        let Conversations { jobs, mut report } = conversations;
        let moves = Moves::read(self.store)?;
        self.index.refresh(self.store)?;
        let files = Staging::beside(self.store, |staging| {
            Fresh::beside(self.store, staging, self.index, |fresh| {
                let births = births(self.store, &jobs, &moves)?;
                let run = Run { importer: *self, raw: options.raw, births, moves, staging, fresh };
                let mut files = Ahead::beside(|ahead| run.files(&jobs, ahead, next));
                fresh.bring_in()?;
                run.again(&jobs, &mut files)?;
                Ok::<_, SessionError>(files)
            })
        })?;
        files.into_iter().flatten().for_each(|file| report.add(file));
        self.index.refresh(self.store)?;
        Ok(report)
    }
}

/// What the files of one run share.
struct Run<'a> {
    importer: Importer<'a>,
    raw: RawArchive,
    births: HashMap<(Agent, String), SessionId>,
    moves: Moves,
    /// The store, with what is on its way there.
    staging: &'a Staging<'a>,
    /// What was written that the index does not know yet.
    fresh: &'a Fresh<'a>,
}

impl Run<'_> {
    /// What came of the files, as far as `next` lets them be imported.
    fn files(
        &self,
        jobs: &[Job],
        ahead: &Ahead,
        next: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Vec<Vec<ImportedFile>> {
        let mut files = Vec::with_capacity(jobs.len());
        let mut asked = 0;
        for (done, job) in jobs.iter().enumerate() {
            if next(Progress { done, files: jobs.len(), path: &job.path }).is_break() {
                break;
            }
            let upcoming = jobs.iter().take(done + ahead::FILES).skip(asked);
            upcoming.filter(|job| self.is_new(job)).for_each(|job| ahead.ask(&job.path, self.raw != RawArchive::Off));
            asked = done + ahead::FILES;
            files.push(self.file(job, ahead.take(&job.path)));
        }
        files
    }

    /// Whether nothing of a file seems to be there yet. What cannot be told is told when its turn comes.
    fn is_new(&self, job: &Job) -> bool {
        let (store, session) = (self.importer.store, self.moves.session(&job.head));
        let is_removed = || self.moves.is_removed(store, &job.head).unwrap_or(true);
        job.head.exported.is_none() && !self.staging.exists(session).unwrap_or(true) && !is_removed()
    }

    /// What came of the file's conversation, and of the sub-agents among its records.
    fn file(&self, job: &Job, ahead: Option<AheadText>) -> Vec<ImportedFile> {
        let imported = match self.moves.is_removed(self.importer.store, &job.head) {
            Ok(true) => return vec![job.report(ImportStatus::Removed)],
            Ok(false) => self.import(job, ahead),
            Err(error) => Err(error),
        };
        imported.unwrap_or_else(|error| {
            vec![ImportedFile {
                error: Some(with_sources(&error)),
                met_damage: is_damage(&error),
                ..job.report(ImportStatus::Failed)
            }]
        })
    }

    /// Imports files once more whose sessions could not be made with the others: somebody else made them meanwhile, or the medium
    /// failed. Each is written by itself, and is told of what it meets.
    fn again(&self, jobs: &[Job], files: &mut [Vec<ImportedFile>]) -> Result<()> {
        let failed = self.staging.take_failed();
        if failed.is_empty() {
            return Ok(());
        }
        self.staging.go_direct();
        for (job, files) in jobs.iter().zip(files) {
            let is_failed = |file: &ImportedFile| file.session_id.is_some_and(|session| failed.contains(&session));
            if failed.contains(&self.moves.session(&job.head)) || files.iter().any(is_failed) {
                *files = self.file(job, None);
            }
        }
        self.fresh.bring_in()
    }

    fn import(&self, job: &Job, ahead: Option<AheadText>) -> Result<Vec<ImportedFile>> {
        let (store, index): (&dyn Store, &Index) = (self.staging, self.importer.index);
        let head = &job.head;
        let exported = Home::find(store, head)?;
        let same = exported.filter(|home| home.is_same);
        let session = same.map_or_else(|| self.moves.session(head), |home| home.at.session);
        // Points that are continued and parents are looked up there. Copies by their records' ids are looked up one by one.
        let is_known = |parent: &ParentCall| self.births.contains_key(&(head.agent, parent.native_id.clone()));
        let asks_for_parent = head.parent.as_ref().is_some_and(|parent| !is_known(parent));
        if head.fork != ForkHint::None || asks_for_parent || self.fresh.holds(session) {
            self.fresh.bring_in()?;
        }
        let moved = self.moves.find(head);
        let continues = match same.map(|home| home.at) {
            Some(at) => Some(at),
            None => self.continued(head, moved.as_ref())?,
        };
        if let Some(file) = self.unchanged(job, session, continues)? {
            return Ok(vec![file]);
        }
        let (parent, parent_call) = self.parent_of(head)?;
        let source = job.path.display().to_string();
        let now = self.importer.now;
        let (fresh, raw) = (self.fresh, self.raw);
        let target = Target {
            store,
            index,
            fresh,
            head,
            session,
            moved,
            source,
            parent,
            parent_call,
            raw,
            exported,
            continues,
            now,
        };
        let mut inner = Vec::new();
        let outcome = passage::import(job, ahead, &target, &mut |heads| {
            inner = self.subagents(job, heads)?;
            Ok(())
        })?;
        self.fresh.wrote(&outcome)?;
        Ok(std::iter::once(ImportedFile::came_of(&job.path, head, outcome)).chain(inner).collect())
    }

    /// The point that a file continues by reference.
    fn continued(&self, head: &FileHead, moved: Option<&Moved>) -> Result<Option<Place>> {
        match moved.and_then(|moved| moved.continues) {
            Some(at) => Ok(Some(at).filter(|_| matches!(head.fork, ForkHint::ByReference { .. }))),
            None => writer::reference_origin(self.importer.store, self.importer.index, head),
        }
    }

    /// Imports the sub-agents among the records of a file.
    fn subagents(&self, job: &Job, heads: &[FileHead]) -> Result<Vec<ImportedFile>> {
        if heads.is_empty() {
            return Ok(Vec::new());
        }
        let Importer { index, now, .. } = self.importer;
        let (store, fresh) = (self.staging, self.fresh);
        let inner = Inner { store, index, fresh, now, path: &job.path, head: &job.head, heads, moves: &self.moves };
        let outcomes = inner.import()?;
        let files = heads.iter().zip(outcomes).map(|(head, outcome)| match outcome {
            Some(outcome) => {
                self.fresh.wrote(&outcome)?;
                Ok(ImportedFile::came_of(&job.path, head, outcome))
            }
            None => Ok(ImportedFile::of(&job.path, head, ImportStatus::Removed)),
        });
        let files = files.collect();
        // The cursor of the conversation, which is put after this, tells of them.
        self.staging.commit();
        files
    }

    /// The session and the call that started a sub-agent.
    fn parent_of(&self, head: &FileHead) -> Result<(Option<SessionId>, Option<String>)> {
        let Some(parent) = &head.parent else { return Ok((None, None)) };
        let session = match self.births.get(&(head.agent, parent.native_id.clone())) {
            Some(session) => Some(*session),
            None => {
                let homes = self.importer.index.find_native(Some(head.agent.name()), &parent.native_id)?;
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
        for segment in self.staging.list_segments(session)? {
            let mut after = Seq::START;
            loop {
                let records = self.staging.read_range(session, segment, after, BATCH_RECORDS)?;
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
        if !self.importer.store.exists(session)? {
            return Ok(None);
        }
        let facts = SessionFacts::read(self.importer.store, session)?;
        let Some(before) = Cursor::read(&facts, &job.head.native_id) else { return Ok(None) };
        let stamp = source::stamp_of(&job.path).map_err(|error| failure(&job.path, error))?;
        let stamp = stamp.with_head(job.head.archived, continues);
        if before.is_outgrown_by(&stamp) {
            return Ok(None);
        }
        if !before.has_stamp(&stamp) {
            let now = source::cursor_of(&job.path).map_err(|error| failure(&job.path, error))?;
            if !before.is_of(&now.with_head(job.head.archived, continues)) {
                return Ok(None);
            }
        }
        self.keep_unchanged(job, session, before)?;
        let row = self.importer.index.summary(session)?.filter(|row| !row.damaged);
        let current = match row {
            Some(row) => row.segment_id,
            None => leaf::current_leaf(self.importer.store, session)?,
        };
        Ok(Some(ImportedFile {
            session_id: Some(session),
            segment_id: Some(current),
            ..job.report(ImportStatus::Unchanged)
        }))
    }
}

impl Run<'_> {
    /// Keeps the bytes of a file that was read before without keeping them, if that is asked for.
    fn keep_unchanged(&self, job: &Job, session: SessionId, cursor: Cursor) -> Result<()> {
        let (store, native_id) = (self.importer.store, &job.head.native_id);
        if self.raw != RawArchive::Backfill || !Standing::read(store, session, native_id)?.is_missing() {
            return Ok(());
        }
        let Some(kept) = raw::pack_file(store, &job.path, cursor.bytes(), cursor.sha256())? else { return Ok(()) };
        let mut count = None;
        if let Some(leaf) = cursor.leaf() {
            // What nobody else wrote has keys.
            let last = store.read_tail(session, leaf, 1)?.into_iter().next_back();
            count = last.filter(|last| last.key.is_some()).map(|last| last.position.seq.0);
        }
        let value = serde_json::to_value(cursor.kept_later(kept.range.clone(), count)).map_err(StoreError::backend)?;
        let fact = SessionFact::Cursor { native_id: native_id.clone(), value };
        put_session_fact(store, self.importer.now, session, &fact)
    }
}

/// The sessions of the run's conversations.
fn births(store: &dyn Store, jobs: &[Job], moves: &Moves) -> Result<HashMap<(Agent, String), SessionId>> {
    let session = |job: &Job| {
        let same = Home::find(store, &job.head)?.filter(|home| home.is_same);
        let session = same.map_or_else(|| moves.session(&job.head), |home| home.at.session);
        Ok(((job.head.agent, job.head.native_id.clone()), session))
    };
    jobs.iter().map(session).collect()
}
