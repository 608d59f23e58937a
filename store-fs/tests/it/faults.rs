//! A disk that runs full, fails to sync, or stops answering, in front of the real one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use store_core::{
    AppendOptions, Durability, Fact, FactScope, NewEntry, Result, SegmentOrigin, Seq, Store as _, StoreError,
};
use store_fs::disk::{Disk, DiskFile, FileStat, Listed, LockKind, Medium, OpenMode, OsDisk};
use store_fs::{DurabilityPolicy, FsOptions, FsStore, OpenAs, RemoteMedium};

use crate::support::{Folder, append, create, note, note_texts, options, segment, session, start, texts};

/// What a [`FaultyDisk`] does wrong.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How many bytes it still takes.
    pub(crate) space: AtomicU64,
    /// How many bytes it takes in one write.
    pub(crate) at_once: AtomicU64,
    /// How many more calls that change something it answers; the one after them tears, and then nothing is answered.
    calls: AtomicU64,
    pub(crate) sync_fails: AtomicBool,
    /// How often a sync lets other threads run before it is done.
    pub(crate) sync_yields: AtomicU64,
    remote: AtomicBool,
    /// How often a folder was listed.
    lists: AtomicU64,
    process: u64,
    /// What was changed and synced, in order.
    done: Mutex<Vec<String>>,
}

impl Plan {
    pub(crate) fn dies_after(calls: u64) -> Arc<Self> {
        Self::in_process(0, calls)
    }

    /// The disk of a process of its own.
    pub(crate) fn in_process(process: u64, calls: u64) -> Arc<Self> {
        let plan = Self {
            space: AtomicU64::new(u64::MAX),
            at_once: AtomicU64::new(u64::MAX),
            calls: AtomicU64::new(calls),
            sync_fails: AtomicBool::new(false),
            sync_yields: AtomicU64::new(0),
            remote: AtomicBool::new(false),
            lists: AtomicU64::new(0),
            process,
            done: Mutex::default(),
        };
        Arc::new(plan)
    }

    pub(crate) fn faultless() -> Arc<Self> {
        Self::dies_after(u64::MAX)
    }

    /// What was changed and synced since it was asked last.
    pub(crate) fn take_done(&self) -> Vec<String> {
        std::mem::take(&mut *self.done.lock().unwrap())
    }

    /// Whether this call is the one in which the disk dies.
    fn spend(&self) -> io::Result<bool> {
        let left = self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(1) => Ok(true),
            Ok(_) => Ok(false),
            Err(_) => Err(dead()),
        }
    }

    fn change<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.spend()? { Err(dead()) } else { work() }
    }

    fn note(&self, what: &str, path: &Path) {
        self.done.lock().unwrap().push(format!("{what} {}", path.display()));
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.note("sync", path);
        (0..self.sync_yields.load(Ordering::Relaxed)).for_each(|_| std::thread::yield_now());
        self.change(|| {
            if self.sync_fails.load(Ordering::Relaxed) { Err(io::Error::other("the sync failed")) } else { Ok(()) }
        })
    }
}

fn dead() -> io::Error {
    io::Error::other("the disk does not answer")
}

/// The real disk with faults. Syncs do nothing: these tests lose a process, not the power.
#[derive(Debug)]
pub(crate) struct FaultyDisk(pub(crate) Arc<Plan>);

#[derive(Debug)]
struct FaultyFile(Box<dyn DiskFile>, Arc<Plan>, PathBuf);

