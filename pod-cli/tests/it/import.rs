//! `pod import`, on the example conversations and on what is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{World, interrupt};

/// The evening of the day on which the examples were written.
const EVENING: &str = "2026-11-21T18:00:00Z";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate stands in the workspace")
        .join("examples/conversations")
}

pub(crate) fn copy_deep(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy_deep(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// A world with the examples in a folder of its own, so that paths are the same everywhere.
fn world() -> World {
    let world = World::new().with("POD_NOW", EVENING);
    copy_deep(&examples(), &world.path().join("conversations"));
    world
}

fn all_ids(world: &World, store: &str) -> Vec<String> {
    let page = world.pod(&["list", "--kind", "all", "--archived", "all", "--json", "--store", store]).json();
    page["sessions"].as_array().unwrap().iter().map(|row| row["session_id"].as_str().unwrap().to_owned()).collect()
}

fn statuses(report: &Value) -> Vec<&str> {
    report["sessions"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect()
}

#[test]
fn the_json_form_and_what_is_listed_then() {
    let world = world();
    insta::assert_json_snapshot!("report", world.pod(&["import", "conversations", "--json"]).json());
    let page = world.pod(&["list", "--kind", "all", "--archived", "all", "--json"]).json();
    insta::assert_json_snapshot!("listed", page);
    insta::assert_snapshot!("listed_for_people", world.pod_at_width(100, &["list"]));
}

#[test]
fn people_are_told_what_came_in() {
    let world = world();
    insta::assert_snapshot!("for_people", world.pod_at_width(100, &["import", "conversations"]));
    insta::assert_snapshot!("again_for_people", world.pod_at_width(100, &["import", "conversations"]));
}

/// Who makes a store and is killed leaves its locks behind, and no store.
#[test]
fn what_a_creation_left_that_was_cut_short_is_made_a_store() {
    let world = world();
    for leftovers in [&["LOCK"][..], &["LOCK", "CREATE"]] {
        let store = world.path().join(leftovers.join("-"));
        fs::create_dir(&store).unwrap();
        leftovers.iter().for_each(|name| fs::write(store.join(name), b"").unwrap());
        let url = format!("fs:{}", store.display());
        let error = world.pod(&["list", "--json", "--store", &url]).json_error();
        assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&3.into(), &"no_store".into()), "{error}");
        let report = world.pod(&["import", "conversations", "--json", "--store", &url]).json();
        assert!(statuses(&report).iter().all(|status| *status == "imported"), "{report}");
    }
    fs::write(world.path().join("empty.db"), b"").unwrap();
    let report = world.pod(&["import", "conversations", "--json", "--store", "sqlite:empty.db"]).json();
    assert!(statuses(&report).iter().all(|status| *status == "imported"), "{report}");
}

#[test]
fn processes_that_import_at_once_into_no_store_make_one() {
    let world = world();
    for round in 0..3 {
        for store in [format!("fs:store-{round}"), format!("sqlite:store-{round}.db")] {
            let import = ["import", "conversations", "--json", "--store", &store];
            let processes: Vec<_> = (0..3)
                .map(|_| world.command(&import).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
                .collect();
            for process in processes {
                let run = world.finish(&process.wait_with_output().unwrap());
                assert_eq!(run.code, 0, "{store}: {run}");
            }
            assert_eq!(world.pod(&["verify", "--store", &store]).code, 0);
        }
    }
}

#[test]
fn importing_again_adds_nothing_on_either_backend() {
    let world = world();
    for store in ["fs:store", "sqlite:store.db"] {
        let first = world.pod(&["import", "conversations", "--json", "--store", store]).json();
        assert!(statuses(&first).iter().all(|status| *status == "imported"), "{first}");
        let ids = all_ids(&world, store);
        let logs = |world: &World| -> Vec<String> {
            ids.iter().map(|id| world.pod(&["log", id, "--json", "--store", store]).ok()).collect()
        };
        let before = logs(&world);
        let again = world.pod(&["import", "conversations", "--json", "--store", store]).json();
        assert!(statuses(&again).iter().all(|status| *status == "unchanged"), "{again}");
        assert_eq!(again["entries"], 0);
        assert_eq!(logs(&world), before);
    }
    assert_eq!(all_ids(&world, "fs:store"), all_ids(&world, "sqlite:store.db"));
}

#[test]
fn conversations_of_each_agent_are_shown_the_same_on_either_backend() {
    let world = world();
    for store in ["fs:store", "sqlite:store.db"] {
        world.pod(&["import", "conversations", "--store", store]).ok();
    }
    // A compaction, a fork of a fork and a killed call: one of each agent.
    for (name, native_id) in [
        ("claude_compaction", "b30d1613-a4ae-452a-8523-64c3786f4d52"),
        ("claude_fork_of_a_fork", "0331915b-d7eb-41a0-8cef-df4ffcfde694"),
        ("codex_killed", "01a1fc3e-9ddf-73d3-9b20-8df0b777a73b"),
        ("pi_rewind", "01a1fc41-c7c6-75b1-a473-02866b9d2d2c"),
    ] {
        let show = |store: &str| world.pod(&["show", native_id, "--store", store]).ok();
        assert_eq!(show("fs:store"), show("sqlite:store.db"));
        insta::assert_snapshot!(name, show("fs:store"));
        let restored = |store: &str| {
            let mut state = world.pod(&["--session", native_id, "--print", "--json", "--store", store]).json();
            state["position"]["crc32c"] = Value::Null;
            state
        };
        assert_eq!(restored("fs:store"), restored("sqlite:store.db"), "{name}");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = world();
    let before = fs::read_dir(world.path()).unwrap().count();
    let report = world.pod(&["import", "conversations", "--dry-run", "--json"]).json();
    assert!(report["imported"].as_u64().is_some_and(|imported| imported > 20), "{report}");
    assert_eq!(fs::read_dir(world.path()).unwrap().count(), before);
    let store = world.path().join("store");
    world.pod(&["import", "conversations/pi", "--store", "fs:store"]).ok();
    let ids = all_ids(&world, "fs:store");
    world.pod(&["import", "conversations", "--dry-run", "--store", "fs:store"]).ok();
    assert_eq!(all_ids(&world, "fs:store"), ids);
    assert!(store.is_dir());
}

#[test]
fn without_a_path_the_agents_folders_are_looked_at() {
    let world = World::new();
    let run = world.pod(&["import"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains(".claude") && run.stderr.contains("hint: "), "{run}");
    copy_deep(&examples().join("claude/projects"), &world.path().join(".claude/projects"));
    copy_deep(&examples().join("codex"), &world.path().join(".codex"));
    copy_deep(&examples().join("pi/agent"), &world.path().join(".pi/agent"));
    let report = world.pod(&["import", "--json"]).json();
    let agents: std::collections::BTreeSet<&str> =
        report["sessions"].as_array().unwrap().iter().map(|row| row["agent"].as_str().unwrap()).collect();
    assert_eq!(agents.into_iter().collect::<Vec<_>>(), ["claude", "codex", "pi"]);
    fs::create_dir_all(world.path().join(".config/claude/projects")).unwrap();
    assert_eq!(world.pod(&["import"]).code, 0, "an agent that has written nothing yet is no failure");
    let moved = World::new().with("CODEX_HOME", examples().join("codex").to_str().unwrap());
    let report = moved.pod(&["import", "--json"]).json();
    assert_eq!(report["imported"], 8, "{report}");
}

#[test]
fn what_is_not_there_is_told_before_anything_is_written() {
    let world = world();
    let error = world.pod(&["import", "conversations", "no/such/path", "--json"]).json_error();
    assert_eq!((&error["error"]["kind"], &error["error"]["code"]), (&"nothing_to_import".into(), &3.into()));
    assert!(!world.path().join(".local").exists(), "no store was made");
}

#[test]
fn a_folder_without_any_conversation() {
    let world = World::new();
    fs::create_dir(world.path().join("photos")).unwrap();
    fs::write(world.path().join("photos/cat.jpg"), b"\xff\xd8cat").unwrap();
    let run = world.pod(&["import", "photos"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{run}");
    insta::assert_snapshot!("no_conversation", run);
}

#[test]
fn an_import_of_nothing_makes_no_store() {
    let world = World::new();
    fs::create_dir(world.path().join("photos")).unwrap();
    fs::write(world.path().join("photos/notes.jsonl"), b"Dear diary,\n").unwrap();
    fs::write(world.path().join("notes.jsonl"), b"Dear diary,\n").unwrap();
    for store in ["fs:new", "sqlite:new/pod.db", "sqlite:new.db"] {
        assert_eq!(world.pod(&["import", "notes.jsonl", "--store", store]).code, 1);
        assert_eq!(world.pod(&["import", "photos", "--store", store]).code, 3);
        let mut names: Vec<_> = fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["notes.jsonl", "photos"], "{store}");
    }
    let error = world.pod(&["import", "photos", "--json"]).json_error();
    let ignored = error["error"]["ignored"].as_array().unwrap();
    assert_eq!(ignored[0]["source"], "photos/notes.jsonl", "{error}");
    assert!(ignored.iter().all(|file| file["reason"].as_str().is_some_and(|reason| !reason.is_empty())), "{error}");
}

/// A conversation that was opened and in which nobody said anything.
#[test]
fn an_import_of_conversations_that_hold_nothing_makes_no_store() {
    let world = World::new();
    let header = r#"{"type":"session","version":3,"id":"e6b2f0d6-0001-4000-8000-000000000000","timestamp":"2026-11-21T10:00:00.000Z","cwd":"/w"}"#;
    fs::create_dir(world.path().join("pi")).unwrap();
    fs::write(world.path().join("pi/empty.jsonl"), format!("{header}\n")).unwrap();
    for store in ["fs:new", "sqlite:new/pod.db", "sqlite:new.db"] {
        let report = world.pod(&["import", "pi", "--json", "--store", store]).json();
        assert_eq!((&report["unchanged"], &report["entries"]), (&1.into(), &0.into()), "{report}");
        assert_eq!(report["sessions"][0]["session_id"], Value::Null, "{report}");
        let names: Vec<_> = fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["pi"], "{store}");
    }
    let said = r#"{"type":"message","id":"a0000001","parentId":null,"timestamp":"2026-11-21T10:00:01.000Z","message":{"role":"user","content":"Hello"}}"#;
    fs::write(world.path().join("pi/more.jsonl"), format!("{header}\n{said}\n").replace("-0001-", "-0002-")).unwrap();
    let report = world.pod(&["import", "pi", "--json", "--store", "fs:new"]).json();
    assert_eq!((&report["imported"], &report["unchanged"]), (&1.into(), &1.into()), "{report}");
    assert!(world.path().join("new/store.json").exists());
}

#[test]
fn damage_that_an_import_meets_is_told_as_damage() {
    let world = world();
    let store = world.path().join("store");
    world.pod(&["import", "conversations/codex", "--store", "fs:store"]).ok();
    let logs = logs_below(&store);
    assert!(logs.len() > 5, "{logs:?}");
    for log in logs {
        let mut bytes = fs::read(&log).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&log, bytes).unwrap();
    }
    for source in sources_below(&world.path().join("conversations/codex")) {
        let mut bytes = fs::read(&source).unwrap();
        let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.extend_from_within(last..);
        fs::write(&source, bytes).unwrap();
    }
    let run = world.pod(&["import", "conversations/codex", "--store", "fs:store"]);
    assert_eq!(run.code, 4, "{run}");
    assert!(run.stderr.contains("hint: what stands there was left as it is"), "{run}");
    let report = world.pod(&["import", "conversations/codex", "--store", "fs:store", "--json"]);
    assert_eq!(report.code, 4, "{report}");
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let met = |file: &Value| file["met_damage"] == true && file["status"] == "failed";
    assert!(report["sessions"].as_array().unwrap().iter().any(met), "{report}");
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The logs of segments.
fn logs_below(store: &Path) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        path.extension().is_some_and(|extension| extension == "jsonl") && stem.len() == 36
    };
    files_below(store).into_iter().filter(is_log).collect()
}

fn sources_below(folder: &Path) -> Vec<PathBuf> {
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    files_below(folder).into_iter().filter(is_source).collect()
}

#[test]
fn files_that_are_none_are_named_with_their_reason() {
    let world = World::new();
    let files: [(&str, &[u8]); 5] = [
        ("empty.jsonl", b""),
        ("notes.jsonl", b"Dear diary,\ntoday I did not write JSON.\n"),
        ("other.jsonl", b"{\"some\":\"json\"}\n{\"of\":\"another program\"}\n"),
        ("picture.jsonl", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
        ("pretty.jsonl", b"{\n  \"type\": \"session\",\n  \"version\": 3\n}\n"),
    ];
    for (name, bytes) in files {
        fs::write(world.path().join(name), bytes).unwrap();
        let run = world.pod(&["import", name]);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(name), "{run}");
        let report = world.pod(&["import", name, "--json"]);
        assert_eq!(report.code, 1, "{report}");
        let report: Value = serde_json::from_str(&report.stdout).unwrap();
        assert_eq!((&report["failed"], &report["imported"]), (&1.into(), &0.into()), "{report}");
        assert_eq!(statuses(&report), ["failed"], "{report}");
        assert_eq!(world.pod(&["list", "--json"]).json()["total"], 0);
    }
}

#[test]
fn one_bad_file_does_not_keep_the_others_out() {
    let world = world();
    fs::write(world.path().join("conversations/pi/notes.jsonl"), b"Dear diary,\n").unwrap();
    let report = world.pod(&["import", "conversations/pi", "--json"]).json();
    assert_eq!((&report["imported"], &report["failed"]), (&7.into(), &0.into()), "{report}");
    assert_eq!(report["ignored"][0]["source"], "conversations/pi/notes.jsonl", "{report}");
    let run = world.pod(&["import", "conversations/pi"]);
    assert!(run.code == 0 && run.stderr.contains("left out: conversations/pi/notes.jsonl: "), "{run}");
    assert_eq!(all_ids(&world, &format!("fs:{}", world.usual_store().display())).len(), 7);
}

#[test]
fn a_line_that_is_damaged_is_a_warning_with_its_number() {
    let world = world();
    let file = world.path().join("conversations/pi/agent/sessions/--home-dev-src-acme-api--/2026-11-21T03-57-19-995Z_01a1fc40-60fa-7028-a9c6-f05a8b6cf3c5.jsonl");
    let mut lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    lines[5].truncate(30);
    fs::write(&file, lines.join("\r\n") + "\r\n").unwrap();
    let run = world.pod(&["import", file.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("line 6: "), "{run}");
    assert_eq!(world.pod(&["list", "--json"]).json()["total"], 1);
}

#[test]
fn hostile_text_of_a_file_does_not_reach_the_terminal() {
    let world = World::new();
    let lines = [
        r#"{"type":"session","version":3,"id":"aaaaaaaa-0000-7000-8000-000000000001","timestamp":"2026-11-21T03:57:19.995Z","cwd":"/tmp/\u001b[31mx"}"#,
        r#"{"type":"message","id":"00000001","parentId":null,"timestamp":"2026-11-21T03:57:20.000Z","message":{"role":"user","content":[{"type":"text","text":"\u001b]0;owned\u0007hello\u009b2J"}]}}"#,
        r#"{"type":"session_info","id":"00000002","parentId":"00000001","timestamp":"2026-11-21T03:57:21.000Z","name":"\u001b[8mhidden\u0007 name"}"#,
    ];
    fs::write(world.path().join("hostile\u{1b}[31m.jsonl"), lines.join("\n") + "\n").unwrap();
    for arguments in
        [&["import", "."][..], &["list"], &["show", "@last"], &["log", "@last"], &["segments", "@last"], &[]]
    {
        let run = world.pod(arguments);
        assert_eq!(run.code, 0, "{run}");
        let all = run.stdout + &run.stderr;
        assert!(!all.chars().any(|c| c.is_control() && c != '\n'), "{arguments:?}: {all:?}");
    }
    let shown = world.pod(&["show", "@last", "--json"]).json();
    assert_eq!(shown["messages"][0]["text"], "\u{1b}]0;owned\u{7}hello\u{9b}2J", "what is stored is what was written");
}

#[test]
fn the_agent_may_be_named() {
    let world = world();
    let right = world.pod(&["import", "conversations/pi", "--from", "pi", "--json"]).json();
    assert_eq!(right["imported"], 7);
    let run = world.pod(&["import", "conversations/codex", "--from", "nobody"]);
    assert_eq!(run.code, 2, "{run}");
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let world = world();
    let file = "conversations/pi/agent/sessions/--home-dev-src-acme-api--/2026-11-21T03-57-19-995Z_01a1fc40-60fa-7028-a9c6-f05a8b6cf3c5.jsonl";
    drop(world.command_of_a_mortal(&[]));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(world.path().join(file), mode).unwrap();
    let run = world.finish(&world.command_of_a_mortal(&["import", file]).output().unwrap());
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("f05a8b6cf3c5.jsonl") && run.stderr.to_lowercase().contains("permission denied"),
        "{run}"
    );
}

/// A conversation of pi with so many prompts and answers.
fn long_conversation(turns: u32) -> String {
    let mut text = r#"{"type":"session","version":3,"id":"aaaaaaaa-0000-7000-8000-000000000002","timestamp":"2026-11-21T03:00:00.000Z","cwd":"/home/dev"}"#.to_owned();
    let mut parent = "null".to_owned();
    for turn in 0..turns {
        for (role, digit) in [("user", 1), ("assistant", 2)] {
            let id = format!("{digit}{turn:07x}");
            text.push_str(&format!(
                "\n{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":{parent},\"timestamp\":\"2026-11-21T03:00:01.000Z\",\"message\":{{\"role\":\"{role}\",\"content\":[{{\"type\":\"text\",\"text\":\"{role} {turn}\"}}]}}}}"
            ));
            parent = format!("\"{id}\"");
        }
    }
    text.push('\n');
    text
}

#[test]
fn an_import_that_is_cut_off_leaves_the_store_whole_and_goes_on_later() {
    let world = World::new().with("POD_NOW", EVENING);
    fs::write(world.path().join("long.jsonl"), long_conversation(8000)).unwrap();
    let mut child = world.command(&["import", "long.jsonl", "--store", "fs:cut"]).spawn().unwrap();
    // A session's folder has a name as long as an id: from then on entries are being written.
    let begun = |folder: &Path| {
        fs::read_dir(folder)
            .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().len() == 36 && entry.path().is_dir()))
    };
    while !begun(&world.path().join("cut")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
        std::thread::yield_now();
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let log = |store: &str| world.pod(&["log", "@last", "--json", "--store", store]).ok();
    assert!(world.pod(&["list", "--json", "--store", "fs:cut"]).code == 0);
    let seen = log("fs:cut");
    world.pod(&["import", "long.jsonl", "--store", "fs:cut"]).ok();
    world.pod(&["import", "long.jsonl", "--store", "fs:whole"]).ok();
    let whole = log("fs:whole");
    assert!(whole.starts_with(&seen) && seen.len() < whole.len(), "{} of {}", seen.len(), whole.len());
    assert_eq!(log("fs:cut"), whole);
}
