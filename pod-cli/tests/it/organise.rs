//! `pod rename`, `tag`, `pin`, `archive`, `unarchive`, `rm` and `undo`

use serde_json::{Value, json};
use session_store::{OpenOptions, open};

use crate::fixture::{self, on_every_backend, place, session_id};
use crate::harness::{NOW, Run, World};

/// Runs a command on a store.
fn pod(world: &World, url: &str, arguments: &[&str]) -> Run {
    world.pod(&[arguments, &["--store", url]].concat())
}

fn listed(world: &World, url: &str, arguments: &[&str]) -> Value {
    pod(world, url, &[&["list", "--json"], arguments].concat()).json()
}

fn ids(list: &Value) -> Vec<&str> {
    list["sessions"].as_array().unwrap().iter().filter_map(|row| row["session_id"].as_str()).collect()
}

#[test]
fn the_json_forms_of_what_people_say() {
    on_every_backend(|world, url| {
        let (trunk, old) = (&session_id("trunk"), &session_id("old"));
        let json = |arguments: &[&str]| pod(world, url, &[arguments, &["--json"]].concat()).json();
        insta::assert_json_snapshot!("rename", json(&["rename", trunk, "Mine, whatever the agent says"]));
        insta::assert_json_snapshot!("tag", json(&["tag", trunk, old, "--add", "fast", "-r", "speed"]));
        insta::assert_json_snapshot!("pin", json(&["pin", trunk]));
        insta::assert_json_snapshot!("archive", json(&["archive", trunk]));
        insta::assert_json_snapshot!("unarchive", json(&["unarchive", trunk, old]));
        assert_eq!(json(&["pin", trunk, "--off"])["sessions"][0]["pinned"], false);
        assert_eq!(json(&["rename", trunk, ""])["sessions"][0]["title"], "Why is the import slow?");
        assert_eq!(json(&["tag", trunk, "--clear"])["sessions"][0]["tags"], json!([]));
        assert_eq!(ids(&listed(world, url, &["--tag", "fast"])), [old.as_str()]);
        pod(world, url, &["verify", "--deep"]).ok();
    });
}

#[test]
fn the_json_forms_of_the_trash() {
    on_every_backend(|world, url| {
        let trunk = &session_id("trunk");
        let json = |arguments: &[&str]| pod(world, url, &[arguments, &["--json"]].concat()).json();
        insta::assert_json_snapshot!("rm_dry_run", json(&["rm", trunk, "--dry-run"]));
        assert_eq!(listed(world, url, &[])["hidden"]["trashed"], 0);
        insta::assert_json_snapshot!("rm", json(&["rm", trunk, "--yes"]));
        let list = listed(world, url, &["--kind", "all"]);
        assert!(!ids(&list).contains(&trunk.as_str()), "{list}");
        assert_eq!(list["hidden"]["trashed"], 2, "with the sub-agent that it started");
        let trash = listed(world, url, &["--kind", "all", "--trashed", "only"]);
        assert_eq!(trash["total"], 2);
        insta::assert_json_snapshot!("undo", json(&["undo", trunk]));
        assert_eq!(listed(world, url, &[])["hidden"]["trashed"], 0);
        pod(world, url, &["verify", "--deep"]).ok();
    });
}

#[test]
fn the_json_forms_of_a_purge() {
    on_every_backend(|world, url| {
        let (trunk, fork) = (&session_id("trunk"), &session_id("fork"));
        let json = |arguments: &[&str]| pod(world, url, &[arguments, &["--json"]].concat()).json();
        let shown = json(&["show", fork])["messages"].clone();
        insta::assert_json_snapshot!("purge_dry_run", json(&["rm", trunk, "--purge", "--detach", "--dry-run"]));
        assert_eq!(listed(world, url, &["--kind", "all"])["total"], 4);
        let done = json(&["rm", trunk, "--purge", "--detach", "--yes"]);
        insta::assert_json_snapshot!("purge", done);
        let now = done["detached"][0]["moved_to"].as_str().unwrap();
        let texts = |messages: &Value| -> Vec<Value> {
            messages.as_array().unwrap().iter().map(|row| row["text"].clone()).collect()
        };
        assert_eq!(texts(&json(&["show", now])["messages"]), texts(&shown), "it shows what it showed");
        for gone in [trunk, fork] {
            assert_eq!(pod(world, url, &["show", gone, "--json"]).json_error()["error"]["code"], 3);
        }
        assert_eq!(listed(world, url, &["--kind", "all"])["total"], 2);
        pod(world, url, &["verify", "--deep"]).ok();
    });
}

#[test]
fn what_is_in_the_trash_is_taken_out_by_its_title() {
    on_every_backend(|world, url| {
        let trunk = &session_id("trunk");
        let title = "Why is the import slow?";
        let error = pod(world, url, &["undo", title, "--json"]).json_error();
        assert_eq!(error["error"]["kind"], "not_found", "nothing of this title is in the trash");
        pod(world, url, &["rm", title, "--yes"]).ok();
        let error = pod(world, url, &["show", title, "--json"]).json_error();
        assert_eq!(error["error"]["kind"], "not_found");
        assert!(error["error"]["hint"].as_str().unwrap().contains("--trashed all"), "{error}");
        let back = pod(world, url, &["undo", title, "--json"]).json();
        assert_eq!(
            (&back["sessions"][0]["session_id"], &back["sessions"][0]["trashed"]),
            (&json!(trunk), &json!(false))
        );
        pod(world, url, &["show", title]).ok();
    });
}

