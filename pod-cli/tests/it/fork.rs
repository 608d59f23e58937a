//! `pod fork`

use serde_json::json;

use crate::fixture::{self, segment_id, session_id};

#[test]
fn a_fork_stays_in_its_session_and_becomes_its_current_leaf() {
    let world = fixture::world();
    let id = session_id("trunk");
    let made = world.pod(&["fork", &id, "--at", "1", "--json"]).json();
    assert_eq!(made["session_id"], id);
    let origin = json!({"session_id": id, "segment_id": segment_id("trunk"), "at_turn_index": 1, "seq": 12});
    assert_eq!(made["forked_from"], origin);
    let shown = world.pod(&["show", &id, "--json"]).json();
    assert_eq!(shown["segment_id"], made["segment_id"]);
    assert_eq!(shown["messages"].as_array().unwrap().len(), 8);
    let segments = world.pod(&["segments", &id, "--json"]).json();
    assert_eq!(segments["segments"].as_array().unwrap().len(), 2);
}

#[test]
fn a_fork_may_be_a_conversation_of_its_own() {
    let world = fixture::world();
    let before = world.pod(&["log", &session_id("trunk"), "--json"]).ok();
    let made = world.pod(&["fork", &session_id("trunk"), "--new-session", "--json"]).json();
    let new = made["session_id"].as_str().unwrap();
    assert_ne!(new, session_id("trunk"));
    let (old, forked) = (world.pod(&["show", &session_id("trunk"), "--json"]), world.pod(&["show", new, "--json"]));
    assert_eq!(old.json()["messages"], forked.json()["messages"]);
    assert_eq!(world.pod(&["log", &session_id("trunk"), "--json"]).ok(), before, "the source is untouched");
}

#[test]
fn people_get_the_new_segment_and_a_word_about_it() {
    let world = fixture::world();
    let run = world.pod(&["fork", &session_id("trunk"), "--at", "1"]);
    assert_eq!(run.stderr, "forked in the same session, with 1 turn before it\n");
    let shown = world.pod(&["show", run.ok().trim_end(), "--json"]).json();
    assert_eq!(shown["session_id"], session_id("trunk"));
}

#[test]
fn a_turn_that_is_not_there_cannot_be_forked() {
    let world = fixture::world();
    let error = world.pod(&["fork", &session_id("trunk"), "--at", "9", "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(2), &json!("invalid_turn")));
    let run = world.pod(&["fork", &session_id("trunk"), "--at", "0"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
    assert!(run.stderr.contains("turns are counted from 1"), "{run}");
    let segments = world.pod(&["segments", &session_id("trunk"), "--json"]).json();
    assert_eq!(segments["segments"].as_array().unwrap().len(), 1, "nothing was written");
}
