//! What a process needs for a log does not grow with the log: this test binary started again, for a short log and for a long one.

use std::process::{Command, Stdio};
use std::time::Duration;

use store_core::integrity::{VerifyOptions, verify};
use store_core::{AppendOptions, Durability, NewEntry, Position, Seq, Store as _, TailEvent, TailFrom, Watch as _};
use store_fs::FsStore;

use crate::support::{Folder, create, in_parts, note, segment, session};

const CALLS: &str = "STORE_FS_TEST_CALLS";
const CALL_ENTRIES: u64 = 500;
/// What is put aside of a long log's keys has a filter of 1 MiB and buffers; a map of all keys grew by 16 MB here.
const GROWTH_KIB_MAX: u64 = 6 * 1024;

/// The most memory that this process has had, where the system tells it.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

fn append_call(store: &FsStore, call: u64) -> Vec<Position> {
    let first = call * CALL_ENTRIES;
    let entries: Vec<NewEntry> =
        (first..first + CALL_ENTRIES).map(|n| note(n).with_key(format!("record-{n}#0"))).collect();
    let options = AppendOptions { durability: Some(Durability::Buffered), ..AppendOptions::default() };
    store.append_with(session(1), segment(1), &entries, &options).unwrap()
}

/// In a process of its own: does to a log as long as it is told to what may be done to any.
#[test]
fn a_process_writes_follows_and_verifies_a_log() {
    let calls: u64 = std::env::var(CALLS).map_or(3, |calls| calls.parse().unwrap());
    let folder = Folder::new();
    let open = || FsStore::open(folder.root(), &in_parts(4 << 20)).unwrap();
    let store = open();
    create(&store, 1);
    for call in 0..calls {
        append_call(&store, call);
    }
    drop(store);
    let store = open();
    let again = append_call(&store, 0);
    assert_eq!(
        again.iter().map(|position| position.seq.0).collect::<Vec<_>>(),
        (2..CALL_ENTRIES + 2).collect::<Vec<_>>()
    );
    let entries = store.read_entry_count(session(1), segment(1)).unwrap();
    assert_eq!(entries, calls * CALL_ENTRIES + 1);
    let mut tail = store.tail(session(1), segment(1), TailFrom::Start).unwrap();
    while tail.position().seq < Seq(entries) {
        assert!(matches!(tail.next(Duration::ZERO).unwrap(), TailEvent::Records(_)));
    }
    let report = verify(&store, &VerifyOptions::default(), &|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(report.ok && report.entries == entries, "{report:?}");
    if let Some(peak) = peak_kib() {
        println!("peak={peak}");
    }
}

fn peak_of(calls: u64) -> Option<u64> {
    let test = "memory::a_process_writes_follows_and_verifies_a_log";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CALLS, calls.to_string()).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said.lines().find_map(|line| line.split_once("peak=")?.1.trim().parse().ok())
}

#[test]
fn memory_does_not_grow_with_a_log() {
    let (Some(short), Some(long)) = (peak_of(40), peak_of(480)) else {
        eprintln!("skipped: the system does not tell how much memory a process has had");
        return;
    };
    assert!(long < short + GROWTH_KIB_MAX, "{short} KiB for 20,000 entries, {long} KiB for 240,000");
}
