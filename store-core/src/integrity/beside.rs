//! Repairing what lies beside the logs: facts, traces, checkpoints, and the record of events.
//!
//! Its texts have no identity of their own. Nobody refers to the third fact, or to the seq of a trace, and so a repair numbers what it keeps
//! from 1 without gaps: the record then is one that every reader and writer takes as it is, and nothing has to be told apart from damage for ever. The
//! price is that only the event says where something is missing.

use std::collections::HashMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::checkpoint::{CheckpointLine, ListedCheckpoint};
use super::event::{Event, EventKind};
use super::maintain::{MaintenanceOptions, Quarantined};
use super::scan::{Scanned, Visit};
use crate::chain::{Chain, ChainHead};
use crate::error::Result;
use crate::id::{MigrationId, SegmentId, Seq, SessionId};
use crate::store::Fact;
use crate::trace::TraceEntry;

/// What a record beside the logs holds.
// Persisted: never rename a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// What is said about a session, or about the store.
    Facts,
    /// The debug trace of a segment.
    Traces,
    /// The checkpoints of a segment.
    Checkpoints,
    /// What was done to the store.
    Events,
}

impl RecordKind {
    /// Whether a text is one of such a record.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(self, text: &str) -> Result<(), serde_json::Error> {
        match self {
            Self::Facts => crate::json::from_str::<Fact>(text).map(drop),
            Self::Traces => crate::json::from_str::<TraceEntry>(text).map(drop),
            Self::Checkpoints => crate::json::from_str::<CheckpointLine>(text).map(drop),
            Self::Events => Event::from_text(text).map(drop),
        }
    }
}

/// A record beside the logs.
// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordAt {
    /// What it holds.
    pub record: RecordKind,
    /// The session that it belongs to; `None` for what belongs to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The segment that it belongs to, of traces and checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentId>,
}

impl RecordAt {
    /// The facts of a session, or of the store.
    pub const fn facts(session: Option<SessionId>) -> Self {
        Self { record: RecordKind::Facts, session, segment: None }
    }

    /// The trace of a segment.
    pub const fn traces(session: SessionId, segment: SegmentId) -> Self {
        Self { record: RecordKind::Traces, session: Some(session), segment: Some(segment) }
    }

    /// The checkpoints of a segment.
    pub const fn checkpoints(session: SessionId, segment: SegmentId) -> Self {
        Self { record: RecordKind::Checkpoints, session: Some(session), segment: Some(segment) }
    }

    /// What was done to the store.
    pub const EVENTS: Self = Self { record: RecordKind::Events, session: None, segment: None };
}

/// What the repair of a record did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordRepair {
    /// Names it in the record of events.
    pub migration_id: MigrationId,
    /// Which record.
    #[serde(flatten)]
    pub at: RecordAt,
    /// How many texts were kept, in their order.
    pub kept: u64,
    /// How many are known to be lost: those that the seqs of the others, or a count, tell of. There may be more at a damaged end.
    pub lost: u64,
    /// What held no valid text.
    pub quarantined: Vec<Quarantined>,
}

impl RecordRepair {
    /// The event that tells of it.
    pub fn to_event(&self, options: &MaintenanceOptions) -> Event {
        let Self { migration_id, at, kept, lost, quarantined } = self.clone();
        let correlation_id = options.correlation_id.clone();
        let what = EventKind::RecordRepaired { migration_id, at, kept, lost, quarantined };
        Event { correlation_id, ..Event::done(options.now, what) }
    }
}

/// The line that makes void those of some checkpoints that are not true of a segment's log; `None` if all that can be told of are. A record that lost
/// the line which said so would otherwise offer checkpoints again that do not hold any more. `scan` is as [`Integrity::scan`](super::Integrity::scan).
///
/// Of a checkpoint behind damage nothing can be told: the repair of the log makes it void.
///
/// # Errors
/// What `scan` fails with.
pub fn void_untrue(
    listed: &[ListedCheckpoint],
    scan: impl FnOnce(&mut Visit<'_>) -> Result<()>,
) -> Result<Option<CheckpointLine>> {
    let live = || listed.iter().filter(|one| !one.void).map(|one| &one.checkpoint);
    let mut heads: HashMap<Seq, Option<ChainHead>> = live().map(|one| (one.seq, None)).collect();
    if heads.is_empty() {
        return Ok(None);
    }
    let (mut chain, mut is_whole) = (Chain::START, true);
    scan(&mut |scanned| {
        match scanned {
            Scanned::Entry(entry) if entry.position.seq == chain.seq.next() => chain.push(entry.text),
            Scanned::Damaged(stretch) if !stretch.kind.is_damage() => return ControlFlow::Continue(()),
            _ => {
                is_whole = false;
                return ControlFlow::Break(());
            }
        }
        if let Some(head) = heads.get_mut(&chain.seq) {
            *head = Some(chain.head);
        }
        ControlFlow::Continue(())
    })?;
    let holds = |seq: Seq, head| match heads.get(&seq).copied().flatten() {
        Some(found) => found == head,
        None => !is_whole,
    };
    let untrue = live().filter(|one| !holds(one.seq, one.head)).map(|one| one.number).min();
    Ok(untrue.map(|number| CheckpointLine::Void { void_after: number.saturating_sub(1) }))
}
