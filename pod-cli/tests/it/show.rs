//! `pod show`

use serde_json::Value;

use crate::fixture::{self, segment_id, session_id};
use crate::harness::World;

fn texts(shown: &Value) -> Vec<&str> {
    shown["messages"].as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap()).collect()
}

fn shown(world: &World, arguments: &[&str]) -> Value {
    world.pod(&[&["show", "--json"], arguments].concat()).json()
}

#[test]
fn the_json_form() {
    insta::assert_json_snapshot!(shown(&fixture::world(), &[&session_id("fork")]));
}

#[test]
fn people_see_a_conversation() {
    let world = fixture::world();
    for cells in [40, 80, 160] {
        insta::assert_snapshot!(format!("show_{cells}"), world.pod_at_width(cells, &["show", &session_id("fork")]));
    }
}

#[test]
fn people_see_more_on_demand() {
    let world = fixture::world();
    let run = world.pod(&["show", &session_id("trunk"), "--turns", "1", "--thinking", "--tools", "full"]);
    insta::assert_snapshot!("show_full", run);
    insta::assert_snapshot!("show_no_tools", world.pod(&["show", &session_id("trunk"), "--tools", "off"]));
    insta::assert_snapshot!("show_context", world.pod(&["show", &session_id("ledger"), "--context"]));
    insta::assert_snapshot!("show_all", world.pod(&["show", &session_id("ledger"), "--all"]));
    insta::assert_snapshot!("show_raw", world.pod_at_width(100, &["show", &session_id("fork"), "--raw"]));
}

#[test]
fn what_was_said_does_not_control_the_terminal() {
    let world = fixture::world();
    for more in [&[][..], &["--all"], &["--context"], &["--raw"], &["--tools", "full"]] {
        let text = world.pod(&[&["show", &session_id("fork")], more].concat()).ok();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
}

#[test]
fn turns_and_the_last_messages() {
    let world = fixture::world();
    let id = session_id("trunk");
    assert_eq!(texts(&shown(&world, &[&id, "--turns", "2"])), ["Fix it.", "Done: one pass."]);
    assert_eq!(texts(&shown(&world, &[&id, "--turns", "2.."])), ["Fix it.", "Done: one pass."]);
    assert_eq!(texts(&shown(&world, &[&id, "--turns", "..1"])).len(), 8);
    assert_eq!(texts(&shown(&world, &[&id, "--last", "1"])), ["Done: one pass."]);
    assert_eq!(texts(&shown(&world, &[&id, "--turns", "7..9"])), Vec::<&str>::new());
    let run = world.pod(&["show", &id, "--turns", "7..9"]);
    assert!(run.code == 0 && run.stderr.contains("no such turns"), "{run}");
}

#[test]
fn thinking_and_tools_are_always_complete_for_programs() {
    let world = fixture::world();
    let id = session_id("trunk");
    let plain = shown(&world, &[&id]);
    assert_eq!(plain, shown(&world, &[&id, "--thinking", "--tools", "full"]));
    assert_eq!(plain, shown(&world, &[&id, "--tools", "off"]));
    let kinds: Vec<&str> =
        plain["messages"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert!(
        kinds.contains(&"reasoning") && kinds.contains(&"tool_call") && kinds.contains(&"tool_result"),
        "{kinds:?}"
    );
}

#[test]
fn a_tool_always_has_its_four_fields() {
    let shown = shown(&fixture::world(), &[&session_id("fork")]);
    let tools: Vec<&Value> = shown["messages"].as_array().unwrap().iter().filter_map(|row| row.get("tool")).collect();
    assert!(tools.len() > 3, "{shown}");
    for tool in tools {
        let keys: Vec<&str> = tool.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["call_id", "name", "arguments", "is_error"], "{tool}");
    }
}

#[test]
fn ids_in_another_spelling_are_the_same_ids() {
    let world = fixture::world();
    for id in [session_id("trunk"), segment_id("trunk")] {
        for spelt in [id.to_uppercase(), id.replace('-', ""), id.to_uppercase().replace('-', "")] {
            assert_eq!(shown(&world, &[&spelt])["session_id"], session_id("trunk"), "{spelt}");
        }
    }
    assert_eq!(world.pod(&["show", &"0".repeat(32)]).code, 3);
}

#[test]
fn a_compaction_is_shown_as_its_summary_and_a_dead_branch_only_on_demand() {
    let world = fixture::world();
    let id = session_id("ledger");
    let branch = [
        "How are balances computed?",
        "As a fold of all events.",
        "They talked about balances.",
        "And how fast is that?",
        "Fast.",
    ];
    assert_eq!(texts(&shown(&world, &[&id])), branch);
    let all = shown(&world, &[&id, "--all"]);
    assert!(texts(&all).contains(&"A question that was taken back."), "{all}");
    assert_eq!(texts(&all).len(), 6);
    let context = ["They talked about balances.", "As a fold of all events.", "And how fast is that?", "Fast."];
    assert_eq!(texts(&shown(&world, &[&id, "--context"])), context);
}

#[test]
fn the_context_has_what_was_injected_and_closes_open_calls() {
    let world = fixture::world();
    let context = shown(&world, &[&session_id("fork"), "--context"]);
    assert!(texts(&context).iter().any(|text| text.contains("<reminder>")), "{context}");
    let results = context["messages"].as_array().unwrap().iter().filter(|row| row["kind"] == "tool_result").count();
    assert_eq!(results, 3, "{context}");
}

#[test]
fn a_segment_is_exactly_that_one() {
    let world = fixture::world();
    let dead = shown(&world, &[&segment_id("ledger dead")]);
    assert_eq!(dead["segment_id"], segment_id("ledger dead"));
    assert_eq!(texts(&dead), ["A question that was taken back."]);
    let session = shown(&world, &[&session_id("ledger")]);
    assert_eq!(session["segment_id"], segment_id("ledger second"));
}

#[test]
fn ids_may_be_short_native_titles_or_the_last() {
    let world = fixture::world();
    let id = session_id("trunk");
    for name in [&id[..], &id[id.len() - 6..], "native-claude-1763989380000", "Why is the import slow?"] {
        assert_eq!(shown(&world, &[name])["session_id"], id, "{name}");
    }
    assert_eq!(shown(&world, &["@last"])["session_id"], session_id("fork"));
}

#[test]
fn the_raw_form_has_the_entries_of_the_branch() {
    let world = fixture::world();
    let raw = shown(&world, &[&session_id("fork"), "--raw"]);
    let places: Vec<(&str, u64)> = raw["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["segment_id"].as_str().unwrap(), entry["seq"].as_u64().unwrap()))
        .collect();
    let (trunk, fork) = (segment_id("trunk"), segment_id("fork"));
    let expected: Vec<(&str, u64)> =
        (1..=12).map(|seq| (&trunk[..], seq)).chain((1..=4).map(|seq| (&fork[..], seq))).collect();
    assert_eq!(places, expected);
    assert_eq!(raw["lineage"].as_array().unwrap().len(), 2);
    let last = shown(&world, &[&session_id("fork"), "--raw", "--last", "2"]);
    assert_eq!(last["entries"].as_array().unwrap().len(), 2);
    let turn = shown(&world, &[&session_id("fork"), "--raw", "--turns", "2"]);
    assert_eq!(turn["entries"][0]["kind"], "user_input", "{turn}");
    let all = shown(&world, &[&session_id("ledger"), "--raw", "--all"]);
    assert_eq!(all["entries"].as_array().unwrap().len(), 11);
}
