//! The writer for runtimes: entries are handed over in a microsecond and written by a thread of the writer's own.
//!
//! A [`SessionWriter`] owns the [`SegmentState`] of one place in a session, and with it the answer to where the next entry goes. Who submits
//! never waits for the medium, so it fits a callback that must return at once; who wants to know takes the [`Ticket`] and waits or awaits.
//! What comes in while a call is written is written by the next one together, and shares its sync.
//!
//! The writer holds the segment's lease where the store has leases, and appends only where it saw the log end. If somebody else has
//! appended, or holds the lease, it goes on in a new segment of the same session that continues exactly what it had seen
//! ([`OnLive::Fork`]); the other segment is not touched. Without leases the end of the log alone decides.
//!
//! The one decision: nothing is tried again whose outcome is unknown. After a failed sync a second one that succeeds proves nothing,
//! so the writer stops, every ticket and every later call say why, and [`SessionWriter::close`] gives back what is not known to be
//! written, with its keys. Submitted again under these to another writer, nothing is there twice. The price is that a
//! runtime has to open the store anew to go on.
//!
//! With a [`TurnBudget`](crate::budget::TurnBudget) a second thread asks the ledger: it reserves when a turn begins and settles when its end is written. What is recorded
//! never waits for a budget, and is never refused for one.
//!
//! * `queue` is what waits, `ticket` what it comes to, `run` the thread, `turn` its turns and the thread that asks the ledger; `keys` are those of the branch.
//! * What does not live here: what an entry means (`fold`), where a branch is continued (`fork`), what is compacted (`compact`).

mod error;
mod keys;
mod options;
mod queue;
mod run;
mod ticket;
mod turn;

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use store_core::{Backend, StoreError, TimestampMs};

pub use error::{NotQueued, Unfinished, WriteError};
pub use options::{Clock, OnLive, Submission, WriterOptions};
pub use queue::Room;
pub use ticket::{Landed, Outcome, Ticket};

use self::queue::Queue;
use self::run::Worker;
use crate::budget::{Standing, Wanted};
use crate::error::Result;
use crate::segment::{NewSegment, SegmentLocation};
use crate::state::{SegmentHead, SegmentState};

/// The live writer of one place in a session. Share it by reference or in an `Arc`; entries are written in the order in which they were
/// submitted.
///
/// Dropping it is closing it without an answer: it waits until everything that was submitted is written, or cannot be.
pub struct SessionWriter {
    state: Arc<SegmentState>,
    queue: Arc<Queue>,
    budgets: Arc<ArcSwap<Vec<Standing>>>,
    thread: Option<JoinHandle<()>>,
}

impl SessionWriter {
    /// Begins to write where `state` stands, as the live writer of its segment.
    ///
    /// Where somebody else is that and the options say to fork, nothing happens before the first entry: if the other one has gone
    /// by then and left the log as it was, it is written there.
    ///
    /// # Errors
    /// `Busy` with who writes, if the options say to refuse; `NotFound`; `TooLarge` for the holder's text; what the store fails with.
    pub fn start(store: Arc<dyn Backend>, state: SegmentState, options: WriterOptions) -> Result<Self> {
        let state = Arc::new(state);
        let queue = Arc::new(Queue::new(options.queue_entries_max, options.clock.now()));
        let worker = Worker::new(store, Arc::clone(&state), Arc::clone(&queue), options)?;
        let budgets = worker.standings();
        let thread = thread::Builder::new().name("session-writer".to_owned()).spawn(move || worker.run());
        Ok(Self { state, queue, budgets, thread: Some(thread.map_err(StoreError::backend)?) })
    }

    /// Queues an entry to be written, and returns at once: it never waits for the medium or for room.
    ///
    /// # Errors
    /// [`WriteError::Full`] if too many entries wait; `Stopped` after anything that ended all writing, such as a failed sync; `Closed`.
    /// The entry is given back.
    pub fn submit(&self, entry: impl Into<Submission>) -> Result<Ticket, NotQueued> {
        self.queue.submit(vec![entry.into()])
    }

