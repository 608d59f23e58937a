//! What stands in columns of its own although the texts say it: an entry's kind and time, a segment's origin and count. No checksum covers
//! them, so they are held against the texts.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use store_core::integrity::{Finding, FindingKind};
use store_core::{LogEntry, SegmentId, SegmentOrigin, Seq, SessionId};

use crate::error::Result;
use crate::read;
use crate::row::{self, EntryRow};

/// What is said of a row whose kind or time is not that of its text.
pub(super) const ROW_OUT_OF_STEP: &str = "the row's kind and time are not those of its text";

/// Whether everything that stands in columns of a segment is what its texts say.
pub(super) fn in_step(connection: &Connection, session: SessionId, segment: SegmentId) -> Result<bool> {
    let of_segment = segment_out_of_step(connection, session, segment)?;
    Ok(of_segment.is_none() && wrong_rows(connection, segment)?.is_empty())
}

/// What is wrong with the segment's own columns. Those of its entries are held against the texts by whoever scans them.
pub(super) fn segment_out_of_step(
    connection: &Connection,
    session: SessionId,
    segment: SegmentId,
) -> Result<Option<Finding>> {
    let found = read::segment_of(connection, session, segment)?;
    if origin_in_text(connection, segment)?.is_none_or(|origin| origin == found.origin) {
        return Ok(None);
    }
    let detail = "the segment's origin is not the one that its first entry names";
    let place = Finding::of_segment(session, segment, Some(Seq(1)), FindingKind::Projection, detail);
    Ok(Some(Finding { offset: 1, ..place }))
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
        if let (Ok(seq), Some((kind, ts))) = (u64::try_from(seq), instead(body, kind, ts)) {
            wrong.push((seq, kind, ts));
        }
    }
}

/// The kind and time of a text beside which others stand; `None` if it is these that stand there, or the text holds no entry.
pub(super) fn instead(body: &str, kind: ValueRef<'_>, ts: ValueRef<'_>) -> Option<(String, u64)> {
    if says(body.as_bytes(), kind, ts) == Some(true) {
        return None;
    }
    let entry = LogEntry::from_text(body).ok()?;
    let is_right = kind == ValueRef::Text(entry.kind().as_bytes()) && ts == ValueRef::Integer(row::to_sql(entry.ts()));
    (!is_right).then(|| (entry.kind().to_owned(), entry.ts()))
}

/// Whether a text begins with this kind and time, as almost all do: those need not be parsed.
fn says(body: &[u8], kind: ValueRef<'_>, ts: ValueRef<'_>) -> Option<bool> {
    let (ValueRef::Text(kind), ValueRef::Integer(ts)) = (kind, ts) else { return None };
    // The parser would read an escape in a kind; none of ours has one.
    if kind.contains(&b'\\') {
        return None;
    }
    let rest = body.strip_prefix(br#"{"kind":""#)?.strip_prefix(kind)?.strip_prefix(br#"","ts":"#)?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let add = |number: i64, digit: &u8| number.checked_mul(10)?.checked_add(i64::from(digit - b'0'));
    let said = rest[..digits].iter().try_fold(0, add)?;
    Some(digits > 0 && said == ts && matches!(rest[digits], b',' | b'}'))
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
