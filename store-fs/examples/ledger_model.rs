//! Random operations on ledgers in files, with reopens, held against the reference: `cargo run --release --example ledger_model -p store-fs -- 100000 1`.
//!
//! The first argument is how many operations are run, the second a seed. Half of the ledgers have parts, snapshots and runs of a few events.
#![expect(clippy::print_stdout, reason = "what it found is what it is for")]

use std::sync::atomic::{AtomicBool, Ordering};

use store_conformance::{LedgerHarness, run_ledger_model};
use store_core::ledger::{Clock, Ledger, LedgerResult};
use store_fs::{FsLedger, LedgerOptions};
use tempfile::TempDir;

/// How many operations a sequence has.
const CALLS: usize = 40;

/// Whether the next ledger is one that does early what large ones do.
static SMALL: AtomicBool = AtomicBool::new(false);

struct Harness {
    folder: TempDir,
    small: bool,
}

impl LedgerHarness for Harness {
    fn fresh() -> Self {
        let small = SMALL.fetch_xor(true, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a temporary folder: {error}"));
        Self { folder, small }
    }

    fn open(&self, clock: &Clock, count: usize) -> LedgerResult<Vec<Box<dyn Ledger>>> {
        let mut options = LedgerOptions::new(clock.clone());
        if self.small {
            options = LedgerOptions { snapshot_every: 4, keys_held_max: 4, max_part_bytes: 700, ..options };
        }
        let ledger = FsLedger::open(self.folder.path(), &options)?;
        Ok((0..count).map(|_| Box::new(ledger.clone()) as Box<dyn Ledger>).collect())
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
