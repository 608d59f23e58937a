//! `pod doctor`

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use session_store::{OpenMode, OpenOptions, lock_holders, open};

use crate::fixture::{self, place, segment_id, session_id};
use crate::harness::{NOW, World};

fn verdict(report: &Value, check: &str) -> (String, String) {
    let verdicts = report["verdicts"].as_array().unwrap();
    let found = verdicts.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("{check}: {report}"));
    (found["verdict"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
}

#[test]
fn the_json_form() {
    let world = fixture::world();
    fs::create_dir_all(world.path().join(".codex/sessions")).unwrap();
    world.pod(&["list"]).ok();
    let mut report = world.pod(&["doctor", "--json"]).json();
    for verdict in report["verdicts"].as_array_mut().unwrap() {
        // What depends on the machine.
        match verdict["check"].as_str().unwrap() {
            "space" | "filesystem" => *verdict = json!({"check": verdict["check"]}),
            "index" => {
                let detail = verdict["detail"].as_str().unwrap();
                let before_size = detail.rsplit_once(", ").unwrap().0.to_owned();
                verdict["detail"] = json!(before_size);
            }
            _ => {}
        }
    }
    insta::assert_json_snapshot!(report);
}

#[test]
fn people_get_a_line_for_each() {
    let world = fixture::world();
    for cells in [40, 100] {
        let run = world.pod_at_width(cells, &["doctor"]);
        let store = run.stdout.lines().next().unwrap();
        assert_eq!(store.ends_with("store"), cells == 40, "{run}");
        assert!(run.stdout.contains("fs, format 1, at [HOME]/.local/share/pod/sessions"), "nothing is cut: {run}");
        for check in [
            "store",
            "filesystem",
            "space",
            "permissions",
            "locks",
            "index",
            "conversations",
            "look-ups",
            "holes",
            "agents",
        ] {
            assert!(run.stdout.contains(check), "{check}: {run}");
        }
    }
}

#[test]
fn damage_that_is_known_is_a_problem() {
    let world = fixture::world();
    let log = world.usual_store().join(session_id("old")).join(format!("{}.jsonl", segment_id("old")));
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("You have none.", "You have one.!")).unwrap();
    let run = world.pod(&["doctor", "--json"]);
    assert_eq!(run.code, 1, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(verdict(&report, "conversations"), ("problem".to_owned(), "1 conversation damaged".to_owned()));
}

#[test]
fn a_store_that_others_may_read_is_a_problem() {
    let world = fixture::world();
    fs::set_permissions(world.usual_store(), fs::Permissions::from_mode(0o755)).unwrap();
    let run = world.pod(&["doctor", "--json"]);
    assert_eq!(run.code, 1, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(verdict(&report, "permissions").0, "problem");
}

#[test]
fn who_writes_is_named() {
    let world = fixture::world();
    let store = open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap();
    let at = place("old");
    let lease = store.watch().unwrap().lease(at.session_id, at.segment_id, "an agent", NOW).unwrap();
    let report = world.pod(&["doctor", "--json"]).json();
    assert!(verdict(&report, "locks").1.contains("an agent"), "{report}");
    drop(lease);
}

/// Where the system says who holds a lock, the process is named; it is this one, which has the store open while `pod` looks.
#[test]
fn who_has_the_store_open_is_named() {
    let world = fixture::world();
    let url = format!("fs:{}", world.usual_store().display());
    let named = |text: &str| match lock_holders(&url) {
        Some(holders) if !holders.is_empty() => text.contains(&format!("process {}", std::process::id())),
        _ => true,
    };
    let store = open(&url, &OpenOptions::at(NOW)).unwrap();
    let report = world.pod(&["doctor", "--json"]).json();
    assert!(named(&verdict(&report, "locks").1), "{report}");
    drop(store);
    let alone = open(&url, &OpenOptions::at(NOW).with_mode(OpenMode::Exclusive)).unwrap();
    let report: Value = serde_json::from_str(&world.pod(&["doctor", "--json"]).stdout).unwrap();
    let (verdict, detail) = verdict(&report, "store");
    assert!(verdict == "problem" && detail.contains("has it") && named(&detail), "{report}");
    drop(alone);
}

#[test]
fn a_store_that_is_not_there_or_cannot_be_opened_is_told_with_the_rest() {
    let world = World::new();
    let report = world.pod(&["doctor", "--json"]).json();
    assert_eq!(verdict(&report, "store").0, "warning", "none has been made yet");
    assert_eq!(fs::read_dir(world.path()).unwrap().count(), 0, "nothing was made");
    let run = world.pod(&["doctor", "--store", "fs:nowhere", "--json"]);
    assert_eq!(run.code, 3, "{run}");
    let world = fixture::world();
    fs::write(world.usual_store().join("store.json"), b"{").unwrap();
    let run = world.pod(&["doctor"]);
    assert_eq!(run.code, 4, "{run}");
    assert!(run.stdout.contains("problem") && run.stdout.contains("agents"), "{run}");
}

#[test]
fn every_backend_has_its_verdicts() {
    let world = World::new();
    let url = format!("sqlite:{}", world.path().join("pod.db").display());
    fixture::fill(&*open(&url, &OpenOptions::at(NOW)).unwrap());
    let report = world.pod(&["doctor", "--store", &url, "--json"]).json();
    assert_eq!(report["ok"], true, "{report}");
    assert!(verdict(&report, "store").1.starts_with("sqlite, format "), "{report}");
}
