//! The leaves of a session, and which of them is the current one.
//!
//! A leaf is a segment whose last entry no other segment of the same session continues. A fork into another session
//! takes nothing away: the conversation goes on there as another one.
//!
//! Which leaf is current is decided by what can be read, or not at all: where a segment that could be the leaf is damaged,
//! going on from another one would silently take back what was said. So the answer is an error then, and only a fact that
//! names a readable segment stands above it.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{Damage, LogEntry, SegmentId, SegmentOrigin, Seq, SessionId, Store, StoreError, TimestampMs};

use crate::error::{LineageError, Result, SessionError};
use crate::facts::{CurrentLeaf, SessionFacts};

/// What of a segment decides whether it is a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentNode {
    /// The segment.
    pub segment_id: SegmentId,
    /// How many entries it has.
    pub entry_count: u64,
    /// The time of its last entry.
    pub last_ts: TimestampMs,
    /// What it continues.
    pub origin: Option<SegmentOrigin>,
}

/// Why it is not known which leaf a session goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// This segment is the leaf, or could be, and cannot be read.
    Unreadable(SegmentId),
    /// The `current_leaf` fact names this segment, and the session does not have it.
    Missing(SegmentId),
}

impl Undecided {
    /// The segment that is to blame.
    pub const fn segment(self) -> SegmentId {
        match self {
            Self::Unreadable(segment) | Self::Missing(segment) => segment,
        }
    }
}

/// The segments of one session.
#[derive(Clone, Debug)]
pub struct SegmentTree {
    session: SessionId,
    nodes: BTreeMap<SegmentId, SegmentNode>,
    /// Segments of which it is not known what they continue, or where they end.
    unreadable: BTreeSet<SegmentId>,
    /// By segment, those of the session that continue its last entry.
    continued_by: BTreeMap<SegmentId, Vec<SegmentId>>,
}

impl SegmentTree {
    /// The tree of a session's segments, in any order.
    pub fn new(session: SessionId, segments: impl IntoIterator<Item = SegmentNode>) -> Self {
        let nodes: BTreeMap<SegmentId, SegmentNode> =
            segments.into_iter().map(|node| (node.segment_id, node)).collect();
        let mut continued_by: BTreeMap<SegmentId, Vec<SegmentId>> = BTreeMap::new();
        for node in nodes.values() {
            if let Some(origin) = node.origin.filter(|origin| origin.session_id == session)
                && nodes.get(&origin.segment_id).is_some_and(|parent| Seq(parent.entry_count) <= origin.seq)
            {
                continued_by.entry(origin.segment_id).or_default().push(node.segment_id);
            }
        }
        Self { session, nodes, unreadable: BTreeSet::new(), continued_by }
    }

    /// The same tree with segments that belong to it and cannot be placed in it.
    #[must_use]
    pub fn with_unreadable(mut self, segments: impl IntoIterator<Item = SegmentId>) -> Self {
        self.unreadable.extend(segments);
        self
    }

    /// Reads the first and the last entry of each segment of a session.
    ///
    /// # Errors
    /// `NotFound` for an unknown session; `NoStart`; what the store fails with.
    pub fn read(store: &dyn Store, session: SessionId) -> Result<Self> {
        let segments = store.list_segments(session)?;
        if segments.is_empty() {
            return Err(StoreError::no_session(session).into());
        }
        let nodes: Vec<SegmentNode> =
            segments.into_iter().map(|segment| read_node(store, session, segment)).collect::<Result<_>>()?;
        Ok(Self::new(session, nodes))
    }

    /// The tree that counts: without the segments that others took the place of, and whole if that leaves nothing.
    #[must_use]
    pub fn without(&self, superseded: &BTreeSet<SegmentId>) -> Self {
        let counts = |segment: &SegmentId| !superseded.contains(segment);
        if !self.nodes.keys().chain(&self.unreadable).any(counts) {
            return self.clone();
        }
        Self::new(self.session, self.nodes.values().filter(|node| counts(&node.segment_id)).copied())
            .with_unreadable(self.unreadable.iter().copied().filter(counts))
    }

