//! Tails and leases on real files: what they do to the log's lock and the folder, and what the death of a process leaves.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use store_core::{
    AppendOptions, LeaseHolder, NewEntry, Position, Seq, Store as _, StoreError, Tail, TailEvent, TailFrom, Watch as _,
};
use store_fs::FsStore;

use crate::support::{Folder, NOW, append, create, names, note_text, options, segment, session};

const ROOT: &str = "STORE_FS_TEST_ROOT";
/// More than any event takes; a test that waits this long has failed.
const WAIT: Duration = Duration::from_secs(60);
const CALLS: usize = 50;

fn follow(store: &FsStore, from: TailFrom) -> Box<dyn Tail> {
    store.tail(session(1), segment(1), from).unwrap()
}

fn seqs(tail: &mut dyn Tail) -> Vec<u64> {
    match tail.next(Duration::ZERO).unwrap() {
        TailEvent::Records(records) => records.iter().map(|record| record.position.seq.0).collect(),
        TailEvent::Nothing => Vec::new(),
        TailEvent::Stopped => panic!("nobody stopped it"),
    }
}

fn lease_file(folder: &Folder) -> PathBuf {
    folder.log(1).with_extension("lease")
}

fn append_raw(path: &PathBuf, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn clock_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// This test binary again, with only `test`, on this folder.
fn child(test: &str, folder: &Folder) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads", "1"]).env(ROOT, folder.root());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_tail_needs_no_lock() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    append(&store, 1, &[1, 2]).unwrap();
    let writer = File::open(folder.log(1)).unwrap();
    writer.lock().unwrap();
    let mut tail = follow(&store, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1, 2, 3]);
    // Readers of the store look at what seems damaged once more under the lock. A tail looks without it.
    append_raw(&folder.log(1), b"{\"seq\":4,\"crc32c\":\"00000000\"}\n");
    for _ in 0..2 {
        let answer = tail.next(Duration::ZERO);
        assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
    }
    drop(writer);
}

#[test]
fn a_torn_tail_that_makes_way_for_a_line_of_its_length_is_noticed() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    let mut tail = follow(&store, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1, 2]);
    let before = fs::metadata(folder.log(1)).unwrap().len();
    append(&store, 1, &[2]).unwrap();
    let line = usize::try_from(fs::metadata(folder.log(1)).unwrap().len() - before).unwrap();
    assert_eq!(seqs(&mut *tail), [3]);
    append_raw(&folder.log(1), &vec![b'x'; line]);
    let torn = fs::metadata(folder.log(1)).unwrap().len();
    assert_eq!(seqs(&mut *tail), [] as [u64; 0]);
    append(&store, 1, &[3]).unwrap();
    assert_eq!(fs::metadata(folder.log(1)).unwrap().len(), torn, "the line is as long as the torn one was");
    assert_eq!(seqs(&mut *tail), [4]);
}

#[test]
fn a_tail_stops_before_what_a_power_loss_left_and_goes_on_when_it_was_taken_out() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    append_raw(&folder.log(1), &[0; 8192]);
    let mut tail = follow(&store, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1, 2]);
    assert_eq!(seqs(&mut *tail), [] as [u64; 0]);
    append(&store, 1, &[2]).unwrap();
    assert_eq!(seqs(&mut *tail), [3]);
}

/// Puts another file in the log's place that holds these of its lines.
fn replace_log(folder: &Folder, lines: impl Fn(usize, &str) -> bool) {
    let text = fs::read_to_string(folder.log(1)).unwrap();
    let kept: String =
        text.split_inclusive('\n').enumerate().filter(|(n, line)| lines(*n, line)).map(|(_, line)| line).collect();
    let new = folder.root().join("new");
    fs::write(&new, kept).unwrap();
    fs::rename(&new, folder.log(1)).unwrap();
}

