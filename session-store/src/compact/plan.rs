//! What a compaction keeps, where it cuts and what its summary has to tell. Pure: from the entries of a branch.
//!
//! What is kept is an end of what a model would be given, beginning with a turn, and refers to entries only: an earlier summary stands
//! in no entry of its own, so it is never kept but told anew. A call that can still be answered, or was answered behind the cut, stays
//! with its answer; then more turns stay than were asked for. Instructions that the program gave before the first prompt stay in front of the summary,
//! because nobody says them again.

use std::collections::BTreeSet;

use store_core::{HistoryItem, HistoryRef, Item, LogEntry, Position, Seq, Store, StoreError};

use super::text;
use crate::blob;
use crate::error::{Result, SessionError};
use crate::fold::TurnFold;
use crate::fork;
use crate::lineage::LineageEntries;
use crate::pairing::{PairedCall, pair_calls};
use crate::restore::{self, PlacedItem};
use crate::segment::SegmentLocation;

/// What a compaction is to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactOptions {
    /// How many of the last turns stay as they are.
    pub keep_turns: u64,
}

/// What a compaction comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactionPlan {
    /// The segment that is compacted.
    pub location: SegmentLocation,
    /// Its last entry, which the new segment continues.
    pub position: Position,
    /// The entries of the instructions that stay in front of the summary.
    pub instructions: Vec<HistoryRef>,
    /// The entries of the turns that stay behind it.
    pub kept: Vec<HistoryRef>,
    /// How many turns those are; more than were asked for where a call would have been split from its answer.
    pub kept_turns: u64,
    /// What the summary is to stand for, in order.
    pub to_summarise: Vec<Item>,
    /// How many items a model is given next, the summary included.
    pub history_items: u64,
}

impl CompactionPlan {
    /// What a model is given next, with this summary.
    pub fn history(&self, summary: Item) -> Vec<HistoryItem> {
        let references = |of: &[HistoryRef]| of.iter().copied().map(HistoryItem::Reference).collect::<Vec<_>>();
        let mut history = references(&self.instructions);
        history.push(HistoryItem::Item(summary));
        history.extend(references(&self.kept));
        history
    }

    /// The text that a summariser is to read: messages, calls and results in order, without what the model thought.
    ///
    /// # Errors
    /// `NotFound` and `Corrupt` for a part that stands beside the log; what the store fails with.
    pub fn text(&self, store: &dyn Store) -> Result<String> {
        let mut items = self.to_summarise.clone();
        for item in &mut items {
            blob::resolve_texts(store, item)?;
        }
        Ok(text::of_items(&items))
    }
}

/// Plans the compaction of a branch at its end.
///
/// # Errors
/// `NothingToCompact`; `Backend` for no segments at all, which is no branch.
pub fn plan_compaction(parts: &[LineageEntries], options: &CompactOptions) -> Result<CompactionPlan> {
    let Some(own) = parts.last() else { return Err(StoreError::backend("a branch has at least one segment").into()) };
    let history = restore::model_history(parts);
    let turns = turns_of(parts);
    let first = turns.turn_count().saturating_sub(options.keep_turns).saturating_add(1);
    let from = cut(parts, &history, &turns, first)?;
    let instructions = history[..from].iter().take_while(|item| is_instruction(parts, item)).count();
    let to_summarise = &history[instructions..from];
    let kept_turns = history[from..].iter().map(|item| item.turn).filter(|turn| *turn > 0).collect::<BTreeSet<_>>();
    let kept_turns = kept_turns.len() as u64;
    if to_summarise.iter().all(|item| item.in_history.is_some()) {
        return Err(SessionError::NothingToCompact { turns: turns.turn_count(), kept: kept_turns });
    }
    Ok(CompactionPlan {
        location: SegmentLocation { session_id: own.session_id, segment_id: own.segment_id },
        position: own.position,
        instructions: references(parts, &history[..instructions]),
        kept: references(parts, &history[from..]),
        kept_turns,
        to_summarise: to_summarise.iter().map(|placed| placed.item.clone()).collect(),
        history_items: (history.len() - to_summarise.len() + 1) as u64,
    })
}

fn turns_of(parts: &[LineageEntries]) -> TurnFold {
    let mut turns = TurnFold::default();
    for entry in parts.iter().flat_map(|part| &part.entries) {
        turns.apply(entry);
    }
    turns
}

/// Where in the history that begins which stays, if the turns from `first` on are to stay.
fn cut(parts: &[LineageEntries], history: &[PlacedItem], turns: &TurnFold, mut first: u64) -> Result<usize> {
    let calls = pair_calls(history.iter().map(|placed| &placed.item));
    loop {
        let from = begin_of(parts, history, first)?;
        let is_split = |paired: &&PairedCall| match paired.result {
            Some(result) => paired.call < from && from <= result,
            None => paired.call < from && turns.is_open() && history[paired.call].turn == turns.turn(),
        };
        let earliest = calls.iter().filter(is_split).map(|paired| history[paired.call].turn).min();
        match earliest.filter(|turn| *turn < first) {
            Some(turn) => first = turn,
            None => return Ok(from),
        }
    }
}

/// The longest end of the history that stands in entries of its own behind the turn before `first`.
fn begin_of(parts: &[LineageEntries], history: &[PlacedItem], first: u64) -> Result<usize> {
    let end = fork::end_of_turn(parts, first.saturating_sub(1))?;
    let is_kept = |item: &&PlacedItem| {
        let part = parts.iter().position(|part| part.segment_id == item.segment_id);
        item.in_history.is_none() && part.is_some_and(|part| (part, item.seq) > end)
    };
    Ok(history.len() - history.iter().rev().take_while(is_kept).count())
}

fn entry_at<'a>(parts: &'a [LineageEntries], segment: &PlacedItem, seq: Seq) -> Option<&'a LogEntry> {
    let part = parts.iter().find(|part| part.segment_id == segment.segment_id)?;
    part.entries.get(usize::try_from(seq.0.checked_sub(1)?).ok()?)
}

/// Whether the program said it, in an entry of its own.
fn is_instruction(parts: &[LineageEntries], item: &PlacedItem) -> bool {
    item.in_history.is_none() && matches!(entry_at(parts, item, item.seq), Some(LogEntry::SystemItem(_)))
}

/// References to the entries of items, in as few ranges as say exactly them.
fn references(parts: &[LineageEntries], items: &[PlacedItem]) -> Vec<HistoryRef> {
    let mut references: Vec<HistoryRef> = Vec::new();
    for item in items {
        let says_nothing = |seq: u64| {
            let entry = entry_at(parts, item, Seq(seq));
            entry.is_some_and(|entry| restore::entry_item(entry).is_none())
        };
        match references.last_mut().filter(|last| last.segment_id == item.segment_id && last.through < item.seq) {
            Some(last) if (last.through.0 + 1..item.seq.0).all(says_nothing) => last.through = item.seq,
            _ => references.push(HistoryRef { segment_id: item.segment_id, from: item.seq, through: item.seq }),
        }
    }
    references
}
