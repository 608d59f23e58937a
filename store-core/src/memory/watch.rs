//! Tails that are woken by whoever writes, and leases that are entries of a map.

use std::sync::Arc;
use std::time::Duration;

use super::MemoryStore;
use crate::error::Result;
use crate::follow::{Follower, Signal, TailSource};
use crate::id::{Position, SegmentId, Seq, SessionId, TimestampMs};
use crate::store::{Record, Store as _};
use crate::watch::{Lease, LeaseHolder, Tail, TailFrom, Watch};

impl Watch for MemoryStore {
    fn tail(&self, session: SessionId, segment: SegmentId, from: TailFrom) -> Result<Box<dyn Tail>> {
        let signal = Arc::new(Signal::default());
        let mut state = self.write();
        state.segment(session, segment)?;
        let tails = state.tails.entry(segment).or_default();
        tails.retain(|tail| tail.strong_count() > 0);
        tails.push(Arc::downgrade(&signal));
        drop(state);
        let source = Followed { store: self.clone(), session, segment };
        // Whoever writes wakes the tail, so it waits for as long as it is asked to.
        Ok(Box::new(Follower::start_with(source, segment, from, Duration::MAX, signal)?))
    }

    fn lease(&self, session: SessionId, segment: SegmentId, holder: &str, now: TimestampMs) -> Result<Lease> {
        let holder = LeaseHolder::new(holder, None, now)?;
        let mut state = self.write();
        state.segment(session, segment)?;
        if let Some(other) = state.leases.get(&segment) {
            return Err(other.clone().into_busy());
        }
        state.leases.insert(segment, holder.clone());
        Ok(Lease::new(holder, Box::new(Leased { store: self.clone(), segment })))
    }

    fn leased(&self, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>> {
        let state = self.read();
        state.segment(session, segment)?;
        Ok(state.leases.get(&segment).cloned())
    }
}

/// The lease of a segment, given up when this is dropped.
struct Leased {
    store: MemoryStore,
    segment: SegmentId,
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.store.write().leases.remove(&self.segment);
    }
}

/// A segment that a tail follows.
struct Followed {
    store: MemoryStore,
    session: SessionId,
    segment: SegmentId,
}

impl TailSource for Followed {
    fn is_unchanged(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn read(&mut self, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.store.read_range(self.session, self.segment, after, limit)
    }

    fn end(&mut self) -> Result<Position> {
        Ok(self.store.read().segment(self.session, self.segment)?.end())
    }
}
