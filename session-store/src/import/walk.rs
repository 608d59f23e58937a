//! Reading branches of the store without holding them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use store_core::{LogEntry, SegmentId, SegmentOrigin, Seq, SessionId, Store};

use crate::error::Result;
use crate::fold::{ConfigFold, TurnFold};
use crate::lineage::{self, LineagePart};

/// How many records are read at once.
const BATCH_RECORDS: usize = 256;

/// An entry of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) session: SessionId,
    pub(super) segment: SegmentId,
    pub(super) seq: Seq,
}

impl Place {
    /// The entry as the point that a segment continues.
    pub(super) const fn origin(self, at_turn_index: u64) -> SegmentOrigin {
        SegmentOrigin { session_id: self.session, segment_id: self.segment, seq: self.seq, at_turn_index }
    }
}

impl From<SegmentOrigin> for Place {
    fn from(origin: SegmentOrigin) -> Self {
        Self { session: origin.session_id, segment: origin.segment_id, seq: origin.seq }
    }
}

/// The entry that a segment begins with is all that is read of each part.
pub(super) fn parts_through(store: &dyn Store, place: Place) -> Result<Vec<LineagePart>> {
    lineage::lineage_through(store, place.session, place.segment, place.seq)
}

/// Visits every entry of the branch that ends with `place`, from its root.
pub(super) fn walk(store: &dyn Store, place: Place, mut visit: impl FnMut(Place, &LogEntry)) -> Result<()> {
    for part in parts_through(store, place)? {
        let (session, segment) = (part.session_id, part.segment_id);
        let mut after = Seq::START;
        while after < part.through {
            let left = usize::try_from(part.through.0 - after.0).unwrap_or(usize::MAX);
            let records = store.read_range(session, segment, after, left.min(BATCH_RECORDS))?;
            let Some(last) = records.last().map(|record| record.position.seq) else { break };
            for record in &records {
                visit(Place { session, segment, seq: record.position.seq }, &record.entry);
            }
            after = last;
        }
    }
    Ok(())
}

/// What a branch amounts to at a place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Folds {
    pub(super) turns: TurnFold,
    pub(super) config: ConfigFold,
}

impl Folds {
    /// Takes the next entry.
    pub(super) fn apply(&mut self, entry: &LogEntry) {
        self.turns.apply(entry);
        self.config.apply(entry);
    }

    /// Reads on in a segment, from behind an entry of it through a later one.
    pub(super) fn read_on(mut self, store: &dyn Store, from: Place, through: Seq) -> Result<Self> {
        let mut after = from.seq;
        while after < through {
            let left = usize::try_from(through.0 - after.0).unwrap_or(usize::MAX);
            let records = store.read_range(from.session, from.segment, after, left.min(BATCH_RECORDS))?;
            let Some(last) = records.last().map(|record| record.position.seq) else { break };
            records.iter().for_each(|record| self.apply(&record.entry));
            after = last;
        }
        Ok(self)
    }

    /// Reads the branch that ends with `place`.
    pub(super) fn read(store: &dyn Store, place: Place) -> Result<Self> {
        let mut folds = Self::default();
        walk(store, place, |_, entry| folds.apply(entry))?;
        Ok(folds)
    }
}

/// Where the branch that ends with `place` goes on when its last `turns` are taken out of it: behind the last entry before
/// them. What the program put in between two turns goes with the later one. A compaction is never taken out.
pub(super) fn before_turns(store: &dyn Store, place: Place, turns: u64) -> Result<Option<Place>> {
    let turns = usize::try_from(turns).unwrap_or(usize::MAX);
    let mut fold = TurnFold::default();
    // Of each of the turns that would be taken out, the last entry before it that stays with what came before.
    let mut begins: VecDeque<Option<Place>> = VecDeque::new();
    let mut stays: Option<Place> = None;
    walk(store, place, |at, entry| {
        let change = fold.apply(entry);
        if change == crate::fold::TurnChange::Began {
            begins.push_back(stays);
            if begins.len() > turns {
                begins.pop_front();
            }
        }
        if let LogEntry::SegmentStart(start) = entry {
            // A new branch that ends in the middle of nothing keeps what it continued.
            if start.compacted_from.is_some() {
                begins.clear();
                stays = Some(at);
            } else if stays.is_none() || start.origin().is_none() {
                stays = Some(at);
            }
            return;
        }
        let is_put_in = matches!(entry, LogEntry::SystemItem(_) | LogEntry::ConfigChanged(_)) && !fold.is_open();
        if !is_put_in {
            stays = Some(at);
        }
    })?;
    Ok(begins.front().copied().unwrap_or(stays))
}
