//! Looking up the session of a segment again: what a handle found out once, and one look whether it still holds.
//!
//! A segment's id is unique in the whole store, so as long as its log stands in the session where it was found, that is its session, and a
//! deletion takes the log's name away before anything else. So one look for that name, made each time, says what the entry in `by-segment/` would say, and
//! no other handle or process has to tell this one of anything. Whether the entry is in step with the log is for verifying to see.
//!
//! What is remembered is bounded: two generations, of which the older one is given up when the younger one is full.

use std::collections::HashMap;
use std::sync::Mutex;

use store_core::{Result, SegmentId, SessionId};

use crate::error::{At as _, found};
use crate::record_log::lock_mutex;
use crate::store::FsStore;

/// How many segments a generation has: with both, about 2 MiB at most.
const GENERATION_MAX: usize = 16 * 1024;

/// The sessions of segments that were looked up.
#[derive(Debug, Default)]
pub(crate) struct LookedUp(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<SegmentId, SessionId>,
    old: HashMap<SegmentId, SessionId>,
}

impl LookedUp {
    fn get(&self, segment: SegmentId) -> Option<SessionId> {
        let mut known = lock_mutex(&self.0);
        if let Some(session) = known.young.get(&segment) {
            return Some(*session);
        }
        let session = known.old.remove(&segment)?;
        known.put(segment, session);
        Some(session)
    }

    fn put(&self, segment: SegmentId, session: SessionId) {
        lock_mutex(&self.0).put(segment, session);
    }

    fn forget(&self, segment: SegmentId) {
        let mut known = lock_mutex(&self.0);
        known.young.remove(&segment);
        known.old.remove(&segment);
    }
}

impl Generations {
    fn put(&mut self, segment: SegmentId, session: SessionId) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(segment, session);
    }
}

impl FsStore {
    /// The session of a segment that has a log.
    pub(crate) fn look_up_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        if let Some(session) = self.looked_up.get(segment) {
            let log = self.layout.log(session, segment);
            if found(self.disk.stat(&log)).at("stat", &log)?.is_some() {
                return Ok(Some(session));
            }
            self.looked_up.forget(segment);
        }
        let session = self.session_of(segment)?;
        if let Some(session) = session {
            self.looked_up.put(segment, session);
        }
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_asked_for_stays() {
        let known = LookedUp::default();
        let ids = |n: usize| (SegmentId::derive(n as u64, b"g"), SessionId::derive(n as u64, b"s"));
        let (asked, its_session) = ids(0);
        known.put(asked, its_session);
        for n in 1..5 * GENERATION_MAX {
            let (segment, session) = ids(n);
            known.put(segment, session);
            assert_eq!(known.get(asked), Some(its_session), "after {n}");
        }
        let held = lock_mutex(&known.0);
        assert!(held.young.len() + held.old.len() <= 2 * GENERATION_MAX);
        drop(held);
        assert_eq!(known.get(ids(1).0), None);
        known.forget(asked);
        assert_eq!(known.get(asked), None);
    }
}
