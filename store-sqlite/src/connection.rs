//! The connections of one handle: one that writes ([`Writer`]), and a few that read beside it.
//!
//! A handle that is open for reading only has none that writes, and its reading ones write nothing either
//! ([`crate::reading`]).

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use store_core::call::{self, Prepared};
use store_core::{Durability, StoreError};

use crate::disk::{FileId, Place};
use crate::error::Result;
use crate::open::{DurabilityPolicy, SqliteOptions};
use crate::reading::{self, Idle};
use crate::store_lock::StoreLock;
use crate::transaction::Transaction;
use crate::writer::Writer;

/// Statements kept prepared per connection: more than this crate has.
const STATEMENTS_MAX: usize = 64;

/// All connections of one handle.
pub(crate) struct Connections {
    place: Place,
    durability: DurabilityPolicy,
    busy_timeout: Duration,
    access: Access,
}

enum Access {
    Writing(Box<Writing>),
    /// A tail's, which goes on when the handle that made it is closed.
    Following {
        file: FileId,
        reader: Mutex<Connection>,
    },
    Reading(Arc<Idle>),
}

struct Writing {
    /// Closed before the writer: the last connection brings the log into the database and removes it, which one that
    /// only reads cannot.
    readers: Pool,
    writer: Writer,
    /// Last, so that it is given up when the connections are closed.
    lock: Arc<StoreLock>,
}

impl Connections {
    /// The connections of a handle that holds the store's lock.
    pub(crate) fn writing(place: Place, lock: StoreLock, writer: Connection, options: &SqliteOptions) -> Result<Self> {
        let writing = Writing {
            readers: Pool::new(options.readers_max),
            writer: Writer::new(place.clone(), writer)?,
            lock: Arc::new(lock),
        };
        Ok(Self::new(place, Access::Writing(Box::new(writing)), options))
    }

    /// The connections of a handle that writes nothing.
    pub(crate) fn reading(place: Place, options: &SqliteOptions) -> Self {
        Self::new(place, Access::Reading(Arc::new(Idle::new(options.readers_max))), options)
    }

    /// A connection of its own for a tail of this handle. It holds no lock of the store.
    pub(crate) fn following(&self) -> Result<Self> {
        let access = match &self.access {
            Access::Writing(writing) => {
                let reader =
                    open_reader(&self.place, self.busy_timeout).map_err(|error| error.at(self.place.path()))?;
                Access::Following { file: writing.writer.file(), reader: Mutex::new(reader) }
            }
            // A connection that may write the log's index would not be one that writes nothing.
            Access::Following { .. } | Access::Reading(_) => Access::Reading(Arc::new(Idle::new(1))),
        };
        Ok(Self { place: self.place.clone(), durability: self.durability, busy_timeout: self.busy_timeout, access })
    }

    fn new(place: Place, access: Access, options: &SqliteOptions) -> Self {
        let busy_timeout = Duration::from_millis(options.busy_timeout_ms.into());
        Self { place, durability: options.durability, busy_timeout, access }
    }

    /// What a call is committed with, whatever it was asked for.
    pub(crate) fn durability_of(&self, asked: Option<Durability>, entries: &[Prepared]) -> Durability {
        asked.unwrap_or_else(|| match self.durability {
            DurabilityPolicy::Turn => call::durability_by_policy(entries),
            DurabilityPolicy::Always(durability) => durability,
        })
    }

    /// What a fact is committed with.
    pub(crate) const fn durability_of_facts(&self) -> Durability {
        match self.durability {
            DurabilityPolicy::Turn => Durability::Synced,
            DurabilityPolicy::Always(durability) => durability,
        }
    }

    /// Where the database stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether nothing can be written.
    pub(crate) fn is_read_only(&self) -> bool {
        !matches!(self.access, Access::Writing(_))
    }

    /// The hold on the store's lock, which keeps those out who need the store for themselves.
    pub(crate) fn lock(&self) -> Result<Arc<StoreLock>> {
        match &self.access {
            Access::Writing(writing) => Ok(Arc::clone(&writing.lock)),
            Access::Following { .. } | Access::Reading(_) => Err(StoreError::ReadOnly.into()),
        }
    }

