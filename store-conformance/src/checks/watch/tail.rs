//! Tails that follow a log, by whomever it is written.
//!
//! A call that has returned is seen by every tail at its next look, so most of this waits for nothing. What waits does so until
//! the event comes, and would fail only after a time that no correct store takes.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use store_core::StoreError::{Diverged, NotFound};
use store_core::{Backend, Position, Record, Seq, Tail, TailEvent, TailFrom};

use super::watch;
use crate::checks::concurrency::{ROUNDS, THREADS, at_once};
use crate::checks::fixture::{
    Works as _, append, create, create_first, note, notes, records, refused, same, segment, session,
};
use crate::{Failure, Harness, Outcome, race};

fn try_tail(store: &dyn Backend, from: TailFrom) -> Result<store_core::Result<Box<dyn Tail>>, Failure> {
    Ok(watch(store)?.tail(session(1), segment(1), from))
}

fn tail(store: &dyn Backend, from: TailFrom) -> Result<Box<dyn Tail>, Failure> {
    try_tail(store, from)?.works("following a segment")
}

/// The answer of a call that makes a tail, in a form that can be shown.
fn shown(answer: store_core::Result<Box<dyn Tail>>) -> store_core::Result<Position> {
    answer.map(|tail| tail.position())
}

/// What a tail has to give at its next look.
fn next(tail: &mut dyn Tail) -> Result<TailEvent, Failure> {
    tail.next(Duration::ZERO).works("looking whether something was appended")
}

/// The records of an event.
fn records_of(event: TailEvent) -> Result<Vec<Record>, Failure> {
    match event {
        TailEvent::Records(records) => Ok(records),
        other => Err(Failure::new(format!("a tail must give records, it gave {other:?}"))),
    }
}

fn next_seqs(tail: &mut dyn Tail) -> Result<Vec<u64>, Failure> {
    Ok(records_of(next(tail)?)?.iter().map(|record| record.position.seq.0).collect())
}

/// `count` records, as they come.
fn collect(tail: &mut dyn Tail, count: usize, wait: Duration) -> Result<Vec<Record>, Failure> {
    let mut given = Vec::new();
    while given.len() < count {
        given.extend(records_of(tail.next(wait).works("waiting for records")?)?);
    }
    Ok(given)
}

/// What a tail answers that waits while `act` happens.
fn next_beside(
    tail: &mut dyn Tail,
    wait: Duration,
    act: impl FnOnce() -> Outcome,
) -> Result<store_core::Result<TailEvent>, Failure> {
    race::begin();
    thread::scope(|scope| {
        let waiting = scope.spawn(move || tail.next(wait));
        let acted = act();
        let answer = waiting.join().map_err(|_| Failure::new("the tail panicked"))?;
        acted.map(|()| answer)
    })
}

pub(crate) fn a_tail_gives_what_stands_in_the_log(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    append(store, &[note("three").with_key("k")])?;
    let given = records_of(next(&mut *tail(store, TailFrom::Start)?)?)?;
    same("the records that a tail gives", given, records(store)?)
}

pub(crate) fn a_tail_goes_on_with_what_is_appended(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let mut tail = tail(store, TailFrom::Start)?;
    same("what stands in the log", next_seqs(&mut *tail)?, vec![1, 2])?;
    append(store, &notes(2))?;
    same("what was appended", next_seqs(&mut *tail)?, vec![3, 4])?;
    append(store, &notes(1))?;
    same("what was appended then", next_seqs(&mut *tail)?, vec![5])
}

pub(crate) fn a_tail_goes_on_with_what_another_handle_appends(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 2)?;
    let mut tail = tail(store, TailFrom::Start)?;
    same("what stands in the log", next_seqs(&mut *tail)?, vec![1, 2])?;
    append(&*other, &notes(2))?;
    same("what another handle appended", next_seqs(&mut *tail)?, vec![3, 4])
}

fn waiting_tail_is_given(harness: &dyn Harness, writer: &dyn Backend) -> Outcome {
    create_first(harness.store(), 1)?;
    let mut tail = tail(harness.store(), TailFrom::End)?;
    let answer = next_beside(&mut *tail, harness.limits().wait, || append(writer, &[note("late")]).map(|_| ()))?;
    let given = records_of(answer.works("waiting for an append")?)?;
    same("what a waiting tail gives", given, records(harness.store())?[1..].to_vec())
}

pub(crate) fn a_waiting_tail_is_given_what_is_appended(harness: &mut dyn Harness) -> Outcome {
    waiting_tail_is_given(harness, harness.store())
}

