//! Appending entries to a segment that exists: one savepoint a call, in a transaction that calls of other threads may share.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};
use store_core::call::{self, Prepared, Slot};
use store_core::{AppendOptions, Durability, NewEntry, Position, SegmentId, Seq, SessionId, StoreError};

use crate::changes;
use crate::connection::Connections;
use crate::error::{Result, damage};
use crate::read;
use crate::row::{self, EntryRow};

pub(crate) fn append_with(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    entries: &[NewEntry],
    options: &AppendOptions,
) -> Result<Vec<Position>> {
    let prepared = call::prepare_append(entries)?;
    let durability = connections.durability_of(options.durability, &prepared);
    let expected = options.expected;
    let writer = connections.writer()?;
    let last_end = Arc::clone(writer.last_end());
    let (slots, written) = writer.append(durability, move |transaction| {
        let ids = (session, segment);
        let (actual, changed_last) = match last_end.get(transaction, ids)? {
            Some(end) => (end, true),
            None => end_of(transaction, ids)?,
        };
        let slots = resolve(transaction, segment, &prepared)?;
        let writes = call::entries_to_write(&prepared, &slots);
        if writes.is_empty() {
            return Ok((slots, Vec::new()));
        }
        if let Some(expected) = expected.filter(|expected| !expected.holds_at(actual)) {
            return Err(StoreError::Conflict { expected, actual }.into());
        }
        let written = insert(transaction, segment, actual.seq.0, &writes)?;
        let end = written.last().copied().unwrap_or(actual);
        let count = row::to_sql(end.seq.0);
        if changed_last {
            let sql = "UPDATE segments SET entry_count = ?2 WHERE segment_id = ?1";
            transaction.prepare_cached(sql)?.execute((segment.as_bytes(), count))?;
        } else {
            let sql = "UPDATE segments SET entry_count = ?2, change = ?3 WHERE segment_id = ?1";
            let change = row::to_sql(changes::next(transaction)?);
            transaction.prepare_cached(sql)?.execute((segment.as_bytes(), count, change))?;
        }
        last_end.set(transaction, ids, end)?;
        Ok((slots, written))
    })?;
    if written.is_empty() && durability == Durability::Synced {
        // What stands there already may have been written without a sync.
        connections.writer()?.sync_log()?;
    }
    Ok(call::answer(&slots, &written))
}

/// Where a segment that is about to grow ends, and whether nothing has changed since it did.
fn end_of(connection: &Connection, (session, segment): (SessionId, SegmentId)) -> Result<(Position, bool)> {
    let mut statement = connection.prepare_cached(
        "SELECT session_id, entry_count, change = (SELECT last_change FROM store WHERE id = 1)
         FROM segments WHERE segment_id = ?1",
    )?;
    let mut rows = statement.query([segment.as_bytes()])?;
    match rows.next()? {
        Some(row) if row::session_id(row, 0)? == session => {
            // Without the store's row there is no last change to be the one.
            let changed_last = row.get::<_, Option<bool>>(2)?.unwrap_or(false);
            Ok((verified_end(connection, segment, row::number(row, 1)?)?, changed_last))
        }
        _ => Err(StoreError::no_segment(segment).into()),
    }
}

/// Where the keys of a call stand in the segment.
fn resolve(connection: &Connection, segment: SegmentId, entries: &[Prepared]) -> Result<Vec<Slot>> {
    if entries.iter().all(|entry| entry.key.is_none()) {
        return Ok((0..entries.len()).map(Slot::Write).collect());
    }
    let mut statement =
        connection.prepare_cached("SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 AND key = ?2")?;
    Ok(call::resolve_keys(entries, |key| {
        let mut look_up = || -> Result<_> {
            let mut rows = statement.query((segment.as_bytes(), key))?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let found = EntryRow::read(segment, row)?;
            Ok(Some((found.position, found.text)))
        };
        Ok(look_up()?)
    })?)
}

/// The position of the last entry.
pub(crate) fn end(connection: &Connection, segment: SegmentId, entry_count: u64) -> Result<Position> {
    let mut statement = connection.prepare_cached("SELECT crc32c FROM entries WHERE segment_id = ?1 AND seq = ?2")?;
    let crc32c: Option<i64> =
        statement.query_row((segment.as_bytes(), row::to_sql(entry_count)), |row| row.get(0)).optional()?;
    let crc32c = crc32c.and_then(|crc| u32::try_from(crc).ok());
    let crc32c = crc32c.ok_or_else(|| damage(Some(segment), Some(entry_count), "the row has no checksum"))?;
    Ok(Position { seq: Seq(entry_count), crc32c })
}

/// The position of the last entry, which has to be the one that the segment counts, and what was written.
fn verified_end(connection: &Connection, segment: SegmentId, entry_count: u64) -> Result<Position> {
    let mut statement = connection
        .prepare_cached("SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 ORDER BY seq DESC LIMIT 1")?;
    let mut rows = statement.query([segment.as_bytes()])?;
    let end = rows.next()?.map(|row| row::position(segment, row)).transpose()?;
    match end.filter(|end| end.seq.0 == entry_count) {
        Some(end) => Ok(end),
        None => Err(read::uncounted_end(segment, entry_count, end.map_or(0, |end| end.seq.0)).into()),
    }
}

/// Writes entries behind the first `entry_count` ones.
pub(crate) fn insert(
    transaction: &Connection,
    segment: SegmentId,
    entry_count: u64,
    entries: &[&Prepared],
) -> Result<Vec<Position>> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO entries (segment_id, seq, kind, ts, key, body, crc32c) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut written = Vec::with_capacity(entries.len());
    for (seq, entry) in (entry_count + 1..).zip(entries) {
        let key = entry.key.as_deref();
        let crc32c = row::entry_checksum(segment, seq, key.map(str::as_bytes), entry.text.as_bytes());
        statement.execute((
            segment.as_bytes(),
            row::to_sql(seq),
            &*entry.kind,
            row::to_sql(entry.ts),
            key,
            row::Utf8(entry.text.as_bytes()),
            crc32c,
        ))?;
        written.push(Position { seq: Seq(seq), crc32c });
    }
    Ok(written)
}
