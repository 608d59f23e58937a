//! Which check fails on which faulty store.

use std::collections::BTreeMap;
use std::fmt;

use crate::faulty::FaultyStore;
use crate::{CHECKS, Check};

/// The outcome of every check on some faulty stores.
#[derive(Clone, Debug)]
pub struct Matrix {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    store: &'static str,
    failed: Vec<Check>,
}

impl Matrix {
    /// Runs every check on every store, each time on a fresh one.
    pub fn run<'a>(stores: impl IntoIterator<Item = &'a FaultyStore>) -> Self {
        let row = |store: &FaultyStore| {
            let fails = |check: &&Check| check.run(&mut *store.fresh()).is_err();
            Row { store: store.name, failed: CHECKS.iter().filter(fails).copied().collect() }
        };
        Self { rows: stores.into_iter().map(row).collect() }
    }

    /// How many checks a faulty store may fail at most to count as a proof: a tenth. One that fails more is so broken
    /// that any check would notice.
    pub const fn failures_max() -> usize {
        CHECKS.len() / 10
    }

    /// The stores that no check fails on.
    pub fn uncaught(&self) -> Vec<&'static str> {
        self.rows.iter().filter(|row| row.failed.is_empty()).map(|row| row.store).collect()
    }

    /// The stores that fail too many checks to count.
    pub fn too_broken(&self) -> Vec<&'static str> {
        let broken = self.rows.iter().filter(|row| row.failed.len() > Self::failures_max());
        broken.map(|row| row.store).collect()
    }

    /// The checks that fail on no store that counts.
    pub fn unproved(&self) -> Vec<Check> {
        let counts = self.rows.iter().filter(|row| row.failed.len() <= Self::failures_max());
        let proved: Vec<_> = counts.flat_map(|row| &row.failed).map(|check| (check.group, check.name)).collect();
        CHECKS.iter().filter(|check| !proved.contains(&(check.group, check.name))).copied().collect()
    }
}

impl fmt::Display for Matrix {
    /// Every store with the checks that fail on it, then how many stores each check fails on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} checks, {} faulty stores", CHECKS.len(), self.rows.len())?;
        let mut stores_of = BTreeMap::new();
        for Row { store, failed } in &self.rows {
            writeln!(f, "\n{store}")?;
            for check in failed {
                writeln!(f, "    {}::{}", check.group, check.name)?;
                *stores_of.entry((check.group, check.name)).or_insert(0) += 1;
            }
        }
        writeln!(f)?;
        for check in CHECKS {
            let stores = stores_of.get(&(check.group, check.name)).copied().unwrap_or(0);
            writeln!(f, "{stores:3} {}::{}", check.group, check.name)?;
        }
        Ok(())
    }
}
