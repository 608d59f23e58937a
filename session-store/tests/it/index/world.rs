//! Small conversations to index.

use serde_json::json;
use session_store::index::Index;
use session_store::{SessionFact, Title, TitleBy, put_session_fact};
use store_core::{
    AppendOptions, Backend, ConfigChanged, CreateOptions, HistoryItem, Item, ItemEntry, LlmUsage, LogEntry, NewEntry,
    Part, Role, SegmentId, SegmentMeta, SegmentOrigin, SegmentStart, Seq, SessionConfig, SessionId, SessionKind, Store,
    TurnEnd, UserInput,
};

/// Noon of a day in 2026.
pub(crate) const NOON: u64 = 1_772_366_400_000;

/// The session of a number: born so many seconds after noon.
pub(crate) fn session(number: u64) -> SessionId {
    SessionId::derive(NOON + number * 1_000, format!("session {number}").as_bytes())
}

/// The segment of a number.
pub(crate) fn segment(number: u64) -> SegmentId {
    SegmentId::derive(NOON + number * 1_000, format!("segment {number}").as_bytes())
}

/// What a new segment is.
#[derive(Clone, Default)]
pub(crate) struct New {
    pub(crate) agent: &'static str,
    pub(crate) native_id: Option<String>,
    pub(crate) kind: SessionKind,
    pub(crate) parent: Option<SessionId>,
    pub(crate) cwd: Option<&'static str>,
    pub(crate) forked_from: Option<SegmentOrigin>,
    pub(crate) compacted_from: Option<SegmentOrigin>,
    pub(crate) summary: Option<&'static str>,
    pub(crate) key: Option<&'static str>,
}

/// Creates a segment with its start alone.
pub(crate) fn create(store: &dyn Store, session: SessionId, segment: SegmentId, new: New) {
    let mut start = SegmentStart::new(session, segment.timestamp_ms());
    start.forked_from = new.forked_from;
    start.compacted_from = new.compacted_from;
    start.history = new.summary.map(|text| HistoryItem::Item(Item::message(Role::User, text))).into_iter().collect();
    start.config = SessionConfig { cwd: new.cwd.map(str::to_owned), ..SessionConfig::default() };
    start.meta = SegmentMeta {
        agent: Some(new.agent.to_owned()).filter(|agent| !agent.is_empty()),
        native_id: new.native_id,
        kind: new.kind,
        parent_session_id: new.parent,
        ..SegmentMeta::default()
    };
    let mut entry = NewEntry::typed(LogEntry::SegmentStart(Box::new(start)));
    if let Some(key) = new.key {
        entry = entry.with_key(key);
    }
    store.create_segment(session, segment, &[entry], &CreateOptions::default()).unwrap();
}

/// Appends entries, each with a key if there is one.
pub(crate) fn append(store: &dyn Store, segment: SegmentId, entries: Vec<(Option<String>, LogEntry)>) {
    let session = store.lookup_session_of(segment).unwrap().unwrap();
    let entries: Vec<NewEntry> = entries
        .into_iter()
        .map(|(key, entry)| match key {
            Some(key) => NewEntry::typed(entry).with_key(key),
            None => NewEntry::typed(entry),
        })
        .collect();
    store.append_with(session, segment, &entries, &AppendOptions::default()).unwrap();
}

pub(crate) fn says(ts: u64, text: &str) -> LogEntry {
    LogEntry::UserInput(UserInput { ts, content: vec![Part::text(text)] })
}

pub(crate) fn answers(ts: u64, text: &str) -> LogEntry {
    LogEntry::AssistantItem(ItemEntry { ts, item: Item::message(Role::Assistant, text) })
}

pub(crate) fn calls(ts: u64, call_id: &str) -> LogEntry {
    let item = Item::ToolCall { call_id: call_id.to_owned(), name: "sh".to_owned(), arguments: json!({}) };
    LogEntry::AssistantItem(ItemEntry { ts, item })
}

pub(crate) fn ends(ts: u64, turn_count: u64) -> LogEntry {
    LogEntry::TurnEnd(TurnEnd { ts, turn_count })
}

pub(crate) fn moves(ts: u64, cwd: &str) -> LogEntry {
    LogEntry::ConfigChanged(ConfigChanged {
        ts,
        config: SessionConfig { cwd: Some(cwd.to_owned()), ..SessionConfig::default() },
    })
}

pub(crate) fn uses(ts: u64, request: Option<&str>, output: u64, cost: Option<&str>) -> LogEntry {
    LogEntry::LlmUsage(LlmUsage {
        ts,
        request_id: request.map(str::to_owned),
        input_total_tokens: 100,
        cache_read_tokens: 30,
        cache_write_tokens: 10,
        output_tokens: output,
        cost: cost.map(str::to_owned),
        ..LlmUsage::default()
    })
}

pub(crate) fn origin(session: SessionId, segment: SegmentId, seq: u64) -> SegmentOrigin {
    SegmentOrigin { session_id: session, segment_id: segment, seq: Seq(seq), at_turn_index: 0 }
}

pub(crate) fn put(store: &dyn Store, session: SessionId, fact: &SessionFact) {
    put_session_fact(store, NOON, session, fact).unwrap();
}

pub(crate) fn title(text: &str, by: TitleBy) -> SessionFact {
    SessionFact::Title(Title { text: text.to_owned(), by })
}

/// An index of the store as it is.
pub(crate) fn index_of(store: &dyn Backend) -> Index {
    let index = Index::open(store).unwrap();
    index.refresh(store).unwrap();
    index
}
