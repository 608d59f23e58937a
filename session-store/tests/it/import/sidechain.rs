//! Sub-agents among the records of the conversation that started them.
//!
//! The file is made by hand after what is publicly known of Claude Code 1.0: see `tests/samples/README.md`.

use std::fs;

use serde_json::Value;
use session_store::import::ImportStatus;
use session_store::{ShowKind, StoreFact, put_store_fact};
use store_core::{LogEntry, SegmentMeta, Seq, SessionKind};

use super::world::{NOON, World, complaints, sample};

pub(super) const FILE: &str = "constructed/claude/5e55a000-0000-4000-8000-00000000c1de.jsonl";
pub(super) const MAIN: &str = "5e55a000-0000-4000-8000-00000000c1de";
const ROUNDING: &str = "agent-5e55a000-0000-4000-8000-000000000011";
const TESTS: &str = "agent-5e55a000-0000-4000-8000-000000000021";
const AGAIN: &str = "agent-5e55a000-0000-4000-8000-000000000031";

fn meta(world: &World, native_id: &str) -> SegmentMeta {
    let session = world.session(native_id).unwrap();
    let segments = world.store.list_segments(session).unwrap();
    assert_eq!(segments.len(), 1, "{native_id}");
    let first = world.store.read_range(session, segments[0], Seq::START, 1).unwrap().remove(0);
    match first.entry {
        LogEntry::SegmentStart(start) => start.meta,
        other => panic!("{other:?}"),
    }
}

fn shown(world: &World, native_id: &str) -> Vec<String> {
    let rows = world.branch(native_id).into_iter();
    let row = |row: session_store::ShowMessage| match row.tool {
        Some(tool) => format!("{} {}", if row.kind == ShowKind::ToolCall { "call" } else { "result" }, tool.call_id),
        None => row.text,
    };
    rows.map(row).collect()
}

#[test]
fn each_is_a_session_that_knows_the_call_that_started_it() {
    let world = World::of(&[FILE]);
    let main = world.session(MAIN).unwrap();
    for (native_id, call) in [(ROUNDING, "toolu_A"), (TESTS, "toolu_B"), (AGAIN, "toolu_C")] {
        let meta = meta(&world, native_id);
        assert_eq!((meta.kind, meta.parent_session_id), (SessionKind::Subagent, Some(main)), "{native_id}");
        assert_eq!(meta.parent_call_id.as_deref(), Some(call), "{native_id}");
        assert_eq!(meta.other["agentType"], "general-purpose", "{native_id}");
    }
    assert_eq!(meta(&world, MAIN).kind, SessionKind::Main);
}

#[test]
fn each_shows_its_own_messages_and_the_parent_none_of_them() {
    let world = World::of(&[FILE]);
    let rounding = [
        "Find where totals are rounded. side-prompt-0001",
        "call toolu_A1",
        "result toolu_A1",
        "In src/ledger.py, in total_of, on the last line. side-answer-0001",
    ];
    assert_eq!(shown(&world, ROUNDING), rounding);
    let tests = ["Count the tests. side-prompt-0002", "There are 12 tests. side-answer-0002"];
    assert_eq!(shown(&world, TESTS), tests);
    assert_eq!(shown(&world, AGAIN), ["Find where totals are rounded. side-prompt-0001", "call toolu_C1"]);
    let main = [
        "Look around with two helpers. main-prompt-0001",
        "Two helpers, then. main-answer-0001",
        "call toolu_A",
        "call toolu_B",
        "result toolu_B",
        "result toolu_A",
        "Rounding is in total_of; there are 12 tests. main-answer-0002",
        "Once more, please. main-prompt-0002",
        "call toolu_C",
    ];
    assert_eq!(shown(&world, MAIN), main);
    assert_eq!(world.state(MAIN).open_tool_calls, ["toolu_C"]);
    assert_eq!(world.state(AGAIN).open_tool_calls, ["toolu_C1"]);
}

#[test]
fn each_owns_what_it_used() {
    let world = World::of(&[FILE]);
    let used = |native_id: &str| {
        let usage = world.summary(native_id).usage;
        (usage.input_tokens, usage.cache_write_tokens, usage.cache_read_tokens, usage.output_tokens)
    };
    assert_eq!(used(ROUNDING), (8, 50, 50, 28));
    assert_eq!(used(TESTS), (6, 60, 0, 7));
    assert_eq!(used(AGAIN), (4, 40, 0, 9));
    assert_eq!(used(MAIN), (30, 100, 300, 70));
    assert_eq!(world.usage().output_tokens, 70 + 44);
}

