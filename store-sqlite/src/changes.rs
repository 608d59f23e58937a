//! What changed: every transaction that changes a session or a segment takes the next number and leaves it at their rows.
//!
//! Numbers are taken inside the writing transaction, and those are one after the other, so whoever sees number n sees
//! everything that has a smaller one. A cursor names the store and the last number that was seen.

use std::collections::BTreeSet;

use rusqlite::Connection;
use store_core::{ChangeCursor, Changes, SegmentId, SessionId};
use uuid::Uuid;

use crate::connection::Connections;
use crate::error::Result;
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
        // Nothing is behind -1, so everything is.
        let after = cursor.and_then(|cursor| parse(cursor, store)).filter(|at| *at <= last).map_or(-1, row::to_sql);
        let mut sessions: BTreeSet<SessionId> = BTreeSet::new();
        let mut segments: BTreeSet<(SessionId, SegmentId)> = BTreeSet::new();
        let mut statement =
            connection.prepare_cached("SELECT session_id, segment_id FROM segments WHERE change > ?1")?;
        let mut rows = statement.query([after])?;
        while let Some(row) = rows.next()? {
            segments.insert((row::session_id(row, 0)?, row::segment_id(row, 1)?));
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
        Ok(Changes {
            sessions: sessions.into_iter().collect(),
            segments: segments.into_iter().collect(),
            cursor: ChangeCursor(format!("{store}:{last}")),
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

/// The number in a cursor of this store.
fn parse(cursor: &ChangeCursor, store: Uuid) -> Option<u64> {
    let (of, number) = cursor.0.split_once(':')?;
    if of != store.to_string() {
        return None;
    }
    number.parse().ok()
}
