//! Random operations on ledgers in files, with reopens, held against the reference: `cargo run --release --example ledger_model -p store-fs -- 100000 1`.
//!
//! The first argument is how many operations are run, the second a seed. Half of the ledgers have parts, snapshots and runs of a few events.
#![expect(clippy::print_stdout, reason = "what it found is what it is for")]

use std::sync::atomic::{AtomicBool, Ordering};

use store_conformance::{LedgerHarness, run_ledger_operations};
use store_core::ledger::{Clock, Ledger, LedgerResult};
use store_fs::{FsLedger, LedgerOptions};
use tempfile::TempDir;

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
    match run_ledger_operations(std::env::args().skip(1), &|| Box::new(Harness::fresh())) {
        Ok(told) => println!("{told}"),
        Err(failure) => panic!("{failure}"),
    }
}
