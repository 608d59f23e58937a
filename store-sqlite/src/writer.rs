//! The connection of a handle that writes: its transactions, alone and together, and what happens when one fails.
//!
//! A round of calls ([`crate::group`]) is one `BEGIN IMMEDIATE` transaction with a savepoint around each call, so that a call
//! that fails leaves nothing and touches no other. If the transaction itself fails, all calls are run again, each in one of its
//! own: whoever would have succeeded alone succeeds. After a failed sync nothing is run again.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use store_core::group_commit::Poisoned;
use store_core::{Durability, StoreError};

use crate::connection::{configure, guard};
use crate::disk::{FileId, Place};
use crate::error::{Error, Result, busy, failed_sync};
use crate::group::{Call, Group};
use crate::health::Health;
use crate::last_end::LastEnd;
use crate::transaction::Transaction;

/// The size that the write-ahead log is cut back to when it starts over, in bytes.
const LOG_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// What writes for one handle.
pub(crate) struct Writer {
    place: Place,
    file: FileId,
    health: Arc<Health>,
    group: Group,
    session: Mutex<Session>,
    last_end: Arc<LastEnd>,
}

/// The connection, which one thread has at a time.
struct Session {
    connection: Connection,
    /// What `PRAGMA synchronous` is set to; `None` if that is not known.
    durability: Option<Durability>,
}

impl Writer {
    pub(crate) fn new(place: Place, connection: Connection) -> Result<Self> {
        let file = place.file_id()?.ok_or_else(|| place.missing())?;
        let session = Mutex::new(Session { connection, durability: None });
        Ok(Self { place, file, health: Health::of(file), group: Group::default(), session, last_end: Arc::default() })
    }

