//! Which check fails on which faulty store.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::faulty::{FaultyLedger, FaultySnapshotSet, FaultyStore};
use crate::{CHECKS, LEDGER_CHECKS, Outcome, SNAPSHOT_SET_CHECKS, race};

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
    failed: Vec<Cell>,
}

/// A check that failed on a store.
#[derive(Clone, Copy, Debug)]
struct Cell {
    check: CheckName,
    /// Threads raced before it failed, so that it may pass the next time.
    raced: bool,
}

/// How often what only a race shows is looked for, where it did not show at once.
const ROUNDS_MAX: usize = 20;

impl Row {
    fn names(&self, check: CheckName) -> bool {
        self.failed.iter().any(|cell| cell.check == check)
    }

    /// Whether a race decides what the store is caught by.
    fn races(&self) -> bool {
        self.failed.iter().all(|cell| cell.raced)
    }

    /// Tries a check, unless it failed already.
    fn run(&mut self, check: CheckName, run: impl FnOnce() -> Outcome) {
        if !self.names(check)
            && let (Err(_), raced) = race::watch(run)
        {
            self.failed.push(Cell { check, raced });
        }
    }
}

impl Matrix {
    /// Runs every check on every store, each time on a fresh one.
    pub fn run<'a>(stores: impl IntoIterator<Item = &'a FaultyStore>) -> Self {
        let stores: Vec<_> = stores.into_iter().map(|store| (store.name, store)).collect();
        let checks: Vec<_> = CHECKS.iter().map(|check| ((check.group, check.name), check)).collect();
        Self::of(&stores, &checks, |store, check| check.run(&mut *store.fresh()))
    }

    /// Runs every check of snapshot sets on every one of these, each time on a fresh one.
    pub fn run_snapshot_sets<'a>(sets: impl IntoIterator<Item = &'a FaultySnapshotSet>) -> Self {
        let sets: Vec<_> = sets.into_iter().map(|set| (set.name, set)).collect();
        let checks: Vec<_> = SNAPSHOT_SET_CHECKS.iter().map(|check| (("snapshot_set", check.name), check)).collect();
        Self::of(&sets, &checks, |set, check| check.run(&*set.fresh()))
    }

    /// Runs every check of ledgers on every one of these, each time on a fresh one.
    pub fn run_ledgers<'a>(ledgers: impl IntoIterator<Item = &'a FaultyLedger>) -> Self {
        let ledgers: Vec<_> = ledgers.into_iter().map(|ledger| (ledger.name, ledger)).collect();
        let checks: Vec<_> = LEDGER_CHECKS.iter().map(|check| (("ledger", check.name), check)).collect();
        Self::of(&ledgers, &checks, |ledger, check| check.run(&*ledger.fresh()))
    }

    fn of<S: Sync, C: Sync>(
        stores: &[(&'static str, &S)],
        checks: &[(CheckName, &C)],
        run: impl Fn(&S, &C) -> Outcome + Sync,
    ) -> Self {
        let rows = stores.iter().map(|(store, _)| Row { store, failed: Vec::new() }).collect();
        let mut matrix = Self { checks: checks.iter().map(|(name, _)| *name).collect(), rows };
        // A row is one store's, and stores share nothing.
        let waiting = Mutex::new(matrix.rows.iter_mut().zip(stores));
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
                scope.spawn(|| {
                    while let Some((row, (_, store))) = next() {
                        checks.iter().for_each(|(name, check)| row.run(*name, || run(store, check)));
                    }
                });
            }
        });
        for _ in 0..ROUNDS_MAX {
            let unproved = matrix.unproved();
            for (row, (_, store)) in matrix.rows.iter_mut().zip(stores).filter(|(row, _)| row.races()) {
                let wanted = |name: &CheckName| row.failed.is_empty() || unproved.contains(&name.1);
                let again: Vec<_> = checks.iter().filter(|(name, _)| wanted(name)).collect();
                again.into_iter().for_each(|(name, check)| row.run(*name, || run(store, check)));
            }
        }
        matrix
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
        let proved: Vec<_> = counts.flat_map(|row| &row.failed).map(|cell| cell.check).collect();
        self.checks.iter().filter(|check| !proved.contains(check)).map(|(_, name)| *name).collect()
    }
}

impl fmt::Display for Matrix {
    /// Every store with the checks that fail on it, then how many stores each check fails on.
    ///
    /// The same each time: a check that failed because of what threads did at once is neither named nor counted, for it
    /// may pass the next time; a store that only such checks fail on says so, and so does a check that fails so only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} checks, {} faulty stores", self.checks.len(), self.rows.len())?;
        let mut stores_of = BTreeMap::new();
        for Row { store, failed } in &self.rows {
            writeln!(f, "\n{store}")?;
            let always: Vec<_> = failed.iter().filter(|cell| !cell.raced).map(|cell| cell.check).collect();
            if always.is_empty() && !failed.is_empty() {
                writeln!(f, "    when threads race")?;
            }
            for (group, name) in always {
                writeln!(f, "    {group}::{name}")?;
                *stores_of.entry((group, name)).or_insert(0) += 1;
            }
        }
        writeln!(f)?;
        for (group, name) in &self.checks {
            match stores_of.get(&(*group, *name)) {
                Some(stores) => writeln!(f, "{stores:3} {group}::{name}")?,
                None => writeln!(f, "  ~ {group}::{name}")?,
            }
        }
        Ok(())
    }
}
