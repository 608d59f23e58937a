//! What a damaged database still holds is in the one that is made of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use store_core::integrity::{LOST_DOMAIN, VerifyOptions, verify};
use store_core::{Backend as _, FactScope, Record, SegmentId, Seq, SessionId, Store as _, StoreError};
use store_sqlite::{DatabaseSalvage, SqliteStore, salvage_database};

use crate::sample::{FIRST, FORK, SECOND, database, dump};
use crate::support::{Folder, SEGMENT, SESSION, fill};

const PAGE_BYTES: usize = 4096;

type Entries = BTreeMap<(SegmentId, Seq), Record>;

fn entries(store: &SqliteStore) -> Entries {
    let segments = store.list_sessions().unwrap().into_iter().flat_map(|session| {
        store.list_segments(session).unwrap().into_iter().map(move |segment| (session, segment)).collect::<Vec<_>>()
    });
    let records = segments.flat_map(|(session, segment): (SessionId, SegmentId)| {
        let records = store.read_range(session, segment, Seq(0), usize::MAX).unwrap();
        records.into_iter().map(move |record| ((segment, record.position.seq), record))
    });
    records.collect()
}

#[track_caller]
fn assert_whole(store: &SqliteStore) {
    let options = VerifyOptions { deep: true, threads: 1, ..VerifyOptions::default() };
    let report = verify(store.integrity().unwrap(), &options, &|_| ControlFlow::Continue(())).unwrap();
    let damage: Vec<_> = report.damage.iter().filter(|finding| !finding.detail.contains("is missing")).collect();
    assert!(damage.is_empty(), "{damage:?}");
}

/// Writes a database with these bytes and salvages it.
fn salvaged(bytes: &[u8]) -> store_core::Result<(Folder, DatabaseSalvage, SqliteStore)> {
    let folder = Folder::new();
    std::fs::write(folder.database(), bytes).unwrap();
    let target = folder.path().join("new.db");
    let report = salvage_database(folder.database(), &target, 9)?;
    assert!(std::fs::read(folder.database()).unwrap() == bytes, "the source is as it was");
    let store = SqliteStore::open(target).unwrap();
    Ok((folder, report, store))
}

#[test]
fn a_whole_database_comes_over_whole() {
    let folder = database();
    let before = entries(&folder.open());
    let (_new, report, store) = salvaged(&std::fs::read(folder.database()).unwrap()).unwrap();
    assert_eq!(entries(&store), before);
    assert_whole(&store);
    assert_eq!((report.sessions, report.segments, report.entries), (3, 3, before.len() as u64));
    assert_eq!((report.damaged_rows, report.side_rows_lost), (0, 0));
    assert!(report.lost.is_empty() && report.blobs_lost.is_empty() && report.unreadable_pages.is_empty());
    assert_eq!(report.blobs, 3);
    let old = folder.open();
    for scope in [FactScope::Store, FactScope::Session(FIRST.0)] {
        assert_eq!(store.facts(scope).unwrap(), old.facts(scope).unwrap());
    }
    assert_eq!(store.read_traces(FIRST.0, FIRST.1).unwrap(), old.read_traces(FIRST.0, FIRST.1).unwrap());
    let (new, old) = (store.integrity().unwrap(), old.integrity().unwrap());
    assert_eq!(new.checkpoints(SECOND.0, SECOND.1).unwrap(), old.checkpoints(SECOND.0, SECOND.1).unwrap());
    assert_eq!(new.events().unwrap()[..2], old.events().unwrap()[..]);
    assert_eq!(new.events().unwrap().len(), 3, "the salvage itself is recorded");
}

