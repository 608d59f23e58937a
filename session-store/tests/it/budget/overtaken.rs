//! Somebody else posts between a look at the ledger and the posting that follows from it.

use std::sync::Mutex;

use session_store::budget::{Budgets, Per};
use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{
    Account, AccountId, Asset, AssetId, Balance, BookName, Draft, Event, HistoryRow, Ledger, LedgerRepair,
    LedgerResult, Receipt, Subscription, TimestampUs, Transaction, TrialRow,
};
use store_core::{Seq, TransactionId};

use super::{cents_of, on_every_ledger, request};
use crate::common::NOW;

/// A ledger in which something happens before the next batch is committed.
struct Overtaken<'a> {
    ledger: &'a dyn Ledger,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl Ledger for Overtaken<'_> {
    fn commit_batch(&self, book: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        self.ledger.commit_batch(book, drafts)
    }

    fn register_asset(&self, asset: &Asset) -> LedgerResult<()> {
        self.ledger.register_asset(asset)
    }

    fn asset(&self, id: &AssetId) -> LedgerResult<Asset> {
        self.ledger.asset(id)
    }

    fn list_assets(&self) -> LedgerResult<Vec<Asset>> {
        self.ledger.list_assets()
    }

    fn open_account(&self, account: &Account) -> LedgerResult<()> {
        self.ledger.open_account(account)
    }

    fn list_books(&self) -> LedgerResult<Vec<BookName>> {
        self.ledger.list_books()
    }

    fn list_accounts(&self, book: &BookName) -> LedgerResult<Vec<Account>> {
        self.ledger.list_accounts(book)
    }

    fn balance(&self, account: &AccountId, as_of: Option<TimestampUs>) -> LedgerResult<Balance> {
        self.ledger.balance(account, as_of)
    }

    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>> {
        self.ledger.account_history(account, after, limit)
    }

    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>> {
        self.ledger.transaction(id)
    }

    fn trial_balance(&self, book: &BookName, as_of: Option<TimestampUs>) -> LedgerResult<Vec<TrialRow>> {
        self.ledger.trial_balance(book, as_of)
    }

    fn read_events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        self.ledger.read_events(book, from, limit)
    }

    fn subscribe(&self, book: &BookName, from: Seq) -> LedgerResult<Box<dyn Subscription>> {
        self.ledger.subscribe(book, from)
    }

    fn snapshot_now(&self, book: &BookName) -> LedgerResult<()> {
        self.ledger.snapshot_now(book)
    }

    fn adopt_events(&self, book: &BookName, events: &[Event]) -> LedgerResult<u64> {
        self.ledger.adopt_events(book, events)
    }

    fn repair(&self, book: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair> {
        self.ledger.repair(book, options)
    }

    fn shutdown(&self) -> LedgerResult<()> {
        self.ledger.shutdown()
    }
}

#[test]
fn of_two_who_post_a_request_at_once_neither_is_forgotten() {
    on_every_ledger(|scheme, desk| {
        let budget = desk.set("/web", Per::Total, 1000);
        // The second is posted between the look of the first and its posting: under the same key, with another amount.
        let mut one = request("r:1", "/web", NOW, 3);
        for cents in [3, 10] {
            one.usage.cost = Some(cents_of(cents).to_string());
            let other = request("r:1", "/web", NOW, 20 * cents);
            let ledger = Overtaken {
                ledger: &*desk.ledger,
                meanwhile: Mutex::new(Some(Box::new(|| {
                    desk.budgets().charge_budget(&budget, std::slice::from_ref(&other)).unwrap();
                }))),
            };
            let overtaken = Budgets { ledger: &ledger, ..desk.budgets() };
            overtaken.charge_budget(&budget, std::slice::from_ref(&one)).unwrap();
            assert_eq!(desk.told("/web")[0].0, cents, "{scheme}: who tells of all is right in the end");
        }
    });
}
