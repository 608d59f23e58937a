//! Where a writer stands: its segment, the end of the log as it saw it, and the turns so far.
//!
//! Everybody who holds the state sees segment, end and turns of the same moment, because they are swapped as one value;
//! reading takes no lock. Writers of one state wait for each other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use store_core::{
    AppendOptions, Durability, Expected, LogEntry, NewBody, NewEntry, Position, Store, StoreError, TimestampMs,
};

use crate::compact;
use crate::error::Result;
use crate::fold::TurnFold;
use crate::fork;
use crate::lineage;
use crate::restore::RestoredState;
use crate::segment::{self, NewSegment, SegmentLocation};

/// Where a writer stood at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentHead {
    /// The segment that is written to.
    pub location: SegmentLocation,
    /// Its last entry, as the writer knows it; the seq is the number of entries.
    pub position: Position,
    /// The turns of the branch.
    pub turns: TurnFold,
}

/// The state of one writer. Share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct SegmentState {
    head: ArcSwap<SegmentHead>,
    writing: Mutex<()>,
}

impl SegmentState {
    /// A writer that stands at `head`.
    pub fn new(head: SegmentHead) -> Self {
        Self { head: ArcSwap::from_pointee(head), writing: Mutex::new(()) }
    }

    /// A writer at the end of a segment; reads its branch.
    ///
    /// # Errors
    /// `NotFound`; [`LineageError`](crate::LineageError); what the store fails with.
    pub fn open(store: &dyn Store, location: SegmentLocation) -> Result<Self> {
        Ok(Self::new(read_head(store, location)?))
    }

    /// A writer that goes on from a restored state; `None` for a state without entries.
    pub fn from_restored(state: &RestoredState) -> Option<Self> {
        let location = SegmentLocation { session_id: state.session_id?, segment_id: state.segment_id? };
        Some(Self::new(SegmentHead { location, position: state.position, turns: state.turns.clone() }))
    }

    /// Where the writer stands: segment, end and turns of one moment.
    pub fn head(&self) -> Arc<SegmentHead> {
        self.head.load_full()
    }

    /// The segment that is written to.
    pub fn location(&self) -> SegmentLocation {
        self.head.load().location
    }

    /// Appends entries in one call, behind the last one that this writer knows.
    ///
    /// # Errors
    /// `Conflict` if somebody else wrote to the log: nothing was written, and
    /// [`ensure_head_or_fork`](Self::ensure_head_or_fork) finds a place to go on; what the store fails with.
    pub fn append(&self, store: &dyn Store, entries: Vec<LogEntry>) -> Result<Vec<Position>> {
        let writing = self.lock();
        self.append_locked(&writing, store, entries)
    }

