//! The index's file: damaging or deleting it costs time, nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;
use session_store::index::{Index, ListQuery, Refreshed};
use session_store::{SessionError, SessionFact};
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Damage, Fact,
    FactScope, MemoryStore, NewEntry, Position, Record, Result, SegmentId, Seq, SessionId, Store, StoreError,
    TraceEntry,
};

use super::world::{NOON, New, answers, append, create, ends, index_of, origin, put, says, segment, session, uses};

/// A store in memory with the surroundings of one on a disk, that can be damaged and replaced.
pub(super) struct Disk {
    store: Mutex<MemoryStore>,
    info: BackendInfo,
    /// Entries that cannot be read.
    damaged: Mutex<Vec<(SegmentId, Seq)>>,
    /// Sessions whose facts cannot be read.
    without_facts: Mutex<Vec<SessionId>>,
}

impl Disk {
    pub(super) fn new(store: MemoryStore, projection_path: Option<PathBuf>) -> Self {
        let info = BackendInfo { projection_path, ..store.info() };
        Self { store: Mutex::new(store), info, damaged: Mutex::default(), without_facts: Mutex::default() }
    }

    fn inner(&self) -> MemoryStore {
        self.store.lock().unwrap().clone()
    }

    fn check(&self, segment: SegmentId, records: &[Record]) -> Result<()> {
        let damaged = self.damaged.lock().unwrap();
        match records.iter().find(|record| damaged.contains(&(segment, record.position.seq))) {
            Some(record) => Err(corrupt(Some(segment), Some(record.position.seq))),
            None => Ok(()),
        }
    }
}

fn corrupt(segment: Option<SegmentId>, seq: Option<Seq>) -> StoreError {
    StoreError::Corrupt(Damage { segment, part: 1, offset: 0, seq, detail: "checksum".to_owned() })
}

