//! A damaged ledger is put right where it is: what is told, what is asked, and what works again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use session_store::budget::budget_book;

use crate::harness::{Run, World};

/// After the example conversations were held.
const EVENING: &str = "2026-11-21T18:00:00Z";
const PROJECT: &str = "/home/dev";

/// A world with the example conversations in a store of this kind, whose usage is in the books, and with a budget that counts them.
fn examples(scheme: &str) -> World {
    let world = World::new().with("POD_NOW", EVENING);
    let url = format!("{scheme}:{}", world.path().join("the-store").display());
    let world = world.with("POD_STORE", &url);
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conversations");
    world.pod(&["import", folder.to_str().unwrap()]).ok();
    world.pod(&["usage"]).ok();
    world.pod(&["budget", "set", "--project", PROJECT, "--amount", "20", "--per", "total"]).ok();
    world
}

fn book() -> String {
    budget_book(PROJECT).unwrap().to_string()
}

/// Changes a byte of an event of a book of the ledger, behind everybody's back.
fn damage(world: &World, scheme: &str, book: &str, seq: u64) {
    let store = world.path().join("the-store");
    if scheme == "sqlite" {
        let raw = rusqlite::Connection::open(store).unwrap();
        let sql = "UPDATE ledger_events SET body = replace(body, '\"at\":', '\"au\":') WHERE book = ?1 AND seq = ?2";
        let seq = i64::try_from(seq).unwrap();
        assert_eq!(raw.execute(sql, (book, seq)).unwrap(), 1);
        return;
    }
    let folder = store.join("ledger").join(book);
    let log = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).find(|path| path.is_file()).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    let start = format!("{{\"seq\":{seq},");
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
    let damaged = text.replace(line, &line.replacen("\"at\":", "\"au\":", 1));
    fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&log, damaged).unwrap();
}

fn listed(world: &World) -> Value {
    world.pod(&["budget", "list", "--json"]).json()["budgets"].clone()
}

