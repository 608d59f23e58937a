//! `pod migrate`: there and back, again, and what keeps it from going.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use session_store::{OpenOptions, open};

use crate::fixture::{self, segment_id, session_id};
use crate::harness::{NOW, World};

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("examples/conversations")
}

fn heads(world: &World, url: &str) -> Value {
    let report = world.pod(&["verify", "--deep", "--json", "--store", url]).json();
    assert_eq!(report["ok"], true, "{url}: {report}");
    report["heads"].clone()
}

#[test]
fn the_json_form() {
    let world = fixture::world();
    insta::assert_json_snapshot!(
        "dry_run",
        world.pod(&["migrate", "--to", "sqlite:to.db", "--dry-run", "--json"]).json()
    );
    assert!(!world.path().join("to.db").exists(), "nothing was made");
    insta::assert_json_snapshot!("migrated", world.pod(&["migrate", "--to", "sqlite:to.db", "--json"]).json());
    insta::assert_json_snapshot!("already", world.pod(&["migrate", "--to", "sqlite:to.db", "--json"]).json());
}

#[test]
fn people_are_told_what_went_over() {
    let world = fixture::world();
    insta::assert_snapshot!("dry_run_for_people", world.pod(&["migrate", "--to", "sqlite:to.db", "--dry-run"]));
    insta::assert_snapshot!("for_people", world.pod(&["migrate", "--to", "sqlite:to.db"]));
    insta::assert_snapshot!("already_for_people", world.pod(&["migrate", "--to", "sqlite:to.db"]));
}

#[test]
fn real_conversations_go_there_and_back_with_equal_heads() {
    let world = World::new();
    world.pod(&["import", examples().to_str().unwrap(), "--store", "fs:one"]).ok();
    let before = heads(&world, "fs:one");
    let passages = [
        ("fs:one", "sqlite:two.db"),
        ("sqlite:two.db", "fs:three"),
        ("fs:three", "sqlite:four.db"),
        ("sqlite:four.db", "sqlite:five.db"),
        ("sqlite:five.db", "fs:six"),
        ("fs:six", "fs:seven"),
    ];
    for (from, to) in passages {
        let report = world.pod(&["migrate", "--to", to, "--json", "--store", from]).json();
        assert_eq!((&report["failed"], &report["migrated"]), (&json!(0), &report["sessions"]), "{report}");
        assert_eq!(heads(&world, to), before, "{from} to {to}");
    }
    let list = |url: &str| world.pod(&["list", "--kind", "all", "--archived", "all", "--json", "--store", url]).ok();
    assert_eq!(list("fs:one"), list("fs:three"));
    assert_eq!(list("fs:one"), list("sqlite:four.db"));
    let again = world.pod(&["import", examples().to_str().unwrap(), "--json", "--store", "sqlite:four.db"]).json();
    assert_eq!((&again["entries"], &again["imported"]), (&json!(0), &json!(0)), "keys and cursors went, too: {again}");
}

