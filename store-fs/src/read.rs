//! Reading records of a segment's log.

use std::ops::ControlFlow;

use store_core::codec::Line;
use store_core::parse::parse_entries;
use store_core::{Damage, LogEntry, Position, Record, Result, SegmentId, Seq, StoreError};

use crate::record_log::{End, Place, View};

/// The damage of a line with a right checksum that holds no entry.
fn no_entry(segment: SegmentId, place: Place, seq: Seq, error: impl std::fmt::Display) -> StoreError {
    let (Place { part, offset }, detail) = (place, format!("not an entry: {error}"));
    StoreError::Corrupt(Damage { segment: Some(segment), part, offset, seq: Some(seq), detail })
}

/// A line as a record.
fn to_record(segment: SegmentId, place: Place, line: &Line<'_>) -> Result<Record> {
    let text = line.text();
    let entry = LogEntry::from_text(&text).map_err(|error| no_entry(segment, place, line.seq, error))?;
    let position = Position { seq: line.seq, crc32c: line.crc32c };
    Ok(Record { position, key: line.key.as_deref().map(str::to_owned), text, entry })
}

/// Every entry.
pub(crate) fn read_entries(view: &View<'_>, end: &End, segment: SegmentId) -> Result<Vec<LogEntry>> {
    let mut text = String::new();
    parse_entries(
        |each| {
            view.read_from(end, Seq(1), |place, line| {
                text.clear();
                line.push_text(&mut text);
                each(&text, (place, line.seq));
                Ok(ControlFlow::Continue(()))
            })
        },
        |(place, seq), error| no_entry(segment, place, seq, error),
    )
}

/// At most `limit` records behind `after`.
pub(crate) fn read_behind(
    view: &View<'_>,
    end: &End,
    segment: SegmentId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    if limit == 0 || after >= end.seq {
        return Ok(records);
    }
    view.read_from(end, after.next(), |place, line| {
        records.push(to_record(segment, place, line)?);
        Ok(if records.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(records)
}

/// The last `count` records, or all if they are fewer.
pub(crate) fn read_last(view: &View<'_>, end: &End, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    view.read_last(end, u64::try_from(count).unwrap_or(u64::MAX), |place, line| {
        records.push(to_record(segment, place, line)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(records)
}
