//! Stores that each break one rule.

use crate::Harness;

/// A store that breaks one rule.
#[derive(Clone, Copy, Debug)]
pub struct FaultyStore {
    /// What it does wrong, as a statement in snake_case.
    pub name: &'static str,
    make: fn() -> Box<dyn Harness>,
}

impl FaultyStore {
    /// A new empty store with the fault.
    pub fn fresh(&self) -> Box<dyn Harness> {
        (self.make)()
    }
}
