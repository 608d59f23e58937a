//! `pod usage`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::World;

/// After the example conversations were held.
const EVENING: &str = "2026-11-21T18:00:00Z";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate stands in the workspace")
        .join("examples/conversations")
}

/// A world into which these folders of the examples were imported, in this order.
fn world_of(folders: &[&str]) -> World {
    let world = World::new().with("POD_NOW", EVENING);
    import(&world, folders);
    world
}

fn import(world: &World, folders: &[&str]) {
    for folder in folders {
        let path = examples().join(folder);
        world.pod(&["import", path.to_str().unwrap()]).ok();
    }
}

fn usage(world: &World, arguments: &[&str]) -> Value {
    world.pod(&[&["usage", "--json"], arguments].concat()).json()
}

/// What the requests of Claude Code's own files used: of each request the largest record.
fn recorded_by_claude() -> (u64, u64) {
    let mut requests: BTreeMap<String, u64> = BTreeMap::new();
    let mut folders = vec![examples().join("claude")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
                let (id, used) = (&record["message"]["id"], &record["message"]["usage"]["output_tokens"]);
                if let (Some(id), Some(used), true) =
                    (id.as_str(), used.as_u64(), record["message"]["model"] != "<synthetic>")
                {
                    let known = requests.entry(id.to_owned()).or_default();
                    *known = used.max(*known);
                }
            }
        }
    }
    (requests.len() as u64, requests.values().sum())
}

#[test]
fn totals_of_an_agent_are_what_its_files_say_of_unique_requests() {
    let made = usage(&world_of(&["claude"]), &["--by", "agent"]);
    let total = &made["total"];
    let (requests, output) = recorded_by_claude();
    assert_eq!((total["requests"].as_u64(), total["output_tokens"].as_u64()), (Some(requests), Some(output)), "{made}");
    assert_eq!(made["groups"][0]["key"], "claude");
}

#[test]
fn no_order_of_imports_no_repetition_and_no_fork_changes_a_total() {
    let first = world_of(&["claude", "codex", "pi"]);
    let told = usage(&first, &["--by", "model"]);
    let other = world_of(&["pi", "codex", "claude"]);
    assert_eq!(usage(&other, &["--by", "model"]), told);
    import(&first, &["codex", "claude"]);
    assert_eq!(usage(&first, &["--by", "model"]), told);
    let listed = first.pod(&["list", "--json"]).json();
    let rows = listed["sessions"].as_array().unwrap();
    for row in rows {
        let id = row["session_id"].as_str().unwrap();
        first.pod(&["fork", id]).ok();
        first.pod(&["fork", id, "--new-session"]).ok();
    }
    assert_eq!(usage(&first, &["--by", "model"]), told);
}

#[test]
fn every_grouping_has_the_same_total_and_sums_up_to_it() {
    let world = world_of(&["claude", "codex", "pi"]);
    let total = usage(&world, &[])["total"].clone();
    assert!(total["requests"].as_u64() > Some(20), "{total}");
    for by in ["day", "week", "month", "block", "session", "model", "agent", "project"] {
        let made = usage(&world, &["--by", by, "--tz", "Asia/Tokyo"]);
        assert_eq!(made["total"], total, "{by}");
        for field in ["requests", "input_tokens", "output_tokens", "total_tokens", "unpriced"] {
            let sum: u64 = made["groups"].as_array().unwrap().iter().map(|group| group[field].as_u64().unwrap()).sum();
            assert_eq!(Some(sum), total[field].as_u64(), "{by}: {field}");
        }
    }
    let listed = world.pod(&["list", "--json", "--kind", "all", "--archived", "all"]).json();
    let rows = listed["sessions"].as_array().unwrap();
    let own: u64 = rows.iter().map(|row| row["usage"]["total_tokens"].as_u64().unwrap()).sum();
    assert_eq!(Some(own), total["total_tokens"].as_u64(), "what lists call a session's own");
}

#[test]
fn the_forms_for_programs_and_for_people() {
    let world = world_of(&["claude", "codex", "pi"]);
    insta::assert_json_snapshot!("usage_json", usage(&world, &["--by", "model"]));
    insta::assert_snapshot!("usage_csv", world.pod(&["usage", "--by", "agent", "--csv"]).ok());
    insta::assert_snapshot!("usage_table", world.pod_at_width(100, &["usage", "--by", "model"]));
}

#[test]
fn what_lies_outside_the_time_is_not_counted() {
    let world = world_of(&["claude"]);
    assert_eq!(usage(&world, &["--since", "2026-11-21T17:59:00Z"])["total"]["requests"], 0);
    assert_eq!(usage(&world, &["--until", "2020-01-01"])["groups"], Value::Array(Vec::new()));
    let empty = world.pod(&["usage", "--until", "2020-01-01"]);
    assert!(empty.stderr.contains("nothing was used"), "{empty}");
}

#[test]
fn mistakes_are_told() {
    let world = World::new();
    for arguments in [&["--tz", "Middle/Earth"][..], &["--since", "soon"], &["--by", "mood"], &["--csv", "--json"]] {
        assert_eq!(world.pod(&[&["usage"], arguments].concat()).code, 2, "{arguments:?}");
    }
}
