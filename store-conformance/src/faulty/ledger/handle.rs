//! The reference with some calls replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{
    Account, AccountId, Asset, AssetId, Balance, BookName, Clock, Draft, Event, HistoryRow, Ledger, LedgerFinding,
    LedgerRepair, LedgerResult, MemoryLedger, MemoryLedgerMedium, Receipt, Subscription, TimestampUs, Transaction,
    TrialRow,
};
use store_core::{Seq, TransactionId};

use crate::LedgerHarness;

/// What is done in place of a call.
type Register = fn(&Handle, &Asset) -> LedgerResult<()>;
type AskAsset = fn(&Handle, &AssetId) -> LedgerResult<Asset>;
type ListAssets = fn(&Handle) -> LedgerResult<Vec<Asset>>;
type Open = fn(&Handle, &Account) -> LedgerResult<()>;
type ListBooks = fn(&Handle) -> LedgerResult<Vec<BookName>>;
type ListAccounts = fn(&Handle, &BookName) -> LedgerResult<Vec<Account>>;
type Commit = fn(&Handle, &BookName, &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>>;
type AskBalance = fn(&Handle, &AccountId, Option<TimestampUs>) -> LedgerResult<Balance>;
type History = fn(&Handle, &AccountId, Seq, usize) -> LedgerResult<Vec<HistoryRow>>;
type Find = fn(&Handle, TransactionId) -> LedgerResult<Option<Transaction>>;
type Trial = fn(&Handle, &BookName, Option<TimestampUs>) -> LedgerResult<Vec<TrialRow>>;
type Events = fn(&Handle, &BookName, Seq, usize) -> LedgerResult<Vec<Event>>;
type Subscribe = fn(&Handle, &BookName, Seq) -> LedgerResult<Box<dyn Subscription>>;
type Snapshot = fn(&Handle, &BookName) -> LedgerResult<()>;
type Adopt = fn(&Handle, &BookName, &[Event]) -> LedgerResult<u64>;
type Repair = fn(&Handle, Option<&BookName>, &MaintenanceOptions) -> LedgerResult<LedgerRepair>;
type Examine = fn(&Handle) -> LedgerResult<Vec<LedgerFinding>>;
type Shutdown = fn(&Handle) -> LedgerResult<()>;

/// Which calls are replaced, and by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) register: Option<Register>,
    pub(super) asset: Option<AskAsset>,
    pub(super) assets: Option<ListAssets>,
    pub(super) open: Option<Open>,
    pub(super) books: Option<ListBooks>,
    pub(super) accounts: Option<ListAccounts>,
    pub(super) commit: Option<Commit>,
    pub(super) balance: Option<AskBalance>,
    pub(super) history: Option<History>,
    pub(super) find: Option<Find>,
    pub(super) trial: Option<Trial>,
    pub(super) events: Option<Events>,
    pub(super) subscribe: Option<Subscribe>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) adopt: Option<Adopt>,
    pub(super) examine: Option<Examine>,
    pub(super) repair: Option<Repair>,
    pub(super) shutdown: Option<Shutdown>,
}

impl Rules {
    /// Every call does what the contract says.
    pub(super) const KEPT: Self = Self {
        register: None,
        asset: None,
        assets: None,
        open: None,
        books: None,
        accounts: None,
        commit: None,
        balance: None,
        history: None,
        find: None,
        trial: None,
        events: None,
        subscribe: None,
        snapshot: None,
        adopt: None,
        examine: None,
        repair: None,
        shutdown: None,
    };
}

/// What a ledger with a fault is kept in.
#[derive(Debug)]
pub(super) struct FaultyHarness {
    medium: MemoryLedgerMedium,
    busy: Arc<AtomicUsize>,
    opened: AtomicU64,
    rules: Rules,
}

impl FaultyHarness {
    pub(super) fn new(rules: Rules) -> Self {
        Self { medium: MemoryLedgerMedium::default(), busy: Arc::default(), opened: AtomicU64::default(), rules }
    }
}

impl LedgerHarness for FaultyHarness {
    fn fresh() -> Self {
        Self::new(Rules::KEPT)
    }

    fn open(&self, clock: &Clock, count: usize) -> LedgerResult<Vec<Box<dyn Ledger>>> {
        let reopened = self.opened.fetch_add(1, Ordering::SeqCst);
        let handle = |number| {
            let inner = MemoryLedger::open(&self.medium, clock.clone());
            let (clock, busy, rules) = (clock.clone(), Arc::clone(&self.busy), self.rules);
            let medium = self.medium.clone();
            let notes = AtomicU64::default();
            Box::new(Handle { inner, medium, clock, busy, reopened, number, notes, rules }) as Box<dyn Ledger>
        };
        Ok((0..count).map(handle).collect())
    }

    fn patience(&self) -> Duration {
        // What has to come stands there when it is waited for.
        Duration::from_millis(100)
    }

