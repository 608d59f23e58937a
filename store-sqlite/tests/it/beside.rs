//! Damage beside the logs: every table of rows that are numbered and counted, damaged in each way, repaired in one transaction.

use std::ops::ControlFlow;

use store_core::integrity::{
    EventKind, Integrity as _, MaintenanceOptions, NewCheckpoint, RecordKind, RecordRepair, VerifyOptions, verify,
};
use store_core::{Fact, FactScope, SessionId, Store as _, TraceEntry};
use store_sqlite::SqliteStore;

use crate::sample::{FIRST, SECOND, database, dump};
use crate::support::{Folder, input};

fn options(dry_run: bool) -> MaintenanceOptions {
    MaintenanceOptions { now: 20, dry_run, correlation_id: None }
}

fn damage(store: &SqliteStore) -> Vec<String> {
    let report = verify(store, &VerifyOptions::default(), &|_| ControlFlow::Continue(())).unwrap();
    report.damage.iter().map(ToString::to_string).collect()
}

/// Repairs everything beside the logs of the sample.
fn repair(store: &SqliteStore, dry_run: bool) -> Vec<RecordRepair> {
    let scopes: [Option<SessionId>; 3] = [None, Some(FIRST.0), Some(SECOND.0)];
    scopes.iter().flat_map(|scope| store.repair_beside(*scope, &options(dry_run)).unwrap()).collect()
}

/// What was repaired when somebody ran statements in the sample; nothing is wrong afterwards, and everything can be gone on with.
fn repaired_after(sql: &str) -> (Folder, SqliteStore, Vec<RecordRepair>) {
    let folder = database();
    let raw = folder.raw();
    raw.pragma_update(None, "foreign_keys", false).unwrap();
    raw.execute_batch(sql).unwrap();
    drop(raw);
    let store = folder.open();
    assert_ne!(damage(&store), Vec::<String>::new(), "{sql}");
    let before = dump(&folder.database()).unwrap();
    let planned = repair(&store, true);
    assert_eq!(dump(&folder.database()).unwrap(), before, "{sql}: a dry run changes nothing");
    let done = repair(&store, false);
    assert_eq!(planned.len(), done.len(), "{sql}");
    assert_eq!(damage(&store), Vec::<String>::new(), "{sql}");
    for scope in [FactScope::Store, FactScope::Session(FIRST.0)] {
        let fact = Fact { ts: 9, domain: "title".to_owned(), value: "on".into() };
        store.put_fact(scope, &fact).unwrap();
        assert_eq!(store.facts(scope).unwrap().last(), Some(&fact), "{sql}");
    }
    let trace = TraceEntry { ts: 9, event: "on".to_owned(), payload: 1.into() };
    store.append_trace(FIRST.0, FIRST.1, &trace).unwrap();
    assert_eq!(store.read_traces(FIRST.0, FIRST.1).unwrap().last(), Some(&trace), "{sql}");
    let events = store.events().unwrap();
    for one in &done {
        let tells = |what: &EventKind| matches!(what, EventKind::RecordRepaired { migration_id, .. } if *migration_id == one.migration_id);
        assert!(events.iter().any(|event| tells(&event.what)), "{sql}: it is recorded");
    }
    assert_eq!(repair(&store, false), Vec::new(), "{sql}: nothing is left to repair");
    (folder, store, done)
}

