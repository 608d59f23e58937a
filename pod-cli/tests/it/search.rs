//! `pod search`

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::fixture::{self, session_id};
use crate::harness::World;

fn hits(world: &World, arguments: &[&str]) -> Vec<Value> {
    let found = world.pod(&[&["search", "--json"], arguments].concat()).json();
    found["hits"].as_array().unwrap().clone()
}

#[test]
fn the_json_form() {
    insta::assert_json_snapshot!(fixture::world().pod(&["search", "import*", "--json"]).json());
}

#[test]
fn people_see_what_their_terminal_has_room_for() {
    let world = fixture::world();
    for cells in [40, 80, 160] {
        let run = world.pod_at_width(cells, &["search", "import*"]);
        for line in run.stdout.lines() {
            assert!(line.width() <= cells, "{line:?} is wider than {cells}");
        }
        insta::assert_snapshot!(format!("search_{cells}"), run);
    }
}

#[test]
fn what_was_said_is_found_in_every_script_and_by_everybody() {
    let world = fixture::world();
    let found = |text: &str| {
        let hits = hits(&world, &[text]);
        hits.iter().map(|hit| (hit["session_id"].clone(), hit["role"].clone())).collect::<Vec<_>>()
    };
    let of = |name: &str, role: &str| (json!(session_id(name)), json!(role));
    assert_eq!(found("日本語"), [of("fork", "user")]);
    assert_eq!(found("\"git switch\""), [of("fork", "assistant")]);
    assert_eq!(found("\"switch -c rewrite\""), [of("fork", "assistant")]);
    assert_eq!(found("measure guessing"), [of("trunk", "assistant")]);
    assert_eq!(found("\"no such file\""), [of("trunk", "tool")]);
    assert_eq!(found("survey"), [of("helper", "user")]);
    assert_eq!(found("summarise is:archived"), [of("old", "user")]);
    assert_eq!(found("reminder"), [], "what the program put in for the model alone is not what anybody said");
}

#[test]
fn an_option_narrows_as_an_operator_does() {
    let world = fixture::world();
    let all = hits(&world, &["one"]);
    assert!(!all.is_empty());
    assert_eq!(hits(&world, &["one", "--agent", "claude"]), hits(&world, &["one", "agent:claude"]));
    assert_eq!(hits(&world, &["fast", "--cwd", "/home/dev/src/ledger"]).len(), 2);
    assert_eq!(hits(&world, &["fast", "--cwd", "/home/dev/src/ledger", "--limit", "1"]).len(), 1);
}

#[test]
fn nothing_found_is_no_failure_and_says_what_to_try() {
    insta::assert_snapshot!(fixture::world().pod(&["search", "xylophone"]));
    let found = fixture::world().pod(&["search", "xylophone", "--json"]).json();
    assert_eq!(found, json!({"hits": [], "total": 0, "sessions": 0}));
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let world = fixture::world();
    for (text, kind) in
        [("is:lively x", "usage"), ("x since:someday", "usage"), ("agent: x", "usage"), ("-x", "nothing_to_search")]
    {
        let error = world.pod(&["search", "--json", "--", text]).json_error();
        assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(2), &json!(kind)), "{text}: {error}");
    }
    insta::assert_snapshot!(world.pod(&["search", "is:lively", "x"]));
}

#[test]
fn what_was_written_a_moment_ago_is_found() {
    let world = fixture::world();
    assert_eq!(hits(&world, &["wombat"]).len(), 0);
    let store = session_store::open(
        &format!("fs:{}", world.usual_store().display()),
        &session_store::OpenOptions::at(crate::harness::NOW),
    )
    .unwrap();
    let said = store_core::UserInput { ts: crate::harness::NOW, content: vec![store_core::Part::text("A wombat!")] };
    session_store::append_entry(&*store, fixture::place("trunk"), store_core::LogEntry::UserInput(said)).unwrap();
    assert_eq!(hits(&world, &["wombat"]).len(), 1);
}

#[test]
fn what_is_found_does_not_control_the_terminal() {
    for arguments in [&["search", "bitte", "2J*"][..], &["search", "日本語", "--color", "always"]] {
        let run = fixture::world().pod(arguments);
        let plain = anstream::adapter::strip_str(&run.stdout).to_string();
        assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{plain:?}");
        assert!(!run.stdout.contains("\u{1b}[2J"), "{:?}", run.stdout);
    }
}
