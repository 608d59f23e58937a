//! Sources: the folders that are imported again and again, and which of their files changed since.
//!
//! A source is a fact of the store. A file of one has changed if its size or its times are not what the index remembers of it, so that to find
//! out costs a look at each file's name plate and opens none. Only changed files are read, a few at a time, and what was
//! seen is remembered after each few: who stops in between, or is stopped, goes on from there. What the index remembers is a projection like the rest of it:
//! without it every file is looked at once more, against its cursor in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use store_core::{FactScope, Store, TimestampMs};

use super::detect::{self, FoundFile};
use super::find::Conversations;
use super::record::Agent;
use super::report::{ImportReport, ImportStatus};
use super::run::{Importer, Progress};
use super::writer::ctime_ns;
use crate::error::Result;
use crate::facts::{StoreFact, put_store_fact};
use crate::index::{FileStamp, SeenFile};

/// How many files are imported before it is remembered that they were.
const FILES_TOGETHER: usize = 32;
/// How long a file that failed and did not change is left alone.
const RETRY_MS: u64 = 60_000;

/// The sources of a store, in the order of their paths.
///
/// # Errors
/// What the store fails with.
pub fn sources(store: &dyn Store) -> Result<Vec<PathBuf>> {
    Ok(known(store)?.into_keys().map(PathBuf::from).collect())
}

/// The latest that is said of each source, unless it was taken back.
fn known(store: &dyn Store) -> Result<BTreeMap<String, Value>> {
    let mut known = BTreeMap::new();
    for fact in &store.facts(FactScope::Store)? {
        match StoreFact::from_fact(fact) {
            Some(StoreFact::Source { path, value: Value::Null }) => drop(known.remove(&path)),
            Some(StoreFact::Source { path, value }) => drop(known.insert(path, value)),
            _ => {}
        }
    }
    Ok(known)
}

/// Makes folders sources of a store, each with the name of the agent that writes there. Those that are sources already stay as they are. They need not be
/// there yet. Answers how many are new.
///
/// # Errors
/// What the store fails with.
pub fn put_sources(store: &dyn Store, now: TimestampMs, folders: &[(PathBuf, String)]) -> Result<usize> {
    let known = known(store)?;
    let mut new = 0;
    for (path, agent) in folders {
        let (path, value) = (path.display().to_string(), json!({ "agent": agent }));
        if known.get(&path) != Some(&value) {
            put_store_fact(store, now, &StoreFact::Source { path, value })?;
            new += 1;
        }
    }
    Ok(new)
}

/// A file of a source, and as what it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SourceFile {
    path: PathBuf,
    stamp: FileStamp,
}

/// The files of some sources, as they were when somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFiles {
    files: Vec<SourceFile>,
    /// Files that are remembered and were not found.
    gone: Vec<String>,
}

impl SourceFiles {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// All files in folders, deep, that may be conversations; a file that is named is one of them. A folder that is not there, or cannot be
/// read, has none.
fn look(folders: &[PathBuf]) -> Vec<SourceFile> {
    let mut found = BTreeMap::new();
    for folder in folders {
        if let Some(meta) = std::fs::metadata(folder).ok().filter(Metadata::is_file) {
            found.insert(folder.clone(), stamp(&meta));
            continue;
        }
        for file in detect::search(folder) {
            let FoundFile::Candidate(path) = file else { continue };
            // One that is gone by now is none.
            if let Ok(meta) = std::fs::metadata(&path) {
                found.insert(path, stamp(&meta));
            }
        }
    }
    found.into_iter().map(|(path, stamp)| SourceFile { path, stamp }).collect()
}

fn stamp(meta: &Metadata) -> FileStamp {
    let since_epoch = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    FileStamp {
        size_bytes: meta.len(),
        mtime_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        ctime_ns: ctime_ns(meta).unwrap_or_default(),
    }
}

impl Importer<'_> {
    /// All files of folders, changed or not: what an import of the folders is to be held against afterwards, by [`saw`](Self::saw).
    pub fn source_files(folders: &[PathBuf]) -> SourceFiles {
        SourceFiles { files: look(folders), gone: Vec::new() }
    }

    /// Remembers files as imported, but for those that failed by the report, or are not in it.
    ///
    /// # Errors
    /// `Busy`; `Index`.
    pub fn saw(&self, files: &SourceFiles, report: &ImportReport) -> Result<()> {
        let named = |path: &Path| path.display().to_string();
        let failed = report.sessions.iter().filter(|file| file.status == ImportStatus::Failed);
        let failed: BTreeSet<&str> = failed.map(|file| file.source.as_str()).collect();
        let done =
            report.sessions.iter().map(|file| &file.source).chain(report.ignored.iter().map(|file| &file.source));
        let done: BTreeSet<&str> = done.map(String::as_str).collect();
        let seen = files.files.iter().map(|file| (named(&file.path), file.stamp));
        let seen = seen.filter(|(path, _)| done.contains(path.as_str()));
        let seen: Vec<(String, SeenFile)> = seen
            .map(|(path, stamp)| {
                let failed_at = failed.contains(path.as_str()).then_some(self.now);
                (path, SeenFile { stamp, failed_at })
            })
            .collect();
        self.index.saw_files(&seen, &files.gone)
    }

    /// The files of folders that have changed since they were remembered; the one that was written longest ago first. A file that failed
    /// and did not change is tried again after a minute.
    ///
    /// # Errors
    /// `Index`.
    pub fn changed_files(&self, folders: &[PathBuf]) -> Result<SourceFiles> {
        let mut seen = self.index.seen_files()?;
        let is_due = |failed_at: TimestampMs| self.now.abs_diff(failed_at) >= RETRY_MS;
        let mut files = look(folders);
        files.retain(|file| {
            let before = seen.remove(&file.path.display().to_string());
            before.is_none_or(|before| before.stamp != file.stamp || before.failed_at.is_some_and(is_due))
        });
        files.sort_by_key(|file| file.stamp.mtime_ns);
        let is_ours = |path: &String| folders.iter().any(|folder| Path::new(path).starts_with(folder));
        Ok(SourceFiles { files, gone: seen.into_keys().filter(is_ours).collect() })
    }

    /// Imports files, a few at a time, as one agent's or as what they hold. Of each few, `told` is given the report and how many are left; before each file, and after each few, it says
    /// whether to go on. Conversations that others continue come before them among each few.
    ///
    /// # Errors
    /// What the store or the index fails with as a whole.
    pub fn bring_in(
        &self,
        files: SourceFiles,
        from: Option<Agent>,
        go_on: &dyn Fn() -> ControlFlow<()>,
        told: &mut dyn FnMut(ImportReport, usize),
    ) -> Result<()> {
        let SourceFiles { files, gone } = files;
        self.index.saw_files(&[], &gone)?;
        let mut left = files.len();
        for few in files.chunks(FILES_TOGETHER) {
            if go_on().is_break() {
                break;
            }
            let paths: Vec<PathBuf> = few.iter().map(|file| file.path.clone()).collect();
            let found = Conversations::of_files(&paths, from);
            let report = self.run_while(found, false, &mut |_: Progress<'_>| go_on())?;
            self.saw(&SourceFiles { files: few.to_vec(), gone: Vec::new() }, &report)?;
            let done: BTreeSet<&str> = report.sessions.iter().map(|file| file.source.as_str()).collect();
            left -= few.len().min(done.len() + report.ignored.len());
            told(report, left);
        }
        Ok(())
    }
}
