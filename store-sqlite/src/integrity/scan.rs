//! Walking the rows of a segment past those that are damaged.
//!
//! Rows are read in stretches of half a megabyte, each in a read transaction of its own, and handed over when that is done: so a scan keeps no
//! connection while its visitor works, which may use the store, and no writer's log from being cut. The price: who rolls the segment back
//! in the middle of a long scan makes it fail as `Busy`.
//!
//! What stands in columns beside a text is held against it on the way, so that verifying reads every row once.

use std::ops::{ControlFlow, Range};

use rusqlite::{Connection, OptionalExtension as _, Row};
use store_core::integrity::{FindingKind, LOST_SEQS_MAX, Scanned, ScannedEntry, Stretch, Visit};
use store_core::{Position, SegmentId, Seq, SessionId, StoreError};

use super::columns;
use crate::connection::Connections;
use crate::error::Result;
use crate::read;
use crate::row;

/// How many bytes of entries are read before they are handed over; one entry may have more. As much as a processor keeps at hand.
const BATCH_BYTES: usize = 512 * 1024;

/// The next thing in a segment's rows.
enum Item {
    /// An entry, and where its key and text stand among those of its batch.
    Entry {
        position: Position,
        key: Option<Range<usize>>,
        text: Range<usize>,
        /// Whether its columns are what its text says.
        in_step: bool,
    },
    Damaged(Stretch),
}

/// Things that follow each other, and the first seq behind them; `None` behind the last row.
struct Batch {
    texts: String,
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
        if batch.hand_over(visit).is_break() {
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
        if batch.hand_over(visit).is_break() {
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
            Self::Entry { position, .. } => Some(*position),
            Self::Damaged(_) => None,
        }
    }
}

impl Batch {
    /// Takes up what a row (`seq, key, body, crc32c, kind, ts`) holds; a row that is not what was written is an answer.
    fn take_up(&mut self, segment: SegmentId, row: &Row<'_>) -> Result<()> {
        let texts = &mut self.texts;
        let mut keep = |text: &str| {
            let from = texts.len();
            texts.push_str(text);
            from..texts.len()
        };
        let (kind, ts) = (row.get_ref(4)?, row.get_ref(5)?);
        let mut item = None;
        let read = row::verified_row(segment, row, |position, key, text| {
            let in_step = columns::instead(text, kind, ts).is_none();
            item = Some(Item::Entry { position, key: key.map(&mut keep), text: keep(text), in_step });
        });
        self.items.extend(match read.map_err(StoreError::from) {
            Ok(()) => item,
            Err(StoreError::Corrupt(damage)) => {
                let seq = damage.seq.filter(|seq| *seq > Seq::START);
                let (kind, detail, bytes) = (FindingKind::Checksum, damage.detail, bytes_of(row));
                Some(Item::Damaged(Stretch { part: 1, offset: damage.offset, bytes, seq, kind, detail }))
            }
            Err(error) => return Err(error.into()),
        });
        Ok(())
    }

    fn hand_over(self, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let Self { texts, items, .. } = self;
        items.into_iter().try_for_each(|item| {
            visit(match item {
                Item::Entry { position, key, text, in_step } => Scanned::Entry(ScannedEntry {
                    position,
                    bytes: (text.len() + key.as_ref().map_or(0, Range::len)) as u64,
                    key: key.map(|key| &texts[key]),
                    text: &texts[text],
                    part: 1,
                    offset: position.seq.0,
                    out_of_step: (!in_step).then_some(columns::ROW_OUT_OF_STEP),
                }),
                Item::Damaged(stretch) => Scanned::Damaged(stretch),
            })
        })
    }
}

/// How many bytes the key and the body of a row have, whatever stands there.
fn bytes_of(row: &Row<'_>) -> u64 {
    let bytes = [1, 2].map(|at| row.get_ref(at).ok().and_then(|value| value.as_bytes_or_null().ok().flatten()));
    bytes.into_iter().flatten().map(|bytes| bytes.len() as u64).sum()
}

fn read_batch(connection: &Connection, segment: SegmentId, from: i64) -> Result<Batch> {
    let mut batch = Batch { texts: String::new(), items: Vec::new(), next: Some(from) };
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
        "SELECT seq, key, body, crc32c, kind, ts FROM entries WHERE segment_id = ?1 AND seq >= ?2 ORDER BY seq",
    )?;
    let mut rows = statement.query((segment.as_bytes(), from))?;
    while let Some(row) = rows.next()? {
        batch.take_up(segment, row)?;
        batch.next = row.get::<_, i64>(0)?.checked_add(1);
        if batch.texts.len() + batch.items.len() >= BATCH_BYTES {
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
    let mut statement = connection
        .prepare_cached("SELECT seq, key, body, crc32c, kind, ts FROM entries WHERE segment_id = ?1 AND seq = ?2")?;
    let before = batch.items.len();
    for seq in from..=end {
        let mut look = || -> Result<()> {
            let mut rows = statement.query((segment.as_bytes(), seq))?;
            rows.next()?.map_or(Ok(()), |row| batch.take_up(segment, row))
        };
        match look() {
            Err(error) if !error.is_corrupt() => return Err(error),
            _ => {}
        }
        if batch.items.len() > before {
            batch.items.insert(before, unreadable(seq - 1));
            batch.next = seq.checked_add(1);
            return Ok(());
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
