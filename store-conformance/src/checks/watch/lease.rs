//! Leases: the marks of live writers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use store_core::StoreError::{Busy, NotFound, TooLarge};
use store_core::{Backend, LEASE_HOLDER_BYTES_MAX, Lease, LeaseHolder};

use super::watch;
use crate::checks::concurrency::{ROUNDS, THREADS, at_once};
use crate::checks::fixture::{
    TIME, Works as _, append, create, create_first, holds, note, records, refused, same, segment, session,
};
use crate::{Failure, Harness, Outcome};

const NOW: u64 = TIME + 5;

fn lease(store: &dyn Backend, holder: &str) -> Result<store_core::Result<Lease>, Failure> {
    Ok(watch(store)?.lease(session(1), segment(1), holder, NOW))
}

fn leased(store: &dyn Backend) -> Result<Option<LeaseHolder>, Failure> {
    watch(store)?.leased(session(1), segment(1)).works("asking who holds a lease")
}

pub(crate) fn one_handle_gets_a_lease_once(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let _held = lease(store, "first")?.works("taking a free lease")?;
    refused!("the same lease by the same handle", lease(store, "second")?, Busy { .. })
}

pub(crate) fn a_lease_keeps_other_handles_from_it(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    let held = lease(store, "first")?.works("taking a free lease")?;
    refused!("the same lease by another handle", lease(&*other, "second")?, Busy { .. })?;
    drop(held);
    let _held = lease(&*other, "second")?.works("taking a lease that was given up")?;
    refused!("the lease that another handle has now", lease(store, "first")?, Busy { .. })
}

pub(crate) fn a_refused_lease_tells_who_holds_it_and_since_when(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    let held = lease(store, "the first writer")?.works("taking a free lease")?;
    same("the holder's own name", held.holder().holder.as_str(), "the first writer")?;
    same("since when it holds it", held.holder().since, Some(NOW))?;
    let Err(Busy { holder, host, since }) = lease(&*other, "second")? else {
        return Err(Failure::new("a lease that is held must be refused with Busy"));
    };
    same("who is said to hold the lease", LeaseHolder { holder, host, since }, held.holder().clone())
}

pub(crate) fn a_lease_is_free_when_it_is_given_up(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    for round in 0..3 {
        drop(lease(store, &round.to_string())?.works("taking a lease that was given up")?);
    }
    Ok(())
}

pub(crate) fn the_holder_of_a_lease_can_be_asked_for(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    let held = lease(store, "the first writer")?.works("taking a free lease")?;
    same("who holds the lease, asked by another handle", leased(&*other)?, Some(held.holder().clone()))?;
    same("who holds the lease, asked by its own handle", leased(store)?, Some(held.holder().clone()))
}

pub(crate) fn nobody_holds_a_lease_that_is_free(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    same("who holds a lease that nobody took", leased(store)?, None)?;
    drop(lease(store, "first")?.works("taking a free lease")?);
    same("who holds a lease that was given up", leased(store)?, None)?;
    same("who holds it, asked by another handle", leased(&*other)?, None)
}

pub(crate) fn asking_for_the_holder_takes_no_lease(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    let asking = AtomicUsize::new(THREADS - 1);
    let take = |store: &dyn Backend| {
        loop {
            let done = asking.load(Ordering::Acquire) == 0;
            for _ in 0..2 {
                lease(store, "writer")?.works("taking a lease while others only ask for its holder").map(drop)?;
            }
            if done {
                return Ok(());
            }
        }
    };
    let outcomes = at_once(harness, |store, n| match n {
        0 => take(store),
        _ => {
            let _asking = Asking(&asking);
            (0..ROUNDS).try_for_each(|_| leased(store).map(drop))
        }
    })?;
    outcomes.into_iter().collect()
}

/// One of those who ask, until it has ended, however it does.
struct Asking<'a>(&'a AtomicUsize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(crate) fn appends_ignore_leases(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    let _held = lease(store, "first")?.works("taking a free lease")?;
    append(&*other, &[note("by another handle")])?;
    append(store, &[note("by the holder's handle")])?;
    same("the entries of a segment that is leased", records(store)?.len(), 3)
}

pub(crate) fn leases_of_two_segments_are_independent(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(1), segment(2), &[])?;
    let watch = watch(store)?;
    let first = watch.lease(session(1), segment(1), "first", NOW).works("taking a free lease")?;
    let second = watch.lease(session(1), segment(2), "second", NOW).works("taking another segment's lease")?;
    drop(first);
    let holder = watch.leased(session(1), segment(2)).works("asking who holds a lease")?;
    same("who holds the second lease when the first is given up", holder.as_ref(), Some(second.holder()))
}

pub(crate) fn a_lease_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create(store, session(1), segment(2), &[])?;
    refused!("the lease of an unknown segment", lease(store, "writer")?, NotFound(_))
}

