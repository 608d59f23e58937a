//! `pod --session ID` and `pod resume ID`

use crate::fixture::{self, segment_id, session_id};

#[test]
fn the_restored_state_as_json() {
    let world = fixture::world();
    let state = world.pod(&["--session", &session_id("fork"), "--print", "--json"]).json();
    insta::assert_json_snapshot!(state);
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
fn going_on_needs_an_agent() {
    let world = fixture::world();
    let id = session_id("trunk");
    for arguments in [&["--session", &id][..], &["resume", &id], &["--session", &id, "--", "go on"]] {
        let run = world.pod(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (6, ""), "{run}");
        assert!(run.stderr.contains("--print"), "{run}");
        let error = world.pod(&[&["--json"], arguments].concat()).json_error();
        assert_eq!(error["error"]["kind"], "agent_unavailable");
    }
}

#[test]
fn what_cannot_be_found_is_told_before_what_cannot_be_done() {
    let run = fixture::world().pod(&["--session", "nothing-like-this"]);
    assert_eq!(run.code, 3, "{run}");
}
