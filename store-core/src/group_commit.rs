//! Group commit: callers in many threads share one sync.
//!
//! A log hands out *tickets* in the order of its writes (its seqs, or a counter). Whoever needs ticket n on stable
//! storage calls [`GroupCommit::commit`]. The first becomes the *leader*: it gathers for a moment, syncs everything that
//! was written by then, and wakes exactly those whose tickets that covered, and one more to lead the next round. The others
//! only wait.
//!
//! A failed sync *poisons* the group: what was written since the last good sync may be lost even if a later sync
//! succeeds, so nothing on that log is trusted or retried by this handle. The price is that the log has to be opened anew.
//!
//! Gathering is adaptive: a leader sleeps until as many have joined as came last time, or for about as long as a quick sync takes; and not at
//! all when the round before had no followers, so that a lone writer pays for one sync and nothing else. Threads that have gone away cost
//! one such wait.
//!
//! Who waits sleeps in a seat of its own and is woken without a lock being held, the next leader first: its sync begins while
//! the others are still being woken. The price is an allocation for each wait.
//!
//! [`Rounds`] is the same for whole calls: the leader makes those of all who wait, so that they share what a call costs beside the sync too.

mod rounds;

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

pub use rounds::Rounds;

/// How long a leader waits for those who came last time.
const GATHER_MAX: Duration = Duration::from_micros(100);
const PANICKED: &str = "the thread that synced it panicked";

/// The sync of a log failed, now or earlier: nothing that was not synced before may be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sync of the log failed: {reason}")]
pub struct Poisoned {
    /// What the system said.
    pub reason: Arc<str>,
}

/// The shared syncs of one log. Share it by reference among all threads that write the log.
#[derive(Debug, Default)]
pub struct GroupCommit {
    /// The highest ticket that was written.
    written: AtomicU64,
    /// The highest ticket on stable storage.
    synced: AtomicU64,
    is_poisoned: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody is syncing.
    led: bool,
    /// Who waits for which ticket.
    waiting: Vec<(u64, Arc<Seat>)>,
    /// The leader, as long as it waits for others, and for how many.
    gathering: Option<(usize, Arc<Seat>)>,
    /// How many were served by the last round beside its leader, or had come by its end.
    last_followers: usize,
    poisoned: Option<Poisoned>,
}

/// Where a thread sleeps until it is served, or called to lead.
#[derive(Debug)]
struct Seat {
    thread: Thread,
    is_called: AtomicBool,
}

