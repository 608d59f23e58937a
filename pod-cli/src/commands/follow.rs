//! `pod log ID -f`: prints entries as they are written, by whichever process.

use std::sync::Arc;
use std::time::Duration;

use session_store::index::Target;
use session_store::{BranchTail, Following, SegmentLocation};
use store_core::{Position, Seq, StoreError, TailFrom};

use super::log::Lines;
use crate::error::Result;
use crate::library::Library;

/// How long nothing is written before it is looked whether anybody still reads.
const IDLE: Duration = Duration::from_millis(250);

/// Where the followed segment ends now. What is appended behind that is the tail's.
pub(super) fn end(library: &Library, target: &Target) -> Result<Position> {
    let last = library.store.read_tail(target.session, target.segment, 1)?.pop();
    Ok(last.ok_or(StoreError::no_segment(target.segment))?.position)
}

/// Prints what is written behind `end`, until Ctrl-C, or nobody reads, or there is nothing to follow any more. Of the segment itself nothing up
/// to the seq `after`.
pub(super) fn run(
    library: &Library,
    target: &Target,
    (end, after): (Position, Seq),
    out: &mut Lines<'_>,
) -> Result<()> {
    let root = SegmentLocation { session_id: target.session, segment_id: target.segment };
    let following = if target.exact_segment { Following::Segment } else { Following::Branch };
    let mut tail = BranchTail::start(Arc::clone(&library.store), root, TailFrom::After(end), following)?;
    loop {
        out.hand_over()?;
        let Some((segment, records)) = tail.next(IDLE)? else { continue };
        for record in &records {
            if segment != target.segment || record.position.seq > after {
                out.record(segment, record)?;
            }
        }
    }
}
