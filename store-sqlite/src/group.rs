//! Group commit: the writing calls of many threads share one transaction, and with it one sync.
//!
//! Who leads, how long it gathers, who is woken and what a failed sync means is [`Rounds`]'; what a round does with its calls is
//! [`crate::writer`]'s. Here is what a call is: work that answers with something, and the place for its answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use store_core::group_commit::{Poisoned, Rounds};
use store_core::{Durability, StoreError};

use crate::error::Result;

/// One call that waits for its turn and then for its answer.
pub(crate) trait Call: Send + Sync {
    /// What it has to be committed with at least.
    fn durability(&self) -> Durability;

    /// Does its work, whose answer it keeps until the transaction is committed, and says whether it succeeded. May be called
    /// again: what counts is the last time.
    fn run(&self, connection: &Connection) -> bool;

    /// Answers with an error, whatever it answered before.
    fn fail(&self, error: StoreError);
}

/// A call whose work answers with a `T`.
struct Asked<T, W> {
    durability: Durability,
    work: W,
    answer: Mutex<Option<Result<T>>>,
}

impl<T, W> Asked<T, W> {
    fn settle(&self, answer: Result<T>) {
        *lock(&self.answer) = Some(answer);
    }
}

impl<T: Send, W: Fn(&Connection) -> Result<T> + Send + Sync> Call for Asked<T, W> {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&self, connection: &Connection) -> bool {
        let answer = (self.work)(connection);
        let succeeded = answer.is_ok();
        self.settle(answer);
        succeeded
    }

    fn fail(&self, error: StoreError) {
        self.settle(Err(error.into()));
    }
}

/// The queue of one writing connection.
#[derive(Default)]
pub(crate) struct Group(Rounds<Arc<dyn Call>>);

impl Group {
    /// Queues a call and answers when a round has run it. `run` runs a round: it settles every call that it is given,
    /// and fails only if a sync failed, after which this group runs no more.
    pub(crate) fn call<T: Send + 'static, E: fmt::Display>(
        &self,
        durability: Durability,
        work: impl Fn(&Connection) -> Result<T> + Send + Sync + 'static,
        run: impl Fn(&[Arc<dyn Call>]) -> Result<(), E>,
    ) -> Result<Result<T>, Poisoned> {
        let asked = Arc::new(Asked { durability, work, answer: Mutex::new(None) });
        let call: Arc<dyn Call> = Arc::<Asked<T, _>>::clone(&asked);
        let round = self.0.call(call, |calls| run(&calls));
        match (lock(&asked.answer).take(), round) {
            (Some(answer), _) => Ok(answer),
            (None, Err(poisoned)) => Err(poisoned),
            (None, Ok(())) => unreachable!("a round settles every call that it takes"),
        }
    }
}

/// What a thread that panicked left is whole: values are put in with one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn every_caller_gets_the_answer_of_its_own_work() {
        let group = Group::default();
        let connection = Mutex::new(Connection::open_in_memory().unwrap());
        let rounds = AtomicUsize::new(0);
        thread::scope(|scope| {
            for thread in 0..8_usize {
                let (group, connection, rounds) = (&group, &connection, &rounds);
                scope.spawn(move || {
                    for round in 0..50_usize {
                        let work = move |_: &Connection| {
                            if round % 7 == 0 { Err(StoreError::ReadOnly.into()) } else { Ok((thread, round)) }
                        };
                        let answer = group.call(Durability::Buffered, work, |calls| {
                            rounds.fetch_add(1, Ordering::SeqCst);
                            let connection = connection.lock().unwrap();
                            for call in calls {
                                let _succeeded = call.run(&connection);
                            }
                            Ok::<_, Infallible>(())
                        });
                        let expected = if round % 7 == 0 { None } else { Some((thread, round)) };
                        assert_eq!(answer.unwrap().ok(), expected);
                    }
                });
            }
        });
        assert!(rounds.into_inner() <= 400);
    }

    #[test]
    fn after_a_failed_round_nothing_is_run_any_more() {
        let group = Group::default();
        let failed = group.call(
            Durability::Synced,
            |_| Ok(()),
            |calls| {
                calls.iter().for_each(|call| call.fail(StoreError::ReadOnly));
                Err("the sync failed")
            },
        );
        assert!(failed.unwrap().is_err());
        let run = |_: &[Arc<dyn Call>]| -> Result<(), &str> { panic!("a poisoned group must not run a round") };
        let poisoned = group.call(Durability::Buffered, |_| Ok(()), run).unwrap_err();
        assert_eq!(&*poisoned.reason, "the sync failed");
    }
}
