//! What the tests share: stores of every backend, a store that can be lied through, and short names for entries.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use session_store::{
    LineageEntries, NewSegment, OpenOptions, SegmentLocation, append_entry, create_segment, lineage, open,
};
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Durability, Fact,
    FactScope, Item, ItemEntry, LlmUsage, LogEntry, MemoryStore, NewEntry, Part, Position, Record, Result, Role,
    RunErrored, SegmentId, SegmentStart, Seq, SessionId, Store, SystemItem, TraceEntry, TurnEnd, UserInput,
};

/// A time in November 2025.
pub(crate) const NOW: u64 = 1_764_000_000_000;

/// A fresh store of every backend that this build has, by its scheme.
pub(crate) fn every_store() -> Vec<(&'static str, Arc<dyn Backend>, tempfile::TempDir)> {
    let mut stores = Vec::new();
    for scheme in ["memory", "fs", "sqlite"] {
        let folder = tempfile::tempdir().unwrap();
        let url = match scheme {
            "memory" => "memory:".to_owned(),
            _ => format!("{scheme}:{}", folder.path().join("store").display()),
        };
        if session_store::schemes().iter().any(|known| known == scheme) {
            stores.push((scheme, open(&url, &OpenOptions::at(NOW)).unwrap(), folder));
        }
    }
    stores
}

/// The session that test `seed` uses.
pub(crate) fn session(seed: &str) -> SessionId {
    SessionId::derive(NOW, seed.as_bytes())
}

/// The segment that test `seed` uses.
pub(crate) fn segment(seed: &str) -> SegmentId {
    SegmentId::derive(NOW, seed.as_bytes())
}

/// A root segment with these entries behind its start.
pub(crate) fn root(store: &dyn Store, entries: impl IntoIterator<Item = LogEntry>) -> SegmentLocation {
    let location = create_segment(store, NOW, NewSegment::default()).unwrap();
    extend(store, location, entries);
    location
}

/// Appends entries one by one.
pub(crate) fn extend(store: &dyn Store, location: SegmentLocation, entries: impl IntoIterator<Item = LogEntry>) {
    for entry in entries {
        append_entry(store, location, entry).unwrap();
    }
}

/// The branch of a segment.
pub(crate) fn branch(store: &dyn Store, location: SegmentLocation) -> Vec<LineageEntries> {
    lineage::load(store, location.session_id, location.segment_id).unwrap()
}

/// A whole turn: prompt, answer, end, usage under the id `request`.
pub(crate) fn turn(number: u64, text: &str, request: &str) -> Vec<LogEntry> {
    vec![prompt(text), answer(&format!("re: {text}")), turn_end(number), usage(request, 100, 10)]
}

pub(crate) fn prompt(text: &str) -> LogEntry {
    LogEntry::UserInput(UserInput { ts: NOW + 1, content: vec![Part::text(text)] })
}

pub(crate) fn answer(text: &str) -> LogEntry {
    assistant(Item::message(Role::Assistant, text))
}

pub(crate) fn assistant(item: Item) -> LogEntry {
    LogEntry::AssistantItem(ItemEntry { ts: NOW + 2, item })
}

pub(crate) fn call_item(call_id: &str) -> Item {
    Item::ToolCall { call_id: call_id.into(), name: "shell".into(), arguments: json!({"command": "ls"}) }
}

pub(crate) fn result_item(call_id: &str, text: &str) -> Item {
    Item::ToolResult { call_id: call_id.into(), parts: vec![Part::text(text)], is_error: false }
}

pub(crate) fn call(call_id: &str) -> LogEntry {
    assistant(call_item(call_id))
}

pub(crate) fn result(call_id: &str, text: &str) -> LogEntry {
    LogEntry::ToolResult(ItemEntry { ts: NOW + 3, item: result_item(call_id, text) })
}

pub(crate) fn injected(text: &str) -> LogEntry {
    LogEntry::SystemItem(SystemItem { ts: NOW, item: Item::message(Role::Developer, text), injected: true })
}

pub(crate) fn turn_end(turn_count: u64) -> LogEntry {
    LogEntry::TurnEnd(TurnEnd { ts: NOW + 4, turn_count })
}

pub(crate) fn interrupted() -> LogEntry {
    run_errored(true)
}

pub(crate) fn run_errored(interrupted: bool) -> LogEntry {
    LogEntry::RunErrored(RunErrored { ts: NOW + 5, message: "stopped".into(), interrupted })
}

pub(crate) fn usage(request: &str, input: u64, output: u64) -> LogEntry {
    LogEntry::LlmUsage(LlmUsage {
        ts: NOW + 4,
        request_id: Some(request.into()),
        input_total_tokens: input,
        output_tokens: output,
        ..LlmUsage::default()
    })
}

/// What the items of a history say, one line each.
pub(crate) fn said(history: &[Item]) -> Vec<String> {
    history.iter().map(say).collect()
}

