//! Following a log while it grows, and knowing who writes it: the contract of [`Watch`].
//!
//! A *tail* reads what stands in a log and then what any process appends to it. A *lease* is the mark of a live writer:
//! a lock that is dropped with the process that holds it, so that no stale mark is ever left by one that died. Neither
//! changes what [`Store`](crate::Store) does: plain appends ignore leases and never wait for a tail.
//!
//! A backend makes its tails from a [`Follower`](crate::follow::Follower), which knows when a log has diverged.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::check_size;
use crate::error::{Result, StoreError};
use crate::follow::Signal;
use crate::id::{Position, SegmentId, SessionId, TimestampMs};
use crate::store::Record;

/// The longest text that a holder of a lease may be called by, in bytes.
pub const LEASE_HOLDER_BYTES_MAX: u64 = 1024;

/// Where a tail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TailFrom {
    /// With the first entry.
    Start,
    /// Behind this entry (exclusive), which must stand in the log. Seq 0 means the start.
    After(Position),
    /// With the first entry that is appended after the call.
    End,
}

/// What a tail tells.
#[derive(Clone, Debug, PartialEq)]
pub enum TailEvent {
    /// The next records, in order, at least one.
    Records(Vec<Record>),
    /// Nothing was appended while the tail waited.
    Nothing,
    /// Somebody stopped the tail; so does every later call.
    Stopped,
}

/// A log that is read while it grows.
///
/// It holds no lock that a writer waits for, and needs no handle of the store to stay open.
pub trait Tail: Send {
    /// The next records: those that stand in the log already at once, later ones when they are appended, by whichever process.
    ///
    /// Looks at least once, then waits for about `timeout`; a timeout of zero does not wait. Records come in the order of their
    /// seqs, each once. A process that appends is noticed within 50 ms.
    ///
    /// # Errors
    /// `NotFound` when the segment was deleted; `Diverged` when what was read last stands in the log no more, because it
    /// was rolled back, and may have grown again, or because another segment was made with the same id; `Corrupt` if what
    /// would be read is damaged. Each of them is told again by later calls, as long as it is so.
    fn next(&mut self, timeout: Duration) -> Result<TailEvent>;

    /// The last record that was given, or where the tail began: a new tail goes on from here with [`TailFrom::After`].
    fn position(&self) -> Position;

    /// What ends the tail from another thread.
    fn stop_handle(&self) -> StopHandle;
}

/// Ends a tail, also while it waits.
#[derive(Clone, Debug)]
pub struct StopHandle(Arc<Signal>);

impl StopHandle {
    pub(crate) const fn new(signal: Arc<Signal>) -> Self {
        Self(signal)
    }

    /// The tail's call that waits, and every later one, answers [`TailEvent::Stopped`].
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Who holds a lease, as far as that is known.
// Persisted by backends that keep leases in files: never rename a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    /// What the holder called itself.
    pub holder: String,
    /// The machine it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Since when it holds the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<TimestampMs>,
}

impl LeaseHolder {
    /// A holder of a lease that begins now.
    ///
    /// # Errors
    /// `TooLarge` for a text over [`LEASE_HOLDER_BYTES_MAX`].
    pub fn new(holder: &str, host: Option<String>, now: TimestampMs) -> Result<Self> {
        check_size(holder.len() as u64, LEASE_HOLDER_BYTES_MAX)?;
        Ok(Self { holder: holder.to_owned(), host, since: Some(now) })
    }

    /// What somebody else is told who wants the lease.
    pub fn into_busy(self) -> StoreError {
        StoreError::Busy { holder: self.holder, host: self.host, since: self.since }
    }
}

/// The permission to be a segment's live writer, for as long as this value lives.
#[must_use = "the lease is given up when this value is dropped"]
pub struct Lease {
    holder: LeaseHolder,
    _hold: Box<dyn Any + Send + Sync>,
}

impl Lease {
    /// A lease; dropping `hold` gives it up.
    pub fn new(holder: LeaseHolder, hold: Box<dyn Any + Send + Sync>) -> Self {
        Self { holder, _hold: hold }
    }

    /// What others are told of this holder.
    pub const fn holder(&self) -> &LeaseHolder {
        &self.holder
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// Following segments and leasing them.
pub trait Watch: Send + Sync {
    /// A tail of the segment: reads what is there, then follows what is appended.
    ///
    /// # Errors
    /// `NotFound` for an unknown segment and for one of another session; `Diverged` if the position does not stand in the log;
    /// `Corrupt` if the log is damaged where the tail begins.
    fn tail(&self, session: SessionId, segment: SegmentId, from: TailFrom) -> Result<Box<dyn Tail>>;

    /// Takes the segment's lease, which one holder has at a time, in whichever process; the same handle does not get it twice.
    ///
    /// It is given up when the guard is dropped, and by the kernel when the process ends, however it ends. It says who
    /// writes; it keeps nobody from appending. While it is held its session cannot be deleted.
    ///
    /// # Errors
    /// `Busy` with what its holder said, if somebody has it; `NotFound` for an unknown segment and for one of another
    /// session; `TooLarge` for a holder's text over [`LEASE_HOLDER_BYTES_MAX`]; `ReadOnly`.
    fn lease(&self, session: SessionId, segment: SegmentId, holder: &str, now: TimestampMs) -> Result<Lease>;

    /// Who holds the segment's lease now; `None` if nobody does. Answered by a handle that only reads, too.
    ///
    /// # Errors
    /// `NotFound` for an unknown segment and for one of another session.
    fn leased(&self, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>>;
}
