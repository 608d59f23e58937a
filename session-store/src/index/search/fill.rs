//! Bringing the words up to date.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use store_core::{Record, Seq, Store, StoreError};

use super::super::rows::{Fault, SegmentRow, to_db, to_u64};
use super::SearchProgress;
use super::texts::said;
use super::words::words;
use crate::leaf::is_damage;

/// How many records are read at once.
const BATCH_RECORDS: u64 = 64;

/// How many entries are read before others may use the file.
const CHUNK_ENTRIES: u64 = 2_000;

/// An entry's number among the words: its segment's above its seq.
const SEQ_BITS: u32 = 32;

/// What is in an entry's number; the inverse of [`number_of`].
pub(super) const fn place_of(number: i64) -> (i64, Seq) {
    (number >> SEQ_BITS, Seq((number & ((1 << SEQ_BITS) - 1)).cast_unsigned()))
}

/// `None` for an entry so far behind in its log that it has no number; it is not searched.
fn number_of(segment: i64, seq: Seq) -> Option<i64> {
    (seq.0 < 1 << SEQ_BITS).then(|| segment << SEQ_BITS | to_db(seq.0))
}

/// Forgets the words of a segment.
pub(in crate::index) fn forget(db: &Connection, segment: i64) -> rusqlite::Result<()> {
    let mut delete = db.prepare_cached("DELETE FROM words WHERE rowid >= ?1 AND rowid < ?2")?;
    delete.execute([segment << SEQ_BITS, (segment + 1) << SEQ_BITS])?;
    db.prepare_cached("DELETE FROM searched WHERE segment = ?1")?.execute([segment])?;
    db.prepare_cached("DELETE FROM unsearched WHERE segment = ?1")?.execute([segment])?;
    Ok(())
}

/// Reads some of the texts whose words are not known yet; `false` if there are none left.
pub(in crate::index) fn fill(
    db: &mut Connection,
    store: &dyn Store,
    progress: &mut SearchProgress,
) -> Result<bool, Fault> {
    // Whoever finds nothing to do keeps nobody from the file.
    let waiting = count_waiting(db)?;
    progress.segments_total = progress.segments + waiting;
    if waiting == 0 {
        return Ok(false);
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let end = progress.entries + CHUNK_ENTRIES;
    while progress.entries < end
        && let Some(segment) = next_waiting(&transaction)?
    {
        if fill_segment(&transaction, store, segment, end, progress)? {
            transaction.prepare_cached("DELETE FROM unsearched WHERE segment = ?1")?.execute([segment])?;
            progress.segments += 1;
        }
    }
    transaction.commit()?;
    Ok(true)
}

fn count_waiting(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM unsearched")?.query_row([], |row| row.get(0).map(to_u64))
}

fn next_waiting(db: &Connection) -> rusqlite::Result<Option<i64>> {
    // In the order of their numbers, which is the one in which words are cheapest to add.
    let mut query = db.prepare_cached("SELECT segment FROM unsearched ORDER BY segment LIMIT 1")?;
    query.query_row([], |row| row.get(0)).optional()
}

/// Reads a segment as far as the index knows it; `false` if it was cut off by `end`.
fn fill_segment(
    db: &Connection,
    store: &dyn Store,
    segment: i64,
    end: u64,
    progress: &mut SearchProgress,
) -> Result<bool, Fault> {
    let Some(row) = SegmentRow::numbered(db, segment)? else { return Ok(true) };
    let mut query = db.prepare_cached("SELECT seq FROM searched WHERE segment = ?1")?;
    let mut after = Seq(query.query_row([segment], |row| row.get(0).map(to_u64)).optional()?.unwrap_or_default());
    let mut limit = BATCH_RECORDS;
    while after < row.position.seq && progress.entries < end {
        let wanted = limit.min(row.position.seq.0 - after.0);
        let records = match store.read_range(row.session, row.id, after, usize::try_from(wanted).unwrap_or(1)) {
            Ok(records) => records,
            // What stands before the damage can still be read, in smaller steps.
            Err(error) if is_damage(&error) && limit > 1 => {
                limit /= 2;
                continue;
            }
            // What was not read is there again when the index knows more of the log than now.
            Err(error) if is_damage(&error) || matches!(error, StoreError::NotFound(_)) => break,
            Err(error) => return Err(error.into()),
        };
        let Some(last) = records.last() else { break };
        after = last.position.seq;
        progress.entries += records.len() as u64;
        for record in &records {
            add(db, store, segment, record)?;
        }
        db.prepare_cached("INSERT OR REPLACE INTO searched (segment, seq) VALUES (?1, ?2)")?
            .execute(params![segment, to_db(after.0)])?;
    }
    Ok(after >= row.position.seq || progress.entries < end)
}

fn add(db: &Connection, store: &dyn Store, segment: i64, record: &Record) -> rusqlite::Result<()> {
    let Some(number) = number_of(segment, record.position.seq) else { return Ok(()) };
    let mut text = String::new();
    for said in said(store, &record.entry) {
        for word in words(&said.text) {
            text.push_str(&word.text);
            text.push(' ');
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    db.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?.execute(params![number, text]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_known_by_one_number() {
        for place in [(1, Seq(1)), (1, Seq((1 << 32) - 1)), (2, Seq(7)), ((1 << 31) - 1, Seq(5))] {
            assert_eq!(number_of(place.0, place.1).map(place_of), Some(place));
        }
        assert_eq!(number_of(1, Seq(1 << 32)), None);
    }
}
