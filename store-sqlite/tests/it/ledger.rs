//! The ledger in the sessions' file: the common checks, and what is its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store_conformance::LedgerHarness;
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, BookName, Clock, Draft, Ledger, LedgerError, LedgerResult, Posting,
};
use store_core::{Seq, TransactionId};
use store_sqlite::SqliteLedger;

use crate::support::Folder;

struct SqliteLedgerHarness(Folder);

impl LedgerHarness for SqliteLedgerHarness {
    fn fresh() -> Self {
        Self(Folder::new())
    }

    fn open(&self, clock: &Clock, count: usize) -> LedgerResult<Vec<Box<dyn Ledger>>> {
        let open = |_| Ok(Box::new(SqliteLedger::open(self.0.database(), clock.clone())?) as Box<dyn Ledger>);
        (0..count).map(open).collect()
    }

    fn damage(&self, book: &BookName, seq: Seq) -> bool {
        let damage = "UPDATE ledger_events SET body = replace(body, '\"at\"', '\"au\"') WHERE book = ?1 AND seq = ?2";
        let seq = i64::try_from(seq.0).unwrap();
        assert_eq!(self.0.raw().execute(damage, (book.as_str(), seq)).unwrap(), 1);
        true
    }
}

store_conformance::ledger_conformance_tests!(SqliteLedgerHarness);

#[test]
fn a_ledger_in_a_database_answers_what_the_reference_answers() {
    store_conformance::ledger_model_test::<SqliteLedgerHarness>(6);
}

fn clock() -> Clock {
    let time = AtomicU64::new(1_764_000_000_000_000);
    Arc::new(move || time.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn book() -> BookName {
    "home".parse().unwrap()
}

pub(crate) fn transfer(n: u64) -> Draft {
    let id = |path| AccountId::new(&book(), path).unwrap();
    let postings = vec![Posting::debit(id("a"), 1), Posting::credit(id("b"), 1)];
    Draft::new(TransactionId::derive(n, b"transfer"), format!("key {n}"), postings)
}

/// Registers an asset and opens the accounts `a` and `b`, which are events 1 and 2.
pub(crate) fn prepare(ledger: &SqliteLedger) {
    let usd = Asset { id: "USD".parse().unwrap(), precision: 2 };
    ledger.register_asset(&usd).unwrap();
    for path in ["a", "b"] {
        let (id, asset) = (AccountId::new(&book(), path).unwrap(), usd.id.clone());
        ledger.open_account(&Account { id, asset, kind: AccountKind::Clearing, min_balance: None }).unwrap();
    }
}

/// A ledger of 10 transactions, in events 3 to 12 of the book.
fn fill(ledger: &SqliteLedger) {
    prepare(ledger);
    for n in 1..=10 {
        ledger.commit(&book(), &transfer(n)).unwrap();
    }
}

#[test]
fn an_event_that_was_changed_is_told_as_damage() {
    let folder = Folder::new();
    let ledger = SqliteLedger::open(folder.database(), clock()).unwrap();
    fill(&ledger);
    folder
        .raw()
        .execute("UPDATE ledger_events SET body = replace(body, '\"debit\":1', '\"debit\":2') WHERE seq = 5", [])
        .unwrap();
    let answers = [
        ledger.read_events(&book(), Seq(1), 99).map(drop),
        ledger.transaction(transfer(3).id).map(drop),
        ledger.commit(&book(), &transfer(3)).map(drop),
        ledger.account_history(&AccountId::new(&book(), "a").unwrap(), Seq(0), 99).map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(LedgerError::Damaged { seq: Seq(5), .. })), "{answer:?}");
    }
}

#[test]
fn an_event_that_is_missing_is_told_as_damage() {
    let folder = Folder::new();
    let ledger = SqliteLedger::open(folder.database(), clock()).unwrap();
    fill(&ledger);
    folder.raw().execute("DELETE FROM ledger_events WHERE seq = 5", []).unwrap();
    let answer = ledger.read_events(&book(), Seq(1), 99);
    assert!(matches!(answer, Err(LedgerError::Damaged { seq: Seq(5), .. })), "{answer:?}");
}

/// The tables that follow from the events say what the events say, after many handles wrote at once.
#[test]
fn the_balances_of_the_tables_are_folds_of_the_events() {
    let folder = Folder::new();
    fill(&SqliteLedger::open(folder.database(), clock()).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let ledger = SqliteLedger::open(folder.database(), clock()).unwrap();
            scope.spawn(move || {
                for n in 0..10 {
                    let drafts = [transfer(100 + thread * 20 + 2 * n), transfer(101 + thread * 20 + 2 * n)];
                    for answer in ledger.commit_batch(&book(), &drafts).unwrap() {
                        answer.unwrap();
                    }
                }
            });
        }
    });
    let raw = folder.raw();
    let number = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM ledger_events WHERE book = 'home'"), 92);
    assert_eq!(number("SELECT max(seq) FROM ledger_events WHERE book = 'home'"), 92);
    assert_eq!(number("SELECT last_seq FROM ledger_books WHERE book = 'home'"), 92);
    assert_eq!(number("SELECT net FROM ledger_accounts WHERE path = 'a'"), 90);
    assert_eq!(number("SELECT sum(net) FROM ledger_accounts"), 0);
    let events =
        number("SELECT count(*) FROM ledger_balances JOIN ledger_accounts USING (account_id) WHERE path = 'b'");
    assert_eq!(events, 90);
}
