//! What is known of single conversations: what the model saw next, what was left open, what belongs together.

use serde_json::{Value, json};
use session_store::import::ImportStatus;
use session_store::{SessionFacts, ShowKind, restore_by_segment};
use store_core::{Item, LogEntry, Part, Role, Seq, SessionKind};

use super::world::{World, complaints, sample};

fn constructed(name: &str) -> (World, String) {
    let world = World::memory();
    let report = world.import(&[sample("constructed").join(name)]);
    assert_eq!(report.failed, 0, "{:#?}", complaints(&report));
    let native_id = report.sessions[0].native_id.clone().unwrap();
    (world, native_id)
}

fn context(world: &World, native_id: &str) -> Vec<String> {
    let name = |kind: ShowKind| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned();
    let rows = world.context(native_id);
    rows.iter().map(|row| format!("{}: {}", name(row.kind), row.text.lines().next().unwrap_or_default())).collect()
}

#[test]
fn torn_and_fused_lines_lose_only_what_is_not_there() {
    let (world, native_id) = constructed("claude/torn_and_fused_lines.jsonl");
    let usage = world.usage();
    assert_eq!((usage.input_tokens, usage.cache_write_tokens, usage.output_tokens), (9, 100, 44));
    let rows = world.branch(&native_id);
    let results: Vec<&str> =
        rows.iter().filter(|row| row.kind == ShowKind::ToolResult).map(|row| row.text.as_str()).collect();
    assert_eq!(results, ["a.txt"]);
    assert_eq!(world.rows()[0].title.as_deref(), Some("my title"));
}

#[test]
fn warnings_name_lines_as_people_count_them() {
    let world = World::memory();
    let report = world.import(&[sample("constructed/claude")]);
    let lines: Vec<(Option<&str>, Option<u64>, &str)> = report
        .sessions
        .iter()
        .flat_map(|file| file.warnings.iter().map(|warning| (file.native_id.as_deref(), warning)))
        .map(|(native_id, warning)| (native_id, warning.line, warning.message.as_str()))
        .collect();
    insta::assert_debug_snapshot!(lines);
}

#[test]
fn a_tree_goes_on_with_its_summary_and_what_it_keeps() {
    let (world, native_id) = constructed("pi/v3_tree_compaction_branch.jsonl");
    assert_eq!(world.usage().total_tokens, 465);
    insta::assert_debug_snapshot!(context(&world, &native_id));
}

#[test]
fn entries_under_a_broken_header_are_kept() {
    let (world, native_id) = constructed("pi/v3_corrupt_header.jsonl");
    assert_eq!(world.branch(&native_id).len(), 3);
}

#[test]
fn a_roll_back_behind_a_compaction_leaves_the_compacted_history() {
    let (world, native_id) = constructed("codex/compaction_rollback_reemit.jsonl");
    let usage = world.usage();
    assert_eq!((usage.total_tokens, usage.cache_read_tokens, usage.output_tokens), (1630, 400, 130));
    assert_eq!(usage.input_tokens + usage.cache_read_tokens, 1500);
    let session = world.session(&native_id).unwrap();
    let leaf = session_store::current_leaf(&*world.store, session).unwrap();
    let state = restore_by_segment(&*world.store, leaf).unwrap();
    insta::assert_debug_snapshot!(state.history);
}

fn claude(native_id: &str) -> (World, String) {
    let world = World::memory();
    world.import(&[sample("claude")]);
    (world, native_id.to_owned())
}

#[test]
fn a_compaction_by_hand_goes_on_with_its_summary_and_what_it_preserves() {
    let (world, native_id) = claude("b30d1613-a4ae-452a-8523-64c3786f4d52");
    insta::assert_debug_snapshot!(context(&world, &native_id));
}

#[test]
fn lines_that_are_written_again_behind_a_compaction_stand_where_they_were() {
    let (world, native_id) = claude("f1acab9b-c95c-48f9-8640-f3dce334530b");
    insta::assert_debug_snapshot!(context(&world, &native_id));
    let summaries = world.branch(&native_id).iter().filter(|row| row.kind == ShowKind::Summary).count();
    assert_eq!(summaries, 2);
}

#[test]
fn a_rewound_conversation_shows_the_branch_it_went_on_with() {
    let (world, native_id) = claude("b6534a47-0549-436a-ad01-754e3c1278af");
    let has = |rows: &[session_store::ShowMessage], mark: &str| rows.iter().any(|row| row.text.contains(mark));
    let branch = world.branch(&native_id);
    assert!(has(&branch, "jagged-ocelot-7899") && !has(&branch, "silver-gecko-8792"));
    assert!(has(&world.all(&native_id), "silver-gecko-8792"));
    assert_eq!(branch.last().unwrap().turn, 3);
}

