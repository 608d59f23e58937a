//! `pod export`

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::fixture::{self, session_id};
use crate::harness::World;

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn installed(world: &World, id: &str, to: &str) -> (Value, PathBuf) {
    let made = world.pod(&["export", id, "--to", to, "--install", "--json"]).json();
    let path = made["path"].as_str().unwrap().replace("[HOME]", world.path().to_str().unwrap());
    (made, PathBuf::from(path))
}

#[test]
fn the_json_form() {
    let world = fixture::world();
    for to in ["claude", "codex", "pi"] {
        let run = world.pod(&["export", &session_id("trunk"), "--to", to, "--install", "--json"]);
        insta::assert_snapshot!(format!("json_{to}"), run.ok());
    }
}

#[test]
fn a_file_is_put_where_its_agent_looks_and_says_how_to_go_on() {
    let world = fixture::world();
    let run = world.pod(&["export", &session_id("trunk"), "--to", "claude", "--install"]);
    insta::assert_snapshot!("for_people", run.stderr);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    for (to, below) in [("claude", ".claude/projects"), ("codex", ".codex/sessions"), ("pi", ".pi/agent/sessions")] {
        let (_, path) = installed(&world, &session_id("trunk"), to);
        assert!(path.starts_with(world.path().join(below)), "{}", path.display());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let home = tempfile::tempdir().unwrap();
    let moved = fixture::world().with("CODEX_HOME", home.path().to_str().unwrap());
    let (_, path) = installed(&moved, &session_id("trunk"), "codex");
    assert!(path.starts_with(home.path().join("sessions")));
    // Where no folder can be made.
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let blocked = fixture::world().with("CODEX_HOME", file.to_str().unwrap());
    let error = blocked.pod(&["export", &session_id("trunk"), "--to", "codex", "--install", "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(1), &json!("io")));
}

#[test]
fn standard_output_and_a_named_file_are_the_same() {
    let world = fixture::world();
    let id = session_id("trunk");
    let printed = world.pod(&["export", &id, "--to", "pi"]).ok();
    assert_eq!(world.pod(&["export", &id, "--to", "pi", "-o", "-"]).ok(), printed);
    world.pod(&["export", &id, "--to", "pi", "-o", "out.jsonl"]).ok();
    assert_eq!(std::fs::read_to_string(world.path().join("out.jsonl")).unwrap(), printed);
    let header = &records(&printed)[0];
    assert_eq!((&header["type"], &header["version"]), (&json!("session"), &json!(3)));
    let elsewhere = records(&world.pod(&["export", &id, "--to", "pi", "--cwd", "sub"]).ok());
    assert_eq!(elsewhere[0]["cwd"], "[HOME]/sub");
}

#[test]
fn another_file_is_never_written_over() {
    let world = fixture::world();
    let id = session_id("trunk");
    let path = world.path().join("out.jsonl");
    std::fs::write(&path, "mine\n").unwrap();
    let error = world.pod(&["export", &id, "--to", "codex", "-o", "out.jsonl", "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(5), &json!("occupied")));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine\n");

    let (made, path) = installed(&world, &id, "codex");
    assert_eq!(made["written"], true);
    assert_eq!(installed(&world, &id, "codex").0["written"], false);
    let text = std::fs::read_to_string(&path).unwrap() + "{}\n";
    std::fs::write(&path, &text).unwrap();
    let error = world.pod(&["export", &id, "--to", "codex", "--install", "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(5), &json!("went_on")));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = fixture::world();
    let id = session_id("trunk");
    let error = world.pod(&["export", &id, "--to", "codex", "--json"]).json_error();
    assert_eq!(error["error"]["code"], 2);
    assert_eq!(world.pod(&["export", &id, "--to", "word"]).code, 2);
    assert_eq!(world.pod(&["export", &id]).code, 2);
    assert_eq!(world.pod(&["export", "nothing-here", "--to", "pi"]).code, 3);
    assert_eq!(world.pod(&["export", &id, "--to", "pi", "--install", "-o", "x"]).code, 2);
}

#[test]
fn an_installed_file_is_no_second_conversation() {
    let world = fixture::world();
    let id = session_id("trunk");
    let before = world.pod(&["list", "--kind", "all", "--archived", "all", "--json"]).json();
    for to in ["claude", "codex", "pi"] {
        installed(&world, &id, to);
    }
    let report = world.pod(&["import", "--json"]).json();
    assert_eq!((&report["imported"], &report["updated"], &report["unchanged"]), (&json!(0), &json!(0), &json!(3)));
    let after = world.pod(&["list", "--kind", "all", "--archived", "all", "--json"]).json();
    assert_eq!(before["sessions"], after["sessions"]);
}

#[test]
fn people_get_a_text_and_a_page_and_another_store_a_bundle() {
    let world = fixture::world();
    let id = session_id("ledger");
    assert!(world.pod(&["export", &id, "--to", "markdown"]).ok().starts_with("# "));
    assert!(world.pod(&["export", &id, "--to", "html"]).ok().starts_with("<!doctype html>"));
    assert_eq!(world.pod(&["export", &id, "--to", "html", "--install"]).code, 2);
    assert_eq!(world.pod(&["export", &id, "--to", "markdown", "--cwd", "x"]).code, 2);
    let before = world.pod(&["verify", &id, "--json"]).json();
    for (to, file) in [("bundle", "x.podbundle"), ("jsonl", "x.jsonl")] {
        let made = world.pod(&["export", &id, "--to", to, "-o", file, "--json"]).json();
        assert_eq!((&made["to"], &made["native_id"], &made["exact"]), (&json!(to), &json!(null), &json!(false)));
        for backend in ["fs", "sqlite"] {
            let store = format!("{backend}:{}/{to}-{backend}", world.path().display());
            let report = world.pod(&["import", file, "--store", &store, "--json"]).json();
            assert_eq!((&report["imported"], &report["sessions"][0]["session_id"]), (&json!(1), &json!(id)));
            let after = world.pod(&["verify", &id, "--store", &store, "--json"]).json();
            assert_eq!(after["ok"], true);
            let (heads, all) = (after["heads"].as_array().unwrap(), before["heads"].as_array().unwrap());
            assert!(heads.iter().all(|head| all.contains(head)), "{to}: {heads:?}");
            // A branch leaves the others out.
            assert_eq!(heads.len(), if to == "bundle" { 3 } else { 2 });
            let again = world.pod(&["import", file, "--store", &store, "--json"]).json();
            assert_eq!((&again["imported"], &again["unchanged"]), (&json!(0), &json!(1)));
        }
    }
    let path = world.path().join("x.jsonl");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replacen("seq", "seQ", 1)).unwrap();
    let store = format!("fs:{}/changed", world.path().display());
    let run = world.pod(&["import", "x.jsonl", "--store", &store, "--json"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains("x.jsonl") && run.stdout.contains("line "), "{run}");
}