#[test]
fn every_row_beside_the_logs_that_is_whole_is_kept() {
    use RecordKind::{Checkpoints, Events, Facts, Traces};
    let of_first = "scope = x'11111111111111111111111111111111'";
    for (sql, record, kept, lost) in [
        (format!("UPDATE facts SET body = replace(body, '2', '7') WHERE {of_first} AND seq = 2"), Facts, 2, 1),
        (format!("UPDATE facts SET crc32c = 1 WHERE {of_first}"), Facts, 0, 3),
        (format!("DELETE FROM facts WHERE {of_first} AND seq = 1"), Facts, 2, 1),
        (format!("DELETE FROM facts WHERE {of_first} AND seq = 3"), Facts, 2, 1),
        (format!("UPDATE facts SET seq = 30 WHERE {of_first} AND seq = 3"), Facts, 2, 1),
        (format!("UPDATE facts SET domain = 'other' WHERE {of_first}"), Facts, 3, 0),
        ("UPDATE sessions SET fact_count = fact_count + 1 WHERE fact_count > 0".to_owned(), Facts, 3, 1),
        ("UPDATE facts SET body = 'x' WHERE length(scope) = 0 AND seq = 2".to_owned(), Facts, 2, 1),
        ("UPDATE store SET fact_count = 2".to_owned(), Facts, 3, 0),
        ("UPDATE store SET fact_count = 1000000000".to_owned(), Facts, 3, 0),
        ("UPDATE traces SET body = body || ' ' WHERE seq = 1".to_owned(), Traces, 2, 1),
        ("UPDATE segments SET trace_count = 0 WHERE trace_count > 0".to_owned(), Traces, 3, 0),
        ("UPDATE checkpoints SET body = replace(body, 'a test', 'a toast')".to_owned(), Checkpoints, 0, 1),
        ("UPDATE segments SET checkpoint_count = 7 WHERE checkpoint_count > 0".to_owned(), Checkpoints, 1, 6),
        ("UPDATE events SET body = replace(body, '7', '6') WHERE seq = 1".to_owned(), Events, 1, 1),
        ("UPDATE store SET event_count = 1".to_owned(), Events, 2, 0),
    ] {
        let (_folder, _, done) = repaired_after(&sql);
        let shape: Vec<_> = done.iter().map(|one| (one.at.record, one.kept, one.lost)).collect();
        assert_eq!(shape, [(record, kept, lost)], "{sql}");
    }
}

#[test]
fn what_is_taken_out_is_kept_where_the_repair_says() {
    let (_folder, store, done) = repaired_after("UPDATE facts SET body = 'what stood there' WHERE seq = 2");
    let paths: Vec<_> = done.iter().flat_map(|one| &one.quarantined).filter_map(|one| one.path.clone()).collect();
    let [event, quarantine] = <[String; 2]>::try_from(paths).unwrap();
    let number: i64 = event.strip_prefix("event ").unwrap().parse().unwrap();
    let raw = rusqlite::Connection::open(&store_core::Backend::info(&store).location).unwrap();
    let body: String = raw.query_row("SELECT body FROM events WHERE seq = ?1", [number], |row| row.get(0)).unwrap();
    assert!(body.contains("what stood there"), "{body}");
    let number: i64 = quarantine.strip_prefix("quarantine ").unwrap().parse().unwrap();
    let kept: (String, String) = raw
        .query_row("SELECT key, body FROM quarantine WHERE number = ?1", [number], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(kept, ("title".to_owned(), "what stood there".to_owned()));
}

#[test]
fn a_checkpoint_that_a_lost_row_had_made_void_does_not_hold_again() {
    // The checkpoint is one of more entries than the log has.
    let sql = "DELETE FROM entries WHERE segment_id = x'22222222222222222222222222222222' AND seq > 10;
               UPDATE segments SET entry_count = 10 WHERE segment_id = x'22222222222222222222222222222222';
               INSERT INTO checkpoints VALUES (x'22222222222222222222222222222222', 2, '{\"void_after\":0}', 1)";
    let (_folder, store, _) = repaired_after(sql);
    assert!(store.checkpoints(SECOND.0, SECOND.1).unwrap().iter().all(|one| one.void));
}

/// A record that was repaired gives its events other numbers: what a cursor has seen is told by more than a number.
#[test]
fn what_is_rewritten_after_the_record_of_events_was_repaired_is_told() {
    let folder = database();
    let store = folder.open();
    for entries in 0..3 {
        store.append(FIRST.0, FIRST.1, &input(entries)).unwrap();
        let new = NewCheckpoint { reason: "before".to_owned(), name: None, now: 9 };
        let made = store.checkpoint(FIRST.0, FIRST.1, &new).unwrap();
        store.append(FIRST.0, FIRST.1, &input(entries)).unwrap();
        store.rollback(FIRST.0, FIRST.1, made.number, &options(false)).unwrap();
    }
    let seen = store.changes(None).unwrap().cursor;
    let events = store.events().unwrap().len();
    let raw = folder.raw();
    raw.execute("UPDATE events SET body = 'damaged' WHERE seq <= 2", []).unwrap();
    drop(raw);
    assert_eq!(store.repair_beside(None, &options(false)).unwrap().len(), 1);
    store.append(FIRST.0, FIRST.1, &input(8)).unwrap();
    store.rollback(FIRST.0, FIRST.1, 1, &options(false)).unwrap();
    assert_eq!(store.events().unwrap().len(), events, "two are gone, and two came");
    assert_eq!(store.changes(Some(&seen)).unwrap().rewritten, [FIRST]);
}
