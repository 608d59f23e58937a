//! `pod ledger`

use std::path::Path;

use serde_json::Value;

use crate::harness::World;

/// After the example conversations were held.
const EVENING: &str = "2026-11-21T18:00:00Z";

/// A world into which the examples of an agent were imported.
fn world_of(agent: &str, backend: &str) -> World {
    let world = World::new().with("POD_NOW", EVENING);
    let url = format!("{backend}:{}", world.path().join("store").display());
    let world = world.with("POD_STORE", &url);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/conversations");
    world.pod(&["import", examples.join(agent).to_str().unwrap()]).ok();
    world
}

fn json(world: &World, arguments: &[&str]) -> Value {
    world.pod(&[&["ledger", "--json"], arguments].concat()).json()
}

/// The smallest book of a world.
fn a_book(world: &World) -> String {
    let listed = json(world, &["accounts"]);
    let books = listed["books"].as_array().unwrap();
    let smallest =
        books.iter().min_by_key(|book| (book["accounts"].as_array().unwrap().len(), book["book"].to_string()));
    smallest.unwrap()["book"].as_str().unwrap().to_owned()
}

#[test]
fn the_forms_are_the_same_on_both_backends() {
    let mut told = Vec::new();
    for backend in ["fs", "sqlite"] {
        let world = world_of("pi", backend);
        let book = a_book(&world);
        let accounts = json(&world, &["accounts", &book]);
        let account = accounts["books"][0]["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|account| account["asset"] == "input_tokens" && account["type"] == "expense")
            .unwrap();
        let account = account["account"].as_str().unwrap().to_owned();
        let history = json(&world, &["history", &account, "--limit", "1"]);
        // The accounts in front of it were opened in whatever order.
        let first = history["postings"][0]["seq"].to_string();
        let forms = [
            ("ledger_accounts", accounts),
            ("ledger_balance", json(&world, &["balance", &account])),
            ("ledger_history", history),
            ("ledger_trial", json(&world, &["trial", &book])),
            ("ledger_events", json(&world, &["events", &book, "--from", &first, "--limit", "1"])),
            ("ledger_system", json(&world, &["events", "_system", "--limit", "1"])),
        ];
        if told.is_empty() {
            for (name, form) in &forms {
                insta::assert_json_snapshot!(*name, form);
            }
            for width in [100, 40] {
                let shown = [
                    &["accounts", book.as_str()][..],
                    &["history", &account],
                    &["trial", &book],
                    &["balance", &account],
                ]
                .map(|arguments| world.pod_at_width(width, &[&["ledger"], arguments].concat()).to_string());
                for line in shown.iter().flat_map(|text| text.lines()).filter(|line| !line.contains(':')) {
                    assert!(line.chars().count() <= width, "{line}");
                }
                insta::assert_snapshot!(format!("ledger_table_{width}"), shown.join("====\n"));
            }
        }
        told.push(forms);
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_book_is_named_by_its_projects_folder_too() {
    let world = world_of("claude", "fs");
    let all = json(&world, &["trial"]);
    let book = all["books"].as_array().unwrap().iter().find(|book| book["project"].is_string()).unwrap();
    let by_folder = json(&world, &["trial", book["project"].as_str().unwrap()]);
    assert_eq!(by_folder["books"][0], *book);
    let events = json(&world, &["events", book["project"].as_str().unwrap(), "--from", "2", "--limit", "2"]);
    assert_eq!((&events["events"][0]["seq"], &events["next_from"]), (&Value::from(2), &Value::from(4)));
    let on = json(&world, &["events", book["project"].as_str().unwrap(), "--from", "4", "--limit", "1"]);
    assert_eq!(on["events"][0]["seq"], 4);
}

#[test]
fn as_of_is_what_had_been_committed_by_then() {
    let world = world_of("pi", "sqlite");
    let book = a_book(&world);
    let now = json(&world, &["accounts", &book]);
    assert_eq!(json(&world, &["accounts", &book, "--as-of", EVENING]), now);
    let before = "2026-11-21T17:59:59Z";
    let then = json(&world, &["accounts", &book, "--as-of", before]);
    for account in then["books"][0]["accounts"].as_array().unwrap() {
        assert!(account["balance"].as_str().unwrap().trim_matches(['0', '.']).is_empty(), "{account}");
    }
    let account = now["books"][0]["accounts"][0]["account"].as_str().unwrap().to_owned();
    assert_eq!(json(&world, &["history", &account, "--as-of", before])["postings"], Value::Array(Vec::new()));
    assert_eq!(json(&world, &["events", &book, "--as-of", before])["events"], Value::Array(Vec::new()));
    assert_eq!(json(&world, &["trial", &book, "--as-of", before])["books"][0]["assets"], Value::Array(Vec::new()));
}

#[test]
fn a_history_goes_on_where_a_page_ended() {
    let world = world_of("claude", "fs");
    let listed = json(&world, &["accounts"]);
    let accounts = listed["books"].as_array().unwrap().iter().flat_map(|book| book["accounts"].as_array().unwrap());
    let clearing = accounts.clone().find(|account| account["path"] == "provider:requests").unwrap();
    let account = clearing["account"].as_str().unwrap();
    let whole = json(&world, &["history", account]);
    assert!(whole["next_after"].is_null());
    let (mut after, mut pages) = (0, Vec::new());
    loop {
        let page = json(&world, &["history", account, "--limit", "2", "--after", &after.to_string()]);
        pages.extend(page["postings"].as_array().unwrap().clone());
        let Some(next) = page["next_after"].as_u64() else { break };
        after = next;
    }
    assert_eq!(Value::Array(pages), whole["postings"]);
}

#[test]
fn what_is_not_there_is_told() {
    let world = world_of("pi", "fs");
    let book = a_book(&world);
    let code = |arguments: &[&str]| {
        world.pod(&[&["ledger", "--json"], arguments].concat()).json_error()["error"]["code"].clone()
    };
    assert_eq!(code(&["balance", &format!("{book}:nobody")]), 3);
    assert_eq!(code(&["history", &format!("{book}:nobody")]), 3);
    assert_eq!(code(&["balance", "nothing:nobody"]), 3);
    assert_eq!(code(&["accounts", "nothing"]), 3);
    assert_eq!(code(&["events", "/no/such/folder"]), 3);
    assert_eq!(code(&["balance", "nocolon"]), 2);
    assert_eq!(code(&["accounts", "Not A Book"]), 2);
    assert_eq!(code(&["trial", "--as-of", "soon"]), 2);
    let nothing = World::new().pod(&["ledger", "accounts"]);
    assert!(nothing.code == 0 && nothing.stderr.contains("the ledger is empty"), "{nothing}");
    let json = World::new().pod(&["ledger", "accounts", "--json"]).json();
    assert_eq!(json["books"], Value::Array(Vec::new()));
}
