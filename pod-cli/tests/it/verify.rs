//! `pod verify`: what is told of a store that is whole, and of one that is not.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use session_store::{OpenOptions, open};
use store_core::integrity::{Event, EventKind};
use store_core::{AppendOptions, NewEntry, Seq};

use crate::fixture::{self, place, segment_id, session_id};
use crate::harness::{NOW, Run, World, interrupt};

/// The file of a segment's log in the usual store.
fn log_of(world: &World, name: &str) -> PathBuf {
    world.usual_store().join(session_id(name)).join(format!("{}.jsonl", segment_id(name)))
}

/// Makes one entry of a log another one, without its checksum.
fn damage(world: &World, name: &str, from: &str, to: &str) {
    let log = log_of(world, name);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&log, text.replace(from, to)).unwrap();
}

/// The JSON document of a run that found damage.
fn damaged(run: &Run) -> Value {
    assert_eq!(run.code, 4, "{run}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

fn kinds(report: &Value) -> Vec<&str> {
    report["damage"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

/// What the log ends with, from `pod verify` itself.
fn head_of(world: &World, name: &str) -> String {
    let report = world.pod(&["verify", &segment_id(name), "--json"]).json();
    let heads = report["heads"].as_array().unwrap();
    let own = heads.iter().find(|head| head["segment_id"] == segment_id(name)).unwrap();
    own["head"].as_str().unwrap().to_owned()
}

#[test]
fn the_json_form() {
    let world = fixture::world();
    world.pod(&["list"]).ok();
    insta::assert_json_snapshot!(world.pod(&["verify", "--deep", "--json"]).json());
}

#[test]
fn people_are_told_in_a_line_that_all_is_well() {
    let world = fixture::world();
    insta::assert_snapshot!("whole", world.pod(&["verify"]));
    insta::assert_snapshot!("whole_segment", world.pod(&["verify", &segment_id("trunk")]));
}

#[test]
fn the_json_form_of_damage() {
    let world = fixture::world();
    damage(&world, "trunk", "Let me measure it.", "Let me measure 1t.");
    damage(&world, "old", "You have none.", "You have one.!");
    insta::assert_json_snapshot!(damaged(&world.pod(&["verify", "--json"])));
}

#[test]
fn people_see_what_is_damaged_where_and_what_to_do() {
    let world = fixture::world();
    damage(&world, "trunk", "Let me measure it.", "Let me measure 1t.");
    for cells in [40, 80, 160] {
        insta::assert_snapshot!(format!("damaged_{cells}"), world.pod_at_width(cells, &["verify"]));
    }
}

#[test]
fn every_backend_has_the_same_heads() {
    let world = fixture::world();
    let url = format!("sqlite:{}", world.path().join("pod.db").display());
    fixture::fill(&*open(&url, &OpenOptions::at(NOW)).unwrap());
    let (one, other) =
        (world.pod(&["verify", "--json"]).json(), world.pod(&["verify", "--json", "--store", &url]).json());
    assert_eq!(one["heads"], other["heads"]);
    assert_eq!((&one["ok"], &one["entries"]), (&json!(true), &other["entries"]));
}

#[test]
fn an_id_verifies_what_it_names_and_what_that_continues() {
    let world = fixture::world();
    let segments = |id: &str| world.pod(&["verify", id, "--json"]).json()["segments"].as_u64().unwrap();
    assert_eq!(segments(&session_id("trunk")), 1);
    assert_eq!(segments(&session_id("fork")), 2);
    assert_eq!(segments(&session_id("ledger")), 3);
    assert_eq!(segments(&segment_id("ledger second")), 2);
    let both = world.pod(&["verify", &session_id("old"), &segment_id("ledger first"), "--json"]).json();
    assert_eq!((&both["sessions"], &both["segments"]), (&json!(2), &json!(2)));
    assert_eq!(world.pod(&["verify", "zzzz-no-such-id"]).code, 3);
    damage(&world, "trunk", "Let me measure it.", "Let me measure 1t.");
    assert_eq!(world.pod(&["verify", &session_id("ledger")]).code, 0, "what is damaged elsewhere is not asked about");
    assert_eq!(world.pod(&["verify", &session_id("fork")]).code, 4, "what it continues is");
}

#[test]
fn a_head_that_was_seen_earlier_proves_what_came_before() {
    let world = fixture::world();
    let now = head_of(&world, "trunk");
    let store = open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap();
    let at = place("trunk");
    let records = store.read_range(at.session_id, at.segment_id, Seq::START, usize::MAX).unwrap();
    let mut head = store_core::chain::ChainHead::ROOT;
    for record in &records {
        head = head.next(&record.text);
        let report = world.pod(&["verify", "--head", &head.to_string(), "--json"]).json();
        let stands = json!({"segment_id": segment_id("trunk"), "seq": record.position.seq, "head": head});
        assert_eq!(report["expected"], json!([stands]));
    }
    assert_eq!(head.to_string(), now);
    let run = world.pod(&["verify", "--head", &now, "--head", &now.to_uppercase()]);
    assert!(run.stdout.contains("as it is now, 16 entries"), "{run}");
    let unknown = "0123456789abcdef".repeat(4);
    let report = damaged(&world.pod(&["verify", "--head", &unknown, "--json"]));
    assert_eq!(kinds(&report), ["chain"], "{report}");
    assert_eq!(world.pod(&["verify", "--head", "12"]).code, 2);
}

#[test]
fn a_torn_tail_is_no_damage() {
    let world = fixture::world();
    let log = log_of(&world, "trunk");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{text}{{\"seq\":17,\"kind\":\"user_in")).unwrap();
    let report = world.pod(&["verify", "--json"]).json();
    assert_eq!((kinds(&report), &report["ok"]), (vec!["torn_tail"], &json!(true)), "{report}");
    insta::assert_snapshot!("torn", world.pod(&["verify"]));
}

#[test]
fn a_hole_is_told_until_somebody_takes_note_of_it() {
    let world = fixture::world();
    let url = format!("fs:{}", world.usual_store().display());
    let store = open(&url, &OpenOptions::at(NOW)).unwrap();
    let at = place("trunk");
    let what = EventKind::HoleTakenOut {
        log: format!("{}/{}.jsonl", at.session_id, at.segment_id),
        segment: Some(at.segment_id),
        after: Seq(16),
        offset: 4096,
        bytes: 512,
        kept: "quarantine/hole".to_owned(),
    };
    store.integrity().unwrap().record(&Event::done(NOW, what)).unwrap();
    assert_eq!(kinds(&damaged(&world.pod(&["verify", "--json"]))), ["hole"]);
    let elsewhere = world.pod(&["verify", &session_id("ledger"), "--acknowledge", "--json"]).json();
    assert_eq!(elsewhere["acknowledged"], 0, "a hole of another conversation is not meant");
    let run = world.pod(&["verify"]);
    assert!(run.stderr.contains("`pod verify --acknowledge`"), "{run}");
    let noted = world.pod(&["verify", "--acknowledge", "--json"]).json();
    assert_eq!((&noted["acknowledged"], &noted["ok"]), (&json!(1), &json!(true)));
    assert_eq!(world.pod(&["verify"]).code, 0);
}

/// While a log is damaged the index knows more of it than can be read: that is no fault of the index.
#[test]
fn an_index_that_knows_more_than_can_be_read_is_left_alone() {
    let world = fixture::world();
    let title = |run: Value| run["sessions"].to_string().contains("Why is the import slow?");
    assert!(title(world.pod(&["list", "--json"]).json()));
    damage(&world, "trunk", "Why is the import slow?", "Why is the import sl0w?");
    let report = damaged(&world.pod(&["verify", "--deep", "--json"]));
    assert_eq!((kinds(&report), &report["index"]), (vec!["checksum"], &json!({"state": "agrees", "compared": false})));
    assert!(title(world.pod(&["list", "--json"]).json()));
}

/// Whoever looks at a torn tail waits for the log's writer, so that there is a moment for Ctrl-C.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_verification_cleanly() {
    let world = fixture::world();
    let log = log_of(&world, "trunk");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{text}{{\"seq\":17,")).unwrap();
    let run = interrupted_at(&world, &log, &["verify", "--json"]);
    assert_eq!(run.code, 130, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    assert_eq!((&report["stopped"], &report["ok"]), (&json!(true), &json!(false)), "{report}");
    fs::write(&log, text).unwrap();
    assert_eq!(world.pod(&["verify"]).code, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_leaves_a_migration_to_be_gone_on_with() {
    let world = fixture::world();
    let migrate = &["migrate", "--to", "fs:to", "--json"];
    world.pod(migrate).ok();
    let at = place("trunk");
    let store = open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap();
    let entry = NewEntry::text(r#"{"kind":"extension","ts":1,"domain":"d","payload":1}"#);
    store.append_with(at.session_id, at.segment_id, &[entry], &AppendOptions::default()).unwrap();
    let there = world.path().join("to").join(session_id("trunk")).join(format!("{}.jsonl", segment_id("trunk")));
    let run = interrupted_at(&world, &there, migrate);
    assert_eq!(run.code, 130, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    assert_eq!((&report["stopped"], &report["failed"]), (&json!(true), &json!(0)), "{report}");
    assert_eq!(world.pod(&["verify", "--store", "fs:to"]).code, 0, "what is there is whole");
    let rest = world.pod(migrate).json();
    assert_eq!((&rest["failed"], &rest["stopped"]), (&json!(0), &json!(false)));
    assert_eq!(heads(&world, &[]), heads(&world, &["--store", "fs:to"]));
}

#[cfg(target_os = "linux")]
fn heads(world: &World, store: &[&str]) -> Value {
    world.pod(&[&["verify", "--json"], store].concat()).json()["heads"].clone()
}

/// Runs a command until it waits for a log that somebody else holds, presses Ctrl-C, and lets go.
#[cfg(target_os = "linux")]
fn interrupted_at(world: &World, log: &std::path::Path, command: &[&str]) -> Run {
    let held = fs::File::open(log).unwrap();
    held.lock().unwrap();
    let mut child = world.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    let waits = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("->") && line.split_whitespace().any(|word| word == pid))
    };
    while !waits() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it waited");
        std::thread::yield_now();
    }
    interrupt(&child);
    held.unlock().unwrap();
    world.finish(&child.wait_with_output().unwrap())
}

#[test]
fn an_index_that_says_something_else_is_told_and_made_anew() {
    let world = fixture::world();
    let before = world.pod(&["list", "--json"]).ok();
    let state = |run: Value| (run["ok"].clone(), run["index"]["state"].clone(), run["index"]["compared"].clone());
    assert_eq!(state(world.pod(&["verify", "--deep", "--json"]).json()), (json!(true), json!("agrees"), json!(true)));
    let index = world.usual_store().join("index.db");
    let change = |sql: &str| {
        let changed = rusqlite::Connection::open(&index).unwrap().execute(sql, []).unwrap();
        assert!(changed > 0, "{sql}");
    };
    for sql in [
        "UPDATE session SET summary = replace(summary, 'Why is', 'Who was')",
        "DELETE FROM usage",
        "UPDATE segment SET native_id = 'x' WHERE native_id IS NOT NULL",
    ] {
        change(sql);
        let report = damaged(&world.pod(&["verify", "--deep", "--json"]));
        assert!(kinds(&report).iter().all(|kind| *kind == "projection"), "{sql}: {report}");
        assert_eq!(state(report), (json!(false), json!("made_anew"), json!(true)), "{sql}");
        assert_eq!(world.pod(&["list", "--json"]).ok(), before, "{sql}");
        assert_eq!(world.pod(&["verify", "--deep"]).code, 0, "{sql}: once is enough");
    }
    let mut bytes = fs::read(&index).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&index, bytes).unwrap();
    let run = world.pod(&["verify"]);
    assert_eq!(run.code, 4, "{run}");
    assert!(run.stderr.contains("the index was made anew from the logs"), "{run}");
    assert_eq!(world.pod(&["verify"]).code, 0);
    assert_eq!(world.pod(&["list", "--json"]).ok(), before);
}

/// One that is gone from its usual place is not as it was written.
#[test]
fn a_store_that_is_not_there_proves_nothing() {
    let world = World::new();
    assert_eq!(world.pod(&["verify", "--json"]).json_error()["error"]["kind"], "no_store");
    assert_eq!(world.pod(&["verify", "--store", "fs:nowhere"]).code, 3);
    assert_eq!(fs::read_dir(world.path()).unwrap().count(), 0, "nothing was made");
}
