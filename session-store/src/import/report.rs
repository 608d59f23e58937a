//! What an import did, as it is told.

use std::path::Path;

use serde::Serialize;
use store_core::{SegmentId, SessionId};

use super::record::{Agent, FileHead};
pub use super::writer::ImportWarning;
use super::writer::Outcome;

/// What came of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStatus {
    /// It is a conversation that was not there before.
    Imported,
    /// It had something new.
    Updated,
    /// It had nothing new, or has nothing of its own.
    Unchanged,
    /// It is not a conversation, or could not be read or written.
    Failed,
    /// It was purged, and stays away.
    Removed,
}

/// What came of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedFile {
    /// The file, or the folder that could not be read.
    pub source: String,
    /// Who wrote it.
    pub agent: Option<Agent>,
    /// The agent's own id of the conversation.
    pub native_id: Option<String>,
    /// The session; `None` if there is none.
    pub session_id: Option<SessionId>,
    /// The session's current leaf.
    pub segment_id: Option<SegmentId>,
    /// What came of it.
    pub status: ImportStatus,
    /// How many entries were written.
    pub entries: u64,
    /// How many records were read.
    pub records: u64,
    /// How many of them say nothing that is kept.
    pub skipped: u64,
    /// What a person should know.
    pub warnings: Vec<ImportWarning>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It failed because the store is damaged.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub met_damage: bool,
}

impl ImportedFile {
    /// A file of which nothing is known yet.
    pub(super) const fn new(source: String, status: ImportStatus) -> Self {
        Self {
            source,
            agent: None,
            native_id: None,
            session_id: None,
            segment_id: None,
            status,
            entries: 0,
            records: 0,
            skipped: 0,
            warnings: Vec::new(),
            error: None,
            met_damage: false,
        }
    }

    /// A conversation that is in a file.
    pub(super) fn of(path: &Path, head: &FileHead, status: ImportStatus) -> Self {
        let (agent, native_id) = (Some(head.agent), Some(head.native_id.clone()));
        Self { agent, native_id, ..Self::new(path.display().to_string(), status) }
    }

    /// A conversation that was read.
    pub(super) fn came_of(path: &Path, head: &FileHead, outcome: Outcome) -> Self {
        let status = match outcome.leaf {
            Some(_) if !outcome.existed => ImportStatus::Imported,
            Some(_) if outcome.entries > 0 || outcome.said => ImportStatus::Updated,
            _ => ImportStatus::Unchanged,
        };
        Self {
            session_id: outcome.leaf.map(|_| outcome.session),
            segment_id: outcome.leaf,
            entries: outcome.entries,
            records: outcome.tally.records,
            skipped: outcome.tally.skipped,
            warnings: outcome.tally.warnings,
            ..Self::of(path, head, status)
        }
    }

    pub(super) fn failed(source: String, error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::new(source, ImportStatus::Failed) }
    }
}

/// A file that was found in a folder and is not a conversation, or a folder without any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IgnoredFile {
    /// The file, or the folder.
    pub source: String,
    /// Why it is left out.
    pub reason: String,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Conversations that were not there before.
    pub imported: u64,
    /// Conversations that had something new.
    pub updated: u64,
    /// Conversations that had nothing new.
    pub unchanged: u64,
    /// Files that failed.
    pub failed: u64,
    /// Conversations that were purged and stay away.
    pub removed: u64,
    /// Entries that were written.
    pub entries: u64,
    /// Each file, in the order in which they were read.
    pub sessions: Vec<ImportedFile>,
    /// Files of folders that are not conversations, and folders without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredFile>,
}

impl ImportReport {
    pub(super) fn add(&mut self, file: ImportedFile) {
        let count = match file.status {
            ImportStatus::Imported => &mut self.imported,
            ImportStatus::Updated => &mut self.updated,
            ImportStatus::Unchanged => &mut self.unchanged,
            ImportStatus::Failed => &mut self.failed,
            ImportStatus::Removed => &mut self.removed,
        };
        *count += 1;
        self.entries += file.entries;
        self.sessions.push(file);
    }
}