pub(crate) fn a_waiting_tail_is_given_what_another_handle_appends(harness: &mut dyn Harness) -> Outcome {
    waiting_tail_is_given(harness, &*harness.second_handle())
}

pub(crate) fn a_tail_begins_behind_the_position_it_is_given(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let positions = create_first(store, 4)?;
    same("behind seq 2", next_seqs(&mut *tail(store, TailFrom::After(positions[1]))?)?, vec![3, 4])?;
    let start = Position { seq: Seq::START, crc32c: 0 };
    same("behind seq 0", next_seqs(&mut *tail(store, TailFrom::After(start))?)?, vec![1, 2, 3, 4])
}

pub(crate) fn a_tail_resumes_without_loss_or_repetition(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 3)?;
    let mut first = tail(harness.store(), TailFrom::Start)?;
    next(&mut *first)?;
    let position = first.position();
    drop(first);
    append(harness.store(), &notes(2))?;
    harness.reopen();
    let mut second = tail(harness.store(), TailFrom::After(position))?;
    same("what a tail resumes with", next_seqs(&mut *second)?, vec![4, 5])?;
    same("what comes then", next(&mut *second)?, TailEvent::Nothing)
}

pub(crate) fn a_tail_from_the_end_gives_only_what_is_appended(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 3)?;
    let mut tail = tail(store, TailFrom::End)?;
    same("what a tail from the end gives at first", next(&mut *tail)?, TailEvent::Nothing)?;
    append(store, &notes(1))?;
    same("what was appended", next_seqs(&mut *tail)?, vec![4])
}

pub(crate) fn a_tail_gives_every_record_once_beside_writers(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    let (count, wait) = (ROUNDS * 3 * (THREADS - 1), harness.limits().wait);
    let mut tail = tail(harness.store(), TailFrom::Start)?;
    let mut given = collect(&mut *tail, 1, wait)?;
    let tail = Mutex::new(tail);
    let outcomes = at_once(harness, |store, n| match n {
        0 => collect(&mut **tail.lock().unwrap_or_else(PoisonError::into_inner), count, wait),
        _ => (0..ROUNDS).try_for_each(|_| append(store, &notes(3)).map(|_| ())).map(|()| Vec::new()),
    })?;
    for outcome in outcomes {
        given.extend(outcome?);
    }
    same("the records that a tail gave beside writers", given, records(harness.store())?)
}

pub(crate) fn two_tails_both_give_everything(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let (mut one, mut two) = (tail(store, TailFrom::Start)?, tail(store, TailFrom::Start)?);
    same("what the first tail gives", next_seqs(&mut *one)?, vec![1, 2])?;
    append(store, &notes(1))?;
    same("what the second tail gives", next_seqs(&mut *two)?, vec![1, 2, 3])?;
    same("what the first tail gives then", next_seqs(&mut *one)?, vec![3])
}

pub(crate) fn a_tail_with_nothing_to_give_says_so(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let mut tail = tail(store, TailFrom::End)?;
    same("without waiting", next(&mut *tail)?, TailEvent::Nothing)?;
    same("after a wait", tail.next(Duration::from_millis(1)).works("waiting in vain")?, TailEvent::Nothing)
}

pub(crate) fn a_tail_goes_on_after_it_had_nothing_to_give(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let mut tail = tail(store, TailFrom::End)?;
    for seq in 2..=4 {
        tail.next(Duration::from_millis(1)).works("waiting in vain")?;
        append(store, &notes(1))?;
        same("what was appended after a wait in vain", next_seqs(&mut *tail)?, vec![seq])?;
    }
    Ok(())
}

pub(crate) fn stopping_a_tail_ends_its_wait(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let mut tail = tail(store, TailFrom::End)?;
    let stop = tail.stop_handle();
    let answer = next_beside(&mut *tail, harness.limits().wait, || {
        stop.clone().stop();
        Ok(())
    })?;
    same("what a stopped tail answers", answer.works("waiting")?, TailEvent::Stopped)
}

pub(crate) fn a_stopped_tail_stays_stopped(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let mut tail = tail(store, TailFrom::Start)?;
    tail.stop_handle().stop();
    same("what a stopped tail answers", next(&mut *tail)?, TailEvent::Stopped)?;
    append(store, &notes(1))?;
    same("what a stopped tail answers later", next(&mut *tail)?, TailEvent::Stopped)?;
    same("where a stopped tail is", tail.position().seq, Seq::START)
}

