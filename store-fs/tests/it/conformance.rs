//! The common checks, on a folder: with logs of one part, and with parts so short that every log of a few entries has several.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use store_conformance::{Harness, conformance_tests};
use store_core::{Backend, FactScope, SegmentId, Seq, SessionId};
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

    fn damage(&mut self, session: SessionId, segment: SegmentId, seq: Seq) -> bool {
        let folder = self.folder.path().join("store").join(session.to_string());
        let parts =
            std::iter::once(format!("{segment}.jsonl")).chain((2..).map(|part| format!("{segment}.{part}.jsonl")));
        parts.map(|name| folder.join(name)).take_while(|path| path.exists()).any(|path| flip(&path, seq))
    }

    fn damage_fact(&mut self, scope: FactScope, number: u64) -> bool {
        let root = self.folder.path().join("store");
        let folder = match scope {
            FactScope::Session(session) => root.join(session.to_string()),
            FactScope::Store => root,
        };
        flip(&folder.join("facts.jsonl"), Seq(number))
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(self.open());
    }
}

/// Flips a bit of the last byte of the text of the line with this seq, if the file has one.
fn flip(path: &Path, seq: Seq) -> bool {
    let mut bytes = fs::read(path).unwrap();
    let opens = format!(r#"{{"seq":{seq},"#);
    let mut start = 0;
    for line in bytes.clone().split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(opens.as_bytes()) {
            let close = line.windows(11).rposition(|window| window == br#","crc32c":""#).unwrap();
            bytes[start + close - 1] ^= 1;
            // A sealed part cannot be opened for writing.
            let mode = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
            fs::write(path, &bytes).unwrap();
            fs::set_permissions(path, mode).unwrap();
            return true;
        }
        start += line.len();
    }
    false
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