impl DiskFile for FaultyFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.1.spend()? {
            self.0.append(&bytes[..bytes.len() / 2])?;
            return Err(dead());
        }
        self.1.note("append", &self.2);
        let space = self.1.space.load(Ordering::Relaxed);
        if space == 0 || bytes.len() as u64 > self.1.at_once.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = self.0.append(&bytes[..bytes.len().min(usize::try_from(space).unwrap_or(usize::MAX))])?;
        self.1.space.fetch_sub(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn stat(&self) -> io::Result<FileStat> {
        self.0.stat()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.1.note("truncate", &self.2);
        self.1.change(|| self.0.truncate(bytes))
    }

    fn set_writable(&self, writable: bool) -> io::Result<()> {
        self.1.note(if writable { "give write bits to" } else { "take write bits of" }, &self.2);
        self.1.change(|| self.0.set_writable(writable))
    }

    fn sync_file(&self) -> io::Result<()> {
        self.1.sync(&self.2)
    }

    fn lock(&self, kind: LockKind) -> io::Result<()> {
        self.0.lock(kind)
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.0.try_lock(kind)
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        if matches!(mode, OpenMode::CreateNew | OpenMode::AppendOrCreate) && self.0.spend()? {
            return Err(dead());
        }
        // Write bits count also where the tests run as somebody who may do everything.
        if mode != OpenMode::Read && OsDisk.stat(path).is_ok_and(|stat| !stat.writable) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Box::new(FaultyFile(OsDisk.open(path, mode)?, Arc::clone(&self.0), path.to_owned())))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        OsDisk.stat(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.0.lists.fetch_add(1, Ordering::Relaxed);
        OsDisk.list(folder)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.change(|| OsDisk.create_folder(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.note("rename to", to);
        self.0.change(|| OsDisk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.note("remove", path);
        self.0.change(|| OsDisk.remove_file(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.0.change(|| OsDisk.remove_folder(path))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.sync(path)
    }

    fn medium_of(&self, folder: &Path) -> io::Result<Medium> {
        if self.0.remote.load(Ordering::Relaxed) { Ok(Medium::Remote) } else { OsDisk.medium_of(folder) }
    }

    fn process(&self) -> u64 {
        self.0.process
    }
}

/// Opens a store without the cost of syncs, for tests that look at every byte or every call.
pub(crate) fn open_without_syncs(folder: &Folder) -> FsStore {
    open(folder, &Plan::faultless())
}

pub(crate) fn open(folder: &Folder, plan: &Arc<Plan>) -> FsStore {
    open_with(folder, plan, &options()).unwrap()
}

pub(crate) fn open_with(folder: &Folder, plan: &Arc<Plan>, options: &FsOptions) -> Result<FsStore> {
    FsStore::open_on(Arc::new(FaultyDisk(Arc::clone(plan))), &folder.root(), OpenAs::Shared, options)
}

#[test]
fn a_call_that_does_not_fit_is_taken_back_and_the_log_goes_on_when_there_is_space() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    append(&store, 1, &[0]).unwrap();
    let mut expected = vec![0];
    let mut refused = 0;
    for space in 0.. {
        let before = std::fs::read(folder.log(1)).unwrap();
        plan.space.store(space, Ordering::Relaxed);
        let result = append(&store, 1, &[space, 1000 + space]);
        plan.space.store(u64::MAX, Ordering::Relaxed);
        match result {
            Ok(_) => expected.extend([space, 1000 + space]),
            Err(error) => {
                assert!(matches!(&error, StoreError::NoSpace { path: Some(_) }), "{error}");
                assert_eq!(std::fs::read(folder.log(1)).unwrap(), before, "with {space} bytes of space");
                refused += 1;
            }
        }
        append(&store, 1, &[2000 + space]).unwrap();
        expected.push(2000 + space);
        assert_eq!(texts(&store, 1).unwrap(), note_texts(&expected), "with {space} bytes of space");
        if std::fs::read(folder.log(1)).unwrap().len() as u64 > 3 * before.len() as u64 || space > 300 {
            break;
        }
    }
    assert!(refused > 50, "{refused}");
    assert_eq!(texts(&folder.open(), 1).unwrap(), note_texts(&expected));
}

#[test]
fn a_call_that_lacks_only_its_closing_bytes_is_written() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    let length = || std::fs::metadata(folder.log(1)).unwrap().len();
    let before = length();
    append(&store, 1, &[1, 2]).unwrap();
    let call = length() - before;
    // What the line before lacks is written first.
    for (owed, lacks, notes) in [(0, 1, [3, 4]), (1, 2, [5, 6]), (2, 3, [7, 8])] {
        let before = length();
        plan.space.store(owed + call - lacks, Ordering::Relaxed);
        append(&store, 1, &notes).unwrap();
        plan.space.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(length(), before + owed + call - lacks);
        assert_eq!(texts(&folder.open_read_only(), 1).unwrap(), note_texts(&(1..=notes[1]).collect::<Vec<_>>()));
    }
    append(&store, 1, &[9]).unwrap();
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&(1..=9).collect::<Vec<_>>()));
}

#[test]
fn a_creation_that_does_not_fit_leaves_nothing_behind() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    for space in [0, 10, 100, 150, 200, 250, 300] {
        plan.space.store(space, Ordering::Relaxed);
        let entries = [start(session(2), None), note(1), note(2)];
        let refused = store.create_segment(session(2), segment(2), &entries, &Default::default()).unwrap_err();
        assert!(matches!(refused, StoreError::NoSpace { .. }), "{refused}");
        plan.space.store(u64::MAX, Ordering::Relaxed);
        assert!(!store.exists(session(2)).unwrap());
        assert_eq!(store.lookup_session_of(segment(2)).unwrap(), None);
    }
    let strays = crate::support::names(&folder.root());
    assert!(!strays.iter().any(|name| name.starts_with(".new-")), "{strays:?}");
    create(&store, 2);
}

