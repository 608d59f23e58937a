//! Removing the blobs that nothing refers to, while nobody can put any.

use std::cell::RefCell;

use rusqlite::Connection;
use store_core::integrity::{BlobUse, Collected, Collection, collectable};
use store_core::{Durability, StoreError};

use super::examine;
use crate::blob_lock::BlobLock;
use crate::error::Result;
use crate::row;
use crate::store::SqliteStore;

pub(super) fn collect(store: &SqliteStore, dry_run: bool) -> store_core::Result<Collection> {
    let connections = store.connections();
    let writer = connections.writer()?;
    let Some(_alone) = BlobLock::try_take(connections.place())? else {
        let holder = "somebody who puts blobs".to_owned();
        return Err(StoreError::Busy { holder, host: None, since: None });
    };
    // Nothing that is appended from here on can refer to a blob that was not put anew, which waits.
    connections.read(examine::refuse_lost)?;
    let used = RefCell::new(collectable(store)?);
    connections.read(|connection| add_quarantined(connection, &mut used.borrow_mut()))?;
    let used = used.into_inner();
    let blobs = if dry_run {
        connections.read(|connection| unused(connection, &used))?
    } else {
        writer.write_alone(Durability::Synced, |transaction| {
            let gone = unused(transaction, &used)?;
            for sha256 in gone.iter().map(|(sha256, _)| sha256) {
                transaction.prepare_cached("DELETE FROM blob_parts WHERE sha256 = ?1")?.execute([sha256])?;
                transaction.prepare_cached("DELETE FROM blobs WHERE sha256 = ?1")?.execute([sha256])?;
            }
            Ok(gone)
        })?
    };
    let blobs = Collected { removed: blobs.len() as u64, bytes: blobs.iter().map(|(_, bytes)| bytes).sum() };
    // Who makes a database holds the store's lock alone, so what lies there now was left behind.
    let left = connections.place().leftovers()?;
    let temporary = Collected { removed: left.len() as u64, bytes: left.iter().map(|(_, bytes)| bytes).sum() };
    if !dry_run {
        connections.place().discard_new()?;
    }
    Ok(Collection { blobs, temporary })
}

/// Adds what rows in quarantine could refer to.
fn add_quarantined(connection: &Connection, used: &mut BlobUse) -> Result<()> {
    // What repairs took out of what belongs to the store lies in their events.
    let sql = "SELECT body FROM quarantine WHERE body IS NOT NULL UNION ALL SELECT body FROM events";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A number has no address in it.
        let bytes = row.get_ref(0)?.as_bytes().unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) => used.add_text(text),
            Err(_) => used.add_bytes(bytes),
        }
    }
    Ok(())
}

/// The blobs that nothing refers to, each with its length.
fn unused(connection: &Connection, used: &BlobUse) -> Result<Vec<(String, u64)>> {
    let mut statement = connection.prepare_cached("SELECT sha256, bytes FROM blobs ORDER BY sha256")?;
    let all = statement.query_and_then([], |row| -> Result<_> { Ok((row.get(0)?, row::number(row, 1)?)) })?;
    let all: Vec<(String, u64)> = all.collect::<Result<_>>()?;
    Ok(all.into_iter().filter(|(sha256, _)| !used.contains(sha256)).collect())
}
