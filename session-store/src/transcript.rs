//! The transcript: a conversation as a person reads it.
//!
//! A branch is shown from its root, across forks and compactions. A compaction shows its summary, once; what its
//! history refers to was shown where it stands, and an answer directly before it that only says the same as the summary
//! is hidden. What the program put in for the model alone is left out. [`ShowScope::Context`] is the opposite view: what a
//! model would be given, and nothing else.
//!
//! What is a message is decided in one place, [`TranscriptFold`], so that a list counts what is shown.

mod all;
mod build;
mod fold;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Item, Part, Role, SegmentId, SegmentMeta, Seq, SessionConfig, SessionId, Store, TimestampMs};

use crate::error::Result;
use crate::fold::ConfigFold;
use crate::lineage::{self, LineageEntries};
use crate::restore;

pub use fold::{Shown, TranscriptFold};
#[cfg(feature = "index")]
pub(crate) use fold::{joined_text as text_of_parts, shown_items, summary_place};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShowRole {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool.
    Tool,
    /// The program or its developer.
    System,
}

impl ShowRole {
    /// Who says an item.
    pub(crate) const fn of(item: &Item) -> Self {
        match item {
            Item::Message { role: Role::User, .. } => Self::User,
            Item::Message { role: Role::System | Role::Developer, .. } => Self::System,
            Item::ToolResult { .. } => Self::Tool,
            _ => Self::Assistant,
        }
    }
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShowKind {
    /// A message.
    Message,
    /// What the model thought.
    Reasoning,
    /// A call of a tool.
    ToolCall,
    /// What a tool answered.
    ToolResult,
    /// What a compaction made of all that came before.
    Summary,
}

impl ShowKind {
    /// Whether it counts as a message.
    pub const fn is_message(self) -> bool {
        matches!(self, Self::Message | Self::Summary)
    }
}

/// The call that a tool call or a tool result is about. In JSON it always has all four; what is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShowTool {
    /// Pairs the call with its result.
    pub call_id: String,
    /// The tool, where the call is known.
    #[serde(default)]
    pub name: Option<String>,
    /// The call's arguments; for a call.
    #[serde(default)]
    pub arguments: Option<Value>,
    /// Whether the tool says that it failed; for a result.
    #[serde(default)]
    pub is_error: Option<bool>,
}

/// One row of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShowMessage {
    /// The session that holds the entry.
    pub session_id: SessionId,
    /// The segment that holds the entry.
    pub segment_id: SegmentId,
    /// The entry.
    pub seq: Seq,
    /// The turn, 1-based from the branch's root; 0 before the first.
    pub turn: u64,
    /// When, in milliseconds since the epoch; RFC 3339 in JSON.
    #[serde(serialize_with = "crate::time::serialize")]
    pub ts: TimestampMs,
    /// Who speaks.
    pub role: ShowRole,
    /// What is said.
    pub kind: ShowKind,
    /// All readable text, a line break between parts.
    pub text: String,
    /// All parts, if there are others than text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<Part>>,
    /// The call it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<ShowTool>,
    /// Put in by the program for the model alone; only in a context.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub injected: bool,
}

/// Which of a session's entries are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShowScope {
    /// The branch that ends with the segment, from its root.
    #[default]
    Branch,
    /// Every segment of the session behind the prefix that it inherited, each entry once; superseded segments are left out.
    All,
    /// What a model would be given at the end of the segment, open calls closed.
    Context,
}

/// What of a conversation is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShowOptions {
    /// Which entries.
    pub scope: ShowScope,
    /// Only these turns, first and last inclusive.
    pub turns: Option<(u64, u64)>,
    /// Of what is left only the last so many messages, with all that stands behind the first of them.
    pub last: Option<usize>,
}

/// One segment of the shown branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowLineage {
    /// The segment's session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The last entry that belongs to the branch, inclusive.
    pub through: Seq,
}

/// A conversation as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transcript {
    /// The segments of the branch, root first.
    pub lineage: Vec<ShowLineage>,
    /// The rows.
    pub messages: Vec<ShowMessage>,
    /// The settings that hold at the end of the branch.
    #[serde(skip)]
    pub config: SessionConfig,
    /// Where the segment comes from.
    #[serde(skip)]
    pub meta: SegmentMeta,
}

/// Reads a conversation as it is to be shown.
///
/// `segment` is the end of the branch; with [`ShowScope::All`] it only says which session is meant.
///
/// # Errors
/// `NotFound`; [`LineageError`](crate::LineageError); what the store fails with.
pub fn transcript(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    options: &ShowOptions,
) -> Result<Transcript> {
    let parts = lineage::load(store, session, segment)?;
    let mut messages = match options.scope {
        ShowScope::Branch => build::branch_rows(store, &parts)?,
        ShowScope::Context => build::context_rows(store, &parts)?,
        ShowScope::All => all::session_rows(store, session)?,
    };
    narrow(&mut messages, options);
    let mut config = ConfigFold::default();
    parts.iter().flat_map(|part| &part.entries).for_each(|entry| config.apply(entry));
    Ok(Transcript {
        lineage: parts.iter().map(ShowLineage::of).collect(),
        messages,
        config: config.into_config(),
        meta: restore::collect_meta(&parts),
    })
}

impl ShowLineage {
    const fn of(part: &LineageEntries) -> Self {
        Self { session_id: part.session_id, segment_id: part.segment_id, through: part.position.seq }
    }
}

fn narrow(messages: &mut Vec<ShowMessage>, options: &ShowOptions) {
    if let Some((first, last)) = options.turns {
        messages.retain(|message| (first..=last).contains(&message.turn));
    }
    if let Some(last) = options.last {
        let mut places = messages.iter().enumerate().rev().filter(|(_, row)| row.kind.is_message()).map(|(at, _)| at);
        let from = match last.checked_sub(1) {
            Some(skip) => places.nth(skip).unwrap_or(0),
            None => messages.len(),
        };
        messages.drain(..from);
    }
}
