//! Rows that another program changed, lost or added are noticed, and named.

use std::io::{Seek as _, SeekFrom, Write as _};

use store_core::{AppendOptions, BlobRef, Damage, Fact, FactScope, Seq, Store as _, StoreError, TraceEntry};
use store_sqlite::SqliteStore;

use crate::support::{Folder, SEGMENT, SESSION, fill, input, quiet};

/// A store with five entries in which somebody ran a statement.
fn changed_by(sql: &str) -> (Folder, SqliteStore) {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 5);
    folder.raw().pragma_update(None, "foreign_keys", false).unwrap();
    let changed = folder.raw().execute(sql, []).unwrap();
    assert!(changed > 0, "the statement must change something: {sql}");
    (folder, store)
}

#[track_caller]
fn damage<T: std::fmt::Debug>(result: store_core::Result<T>) -> Damage {
    match result {
        Err(StoreError::Corrupt(damage)) => damage,
        other => panic!("expected damage, got {other:?}"),
    }
}

#[test]
fn an_edited_body_is_found_and_named() {
    let (_folder, store) = changed_by("UPDATE entries SET body = replace(body, '3', '4') WHERE seq = 3");
    let found = damage(store.read_all(SESSION, SEGMENT));
    assert_eq!((found.segment, found.part, found.offset, found.seq), (Some(SEGMENT), 1, 3, Some(Seq(3))), "{found}");
}

#[test]
fn what_stands_before_and_behind_a_damaged_row_can_be_read() {
    let (_folder, store) = changed_by("UPDATE entries SET body = replace(body, '3', '4') WHERE seq = 3");
    assert_eq!(store.read_range(SESSION, SEGMENT, Seq(0), 2).unwrap().len(), 2);
    assert_eq!(store.read_range(SESSION, SEGMENT, Seq(3), 9).unwrap().len(), 2);
    assert_eq!(store.read_tail(SESSION, SEGMENT, 2).unwrap().len(), 2);
    damage(store.read_range(SESSION, SEGMENT, Seq(2), 1));
}

#[test]
fn an_edited_key_is_found() {
    let (_folder, store) = changed_by("UPDATE entries SET key = 'other' WHERE seq = 3");
    assert_eq!(damage(store.read_all(SESSION, SEGMENT)).seq, Some(Seq(3)));
}

#[test]
fn an_entry_with_the_key_of_a_damaged_row_is_not_answered_from_it() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    let entry = [quiet(7).with_key("k")];
    store.append_with(SESSION, SEGMENT, &entry, &AppendOptions::default()).unwrap();
    folder.raw().execute("UPDATE entries SET crc32c = crc32c + 1 WHERE seq = 2", []).unwrap();
    let found = damage(store.append_with(SESSION, SEGMENT, &entry, &AppendOptions::default()));
    assert_eq!(found.seq, Some(Seq(2)));
}

#[test]
fn two_rows_that_changed_places_are_found() {
    let swap = "UPDATE entries SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE seq IN (2, 3)";
    let (folder, store) = changed_by(swap);
    folder.raw().execute("UPDATE entries SET seq = -seq WHERE seq < 0", []).unwrap();
    assert_eq!(damage(store.read_all(SESSION, SEGMENT)).seq, Some(Seq(2)));
}

#[test]
fn a_row_that_is_missing_in_the_middle_is_found() {
    let (_folder, store) = changed_by("DELETE FROM entries WHERE seq = 3");
    let found = damage(store.read_all(SESSION, SEGMENT));
    assert_eq!(found.seq, Some(Seq(3)), "{found}");
    assert_eq!(damage(store.read_range(SESSION, SEGMENT, Seq(2), 1)).seq, Some(Seq(3)));
}

#[test]
fn a_row_that_is_missing_at_the_end_is_found_by_every_reader_of_the_end() {
    let (_folder, store) = changed_by("DELETE FROM entries WHERE seq = 5");
    assert_eq!(damage(store.read_all(SESSION, SEGMENT)).seq, Some(Seq(5)));
    assert_eq!(damage(store.read_tail(SESSION, SEGMENT, 1)).seq, Some(Seq(5)));
    assert_eq!(damage(store.read_entry_count(SESSION, SEGMENT)).seq, Some(Seq(5)));
}

#[test]
fn nothing_is_appended_behind_a_row_that_is_missing() {
    let (folder, store) = changed_by("DELETE FROM entries WHERE seq = 5");
    damage(store.append(SESSION, SEGMENT, &input(6)));
    let rows: u32 = folder.raw().query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 4);
}

#[test]
fn a_row_that_nobody_counted_is_found() {
    let (_folder, store) =
        changed_by("INSERT INTO entries SELECT segment_id, 6, kind, ts, key, body, crc32c FROM entries WHERE seq = 5");
    assert_eq!(damage(store.read_all(SESSION, SEGMENT)).seq, Some(Seq(6)));
    assert_eq!(damage(store.read_entry_count(SESSION, SEGMENT)).seq, Some(Seq(6)));
}