pub(crate) fn a_lease_of_another_sessions_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    let answer = watch(store)?.lease(session(2), segment(1), "writer", NOW);
    refused!("the lease of another session's segment", answer, NotFound(_))?;
    same("who holds the lease", leased(store)?, None)
}

pub(crate) fn the_holder_of_an_unknown_segments_lease_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    let watch = watch(store)?;
    refused!("who holds an unknown segment's lease", watch.leased(session(1), segment(3)), NotFound(_))?;
    refused!("who holds another session's lease", watch.leased(session(2), segment(1)), NotFound(_))
}

pub(crate) fn a_holder_may_be_called_anything(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    for name in ["", "\u{0}\n\r\t\u{7f}\u{2028}", "\"quoted\" \\ {\"holder\":1}", "𝄞 ﷽", " spaces "] {
        let _held = lease(store, name)?.works("taking a free lease")?;
        same("the holder's name", leased(&*other)?.map(|holder| holder.holder), Some(name.to_owned()))?;
    }
    Ok(())
}

pub(crate) fn a_holders_text_has_1024_bytes_and_no_more(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let longest = "x".repeat(usize::try_from(LEASE_HOLDER_BYTES_MAX).unwrap_or(usize::MAX));
    refused!("a holder's text of 1025 bytes", lease(store, &format!("{longest}x"))?, TooLarge { bytes: 1025, .. })?;
    let _held = lease(store, &longest)?.works("a holder's text of 1024 bytes")?;
    same("the holder's name", leased(store)?.map(|holder| holder.holder), Some(longest))
}

pub(crate) fn of_leases_at_once_one_is_given(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    for _ in 0..ROUNDS {
        let answers = at_once(harness, |store, n| lease(store, &n.to_string()))?;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        same("how many got a lease at once", answers.iter().filter(|answer| answer.is_ok()).count(), 1)?;
        let told = answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Busy { .. })));
        holds("who does not get a lease is told Busy", told)?;
    }
    Ok(())
}

pub(crate) fn a_session_with_a_leased_segment_is_not_deleted(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 2)?;
    create(store, session(1), segment(2), &[])?;
    let _held = lease(store, "the writer")?.works("taking a free lease")?;
    for handle in [store, &*other] {
        let answer = handle.delete_session(session(1));
        let refusal = "deleting a session with a leased segment";
        refused!(refusal, answer, Busy { holder, since: Some(NOW), .. } if holder == "the writer")?;
    }
    same("the entries of the session", records(store)?.len(), 2)?;
    same("its segments", store.list_segments(session(1)).works("listing")?, vec![segment(2), segment(1)])
}

pub(crate) fn a_session_is_deleted_when_its_lease_is_given_up(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    drop(lease(store, "the writer")?.works("taking a free lease")?);
    store.delete_session(session(1)).works("deleting a session whose lease was given up")?;
    refused!("the lease of a deleted segment", lease(store, "late")?, NotFound(_))?;
    create_first(store, 1)?;
    lease(store, "anew")?.works("taking the lease of a segment that was made anew").map(drop)
}

pub(crate) fn of_a_lease_and_a_deletion_at_once_one_wins(harness: &mut dyn Harness) -> Outcome {
    for round in 0..ROUNDS as u64 {
        create(harness.store(), session(round), segment(round), &[])?;
        let answers = at_once(harness, |store, n| {
            // So that each of the two comes first in some rounds.
            let turns = if (n == 0) == round.is_multiple_of(2) { 100 } else { 0 };
            (0..turns).for_each(|_| thread::yield_now());
            match n {
                0 => Ok(store.delete_session(session(round)).map(|()| None)),
                _ => Ok(watch(store)?.lease(session(round), segment(round), &n.to_string(), NOW).map(Some)),
            }
        })?;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let told = answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Busy { .. } | NotFound(_))));
        holds("a race of a deletion with leases ends well, or with Busy or NotFound", told)?;
        let leased = answers[1..].iter().any(Result::is_ok);
        let exists = harness.store().exists(session(round)).works("asking whether a session exists")?;
        same("whether the session is gone, as its deletion says", !exists, answers[0].is_ok())?;
        holds("a session whose segment is leased is still there", exists || !leased)?;
        drop(answers);
        if exists {
            harness.store().delete_session(session(round)).works("deleting a session whose lease was given up")?;
        }
        let late = watch(harness.store())?.lease(session(round), segment(round), "late", NOW);
        refused!("the lease of a deleted segment", late, NotFound(_))?;
    }
    Ok(())
}

pub(crate) fn a_lease_is_taken_again_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    drop(lease(harness.store(), "first")?.works("taking a free lease")?);
    harness.reopen();
    same("who holds the lease after a reopen", leased(harness.store())?, None)?;
    let _held = lease(harness.store(), "second")?.works("taking a lease after a reopen")?;
    same("who holds it then", leased(harness.store())?.map(|holder| holder.holder), Some("second".to_owned()))
}
