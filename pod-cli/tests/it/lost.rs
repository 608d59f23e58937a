//! What somebody took away from a store's folder: told, not forgotten by looking, and nothing collected meanwhile.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::fixture::{self, segment_id, session_id};
use crate::harness::World;

fn log(world: &World, name: &str) -> PathBuf {
    world.usual_store().join(session_id(name)).join(format!("{}.jsonl", segment_id(name)))
}

fn look_up(world: &World, name: &str) -> PathBuf {
    let id = segment_id(name);
    world.usual_store().join("by-segment").join(&id[id.len() - 2..]).join(&id)
}

fn without_index(world: &World) {
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(world.usual_store().join(name));
    }
}

#[test]
fn a_log_that_is_gone_is_told_until_it_is_back_whatever_looks_at_the_store() {
    let world = fixture::world();
    let away = world.path().join("away.jsonl");
    fs::rename(log(&world, "old"), &away).unwrap();
    for look in [["list"].as_slice(), &["verify", "--deep"], &["usage"], &["list"]] {
        world.pod(look);
        let run = world.pod(&["verify"]);
        assert!(run.code == 4 && run.stdout.contains("is gone: put it back from a copy"), "after {look:?}: {run}");
        for gc in [["gc", "--yes"], ["gc", "--dry-run"]] {
            let run = world.pod(&gc);
            assert!(run.code == 4 && run.stderr.contains("is gone: put it back from a copy"), "after {look:?}: {run}");
        }
    }
    fs::rename(&away, log(&world, "old")).unwrap();
    assert_eq!(world.pod(&["verify"]).code, 0);
    assert_eq!(world.pod(&["gc", "--yes"]).code, 0);
}

#[test]
fn a_log_that_is_gone_can_be_given_up_by_a_repair() {
    let world = fixture::world();
    fs::remove_file(log(&world, "old")).unwrap();
    let planned = world.pod(&["repair", &session_id("old"), "--dry-run", "--json"]).json();
    let done = world.pod(&["repair", &session_id("old"), "--yes", "--json"]).json();
    assert_eq!((&planned["kept"], &done["kept"]), (&json!(0), &json!(0)), "{done}");
    assert_eq!(planned["lost"], done["lost"]);
    assert_eq!(world.pod(&["verify", "--deep"]).code, 0);
    assert_eq!(world.pod(&["gc", "--yes"]).code, 0);
}

#[test]
fn a_lost_look_up_hides_no_conversation_and_is_made_again() {
    let world = fixture::world();
    let rows = |world: &World| world.pod(&["list", "--json", "--limit", "100"]).json()["sessions"].clone();
    let before = rows(&world);
    fs::remove_file(look_up(&world, "old")).unwrap();
    without_index(&world);
    assert_eq!(rows(&world), before);
    for id in [session_id("old"), segment_id("old")] {
        assert_eq!(world.pod(&["show", &id]).code, 0);
    }
    let run = world.pod(&["doctor"]);
    assert!(run.code != 0 && run.stdout.contains("1 segment not found by id"), "{run}");
    assert_eq!(world.pod(&["verify"]).code, 4);
    let done = world.pod(&["repair", &segment_id("old"), "--yes", "--json"]).json();
    assert_eq!((&done["outcome"], &done["lost"]), (&json!("repaired"), &json!([])), "{done}");
    assert_eq!(world.pod(&["verify", "--deep"]).code, 0);
    assert_eq!(rows(&world), before);

    fs::remove_dir_all(world.usual_store().join("by-segment")).unwrap();
    without_index(&world);
    assert_eq!(rows(&world), before);
    assert_eq!(world.pod(&["show", &segment_id("old")]).code, 0);
}
