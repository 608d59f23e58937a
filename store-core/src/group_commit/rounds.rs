//! Calls of many threads that one of them makes for all.
//!
//! A call queues and takes a ticket. The first to need its answer leads: it takes everything that queued by then, makes it in
//! the order of the queue, and wakes the others, who only wait. Whatever queues meanwhile is the next round. Where an answer is kept, and
//! what a round does with a call that fails, is the caller's.

use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{GroupCommit, Poisoned};

/// The calls of one log that wait to be made. Share it by reference among all threads that write the log.
#[derive(Debug)]
pub struct Rounds<C> {
    queue: Mutex<Queue<C>>,
    group: GroupCommit,
}

#[derive(Debug)]
struct Queue<C> {
    calls: Vec<C>,
    tickets: u64,
}

impl<C> Default for Rounds<C> {
    fn default() -> Self {
        Self { queue: Mutex::new(Queue { calls: Vec::new(), tickets: 0 }), group: GroupCommit::default() }
    }
}

impl<C> Rounds<C> {
    /// Queues a call and returns when a round has made it. `make` makes a round: it answers every call that it is given, wherever those
    /// look for their answers. It is called by the leader only, never by two at once, and once at most for each call.
    ///
    /// # Errors
    /// [`Poisoned`] if a round failed or panicked, now or earlier: `make` fails only when no later round may be made. The
    /// call may have been made and answered all the same.
    pub fn call<E: fmt::Display>(
        &self,
        call: C,
        mut make: impl FnMut(Vec<C>) -> Result<(), E>,
    ) -> Result<(), Poisoned> {
        let ticket = self.push(call);
        self.group.commit(ticket, || {
            let calls = mem::take(&mut self.lock().calls);
            // They were made by the round before, which took more than had queued when it began.
            if calls.is_empty() { Ok(()) } else { make(calls) }
        })
    }

    fn push(&self, call: C) -> u64 {
        let mut queue = self.lock();
        queue.tickets += 1;
        queue.calls.push(call);
        // Told while the queue is held, so that tickets are told in order.
        self.group.wrote(queue.tickets);
        queue.tickets
    }

    /// What a thread that panicked left is whole: a call is put in at once or not at all.
    fn lock(&self) -> MutexGuard<'_, Queue<C>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn every_call_is_made_once_before_its_caller_goes_on() {
        let rounds = Rounds::default();
        let (made, at_work) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let answer = Arc::new(AtomicUsize::new(0));
                        rounds
                            .call(Arc::clone(&answer), |calls| {
                                assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0, "two leaders at once");
                                thread::yield_now();
                                for call in calls {
                                    call.fetch_add(1, Ordering::SeqCst);
                                    made.fetch_add(1, Ordering::SeqCst);
                                }
                                at_work.fetch_sub(1, Ordering::SeqCst);
                                Ok::<_, Infallible>(())
                            })
                            .unwrap();
                        assert_eq!(answer.load(Ordering::SeqCst), 1);
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 800);
    }

    #[test]
    fn calls_that_queue_while_a_round_is_made_are_the_next_round_in_their_order() {
        let rounds = Rounds::default();
        let sizes = Mutex::new(Vec::new());
        let make = |calls: Vec<usize>| {
            assert!(calls.is_sorted(), "{calls:?}");
            sizes.lock().unwrap().push(calls.len());
            Ok::<_, Infallible>(())
        };
        let (rounds, sizes) = (&rounds, &sizes);
        thread::scope(|scope| {
            rounds
                .call(0, |calls| {
                    // The first round does not end before the others have queued, one after the other.
                    for number in 1..=7 {
                        scope.spawn(move || rounds.call(number, make).unwrap());
                        while rounds.lock().calls.len() < number {
                            thread::yield_now();
                        }
                    }
                    make(calls)
                })
                .unwrap();
        });
        assert_eq!(*sizes.lock().unwrap(), [1, 7]);
    }

    #[test]
    fn after_a_round_that_failed_or_panicked_no_other_is_made() {
        let failed = Rounds::default();
        let error = failed.call((), |_| Err("EIO")).unwrap_err();
        let next = failed.call((), |_| -> Result<(), &str> { panic!("no round may follow") });
        assert_eq!(next.unwrap_err(), error);
        let rounds = Rounds::default();
        thread::scope(|scope| {
            let leader = scope.spawn(|| rounds.call((), |_| -> Result<(), &str> { panic!("planted") }));
            assert!(leader.join().is_err());
        });
        assert!(rounds.call((), |_| Ok::<_, Infallible>(())).is_err(), "nobody waits for the one that panicked");
    }
}
