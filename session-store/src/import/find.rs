//! Which conversations an import has to do with, and in which order.
//!
//! All heads are read before the first file, because a conversation that others continue or were started by is imported before
//! them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use store_core::{MemoryStore, TimestampMs};

use super::detect::{self, Detected, FoundFile};
use super::feed::{self, Feed};
use super::fresh::Fresh;
use super::record::{Agent, FileHead, ForkHint};
use super::report::{IgnoredFile, ImportReport, ImportStatus, ImportedFile};
use super::staging::Staging;
use super::writer::{Target, Writer};
use crate::error::Result;
use crate::index::Index;

/// A conversation that is to be imported.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) path: PathBuf,
    pub(super) head: FileHead,
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

    pub(super) fn report(&self, status: ImportStatus) -> ImportedFile {
        ImportedFile::of(&self.path, &self.head, status)
    }
}

/// The conversations that stand at some paths, found before there is a store to bring them to.
#[derive(Debug)]
pub struct Conversations {
    pub(super) jobs: Vec<Job>,
    pub(super) report: ImportReport,
}

impl Conversations {
    /// Looks for them at the paths, in folders deep. It reads heads only, and writes nothing.
    pub fn find(paths: &[PathBuf], from: Option<Agent>) -> Self {
        let mut report = ImportReport::default();
        let jobs = in_order(find(paths, from, &mut report));
        Self { jobs, report }
    }

    /// Those of files that a search came upon before: what is none of them is left out, as it is in a folder.
    pub(super) fn of_files(files: &[PathBuf], from: Option<Agent>) -> Self {
        let mut report = ImportReport::default();
        let mut jobs = BTreeMap::new();
        let mut left_out = Vec::new();
        files.iter().for_each(|file| look_at_found(file, from, &mut jobs, &mut left_out, &mut report));
        report.ignored = left_out;
        let jobs = jobs.into_iter().map(|(path, head)| Job { path, head }).collect();
        Self { jobs: in_order(jobs), report }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether an import into a store with nothing in it would write anything: a conversation can be there and have nothing of
    /// its own yet. Each file is read up to the first record that says something.
    ///
    /// # Errors
    /// What the index fails with. A file that cannot be read holds nothing.
    pub fn hold_anything(&self) -> Result<bool> {
        let store = MemoryStore::new();
        let index = Index::open(&store)?;
        let staging = Staging::before(&store);
        let fresh = Fresh::alone(&store, &staging, &index);
        for Job { path, head } in &self.jobs {
            let (source, parent, parent_call, continues) = (path.display().to_string(), None, None, None);
            let (store, index, fresh) = (&staging, &index, &fresh);
            let session = super::writer::session_id(head);
            let target = Target {
                store,
                index,
                fresh,
                head,
                session,
                moved: None,
                source,
                parent,
                parent_call,
                exported: None,
                continues,
                now: head.birth_ms,
            };
            let mut writer = Writer::new(target)?;
            let Ok(mut feed) = Feed::open(path, head) else { continue };
            let mut read = feed.whole_lines(&mut writer, feed::Until::Begun);
            if read.is_ok() && !writer.has_begun() {
                read = feed.rest(&mut writer, feed::Until::Begun).map(drop);
            }
            if read.is_ok() && writer.has_begun() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The report of an import of none of them: what is there that is no conversation.
    pub fn into_report(self) -> ImportReport {
        self.report
    }
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
                FoundFile::Candidate(file) => look_at_found(&file, from, &mut jobs, &mut left_out, report),
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

/// Looks at a file that nobody named: it may be something else.
fn look_at_found(
    file: &Path,
    from: Option<Agent>,
    jobs: &mut BTreeMap<PathBuf, FileHead>,
    left_out: &mut Vec<IgnoredFile>,
    report: &mut ImportReport,
) {
    match look_at(file, from, jobs) {
        Ok(()) => {}
        Err(NoJob::Refused(reason)) => left_out.push(IgnoredFile { source: file.display().to_string(), reason }),
        // Nobody can say that it is no conversation.
        Err(NoJob::Unreadable(reason)) => report.add(ImportedFile::failed(file.display().to_string(), reason)),
    }
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