#[test]
fn a_log_that_was_replaced_is_followed_as_far_as_it_says_the_same() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let mut tail = follow(&store, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1]);
    let kept = append(&store, 1, &[1]).unwrap()[0];
    assert_eq!(seqs(&mut *tail), [2]);
    append(&store, 1, &[2]).unwrap();
    assert_eq!(seqs(&mut *tail), [3]);
    replace_log(&folder, |_, _| true);
    append(&store, 1, &[3]).unwrap();
    assert_eq!(seqs(&mut *tail), [4], "the same lines in another file");

    replace_log(&folder, |n, _| n < 2);
    for grown in [None, Some(4), Some(5)] {
        if let Some(note) = grown {
            append(&store, 1, &[note]).unwrap();
        }
        match tail.next(Duration::ZERO) {
            Err(StoreError::Diverged { expected, agreed, .. }) => {
                assert_eq!(expected.seq, Seq(4));
                assert_eq!(agreed, kept, "{grown:?}");
            }
            other => panic!("{grown:?}: {other:?}"),
        }
    }
    assert_eq!(seqs(&mut *follow(&store, TailFrom::After(kept))), [3, 4]);
}

#[test]
fn a_handle_that_only_reads_follows_and_asks_and_takes_no_lease() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let reader = folder.open_read_only();
    let mut tail = follow(&reader, TailFrom::Start);
    assert_eq!(seqs(&mut *tail), [1]);
    append(&store, 1, &[1]).unwrap();
    assert_eq!(seqs(&mut *tail), [2]);
    let before = names(&folder.root().join(session(1).to_string()));
    assert_eq!(reader.leased(session(1), segment(1)).unwrap(), None);
    let refused = reader.lease(session(1), segment(1), "reader", NOW);
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    assert_eq!(names(&folder.root().join(session(1).to_string())), before);
    let held = store.lease(session(1), segment(1), "writer", NOW).unwrap();
    assert_eq!(reader.leased(session(1), segment(1)).unwrap().as_ref(), Some(held.holder()));
}

