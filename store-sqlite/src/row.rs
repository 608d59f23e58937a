//! Rows as they are stored: what their checksums cover, and how a row that is read is verified.
//!
//! A checksum covers which log the row belongs to and which place it has there, so that a row that was moved, copied
//! or renumbered does not pass. Nothing here runs a statement.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, ToSql};
use store_core::{LogEntry, Position, Record, SegmentId, SegmentOrigin, Seq, SessionId};

use crate::error::{Result, damage};

/// Tells a row without a key from one with an empty key.
// Persisted: never renumber or reuse.
const NO_KEY: [u8; 1] = [0];
const WITH_KEY: [u8; 1] = [1];

/// The checksum of an entry's row: CRC-32C of the segment's id, the seq (8 bytes, big-endian), 0 or 1 and the length
/// (4 bytes, big-endian) and bytes of the key, and the body.
pub(crate) fn entry_checksum(segment: SegmentId, seq: u64, key: Option<&[u8]>, body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(segment.as_bytes());
    let crc = crc32c::crc32c_append(crc, &seq.to_be_bytes());
    let crc = match key {
        None => crc32c::crc32c_append(crc, &NO_KEY),
        Some(key) => {
            let crc = crc32c::crc32c_append(crc, &WITH_KEY);
            let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
            crc32c::crc32c_append(crc32c::crc32c_append(crc, &length.to_be_bytes()), key)
        }
    };
    crc32c::crc32c_append(crc, body)
}

/// A text as it is bound: its bytes are not looked through for what they are known to be.
pub(crate) struct Utf8<'a>(pub(crate) &'a [u8]);

impl ToSql for Utf8<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// A number as SQLite holds it. What does not fit, such as a time in millions of years, becomes the largest.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of the schema, none of which is ever negative.
pub(crate) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    Ok(u64::try_from(value).map_err(|_| damage(None, None, format!("{value} stands where a count belongs")))?)
}

/// The 16 bytes of an id.
pub(crate) fn id_bytes(row: &Row<'_>, column: usize) -> Result<[u8; 16]> {
    Ok(row.get::<_, [u8; 16]>(column)?)
}

/// A session's id.
pub(crate) fn session_id(row: &Row<'_>, column: usize) -> Result<SessionId> {
    id_bytes(row, column).map(SessionId::from_bytes)
}

/// A segment's id.
pub(crate) fn segment_id(row: &Row<'_>, column: usize) -> Result<SegmentId> {
    id_bytes(row, column).map(SegmentId::from_bytes)
}

/// The origin in four columns from `first`, if they hold one.
pub(crate) fn origin(row: &Row<'_>, first: usize) -> Result<Option<SegmentOrigin>> {
    if matches!(row.get_ref(first)?, ValueRef::Null) {
        return Ok(None);
    }
    Ok(Some(SegmentOrigin {
        session_id: session_id(row, first)?,
        segment_id: segment_id(row, first + 1)?,
        seq: Seq(number(row, first + 2)?),
        at_turn_index: number(row, first + 3)?,
    }))
}

/// What the origin's four columns are given.
pub(crate) fn origin_values(origin: Option<&SegmentOrigin>) -> [Value; 4] {
    match origin {
        None => [Value::Null, Value::Null, Value::Null, Value::Null],
        Some(origin) => [
            Value::Blob(origin.session_id.as_bytes().to_vec()),
            Value::Blob(origin.segment_id.as_bytes().to_vec()),
            Value::Integer(to_sql(origin.seq.0)),
            Value::Integer(to_sql(origin.at_turn_index)),
        ],
    }
}

/// What an entry's row holds, before anything is copied.
struct Verified<'a> {
    position: Position,
    key: Option<&'a [u8]>,
    body: &'a [u8],
}

