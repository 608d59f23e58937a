//! A damaged book is repaired where it is: each kind of damage to the rows of a ledger, and to the tables beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use store_core::integrity::{EventKind, Integrity as _, MaintenanceOptions};
use store_core::ledger::{
    Account, AccountId, Asset, BookName, BookRepair, Clock, Event, Ledger, LedgerError, LedgerRepair, verify_ledger,
};
use store_core::{BlobRef, FactScope, Seq, Store as _, StoreError};
use store_sqlite::{SqliteLedger, SqliteOptions, SqliteStore};

use crate::ledger::{book, prepare, transfer};
use crate::support::Folder;

/// How many transactions the ledgers here have; their events are 3 to 22.
const COUNT: u64 = 20;

fn asked(dry_run: bool) -> MaintenanceOptions {
    MaintenanceOptions { now: 1_764_000_000_000, dry_run, correlation_id: None }
}

fn open(folder: &Folder) -> SqliteLedger {
    let time = AtomicU64::new(1_764_000_000_000_000);
    let clock: Clock = Arc::new(move || time.fetch_add(1, Ordering::SeqCst));
    SqliteLedger::open(folder.database(), clock).unwrap()
}

fn other() -> BookName {
    "other".parse().unwrap()
}

/// A closed ledger of two books.
fn ledger() -> Folder {
    let folder = Folder::new();
    let ledger = open(&folder);
    prepare(&ledger);
    for n in 1..=COUNT {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
    let id = AccountId::new(&other(), "a").unwrap();
    let kind = store_core::ledger::AccountKind::Clearing;
    ledger.open_account(&Account { id, asset: "USD".parse().unwrap(), kind, min_balance: None }).unwrap();
    folder
}

fn run(folder: &Folder, sql: &str) {
    let raw = folder.raw();
    raw.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(raw.execute(sql, []).unwrap() > 0, "the statement must change something: {sql}");
}

fn events(ledger: &dyn Ledger) -> Vec<Event> {
    ledger.read_events(&book(), Seq(1), usize::MAX).unwrap()
}

fn of<'r>(done: &'r LedgerRepair, book: &BookName) -> Option<&'r BookRepair> {
    done.books.iter().find(|one| one.book.as_ref() == Some(book))
}

/// Every row of the database's tables, but for what SQLite keeps itself.
fn rows(folder: &Folder) -> Vec<String> {
    let raw = folder.raw();
    let mut tables = raw.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let names: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut found = Vec::new();
    for name in names {
        let mut statement = raw.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns)
                .map(|at| row.get_ref(at).map(|value| format!("{value:?}")))
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        found.extend(rows.unwrap().map(|row| format!("{name} {:?}", row.unwrap())));
    }
    found
}

