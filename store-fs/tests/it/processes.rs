//! Several processes on one store: this test binary started again, with its task in the environment.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use store_core::{AppendOptions, NewEntry, Store as _, StoreError};
use store_fs::FsStore;

use crate::support::{Folder, append, create, names, note, note_texts, options, segment, session, texts};

const ROOT: &str = "STORE_FS_TEST_ROOT";
const FIRST: &str = "STORE_FS_TEST_FIRST";
const CALLS: u64 = 100;

fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads", "1"]).stdout(Stdio::null());
    command
}

fn append_from(store: &FsStore, first: u64) {
    for n in first..first + CALLS {
        let keyed = [note(2 * n).with_key(format!("{n}")), note(2 * n + 1)];
        store.append_with(session(1), segment(1), &keyed, &AppendOptions::default()).unwrap();
    }
}

/// In a process of its own: appends what it is told to. By itself: appends to a store of its own.
#[test]
fn a_process_appends_its_share() {
    let own = Folder::new();
    let root = std::env::var_os(ROOT).map(PathBuf::from);
    if root.is_none() {
        create(&own.open(), 1);
    }
    let store = FsStore::open(root.unwrap_or_else(|| own.root()), &options()).unwrap();
    let first = std::env::var(FIRST).map_or(0, |first| first.parse().unwrap());
    append_from(&store, first);
    assert!(store.read_entry_count(session(1), segment(1)).unwrap() > 2 * CALLS);
}

#[test]
fn processes_and_threads_write_one_log_without_losing_or_mixing_anything() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let firsts = [1_000, 2_000, 3_000];
    let children: Vec<Child> = firsts
        .iter()
        .map(|first| {
            let mut command = child("processes::a_process_appends_its_share");
            command.env(ROOT, folder.root()).env(FIRST, first.to_string()).spawn().unwrap()
        })
        .collect();
    append_from(&store, 0);
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let all = texts(&store, 1).unwrap();
    assert_eq!(all.len() as u64, 4 * 2 * CALLS);
    for first in [0, 1_000, 2_000, 3_000] {
        let own = note_texts(&(2 * first..2 * (first + CALLS)).collect::<Vec<_>>());
        let mut places = own.iter().map(|text| all.iter().position(|other| other == text).unwrap());
        let mut last = None;
        while let (Some(even), Some(odd)) = (places.next(), places.next()) {
            assert_eq!(odd, even + 1, "a call was torn apart");
            assert!(last < Some(even), "calls of one process are out of order");
            last = Some(even);
        }
    }
    // Every key is known to a handle that wrote only some of them.
    let again = [note(4_000).with_key("2000")];
    let positions = store.append_with(session(1), segment(1), &again, &AppendOptions::default()).unwrap();
    assert!(positions[0].seq.0 <= 4 * 2 * CALLS + 1);
    assert_eq!(names(&folder.root().join("live")).len(), 1, "only this process's entry is left");
}

/// In a process whose files may have 8 KiB at most: fills a log until it is full. By itself: fills one by a little.
#[test]
fn a_process_fills_its_log() {
    let own = Folder::new();
    let root = std::env::var_os(ROOT).map(PathBuf::from);
    let limited = root.is_some();
    if root.is_none() {
        create(&own.open(), 1);
    }
    let store = FsStore::open(root.unwrap_or_else(|| own.root()), &options()).unwrap();
    let big = NewEntry::text(format!(r#"{{"kind":"note","ts":1,"pad":"{}"}}"#, "x".repeat(999)));
    let mut written = 0;
    let full = (0..20).find_map(|_| {
        let done = store.append_with(session(1), segment(1), std::slice::from_ref(&big), &AppendOptions::default());
        written += u64::from(done.is_ok());
        done.err()
    });
    assert_eq!(store.read_all(session(1), segment(1)).unwrap().len() as u64, 1 + written);
    if limited {
        assert!(matches!(&full, Some(StoreError::NoSpace { path: Some(_) })), "{full:?}");
        assert!((3..8).contains(&written), "{written}");
        append(&store, 1, &[1]).unwrap();
    } else {
        assert!(full.is_none(), "{full:?}");
    }
}

#[test]
fn a_log_that_may_not_grow_is_usable_as_soon_as_it_may() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    let limited = child("processes::a_process_fills_its_log");
    let mut shell = Command::new("sh");
    // Blocks of 512 bytes; with the signal ignored, a write over the limit is an error.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""]).stdout(Stdio::null());
    shell.arg(limited.get_program()).args(limited.get_args()).env(ROOT, folder.root());
    assert!(shell.status().unwrap().success());
    let store = folder.open();
    let before = texts(&store, 1).unwrap();
    append(&store, 1, &[2]).unwrap();
    assert_eq!(texts(&store, 1).unwrap(), [before, note_texts(&[2])].concat());
}

/// In a process of its own: writes and waits to be killed. By itself: writes.
#[test]
fn a_process_writes_until_it_is_killed() {
    let Some(root) = std::env::var_os(ROOT) else {
        let own = Folder::new();
        let store = own.open();
        create(&store, 1);
        append(&store, 1, &[1]).unwrap();
        assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1]));
        return;
    };
    let store = FsStore::open(PathBuf::from(root), &options()).unwrap();
    for n in 0.. {
        append(&store, 1, &[3 * n, 3 * n + 1, 3 * n + 2]).unwrap();
    }
}

#[test]
fn a_killed_process_leaves_whole_calls_and_names_what_it_changed() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    for _ in 0..5 {
        let cursor = store.changes(None).unwrap().cursor;
        let reader = folder.open_read_only();
        let before = texts(&reader, 1).unwrap().len();
        let mut writer = child("processes::a_process_writes_until_it_is_killed");
        let mut writer = writer.env(ROOT, folder.root()).spawn().unwrap();
        while texts(&reader, 1).unwrap().len() < before + 60 {
            assert!(writer.try_wait().unwrap().is_none(), "the writer stopped by itself");
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let after = texts(&reader, 1).unwrap();
        assert_eq!(after.len() % 3, 0);
        assert_eq!(after[before..], note_texts(&(0..(after.len() - before) as u64).collect::<Vec<_>>()));
        assert_eq!(store.changes(Some(&cursor)).unwrap().segments, [(session(1), segment(1))]);
        let extra = append(&store, 1, &[7, 8, 9]).unwrap();
        assert_eq!(extra[0].seq.0, after.len() as u64 + 2);
    }
}

/// A process that was just being started had a copy of the lock's descriptor, and a store that had been closed was still locked.
#[test]
fn a_closed_store_is_free_while_other_threads_start_processes() {
    let folder = Folder::new();
    let closed = AtomicBool::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !closed.load(Ordering::Relaxed) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
        }
        let locked =
            (0..1000).find_map(|n| FsStore::open_exclusive(folder.root(), &options()).err().map(|error| (n, error)));
        closed.store(true, Ordering::Relaxed);
        assert!(locked.is_none(), "{locked:?}");
    });
}
