//! The order in which segments can be worked on: what is continued before what continues it.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{SegmentId, SegmentOrigin, SessionId};

/// The segments, each behind the one that it continues if that is among them; `origins` says which one that is.
pub(crate) fn origins_first(
    segments: &BTreeSet<(SessionId, SegmentId)>,
    origins: &BTreeMap<SegmentId, SegmentOrigin>,
) -> Vec<(SessionId, SegmentId)> {
    let work: BTreeMap<SegmentId, SessionId> = segments.iter().map(|(session, segment)| (*segment, *session)).collect();
    let mut children: BTreeMap<SegmentId, Vec<SegmentId>> = BTreeMap::new();
    let mut waiting: BTreeSet<SegmentId> = BTreeSet::new();
    for (child, origin) in origins {
        if work.contains_key(&origin.segment_id) {
            children.entry(origin.segment_id).or_default().push(*child);
            waiting.insert(*child);
        }
    }
    let mut ready: Vec<SegmentId> = work.keys().rev().copied().filter(|segment| !waiting.contains(segment)).collect();
    let mut order = Vec::with_capacity(segments.len());
    let mut ordered = BTreeSet::new();
    while let Some(segment) = ready.pop() {
        ordered.insert(segment);
        order.extend(work.get(&segment).map(|session| (*session, segment)));
        ready.extend(children.remove(&segment).into_iter().flatten().rev());
    }
    // What is left continues itself: the store refuses that, a damaged one may hold it.
    order.extend(segments.iter().filter(|(_, segment)| !ordered.contains(segment)));
    // The same segment under two sessions: one of them is gone, and reading finds out which.
    order.extend(segments.iter().filter(|(session, segment)| work.get(segment) != Some(session)));
    order
}
