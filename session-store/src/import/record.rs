//! The neutral form between the agents' files and the store: what a reader makes of a file's records.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Item, LogEntry, SessionConfig, SessionKind, TimestampMs};

use crate::export::ExportedFrom;

/// An agent whose files can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// pi.
    Pi,
}

impl Agent {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Claude, Self::Codex, Self::Pi];

    /// The name under which the agent is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Pi => "pi",
        }
    }

    /// The agent of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|agent| agent.name() == name)
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The call of another conversation that started this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentCall {
    /// The other conversation's native id.
    pub native_id: String,
    /// The tool call in it, where the file tells.
    pub call_id: Option<String>,
}

/// How a file says that it continues another conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForkHint {
    /// It does not say so. Copied records may still give it away.
    #[default]
    None,
    /// It holds only its own records; the prefix stands in the named conversation, before this ordinal.
    ByReference {
        /// The continued conversation's native id.
        native_id: String,
        /// The first ordinal that is not continued.
        end_ordinal: u64,
    },
    /// It starts with copies of the records of the named conversation.
    Copy {
        /// The copied conversation's native id.
        native_id: String,
    },
}

/// What the head of a file tells before its records are read.
#[derive(Clone, Debug, PartialEq)]
pub struct FileHead {
    /// Who wrote it.
    pub agent: Agent,
    /// The agent's own id of the conversation.
    pub native_id: String,
    /// When the conversation began, in milliseconds since the epoch.
    pub birth_ms: TimestampMs,
    /// Main or sub-agent.
    pub kind: SessionKind,
    /// What started it, for a sub-agent.
    pub parent: Option<ParentCall>,
    /// What it continues.
    pub fork: ForkHint,
    /// Whether the agent keeps it among its archived ones.
    pub archived: bool,
    /// Settings that stand in the head.
    pub config: SessionConfig,
    /// The system prompt, where the head holds it.
    pub system_prompt: Option<String>,
    /// What else of the head is kept in the meta of the conversation's first segment, such as the agent's version.
    pub other: BTreeMap<String, Value>,
    /// Its records stand among those of the conversation that started it, in one file.
    pub inline: bool,
    /// The file was exported, and from what.
    pub exported: Option<ExportedFrom>,
}

/// One whole JSON value of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct RawRecord {
    /// 0-based physical line.
    pub line: u64,
    /// The value.
    pub value: Value,
}

/// Where a record stands among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parent {
    /// Behind the record before it.
    #[default]
    Previous,
    /// Behind the named record. If that is not the end of the current branch, a branch begins there.
    Record(String),
    /// Behind nothing, although records came before it: a branch that begins with the conversation's settings alone.
    Root,
}

/// What a reader says of a conversation, in the order of the file.
///
/// `record` is the id under which entries are keyed (`<record>#<n>`): the record's own id, for one that is repeated
/// in its file `<id>@<line>`. `line` is 0-based.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The entries that one record gives. A `user_input` among them is a prompt: the writer ends or closes the turn
    /// before it. A record of the file that is a copy of a record of another conversation is recognised by its id.
    Entries {
        /// The record's id.
        record: String,
        /// Its line.
        line: u64,
        /// Its time, in milliseconds since the epoch.
        ts: TimestampMs,
        /// What it stands behind.
        parent: Parent,
        /// What it gives; may be empty for a record that only takes a place others refer to.
        entries: Vec<LogEntry>,
    },
    /// What a record says beyond the entries that it gave, as an extension behind the last of them. Where these stand
    /// without it, because they were written before readers kept it, it is left out.
    Rest {
        /// The record's id.
        record: String,
        /// Its line.
        line: u64,
        /// Its time, in milliseconds since the epoch.
        ts: TimestampMs,
        /// The extension's domain.
        domain: &'static str,
        /// What is left of the record.
        payload: Value,
    },
    /// What earlier readers made of a record that gives nothing here any more. It is read where it stands, and written
    /// nowhere.
    Former {
        /// The record's id.
        record: String,
        /// Its line.
        line: u64,
        /// Its time, in milliseconds since the epoch.
        ts: TimestampMs,
        /// What it gave.
        entries: Vec<LogEntry>,
    },
    /// A conversation of its own begins among the records: that of a sub-agent.
    Subagent {
        /// What is known of it when it begins.
        head: Box<FileHead>,
    },
    /// The turn ended, as the record says or shows.
    EndTurn {
        /// The record's id.
        record: String,
        /// Its line.
        line: u64,
        /// Its time.
        ts: TimestampMs,
    },
    /// The turn failed or was interrupted.
    Fail {
        /// The record's id.
        record: String,
        /// Its line.
        line: u64,
        /// Its time.
        ts: TimestampMs,
        /// What happened.
        message: String,
        /// Whether a person or a signal stopped it.
        interrupted: bool,
    },
    /// The model goes on with another history: a new segment, `compacted_from` the last entry before it.
    Compact {
        /// The record's id.
        record: String,
        /// Its line.
        line: u64,
        /// Its time.
        ts: TimestampMs,
        /// The record whose last entry is the last one before it; `None`: the end of the current branch.
        behind: Option<String>,
        /// Exactly what the model saw next, in order.
        history: Vec<HistoryPart>,
    },
    /// The last turns are taken out of the context: a branch from before them.
    RollBack {
        /// The record's id.
        record: String,
        /// Its line.
        line: u64,
        /// Its time.
        ts: TimestampMs,
        /// How many turns.
        turns: u64,
    },
    /// The conversation has a title.
    Title {
        /// When it was given.
        ts: TimestampMs,
        /// The title.
        text: String,
        /// Whether a person gave it; otherwise the agent made it up.
        by_person: bool,
    },
    /// The conversation has these tags.
    Tags {
        /// When they were given.
        ts: TimestampMs,
        /// All of them.
        tags: Vec<String>,
    },
    /// The agent's active leaf is this record, as far as the file was read.
    ActiveLeaf {
        /// The record's id.
        record: String,
    },
    /// A record that says nothing that is kept.
    Skipped {
        /// Its line.
        line: u64,
    },
    /// Something is wrong that a person should know.
    Warning {
        /// Its line.
        line: u64,
        /// What.
        message: String,
    },
}

/// A piece of the history that the model was given after a compaction.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryPart {
    /// An item that stands nowhere else.
    Item(Item),
    /// The entries of these records, where they stand; those that are not known are left out with a warning.
    Records(Vec<String>),
    /// The entries from this record to the end of the branch before the compaction.
    FromRecord(String),
}

/// Turns the records of one file into steps. One value per file; it holds what has to wait.
///
/// Prefix rule: the steps of a prefix of a file are a prefix of the steps of the whole.
pub trait Reader {
    /// Reads one record. Steps may be held back until a later record decides them.
    fn record(&mut self, record: RawRecord, out: &mut Vec<Step>);

    /// The file ends here, perhaps only until it grows: gives what no later record could change.
    fn finish(&mut self, out: &mut Vec<Step>);
}