fn parsed(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

/// The last event of a book.
fn last(world: &World, book: &str) -> u64 {
    let events = world.pod(&["ledger", "events", book, "--json"]).json();
    events["events"].as_array().unwrap().last().unwrap()["seq"].as_u64().unwrap()
}

#[test]
fn a_budget_whose_book_is_damaged_counts_again_after_a_repair() {
    for scheme in ["fs", "sqlite"] {
        let world = examples(scheme);
        let before = listed(&world);
        assert_ne!(before[0]["spent_usd"], "0", "{scheme}");
        let (book, last) = (book(), last(&world, &book()));
        let seq = last - 2;
        damage(&world, scheme, &book, seq);
        // What to do is said by each that meets it.
        let said = format!("pod repair --ledger {book}");
        let run = world.pod(&["ledger", "events", &book]);
        assert!(run.code == 4 && run.stderr.contains(&said), "{scheme}: {run}");
        if scheme == "fs" {
            let run = world.pod(&["budget", "list"]);
            assert!(run.code == 4 && run.stderr.contains(&said), "{scheme}: {run}");
        }
        let run = world.pod(&["verify"]);
        assert!(run.code == 4 && run.stderr.contains("pod repair --ledger --dry-run"), "{scheme}: {run}");
        // A dry run changes nothing, and without a yes nothing is done.
        for _ in 0..2 {
            let dry = world.pod(&["repair", "--ledger", &book, "--dry-run", "--json"]).json();
            let told = &dry["ledger"]["books"][0];
            assert_eq!((&told["outcome"], &told["kept"]), (&json!("would_repair"), &json!(seq - 1)), "{scheme}");
            assert_eq!((&told["lost"]["from"], &told["lost"]["lines"]), (&json!(seq), &json!(3)), "{scheme}");
        }
        let unasked = world.pod(&["repair"]);
        assert!(unasked.code == 2 && unasked.stderr.contains("setting 3 lines aside"), "{scheme}: {unasked}");
        assert_eq!(world.pod(&["verify"]).code, 4, "{scheme}");
        // It is done with the rest of the store, or alone.
        let done = world.pod(&["repair", "--yes", "--json"]).json();
        let told = done["ledger"]["books"].as_array().unwrap().iter().find(|one| one["book"] == *book).unwrap();
        assert_eq!((&told["outcome"], &told["kept"]), (&json!("repaired"), &json!(seq - 1)), "{scheme}");
        assert_eq!((&done["segments"], &done["ledger"]["unregistered"]), (&json!([]), &json!([])), "{scheme}");
        let kept = told["set_aside"][0]["path"].as_str().unwrap();
        assert!(scheme == "sqlite" || world.path().join("the-store").join(kept).is_file(), "{kept}");
        assert_eq!(world.pod(&["verify"]).code, 0, "{scheme}");
        assert_eq!(listed(&world), before, "{scheme}: what is in the conversations is counted again");
        assert_eq!(world.pod(&["verify"]).code, 0, "{scheme}");
        let again = world.pod(&["repair"]);
        assert!(again.code == 0 && again.stdout.contains("nothing to repair"), "{scheme}: {again}");
    }
}

#[test]
fn usage_whose_book_and_assets_are_damaged_is_derived_again_after_a_repair() {
    for scheme in ["fs", "sqlite"] {
        let world = examples(scheme);
        let total = world.pod(&["usage", "--json"]).json()["total"].clone();
        let books = world.pod(&["ledger", "trial", "--json"]).json();
        let names = books["books"].as_array().unwrap().iter().map(|one| one["book"].as_str().unwrap().to_owned());
        let usage = names.clone().find(|name| name.starts_with("usage-")).unwrap();
        damage(&world, scheme, &usage, 4);
        damage(&world, scheme, "_system", 2);
        let run = world.pod(&["repair", "--ledger", "--yes", "--json"]);
        assert_eq!(run.code, 0, "{scheme}: {run}");
        let done = parsed(&run);
        let told = &done["ledger"]["books"][0];
        assert_eq!((&told["book"], &told["kept"]), (&json!("_system"), &json!(1)), "{scheme}: {done}");
        assert!(told["registered"].as_array().unwrap().len() >= 6, "{scheme}: {done}");
        assert_eq!(done["ledger"]["unregistered"], json!([]), "{scheme}: what the program counts it registers again");
        assert_eq!(world.pod(&["verify"]).code, 0, "{scheme}");
        let rebuilt = world.pod(&["usage", "rebuild", "--yes", "--json"]);
        assert!(parsed(&rebuilt)["unexplained"] == json!([]), "{scheme}: {rebuilt}");
        assert_eq!(world.pod(&["usage", "--json"]).json()["total"], total, "{scheme}");
        assert_eq!(world.pod(&["usage", "rebuild", "--dry-run", "--json"]).json()["outcome"], "in_step", "{scheme}");
        assert_eq!(world.pod(&["verify"]).code, 0, "{scheme}");
    }
}

#[test]
fn a_book_is_named_by_its_folder_and_what_nobody_has_is_not_found() {
    let world = examples("fs");
    damage(&world, "fs", &book(), 3);
    let dry = world.pod(&["repair", "--ledger", PROJECT, "--dry-run", "--json"]).json();
    let books = dry["ledger"]["books"].as_array().unwrap();
    assert!(books.iter().any(|one| one["book"] == *book() && one["outcome"] == "would_repair"), "{dry}");
    assert!(books.len() <= 2, "{dry}");
    for nobodys in ["nobodys", "/srv/nothing"] {
        let run = world.pod(&["repair", "--ledger", nobodys, "--yes"]);
        assert_eq!(run.code, 3, "{run}");
    }
    let run = world.pod(&["repair", "--ledger", "No Name", "--yes"]);
    assert_eq!(run.code, 2, "{run}");
    let none = World::new();
    assert_eq!(none.pod(&["repair", "--ledger", "--yes"]).code, 3);
}

#[test]
fn the_forms_for_programs_and_for_people() {
    let world = examples("fs");
    damage(&world, "fs", &book(), 5);
    let told = |run: Run| {
        let text = run.to_string();
        let mut told = String::new();
        for word in text.split_inclusive([' ', '\n', '"']) {
            let bare = word.trim_end_matches([' ', '\n', '"', ',']);
            let is_id = bare.len() == 36 && bare.matches('-').count() == 4;
            told.push_str(&if is_id { word.replace(bare, "[ID]") } else { word.to_owned() });
        }
        told
    };
    insta::assert_snapshot!("ledger_repair_dry_run", told(world.pod(&["repair", "--dry-run"])));
    insta::assert_snapshot!(
        "ledger_repair_json",
        told(world.pod(&["repair", "--ledger", &book(), "--dry-run", "--json"]))
    );
    insta::assert_snapshot!("ledger_repair", told(world.pod(&["repair", "--ledger", "--yes"])));
    insta::assert_snapshot!("ledger_repair_again", told(world.pod(&["repair", "--ledger"])));
}

#[test]
fn books_without_the_file_that_makes_them_a_ledger_are_one_again() {
    let world = examples("fs");
    let header = world.path().join("the-store").join("ledger").join("ledger.json");
    fs::remove_file(&header).unwrap();
    let run = world.pod(&["verify"]);
    assert!(run.code == 4 && run.stderr.contains("pod repair --ledger"), "{run}");
    let dry = world.pod(&["repair", "--dry-run"]);
    assert!(dry.code == 0 && dry.stdout.contains("header") && !header.exists(), "{dry}");
    let done = world.pod(&["repair", "--yes"]);
    assert!(done.code == 0 && done.stdout.contains("header"), "{done}");
    assert_eq!(world.pod(&["verify"]).code, 0);
}
