//! A ledger goes from any store into any other: the same events, at the same seqs and times.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use session_store::{LedgerMigrated, MigrateFailureKind, OpenOptions, migrate_ledger, open, open_ledger, schemes};
use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, AssetId, Balance, BookName, Clock, Draft, Event, HistoryRow, Ledger,
    LedgerRepair, LedgerResult, MemoryLedger, MemoryLedgerMedium, Posting, Receipt, Subscription, Transaction,
    TrialRow, verify_ledger,
};
use store_core::{Seq, TransactionId};

use crate::common::NOW;

fn clock(at: u64) -> Clock {
    Arc::new(move || at)
}

fn book(name: &str) -> BookName {
    name.parse().unwrap()
}

/// A ledger with two books, the first of which has 1,200 transactions.
fn source() -> MemoryLedger {
    let ledger = MemoryLedger::open(&MemoryLedgerMedium::default(), clock(NOW * 1000 + 7));
    let usd = Asset { id: "USD".parse().unwrap(), precision: 9 };
    ledger.register_asset(&usd).unwrap();
    for (name, count) in [("home", 1_200), ("away", 1)] {
        let account = |path| AccountId::new(&book(name), path).unwrap();
        for path in ["a", "b"] {
            let (id, asset) = (account(path), usd.id.clone());
            ledger.open_account(&Account { id, asset, kind: AccountKind::Clearing, min_balance: None }).unwrap();
        }
        let drafts: Vec<Draft> = (0..count)
            .map(|n| {
                let postings = vec![Posting::debit(account("a"), 1), Posting::credit(account("b"), 1)];
                let id = TransactionId::derive(n, name.as_bytes());
                Draft { effective_at: Some(n), ..Draft::new(id, format!("{name} {n}"), postings) }
            })
            .collect();
        assert!(ledger.commit_batch(&book(name), &drafts).unwrap().iter().all(Result::is_ok));
    }
    ledger
}

fn events(ledger: &dyn Ledger) -> Vec<Event> {
    let books = ledger.list_books().unwrap();
    books.iter().flat_map(|book| ledger.read_events(book, Seq(1), usize::MAX).unwrap()).collect()
}