#[test]
fn a_count_that_was_edited_is_found() {
    let (_folder, store) = changed_by("UPDATE segments SET entry_count = 4");
    assert_eq!(damage(store.read_entry_count(SESSION, SEGMENT)).seq, Some(Seq(5)));
    assert_eq!(damage(store.read_all(SESSION, SEGMENT)).seq, Some(Seq(5)));
}

fn fact(ts: u64) -> Fact {
    Fact { ts, domain: "title".to_owned(), value: ts.into() }
}

#[test]
fn a_fact_that_was_edited_or_lost_is_found() {
    for scope in [FactScope::Store, FactScope::Session(SESSION)] {
        for sql in [
            "UPDATE facts SET body = replace(body, '2', '5') WHERE seq = 2",
            "DELETE FROM facts WHERE seq = 2",
            "DELETE FROM facts WHERE seq = 3",
        ] {
            let folder = Folder::new();
            let store = folder.open();
            fill(&store, 1);
            for ts in 1..=3 {
                store.put_fact(scope, &fact(ts)).unwrap();
            }
            folder.raw().execute(sql, []).unwrap();
            assert_eq!(damage(store.facts(scope)).segment, None, "{sql}");
        }
    }
}

#[test]
fn a_fact_that_was_given_to_another_session_is_found() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    store.put_fact(FactScope::Store, &fact(1)).unwrap();
    folder.raw().execute("UPDATE facts SET scope = ?1", [SESSION.as_bytes()]).unwrap();
    folder.raw().execute("UPDATE sessions SET fact_count = 1", []).unwrap();
    damage(store.facts(FactScope::Session(SESSION)));
}

#[test]
fn a_trace_that_was_edited_or_lost_is_found() {
    for sql in ["UPDATE traces SET body = replace(body, '1', '5') WHERE seq = 1", "DELETE FROM traces WHERE seq = 2"] {
        let folder = Folder::new();
        let store = folder.open();
        fill(&store, 1);
        for ts in [1, 2] {
            let trace = TraceEntry { ts, event: "e".to_owned(), payload: ts.into() };
            store.append_trace(SESSION, SEGMENT, &trace).unwrap();
        }
        folder.raw().execute(sql, []).unwrap();
        assert_eq!(damage(store.read_traces(SESSION, SEGMENT)).segment, Some(SEGMENT), "{sql}");
    }
}

#[test]
fn a_blob_that_was_edited_is_found_and_putting_it_again_heals_it() {
    let folder = Folder::new();
    let store = folder.open();
    let reference: BlobRef = store.put_blob(b"the bytes").unwrap().reference().clone();
    folder.raw().execute("UPDATE blob_parts SET data = x'00'", []).unwrap();
    damage(store.get_blob(&reference));
    store.put_blob(b"the bytes").unwrap();
    assert_eq!(store.get_blob(&reference).unwrap(), b"the bytes");
}

#[test]
fn a_blob_of_several_parts_comes_back() {
    let store_folder = Folder::new();
    let store = store_folder.open();
    let bytes: Vec<u8> = (0..40_u32 * 1024 * 1024).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let reference = store.put_blob(&bytes).unwrap().reference().clone();
    assert!(store.get_blob(&reference).unwrap() == bytes, "the bytes that came back are not those that were put");
    store_folder.raw().execute("DELETE FROM blob_parts WHERE part = 2", []).unwrap();
    damage(store.get_blob(&reference));
}

#[test]
fn pages_that_were_overwritten_are_damage_and_no_panic() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 500);
    drop(store);
    let mut file = std::fs::OpenOptions::new().write(true).open(folder.database()).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    let rest = usize::try_from(file.metadata().unwrap().len()).unwrap() - 4096;
    file.write_all(&vec![0xA5; rest]).unwrap();
    drop(file);
    match SqliteStore::open(folder.database()).and_then(|store| store.read_all(SESSION, SEGMENT)) {
        Err(StoreError::Corrupt(_)) => {}
        other => panic!("expected damage, got {other:?}"),
    }
}

/// Whatever byte of the file flips, what is read is what was written, or an error: never something else.
#[test]
fn a_flipped_byte_anywhere_gives_an_error_or_the_same_answer() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 40);
    store.append_with(SESSION, SEGMENT, &[quiet(41).with_key("k")], &AppendOptions::default()).unwrap();
    let written = store.read_range(SESSION, SEGMENT, Seq(0), usize::MAX).unwrap();
    drop(store);
    let bytes = std::fs::read(folder.database()).unwrap();
    let mut errors = 0;
    for at in (0..bytes.len()).step_by(61) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x41;
        // A new file each time, so that no answer comes from a cache.
        let folder = Folder::new();
        std::fs::write(folder.database(), changed).unwrap();
        let read = SqliteStore::open_read_only(folder.database())
            .and_then(|store| store.read_range(SESSION, SEGMENT, Seq(0), usize::MAX));
        match read {
            Ok(records) => assert!(records == written, "byte {at}: another answer than what was written"),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 50, "only {errors} changes were noticed");
}
