//! Restoring: from the entries of a branch to the state that a model and a runtime go on with.
//!
//! [`collect_state`] is pure; [`restore`] reads the branch, calls it and reads back what had been moved out of the
//! entries. What of the branch a model is given: everything said so far, but behind a compaction exactly the
//! `history` of the compacted segment and what followed. That is arranged as providers demand it ([`valid_history`]).

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{
    HistoryItem, HistoryRef, Item, LlmUsage, LogEntry, Position, Role, SegmentId, SegmentMeta, SegmentStart, Seq,
    SessionConfig, SessionId, Store, StoreError, TimestampMs, UserInput,
};

use crate::blob;
use crate::error::Result;
use crate::fold::{ConfigFold, TurnFold, UsageFold};
use crate::lineage::{self, LineageEntries};
use crate::pairing::pair_calls;
use crate::valid::valid_history;

/// What a conversation is at the end of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoredState {
    /// The segment's session; `None` for a state without entries.
    pub session_id: Option<SessionId>,
    /// The segment; `None` for a state without entries.
    pub segment_id: Option<SegmentId>,
    /// The segment's last entry: what a writer that goes on expects to find. Seq 0 for a state without entries.
    pub position: Position,
    /// What a model would be given, in order, as every provider takes it: see [`valid_history`](crate::valid_history).
    pub history: Vec<Item>,
    /// How many turns the branch has.
    pub turn_count: u64,
    /// Whether the last turn ended with a run that says it was interrupted. A turn that is still open was not.
    pub last_run_interrupted: bool,
    /// How many entries the segment itself has.
    pub entries_count: u64,
    /// The usage of each request of the branch, the largest that was recorded for it.
    pub usage_history: Vec<LlmUsage>,
    /// The extensions of the branch, in order, by domain.
    pub extensions: Vec<(String, Value)>,
    /// What was typed on the branch, in order.
    pub user_inputs: Vec<UserInput>,
    /// The calls that nothing answered, in order. In `history` each has a result that says it was interrupted; whoever answers one appends
    /// its result to the log.
    pub open_tool_calls: Vec<String>,
    /// The settings that hold at the end.
    pub config: SessionConfig,
    /// Where the segment comes from. What it leaves open is filled in from the segments of its own session that it continues.
    pub meta: SegmentMeta,
    /// The system prompt that holds at the end, if the runtime keeps it in the log.
    pub system_prompt: Option<String>,
    /// The turns of the branch: what a writer goes on counting with.
    pub turns: TurnFold,
}

/// Reads the state at the end of a segment.
///
/// # Errors
/// `NotFound`; [`LineageError`](crate::LineageError); what the store fails with.
pub fn restore(store: &dyn Store, session: SessionId, segment: SegmentId) -> Result<RestoredState> {
    let mut state = collect_state(&lineage::load(store, session, segment)?);
    for item in &mut state.history {
        blob::resolve(store, item)?;
    }
    for input in &mut state.user_inputs {
        blob::resolve_parts(store, &mut input.content)?;
    }
    for (_, payload) in &mut state.extensions {
        blob::resolve_value(store, payload)?;
    }
    Ok(state)
}

/// Reads the state at the end of a segment whose session is not known.
///
/// # Errors
/// As [`restore`].
pub fn restore_by_segment(store: &dyn Store, segment: SegmentId) -> Result<RestoredState> {
    let session = store.lookup_session_of(segment)?.ok_or(StoreError::no_segment(segment))?;
    restore(store, session, segment)
}

/// The state at the end of a branch, root first.
///
/// A reference of a history that does not lie within the branch stands for nothing; [`lineage::load`] refuses such
/// a branch.
pub fn collect_state(parts: &[LineageEntries]) -> RestoredState {
    let mut turns = TurnFold::default();
    let mut config = ConfigFold::default();
    let mut usage = UsageFold::default();
    let mut system_prompt = None;
    let mut extensions = Vec::new();
    let mut user_inputs = Vec::new();
    let own = parts.last();
    for part in parts {
        let inherited = own.is_some_and(|own| own.session_id != part.session_id);
        for entry in &part.entries {
            turns.apply(entry);
            config.apply(entry);
            usage.apply(entry, inherited);
            match entry {
                LogEntry::SegmentStart(start) if start.system_prompt.is_some() => {
                    system_prompt.clone_from(&start.system_prompt);
                }
                LogEntry::UserInput(input) => user_inputs.push(input.clone()),
                LogEntry::Extension(extension) => {
                    extensions.push((extension.domain.clone(), extension.payload.clone()));
                }
                _ => {}
            }
        }
    }
    let history: Vec<Item> = model_history(parts).into_iter().filter_map(PlacedItem::into_given).collect();
    RestoredState {
        session_id: own.map(|own| own.session_id),
        segment_id: own.map(|own| own.segment_id),
        position: own.map_or(Position { seq: Seq::START, crc32c: 0 }, |own| own.position),
        open_tool_calls: open_calls(&history),
        history: valid_history(history),
        turn_count: turns.turn_count(),
        last_run_interrupted: turns.last_run_interrupted(),
        entries_count: own.map(|own| own.entries.len() as u64).unwrap_or_default(),
        usage_history: usage.into_history(),
        extensions,
        user_inputs,
        config: config.into_config(),
        meta: collect_meta(parts),
        system_prompt,
        turns,
    }
}

