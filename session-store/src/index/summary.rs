//! The rows of lists: what the command line prints as JSON, and the shape in which the index keeps them.

use serde::{Deserialize, Serialize};
use store_core::{Backend, SegmentId, SegmentOrigin, Seq, SessionId, SessionKind, TimestampMs};

use crate::fold::UsageTotals;
use crate::live::{Live, live};

/// The point in another session that a session continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkedFrom {
    /// The continued session.
    pub session_id: SessionId,
    /// The continued segment.
    pub segment_id: SegmentId,
    /// The last entry that is continued, inclusive.
    pub seq: Seq,
}

impl From<&SegmentOrigin> for ForkedFrom {
    fn from(origin: &SegmentOrigin) -> Self {
        Self { session_id: origin.session_id, segment_id: origin.segment_id, seq: origin.seq }
    }
}

/// One conversation, as a row of a list. Times are RFC 3339 in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The session.
    pub session_id: SessionId,
    /// Its current leaf.
    pub segment_id: SegmentId,
    /// A person's title, else the agent's, else the first line of the first prompt.
    pub title: Option<String>,
    /// The agent that wrote it.
    pub agent: Option<String>,
    /// That agent's own id of it.
    pub native_id: Option<String>,
    /// The folder in which the current leaf works.
    pub cwd: Option<String>,
    /// The version-control branch there.
    pub branch: Option<String>,
    /// The model of the current leaf.
    pub model: Option<String>,
    /// Main or sub-agent.
    pub kind: SessionKind,
    /// The session whose tool call started it.
    pub parent_session_id: Option<SessionId>,
    /// The point in another session that it continues.
    pub forked_from: Option<ForkedFrom>,
    /// Time of the first entry.
    #[serde(with = "super::time::rfc3339")]
    pub created_at: TimestampMs,
    /// Time of the latest entry.
    #[serde(with = "super::time::rfc3339")]
    pub updated_at: TimestampMs,
    /// Time of the latest message of the person or the model, over the whole branch.
    #[serde(with = "super::time::rfc3339_option")]
    pub last_message_at: Option<TimestampMs>,
    /// How many segments it has.
    pub segments: u64,
    /// How many entries are stored in it.
    pub entries: u64,
    /// How many messages its current branch shows, from the root.
    pub messages: u64,
    /// How many turns its current branch has, from the root.
    pub turns: u64,
    /// What the provider requests used that this session owns.
    pub usage: UsageTotals,
    /// What those used that it continues or repeats and another session owns.
    pub usage_inherited: UsageTotals,
    /// What its own requests cost in US dollars, a decimal text; `None` unless every one of them says so.
    pub cost_usd: Option<String>,
    /// Whether somebody writes it now: unknown until [`look_for_writer`](Self::look_for_writer) asks.
    #[serde(skip_deserializing)]
    pub live: Live,
    /// Whether a log or the facts of it could not be read to the end. What is known is shown.
    pub damaged: bool,
    /// Whether it was put into the archive.
    pub archived: bool,
    /// Whether it was put into the trash.
    pub trashed: bool,
    /// Whether it was pinned.
    pub pinned: bool,
    /// Its tags.
    pub tags: Vec<String>,
}

impl SessionSummary {
    /// Asks the store whether somebody writes to any segment of the session now.
    pub fn look_for_writer(&mut self, store: &dyn Backend) {
        let session = self.session_id;
        self.live = live(store, session, [self.segment_id]);
        if self.segments > 1 && self.live == Live::Nobody {
            self.live = store.list_segments(session).map_or(Live::Unknown, |all| live(store, session, all));
        }
    }
}

/// One segment of a session, as a row of a list. Times are RFC 3339 in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSummary {
    /// The segment.
    pub segment_id: SegmentId,
    /// The agent's own id of the conversation it was written for.
    pub native_id: Option<String>,
    /// The first line of the first prompt that stands in it.
    pub title: Option<String>,
    /// How many entries it has.
    pub entries: u64,
    /// How many turns begin in it.
    pub turns: u64,
    /// What the provider requests used that the session owns and this segment is the first to hold.
    pub usage: UsageTotals,
    /// Time of its first entry.
    #[serde(with = "super::time::rfc3339")]
    pub created_at: TimestampMs,
    /// Time of its latest entry.
    #[serde(with = "super::time::rfc3339")]
    pub updated_at: TimestampMs,
    /// The point that it continues with the whole history before it.
    pub forked_from: Option<SegmentOrigin>,
    /// The point that it continues with a shorter history.
    pub compacted_from: Option<SegmentOrigin>,
    /// Whether nothing of the session continues its last entry.
    pub leaf: bool,
    /// Whether it is the session's current leaf.
    pub current: bool,
    /// Whether another segment took its place.
    pub superseded: bool,
    /// Whether its log, or one that it continues, could not be read to the end.
    pub damaged: bool,
}

/// What the filters of a list left out; a session counts once, in the trash before the archive before sub-agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// Sub-agents.
    pub subagent: u64,
    /// Archived conversations.
    pub archived: u64,
    /// Conversations in the trash.
    pub trashed: u64,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The rows, in the order that was asked for.
    #[serde(rename = "sessions")]
    pub rows: Vec<SessionSummary>,
    /// How many conversations pass the filters, over all pages.
    pub total: u64,
    /// How many the filters by kind, archive and trash left out.
    pub hidden: Hidden,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
}
