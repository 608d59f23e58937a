//! Following a conversation while it is written: a segment, and what continues it.
//!
//! A store follows one segment ([`Watch`](store_core::Watch)). A conversation goes on elsewhere when it is compacted, or when somebody who was
//! overtaken forks; so a tail of a branch looks, beside the segments that it follows, for new ones of the session that continue any of
//! them, and follows these too, from their first entries. What it follows it never leaves, because the one who was continued may
//! go on as well.
//!
//! No clock is read and nothing is waited for but the store's own tail, in turns of [`POLL`]: the price is that a new segment is
//! noticed at the end of a turn, in a session of many segments of every few.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use store_core::follow::POLL;
use store_core::{Backend, LogEntry, Missing, Record, SegmentId, Seq, StoreError, Tail, TailEvent, TailFrom};

use crate::error::Result;
use crate::segment::SegmentLocation;

/// How many segments a session has for each turn that passes between two looks at their list.
const SEGMENTS_EACH_TURN: usize = 256;

/// What is followed beside a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// Nothing.
    Segment,
    /// Every segment of the session that is made from now on and continues it, at whichever point, or continues one that does.
    Branch,
}

/// A segment that is read while it grows, with what comes to continue it.
pub struct BranchTail {
    store: Arc<dyn Backend>,
    root: SegmentLocation,
    following: Following,
    /// At least one.
    followed: Vec<(SegmentId, Box<dyn Tail>)>,
    /// The segments of the session that were looked at.
    known: BTreeSet<SegmentId>,
    turns_until_look: usize,
}

impl BranchTail {
    /// Follows a segment from a place in it.
    ///
    /// # Errors
    /// `Unsupported` for a store that cannot follow; else as [`Watch::tail`](store_core::Watch::tail).
    pub fn start(store: Arc<dyn Backend>, root: SegmentLocation, from: TailFrom, following: Following) -> Result<Self> {
        // What is made while the tail begins is not known, so that it is looked at.
        let known = match following {
            Following::Segment => BTreeSet::new(),
            Following::Branch => store.list_segments(root.session_id)?.into_iter().collect(),
        };
        let mut tail = Self { store, root, following, followed: Vec::new(), known, turns_until_look: 0 };
        tail.follow(root.segment_id, from)?;
        Ok(tail)
    }

    /// The next records of one of the segments: those that stand there already at once, later ones when they are appended, by
    /// whichever process. Of one segment they come in order, each once. `None` if none came for about `timeout`.
    ///
    /// # Errors
    /// As [`Tail::next`], of any of the segments: `Diverged`, `NotFound`, `Corrupt`.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<(SegmentId, Vec<Record>)>> {
        let mut remaining = timeout;
        loop {
            for (segment, tail) in &mut self.followed {
                if let TailEvent::Records(records) = tail.next(Duration::ZERO)? {
                    return Ok(Some((*segment, records)));
                }
            }
            if self.look_for_segments()? {
                continue;
            }
            if remaining.is_zero() {
                return Ok(None);
            }
            let turn = remaining.min(POLL);
            remaining -= turn;
            // The newest is the one where most is to be expected.
            if let Some((segment, tail)) = self.followed.last_mut()
                && let TailEvent::Records(records) = tail.next(turn)?
            {
                return Ok(Some((*segment, records)));
            }
        }
    }

    /// The segments that are followed, in the order in which they came to be.
    pub fn followed(&self) -> impl Iterator<Item = SegmentId> {
        self.followed.iter().map(|(segment, _)| *segment)
    }

    fn follow(&mut self, segment: SegmentId, from: TailFrom) -> Result<()> {
        let watch = self.store.watch().ok_or(StoreError::Unsupported { what: "following a segment" })?;
        self.followed.push((segment, watch.tail(self.root.session_id, segment, from)?));
        Ok(())
    }

    /// Whether there is more to follow than before.
    fn look_for_segments(&mut self) -> Result<bool> {
        if self.following == Following::Segment {
            return Ok(false);
        }
        if self.turns_until_look > 0 {
            self.turns_until_look -= 1;
            return Ok(false);
        }
        let mut new: Vec<SegmentId> = self.store.list_segments(self.root.session_id)?;
        new.retain(|segment| !self.known.contains(segment));
        self.known.extend(&new);
        self.turns_until_look = self.known.len() / SEGMENTS_EACH_TURN;
        let before = self.followed.len();
        let mut origins: Vec<(SegmentId, SegmentId)> = Vec::new();
        for segment in new {
            origins.extend(self.continued_by(segment)?.map(|continued| (segment, continued)));
        }
        // One of them may continue another one, whatever their ids say.
        while let Some(at) = origins.iter().position(|(_, continued)| self.is_followed(*continued)) {
            let (segment, _) = origins.swap_remove(at);
            self.follow(segment, TailFrom::Start)?;
        }
        Ok(self.followed.len() > before)
    }

    fn is_followed(&self, segment: SegmentId) -> bool {
        self.followed().any(|followed| followed == segment)
    }

    /// The segment that a new one continues; `None` also if it is gone already.
    fn continued_by(&self, segment: SegmentId) -> Result<Option<SegmentId>> {
        let first = match self.store.read_range(self.root.session_id, segment, Seq::START, 1) {
            Err(StoreError::NotFound(Missing::Segment(_) | Missing::Session(_))) => return Ok(None),
            other => other?.into_iter().next(),
        };
        let Some(LogEntry::SegmentStart(start)) = first.map(|record| record.entry) else { return Ok(None) };
        Ok(start.origin().map(|origin| origin.segment_id))
    }
}