/// An entry's row (`seq, key, body, crc32c`) whose checksum holds.
fn verified<'a>(segment: SegmentId, row: &'a Row<'_>) -> Result<Verified<'a>> {
    let seq = number(row, 0)?;
    let bad = |detail: &str| damage(Some(segment), Some(seq), detail);
    let key = match row.get_ref(1)? {
        ValueRef::Null => None,
        ValueRef::Text(key) => Some(key),
        _ => return Err(bad("the key is not text").into()),
    };
    let (ValueRef::Text(body), ValueRef::Integer(stored)) = (row.get_ref(2)?, row.get_ref(3)?) else {
        return Err(bad("the row does not have its columns' types").into());
    };
    let crc32c = entry_checksum(segment, seq, key, body);
    if i64::from(crc32c) != stored {
        return Err(bad(&format!("the checksum is {crc32c:08X}, the row says {stored:08X}")).into());
    }
    Ok(Verified { position: Position { seq: Seq(seq), crc32c }, key, body })
}

/// The position of an entry's row (`seq, key, body, crc32c`) whose checksum holds.
pub(crate) fn position(segment: SegmentId, row: &Row<'_>) -> Result<Position> {
    verified(segment, row).map(|row| row.position)
}

/// Hands over the seq and text of an entry's row (`seq, key, body, crc32c`) whose checksum holds.
pub(crate) fn verified_text(segment: SegmentId, row: &Row<'_>, each: impl FnOnce(Seq, &str)) -> Result<()> {
    let Verified { position, body, .. } = verified(segment, row)?;
    each(position.seq, as_text(segment, position, body)?);
    Ok(())
}

/// Hands over an entry's row (`seq, key, body, crc32c`) whose checksum holds: its position, key and text.
pub(crate) fn verified_row(
    segment: SegmentId,
    row: &Row<'_>,
    each: impl FnOnce(Position, Option<&str>, &str),
) -> Result<()> {
    let Verified { position, key, body } = verified(segment, row)?;
    let text = |bytes| as_text(segment, position, bytes);
    each(position, key.map(text).transpose()?, text(body)?);
    Ok(())
}

fn as_text(segment: SegmentId, position: Position, bytes: &[u8]) -> Result<&str> {
    let text = simdutf8::basic::from_utf8(bytes);
    Ok(text.map_err(|_| damage(Some(segment), Some(position.seq.0), "the row is not UTF-8"))?)
}

/// An entry's row whose checksum holds, before its text is parsed.
pub(crate) struct EntryRow {
    pub(crate) position: Position,
    pub(crate) key: Option<String>,
    pub(crate) text: String,
}

impl EntryRow {
    /// Reads and verifies one row (`seq, key, body, crc32c`) of `segment`.
    pub(crate) fn read(segment: SegmentId, row: &Row<'_>) -> Result<Self> {
        let Verified { position, key, body } = verified(segment, row)?;
        let text = |bytes| as_text(segment, position, bytes).map(str::to_owned);
        let key = key.map(text).transpose()?;
        Ok(Self { position, key, text: text(body)? })
    }

    /// The record that the row holds.
    pub(crate) fn into_record(self, segment: SegmentId) -> Result<Record> {
        let Self { position, key, text } = self;
        let entry = LogEntry::from_text(&text)
            .map_err(|error| damage(Some(segment), Some(position.seq.0), format!("not an entry: {error}")))?;
        Ok(Record { position, key, text, entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_tells_rows_apart_that_differ_only_in_place_or_key() {
        let (one, other) = (SegmentId::derive(1, b"one"), SegmentId::derive(1, b"other"));
        let plain = entry_checksum(one, 1, None, b"{}");
        let others = [
            entry_checksum(other, 1, None, b"{}"),
            entry_checksum(one, 2, None, b"{}"),
            entry_checksum(one, 1, Some(b""), b"{}"),
            entry_checksum(one, 1, Some(b"{"), b"}"),
            entry_checksum(one, 1, None, b"{ }"),
        ];
        assert!(others.iter().all(|crc| *crc != plain), "{plain:08X} among {others:08X?}");
    }
}
