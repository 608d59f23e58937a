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

/// A date is one of the zone whose days are told: a day's own bounds hold just what the day is told to have.
#[test]
fn the_bounds_of_a_day_are_those_of_its_zone() {
    let world = world_of(&["claude", "codex", "pi"]);
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let days = usage(&world, &["--by", "day", "--tz", zone]);
        let days = days["groups"].as_array().unwrap();
        assert!(!days.is_empty());
        for day in days {
            let since: jiff::civil::Date = day["key"].as_str().unwrap().parse().unwrap();
            let [since, until] = [since, since.tomorrow().unwrap()].map(|date| date.to_string());
            let bounds = ["--since", &since, "--until", &until];
            let told = usage(&world, &[&["--by", "day", "--tz", zone], &bounds[..]].concat());
            assert_eq!(told["groups"].as_array().unwrap().as_slice(), std::slice::from_ref(day), "{zone}");
        }
    }
}

#[test]
fn mistakes_are_told() {
    let world = World::new();
    for arguments in [&["--tz", "Middle/Earth"][..], &["--since", "soon"], &["--by", "mood"], &["--csv", "--json"]] {
        assert_eq!(world.pod(&[&["usage"], arguments].concat()).code, 2, "{arguments:?}");
    }
}

/// The store of a world on each backend, filled with the examples.
fn on_both(check: impl Fn(&World)) {
    for backend in ["fs", "sqlite"] {
        let world = World::new().with("POD_NOW", EVENING);
        let url = format!("{backend}:{}", world.path().join("store").display());
        let world = world.with("POD_STORE", &url);
        import(&world, &["claude", "codex", "pi"]);
        check(&world);
    }
}