/// Repairs a ledger of which so many events of `home` are to be kept, and sees to it that everything is as it should be.
fn repaired(folder: &Folder, sql: &str, before: &[Event], kept: usize) -> LedgerRepair {
    let was = rows(folder);
    let ledger = open(folder);
    let plan = ledger.repair(None, &asked(true)).unwrap();
    assert_eq!(rows(folder), was, "{sql}: a dry run wrote something");
    assert!(!plan.is_whole(), "{sql}");
    let done = ledger.repair(None, &asked(false)).unwrap();
    let told = |repair: &LedgerRepair| {
        repair.books.iter().map(|one| (one.book.clone(), one.kept, one.lost.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&plan), told(&done), "{sql}: a dry run says what is done");
    assert!(done.books.iter().all(|one| one.is_whole() == one.migration_id.is_none()), "{sql}");
    assert!(ledger.repair(None, &asked(false)).unwrap().is_whole(), "{sql}");
    assert_eq!(events(&ledger), before[..kept], "{sql}");
    assert_eq!(verify_ledger(&ledger).unwrap().damage, [], "{sql}");
    let store = SqliteStore::open(folder.database()).unwrap();
    let recorded = store.events().unwrap();
    let is_told = |event: &&store_core::integrity::Event| matches!(event.what, EventKind::LedgerRepaired { .. });
    assert_eq!(recorded.iter().filter(is_told).count(), done.books.iter().filter(|one| !one.is_whole()).count());
    assert!(store.examine(None).unwrap().is_empty(), "{sql}");
    works(&ledger, sql);
    done
}

/// A repaired book takes all that was lost, with its keys and ids.
fn works(ledger: &SqliteLedger, sql: &str) {
    prepare(ledger);
    for n in 1..=COUNT {
        let receipt = ledger.commit(&book(), &transfer(n)).unwrap();
        assert_eq!(receipt.seq, Seq(n + 2), "{sql}");
        assert_eq!(ledger.transaction(transfer(n).id).unwrap().unwrap().seq, receipt.seq, "{sql}");
    }
    let id = AccountId::new(&book(), "a").unwrap();
    assert_eq!(ledger.balance(&id, None).unwrap().amount, 20, "{sql}");
    assert_eq!(verify_ledger(ledger).unwrap().damage, [], "{sql}");
}

#[test]
fn what_stands_before_a_damaged_or_missing_row_is_kept() {
    let before = events(&open(&ledger()));
    for (sql, kept, lines) in [
        (
            "UPDATE ledger_events SET body = replace(body, '\"at\":1', '\"at\":0') WHERE book = 'home' AND seq = 9",
            8,
            14,
        ),
        ("UPDATE ledger_events SET body = 'x' WHERE book = 'home' AND seq = 1", 0, 22),
        ("UPDATE ledger_events SET body = CAST(x'FFFE' AS TEXT) WHERE book = 'home' AND seq = 22", 21, 1),
        ("UPDATE ledger_events SET crc32c = crc32c + 1 WHERE book = 'home' AND seq = 3", 2, 20),
        ("UPDATE ledger_events SET key = 'x' WHERE book = 'home' AND seq = 12", 11, 11),
        ("UPDATE ledger_events SET seq = -5 WHERE book = 'home' AND seq = 12", 11, 0),
        ("DELETE FROM ledger_events WHERE book = 'home' AND seq = 12", 11, 10),
        ("DELETE FROM ledger_events WHERE book = 'home' AND seq = 1", 0, 21),
        ("DELETE FROM ledger_events WHERE book = 'home' AND seq = 22", 21, 0),
        ("DELETE FROM ledger_events WHERE book = 'home'", 0, 0),
        ("UPDATE ledger_events SET book = 'hXme' WHERE book = 'home' AND seq = 12", 11, 10),
        ("UPDATE ledger_events SET book = 'hime' WHERE book = 'home' AND seq = 12", 11, 10),
    ] {
        let folder = ledger();
        run(&folder, sql);
        let done = repaired(&folder, sql, &before, kept);
        let told = of(&done, &book()).unwrap();
        let lost = told.lost.clone().unwrap();
        assert_eq!(lost.from, Seq(kept as u64 + 1), "{sql}");
        if lines > 0 || sql.starts_with("DELETE") {
            assert_eq!(lost.lines, lines, "{sql}");
        }
        let others = of(&done, &other()).unwrap();
        assert!(others.is_whole(), "{sql}: {others:?}");
    }
}

#[test]
fn rows_that_are_taken_out_are_kept_as_they_stood() {
    let folder = ledger();
    run(&folder, "UPDATE ledger_events SET body = 'not what it was' WHERE book = 'home' AND seq = 9");
    let ledger = open(&folder);
    let done = ledger.repair(Some(&book()), &asked(false)).unwrap();
    let told = of(&done, &book()).unwrap();
    let store = SqliteStore::open(folder.database()).unwrap();
    let facts = store.facts(FactScope::Store).unwrap();
    assert_eq!(facts.len(), 1);
    assert_eq!(facts[0].domain, format!("ledger.set_aside.{}", told.migration_id.unwrap()));
    let reference: BlobRef = serde_json::from_value(facts[0].value["kept"].clone()).unwrap();
    assert_eq!(told.set_aside[0].path, Some(format!("blob {}", reference.sha256)));
    // What nobody refers to is collected, and this is not.
    store.collect(false).unwrap();
    let bytes = String::from_utf8(store.get_blob(&reference).unwrap()).unwrap();
    let lines: Vec<Value> = bytes.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 14);
    assert_eq!((&lines[0]["seq"], &lines[0]["body"]), (&9.into(), &"not what it was".into()));
    assert_eq!((&lines[1]["book"], &lines[1]["key"]), (&"home".into(), &"key 8".into()));
    insta::assert_snapshot!(bytes.lines().nth(1).unwrap());
}

