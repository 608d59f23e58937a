//! Compaction: a new segment in which a shorter history stands for all that came before.
//!
//! The source is not changed, so whoever asks can still read everything. What the new history says is the caller's
//! business; entries that stay in it are given as references, never as copies.

use store_core::{Position, SegmentMeta, SegmentStart, Store, TimestampMs};

use crate::error::Result;
use crate::fork::{self, ForkPoint};
use crate::lineage;
use crate::segment::{NewSegment, SegmentLocation};

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
    Ok(compact_at(store, now, from, at, new)?.0)
}

/// The same with the new segment's first entry.
pub(crate) fn compact_at(
    store: &dyn Store,
    now: TimestampMs,
    from: SegmentLocation,
    at: ForkPoint,
    mut new: NewSegment,
) -> Result<(SegmentLocation, Position)> {
    let parts = lineage::load(store, from.session_id, from.segment_id)?;
    let origin = fork::fork_origin(&parts, at)?;
    if new.meta == SegmentMeta::default() {
        new.meta = fork::meta_of_branch(&parts);
    }
    let start = SegmentStart { compacted_from: Some(origin), ..new.into_start(from.session_id, now) };
    fork::begin_branch(store, now, start)
}
