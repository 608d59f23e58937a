//! What a writer is told, and what it counts along the way.

use serde::{Deserialize, Serialize};
use store_core::{SegmentMeta, SegmentStart, SessionId, Store, TimestampMs};

use crate::import::exported::Home;
use crate::import::fresh::Fresh;
use crate::import::moved::Moved;
use crate::import::record::FileHead;
use crate::import::walk::Place;
use crate::index::Index;

/// A warning about a line of the file, 1-based; about the file as a whole if there is none.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ImportWarning {
    /// The line.
    pub line: Option<u64>,
    /// What a person should know.
    pub message: String,
}

/// How much was read and written.
#[derive(Clone, Debug, Default)]
pub(in crate::import) struct Tally {
    pub(in crate::import) records: u64,
    pub(in crate::import) skipped: u64,
    pub(in crate::import) warnings: Vec<ImportWarning>,
}

impl Tally {
    /// Notes a warning about a 0-based line.
    pub(in crate::import) fn warn(&mut self, line: u64, message: impl Into<String>) {
        self.warnings.push(ImportWarning { line: Some(line + 1), message: message.into() });
    }
}

/// What a writer is told about its file.
#[derive(Clone)]
pub(in crate::import) struct Target<'a> {
    pub(in crate::import) store: &'a dyn Store,
    pub(in crate::import) index: &'a Index,
    /// What the run has written that the index may not know.
    pub(in crate::import) fresh: &'a Fresh<'a>,
    pub(in crate::import) head: &'a FileHead,
    /// The session that the conversation is.
    pub(in crate::import) session: SessionId,
    /// Where it was written anew, if it was.
    pub(in crate::import) moved: Option<Moved>,
    pub(in crate::import) source: String,
    /// The session that a sub-agent was started in.
    pub(in crate::import) parent: Option<SessionId>,
    /// The call that started it there.
    pub(in crate::import) parent_call: Option<String>,
    /// What the store holds of the file, which was made of it.
    pub(in crate::import) exported: Option<Home>,
    /// The point that the file continues by reference.
    pub(in crate::import) continues: Option<Place>,
    pub(in crate::import) now: TimestampMs,
}

impl Target<'_> {
    /// What each of the conversation's segments begins with.
    pub(super) fn start(&self, session: SessionId, ts: TimestampMs) -> SegmentStart {
        let head = self.head;
        let meta = SegmentMeta {
            agent: Some(head.agent.name().to_owned()),
            native_id: Some(head.native_id.clone()),
            kind: head.kind,
            parent_session_id: self.parent,
            parent_call_id: self.parent_call.clone(),
            source: Some(self.source.clone()),
            other: head.other.iter().map(|(name, value)| (self.meta_name(name), value.clone())).collect(),
        };
        SegmentStart { meta, ..SegmentStart::new(session, ts) }
    }

    /// The name under which something of a head is kept: not one that means something else there.
    fn meta_name(&self, name: &str) -> String {
        const TAKEN: [&str; 6] = ["agent", "native_id", "kind", "parent_session_id", "parent_call_id", "source"];
        if TAKEN.contains(&name) { format!("{}_{name}", self.head.agent) } else { name.to_owned() }
    }
}

/// What the agent says about the conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) title: Option<(TimestampMs, String)>,
    pub(super) own_title: Option<(TimestampMs, String)>,
    pub(super) tags: Option<(TimestampMs, Vec<String>)>,
    pub(super) leaf: Option<String>,
}

/// Numbers the entries that one record gives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Keys {
    pub(super) record: String,
    next: u64,
}

impl Keys {
    /// The key of the record's next entry.
    pub(super) fn take(&mut self, record: &str) -> String {
        self.skip(record);
        format!("{record}#{}", self.next - 1)
    }

    /// The key that the record's next entry would have.
    pub(super) fn peek(&self, record: &str) -> String {
        let next = if self.record == record { self.next } else { 0 };
        format!("{record}#{next}")
    }

    /// Passes over an entry that is not written.
    pub(super) fn skip(&mut self, record: &str) {
        if self.record != record {
            record.clone_into(&mut self.record);
            self.next = 0;
        }
        self.next += 1;
    }
}

/// A record that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'r> {
    pub(super) record: &'r str,
    pub(super) line: u64,
    pub(super) ts: TimestampMs,
}