impl Store for Disk {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        self.inner().create_segment(session, segment, entries, options)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        self.inner().append_with(session, segment, entries, options)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let records = self.inner().read_range(session, segment, after, limit)?;
        self.check(segment, &records)?;
        Ok(records)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        let records = self.inner().read_tail(session, segment, count)?;
        self.check(segment, &records)?;
        Ok(records)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        self.inner().read_entry_count(session, segment)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        self.inner().exists(session)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        self.inner().list_sessions()
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        self.inner().list_segments(session)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        self.inner().lookup_session_of(segment)
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.inner().append_trace(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.inner().read_traces(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        self.inner().put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        match scope {
            FactScope::Session(id) if self.without_facts.lock().unwrap().contains(&id) => Err(corrupt(None, None)),
            _ => self.inner().facts(scope),
        }
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.inner().put_blob(bytes)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.inner().get_blob(reference)
    }

    /// Knows no cursor: everything may have changed.
    fn changes(&self, _cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.inner().changes(None)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.inner().delete_session(session)
    }
}

impl Backend for Disk {
    fn info(&self) -> BackendInfo {
        self.info.clone()
    }
}

/// A conversation of two turns, and one that forks from its first.
fn two_conversations() -> MemoryStore {
    let store = MemoryStore::new();
    create(&store, session(1), segment(1), New { agent: "claude", native_id: Some("n-1".into()), ..New::default() });
    let told = vec![
        (Some("a#0".to_owned()), says(NOON + 1, "first")),
        (Some("b#0".to_owned()), answers(NOON + 2, "done")),
        (Some("b#1".to_owned()), uses(NOON + 2, Some("r-1"), 5, None)),
        (None, ends(NOON + 3, 1)),
        (Some("c#0".to_owned()), says(NOON + 4, "second")),
    ];
    append(&store, segment(1), told);
    let forked_from = Some(origin(session(1), segment(1), 5));
    create(&store, session(2), segment(2), New { agent: "claude", forked_from, ..New::default() });
    append(&store, segment(2), vec![(None, says(NOON + 5, "other"))]);
    store
}

fn listed(index: &Index) -> serde_json::Value {
    json!([
        index.list(&ListQuery::default()).unwrap(),
        index.segments(session(1)).unwrap(),
        index.segments(session(2)).unwrap(),
        index.record_homes("claude", "b").unwrap().iter().map(|home| home.seq).collect::<Vec<_>>(),
    ])
}

/// Everything is read: the file said nothing.
const ANEW: Refreshed = Refreshed { segments: 2, sessions: 2 };
/// The logs are looked at, and nothing is new.
const KEPT: Refreshed = Refreshed { segments: 2, sessions: 0 };

fn open_and_refresh(disk: &Disk) -> (Index, Refreshed) {
    let index = Index::open(disk).unwrap();
    let refreshed = index.refresh(disk).unwrap();
    (index, refreshed)
}

#[test]
fn a_second_process_finds_what_the_first_one_read_and_no_one_else_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let disk = Disk::new(two_conversations(), Some(path.clone()));
    let (first, refreshed) = open_and_refresh(&disk);
    assert_eq!(refreshed, ANEW);
    assert!(first.is_kept());
    let (second, refreshed) = open_and_refresh(&disk);
    assert_eq!(refreshed, KEPT);
    assert_eq!(listed(&second), listed(&index_of(&disk.inner())));
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

fn ruin(path: &Path, how: &str) {
    let mut bytes = fs::read(path).unwrap();
    match how {
        "deleted" => return fs::remove_file(path).unwrap(),
        "emptied" => bytes.clear(),
        "cut" => bytes.truncate(bytes.len() / 2 + 100),
        "overwritten" => bytes.fill(b'x'),
        "a page of it" => {
            let at = bytes.len() / 2;
            bytes[at..at + 4096].fill(0xA5);
        }
        "another version" => bytes[60..64].copy_from_slice(&99_u32.to_be_bytes()),
        "another program" => bytes[68..72].copy_from_slice(&7_u32.to_be_bytes()),
        other => panic!("{other}"),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_ruined_file_is_made_anew() {
    let ruins = ["deleted", "emptied", "cut", "overwritten", "a page of it", "another version", "another program"];
    for how in ruins {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.db");
        let disk = Disk::new(two_conversations(), Some(path.clone()));
        let (index, _) = open_and_refresh(&disk);
        drop(index);
        ruin(&path, how);
        let (index, refreshed) = open_and_refresh(&disk);
        assert_eq!(refreshed, ANEW, "{how}");
        assert!(index.is_kept(), "{how}");
        assert_eq!(listed(&index), listed(&index_of(&disk.inner())), "{how}");
        drop(index);
        assert_eq!(open_and_refresh(&disk).1, KEPT, "{how}");
    }
}

#[test]
fn a_file_that_another_store_left_there_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let here = Disk::new(two_conversations(), Some(path.clone()));
    drop(open_and_refresh(&here));
    let mut there = Disk::new(two_conversations(), Some(path));
    there.info.location = "elsewhere".to_owned();
    assert_eq!(open_and_refresh(&there).1, ANEW);
}

#[test]
fn where_no_file_can_be_written_the_index_lives_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "mine").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let places = [None, Some(folder.path().join("no/such/folder/index.db")), Some(folder.path().to_owned())];
    for place in places {
        let disk = Disk::new(two_conversations(), place.clone());
        let (index, refreshed) = open_and_refresh(&disk);
        assert_eq!((refreshed, index.is_kept()), (ANEW, false), "{place:?}");
        assert_eq!(listed(&index), listed(&index_of(&disk.inner())), "{place:?}");
    }
    let mut disk = Disk::new(two_conversations(), Some(folder.path().join("index.db")));
    disk.info.read_only = true;
    assert!(!open_and_refresh(&disk).0.is_kept(), "a store that is only read is not written beside");
    assert!(!folder.path().join("index.db").exists());

    let disk = Disk::new(two_conversations(), Some(link));
    open_and_refresh(&disk);
    assert_eq!(fs::read_to_string(target).unwrap(), "mine", "what a link points to is not the index's");
}

#[test]
fn two_that_refresh_the_same_file_at_once_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(two_conversations(), Some(folder.path().join("index.db")));
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let disk = &disk;
            scope.spawn(move || {
                let index = Index::open(disk).unwrap();
                for round in 0..10_u64 {
                    let number = 100 + worker * 10 + round;
                    create(&disk.inner(), session(number), segment(number), New { agent: "pi", ..New::default() });
                    append(&disk.inner(), segment(number), vec![(None, uses(NOON, Some("shared"), number, None))]);
                    index.refresh(disk).unwrap();
                    assert!(index.summary(session(number)).unwrap().is_some());
                }
            });
        }
    });
    let (index, _) = open_and_refresh(&disk);
    let all = index.list(&ListQuery::default()).unwrap();
    assert_eq!(all, index_of(&disk.inner()).list(&ListQuery::default()).unwrap());
    assert_eq!(all.total, 42);
}

