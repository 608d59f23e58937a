//! Which files of sources an importer has seen, and as what: kept here for it, and never read by anything else.
//!
//! It says nothing about what is stored: without a row a file is looked at again, which finds that nothing is new and takes longer.

use std::collections::HashMap;

use rusqlite::{Connection, TransactionBehavior, params};
use store_core::TimestampMs;

use super::rows::{to_db, to_u64};

/// What tells that a file was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    /// Its size.
    pub(crate) size_bytes: u64,
    /// When it was written last, in nanoseconds since the epoch.
    pub(crate) mtime_ns: u64,
    /// When anything of it was changed last, as the system says it, in nanoseconds since the epoch.
    pub(crate) ctime_ns: u64,
}

/// What is remembered of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenFile {
    /// As what it was looked at.
    pub(crate) stamp: FileStamp,
    /// When it failed; `None` if it did not.
    pub(crate) failed_at: Option<TimestampMs>,
}

/// Everything that is remembered, by path.
pub(super) fn all(db: &Connection) -> rusqlite::Result<HashMap<String, SeenFile>> {
    let mut query = db.prepare_cached("SELECT path, size, mtime_ns, ctime_ns, failed_ms FROM source_file")?;
    let rows = query.query_map([], |row| {
        let stamp =
            FileStamp { size_bytes: to_u64(row.get(1)?), mtime_ns: to_u64(row.get(2)?), ctime_ns: to_u64(row.get(3)?) };
        let failed_at = row.get::<_, Option<i64>>(4)?.map(to_u64);
        Ok((row.get(0)?, SeenFile { stamp, failed_at }))
    })?;
    rows.collect()
}

/// Remembers files, in the place of what was remembered of them, and forgets those that are gone.
pub(super) fn put(db: &mut Connection, seen: &[(String, SeenFile)], gone: &[String]) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (path, SeenFile { stamp, failed_at }) in seen {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO source_file (path, size, mtime_ns, ctime_ns, failed_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                path,
                to_db(stamp.size_bytes),
                to_db(stamp.mtime_ns),
                to_db(stamp.ctime_ns),
                failed_at.map(to_db)
            ])?;
    }
    for path in gone {
        transaction.prepare_cached("DELETE FROM source_file WHERE path = ?1")?.execute([path])?;
    }
    transaction.commit()
}
