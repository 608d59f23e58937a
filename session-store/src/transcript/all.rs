//! Every segment of a session, each entry once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use store_core::{LogEntry, SegmentId, SegmentOrigin, Seq, SessionId, Store, StoreError, TimestampMs};

use super::ShowMessage;
use super::build::{BranchState, Builder, Place};
use crate::error::{LineageError, Result};
use crate::facts::SessionFacts;
use crate::lineage::{self, LineagePart};

/// A segment as far as it is shown.
struct Node {
    session: SessionId,
    through: Seq,
    begun: TimestampMs,
    origin: Option<SegmentOrigin>,
}

/// The rows of a session: the prefix that it inherited, then its segments, each behind the one that it continues, else by
/// the time they began.
pub(super) fn session_rows(store: &dyn Store, session: SessionId) -> Result<Vec<ShowMessage>> {
    let nodes = read_nodes(store, session)?;
    let mut continued: HashMap<SegmentId, BTreeSet<Seq>> = HashMap::new();
    let mut children: HashMap<SegmentId, Vec<SegmentId>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for (id, node) in &nodes {
        match node.origin {
            Some(origin) => {
                continued.entry(origin.segment_id).or_default().insert(origin.seq);
                children.entry(origin.segment_id).or_default().push(*id);
            }
            None => ready.push(Reverse((node.begun, *id))),
        }
    }
    let mut builder = Builder::new(store);
    let mut states: HashMap<(SegmentId, Seq), BranchState> = HashMap::new();
    while let Some(Reverse((_, id))) = ready.pop() {
        let Some(node) = nodes.get(&id) else { continue };
        let mut state =
            node.origin.and_then(|origin| states.get(&(origin.segment_id, origin.seq)).cloned()).unwrap_or_default();
        let points = continued.remove(&id).unwrap_or_default();
        for (seq, entry) in read_entries(store, id, node)? {
            builder.apply(&mut state, Place { session_id: node.session, segment_id: id, seq }, &entry)?;
            if points.contains(&seq) {
                states.insert((id, seq), state.clone());
            }
        }
        for child in children.remove(&id).unwrap_or_default() {
            if let Some(node) = nodes.get(&child) {
                ready.push(Reverse((node.begun, child)));
            }
        }
    }
    Ok(builder.finish())
}

fn read_entries(store: &dyn Store, id: SegmentId, node: &Node) -> Result<impl Iterator<Item = (Seq, LogEntry)>> {
    let limit = usize::try_from(node.through.0).unwrap_or(usize::MAX);
    let records = store.read_range(node.session, id, Seq::START, limit)?;
    if (records.len() as u64) < node.through.0 {
        let count = records.len() as u64;
        return Err(LineageError::BeyondEnd { segment: id, seq: node.through, count }.into());
    }
    Ok(records.into_iter().map(|record| (record.position.seq, record.entry)))
}

/// The segments of the session that nothing took the place of, and of all others what those continue.
fn read_nodes(store: &dyn Store, session: SessionId) -> Result<BTreeMap<SegmentId, Node>> {
    let superseded = SessionFacts::read_if_whole(store, session)?.superseded;
    let segments = store.list_segments(session)?;
    if segments.is_empty() {
        return Err(StoreError::no_session(session).into());
    }
    let mut shown: Vec<SegmentId> = segments.iter().copied().filter(|id| !superseded.contains(id)).collect();
    if shown.is_empty() {
        shown = segments;
    }
    let mut nodes: BTreeMap<SegmentId, Node> = BTreeMap::new();
    for segment in shown {
        if let Some(node) = nodes.get_mut(&segment) {
            let count = store.read_entry_count(session, segment)?;
            if node.through.0 > count {
                return Err(LineageError::BeyondEnd { segment, seq: node.through, count }.into());
            }
            node.through = Seq(count);
            continue;
        }
        // What a known segment continues is known with it.
        let parts =
            lineage::lineage_until(store, session, segment, |origin| match nodes.get_mut(&origin.segment_id) {
                Some(node) => {
                    node.through = node.through.max(origin.seq);
                    true
                }
                None => false,
            })?;
        for part in parts {
            let node = nodes.entry(part.segment_id).or_insert_with(|| Node::of(&part));
            node.through = node.through.max(part.through);
        }
    }
    Ok(nodes)
}

impl Node {
    fn of(part: &LineagePart) -> Self {
        Self {
            session: part.session_id,
            through: part.through,
            begun: part.start.ts,
            origin: part.start.origin().copied(),
        }
    }
}
