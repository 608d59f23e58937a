//! Leases that are held and tails that are read while others write.

use std::time::Duration;

use store_core::{Result, SegmentId, SessionId, StoreError, Tail, TailEvent, TailFrom, Watch};

use super::machine::{Machine, NOW};
use super::picture::read_texts;
use super::record::LogId;

/// A tail, and the texts that it has told.
pub(super) struct Followed {
    tail: Box<dyn Tail>,
    pub(super) told: Vec<String>,
}

impl Followed {
    /// Reads on to the end in a tail, or in a new one.
    pub(super) fn go_on(
        before: Option<Self>,
        store: &dyn Watch,
        session: SessionId,
        segment: SegmentId,
    ) -> Result<Self> {
        let mut followed = match before {
            Some(followed) => followed,
            None => Self { tail: store.tail(session, segment, TailFrom::Start)?, told: Vec::new() },
        };
        while let TailEvent::Records(records) = followed.tail.next(Duration::ZERO)? {
            followed.told.extend(records.into_iter().map(|record| record.text));
        }
        Ok(followed)
    }
}

impl Machine {
    pub(super) fn lease(&mut self, by: usize, segment: SegmentId) {
        let Some(store) = self.store(by) else { return };
        let Some(session) = self.sure.get(&segment).copied() else { return };
        let is_held = self.leases.contains_key(&segment);
        match store.lease(session, segment, "a holder", NOW) {
            Ok(_) if is_held => self.complaints.push(format!("{segment} is leased twice")),
            Ok(lease) => _ = self.leases.insert(segment, (by, lease)),
            Err(StoreError::Busy { .. }) if is_held => {}
            Err(error) => self.explain("lease", &error),
        }
    }

    pub(super) fn follow(&mut self, by: usize, segment: SegmentId) {
        let Some(store) = self.store(by) else { return };
        let Some(session) = self.sure.get(&segment).copied() else { return };
        let told = Followed::go_on(self.tails.remove(&(by, segment)), &*store, session, segment);
        match told {
            Ok(followed) => match read_texts(&store, LogId::Segment(session, segment)) {
                Ok(texts) if texts == followed.told => _ = self.tails.insert((by, segment), followed),
                Ok(texts) => {
                    let counts = (followed.told.len(), texts.len());
                    self.complaints.push(format!("a tail of {segment} told {counts:?} entries"));
                }
                Err(error) => self.explain("read beside a tail", &error),
            },
            // Only where the session was deleted, and perhaps made again, since the tail told something.
            Err(StoreError::Diverged { .. } | StoreError::NotFound(_)) if self.record.has_deleted(session) => {}
            Err(error) => self.explain("follow", &error),
        }
    }
}
