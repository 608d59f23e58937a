//! The ledger is looked after like the sessions: verified, told of, and carried into another store.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use session_store::open_ledger;
use store_core::TransactionId;
use store_core::ledger::{Account, AccountId, AccountKind, Asset, BookName, Clock, Draft, Ledger, Posting};

use crate::fixture;
use crate::harness::{NOW, World};

fn book() -> BookName {
    "home".parse().unwrap()
}

fn fill(ledger: &dyn Ledger) {
    let usd = Asset { id: "USD".parse().unwrap(), precision: 2 };
    ledger.register_asset(&usd).unwrap();
    let account = |path| AccountId::new(&book(), path).unwrap();
    for path in ["a", "b"] {
        let (id, asset) = (account(path), usd.id.clone());
        ledger.open_account(&Account { id, asset, kind: AccountKind::Clearing, min_balance: None }).unwrap();
    }
    for n in 1..=4 {
        let postings = vec![Posting::debit(account("a"), 5), Posting::credit(account("b"), 5)];
        ledger.commit(&book(), &Draft::new(TransactionId::derive(n, b"t"), format!("key {n}"), postings)).unwrap();
    }
}

/// A world whose usual store has a ledger of two books and seven events.
fn world() -> World {
    let world = fixture::world();
    let url = format!("fs:{}", world.usual_store().display());
    let clock: Clock = Arc::new(|| NOW * 1000);
    let ledger = open_ledger(&url, &clock, Duration::ZERO).unwrap();
    fill(&*ledger);
    ledger.shutdown().unwrap();
    world
}

/// Makes an event another one, without its checksum.
fn damage(world: &World) {
    let folder = world.usual_store().join("ledger").join("home");
    let log = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).find(|path| path.is_file()).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"debit\":5", "\"debit\":6", 1)).unwrap();
}

#[test]
fn a_verification_of_the_whole_store_proves_its_ledger() {
    let world = world();
    let report = world.pod(&["verify", "--json"]).json();
    assert_eq!(report["ok"], true);
    assert_eq!(report["ledger"], json!({"ok": true, "books": 2, "events": 7, "transactions": 4, "damage": []}));
    insta::assert_snapshot!("verified", world.pod(&["verify"]));
    damage(&world);
    let run = world.pod(&["verify", "--json"]);
    assert_eq!(run.code, 4, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["damage"], json!([]), "the conversations are whole");
    let found = &report["ledger"]["damage"][0];
    assert_eq!((&report["ok"], &found["book"], &found["kind"]), (&json!(false), &json!("home"), &json!("event")));
    let run = world.pod(&["verify"]);
    assert!(run.code == 4 && run.stdout.contains("the book home of the ledger"), "{run}");
    let run = world.pod(&["doctor"]);
    assert!(run.stdout.contains("problem  ledger"), "{run}");
}

#[test]
fn a_store_goes_over_with_its_ledger() {
    let world = world();
    let dry = world.pod(&["migrate", "--to", "sqlite:to.db", "--dry-run", "--json"]).json();
    assert_eq!((&dry["ledger"]["new_events"], &dry["ledger"]["dry_run"]), (&json!(7), &json!(true)));
    insta::assert_snapshot!("migrated", world.pod(&["migrate", "--to", "sqlite:to.db"]));
    let report = world.pod(&["verify", "--json", "--store", "sqlite:to.db"]).json();
    assert_eq!(report["ledger"], json!({"ok": true, "books": 2, "events": 7, "transactions": 4, "damage": []}));
    let again = world.pod(&["migrate", "--to", "sqlite:to.db", "--json"]).json();
    assert_eq!((&again["ledger"]["already"], &again["ledger"]["new_events"]), (&json!(2), &json!(0)));
    let back = world.pod(&["migrate", "--to", "fs:back", "--store", "sqlite:to.db", "--json"]).json();
    assert_eq!((&back["ledger"]["migrated"], &back["ledger"]["verified"]), (&json!(2), &json!(true)));
    let log = |root: &std::path::Path| {
        let folder = root.join("ledger").join("home");
        let log = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).find(|path| path.is_file()).unwrap();
        // The texts are the same; how they were cut into calls is not.
        fs::read_to_string(log).unwrap().matches("\"kind\":\"transaction\"").count()
    };
    assert_eq!(log(&world.path().join("back")), log(&world.usual_store()));
    insta::assert_snapshot!("doctor_line", doctor_line(&world));
}

#[test]
fn a_ledger_that_lost_the_names_of_its_books_is_not_taken_for_none() {
    let world = world();
    world.pod(&["migrate", "--to", "sqlite:to.db", "--json"]).json();
    let raw = rusqlite::Connection::open(world.path().join("to.db")).unwrap();
    assert_eq!(raw.execute("DELETE FROM ledger_books", []).unwrap(), 2);
    drop(raw);
    let run = world.pod(&["verify", "--store", "sqlite:to.db"]);
    assert!(run.code == 4 && run.stdout.contains("6 events of home are there"), "{run}");
    assert!(run.stderr.contains("pod repair --ledger"), "{run}");
    let run = world.pod(&["doctor", "--store", "sqlite:to.db"]);
    assert!(run.stdout.contains("problem  ledger"), "{run}");
    let run = world.pod(&["migrate", "--to", "fs:back", "--store", "sqlite:to.db", "--json"]);
    assert_eq!(run.code, 4, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["failed"], &report["ledger"]["failed"]), (&json!(0), &json!(2)));
}

#[test]
fn books_without_the_file_that_makes_them_a_ledger_are_not_taken_for_none() {
    let world = world();
    fs::remove_file(world.usual_store().join("ledger").join("ledger.json")).unwrap();
    let run = world.pod(&["verify"]);
    assert!(run.code == 4 && run.stdout.contains("beside it are books"), "{run}");
    let run = world.pod(&["doctor"]);
    assert!(run.stdout.contains("problem  ledger"), "{run}");
    let run = world.pod(&["migrate", "--to", "fs:to"]);
    assert!(run.code != 0 && run.stdout.contains("migrated"), "what came of the conversations is told: {run}");
    assert!(run.stderr.contains("beside it are books"), "{run}");
}

fn doctor_line(world: &World) -> String {
    let run = world.pod(&["doctor"]);
    run.stdout.lines().find(|line| line.contains("ledger")).unwrap_or_default().to_owned()
}