fn copy(source: &dyn Ledger, target: &dyn Ledger) -> LedgerMigrated {
    migrate_ledger(source, Some(target), false, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Ledgers on a medium that this build has, all of them empty.
fn targets(folder: &tempfile::TempDir) -> Vec<Arc<dyn Ledger>> {
    let schemes = schemes().into_iter().filter(|scheme| ["fs", "sqlite"].contains(&scheme.as_str()));
    schemes
        .map(|scheme| {
            let url = format!("{scheme}:{}", folder.path().join(&scheme).display());
            open(&url, &OpenOptions::at(NOW)).unwrap();
            open_ledger(&url, &clock(1), Duration::ZERO).unwrap()
        })
        .collect()
}

#[test]
fn a_ledger_goes_round_through_every_backend_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let first = source();
    let last = MemoryLedger::open(&MemoryLedgerMedium::default(), clock(1));
    let mut from: Arc<dyn Ledger> = Arc::new(first.clone());
    for to in targets(&folder).into_iter().chain([Arc::new(last.clone()) as Arc<dyn Ledger>]) {
        let report = copy(&*from, &*to);
        let expected = LedgerMigrated {
            books: 3,
            events: 1_206,
            new_events: 1_206,
            migrated: 3,
            verified: true,
            ..LedgerMigrated::default()
        };
        assert_eq!(report, expected);
        assert!(verify_ledger(&*to).unwrap().ok);
        let again = copy(&*from, &*to);
        assert_eq!((again.new_events, again.already, again.migrated), (0, 3, 0));
        from = to;
    }
    assert_eq!(events(&last), events(&first));
    let repeated = last.read_events(&book("home"), Seq(3), 1).unwrap().pop().unwrap();
    let store_core::ledger::EventBody::Transaction(draft) = repeated.body else { panic!("it is a transaction") };
    assert_eq!(last.commit(&book("home"), &draft).unwrap().at, repeated.at, "its key answers with the first receipt");
}

#[test]
fn a_copy_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let source = source();
    for target in targets(&folder) {
        let stopped = migrate_ledger(&source, Some(&*target), false, &mut |events| {
            if events > 500 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert!(stopped.stopped && stopped.new_events > 500 && stopped.new_events < 1_206, "{stopped:?}");
        let report = copy(&source, &*target);
        assert_eq!(report.new_events + stopped.new_events, 1_206);
        assert_eq!(events(&*target), events(&source));
    }
}

#[test]
fn a_book_that_the_target_has_otherwise_is_left_alone_and_keeps_no_other_from_going() {
    let source = source();
    let target = MemoryLedger::open(&MemoryLedgerMedium::default(), clock(5));
    let reserved = source.read_events(&BookName::system(), Seq(1), usize::MAX).unwrap();
    target.adopt_events(&BookName::system(), &reserved).unwrap();
    let id = AccountId::new(&book("away"), "other").unwrap();
    let asset = "USD".parse().unwrap();
    target.open_account(&Account { id, asset, kind: AccountKind::Expense, min_balance: None }).unwrap();
    let before = target.read_events(&book("away"), Seq(1), usize::MAX).unwrap();
    let report = copy(&source, &target);
    assert_eq!((report.migrated, report.already, report.failed), (1, 1, 1));
    assert_eq!((&report.failures[0].book, report.failures[0].kind), (&book("away"), MigrateFailureKind::Differs));
    assert_eq!(target.read_events(&book("away"), Seq(1), usize::MAX).unwrap(), before);
    assert!(report.verified);
}

#[test]
fn books_are_not_copied_to_where_an_asset_is_counted_otherwise() {
    let target = MemoryLedger::open(&MemoryLedgerMedium::default(), clock(5));
    target.register_asset(&Asset { id: "USD".parse().unwrap(), precision: 2 }).unwrap();
    let report = copy(&source(), &target);
    let kinds: Vec<_> = report.failures.iter().map(|failure| failure.kind).collect();
    assert_eq!(kinds, [MigrateFailureKind::Differs, MigrateFailureKind::Ancestor, MigrateFailureKind::Ancestor]);
    assert_eq!(target.list_books().unwrap(), [BookName::system()]);
}

#[test]
fn a_dry_run_says_what_a_copy_does_and_writes_nothing() {
    let source = source();
    let target = MemoryLedger::open(&MemoryLedgerMedium::default(), clock(5));
    let look = |target: Option<&dyn Ledger>| {
        migrate_ledger(&source, target, true, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let (nowhere, empty) = (look(None), look(Some(&target)));
    assert_eq!(nowhere, empty);
    assert_eq!(LedgerMigrated { dry_run: false, ..empty }, copy(&source, &target));
    assert_eq!(look(Some(&target)).new_events, 0);
}

#[test]
fn assets_that_the_target_registered_itself_are_there_already() {
    let source = source();
    let eur = Asset { id: "EUR".parse().unwrap(), precision: 2 };
    source.register_asset(&eur).unwrap();
    for dry_run in [true, false] {
        let target = MemoryLedger::open(&MemoryLedgerMedium::default(), clock(5));
        for (name, precision) in [("TOKENS", 0), ("USD", 9)] {
            target.register_asset(&Asset { id: name.parse().unwrap(), precision }).unwrap();
        }
        let report = migrate_ledger(&source, Some(&target), dry_run, &mut |_| ControlFlow::Continue(())).unwrap();
        let expected = LedgerMigrated {
            books: 3,
            events: 1_207,
            new_events: 1_206,
            migrated: 3,
            verified: true,
            dry_run,
            ..LedgerMigrated::default()
        };
        assert_eq!(report, expected);
        if !dry_run {
            assert_eq!(target.asset(&eur.id).unwrap(), eur);
            assert_eq!(target.list_assets().unwrap().len(), 3);
            let again = copy(&source, &target);
            assert_eq!((again.new_events, again.already, again.failed, again.verified), (0, 3, 0, true));
        }
    }
}

/// A ledger that loses what a book has behind an event.
struct Short(MemoryLedger, Seq);

impl Ledger for Short {
    fn read_events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        let mut events = self.0.read_events(book, from, limit)?;
        events.retain(|event| event.seq <= self.1);
        Ok(events)
    }

    fn register_asset(&self, asset: &Asset) -> LedgerResult<()> {
        self.0.register_asset(asset)
    }

    fn asset(&self, id: &AssetId) -> LedgerResult<Asset> {
        self.0.asset(id)
    }

    fn list_assets(&self) -> LedgerResult<Vec<Asset>> {
        self.0.list_assets()
    }

    fn open_account(&self, account: &Account) -> LedgerResult<()> {
        self.0.open_account(account)
    }

    fn list_books(&self) -> LedgerResult<Vec<BookName>> {
        // A proof of the whole ledger finds nothing wrong with it.
        Ok(vec![BookName::system()])
    }

    fn list_accounts(&self, book: &BookName) -> LedgerResult<Vec<Account>> {
        self.0.list_accounts(book)
    }

    fn commit_batch(&self, book: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        self.0.commit_batch(book, drafts)
    }

    fn balance(&self, account: &AccountId, as_of: Option<u64>) -> LedgerResult<Balance> {
        self.0.balance(account, as_of)
    }

    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>> {
        self.0.account_history(account, after, limit)
    }

    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>> {
        self.0.transaction(id)
    }

    fn trial_balance(&self, book: &BookName, as_of: Option<u64>) -> LedgerResult<Vec<TrialRow>> {
        self.0.trial_balance(book, as_of)
    }

    fn subscribe(&self, book: &BookName, from: Seq) -> LedgerResult<Box<dyn Subscription>> {
        self.0.subscribe(book, from)
    }

    fn snapshot_now(&self, book: &BookName) -> LedgerResult<()> {
        self.0.snapshot_now(book)
    }

    fn adopt_events(&self, book: &BookName, events: &[Event]) -> LedgerResult<u64> {
        self.0.adopt_events(book, events)
    }

    fn repair(&self, book: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair> {
        self.0.repair(book, options)
    }

    fn shutdown(&self) -> LedgerResult<()> {
        self.0.shutdown()
    }
}

#[test]
fn a_target_that_lost_the_end_of_what_was_copied_is_not_verified() {
    for (last, verified) in [(1_201, false), (1_202, true), (0, false)] {
        let target = Short(MemoryLedger::open(&MemoryLedgerMedium::default(), clock(5)), Seq(last));
        let report = copy(&source(), &target);
        assert_eq!((report.new_events, report.failed, report.verified), (1_206, 0, verified), "{last}");
    }
}

#[test]
fn what_a_stopped_copy_did_not_come_to_is_not_held_against_it() {
    let source = source();
    let target = MemoryLedger::open(&MemoryLedgerMedium::default(), clock(1));
    let first = source.read_events(&BookName::system(), Seq(1), 9).unwrap();
    target.adopt_events(&BookName::system(), &first).unwrap();
    let (id, asset) = (AccountId::new(&book("home"), "other").unwrap(), "USD".parse().unwrap());
    target.open_account(&Account { id, asset, kind: AccountKind::Expense, min_balance: None }).unwrap();
    // It stops behind the book before the one that is there otherwise.
    let report = migrate_ledger(&source, Some(&target), false, &mut |events| {
        if events > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert!(report.stopped && report.new_events == 3 && report.verified, "{report:?}");
}
