//! A store with one conversation of every sort, the same in every run: ids and times are derived.

use serde_json::json;
use session_store::{
    CurrentLeaf, OpenOptions, SegmentLocation, SessionFact, Title, TitleBy, append_entry, open, put_session_fact,
};
use store_core::{
    Backend, CreateOptions, HistoryItem, HistoryRef, Item, ItemEntry, LlmUsage, LogEntry, Part, Role, SegmentId,
    SegmentMeta, SegmentOrigin, SegmentStart, Seq, SessionConfig, SessionId, SessionKind, SystemItem, TurnEnd,
    UserInput,
};

use crate::harness::{NOW, World};

const MINUTE: u64 = 60_000;

/// The segment that is called `name`, in the session of that name's first word.
pub(crate) fn place(name: &str) -> SegmentLocation {
    let session = name.split(' ').next().unwrap_or(name);
    SegmentLocation {
        session_id: SessionId::derive(NOW - 600 * MINUTE, session.as_bytes()),
        segment_id: SegmentId::derive(NOW - 600 * MINUTE, format!("segment {name}").as_bytes()),
    }
}

/// The id of the session that is called `name`.
pub(crate) fn session_id(name: &str) -> String {
    place(name).session_id.to_string()
}

/// The id of the segment that is called `name`.
pub(crate) fn segment_id(name: &str) -> String {
    place(name).segment_id.to_string()
}

/// A world whose usual store is the fixture.
pub(crate) fn world() -> World {
    let world = World::new();
    fill(&*open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap());
    world
}

/// The fixture in a store of each backend, one after the other.
pub(crate) fn on_every_backend(check: impl Fn(&World, &str)) {
    let world = world();
    let sqlite = format!("sqlite:{}", world.path().join("pod.db").display());
    fill(&*open(&sqlite, &OpenOptions::at(NOW)).unwrap());
    check(&world, &format!("fs:{}", world.usual_store().display()));
    check(&world, &sqlite);
}

/// Somebody types something into the segment that is called `name`.
pub(crate) fn say(store: &dyn Backend, name: &str, text: &str) {
    append(store, place(name), vec![prompt(NOW, text)]);
}

/// Writes the conversations.
pub(crate) fn fill(store: &dyn Backend) {
    fill_trunk(store);
    fill_fork(store);
    fill_compacted(store);
    fill_helper(store);
    fill_archived(store);
}

/// Three minutes a step, from `minutes` before now.
struct Clock(u64);

impl Clock {
    fn before_now(minutes: u64) -> Self {
        Self(NOW - minutes * MINUTE)
    }

    fn tick(&mut self) -> u64 {
        self.0 += 3 * MINUTE;
        self.0
    }
}

fn begin(store: &dyn Backend, at: SegmentLocation, start: SegmentStart) {
    let entry = LogEntry::SegmentStart(Box::new(start));
    store.create_segment(at.session_id, at.segment_id, &[entry.into()], &CreateOptions::default()).unwrap();
}

fn start(at: SegmentLocation, ts: u64, agent: &str, cwd: &str) -> SegmentStart {
    let native_id = format!("native-{agent}-{ts}");
    SegmentStart {
        config: SessionConfig {
            model: Some("large-model-1".into()),
            cwd: Some(cwd.into()),
            branch: Some("main".into()),
            ..SessionConfig::default()
        },
        meta: SegmentMeta { agent: Some(agent.into()), native_id: Some(native_id), ..SegmentMeta::default() },
        ..SegmentStart::new(at.session_id, ts)
    }
}

fn append(store: &dyn Backend, at: SegmentLocation, entries: Vec<LogEntry>) {
    for entry in entries {
        append_entry(store, at, entry).unwrap();
    }
}

fn prompt(ts: u64, text: &str) -> LogEntry {
    LogEntry::UserInput(UserInput { ts, content: vec![Part::text(text)] })
}

fn says(ts: u64, text: &str) -> LogEntry {
    LogEntry::AssistantItem(ItemEntry { ts, item: Item::message(Role::Assistant, text) })
}

fn thinks(ts: u64, text: &str) -> LogEntry {
    let item = Item::Reasoning { text: text.into(), signature: None, encrypted: None };
    LogEntry::AssistantItem(ItemEntry { ts, item })
}

fn calls(ts: u64, call_id: &str, name: &str, arguments: serde_json::Value) -> LogEntry {
    let item = Item::ToolCall { call_id: call_id.into(), name: name.into(), arguments };
    LogEntry::AssistantItem(ItemEntry { ts, item })
}

fn answers(ts: u64, call_id: &str, text: &str, is_error: bool) -> LogEntry {
    let item = Item::ToolResult { call_id: call_id.into(), parts: vec![Part::text(text)], is_error };
    LogEntry::ToolResult(ItemEntry { ts, item })
}

fn ends(ts: u64, turn_count: u64) -> LogEntry {
    LogEntry::TurnEnd(TurnEnd { ts, turn_count })
}

fn used(ts: u64, request: &str, output_tokens: u64) -> LogEntry {
    LogEntry::LlmUsage(LlmUsage {
        ts,
        request_id: Some(request.into()),
        model: Some("large-model-1".into()),
        input_total_tokens: 1200,
        cache_read_tokens: 1000,
        output_tokens,
        ..LlmUsage::default()
    })
}

