//! Syncs that fail, made to fail by the machine's tracer.

use std::process::{Command, Stdio};

use store_core::{AppendOptions, Durability, Store as _, StoreError};
use store_sqlite::SqliteStore;

use crate::support::{Folder, SEGMENT, SESSION, fill, quiet};

const DATABASE: &str = "STORE_SQLITE_TEST_SYNC_DATABASE";
const CALLS: u64 = 6;

fn append(store: &SqliteStore, ts: u64, durability: Durability) -> store_core::Result<u64> {
    let options = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
    Ok(store.append_with(SESSION, SEGMENT, &[quiet(ts)], &options)?[0].seq.0)
}

fn is_failed_sync<T>(result: &store_core::Result<T>) -> bool {
    matches!(result, Err(StoreError::Io { op: "sync", .. }))
}

/// Writes beside a tracer that lets one of its syncs fail. By itself none fails.
#[test]
fn a_process_writes_through_a_sync_that_may_fail() {
    let own = Folder::new();
    let given = std::env::var_os(DATABASE);
    if given.is_none() {
        fill(&own.open(), 1);
    }
    let database = given.as_ref().map_or_else(|| own.database(), Into::into);
    let store = SqliteStore::open(&database).unwrap();
    let beside = SqliteStore::open(&database).unwrap();
    let mut acknowledged = 0;
    let failed = (0..CALLS).find(|ts| {
        let durability = if ts % 2 == 0 { Durability::Buffered } else { Durability::Synced };
        let answer = append(&store, *ts, durability);
        assert!(answer.is_ok() || is_failed_sync(&answer), "{answer:?}");
        acknowledged += u64::from(answer.is_ok());
        answer.is_err()
    });
    if failed.is_some() {
        // The next sync would succeed, and say nothing about what the failed one lost.
        for handle in [&store, &beside] {
            for durability in [Durability::Synced, Durability::Buffered] {
                let answer = append(handle, 100, durability);
                assert!(is_failed_sync(&answer), "{answer:?}");
            }
            assert!(is_failed_sync(&handle.put_blob(b"bytes")));
            let count = handle.read_entry_count(SESSION, SEGMENT).unwrap();
            assert!((1 + acknowledged..=2 + acknowledged).contains(&count), "reading goes on: {count}");
        }
        let late = SqliteStore::open(&database).unwrap();
        assert!(is_failed_sync(&append(&late, 100, Durability::Buffered)), "also for who opens it beside them");
        drop((late, store, beside));
        let anew = SqliteStore::open(&database).unwrap();
        assert!(append(&anew, 200, Durability::Synced).unwrap() >= 2 + acknowledged);
    } else {
        assert_eq!(acknowledged, CALLS);
    }
    if given.is_some() {
        tell(if failed.is_some() { "a sync failed" } else { "no sync failed" });
    }
}

#[expect(clippy::print_stdout, reason = "a process tells its parent on its standard output")]
fn tell(what: &str) {
    println!("told: {what}");
}

fn traced(fails: &str, program: &[&std::ffi::OsStr], folder: &Folder) -> std::io::Result<std::process::Output> {
    Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e"])
        .arg(format!("inject=fsync,fdatasync:error=EIO:when={fails}"))
        .args(program)
        .env(DATABASE, folder.database())
        .stdin(Stdio::null())
        .output()
}

#[test]
fn after_a_failed_sync_no_handle_of_the_process_writes() {
    let folder = Folder::new();
    if !traced("1", &["true".as_ref()], &folder).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine has no strace that may trace");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let test = "syncs::a_process_writes_through_a_sync_that_may_fail";
    let program = [this.as_os_str(), "--exact".as_ref(), test.as_ref(), "--nocapture".as_ref()];
    let mut failures = 0;
    for call in 1..=6 {
        let folder = Folder::new();
        fill(&folder.open(), 1);
        let output = traced(&call.to_string(), &program, &folder).unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "sync {call}: {words}{}", String::from_utf8_lossy(&output.stderr));
        failures += u32::from(words.contains("told: a sync failed"));
        let count = folder.open().read_all(SESSION, SEGMENT).unwrap().len();
        assert!(count > 1, "sync {call}: {count} entries");
    }
    assert!(failures >= 3, "{failures} of 6 processes saw a sync fail");
}