    /// Appends one entry, behind the last one that this writer knows.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_one(&self, store: &dyn Store, entry: LogEntry) -> Result<Position> {
        self.append_built(store, |_| entry)
    }

    /// Appends the entry that `build` makes of where the writer stands.
    pub(crate) fn append_built(
        &self,
        store: &dyn Store,
        build: impl FnOnce(&SegmentHead) -> LogEntry,
    ) -> Result<Position> {
        let writing = self.lock();
        let entry = build(&self.head.load());
        let positions = self.append_locked(&writing, store, vec![entry])?;
        let last = positions.into_iter().next_back();
        Ok(last.ok_or_else(|| StoreError::backend("the store gave no position for an entry"))?)
    }

    fn append_locked(
        &self,
        _writing: &MutexGuard<'_, ()>,
        store: &dyn Store,
        entries: Vec<LogEntry>,
    ) -> Result<Vec<Position>> {
        let mut head = SegmentHead::clone(&self.head.load());
        for entry in &entries {
            head.turns.apply(entry);
        }
        let options = AppendOptions::expecting(Expected::At(head.position));
        let positions = segment::append_all(store, head.location, entries, &options)?;
        if let Some(last) = positions.last() {
            head.position = *last;
            self.head.store(Arc::new(head));
        }
        Ok(positions)
    }

    /// Appends a call whose large parts are in blobs already, behind the last entry that this writer knows. Entries whose keys stand in the
    /// log answer with the positions they have.
    ///
    /// # Errors
    /// As [`append`](Self::append); `Conflict` also where the keys stand behind entries that this writer has not seen.
    pub(crate) fn append_call(
        &self,
        store: &dyn Store,
        call: &[NewEntry],
        durability: Option<Durability>,
    ) -> Result<Vec<Position>> {
        let _writing = self.lock();
        let mut head = SegmentHead::clone(&self.head.load());
        let SegmentLocation { session_id, segment_id } = head.location;
        let expected = Expected::At(head.position);
        let options = AppendOptions { expected: Some(expected), durability };
        let positions = store.append_with(session_id, segment_id, call, &options)?;
        for (entry, position) in call.iter().zip(&positions) {
            if position.seq <= head.position.seq {
                continue;
            }
            if position.seq.0 != head.position.seq.0 + 1 {
                return Err(StoreError::Conflict { expected, actual: *position }.into());
            }
            if let NewBody::Typed(entry) = &entry.body {
                head.turns.apply(entry);
            }
            head.position = *position;
        }
        self.head.store(Arc::new(head));
        Ok(positions)
    }

    /// Goes on in a new segment of the same session that was forked where the writer stands, wherever the log ends.
    ///
    /// # Errors
    /// `Conflict` if what the writer saw last does not stand there any more; else as [`fork`](crate::fork()).
    pub(crate) fn fork_here(&self, store: &dyn Store, now: TimestampMs) -> Result<SegmentLocation> {
        let _writing = self.lock();
        let head = self.head.load_full();
        let actual = fork::end_of(store, head.location)?;
        let (location, position) = fork::fork_behind(store, now, head.location, (head.position, actual))?;
        self.head.store(Arc::new(SegmentHead { location, position, turns: head.turns.clone() }));
        Ok(location)
    }

    /// Makes sure that the writer may go on: if the log does not end where it saw it end, it goes on in a new
    /// segment of the same session that was forked there. Answers with the segment that is written to from now on.
    ///
    /// # Errors
    /// As [`ensure_head_or_fork`](crate::ensure_head_or_fork).
    pub fn ensure_head_or_fork(&self, store: &dyn Store, now: TimestampMs) -> Result<SegmentLocation> {
        let _writing = self.lock();
        let head = self.head.load_full();
        match fork::fork_unless_head(store, now, head.location, head.position)? {
            None => Ok(head.location),
            Some((location, position)) => {
                let turns = head.turns.clone();
                self.head.store(Arc::new(SegmentHead { location, position, turns }));
                Ok(location)
            }
        }
    }

    /// Goes on in a new segment of the same session in which `new.history` stands for all that came before.
    ///
    /// # Errors
    /// As [`create_compacted_segment`](crate::create_compacted_segment); `Conflict` if somebody else wrote to the log.
    pub fn compact(&self, store: &dyn Store, now: TimestampMs, new: NewSegment) -> Result<SegmentLocation> {
        let _writing = self.lock();
        let head = self.head.load_full();
        let (location, position) = compact::compact_head(store, now, (head.location, head.position), new)?;
        self.head.store(Arc::new(SegmentHead { location, position, turns: head.turns.clone() }));
        Ok(location)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_head(store: &dyn Store, location: SegmentLocation) -> Result<SegmentHead> {
    let parts = lineage::load(store, location.session_id, location.segment_id)?;
    let mut turns = TurnFold::default();
    for entry in parts.iter().flat_map(|part| &part.entries) {
        turns.apply(entry);
    }
    let position = parts.last().map(|own| own.position).ok_or(StoreError::no_segment(location.segment_id))?;
    Ok(SegmentHead { location, position, turns })
}
