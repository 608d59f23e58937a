//! Snapshot sets that each break one rule.

mod faults;
mod set;
mod shard;

pub use self::faults::SNAPSHOT_SETS;
use self::set::{FaultyHarness, Rules};
use crate::SnapshotSetHarness;

/// A snapshot set that breaks one rule.
#[derive(Clone, Copy, Debug)]
pub struct FaultySnapshotSet {
    /// What it does wrong, as a statement in snake_case.
    pub name: &'static str,
    rules: Rules,
}

impl FaultySnapshotSet {
    /// A new empty set with the fault.
    pub fn fresh(&self) -> Box<dyn SnapshotSetHarness> {
        Box::new(FaultyHarness::new(self.rules))
    }
}
