//! Walking the rows of a segment past those that are damaged.
//!
//! Rows are read in stretches of a few megabytes, each in a read transaction of its own, and handed over when that is done: so a scan keeps no
//! connection while its visitor works, which may use the store, and no writer's log from being cut. The price: who rolls the segment back
//! in the middle of a long scan makes it fail as `Busy`.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension as _, Row};
use store_core::integrity::{FindingKind, LOST_SEQS_MAX, Scanned, ScannedEntry, Stretch, Visit};
use store_core::{Position, SegmentId, Seq, SessionId, StoreError};

use crate::connection::Connections;
use crate::error::Result;
use crate::read;
use crate::row::{self, EntryRow};

/// How many bytes of entries are read before they are handed over; one entry may have more.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// The next thing in a segment's rows.
enum Item {
    Entry { row: EntryRow, bytes: u64 },
    Damaged(Stretch),
}

/// Things that follow each other, and the first seq behind them; `None` behind the last row.
struct Batch {
    items: Vec<Item>,
    next: Option<i64>,
}

pub(super) fn scan(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    visit: &mut Visit<'_>,
) -> store_core::Result<()> {
    let mut next = Some(i64::MIN);
    let mut last = None;
    while let Some(from) = next {
        let batch = connections.read(|connection| {
            read::segment_of(connection, session, segment)?;
            refuse_other_log(connection, segment, last)?;
            read_batch(connection, segment, from)
        })?;
        next = batch.next;
        last = batch.items.iter().rev().find_map(Item::position).or(last);
        if hand_over(batch.items, visit).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Walks all rows on one connection, within its transaction.
pub(super) fn scan_in(connection: &Connection, segment: SegmentId, visit: &mut Visit<'_>) -> store_core::Result<()> {
    let mut next = Some(i64::MIN);
    while let Some(from) = next {
        let batch = read_batch(connection, segment, from)?;
        next = batch.next;
        if hand_over(batch.items, visit).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// What was handed over has to be the beginning of what is read next.
fn refuse_other_log(connection: &Connection, segment: SegmentId, last: Option<Position>) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    let mut statement = connection.prepare_cached("SELECT crc32c FROM entries WHERE segment_id = ?1 AND seq = ?2")?;
    let stands = statement.query_row((segment.as_bytes(), row::to_sql(last.seq.0)), |row| row.get::<_, i64>(0));
    if stands.optional()? == Some(last.crc32c.into()) {
        return Ok(());
    }
    let holder = "a rollback or a repair of the segment".to_owned();
    Err(StoreError::Busy { holder, host: None, since: None }.into())
}

impl Item {
    fn position(&self) -> Option<Position> {
        match self {
            Self::Entry { row, .. } => Some(row.position),
            Self::Damaged(_) => None,
        }
    }

    /// What a row holds; a row that is not what was written is an answer.
    fn read(segment: SegmentId, row: &Row<'_>) -> Result<Self> {
        let bytes = [1, 2].map(|at| row.get_ref(at).ok().and_then(|value| value.as_bytes_or_null().ok().flatten()));
        let bytes = bytes.into_iter().flatten().map(|bytes| bytes.len() as u64).sum();
        match EntryRow::read(segment, row).map_err(StoreError::from) {
            Ok(row) => Ok(Self::Entry { row, bytes }),
            Err(StoreError::Corrupt(damage)) => {
                let seq = damage.seq.filter(|seq| *seq > Seq::START);
                let (kind, detail) = (FindingKind::Checksum, damage.detail);
                Ok(Self::Damaged(Stretch { part: 1, offset: damage.offset, bytes, seq, kind, detail }))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn hand_over(items: Vec<Item>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    for item in items {
        visit(match &item {
            Item::Entry { row, bytes } => Scanned::Entry(ScannedEntry {
                position: row.position,
                key: row.key.as_deref(),
                text: &row.text,
                part: 1,
                offset: row.position.seq.0,
                bytes: *bytes,
            }),
            Item::Damaged(stretch) => Scanned::Damaged(stretch.clone()),
        })?;
    }
    ControlFlow::Continue(())
}

fn read_batch(connection: &Connection, segment: SegmentId, from: i64) -> Result<Batch> {
    let mut batch = Batch { items: Vec::new(), next: Some(from) };
    match read_rows(connection, segment, &mut batch) {
        Err(error) if error.is_corrupt() => skip_unreadable(connection, segment, &mut batch, &error.to_string())?,
        read => read?,
    }
    Ok(batch)
}

/// Reads rows until there are enough, or none is left.
fn read_rows(connection: &Connection, segment: SegmentId, batch: &mut Batch) -> Result<()> {
    let Some(from) = batch.next else { return Ok(()) };
    let mut statement = connection.prepare_cached(
        "SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 AND seq >= ?2 ORDER BY seq",
    )?;
    let mut rows = statement.query((segment.as_bytes(), from))?;
    let mut read = 0;
    while let Some(row) = rows.next()? {
        let item = Item::read(segment, row)?;
        read += if let Item::Entry { bytes, .. } = &item { *bytes } else { 1 };
        batch.items.push(item);
        batch.next = row.get::<_, i64>(0)?.checked_add(1);
        if read >= BATCH_BYTES {
            return Ok(());
        }
    }
    batch.next = None;
    Ok(())
}

/// Looks for the next row that can be read, one seq after the other, behind a page that SQLite cannot make sense of.
fn skip_unreadable(connection: &Connection, segment: SegmentId, batch: &mut Batch, why: &str) -> Result<()> {
    let Some(next) = batch.next else { return Ok(()) };
    let from = next.max(1);
    let unreadable = |through: i64| {
        let detail = format!("rows {from} to {through} cannot be read: {why}");
        let offset = from.unsigned_abs();
        Item::Damaged(Stretch {
            part: 1,
            offset,
            bytes: 0,
            seq: Some(Seq(offset)),
            kind: FindingKind::Structure,
            detail,
        })
    };
    let end = last_seq(connection, segment, from)?;
    let mut statement =
        connection.prepare_cached("SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 AND seq = ?2")?;
    for seq in from..=end {
        let mut look = || -> Result<Option<Item>> {
            let mut rows = statement.query((segment.as_bytes(), seq))?;
            rows.next()?.map(|row| Item::read(segment, row)).transpose()
        };
        match look() {
            Ok(None) => {}
            Err(error) if error.is_corrupt() => {}
            Err(error) => return Err(error),
            Ok(Some(found)) => {
                batch.items.extend([unreadable(seq - 1), found]);
                batch.next = seq.checked_add(1);
                return Ok(());
            }
        }
    }
    batch.items.push(unreadable(end));
    batch.next = None;
    Ok(())
}

/// The last seq that the segment may have, as far as anything says so.
fn last_seq(connection: &Connection, segment: SegmentId, from: i64) -> Result<i64> {
    let counted = read::find_segment(connection, segment)?.map_or(0, |found| row::to_sql(found.entry_count));
    let sql = "SELECT max(seq) FROM entries WHERE segment_id = ?1";
    let found =
        match connection.prepare_cached(sql)?.query_row([segment.as_bytes()], |row| row.get::<_, Option<i64>>(0)) {
            Ok(found) => found.unwrap_or(0),
            // What cannot be read cannot say where it ends.
            Err(_) => 0,
        };
    // A count that is itself damaged may say anything.
    Ok(counted.max(found).min(from.saturating_add(row::to_sql(LOST_SEQS_MAX))))
}
