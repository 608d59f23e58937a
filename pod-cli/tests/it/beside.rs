//! Damage beside the logs: what is said about a conversation, or about the store, cannot be read, and every entry can.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use session_store::{OpenOptions, open};
use store_core::{Fact, FactScope};

use crate::fixture::{on_every_backend, place, segment_id, session_id, world};
use crate::harness::{NOW, World};

/// Puts facts of a scope, and spoils the first of them.
fn damage_facts(world: &World, url: &str, scope: FactScope) {
    let store = open(url, &OpenOptions::at(NOW)).unwrap();
    for text in ["A title", "Another title"] {
        let value = json!({"text": text, "by": "person"});
        store.put_fact(scope, &Fact { ts: NOW, domain: "title".to_owned(), value }).unwrap();
    }
    drop(store);
    if let Some(database) = url.strip_prefix("sqlite:") {
        let raw = rusqlite::Connection::open(database).unwrap();
        let sql = "UPDATE facts SET body = replace(body, 'Another title', 'Another titlf')";
        assert!(raw.execute(sql, []).unwrap() > 0);
        return;
    }
    let root = world.usual_store();
    let folder = match scope {
        FactScope::Session(session) => root.join(session.to_string()),
        FactScope::Store => root,
    };
    let path: PathBuf = folder.join("facts.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("Another title", "Another titlf")).unwrap();
}

#[test]
fn facts_that_are_damaged_keep_nobody_from_the_conversation_and_are_repaired_by_its_name() {
    on_every_backend(|world, url| {
        let (id, repair) = (session_id("trunk"), format!("pod repair {}", session_id("trunk")));
        let with = |arguments: &[&str]| world.pod(&[arguments, &["--store", url]].concat());
        let shown = with(&["show", &id, "--json"]).json();
        damage_facts(world, url, FactScope::Session(place("trunk").session_id));
        for arguments in [&["show", &id][..], &["log", &id], &["segments", &id], &["export", &id, "--to", "markdown"]] {
            let run = with(arguments);
            assert!(run.code == 4 && !run.stdout.is_empty() && run.stderr.contains(&repair), "{url}: {run}");
        }
        let run = with(&["show", &id, "--json"]);
        let now: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((run.code, &now["messages"]), (4, &shown["messages"]), "{url}");
        let told: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!((&told["error"]["kind"], &told["error"]["code"]), (&json!("corrupt"), &json!(4)), "{url}");
        for arguments in [&["rename", &id, "Other"][..], &["fork", &id]] {
            let run = with(arguments);
            assert!(run.code == 4 && run.stdout.is_empty() && run.stderr.contains("pod repair"), "{url}: {run}");
        }
        let told = with(&["verify"]);
        assert!(told.code == 4 && told.stderr.contains(&format!("{repair} --dry-run")), "{url}: {told}");
        let planned = with(&["repair", &id, "--dry-run", "--json"]).json();
        assert_eq!(
            (&planned["beside"][0]["record"], &planned["beside"][0]["outcome"], &planned["beside"][0]["lost"]),
            (&json!("facts"), &json!("would_repair"), &json!(1)),
            "{url}: {planned}"
        );
        let done = with(&["repair", &id, "--yes"]);
        assert!(done.code == 0 && done.stdout.contains("kept in"), "{url}: {done}");
        assert_eq!(with(&["repair", &id]).ok(), "nothing to repair\n", "{url}");
        assert_eq!(with(&["verify"]).code, 0, "{url}");
        assert_eq!(with(&["show", &id, "--json"]).json()["title"], "A title", "{url}: what can be read is kept");
        with(&["rename", &id, "Other"]).ok();
    });
}

#[test]
fn facts_about_the_store_that_are_damaged_are_repaired_with_the_whole_store() {
    on_every_backend(|world, url| {
        let with = |arguments: &[&str]| world.pod(&[arguments, &["--store", url]].concat());
        damage_facts(world, url, FactScope::Store);
        assert_eq!(with(&["show", &session_id("trunk")]).code, 0, "{url}: nobody needs them for that");
        let told = with(&["verify"]);
        assert!(told.code == 4 && told.stderr.contains("`pod repair --dry-run`"), "{url}: {told}");
        with(&["repair", "--yes"]).ok();
        assert_eq!(with(&["verify"]).code, 0, "{url}");
        assert_eq!(with(&["repair"]).ok(), "nothing to repair\n", "{url}");
    });
}

#[test]
fn a_store_json_that_is_torn_or_has_a_bit_flipped_is_written_anew() {
    for spoil in [|bytes: &mut Vec<u8>| bytes.truncate(20), |bytes: &mut Vec<u8>| bytes[3] ^= 1] {
        let world = world();
        let path = world.usual_store().join("store.json");
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        spoil(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let run = world.pod(&["list"]);
        assert!(run.code == 4 && run.stderr.contains("`pod repair`"), "{run}");
        world.pod(&["repair", "--dry-run"]).ok();
        assert_eq!(fs::read(&path).unwrap(), bytes, "a dry run changes nothing");
        let done = world.pod(&["repair", "--yes", "--json"]).json();
        let kept = world.usual_store().join(done["header"]["kept"].as_str().unwrap());
        assert_eq!(fs::read(kept).unwrap(), bytes, "what stood there is kept");
        assert_eq!(world.pod(&["verify"]).code, 0);
        assert!(world.pod(&["list"]).ok().contains("Why is the import slow?"));
    }
}

#[test]
fn a_hole_that_still_stands_in_a_log_is_taken_out_by_who_takes_note_of_it() {
    let world = world();
    let (session, segment) = (session_id("trunk"), segment_id("trunk"));
    let log = world.usual_store().join(&session).join(format!("{segment}.jsonl"));
    let whole = fs::read(&log).unwrap();
    fs::write(&log, [whole.as_slice(), &[0; 4096]].concat()).unwrap();
    let told = world.pod(&["verify"]);
    assert!(told.code == 4 && told.stderr.contains("--acknowledge"), "{told}");
    let taken = world.pod(&["verify", "--acknowledge", "--json"]).json();
    assert_eq!((&taken["ok"], &taken["acknowledged"]), (&json!(true), &json!(1)), "{taken}");
    assert_eq!(fs::read(&log).unwrap(), whole, "every entry is where it was");
    assert_eq!(world.pod(&["verify"]).code, 0);
    let store = open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap();
    assert_eq!(store.integrity().unwrap().events().unwrap().len(), 1, "it is recorded");
}
