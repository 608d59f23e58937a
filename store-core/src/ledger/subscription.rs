//! Following a book: what stands there first, then what is committed.
//!
//! No clock is read: time passes by waiting, so a wait is longer than asked for by what looking takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::error::LedgerResult;
use super::names::BookName;
use super::types::Event;
use crate::id::Seq;

/// How often a book is looked at that others may write to.
const POLL: Duration = Duration::from_millis(20);
/// How many events are read at once.
const EVENTS_MAX: usize = 256;

/// The events of a book, one after another.
pub trait Subscription: Send {
    /// The next event; `None` if there was none within the time.
    ///
    /// # Errors
    /// `ShutDown` when the ledger was; `Damaged`; those of the medium. The event is not passed over: the next call tries again.
    fn next(&mut self, timeout: Duration) -> LedgerResult<Option<Event>>;
}

/// Where a subscription reads.
pub trait EventSource: Send + Sync {
    /// As [`Ledger::read_events`](super::Ledger::read_events).
    ///
    /// # Errors
    /// The same.
    fn events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>>;

    /// Returns when there may be an event from `from` on, or after about this time.
    fn wait(&self, _book: &BookName, _from: Seq, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A [`Subscription`] of any [`EventSource`].
pub struct SourceSubscription {
    source: Arc<dyn EventSource>,
    book: BookName,
    next: Seq,
    read: VecDeque<Event>,
}

impl std::fmt::Debug for SourceSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceSubscription({} from {})", self.book, self.next)
    }
}

impl SourceSubscription {
    /// A subscription from `from` (inclusive) on.
    pub fn new(source: Arc<dyn EventSource>, book: BookName, from: Seq) -> Self {
        Self { source, book, next: from.max(Seq(1)), read: VecDeque::new() }
    }
}

impl Subscription for SourceSubscription {
    fn next(&mut self, timeout: Duration) -> LedgerResult<Option<Event>> {
        let mut left = timeout;
        loop {
            if self.read.is_empty() {
                self.read = self.source.events(&self.book, self.next, EVENTS_MAX)?.into();
            }
            if let Some(event) = self.read.pop_front() {
                self.next = event.seq.next();
                return Ok(Some(event));
            }
            if left.is_zero() {
                return Ok(None);
            }
            let time = left.min(POLL);
            self.source.wait(&self.book, self.next, time);
            left -= time;
        }
    }
}
