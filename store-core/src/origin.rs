//! The rules about what a new segment may continue and refer to, shared by every backend.

use crate::entry::{HistoryItem, HistoryRef, SegmentOrigin, SegmentStart};
use crate::error::{Result, StoreError};
use crate::id::{SegmentId, Seq, SessionId};

/// What a backend knows of an existing segment without reading its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its session.
    pub session: SessionId,
    /// How many entries it has.
    pub entry_count: u64,
    /// The point that it continues.
    pub origin: Option<SegmentOrigin>,
}

/// Checks that a new segment's origin exists and that its history refers to its own lineage only.
///
/// The lineage is the origin's segment up to and including the origin's seq, then that segment's origin, and so on.
///
/// # Errors
/// `InvalidOrigin`; what `look_up` fails with.
pub fn check_origin(
    segment: SegmentId,
    start: &SegmentStart,
    mut look_up: impl FnMut(SegmentId) -> Result<Option<SegmentFacts>>,
) -> Result<()> {
    if start.forked_from.is_some() && start.compacted_from.is_some() {
        return Err(bad("forked_from and compacted_from exclude each other".to_owned()));
    }
    let mut lineage: Vec<(SegmentId, Seq)> = Vec::new();
    let mut next = start.origin().copied();
    let mut own_origin = true;
    while let Some(origin) = next {
        if origin.segment_id == segment || lineage.iter().any(|(seen, _)| *seen == origin.segment_id) {
            return Err(bad(format!("the lineage comes back to segment {}", origin.segment_id)));
        }
        let Some(facts) = look_up(origin.segment_id)? else {
            return Err(bad(format!("segment {} does not exist", origin.segment_id)));
        };
        if own_origin {
            check_point(&origin, &facts)?;
        }
        own_origin = false;
        lineage.push((origin.segment_id, origin.seq));
        next = facts.origin;
    }
    for item in &start.history {
        if let HistoryItem::Reference(reference) = item {
            check_reference(reference, &lineage)?;
        }
    }
    Ok(())
}

fn check_point(origin: &SegmentOrigin, facts: &SegmentFacts) -> Result<()> {
    if facts.session != origin.session_id {
        return Err(bad(format!("segment {} is not in session {}", origin.segment_id, origin.session_id)));
    }
    if origin.seq.0 == 0 || origin.seq.0 > facts.entry_count {
        let (seq, count) = (origin.seq, facts.entry_count);
        return Err(bad(format!("segment {} has {count} entries, not a seq {seq}", origin.segment_id)));
    }
    Ok(())
}

fn check_reference(reference: &HistoryRef, lineage: &[(SegmentId, Seq)]) -> Result<()> {
    let HistoryRef { segment_id, from, through } = *reference;
    let within = lineage.iter().any(|(segment, last)| *segment == segment_id && through <= *last);
    if !within || from.0 == 0 || from > through {
        return Err(bad(format!(
            "history refers to {segment_id} {from}..={through}, which is not in the segment's lineage"
        )));
    }
    Ok(())
}

const fn bad(detail: String) -> StoreError {
    StoreError::InvalidOrigin { detail }
}
