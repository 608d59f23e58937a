//! Reading: ranges and tails at every edge, counts, and records that agree with themselves.

use store_core::StoreError::NotFound;
use store_core::{Backend, LogEntry, Record, Seq};

use super::fixture::{
    Works as _, append, count, create, create_first, input, note, records, refused, same, segment, session,
};
use crate::{Failure, Harness, Outcome};

fn seqs_of(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.position.seq.0).collect()
}

/// The seqs of a range of a segment with five entries.
fn range(store: &dyn Backend, after: u64, limit: usize) -> Result<Vec<u64>, Failure> {
    create_first(store, 5)?;
    let records = store.read_range(session(1), segment(1), Seq(after), limit);
    Ok(seqs_of(&records.works("reading a range")?))
}

/// The seqs of the tail of a segment with five entries.
fn tail(store: &dyn Backend, count: usize) -> Result<Vec<u64>, Failure> {
    create_first(store, 5)?;
    let records = store.read_tail(session(1), segment(1), count);
    Ok(seqs_of(&records.works("reading a tail")?))
}

pub(crate) fn a_range_starts_behind_its_after(harness: &mut dyn Harness) -> Outcome {
    same("the range behind 2", range(harness.store(), 2, 10)?, vec![3, 4, 5])
}

pub(crate) fn a_range_stops_at_its_limit(harness: &mut dyn Harness) -> Outcome {
    same("the first two", range(harness.store(), 0, 2)?, vec![1, 2])
}

pub(crate) fn a_range_may_end_exactly_at_the_end(harness: &mut dyn Harness) -> Outcome {
    same("three behind 2", range(harness.store(), 2, 3)?, vec![3, 4, 5])
}

pub(crate) fn a_range_without_bounds_is_the_whole_segment(harness: &mut dyn Harness) -> Outcome {
    same("everything", range(harness.store(), 0, usize::MAX)?, vec![1, 2, 3, 4, 5])
}

pub(crate) fn a_range_of_zero_entries_is_empty(harness: &mut dyn Harness) -> Outcome {
    same("no entries behind 1", range(harness.store(), 1, 0)?, vec![])
}

pub(crate) fn a_range_behind_the_last_entry_is_empty(harness: &mut dyn Harness) -> Outcome {
    same("the range behind the last entry", range(harness.store(), 5, 10)?, vec![])
}

pub(crate) fn a_range_far_behind_the_end_is_empty(harness: &mut dyn Harness) -> Outcome {
    same("the range behind the greatest seq", range(harness.store(), u64::MAX, usize::MAX)?, vec![])
}

pub(crate) fn a_tail_is_the_last_entries_in_order(harness: &mut dyn Harness) -> Outcome {
    same("the last three", tail(harness.store(), 3)?, vec![3, 4, 5])
}

pub(crate) fn a_tail_of_more_than_there_is_is_everything(harness: &mut dyn Harness) -> Outcome {
    same("the last of all", tail(harness.store(), usize::MAX)?, vec![1, 2, 3, 4, 5])
}

pub(crate) fn a_tail_of_zero_entries_is_empty(harness: &mut dyn Harness) -> Outcome {
    same("the last none", tail(harness.store(), 0)?, vec![])
}

pub(crate) fn a_tail_has_what_a_range_has(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    append(store, &[input("three"), note("four").with_key("k")])?;
    let tail = store.read_tail(session(1), segment(1), 2).works("reading a tail")?;
    same("the records of a tail", tail, records(store)?[2..].to_vec())
}

pub(crate) fn the_count_is_the_last_seq(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 3)?;
    append(store, &[note("four")])?;
    let last = records(store)?.last().map(|record| record.position.seq.0);
    same("the count", Some(count(store)?), last)?;
    same("the count", count(store)?, 4)
}

pub(crate) fn a_record_holds_the_entry_of_its_text(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    append(store, &[input("three")])?;
    for record in records(store)? {
        let entry = LogEntry::from_text(&record.text).ok();
        same(&format!("the entry of {}", record.text), Some(record.entry), entry)?;
    }
    Ok(())
}

pub(crate) fn reading_all_gives_every_entry_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    append(store, &[input("three"), note("four")])?;
    let all = store.read_all(session(1), segment(1)).works("reading all")?;
    same("every entry", all, records(store)?.into_iter().map(|record| record.entry).collect())
}

pub(crate) fn different_entries_have_different_checksums(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create(store, session(1), segment(1), &[note("one"), note("two")])?;
    let mut checksums: Vec<u32> = records(store)?.iter().map(|record| record.position.crc32c).collect();
    checksums.sort_unstable();
    checksums.dedup();
    same("how many checksums three different entries have", checksums.len(), 3)
}

pub(crate) fn ranges_and_tails_of_an_unknown_segment_are_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    refused!("a range", store.read_range(session(1), segment(2), Seq::START, 1), NotFound(_))?;
    refused!("a tail", store.read_tail(session(1), segment(2), 1), NotFound(_))?;
    refused!("a range of nothing", store.read_range(session(1), segment(2), Seq::START, 0), NotFound(_))
}

pub(crate) fn the_count_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let answer = harness.store().read_entry_count(session(1), segment(1));
    refused!("the count of an unknown segment", answer, NotFound(_))
}

pub(crate) fn another_session_reads_no_segment_that_is_not_its_own(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    refused!("a range", store.read_range(session(2), segment(1), Seq::START, 1), NotFound(_))?;
    refused!("a tail", store.read_tail(session(2), segment(1), 1), NotFound(_))?;
    refused!("all", store.read_all(session(2), segment(1)), NotFound(_))?;
    refused!("the count", store.read_entry_count(session(2), segment(1)), NotFound(_))
}
