//! How a writer is set up, and what it is given.

use std::fmt;
use std::sync::Arc;

use store_core::{Durability, LogEntry, TimestampMs};

use crate::budget::TurnBudget;

/// What a writer does when somebody else writes to its segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLive {
    /// Go on in a new segment of the same session that continues exactly what this writer has seen.
    #[default]
    Fork,
    /// Stop: `Busy` when the writer is made and somebody holds the lease, `Conflict` when somebody has appended.
    Refuse,
}

/// The present time, in milliseconds since the epoch. It may go back: nothing that was written depends on it, only what is said of it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> TimestampMs + Send + Sync>);

impl Clock {
    /// A clock that asks a function, on the writer's own thread.
    pub fn new(now: impl Fn() -> TimestampMs + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> TimestampMs {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// How a writer writes.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// What the writer calls itself to others who want to write: at most
    /// [`LEASE_HOLDER_BYTES_MAX`](store_core::LEASE_HOLDER_BYTES_MAX) bytes.
    pub holder: String,
    /// For the ids and first entries of segments that it makes, and for its lease. Entries have the times that they are given.
    pub clock: Clock,
    /// What it does when somebody else writes.
    pub on_live: OnLive,
    /// How many entries may wait, those included that are just being written.
    pub queue_entries_max: usize,
    /// `None`: by the store's policy.
    pub durability: Option<Durability>,
    /// What its turns are held to; `None`: nothing. Recording is never refused for it, beginning a turn is.
    pub budget: Option<TurnBudget>,
}

impl WriterOptions {
    /// A writer that forks, lets 1024 entries wait, and leaves durability to the store.
    pub fn new(holder: impl Into<String>, clock: Clock) -> Self {
        let holder = holder.into();
        Self { holder, clock, on_live: OnLive::Fork, queue_entries_max: 1024, durability: None, budget: None }
    }
}

/// An entry that is to be written, perhaps under a key of the caller's.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The entry.
    pub entry: LogEntry,
    /// What makes it the same entry when it is submitted again: to this writer or another one, in this process or another one, it is not
    /// written where it stands in the writer's branch already. At most [`KEY_BYTES_MAX`](store_core::call::KEY_BYTES_MAX) bytes, and not
    /// beginning with `w.`. Without one the writer makes one up.
    pub key: Option<String>,
}

impl Submission {
    /// The same under a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl From<LogEntry> for Submission {
    fn from(entry: LogEntry) -> Self {
        Self { entry, key: None }
    }
}