#[test]
fn a_lease_is_a_private_file_that_says_who_holds_it_and_goes_with_it() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let held = store.lease(session(1), segment(1), "agent \"7\"\n", NOW).unwrap();
    let host = held.holder().host.clone().map(|host| format!(r#","host":"{host}""#)).unwrap_or_default();
    let text = format!("{{\"holder\":\"agent \\\"7\\\"\\n\"{host},\"since\":{NOW}}}\n");
    assert_eq!(fs::read_to_string(lease_file(&folder)).unwrap(), text);
    assert_eq!(fs::metadata(lease_file(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
    drop(held);
    assert!(!lease_file(&folder).exists());
}

#[test]
fn the_text_of_a_lease_means_nothing_without_its_lock() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    for leftover in ["{\"holder\":\"a process that died\",\"since\":1}\n", "", "no JSON"] {
        fs::write(lease_file(&folder), leftover).unwrap();
        assert_eq!(store.leased(session(1), segment(1)).unwrap(), None, "{leftover:?}");
        drop(store.lease(session(1), segment(1), "writer", NOW).unwrap());
        assert!(!lease_file(&folder).exists());
    }
    fs::write(lease_file(&folder), "{\"holder\":\"a process that died\"}").unwrap();
    store.delete_session(session(1)).unwrap();
    let left: Vec<_> = names(&folder.root()).into_iter().filter(|name| name.starts_with(".new-")).collect();
    assert_eq!(left, [] as [&str; 0], "what was deleted is cleared away with its lease");
}

#[test]
fn a_lease_whose_holder_says_nothing_is_held_by_somebody_unknown() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let silent = File::create(lease_file(&folder)).unwrap();
    silent.lock().unwrap();
    assert_eq!(store.leased(session(1), segment(1)).unwrap(), Some(LeaseHolder::default()));
    match store.lease(session(1), segment(1), "writer", NOW) {
        Err(StoreError::Busy { holder, host: None, since: None }) => assert_eq!(holder, ""),
        other => panic!("{other:?}"),
    }
    drop(silent);
    drop(store.lease(session(1), segment(1), "writer", NOW).unwrap());
}

#[test]
fn a_symbolic_link_in_place_of_a_lease_is_refused() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let elsewhere = folder.root().join("elsewhere");
    fs::write(&elsewhere, "untouched").unwrap();
    std::os::unix::fs::symlink(&elsewhere, lease_file(&folder)).unwrap();
    let refused = store.lease(session(1), segment(1), "writer", NOW);
    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
}

/// In a process of its own: takes a lease and holds it until it is killed. By itself: takes one and gives it up.
#[test]
fn a_process_holds_a_lease_until_it_is_killed() {
    let Some(root) = std::env::var_os(ROOT) else {
        let own = Folder::new();
        let store = own.open();
        create(&store, 1);
        assert_eq!(store.lease(session(1), segment(1), "child", 7).unwrap().holder().since, Some(7));
        return;
    };
    let store = FsStore::open(PathBuf::from(root), &options()).unwrap();
    let _held = store.lease(session(1), segment(1), "child", 7).unwrap();
    // Until the other end of the pipe is closed, which is when this process is dead.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn the_lease_of_a_killed_process_is_free_at_once() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    for _ in 0..5 {
        let mut writer = child("watch::a_process_holds_a_lease_until_it_is_killed", &folder);
        let holder = loop {
            assert!(writer.try_wait().unwrap().is_none(), "the writer stopped by itself");
            match store.leased(session(1), segment(1)).unwrap() {
                Some(holder) => break holder,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!((holder.holder.as_str(), holder.since), ("child", Some(7)));
        match store.lease(session(1), segment(1), "parent", NOW) {
            Err(StoreError::Busy { holder, since: Some(7), .. }) => assert_eq!(holder, "child"),
            other => panic!("{other:?}"),
        }
        let refused = store.delete_session(session(1));
        assert!(matches!(refused, Err(StoreError::Busy { .. })), "{refused:?}");
        append(&store, 1, &[1]).unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(store.leased(session(1), segment(1)).unwrap(), None);
        drop(store.lease(session(1), segment(1), "parent", NOW).unwrap());
    }
}

/// An entry that says when it was appended.
fn timed() -> NewEntry {
    NewEntry::text(format!(r#"{{"kind":"note","ts":{}}}"#, clock_ms()))
}

/// In a process of its own: appends a call whenever it is told to. By itself: appends some.
#[test]
fn a_process_appends_when_it_is_told_to() {
    let own = Folder::new();
    let root = std::env::var_os(ROOT).map(PathBuf::from);
    let alone = root.is_none();
    if alone {
        create(&own.open(), 1);
    }
    let store = FsStore::open(root.unwrap_or_else(|| own.root()), &options()).unwrap();
    let mut told = [0];
    while alone || std::io::stdin().read(&mut told).unwrap() == 1 {
        let done = store.append_with(session(1), segment(1), &[timed(), timed()], &AppendOptions::default()).unwrap();
        if alone && done[1].seq.0 > 10 {
            return;
        }
    }
}

#[test]
fn a_tail_follows_a_writer_in_another_process() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
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

#[test]
fn a_tail_resumes_in_another_place_of_a_long_log() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let count = 1_000;
    append(&store, 1, &(1..=count).collect::<Vec<_>>()).unwrap();
    let mut texts = Vec::new();
    let mut at = Position { seq: Seq(1), crc32c: 0 };
    at.crc32c = store.read_range(session(1), segment(1), Seq(0), 1).unwrap()[0].position.crc32c;
    while let TailEvent::Records(records) = follow(&store, TailFrom::After(at)).next(Duration::ZERO).unwrap() {
        at = records.last().unwrap().position;
        texts.extend(records.into_iter().map(|record| record.text));
    }
    assert_eq!(texts, (1..=count).map(note_text).collect::<Vec<_>>());
}