#[test]
fn a_call_that_was_killed_stays_open() {
    let (world, native_id) = claude("b1a7c0de-0000-4000-8000-0000000000c1");
    let all = world.all(&native_id);
    let calls = |kind: ShowKind| all.iter().filter(|row| row.kind == kind).count();
    assert_eq!((calls(ShowKind::ToolCall), calls(ShowKind::ToolResult)), (1, 0));
}

#[test]
fn a_fork_of_a_fork_copies_nothing() {
    let (world, native_id) = claude("0331915b-d7eb-41a0-8cef-df4ffcfde694");
    let session = world.session(&native_id).unwrap();
    let segments = world.store.list_segments(session).unwrap();
    assert_eq!(segments.len(), 1);
    let entries = world.store.read_all(session, segments[0]).unwrap();
    let LogEntry::SegmentStart(start) = &entries[0] else { panic!("{entries:?}") };
    let parent =
        world.session("892e096a-cd34-4ef6-bf5b-b04c45be3a3f").or(start.forked_from.map(|from| from.session_id));
    assert_ne!(start.forked_from.unwrap().session_id, session);
    assert!(parent.is_some());
    let prompts = entries.iter().filter(|entry| matches!(entry, LogEntry::UserInput(_))).count();
    assert_eq!(prompts, 1);
    assert_eq!(world.branch(&native_id).iter().filter(|row| row.kind == ShowKind::Message).count(), 8);
    let row = world.rows().into_iter().find(|row| row.session_id == session).unwrap();
    assert_eq!(row.turns, 4);
    assert!(row.usage_inherited.total_tokens > row.usage.total_tokens);
}

#[test]
fn a_sub_agent_knows_the_call_that_started_it() {
    let (world, native_id) = claude("agent-a55126878f5091f4e");
    let session = world.session(&native_id).unwrap();
    let segment = world.store.list_segments(session).unwrap()[0];
    let LogEntry::SegmentStart(start) = world.store.read_all(session, segment).unwrap().remove(0) else { panic!() };
    assert_eq!(start.meta.kind, SessionKind::Subagent);
    assert_eq!(start.meta.parent_session_id, world.session("0a091693-5c4e-4146-84a0-3f8c179424c1"));
    assert_eq!(start.meta.parent_call_id.as_deref(), Some("toolu_01a0FftCvgeaSPgZW58nft9N"));
}

#[test]
fn an_interruption_and_a_refusal_end_their_turns() {
    let (world, native_id) = claude("297dc34b-098a-409b-9f24-b018e4bbad1b");
    let errors = |native_id: &str| -> Vec<(String, bool)> {
        let session = world.session(native_id).unwrap();
        let segments = world.store.list_segments(session).unwrap();
        let entries = segments.iter().flat_map(|segment| world.store.read_all(session, *segment).unwrap());
        entries
            .filter_map(|entry| match entry {
                LogEntry::RunErrored(error) => Some((error.message, error.interrupted)),
                _ => None,
            })
            .collect()
    };
    assert_eq!(errors(&native_id), [("[Request interrupted by user]".to_owned(), true)]);
    let refused = errors("c4fc5245-e1c6-41bf-98ed-4a1705b5be7b");
    assert_eq!(refused.len(), 1);
    assert!(refused[0].0.starts_with("API Error: 400") && !refused[0].1, "{refused:?}");
}

#[test]
fn a_large_output_is_kept_beside_what_the_model_saw_of_it() {
    let (world, native_id) = claude("eb38aab6-9ea5-44db-8bc5-d2e1438cce5a");
    let session = world.session(&native_id).unwrap();
    let segment = world.store.list_segments(session).unwrap()[0];
    let entries = world.store.read_all(session, segment).unwrap();
    let output = entries.iter().find_map(|entry| match entry {
        LogEntry::Extension(extension) if extension.domain == "import.claude.output" => Some(&extension.payload),
        _ => None,
    });
    let output = output.unwrap();
    assert_eq!((&output["file"], &output["text"]["bytes"]), (&"b0m681o83.txt".into(), &108_000.into()));
    let state = restore_by_segment(&*world.store, segment).unwrap();
    let result = state.history.iter().find_map(|item| match item {
        Item::ToolResult { parts, .. } => parts.first().and_then(Part::as_text),
        _ => None,
    });
    assert!(result.unwrap().starts_with("<persisted-output>") && result.unwrap().len() < 10_000);
    let whole = state.extensions.iter().find(|(domain, _)| domain == "import.claude.output").unwrap();
    assert_eq!(whole.1["text"].as_str().unwrap().len(), 108_000);
}

#[test]
fn titles_come_from_people_before_programs() {
    let (world, native_id) = claude("5c41e4e9-e3d5-4725-9667-ebbbd83cb691");
    let session = world.session(&native_id).unwrap();
    let facts = SessionFacts::read(&*world.store, session).unwrap();
    assert_eq!(facts.title(), Some("Tui session 🖥️"));
}

