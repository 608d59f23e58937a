//! Tails and leases on a real database: what they keep open, what they leave, and what the death of a process leaves.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use store_core::{
    AppendOptions, LeaseHolder, NewEntry, Seq, Store as _, StoreError, Tail, TailEvent, TailFrom, Watch as _,
};
use store_sqlite::SqliteStore;

use crate::support::{Folder, SEGMENT, SESSION, fill, input, quiet};

const DATABASE: &str = "STORE_SQLITE_TEST_DATABASE";
/// More than any event takes; a test that waits this long has failed.
const WAIT: Duration = Duration::from_secs(60);
const CALLS: usize = 50;
const NOW: u64 = 1_764_000_000_000;

fn follow(store: &SqliteStore, from: TailFrom) -> Box<dyn Tail> {
    store.tail(SESSION, SEGMENT, from).unwrap()
}

fn seqs(tail: &mut dyn Tail) -> Vec<u64> {
    match tail.next(Duration::ZERO).unwrap() {
        TailEvent::Records(records) => records.iter().map(|record| record.position.seq.0).collect(),
        TailEvent::Nothing => Vec::new(),
        TailEvent::Stopped => panic!("nobody stopped it"),
    }
}

fn lease_file(folder: &Folder) -> PathBuf {
    folder.beside(".leases").join(SEGMENT.to_string())
}

fn clock_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// This test binary again, with only `test`, on this database.
fn child(test: &str, folder: &Folder) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads", "1"]).env(DATABASE, folder.database());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_tail_reads_beside_a_transaction_that_is_not_over() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 2);
    let mut tail = follow(&store, TailFrom::Start);
    let other = folder.raw();
    other.execute_batch("BEGIN IMMEDIATE; UPDATE segments SET change = change + 1").unwrap();
    assert_eq!(seqs(&mut *tail), [1, 2]);
    assert_eq!(seqs(&mut *tail), [] as [u64; 0]);
    other.execute_batch("ROLLBACK").unwrap();
    store.append(SESSION, SEGMENT, &input(3)).unwrap();
    assert_eq!(seqs(&mut *tail), [3]);
}

#[test]
fn a_tail_keeps_nobody_from_having_the_store_alone() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 2);
    let mut tail = follow(&store, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1, 2]);
    drop(store);
    let alone = SqliteStore::open_exclusive(folder.database()).unwrap();
    alone.append(SESSION, SEGMENT, &input(3)).unwrap();
    assert_eq!(seqs(&mut *tail), [3]);
    drop(alone);
    assert_eq!(seqs(&mut *tail), [] as [u64; 0]);
    folder.open().append(SESSION, SEGMENT, &input(4)).unwrap();
    assert_eq!(seqs(&mut *tail), [4]);
}

#[test]
fn a_tail_of_a_handle_that_only_reads_writes_nothing() {
    let folder = Folder::new();
    fill(&folder.open(), 2);
    fs::remove_file(folder.beside(".lock")).unwrap();
    let before = folder.names();
    let reader = SqliteStore::open_read_only(folder.database()).unwrap();
    let mut tail = follow(&reader, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1, 2]);
    assert_eq!(reader.leased(SESSION, SEGMENT).unwrap(), None);
    let refused = reader.lease(SESSION, SEGMENT, "reader", NOW);
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    assert_eq!(folder.names(), before);
    let store = folder.open();
    store.append(SESSION, SEGMENT, &input(3)).unwrap();
    assert_eq!(seqs(&mut *tail), [3]);
    let held = store.lease(SESSION, SEGMENT, "writer", NOW).unwrap();
    assert_eq!(reader.leased(SESSION, SEGMENT).unwrap().as_ref(), Some(held.holder()));
}

