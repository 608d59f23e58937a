//! Where the entries of each record end.

use serde::{Deserialize, Serialize};
use store_core::{SegmentId, Seq, SessionId};

use crate::import::memory::{Memory, Notes};
use crate::import::walk::Place;

/// The places of all records of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Places {
    #[serde(skip)]
    known: Memory<Option<Spot>>,
    /// The segments that spots name by their numbers here.
    homes: Vec<(SessionId, SegmentId)>,
    moves: Vec<Move>,
}

/// A place: the number of its segment, and its seq.
type Spot = (usize, u64);

/// Where the entries went that turned out to belong into a branch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Move {
    from: SegmentId,
    after: u64,
    to: SegmentId,
}

impl Places {
    /// Remembers where a record's entries end.
    pub(super) fn name(&mut self, record: &str, at: Option<Place>) {
        let spot = at.map(|at| (self.number(at), at.seq.0));
        self.known.insert(record, spot);
    }

    fn number(&mut self, at: Place) -> usize {
        let home = (at.session, at.segment);
        // The last one is nearly always it.
        self.homes.iter().rposition(|known| *known == home).unwrap_or_else(|| {
            self.homes.push(home);
            self.homes.len() - 1
        })
    }

    /// Where a record's entries end; `None` for a record that was not read.
    pub(super) fn place_of(&self, record: &str) -> Option<Option<Place>> {
        let spot = self.known.get(record)?;
        Some(spot.and_then(|(number, seq)| {
            let (session, segment) = *self.homes.get(number)?;
            Some(self.moved(Place { session, segment, seq: Seq(seq) }))
        }))
    }

    /// The entries of a segment behind one of them went on in another one.
    pub(super) fn went(&mut self, from: SegmentId, after: u64, to: SegmentId) {
        self.moves.push(Move { from, after, to });
    }

    /// Where an entry is that may have moved into a branch.
    pub(super) fn moved(&self, mut at: Place) -> Place {
        for moved in &self.moves {
            if at.segment == moved.from && at.seq.0 > moved.after {
                at = Place { segment: moved.to, seq: Seq(at.seq.0 - moved.after + 1), ..at };
            }
        }
        at
    }

    /// All but what is remembered of single records.
    pub(super) fn shape(&self) -> Self {
        Self { known: Memory::default(), homes: self.homes.clone(), moves: self.moves.clone() }
    }

    /// What is remembered of single records.
    pub(super) fn memory(&mut self) -> &mut dyn Notes {
        &mut self.known
    }
}
