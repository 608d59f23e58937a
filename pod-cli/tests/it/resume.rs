//! `pod --session ID` and `pod resume ID`

use serde_json::json;

use crate::fixture::{self, segment_id, session_id};

#[test]
fn the_restored_state_as_json() {
    let world = fixture::world();
    let state = world.pod(&["--session", &session_id("fork"), "--print", "--json"]).json();
    insta::assert_json_snapshot!(state);
}

#[test]
fn the_history_is_what_a_model_would_be_given_and_open_calls_are_named() {
    let world = fixture::world();
    let state = world.pod(&["--session", &session_id("fork"), "--print", "--json"]).json();
    assert_eq!(state["open_tool_calls"], json!(["call-3"]));
    let history = state["history"].as_array().unwrap();
    let closing = json!({"type": "tool_result", "call_id": "call-3",
        "parts": [{"type": "text", "text": "[interrupted]"}], "is_error": true});
    assert_eq!(history.last(), Some(&closing));
    let context = world.pod(&["show", &session_id("fork"), "--context", "--json"]).json();
    let rows = context["messages"].as_array().unwrap();
    assert_eq!(rows.len(), history.len());
    for (row, item) in rows.iter().zip(history) {
        assert_eq!(row["kind"], item["type"], "{row} is {item}");
        assert_eq!(row["tool"]["call_id"], item["call_id"], "{row} is {item}");
    }
}

#[test]
fn what_only_prints_takes_no_prompt() {
    let world = fixture::world();
    let id = session_id("fork");
    for arguments in [["--session", &id, "--print", "--", "go on"], ["resume", &id, "--print", "--", "go on"]] {
        let run = world.pod(&arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains("hint: "), "{run}");
    }
}

#[test]
fn a_session_and_its_segment_restore_the_same_by_either_command() {
    let world = fixture::world();
    for (session, segment) in [("fork", "fork"), ("ledger", "ledger second")] {
        let by_session = world.pod(&["--session", &session_id(session), "--print", "--json"]).json();
        for arguments in [
            ["--session", &segment_id(segment), "--print", "--json"],
            ["resume", &segment_id(segment), "--print", "--json"],
            ["resume", &session_id(session), "--print", "--json"],
        ] {
            assert_eq!(world.pod(&arguments).json(), by_session, "{arguments:?}");
        }
    }
}

#[test]
fn people_see_the_conversation() {
    let world = fixture::world();
    let run = world.pod(&["--session", &session_id("ledger"), "--print"]);
    insta::assert_snapshot!(run);
    assert_eq!(run.ok(), world.pod(&["show", &session_id("ledger")]).ok());
}

#[test]
fn going_on_needs_a_terminal() {
    let world = fixture::world();
    let id = session_id("trunk");
    for arguments in [&["--session", &id][..], &["resume", &id], &["--session", &id, "--", "go on"]] {
        let run = world.pod(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains("--print"), "{run}");
        let error = world.pod(&[&["--json"], arguments].concat()).json_error();
        assert_eq!(error["error"]["kind"], "usage");
    }
}

#[test]
fn how_to_go_on_needs_something_to_go_on_with() {
    let world = fixture::world();
    for arguments in [&["--print"][..], &["--agent", "codex", "list"], &["--print-cmd"]] {
        let run = world.pod(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains("pod --session ID"), "{run}");
    }
}

#[test]
fn what_cannot_be_found_is_told_before_what_cannot_be_done() {
    let run = fixture::world().pod(&["--session", "nothing-like-this"]);
    assert_eq!(run.code, 3, "{run}");
}
