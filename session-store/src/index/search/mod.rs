//! Full text: the words of prompts, answers, thoughts, calls and results, in the index's file.
//!
//! The one decision: the words are kept without the texts. A hit names an entry, and what is shown of it is read from the
//! log, so that the index stays small, a snippet is never older than the log, and what was damaged since is not
//! shown. The price is one short read of a log for each hit on the page.
//!
//! The words are brought up to date when somebody searches, not when somebody lists: reading every text takes longer than
//! folding it. `fill` reads what is new of the segments that changed, `words` tells what a word is, for texts and
//! questions alike, `find` answers and `snippet` shows why.
//!
//! Hits come newest conversation first, and newest first within one: who looks for something said remembers about
//! when, and an order by how often a word stands in a text would put long outputs before short answers.

mod fill;
mod find;
mod snippet;
mod texts;
mod words;

use serde::Serialize;
use store_core::{SegmentId, Seq, SessionId, TimestampMs};

use super::list::ListQuery;
use crate::query::Query;
use crate::transcript::ShowRole;

pub(super) use fill::{fill, forget};
pub(super) use find::find;
pub(super) use snippet::Needle;
pub(crate) use texts::entry_texts;
pub(super) use texts::hit_at;

/// What is searched for, and among which conversations.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// The words, and conditions on conversations.
    pub query: Query,
    /// Filters as those of a list; its order, limit and cursor are not looked at.
    pub among: ListQuery,
    /// At most so many hits; `None`: all.
    pub limit: Option<usize>,
    /// At most so many hits of one conversation; `None`: as many as there are.
    pub per_session: Option<usize>,
}

/// An entry that says what was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SearchHit {
    /// The session.
    pub session_id: SessionId,
    /// The segment that holds the entry.
    pub segment_id: SegmentId,
    /// The entry.
    pub seq: Seq,
    /// Who says it.
    pub role: ShowRole,
    /// When it was said. RFC 3339 in JSON.
    #[serde(serialize_with = "crate::time::serialize")]
    pub ts: TimestampMs,
    /// The conversation's title.
    pub title: Option<String>,
    /// A piece of the text around the first place that matches, on one line.
    pub snippet: String,
    /// The places in the snippet that match: begin and end, exclusive, counted in Unicode characters.
    pub ranges: Vec<[usize; 2]>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SearchHits {
    /// The hits, newest conversation first.
    pub hits: Vec<SearchHit>,
    /// How many entries match, whatever the limits.
    pub total: u64,
    /// In how many conversations.
    pub sessions: u64,
}

/// How far the words have been brought up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchProgress {
    /// Segments whose texts have been read.
    pub segments: u64,
    /// Segments that were to be read when it began.
    pub segments_total: u64,
    /// Entries that have been read.
    pub entries: u64,
}