    /// Runs `work` in a write transaction that it may share with calls of other threads, and commits it with this
    /// durability at least. If `work` fails nothing of it is written. It may run more than once.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl Fn(&Connection) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let last_end = Arc::clone(&self.last_end);
        self.append(durability, move |transaction| {
            last_end.forget();
            work(transaction)
        })
    }

    /// The same for work that does nothing but append to a segment, and says so to [`Writer::last_end`].
    pub(crate) fn append<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl Fn(&Connection) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let answer = self.group.call(durability, work, |calls| self.round(calls));
        let answer = answer.unwrap_or_else(|Poisoned { reason }| Err(failed_sync(self.place.path(), &reason).into()));
        answer.map_err(|error| error.at(self.place.path()))
    }

    /// Runs `work` in one write transaction of its own, beside the queue.
    pub(crate) fn write_alone<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let mut session = guard(&self.session);
        self.refuse_failed()?;
        self.last_end.forget();
        let begun = self.begin(&mut session, durability);
        let done = begun.and_then(|transaction| {
            let done = work(&transaction).map_err(|error| error.at(self.place.path()))?;
            self.commit(transaction).map(|()| done)
        });
        if let Err(error) = &done
            && error.is_failed_sync()
        {
            self.health.fail(&error.to_string());
        }
        done
    }

    /// Brings everything that was committed to stable storage, by whomever it was committed.
    pub(crate) fn sync_log(&self) -> Result<()> {
        self.refuse_failed()?;
        self.place.sync_log().map_err(|error| {
            self.health.fail(&error.to_string());
            error.into()
        })
    }

    fn refuse_failed(&self) -> Result<()> {
        match self.health.failed() {
            Some(reason) => Err(failed_sync(self.place.path(), &reason).into()),
            None => Ok(()),
        }
    }

    /// What is remembered of the last append.
    pub(crate) const fn last_end(&self) -> &Arc<LastEnd> {
        &self.last_end
    }

    /// The database that was opened.
    pub(crate) const fn file(&self) -> FileId {
        self.file
    }

    /// Settles every call of a round.
    ///
    /// # Errors
    /// What a sync failed with, now or earlier. Calls that are not settled then were not run.
    fn round(&self, calls: &[Arc<dyn Call>]) -> Result<(), Arc<str>> {
        let mut session = guard(&self.session);
        if let Some(reason) = self.health.failed() {
            return Err(reason);
        }
        if calls.len() > 1 {
            match self.commit_together(&mut session, calls) {
                Ok(true) => return Ok(()),
                Err(error) if error.is_failed_sync() => return Err(self.fail(calls, &error)),
                // Each of them would wait as long as this round did.
                Err(error) if error.is_busy() => {
                    calls.iter().for_each(|call| call.fail(busy(Some(self.place.path()))));
                    return Ok(());
                }
                Ok(false) | Err(_) => {}
            }
        }
        for (at, call) in calls.iter().enumerate() {
            match self.commit_call(&mut session, &**call) {
                Ok(()) => {}
                Err(error) if error.is_failed_sync() => return Err(self.fail(&calls[at..], &error)),
                Err(error) => call.fail(error.into()),
            }
        }
        Ok(())
    }

    /// Settles calls whose sync failed.
    fn fail(&self, calls: &[Arc<dyn Call>], error: &Error) -> Arc<str> {
        let reason = self.health.fail(&error.to_string());
        calls.iter().for_each(|call| call.fail(failed_sync(self.place.path(), &reason)));
        reason
    }

    /// Runs calls in one transaction, each under a savepoint, and commits those that succeed. `false`: SQLite gave up the
    /// transaction because of one of them, so that none is written.
    fn commit_together(&self, session: &mut Session, calls: &[Arc<dyn Call>]) -> Result<bool> {
        let at = |error: rusqlite::Error| Error::from(error).at(self.place.path());
        let synced = calls.iter().any(|call| call.durability() == Durability::Synced);
        let transaction = self.begin(session, if synced { Durability::Synced } else { Durability::Buffered })?;
        let taken_back = TakenBack(Some(&self.last_end));
        let mut kept = false;
        for call in calls {
            let succeeded = transaction.in_savepoint(|connection| call.run(connection)).map_err(at)?;
            if transaction.is_autocommit() {
                return Ok(false);
            }
            if !succeeded {
                self.last_end.forget();
            }
            kept |= succeeded;
        }
        if kept {
            transaction.commit().map_err(at)?;
            taken_back.not();
        }
        Ok(true)
    }

    /// Runs a call in a transaction of its own.
    fn commit_call(&self, session: &mut Session, call: &dyn Call) -> Result<()> {
        let transaction = self.begin(session, call.durability())?;
        let taken_back = TakenBack(Some(&self.last_end));
        if call.run(&transaction) {
            self.commit(transaction)?;
            taken_back.not();
        }
        Ok(())
    }

    fn begin<'a>(&self, session: &'a mut Session, durability: Durability) -> Result<Transaction<'a>> {
        self.place.refuse_replaced(self.file)?;
        let at = |error: Error| error.at(self.place.path());
        session.roll_back_leftover().map_err(at)?;
        session.set(durability).map_err(at)?;
        Transaction::to_write(&session.connection).map_err(|error| at(error.into()))
    }

    fn commit(&self, transaction: Transaction<'_>) -> Result<()> {
        transaction.commit().map_err(|error| Error::from(error).at(self.place.path()))
    }
}

/// A transaction that is rolled back unless somebody says otherwise, and what was remembered in it with it.
struct TakenBack<'a>(Option<&'a LastEnd>);

impl TakenBack<'_> {
    fn not(mut self) {
        self.0 = None;
    }
}

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        if let Some(last_end) = self.0 {
            last_end.forget();
        }
    }
}

impl Session {
    /// A transaction that could neither be committed nor rolled back when its call failed is rolled back now.
    fn roll_back_leftover(&self) -> Result<()> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    fn set(&mut self, durability: Durability) -> Result<()> {
        if self.durability != Some(durability) {
            self.durability = None;
            let level = match durability {
                Durability::Synced => "FULL",
                Durability::Buffered => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.durability = Some(durability);
        }
        Ok(())
    }
}

/// Opens the connection that writes. Nothing is written by opening it.
pub(crate) fn open(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection, busy_timeout)?;
    if connection.is_readonly(rusqlite::MAIN_DB)? {
        return Err(StoreError::ReadOnly.into());
    }
    // On macOS a plain fsync leaves the bytes in the drive's cache. Elsewhere these two change nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    Ok(connection)
}

