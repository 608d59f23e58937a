//! Transactions whose statements stay prepared.
//!
//! The library's own transactions have `BEGIN` and `COMMIT` parsed anew each time, which is a tenth of the time of a small call. What they
//! promise holds here too: what is not committed is rolled back when the value goes.

use std::ops::Deref;

use rusqlite::Connection;

const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
const BEGIN_READ: &str = "BEGIN";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const SAVE: &str = "SAVEPOINT one_call";
const KEEP: &str = "RELEASE one_call";
const GO_BACK: &str = "ROLLBACK TO one_call";

/// A transaction that has begun. The caller has the connection for itself.
pub(crate) struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    /// Waits for the right to write, as long as the connection waits.
    pub(crate) fn to_write(connection: &'a Connection) -> rusqlite::Result<Self> {
        run(connection, BEGIN_WRITE)?;
        Ok(Self(connection))
    }

    /// Reads one state of the database: that of its first statement.
    pub(crate) fn to_read(connection: &'a Connection) -> rusqlite::Result<Self> {
        run(connection, BEGIN_READ)?;
        Ok(Self(connection))
    }

    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        run(self.0, COMMIT)
    }

    /// As [`in_savepoint`].
    pub(crate) fn in_savepoint(&self, work: impl FnOnce(&Connection) -> bool) -> rusqlite::Result<bool> {
        in_savepoint(self.0, work)
    }
}

/// Does `work` in the transaction that is open, of which nothing is left if it answers `false`. The transaction may be gone
/// afterwards, if SQLite gave it up. Savepoints may stand in each other: a name means the innermost of its kind.
pub(crate) fn in_savepoint(connection: &Connection, work: impl FnOnce(&Connection) -> bool) -> rusqlite::Result<bool> {
    run(connection, SAVE)?;
    let kept = work(connection);
    if connection.is_autocommit() {
        // There is no savepoint to go back to.
        return Ok(kept);
    }
    if !kept {
        run(connection, GO_BACK)?;
    }
    run(connection, KEEP)?;
    Ok(kept)
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // What cannot be rolled back now is, before the next transaction begins.
            let _ = run(self.0, ROLLBACK);
        }
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        connection
    }

    fn put(connection: &Connection, x: i64) -> bool {
        connection.execute("INSERT INTO t VALUES (?1)", [x]).is_ok()
    }

    fn rows(connection: &Connection) -> Vec<i64> {
        let mut statement = connection.prepare("SELECT x FROM t ORDER BY x").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_not_committed_is_rolled_back() {
        let connection = table();
        let transaction = Transaction::to_write(&connection).unwrap();
        assert!(put(&transaction, 1));
        drop(transaction);
        assert!(connection.is_autocommit());
        let transaction = Transaction::to_write(&connection).unwrap();
        assert!(put(&transaction, 2));
        transaction.commit().unwrap();
        assert_eq!(rows(&connection), [2]);
    }

    #[test]
    fn a_savepoint_leaves_nothing_of_what_was_refused() {
        let connection = table();
        let transaction = Transaction::to_write(&connection).unwrap();
        assert!(transaction.in_savepoint(|connection| put(connection, 1)).unwrap());
        assert!(!transaction.in_savepoint(|connection| !put(connection, 2)).unwrap());
        assert!(transaction.in_savepoint(|connection| put(connection, 3)).unwrap());
        transaction.commit().unwrap();
        assert_eq!(rows(&connection), [1, 3]);
    }

    #[test]
    fn a_transaction_that_sqlite_gave_up_is_over() {
        let connection = table();
        let transaction = Transaction::to_write(&connection).unwrap();
        let kept = transaction.in_savepoint(|connection| {
            put(connection, 1);
            connection.execute_batch("ROLLBACK").unwrap();
            true
        });
        assert!(kept.unwrap() && transaction.is_autocommit());
        drop(transaction);
        assert_eq!(rows(&connection), [] as [i64; 0]);
    }
}