#[test]
fn a_remote_medium_is_for_reading_unless_it_is_trusted() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let open_as = |open_as, remote| {
        let options = FsOptions { remote, ..options() };
        FsStore::open_on(Arc::new(FaultyDisk(Arc::clone(&plan))), &folder.root(), open_as, &options)
    };
    plan.remote.store(true, Ordering::Relaxed);
    let refused = open_as(OpenAs::Shared, RemoteMedium::ReadOnly).unwrap_err();
    assert!(matches!(refused, StoreError::Unsupported { .. }), "{refused}");
    assert!(!folder.root().exists());
    create(&open_as(OpenAs::Shared, RemoteMedium::Trusted).unwrap(), 1);
    let reader = open_as(OpenAs::Shared, RemoteMedium::ReadOnly).unwrap();
    assert!(store_core::Backend::info(&reader).read_only);
    let refused = append(&reader, 1, &[1]).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly), "{refused}");
    let refused = open_as(OpenAs::Exclusive, RemoteMedium::ReadOnly).unwrap_err();
    assert!(matches!(refused, StoreError::Unsupported { .. }), "{refused}");
}

/// What a store did to its disk since the last time, with words in place of names that are new each time.
pub(crate) fn done_since(plan: &Plan, folder: &Folder) -> Vec<String> {
    let root = folder.root().display().to_string();
    let done = plan.take_done();
    let named = |line: String| {
        let mut line = line.replace(&format!("{root}/"), "").replace(&root, "the root");
        for n in 1..=2 {
            line = line.replace(&segment(n).to_string(), &format!("segment-{n}"));
            line = line.replace(&session(n).to_string(), &format!("session-{n}"));
        }
        for made in [".new-", "live/"] {
            if let Some(at) = line.find(made) {
                let name = at + made.len();
                let end = line[name..].find('/').map_or(line.len(), |slash| name + slash);
                line.replace_range(name..end, "*");
            }
        }
        line
    };
    done.into_iter().map(named).collect()
}

#[test]
fn a_creation_syncs_what_leads_to_a_log_before_the_log_has_its_name() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    let buffered = AppendOptions { durability: Some(Durability::Buffered), ..AppendOptions::default() };
    store.append_with(session(1), segment(1), &[note(1)], &buffered).unwrap();
    done_since(&plan, &folder);
    let origin = SegmentOrigin { session_id: session(1), segment_id: segment(1), seq: Seq(2), at_turn_index: 0 };
    let entries = [start(session(2), Some(origin))];
    store.create_segment(session(2), segment(2), &entries, &Default::default()).unwrap();
    let last = segment(2).as_bytes()[15];
    assert_eq!(
        done_since(&plan, &folder),
        [
            "append live/*".to_owned(),
            "sync live/*".to_owned(),
            "sync by-segment".to_owned(),
            format!("append by-segment/{last:02x}/segment-2"),
            format!("sync by-segment/{last:02x}/segment-2"),
            format!("sync by-segment/{last:02x}"),
            "sync session-1/segment-1.jsonl".to_owned(),
            "sync the root".to_owned(),
            "sync by-origin".to_owned(),
            "sync by-origin/segment-1".to_owned(),
            "append .new-*/segment-2.jsonl".to_owned(),
            "take write bits of .new-*/segment-2.jsonl".to_owned(),
            "sync .new-*/segment-2.jsonl".to_owned(),
            "sync .new-*".to_owned(),
            "rename to session-2".to_owned(),
            "sync the root".to_owned(),
            "give write bits to .new-*/segment-2.jsonl".to_owned(),
        ]
    );
}

/// How often a handle lists folders that reads and writes every segment of a session with so many.
fn lists_of_a_session_with(segments: u64) -> u64 {
    let folder = Folder::new();
    let whole = open(&folder, &Plan::faultless());
    for n in 1..=segments {
        let entries = [start(session(1), None)];
        whole.create_segment(session(1), segment(n), &entries, &Default::default()).unwrap();
    }
    drop(whole);
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    for n in 1..=segments {
        assert_eq!(store.read_all(session(1), segment(n)).unwrap().len(), 1);
        store.append_with(session(1), segment(n), &[note(n)], &AppendOptions::default()).unwrap();
    }
    plan.lists.load(Ordering::Relaxed)
}

