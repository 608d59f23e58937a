//! Stores to import into, and what is asked of them afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use session_store::import::{ImportOptions, ImportReport, Importer};
use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery, SessionSummary};
use session_store::{
    OpenMode, OpenOptions, RestoredState, ShowKind, ShowMessage, ShowOptions, ShowScope, UsageTotals, current_leaf,
    restore, transcript,
};
use std::sync::Arc;
use store_core::{Backend, SegmentId, Seq, SessionId};
use tempfile::TempDir;

/// Noon of a day in 2026.
pub(crate) const NOON: u64 = 1_795_262_400_000;

/// Every log of a store: of each entry its key and its text.
pub(crate) type Logs = BTreeMap<(SessionId, SegmentId), Vec<(Option<String>, String)>>;

/// A store with its index.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Backend>,
    pub(crate) index: Index,
    _folder: TempDir,
}

/// The kinds of stores that the features bring.
pub(crate) fn kinds() -> Vec<&'static str> {
    let kinds = [("memory", true), ("fs", cfg!(feature = "fs")), ("sqlite", cfg!(feature = "sqlite"))];
    kinds.into_iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| kind).collect()
}

impl World {
    /// An empty store of a kind: `memory`, `fs` or `sqlite`.
    pub(crate) fn new(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match kind {
            "memory" => "memory:".to_owned(),
            "fs" => format!("fs:{}", folder.path().join("store").display()),
            _ => format!("sqlite:{}", folder.path().join("store.db").display()),
        };
        let options = OpenOptions { mode: OpenMode::ReadWrite, now: NOON, create: true };
        let store = session_store::open(&url, &options).unwrap();
        let index = Index::open(&*store).unwrap();
        Self { store, index, _folder: folder }
    }

    pub(crate) fn memory() -> Self {
        Self::new("memory")
    }

    /// Goes on with an index that knows nothing but what the store holds.
    pub(crate) fn forget_the_index(&mut self) {
        self.index = Index::open(&*self.store).unwrap();
    }

    pub(crate) fn import(&self, paths: &[PathBuf]) -> ImportReport {
        self.import_with(paths, &ImportOptions::default())
    }

    pub(crate) fn import_with(&self, paths: &[PathBuf], options: &ImportOptions) -> ImportReport {
        let importer = Importer { store: &*self.store, index: &self.index, now: NOON };
        importer.run(paths, options, &mut |_| {}).unwrap()
    }

    /// A store in memory with files and folders of the samples.
    pub(crate) fn of(samples: &[&str]) -> Self {
        let world = Self::memory();
        world.import(&samples.iter().map(|path| sample(path)).collect::<Vec<_>>());
        world
    }

    /// What a model and a runtime would go on with.
    pub(crate) fn state(&self, native_id: &str) -> RestoredState {
        let session = self.session(native_id).unwrap();
        restore(&*self.store, session, current_leaf(&*self.store, session).unwrap()).unwrap()
    }

    /// The conversation's row in the list.
    pub(crate) fn summary(&self, native_id: &str) -> SessionSummary {
        self.index.summary(self.session(native_id).unwrap()).unwrap().unwrap()
    }

    /// The session of an agent's own id.
    pub(crate) fn session(&self, native_id: &str) -> Option<SessionId> {
        self.index.find_native(None, native_id).unwrap().first().map(|home| home.session_id)
    }

    fn show(&self, native_id: &str, scope: ShowScope) -> Vec<ShowMessage> {
        let session = self.session(native_id).unwrap();
        let leaf = current_leaf(&*self.store, session).unwrap();
        let options = ShowOptions { scope, ..ShowOptions::default() };
        transcript(&*self.store, session, leaf, &options).unwrap().messages
    }

    /// The branch that the conversation goes on from.
    pub(crate) fn branch(&self, native_id: &str) -> Vec<ShowMessage> {
        self.show(native_id, ShowScope::Branch)
    }

    /// Every branch of the conversation.
    pub(crate) fn all(&self, native_id: &str) -> Vec<ShowMessage> {
        self.show(native_id, ShowScope::All)
    }

    /// What a model would be given.
    pub(crate) fn context(&self, native_id: &str) -> Vec<ShowMessage> {
        self.show(native_id, ShowScope::Context)
    }

    /// Every row of the list.
    pub(crate) fn rows(&self) -> Vec<SessionSummary> {
        let query =
            ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, limit: None, ..ListQuery::default() };
        self.index.list(&query).unwrap().rows
    }

    /// What was used, each request once.
    pub(crate) fn usage(&self) -> UsageTotals {
        let mut sum = UsageTotals::default();
        for row in self.rows() {
            sum.input_tokens += row.usage.input_tokens;
            sum.output_tokens += row.usage.output_tokens;
            sum.cache_read_tokens += row.usage.cache_read_tokens;
            sum.cache_write_tokens += row.usage.cache_write_tokens;
            sum.reasoning_tokens += row.usage.reasoning_tokens;
            sum.total_tokens += row.usage.total_tokens;
        }
        sum
    }

    /// Every log, each entry with its key and its text.
    pub(crate) fn logs(&self) -> Logs {
        let mut logs = BTreeMap::new();
        for session in self.store.list_sessions().unwrap() {
            for segment in self.store.list_segments(session).unwrap() {
                let records = self.store.read_range(session, segment, Seq::START, usize::MAX).unwrap();
                let log = records.into_iter().map(|record| (record.key, record.text)).collect();
                logs.insert((session, segment), log);
            }
        }
        logs
    }

    /// What has to be the same however a file came in: sessions, what they show, their leaves, what they used.
    pub(crate) fn told(&self) -> Vec<Told> {
        let mut told: Vec<Told> = self.rows().iter().map(|row| self.told_of(row)).collect();
        told.sort_by_key(|told| told.session);
        told
    }

    fn told_of(&self, row: &SessionSummary) -> Told {
        let session = row.session_id;
        let leaf = current_leaf(&*self.store, session).unwrap();
        let rows = transcript(&*self.store, session, leaf, &ShowOptions::default()).unwrap().messages;
        Told {
            session,
            leaf,
            title: row.title.clone(),
            usage: row.usage,
            shown: rows
                .into_iter()
                .map(|row| (row.kind, row.turn, row.text, row.tool.map(|tool| tool.call_id)))
                .collect(),
        }
    }
}

/// What a session tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) session: SessionId,
    pub(crate) leaf: SegmentId,
    pub(crate) title: Option<String>,
    pub(crate) usage: UsageTotals,
    pub(crate) shown: Vec<(ShowKind, u64, String, Option<String>)>,
}

/// A file or folder of the sample conversations.
pub(crate) fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(path)
}

/// All conversations below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Warnings and failures of a report, to look at when something is not as expected.
pub(crate) fn complaints(report: &ImportReport) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in &report.sessions {
        complaints.extend(file.error.iter().map(|error| format!("{}: {error}", file.source)));
        for warning in &file.warnings {
            complaints.push(format!("{}:{:?}: {}", file.source, warning.line, warning.message));
        }
    }
    complaints
}
