//! A conversation's segments and turns, of which any can be gone on from.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{SegmentId, SessionId, TimestampMs};

use super::Choice;
use crate::index::SegmentSummary;

/// A turn of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeTurn {
    /// The segment in which it begins.
    pub segment: SegmentId,
    /// Its number, from the branch's root.
    pub turn: u64,
    /// The first line of what was asked.
    pub prompt: String,
    /// When.
    pub ts: TimestampMs,
}

/// A row of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRow {
    /// How many segments it continues within the conversation.
    pub depth: usize,
    /// The segment.
    pub segment: SegmentSummary,
    /// A turn of it; `None`: the segment itself.
    pub turn: Option<TreeTurn>,
    /// Whether its turns are shown; only of a segment.
    pub open: bool,
}

/// The tree of one conversation, and what is selected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    session: SessionId,
    /// `None` until it is loaded.
    segments: Option<Vec<(usize, SegmentSummary)>>,
    turns: BTreeMap<SegmentId, Vec<TreeTurn>>,
    open: BTreeSet<SegmentId>,
    selected: usize,
}

impl Tree {
    pub(super) const fn loading(session: SessionId) -> Self {
        Self { session, segments: None, turns: BTreeMap::new(), open: BTreeSet::new(), selected: 0 }
    }

    pub(super) const fn session(&self) -> SessionId {
        self.session
    }

    /// Takes what was loaded; the current leaf is selected, its turns are shown.
    pub(super) fn fill(&mut self, segments: Vec<SegmentSummary>, turns: Vec<TreeTurn>) {
        for turn in turns {
            self.turns.entry(turn.segment).or_default().push(turn);
        }
        let current = segments.iter().find(|segment| segment.current).map(|segment| segment.segment_id);
        self.open.extend(current);
        self.segments = Some(arranged(segments));
        self.selected = self.rows().iter().position(|row| Some(row.segment.segment_id) == current).unwrap_or_default();
    }

    /// `None` until they are known.
    pub(super) fn is_loaded(&self) -> bool {
        self.segments.is_some()
    }

    pub(super) fn rows(&self) -> Vec<TreeRow> {
        let mut rows = Vec::new();
        for (depth, segment) in self.segments.iter().flatten() {
            let open = self.open.contains(&segment.segment_id);
            rows.push(TreeRow { depth: *depth, segment: segment.clone(), turn: None, open });
            let turns = self.turns.get(&segment.segment_id).filter(|_| open).into_iter().flatten();
            rows.extend(turns.map(|turn| TreeRow {
                depth: *depth + 1,
                segment: segment.clone(),
                turn: Some(turn.clone()),
                open: false,
            }));
        }
        rows
    }

    pub(super) const fn place(&self) -> usize {
        self.selected
    }

    pub(super) fn step(&mut self, by: isize) {
        self.selected = self.selected.saturating_add_signed(by).min(self.rows().len().saturating_sub(1));
    }

    /// Shows the turns of the selected segment.
    pub(super) fn unfold(&mut self) {
        if let Some(row) = self.selected() {
            self.open.insert(row.segment.segment_id);
        }
    }

    /// Hides the turns around the selection and selects their segment; `false` if there was nothing to hide.
    pub(super) fn fold(&mut self) -> bool {
        let Some(row) = self.selected() else { return false };
        let id = row.segment.segment_id;
        if !self.open.remove(&id) {
            return false;
        }
        self.selected = self.rows().iter().position(|row| row.segment.segment_id == id).unwrap_or_default();
        true
    }

    pub(super) fn selected(&self) -> Option<TreeRow> {
        self.rows().into_iter().nth(self.selected)
    }

    pub(super) fn choice(&self) -> Option<Choice> {
        self.selected().map(|row| Choice {
            session: self.session,
            segment: row.segment.segment_id,
            turn: row.turn.map(|turn| turn.turn),
        })
    }
}

/// Segments below what they continue, siblings in the order in which they began. One that continues what is not
/// there, or itself in a circle, stands at the root.
fn arranged(segments: Vec<SegmentSummary>) -> Vec<(usize, SegmentSummary)> {
    let known: BTreeSet<SegmentId> = segments.iter().map(|segment| segment.segment_id).collect();
    let parent = |segment: &SegmentSummary| {
        let origin = segment.forked_from.or(segment.compacted_from);
        origin.map(|origin| origin.segment_id).filter(|id| known.contains(id) && *id != segment.segment_id)
    };
    let mut children: BTreeMap<Option<SegmentId>, Vec<SegmentSummary>> = BTreeMap::new();
    for segment in segments {
        children.entry(parent(&segment)).or_default().push(segment);
    }
    let mut arranged = Vec::new();
    let mut pending: Vec<(usize, SegmentSummary)> =
        children.remove(&None).unwrap_or_default().into_iter().rev().map(|segment| (0, segment)).collect();
    loop {
        while let Some((depth, segment)) = pending.pop() {
            let below = children.remove(&Some(segment.segment_id)).unwrap_or_default();
            pending.extend(below.into_iter().rev().map(|child| (depth + 1, child)));
            arranged.push((depth, segment));
        }
        // Circles hang on nothing.
        match children.pop_first() {
            Some((_, circle)) => pending.extend(circle.into_iter().rev().map(|segment| (0, segment))),
            None => return arranged,
        }
    }
}