#[test]
fn a_damaged_log_does_not_hide_the_rest() {
    let disk = Disk::new(two_conversations(), None);
    disk.damaged.lock().unwrap().push((segment(1), Seq(4)));
    let (index, _) = open_and_refresh(&disk);
    let row = index.summary(session(1)).unwrap().unwrap();
    assert!(row.damaged);
    assert_eq!((row.entries, row.messages, row.title.as_deref()), (3, 2, Some("first")), "what stands before is known");
    let fork = index.summary(session(2)).unwrap().unwrap();
    assert!(fork.damaged, "its history cannot be read");
    assert_eq!((fork.entries, fork.messages), (2, 1));

    disk.damaged.lock().unwrap().clear();
    index.refresh(&disk).unwrap();
    assert_eq!(listed(&index), listed(&index_of(&disk.inner())), "repaired");
}

#[test]
fn a_log_without_a_readable_start_is_listed() {
    let disk = Disk::new(two_conversations(), None);
    disk.damaged.lock().unwrap().push((segment(2), Seq(1)));
    let (index, _) = open_and_refresh(&disk);
    let row = index.summary(session(2)).unwrap().unwrap();
    assert_eq!((row.damaged, row.entries, row.created_at), (true, 0, segment(2).timestamp_ms()));
    assert!(!index.summary(session(1)).unwrap().unwrap().damaged);
}

#[test]
fn damaged_facts_keep_what_was_known_of_them() {
    let disk = Disk::new(two_conversations(), None);
    put(&disk.inner(), session(1), &SessionFact::Archived(true));
    let (index, _) = open_and_refresh(&disk);
    disk.without_facts.lock().unwrap().push(session(1));
    index.refresh(&disk).unwrap();
    let row = index.summary(session(1)).unwrap().unwrap();
    assert_eq!((row.damaged, row.archived), (true, true));
    disk.without_facts.lock().unwrap().clear();
    index.refresh(&disk).unwrap();
    assert!(!index.summary(session(1)).unwrap().unwrap().damaged);
}

#[test]
fn a_log_that_was_rolled_back_and_grew_again_is_read_anew_with_all_that_continues_it() {
    let disk = Disk::new(two_conversations(), None);
    let (index, _) = open_and_refresh(&disk);
    // The same ids, another history: fewer messages before the fork, another request.
    let other = MemoryStore::new();
    create(&other, session(1), segment(1), New { agent: "claude", native_id: Some("n-1".into()), ..New::default() });
    let told = vec![
        (Some("b#0".to_owned()), says(NOON + 1, "not the same")),
        (None, ends(NOON + 2, 1)),
        (None, uses(NOON + 2, Some("r-2"), 9, None)),
        (None, ends(NOON + 3, 1)),
        (None, ends(NOON + 3, 1)),
    ];
    append(&other, segment(1), told);
    let forked_from = Some(origin(session(1), segment(1), 5));
    create(&other, session(2), segment(2), New { agent: "claude", forked_from, ..New::default() });
    append(&other, segment(2), vec![(None, says(NOON + 5, "other"))]);
    *disk.store.lock().unwrap() = other;
    index.refresh(&disk).unwrap();
    assert_eq!(listed(&index), listed(&index_of(&disk.inner())));
    assert_eq!(index.summary(session(2)).unwrap().unwrap().title.as_deref(), Some("not the same"));
}

#[test]
fn sessions_that_went_without_a_word_are_noticed_when_the_index_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(two_conversations(), Some(folder.path().join("index.db")));
    drop(open_and_refresh(&disk));
    *disk.store.lock().unwrap() = MemoryStore::new();
    let (index, _) = open_and_refresh(&disk);
    assert_eq!(index.list(&ListQuery::default()).unwrap().total, 0);
    assert_eq!(index.record_homes("claude", "b").unwrap(), []);
}

#[test]
fn a_cursor_of_another_list_is_refused() {
    let index = index_of(&two_conversations());
    let query = ListQuery { cursor: Some("t.zz.00".to_owned()), ..ListQuery::default() };
    let error = index.list(&query).unwrap_err();
    assert!(matches!(&error, SessionError::BadCursor { cursor } if cursor == "t.zz.00"), "{error}");
}