impl Seat {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), is_called: AtomicBool::default() })
    }

    fn sleep(&self) {
        // A spurious wake-up goes back to sleep.
        while !self.is_called.load(Ordering::Acquire) {
            thread::park();
        }
    }

    fn call(&self) {
        self.is_called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl GroupCommit {
    /// A group for a log whose first `synced` tickets are known to be on stable storage.
    pub fn new(synced: u64) -> Self {
        Self { written: AtomicU64::new(synced), synced: AtomicU64::new(synced), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that everything up to `ticket` was handed to the operating system. Call it while the log's lock is held, so
    /// that tickets are told in order.
    pub fn wrote(&self, ticket: u64) {
        self.written.fetch_max(ticket, Ordering::AcqRel);
    }

    /// The highest ticket that is known to be on stable storage.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Why nothing on this log may be trusted any more, if so.
    pub fn poisoned(&self) -> Option<Poisoned> {
        if self.is_poisoned.load(Ordering::Acquire) { self.lock().poisoned.clone() } else { None }
    }

    /// Poisons the group: every commit that waits, and every later one, fails.
    pub fn poison(&self, reason: &str) -> Poisoned {
        let mut state = self.lock();
        let poisoned = state.poisoned.get_or_insert_with(|| Poisoned { reason: reason.into() }).clone();
        self.is_poisoned.store(true, Ordering::Release);
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().for_each(|(_, seat)| seat.call());
        poisoned
    }

    /// Returns when `ticket` is on stable storage. `sync` makes stable all that was written when it is called; it is
    /// called by the leader only, and never by two at once.
    ///
    /// # Errors
    /// [`Poisoned`] if this sync or an earlier one failed. The entry may or may not be on stable storage.
    pub fn commit<E: std::fmt::Display>(
        &self,
        ticket: u64,
        mut sync: impl FnMut() -> Result<(), E>,
    ) -> Result<(), Poisoned> {
        loop {
            if self.synced() >= ticket {
                return Ok(());
            }
            let mut state = self.lock();
            // Whoever led until now may have just come back.
            if self.synced() >= ticket {
                return Ok(());
            }
            if let Some(poisoned) = &state.poisoned {
                return Err(poisoned.clone());
            }
            if state.led {
                let seat = Seat::new();
                state.waiting.push((ticket, Arc::clone(&seat)));
                let joined = state.waiting.len();
                let leader = state.gathering.take_if(|(expected, _)| joined >= *expected);
                drop(state);
                if let Some((_, leader)) = leader {
                    leader.call();
                }
                seat.sleep();
                continue;
            }
            state.led = true;
            // A leader that panics leaves through here too: nobody may wait for it forever.
            let mut leading = Leading { group: self, failed: Some(PANICKED.to_owned()), through: None };
            self.gather(state);
            let through = self.written.load(Ordering::Acquire).max(ticket);
            leading.failed = sync().err().map(|error| error.to_string());
            if leading.failed.is_none() {
                leading.through = Some(through);
            }
        }
    }

    /// Waits until as many have joined as came last time, for a while.
    fn gather(&self, mut state: MutexGuard<'_, State>) {
        let expected = state.last_followers;
        if state.waiting.len() < expected {
            let seat = Seat::new();
            state.gathering = Some((expected, Arc::clone(&seat)));
            drop(state);
            // One that wakes up by accident does not wait for more.
            thread::park_timeout(GATHER_MAX);
            self.lock().gathering = None;
        }
    }

    /// Gives the lead back, and wakes those whose tickets are stable now, and one more to lead the next round.
    fn end_round(&self, through: u64) {
        let mut state = self.lock();
        state.led = false;
        if state.poisoned.is_some() {
            return;
        }
        self.synced.fetch_max(through, Ordering::AcqRel);
        let waiting = mem::take(&mut state.waiting);
        state.last_followers = waiting.len();
        let (served, mut later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(ticket, _)| *ticket <= through);
        let leader = (!later.is_empty()).then(|| later.swap_remove(0).1);
        state.waiting = later;
        drop(state);
        leader.iter().for_each(|seat| seat.call());
        served.iter().for_each(|(_, seat)| seat.call());
    }
}

/// The leader of a round; gives the lead back when it is dropped.
struct Leading<'a> {
    group: &'a GroupCommit,
    failed: Option<String>,
    /// What is stable now, if nothing failed.
    through: Option<u64>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if let Some(reason) = &self.failed {
            self.group.poison(reason);
        }
        self.group.end_round(self.through.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counted(syncs: &AtomicUsize) -> Result<(), Infallible> {
        syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    #[test]
    fn a_lone_writer_syncs_once_a_commit() {
        let group = GroupCommit::new(0);
        let syncs = AtomicUsize::new(0);
        for ticket in 1..=10 {
            group.wrote(ticket);
            group.commit(ticket, || counted(&syncs)).unwrap();
        }
        assert_eq!((syncs.into_inner(), group.synced()), (10, 10));
    }

    #[test]
    fn what_is_stable_already_is_not_synced_again() {
        let group = GroupCommit::new(5);
        group.commit(5, || Err::<(), _>("must not be called")).unwrap();
    }

    #[test]
    fn nobody_returns_before_a_sync_that_began_after_its_write() {
        let group = GroupCommit::new(0);
        let (written, stable) = (AtomicU64::new(0), AtomicU64::new(0));
        let log = Mutex::new(());
        let syncs = AtomicUsize::new(0);
        let syncing = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let ticket = {
                            let _held = log.lock().unwrap();
                            let ticket = written.fetch_add(1, Ordering::SeqCst) + 1;
                            group.wrote(ticket);
                            ticket
                        };
                        group
                            .commit(ticket, || {
                                assert_eq!(syncing.fetch_add(1, Ordering::SeqCst), 0, "two leaders at once");
                                let through = written.load(Ordering::SeqCst);
                                syncs.fetch_add(1, Ordering::SeqCst);
                                thread::yield_now();
                                stable.fetch_max(through, Ordering::SeqCst);
                                syncing.fetch_sub(1, Ordering::SeqCst);
                                Ok::<_, Infallible>(())
                            })
                            .unwrap();
                        assert!(stable.load(Ordering::SeqCst) >= ticket, "ticket {ticket} was acknowledged early");
                    }
                });
            }
        });
        assert_eq!(group.synced(), 1600);
        assert!(syncs.into_inner() <= 1600);
    }

    #[test]
    fn followers_share_the_sync_of_the_next_leader() {
        let group = GroupCommit::new(0);
        let syncs = AtomicUsize::new(0);
        let everyone_waits = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                group.wrote(1);
                group
                    .commit(1, || {
                        syncs.fetch_add(1, Ordering::SeqCst);
                        everyone_waits.wait();
                        while group.lock().waiting.len() < 7 {
                            thread::yield_now();
                        }
                        Ok::<_, Infallible>(())
                    })
                    .unwrap();
            });
            everyone_waits.wait();
            for ticket in 2..=8 {
                group.wrote(ticket);
            }
            for ticket in 2..=8 {
                let (group, syncs) = (&group, &syncs);
                scope.spawn(move || {
                    group.commit(ticket, || counted(syncs)).unwrap();
                });
            }
        });
        assert_eq!(syncs.into_inner(), 2, "seven followers need one sync");
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let group = GroupCommit::new(0);
        group.wrote(1);
        thread::scope(|scope| {
            let leader = scope.spawn(|| group.commit(1, || -> Result<(), &str> { panic!("planted") }));
            assert!(leader.join().is_err());
        });
        assert!(group.commit(1, || Ok::<_, Infallible>(())).is_err());
    }

    #[test]
    fn a_failed_sync_fails_everybody_and_is_never_retried() {
        let group = GroupCommit::new(3);
        group.wrote(4);
        let error = group.commit(4, || Err("EIO")).unwrap_err();
        assert_eq!(&*error.reason, "EIO");
        let again = group.commit(4, || -> Result<(), &str> { panic!("a poisoned log must not be synced again") });
        assert_eq!(again.unwrap_err(), error);
        assert!(group.commit(3, || Ok::<_, Infallible>(())).is_ok(), "what was stable before stays so");
        assert_eq!(group.poisoned(), Some(error));
    }
}
