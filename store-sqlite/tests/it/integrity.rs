//! What a database has of its own to be proved and repaired: its columns, its pages, its versions.

use std::ops::ControlFlow;

use store_core::integrity::{
    FindingKind, Integrity as _, MaintenanceOptions, NewCheckpoint, Scanned, VerifyOptions, verify,
};
use store_core::{AppendOptions, Seq, Store as _, StoreError};
use store_sqlite::SqliteStore;

use crate::sample::{FIRST, FORK, database};
use crate::support::{Folder, SEGMENT, SESSION, fill, quiet};

fn found(store: &SqliteStore) -> Vec<(FindingKind, Option<u64>)> {
    let report = verify(store, &VerifyOptions::default(), &|_| ControlFlow::Continue(())).unwrap();
    report.damage.iter().map(|finding| (finding.kind, finding.seq.map(|seq| seq.0))).collect()
}

/// What verifying finds when somebody ran a statement in the sample.
fn found_after(sql: &str) -> Vec<(FindingKind, Option<u64>)> {
    let folder = database();
    let raw = folder.raw();
    raw.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(raw.execute(sql, []).unwrap() > 0, "the statement must change something: {sql}");
    drop(raw);
    found(&folder.open())
}

#[test]
fn what_no_checksum_covers_is_held_against_what_it_repeats() {
    use FindingKind::{Blob, Checksum, Projection, Structure};
    for (sql, kind) in [
        ("UPDATE entries SET kind = 'other' WHERE seq = 3", Projection),
        ("UPDATE entries SET ts = ts + 1 WHERE seq = 3", Projection),
        ("UPDATE segments SET origin_seq = 3 WHERE origin_seq = 4", Projection),
        ("UPDATE segments SET origin_turn = 9 WHERE origin_seq = 4", Projection),
        ("UPDATE segments SET entry_count = entry_count + 1", Projection),
        ("UPDATE segments SET trace_count = trace_count + 1", Checksum),
        ("UPDATE segments SET checkpoint_count = checkpoint_count + 1", Checksum),
        ("UPDATE sessions SET fact_count = fact_count + 1", Checksum),
        ("UPDATE facts SET domain = 'other'", Checksum),
        ("UPDATE store SET last_change = last_change + 1", Projection),
        ("UPDATE store SET fact_count = 2", Checksum),
        ("UPDATE store SET event_count = 1", Checksum),
        ("UPDATE events SET body = replace(body, '7', '6')", Checksum),
        ("UPDATE checkpoints SET body = replace(body, 'a test', 'a toast')", Checksum),
        ("UPDATE quarantine SET body = 'nothing' WHERE number = 2", Checksum),
        ("UPDATE quarantine SET seq = seq + 1 WHERE number = 2", Checksum),
        ("UPDATE blobs SET bytes = bytes + 1", Blob),
        ("UPDATE blob_parts SET data = x'00'", Blob),
        ("DELETE FROM sessions", Structure),
        ("DELETE FROM blobs", Structure),
    ] {
        let found = found_after(sql);
        assert!(found.iter().any(|(what, _)| *what == kind), "{sql}: {found:?}");
    }
}

#[test]
fn a_table_or_index_of_somebody_else_is_told() {
    for sql in ["CREATE TABLE mine (x)", "CREATE INDEX mine ON entries (ts)", "DROP INDEX segments_by_session"] {
        let folder = database();
        folder.raw().execute_batch(sql).unwrap();
        let found = found(&SqliteStore::open_read_only(folder.database()).unwrap());
        assert_eq!(found, [(FindingKind::Structure, None)], "{sql}");
    }
}

#[test]
fn files_that_others_may_use_are_told() {
    let folder = database();
    std::fs::set_permissions(folder.database(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(found(&SqliteStore::open_read_only(folder.database()).unwrap()), [(FindingKind::Permission, None)]);
}

#[test]
fn a_repair_brings_columns_in_step_with_the_texts() {
    let folder = database();
    let raw = folder.raw();
    raw.execute("UPDATE entries SET kind = 'other', ts = 77 WHERE seq = 3", []).unwrap();
    raw.execute("UPDATE segments SET origin_turn = 9 WHERE origin_seq = 4", []).unwrap();
    drop(raw);
    let store = folder.open();
    for (session, segment) in [FIRST, FORK, crate::sample::SECOND] {
        let before = store.read_range(session, segment, Seq(0), usize::MAX).unwrap();
        let repair = store.repair(session, segment, &MaintenanceOptions::default()).unwrap();
        assert!(repair.migration_id.is_some() && repair.lost.is_empty() && repair.quarantined.is_empty(), "{repair:?}");
        assert_eq!(store.read_range(session, segment, Seq(0), usize::MAX).unwrap(), before);
    }
    assert_eq!(found(&store), []);
}

#[test]
fn rows_that_are_missing_at_the_end_are_lost_and_not_given_again() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 5);
    folder.raw().execute("DELETE FROM entries WHERE seq > 3", []).unwrap();
    let repair = store.repair(SESSION, SEGMENT, &MaintenanceOptions::default()).unwrap();
    assert_eq!((repair.kept, repair.lost[0].from, repair.lost[0].through), (3, Seq(4), Seq(5)));
    assert_eq!(store.append_with(SESSION, SEGMENT, &[quiet(9)], &AppendOptions::default()).unwrap()[0].seq, Seq(6));
    assert_eq!(found(&store), []);
}

