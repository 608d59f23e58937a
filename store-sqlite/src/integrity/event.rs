//! The record of what was done to the store.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _};
use store_core::call::{self, ENTRY_BYTES_MAX};
use store_core::integrity::{Event, EventKind, Outcome};
use store_core::{Durability, SegmentId, SessionId, StoreError};

use crate::connection::Connections;
use crate::error::{Result, damage};
use crate::side::SideTable;
use crate::{row, schema};

pub(super) fn events(connections: &Connections) -> Result<Vec<Event>> {
    connections.read(read)
}

/// The record; a database of a version that has none has an empty one.
pub(super) fn read(connection: &Connection) -> Result<Vec<Event>> {
    if !schema::has_integrity(connection)? {
        return Ok(Vec::new());
    }
    let count = count(connection)?;
    SideTable::Events.read(connection, &[], None, count)
}

/// The last event: its number, and the checksum of its row. Both are 0 where there is none.
pub(crate) fn last(connection: &Connection) -> Result<(u64, u32)> {
    if !schema::has_integrity(connection)? {
        return Ok((0, 0));
    }
    let last = count(connection)?;
    Ok((last, checksum_of(connection, last)?.unwrap_or(0)))
}

fn checksum_of(connection: &Connection, seq: u64) -> Result<Option<u32>> {
    let mut statement = connection.prepare_cached("SELECT crc32c FROM events WHERE seq = ?1")?;
    let found = statement.query_row([row::to_sql(seq)], |row| row.get::<_, i64>(0)).optional()?;
    Ok(found.and_then(|crc32c| u32::try_from(crc32c).ok()))
}

/// The segments that were repaired or rolled back by events behind one; `None` if that one has another number by now, because the record was
/// repaired, or if an event behind it cannot be read.
pub(crate) fn rewritten_behind(
    connection: &Connection,
    (seq, crc32c): (u64, u32),
) -> Result<Option<BTreeSet<(SessionId, SegmentId)>>> {
    let mut rewritten = BTreeSet::new();
    if !schema::has_integrity(connection)? {
        return Ok(Some(rewritten));
    }
    if seq > 0 && checksum_of(connection, seq)? != Some(crc32c) {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached("SELECT body FROM events WHERE seq > ?1")?;
    let mut rows = statement.query([row::to_sql(seq)])?;
    while let Some(row) = rows.next()? {
        let Some(event) = row.get_ref(0)?.as_str().ok().and_then(|body| Event::from_text(body).ok()) else {
            return Ok(None);
        };
        if event.outcome == Outcome::Ok
            && let EventKind::Repaired { session, segment, .. } | EventKind::RolledBack { session, segment, .. } =
                event.what
        {
            rewritten.insert((session, segment));
        }
    }
    Ok(Some(rewritten))
}

pub(super) fn count(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT event_count FROM store WHERE id = 1")?;
    let found = statement.query_row([], |row| Ok(row::number(row, 0))).optional()?;
    found.ok_or_else(|| damage(None, None, "the store has lost its own row"))?
}

pub(super) fn record(connections: &Connections, event: &Event) -> store_core::Result<()> {
    let writer = connections.writer()?;
    check_size(event)?;
    Ok(writer.write_alone(Durability::Synced, |transaction| insert(transaction, event))?)
}

fn check_size(event: &Event) -> store_core::Result<()> {
    let text = serde_json::to_string(event).map_err(StoreError::backend)?;
    call::check_size(text.len() as u64, ENTRY_BYTES_MAX)
}

/// Adds an event in the transaction of what it tells.
pub(crate) fn insert(transaction: &Connection, event: &Event) -> Result<()> {
    insert_text(transaction, &serde_json::to_string(event).map_err(StoreError::backend)?)
}

/// The same for the text of an event.
pub(super) fn insert_text(transaction: &Connection, body: &str) -> Result<()> {
    let seq = count(transaction)? + 1;
    transaction.prepare_cached("INSERT INTO events (seq, body, crc32c) VALUES (?1, ?2, ?3)")?.execute((
        row::to_sql(seq),
        body,
        SideTable::Events.checksum(&[], seq, body),
    ))?;
    transaction.prepare_cached("UPDATE store SET event_count = ?1 WHERE id = 1")?.execute([row::to_sql(seq)])?;
    Ok(())
}
