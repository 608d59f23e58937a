//! `pod list`

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::fixture::{self, session_id};
use crate::harness::World;

fn ids(page: &Value) -> Vec<&str> {
    page["sessions"].as_array().unwrap().iter().map(|row| row["session_id"].as_str().unwrap()).collect()
}

fn listed(world: &World, arguments: &[&str]) -> Vec<String> {
    let page = world.pod(&[&["list", "--json"], arguments].concat()).json();
    ids(&page).into_iter().map(str::to_owned).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| session_id(name)).collect()
}

#[test]
fn the_json_form() {
    let page = fixture::world().pod(&["list", "--kind", "all", "--archived", "all", "--json"]).json();
    insta::assert_json_snapshot!(page);
}

#[test]
fn people_see_what_their_terminal_has_room_for() {
    let world = fixture::world();
    for cells in [40, 80, 160] {
        let run = world.pod_at_width(cells, &["list", "--kind", "all", "--archived", "all"]);
        for line in run.stdout.lines() {
            assert!(line.width() <= cells, "{line:?} is wider than {cells}");
        }
        insta::assert_snapshot!(format!("list_{cells}"), run);
    }
}

#[test]
fn a_pipe_gets_every_word() {
    let text = fixture::world().pod(&["list"]).ok();
    assert!(text.contains("書き直し rewrite of the importer"), "{text}");
    assert!(!text.contains('…'), "{text}");
}

#[test]
fn titles_do_not_control_the_terminal() {
    for arguments in [&["list"][..], &["list", "--color", "always"], &[]] {
        let text = fixture::world().pod(arguments).ok();
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{plain:?}");
        assert!(!text.contains("owned") && !text.contains("\u{1b}[2J") && !text.contains('\u{202e}'), "{text:?}");
    }
}

#[test]
fn filters_say_what_they_left_out() {
    let world = fixture::world();
    assert_eq!(listed(&world, &[]), names(&["fork", "trunk", "ledger"]));
    assert_eq!(listed(&world, &["--kind", "subagent"]), names(&["helper"]));
    assert_eq!(listed(&world, &["--archived", "only"]), names(&["old"]));
    assert_eq!(listed(&world, &["--agent", "pi"]), names(&["ledger"]));
    assert_eq!(listed(&world, &["--cwd", "/home/dev/src/acme-api/"]), names(&["fork", "trunk"]));
    assert_eq!(listed(&world, &["--cwd", "/home/dev/src/acme"]), Vec::<String>::new());
    assert_eq!(listed(&world, &["--since", "1d"]), names(&["fork", "trunk"]));
    assert_eq!(listed(&world, &["--since", "2025-11-24T15:00:00Z"]), names(&[]));
    let page = world.pod(&["list", "--json"]).json();
    assert_eq!(page["total"], 3);
    assert_eq!(page["hidden"], serde_json::json!({"subagent": 1, "archived": 1, "trashed": 0}));
}

#[test]
fn a_folder_may_be_named_as_seen_from_here() {
    let world = World::new();
    let store = format!("fs:{}", world.usual_store().display());
    let store = session_store::open(&store, &session_store::OpenOptions::at(crate::harness::NOW)).unwrap();
    let new = session_store::NewSegment {
        config: store_core::SessionConfig {
            cwd: Some(world.path().join("project/web").to_str().unwrap().to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    let made = session_store::create_segment(&*store, crate::harness::NOW, new).unwrap();
    assert_eq!(listed(&world, &["--cwd", "project"]), [made.session_id.to_string()]);
    assert_eq!(listed(&world, &["--cwd", "./project/web/"]), [made.session_id.to_string()]);
    assert_eq!(listed(&world, &["--cwd", "other"]), Vec::<String>::new());
}

#[test]
fn orders() {
    let world = fixture::world();
    assert_eq!(listed(&world, &["--sort", "created"]), names(&["fork", "trunk", "ledger"]));
    assert_eq!(listed(&world, &["--sort", "title"]), names(&["fork", "ledger", "trunk"]));
}

#[test]
fn pages_follow_each_other() {
    let world = fixture::world();
    let first = world.pod(&["list", "--limit", "2", "--json"]).json();
    assert_eq!(ids(&first), names(&["fork", "trunk"]));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = world.pod(&["list", "--limit", "2", "--cursor", cursor, "--json"]).json();
    assert_eq!(ids(&second), names(&["ledger"]));
    assert_eq!(second["next_cursor"], Value::Null);
    let said = world.pod(&["list", "--limit", "2"]);
    assert!(said.stderr.contains("2 of 3 conversations") && said.stderr.contains(cursor), "{said}");
}

#[test]
fn a_list_that_filters_leave_empty_says_so() {
    let world = fixture::world();
    insta::assert_snapshot!(world.pod(&["list", "--agent", "nobody"]));
    insta::assert_snapshot!("all_hidden", world.pod(&["list", "--cwd", "/home/dev/notes"]));
    insta::assert_snapshot!("nothing_at_all", World::new().pod(&["list"]));
}

#[test]
fn times_and_cursors_that_make_no_sense_are_usage_errors() {
    let world = fixture::world();
    for arguments in [["list", "--since", "soon"], ["list", "--cursor", "zzz"], ["list", "--sort", "size"]] {
        let run = world.pod(&arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        let error = world.pod(&[&arguments[..], &["--json"]].concat()).json_error();
        assert_eq!(error["error"]["code"], 2, "{error}");
    }
}

#[test]
fn colours_follow_the_flag_and_the_environment() {
    let coloured = |world: World, arguments: &[&str]| world.pod(arguments).ok().contains('\u{1b}');
    assert!(!coloured(fixture::world(), &["list"]));
    assert!(coloured(fixture::world(), &["list", "--color", "always"]));
    assert!(coloured(fixture::world().with("CLICOLOR_FORCE", "1"), &["list"]));
    assert!(!coloured(fixture::world().with("CLICOLOR_FORCE", "1").with("NO_COLOR", "1"), &["list"]));
    assert!(!coloured(fixture::world().with("CLICOLOR_FORCE", "1"), &["list", "--color", "never"]));
    assert!(!coloured(fixture::world(), &["list", "--json", "--color", "always"]));
}

#[test]
fn the_marked_part_of_an_id_is_enough_to_name_it() {
    let world = fixture::world();
    let text = world.pod(&["list", "--color", "always"]).ok();
    let marked: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split("\u{1b}[1m\u{1b}[35m").nth(1)?.split('\u{1b}').next())
        .collect();
    assert_eq!(marked.len(), 3, "{text:?}");
    for (id, name) in marked.into_iter().zip(["fork", "trunk", "ledger"]) {
        let shown = world.pod(&["show", id, "--json"]).json();
        assert_eq!(shown["session_id"], session_id(name), "{id}");
    }
}
