//! The common checks, on a folder: with logs of one part, and with parts so short that every log of a few entries has several.

use store_conformance::{Capability, Harness, conformance_tests};
use store_core::Backend;
use store_fs::{FsOptions, FsStore};
use tempfile::TempDir;

/// A store whose parts have at most so many bytes, and the default if that is 0.
struct FsHarness<const PART_BYTES: u64> {
    folder: TempDir,
    store: Option<FsStore>,
}

impl<const PART_BYTES: u64> FsHarness<PART_BYTES> {
    fn open(&self) -> FsStore {
        let mut options = FsOptions::at(1_764_000_000_000);
        if PART_BYTES > 0 {
            options.max_part_bytes = PART_BYTES;
        }
        FsStore::open(self.folder.path().join("store"), &options).unwrap()
    }
}

impl<const PART_BYTES: u64> Harness for FsHarness<PART_BYTES> {
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

type OnePart = FsHarness<0>;

conformance_tests!(OnePart);

mod in_parts {
    //! Every check, in parts of a few entries.

    use store_conformance::conformance_tests;

    type InParts = super::FsHarness<2048>;

    conformance_tests!(InParts);
}

mod in_parts_of_a_call {
    //! Every check, with a part for every call.

    use store_conformance::conformance_tests;

    type InPartsOfACall = super::FsHarness<1>;

    conformance_tests!(InPartsOfACall);
}
