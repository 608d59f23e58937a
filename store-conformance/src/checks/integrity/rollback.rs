//! Rollbacks: exactly what a checkpoint saw, or nothing is changed; and a repair of what needs none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use store_core::StoreError::{Busy, Conflict, Diverged, NotFound, Referenced};
use store_core::integrity::{Event, EventKind, Outcome as Ended};
use store_core::{
    Backend, Expected, HistoryItem, HistoryRef, Lease, Missing, NewEntry, Record, SegmentId, SegmentStart, Seq,
    SessionId, TailFrom,
};

use super::{NOW, checkpoint, checkpoints, dry, integrity, options, rollback, try_rollback, verify};
use crate::checks::concurrency::{ROUNDS, at_once};
use crate::checks::fixture::{
    TIME, Works as _, append, append_at, count, create, create_first, fork_of, holds, note, point, records, refused,
    same, segment, session, start_with, try_create,
};
use crate::{Failure, Harness, Outcome};

/// Segment 1 of session 1 with three entries, a checkpoint of them, and two more, the last of them with the key `k`. Answers with the records that the
/// checkpoint saw.
fn checkpointed(store: &dyn Backend) -> Result<Vec<Record>, Failure> {
    create_first(store, 2)?;
    append(store, &[note("kept").with_key("kept")])?;
    let kept = records(store)?;
    checkpoint(store)?;
    append(store, &[note("gone"), note("gone too").with_key("k")])?;
    Ok(kept)
}

fn events(store: &dyn Backend) -> Result<Vec<Event>, Failure> {
    integrity(store)?.events().works("reading the events")
}

fn lease(store: &dyn Backend) -> Result<Lease, Failure> {
    let watch = store.watch().ok_or_else(|| Failure::new("the store must offer Watch"))?;
    watch.lease(session(1), segment(1), "writer", NOW).works("taking a free lease")
}

/// A segment that continues segment 1 of session 1 at `seq`.
fn fork(store: &dyn Backend, of: SessionId, id: SegmentId, seq: u64) -> Outcome {
    let start = start_with(fork_of(of, point(session(1), segment(1), seq)));
    try_create(store, of, id, &[start]).works("forking").map(|_| ())
}

pub(crate) fn a_rollback_leaves_exactly_the_entries_of_the_checkpoint(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let kept = checkpointed(store)?;
    rollback(store, 1)?;
    same("how many entries are counted", count(store)?, 3)?;
    let tail = store.read_tail(session(1), segment(1), 2).works("reading a tail")?;
    same("the tail", tail, kept[1..].to_vec())?;
    same("what is read", records(store)?, kept)
}

pub(crate) fn a_rollback_is_seen_by_another_handle(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    let kept = checkpointed(store)?;
    same("what the other handle reads before", records(&*other)?.len(), 5)?;
    rollback(store, 1)?;
    same("what it reads", records(&*other)?, kept)?;
    let position = append(&*other, &[note("on")])?;
    same("where it goes on", position.first().map(|position| position.seq), Some(Seq(4)))
}

pub(crate) fn a_rollback_holds_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    let kept = checkpointed(harness.store())?;
    rollback(harness.store(), 1)?;
    harness.reopen();
    same("what is read", records(harness.store())?, kept)?;
    same("how many entries are counted", count(harness.store())?, 3)
}

