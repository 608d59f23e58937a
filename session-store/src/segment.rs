//! Segments: making them, and appending what a run of an agent produces.
//!
//! Large parts are moved into blobs before an entry is appended ([`blob`](crate::blob)). The `save_*` functions write through a
//! [`SegmentState`](crate::SegmentState), which knows where the log must end; [`append_entry`] is for those who keep no state.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{
    AppendOptions, BlobGuard, ConfigChanged, CreateOptions, Extension, HistoryItem, Item, ItemEntry, LlmUsage,
    LogEntry, NewEntry, Part, Position, RunCompleted, RunErrored, SegmentId, SegmentMeta, SegmentStart, SessionConfig,
    SessionId, Store, StoreError, TimestampMs, TurnEnd, UserInput,
};

use crate::blob;
use crate::error::Result;
use crate::state::SegmentState;

/// A segment and the session it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentLocation {
    /// The session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
}

/// What a new segment starts with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewSegment {
    /// The system prompt, if it is to be kept in the log.
    pub system_prompt: Option<String>,
    /// The settings.
    pub config: SessionConfig,
    /// What a model is given before the segment's own entries.
    pub history: Vec<HistoryItem>,
    /// Where it comes from.
    pub meta: SegmentMeta,
}

impl NewSegment {
    /// The first entry of the segment.
    pub(crate) fn into_start(self, session: SessionId, now: TimestampMs) -> SegmentStart {
        let Self { system_prompt, config, history, meta } = self;
        SegmentStart { system_prompt, config, history, meta, ..SegmentStart::new(session, now) }
    }
}

/// Begins a session with its first segment.
///
/// # Errors
/// `InvalidOrigin` for a history that refers to entries; what the store fails with.
pub fn create_segment(store: &dyn Store, now: TimestampMs, new: NewSegment) -> Result<SegmentLocation> {
    let location = SegmentLocation { session_id: SessionId::mint(now), segment_id: SegmentId::mint(now) };
    create_segment_with_ids(store, now, location, new)?;
    Ok(location)
}

/// Makes a segment without an origin under given ids; the session is made with it, if it is new.
///
/// # Errors
/// `AlreadyExists`; as [`create_segment`].
pub fn create_segment_with_ids(
    store: &dyn Store,
    now: TimestampMs,
    location: SegmentLocation,
    new: NewSegment,
) -> Result<Position> {
    write_start(store, location.segment_id, new.into_start(location.session_id, now))
}

/// Makes the segment that begins with `start`.
pub(crate) fn write_start(store: &dyn Store, segment: SegmentId, start: SegmentStart) -> Result<Position> {
    let session = start.session_id;
    let (entry, guards) = blob::externalize(store, LogEntry::SegmentStart(Box::new(start)))?;
    let positions = store.create_segment(session, segment, &[entry.into()], &CreateOptions::default())?;
    drop(guards);
    only(positions)
}

fn only(positions: Vec<Position>) -> Result<Position> {
    let last = positions.into_iter().next_back();
    Ok(last.ok_or_else(|| StoreError::backend("the store gave no position for an entry"))?)
}

/// Appends one entry to a segment, wherever its log ends.
///
/// # Errors
/// `NotFound`; `InvalidEntry`; what the store fails with.
pub fn append_entry(store: &dyn Store, location: SegmentLocation, entry: LogEntry) -> Result<Position> {
    only(append_all(store, location, vec![entry], &AppendOptions::default())?)
}

/// Appends entries in one call.
pub(crate) fn append_all(
    store: &dyn Store,
    location: SegmentLocation,
    entries: Vec<LogEntry>,
    options: &AppendOptions,
) -> Result<Vec<Position>> {
    let call = Call::prepare(store, entries.into_iter().map(|entry| (entry, None)))?;
    Ok(store.append_with(location.session_id, location.segment_id, &call.entries, options)?)
}

/// What one call appends, with its large texts in blobs that are held until the call is dropped.
pub(crate) struct Call {
    /// The entries as they are to stand in the log.
    pub(crate) entries: Vec<NewEntry>,
    guards: Vec<BlobGuard>,
}