/// Puts the database into write-ahead mode, which it keeps.
pub(crate) fn use_write_ahead_log(connection: &Connection) -> Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Unsupported { what: "a write-ahead log" }.into());
    }
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_memory() -> Session {
        Session { connection: Connection::open_in_memory().unwrap(), durability: None }
    }

    #[test]
    fn a_synced_commit_syncs_the_log_and_a_buffered_one_does_not() {
        let mut session = in_memory();
        // 1 is NORMAL, 2 is FULL: sqlite.org/pragma.html#pragma_synchronous.
        for (durability, level) in [(Durability::Synced, 2), (Durability::Buffered, 1), (Durability::Synced, 2)] {
            session.set(durability).unwrap();
            let found: i32 = session.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            assert_eq!(found, level, "{durability:?}");
        }
    }

    #[test]
    fn a_transaction_that_was_left_open_is_rolled_back_before_the_next() {
        let session = in_memory();
        session.connection.execute_batch("BEGIN; CREATE TABLE leftover (x)").unwrap();
        session.roll_back_leftover().unwrap();
        assert!(session.connection.is_autocommit());
        assert!(!session.connection.table_exists(None, "leftover").unwrap());
    }

    /// A call that runs one statement. It counts how often it is run and keeps its last answer.
    struct Planted {
        sql: &'static str,
        runs: Mutex<u32>,
        answer: Mutex<Option<std::result::Result<(), String>>>,
    }

    impl Planted {
        fn new(sql: &'static str) -> Arc<Self> {
            Arc::new(Self { sql, runs: Mutex::default(), answer: Mutex::default() })
        }

        fn succeeded(&self) -> bool {
            self.answer.lock().unwrap().clone().unwrap().is_ok()
        }
    }

    impl Call for Planted {
        fn durability(&self) -> Durability {
            Durability::Buffered
        }

        fn run(&self, connection: &Connection) -> bool {
            *self.runs.lock().unwrap() += 1;
            let done = connection.execute_batch(self.sql).map_err(|error| error.to_string());
            let succeeded = done.is_ok();
            *self.answer.lock().unwrap() = Some(done);
            succeeded
        }

        fn fail(&self, error: StoreError) {
            *self.answer.lock().unwrap() = Some(Err(error.to_string()));
        }
    }

    /// Runs a round on a new database and answers with what it wrote.
    fn rows_after(calls: &[Arc<Planted>]) -> Vec<i64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x UNIQUE)").unwrap();
        let place = Place::resolve(&path, false).unwrap();
        let writer = Writer::new(place, open(&path, Duration::ZERO).unwrap()).unwrap();
        let calls: Vec<Arc<dyn Call>> = calls.iter().map(|call| Arc::<Planted>::clone(call) as Arc<dyn Call>).collect();
        writer.round(&calls).unwrap();
        let session = guard(&writer.session);
        let mut statement = session.connection.prepare("SELECT x FROM t ORDER BY x").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(std::result::Result::unwrap).collect()
    }

    #[test]
    fn a_call_that_fails_leaves_nothing_and_touches_no_other() {
        let calls = [
            Planted::new("INSERT INTO t VALUES (1)"),
            Planted::new("INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)"),
            Planted::new("INSERT INTO t VALUES (3)"),
        ];
        assert_eq!(rows_after(&calls), [1, 3]);
        assert_eq!(calls.each_ref().map(|call| call.succeeded()), [true, false, true]);
        assert!(calls.iter().all(|call| *call.runs.lock().unwrap() == 1), "no call has to be run again");
    }

    #[test]
    fn a_call_that_takes_the_transaction_with_it_takes_no_other_call_with_it() {
        let calls = [
            Planted::new("INSERT INTO t VALUES (1)"),
            Planted::new("INSERT OR ROLLBACK INTO t VALUES (1)"),
            Planted::new("INSERT INTO t VALUES (3)"),
        ];
        assert_eq!(rows_after(&calls), [1, 3]);
        assert_eq!(calls.each_ref().map(|call| call.succeeded()), [true, false, true]);
    }

    #[test]
    fn a_round_whose_calls_all_fail_writes_nothing() {
        let calls = [Planted::new("INSERT INTO nowhere VALUES (1)"), Planted::new("INSERT INTO nowhere VALUES (2)")];
        assert_eq!(rows_after(&calls), Vec::<i64>::new());
    }
}