#[test]
fn what_was_deleted_or_rolled_back_does_not_come_back() {
    let folder = database();
    let (_new, _, store) = salvaged(&std::fs::read(folder.database()).unwrap()).unwrap();
    assert_eq!(store.list_sessions().unwrap(), [FORK.0, SECOND.0, FIRST.0]);
    assert_eq!(
        store.read_entry_count(SECOND.0, SECOND.1).unwrap(),
        folder.open().read_entry_count(SECOND.0, SECOND.1).unwrap()
    );
    let quarantined = |name: &str| -> u32 {
        let raw = rusqlite::Connection::open(name).unwrap();
        raw.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(quarantined(folder.database().to_str().unwrap()), 3);
    drop(store);
    assert_eq!(quarantined(_new.path().join("new.db").to_str().unwrap()), 3);
}

/// Which pages hold a piece of an entry's text, found without anything that takes pages apart: a text is cut into pieces that are short
/// enough for each page that has some of it to have one of them whole.
fn pages_of(text: &str, bytes: &[u8]) -> Vec<usize> {
    const PIECE: usize = 24;
    let pieces: Vec<&[u8]> = text.as_bytes().windows(PIECE).step_by(PIECE / 2).collect();
    let holds = |page: &[u8]| pieces.iter().any(|piece| page.windows(PIECE).any(|window| window == *piece));
    bytes.chunks(PAGE_BYTES).enumerate().filter(|(_, page)| holds(page)).map(|(number, _)| number).collect()
}

/// Whatever page is destroyed, and however: every entry that has no byte on it is there afterwards, where it was.
#[test]
fn nothing_valid_on_undamaged_pages_is_lost() {
    let folder = database();
    let before = entries(&folder.open());
    let bytes = std::fs::read(folder.database()).unwrap();
    let pages: BTreeMap<_, _> = before.iter().map(|(at, record)| (*at, pages_of(&record.text, &bytes))).collect();
    for page in 0..bytes.len() / PAGE_BYTES {
        let place = page * PAGE_BYTES;
        let flips = [
            (place..place + PAGE_BYTES, 0xA5),
            (place..place + 8, 0xFF),
            (place + 40..place + 42, 0x40),
            (place + PAGE_BYTES - 300..place + PAGE_BYTES - 290, 0x11),
        ];
        for (range, mask) in flips {
            let mut damaged = bytes.clone();
            damaged[range.clone()].iter_mut().for_each(|byte| *byte ^= mask);
            let (_new, report, store) = salvaged(&damaged).unwrap();
            let after = entries(&store);
            for (at, record) in &before {
                let saved = after.get(at).is_some_and(|found| (found.text == record.text) && (found.key == record.key));
                let lies_there = pages[at].contains(&page);
                assert!(saved || lies_there, "page {page}, {range:?}: entry {at:?} is lost");
                let is_said = after.get(at).is_none_or(|found| saved || found.text.contains(LOST_DOMAIN));
                assert!(is_said, "page {page}: {at:?} is neither what it was nor said to be lost");
            }
            let beyond = after.keys().filter(|at| !before.contains_key(at)).count();
            assert_eq!(beyond, 0, "page {page}, {range:?}: what was deleted is back");
            assert!(report.without_session.is_empty(), "page {page}: {report:?}");
            assert_whole(&store);
        }
    }
}

#[test]
fn a_source_that_was_not_closed_is_read_with_its_log() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 30);
    let copy = Folder::new();
    for suffix in ["", "-wal"] {
        std::fs::copy(folder.beside(suffix), copy.beside(suffix)).unwrap();
    }
    let target = copy.path().join("new.db");
    let report = salvage_database(copy.database(), &target, 1).unwrap();
    assert_eq!((report.entries, report.log_is_cut), (30, false));
    assert_eq!(SqliteStore::open(&target).unwrap().read_entry_count(SESSION, SEGMENT).unwrap(), 30);
    // A frame that is damaged is the end of what can be known to have been committed.
    let log = std::fs::read(copy.beside("-wal")).unwrap();
    let mut cut = log.clone();
    let at = log.len() - 2000;
    cut[at] ^= 1;
    std::fs::write(copy.beside("-wal"), cut).unwrap();
    let other = copy.path().join("other.db");
    match salvage_database(copy.database(), &other, 1) {
        Ok(report) => assert!(report.log_is_cut, "{report:?}"),
        Err(StoreError::NotAStore { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(std::fs::read(copy.beside("-wal")).unwrap().len(), log.len());
}

#[test]
fn a_source_that_somebody_writes_is_locked() {
    let folder = database();
    let _open = folder.open();
    match salvage_database(folder.database(), folder.path().join("new.db"), 1) {
        Err(StoreError::Locked { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(!folder.path().join("new.db").exists());
}

#[test]
fn what_is_no_store_gives_none() {
    let folder = Folder::new();
    let target = folder.path().join("new.db");
    for bytes in [vec![0; 9000], b"SQLite format 3".to_vec(), Vec::new()] {
        std::fs::write(folder.database(), &bytes).unwrap();
        match salvage_database(folder.database(), &target, 1) {
            Err(StoreError::NotAStore { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    std::fs::remove_file(folder.database()).unwrap();
    assert!(salvage_database(folder.database(), &target, 1).is_err());
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn a_target_that_is_there_is_not_touched() {
    let folder = database();
    let target = database();
    let before = dump(&target.database()).unwrap();
    match salvage_database(folder.database(), target.database(), 1) {
        Err(StoreError::Io { source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists),
        other => panic!("{other:?}"),
    }
    assert!(dump(&target.database()).unwrap() == before);
}