pub(crate) fn a_segment_goes_on_after_a_rollback(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let kept = checkpointed(store)?;
    let end = records(store)?.last().map(|last| last.position);
    rollback(store, 1)?;
    if let Some(end) = end {
        refused!("at the old end", append_at(store, &[note("late")], Expected::At(end)), Conflict { .. })?;
    }
    let at = kept.last().map_or(Expected::Count(3), |last| Expected::At(last.position));
    append_at(store, &[note("on")], at).works("appending at the checkpoint's entry")?;
    same("how many entries are counted", count(store)?, 4)?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn the_keys_of_removed_entries_are_free_again(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    rollback(store, 1)?;
    let written = append(store, &[note("another text").with_key("k")])?;
    same("where the key stands", written.first().map(|position| position.seq), Some(Seq(4)))
}

pub(crate) fn another_handle_forgets_the_keys_of_removed_entries(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    checkpointed(store)?;
    append(&*other, &[note("gone too").with_key("k")])?;
    rollback(store, 1)?;
    let written = append(&*other, &[note("another text").with_key("k")])?;
    same("where the key stands", written.first().map(|position| position.seq), Some(Seq(4)))
}

pub(crate) fn the_keys_of_kept_entries_stand_after_a_rollback(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    rollback(store, 1)?;
    let written = append(store, &[note("kept").with_key("kept")])?;
    same("where the key stands", written.first().map(|position| position.seq), Some(Seq(3)))
}

pub(crate) fn a_tail_of_a_segment_that_is_rolled_back_has_diverged(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    let watch = store.watch().ok_or_else(|| Failure::new("the store must offer Watch"))?;
    let mut tail = watch.tail(session(1), segment(1), TailFrom::Start).works("following")?;
    tail.next(Duration::ZERO).works("reading what stands there")?;
    rollback(store, 1)?;
    refused!("the next record", tail.next(Duration::ZERO), Diverged { actual: None, .. })
}

pub(crate) fn a_rollback_is_named_by_changes(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    checkpointed(store)?;
    let before = other.changes(None).works("asking for changes")?;
    rollback(store, 1)?;
    let after = other.changes(Some(&before.cursor)).works("asking for changes")?;
    holds("the segment may have changed", after.segments.contains(&(session(1), segment(1))))?;
    holds("its entries may be others", after.rewritten.contains(&(session(1), segment(1))))?;
    append(store, &[note("appended")])?;
    let later = other.changes(Some(&after.cursor)).works("asking for changes")?;
    holds("the segment may have changed once more", later.segments.contains(&(session(1), segment(1))))
}

pub(crate) fn checkpoints_behind_a_rollback_are_void(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    checkpoint(store)?;
    append(store, &[note("gone as well")])?;
    checkpoint(store)?;
    rollback(store, 2)?;
    rollback(store, 1)?;
    let void: Vec<bool> = checkpoints(store)?.iter().map(|listed| listed.void).collect();
    same("which checkpoints are void", void, vec![false, true, true])?;
    refused!("one of them", try_rollback(store, 2)?, NotFound(Missing::Checkpoint(_, 2)))
}

pub(crate) fn a_rollback_to_the_end_removes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    checkpoint(store)?;
    let before = records(store)?;
    same("how many entries were removed", rollback(store, 2)?.removed, 0)?;
    same("what is read", records(store)?, before)?;
    holds("no checkpoint is void", checkpoints(store)?.iter().all(|listed| !listed.void))
}

pub(crate) fn a_rollback_to_an_unknown_checkpoint_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    refused!("the second of one", try_rollback(store, 2)?, NotFound(Missing::Checkpoint(_, 2)))?;
    refused!("number 0", try_rollback(store, 0)?, NotFound(Missing::Checkpoint(_, 0)))?;
    same("how many entries are counted", count(store)?, 5)
}

pub(crate) fn a_rollback_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    create(store, session(2), segment(2), &[])?;
    let integrity = integrity(store)?;
    refused!(
        "an unknown one",
        integrity.rollback(session(1), segment(3), 1, &options()),
        NotFound(Missing::Segment(_))
    )?;
    refused!(
        "another session's",
        integrity.rollback(session(2), segment(1), 1, &options()),
        NotFound(Missing::Segment(_))
    )?;
    same("the events", events(store)?.len(), 0)
}

pub(crate) fn a_rollback_behind_a_fork_of_the_same_session_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    fork(store, session(1), segment(2), 4)?;
    refused!("a rollback", try_rollback(store, 1)?, Referenced { by } if *by == [segment(2)])
}

pub(crate) fn a_rollback_behind_a_fork_of_another_session_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    fork(store, session(2), segment(2), 5)?;
    refused!("a rollback", try_rollback(store, 1)?, Referenced { by } if *by == [segment(2)])
}

