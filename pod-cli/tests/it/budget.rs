//! `pod budget`, and what budgets do to `pod --session`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixture;
use crate::hand_off::{CONVERSATIONS, Desk};
use crate::harness::World;
use crate::pick::Person;

/// After the example conversations were held.
const EVENING: &str = "2026-11-21T18:00:00Z";

/// A world with the example conversations, in a store of this kind.
fn examples(scheme: &str) -> World {
    let world = World::new().with("POD_NOW", EVENING);
    let url = format!("{scheme}:{}", world.path().join("the-store").display());
    let world = world.with("POD_STORE", &url);
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conversations");
    world.pod(&["import", folder.to_str().unwrap()]).ok();
    world
}

fn listed(world: &World) -> Vec<Value> {
    world.pod(&["budget", "list", "--json"]).json()["budgets"].as_array().unwrap().clone()
}

/// The cost that `pod usage` tells of a folder and all below it, where all of it is known.
fn cost_of(world: &World, below: &str) -> Vec<(String, Value)> {
    let made = world.pod(&["usage", "--by", "project", "--json"]).json();
    let groups = made["groups"].as_array().unwrap().iter();
    let inside = groups.filter(|group| group["key"].as_str().unwrap().starts_with(below));
    inside.map(|group| (group["key"].as_str().unwrap().to_owned(), group["cost_usd"].clone())).collect()
}

#[test]
fn a_budget_counts_what_conversations_of_its_folder_cost_in_its_time() {
    for scheme in ["fs", "sqlite"] {
        let world = examples(scheme);
        let set = world.pod(&["budget", "set", "--project", "/home/dev", "--amount", "20", "--per", "total", "--json"]);
        let set = set.json()["budgets"][0].clone();
        let requests = world.pod(&["usage", "--json"]).json()["total"]["requests"].clone();
        assert!(requests.as_u64() > Some(20));
        assert!(!cost_of(&world, "/home/dev").is_empty());
        assert_ne!(set["spent_usd"], "0", "{scheme}: {set}");
        assert_eq!(listed(&world), std::slice::from_ref(&set), "{scheme}: asking again changes nothing");
        // A conversation that goes on elsewhere, and one that is imported again, cost nothing more.
        let listed_sessions = world.pod(&["list", "--json"]).json();
        let id = listed_sessions["sessions"][0]["session_id"].as_str().unwrap().to_owned();
        world.pod(&["fork", &id, "--new-session"]).ok();
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conversations");
        world.pod(&["import", folder.to_str().unwrap()]).ok();
        assert_eq!(listed(&world), std::slice::from_ref(&set), "{scheme}");
        // A day on which nothing was said, and one on which all was.
        world
            .pod(&["budget", "set", "--project", "/home/dev", "--amount", "0.01", "--per", "month", "--tz", "UTC"])
            .ok();
        let budgets = listed(&world);
        assert_eq!((&budgets[0]["per"], &budgets[0]["spent_usd"]), (&"month".into(), &set["spent_usd"]), "{scheme}");
        let later = world.with("POD_NOW", "2026-12-01T00:00:00Z");
        let budgets = listed(&later);
        assert_eq!((&budgets[0]["spent_usd"], &budgets[0]["start"]), (&"0".into(), &"2026-12-01T00:00:00Z".into()));
        assert_eq!(budgets[1]["spent_usd"], set["spent_usd"], "{scheme}");
        assert_eq!(
            later.pod(&["budget", "list", "--project", "/srv", "--json"]).json()["budgets"],
            Value::Array(vec![])
        );
    }
}

#[test]
fn what_is_purged_before_a_budget_was_asked_is_counted_by_it() {
    for scheme in ["fs", "sqlite"] {
        let spent = |is_purged: bool| {
            let world = World::new().with("POD_NOW", EVENING);
            let url = format!("{scheme}:{}", world.path().join("the-store").display());
            let world = world.with("POD_STORE", &url);
            let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conversations");
            world.pod(&["import", folder.join("claude").to_str().unwrap()]).ok();
            world.pod(&["budget", "set", "--project", "/", "--amount", "20", "--per", "total"]).ok();
            let before = listed(&world)[0]["spent_usd"].clone();
            world.pod(&["import", folder.join("pi").to_str().unwrap()]).ok();
            if is_purged {
                let pi =
                    || world.pod(&["list", "--json", "--agent", "pi"]).json()["sessions"].as_array().unwrap().clone();
                let ids: Vec<String> = pi().iter().map(|row| row["session_id"].as_str().unwrap().to_owned()).collect();
                let mut purge = vec!["rm", "--purge", "--yes", "--detach", "--no-refresh"];
                purge.extend(ids.iter().map(String::as_str));
                world.pod(&purge).ok();
                assert!(!ids.is_empty() && pi().is_empty());
            }
            let after = listed(&world)[0]["spent_usd"].clone();
            assert_ne!(after, before, "{scheme}");
            after
        };
        assert_eq!(spent(true), spent(false), "{scheme}");
    }
}