    /// The segments, oldest id first.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentNode> {
        self.nodes.values()
    }

    /// Whether the segment is one of the session whose last entry no other one of it continues.
    pub fn is_leaf(&self, segment: SegmentId) -> bool {
        self.nodes.contains_key(&segment) && !self.continued_by.contains_key(&segment)
    }

    /// The leaves, oldest id first.
    pub fn leaves(&self) -> Vec<SegmentId> {
        self.nodes.keys().copied().filter(|segment| self.is_leaf(*segment)).collect()
    }

    /// The leaf that the session goes on from; `None` for a tree without segments.
    ///
    /// The one that the `current_leaf` fact names; if that was continued at its end, the one that continues it, and so
    /// on. Without such a fact, or if it names a superseded segment, the leaf with the latest last entry, of several the
    /// one with the greatest id. Superseded segments count only where there is nothing else.
    ///
    /// # Errors
    /// `Missing` if the fact names a segment that is not one of the session; `Unreadable` if it names one that cannot be
    /// read, and without a fact if any that counts cannot.
    pub fn current(
        &self,
        named: Option<&CurrentLeaf>,
        superseded: &BTreeSet<SegmentId>,
    ) -> Result<Option<SegmentId>, Undecided> {
        let counted = self.without(superseded);
        let named = named.map(|leaf| leaf.segment_id).filter(|segment| !superseded.contains(segment));
        match named {
            Some(named) if counted.nodes.contains_key(&named) => Ok(Some(counted.passed_on(named, superseded))),
            Some(named) if counted.unreadable.contains(&named) => Err(Undecided::Unreadable(named)),
            Some(named) => Err(Undecided::Missing(named)),
            None => match counted.unreadable.last() {
                Some(segment) => Err(Undecided::Unreadable(*segment)),
                None => Ok(counted.latest(counted.leaves().iter(), superseded)),
            },
        }
    }

    /// Follows the continuations at the end of a segment.
    fn passed_on(&self, named: SegmentId, superseded: &BTreeSet<SegmentId>) -> SegmentId {
        let mut at = named;
        // Origins do not form cycles; a damaged store may, and each step there is one of so many.
        for _ in 0..self.nodes.len() {
            let next = self.continued_by.get(&at).and_then(|next| self.latest(next.iter(), superseded));
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    fn latest<'a>(
        &self,
        among: impl Iterator<Item = &'a SegmentId>,
        superseded: &BTreeSet<SegmentId>,
    ) -> Option<SegmentId> {
        let nodes = among.filter_map(|segment| self.nodes.get(segment));
        let rank = |node: &&SegmentNode| (!superseded.contains(&node.segment_id), node.last_ts, node.segment_id);
        nodes.max_by_key(rank).map(|node| node.segment_id)
    }
}

fn read_node(store: &dyn Store, session: SessionId, segment: SegmentId) -> Result<SegmentNode> {
    let first = store.read_range(session, segment, Seq::START, 1)?.into_iter().next().map(|record| record.entry);
    let Some(LogEntry::SegmentStart(start)) = first else {
        return Err(LineageError::NoStart { segment }.into());
    };
    let last = store.read_tail(session, segment, 1)?.into_iter().next();
    let last = last.ok_or(LineageError::NoStart { segment })?;
    Ok(SegmentNode {
        segment_id: segment,
        entry_count: last.position.seq.0,
        last_ts: last.entry.ts(),
        origin: start.origin().copied(),
    })
}

/// The leaves of a session, oldest id first. A superseded segment is none, and takes nothing from what it continues.
///
/// # Errors
/// As [`SegmentTree::read`].
pub fn leaves(store: &dyn Store, session: SessionId) -> Result<Vec<SegmentId>> {
    let facts = SessionFacts::read_if_whole(store, session)?;
    Ok(SegmentTree::read(store, session)?.without(&facts.superseded).leaves())
}

/// The leaf that a session goes on from: the one answer to that question, which the index gives too.
///
/// Reads the session's facts and two entries of each of its segments. Facts that are damaged name no leaf.
///
/// # Errors
/// `NotFound` for an unknown session. Where [`SegmentTree::current`] cannot decide, what reading the segment to blame
/// failed with (`Corrupt`, or `NoStart`), and `Corrupt` if it is not there any more. What the store fails with.
pub fn current_leaf(store: &dyn Store, session: SessionId) -> Result<SegmentId> {
    let facts = SessionFacts::read_if_whole(store, session)?;
    let segments = store.list_segments(session)?;
    let (mut nodes, mut failed) = (Vec::new(), BTreeMap::new());
    for segment in segments {
        match read_node(store, session, segment) {
            Ok(node) => nodes.push(node),
            Err(error) if is_of_one_log(&error) => drop(failed.insert(segment, error)),
            Err(error) => return Err(error),
        }
    }
    let tree = SegmentTree::new(session, nodes).with_unreadable(failed.keys().copied());
    match tree.current(facts.current_leaf.as_ref(), &facts.superseded) {
        Ok(current) => Ok(current.ok_or(StoreError::no_session(session))?),
        Err(undecided) => Err(failed.remove(&undecided.segment()).unwrap_or_else(|| missing(undecided.segment()))),
    }
}

/// Whether the failure is about one log, not about the store as a whole.
fn is_of_one_log(error: &SessionError) -> bool {
    match error {
        SessionError::Store(error) => is_damage(error),
        error => matches!(error, SessionError::Lineage(_)),
    }
}

/// Whether the store failed at one log, not as a whole.
pub(crate) fn is_damage(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Corrupt(_)
            | StoreError::Io { .. }
            | StoreError::Backend { .. }
            | StoreError::NoStore { .. }
            | StoreError::NotAStore { .. }
    )
}

fn missing(segment: SegmentId) -> SessionError {
    let detail = "the session goes on from this segment, and its log is not there".to_owned();
    StoreError::Corrupt(Damage { segment: Some(segment), part: 1, offset: 0, seq: None, detail }).into()
}
