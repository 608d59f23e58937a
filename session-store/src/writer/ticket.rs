//! Tickets: what a submission will come to, for a thread that waits and for a task that awaits.
//!
//! A promise is kept by whoever writes, exactly once; one that is dropped unkept says so instead of leaving somebody waiting.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use store_core::{Position, StoreError};

use super::error::WriteError;
use crate::error::SessionError;
use crate::segment::SegmentLocation;

/// Where something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// The segment, which is another one than before if the writer had to fork.
    pub location: SegmentLocation,
    /// The last entry of what was submitted. The others stand directly before it, unless some of them stood somewhere already.
    pub position: Position,
}

/// What a submission comes to.
pub type Outcome = Result<Landed, WriteError>;

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a submission will come to: wait for it, await it in any executor, or drop it and trust that the next call tells what goes wrong.
///
/// It answers when the entry is written as durably as the writer's options or the store's policy say for this entry; what is on stable
/// storage for certain is what a [`flush`](crate::SessionWriter::flush) was answered for.
#[derive(Debug)]
pub struct Ticket {
    slot: Arc<Slot>,
}

impl Ticket {
    /// Waits for the outcome. May be called again.
    ///
    /// # Errors
    /// Why it was not written.
    pub fn wait(&self) -> Outcome {
        let mut state = self.slot.lock();
        loop {
            match &state.outcome {
                Some(outcome) => return outcome.clone(),
                None => state = self.slot.done.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The outcome, if there is one already.
    pub fn outcome(&self) -> Option<Outcome> {
        self.slot.lock().outcome.clone()
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.slot.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// The other end of a ticket.
#[derive(Debug)]
pub(super) struct Promise {
    slot: Arc<Slot>,
}

impl Promise {
    pub(super) fn new() -> (Self, Ticket) {
        let slot = Arc::new(Slot::default());
        (Self { slot: Arc::clone(&slot) }, Ticket { slot })
    }

    pub(super) fn keep(self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&self, outcome: Outcome) {
        let mut state = self.slot.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        self.slot.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.settle(Err(WriteError::Stopped(lost_thread())));
    }
}

/// What is said where the writer's thread ended without saying why.
pub(super) fn lost_thread() -> Arc<SessionError> {
    Arc::new(StoreError::backend("the writer's thread ended").into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_is_woken_once_by_the_waker_it_gave_last() {
        let (promise, mut ticket) = Promise::new();
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        for count in [&first, &last] {
            let waker = Waker::from(Arc::clone(count));
            assert!(Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        promise.keep(Err(WriteError::Closed));
        assert_eq!((first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst)), (0, 1));
        let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Err(WriteError::Closed))), "{polled:?}");
        assert!(matches!(ticket.wait(), Err(WriteError::Closed)), "waiting behind the answer gives it again");
    }

    #[test]
    fn a_promise_that_is_dropped_leaves_nobody_waiting() {
        let (promise, ticket) = Promise::new();
        assert!(ticket.outcome().is_none());
        drop(promise);
        assert!(matches!(ticket.wait(), Err(WriteError::Stopped(_))));
    }
}