fn say(item: &Item) -> String {
    match item {
        Item::Message { role, parts } => format!("{role:?}: {}", texts(parts)),
        Item::Reasoning { text, .. } => format!("Reasoning: {text}"),
        Item::ToolCall { call_id, .. } => format!("Call {call_id}"),
        Item::ToolResult { call_id, parts, .. } => format!("Result {call_id}: {}", texts(parts)),
        Item::Other(value) => value.to_string(),
    }
}

fn texts(parts: &[Part]) -> String {
    parts.iter().map(|part| part.as_text().unwrap_or("…")).collect::<Vec<_>>().join(" ")
}

/// A value with every id replaced by its name, so that it can stand in a snapshot.
pub(crate) fn with_names(value: &impl serde::Serialize, names: &[(String, &str)]) -> Value {
    let mut text = serde_json::to_string(value).unwrap();
    for (id, name) in names {
        text = text.replace(id, name);
    }
    serde_json::from_str(&text).unwrap()
}

/// A store that counts reads and answers what it was told in place of the first entry of a segment, as a damaged store
/// might. It remembers which segments end with what a power loss takes away.
#[derive(Default)]
pub(crate) struct LyingStore {
    inner: MemoryStore,
    starts: Mutex<HashMap<SegmentId, LogEntry>>,
    reads: Mutex<HashMap<SegmentId, usize>>,
    unsynced: Mutex<HashSet<SegmentId>>,
    /// What somebody else appends the moment the next segment was made.
    interjection: Mutex<Option<(SegmentLocation, LogEntry)>>,
    /// Facts that were put while there were such segments.
    hasty: Mutex<Vec<String>>,
}

impl LyingStore {
    /// From now on the segment begins with `start`.
    pub(crate) fn tamper(&self, segment: SegmentId, start: SegmentStart) {
        self.replace(segment, LogEntry::SegmentStart(Box::new(start)));
    }

    /// From now on the segment begins with `entry`.
    pub(crate) fn replace(&self, segment: SegmentId, entry: LogEntry) {
        self.starts.lock().unwrap().insert(segment, entry);
    }

    /// The moment the next segment was made, somebody appends `entry`.
    pub(crate) fn interject(&self, at: SegmentLocation, entry: LogEntry) {
        *self.interjection.lock().unwrap() = Some((at, entry));
    }

    /// Which segments' entries were read how often since the last call.
    pub(crate) fn take_reads(&self) -> HashMap<SegmentId, usize> {
        std::mem::take(&mut *self.reads.lock().unwrap())
    }

    /// The domains of the facts that were put while something that was written before was not synced.
    #[cfg(feature = "index")]
    pub(crate) fn take_hasty_facts(&self) -> Vec<String> {
        std::mem::take(&mut *self.hasty.lock().unwrap())
    }

    fn wrote(&self, segment: SegmentId, durability: Option<Durability>) {
        let mut unsynced = self.unsynced.lock().unwrap();
        match durability {
            Some(Durability::Buffered) => unsynced.insert(segment),
            _ => unsynced.remove(&segment),
        };
    }

    fn count(&self, segment: SegmentId) {
        *self.reads.lock().unwrap().entry(segment).or_default() += 1;
    }

    fn lie(&self, segment: SegmentId, mut records: Vec<Record>) -> Vec<Record> {
        if let Some(start) = self.starts.lock().unwrap().get(&segment)
            && let Some(first) = records.first_mut().filter(|first| first.position.seq == Seq(1))
        {
            first.entry = start.clone();
        }
        records
    }
}

impl Store for LyingStore {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        let written = self.inner.create_segment(session, segment, entries, options)?;
        self.wrote(segment, options.durability);
        let interjection = self.interjection.lock().unwrap().take();
        if let Some((at, entry)) = interjection {
            self.inner.append(at.session_id, at.segment_id, &entry)?;
        }
        Ok(written)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        let written = self.inner.append_with(session, segment, entries, options)?;
        self.wrote(segment, options.durability);
        Ok(written)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.count(segment);
        Ok(self.lie(segment, self.inner.read_range(session, segment, after, limit)?))
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        self.count(segment);
        Ok(self.lie(segment, self.inner.read_tail(session, segment, count)?))
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        self.inner.read_entry_count(session, segment)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        self.inner.exists(session)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        self.inner.list_sessions()
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        self.inner.list_segments(session)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        self.inner.lookup_session_of(segment)
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.inner.append_trace(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.inner.read_traces(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        if !self.unsynced.lock().unwrap().is_empty() {
            self.hasty.lock().unwrap().push(fact.domain.clone());
        }
        self.inner.put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        self.inner.facts(scope)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.inner.put_blob(bytes)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.inner.get_blob(reference)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.inner.changes(cursor)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.inner.delete_session(session)
    }
}

impl Backend for LyingStore {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }
}
