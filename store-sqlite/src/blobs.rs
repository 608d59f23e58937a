//! Blobs: bytes under their SHA-256, in parts, because SQLite bounds a row below the largest blob.

use rusqlite::{Connection, OptionalExtension as _};
use store_core::{BlobGuard, BlobRef, Durability, Missing, StoreError, call, chain};

use crate::connection::Connections;
use crate::error::Result;
use crate::row;

/// The size of a part, in bytes; the last one is smaller. Read back whatever the sizes are.
const PART_BYTES: usize = 16 * 1024 * 1024;

pub(crate) fn put_blob(connections: &Connections, bytes: &[u8]) -> Result<BlobGuard> {
    // While the guard lives the store's lock is held, so nobody gets the store for himself to collect blobs.
    let hold = connections.lock()?;
    call::check_size(bytes.len() as u64, call::BLOB_BYTES_MAX)?;
    let reference = BlobRef { sha256: chain::sha256_hex(bytes), bytes: bytes.len() as u64 };
    if !stands(connections, &reference)? {
        connections
            .writer()?
            .write_alone(Durability::Buffered, |transaction| insert(transaction, &reference, bytes))?;
    }
    Ok(BlobGuard::new(reference, Some(Box::new(hold))))
}

/// Whether the blob is there and whole: one that is damaged is put again.
fn stands(connections: &Connections, reference: &BlobRef) -> Result<bool> {
    match get_blob(connections, reference).map_err(StoreError::from) {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound(_) | StoreError::Corrupt(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn insert(transaction: &Connection, reference: &BlobRef, bytes: &[u8]) -> Result<()> {
    let sha256 = &reference.sha256;
    transaction.prepare_cached("DELETE FROM blob_parts WHERE sha256 = ?1")?.execute([sha256])?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO blobs (sha256, bytes) VALUES (?1, ?2)")?
        .execute((sha256, row::to_sql(reference.bytes)))?;
    let mut statement =
        transaction.prepare_cached("INSERT INTO blob_parts (sha256, part, data) VALUES (?1, ?2, ?3)")?;
    for (part, data) in (1_i64..).zip(bytes.chunks(PART_BYTES)) {
        statement.execute((sha256, part, data))?;
    }
    Ok(())
}

pub(crate) fn get_blob(connections: &Connections, reference: &BlobRef) -> Result<Vec<u8>> {
    let bytes = connections.read(|connection| read(connection, &reference.sha256))?;
    call::check_blob(reference, &bytes)?;
    Ok(bytes)
}

fn read(connection: &Connection, sha256: &str) -> Result<Vec<u8>> {
    let stored: Option<i64> = connection
        .prepare_cached("SELECT bytes FROM blobs WHERE sha256 = ?1")?
        .query_row([sha256], |row| row.get(0))
        .optional()?;
    if stored.is_none() {
        return Err(StoreError::NotFound(Missing::Blob(sha256.to_owned())).into());
    }
    let mut statement = connection.prepare_cached("SELECT data FROM blob_parts WHERE sha256 = ?1 ORDER BY part")?;
    let mut rows = statement.query([sha256])?;
    let mut bytes = Vec::new();
    while let Some(row) = rows.next()? {
        bytes.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
    }
    Ok(bytes)
}
