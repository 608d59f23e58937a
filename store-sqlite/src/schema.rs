//! The database's format: how one of ours is told from any other, and the numbered migrations that lead to the current
//! version.
//!
//! `user_version` is the number of the last migration that ran. A migration that was released is never edited.
//! `docs/SQLITE.md` says what the columns mean.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Marks a database as one of ours: `podS` in ASCII.
// Persisted: never renumber or reuse.
pub(crate) const APPLICATION_ID: u32 = 0x706F_6453;

/// What leads from an empty database to the current version, in order.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_init.sql"),
    include_str!("migrations/002_integrity.sql"),
    include_str!("migrations/003_ledger.sql"),
];

/// The version that this program writes.
pub(crate) const VERSION: u32 = 3;

/// The oldest version of this program that may read what this one writes: an older one would miss appends that keep their segment's change.
const MIN_READER: u32 = 2;

/// The first version that has checkpoints, quarantine and events. Who only reads meets older ones.
const WITH_INTEGRITY: u32 = 2;

/// The first version that has a ledger.
const WITH_LEDGER: u32 = 3;

/// What the head of a database says about its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) application_id: u32,
    pub(crate) user_version: u32,
}

/// Reads the head of a database.
pub(crate) fn format(connection: &Connection) -> Result<Format> {
    Ok(Format {
        application_id: pragma(connection, "application_id")?,
        user_version: pragma(connection, "user_version")?,
    })
}

/// SQLite keeps both as 32 signed bits; the sign has no meaning here.
fn pragma(connection: &Connection, name: &str) -> Result<u32> {
    let value: i32 = connection.pragma_query_value(None, name, |row| row.get(0))?;
    Ok(value.cast_unsigned())
}

/// Whether a database of a newer version says that this program may read it.
pub(crate) fn lets_us_read(connection: &Connection) -> Result<bool> {
    let min_reader: Option<i64> =
        connection.query_row("SELECT min_reader FROM store WHERE id = 1", [], |row| row.get(0)).optional()?;
    Ok(min_reader.is_some_and(|min_reader| min_reader <= i64::from(VERSION)))
}

/// Whether the database has checkpoints, quarantine and events.
pub(crate) fn has_integrity(connection: &Connection) -> Result<bool> {
    Ok(pragma(connection, "user_version")? >= WITH_INTEGRITY)
}

/// Whether the database has a ledger's tables.
pub(crate) fn has_ledger(connection: &Connection) -> Result<bool> {
    Ok(pragma(connection, "user_version")? >= WITH_LEDGER)
}

/// Everything that a database of a version has, as SQLite keeps it: type, name and statement, in order.
pub(crate) fn objects_of(version: u32) -> Result<Vec<Object>> {
    let connection = Connection::open_in_memory()?;
    let through = usize::try_from(version).unwrap_or(usize::MAX).min(MIGRATIONS.len());
    run(&connection, &MIGRATIONS[..through], 0)?;
    objects(&connection)
}

/// A table or an index: its type, its name, its table's name, and the statement that made it.
pub(crate) type Object = (String, String, String, Option<String>);

/// The tables and indexes of a database, in order.
pub(crate) fn objects(connection: &Connection) -> Result<Vec<Object>> {
    // What `ANALYZE` leaves is SQLite's own.
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'
         ORDER BY type, name, tbl_name, sql",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Makes an empty database one of ours, in one transaction.
pub(crate) fn create(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    run(&transaction, MIGRATIONS, 0)?;
    transaction.execute(
        "INSERT INTO store (id, uuid, min_reader, last_change, fact_count) VALUES (1, ?1, ?2, 0, 0)",
        (Uuid::new_v4().as_bytes(), MIN_READER),
    )?;
    Ok(transaction.commit()?)
}

/// Brings a database of an older version to the last of `migrations`: all of them or none.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = format(&transaction)?.user_version;
    run(&transaction, migrations, done)?;
    Ok(transaction.commit()?)
}

fn run(connection: &Connection, migrations: &[&str], done: u32) -> Result<(), Error> {
    for (number, sql) in (1_u32..).zip(migrations).filter(|(number, _)| *number > done) {
        connection.execute_batch(sql)?;
        connection.pragma_update(None, "user_version", number)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_number_of_migrations() {
        assert_eq!(usize::try_from(VERSION).unwrap(), MIGRATIONS.len());
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_it_found() {
        let mut connection = Connection::open_in_memory().unwrap();
        create(&mut connection).unwrap();
        let broken = [MIGRATIONS, &["CREATE TABLE second (x)", "CREATE TABLE second (x)"]].concat();
        migrate(&mut connection, &broken).unwrap_err();
        assert_eq!(format(&connection).unwrap().user_version, VERSION);
        let tables: u32 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'second'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 0, "the second migration must have gone with the third");
    }

    #[test]
    fn only_the_migrations_that_are_missing_run() {
        let mut connection = Connection::open_in_memory().unwrap();
        create(&mut connection).unwrap();
        let next = [MIGRATIONS, &["CREATE TABLE second (x)"]].concat();
        migrate(&mut connection, &next).unwrap();
        migrate(&mut connection, &next).unwrap();
        assert_eq!(format(&connection).unwrap(), Format { application_id: APPLICATION_ID, user_version: VERSION + 1 });
    }
}
