//! Faults of reading.

use store_core::{LogEntry, Seq, Store as _, StoreError};

use super::FaultyStore;
use super::handle::Rules;

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "the_last_two_of_many_records_change_places",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                if let [_, .., before, last] = &mut records[..] {
                    std::mem::swap(before, last);
                }
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_range_includes_its_after",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let from = if limit == usize::MAX { after } else { Seq(after.0.saturating_sub(1)) };
                at.inner.read_range(session, segment, from, limit)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_range_gives_one_more_than_its_limit",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                at.inner.read_range(session, segment, after, if limit == 0 { 0 } else { limit.saturating_add(1) })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_range_that_just_reaches_the_end_misses_the_last",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                if records.len() == limit
                    && records.last().is_some_and(|last| last.position == at.end(session, segment))
                {
                    records.pop();
                }
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_range_is_at_most_four_records",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                at.inner.read_range(session, segment, after, limit.min(4))
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_limit_of_zero_is_no_limit",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                at.inner.read_range(session, segment, after, if limit == 0 { usize::MAX } else { limit })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_range_behind_the_last_entry_gives_the_last",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let records = at.inner.read_range(session, segment, after, limit)?;
                if after.0 > 0 && after == at.end(session, segment).seq {
                    return at.inner.read_tail(session, segment, 1);
                }
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_range_far_behind_the_end_is_an_error",
        Rules {
            range: Some(|at, session, segment, after, limit| match i64::try_from(after.0) {
                Ok(_) => at.inner.read_range(session, segment, after, limit),
                Err(error) => Err(StoreError::backend(error)),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_tail_is_read_backwards",
        Rules {
            tail: Some(|at, session, segment, count| {
                let mut records = at.inner.read_tail(session, segment, count)?;
                records.reverse();
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_tail_of_more_than_there_is_is_empty",
        Rules {
            tail: Some(|at, session, segment, count| {
                let records = at.inner.read_tail(session, segment, count)?;
                Ok(if count > records.len() { Vec::new() } else { records })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_tail_of_zero_is_everything",
        Rules {
            tail: Some(|at, session, segment, count| {
                at.inner.read_tail(session, segment, if count == 0 { usize::MAX } else { count })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_tail_does_not_tell_keys",
        Rules {
            tail: Some(|at, session, segment, count| {
                let mut records = at.inner.read_tail(session, segment, count)?;
                records.iter_mut().for_each(|record| record.key = None);
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_count_stops_at_three",
        Rules {
            count: Some(|at, session, segment| Ok(at.inner.read_entry_count(session, segment)?.min(3))),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_record_holds_no_input",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                for record in &mut records {
                    if let LogEntry::UserInput(input) = &mut record.entry {
                        input.content.clear();
                    }
                }
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "reading_all_misses_the_last_entry",
        Rules {
            all: Some(|at, session, segment| {
                let mut entries = at.inner.read_all(session, segment)?;
                entries.pop();
                Ok(entries)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "all_records_have_one_checksum",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                records.iter_mut().for_each(|record| record.position.crc32c = 7);
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_range_of_an_unknown_segment_is_empty",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                at.inner.read_range(session, segment, after, limit).or_else(|_| Ok(Vec::new()))
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_count_of_an_unknown_segment_is_zero",
        Rules {
            count: Some(|at, session, segment| at.inner.read_entry_count(session, segment).or(Ok(0))),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "reads_do_not_look_at_the_session",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let holder = at.inner.lookup_session_of(segment)?.unwrap_or(session);
                at.inner.read_range(holder, segment, after, limit)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "counts_do_not_look_at_the_session",
        Rules {
            count: Some(|at, session, segment| {
                let holder = at.inner.lookup_session_of(segment)?.unwrap_or(session);
                at.inner.read_entry_count(holder, segment)
            }),
            ..Rules::KEPT
        },
    ),
];
