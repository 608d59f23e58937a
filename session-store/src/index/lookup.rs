//! Look-ups that importers stand on: native ids and the records of agents' files.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use store_core::{SegmentId, Seq, SessionId, TimestampMs};

use super::rows::{read_id, to_db, to_u64};

/// A segment that an agent's own id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeHome {
    /// Its session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// Whether another segment took its place.
    pub superseded: bool,
}

/// A segment that holds entries of a record of an agent's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHome {
    /// Its session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The record's last entry there.
    pub seq: Seq,
    /// The agent's own id of the conversation that the segment was written for.
    pub native_id: Option<String>,
    /// When that conversation began, as its session's id says.
    pub birth_ms: TimestampMs,
    /// Whether another segment took the segment's place.
    pub superseded: bool,
}

/// How a record's id is stored: a UUID takes 16 bytes, not 36.
pub(super) fn stored_record(record: &str) -> Value {
    // The typed ids parse the canonical form of any UUID alone, so that no two texts are stored alike.
    match record.parse::<SegmentId>() {
        Ok(uuid) => Value::Blob(uuid.as_bytes().to_vec()),
        Err(_) => Value::Text(record.to_owned()),
    }
}

pub(super) fn find_native(db: &Connection, agent: Option<&str>, native_id: &str) -> rusqlite::Result<Vec<NativeHome>> {
    let mut query = db.prepare_cached(
        "SELECT session, id, superseded FROM segment
         WHERE native_id = ?1 AND (?2 IS NULL OR agent = ?2) ORDER BY session, id",
    )?;
    let rows = query.query_map(params![native_id, agent], |row| {
        Ok(NativeHome { session_id: read_id(row, 0)?, segment_id: read_id(row, 1)?, superseded: row.get(2)? })
    })?;
    rows.collect()
}

pub(super) fn record_homes(db: &Connection, agent: &str, record: &str) -> rusqlite::Result<Vec<RecordHome>> {
    let mut query = db.prepare_cached(
        "SELECT segment.session, segment.id, record.seq, segment.native_id, segment.superseded
         FROM record JOIN segment ON segment.no = record.segment
         WHERE record.id = ?1 AND segment.agent = ?2",
    )?;
    let rows = query.query_map(params![stored_record(record), agent], read_home)?;
    Ok(sorted(rows.collect::<rusqlite::Result<_>>()?))
}

pub(super) fn records_of(db: &Connection, session: SessionId, record: &str) -> rusqlite::Result<Vec<RecordHome>> {
    let mut query = db.prepare_cached(
        "SELECT segment.session, segment.id, record.seq, segment.native_id, segment.superseded
         FROM segment CROSS JOIN record ON record.id = ?1 AND record.segment = segment.no
         WHERE segment.session = ?2",
    )?;
    let rows = query.query_map(params![stored_record(record), session.to_string()], read_home)?;
    Ok(sorted(rows.collect::<rusqlite::Result<_>>()?))
}

fn read_home(row: &Row<'_>) -> rusqlite::Result<RecordHome> {
    let session_id: SessionId = read_id(row, 0)?;
    Ok(RecordHome {
        session_id,
        segment_id: read_id(row, 1)?,
        seq: Seq(to_u64(row.get(2)?)),
        native_id: row.get(3)?,
        birth_ms: session_id.timestamp_ms(),
        superseded: row.get(4)?,
    })
}

fn sorted(mut homes: Vec<RecordHome>) -> Vec<RecordHome> {
    homes.sort_by(|a, b| {
        (a.birth_ms, &a.native_id, a.session_id, a.segment_id).cmp(&(
            b.birth_ms,
            &b.native_id,
            b.session_id,
            b.segment_id,
        ))
    });
    homes
}

/// The sub-agents that a session started, oldest id first.
pub(super) fn subagents_of(db: &Connection, session: SessionId) -> rusqlite::Result<Vec<SessionId>> {
    let mut query = db.prepare_cached(
        "SELECT id FROM session WHERE subagent AND summary <> '' AND summary ->> 'parent_session_id' = ?1 ORDER BY id",
    )?;
    let rows = query.query_map([session.to_string()], |row| read_id(row, 0))?;
    rows.collect()
}

/// The segments of other sessions that continue a session, oldest id first.
pub(super) fn continued_by(db: &Connection, session: SessionId) -> rusqlite::Result<Vec<(SessionId, SegmentId)>> {
    let mut query = db.prepare_cached(
        "SELECT session, id FROM segment WHERE origin_session = ?1 AND session <> ?1 ORDER BY session, id",
    )?;
    let rows = query.query_map([session.to_string()], |row| Ok((read_id(row, 0)?, read_id(row, 1)?)))?;
    rows.collect()
}

/// Notes that a record's entries in the segment reach up to `seq`.
pub(super) fn put_record(db: &Connection, segment: i64, record: &str, seq: Seq) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached(
        "INSERT INTO record (id, segment, seq) VALUES (?1, ?2, ?3)
         ON CONFLICT (id, segment) DO UPDATE SET seq = max(seq, excluded.seq)",
    )?;
    put.execute(params![stored_record(record), segment, to_db(seq.0)]).map(drop)
}

/// The sessions of which a segment that counts begins with a shorter history.
pub(super) fn compacted_sessions(db: &Connection) -> rusqlite::Result<BTreeSet<SessionId>> {
    let mut query = db.prepare_cached(
        "SELECT DISTINCT session FROM segment WHERE NOT superseded AND json_extract(own, '$.compacted_from') IS NOT NULL",
    )?;
    query.query_map([], |row| read_id(row, 0))?.collect()
}
