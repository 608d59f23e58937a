//! What is on stable storage, what the log says about it, and what becomes of a log whose sync failed.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use store_core::codec::{LogContext, decode_line};
use store_core::{Fact, FactScope, Seq, Store as _, StoreError};
use store_fs::disk::{Disk, DiskFile, FileStat, Listed, LockKind, Medium, OpenMode, OsDisk};
use store_fs::{EventKind, FsStore, OpenAs, Outcome};

use crate::faults::{Plan, done_since, open, open_without_syncs};
use crate::support::{Folder, NOW, append, append_synced, create, names, note_texts, options, segment, session, texts};

/// What each line of segment 1 says to be on stable storage.
fn marks(folder: &Folder) -> Vec<Option<u64>> {
    let log = fs::read(folder.log(1)).unwrap();
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let context = LogContext::segment(segment(1));
    lines.map(|line| decode_line(&context, line).unwrap().synced.map(|seq| seq.0)).collect()
}

#[test]
fn the_first_line_behind_a_sync_says_how_far_the_log_is_on_stable_storage() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    append_synced(&store, 1, &[2]).unwrap();
    append(&store, 1, &[3, 4]).unwrap();
    append(&store, 1, &[5]).unwrap();
    append_synced(&store, 1, &[6]).unwrap();
    append_synced(&store, 1, &[7]).unwrap();
    // Another handle of this process knows the same, and syncs what it wrote when it is closed; another process knows what it
    // synced itself.
    append(&open_without_syncs(&folder), 1, &[8]).unwrap();
    let other = open(&folder, &Plan::in_process(2, u64::MAX));
    append(&other, 1, &[9]).unwrap();
    append_synced(&other, 1, &[10]).unwrap();
    append(&store, 1, &[11]).unwrap();
    append(&other, 1, &[12]).unwrap();
    assert_eq!(
        marks(&folder),
        [None, None, None, Some(3), None, None, None, Some(7), Some(8), None, None, Some(9), Some(11)]
    );
}

#[test]
fn a_line_never_vouches_for_what_a_failed_sync_left_open() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    append_synced(&store, 1, &[1]).unwrap();
    plan.sync_fails.store(true, Ordering::Relaxed);
    append_synced(&store, 1, &[2]).unwrap_err();
    plan.sync_fails.store(false, Ordering::Relaxed);
    drop(store);
    append(&open(&folder, &plan), 1, &[3]).unwrap();
    // The next handle wrote the log anew, with what the failed sync left open in it, and synced that.
    assert_eq!(marks(&folder), [None, None, Some(2), Some(3)]);
    assert!(
        open(&folder, &plan).events().unwrap().iter().any(|event| matches!(event.what, EventKind::LogRewritten { .. }))
    );
}

/// A store whose segment 1 holds a note that is synced and one whose sync failed; and the disk.
fn failed() -> (Folder, Arc<Plan>, FsStore) {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    append_synced(&store, 1, &[1]).unwrap();
    plan.sync_fails.store(true, Ordering::Relaxed);
    let refused = append_synced(&store, 1, &[2]).unwrap_err();
    assert!(matches!(&refused, StoreError::Io { op: "sync", .. }), "{refused}");
    plan.sync_fails.store(false, Ordering::Relaxed);
    (folder, plan, store)
}

fn mark(folder: &Folder) -> std::path::PathBuf {
    let mut path = folder.log(1).into_os_string();
    path.push(".failed");
    path.into()
}

fn assert_refused(store: &FsStore) {
    for refused in [append(store, 1, &[9]).unwrap_err(), append_synced(store, 1, &[9]).unwrap_err()] {
        assert!(matches!(&refused, StoreError::Io { op: "sync", .. }), "{refused}");
    }
}

