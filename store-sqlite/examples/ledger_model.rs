//! Random operations on ledgers in a database, on two handles and with reopens, held against the reference:
//! `cargo run --release --example ledger_model -p store-sqlite -- 100000 1`. The first argument is how many operations are run, the second a seed.
#![expect(clippy::print_stdout, reason = "what it found is what it is for")]

use store_conformance::{LedgerHarness, run_ledger_operations};
use store_core::ledger::{Clock, Ledger, LedgerResult};
use store_sqlite::SqliteLedger;
use tempfile::TempDir;

struct Harness(TempDir);

impl LedgerHarness for Harness {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap_or_else(|error| panic!("a temporary folder: {error}")))
    }

    fn open(&self, clock: &Clock, count: usize) -> LedgerResult<Vec<Box<dyn Ledger>>> {
        let path = self.0.path().join("store.db");
        let open = |_| Ok(Box::new(SqliteLedger::open(&path, clock.clone())?) as Box<dyn Ledger>);
        (0..count).map(open).collect()
    }
}

fn main() {
    match run_ledger_operations(std::env::args().skip(1), &|| Box::new(Harness::fresh())) {
        Ok(told) => println!("{told}"),
        Err(failure) => panic!("{failure}"),
    }
}
