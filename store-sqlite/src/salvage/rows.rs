//! What a record is: told by its columns, and believed if its checksum holds.
//!
//! A checksum covers which log a row belongs to and its place there, so a valid row says itself what it is, on whichever page it was found.

use rusqlite::types::ValueRef;
use store_core::{SegmentId, SegmentOrigin, Seq, SessionId};

use super::btree::Kind;
use crate::integrity::quarantine_checksum;
use crate::ledger::event_checksum;
use crate::row::entry_checksum;
use crate::side::SideTable;

/// The length of a blob's address.
pub(super) const SHA256_DIGITS: usize = 64;

/// A row of one of our tables.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row<'a> {
    Entry {
        segment: SegmentId,
        seq: u64,
        key: Option<&'a str>,
        text: &'a str,
    },
    /// A row of traces, facts, checkpoints or events, with its owner's id.
    Side {
        table: SideTable,
        owner: &'a [u8],
        seq: u64,
        domain: Option<&'a str>,
        body: &'a str,
    },
    BlobPart {
        sha256: &'a str,
        part: i64,
        data: &'a [u8],
    },
    /// A blob without bytes, which has no parts.
    EmptyBlob {
        sha256: &'a str,
    },
    /// What has no checksum is a hint.
    Segment {
        segment: SegmentId,
        hint: SegmentHint,
    },
    /// An entry's row that was taken out: what took it out, and its key, body and checksum as they stood.
    Quarantined {
        number: i64,
        migration_id: [u8; 16],
        segment: SegmentId,
        seq: i64,
        values: [ValueRef<'a>; 3],
    },
    LedgerEvent {
        book: &'a str,
        seq: u64,
        key: Option<&'a str>,
        body: &'a str,
    },
    /// What has no checksum is a hint: that a book has an event.
    LedgerEnd {
        book: &'a str,
        seq: u64,
    },
    /// A row of one of our tables whose checksum does not hold.
    Damaged,
}

/// What the row of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHint {
    pub(super) session: SessionId,
    pub(super) entry_count: u64,
    pub(super) trace_count: u64,
    pub(super) origin: Option<SegmentOrigin>,
}

fn id(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.try_into().ok()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn count(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

/// The row that a record holds; `None` for what is not a row of the tables that are saved.
pub(super) fn row<'a>(kind: Kind, rowid: i64, values: &[ValueRef<'a>]) -> Option<Row<'a>> {
    match kind {
        Kind::Table => table_row(rowid, values),
        Kind::Index => index_row(values),
    }
}

fn table_row<'a>(rowid: i64, values: &[ValueRef<'a>]) -> Option<Row<'a>> {
    use ValueRef::{Blob, Integer, Null, Text};
    match *values {
        [Blob(segment), Integer(seq), Text(_), Integer(_), key @ (Null | Text(_)), Text(body), Integer(crc32c)] => {
            let segment = SegmentId::from_bytes(id(segment)?);
            let key = if let Text(key) = key { Some(key) } else { None };
            Some(entry(segment, seq, key, body, crc32c).unwrap_or(Row::Damaged))
        }
        [Blob(owner), Integer(seq), Text(body), Integer(crc32c)] => {
            let found = [SideTable::Traces, SideTable::Checkpoints];
            Some(side(&found, owner, seq, None, (body, crc32c)).unwrap_or(Row::Damaged))
        }
        [Blob(owner), Integer(seq), Text(domain), Text(body), Integer(crc32c)] => {
            Some(side(&[SideTable::Facts], owner, seq, Some(domain), (body, crc32c)).unwrap_or(Row::Damaged))
        }
        [Null, Text(body), Integer(crc32c)] => {
            Some(side(&[SideTable::Events], &[], rowid, None, (body, crc32c)).unwrap_or(Row::Damaged))
        }
        [Text(sha256), Integer(part), Blob(data)] if sha256.len() == SHA256_DIGITS => {
            Some(Row::BlobPart { sha256: text(sha256)?, part, data })
        }
        [Null, Blob(migration_id), Blob(segment), Integer(seq), key, body, stored, Integer(crc32c)] => {
            let values = [key, body, stored];
            let holds = i64::from(quarantine_checksum(rowid, migration_id, segment, seq, values)) == crc32c;
            let (migration_id, segment) = (id(migration_id)?, SegmentId::from_bytes(id(segment)?));
            Some(if holds {
                Row::Quarantined { number: rowid, migration_id, segment, seq, values }
            } else {
                Row::Damaged
            })
        }
        _ => None,
    }
}