pub(crate) fn a_rollback_behind_a_compaction_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    let reference = HistoryRef { segment_id: segment(1), from: Seq(2), through: Seq(4) };
    let start = SegmentStart {
        compacted_from: Some(point(session(1), segment(1), 5)),
        history: vec![HistoryItem::Reference(reference)],
        ..SegmentStart::new(session(1), TIME)
    };
    try_create(store, session(1), segment(2), &[start_with(start)]).works("compacting")?;
    refused!("a rollback", try_rollback(store, 1)?, Referenced { by } if *by == [segment(2)])
}

pub(crate) fn a_refused_rollback_changes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    fork(store, session(2), segment(2), 5)?;
    let before = (records(store)?, checkpoints(store)?);
    refused!("a rollback", try_rollback(store, 1)?, Referenced { .. })?;
    same("the segment and its checkpoints", (records(store)?, checkpoints(store)?), before)?;
    let again = append(store, &[note("gone too").with_key("k")])?;
    same("where the key stands", again.first().map(|position| position.seq), Some(Seq(5)))
}

pub(crate) fn a_rollback_up_to_what_forks_continue_succeeds(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let kept = checkpointed(store)?;
    fork(store, session(1), segment(2), 3)?;
    fork(store, session(2), segment(3), 2)?;
    rollback(store, 1)?;
    same("what is read", records(store)?, kept)?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn other_segments_stay_in_a_rollback(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create(store, session(1), segment(2), &[note("of another segment").with_key("k")])?;
    checkpointed(store)?;
    rollback(store, 1)?;
    same("the other segment", store.read_entry_count(session(1), segment(2)).works("counting")?, 2)?;
    holds("nothing else was removed", verify(store)?.ok)
}

pub(crate) fn a_rollback_of_a_leased_segment_is_refused(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    checkpointed(store)?;
    let held = lease(store)?;
    refused!("a rollback by the holder's handle", try_rollback(store, 1)?, Busy { .. })?;
    refused!("a rollback by another handle", try_rollback(&*other, 1)?, Busy { .. })?;
    same("how many entries are counted", count(store)?, 5)?;
    drop(held);
    rollback(&*other, 1).map(|_| ())
}

pub(crate) fn a_rolled_back_segment_can_be_leased(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    rollback(store, 1)?;
    lease(store).map(drop)
}

pub(crate) fn a_dry_rollback_changes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    checkpoint(store)?;
    let before = (records(store)?, checkpoints(store)?);
    let would = integrity(store)?.rollback(session(1), segment(1), 1, &dry()).works("a dry rollback")?;
    same("how many entries it would remove", would.removed, 2)?;
    same("the segment and its checkpoints", (records(store)?, checkpoints(store)?), before)?;
    same("the events", events(store)?.len(), 0)
}

pub(crate) fn a_dry_rollback_is_refused_where_a_real_one_is(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    fork(store, session(1), segment(2), 4)?;
    let integrity = integrity(store)?;
    refused!("a dry rollback", integrity.rollback(session(1), segment(1), 1, &dry()), Referenced { .. })?;
    same("the events", events(store)?.len(), 0)
}

pub(crate) fn a_rollback_answers_with_what_it_did(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    let before = verify(store)?.heads.first().map(|head| (head.seq, Some(head.head)));
    let done = rollback(store, 1)?;
    let after = verify(store)?.heads.first().map(|head| (head.seq, head.head));
    same("where the segment ended before", Some((done.before.seq, done.before.head)), before)?;
    same("where it ends", Some((done.after.seq, done.after.head)), after)?;
    same("how many entries were removed", done.removed, 2)?;
    holds(
        "they are kept somewhere",
        !done.quarantined.is_empty() && done.quarantined.iter().all(|out| out.path.is_some()),
    )?;
    holds("what was read back is as it should be", done.verification.holds())
}

