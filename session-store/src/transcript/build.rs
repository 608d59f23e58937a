//! From entries to rows.

use std::collections::HashMap;

use store_core::{Item, LogEntry, Part, SegmentId, Seq, SessionId, Store, TimestampMs};

use super::fold::{TranscriptFold, item_row, joined_text, rows_of, summary_place};
use super::{ShowKind, ShowMessage, ShowRole, ShowTool};
use crate::blob;
use crate::error::Result;
use crate::fold::TurnFold;
use crate::lineage::LineageEntries;
use crate::restore::{self, PlacedItem};
use crate::valid::{self, Arranged};

/// Where a row stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) session_id: SessionId,
    pub(super) segment_id: SegmentId,
    pub(super) seq: Seq,
}

/// What is known of a branch up to a point, for the entries that continue it there.
#[derive(Clone, Debug, Default)]
pub(super) struct BranchState {
    turns: TurnFold,
    fold: TranscriptFold,
    /// The last message among the rows.
    last_message: Option<usize>,
}

/// Collects rows; of several branches, if each continues the state of the one that it leaves.
pub(super) struct Builder<'a> {
    store: &'a dyn Store,
    rows: Vec<Option<ShowMessage>>,
    tools: HashMap<String, String>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, rows: Vec::new(), tools: HashMap::new() }
    }

    /// Takes the next entry of a branch.
    pub(super) fn apply(&mut self, state: &mut BranchState, place: Place, entry: &LogEntry) -> Result<()> {
        state.turns.apply(entry);
        if state.fold.apply(entry).hides_previous
            && let Some(hidden) = state.last_message
        {
            self.rows[hidden] = None;
        }
        for row in rows_of(entry) {
            if row.kind.is_message() {
                state.last_message = Some(self.rows.len());
            }
            self.push(place, state.turns.turn(), entry.ts(), row.kind, row.said.to_item())?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        place: Place,
        turn: u64,
        ts: TimestampMs,
        kind: ShowKind,
        mut item: Item,
    ) -> Result<&mut ShowMessage> {
        blob::resolve_texts(self.store, &mut item)?;
        if let Item::ToolCall { call_id, name, .. } = &item {
            self.tools.insert(call_id.clone(), name.clone());
        }
        let said = Said::new(item, &self.tools);
        let row = ShowMessage {
            session_id: place.session_id,
            segment_id: place.segment_id,
            seq: place.seq,
            turn,
            ts,
            role: said.role,
            kind,
            text: said.text,
            parts: said.parts,
            tool: said.tool,
            injected: false,
        };
        self.rows.push(None);
        let at = self.rows.len() - 1;
        Ok(self.rows[at].insert(row))
    }

    /// The rows that were not hidden.
    pub(super) fn finish(self) -> Vec<ShowMessage> {
        self.rows.into_iter().flatten().collect()
    }
}

/// What an item says.
struct Said {
    role: ShowRole,
    text: String,
    parts: Option<Vec<Part>>,
    tool: Option<ShowTool>,
}

impl Said {
    fn new(item: Item, tools: &HashMap<String, String>) -> Self {
        let role = ShowRole::of(&item);
        match item {
            Item::Message { parts, .. } => Self::parts(role, parts, None),
            Item::Reasoning { text, .. } => Self { role, text, parts: None, tool: None },
            Item::ToolCall { call_id, name, arguments } => {
                let tool = ShowTool { call_id, name: Some(name), arguments: Some(arguments), is_error: None };
                Self { role, text: String::new(), parts: None, tool: Some(tool) }
            }
            Item::ToolResult { call_id, parts, is_error } => {
                let name = tools.get(&call_id).cloned();
                let tool = ShowTool { call_id, name, arguments: None, is_error: Some(is_error) };
                Self::parts(role, parts, Some(tool))
            }
            Item::Other(value) => Self::parts(role, vec![Part::Other(value)], None),
        }
    }

    fn parts(role: ShowRole, parts: Vec<Part>, tool: Option<ShowTool>) -> Self {
        let text = joined_text(&parts);
        let only_text = parts.iter().all(|part| matches!(part, Part::Text { .. }));
        Self { role, text, parts: (!only_text).then_some(parts), tool }
    }
}

/// The rows of a branch, root first.
pub(super) fn branch_rows(store: &dyn Store, parts: &[LineageEntries]) -> Result<Vec<ShowMessage>> {
    let mut builder = Builder::new(store);
    let mut state = BranchState::default();
    for part in parts {
        for (seq, entry) in part.numbered() {
            let place = Place { session_id: part.session_id, segment_id: part.segment_id, seq };
            builder.apply(&mut state, place, entry)?;
        }
    }
    Ok(builder.finish())
}

/// What a model would be given at the end of a branch, row by row. A row of what was made for the view stands with the one before.
pub(super) fn context_rows(store: &dyn Store, parts: &[LineageEntries]) -> Result<Vec<ShowMessage>> {
    let mut stands = Vec::new();
    let mut items = Vec::new();
    for placed in restore::model_history(parts) {
        let stand = Stand { place: place_of(&placed), turn: placed.turn, ts: placed.ts, injected: placed.injected };
        let is_summary = is_summary(parts, &placed);
        if let Some(item) = placed.into_given() {
            items.push(item);
            stands.push((stand, is_summary));
        }
    }
    let mut builder = Builder::new(store);
    for Arranged { at, is_made, item } in valid::arrange(items) {
        let (stand, is_summary) = stands[at];
        if let Some(row) = item_row(&item) {
            let kind = if is_summary && !is_made { ShowKind::Summary } else { row.kind };
            let row = builder.push(stand.place, stand.turn, stand.ts, kind, item)?;
            row.injected = stand.injected && !is_made;
        }
    }
    Ok(builder.finish())
}

/// Where an item of a context stands.
#[derive(Clone, Copy)]
struct Stand {
    place: Place,
    turn: u64,
    ts: TimestampMs,
    injected: bool,
}

const fn place_of(placed: &PlacedItem) -> Place {
    Place { session_id: placed.session_id, segment_id: placed.segment_id, seq: placed.seq }
}

fn is_summary(parts: &[LineageEntries], placed: &PlacedItem) -> bool {
    let Some(at) = placed.in_history else { return false };
    let start = parts.iter().find(|part| part.segment_id == placed.segment_id).and_then(LineageEntries::start);
    start.and_then(summary_place) == Some(at)
}
