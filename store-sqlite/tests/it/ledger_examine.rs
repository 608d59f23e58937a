//! What stands beside the events of a ledger in a database, and says otherwise, is found.

use std::sync::Arc;

use store_core::ledger::{Clock, Ledger, LedgerFinding, LedgerFindingKind, LedgerReport, verify_ledger};
use store_sqlite::SqliteLedger;

use crate::ledger::{book, prepare, transfer};
use crate::support::Folder;

/// A closed ledger of 10 transactions, in events 3 to 12 of one book.
fn ledger() -> Folder {
    let folder = Folder::new();
    let ledger = open(&folder);
    prepare(&ledger);
    for n in 1..=10 {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
    folder
}

fn open(folder: &Folder) -> SqliteLedger {
    let clock: Clock = Arc::new(|| 1_764_000_000_000_000);
    SqliteLedger::open(folder.database(), clock).unwrap()
}

/// What verifying finds when somebody ran a statement in the ledger.
fn report_after(sql: &str) -> LedgerReport {
    let folder = ledger();
    let raw = folder.raw();
    raw.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(raw.execute(sql, []).unwrap() > 0, "the statement must change something: {sql}");
    drop(raw);
    verify_ledger(&open(&folder)).unwrap()
}

#[test]
fn what_no_checksum_covers_is_held_against_the_events() {
    use LedgerFindingKind::{Answer, Event, Projection};
    assert_eq!(verify_ledger(&open(&ledger())).unwrap().damage, []);
    for (sql, kind, detail) in [
        ("DELETE FROM ledger_books", Answer, "12 events of home are there"),
        ("DELETE FROM ledger_books WHERE book = 'home'", Answer, "12 events of home are there"),
        ("UPDATE ledger_books SET last_at = last_at + 1", Projection, "another end"),
        ("UPDATE ledger_books SET last_seq = last_seq - 1 WHERE book = 'home'", Projection, "another end"),
        ("DELETE FROM ledger_events WHERE book = 'home' AND seq = 12", Event, "its events end before 12"),
        ("UPDATE ledger_events SET at = at + 1 WHERE seq = 5", Projection, "columns of event 5"),
        ("UPDATE ledger_events SET transaction_id = zeroblob(16) WHERE seq = 5", Projection, "columns of event 5"),
        ("UPDATE ledger_accounts SET net = net + 1 WHERE path = 'a'", Projection, "the account a is not"),
        ("UPDATE ledger_accounts SET updated_seq = 3 WHERE path = 'a'", Projection, "the account a is not"),
        ("UPDATE ledger_accounts SET kind = 'asset' WHERE path = 'a'", Projection, "otherwise of home:a"),
        ("UPDATE ledger_accounts SET path = 'c' WHERE path = 'b'", Projection, "the account c is not"),
        ("DELETE FROM ledger_accounts WHERE path = 'b'", Projection, "1 accounts are missing"),
        (
            "INSERT INTO ledger_accounts (book, path, asset, kind, net, updated_seq) VALUES ('x', 'a', 'USD', 'asset', 0, 0)",
            Projection,
            "1 accounts are in the tables",
        ),
        ("UPDATE ledger_balances SET net = net + 1 WHERE seq = 5", Projection, "after event 5"),
        ("DELETE FROM ledger_balances WHERE seq = 5", Projection, "after event 5"),
        ("INSERT INTO ledger_balances VALUES (99, 5, 1)", Projection, "1 balances are in the tables"),
        ("UPDATE ledger_assets SET precision = 3", Projection, "otherwise of USD"),
        ("INSERT INTO ledger_assets VALUES ('EUR', 2)", Projection, "1 assets are in the tables"),
    ] {
        let LedgerReport { ok, damage, .. } = report_after(sql);
        let is_it = |finding: &LedgerFinding| finding.kind == kind && finding.detail.contains(detail);
        assert!(!ok && damage.iter().any(is_it), "{sql}: {damage:?}");
    }
}