#[test]
fn a_log_of_a_session_with_many_is_opened_without_listing_them_all() {
    assert_eq!(lists_of_a_session_with(40), lists_of_a_session_with(2));
}

#[test]
fn recovery_syncs_its_copy_before_it_cuts_the_log() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    let log = std::fs::read(folder.log(1)).unwrap();
    std::fs::write(folder.log(1), &log[..log.len() - 9]).unwrap();
    let store = open(&folder, &plan);
    done_since(&plan, &folder);
    let synced = AppendOptions { durability: Some(Durability::Synced), ..AppendOptions::default() };
    store.append_with(session(1), segment(1), &[note(2)], &synced).unwrap();
    let done = done_since(&plan, &folder);
    let offset = log.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let copy = format!("session-1/quarantine/segment-1.jsonl.{offset}.1");
    assert_eq!(
        done[done.len() - 8..],
        [
            "sync session-1".to_owned(),
            format!("append {copy}"),
            format!("sync {copy}"),
            "sync session-1/quarantine".to_owned(),
            "truncate session-1/segment-1.jsonl".to_owned(),
            "sync session-1/segment-1.jsonl".to_owned(),
            "append session-1/segment-1.jsonl".to_owned(),
            "sync session-1/segment-1.jsonl".to_owned(),
        ]
    );
}

#[test]
fn what_is_synced_follows_the_call_and_then_the_policy() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    create(&open(&folder, &plan), 1);
    let synced = |policy, durability, entry: &NewEntry| {
        let options = FsOptions { durability: policy, ..options() };
        let disk = Arc::new(FaultyDisk(Arc::clone(&plan)));
        let store = FsStore::open_on(disk, &folder.root(), OpenAs::Shared, &options).unwrap();
        let call = AppendOptions { durability, ..AppendOptions::default() };
        // The handle before this one has synced what it had written when it was closed.
        done_since(&plan, &folder);
        store.append_with(session(1), segment(1), std::slice::from_ref(entry), &call).unwrap();
        done_since(&plan, &folder).contains(&"sync session-1/segment-1.jsonl".to_owned())
    };
    let asked = NewEntry::text(r#"{"kind":"user_input","ts":1,"content":[]}"#);
    let (turn, buffered, always) = (
        DurabilityPolicy::Turn,
        DurabilityPolicy::Always(Durability::Buffered),
        DurabilityPolicy::Always(Durability::Synced),
    );
    assert!(synced(turn, None, &asked));
    assert!(!synced(turn, None, &note(1)));
    assert!(!synced(buffered, None, &asked));
    assert!(synced(always, None, &note(1)));
    assert!(synced(buffered, Some(Durability::Synced), &note(1)));
    assert!(!synced(always, Some(Durability::Buffered), &asked));
}

#[test]
fn who_is_told_of_a_segment_is_told_of_its_session() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    create(&store, 1);
    let seen = store.changes(None).unwrap().cursor;
    done_since(&plan, &folder);
    store.put_fact(FactScope::Session(session(1)), &fact(1)).unwrap();
    let done = done_since(&plan, &folder);
    assert!(done.contains(&"sync session-1/facts.jsonl".to_owned()), "{done:?}");
    assert!(!done.contains(&"append live/*".to_owned()), "{done:?}");
    drop(store);
    let changes = open(&folder, &plan).changes(Some(&seen)).unwrap();
    assert_eq!(changes.sessions, [session(1)]);
}

#[test]
fn closing_syncs_what_the_handle_does_not_know_to_be_on_stable_storage() {
    for (durability, is_synced) in [(Durability::Synced, false), (Durability::Buffered, true)] {
        let folder = Folder::new();
        let plan = Plan::faultless();
        let options = FsOptions { open_logs_max: 1, ..options() };
        let disk = Arc::new(FaultyDisk(Arc::clone(&plan)));
        let store = FsStore::open_on(disk, &folder.root(), OpenAs::Shared, &options).unwrap();
        create(&store, 1);
        let call = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
        store.append_with(session(1), segment(1), &[note(1)], &call).unwrap();
        // Of the two logs one is open at a time.
        store.put_fact(FactScope::Session(session(1)), &fact(1)).unwrap();
        done_since(&plan, &folder);
        drop(store);
        let done = done_since(&plan, &folder);
        let segment = "sync session-1/segment-1.jsonl".to_owned();
        assert_eq!(done.contains(&segment), is_synced, "{durability:?}: {done:?}");
    }
}

fn fact(ts: u64) -> Fact {
    Fact { ts, domain: "title".to_owned(), value: "A title".into() }
}