pub(crate) fn a_rollback_is_recorded(harness: &mut dyn Harness) -> Outcome {
    checkpointed(harness.store())?;
    let done = rollback(harness.store(), 1)?;
    harness.reopen();
    let events = events(harness.store())?;
    let [event] = &events[..] else { return Err(Failure::new(format!("one event must be recorded, not {events:?}"))) };
    let EventKind::RolledBack { migration_id, segment: of, checkpoint, before, after, verification, .. } = &event.what
    else {
        return Err(Failure::new(format!("the event must be a rollback, not {event:?}")));
    };
    same("what was rolled back", (*migration_id, *of, *checkpoint), (done.migration_id, segment(1), 1))?;
    same("from where", *before, Some(done.before))?;
    same("to where", after.map(|after| (after.seq, after.head)), Some((done.after.seq, Some(done.after.head))))?;
    same("what was found", *verification, Some(done.verification))?;
    same("how it ended", (event.outcome, event.error_class.as_deref()), (Ended::Ok, None))?;
    same("when, and for whom", (event.ts, event.correlation_id.as_deref()), (NOW, Some("c-1")))
}

pub(crate) fn a_refused_rollback_is_recorded(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    checkpointed(store)?;
    fork(store, session(2), segment(2), 5)?;
    refused!("a rollback", try_rollback(store, 1)?, Referenced { .. })?;
    refused!("a rollback", try_rollback(store, 9)?, NotFound(_))?;
    let told: Vec<_> = events(store)?
        .into_iter()
        .map(|event| {
            (matches!(event.what, EventKind::RolledBack { after: None, .. }), event.outcome, event.error_class)
        })
        .collect();
    let failed = |class: &str| (true, Ended::RecoverableError, Some(class.to_owned()));
    same("the events", told, vec![failed("referenced"), failed("not_found")])
}

pub(crate) fn a_rollback_and_appends_at_once_leave_a_whole_log(harness: &mut dyn Harness) -> Outcome {
    checkpointed(harness.store())?;
    let rolling = AtomicBool::new(true);
    let call = |n: usize, round: usize| [note(&format!("{n} {round} first")), note(&format!("{n} {round} second"))];
    let outcomes = at_once(harness, |store, n| {
        if n == 0 {
            let _rolling = Rolling(&rolling);
            return (0..8).try_for_each(|_| rollback(store, 1).map(drop));
        }
        // Some calls of each thread come when nothing is rolled back any more, so that some stand there in the end.
        let (mut round, mut last) = (0, ROUNDS);
        while round < last {
            append(store, &call(n, round))?;
            round += 1;
            last = if rolling.load(Ordering::Acquire) { round + ROUNDS } else { last };
        }
        Ok(())
    })?;
    outcomes.into_iter().collect::<Outcome>()?;
    same("what is wrong then", verify(harness.store())?.damage, vec![])?;
    let texts: Vec<String> = records(harness.store())?.into_iter().skip(3).map(|record| record.text).collect();
    holds("calls stand there", texts.len() >= 2 * ROUNDS)?;
    for call in texts.chunks(2) {
        let second = call.get(1).map(|text| text.replace("second", "first"));
        same("the second entry of a call, as the first of it", second.as_ref(), call.first())?;
    }
    Ok(())
}

/// Says so when nothing is rolled back any more, however that ends.
struct Rolling<'a>(&'a AtomicBool);

impl Drop for Rolling<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A segment that ends otherwise than it began, so that a change would show.
fn whole(store: &dyn Backend) -> Result<(Vec<Record>, usize), Failure> {
    checkpointed(store)?;
    append(store, &[NewEntry::text(r#"{"kind":"note","ts":3}"#)])?;
    checkpoint(store)?;
    Ok((records(store)?, events(store)?.len()))
}

pub(crate) fn a_repair_of_a_whole_segment_changes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let before = whole(store)?;
    let done = integrity(store)?.repair(session(1), segment(1), &options()).works("repairing what is whole")?;
    same("what was kept, and lost", (done.kept, done.lost, done.quarantined), (6, vec![], vec![]))?;
    same("its name", done.migration_id, None)?;
    same("the segment and the events", (records(store)?, events(store)?.len()), before)?;
    holds("no checkpoint is void", checkpoints(store)?.iter().all(|listed| !listed.void))
}

pub(crate) fn a_repair_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    whole(store)?;
    create(store, session(2), segment(2), &[])?;
    let integrity = integrity(store)?;
    refused!("an unknown one", integrity.repair(session(1), segment(3), &options()), NotFound(_))?;
    refused!("another session's", integrity.repair(session(2), segment(1), &options()), NotFound(_))
}