#[test]
fn a_tail_does_not_follow_a_database_that_was_put_in_its_place() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 2);
    let mut tail = follow(&store, TailFrom::Start);
    fs::rename(folder.database(), folder.beside(".away")).unwrap();
    let gone = tail.next(Duration::ZERO);
    assert!(matches!(gone, Err(StoreError::Io { .. })), "{gone:?}");
    fs::copy(folder.beside(".away"), folder.database()).unwrap();
    let replaced = tail.next(Duration::ZERO);
    assert!(matches!(replaced, Err(StoreError::NotAStore { .. })), "{replaced:?}");
}

#[test]
fn a_segment_that_lost_its_last_rows_has_diverged_and_one_that_lost_others_is_damaged() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 4);
    let mut tail = follow(&store, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1, 2, 3, 4]);
    let rolled_back = "DELETE FROM entries WHERE seq > 2; UPDATE segments SET entry_count = 2, change = change + 100";
    folder.raw().execute_batch(rolled_back).unwrap();
    match tail.next(Duration::ZERO) {
        Err(StoreError::Diverged { expected, actual: None, .. }) => assert_eq!(expected.seq, Seq(4)),
        other => panic!("{other:?}"),
    }
    let mut tail = follow(&store, TailFrom::Start);
    folder.raw().execute_batch("DELETE FROM entries WHERE seq = 1; UPDATE segments SET change = change + 1").unwrap();
    let damaged = tail.next(Duration::ZERO);
    assert!(matches!(damaged, Err(StoreError::Corrupt(_))), "{damaged:?}");
}

#[test]
fn a_lease_is_a_private_file_beside_the_database_and_goes_with_it() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    let held = store.lease(SESSION, SEGMENT, "agent \"7\"\n", NOW).unwrap();
    let host = held.holder().host.clone().map(|host| format!(r#","host":"{host}""#)).unwrap_or_default();
    let text = format!("{{\"holder\":\"agent \\\"7\\\"\\n\"{host},\"since\":{NOW}}}\n");
    assert_eq!(fs::read_to_string(lease_file(&folder)).unwrap(), text);
    assert_eq!(fs::metadata(lease_file(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(folder.beside(".leases")).unwrap().permissions().mode() & 0o777, 0o700);
    drop(held);
    assert!(!lease_file(&folder).exists());
}

#[test]
fn the_text_of_a_lease_means_nothing_without_its_lock() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    fs::create_dir(folder.beside(".leases")).unwrap();
    for leftover in ["{\"holder\":\"a process that died\",\"since\":1}\n", "", "no JSON"] {
        fs::write(lease_file(&folder), leftover).unwrap();
        assert_eq!(store.leased(SESSION, SEGMENT).unwrap(), None, "{leftover:?}");
        drop(store.lease(SESSION, SEGMENT, "writer", NOW).unwrap());
        assert!(!lease_file(&folder).exists());
    }
    fs::write(lease_file(&folder), "{\"holder\":\"a process that died\"}").unwrap();
    store.delete_session(SESSION).unwrap();
    assert!(!lease_file(&folder).exists());
}

#[test]
fn a_lease_whose_holder_says_nothing_is_held_by_somebody_unknown() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    fs::create_dir(folder.beside(".leases")).unwrap();
    let silent = File::create(lease_file(&folder)).unwrap();
    silent.lock().unwrap();
    assert_eq!(store.leased(SESSION, SEGMENT).unwrap(), Some(LeaseHolder::default()));
    match store.lease(SESSION, SEGMENT, "writer", NOW) {
        Err(StoreError::Busy { holder, host: None, since: None }) => assert_eq!(holder, ""),
        other => panic!("{other:?}"),
    }
    drop(silent);
    drop(store.lease(SESSION, SEGMENT, "writer", NOW).unwrap());
}

#[test]
fn symbolic_links_in_place_of_leases_are_refused() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder.beside(".leases")).unwrap();
    let refused = store.lease(SESSION, SEGMENT, "writer", NOW);
    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(folder.beside(".leases")).unwrap();
    fs::create_dir(folder.beside(".leases")).unwrap();
    let file = elsewhere.join("file");
    fs::write(&file, "untouched").unwrap();
    std::os::unix::fs::symlink(&file, lease_file(&folder)).unwrap();
    let refused = store.lease(SESSION, SEGMENT, "writer", NOW);
    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "untouched");
}

