//! The ledger, in the file of the sessions.
//!
//! Any number of handles in any number of processes may write. A batch is one transaction, which batches of other threads may share: it is judged by
//! what the tables say at that moment, and its events, the accounts and their balances are written together. So the tables that follow from the
//! events are never behind them, and nothing has to be read to open a ledger. The price is that writers of one file wait for each other.

mod adopt;
mod examine;
mod read;
mod repair;
mod row;
mod write;

pub(crate) use self::adopt::adopt_in;
pub(crate) use self::row::checksum as event_checksum;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;
use store_core::StoreError;
use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{
    Account, AccountId, Asset, AssetId, Balance, BookName, Clock, Draft, Event, EventSource, HistoryRow, Ledger,
    LedgerError, LedgerFinding, LedgerRepair, LedgerResult, Receipt, SourceSubscription, Subscription, TimestampUs,
    Transaction, TrialRow,
};
use store_core::{Seq, TransactionId};

use crate::connection::Connections;
use crate::error::Result;
use crate::open::SqliteOptions;
use crate::schema;
use crate::store::SqliteStore;

/// A [`Ledger`] in the database of a [`SqliteStore`].
///
/// Clones are handles on the same opened ledger.
#[derive(Clone)]
pub struct SqliteLedger(Arc<Shared>);

struct Shared {
    /// `None` once it was shut down. Each call holds it for reading, so that shutting down waits for them.
    open: RwLock<Option<Open>>,
}

struct Open {
    store: SqliteStore,
    clock: Clock,
}

impl std::fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("SqliteLedger").field(&open.as_ref().map(|open| &open.store)).finish()
    }
}

impl SqliteLedger {
    /// Opens the ledger of the store in the database at `path`, with a handle of its own; makes the store if it is missing.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open(path: impl AsRef<Path>, clock: Clock) -> LedgerResult<Self> {
        Self::open_with(path, &SqliteOptions::default(), clock)
    }

    /// As [`open`](Self::open), as `options` say. Whatever they say of durability, what is written to a ledger is synced.
    ///
    /// # Errors
    /// As [`SqliteStore::open_with`].
    pub fn open_with(path: impl AsRef<Path>, options: &SqliteOptions, clock: Clock) -> LedgerResult<Self> {
        let store = SqliteStore::open_with(path, options)?;
        Ok(Self(Arc::new(Shared { open: RwLock::new(Some(Open { store, clock })) })))
    }
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&Open) -> LedgerResult<T>) -> LedgerResult<T> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        work(open.as_ref().ok_or(LedgerError::ShutDown)?)
    }

    /// Asks the tables, in one read transaction. A database of a version without a ledger has an empty one, which `work` is not asked.
    fn ask<T: Default>(&self, work: impl Fn(&Connection) -> Result<LedgerResult<T>>) -> LedgerResult<T> {
        self.with(|open| {
            let asked = open.connections().read(|connection| {
                if schema::has_ledger(connection)? { work(connection) } else { Ok(Ok(T::default())) }
            });
            asked.map_err(StoreError::from)?
        })
    }
}

impl Open {
    fn connections(&self) -> &Connections {
        self.store.connections()
    }
}

impl EventSource for Shared {
    fn events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        self.ask(|connection| read::events(connection, book, from, limit))
    }
}

impl Ledger for SqliteLedger {
    fn register_asset(&self, asset: &Asset) -> LedgerResult<()> {
        self.0.with(|open| write::register_asset(open.connections(), &open.clock, asset))
    }

    fn asset(&self, id: &AssetId) -> LedgerResult<Asset> {
        let found = self.0.ask(|connection| Ok(Ok(row::asset(connection, id)?)))?;
        found.ok_or_else(|| LedgerError::UnknownAsset { asset: id.clone() })
    }

    fn list_assets(&self) -> LedgerResult<Vec<Asset>> {
        self.0.ask(read::assets)
    }

    fn open_account(&self, account: &Account) -> LedgerResult<()> {
        self.0.with(|open| write::open_account(open.connections(), &open.clock, account))
    }

    fn list_books(&self) -> LedgerResult<Vec<BookName>> {
        self.0.ask(read::books)
    }

    fn list_accounts(&self, book: &BookName) -> LedgerResult<Vec<Account>> {
        self.0.ask(|connection| read::accounts(connection, book))
    }

    fn commit_batch(&self, book: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        self.0.with(|open| write::commit_batch(open.connections(), &open.clock, book, drafts))
    }

    fn balance(&self, account: &AccountId, as_of: Option<TimestampUs>) -> LedgerResult<Balance> {
        let found = self.0.ask(|connection| read::balance(connection, account, as_of))?;
        found.ok_or_else(|| LedgerError::UnknownAccount { account: account.clone() })
    }

    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>> {
        let found = self.0.ask(|connection| read::history(connection, account, after, limit))?;
        found.ok_or_else(|| LedgerError::UnknownAccount { account: account.clone() })
    }

    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>> {
        self.0.ask(|connection| read::transaction(connection, id))
    }

    fn trial_balance(&self, book: &BookName, as_of: Option<TimestampUs>) -> LedgerResult<Vec<TrialRow>> {
        self.0.ask(|connection| read::trial_balance(connection, book, as_of))
    }

    fn read_events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        self.0.events(book, from, limit)
    }

    fn subscribe(&self, book: &BookName, from: Seq) -> LedgerResult<Box<dyn Subscription>> {
        self.0.with(|_| Ok(()))?;
        let source: Arc<dyn EventSource> = Arc::<Shared>::clone(&self.0);
        Ok(Box::new(SourceSubscription::new(source, book.clone(), from)))
    }

    fn snapshot_now(&self, book: &BookName) -> LedgerResult<()> {
        // The tables are the state at every moment.
        let is_known = self.0.ask(|connection| Ok(Ok(row::end(connection, book)?.is_some())))?;
        if is_known { Ok(()) } else { Err(LedgerError::UnknownBook { book: book.clone() }) }
    }

    fn adopt_events(&self, book: &BookName, events: &[Event]) -> LedgerResult<u64> {
        self.0.with(|open| adopt::adopt_events(open.connections(), book, events))
    }

    fn examine(&self) -> LedgerResult<Vec<LedgerFinding>> {
        let mut findings = self.0.ask(examine::beside_books)?;
        for book in self.list_books()? {
            findings.extend(self.0.ask(|connection| examine::tables(connection, &book))?);
            let mut next = Seq(1);
            loop {
                let (found, last) = self.0.ask(|connection| examine::columns(connection, &book, next))?;
                findings.extend(found);
                if last < next {
                    break;
                }
                next = last.next();
            }
        }
        Ok(findings)
    }

    fn repair(&self, book: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair> {
        self.0.with(|open| repair::repair(open.connections(), &open.clock, book, options))
    }

    fn shutdown(&self) -> LedgerResult<()> {
        let open = self.0.open.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(open);
        Ok(())
    }
}
