//! Of a damaged database's ledger the events before the first that is lost are in the new one, and it is told which are not.

use std::sync::Arc;

use store_core::ledger::{BookName, Clock, Event, Ledger, verify_ledger};
use store_core::{Seq, Store as _};
use store_sqlite::{DatabaseSalvage, SqliteLedger, SqliteStore, salvage_database};

use crate::ledger::{book, prepare, transfer};
use crate::support::Folder;

const COUNT: u64 = 300;

fn open(path: &std::path::Path) -> SqliteLedger {
    let clock: Clock = Arc::new(|| 1_764_000_000_000_000);
    SqliteLedger::open(path, clock).unwrap()
}

/// A closed database with a ledger of 302 events in one book.
fn database() -> Folder {
    let folder = Folder::new();
    drop(SqliteStore::open(folder.database()).unwrap());
    let ledger = open(&folder.database());
    prepare(&ledger);
    let drafts: Vec<_> = (1..=COUNT).map(transfer).collect();
    assert!(ledger.commit_batch(&book(), &drafts).unwrap().iter().all(Result::is_ok));
    ledger.shutdown().unwrap();
    folder
}

fn events(ledger: &SqliteLedger) -> Vec<Event> {
    ledger.read_events(&book(), Seq(1), usize::MAX).unwrap()
}

/// Salvages a database with these bytes; the report, and the new ledger.
fn salvaged(bytes: &[u8]) -> (Folder, DatabaseSalvage, SqliteLedger) {
    let folder = Folder::new();
    std::fs::write(folder.database(), bytes).unwrap();
    let target = folder.path().join("new.db");
    let report = salvage_database(folder.database(), &target, 9).unwrap();
    let ledger = open(&target);
    let proof = verify_ledger(&ledger).unwrap();
    assert!(proof.ok, "{:?}", proof.damage);
    (folder, report, ledger)
}

#[test]
fn a_whole_ledger_comes_over_whole() {
    let folder = database();
    let (_new, report, ledger) = salvaged(&std::fs::read(folder.database()).unwrap());
    assert_eq!(events(&ledger), events(&open(&folder.database())));
    assert_eq!((report.ledger_books, report.ledger_events), (2, COUNT + 3));
    assert_eq!((report.ledger_lost, report.damaged_rows), (Vec::new(), 0));
    assert_eq!(ledger.commit(&book(), &transfer(7)).unwrap().seq, Seq(9), "keys answer as before");
}

#[test]
fn a_ledger_with_a_damaged_event_is_saved_up_to_it() {
    let folder = database();
    let before = events(&open(&folder.database()));
    let mut bytes = std::fs::read(folder.database()).unwrap();
    // The body of event 102; its key stands in an index too.
    let text = format!("\"id\":\"{}\"", transfer(100).id);
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at + 10] ^= 1;
    let (_new, report, ledger) = salvaged(&bytes);
    assert_eq!(events(&ledger), before[..101]);
    let lost: Vec<_> = report.ledger_lost.iter().map(|lost| (lost.book.clone(), lost.from, lost.through)).collect();
    assert_eq!(lost, [(book(), Seq(102), Seq(COUNT + 2))]);
    assert!(report.damaged_rows > 0);
    // What was lost is committed again with the keys it had.
    for n in 1..=COUNT {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
    assert_eq!(events(&ledger).len(), before.len());
}

#[test]
fn a_book_none_of_whose_events_is_left_is_told_as_lost_from_the_first_on() {
    let folder = database();
    let damage = "UPDATE ledger_events SET body = replace(body, '\"at\"', '\"au\"') WHERE book = 'home'";
    assert_eq!(folder.raw().execute(damage, []).unwrap() as u64, COUNT + 2);
    let (_new, report, ledger) = salvaged(&std::fs::read(folder.database()).unwrap());
    let lost: Vec<_> = report.ledger_lost.iter().map(|lost| (lost.book.clone(), lost.from, lost.through)).collect();
    assert_eq!(lost, [(book(), Seq(1), Seq(COUNT + 2))]);
    assert_eq!((report.ledger_books, report.ledger_events), (1, 1), "the assets are there");
    assert_eq!(ledger.list_books().unwrap(), [BookName::system()]);
}

#[test]
fn blobs_in_parts_are_not_taken_for_books() {
    let folder = database();
    let store = SqliteStore::open(folder.database()).unwrap();
    for fill in 0..4 {
        drop(store.put_blob(&vec![fill; 3 << 20]).unwrap());
    }
    drop(store);
    let raw = folder.raw();
    assert!(raw.query_row("SELECT max(part) FROM blob_parts", [], |row| row.get::<_, i64>(0)).unwrap() > 0);
    drop(raw);
    let (_new, report, _) = salvaged(&std::fs::read(folder.database()).unwrap());
    assert_eq!(report.ledger_lost, []);
}
