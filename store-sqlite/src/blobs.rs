//! Blobs: bytes under their SHA-256, in parts, because SQLite bounds a row below the largest blob.

use rusqlite::{Connection, OptionalExtension as _};
use sha2::{Digest as _, Sha256};
use store_core::chain::ChainHead;
use store_core::{BlobGuard, BlobRef, Durability, Missing, StoreError, call, chain};

use crate::blob_lock::BlobLock;
use crate::connection::Connections;
use crate::error::{Result, damage};
use crate::row;

/// The size of a part, in bytes; the last one is smaller. Read back whatever the sizes are.
const PART_BYTES: usize = 16 * 1024 * 1024;

pub(crate) fn put_blob(connections: &Connections, bytes: &[u8]) -> Result<BlobGuard> {
    // While the guard lives nobody gets the store for himself, and nobody collects blobs.
    let store = connections.lock()?;
    call::check_size(bytes.len() as u64, call::BLOB_BYTES_MAX)?;
    let hold = (BlobLock::share(connections.place())?, store);
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

pub(crate) fn insert(transaction: &Connection, reference: &BlobRef, bytes: &[u8]) -> Result<()> {
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
    let mut bytes = Vec::new();
    for_each_part(connection, sha256, |data| bytes.extend_from_slice(data))?;
    Ok(bytes)
}

/// Hands over the parts of a blob in order, and answers with its length as the database has it.
fn for_each_part(connection: &Connection, sha256: &str, mut each: impl FnMut(&[u8])) -> Result<u64> {
    let stored: Option<i64> = connection
        .prepare_cached("SELECT bytes FROM blobs WHERE sha256 = ?1")?
        .query_row([sha256], |row| row.get(0))
        .optional()?;
    let stored = stored.ok_or_else(|| StoreError::NotFound(Missing::Blob(sha256.to_owned())))?;
    let mut statement = connection.prepare_cached("SELECT data FROM blob_parts WHERE sha256 = ?1 ORDER BY part")?;
    let mut rows = statement.query([sha256])?;
    while let Some(row) = rows.next()? {
        each(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
    }
    // A length below zero is nobody's.
    Ok(u64::try_from(stored).unwrap_or(u64::MAX))
}

/// Whether a blob's bytes are there and true, one part in memory at a time.
pub(crate) fn check_blob(connections: &Connections, reference: &BlobRef) -> store_core::Result<()> {
    let length = connections.read(|connection| verify(connection, &reference.sha256))?;
    if length == reference.bytes {
        return Ok(());
    }
    let detail = format!("blob {} has {length} bytes, not {}", reference.sha256, reference.bytes);
    Err(damage(None, None, detail))
}

/// Holds a blob's bytes against its address and its length, and answers with the length.
pub(crate) fn verify(connection: &Connection, sha256: &str) -> Result<u64> {
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let stored = for_each_part(connection, sha256, |data| {
        hasher.update(data);
        length += data.len() as u64;
    })?;
    let found = ChainHead(hasher.finalize().into());
    if stored == length && sha256.parse() == Ok(found) {
        return Ok(length);
    }
    Err(damage(None, None, format!("blob {sha256} does not hold the bytes that were put")).into())
}