/// Two turns with tools: seqs 1 to 14.
fn fill_trunk(store: &dyn Backend) {
    let at = place("trunk");
    let mut t = Clock::before_now(180);
    begin(store, at, start(at, t.tick(), "claude", "/home/dev/src/acme-api"));
    let reminder =
        SystemItem { ts: t.tick(), item: Item::message(Role::User, "<reminder>be brief</reminder>"), injected: true };
    append(
        store,
        at,
        vec![
            LogEntry::SystemItem(reminder),
            prompt(t.tick(), "Why is the import slow?"),
            thinks(t.tick(), "Measure before guessing."),
            says(t.tick(), "Let me measure it."),
            calls(t.tick(), "call-1", "Bash", json!({"command": "cargo bench import", "timeout": 60})),
            calls(t.tick(), "call-2", "Read", json!({"file_path": "/home/dev/src/acme-api/src/import.rs"})),
            answers(t.tick(), "call-1", "import  1.2 s\nparse   1.1 s\n", false),
            answers(t.tick(), "call-2", "no such file", true),
            says(t.tick(), "It parses every line twice:\n\n```rust\nlet a = parse(line);\nlet b = parse(line);\n```"),
            used(t.tick(), "request-1", 50),
            ends(t.tick(), 1),
            prompt(t.tick(), "Fix it."),
            says(t.tick(), "Done: one pass."),
            used(t.tick(), "request-2", 30),
            ends(t.tick(), 2),
        ],
    );
    put_session_fact(store, NOW, at.session_id, &SessionFact::Tags(vec!["speed".into()])).unwrap();
}

/// A conversation of its own that goes on after the trunk's first turn, with a hostile title and an open call.
fn fill_fork(store: &dyn Backend) {
    let (at, from) = (place("fork"), place("trunk"));
    let mut t = Clock::before_now(90);
    let origin =
        SegmentOrigin { session_id: from.session_id, segment_id: from.segment_id, seq: Seq(12), at_turn_index: 1 };
    let ts = t.tick();
    begin(
        store,
        at,
        SegmentStart { forked_from: Some(origin), ..start(at, ts, "codex", "/home/dev/src/acme-api/web") },
    );
    append(
        store,
        at,
        vec![
            prompt(t.tick(), "Rather rewrite it. \u{1b}[2J日本語でお願いします"),
            calls(t.tick(), "call-3", "shell", json!({"command": ["bash", "-lc", "git switch -c rewrite"]})),
            used(t.tick(), "request-3", 5),
        ],
    );
    let title = "\u{1b}]0;owned\u{7}書き直し \u{1b}[31mrewrite\u{1b}[0m\nof the importer \u{202e}gnp.exe";
    let fact = SessionFact::Title(Title { text: title.into(), by: TitleBy::Person });
    put_session_fact(store, NOW, at.session_id, &fact).unwrap();
}

/// Three segments: a first one, a compaction of it, and a branch that was left.
fn fill_compacted(store: &dyn Backend) {
    let (first, dead, second) = (place("ledger first"), place("ledger dead"), place("ledger second"));
    let mut t = Clock::before_now(60 * 24 * 20);
    begin(store, first, start(first, t.tick(), "pi", "/home/dev/src/ledger"));
    append(
        store,
        first,
        vec![
            prompt(t.tick(), "How are balances computed?"),
            says(t.tick(), "As a fold of all events."),
            used(t.tick(), "request-4", 1_000_000),
            ends(t.tick(), 1),
        ],
    );
    let origin = |seq, at_turn_index| SegmentOrigin {
        session_id: first.session_id,
        segment_id: first.segment_id,
        seq: Seq(seq),
        at_turn_index,
    };
    let ts = t.tick();
    begin(
        store,
        dead,
        SegmentStart { forked_from: Some(origin(1, 0)), ..start(dead, ts, "pi", "/home/dev/src/ledger") },
    );
    append(store, dead, vec![prompt(t.tick(), "A question that was taken back.")]);
    let history = vec![
        HistoryItem::Item(Item::message(Role::User, "They talked about balances.")),
        HistoryItem::Reference(HistoryRef { segment_id: first.segment_id, from: Seq(3), through: Seq(3) }),
    ];
    let ts = t.tick();
    let compacted =
        SegmentStart { compacted_from: Some(origin(5, 1)), history, ..start(second, ts, "pi", "/home/dev/src/ledger") };
    begin(store, second, compacted);
    append(store, second, vec![prompt(t.tick(), "And how fast is that?"), says(t.tick(), "Fast."), ends(t.tick(), 2)]);
    let leaf = CurrentLeaf { segment_id: second.segment_id, seq: Seq(4) };
    put_session_fact(store, NOW, first.session_id, &SessionFact::CurrentLeaf(leaf)).unwrap();
}

/// What a tool call of the trunk started.
fn fill_helper(store: &dyn Backend) {
    let at = place("helper");
    let mut t = Clock::before_now(150);
    let mut start = start(at, t.tick(), "claude", "/home/dev/src/acme-api");
    start.meta.kind = SessionKind::Subagent;
    start.meta.parent_session_id = Some(place("trunk").session_id);
    start.meta.parent_call_id = Some("call-1".into());
    begin(store, at, start);
    append(store, at, vec![prompt(t.tick(), "Survey the folder."), says(t.tick(), "Three files."), ends(t.tick(), 1)]);
}

/// One that was put away.
fn fill_archived(store: &dyn Backend) {
    let at = place("old");
    let mut t = Clock::before_now(60 * 24 * 3);
    begin(store, at, start(at, t.tick(), "codex", "/home/dev/notes"));
    append(
        store,
        at,
        vec![prompt(t.tick(), "Summarise my notes."), says(t.tick(), "You have none."), ends(t.tick(), 1)],
    );
    put_session_fact(store, NOW, at.session_id, &SessionFact::Archived(true)).unwrap();
}
