//! Reading: entries, counts, lists and look-ups.
//!
//! Rows are read in the order of their primary key, each is verified, and a seq that is missing or one too many is
//! damage: an answer is never shorter than what was written.

use rusqlite::{Connection, OptionalExtension as _, Row};
use store_core::parse::parse_entries;
use store_core::{LogEntry, Record, SegmentId, SegmentOrigin, Seq, SessionId, StoreError};

use crate::connection::Connections;
use crate::error::{Result, damage};
use crate::row::{self, EntryRow};

/// What the row of a segment says.
pub(crate) struct SegmentRow {
    pub(crate) session: SessionId,
    pub(crate) entry_count: u64,
    pub(crate) trace_count: u64,
    pub(crate) origin: Option<SegmentOrigin>,
    /// The last transaction that changed it.
    pub(crate) change: u64,
}

/// The row of a segment, whichever session it belongs to.
pub(crate) fn find_segment(connection: &Connection, segment: SegmentId) -> Result<Option<SegmentRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT session_id, entry_count, trace_count, origin_session_id, origin_segment_id, origin_seq, origin_turn,
                change
         FROM segments WHERE segment_id = ?1",
    )?;
    let mut rows = statement.query([segment.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(SegmentRow {
        session: row::session_id(row, 0)?,
        entry_count: row::number(row, 1)?,
        trace_count: row::number(row, 2)?,
        origin: row::origin(row, 3)?,
        change: row::number(row, 7)?,
    }))
}

/// The row of a segment of this session.
pub(crate) fn segment_of(connection: &Connection, session: SessionId, segment: SegmentId) -> Result<SegmentRow> {
    match find_segment(connection, segment)? {
        Some(found) if found.session == session => Ok(found),
        _ => Err(StoreError::no_segment(segment).into()),
    }
}

/// Refuses a segment whose count and last row disagree: something was lost at its end, or put there by somebody else.
pub(crate) fn check_end(connection: &Connection, segment: SegmentId, entry_count: u64) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM entries WHERE segment_id = ?1")?;
    let last: Option<i64> = statement.query_row([segment.as_bytes()], |row| row.get(0))?;
    let last = last.unwrap_or(0);
    if entry_count == 0 || last != row::to_sql(entry_count) {
        return Err(uncounted_end(segment, entry_count, u64::try_from(last).unwrap_or(0)).into());
    }
    Ok(())
}

/// The damage of a segment whose count is not the seq of its last row.
pub(crate) fn uncounted_end(segment: SegmentId, entry_count: u64, last: u64) -> StoreError {
    let detail = format!("the segment counts {entry_count} entries, its last row is {last}");
    damage(Some(segment), Some(entry_count.min(last) + 1), detail)
}

pub(crate) fn read_range(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Record>> {
    connections.read(|connection| {
        let found = segment_of(connection, session, segment)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        read_rows(connection, segment, after.0, limit, found.entry_count)
    })
}

pub(crate) fn read_all(connections: &Connections, session: SessionId, segment: SegmentId) -> Result<Vec<LogEntry>> {
    connections.read(|connection| {
        let found = segment_of(connection, session, segment)?;
        let mut failed = None;
        let entries = parse_entries(
            |each| {
                let visited = visit_rows(connection, segment, 0, usize::MAX, found.entry_count, |row| {
                    row::verified_text(segment, row, |seq, text| each(text, seq))
                });
                // The error is kept as it is: whether it passes is for the connection to see.
                failed = visited.err();
                Ok(())
            },
            |seq, error| no_entry(segment, seq, error),
        )?;
        failed.map_or(Ok(entries), Err)
    })
}

/// The damage of a row with a right checksum that holds no entry.
fn no_entry(segment: SegmentId, seq: Seq, error: impl std::fmt::Display) -> StoreError {
    damage(Some(segment), Some(seq.0), format!("not an entry: {error}"))
}

pub(crate) fn read_tail(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    count: usize,
) -> Result<Vec<Record>> {
    connections.read(|connection| {
        let found = segment_of(connection, session, segment)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let after = found.entry_count.saturating_sub(count as u64);
        read_rows(connection, segment, after, usize::MAX, found.entry_count)
    })
}

/// The records of the rows behind `after` (exclusive), at most `limit` of them.
pub(crate) fn read_rows(
    connection: &Connection,
    segment: SegmentId,
    after: u64,
    limit: usize,
    entry_count: u64,
) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    visit_rows(connection, segment, after, limit, entry_count, |row| {
        let row = EntryRow::read(segment, row)?;
        records.push(row.into_record(segment)?);
        Ok(())
    })?;
    Ok(records)
}

