//! Ledgers.

mod account;
mod adopt;
mod asset;
mod batch;
mod commit;
mod event;
mod handle;
mod key;
mod read;
mod repair;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store_core::TransactionId;
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, AssetId, BookName, Clock, Draft, Event, Ledger, LedgerResult, Posting,
    Receipt, TimestampUs,
};

pub(crate) use self::account::*;
pub(crate) use self::adopt::*;
pub(crate) use self::asset::*;
pub(crate) use self::batch::*;
pub(crate) use self::commit::*;
pub(crate) use self::event::*;
pub(crate) use self::handle::*;
pub(crate) use self::key::*;
pub(crate) use self::read::*;
pub(crate) use self::repair::*;
use super::fixture::{TIME, Works};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

/// What the clock shows at first, in microseconds. Not a whole millisecond.
pub(crate) const NOON: TimestampUs = TIME * 1000 + 7;

/// A ledger that is open, and the clock that it was opened with.
pub(crate) struct Desk<'h> {
    harness: &'h dyn LedgerHarness,
    time: Arc<AtomicU64>,
    handles: Vec<Box<dyn Ledger>>,
}

impl<'h> Desk<'h> {
    /// A ledger with nothing in it.
    pub(crate) fn empty(harness: &'h dyn LedgerHarness) -> Result<Self, Failure> {
        let mut desk = Self { harness, time: Arc::new(AtomicU64::new(NOON)), handles: Vec::new() };
        desk.open(1)?;
        Ok(desk)
    }

    /// A ledger with `USD` and `EUR`, and with the clearing accounts `a`, `b` and `c` of `USD` in the book `home`.
    pub(crate) fn new(harness: &'h dyn LedgerHarness) -> Result<Self, Failure> {
        let desk = Self::empty(harness)?;
        desk.register(&usd())?;
        desk.register(&eur())?;
        for path in ["a", "b", "c"] {
            desk.account(&clearing(path))?;
        }
        Ok(desk)
    }

    fn open(&mut self, count: usize) -> Outcome {
        let time = Arc::clone(&self.time);
        let clock: Clock = Arc::new(move || time.load(Ordering::SeqCst));
        self.handles = self.harness.open(&clock, count).works("opening a ledger that nobody has open")?;
        Ok(())
    }

    /// Shuts the ledger down and opens it again.
    pub(crate) fn reopen(&mut self) -> Outcome {
        self.close()?;
        self.open(1)
    }

    /// Shuts the ledger down.
    pub(crate) fn close(&mut self) -> Outcome {
        self.handles.drain(..).try_for_each(|handle| handle.shutdown().works("shutting down"))
    }

    /// Opens it again, with this many handles.
    pub(crate) fn reopen_as(&mut self, count: usize) -> Outcome {
        self.handles.clear();
        self.open(count)
    }

    pub(crate) fn set_clock(&self, time: TimestampUs) {
        self.time.store(time, Ordering::SeqCst);
    }

    /// The first handle.
    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.handles[0]
    }

    pub(crate) fn handle(&self, n: usize) -> &dyn Ledger {
        &*self.handles[n % self.handles.len()]
    }

    pub(crate) fn register(&self, asset: &Asset) -> Outcome {
        self.ledger().register_asset(asset).works("registering an asset")
    }

    pub(crate) fn account(&self, account: &Account) -> Outcome {
        self.ledger().open_account(account).works("opening an account")
    }

    pub(crate) fn commit(&self, draft: &Draft) -> Result<Receipt, Failure> {
        self.try_commit(draft).works("committing a transaction")
    }

    pub(crate) fn try_commit(&self, draft: &Draft) -> LedgerResult<Receipt> {
        self.ledger().commit(&home(), draft)
    }

    /// The balance of an account of `home`, and the event that changed it last.
    pub(crate) fn balance(&self, path: &str, as_of: Option<TimestampUs>) -> Result<(i64, u64), Failure> {
        let balance = self.ledger().balance(&id(path), as_of).works("asking for a balance")?;
        Ok((balance.amount, balance.updated_seq.0))
    }

    pub(crate) fn events(&self, book: &BookName) -> Result<Vec<Event>, Failure> {
        self.ledger().read_events(book, store_core::Seq(1), usize::MAX).works("reading the events of a book")
    }

    /// How many events `home` has.
    pub(crate) fn count(&self) -> Result<usize, Failure> {
        Ok(self.events(&home())?.len())
    }
}

/// A name that is one.
fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is a name"))
}

pub(crate) fn home() -> BookName {
    name("home")
}

pub(crate) fn away() -> BookName {
    name("away")
}

pub(crate) fn usd() -> Asset {
    Asset { id: name("USD"), precision: 2 }
}

pub(crate) fn eur() -> Asset {
    Asset { id: name("EUR"), precision: 3 }
}

/// An account of `home`.
pub(crate) fn id(path: &str) -> AccountId {
    in_book(&home(), path)
}

pub(crate) fn in_book(book: &BookName, path: &str) -> AccountId {
    AccountId::new(book, path).unwrap_or_else(|_| panic!("{path:?} is a path"))
}

/// An account of `USD` in `home`.
pub(crate) fn account_of(path: &str, kind: AccountKind, min_balance: Option<i64>) -> Account {
    Account { id: id(path), asset: usd().id, kind, min_balance }
}

pub(crate) fn clearing(path: &str) -> Account {
    account_of(path, AccountKind::Clearing, None)
}

/// The n-th transaction id of a check.
pub(crate) fn transaction(n: u64) -> TransactionId {
    TransactionId::derive(TIME + n, b"transaction")
}

/// The n-th draft of a check, with these postings.
pub(crate) fn draft_of(n: u64, postings: Vec<Posting>) -> Draft {
    Draft::new(transaction(n), format!("key {n}"), postings)
}

/// The n-th draft of a check: debits one account of `home` and credits another.
pub(crate) fn transfer(n: u64, debit: &str, credit: &str, amount: i64) -> Draft {
    draft_of(n, vec![Posting::debit(id(debit), amount), Posting::credit(id(credit), amount)])
}

/// An asset that is not registered.
pub(crate) fn unknown_asset() -> AssetId {
    name("XAU")
}