pub(crate) fn a_tail_tells_where_it_is(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let positions = create_first(store, 3)?;
    let mut behind = tail(store, TailFrom::After(positions[0]))?;
    same("where a tail begins", behind.position(), positions[0])?;
    same("where a tail from the end begins", tail(store, TailFrom::End)?.position(), positions[2])?;
    next(&mut *behind)?;
    same("where a tail is that gave everything", behind.position(), positions[2])
}

pub(crate) fn a_tail_outlives_the_handle_that_made_it(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    let mut tail = tail(harness.store(), TailFrom::End)?;
    harness.reopen();
    append(harness.store(), &notes(1))?;
    same("what was appended after the handle was closed", next_seqs(&mut *tail)?, vec![2])
}

pub(crate) fn a_tail_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let watch = watch(harness.store())?;
    for from in [TailFrom::Start, TailFrom::End] {
        let answer = watch.tail(session(1), segment(1), from);
        refused!("following an unknown segment", shown(answer), NotFound(_))?;
    }
    Ok(())
}

pub(crate) fn a_tail_of_another_sessions_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    let answer = watch(store)?.tail(session(2), segment(1), TailFrom::Start);
    refused!("following another session's segment", shown(answer), NotFound(_))
}

pub(crate) fn a_tail_of_a_segment_that_is_deleted_ends_with_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let mut tail = tail(store, TailFrom::Start)?;
    next(&mut *tail)?;
    let delete = || store.delete_session(session(1)).works("deleting a session that is followed");
    let answer = next_beside(&mut *tail, harness.limits().wait, delete)?;
    refused!("waiting for a segment that is deleted", answer, NotFound(_))?;
    refused!("looking again", tail.next(Duration::ZERO), NotFound(_))
}

pub(crate) fn a_tail_from_a_position_with_another_checksum_has_diverged(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let positions = create_first(store, 3)?;
    let other = Position { crc32c: !positions[1].crc32c, ..positions[1] };
    let answer = shown(try_tail(store, TailFrom::After(other))?);
    let actual = Some(positions[1]);
    refused!("following from a position that does not stand", answer,
        Diverged { segment: id, expected, actual: found, .. } if *id == segment(1) && *expected == other && *found == actual)
}

pub(crate) fn a_tail_from_beyond_the_end_has_diverged(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let positions = create_first(store, 3)?;
    let beyond = Position { seq: Seq(4), ..positions[2] };
    let answer = shown(try_tail(store, TailFrom::After(beyond))?);
    refused!("following from beyond the end", answer, Diverged { expected, actual: None, .. } if *expected == beyond)
}

/// A tail of a segment that was read to its third entry, deleted, and made again with another third entry; and what was read.
fn made_anew(harness: &dyn Harness) -> Result<(Box<dyn Tail>, Vec<Position>), Failure> {
    let store = harness.store();
    let read = create(store, session(1), segment(1), &[note("second"), note("third")])?;
    let mut tail = tail(store, TailFrom::After(read[1]))?;
    next(&mut *tail)?;
    store.delete_session(session(1)).works("deleting a session that is followed")?;
    create(store, session(1), segment(1), &[note("second"), note("not the third")])?;
    append(store, &[note("fourth")])?;
    Ok((tail, read))
}

pub(crate) fn a_tail_of_a_segment_that_was_made_anew_has_diverged(harness: &mut dyn Harness) -> Outcome {
    let (mut tail, read) = made_anew(harness)?;
    let answer = tail.next(Duration::ZERO);
    refused!("a tail of a segment that was made anew", answer, Diverged { expected, .. } if *expected == read[2])?;
    let answer = tail.next(Duration::ZERO);
    refused!("looking again", answer, Diverged { expected, .. } if *expected == read[2])
}

pub(crate) fn a_diverged_tail_says_what_still_stands(harness: &mut dyn Harness) -> Outcome {
    let (mut tail, read) = made_anew(harness)?;
    let Err(Diverged { actual, agreed, .. }) = tail.next(Duration::ZERO) else {
        return Err(Failure::new("a tail of a segment that was made anew must say that it diverged"));
    };
    let now = records(harness.store())?;
    same("what is said to stand there now", actual, Some(now[2].position))?;
    // A store may tell two entries of the same text apart; then nothing that was read stands there any more.
    let stands = if now[1].position == read[1] { read[1] } else { Position { seq: Seq::START, crc32c: 0 } };
    same("through where the log is said to agree", agreed, stands)
}
