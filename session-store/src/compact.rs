//! Compaction: a new segment in which a shorter history stands for all that came before.
//!
//! What is kept, where it is cut and what a summary has to tell is a *plan* ([`plan_compaction`]), made of the entries of a branch
//! alone; [`compact`] makes the segment that the plan and a summary come to. Entries that stay are given as references, never as
//! copies, and the source is not changed, so whoever asks can still read everything. The price: a compacted segment can be read only
//! together with what it continues.
//!
//! The new segment continues the entry that the plan saw last. Somebody who writes in between is noticed, and then the plan is void:
//! a compaction never takes the place of what it did not see.

mod plan;
mod text;

use store_core::{Item, Position, Role, SegmentMeta, SegmentStart, Store, TimestampMs};

use crate::error::Result;
use crate::facts::{SessionFact, put_session_fact};
use crate::fork::{self, ForkPoint};
use crate::lineage;
use crate::segment::{NewSegment, SegmentLocation};

pub use plan::{CompactOptions, CompactionPlan, plan_compaction};

/// Makes a segment of the same session, `compacted_from` a point of a segment's branch, and makes it the current leaf.
///
/// `new.history` is exactly what a model is given next. Without `new.meta` it is taken over from the branch; `new.config` only
/// names what changes.
///
/// # Errors
/// `InvalidOrigin` for a history that refers to entries outside the branch; else as [`fork`](crate::fork).
pub fn create_compacted_segment(
    store: &dyn Store,
    now: TimestampMs,
    from: SegmentLocation,
    at: ForkPoint,
    new: NewSegment,
) -> Result<SegmentLocation> {
    let start = compacted_start(store, now, from, at, new)?;
    Ok(fork::begin_branch(store, now, start)?.0)
}

/// Makes the segment that a plan and a summary come to, and makes it the session's current leaf.
///
/// The summary stands in the history as a message of the user, between the instructions that stay and the turns that stay.
///
/// # Errors
/// `Conflict` if the log does not end any more where the plan saw it end: nothing of the conversation has changed then, and a new
/// plan sees what was added. `EmptySummary`. What the store fails with.
pub fn compact(store: &dyn Store, now: TimestampMs, plan: &CompactionPlan, summary: &str) -> Result<SegmentLocation> {
    let summary = summary.trim();
    if summary.is_empty() {
        return Err(crate::SessionError::EmptySummary);
    }
    let history = plan.history(Item::message(Role::User, summary));
    let new = NewSegment { history, ..NewSegment::default() };
    Ok(compact_head(store, now, (plan.location, plan.position), new)?.0)
}

/// Makes a compacted segment behind a log's last entry, and answers with the segment's first one.
pub(crate) fn compact_head(
    store: &dyn Store,
    now: TimestampMs,
    (head, position): (SegmentLocation, Position),
    new: NewSegment,
) -> Result<(SegmentLocation, Position)> {
    fork::expect_head(store, head, position)?;
    let start = compacted_start(store, now, head, ForkPoint::Seq(position.seq), new)?;
    let (made, first) = fork::write_branch(store, now, start)?;
    // Nothing keeps others from appending between the look and the write. What they said then is what the session goes on from.
    if let Err(conflict) = fork::expect_head(store, head, position) {
        put_session_fact(store, now, made.session_id, &SessionFact::Superseded(made.segment_id))?;
        return Err(conflict);
    }
    fork::make_current(store, now, made, first)?;
    Ok((made, first))
}

fn compacted_start(
    store: &dyn Store,
    now: TimestampMs,
    from: SegmentLocation,
    at: ForkPoint,
    mut new: NewSegment,
) -> Result<SegmentStart> {
    let parts = lineage::load(store, from.session_id, from.segment_id)?;
    let origin = fork::fork_origin(&parts, at)?;
    if new.meta == SegmentMeta::default() {
        new.meta = fork::meta_of_branch(&parts);
    }
    Ok(SegmentStart { compacted_from: Some(origin), ..new.into_start(from.session_id, now) })
}