/// Destroys the page that holds an entry's text, in a closed database.
fn destroy_page_of(folder: &Folder, text: &str) {
    let mut bytes = std::fs::read(folder.database()).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at / 4096 * 4096..][..4096].fill(0xA5);
    std::fs::write(folder.database(), bytes).unwrap();
}

#[test]
fn a_scan_goes_on_behind_a_page_that_cannot_be_read() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 400);
    drop(store);
    destroy_page_of(&folder, r#"{"kind":"user_input","ts":200,"#);
    let store = SqliteStore::open_read_only(folder.database()).unwrap();
    let (mut valid, mut stretches) = (Vec::new(), Vec::new());
    store
        .scan(SESSION, SEGMENT, &mut |scanned| {
            match scanned {
                Scanned::Entry(entry) => valid.push(entry.position.seq.0),
                Scanned::Damaged(stretch) => stretches.push((stretch.kind, stretch.seq)),
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let missing: Vec<u64> = (1..=400).filter(|seq| !valid.contains(seq)).collect();
    assert!(missing.contains(&200) && missing.len() < 100, "{missing:?}");
    assert_eq!((valid[0], valid.last()), (1, Some(&400)), "what stands before and behind it is read");
    assert_eq!(stretches, [(FindingKind::Structure, Some(Seq(missing[0])))]);
}

#[test]
fn a_repair_of_what_sqlite_cannot_read_fails_and_says_so() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 400);
    drop(store);
    destroy_page_of(&folder, r#"{"kind":"user_input","ts":200,"#);
    let store = folder.open();
    match store.repair(SESSION, SEGMENT, &MaintenanceOptions::default()) {
        Err(StoreError::Corrupt(_)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(store.events().unwrap().len(), 1);
}

#[test]
fn a_scan_of_a_long_log_hands_over_every_entry_once() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    let text = "x".repeat(1024 * 1024);
    for ts in 2..14 {
        let entry = store_core::NewEntry::text(format!(r#"{{"kind":"long","ts":{ts},"text":"{text}"}}"#));
        store.append_with(SESSION, SEGMENT, &[entry], &AppendOptions::default()).unwrap();
    }
    let mut seqs = Vec::new();
    let mut visit = |scanned: Scanned<'_>| {
        let Scanned::Entry(entry) = scanned else { panic!("{scanned:?}") };
        seqs.push(entry.position.seq.0);
        // A visitor may use the store.
        assert_eq!(store.read_entry_count(SESSION, SEGMENT).unwrap(), 13);
        ControlFlow::Continue(())
    };
    store.scan(SESSION, SEGMENT, &mut visit).unwrap();
    assert_eq!(seqs, (1..=13).collect::<Vec<_>>());
}

#[test]
fn a_scan_notices_that_the_log_is_another_one() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    store.checkpoint(SESSION, SEGMENT, &NewCheckpoint { reason: "start".to_owned(), name: None, now: 1 }).unwrap();
    let text = "x".repeat(1024 * 1024);
    for ts in 2..14 {
        let entry = store_core::NewEntry::text(format!(r#"{{"kind":"long","ts":{ts},"text":"{text}"}}"#));
        store.append_with(SESSION, SEGMENT, &[entry], &AppendOptions::default()).unwrap();
    }
    let mut rolled_back = false;
    let answer = store.scan(SESSION, SEGMENT, &mut |_| {
        if !std::mem::replace(&mut rolled_back, true) {
            store.rollback(SESSION, SEGMENT, 1, &MaintenanceOptions::default()).unwrap();
        }
        ControlFlow::Continue(())
    });
    match answer {
        Err(StoreError::Busy { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_blob_that_another_handle_holds_is_not_collected() {
    let folder = Folder::new();
    let (store, other) = (folder.open(), folder.open());
    let guard = other.put_blob(b"to be referred to").unwrap();
    match store.collect(false) {
        Err(StoreError::Busy { .. }) => {}
        answer => panic!("{answer:?}"),
    }
    drop((guard, other));
    assert_eq!(store.collect(false).unwrap().blobs.removed, 1);
}

#[test]
fn what_a_creation_left_is_collected() {
    let folder = database();
    std::fs::write(folder.beside(".new"), b"half").unwrap();
    let store = folder.open();
    let temporary = |dry| store.collect(dry).unwrap().temporary;
    assert_eq!((temporary(true).removed, temporary(false).bytes, temporary(true).removed), (1, 4, 0));
    assert!(!folder.beside(".new").exists());
}

/// Nobody lists what has no row of its own, so nobody saw that blobs were referred to there.
#[test]
fn nothing_is_collected_where_rows_have_lost_their_segment_or_session() {
    for sql in [
        "DELETE FROM segments",
        "DELETE FROM sessions",
        "DELETE FROM entries",
        "DELETE FROM entries WHERE seq > 2",
        "UPDATE facts SET scope = randomblob(16) WHERE length(scope) > 0",
    ] {
        let folder = database();
        assert!(folder.open().collect(true).is_ok());
        let raw = folder.raw();
        raw.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(raw.execute(sql, []).unwrap() > 0, "the statement must change something: {sql}");
        let blobs = || raw.query_row("SELECT count(*) FROM blobs", [], |row| row.get::<_, u32>(0)).unwrap();
        let before = blobs();
        let store = folder.open();
        assert!(!found(&store).is_empty(), "{sql}");
        for dry_run in [true, false] {
            assert!(matches!(store.collect(dry_run), Err(StoreError::Corrupt(_))), "{sql}");
        }
        assert_eq!(blobs(), before, "{sql}");
    }
}