/// Hands over the rows behind `after` (exclusive), at most `limit` of them, which must be those that the count promises.
fn visit_rows(
    connection: &Connection,
    segment: SegmentId,
    after: u64,
    limit: usize,
    entry_count: u64,
    mut each: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let limit = row::to_sql(limit as u64);
    let mut rows = statement.query((segment.as_bytes(), row::to_sql(after), limit))?;
    let mut seq = after;
    while let Some(row) = rows.next()? {
        let found = row::number(row, 0)?;
        seq += 1;
        if found != seq {
            let detail = format!("row {seq} is missing, {found} follows");
            return Err(damage(Some(segment), Some(seq), detail).into());
        }
        if seq > entry_count {
            let detail = format!("the segment counts {entry_count} entries, a row follows");
            return Err(damage(Some(segment), Some(seq), detail).into());
        }
        each(row)?;
    }
    let read_to_the_end = row::to_sql(seq - after) < limit;
    if read_to_the_end && seq < entry_count {
        let detail = format!("the segment counts {entry_count} entries, its last row is {seq}");
        return Err(damage(Some(segment), Some(seq + 1), detail).into());
    }
    Ok(())
}

pub(crate) fn read_entry_count(connections: &Connections, session: SessionId, segment: SegmentId) -> Result<u64> {
    connections.read(|connection| {
        let found = segment_of(connection, session, segment)?;
        check_end(connection, segment, found.entry_count)?;
        Ok(found.entry_count)
    })
}

/// Whether a session has a row, which it has exactly when it has a segment.
pub(crate) fn has_session(connection: &Connection, session: SessionId) -> Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM sessions WHERE session_id = ?1")?;
    Ok(statement.exists([session.as_bytes()])?)
}

pub(crate) fn exists(connections: &Connections, session: SessionId) -> Result<bool> {
    connections.read(|connection| has_session(connection, session))
}

pub(crate) fn list_sessions(connections: &Connections) -> Result<Vec<SessionId>> {
    connections.read(|connection| {
        let mut statement = connection.prepare_cached("SELECT session_id FROM sessions ORDER BY session_id DESC")?;
        statement.query_and_then([], |row| row::session_id(row, 0))?.collect()
    })
}

pub(crate) fn list_segments(connections: &Connections, session: SessionId) -> Result<Vec<SegmentId>> {
    connections.read(|connection| segments_of(connection, session))
}

/// The segments of a session, newest first.
pub(crate) fn segments_of(connection: &Connection, session: SessionId) -> Result<Vec<SegmentId>> {
    let mut statement =
        connection.prepare_cached("SELECT segment_id FROM segments WHERE session_id = ?1 ORDER BY segment_id DESC")?;
    statement.query_and_then([session.as_bytes()], |row| row::segment_id(row, 0))?.collect()
}

pub(crate) fn lookup_session_of(connections: &Connections, segment: SegmentId) -> Result<Option<SessionId>> {
    connections.read(|connection| {
        let mut statement = connection.prepare_cached("SELECT session_id FROM segments WHERE segment_id = ?1")?;
        let found = statement.query_row([segment.as_bytes()], |row| Ok(row::session_id(row, 0))).optional()?;
        found.transpose()
    })
}