/// In a process of its own: takes a lease and holds it until it is killed. By itself: takes one and gives it up.
#[test]
fn a_process_holds_a_lease_until_it_is_killed() {
    let Some(database) = std::env::var_os(DATABASE) else {
        let own = Folder::new();
        let store = own.open();
        fill(&store, 1);
        assert_eq!(store.lease(SESSION, SEGMENT, "child", 7).unwrap().holder().since, Some(7));
        return;
    };
    let store = SqliteStore::open(database).unwrap();
    let _held = store.lease(SESSION, SEGMENT, "child", 7).unwrap();
    // Until the other end of the pipe is closed, which is when this process is dead.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn the_lease_of_a_killed_process_is_free_at_once() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    for round in 2..7 {
        let mut writer = child("watch::a_process_holds_a_lease_until_it_is_killed", &folder);
        let holder = loop {
            assert!(writer.try_wait().unwrap().is_none(), "the writer stopped by itself");
            match store.leased(SESSION, SEGMENT).unwrap() {
                Some(holder) => break holder,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!((holder.holder.as_str(), holder.since), ("child", Some(7)));
        match store.lease(SESSION, SEGMENT, "parent", NOW) {
            Err(StoreError::Busy { holder, since: Some(7), .. }) => assert_eq!(holder, "child"),
            other => panic!("{other:?}"),
        }
        let refused = store.delete_session(SESSION);
        assert!(matches!(refused, Err(StoreError::Busy { .. })), "{refused:?}");
        store.append(SESSION, SEGMENT, &input(round)).unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(store.leased(SESSION, SEGMENT).unwrap(), None);
        drop(store.lease(SESSION, SEGMENT, "parent", NOW).unwrap());
    }
}

/// An entry that says when it was appended.
fn timed() -> NewEntry {
    quiet(clock_ms())
}

/// In a process of its own: appends a call whenever it is told to. By itself: appends some.
#[test]
fn a_process_appends_when_it_is_told_to() {
    let own = Folder::new();
    let database = std::env::var_os(DATABASE).map(PathBuf::from);
    let alone = database.is_none();
    if alone {
        fill(&own.open(), 1);
    }
    let store = SqliteStore::open(database.unwrap_or_else(|| own.database())).unwrap();
    let mut told = [0];
    while alone || std::io::stdin().read(&mut told).unwrap() == 1 {
        let done = store.append_with(SESSION, SEGMENT, &[timed(), timed()], &AppendOptions::default()).unwrap();
        if alone && done[1].seq.0 > 10 {
            return;
        }
    }
}

#[test]
fn a_tail_follows_a_writer_in_another_process() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    let mut tail = follow(&store, TailFrom::End);
    let mut writer = child("watch::a_process_appends_when_it_is_told_to", &folder);
    let mut tell = writer.stdin.take().unwrap();
    let mut delays = Vec::new();
    let mut last = tail.position();
    for _ in 0..CALLS {
        tell.write_all(b"+").unwrap();
        let TailEvent::Records(records) = tail.next(WAIT).unwrap() else { panic!("nothing came") };
        assert_eq!(records.iter().map(|r| r.position.seq.0).collect::<Vec<_>>(), [last.seq.0 + 1, last.seq.0 + 2]);
        delays.push(clock_ms().saturating_sub(records[0].entry.ts()));
        last = records[1].position;
    }
    drop(tell);
    assert!(writer.wait().unwrap().success());
    assert_eq!(tail.next(Duration::ZERO).unwrap(), TailEvent::Nothing);
    delays.sort_unstable();
    println!(
        "appended by another process, seen after {} ms in the middle, {:?} ms at most",
        delays[CALLS / 2],
        delays.last()
    );
}