#[test]
fn after_a_failed_sync_no_handle_of_the_process_goes_on_with_the_log() {
    let (folder, plan, store) = failed();
    let second = open(&folder, &plan);
    done_since(&plan, &folder);
    assert_refused(&store);
    assert_refused(&second);
    let done = done_since(&plan, &folder);
    assert!(!done.iter().any(|call| call.contains("segment-1.jsonl")), "{done:?}");
    assert!(mark(&folder).exists());
    // What it holds is read, and other logs go on.
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2]));
    create(&store, 2);
    append_synced(&store, 2, &[1]).unwrap();
    // Only the last handle that has the log open takes the distrust with it.
    drop(store);
    assert_refused(&second);
}

#[test]
fn everybody_who_waits_for_a_sync_that_fails_is_told() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let stores = [open(&folder, &plan), open(&folder, &plan)];
    create(&stores[0], 1);
    plan.sync_fails.store(true, Ordering::Relaxed);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let store = &stores[n % 2];
                    move || append_synced(store, 1, &[n as u64])
                })
            })
            .collect();
        for call in calls {
            let refused = call.join().unwrap().unwrap_err();
            assert!(matches!(&refused, StoreError::Io { op: "sync", .. }), "{refused}");
        }
    });
}

#[test]
fn the_next_process_rewrites_a_log_whose_sync_failed() {
    let (folder, _, store) = failed();
    let before = fs::metadata(folder.log(1)).unwrap().ino();
    let next = open(&folder, &Plan::in_process(2, u64::MAX));
    append(&next, 1, &[3]).unwrap();
    assert_eq!(texts(&next, 1).unwrap(), note_texts(&[1, 2, 3]));
    assert!(!mark(&folder).exists());
    let now = fs::metadata(folder.log(1)).unwrap();
    assert_ne!(now.ino(), before);
    assert_eq!(now.permissions().mode() & 0o777, 0o600);
    let events = next.events().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].ts, events[0].outcome), (NOW, Outcome::Ok));
    let EventKind::LogRewritten { log, segment: of, entries, .. } = &events[0].what else { panic!("{events:?}") };
    assert_eq!((log.as_str(), *of, *entries), (&*format!("{}/{}.jsonl", session(1), segment(1)), Some(segment(1)), 3));
    // For the process whose sync failed it is another file, of which nothing bad is known.
    append_synced(&store, 1, &[4]).unwrap();
    append(&next, 1, &[5]).unwrap();
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2, 3, 4, 5]));
    assert_eq!(store.events().unwrap().len(), 1);
}

#[test]
fn the_same_process_rewrites_it_when_it_has_closed_the_store_and_opened_it_again() {
    let (folder, plan, store) = failed();
    drop(store);
    let store = open(&folder, &plan);
    append_synced(&store, 1, &[3]).unwrap();
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2, 3]));
    assert!(!mark(&folder).exists());
    assert_eq!(store.events().unwrap().len(), 1);
}

#[test]
fn a_rewritten_log_is_on_stable_storage_before_it_has_its_name() {
    let (folder, _, _store) = failed();
    let plan = Plan::in_process(2, u64::MAX);
    let next = open(&folder, &plan);
    let bytes = fs::read(folder.log(1)).unwrap();
    append(&next, 1, &[3]).unwrap();
    let done = done_since(&plan, &folder);
    let from = done.iter().position(|call| call == "take write bits of session-1/segment-1.jsonl").unwrap();
    let to = done.iter().position(|call| call == "remove session-1/segment-1.jsonl.failed").unwrap();
    assert_eq!(
        done[from..=to],
        [
            "take write bits of session-1/segment-1.jsonl",
            "append session-1/segment-1.jsonl.new",
            "take write bits of session-1/segment-1.jsonl.new",
            "sync session-1/segment-1.jsonl.new",
            "rename to session-1/segment-1.jsonl",
            "sync session-1",
            "sync the root",
            "give write bits to session-1/segment-1.jsonl.new",
            "sync the root",
            "append migrations.jsonl",
            "sync migrations.jsonl",
            "remove session-1/segment-1.jsonl.failed",
        ]
    );
    assert_eq!(fs::read(folder.log(1)).unwrap()[..bytes.len()], bytes);
}

