//! The first entry of a segment: whose it is, what it continues, and with which settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::item::Item;
use crate::id::{SegmentId, Seq, SessionId, TimestampMs};

/// The point that a segment continues. Everything up to and including `seq` is read there; nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentOrigin {
    /// The session of the continued segment.
    pub session_id: SessionId,
    /// The continued segment.
    pub segment_id: SegmentId,
    /// The last entry that is continued, inclusive.
    pub seq: Seq,
    /// How many turns the branch has up to there, counted from its root.
    pub at_turn_index: u64,
}

/// Whether a segment is a conversation of a person or one that a tool call started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A conversation that a person has.
    #[default]
    Main,
    /// A conversation that another one started with a tool call.
    Subagent,
}

/// Where a segment comes from. All fields are optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentMeta {
    /// The agent that wrote the conversation: `claude`, `codex`, `pi`, or a runtime's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent's own id of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_id: Option<String>,
    /// Main or sub-agent.
    pub kind: SessionKind,
    /// The session whose tool call started this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<SessionId>,
    /// The tool call that started this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_call_id: Option<String>,
    /// The file it was imported from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What else the writer wanted to keep.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The settings under which a conversation runs. All fields are optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionConfig {
    /// The model's name as the provider knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The working folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The version-control branch checked out there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The reasoning level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// What else the writer wanted to keep.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl SessionConfig {
    /// The settings after a change: what `change` names replaces what stood here, the rest stays.
    pub fn apply(&mut self, change: &Self) {
        let fields = [
            (&mut self.model, &change.model),
            (&mut self.provider, &change.provider),
            (&mut self.cwd, &change.cwd),
            (&mut self.branch, &change.branch),
            (&mut self.thinking, &change.thinking),
        ];
        for (old, new) in fields {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        for (name, value) in &change.other {
            self.other.insert(name.clone(), value.clone());
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A reference to entries of the segment's own lineage, in place of a second copy of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryRef {
    /// The segment that holds the entries.
    pub segment_id: SegmentId,
    /// The first entry, inclusive.
    pub from: Seq,
    /// The last entry, inclusive.
    pub through: Seq,
}

/// What a segment's history starts with: an item, or a reference to entries that hold items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryItem {
    /// Entries of the segment's lineage.
    Reference(HistoryRef),
    /// An item of its own, such as a compaction's summary.
    Item(Item),
}

impl HistoryItem {
    /// The reference, if it is one.
    pub const fn as_reference(&self) -> Option<&HistoryRef> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Item(_) => None,
        }
    }
}

/// The first entry of every segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentStart {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// The session that the segment belongs to.
    pub session_id: SessionId,
    /// The system prompt, if the runtime keeps it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The settings at the start.
    #[serde(default, skip_serializing_if = "SessionConfig::is_empty")]
    pub config: SessionConfig,
    /// What the model is given before the segment's own entries. Empty with `forked_from`: the prefix is read there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryItem>,
    /// The point that this segment continues with the whole history before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<SegmentOrigin>,
    /// The point that this segment continues with `history` in place of what came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compacted_from: Option<SegmentOrigin>,
    /// Where it comes from.
    #[serde(default)]
    pub meta: SegmentMeta,
}

impl SegmentStart {
    /// A start without a prompt, settings, history or origin.
    pub fn new(session_id: SessionId, ts: TimestampMs) -> Self {
        Self {
            ts,
            session_id,
            system_prompt: None,
            config: SessionConfig::default(),
            history: Vec::new(),
            forked_from: None,
            compacted_from: None,
            meta: SegmentMeta::default(),
        }
    }

    /// The point that is continued, by fork or by compaction.
    pub const fn origin(&self) -> Option<&SegmentOrigin> {
        match (&self.forked_from, &self.compacted_from) {
            (Some(origin), _) | (None, Some(origin)) => Some(origin),
            (None, None) => None,
        }
    }
}