    /// What writes.
    pub(crate) fn writer(&self) -> Result<&Writer> {
        match &self.access {
            Access::Writing(writing) => Ok(&writing.writer),
            Access::Following { .. } | Access::Reading(_) => Err(StoreError::ReadOnly.into()),
        }
    }

    /// Runs `work` in one read transaction. It may run more than once.
    pub(crate) fn read<T>(&self, work: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        match &self.access {
            Access::Writing(writing) => {
                let reader = writing.readers.take(|| open_reader(&self.place, self.busy_timeout))?;
                in_read_transaction(&reader, &work)
            }
            Access::Following { file, reader } => {
                self.place.refuse_replaced(*file)?;
                in_read_transaction(&guard(reader), &work)
            }
            Access::Reading(idle) => reading::read(&self.place, idle, self.busy_timeout, &work),
        }
        .map_err(|error| error.at(self.place.path()))
    }
}

pub(crate) fn in_read_transaction<T>(connection: &Connection, work: &impl Fn(&Connection) -> Result<T>) -> Result<T> {
    let transaction = Transaction::to_read(connection)?;
    work(&transaction)
}

/// A thread that panicked while it held the lock left its transaction to be rolled back, so what it left is whole.
pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_reader(place: &Place, busy_timeout: Duration) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(place.path(), flags)?;
    configure(&connection, busy_timeout)?;
    Ok(connection)
}

pub(crate) fn configure(connection: &Connection, busy_timeout: Duration) -> Result<()> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A database file is data from elsewhere: its schema may run nothing, and nobody edits its pages through SQL.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A plan that depends on bound values is made anew for each of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Connections that read, at most so many at a time; who finds all in use waits for one.
struct Pool {
    state: Mutex<PoolState>,
    freed: Condvar,
    open_max: usize,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Connection>,
    open: usize,
}

impl Pool {
    fn new(open_max: usize) -> Self {
        Self { state: Mutex::default(), freed: Condvar::new(), open_max: open_max.max(1) }
    }

    fn take(&self, open: impl FnOnce() -> Result<Connection>) -> Result<Pooled<'_>> {
        let mut state = guard(&self.state);
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(Pooled { pool: self, connection: Some(connection) });
            }
            if state.open < self.open_max {
                state.open += 1;
                break;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let mut pooled = Pooled { pool: self, connection: None };
        pooled.connection = Some(open()?);
        Ok(pooled)
    }
}

/// A connection that goes back to its pool.
struct Pooled<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("a pooled connection is open while it is lent"))
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut state = guard(&self.pool.state);
        match self.connection.take() {
            Some(connection) => state.idle.push(connection),
            None => state.open -= 1,
        }
        drop(state);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use store_core::NewEntry;

    use super::*;

    #[test]
    fn the_policy_holds_where_a_call_says_nothing_itself() {
        let folder = tempfile::tempdir().unwrap();
        let [input, quiet] = [r#"{"kind":"user_input","ts":1,"content":[]}"#, r#"{"kind":"quiet","ts":1}"#]
            .map(|text| call::prepare_append(&[NewEntry::text(text)]).unwrap());
        let with = |durability| {
            let place = Place::resolve(&folder.path().join("store.db"), false).unwrap();
            Connections::reading(place, &SqliteOptions { durability, ..SqliteOptions::default() })
        };
        let turn = with(DurabilityPolicy::Turn);
        assert_eq!(turn.durability_of(None, &input), Durability::Synced);
        assert_eq!(turn.durability_of(None, &quiet), Durability::Buffered);
        assert_eq!(turn.durability_of(Some(Durability::Buffered), &input), Durability::Buffered);
        assert_eq!(turn.durability_of_facts(), Durability::Synced);
        let buffered = with(DurabilityPolicy::Always(Durability::Buffered));
        assert_eq!(buffered.durability_of(None, &input), Durability::Buffered);
        assert_eq!(buffered.durability_of(Some(Durability::Synced), &quiet), Durability::Synced);
        assert_eq!(buffered.durability_of_facts(), Durability::Buffered);
    }
}