#[test]
fn a_process_that_dies_while_it_rewrites_a_log_loses_nothing_of_it() {
    let mut rewritten = 0;
    for calls in 1.. {
        let (folder, _, store) = failed();
        let reader = folder.open_read_only();
        assert_eq!(texts(&reader, 1).unwrap(), note_texts(&[1, 2]));
        let dying = Plan::in_process(2, calls);
        let disk = Arc::new(crate::faults::FaultyDisk(dying));
        let done = FsStore::open_on(disk, &folder.root(), OpenAs::Shared, &options())
            .and_then(|dying| append_synced(&dying, 1, &[3]));
        let written = if texts(&reader, 1).unwrap().len() == 3 { &[1, 2, 3][..] } else { &[1, 2][..] };
        assert!(done.is_err() || written.len() == 3, "death in call {calls}");
        assert_eq!(texts(&reader, 1).unwrap(), note_texts(written), "death in call {calls}");
        let third = open(&folder, &Plan::in_process(3, u64::MAX));
        append_synced(&third, 1, &[4]).unwrap_or_else(|error| panic!("death in call {calls}: {error}"));
        let all = note_texts(&[written, &[4]].concat());
        assert_eq!(texts(&reader, 1).unwrap(), all, "death in call {calls}");
        let left = names(folder.log(1).parent().unwrap());
        let logs: Vec<_> = left.iter().filter(|name| name.starts_with(&segment(1).to_string())).collect();
        assert_eq!(logs, [&format!("{}.jsonl", segment(1))], "death in call {calls}");
        assert_eq!(fs::metadata(folder.log(1)).unwrap().permissions().mode() & 0o777, 0o600);
        rewritten += third.events().unwrap().len();
        // The process whose sync had failed finds another file there.
        append(&store, 1, &[5]).unwrap();
        if done.is_ok() {
            break;
        }
    }
    assert!(rewritten > 10, "{rewritten}");
}

#[test]
fn a_log_without_write_bits_gets_them_back_from_whoever_writes_next() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    let replacement = folder.log(1).with_extension("jsonl.new");
    for knows_the_log in [true, false] {
        fs::set_permissions(folder.log(1), fs::Permissions::from_mode(0o400)).unwrap();
        fs::write(&replacement, "half a lo").unwrap();
        let fresh = open_without_syncs(&folder);
        append(if knows_the_log { &store } else { &fresh }, 1, &[2]).unwrap();
        assert_eq!(fs::metadata(folder.log(1)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!replacement.exists());
    }
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2, 2]));
}

#[test]
fn a_file_that_was_to_replace_a_log_is_cleared_away_by_the_next_writer() {
    let folder = Folder::new();
    create(&open_without_syncs(&folder), 1);
    let replacement = folder.log(1).with_extension("jsonl.new");
    fs::write(&replacement, "half a lo").unwrap();
    append(&open_without_syncs(&folder), 1, &[1]).unwrap();
    assert!(!replacement.exists());
}

#[test]
fn facts_whose_sync_failed_are_rewritten_like_any_log() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    let fact = |n: u64| Fact { ts: NOW, domain: "title".into(), value: n.into() };
    store.put_fact(FactScope::Store, &fact(1)).unwrap();
    plan.sync_fails.store(true, Ordering::Relaxed);
    store.put_fact(FactScope::Store, &fact(2)).unwrap_err();
    plan.sync_fails.store(false, Ordering::Relaxed);
    store.put_fact(FactScope::Store, &fact(3)).unwrap_err();
    drop(store);
    let store = open(&folder, &plan);
    store.put_fact(FactScope::Store, &fact(4)).unwrap();
    assert_eq!(store.facts(FactScope::Store).unwrap(), [fact(1), fact(2), fact(4)]);
    assert!(!folder.root().join("facts.jsonl.failed").exists());
}