impl Call {
    /// Moves the large texts of entries, which may have keys, into blobs.
    pub(crate) fn prepare(
        store: &dyn Store,
        entries: impl IntoIterator<Item = (LogEntry, Option<String>)>,
    ) -> Result<Self> {
        let mut call = Self { entries: Vec::new(), guards: Vec::new() };
        for (entry, key) in entries {
            let (entry, held) = blob::externalize(store, entry)?;
            call.guards.extend(held);
            call.entries.push(NewEntry { key, ..NewEntry::typed(entry) });
        }
        Ok(call)
    }
}

/// Appends what a person typed or attached.
///
/// # Errors
/// `Conflict` if somebody else wrote: see [`SegmentState::ensure_head_or_fork`]; what the store fails with.
pub fn save_user_input(
    store: &dyn Store,
    state: &SegmentState,
    now: TimestampMs,
    content: Vec<Part>,
) -> Result<Position> {
    state.append_one(store, LogEntry::UserInput(UserInput { ts: now, content }))
}

/// Appends the items of one step, in order and all or none: what the model produced and what tools answered.
/// Without items nothing is written.
///
/// # Errors
/// As [`save_user_input`].
pub fn save_delta(
    store: &dyn Store,
    state: &SegmentState,
    now: TimestampMs,
    items: Vec<Item>,
) -> Result<Vec<Position>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let entry = |item: Item| match item {
        Item::ToolResult { .. } => LogEntry::ToolResult(ItemEntry { ts: now, item }),
        item => LogEntry::AssistantItem(ItemEntry { ts: now, item }),
    };
    state.append(store, items.into_iter().map(entry).collect())
}

/// Appends the end of a turn. How many turns the branch has is what the state counted.
///
/// # Errors
/// As [`save_user_input`].
pub fn save_turn_end(store: &dyn Store, state: &SegmentState, now: TimestampMs) -> Result<Position> {
    state.append_built(store, |head| LogEntry::TurnEnd(TurnEnd { ts: now, turn_count: head.turns.turn_count() }))
}

/// Appends the end of a run that came to a result.
///
/// # Errors
/// As [`save_user_input`].
pub fn save_run_completed(
    store: &dyn Store,
    state: &SegmentState,
    now: TimestampMs,
    result: Value,
    interrupted: bool,
) -> Result<Position> {
    state.append_one(store, LogEntry::RunCompleted(RunCompleted { ts: now, result, interrupted }))
}

/// Appends the end of a run that came to none.
///
/// # Errors
/// As [`save_user_input`].
pub fn save_run_errored(
    store: &dyn Store,
    state: &SegmentState,
    now: TimestampMs,
    message: impl Into<String>,
    interrupted: bool,
) -> Result<Position> {
    state.append_one(store, LogEntry::RunErrored(RunErrored { ts: now, message: message.into(), interrupted }))
}

/// Appends what one model request used. The same request may be recorded again; its largest record counts.
///
/// # Errors
/// As [`save_user_input`].
pub fn save_usage(store: &dyn Store, state: &SegmentState, usage: LlmUsage) -> Result<Position> {
    state.append_one(store, LogEntry::LlmUsage(usage))
}

/// Appends anything else that is to be kept.
///
/// # Errors
/// As [`save_user_input`].
pub fn save_extension(
    store: &dyn Store,
    state: &SegmentState,
    now: TimestampMs,
    domain: impl Into<String>,
    payload: Value,
) -> Result<Position> {
    state.append_one(store, LogEntry::Extension(Extension { ts: now, domain: domain.into(), payload }))
}

/// Appends changed settings; what is not named stays.
///
/// # Errors
/// As [`save_user_input`].
pub fn save_config_changed(
    store: &dyn Store,
    state: &SegmentState,
    now: TimestampMs,
    config: SessionConfig,
) -> Result<Position> {
    state.append_one(store, LogEntry::ConfigChanged(ConfigChanged { ts: now, config }))
}

/// How many entries a segment of a session has; `None` if the session has no such segment. What leads from the segment's id to its session is not
/// asked: it may be lost.
pub(crate) fn entries_there(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
) -> store_core::Result<Option<u64>> {
    match store.read_entry_count(session, segment) {
        Err(StoreError::NotFound(_)) => Ok(None),
        count => count.map(Some),
    }
}
