//! Any sequence of calls, on handles that are closed and opened and whose logs are torn in between, answers what the store in
//! memory answers.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use store_conformance::{Harness, model_test};
use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::{Backend, SegmentId};
use store_fs::FsStore;

use crate::faults::{Plan, open_with};
use crate::support::{Folder, in_parts, options};

/// A store whose logs have parts of at most so many bytes, and the default if that is 0.
struct TornHarness<const PART_BYTES: u64> {
    folder: Folder,
    store: Option<FsStore>,
}

impl<const PART_BYTES: u64> TornHarness<PART_BYTES> {
    fn open(folder: &Folder) -> FsStore {
        let options = if PART_BYTES > 0 { in_parts(PART_BYTES) } else { options() };
        open_with(folder, &Plan::faultless(), &options).unwrap()
    }

    /// The parts of every log, by its segment.
    fn logs(&self) -> BTreeMap<SegmentId, BTreeMap<u32, PathBuf>> {
        let folders = fs::read_dir(self.folder.root()).unwrap().map(|entry| entry.unwrap().path());
        let sessions = folders.filter(|path| path.is_dir() && path.file_name().unwrap().to_str().unwrap().len() == 36);
        let files = sessions.flat_map(|session| fs::read_dir(session).unwrap().map(|entry| entry.unwrap().path()));
        let mut logs: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for path in files {
            let Some(stem) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".jsonl") else { continue };
            let (segment, part) = stem.split_once('.').unwrap_or((stem, "1"));
            if let (Ok(segment), Ok(part)) = (segment.parse(), part.parse()) {
                logs.entry(segment).or_default().insert(part, path);
            }
        }
        logs
    }
}

impl<const PART_BYTES: u64> Harness for TornHarness<PART_BYTES> {
    fn fresh() -> Self {
        let folder = Folder::new();
        let store = Some(Self::open(&folder));
        Self { folder, store }
    }

    fn store(&self) -> &dyn Backend {
        self.store.as_ref().unwrap()
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(Self::open(&self.folder))
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Self::open(&self.folder));
    }

    /// The beginning of a call at the end of a log: a part of its first line, or all of that and a part of the second.
    fn leave_behind(&mut self, dice: u64) {
        let logs = self.logs();
        let Some(at) = dice.checked_rem(logs.len() as u64) else { return };
        let (segment, parts) = logs.iter().nth(usize::try_from(at).unwrap()).unwrap();
        let bytes: Vec<u8> = parts.values().flat_map(|path| fs::read(path).unwrap()).collect();
        let (context, path) = (LogContext::segment(*segment), parts.values().last().unwrap());
        // Whoever writes after a death takes out first what it left, so that nothing is ever torn twice.
        let Some(whole) = bytes.strip_suffix(b"\n") else { return };
        let last = decode_line(&context, whole.rsplit(|byte| *byte == b'\n').next().unwrap()).unwrap();
        if last.more > 0 {
            return;
        }
        let mut call = Vec::new();
        for (more, seq) in [(1, last.seq.next()), (0, last.seq.next().next())] {
            let fields = LineFields { seq, more, key: Some("key 1"), synced: None };
            encode_line(&mut call, &context, &fields, r#"{"kind":"note","ts":1,"text":"of the dead"}"#);
        }
        // Short of the second line's checksum, with which the call would be whole.
        let written = 1 + (dice >> 8) % (call.len() as u64 - 16);
        let torn = &call[..usize::try_from(written).unwrap()];
        OpenOptions::new().append(true).open(path).unwrap().write_all(torn).unwrap();
    }
}

#[test]
fn any_sequence_of_calls_answers_what_the_reference_answers() {
    model_test::<TornHarness<0>>(256);
}

#[test]
fn any_sequence_of_calls_in_parts_of_a_few_entries_answers_what_the_reference_answers() {
    model_test::<TornHarness<600>>(256);
}
