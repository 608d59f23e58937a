//! Many threads and two handles at once: calls stay whole, and of those that exclude each other one wins.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use store_core::Expected::Count;
use store_core::{Backend, NewEntry, Position, StoreError};

use super::fixture::{
    Works as _, append, append_at, count, create, create_first, holds, later_texts, note, same, segment, seqs, session,
    start, text_of, try_append, try_create,
};
use crate::{Failure, Harness, Outcome, race};

/// How many threads call at the same time.
pub(super) const THREADS: usize = 4;
/// How often each thread calls, and how often a race is run.
pub(super) const ROUNDS: usize = 12;

type Answer<T> = store_core::Result<T>;

/// Calls `work` with its number in every thread at once, half of them on another handle.
pub(super) fn at_once<T: Send>(
    harness: &dyn Harness,
    work: impl Fn(&dyn Backend, usize) -> T + Sync,
) -> Result<Vec<T>, Failure> {
    let (store, other) = (harness.store(), harness.second_handle());
    let barrier = Barrier::new(THREADS);
    let run = |n: usize| {
        let handle = if n.is_multiple_of(2) { store } else { &*other };
        barrier.wait();
        work(handle, n)
    };
    race::begin();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || run(n))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| Failure::new("a thread panicked"))).collect()
    })
}

/// The calls of one thread, three entries each.
fn call_of(thread: usize, round: usize) -> Vec<NewEntry> {
    (0..3).map(|entry| note(&format!("{thread} {round} {entry}"))).collect()
}

/// Every thread appends its calls; the answers by thread and call.
fn append_many(harness: &dyn Harness) -> Result<Vec<Vec<Answer<Vec<Position>>>>, Failure> {
    create_first(harness.store(), 1)?;
    at_once(harness, |store, n| {
        (0..ROUNDS).map(|round| try_append(store, session(1), segment(1), &call_of(n, round))).collect()
    })
}

/// That exactly one of some answers is a success and `lost` recognises the others.
fn one_winner<T>(what: &str, answers: &[Answer<T>], lost: impl Fn(&StoreError) -> bool) -> Outcome {
    let winners = answers.iter().filter(|answer| answer.is_ok()).count();
    same(&format!("how many won {what}"), winners, 1)?;
    let mut losers = answers.iter().filter_map(|answer| answer.as_ref().err());
    match losers.find(|error| !lost(error)) {
        Some(error) => Err(Failure::new(format!("who lost {what} was told: {error}"))),
        None => Ok(()),
    }
}

pub(crate) fn appends_at_once_lose_nothing(harness: &mut dyn Harness) -> Outcome {
    for answer in append_many(harness)?.into_iter().flatten() {
        answer.works("an append beside others")?;
    }
    let mut found = later_texts(harness.store())?;
    let calls = (0..THREADS).flat_map(|n| (0..ROUNDS).flat_map(move |round| call_of(n, round)));
    let mut expected: Vec<String> = calls.map(|entry| text_of(&entry)).collect();
    found.sort();
    expected.sort();
    holds("all entries of all threads are in the log once", found == expected)
}

pub(crate) fn appends_at_once_answer_with_their_own_positions(harness: &mut dyn Harness) -> Outcome {
    let answers = append_many(harness)?;
    let texts = later_texts(harness.store())?;
    for (n, answers) in answers.into_iter().enumerate() {
        for (round, answer) in answers.into_iter().enumerate() {
            for (entry, seq) in call_of(n, round).iter().zip(seqs(&answer.works("an append beside others")?)) {
                let at = usize::try_from(seq).ok().and_then(|seq| texts.get(seq.checked_sub(2)?));
                same(&format!("the text at seq {seq}"), at, Some(&text_of(entry)))?;
            }
        }
    }
    Ok(())
}

pub(crate) fn calls_at_once_stay_whole(harness: &mut dyn Harness) -> Outcome {
    append_many(harness)?;
    let texts = later_texts(harness.store())?;
    for call in texts.chunks(3) {
        let call_name = |text: &String| text.rsplit_once(' ').map(|(call, _)| call.to_owned());
        let first = call.first().and_then(call_name);
        let same_call = call.len() == 3 && call.iter().all(|text| call_name(text) == first);
        holds(&format!("these stem from one call: {call:?}"), same_call)?;
    }
    Ok(())
}

pub(crate) fn a_reader_sees_whole_calls_only(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    let writing = AtomicBool::new(true);
    let read = |store: &dyn Backend| {
        while writing.load(Ordering::Acquire) {
            let length = later_texts(store)?.len();
            same("the entries that a reader saw beyond whole calls of three", length % 3, 0)?;
            thread::yield_now();
        }
        Ok(())
    };
    let outcomes = at_once(harness, |store, n| match n {
        0 => {
            let _done = Done(&writing);
            (0..ROUNDS).try_for_each(|round| append(store, &call_of(n, round)).map(|_| ()))
        }
        _ => read(store),
    })?;
    outcomes.into_iter().collect()
}

/// Tells the readers that the writer has ended, however it did.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

pub(crate) fn of_creations_at_once_one_wins(harness: &mut dyn Harness) -> Outcome {
    for round in 0..ROUNDS {
        let id = segment(round as u64);
        let answers = at_once(harness, |store, n| {
            // Sessions of this round alone: who won before says nothing about who wins now.
            let of = session((round * THREADS + n) as u64);
            try_create(store, of, id, &[start(of), note("first")]).map(|_| of)
        })?;
        one_winner("a creation", &answers, |error| matches!(error, StoreError::AlreadyExists { .. }))?;
        let winner = answers.into_iter().find_map(Result::ok);
        let holder = harness.store().lookup_session_of(id).works("looking up")?;
        same("the session of the segment", holder, winner)?;
    }
    Ok(())
}

pub(crate) fn of_appends_at_the_same_end_one_wins(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    for round in 1..=ROUNDS as u64 {
        let answers = at_once(harness, |store, n| append_at(store, &[note(&format!("{round} {n}"))], Count(round)))?;
        one_winner("an append", &answers, |error| matches!(error, StoreError::Conflict { .. }))?;
    }
    same("the entries of the segment", count(harness.store())?, 1 + ROUNDS as u64)
}

pub(crate) fn a_keyed_entry_is_written_once_by_many(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    for round in 1..=ROUNDS as u64 {
        let entry = note("once").with_key(round.to_string());
        let answers = at_once(harness, |store, _| append(store, std::slice::from_ref(&entry)))?;
        for answer in answers {
            same("the seq of the entry", seqs(&answer?), vec![round + 1])?;
        }
    }
    Ok(())
}

pub(crate) fn no_append_outlives_a_deletion(harness: &mut dyn Harness) -> Outcome {
    for round in 0..ROUNDS as u64 {
        create(harness.store(), session(round), segment(round), &[])?;
        let answers = at_once(harness, |store, n| match n {
            0 => store.delete_session(session(round)),
            _ => try_append(store, session(round), segment(round), &[note("raced")]).map(|_| ()),
        })?;
        for answer in answers {
            holds(
                "a race with a deletion ends well or with NotFound",
                matches!(answer, Ok(()) | Err(StoreError::NotFound(_))),
            )?;
        }
        same("the session exists", harness.store().exists(session(round)).works("exists")?, false)?;
        let found = harness.store().lookup_session_of(segment(round)).works("looking up")?;
        same("the session of the segment", found, None)?;
    }
    Ok(())
}
