//! Any sequence of calls, on handles that are closed and opened and whose logs are torn in between, answers what the store in
//! memory answers.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use store_conformance::{Harness, model_test};
use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::{Backend, SegmentId};
use store_fs::FsStore;

use crate::faults::open_without_syncs;
use crate::support::Folder;

struct TornHarness {
    folder: Folder,
    store: Option<FsStore>,
}

impl TornHarness {
    /// Every log, with its segment.
    fn logs(&self) -> Vec<(SegmentId, PathBuf)> {
        let folders = fs::read_dir(self.folder.root()).unwrap().map(|entry| entry.unwrap().path());
        let sessions = folders.filter(|path| path.is_dir() && path.file_name().unwrap().to_str().unwrap().len() == 36);
        let files = sessions.flat_map(|session| fs::read_dir(session).unwrap().map(|entry| entry.unwrap().path()));
        let mut logs: Vec<_> = files
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
                Some((name.parse().ok()?, path))
            })
            .collect();
        logs.sort();
        logs
    }
}

impl Harness for TornHarness {
    fn fresh() -> Self {
        let folder = Folder::new();
        let store = Some(open_without_syncs(&folder));
        Self { folder, store }
    }

    fn store(&self) -> &dyn Backend {
        self.store.as_ref().unwrap()
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(open_without_syncs(&self.folder))
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(open_without_syncs(&self.folder));
    }

    /// The beginning of a call at the end of a log: a part of its first line, or all of that and a part of the second.
    fn leave_behind(&mut self, dice: u64) {
        let logs = self.logs();
        let Some(at) = dice.checked_rem(logs.len() as u64) else { return };
        let (segment, path) = &logs[usize::try_from(at).unwrap()];
        let (context, bytes) = (LogContext::segment(*segment), fs::read(path).unwrap());
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
    model_test::<TornHarness>(256);
}
