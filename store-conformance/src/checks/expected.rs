//! `expected`: an append only where the caller believes the log to end.

use store_core::Expected::{At, Count};
use store_core::Position;
use store_core::StoreError::Conflict;

use super::fixture::{Works as _, append, append_at, count, create_first, note, notes, records, refused, same};
use crate::{Failure, Harness, Outcome};

pub(crate) fn an_append_at_the_expected_count_succeeds(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    append_at(store, &[note("three")], Count(2)).works("an append at the expected count")?;
    same("the entries of the segment", count(store)?, 3)
}

pub(crate) fn an_append_with_a_stale_count_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    refused!("an append with a stale count", append_at(store, &[note("late")], Count(1)), Conflict { .. })
}

pub(crate) fn an_append_with_a_count_beyond_the_end_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    refused!("an append with a count beyond the end", append_at(store, &[note("early")], Count(3)), Conflict { .. })
}

pub(crate) fn an_append_at_the_answered_position_succeeds(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let end = append(store, &notes(2))?[1];
    append_at(store, &[note("next")], At(end)).works("an append at the position of the last append").map(|_| ())
}

pub(crate) fn an_append_at_the_read_position_succeeds(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 3)?;
    let Some(last) = records(store)?.pop() else { return Err(Failure::new("the segment has no records")) };
    append_at(store, &[note("next")], At(last.position)).works("an append at the position that was read").map(|_| ())
}

pub(crate) fn an_append_at_an_earlier_position_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let first = create_first(store, 2)?[0];
    refused!("an append at an earlier position", append_at(store, &[note("late")], At(first)), Conflict { .. })
}

pub(crate) fn an_append_at_a_position_with_another_checksum_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let end = create_first(store, 2)?[1];
    let other = Position { crc32c: !end.crc32c, ..end };
    refused!(
        "an append at a position with another checksum",
        append_at(store, &[note("x")], At(other)),
        Conflict { .. }
    )
}

pub(crate) fn a_conflict_tells_where_the_log_ends(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let end = create_first(store, 3)?[2];
    let answer = append_at(store, &[note("late")], Count(1));
    refused!("an append with a stale count", answer, Conflict { expected: Count(1), actual } if *actual == end)
}

pub(crate) fn a_conflict_writes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let answer = append_at(store, &notes(2), Count(1));
    same("a stale append was refused", matches!(answer, Err(Conflict { .. })), true)?;
    same("the entries after the conflict", count(store)?, 2)
}