#[test]
fn people_are_told_what_was_done() {
    let world = fixture::world();
    let (trunk, fork) = (&session_id("trunk"), &session_id("fork"));
    let runs = [
        world.pod(&["rename", trunk, "Mine"]),
        world.pod(&["tag", trunk, fork, "--add", "two words"]),
        world.pod(&["pin", trunk]),
        world.pod(&["archive", trunk]),
        world.pod(&["rm", trunk, "--dry-run"]),
        world.pod(&["rm", trunk, "--yes"]),
        world.pod_at_width(100, &["list", "--trashed", "all", "--archived", "all", "--kind", "all"]),
        world.pod(&["list"]),
        world.pod(&["undo", trunk]),
        world.pod(&["undo", trunk]),
        world.pod(&["rm", trunk, "--purge"]),
        world.pod(&["rm", trunk, "--purge", "--yes"]),
        world.pod(&["rm", trunk, "--purge", "--detach", "--dry-run"]),
        world.pod(&["rm", trunk, "--purge", "--detach", "--yes"]),
    ];
    let told: Vec<String> = runs.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_not_known_or_not_clear_changes_nothing() {
    let world = fixture::world();
    let trunk = &session_id("trunk");
    let before = world.pod(&["list", "--json", "--kind", "all", "--archived", "all"]).ok();
    // The ids of the fixture begin alike.
    let common = &trunk[..8];
    for command in [
        &["rename", "nobody", "x"][..],
        &["tag", trunk, "nobody", "--add", "x"],
        &["pin", trunk, "nobody"],
        &["archive", trunk, "nobody"],
        &["rm", trunk, "nobody", "--yes"],
        &["rm", trunk, "nobody", "--purge", "--yes"],
        &["undo", "nobody"],
    ] {
        let error = world.pod(&[command, &["--json"]].concat()).json_error();
        assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(3), &json!("not_found")), "{command:?}");
    }
    let error = world.pod(&["rm", common, "--yes", "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(3), &json!("ambiguous")));
    assert!(error["error"]["candidates"].as_array().unwrap().len() > 1);
    let error = world.pod(&["undo", trunk, "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(1), &json!("not_trashed")));
    for destructive in [&["rm", trunk][..], &["rm", trunk, "--purge", "--detach"]] {
        let error = world.pod(&[destructive, &["--json"]].concat()).json_error();
        assert_eq!(error["error"]["code"], 2, "nobody can be asked: {error}");
    }
    assert_eq!(world.pod(&["rm", trunk, "--detach", "--yes"]).code, 2, "--detach is part of a purge");
    assert_eq!(world.pod(&["list", "--json", "--kind", "all", "--archived", "all"]).ok(), before);
}

#[test]
fn who_continues_a_conversation_is_named_before_it_is_purged() {
    on_every_backend(|world, url| {
        let error = pod(world, url, &["rm", &session_id("trunk"), "--purge", "--yes", "--json"]).json_error();
        assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(5), &json!("referenced")), "{error}");
        let candidates = error["error"]["candidates"].as_array().unwrap();
        assert_eq!((candidates.len(), &candidates[0]["session_id"]), (1, &json!(session_id("fork"))));
        assert!(error["error"]["hint"].as_str().unwrap().contains("--detach"), "{error}");
        assert_eq!(listed(world, url, &[])["hidden"]["trashed"], 0, "nothing is changed");
        // Together they go.
        pod(world, url, &["rm", &session_id("trunk"), &session_id("fork"), "--purge", "--yes"]).ok();
        pod(world, url, &["verify", "--deep"]).ok();
    });
}

#[test]
fn a_live_conversation_is_not_put_away() {
    on_every_backend(|world, url| {
        let store = open(url, &OpenOptions::at(NOW)).unwrap();
        let lease = |name: &str| {
            let at = place(name);
            store.watch().unwrap().lease(at.session_id, at.segment_id, "an agent", NOW).unwrap()
        };
        // What it started is put away with it, and what continues it would be written anew.
        for live in ["trunk", "helper", "fork"] {
            let _lease = lease(live);
            for how in [&["--yes"][..], &["--dry-run"], &["--purge", "--detach", "--yes"]] {
                let run = pod(world, url, &[&["rm", &session_id("trunk"), "--json"], how].concat());
                if live == "fork" && !how.contains(&"--purge") {
                    continue;
                }
                let error = run.json_error();
                assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(5), &json!("live")), "{error}");
                assert!(error["error"]["message"].as_str().unwrap().contains("an agent"), "{error}");
            }
            // What is said about it disturbs nobody.
            pod(world, url, &["rename", &session_id(live), "Busy"]).ok();
        }
    });
}

#[test]
fn what_was_purged_is_not_imported_again() {
    let world = World::new();
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/conversations");
    world.pod(&["import", samples]).ok();
    let first = world.pod(&["list", "--json"]).json()["sessions"][0]["session_id"].as_str().unwrap().to_owned();
    world.pod(&["rm", &first, "--purge", "--detach", "--yes"]).ok();
    let report = world.pod(&["import", samples, "--json"]).json();
    assert!(report["removed"].as_u64().unwrap() > 0, "{report}");
    assert_eq!((&report["imported"], &report["entries"]), (&json!(0), &json!(0)), "{report}");
}

#[test]
fn a_damaged_conversation_can_be_put_away() {
    let world = fixture::world();
    let log = world.usual_store().join(session_id("old")).join(format!("{}.jsonl", fixture::segment_id("old")));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let old = &session_id("old");
    world.pod(&["rm", old, "--yes"]).ok();
    world.pod(&["undo", old]).ok();
    world.pod(&["rm", old, "--purge", "--yes"]).ok();
    world.pod(&["verify"]).ok();
}
