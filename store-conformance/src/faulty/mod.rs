//! Stores that each break one rule, to prove what the checks can catch.
//!
//! Every one is the reference with one or a few calls replaced. A good faulty store is a mistake that a backend could
//! make, and a small one: it fails the checks that hold the broken rule and hardly any other.

mod append;
mod beside;
mod blob;
mod change;
mod collect;
mod concurrency;
mod create;
mod create_many;
mod delete;
mod expected;
mod fact;
mod handle;
mod integrity;
mod key;
mod lease;
mod ledger;
mod list;
mod origin;
mod read;
mod reference;
mod reopen;
mod repair;
mod rollback;
mod snapshot_set;
mod tail;
mod text;
mod trace;

use self::handle::{FaultyHarness, Rules};
pub use self::ledger::{FaultyLedger, ledgers};
pub use self::snapshot_set::{FaultySnapshotSet, SNAPSHOT_SETS};
use crate::Harness;

/// A store that breaks one rule.
#[derive(Clone, Copy, Debug)]
pub struct FaultyStore {
    /// What it does wrong, as a statement in snake_case.
    pub name: &'static str,
    rules: Rules,
}

impl FaultyStore {
    const fn new(name: &'static str, rules: Rules) -> Self {
        Self { name, rules }
    }

    /// A new empty store with the fault.
    ///
    /// Its limits are small, so that the checks of the limits cost little on it; everything else is as the contract
    /// says, but for the fault.
    pub fn fresh(&self) -> Box<dyn Harness> {
        Box::new(FaultyHarness::new(self.rules))
    }
}

/// Every faulty store, in the order of the contract.
pub fn all() -> impl Iterator<Item = &'static FaultyStore> {
    of_the_log().chain(of_watching()).chain(of_integrity())
}

/// The stores that break a rule of verifying, checkpoints, rollbacks, repairs or collection.
pub fn of_integrity() -> impl Iterator<Item = &'static FaultyStore> {
    [integrity::STORES, rollback::STORES, repair::STORES, beside::STORES, collect::STORES].into_iter().flatten()
}

/// The stores that break a rule of tails or leases.
pub fn of_watching() -> impl Iterator<Item = &'static FaultyStore> {
    [tail::STORES, lease::STORES].into_iter().flatten()
}

/// The stores that break a rule of `Store` itself.
pub fn of_the_log() -> impl Iterator<Item = &'static FaultyStore> {
    let parts: [&[FaultyStore]; 16] = [
        create::STORES,
        create_many::STORES,
        origin::STORES,
        append::STORES,
        text::STORES,
        expected::STORES,
        key::STORES,
        read::STORES,
        list::STORES,
        trace::STORES,
        fact::STORES,
        blob::STORES,
        change::STORES,
        delete::STORES,
        reopen::STORES,
        concurrency::STORES,
    ];
    parts.into_iter().flatten()
}
