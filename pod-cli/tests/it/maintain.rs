//! `pod checkpoint`, `rollback`, `repair`, `gc` and `manifest`.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use session_store::{OpenOptions, open};
use store_core::{AppendOptions, Backend, CreateOptions, NewEntry, Record, SegmentId, Seq, SessionId};

use crate::fixture::{self, on_every_backend, place, segment_id, session_id};
use crate::harness::{NOW, World};

fn fs_url(world: &World) -> String {
    format!("fs:{}", world.usual_store().display())
}

fn damage_first_line(world: &World, name: &str) -> PathBuf {
    let log = world.usual_store().join(session_id(name)).join(format!("{}.jsonl", segment_id(name)));
    let mut bytes = fs::read(&log).unwrap();
    bytes[20] ^= 1;
    fs::write(&log, bytes).unwrap();
    log
}

/// What differs from run to run.
fn without_ids_of_runs(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        "migration_id" if value.is_string() => *value = json!("[id]"),
                        "path" if value.is_string() => *value = json!("[path]"),
                        _ => walk(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[test]
fn the_json_forms_of_checkpoints_and_rollbacks() {
    let world = fixture::world();
    let trunk = &session_id("old");
    let made = world.pod(&["checkpoint", trunk, "--reason", "before the merge", "--name", "merge", "--json"]).json();
    insta::assert_json_snapshot!("checkpoint", made);
    insta::assert_json_snapshot!("checkpoints", world.pod(&["checkpoints", trunk, "--json"]).json());
    assert_eq!(
        world.pod(&["checkpoint", trunk, "--list", "--json"]).ok(),
        world.pod(&["checkpoints", trunk, "--json"]).ok()
    );
    append_turn(&*open(&fs_url(&world), &OpenOptions::at(NOW)).unwrap(), "old");
    let planned = world.pod(&["rollback", trunk, "--to", "merge", "--dry-run", "--json"]).json();
    insta::assert_json_snapshot!("rollback_dry_run", without_ids_of_runs(planned));
    let done = world.pod(&["rollback", trunk, "--to", "merge", "--yes", "--json"]).json();
    insta::assert_json_snapshot!("rollback", without_ids_of_runs(done));
}

fn append_turn(store: &dyn Backend, name: &str) {
    let at = place(name);
    let texts = [
        r#"{"kind":"user_input","ts":1764000000000,"content":[{"type":"text","text":"More."}]}"#,
        r#"{"kind":"turn_end","ts":1764000000000,"turn_count":9}"#,
    ];
    let entries = texts.map(NewEntry::text);
    store.append_with(at.session_id, at.segment_id, &entries, &AppendOptions::default()).unwrap();
}

#[test]
fn people_see_checkpoints_on_any_terminal() {
    let world = fixture::world();
    let id = &session_id("old");
    assert!(world.pod(&["checkpoints", id]).stderr.contains("no checkpoints"));
    let run = world.pod(&["checkpoint", id, "--reason", "before \u{1b}[31ma risk"]);
    insta::assert_snapshot!("checkpoint_for_people", run);
    world.pod(&["checkpoint", id, "--name", "then"]).ok();
    for cells in [30, 80] {
        insta::assert_snapshot!(format!("checkpoints_{cells}"), world.pod_at_width(cells, &["checkpoints", id]));
    }
}

#[test]
fn a_rollback_gives_back_what_the_conversation_was() {
    on_every_backend(|world, url| {
        let id = &segment_id("old");
        let state = || world.pod(&["--session", id, "--print", "--json", "--store", url]).json();
        let store = || open(url, &OpenOptions::at(NOW)).unwrap();
        let mut states = Vec::new();
        for number in 1..=3 {
            world.pod(&["checkpoint", id, "--store", url]).ok();
            states.push((number, state()));
            append_turn(&*store(), "old");
        }
        for (number, before) in states.into_iter().rev() {
            let to = &number.to_string();
            let done = world.pod(&["rollback", id, "--to", to, "--yes", "--json", "--store", url]).json();
            assert_eq!((&done["outcome"], &done["removed"]), (&json!("ok"), &json!(2)), "{url}: {done}");
            assert!(done["verification"].as_object().unwrap().values().all(|holds| *holds == json!(true)), "{done}");
            assert_eq!(state(), before, "{url}");
        }
        assert_eq!(world.pod(&["verify", "--store", url]).code, 0);
    });
}

#[test]
fn a_rollback_is_refused_where_somebody_goes_on_beyond_the_point() {
    on_every_backend(|world, url| {
        let id = &segment_id("trunk");
        let store = || open(url, &OpenOptions::at(NOW)).unwrap();
        // A branch that has nothing of what the other one continues.
        let made = world.pod(&["fork", id, "--at", "1", "--json", "--store", url]).json();
        let branch = made["segment_id"].as_str().unwrap();
        world.pod(&["checkpoint", branch, "--store", url]).ok();
        let at = place("trunk");
        let branch_id = branch.parse().unwrap();
        let text = r#"{"kind":"user_input","ts":1764000000000,"content":[{"type":"text","text":"On."}]}"#;
        let entries = [NewEntry::text(text)];
        store().append_with(at.session_id, branch_id, &entries, &AppendOptions::default()).unwrap();
        world.pod(&["fork", branch, "--new-session", "--store", url]).ok();
        let before = world.pod(&["log", branch, "--json", "--store", url]).ok();
        let error = world.pod(&["rollback", branch, "--to", "1", "--yes", "--json", "--store", url]).json_error();
        assert_eq!((&error["error"]["kind"], &error["error"]["code"]), (&json!("referenced"), &json!(5)), "{error}");
        assert_eq!(world.pod(&["log", branch, "--json", "--store", url]).ok(), before, "{url}: the old state stays");
        let events = store().integrity().unwrap().events().unwrap();
        let failed = events.iter().filter(|event| event.error_class.as_deref() == Some("referenced")).count();
        assert_eq!(failed, 1, "{url}: {events:?}");
    });
}

#[test]
fn a_checkpoint_that_is_not_there() {
    let world = fixture::world();
    let id = &session_id("old");
    for to in ["7", "never"] {
        let error = world.pod(&["rollback", id, "--to", to, "--yes", "--json"]).json_error();
        let error = &error["error"];
        assert_eq!((&error["kind"], &error["code"]), (&json!("checkpoint_not_found"), &json!(3)), "{error}");
    }
    for name in ["12", ""] {
        let error = world.pod(&["checkpoint", id, "--name", name, "--json"]).json_error();
        assert_eq!((&error["error"]["kind"], &error["error"]["code"]), (&json!("usage"), &json!(2)), "{error}");
    }
    world.pod(&["checkpoint", id, "--name", "one"]).ok();
    append_turn(&*open(&fs_url(&world), &OpenOptions::at(NOW)).unwrap(), "old");
    world.pod(&["checkpoint", id, "--name", "two"]).ok();
    world.pod(&["rollback", id, "--to", "one", "--yes"]).ok();
    let run = world.pod(&["rollback", id, "--to", "two", "--yes"]);
    assert!(
        run.code == 3 && run.stderr.contains("there are: one\n"),
        "a name that does not hold is not offered: {run}"
    );
}

#[test]
fn what_cannot_be_taken_back_needs_a_yes_where_nobody_can_be_asked() {
    let world = fixture::world();
    world.pod(&["checkpoint", &session_id("old")]).ok();
    append_turn(&*open(&fs_url(&world), &OpenOptions::at(NOW)).unwrap(), "old");
    damage_first_line(&world, "ledger first");
    drop(open(&fs_url(&world), &OpenOptions::at(NOW)).unwrap().put_blob(b"nobody refers to this").unwrap());
    let (old, ledger) = (session_id("old"), session_id("ledger"));
    let read = || world.pod(&["log", &old, "--json"]).ok();
    let before = read();
    for arguments in [&["rollback", &old, "--to", "1"][..], &["repair", &ledger]] {
        let run = world.pod(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains("--yes"), "{run}");
        assert_eq!(world.pod(&[arguments, &["--dry-run"]].concat()).code, 0);
        assert_eq!(world.pod(&[arguments, &["--dry-run", "--yes"]].concat()).code, 2);
    }
    assert_eq!(read(), before);
    assert_eq!(world.pod(&["verify"]).code, 4, "nothing was repaired");
}

#[test]
fn the_json_form_of_a_repair() {
    let world = fixture::world();
    damage_first_line(&world, "ledger second");
    let id = &session_id("ledger");
    let planned = world.pod(&["repair", id, "--dry-run", "--json"]).json();
    insta::assert_json_snapshot!("repair_dry_run", without_ids_of_runs(planned));
    let done = world.pod(&["repair", id, "--yes", "--json"]).json();
    insta::assert_json_snapshot!("repair", without_ids_of_runs(done));
    let again = world.pod(&["repair", id, "--json"]).json();
    assert_eq!((&again["outcome"], &again["migration_id"]), (&json!("clean"), &Value::Null));
    assert_eq!(world.pod(&["verify"]).code, 0);
}

#[test]
fn a_log_that_cannot_be_read_can_be_named_and_repaired() {
    for by in ["session", "segment", "end of its id", "agent's own id", "title"] {
        let world = fixture::world();
        let (session, segment) = (session_id("trunk"), segment_id("trunk"));
        let title = "Why is the import slow?".to_owned();
        let native = world.pod(&["list", "--json", "--limit", "10"]).json();
        let rows = native["sessions"].as_array().unwrap().clone();
        let row = rows.iter().find(|row| row["session_id"] == session.as_str()).unwrap();
        let native = row["native_id"].as_str().unwrap().to_owned();
        damage_first_line(&world, "trunk");
        if by.starts_with("se") {
            // Nothing but the store itself can say what is meant.
            fs::remove_file(world.usual_store().join("index.db")).unwrap();
        }
        let id = match by {
            "session" => session.clone(),
            "segment" => segment.clone(),
            "end of its id" => session[session.len() - 12..].to_owned(),
            "agent's own id" => native,
            _ => title,
        };
        assert_eq!(world.pod(&["show", &segment]).code, 4, "{by}");
        let run = world.pod(&["repair", &id, "--dry-run"]);
        assert!(run.code == 0 && run.stdout.contains("entry 1 is lost"), "{by}: {run}");
        let done = world.pod(&["repair", &id, "--yes", "--json"]).json();
        assert_eq!((&done["segment_id"], &done["kept"]), (&json!(segment), &json!(15)), "{by}: {done}");
        assert_eq!(world.pod(&["verify"]).code, 0, "{by}");
        let shown = world.pod(&["show", &session, "--json"]).json();
        assert!(shown.to_string().contains("Done: one pass."), "{by}: what is valid is there: {shown}");
    }
}

#[test]
fn people_are_told_what_a_repair_kept() {
    let world = fixture::world();
    let log = world.usual_store().join(session_id("trunk")).join(format!("{}.jsonl", segment_id("trunk")));
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("Let me measure it.", "Let me measure 1t.")).unwrap();
    insta::assert_snapshot!("repair_dry_run_for_people", world.pod(&["repair", &session_id("trunk"), "--dry-run"]));
    let run = world.pod(&["repair", &session_id("trunk"), "--yes"]);
    assert!(run.stdout.contains("15 entries kept") && run.stdout.contains("kept in "), "{run}");
    assert_eq!(world.pod(&["repair", &session_id("trunk")]).ok(), "nothing to repair\n");
}

#[test]
fn a_database_that_cannot_be_read_is_salvaged_into_a_new_one() {
    let world = World::new();
    let path = world.path().join("pod.db");
    let url = format!("sqlite:{}", path.display());
    fixture::fill(&*open(&url, &OpenOptions::at(NOW)).unwrap());
    let before = world.pod(&["verify", "--json", "--store", &url]).json();
    for suffix in ["-wal", "-shm"] {
        let beside = world.path().join(format!("pod.db{suffix}"));
        assert!(!beside.exists() || fs::metadata(&beside).unwrap().len() == 0, "{suffix}: all of it is in the file");
    }
    let mut bytes = fs::read(&path).unwrap();
    bytes[..100].fill(0xA5);
    fs::write(&path, &bytes).unwrap();
    assert_ne!(world.pod(&["list", "--store", &url]).code, 0);
    let would = world.pod(&["repair", "--into", "sqlite:saved.db", "--dry-run", "--json", "--store", &url]).json();
    assert!(!world.path().join("saved.db").exists(), "nothing is made by looking");
    let saved = world.pod(&["repair", "--into", "sqlite:saved.db", "--json", "--store", &url]).json();
    assert_eq!((&would["dry_run"], &saved["dry_run"]), (&json!(true), &json!(false)));
    let counts = |told: &Value| ["sessions", "segments", "entries", "blobs", "lost"].map(|name| told[name].clone());
    assert_eq!(counts(&would), counts(&saved));
    insta::assert_json_snapshot!("salvage", saved);
    assert_eq!(fs::read(&path).unwrap(), bytes, "the source is as it was");
    let after = world.pod(&["verify", "--json", "--store", "sqlite:saved.db"]).json();
    assert_eq!(after["heads"], before["heads"]);
    assert_eq!(world.pod(&["repair", "--into", "sqlite:saved.db", "--store", &url]).code, 1, "nothing is overwritten");
    for dry_run in [&[][..], &["--dry-run"]] {
        let into = |target| world.pod(&[&["repair", "--into", target, "--store", &url], dry_run].concat()).code;
        assert_eq!((into("sqlite:saved.db"), into("fs:saved")), (1, 1), "{dry_run:?}");
    }
    assert_eq!(world.pod(&["repair"]).code, 3, "there is no store where it usually is");
}

#[test]
fn blobs_that_nothing_refers_to_are_removed() {
    on_every_backend(|world, url| {
        let store = open(url, &OpenOptions::at(NOW)).unwrap();
        drop(store.put_blob(b"nobody refers to this").unwrap());
        drop(store);
        let would = world.pod(&["gc", "--dry-run", "--json", "--store", url]).json();
        assert_eq!(would["blobs"], json!({"removed": 1, "bytes": 21}), "{url}: {would}");
        assert_eq!(would["dry_run"], true);
        let refused = world.pod(&["gc", "--store", url]);
        assert_eq!(refused.code, 2, "{refused}");
        let done = world.pod(&["gc", "--yes", "--json", "--store", url]).json();
        assert_eq!(done["blobs"], would["blobs"], "{url}");
        assert_eq!(world.pod(&["gc", "--store", url]).ok(), "nothing to remove\n", "{url}: nothing to ask about");
    });
}

#[test]
fn the_json_form_of_a_collection() {
    let world = fixture::world();
    insta::assert_json_snapshot!("gc", world.pod(&["gc", "--yes", "--json"]).json());
}

#[test]
fn the_json_form_of_a_manifest() {
    let world = fixture::world();
    let manifest = world.pod(&["manifest", &session_id("ledger"), "--json"]).json();
    insta::assert_json_snapshot!("manifest", manifest);
    insta::assert_snapshot!("manifest_for_people", world.pod(&["manifest", &session_id("ledger")]));
}

#[test]
fn a_manifest_of_a_damaged_conversation_says_what_does_not_hold() {
    let world = fixture::world();
    damage_first_line(&world, "trunk");
    let run = world.pod(&["manifest", &session_id("trunk"), "--json"]);
    assert_eq!(run.code, 4, "{run}");
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(manifest["invariants"]["checksums_valid"], false, "{manifest}");
    let run = world.pod(&["manifest", &session_id("trunk")]);
    assert!(run.code == 4 && run.stdout.contains("stored bytes are not what was written"), "{run}");
}

#[test]
fn a_conversation_that_an_agent_writes_is_not_rolled_back() {
    let world = fixture::world();
    let id = &segment_id("old");
    world.pod(&["checkpoint", id]).ok();
    let store = open(&fs_url(&world), &OpenOptions::at(NOW)).unwrap();
    let at = place("old");
    let lease = store.watch().unwrap().lease(at.session_id, at.segment_id, "an agent", NOW).unwrap();
    let error = world.pod(&["rollback", id, "--to", "1", "--yes", "--json"]).json_error();
    assert_eq!((&error["error"]["kind"], &error["error"]["code"]), (&json!("busy"), &json!(5)), "{error}");
    drop(lease);
    world.pod(&["rollback", id, "--to", "1", "--yes"]).ok();
}

/// A real conversation is written turn by turn, with a checkpoint and a look at it behind each.
#[test]
fn a_real_conversation_can_be_set_back_to_each_of_its_turns() {
    let world = World::new();
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/conversations/codex");
    world.pod(&["import", examples.to_str().unwrap(), "--store", "fs:source"]).ok();
    let open_at = |url: &str| {
        let (scheme, name) = url.split_once(':').unwrap();
        open(&format!("{scheme}:{}", world.path().join(name).display()), &OpenOptions::at(NOW)).unwrap()
    };
    let source = open_at("fs:source");
    let mut longest: Option<(usize, SessionId, SegmentId, Vec<Record>)> = None;
    for session in source.list_sessions().unwrap() {
        for segment in source.list_segments(session).unwrap() {
            let records = source.read_range(session, segment, Seq::START, usize::MAX).unwrap();
            let is_root = !records[0].text.contains("forked_from") && !records[0].text.contains("compacted_from");
            let turns = records.iter().filter(|record| record.text.contains(r#""kind":"turn_end""#)).count();
            if is_root && longest.as_ref().is_none_or(|(most, ..)| turns > *most) {
                longest = Some((turns, session, segment, records));
            }
        }
    }
    let (turns, session, segment, records) = longest.unwrap();
    assert!(turns >= 3, "the examples have lost their long conversation");
    for url in ["fs:copy", "sqlite:copy.db"] {
        let id = segment.to_string();
        let state = || world.pod(&["--session", &id, "--print", "--json", "--store", url]).json();
        let store = open_at(url);
        let mut states = Vec::new();
        for record in &records {
            let entry = NewEntry::text(record.text.clone());
            if record.position.seq == Seq(1) {
                store.create_segment(session, segment, &[entry], &CreateOptions::default()).unwrap();
            } else {
                store.append_with(session, segment, &[entry], &AppendOptions::default()).unwrap();
            }
            if record.text.contains(r#""kind":"turn_end""#) {
                let made = world.pod(&["checkpoint", &id, "--json", "--store", url]).json();
                states.push((made["checkpoint"].to_string(), made["head"].clone(), state()));
            }
        }
        for (number, head, before) in states.iter().rev() {
            let seen = world.pod(&["verify", "--head", head.as_str().unwrap(), "--json", "--store", url]).json();
            assert_eq!(seen["ok"], true, "{url}: {seen}");
            let done = world.pod(&["rollback", &id, "--to", number, "--yes", "--json", "--store", url]).json();
            assert_eq!(done["head"], *head, "{url}");
            assert_eq!(&state(), before, "{url}");
        }
    }
}
