//! Checkpoints: lines of a record that belongs to a segment, numbered and counted as facts are.

use rusqlite::{Connection, OptionalExtension as _};
use store_core::integrity::{Checkpoint, CheckpointLine, ListedCheckpoint, NewCheckpoint, list_checkpoints, measure};
use store_core::{Durability, SegmentId, SessionId, StoreError};

use super::scan::scan_in;
use crate::connection::Connections;
use crate::error::Result;
use crate::side::SideTable;
use crate::{read, row, schema};

pub(super) fn checkpoint(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    new: &NewCheckpoint,
) -> store_core::Result<Checkpoint> {
    new.check()?;
    // Synced, and with it everything that was committed before.
    let made = connections.writer()?.write_alone(Durability::Synced, |transaction| {
        let found = read::segment_of(transaction, session, segment)?;
        read::check_end(transaction, segment, found.entry_count)?;
        let measured = measure(segment, None, |visit| scan_in(transaction, segment, visit))?;
        let checkpoint = Checkpoint {
            number: ListedCheckpoint::next_number(&listed(transaction, segment)?),
            seq: measured.chain.seq,
            head: measured.chain.head,
            last_crc32c: measured.last_crc32c,
            bytes: measured.bytes,
            name: new.name.clone(),
            reason: new.reason.clone(),
            created_at: new.now,
        };
        insert(transaction, segment, &CheckpointLine::Made(checkpoint.clone()))?;
        Ok(checkpoint)
    })?;
    Ok(made)
}

pub(super) fn checkpoints(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
) -> Result<Vec<ListedCheckpoint>> {
    connections.read(|connection| {
        read::segment_of(connection, session, segment)?;
        listed(connection, segment)
    })
}

/// Every checkpoint of a segment that exists.
pub(super) fn listed(connection: &Connection, segment: SegmentId) -> Result<Vec<ListedCheckpoint>> {
    lines(connection, segment).map(list_checkpoints)
}

/// The record of a segment that exists; in a database of a version that has none it is empty.
pub(super) fn lines(connection: &Connection, segment: SegmentId) -> Result<Vec<CheckpointLine>> {
    if !schema::has_integrity(connection)? {
        return Ok(Vec::new());
    }
    let count = count(connection, segment)?;
    SideTable::Checkpoints.read(connection, segment.as_bytes(), Some(segment), count)
}

pub(super) fn count(connection: &Connection, segment: SegmentId) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT checkpoint_count FROM segments WHERE segment_id = ?1")?;
    let found = statement.query_row([segment.as_bytes()], |row| Ok(row::number(row, 0))).optional()?;
    found.ok_or(StoreError::no_segment(segment))?
}

/// Adds a line to a segment's record.
pub(crate) fn insert(transaction: &Connection, segment: SegmentId, line: &CheckpointLine) -> Result<()> {
    let body = serde_json::to_string(line).map_err(StoreError::backend)?;
    let seq = count(transaction, segment)? + 1;
    let crc32c = SideTable::Checkpoints.checksum(segment.as_bytes(), seq, &body);
    transaction
        .prepare_cached("INSERT INTO checkpoints (segment_id, seq, body, crc32c) VALUES (?1, ?2, ?3, ?4)")?
        .execute((segment.as_bytes(), row::to_sql(seq), &body, crc32c))?;
    transaction
        .prepare_cached("UPDATE segments SET checkpoint_count = ?2 WHERE segment_id = ?1")?
        .execute((segment.as_bytes(), row::to_sql(seq)))?;
    Ok(())
}
