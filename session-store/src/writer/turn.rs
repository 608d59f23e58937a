//! The turns of a writer that is held to budgets: what of its entries the ledger is told, and when.

use std::sync::Arc;

use arc_swap::ArcSwap;
use store_core::{Backend, Lease, LogEntry, SegmentId, SessionId, TimestampMs};

use super::options::Submission;
use super::ticket::Landed;
use crate::budget::{Standing, TurnBudget, Turns, Wanted};
use crate::error::Result;
use crate::usage::request_name;

/// The turns of a writer; without a budget nothing is noted of them.
pub(super) struct HeldTurns {
    turns: Option<Turns>,
    standings: Arc<ArcSwap<Vec<Standing>>>,
    /// Leases of segments that the writer has left during the turn: they say that who reserved lives.
    former: Vec<Lease>,
}

impl HeldTurns {
    pub(super) fn new(budget: Option<&TurnBudget>) -> Self {
        let turns = budget.map(|budget| Turns::new(budget.clone()));
        Self { turns, standings: Arc::default(), former: Vec::new() }
    }

    pub(super) fn standings(&self) -> Arc<ArcSwap<Vec<Standing>>> {
        Arc::clone(&self.standings)
    }

    pub(super) const fn are_held(&self) -> bool {
        self.turns.is_some()
    }

    pub(super) fn keep_while_open(&mut self, lease: Lease) {
        if self.turns.as_ref().is_some_and(Turns::is_open) {
            self.former.push(lease);
        }
    }

    /// Notes what was used by entries that are written; answers whether a turn ended with them.
    pub(super) fn note<'e>(&mut self, written: impl Iterator<Item = (&'e Submission, &'e Landed)>) -> bool {
        let Some(turns) = &mut self.turns else { return false };
        let mut ended = false;
        for (Submission { entry, key }, Landed { location, position }) in written {
            match entry {
                LogEntry::LlmUsage(usage) => {
                    let place = (location.session_id, location.segment_id, position.seq);
                    turns.note(request_name(place, key.as_deref(), usage), location.session_id, usage);
                }
                LogEntry::TurnEnd(_) | LogEntry::RunCompleted(_) | LogEntry::RunErrored(_) => ended = true,
                _ => {}
            }
        }
        ended
    }

    pub(super) fn begin(
        &mut self,
        store: &dyn Backend,
        now: TimestampMs,
        place: (SessionId, SegmentId),
        wanted: Wanted,
    ) -> Result<()> {
        let Some(turns) = &mut self.turns else { return Ok(()) };
        let standings = turns.begin(store, now, place, wanted)?;
        self.standings.store(Arc::new(standings));
        // The turn before is settled, and this one's owner holds the lease of where it writes.
        self.former.clear();
        Ok(())
    }

    /// Settles what is open. What fails is tried again with the next turn, which tells why; and should there be none, the reservation is given back when the writer is
    /// gone, and the requests are counted when somebody reads the log.
    pub(super) fn settle(&mut self, store: &dyn Backend, now: TimestampMs) {
        let Some(turns) = &mut self.turns else { return };
        if let Ok(Some(standings)) = super::run::attempt(|| turns.settle(store, now)) {
            self.standings.store(Arc::new(standings));
        }
        if !turns.is_open() {
            self.former.clear();
        }
    }
}