#[test]
fn an_announcement_whose_sync_failed_is_made_anew() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    create(&open(&folder, &plan), 2);
    let cursor = store.changes(None).unwrap().cursor;
    let entries = || names(&folder.root().join("live"));
    let before = entries();
    plan.sync_fails.store(true, Ordering::Relaxed);
    append(&store, 2, &[1]).unwrap_err();
    plan.sync_fails.store(false, Ordering::Relaxed);
    append(&store, 2, &[2]).unwrap();
    append(&store, 1, &[3]).unwrap();
    assert!(entries().iter().all(|entry| !before.contains(entry)), "{before:?}, {:?}", entries());
    let changes = open(&folder, &plan).changes(Some(&cursor)).unwrap();
    assert_eq!(changes.segments.len(), 2);
    assert_eq!(texts(&store, 2).unwrap(), note_texts(&[2]));
}

/// A disk whose first sync of a log waits until the log has grown to a length.
#[derive(Debug)]
struct SlowDisk {
    syncs: Arc<AtomicUsize>,
    until_bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct SlowFile {
    file: Box<dyn DiskFile>,
    syncs: Option<Arc<AtomicUsize>>,
    until_bytes: Arc<AtomicUsize>,
}

impl DiskFile for SlowFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn stat(&self) -> io::Result<FileStat> {
        self.file.stat()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }

    fn set_writable(&self, writable: bool) -> io::Result<()> {
        self.file.set_writable(writable)
    }

    fn sync_file(&self) -> io::Result<()> {
        if let Some(syncs) = &self.syncs {
            syncs.fetch_add(1, Ordering::SeqCst);
            while self.file.stat()?.bytes < self.until_bytes.load(Ordering::SeqCst) as u64 {
                thread::yield_now();
            }
        }
        Ok(())
    }

    fn lock(&self, kind: LockKind) -> io::Result<()> {
        self.file.lock(kind)
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.file.try_lock(kind)
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

impl Disk for SlowDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let is_log = path.to_string_lossy().contains(&segment(1).to_string()) && mode == OpenMode::Append;
        let syncs = is_log.then(|| Arc::clone(&self.syncs));
        Ok(Box::new(SlowFile { file: OsDisk.open(path, mode)?, syncs, until_bytes: Arc::clone(&self.until_bytes) }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        OsDisk.stat(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        OsDisk.list(folder)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_folder(path)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn medium_of(&self, folder: &Path) -> io::Result<Medium> {
        OsDisk.medium_of(folder)
    }

    fn process(&self) -> u64 {
        0
    }
}

#[test]
fn calls_of_many_handles_share_a_sync() {
    let folder = Folder::new();
    let (syncs, until_bytes) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let handles: Vec<FsStore> = (0..8)
        .map(|_| {
            let disk = SlowDisk { syncs: Arc::clone(&syncs), until_bytes: Arc::clone(&until_bytes) };
            FsStore::open_on(Arc::new(disk), &folder.root(), OpenAs::Shared, &options()).unwrap()
        })
        .collect();
    create(&handles[0], 1);
    append(&handles[0], 1, &[10]).unwrap();
    append(&handles[1], 1, &[11]).unwrap();
    let before = fs::read(folder.log(1)).unwrap().len();
    let line = before - {
        let log = fs::read(folder.log(1)).unwrap();
        log[..before - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1
    };
    until_bytes.store(before + 8 * line, Ordering::SeqCst);
    assert_eq!(syncs.load(Ordering::SeqCst), 0);
    thread::scope(|scope| {
        for (n, store) in (0..).zip(&handles) {
            scope.spawn(move || append_synced(store, 1, &[12 + n]).unwrap());
        }
    });
    // The first sync ends when all eight calls are written; the other seven need one more together.
    assert_eq!(syncs.load(Ordering::SeqCst), 2);
    assert_eq!(texts(&handles[0], 1).unwrap().len(), 10);
    assert_eq!(handles[0].read_entry_count(session(1), segment(1)).unwrap(), Seq(11).0);
}