#[test]
fn an_archived_conversation_is_archived_and_comes_back() {
    let world = World::memory();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archived_sessions");
    std::fs::create_dir(&archive).unwrap();
    let name = "rollout-2026-11-21T03-55-29-01a1fc3e-b322-7c70-bd0b-341f8244c8d4.jsonl";
    std::fs::copy(sample("codex/archived_sessions").join(name), archive.join(name)).unwrap();
    world.import(&[folder.path().to_owned()]);
    assert!(world.rows()[0].archived);
    std::fs::create_dir(folder.path().join("sessions")).unwrap();
    std::fs::rename(archive.join(name), folder.path().join("sessions").join(name)).unwrap();
    let report = world.import(&[folder.path().to_owned()]);
    assert_eq!((report.sessions[0].status, report.entries), (ImportStatus::Updated, 0));
    assert!(!world.rows()[0].archived);
}

#[test]
fn what_a_person_typed_is_told_from_what_was_put_in() {
    let (world, native_id) = claude("5c41e4e9-e3d5-4725-9667-ebbbd83cb691");
    let session = world.session(&native_id).unwrap();
    let segment = world.store.list_segments(session).unwrap()[0];
    let records = world.store.read_range(session, segment, Seq::START, usize::MAX).unwrap();
    let said: Vec<String> = records
        .iter()
        .filter_map(|record| match &record.entry {
            LogEntry::UserInput(input) => Some(format!("typed: {}", first_line(&input.content))),
            LogEntry::SystemItem(system) => match &system.item {
                Item::Message { role: Role::User, parts } => Some(format!("put in: {}", first_line(parts))),
                _ => None,
            },
            _ => None,
        })
        .collect();
    insta::assert_debug_snapshot!(said);
}

fn first_line(parts: &[Part]) -> &str {
    parts.iter().find_map(Part::as_text).unwrap_or_default().lines().next().unwrap_or_default()
}

/// A fork as older versions of Codex wrote it: a header, all lines of the parent at another time, then its own.
fn older_fork(parent: &str, own: &str) -> String {
    let mut lines: Vec<Value> = parent.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let id = lines[0]["payload"]["id"].as_str().unwrap().to_owned();
    lines[0]["payload"]["id"] = json!("01a1fc47-ffff-7ec3-8ff8-000000000001");
    lines[0]["payload"]["timestamp"] = json!("2026-11-21T05:00:00.000Z");
    lines[0]["payload"]["forked_from_id"] = json!(id);
    let said = |role: &str, kind: &str, text: &str| json!({"type": "response_item", "payload": {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}});
    lines.push(said("user", "input_text", own));
    lines.push(json!({"type": "event_msg", "payload": {"type": "user_message", "message": own}}));
    lines.push(said("assistant", "output_text", "An answer of its own."));
    lines.push(json!({"type": "event_msg", "payload": {"type": "agent_message", "message": "An answer of its own."}}));
    for line in &mut lines {
        line["timestamp"] = json!("2026-11-21T05:00:01.000Z");
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_older_codex_fork_is_told_from_what_it_copies_by_what_it_says() {
    let name = "rollout-2026-11-21T04-04-55-01a1fc47-53e2-7ec3-8ff8-6d96bafc3350.jsonl";
    let parent = sample("codex-0.80.0/sessions/2026/11/21").join(name);
    let text = std::fs::read_to_string(&parent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("rollout-2026-11-21T05-00-00-01a1fc47-ffff-7ec3-8ff8-000000000001.jsonl");
    std::fs::write(&child, older_fork(&text, "A question of its own.")).unwrap();
    let (of_parent, of_child) = ("01a1fc47-53e2-7ec3-8ff8-6d96bafc3350", "01a1fc47-ffff-7ec3-8ff8-000000000001");
    let world = World::memory();
    let alone = World::memory();
    alone.import(std::slice::from_ref(&parent));
    world.import(&[child, parent]);
    assert_eq!(world.usage(), alone.usage());
    let session = world.session(of_child).unwrap();
    let segments = world.store.list_segments(session).unwrap();
    assert_eq!(segments.len(), 1);
    let entries = world.store.read_all(session, segments[0]).unwrap();
    let kinds: Vec<&str> = entries.iter().map(LogEntry::kind).collect();
    // Nothing ended the parent's last turn; the fork's prompt does.
    assert_eq!(kinds, ["segment_start", "turn_end", "user_input", "assistant_item"]);
    let texts = |native_id: &str| world.branch(native_id).into_iter().map(|row| row.text).collect::<Vec<_>>();
    let (parents, childs) = (texts(of_parent), texts(of_child));
    assert_eq!(childs[..parents.len()], parents);
    assert_eq!(childs[parents.len()..], ["A question of its own.", "An answer of its own."]);
    let turns = |native_id: &str| world.branch(native_id).last().unwrap().turn;
    assert_eq!(turns(of_child), turns(of_parent) + 1);
}