    /// Queues entries that are written in one call: all of them or none, for every reader and across crashes. Without entries
    /// the ticket answers with where the writer stands by then.
    ///
    /// # Errors
    /// As [`submit`](Self::submit). What is more than may wait at all is taken when nothing else waits.
    pub fn submit_all(&self, entries: impl IntoIterator<Item = Submission>) -> Result<Ticket, NotQueued> {
        self.queue.submit(entries.into_iter().collect())
    }

    /// Queues the end of a turn. How many turns the branch has then is counted when it is written, over what stands there by then.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); what is given back then has no number yet, so call this again instead of submitting it.
    pub fn submit_turn_end(&self, ts: TimestampMs) -> Result<Ticket, NotQueued> {
        self.queue.submit_turn_end(ts)
    }

    /// Queues an entry, and waits for room first if there is none: how a thread lets the medium slow it down.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), but never `Full`.
    pub fn submit_waiting(&self, entry: impl Into<Submission>) -> Result<Ticket, NotQueued> {
        let mut entries = vec![entry.into()];
        loop {
            match self.queue.submit(entries) {
                Err(NotQueued { why: WriteError::Full { .. }, entries: back }) => entries = back,
                other => return other,
            }
            if let Err(why) = self.room(entries.len()).wait() {
                return Err(NotQueued { why, entries });
            }
        }
    }

    /// Room for so many entries, to wait for or to await. Of several who wait for it one may be quicker.
    pub fn room(&self, entries: usize) -> Room<'_> {
        self.queue.room(entries)
    }

    /// Queues a compaction: what is submitted from now on stands in a new segment of the same session in which `new.history` stands
    /// for all that was submitted before. The ticket says where it begins.
    pub fn compact(&self, new: NewSegment) -> Ticket {
        self.queue.compact(new)
    }

    /// Queues the beginning of a turn: reserves what it may cost in each budget that the options name, and settles what came before. The ticket answers when that is done; it
    /// is at once where there is no budget. The turn ends with a `turn_end`, `run_completed` or `run_errored` that is written, with the next beginning, or with the writer.
    ///
    /// The ticket's errors are [`WriteError::OverBudget`], and [`WriteError::NoTurn`] if nobody could say. They refuse the turn alone: a runtime that begins it nevertheless is still recorded.
    pub fn begin_turn(&self, wanted: Wanted) -> Ticket {
        self.queue.begin_turn(wanted)
    }

    /// How the budgets stood when a turn began or ended last; none before, and none without a budget.
    pub fn budgets(&self) -> Arc<Vec<Standing>> {
        self.budgets.load_full()
    }

    /// Brings everything that was submitted before to stable storage, whatever the durability of its entries. The ticket answers with where
    /// the writer stands then.
    ///
    /// It also tells the first entry that was refused since the flush before, in case nobody looked at that entry's ticket.
    pub fn flush(&self) -> Ticket {
        self.queue.flush()
    }

    /// Where the writer stands: segment, end and turns of one moment, all of it written.
    pub fn head(&self) -> Arc<SegmentHead> {
        self.state.head()
    }

    /// The segment that is written to.
    pub fn location(&self) -> SegmentLocation {
        self.state.location()
    }

    /// Why nothing more is written, if so.
    pub fn failure(&self) -> Option<WriteError> {
        self.queue.refusal()
    }

    /// Writes all that was submitted, brings it to stable storage, gives the lease up, and says what did not work out.
    ///
    /// It waits for that; await a [`flush`](Self::flush) first where nothing may wait. With a budget it then waits for the ledger, as long as that one's source does; all is on
    /// stable storage by then.
    ///
    /// # Errors
    /// [`Unfinished`] with what is not known to be written.
    pub fn close(mut self) -> Result<Arc<SegmentHead>, Unfinished> {
        let panicked = self.finish();
        let lost = || {
            let why = WriteError::Stopped(ticket::lost_thread());
            Unfinished { why, unwritten: Vec::new(), refused: 0 }
        };
        let rest = self.queue.take_rest().or_else(|| panicked.then(lost));
        rest.map_or_else(|| Ok(self.state.head()), Err)
    }

    /// Whether the thread ended where it should not.
    fn finish(&mut self) -> bool {
        self.queue.close();
        self.thread.take().is_some_and(|thread| thread.join().is_err())
    }
}

impl Drop for SessionWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for SessionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionWriter").field("head", &self.head()).field("failure", &self.failure()).finish()
    }
}
