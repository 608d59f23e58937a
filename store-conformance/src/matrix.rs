//! Which check fails on which faulty store.

use std::collections::BTreeMap;
use std::fmt;

use crate::faulty::{FaultySnapshotSet, FaultyStore};
use crate::{CHECKS, SNAPSHOT_SET_CHECKS};

/// A check's group and name.
type CheckName = (&'static str, &'static str);

/// The outcome of every check on some faulty stores.
#[derive(Clone, Debug)]
pub struct Matrix {
    checks: Vec<CheckName>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    store: &'static str,
    failed: Vec<CheckName>,
}

impl Matrix {
    /// Runs every check on every store, each time on a fresh one.
    pub fn run<'a>(stores: impl IntoIterator<Item = &'a FaultyStore>) -> Self {
        let row = |store: &FaultyStore| {
            let failed = CHECKS.iter().filter(|check| check.run(&mut *store.fresh()).is_err());
            Row { store: store.name, failed: failed.map(|check| (check.group, check.name)).collect() }
        };
        let checks = CHECKS.iter().map(|check| (check.group, check.name)).collect();
        Self { checks, rows: stores.into_iter().map(row).collect() }
    }

    /// Runs every check of snapshot sets on every one of these, each time on a fresh one.
    pub fn run_snapshot_sets<'a>(sets: impl IntoIterator<Item = &'a FaultySnapshotSet>) -> Self {
        let name = |check: &crate::SnapshotSetCheck| ("snapshot_set", check.name);
        let row = |set: &FaultySnapshotSet| {
            let failed = SNAPSHOT_SET_CHECKS.iter().filter(|check| check.run(&*set.fresh()).is_err());
            Row { store: set.name, failed: failed.map(name).collect() }
        };
        Self { checks: SNAPSHOT_SET_CHECKS.iter().map(name).collect(), rows: sets.into_iter().map(row).collect() }
    }

    /// How many checks a faulty store may fail at most to count as a proof: a tenth. One that fails more is so broken
    /// that any check would notice.
    pub const fn failures_max(&self) -> usize {
        self.checks.len() / 10
    }

    /// The stores that no check fails on.
    pub fn uncaught(&self) -> Vec<&'static str> {
        self.rows.iter().filter(|row| row.failed.is_empty()).map(|row| row.store).collect()
    }

    /// The stores that fail too many checks to count.
    pub fn too_broken(&self) -> Vec<&'static str> {
        let broken = self.rows.iter().filter(|row| row.failed.len() > self.failures_max());
        broken.map(|row| row.store).collect()
    }

    /// The checks that fail on no store that counts.
    pub fn unproved(&self) -> Vec<&'static str> {
        let counts = self.rows.iter().filter(|row| row.failed.len() <= self.failures_max());
        let proved: Vec<_> = counts.flat_map(|row| &row.failed).collect();
        self.checks.iter().filter(|check| !proved.contains(check)).map(|(_, name)| *name).collect()
    }
}

impl fmt::Display for Matrix {
    /// Every store with the checks that fail on it, then how many stores each check fails on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} checks, {} faulty stores", self.checks.len(), self.rows.len())?;
        let mut stores_of = BTreeMap::new();
        for Row { store, failed } in &self.rows {
            writeln!(f, "\n{store}")?;
            for (group, name) in failed {
                writeln!(f, "    {group}::{name}")?;
                *stores_of.entry((group, name)).or_insert(0) += 1;
            }
        }
        writeln!(f)?;
        for (group, name) in &self.checks {
            let stores = stores_of.get(&(group, name)).copied().unwrap_or(0);
            writeln!(f, "{stores:3} {group}::{name}")?;
        }
        Ok(())
    }
}