#[test]
fn the_report_tells_of_each_and_importing_again_of_nothing_new() {
    let world = World::memory();
    let report = world.import(&[sample(FILE)]);
    let told: Vec<&str> = report.sessions.iter().filter_map(|file| file.native_id.as_deref()).collect();
    assert_eq!(told, [MAIN, ROUNDING, TESTS, AGAIN]);
    assert_eq!((report.imported, complaints(&report)), (4, Vec::new()));
    let logs = world.logs();
    let again = world.import(&[sample(FILE)]);
    assert_eq!((again.unchanged, again.entries), (1, 0));
    assert!(world.logs() == logs);
}

#[test]
fn what_a_sub_agent_gains_is_added_to_it() {
    let text = fs::read_to_string(sample(FILE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{MAIN}.jsonl"));
    fs::write(&path, &text).unwrap();
    let world = World::memory();
    world.import(std::slice::from_ref(&path));
    let mut last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    last["parentUuid"] = last["uuid"].take();
    last["uuid"] = "5e55a000-0000-4000-8000-000000000033".into();
    last["message"]["content"] = serde_json::json!([{"type": "text", "text": "Not there. side-answer-0003"}]);
    fs::write(&path, format!("{text}{last}\n")).unwrap();
    let report = world.import(&[path]);
    let told: Vec<_> = report.sessions.iter().map(|file| (file.status, file.entries)).collect();
    let (same, more) = ((ImportStatus::Unchanged, 0), (ImportStatus::Updated, 1));
    assert_eq!(told, [same, same, same, more], "{report:#?}");
    assert_eq!(shown(&world, AGAIN).last().unwrap(), "Not there. side-answer-0003");
    assert_eq!(shown(&world, MAIN).len(), 9);
}

/// A fork begins with copies, also of what its parent's sub-agents did.
#[test]
fn a_copy_in_a_fork_is_the_same_sub_agent() {
    let text = fs::read_to_string(sample(FILE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fork = folder.path().join("f0000000-0000-4000-8000-00000000c1de.jsonl");
    let own = r#"{"parentUuid":"5e55a000-0000-4000-8000-000000000007","isSidechain":false,"type":"user","message":{"role":"user","content":"Elsewhere."},"uuid":"f0000000-0000-4000-8000-000000000001","timestamp":"2025-07-31T11:00:00.000Z","sessionId":"f0000000-0000-4000-8000-00000000c1de"}"#;
    fs::write(
        &fork,
        format!(
            "{}{own}\n",
            text.replace(
                &format!("\"sessionId\":\"{MAIN}\""),
                "\"sessionId\":\"f0000000-0000-4000-8000-00000000c1de\""
            )
        ),
    )
    .unwrap();
    let world = World::memory();
    let report = world.import(&[sample(FILE), fork]);
    assert_eq!((report.failed, complaints(&report)), (0, Vec::new()));
    assert_eq!(world.rows().len(), 5);
    assert_eq!(meta(&world, ROUNDING).parent_session_id, world.session(MAIN));
    let rows = shown(&world, "f0000000-0000-4000-8000-00000000c1de");
    assert_eq!((rows.len(), rows[7].as_str()), (8, "Elsewhere."));
}

#[test]
fn a_sub_agent_that_was_purged_stays_away_and_the_others_come() {
    let world = World::memory();
    let tombstone = StoreFact::Tombstone { native_id: TESTS.into(), value: serde_json::json!({"agent": "claude"}) };
    put_store_fact(&*world.store, NOON, &tombstone).unwrap();
    let report = world.import(&[sample(FILE)]);
    assert_eq!((report.imported, report.removed), (3, 1));
    assert_eq!(shown(&world, ROUNDING).len(), 4);
}

/// Some versions began with sub-agents of their own accord, before anything was said.
#[test]
fn a_file_that_begins_with_a_sub_agent_is_the_conversation_that_it_is_named_after() {
    let text = fs::read_to_string(sample(FILE)).unwrap();
    let warm_up = r#"{"parentUuid":null,"isSidechain":true,"type":"user","message":{"role":"user","content":"Warmup"},"uuid":"5e55a000-0000-4000-8000-0000000000f1","timestamp":"2025-07-31T09:59:00.000Z","sessionId":"5e55a000-0000-4000-8000-00000000c1de"}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{MAIN}.jsonl"));
    fs::write(&path, format!("{warm_up}\n{text}")).unwrap();
    let world = World::memory();
    world.import(&[path]);
    assert_eq!(meta(&world, MAIN).kind, SessionKind::Main);
    assert_eq!(shown(&world, MAIN).len(), 9);
    let warm_up = meta(&world, "agent-5e55a000-0000-4000-8000-0000000000f1");
    assert_eq!((warm_up.parent_session_id, warm_up.parent_call_id), (world.session(MAIN), None));
}
