//! Random operations on ledgers in a database, on two handles and with reopens, held against the reference:
//! `cargo run --release --example ledger_model -p store-sqlite -- 100000 1`. The first argument is how many operations are run, the second a seed.
#![expect(clippy::print_stdout, reason = "what it found is what it is for")]

use store_conformance::{LedgerHarness, run_ledger_model};
use store_core::ledger::{Clock, Ledger, LedgerResult};
use store_sqlite::SqliteLedger;
use tempfile::TempDir;

/// How many operations a sequence has.
const CALLS: usize = 40;

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
    let mut arguments = std::env::args().skip(1).map(|number| number.parse::<u64>().ok());
    let operations = arguments.next().flatten().unwrap_or(100_000);
    let seed = arguments.next().flatten().unwrap_or(1);
    let cases = u32::try_from(operations.div_ceil(CALLS as u64)).unwrap_or(u32::MAX);
    if let Err(failure) = run_ledger_model(&|| Box::new(Harness::fresh()), cases, CALLS..=CALLS, seed) {
        panic!("{failure}");
    }
    println!(
        "{} operations in {cases} sequences, seed {seed}: every answer is the reference's",
        u64::from(cases) * CALLS as u64
    );
}
