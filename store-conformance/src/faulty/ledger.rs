//! Ledgers that each break one rule.

mod faults;
mod handle;

pub use self::faults::ledgers;
use self::handle::{FaultyHarness, Rules};
use crate::LedgerHarness;

/// A ledger that breaks one rule.
#[derive(Clone, Copy, Debug)]
pub struct FaultyLedger {
    /// What it does wrong, as a statement in snake_case.
    pub name: &'static str,
    rules: Rules,
}

impl FaultyLedger {
    /// A new empty ledger with the fault.
    pub fn fresh(&self) -> Box<dyn LedgerHarness> {
        Box::new(FaultyHarness::new(self.rules))
    }
}