/// What the usage books hold of an asset, over all accounts.
fn held(world: &World, asset: &str) -> f64 {
    let listed = world.pod(&["ledger", "accounts", "--json"]).json();
    let accounts = listed["books"].as_array().unwrap().iter().flat_map(|book| book["accounts"].as_array().unwrap());
    let used = accounts.filter(|account| account["type"] == "expense" && account["asset"] == asset);
    used.map(|account| account["balance"].as_str().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn the_books_are_what_the_report_is_and_a_second_look_posts_nothing() {
    on_both(|world| {
        let total = usage(world, &[])["total"].clone();
        let as_of = usage(world, &["--as-of", EVENING]);
        assert_eq!(as_of["total"], total, "all of it was posted at that time");
        assert_eq!(usage(world, &["--as-of", "2026-11-21T17:59:59Z"])["total"]["requests"], 0);
        for (asset, field) in
            [("requests", "requests"), ("output_tokens", "output_tokens"), ("input_tokens", "input_tokens")]
        {
            assert!((held(world, asset) - total[field].as_f64().unwrap()).abs() < f64::EPSILON, "{asset}");
        }
        let trial = world.pod(&["ledger", "trial", "--json"]).ok();
        import(world, &["claude"]);
        usage(world, &[]);
        assert_eq!(world.pod(&["ledger", "trial", "--json"]).ok(), trial);
        let rebuilt = world.pod(&["usage", "rebuild", "--json"]).json();
        assert_eq!((&rebuilt["outcome"], &rebuilt["requests"]), (&Value::from("in_step"), &total["requests"]));
    });
}

#[test]
fn two_processes_feed_the_books_at_once_and_nothing_is_there_twice() {
    on_both(|world| {
        let processes: Vec<_> = (0..4)
            .map(|_| world.command(&["usage", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap())
            .collect();
        let told: Vec<Value> =
            processes.into_iter().map(|process| world.finish(&process.wait_with_output().unwrap()).json()).collect();
        assert!(told.iter().all(|other| other == &told[0]), "{told:?}");
        let requests = told[0]["total"]["requests"].as_f64().unwrap();
        assert!((held(world, "requests") - requests).abs() < f64::EPSILON);
        assert_eq!(world.pod(&["usage", "rebuild", "--json"]).json()["outcome"], "in_step");
    });
}

#[test]
fn a_ledger_that_somebody_else_has_keeps_nobody_from_a_report() {
    let world = world_of(&["claude"]);
    let url = format!("fs:{}", world.usual_store().display());
    let clock: store_core::ledger::Clock = std::sync::Arc::new(|| 0);
    let held = session_store::open_ledger(&url, &clock, std::time::Duration::ZERO).unwrap();
    let run = world.pod(&["usage"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    let total = usage(&world, &[])["total"].clone();
    assert!(total["requests"].as_u64() > Some(20));
    assert_eq!(usage(&world, &["--as-of", EVENING])["total"]["requests"], 0, "nothing is posted yet");
    held.shutdown().unwrap();
    assert_eq!(usage(&world, &[])["total"], total);
    assert_eq!(usage(&world, &["--as-of", EVENING])["total"], total);
}

#[test]
fn nothing_is_purged_while_nobody_can_be_told_what_it_cost() {
    let world = world_of(&["claude"]);
    let total = usage(&world_of(&["claude"]), &[])["total"].clone();
    let listed = world.pod(&["list", "--json", "--limit", "1"]).json();
    let id = listed["sessions"][0]["session_id"].as_str().unwrap();
    let url = format!("fs:{}", world.usual_store().display());
    let clock: store_core::ledger::Clock = std::sync::Arc::new(|| 0);
    let held = session_store::open_ledger(&url, &clock, std::time::Duration::ZERO).unwrap();
    let purge = ["rm", id, "--purge", "--yes", "--detach", "--no-refresh"];
    let refused = world.pod(&purge);
    assert_eq!((refused.code, refused.stdout.as_str()), (5, ""), "{refused}");
    assert_eq!(world.pod(&["show", id]).code, 0, "it stands there still");
    held.shutdown().unwrap();
    world.pod(&purge).ok();
    assert_eq!(world.pod(&["show", id]).code, 3);
    assert_eq!(usage(&world, &[])["total"], total);
}

#[test]
fn what_was_purged_was_spent_all_the_same() {
    on_both(|world| {
        let listed = world.pod(&["list", "--json", "--limit", "1", "--agent", "pi"]).json();
        let row = &listed["sessions"][0];
        let id = row["session_id"].as_str().unwrap();
        let rename = world.pod(&["rename", id, "Something else"]);
        assert_eq!(rename.code, 0, "{rename}");
        let other = World::new().with("POD_NOW", EVENING);
        import(&other, &["claude", "codex", "pi"]);
        let total = usage(&other, &[])["total"].clone();
        let purged = world.pod(&["rm", id, "--purge", "--yes", "--detach", "--no-refresh"]);
        assert_eq!(purged.code, 0, "{purged}");
        assert_eq!(usage(world, &[])["total"], total, "nobody had asked before");
        let rebuilt = world.pod(&["usage", "rebuild", "--json"]).json();
        assert_eq!(rebuilt["outcome"], "in_step", "{rebuilt}");
        assert!(rebuilt["kept"].as_u64() > Some(0), "{rebuilt}");
    });
}

#[test]
fn what_inherits_is_told_beside_what_owns() {
    let world = world_of(&["claude"]);
    let forked = world.pod(&["list", "--json"]).json();
    let id = forked["sessions"][0]["session_id"].as_str().unwrap();
    let fork = world.pod(&["fork", id, "--new-session", "--json"]).json();
    let made = usage(&world, &["--inherited"]);
    assert_eq!(made["total"], usage(&world, &["--by", "session"])["total"], "nothing counts twice");
    let group = |key: &Value| made["groups"].as_array().unwrap().iter().find(|group| group["key"] == *key).cloned();
    let (of, by) = (group(&forked["sessions"][0]["session_id"]).unwrap(), group(&fork["session_id"]).unwrap());
    assert_eq!(by["requests"], 0);
    assert_eq!(by["inherited"]["total_tokens"], of["with_inherited"]["total_tokens"]);
    assert_eq!(by["with_inherited"], by["inherited"]);
    assert_eq!(world.pod(&["usage", "--inherited", "--by", "day"]).code, 2);
    let table = world.pod_at_width(60, &["usage", "--inherited"]);
    assert!(table.stdout.lines().all(|line| line.chars().count() <= 60), "{table}");
}

#[test]
fn lists_tell_the_cost_that_the_report_tells() {
    let world = world_of(&["claude", "codex", "pi"]);
    let report = usage(&world, &["--by", "session"]);
    let listed = world.pod(&["list", "--json", "--kind", "all"]).json();
    let mut known = 0;
    for row in listed["sessions"].as_array().unwrap() {
        let group = report["groups"].as_array().unwrap().iter().find(|group| group["key"] == row["session_id"]);
        assert_eq!(row["cost_usd"], group.map_or(Value::Null, |group| group["cost_usd"].clone()), "{row}");
        known += u64::from(row["cost_usd"].is_string());
    }
    assert!(known > 10, "{known}");
}

#[test]
fn every_record_of_a_conversation_is_explained() {
    let world = world_of(&["claude"]);
    let listed = world.pod(&["list", "--json", "--kind", "all"]).json();
    let report = usage(&world, &["--by", "session"]);
    let mut shown = false;
    for row in listed["sessions"].as_array().unwrap() {
        let id = row["session_id"].as_str().unwrap();
        let told = world.pod(&["usage", "explain", id, "--json"]).json();
        let group = report["groups"].as_array().unwrap().iter().find(|group| group["key"] == id);
        let requests = group.map_or(0, |group| group["requests"].as_u64().unwrap());
        assert_eq!(told["total"]["requests"], requests);
        assert_eq!(told["total"]["cost_usd"], group.map_or(Value::Null, |group| group["cost_usd"].clone()));
        assert_eq!(told["inherited"]["total_tokens"], row["usage_inherited"]["total_tokens"]);
        let has = |status: &str| told["counts"][status].as_u64() > Some(0);
        if !shown && has("counted") && (has("inherited") || has("duplicate")) {
            shown = true;
            insta::assert_json_snapshot!("usage_explain_json", told);
            insta::assert_snapshot!("usage_explain_table", world.pod_at_width(120, &["usage", "explain", id]));
            insta::assert_snapshot!("usage_explain_narrow", world.pod_at_width(50, &["usage", "explain", id]));
        }
    }
    assert!(shown, "the examples have such a conversation");
    assert_eq!(world.pod(&["usage", "explain", "nothing-like-it"]).code, 3);
}

#[test]
fn books_that_differ_are_shown_first_and_then_set_right() {
    on_both(|world| {
        usage(world, &[]);
        // As a feed by other prices would have it.
        let config = world.path().join(".config/pod/config.toml");
        std::fs::create_dir_all(config.parent().unwrap()).unwrap();
        std::fs::write(&config, "[prices.\"gpt-5.1-codex\"]\ninput = 1000\noutput = 1000\n").unwrap();
        let dry = world.pod(&["usage", "rebuild", "--dry-run", "--json"]).json();
        assert_eq!((&dry["outcome"], &dry["posted"]), (&Value::from("would_post"), &Value::Null), "{dry}");
        assert!(dry["differences"].as_array().unwrap().iter().all(|one| one["books"] != one["logs"]), "{dry}");
        let people = world.pod(&["usage", "rebuild", "--dry-run"]);
        assert!(people.stderr.contains("nothing was changed") && people.stdout.contains("the books say"), "{people}");
        let total = usage(world, &[])["total"].clone();
        assert_eq!(world.pod(&["usage", "rebuild", "--json"]).json()["outcome"], "in_step");
        let listed = total["listed_usd"].as_str().unwrap().parse::<f64>().unwrap();
        assert!((held(world, "usd") - listed).abs() < 1e-6, "{total}");
        std::fs::remove_file(&config).unwrap();
    });
}

#[test]
fn prices_of_ones_own_go_before_the_list() {
    let world = world_of(&["pi"]);
    let before = usage(&world, &[])["total"].clone();
    assert!(before["listed_usd"].is_null() && before["unpriced"].as_u64() > Some(0), "{before}");
    let config = world.path().join(".config/pod/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let said = "[prices.pi-large]\ninput = 1\noutput = \"2\"\ncache_read = 0.1\n\n[[prices.pi-small]]\nfrom = \"2020-01-01\"\ninput = 1\noutput = 1\n";
    std::fs::write(&config, said).unwrap();
    let after = usage(&world, &[])["total"].clone();
    assert_eq!(after["unpriced"], 0, "{after}");
    assert_eq!(after["reported_usd"], before["reported_usd"], "what the agent said is kept beside it");
    assert_eq!(after["cost_usd"], after["listed_usd"]);
    assert_eq!(world.pod(&["config", "get", "prices.pi-large.cache_read"]).ok(), "0.1\n");
    world.pod(&["config", "set", "prices.pi-large.output", "2.50"]).ok();
    assert!(std::fs::read_to_string(&config).unwrap().contains("output = \"2.50\""));
    let wrong = world.pod(&["config", "set", "prices.pi-large.output", "cheap"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("such as 3 or 0.25, not \"cheap\""), "{wrong}");
    std::fs::write(&config, "[prices.pi-large]\ninput = 1\n").unwrap();
    let wrong = world.pod(&["usage"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("missing field `output`"), "{wrong}");
}

#[test]
fn what_was_rolled_back_was_spent_all_the_same() {
    use store_core::{LlmUsage, LogEntry};

    let world = crate::fixture::world();
    let url = format!("fs:{}", world.usual_store().display());
    let place = crate::fixture::place("helper");
    let id = place.segment_id.to_string();
    world.pod(&["checkpoint", &id]).ok();
    let before = usage(&world, &[])["total"]["requests"].as_u64().unwrap();
    {
        let store = session_store::open(&url, &session_store::OpenOptions::at(crate::harness::NOW)).unwrap();
        let used = LlmUsage {
            ts: crate::harness::NOW,
            request_id: Some("late".to_owned()),
            input_total_tokens: 10,
            output_tokens: 1,
            ..LlmUsage::default()
        };
        session_store::append_entry(&*store, place, LogEntry::LlmUsage(used)).unwrap();
    }
    world.pod(&["rollback", &id, "--to", "1", "--yes"]).ok();
    let rebuilt = world.pod(&["usage", "rebuild", "--json"]).json();
    assert_eq!((&rebuilt["outcome"], &rebuilt["kept"]), (&Value::from("in_step"), &Value::from(1)), "{rebuilt}");
    assert_eq!(usage(&world, &[])["total"]["requests"], before + 1);
}

#[test]
fn books_that_somebody_changed_are_set_right() {
    use store_core::ledger::{AccountId, Clock, Draft, Posting};

    on_both(|world| {
        let url = world
            .command(&[])
            .get_envs()
            .find_map(|(name, value)| (name == "POD_STORE").then(|| value.unwrap().to_str().unwrap().to_owned()));
        let total = usage(world, &[])["total"].clone();
        let listed = world.pod(&["ledger", "accounts", "--json"]).json();
        let account = &listed["books"][0]["accounts"][0]["account"];
        let provider: AccountId = account.as_str().unwrap().parse().unwrap();
        assert!(provider.path().starts_with("provider:"));
        let mine = listed["books"][0]["accounts"].as_array().unwrap();
        let asset = provider.path().trim_start_matches("provider:");
        let used = mine.iter().find(|other| other["type"] == "expense" && other["asset"] == asset).unwrap();
        let used: AccountId = used["account"].as_str().unwrap().parse().unwrap();
        let clock: Clock = std::sync::Arc::new(|| 0);
        let ledger = session_store::open_ledger(&url.unwrap(), &clock, std::time::Duration::ZERO).unwrap();
        let request = world.pod(&["usage", "explain", used.path().split(':').nth(2).unwrap(), "--json"]).json();
        let request = request["records"].as_array().unwrap().iter().find(|record| record["status"][0] == "counted");
        let request = request.unwrap()["request"].as_str().unwrap().to_owned();
        let id = store_core::TransactionId::derive(0, format!("usage\n{request}\n2").as_bytes());
        let postings = vec![Posting::debit(used.clone(), 5), Posting::credit(provider, 5)];
        ledger.commit(used.book(), &Draft::new(id, format!("{request}#2"), postings)).unwrap();
        ledger.shutdown().unwrap();
        let refused = world.pod(&["usage", "rebuild"]);
        assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{refused}");
        let done = world.pod(&["usage", "rebuild", "--yes", "--json"]).json();
        assert_eq!(
            (&done["outcome"], &done["posted"]["adjusted"]),
            (&Value::from("posted"), &Value::from(1)),
            "{done}"
        );
        assert_eq!(done["unexplained"], Value::Array(Vec::new()));
        assert_eq!(world.pod(&["usage", "rebuild", "--json"]).json()["outcome"], "in_step");
        assert_eq!(usage(world, &[])["total"], total);
        assert_eq!(usage(world, &["--as-of", EVENING])["total"], total);
    });
}