#[test]
fn a_folder_may_be_named_from_where_one_is() {
    let world = World::new().with("POD_NOW", EVENING);
    world
        .pod(&["import", Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conversations").to_str().unwrap()])
        .ok();
    fs::create_dir_all(world.path().join("project/src")).unwrap();
    let set = ["budget", "set", "--amount", "2", "--per", "day", "--json", "--project"];
    let project = "[HOME]/project";
    for (named, meant) in
        [("project/src/..", project), ("project/./src/../..", "[HOME]"), ("project/..//project", project)]
    {
        let told = world.pod(&[&set[..], &[named]].concat()).json();
        assert_eq!(told["budgets"][0]["project"], meant, "{named}");
    }
    // Above a symbolic link is what is above its target.
    std::os::unix::fs::symlink(world.path().join("project/src"), world.path().join("link")).unwrap();
    let told = world.pod(&[&set[..], &["link/.."]].concat()).json();
    assert_eq!(told["budgets"][0]["project"], project);
}

/// What was spent stays spent, also for a budget that is set when the conversation is gone.
#[test]
fn what_was_purged_counts_in_a_budget_that_is_set_later() {
    for scheme in ["fs", "sqlite"] {
        let world = examples(scheme);
        let set = ["budget", "set", "--project", "/home/dev", "--amount", "20", "--json"];
        let before = world.pod(&[&set[..], &["--per", "total"]].concat()).json()["budgets"][0]["spent_usd"].clone();
        // With a conversation go those of its agents' own, so that the list is asked again.
        let first = || {
            let page = world.pod(&["list", "--json", "--kind", "all", "--archived", "all"]).json();
            page["sessions"][0]["session_id"].as_str().map(str::to_owned)
        };
        while let Some(id) = first() {
            world.pod(&["rm", &id, "--purge", "--detach", "--yes"]).ok();
        }
        // Also where the index is a new one.
        for index in ["the-store/index.db", "the-store.index"] {
            let _ = fs::remove_file(world.path().join(index));
        }
        let month = world.pod(&[&set[..], &["--per", "month", "--tz", "UTC"]].concat()).json();
        assert_eq!(month["budgets"][0]["spent_usd"], before, "{scheme}");
    }
}

#[test]
fn the_forms_for_programs_and_for_people() {
    let world = examples("fs");
    world
        .pod(&[
            "budget",
            "set",
            "--project",
            "/home/dev",
            "--amount",
            "20.50",
            "--per",
            "month",
            "--tz",
            "Europe/Berlin",
        ])
        .ok();
    world.pod(&["budget", "set", "--project", "/home/dev/src/acme-api", "--amount", "0.5", "--per", "week"]).ok();
    world.pod(&["budget", "set", "--amount", "3", "--per", "total"]).ok();
    let here = world.path().to_str().unwrap();
    let json = serde_json::to_string_pretty(&listed(&world)).unwrap().replace(here, "[HOME]");
    insta::assert_snapshot!("budget_json", json);
    for cells in [140, 80, 40] {
        insta::assert_snapshot!(format!("budget_table_{cells}"), world.pod_at_width(cells, &["budget", "list"]));
    }
    let unasked = world.pod(&["budget", "rm"]);
    assert!(unasked.code == 2 && unasked.stderr.contains("$3.00 in total away from"), "{unasked}");
    insta::assert_snapshot!("budget_removed_dry_run", world.pod(&["budget", "rm", "--dry-run"]));
    assert_eq!(listed(&world).len(), 3, "nothing was taken away");
    insta::assert_snapshot!("budget_removed", world.pod(&["budget", "rm", "--yes"]));
    let removed = world.pod(&["budget", "rm", "--project", "/home/dev", "--per", "month", "--yes", "--json"]).json();
    insta::assert_json_snapshot!("budget_removed_json", removed);
    assert_eq!(listed(&world).len(), 1);
}

#[test]
fn amounts_zones_and_folders_that_make_no_sense_are_refused_with_what_does() {
    let world = fixture::world();
    for (amount, said) in [
        ("0", "it is nothing"),
        ("-5", "less than nothing"),
        ("$5", "a number of US dollars"),
        ("5e3", "a number of US dollars"),
        ("1.2345678901", "more than 9 decimals"),
        ("99999999999", "more than can be counted"),
    ] {
        let run = world.pod(&["budget", "set", "--amount", amount, "--per", "day"]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(said) && run.stderr.contains("hint: "), "{run}");
    }
    let zone = world.pod(&["budget", "set", "--amount", "5", "--per", "day", "--tz", "Middle/Earth"]);
    assert_eq!(zone.code, 2, "{zone}");
    for arguments in
        [&["set", "--amount", "5"][..], &["set", "--per", "day"], &["set", "--per", "year", "--amount", "1"], &[]]
    {
        let run = world.pod(&[&["budget"], arguments].concat());
        assert_eq!(run.code, 2, "{run}");
    }
    let none = world.pod(&["budget", "rm"]);
    assert_eq!(none.code, 3, "{none}");
    assert!(world.pod(&["budget", "list"]).stderr.contains("no budget is set"));
    assert_eq!(World::new().pod(&["budget", "list", "--json"]).json()["budgets"], Value::Array(vec![]));
    assert_eq!(World::new().pod(&["budget", "set", "--amount", "5", "--per", "day"]).code, 3, "there is no store");
}

#[test]
fn a_list_is_made_also_where_nothing_can_be_written() {
    let world = examples("fs");
    world.pod(&["budget", "set", "--project", "/home/dev", "--amount", "20", "--per", "total"]).ok();
    let budgets = listed(&world);
    // Somebody keeps the ledger longer than anybody waits.
    let lock = fs::File::open(world.path().join("the-store/ledger/LOCK")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let run = world.pod(&["budget", "list"]);
    assert!(run.code == 0 && run.stderr.contains("cannot be written now"), "{run}");
    assert_eq!(listed(&world), budgets);
}

/// A desk whose Claude Code costs `tokens` of output at 25 dollars a million for each turn.
fn desk(tokens: u64) -> Desk {
    let desk = Desk::new();
    fs::write(desk.world.path().join("model"), "claude-opus-4-5").unwrap();
    fs::write(desk.world.path().join("output"), tokens.to_string()).unwrap();
    desk
}

/// What of a folder's budget for all time is spent, reserved and left, in cents.
fn told(desk: &Desk) -> [i64; 3] {
    let listed = listed(&desk.world).remove(0);
    ["spent_usd", "reserved_usd", "left_usd"].map(|field| {
        let text = listed[field].as_str().unwrap();
        let dollars: f64 = text.parse().unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "cents of a few dollars")]
        let cents = (dollars * 100.0).round() as i64;
        cents
    })
}

/// Sets a budget for all time that leaves so many cents.
fn leave(desk: &Desk, cents: i64) {
    let project = desk.project();
    let set = |amount: &str| {
        let project = project.to_str().unwrap();
        desk.world.pod(&["budget", "set", "--project", project, "--amount", amount, "--per", "total"]).ok();
    };
    set("1000");
    let spent = told(desk)[0];
    set(&format!("{}.{:02}", (spent + cents) / 100, (spent + cents) % 100));
}

#[test]
fn an_agent_is_not_started_when_its_budget_is_spent() {
    let desk = desk(40_000);
    let (_, id, _) = CONVERSATIONS[0];
    leave(&desk, 150);
    let before = desk.said(id).len();
    // A turn costs a dollar.
    let (code, screen) = desk.resume(&[id]);
    assert_eq!(code, Some(0), "{screen}");
    let [spent, reserved, left] = told(&desk);
    assert_eq!((reserved, left), (0, 50), "{spent} is spent");
    let (code, screen) = desk.resume(&[id]);
    assert_eq!(code, Some(0), "{screen}: what is left is enough to begin");
    assert_eq!(told(&desk)[2], -50);
    assert!(screen.contains("warning: ") && screen.contains("of the budget of $"), "{screen}");
    let (code, screen) = desk.resume(&[id]);
    assert_eq!(code, Some(7), "{screen}");
    assert!(screen.contains("is spent: $") && screen.contains("pod budget"), "{screen}");
    assert_eq!(desk.started().len(), 2, "it was not started");
    assert_eq!(desk.said(id).len(), before + 4);
    // With more it goes on.
    leave(&desk, 500);
    assert_eq!(desk.resume(&[id]).0, Some(0));
    assert_eq!(told(&desk)[1..], [0, 400]);
}

#[test]
fn what_an_agent_reserved_is_given_back_when_pod_is_killed_and_what_it_cost_counts() {
    let desk = desk(40_000);
    let (_, id, _) = CONVERSATIONS[0];
    leave(&desk, 1000);
    desk.mode("wait");
    let mut person = Person::watch_all(&desk.world, 120, &["--session", id]);
    person.until_seen("claude is ready");
    let [_, reserved, left] = told(&desk);
    assert!(reserved > 0 && reserved + left == 1000, "{reserved} reserved, {left} left");
    person.kill();
    assert_eq!(told(&desk)[1..], [0, 1000]);
    fs::write(desk.world.path().join("go"), "").unwrap();
    let file = desk.world.path().join("started");
    assert!(file.exists());
    for _ in 0..600 {
        if told(&desk)[2] == 900 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("what the agent wrote by itself never counted: {:?}", told(&desk));
}
