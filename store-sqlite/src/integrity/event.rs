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

/// The number of the last event.
pub(crate) fn last(connection: &Connection) -> Result<u64> {
    if schema::has_integrity(connection)? { count(connection) } else { Ok(0) }
}

/// The segments that were repaired or rolled back by events behind one; `None` if that cannot be told.
pub(crate) fn rewritten_behind(connection: &Connection, seq: u64) -> Result<Option<BTreeSet<(SessionId, SegmentId)>>> {
    let mut rewritten = BTreeSet::new();
    if !schema::has_integrity(connection)? {
        return Ok(Some(rewritten));
    }
    // The record is shorter than it was: it was repaired, and nobody knows by what numbers.
    if seq > count(connection)? {
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