#[test]
fn tables_that_say_otherwise_than_the_events_are_made_again() {
    let before = events(&open(&ledger()));
    for sql in [
        "DELETE FROM ledger_books",
        "DELETE FROM ledger_books WHERE book = 'home'",
        "UPDATE ledger_books SET last_at = last_at + 1",
        "UPDATE ledger_books SET last_seq = last_seq - 1 WHERE book = 'home'",
        "UPDATE ledger_books SET book = 'HOME' WHERE book = 'home'",
        "UPDATE ledger_events SET at = at + 1 WHERE seq = 5",
        "UPDATE ledger_events SET transaction_id = zeroblob(16) WHERE seq = 5",
        "UPDATE ledger_accounts SET net = net + 1 WHERE path = 'a'",
        "UPDATE ledger_accounts SET updated_seq = 3 WHERE path = 'a'",
        "UPDATE ledger_accounts SET kind = 'asset' WHERE path = 'a'",
        "UPDATE ledger_accounts SET kind = 'no kind' WHERE path = 'a'",
        "UPDATE ledger_accounts SET path = 'c' WHERE path = 'b'",
        "UPDATE ledger_accounts SET book = 'x' WHERE path = 'b'",
        "UPDATE ledger_accounts SET account_id = 77 WHERE path = 'b'",
        "DELETE FROM ledger_accounts WHERE path = 'b'",
        "INSERT INTO ledger_accounts (book, path, asset, kind, net, updated_seq) VALUES ('x', 'a', 'USD', 'asset', 0, 0)",
        "UPDATE ledger_balances SET net = net + 1 WHERE seq = 5",
        "DELETE FROM ledger_balances WHERE seq = 5",
        "DELETE FROM ledger_balances",
        "INSERT INTO ledger_balances VALUES (99, 5, 1)",
        "INSERT INTO ledger_balances VALUES (1, 1, 1)",
        "UPDATE ledger_assets SET precision = 3",
        "UPDATE ledger_assets SET precision = 300",
        "UPDATE ledger_assets SET asset = 'EUR'",
        "DELETE FROM ledger_assets",
        "INSERT INTO ledger_assets VALUES ('EUR', 2)",
    ] {
        let folder = ledger();
        run(&folder, sql);
        let done = repaired(&folder, sql, &before, before.len());
        assert!(done.books.iter().all(|one| one.lost.is_none()), "{sql}: {done:?}");
        let assets = open(&folder).list_assets().unwrap();
        assert_eq!(assets, [Asset { id: "USD".parse().unwrap(), precision: 2 }], "{sql}");
    }
}

#[test]
fn an_asset_whose_event_is_lost_is_registered_again_as_its_table_has_it() {
    for sql in [
        "UPDATE ledger_events SET body = 'x' WHERE book = '_system'",
        "DELETE FROM ledger_events WHERE book = '_system'",
    ] {
        let folder = ledger();
        let before = events(&open(&folder));
        run(&folder, sql);
        let done = repaired(&folder, sql, &before, before.len());
        let told = of(&done, &BookName::system()).unwrap();
        assert_eq!((told.kept, told.registered.clone()), (0, vec!["USD".parse().unwrap()]), "{sql}");
        assert_eq!(open(&folder).asset(&"USD".parse().unwrap()).unwrap().precision, 2, "{sql}");
    }
    let folder = ledger();
    run(&folder, "DELETE FROM ledger_events WHERE book = '_system'");
    run(&folder, "DELETE FROM ledger_assets");
    let ledger = open(&folder);
    let done = ledger.repair(None, &asked(false)).unwrap();
    assert_eq!(done.unregistered, ["USD".parse().unwrap()]);
    assert_eq!(events(&ledger).len() as u64, COUNT + 2, "nothing of the books is given up");
    works(&ledger, "an asset that is registered by who uses it");
}

#[test]
fn an_event_of_a_newer_version_is_no_damage_and_is_left() {
    let folder = ledger();
    let body = r#"{"kind":"closing","at":1764000000000030}"#;
    let mut crc = crc32c::crc32c(b"ledger_events");
    for bytes in [&b"home"[..], &[0], &9_u64.to_be_bytes(), &[0], body.as_bytes()] {
        crc = crc32c::crc32c_append(crc, bytes);
    }
    let sql = "UPDATE ledger_events SET body = ?1, crc32c = ?2, key = NULL WHERE book = 'home' AND seq = 9";
    assert_eq!(folder.raw().execute(sql, (body, crc)).unwrap(), 1);
    let before = rows(&folder);
    let ledger = open(&folder);
    for dry_run in [true, false] {
        let refused = ledger.repair(None, &asked(dry_run));
        assert!(matches!(refused, Err(LedgerError::Store(StoreError::Unsupported { .. }))), "{refused:?}");
    }
    assert_eq!(rows(&folder), before);
}

#[test]
fn of_one_book_nothing_else_is_repaired() {
    let folder = ledger();
    run(&folder, "UPDATE ledger_accounts SET net = 5");
    let ledger = open(&folder);
    let done = ledger.repair(Some(&other()), &asked(false)).unwrap();
    assert_eq!(done.books.len(), 1);
    let left = verify_ledger(&ledger).unwrap().damage;
    assert!(!left.is_empty() && left.iter().all(|finding| finding.book == Some(book())), "{left:?}");
}

#[test]
fn who_only_reads_plans_and_repairs_nothing() {
    let folder = ledger();
    run(&folder, "UPDATE ledger_events SET body = 'x' WHERE book = 'home' AND seq = 9");
    let clock: Clock = Arc::new(|| 1);
    let options = SqliteOptions { open_as: store_sqlite::OpenAs::ReadOnly, ..SqliteOptions::default() };
    let reader = SqliteLedger::open_with(folder.database(), &options, clock).unwrap();
    let told = reader.repair(None, &asked(true)).unwrap();
    assert_eq!(of(&told, &book()).unwrap().kept, 8);
    let refused = reader.repair(None, &asked(false));
    assert!(matches!(refused, Err(LedgerError::Store(StoreError::ReadOnly))), "{refused:?}");
}
