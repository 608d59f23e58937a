//! What a rollback and a repair have in common: the exclusion of others, the quarantine, and a dry run that is taken back.

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};
use store_core::integrity::{EndState, ListedCheckpoint, Quarantined, measure};
use store_core::{MigrationId, SegmentId, Seq, SessionId, StoreError};

use super::checkpoint;
use super::scan::scan_in;
use crate::connection::Connections;
use crate::error::Result;
use crate::lease::{self, HeldLease};
use crate::row;
use crate::{changes, read};

/// What tells the values of a quarantined row apart.
// Persisted: never renumber or reuse.
const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;

/// Runs `work` in a transaction; of a dry run nothing is left in it.
pub(super) fn unless_dry<T>(transaction: &Connection, dry_run: bool, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if !dry_run {
        return work();
    }
    // If the work fails the whole transaction is rolled back, and this with it.
    transaction.execute_batch("SAVEPOINT dry_run")?;
    let done = work()?;
    transaction.execute_batch("ROLLBACK TO dry_run; RELEASE dry_run")?;
    Ok(done)
}

/// Refuses a segment whose lease anybody holds. Who takes it later waits for the transaction.
pub(super) fn refuse_leased(connections: &Connections, segment: SegmentId) -> Result<Option<HeldLease>> {
    lease::hold_one(connections.place(), segment)
}

/// Where a segment ends before anything is done to it.
pub(super) fn end_state(connections: &Connections, session: SessionId, segment: SegmentId) -> Result<EndState> {
    connections.read(|connection| {
        let found = read::segment_of(connection, session, segment)?;
        Ok(end_state_in(connection, segment, found.entry_count))
    })
}

/// The same within a transaction.
pub(super) fn end_state_in(connection: &Connection, segment: SegmentId, entry_count: u64) -> EndState {
    let measured = measure(segment, None, |visit| scan_in(connection, segment, visit)).ok();
    let whole = measured.filter(|measured| measured.chain.seq == Seq(entry_count));
    EndState { seq: Seq(entry_count), head: whole.map(|measured| measured.chain.head) }
}

/// Moves rows of a segment into quarantine: those that `goes` names by their seq.
pub(super) fn quarantine(
    transaction: &Connection,
    segment: SegmentId,
    id: MigrationId,
    goes: impl Fn(i64) -> bool,
) -> Result<Vec<Quarantined>> {
    let mut select =
        transaction.prepare_cached("SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 ORDER BY seq")?;
    let mut rows = select.query([segment.as_bytes()])?;
    let mut taken: Vec<(i64, Quarantined)> = Vec::new();
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        if !goes(seq) {
            continue;
        }
        let values = [row.get_ref(1)?, row.get_ref(2)?, row.get_ref(3)?];
        let number = quarantine_row(transaction, id.as_bytes(), segment, seq, values)?;
        let bytes = values[..2].iter().map(length).sum();
        let path = Some(format!("quarantine {number}"));
        taken.push((seq, Quarantined { part: 1, offset: u64::try_from(seq).unwrap_or(0), bytes, path }));
    }
    drop(rows);
    let mut delete = transaction.prepare_cached("DELETE FROM entries WHERE segment_id = ?1 AND seq = ?2")?;
    for (seq, _) in &taken {
        delete.execute((segment.as_bytes(), seq))?;
    }
    Ok(taken.into_iter().map(|(_, taken)| taken).collect())
}

/// Puts one row into quarantine: its key, body and checksum as they stood. Answers with its number there.
pub(crate) fn quarantine_row(
    transaction: &Connection,
    id: &[u8; 16],
    segment: SegmentId,
    seq: i64,
    values: [ValueRef<'_>; 3],
) -> Result<i64> {
    let number: i64 = transaction
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM quarantine")?
        .query_row([], |row| row.get(0))?;
    let crc32c = quarantine_checksum(number, id, segment.as_bytes(), seq, values);
    let [key, body, stored] = values.map(ToSqlOutput::Borrowed);
    transaction
        .prepare_cached(
            "INSERT INTO quarantine (number, migration_id, segment_id, seq, key, body, row_crc32c, crc32c)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((number, id, segment.as_bytes(), seq, key, body, stored, crc32c))?;
    Ok(number)
}

/// How many bytes a value has.
pub(super) fn length(value: &ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

/// The checksum of a quarantined row: CRC-32C of `quarantine`, the number (8 bytes, big-endian), the two ids, the seq (8 bytes, big-endian), and for each of
/// the row's values its type and bytes, of text and blobs behind their length (8 bytes, big-endian).
pub(crate) fn quarantine_checksum(number: i64, id: &[u8], segment: &[u8], seq: i64, values: [ValueRef<'_>; 3]) -> u32 {
    let mut crc = crc32c::crc32c(b"quarantine");
    let mut add = |bytes: &[u8]| crc = crc32c::crc32c_append(crc, bytes);
    add(&number.to_be_bytes());
    add(id);
    add(segment);
    add(&seq.to_be_bytes());
    for value in values {
        match value {
            ValueRef::Null => add(&[NULL]),
            ValueRef::Integer(number) => {
                add(&[INTEGER]);
                add(&number.to_be_bytes());
            }
            ValueRef::Real(number) => {
                add(&[REAL]);
                add(&number.to_be_bytes());
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                add(&[if matches!(value, ValueRef::Text(_)) { TEXT } else { BLOB }]);
                add(&(bytes.len() as u64).to_be_bytes());
                add(bytes);
            }
        }
    }
    crc
}

/// Leaves the segment's new end, its change, and that checkpoints behind `intact_through` are void.
pub(super) fn finish(
    transaction: &Connection,
    segment: SegmentId,
    through: Seq,
    (listed, intact_through): (&[ListedCheckpoint], Seq),
) -> Result<()> {
    let change = changes::next(transaction)?;
    transaction
        .prepare_cached("UPDATE segments SET entry_count = ?2, change = ?3 WHERE segment_id = ?1")?
        .execute((segment.as_bytes(), row::to_sql(through.0), row::to_sql(change)))?;
    if let Some(void) = ListedCheckpoint::void_behind(listed, intact_through) {
        checkpoint::insert(transaction, segment, &void)?;
    }
    Ok(())
}

/// The other segments that continue this one behind `after`, each with the seq that it continues. A history reference never reaches
/// beyond the origin that its lineage passes through.
pub(super) fn continued_behind(
    connection: &Connection,
    (session, segment): (SessionId, SegmentId),
    after: Seq,
) -> Result<Vec<(SegmentId, Seq)>> {
    let mut statement = connection.prepare_cached(
        "SELECT segment_id, origin_seq FROM segments
         WHERE origin_session_id = ?1 AND origin_segment_id = ?2 AND origin_seq > ?3 ORDER BY segment_id",
    )?;
    let parameters = (session.as_bytes(), segment.as_bytes(), row::to_sql(after.0));
    let found =
        statement.query_and_then(parameters, |row| Ok((row::segment_id(row, 0)?, Seq(row::number(row, 1)?))))?;
    found.collect()
}

/// What was written does not read back as it should: nothing of it stays.
pub(super) fn not_as_written(segment: SegmentId) -> StoreError {
    crate::error::damage(Some(segment), None, "what was written does not read back as it should")
}