/// The segment's own meta, completed from the segments of its session that it continues, nearest first.
pub(crate) fn collect_meta(parts: &[LineageEntries]) -> SegmentMeta {
    let Some(own) = parts.last() else { return SegmentMeta::default() };
    let mut meta = own.start().map(|start| start.meta.clone()).unwrap_or_default();
    let ancestors = parts.iter().rev().skip(1).take_while(|part| part.session_id == own.session_id);
    for start in ancestors.filter_map(LineageEntries::start) {
        meta.agent = meta.agent.or_else(|| start.meta.agent.clone());
        meta.native_id = meta.native_id.or_else(|| start.meta.native_id.clone());
        meta.parent_session_id = meta.parent_session_id.or(start.meta.parent_session_id);
        meta.parent_call_id = meta.parent_call_id.or_else(|| start.meta.parent_call_id.clone());
        meta.source = meta.source.or_else(|| start.meta.source.clone());
    }
    meta
}

/// An item that a model is given, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlacedItem {
    pub(crate) session_id: SessionId,
    pub(crate) segment_id: SegmentId,
    pub(crate) seq: Seq,
    pub(crate) turn: u64,
    pub(crate) ts: TimestampMs,
    pub(crate) item: Item,
    /// Put in by the program, not part of what a person reads.
    pub(crate) injected: bool,
    /// The place in its segment's history, for an item that has no entry of its own.
    pub(crate) in_history: Option<usize>,
    /// Another provider made it than the one that the branch ends with.
    pub(crate) is_foreign: bool,
}

impl PlacedItem {
    /// The item as it may be given to the provider that the branch ends with. What another one sealed only that one can check or read; a thought of
    /// which nothing else is left is left out.
    pub(crate) fn into_given(self) -> Option<Item> {
        match self.item {
            Item::Reasoning { text, .. } if self.is_foreign => {
                (!text.is_empty()).then_some(Item::Reasoning { text, signature: None, encrypted: None })
            }
            item => Some(item),
        }
    }
}

/// Where an item is to be taken from: part, entry, and for a segment's start the place in its history.
#[derive(Clone, Copy)]
struct Source {
    part: usize,
    entry: usize,
    history: Option<usize>,
}

/// What a model is given at the end of a branch, in order.
pub(crate) fn model_history(parts: &[LineageEntries]) -> Vec<PlacedItem> {
    let mut sources = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        for (entry, own) in part.entries.iter().enumerate() {
            match own {
                LogEntry::SegmentStart(start) => push_start(parts, at, start, &mut sources),
                _ => push_entry(parts, at, entry, &mut sources),
            }
        }
    }
    let turns = turns_of(parts);
    let makers = makers_of(parts);
    let last = makers.last().and_then(|of_part| of_part.last()).cloned().flatten();
    let placed = sources.into_iter().filter_map(|source| {
        let mut placed = place(parts, &turns, source)?;
        let maker = makers[source.part][source.entry].as_ref();
        placed.is_foreign = maker.zip(last.as_ref()).is_some_and(|(maker, last)| maker != last);
        Some(placed)
    });
    placed.collect()
}

/// Puts what an entry holds itself.
fn push_entry(parts: &[LineageEntries], part: usize, entry: usize, sources: &mut Vec<Source>) {
    match &parts[part].entries[entry] {
        LogEntry::SegmentStart(start) => {
            let own = start.history.iter().enumerate().filter(|(_, item)| matches!(item, HistoryItem::Item(_)));
            sources.extend(own.map(|(at, _)| Source { part, entry, history: Some(at) }));
        }
        LogEntry::UserInput(_) | LogEntry::AssistantItem(_) | LogEntry::ToolResult(_) | LogEntry::SystemItem(_) => {
            sources.push(Source { part, entry, history: None });
        }
        _ => {}
    }
}

