//! The common checks, on a folder.

use store_conformance::{Capability, Harness, conformance_tests};
use store_core::Backend;
use store_fs::{FsOptions, FsStore};
use tempfile::TempDir;

struct FsHarness {
    folder: TempDir,
    store: Option<FsStore>,
}

impl FsHarness {
    fn open(&self) -> FsStore {
        FsStore::open(self.folder.path().join("store"), &FsOptions::at(1_764_000_000_000)).unwrap()
    }
}

impl Harness for FsHarness {
    fn fresh() -> Self {
        let mut harness = Self { folder: tempfile::tempdir().unwrap(), store: None };
        harness.store = Some(harness.open());
        harness
    }

    fn store(&self) -> &dyn Backend {
        self.store.as_ref().unwrap()
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(self.open())
    }

    fn not_offered(&self) -> &[Capability] {
        &[Capability::Integrity, Capability::Damage]
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(self.open());
    }
}

conformance_tests!(FsHarness);