    fn damage(&self, book: &BookName, seq: Seq) -> bool {
        self.medium.damage(book, seq)
    }
}

/// A handle with a fault.
pub(super) struct Handle {
    /// The reference.
    pub(super) inner: MemoryLedger,
    pub(super) medium: MemoryLedgerMedium,
    pub(super) clock: Clock,
    busy: Arc<AtomicUsize>,
    /// How often the ledger was opened before.
    pub(super) reopened: u64,
    /// Which of the handles of its opening.
    pub(super) number: usize,
    /// What a fault remembers.
    pub(super) notes: AtomicU64,
    rules: Rules,
}

impl Handle {
    /// Does `work`, for a while, and says whether somebody else was doing something meanwhile.
    pub(super) fn beside<T>(&self, work: impl FnOnce(bool) -> T) -> T {
        let was_busy = self.busy.fetch_add(1, Ordering::SeqCst) > 0;
        thread::sleep(Duration::from_micros(300));
        let done = work(was_busy);
        self.busy.fetch_sub(1, Ordering::SeqCst);
        done
    }

    /// The same ledger with another clock.
    pub(super) fn at(&self, clock: Clock) -> MemoryLedger {
        MemoryLedger::open(&self.medium, clock)
    }

    /// A ledger that is not this one at all.
    pub(super) fn elsewhere(&self) -> MemoryLedger {
        MemoryLedger::open(&MemoryLedgerMedium::default(), self.clock.clone())
    }

    /// Commits each draft by itself, as `one` does.
    pub(super) fn each(
        drafts: &[Draft],
        one: impl FnMut(&Draft) -> LedgerResult<Receipt>,
    ) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        Ok(drafts.iter().map(one).collect())
    }

    /// Every transaction of a book.
    pub(super) fn drafts(&self, book: &BookName) -> Vec<(Event, Draft)> {
        let events = self.inner.read_events(book, Seq(1), usize::MAX).unwrap_or_default();
        let draft = |event: Event| match event.body.clone() {
            store_core::ledger::EventBody::Transaction(draft) => Some((event, draft)),
            _ => None,
        };
        events.into_iter().filter_map(draft).collect()
    }
}

macro_rules! pass_on {
    ($self:ident, $rule:ident => $call:ident($($argument:expr),*)) => {
        match $self.rules.$rule {
            Some(rule) => rule($self, $($argument),*),
            None => $self.inner.$call($($argument),*),
        }
    };
}

impl Ledger for Handle {
    fn register_asset(&self, asset: &Asset) -> LedgerResult<()> {
        pass_on!(self, register => register_asset(asset))
    }

    fn asset(&self, id: &AssetId) -> LedgerResult<Asset> {
        pass_on!(self, asset => asset(id))
    }

    fn list_assets(&self) -> LedgerResult<Vec<Asset>> {
        pass_on!(self, assets => list_assets())
    }

    fn open_account(&self, account: &Account) -> LedgerResult<()> {
        pass_on!(self, open => open_account(account))
    }

    fn list_books(&self) -> LedgerResult<Vec<BookName>> {
        pass_on!(self, books => list_books())
    }

    fn list_accounts(&self, book: &BookName) -> LedgerResult<Vec<Account>> {
        pass_on!(self, accounts => list_accounts(book))
    }

    fn commit_batch(&self, book: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        pass_on!(self, commit => commit_batch(book, drafts))
    }

    fn balance(&self, account: &AccountId, as_of: Option<TimestampUs>) -> LedgerResult<Balance> {
        pass_on!(self, balance => balance(account, as_of))
    }

    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>> {
        pass_on!(self, history => account_history(account, after, limit))
    }

    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>> {
        pass_on!(self, find => transaction(id))
    }

    fn trial_balance(&self, book: &BookName, as_of: Option<TimestampUs>) -> LedgerResult<Vec<TrialRow>> {
        pass_on!(self, trial => trial_balance(book, as_of))
    }

    fn read_events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        pass_on!(self, events => read_events(book, from, limit))
    }

    fn subscribe(&self, book: &BookName, from: Seq) -> LedgerResult<Box<dyn Subscription>> {
        pass_on!(self, subscribe => subscribe(book, from))
    }

    fn snapshot_now(&self, book: &BookName) -> LedgerResult<()> {
        pass_on!(self, snapshot => snapshot_now(book))
    }

    fn adopt_events(&self, book: &BookName, events: &[Event]) -> LedgerResult<u64> {
        pass_on!(self, adopt => adopt_events(book, events))
    }

    fn examine(&self) -> LedgerResult<Vec<LedgerFinding>> {
        pass_on!(self, examine => examine())
    }

    fn repair(&self, book: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair> {
        pass_on!(self, repair => repair(book, options))
    }

    fn shutdown(&self) -> LedgerResult<()> {
        pass_on!(self, shutdown => shutdown())
    }
}