fn entry<'a>(segment: SegmentId, seq: i64, key: Option<&'a [u8]>, body: &'a [u8], crc32c: i64) -> Option<Row<'a>> {
    let seq = count(seq).filter(|seq| *seq > 0)?;
    let holds = i64::from(entry_checksum(segment, seq, key, body)) == crc32c;
    let key = match key {
        None => None,
        Some(key) => Some(text(key)?),
    };
    holds.then_some(Row::Entry { segment, seq, key, text: text(body)? })
}

fn ledger_event<'a>(book: &'a [u8], seq: i64, key: Option<&'a [u8]>, body: &'a [u8], crc32c: i64) -> Option<Row<'a>> {
    let (book, body, seq) = (text(book)?, text(body)?, count(seq).filter(|seq| *seq > 0)?);
    let key = match key {
        None => None,
        Some(key) => Some(text(key)?),
    };
    let holds = i64::from(event_checksum(&book.parse().ok()?, seq, key, body)) == crc32c;
    holds.then_some(Row::LedgerEvent { book, seq, key, body })
}

fn side<'a>(
    tables: &[SideTable],
    owner: &'a [u8],
    seq: i64,
    domain: Option<&'a [u8]>,
    (body, crc32c): (&'a [u8], i64),
) -> Option<Row<'a>> {
    let (seq, body) = (count(seq)?, text(body)?);
    let holds = |table: &&SideTable| i64::from(table.checksum(owner, seq, body)) == crc32c;
    let table = *tables.iter().find(holds)?;
    Some(Row::Side { table, owner, seq, domain: domain.and_then(text), body })
}

fn index_row<'a>(values: &[ValueRef<'a>]) -> Option<Row<'a>> {
    use ValueRef::{Blob, Integer, Null, Text};
    match *values {
        [
            Blob(segment),
            Blob(session),
            Integer(entry_count),
            Integer(trace_count),
            origin_session,
            origin_segment,
            origin_seq,
            origin_turn,
            Integer(_),
            ..,
        ] => {
            let origin = match (origin_session, origin_segment, origin_seq, origin_turn) {
                (Blob(session), Blob(segment), Integer(seq), Integer(turn)) => Some(SegmentOrigin {
                    session_id: SessionId::from_bytes(id(session)?),
                    segment_id: SegmentId::from_bytes(id(segment)?),
                    seq: Seq(count(seq)?),
                    at_turn_index: count(turn)?,
                }),
                (Null, ..) => None,
                _ => return None,
            };
            let session = SessionId::from_bytes(id(session)?);
            let hint =
                SegmentHint { session, entry_count: count(entry_count)?, trace_count: count(trace_count)?, origin };
            Some(Row::Segment { segment: SegmentId::from_bytes(id(segment)?), hint })
        }
        [Text(book), Integer(seq), Integer(_), key @ (Null | Text(_)), Null | Blob(_), Text(body), Integer(crc32c)] => {
            let key = if let Text(key) = key { Some(key) } else { None };
            Some(ledger_event(book, seq, key, body, crc32c).unwrap_or(Row::Damaged))
        }
        // The row of a book's end, or the index of events by time: of seq and time, which is in microseconds, the seq is the smaller.
        [Text(book), Integer(one), Integer(other)] => {
            Some(Row::LedgerEnd { book: text(book)?, seq: count(one.min(other))? })
        }
        [Text(sha256), Integer(0)] if sha256.len() == SHA256_DIGITS => Some(Row::EmptyBlob { sha256: text(sha256)? }),
        // The index of segments by session: it knows what belongs together, too.
        [Blob(session), Blob(segment)] => {
            let session = SessionId::from_bytes(id(session)?);
            let hint = SegmentHint { session, entry_count: 0, trace_count: 0, origin: None };
            Some(Row::Segment { segment: SegmentId::from_bytes(id(segment)?), hint })
        }
        _ => None,
    }
}
