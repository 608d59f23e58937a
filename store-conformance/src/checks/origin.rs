//! Origins: what a new segment may continue, and what its history may refer to.

use store_core::StoreError::InvalidOrigin;
use store_core::{HistoryItem, HistoryRef, SegmentId, SegmentOrigin, SegmentStart, Seq};

use super::fixture::{
    TIME, Works as _, create, create_first, fork_of, holds, point, refused, same, segment, session, start_with,
    try_create,
};
use crate::{Failure, Harness, Outcome};

/// Creates segment 9 of session 9 with this start, where segment 1 of session 1 has three entries.
fn create_from(harness: &dyn Harness, start: SegmentStart) -> Result<store_core::Result<()>, Failure> {
    create_first(harness.store(), 3)?;
    Ok(try_create(harness.store(), session(9), segment(9), &[start_with(start)]).map(|_| ()))
}

fn fork_from(harness: &dyn Harness, origin: SegmentOrigin) -> Result<store_core::Result<()>, Failure> {
    create_from(harness, fork_of(session(9), origin))
}

/// A fork of the first two entries of segment 1 whose history refers to these entries.
fn fork_with_history(
    harness: &dyn Harness,
    of: SegmentId,
    from: u64,
    through: u64,
) -> Result<store_core::Result<()>, Failure> {
    let reference = HistoryRef { segment_id: of, from: Seq(from), through: Seq(through) };
    let fork = fork_of(session(9), point(session(1), segment(1), 2));
    create_from(harness, SegmentStart { history: vec![HistoryItem::Reference(reference)], ..fork })
}

pub(crate) fn a_fork_of_another_sessions_entry_is_created(harness: &mut dyn Harness) -> Outcome {
    let origin = point(session(1), segment(1), 2);
    fork_from(harness, origin)?.works("a fork in the middle of another session's segment")?;
    let entries = harness.store().read_all(session(9), segment(9)).works("reading the fork")?;
    let Some(store_core::LogEntry::SegmentStart(start)) = entries.first() else {
        return Err(Failure::new("the fork does not begin with its segment_start"));
    };
    same("the origin that is read back", start.forked_from, Some(origin))
}

pub(crate) fn a_fork_of_the_last_entry_is_created(harness: &mut dyn Harness) -> Outcome {
    fork_from(harness, point(session(1), segment(1), 3))?.works("a fork of a segment's last entry")
}

pub(crate) fn a_fork_copies_nothing(harness: &mut dyn Harness) -> Outcome {
    fork_from(harness, point(session(1), segment(1), 3))?.works("a fork")?;
    let entries = harness.store().read_entry_count(session(9), segment(9)).works("counting the fork's entries")?;
    same("the entries of a fork that was created with its start alone", entries, 1)
}

pub(crate) fn an_origin_in_a_missing_segment_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_from(harness, point(session(1), segment(7), 1))?;
    refused!("a fork of a segment that does not exist", answer, InvalidOrigin { .. })
}

pub(crate) fn an_origin_in_itself_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_from(harness, point(session(9), segment(9), 1))?;
    refused!("a segment that continues itself", answer, InvalidOrigin { .. })
}

pub(crate) fn an_origin_that_names_the_wrong_session_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_from(harness, point(session(2), segment(1), 1))?;
    refused!("a fork that names the wrong session of a segment", answer, InvalidOrigin { .. })
}

pub(crate) fn an_origin_before_the_first_entry_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_from(harness, point(session(1), segment(1), 0))?;
    refused!("a fork at seq 0", answer, InvalidOrigin { .. })
}

pub(crate) fn an_origin_beyond_the_end_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_from(harness, point(session(1), segment(1), 4))?;
    refused!("a fork at seq 4 of a segment with 3 entries", answer, InvalidOrigin { .. })
}

pub(crate) fn a_compaction_origin_beyond_the_end_is_refused(harness: &mut dyn Harness) -> Outcome {
    let compacted_from = Some(point(session(1), segment(1), 4));
    let answer = create_from(harness, SegmentStart { compacted_from, ..SegmentStart::new(session(9), TIME) })?;
    refused!("a compaction at seq 4 of a segment with 3 entries", answer, InvalidOrigin { .. })
}

pub(crate) fn two_origins_at_once_are_refused(harness: &mut dyn Harness) -> Outcome {
    let origin = point(session(1), segment(1), 2);
    let both = SegmentStart { compacted_from: Some(origin), ..fork_of(session(9), origin) };
    refused!("a segment with two origins", create_from(harness, both)?, InvalidOrigin { .. })
}

pub(crate) fn history_up_to_the_origin_is_accepted(harness: &mut dyn Harness) -> Outcome {
    fork_with_history(harness, segment(1), 1, 2)?.works("history that refers to all entries up to the origin")
}

pub(crate) fn history_behind_the_origin_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_with_history(harness, segment(1), 1, 3)?;
    refused!("history that refers to an entry behind the origin", answer, InvalidOrigin { .. })
}

pub(crate) fn history_of_a_strange_segment_is_refused(harness: &mut dyn Harness) -> Outcome {
    create(harness.store(), session(2), segment(2), &[])?;
    let answer = fork_with_history(harness, segment(2), 1, 1)?;
    refused!("history that refers to a segment outside the lineage", answer, InvalidOrigin { .. })
}

pub(crate) fn history_that_runs_backwards_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_with_history(harness, segment(1), 2, 1)?;
    refused!("history from seq 2 through seq 1", answer, InvalidOrigin { .. })
}

pub(crate) fn history_of_a_grandparent_is_accepted(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 3)?;
    let parent = start_with(fork_of(session(2), point(session(1), segment(1), 3)));
    try_create(store, session(2), segment(2), &[parent]).works("a fork")?;
    let reference = HistoryRef { segment_id: segment(1), from: Seq(2), through: Seq(3) };
    let fork = fork_of(session(3), point(session(2), segment(2), 1));
    let child = SegmentStart { history: vec![HistoryItem::Reference(reference)], ..fork };
    let answer = try_create(store, session(3), segment(3), &[start_with(child)]);
    answer.works("history that refers to the origin's origin").map(|_| ())
}

pub(crate) fn a_refused_origin_leaves_nothing_behind(harness: &mut dyn Harness) -> Outcome {
    let answer = fork_from(harness, point(session(1), segment(7), 1))?;
    holds("a fork of a segment that does not exist is refused", answer.is_err())?;
    let found = harness.store().lookup_session_of(segment(9)).works("looking a segment up")?;
    same("the session of a segment that was refused", found, None)
}