/// Puts what a segment starts with, what it refers to included.
fn push_start(parts: &[LineageEntries], part: usize, start: &SegmentStart, sources: &mut Vec<Source>) {
    if start.compacted_from.is_some() {
        sources.clear();
    }
    for (at, item) in start.history.iter().enumerate() {
        match item {
            HistoryItem::Item(_) => sources.push(Source { part, entry: 0, history: Some(at) }),
            HistoryItem::Reference(reference) => push_reference(parts, part, reference, sources),
        }
    }
}

/// The items of the referenced entries. A `segment_start` among them gives the items that stand only there, such as an
/// earlier summary; what its own history refers to is not taken along, so a range over a compaction gives nothing twice.
fn push_reference(parts: &[LineageEntries], of: usize, reference: &HistoryRef, sources: &mut Vec<Source>) {
    let Some(part) = lineage::find_reference(&parts[..of], reference) else { return };
    let place = |seq: Seq| usize::try_from(seq.0).unwrap_or(usize::MAX);
    for entry in place(reference.from) - 1..place(reference.through) {
        push_entry(parts, part, entry, sources);
    }
}

/// The turn that each entry belongs to.
fn turns_of(parts: &[LineageEntries]) -> Vec<Vec<u64>> {
    let mut fold = TurnFold::default();
    let mut turn_after = |entry: &LogEntry| {
        fold.apply(entry);
        fold.turn()
    };
    parts.iter().map(|part| part.entries.iter().map(&mut turn_after).collect()).collect()
}

/// Who made what the model said in each entry: the provider, else the agent, as far as that is known.
fn makers_of(parts: &[LineageEntries]) -> Vec<Vec<Option<Rc<str>>>> {
    let mut config = ConfigFold::default();
    let mut agent: Option<Rc<str>> = None;
    let mut provider: Option<Rc<str>> = None;
    let mut maker_after = |entry: &LogEntry| {
        config.apply(entry);
        if let LogEntry::SegmentStart(start) = entry {
            agent = start.meta.agent.as_deref().map(Rc::from).or(agent.take());
        }
        let named = config.config().provider.as_deref();
        if provider.as_deref() != named {
            provider = named.map(Rc::from);
        }
        provider.clone().or_else(|| agent.clone())
    };
    parts.iter().map(|part| part.entries.iter().map(&mut maker_after).collect()).collect()
}

fn place(parts: &[LineageEntries], turns: &[Vec<u64>], source: Source) -> Option<PlacedItem> {
    let part = &parts[source.part];
    let entry = &part.entries[source.entry];
    let (item, injected) = match (entry, source.history) {
        (LogEntry::SegmentStart(start), Some(at)) => match start.history.get(at)? {
            HistoryItem::Item(item) => (item.clone(), false),
            HistoryItem::Reference(_) => return None,
        },
        (LogEntry::SystemItem(system), _) => (system.item.clone(), system.injected),
        _ => (entry_item(entry)?, false),
    };
    Some(PlacedItem {
        session_id: part.session_id,
        segment_id: part.segment_id,
        seq: Seq(source.entry as u64 + 1),
        turn: turns[source.part][source.entry],
        ts: entry.ts(),
        item,
        injected,
        in_history: source.history,
        is_foreign: false,
    })
}

/// The item that an entry puts into the history; `None` for an entry that puts none, and for a segment's start.
pub fn entry_item(entry: &LogEntry) -> Option<Item> {
    match entry {
        LogEntry::UserInput(input) => Some(Item::Message { role: Role::User, parts: input.content.clone() }),
        LogEntry::AssistantItem(entry) | LogEntry::ToolResult(entry) => Some(entry.item.clone()),
        LogEntry::SystemItem(entry) => Some(entry.item.clone()),
        _ => None,
    }
}

/// The calls without a result, in order.
fn open_calls(history: &[Item]) -> Vec<String> {
    let open = pair_calls(history.iter()).into_iter().filter(|paired| paired.result.is_none());
    let ids = open.filter_map(|paired| match &history[paired.call] {
        Item::ToolCall { call_id, .. } => Some(call_id.clone()),
        _ => None,
    });
    ids.collect()
}
