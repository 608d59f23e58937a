//! Faults of the real system: files that may not grow beyond a byte, a filesystem that is full, syncs that fail. What
//! this machine does not allow is skipped and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store_core::{AppendOptions, CreateOptions, NewEntry, Store as _, StoreError};
use store_fs::{EventKind, FsStore};

use crate::support::{
    Folder, append, append_synced, create, names, note, note_texts, options, segment, session, start, texts,
};

const ROOT: &str = "STORE_FS_FAULT_ROOT";

/// This test binary again, to run one test of it, started by a program.
fn child_by(program: &str, arguments: &[&str], test: &str, root: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads", "1"]).env(ROOT, root).stdout(Stdio::null());
    command
}

fn given_root() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

fn limit_files_to(bytes: Option<u64>) {
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(limit.maximum), maximum: limit.maximum }).unwrap();
}

/// In a process of its own, with the signal ignored: files that may grow to every length from the log's to beyond a call's.
/// By itself: nothing is limited, because a limit would hold for the other tests.
#[test]
fn a_process_writes_under_every_limit() {
    let own = Folder::new();
    let Some(root) = given_root() else {
        let store = own.open();
        create(&store, 1);
        append(&store, 1, &[1]).unwrap();
        return;
    };
    let store = FsStore::open(&root, &options()).unwrap();
    let log = root.join(session(1).to_string()).join(format!("{}.jsonl", segment(1)));
    // What is needed beside the log is there before the limit.
    append(&store, 1, &[0]).unwrap();
    let mut expected = texts(&store, 1).unwrap();
    let mut next = 1_000;
    let (mut refused, mut taken) = (0, 0);
    for room in 0..400 {
        let before = fs::read(&log).unwrap();
        let notes = [next, next + 1, next + 2];
        limit_files_to(Some(before.len() as u64 + room));
        let result = append(&store, 1, &notes);
        limit_files_to(None);
        match result {
            Ok(_) => {
                expected.extend(note_texts(&notes));
                taken += 1;
            }
            Err(StoreError::NoSpace { path: Some(_) }) => {
                assert_eq!(fs::read(&log).unwrap(), before, "{room} bytes of room");
                refused += 1;
            }
            Err(error) => panic!("{room} bytes of room: {error}"),
        }
        append(&store, 1, &[next + 3]).unwrap();
        expected.extend(note_texts(&[next + 3]));
        assert_eq!(texts(&store, 1).unwrap(), expected, "{room} bytes of room");
        next += 4;
        if taken > 6 {
            break;
        }
    }
    assert!(refused > 100 && taken > 6, "{refused} refused, {taken} taken");
    for room in (0..600).step_by(50) {
        limit_files_to(Some(room));
        let entries: Vec<NewEntry> = std::iter::once(start(session(2), None)).chain((1..9).map(note)).collect();
        let refused = store.create_segment(session(2), segment(2), &entries, &CreateOptions::default()).unwrap_err();
        limit_files_to(None);
        assert!(matches!(refused, StoreError::NoSpace { .. }), "{room}: {refused}");
        assert!(!store.exists(session(2)).unwrap());
    }
    assert!(!names(&root).iter().any(|name| name.starts_with(".new-")));
}

#[test]
fn a_call_that_is_cut_at_any_byte_by_a_limit_is_taken_back() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut limited =
        child_by("sh", &["-c", script], "system_faults::a_process_writes_under_every_limit", &folder.root());
    assert!(limited.status().unwrap().success());
    let store = folder.open();
    let before = texts(&store, 1).unwrap();
    append_synced(&store, 1, &[1]).unwrap();
    assert_eq!(texts(&store, 1).unwrap(), [before, note_texts(&[1])].concat());
}

/// A small filesystem in memory, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_filesystem_refuses_calls_and_keeps_every_entry() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: this machine does not let a test mount a filesystem");
        return;
    };
    let store = FsStore::open(disk.0.path().join("store"), &options()).unwrap();
    create(&store, 1);
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 40 * 1024]).unwrap();
    let mut written = 0;
    let big = |n: u64| NewEntry::text(format!(r#"{{"kind":"note","ts":{n},"pad":"{}"}}"#, "x".repeat(700)));
    let fill = |written: &mut u64| {
        loop {
            let call = [big(*written), big(*written + 1)];
            match store.append_with(session(1), segment(1), &call, &AppendOptions::default()) {
                Ok(_) => *written += 2,
                Err(error) => break error,
            }
        }
    };
    for round in 0..2 {
        let full = fill(&mut written);
        assert!(matches!(&full, StoreError::NoSpace { path: Some(_) }), "{full}");
        assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), 1 + written, "round {round}");
        let refused = store
            .create_segment(session(2), segment(2), &[start(session(2), None), big(1)], &CreateOptions::default())
            .unwrap_err();
        assert!(matches!(refused, StoreError::NoSpace { .. }), "{refused}");
        assert!(!store.exists(session(2)).unwrap());
        if round == 0 {
            fs::remove_file(&ballast).unwrap();
        }
    }
    let fresh = FsStore::open(disk.0.path().join("store"), &options()).unwrap();
    assert_eq!(fresh.read_all(session(1), segment(1)).unwrap().len() as u64, 1 + written);
    assert!(written > 60, "{written}");
}

/// In a process whose syncs of files fail, all but the first: is told, and goes no further. By itself: syncs.
#[test]
fn a_process_syncs_what_it_writes() {
    let own = Folder::new();
    let Some(root) = given_root() else {
        let store = own.open();
        create(&store, 1);
        append_synced(&store, 1, &[1]).unwrap();
        return;
    };
    let store = FsStore::open(root, &options()).unwrap();
    // The first sync is that of the announcement.
    let refused = append_synced(&store, 1, &[1]).unwrap_err();
    assert!(matches!(&refused, StoreError::Io { op: "sync", .. }), "{refused}");
    let refused = append(&store, 1, &[2]).unwrap_err();
    assert!(matches!(&refused, StoreError::Io { op: "sync", .. }), "{refused}");
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1]));
}

#[test]
fn a_sync_that_really_fails_closes_the_log_until_the_next_process_rewrites_it() {
    let inject = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2+"];
    let traced = Command::new("strace").args(inject).arg("true").stderr(Stdio::null()).status();
    if !traced.is_ok_and(|status| status.success()) {
        println!("skipped: this machine does not let a test make syncs fail (strace -e inject)");
        return;
    }
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let mut failing = child_by("strace", &inject, "system_faults::a_process_syncs_what_it_writes", &folder.root());
    assert!(failing.status().unwrap().success());
    let mut mark = folder.log(1).into_os_string();
    mark.push(".failed");
    assert!(Path::new(&mark).exists());
    append_synced(&store, 1, &[3]).unwrap();
    assert!(!Path::new(&mark).exists());
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 3]));
    let events = store.events().unwrap();
    assert!(matches!(&events[..], [event] if matches!(event.what, EventKind::LogRewritten { .. })), "{events:?}");
}