/// A folder with the logs of an older layout, as the filesystem backend's own tests have them.
fn older(world: &World, layout: &str) -> PathBuf {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../store-fs/tests/fixtures").join(layout);
    let folder = world.path().join(layout);
    copy(&fixture, &folder);
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap(), to.to_owned());
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), &place).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn bytes_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(bytes_below(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn older_layouts_are_read_in_place_and_go_to_every_backend() {
    for layout in ["older-flat", "older-lines"] {
        let world = World::new();
        let folder = older(&world, layout);
        let fork =
            bytes_below(&folder).into_iter().find(|(path, _)| path.to_str().unwrap().contains("019ab697-e802-7"));
        let used = r#"{"kind":"llm_usage","ts":1764000006000,"request_id":"r","model":"m","history_len":1,"input_total_tokens":7,"output_tokens":1}"#;
        let (path, mut log) = fork.unwrap();
        log.extend_from_slice(format!("{used}\n").as_bytes());
        fs::write(path, log).unwrap();
        let (before, from) = (bytes_below(&folder), format!("fs:{}", folder.display()));
        let rows = world.pod(&["list", "--json", "--store", &from]).json();
        assert_eq!(rows["sessions"].as_array().map(Vec::len), Some(2), "{rows}");
        let session = "019ab697-e801-76f4-86d0-23712b32c096";
        let shown = world.pod(&["show", session, "--store", &from]).ok();
        assert!(shown.contains("Why is the sky blue?") && shown.contains("Short waves scatter more."), "{shown}");
        let restored = world.pod(&["--session", session, "--print", "--json", "--store", &from]).json();
        assert_eq!((&restored["entries_count"], &restored["turn_count"]), (&json!(5), &json!(1)), "{restored}");
        let report = world.pod(&["verify", "--json", "--store", &from]).json();
        let kinds: Vec<&Value> = report["damage"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
        assert_eq!((&report["ok"], kinds), (&json!(true), vec![&json!("unproved"); 2]), "{report}");
        let told = world.pod(&["doctor", "--store", &from]);
        assert!(told.stdout.contains("an older layout"), "{told}");
        let used = world.pod(&["usage", "--json", "--store", &from]).json();
        assert_eq!(used["total"]["requests"], 1, "{used}");
        assert_eq!(world.pod(&["budget", "list", "--store", &from]).code, 0);
        for to in ["sqlite:new.db", "fs:new"] {
            let moved = world.pod(&["migrate", "--to", to, "--json", "--store", &from]).json();
            assert_eq!((&moved["failed"], &moved["migrated"]), (&json!(0), &json!(2)), "{moved}");
            assert_eq!(heads(&world, to), report["heads"], "{to}");
            let again = world.pod(&["migrate", "--to", to, "--json", "--store", &from]).json();
            assert_eq!((&again["already"], &again["migrated"]), (&json!(2), &json!(0)), "{again}");
        }
        assert_eq!(bytes_below(&folder), before, "{layout}: nothing of that wrote a byte");

        let forked = world.pod(&["fork", session, "--at", "1", "--json", "--store", &from]).json();
        assert_eq!(forked["session_id"], session, "{forked}");
        let restored = world.pod(&["--session", session, "--print", "--json", "--store", &from]).json();
        assert_eq!(restored["segment_id"], forked["segment_id"], "the id means the session: {restored}");
        let report = world.pod(&["verify", "--json", "--store", &from]).json();
        assert_eq!(report["damage"].as_array().map(Vec::len), Some(1), "the other log is as it was: {report}");
    }
}

#[test]
fn one_conversation_brings_what_it_continues() {
    let world = fixture::world();
    let report = world.pod(&["migrate", "--to", "fs:to", "--session", &session_id("fork"), "--json"]).json();
    assert_eq!((&report["sessions"], &report["migrated"]), (&json!(2), &json!(2)));
    assert_eq!(world.pod(&["show", &session_id("fork"), "--store", "fs:to"]).code, 0);
    assert_eq!(world.pod(&["show", &session_id("ledger"), "--store", "fs:to"]).code, 3);
}

#[test]
fn a_source_is_only_read() {
    let world = fixture::world();
    world.pod(&["list"]).ok();
    let bytes = |world: &World| {
        let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut folders = vec![world.usual_store()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push((path.clone(), fs::read(path).unwrap())) }
            }
        }
        files.sort();
        files
    };
    let before = bytes(&world);
    world.pod(&["migrate", "--to", "sqlite:to.db"]).ok();
    assert!(bytes(&world) == before, "not a byte changed");
}

#[test]
fn damage_and_differences_have_their_codes() {
    let world = fixture::world();
    let to = &["migrate", "--to", "fs:to", "--json"];
    let log = world.usual_store().join(session_id("old")).join(format!("{}.jsonl", segment_id("old")));
    let whole = fs::read_to_string(&log).unwrap();
    fs::write(&log, whole.replace("You have none.", "You have one.!")).unwrap();
    let run = world.pod(to);
    assert_eq!(run.code, 4, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["failed"], &report["migrated"]), (&json!(1), &json!(4)), "{report}");
    assert_eq!(report["failures"][0]["segment_id"], segment_id("old"));
    fs::write(&log, &whole).unwrap();
    let report = world.pod(to).json();
    assert_eq!((&report["already"], &report["migrated"]), (&json!(4), &json!(1)), "{report}");

    let other = open(&format!("fs:{}", world.path().join("to").display()), &OpenOptions::at(NOW)).unwrap();
    let here = open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap();
    for (store, text) in [(&other, "there"), (&here, "here")] {
        let at = fixture::place("old");
        let text = format!(r#"{{"kind":"extension","ts":1,"domain":"d","payload":"{text}"}}"#);
        let entries = [store_core::NewEntry::text(text)];
        store.append_with(at.session_id, at.segment_id, &entries, &store_core::AppendOptions::default()).unwrap();
    }
    let run = world.pod(to);
    assert_eq!(run.code, 5, "{run}");
    assert!(run.stdout.contains("entry 5 says something else there"), "{run}");
}

#[test]
fn a_store_is_not_migrated_into_itself() {
    let world = fixture::world();
    let itself = format!("fs:{}/./", world.usual_store().display());
    let error = world.pod(&["migrate", "--to", &itself, "--json"]).json_error();
    assert_eq!((&error["error"]["kind"], &error["error"]["code"]), (&json!("same_store"), &json!(2)), "{error}");
    assert_eq!(world.pod(&["migrate", "--to", "ftp:x"]).code, 2);
    assert_eq!(world.pod(&["migrate", "--to", "memory:"]).code, 2, "it would be gone at once");
    assert_eq!(world.pod(&["migrate", "--to", "fs:to", "--store", "fs:nowhere"]).code, 3);
    assert!(!world.path().join("to").exists());
}

/// Facts and look-ups cannot be repaired in place; a new store has all but what is gone.
#[test]
fn what_is_damaged_beside_the_logs_is_left_behind_by_a_migration() {
    let world = fixture::world();
    let store = world.usual_store();
    let id = segment_id("old");
    fs::write(store.join("by-segment").join(&id[34..]).join(&id), "no session\n").unwrap();
    let facts = store.join(session_id("trunk")).join("facts.jsonl");
    let text = fs::read_to_string(&facts).unwrap();
    fs::write(&facts, text.replace("speed", "spead")).unwrap();
    let run = world.pod(&["verify"]);
    assert_eq!(run.code, 4, "{run}");
    assert!(run.stderr.contains("`pod migrate --to URL` copies all that can be read"), "{run}");
    let run = world.pod(&["migrate", "--to", "fs:to", "--json"]);
    assert_eq!(run.code, 4, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["new_entries"], &report["failed"]), (&json!(39), &json!(1)), "{report}");
    let failure = &report["failures"][0];
    assert_eq!((&failure["session_id"], &failure["segment_id"]), (&json!(session_id("trunk")), &Value::Null));
    assert_eq!(world.pod(&["verify", "--deep", "--store", "fs:to"]).code, 0);
}
