//! The connections of one handle: one that writes ([`Writer`]), and a few that read beside it.
//!
//! A handle that is open for reading only has none that writes, and its reading ones write nothing either, not even the
//! index that SQLite keeps beside a write-ahead log; how they do that depends on whether somebody else has the
//! database open ([`Stillness`]).

use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use store_core::call::{self, Prepared};
use store_core::{Durability, StoreError};

use crate::disk::{FileId, Place, Stillness};
use crate::error::Result;
use crate::open::{DurabilityPolicy, SqliteOptions};
use crate::store_lock::StoreLock;
use crate::transaction::Transaction;
use crate::writer::Writer;

/// Statements kept prepared per connection: more than this crate has.
const STATEMENTS_MAX: usize = 64;
/// How often a read that writers disturb is tried at least, however short the wait is that the caller wants.
const READ_ATTEMPTS_MIN: u32 = 16;
const READ_PAUSE: Duration = Duration::from_millis(1);

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
    Reading {
        idle: Mutex<Vec<Snapshot>>,
        idle_max: usize,
    },
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
        Self::new(place, Access::Reading { idle: Mutex::default(), idle_max: options.readers_max }, options)
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
            Access::Following { .. } | Access::Reading { .. } => {
                Access::Reading { idle: Mutex::default(), idle_max: 1 }
            }
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
            Access::Following { .. } | Access::Reading { .. } => Err(StoreError::ReadOnly.into()),
        }
    }

    /// What writes.
    pub(crate) fn writer(&self) -> Result<&Writer> {
        match &self.access {
            Access::Writing(writing) => Ok(&writing.writer),
            Access::Following { .. } | Access::Reading { .. } => Err(StoreError::ReadOnly.into()),
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
            Access::Reading { idle, idle_max } => self.read_still(idle, *idle_max, &work),
        }
        .map_err(|error| error.at(self.place.path()))
    }

    /// Reads without writing: what a closed database answers counts only if nobody changed it meanwhile.
    fn read_still<T>(
        &self,
        idle: &Mutex<Vec<Snapshot>>,
        idle_max: usize,
        work: &impl Fn(&Connection) -> Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + self.busy_timeout;
        let mut attempts = 0;
        loop {
            let file = self.place.file_id()?.ok_or_else(|| self.place.missing())?;
            let stillness = self.place.stillness()?;
            let (answer, snapshot) = match self.snapshot(idle, file, stillness) {
                Ok(snapshot) => (in_read_transaction(snapshot.connection(), work), Some(snapshot)),
                Err(error) => (Err(error), None),
            };
            attempts += 1;
            let over = attempts >= READ_ATTEMPTS_MIN && Instant::now() >= deadline;
            let counts = match (stillness, &answer) {
                (Stillness::Live, Ok(_)) => true,
                (Stillness::Live, Err(error)) => over || !error.may_pass(),
                _ => self.place.stillness()? == stillness && self.place.file_id()? == Some(file),
            };
            if counts {
                let mut idle = guard(idle);
                if answer.is_ok() && idle.len() < idle_max {
                    idle.extend(snapshot);
                }
                return answer;
            }
            if over {
                let holder = format!("writers of {}", self.place.path().display());
                return Err(StoreError::Busy { holder, host: None, since: None }.into());
            }
            std::thread::sleep(READ_PAUSE);
        }
    }

    /// A connection that is good for the files as they are now.
    fn snapshot(&self, idle: &Mutex<Vec<Snapshot>>, file: FileId, stillness: Stillness) -> Result<Snapshot> {
        let mut idle = guard(idle);
        idle.retain(|snapshot| snapshot.file == file && snapshot.stillness == stillness);
        let known = idle.pop();
        drop(idle);
        known.map_or_else(|| Snapshot::open(&self.place, file, stillness, self.busy_timeout), Ok)
    }
}

fn in_read_transaction<T>(connection: &Connection, work: &impl Fn(&Connection) -> Result<T>) -> Result<T> {
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

/// A connection that writes nothing, as good as what it was opened on.
struct Snapshot {
    file: FileId,
    stillness: Stillness,
    connection: Option<Connection>,
}

impl Snapshot {
    /// Opens the database as it stands now.
    fn open(place: &Place, file: FileId, stillness: Stillness, busy_timeout: Duration) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_URI;
        let path = uri_path(place.path());
        let opened = match stillness {
            Stillness::Live => Connection::open_with_flags(format!("file:{path}?mode=ro&readonly_shm=1"), flags),
            Stillness::Still(_) => Connection::open_with_flags(format!("file:{path}?mode=ro&immutable=1"), flags),
            Stillness::Unindexed(_) => {
                // In exclusive mode SQLite keeps the log's index in its own memory. That mode wants a lock that a
                // read-only descriptor cannot have, and there is nobody to lock out: whoever writes makes an index.
                Connection::open_with_flags_and_vfs(format!("file:{path}?mode=ro"), flags, c"unix-none")
            }
        };
        let snapshot = Self { file, stillness, connection: Some(opened?) };
        let connection = snapshot.connection();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        configure(connection, busy_timeout)?;
        if matches!(stillness, Stillness::Unindexed(_)) {
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        Ok(snapshot)
    }

    fn connection(&self) -> &Connection {
        // Taken only by `drop`.
        self.connection.as_ref().unwrap_or_else(|| unreachable!("a snapshot keeps its connection while it lives"))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if matches!(self.stillness, Stillness::Unindexed(_)) {
            // Without locks SQLite closes the file at once, which would drop the locks that this process's other
            // connections hold on it. The descriptor is left to the end of the process instead.
            std::mem::forget(self.connection.take());
        }
    }
}

/// A path as it stands in a `file:` URI.
fn uri_path(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
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

    #[test]
    fn a_path_stands_in_a_uri_without_its_special_characters() {
        assert_eq!(uri_path(Path::new("/a b/50%?#é.db")), "/a%20b/50%25%3F%23%C3%A9.db");
    }
}
