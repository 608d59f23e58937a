//! Which check fails on which faulty store.

use crate::CHECKS;
use crate::faulty::FaultyStore;

/// The outcome of every check on some faulty stores.
#[derive(Clone, Debug)]
pub struct Matrix {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    store: &'static str,
    failed: Vec<&'static str>,
}

impl Matrix {
    /// Runs every check on every store, each time on a fresh one.
    pub fn run(stores: &[FaultyStore]) -> Self {
        let rows = stores.iter().map(|store| {
            let failed = CHECKS.iter().filter(|check| check.run(&mut *store.fresh()).is_err());
            Row { store: store.name, failed: failed.map(|check| check.name).collect() }
        });
        Self { rows: rows.collect() }
    }
}
