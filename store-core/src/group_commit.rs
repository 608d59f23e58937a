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
//! Gathering is adaptive without a clock: a leader lets other threads run as long as more of them join, and not at
//! all when the rounds before it had no followers, so that a lone writer pays for one sync and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How often a leader at most lets others run before it syncs.
const GATHER_ROUNDS_MAX: u32 = 16;

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
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The highest ticket that was written.
    written: u64,
    /// The highest ticket on stable storage.
    synced: u64,
    /// Somebody is syncing.
    led: bool,
    /// Who waits for which ticket; the number tells waiters of one ticket apart.
    waiting: BTreeMap<(u64, u64), Arc<Condvar>>,
    next_waiter: u64,
    /// How many were served by the last round beside its leader.
    last_followers: usize,
    poisoned: Option<Poisoned>,
}

impl GroupCommit {
    /// A group for a log whose first `synced` tickets are known to be on stable storage.
    pub fn new(synced: u64) -> Self {
        Self { state: Mutex::new(State { written: synced, synced, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that everything up to `ticket` was handed to the operating system. Call it while the log's lock is held, so
    /// that tickets are told in order.
    pub fn wrote(&self, ticket: u64) {
        let mut state = self.lock();
        state.written = state.written.max(ticket);
    }

    /// The highest ticket that is known to be on stable storage.
    pub fn synced(&self) -> u64 {
        self.lock().synced
    }

    /// Why nothing on this log may be trusted any more, if so.
    pub fn poisoned(&self) -> Option<Poisoned> {
        self.lock().poisoned.clone()
    }

    /// Poisons the group: every commit that waits, and every later one, fails.
    pub fn poison(&self, reason: &str) -> Poisoned {
        let mut state = self.lock();
        let poisoned = state.poisoned.get_or_insert_with(|| Poisoned { reason: reason.into() }).clone();
        for waiter in std::mem::take(&mut state.waiting).into_values() {
            waiter.notify_one();
        }
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
        let mut state = self.lock();
        loop {
            if state.synced >= ticket {
                return Ok(());
            }
            if let Some(poisoned) = &state.poisoned {
                return Err(poisoned.clone());
            }
            if state.led {
                state = Self::wait(state, ticket);
                continue;
            }
            state.led = true;
            state = self.gather(state);
            let through = state.written.max(ticket);
            drop(state);
            // A leader that panics leaves through here too: nobody may wait for it forever.
            let mut leading = Leading { group: self, failed: Some("the thread that synced it panicked".to_owned()) };
            leading.failed = sync().err().map(|error| error.to_string());
            drop(leading);
            state = self.lock();
            if let Some(poisoned) = &state.poisoned {
                return Err(poisoned.clone());
            }
            state.synced = state.synced.max(through);
            state.wake();
        }
    }

    fn wait(mut state: MutexGuard<'_, State>, ticket: u64) -> MutexGuard<'_, State> {
        let place = (ticket, state.next_waiter);
        state.next_waiter += 1;
        let waiter = Arc::new(Condvar::new());
        state.waiting.insert(place, Arc::clone(&waiter));
        // Whoever wakes a waiter takes it off the list first, so that a spurious wake-up goes back to sleep.
        waiter.wait_while(state, |state| state.waiting.contains_key(&place)).unwrap_or_else(PoisonError::into_inner)
    }

    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.last_followers == 0 {
            return state;
        }
        for _ in 0..GATHER_ROUNDS_MAX {
            let joined = state.waiting.len();
            if joined >= state.last_followers {
                break;
            }
            drop(state);
            std::thread::yield_now();
            state = self.lock();
            if state.waiting.len() == joined && joined > 0 {
                break;
            }
        }
        state
    }
}

/// The leader of a round; gives the lead back when it is dropped.
struct Leading<'a> {
    group: &'a GroupCommit,
    failed: Option<String>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if let Some(reason) = &self.failed {
            self.group.poison(reason);
        }
        self.group.lock().led = false;
    }
}

impl State {
    /// Wakes those whose tickets are stable now, and one more to lead the next round.
    fn wake(&mut self) {
        let later = self.waiting.split_off(&(self.synced + 1, 0));
        let served = std::mem::replace(&mut self.waiting, later);
        self.last_followers = served.len() + self.waiting.len();
        for waiter in served.into_values() {
            waiter.notify_one();
        }
        if let Some((_, leader)) = self.waiting.pop_first() {
            leader.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::thread;

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
