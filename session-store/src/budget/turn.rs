//! Holding a writer's turns to budgets: what it notes while it writes, and when the ledger is asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use store_core::{Backend, LlmUsage, SessionId, TimestampMs};

use super::used::remember;
use super::{Budgets, LedgerSource, Owner, Reservation, Standing, Wanted};
use crate::error::Result;
use crate::segment::SegmentLocation;
use crate::usage::{PriceTable, Use};
use crate::writer::Landed;

/// How many requests are remembered, so that one that is told of again is known.
const REMEMBERED_MAX: usize = 4096;

/// The budgets that a writer's turns are held to: those of the folder that it works in and of all above it.
#[derive(Clone, Debug)]
pub struct TurnBudget {
    /// Where the ledger comes from. It is held for the moments in which a turn begins or ends.
    pub ledger: LedgerSource,
    /// The folder that the conversation works in, as its settings say.
    pub project: String,
    /// What requests cost.
    pub prices: Arc<PriceTable>,
}

/// What a writer knows of its turns.
#[derive(Debug)]
pub(crate) struct Turns {
    budget: TurnBudget,
    /// What is reserved for the turn that goes on.
    open: Option<Reservation>,
    /// What was used, by request: what the ledger was told of, and what it was not.
    uses: HashMap<String, Use>,
    untold: BTreeSet<String>,
}

/// What the ledger says after a turn began or ended.
type Settled = Vec<Standing>;

impl Turns {
    pub(crate) fn new(budget: TurnBudget) -> Self {
        Self { budget, open: None, uses: HashMap::new(), untold: BTreeSet::new() }
    }

    /// Whether a turn goes on that something is reserved for.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Notes what a request used. The largest of its repeats counts, at the time of the first.
    pub(crate) fn note(&mut self, request: String, session: SessionId, usage: &LlmUsage) {
        self.untold.insert(request.clone());
        let project = Some(self.budget.project.clone());
        remember(&mut self.uses, Use { request, session, agent: None, project, usage: usage.clone() });
    }

    /// Reserves for a turn that begins where a writer stands, who holds the lease there. What came before is settled first.
    pub(crate) fn begin(
        &mut self,
        store: &dyn Backend,
        now: TimestampMs,
        head: Landed,
        wanted: Wanted,
    ) -> Result<Settled> {
        let SegmentLocation { session_id, segment_id } = head.location;
        let owner = Owner::behind(store, (session_id, segment_id, head.position.seq))?;
        let source = self.budget.ledger.clone();
        source.with(|ledger| {
            let prices = Arc::clone(&self.budget.prices);
            let budgets = Budgets { ledger, store, prices: &prices, now };
            self.settle_with(&budgets)?;
            self.open = Some(budgets.reserve(&self.budget.project, wanted, &owner)?);
            self.standings(&budgets)
        })
    }

    /// Posts what was used, and gives back what was reserved. Does not ask for the ledger where there is nothing of either.
    pub(crate) fn settle(&mut self, store: &dyn Backend, now: TimestampMs) -> Result<Option<Settled>> {
        if self.open.is_none() && self.untold.is_empty() {
            return Ok(None);
        }
        let source = self.budget.ledger.clone();
        source.with(|ledger| {
            let prices = Arc::clone(&self.budget.prices);
            let budgets = Budgets { ledger, store, prices: &prices, now };
            self.settle_with(&budgets)?;
            self.standings(&budgets).map(Some)
        })
    }

    fn settle_with(&mut self, budgets: &Budgets<'_>) -> Result<()> {
        let uses: Vec<Use> = self.untold.iter().filter_map(|request| self.uses.get(request)).cloned().collect();
        match &self.open {
            Some(open) => budgets.settle(open, &uses)?,
            None => budgets.settle(&Reservation::nothing(&self.budget.project), &uses)?,
        }
        self.open = None;
        self.untold.clear();
        if self.uses.len() > REMEMBERED_MAX {
            self.uses.clear();
        }
        Ok(())
    }

    fn standings(&self, budgets: &Budgets<'_>) -> Result<Settled> {
        let covering = budgets.covering(&self.budget.project)?;
        budgets.stand(&covering)
    }
}
