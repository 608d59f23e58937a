//! What changed: every transaction that changes a session or a segment leaves a number at their rows, the next one or, if the last one stands at
//! this segment already and it only grows, that one.
//!
//! Numbers are taken inside the writing transaction, and those are one after the other, so whoever sees number n sees
//! everything that has a smaller one. A cursor names the store, the last number that was seen, how many entries the segment had that it stood at, and the last event with its checksum: what was
//! repaired or rolled back since is told by the events. An
//! append to the segment that changed last, as most are, therefore writes neither the store's row nor the index of changes.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _};
use store_core::{ChangeCursor, Changes, SegmentId, SessionId};
use uuid::Uuid;

use crate::connection::Connections;
use crate::error::Result;
use crate::integrity::event;
use crate::row;

/// Takes the next number.
pub(crate) fn next(transaction: &Connection) -> Result<u64> {
    let mut statement = transaction
        .prepare_cached("UPDATE store SET last_change = last_change + 1 WHERE id = 1 RETURNING last_change")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    row::number(row, 0)
}

pub(crate) fn changes(connections: &Connections, cursor: Option<&ChangeCursor>) -> Result<Changes> {
    connections.read(|connection| {
        let (store, last) = identity(connection)?;
        let seen = cursor.and_then(|cursor| parse(cursor, store)).filter(|seen| seen.change <= last);
        // Nothing is behind -1, so everything is.
        let after = seen.map_or(-1, |seen| row::to_sql(seen.change));
        let mut sessions: BTreeSet<SessionId> = BTreeSet::new();
        let mut segments: BTreeSet<(SessionId, SegmentId)> = BTreeSet::new();
        let mut statement = connection
            .prepare_cached("SELECT session_id, segment_id, change, entry_count FROM segments WHERE change >= ?1")?;
        let mut rows = statement.query([after])?;
        while let Some(row) = rows.next()? {
            let now = (row::number(row, 2)?, Some(row::number(row, 3)?));
            if seen.is_none_or(|seen| (seen.change, seen.entry_count) != now) {
                segments.insert((row::session_id(row, 0)?, row::segment_id(row, 1)?));
            }
        }
        let mut statement = connection.prepare_cached(
            "SELECT session_id FROM sessions WHERE change > ?1
             UNION ALL SELECT session_id FROM deleted_sessions WHERE change > ?2",
        )?;
        // Who asks without a cursor knows of no session that could have been deleted.
        let deleted_after = if cursor.is_some() { after } else { i64::MAX };
        let mut rows = statement.query([after, deleted_after])?;
        while let Some(row) = rows.next()? {
            sessions.insert(row::session_id(row, 0)?);
        }
        sessions.extend(segments.iter().map(|(session, _)| *session));
        let rewritten: BTreeSet<(SessionId, SegmentId)> = match (cursor, seen) {
            (None, _) => BTreeSet::new(),
            (Some(_), None) => segments.clone(),
            (Some(_), Some(seen)) => event::rewritten_behind(connection, seen.events)?.map_or_else(
                || segments.clone(),
                |named| named.into_iter().filter(|named| segments.contains(named)).collect(),
            ),
        };
        let (events, crc32c) = event::last(connection)?;
        Ok(Changes {
            sessions: sessions.into_iter().collect(),
            segments: segments.into_iter().collect(),
            rewritten: rewritten.into_iter().collect(),
            cursor: ChangeCursor(format!("{store}:{last}:{}:{events}:{crc32c}", entries_at(connection, last)?)),
        })
    })
}

/// The store's identity and the last number that was taken.
fn identity(connection: &Connection) -> Result<(Uuid, u64)> {
    let mut statement = connection.prepare_cached("SELECT uuid, last_change FROM store WHERE id = 1")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok((Uuid::from_bytes(row::id_bytes(row, 0)?), row::number(row, 1)?))
}

/// How many entries the segment has that a number stands at; 0 if it stands at none.
fn entries_at(connection: &Connection, change: u64) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT entry_count FROM segments WHERE change = ?1")?;
    let found = statement.query_row([row::to_sql(change)], |row| Ok(row::number(row, 0))).optional()?;
    found.unwrap_or(Ok(0))
}

/// What a cursor has seen.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    change: u64,
    /// `None` in a cursor of version 1: that segment is named once more.
    entry_count: Option<u64>,
    /// The last event and the checksum of its row; zeros in a cursor of a version that named none: all that ever happened is told once more.
    events: (u64, u32),
}

/// What a cursor of this store has seen.
fn parse(cursor: &ChangeCursor, store: Uuid) -> Option<Seen> {
    let (of, seen) = cursor.0.split_once(':')?;
    if of != store.to_string() {
        return None;
    }
    let mut numbers = seen.split(':').map(|number| number.parse::<u64>().ok());
    let change = numbers.next()??;
    let entry_count = numbers.next().map_or(Some(None), |found| found.map(Some))?;
    let events = match (numbers.next(), numbers.next()) {
        (Some(seq), Some(crc32c)) => (seq?, u32::try_from(crc32c?).ok()?),
        (None, _) => (0, 0),
        (Some(_), None) => return None,
    };
    numbers.next().is_none().then_some(Seen { change, entry_count, events })
}
