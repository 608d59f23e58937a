//! Codex conversations from file to store.

use session_store::{ShowKind, ShowMessage, UsageTotals};
use store_core::{Item, Part};

use super::world::{World, sample};

/// The texts of the messages in a transcript.
fn said(rows: &[ShowMessage]) -> Vec<&str> {
    rows.iter().filter(|row| row.kind == ShowKind::Message).map(|row| row.text.as_str()).collect()
}

/// The texts of the messages in a history.
fn texts(history: &[Item]) -> Vec<String> {
    let messages = history.iter().filter_map(|item| match item {
        Item::Message { parts, .. } => Some(parts.iter().filter_map(Part::as_text).collect()),
        _ => None,
    });
    messages.collect()
}

#[test]
fn a_roll_back_goes_on_from_the_compaction() {
    let native_id = "019ee8c9-c5b3-78f0-bdc2-ab4c8e024293";
    let world = World::of(&["constructed/codex/compaction_rollback_reemit.jsonl"]);
    let state = world.state(native_id);
    assert_eq!(texts(&state.history), ["What does main.rs do?", "Summary: main.rs is empty."]);
    assert_eq!(state.history.len(), 2);
    assert_eq!(state.turn_count, 1);
    let usage = world.summary(native_id).usage;
    let all = UsageTotals {
        input_tokens: 1_100,
        cache_read_tokens: 400,
        output_tokens: 130,
        reasoning_tokens: 50,
        total_tokens: 1_630,
        ..UsageTotals::default()
    };
    assert_eq!(usage, all);
    let shown = world.branch(native_id);
    assert!(!shown.iter().any(|row| row.text == "Delete everything"), "{shown:?}");
    assert_eq!(shown.iter().filter(|row| row.kind == ShowKind::Summary).count(), 1);
    let all = world.all(native_id);
    assert_eq!(all.iter().filter(|row| row.text == "Delete everything").count(), 1);
}

#[test]
fn a_fork_by_reference_continues_its_parent_before_the_ordinal() {
    let world = World::of(&["constructed/codex"]);
    let fork = world.branch("01a00000-0000-7000-8000-0000000000f1");
    assert_eq!(said(&fork), ["What does main.rs do?", "It does nothing.", "Continue from the fork.", "Continuing."]);
    let summary = world.summary("01a00000-0000-7000-8000-0000000000f1");
    let origin = summary.forked_from.unwrap();
    assert_eq!(origin.session_id, world.session("019ee8c9-c5b3-78f0-bdc2-ab4c8e024293").unwrap());
    assert_eq!(summary.usage_inherited.total_tokens, 1_100);
}

#[test]
fn forks_of_forks_share_their_trunk() {
    let world = World::of(&["codex"]);
    let grandchild = world.branch("01a1fc3e-7d4f-7803-84d0-0561bc1b111d");
    assert_eq!(
        said(&grandchild),
        [
            "Start of the trunk. gilded-zebu-6613",
            "The trunk begins here. hollow-zebu-2023",
            "Second turn on the trunk. dusky-gecko-4406",
            "Trunk turn two complete. umber-lemur-4200",
            "Go left. russet-ferret-1688",
            "Fork ONE goes left 🍴. eager-ocelot-3979",
            "Grandchild. russet-jackal-7966",
            "Fork of fork one, a grandchild. mellow-xerus-5243",
        ]
    );
    assert_eq!(world.state("01a1fc3e-7d4f-7803-84d0-0561bc1b111d").turn_count, 4);
}

#[test]
fn a_compaction_goes_on_with_the_listed_history() {
    let native_id = "01a1fc3e-90d6-74b3-bc47-288e52a01880";
    let world = World::of(&["codex"]);
    let state = world.state(native_id);
    let texts = texts(&state.history);
    assert_eq!(texts.len(), 9, "{texts:?}");
    assert_eq!(texts[0], "First question about the ledger. fuzzy-ferret-4265");
    assert!(texts[4].contains("hollow-kestrel-2755"), "{}", texts[4]);
    assert_eq!(texts[8], "After compaction, answer four. russet-ocelot-7474");
    assert_eq!(state.turn_count, 4);
    let shown = world.branch(native_id);
    let tell: Vec<_> =
        shown.iter().filter(|row| row.text.contains("hollow-kestrel-2755")).map(|row| row.kind).collect();
    assert_eq!(tell, [ShowKind::Summary]);
}

