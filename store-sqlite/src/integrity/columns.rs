//! What stands in columns of its own although the texts say it: an entry's kind and time, a segment's origin and count. No checksum covers
//! them, so they are held against the texts.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use store_core::integrity::{Finding, FindingKind};
use store_core::{LogEntry, SegmentId, SegmentOrigin, Seq, SessionId};

use crate::error::Result;
use crate::read;
use crate::row::{self, EntryRow};

/// Everything about a segment's columns that its texts do not say.
pub(super) fn out_of_step(connection: &Connection, session: SessionId, segment: SegmentId) -> Result<Vec<Finding>> {
    let found = read::segment_of(connection, session, segment)?;
    let finding = |seq: Option<u64>, detail: &str| {
        let place = Finding::of_segment(session, segment, seq.map(Seq), FindingKind::Projection, detail);
        Finding { offset: seq.unwrap_or(0), ..place }
    };
    let mut findings = Vec::new();
    for (seq, ..) in wrong_rows(connection, segment)? {
        findings.push(finding(Some(seq), "the row's kind and time are not those of its text"));
    }
    if origin_in_text(connection, segment)?.is_some_and(|origin| origin != found.origin) {
        findings.push(finding(Some(1), "the segment's origin is not the one that its first entry names"));
    }
    Ok(findings)
}

/// Brings the columns in step with the texts.
pub(super) fn set_right(transaction: &Connection, segment: SegmentId) -> Result<()> {
    let mut statement =
        transaction.prepare_cached("UPDATE entries SET kind = ?3, ts = ?4 WHERE segment_id = ?1 AND seq = ?2")?;
    for (seq, kind, ts) in wrong_rows(transaction, segment)? {
        statement.execute((segment.as_bytes(), row::to_sql(seq), kind, row::to_sql(ts)))?;
    }
    if let Some(origin) = origin_in_text(transaction, segment)? {
        let mut values = vec![segment.as_bytes().to_vec().into()];
        values.extend(row::origin_values(origin.as_ref()));
        transaction
            .prepare_cached(
                "UPDATE segments SET origin_session_id = ?2, origin_segment_id = ?3, origin_seq = ?4, origin_turn = ?5
                 WHERE segment_id = ?1",
            )?
            .execute(params_from_iter(values))?;
    }
    Ok(())
}

/// The rows whose kind or time is not that of their text, and what these should be. What cannot be read is for a scan to tell.
fn wrong_rows(connection: &Connection, segment: SegmentId) -> Result<Vec<(u64, String, u64)>> {
    let mut statement =
        connection.prepare_cached("SELECT seq, kind, ts, body FROM entries WHERE segment_id = ?1 ORDER BY seq")?;
    let mut rows = statement.query([segment.as_bytes()])?;
    let mut wrong = Vec::new();
    loop {
        let row = match rows.next().map_err(crate::error::Error::from) {
            Err(error) if error.is_corrupt() => return Ok(wrong),
            row => row?,
        };
        let Some(row) = row else { return Ok(wrong) };
        let (seq, kind, ts) = (row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?);
        let (ValueRef::Integer(seq), Ok(body)) = (seq, row.get_ref(3)?.as_str()) else { continue };
        if says(body, kind, ts) {
            continue;
        }
        let Ok(entry) = LogEntry::from_text(body) else { continue };
        let is_right =
            kind == ValueRef::Text(entry.kind().as_bytes()) && ts == ValueRef::Integer(row::to_sql(entry.ts()));
        if let (Ok(seq), false) = (u64::try_from(seq), is_right) {
            wrong.push((seq, entry.kind().to_owned(), entry.ts()));
        }
    }
}

/// Whether a text begins with this kind and time, as almost all do: those need not be parsed.
fn says(body: &str, kind: ValueRef<'_>, ts: ValueRef<'_>) -> bool {
    let (ValueRef::Text(kind), ValueRef::Integer(ts)) = (kind, ts) else { return false };
    let rest = || {
        let rest = body.as_bytes().strip_prefix(br#"{"kind":""#)?.strip_prefix(kind)?;
        rest.strip_prefix(br#"","ts":"#)?.strip_prefix(ts.to_string().as_bytes())
    };
    // The parser would read an escape in a kind; none of ours has one.
    !kind.contains(&b'\\') && rest().is_some_and(|rest| matches!(rest.first(), Some(b',' | b'}')))
}

/// What the first entry says of where the segment comes from; `None` if nobody can read it.
fn origin_in_text(connection: &Connection, segment: SegmentId) -> Result<Option<Option<SegmentOrigin>>> {
    let mut statement =
        connection.prepare_cached("SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 AND seq = 1")?;
    let mut look = || -> Result<Option<EntryRow>> {
        let mut rows = statement.query([segment.as_bytes()])?;
        rows.next()?.map(|row| EntryRow::read(segment, row)).transpose()
    };
    let first = match look() {
        Err(error) if error.is_corrupt() => return Ok(None),
        first => first?,
    };
    Ok(match first.map(|first| LogEntry::from_text(&first.text)) {
        Some(Ok(LogEntry::SegmentStart(start))) => Some(start.origin().copied()),
        _ => None,
    })
}