#[test]
fn a_compaction_of_an_older_version_goes_on_with_context_prompts_and_summary() {
    let world = World::of(&["codex-0.80.0"]);
    let state = world.state("01a1fc47-605b-7bf0-8a90-b0615a3094fa");
    let texts = texts(&state.history);
    assert_eq!(texts.len(), 9, "{texts:?}");
    assert!(texts[1].starts_with("<environment_context>"), "{}", texts[1]);
    assert_eq!(texts[3], "Count the lines. keen-zebu-7860");
    assert!(texts[4].contains("fuzzy-puffin-1641"), "{}", texts[4]);
    assert_eq!(state.turn_count, 4);
}

#[test]
fn a_sub_agent_is_a_session_of_its_own_that_names_the_call() {
    let world = World::of(&["codex"]);
    let child = world.state("01a1fc3e-acef-7ff3-953a-307c45cda9b7");
    let parent = world.session("01a1fc3e-ac7f-7bc3-b8cf-ace528909995").unwrap();
    assert_eq!(child.meta.parent_session_id, Some(parent));
    assert_eq!(child.meta.parent_call_id.as_deref(), Some("call_78d15d732da07a7653ee651c"));
}

#[test]
fn a_killed_turn_leaves_its_call_open_until_the_next_prompt() {
    let world = World::of(&["codex"]);
    let state = world.state("01a1fc3e-9ddf-73d3-9b20-8df0b777a73b");
    assert_eq!(state.open_tool_calls, ["call_cf0106d9e151981370eaf8ff"]);
    assert_eq!(state.turn_count, 2);
}

/// Older versions fork by writing the parent's records anew, with times of their own, behind a header of the fork.
#[test]
fn a_fork_that_copies_its_parent_stores_only_what_is_its_own() {
    const PARENT: &str = "01a1fc47-53e2-7ec3-8ff8-6d96bafc3350";
    const FORK: &str = "01a1fc47-ffff-7ec3-8ff8-6d96bafc3350";
    let name = format!("codex-0.80.0/sessions/2026/11/21/rollout-2026-11-21T04-04-55-{PARENT}.jsonl");
    let text = std::fs::read_to_string(sample(&name)).unwrap();
    let copied: Vec<&str> = text.lines().take(30).collect();
    let header = format!(
        r#"{{"timestamp":"2026-11-21T05:00:00.000Z","type":"session_meta","payload":{{"id":"{FORK}","forked_from_id":"{PARENT}","timestamp":"2026-11-21T05:00:00.000Z","cwd":"/home/dev/src/acme-api"}}}}"#
    );
    let mut lines = vec![header];
    lines.extend(copied.iter().map(|line| line.replace("2026-11-21T04:04:", "2026-11-21T05:00:")));
    let item = |role: &str, kind: &str, text: &str| {
        format!(
            r#"{{"timestamp":"2026-11-21T05:01:00.000Z","type":"response_item","payload":{{"type":"message","role":"{role}","content":[{{"type":"{kind}","text":"{text}"}}]}}}}"#
        )
    };
    let event = r#"{"timestamp":"2026-11-21T05:01:00.000Z","type":"event_msg","payload":{"type":"user_message","message":"Elsewhere."}}"#;
    lines.extend([
        item("user", "input_text", "Elsewhere."),
        event.to_owned(),
        item("assistant", "output_text", "There."),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let fork = folder.path().join(format!("rollout-2026-11-21T05-00-00-{FORK}.jsonl"));
    std::fs::write(&fork, lines.join("\n") + "\n").unwrap();

    let world = World::memory();
    world.import(&[sample(&name), fork]);
    let told = |native_id| -> Vec<(u64, ShowKind, String)> {
        world.branch(native_id).into_iter().map(|row| (row.turn, row.kind, row.text)).collect()
    };
    let (parent, fork) = (told(PARENT), told(FORK));
    let [shared @ .., asked, answered] = fork.as_slice() else { panic!("{fork:?}") };
    assert_eq!((asked.2.as_str(), answered.2.as_str()), ("Elsewhere.", "There."));
    assert_eq!(shared, &parent[..shared.len()]);
    assert!(shared.len() >= 6, "{shared:?}");
    let summary = world.summary(FORK);
    assert_eq!(summary.forked_from.unwrap().session_id, world.session(PARENT).unwrap());
    assert_eq!(summary.usage.total_tokens, 0);
    assert!(summary.usage_inherited.total_tokens > 0);
    assert!(summary.entries < 10, "{} entries", summary.entries);
}
