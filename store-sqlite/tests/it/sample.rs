//! A small store of real conversations with something of everything in it.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;
use store_core::integrity::{Event, EventKind, Integrity as _, MaintenanceOptions, NewCheckpoint};
use store_core::{
    AppendOptions, CreateOptions, Fact, FactScope, LogEntry, NewEntry, SegmentId, SegmentOrigin, SegmentStart, Seq,
    SessionId, Store as _, TraceEntry,
};
use store_sqlite::SqliteStore;

use crate::support::Folder;

/// The ids of the sample: two conversations, a fork of the first one in a session of its own.
pub(crate) const FIRST: (SessionId, SegmentId) = (SessionId::from_bytes([0x11; 16]), SegmentId::from_bytes([0x12; 16]));
pub(crate) const SECOND: (SessionId, SegmentId) =
    (SessionId::from_bytes([0x21; 16]), SegmentId::from_bytes([0x22; 16]));
pub(crate) const FORK: (SessionId, SegmentId) = (SessionId::from_bytes([0x31; 16]), SegmentId::from_bytes([0x32; 16]));
const DELETED: (SessionId, SegmentId) = (SessionId::from_bytes([0x41; 16]), SegmentId::from_bytes([0x42; 16]));

const CODEX: &str = "codex/sessions/2026/11/21/rollout-2026-11-21T03-55-15-01a1fc3e-7b62-73d3-a091-1d012c23bd79.jsonl";
const PI: &str =
    "pi/agent/sessions/--home-dev-src-acme-api--/2026-11-21T03-57-58-411Z_01a1fc40-f70a-76c6-a20d-1b90f8c1da48.jsonl";

/// Entries with the lines of a conversation that an agent wrote.
fn lines(file: &str, count: usize) -> Vec<NewEntry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conversations").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    // The longest lines take several pages, which a few of them show as well as many.
    let lines = text.lines().filter(|line| line.len() < 9_000).take(count);
    lines
        .zip(2..)
        .map(|(line, ts)| NewEntry::text(format!(r#"{{"kind":"sample.line","ts":{ts},"line":{line}}}"#)))
        .collect()
}

fn start(session: SessionId, origin: Option<SegmentOrigin>) -> NewEntry {
    let mut start = SegmentStart::new(session, 1);
    start.forked_from = origin;
    NewEntry::typed(LogEntry::SegmentStart(Box::new(start)))
}

fn create(store: &SqliteStore, (session, segment): (SessionId, SegmentId), entries: Vec<NewEntry>) {
    let entries: Vec<NewEntry> = [start(session, None)].into_iter().chain(entries).collect();
    store.create_segment(session, segment, &entries, &CreateOptions::default()).unwrap();
}

/// Fills an empty store.
pub(crate) fn fill(store: &SqliteStore) {
    create(store, DELETED, lines(CODEX, 12));
    create(store, FIRST, lines(CODEX, 10));
    create(store, SECOND, lines(PI, 12));
    for (number, entry) in lines(PI, 4).into_iter().enumerate() {
        let entry = entry.with_key(format!("a key of {number}"));
        store.append_with(FIRST.0, FIRST.1, &[entry], &AppendOptions::default()).unwrap();
    }
    let origin = SegmentOrigin { session_id: FIRST.0, segment_id: FIRST.1, seq: Seq(4), at_turn_index: 1 };
    store.create_segment(FORK.0, FORK.1, &[start(FORK.0, Some(origin))], &CreateOptions::default()).unwrap();
    let new = NewCheckpoint { reason: "a test".to_owned(), name: Some("here".to_owned()), now: 7 };
    store.checkpoint(SECOND.0, SECOND.1, &new).unwrap();
    store.append_with(SECOND.0, SECOND.1, &lines(CODEX, 3), &AppendOptions::default()).unwrap();
    let options = MaintenanceOptions { now: 8, dry_run: false, correlation_id: Some("one".to_owned()) };
    store.rollback(SECOND.0, SECOND.1, 1, &options).unwrap();
    for ts in 1..4 {
        let trace = TraceEntry { ts, event: "model.called".to_owned(), payload: ts.into() };
        store.append_trace(FIRST.0, FIRST.1, &trace).unwrap();
        let fact = Fact { ts, domain: "title".to_owned(), value: format!("Title {ts}").into() };
        store.put_fact(FactScope::Session(FIRST.0), &fact).unwrap();
        store.put_fact(FactScope::Store, &fact).unwrap();
    }
    let blob: Vec<u8> = (0..9_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let guard = store.put_blob(&blob).unwrap();
    let reference = serde_json::to_string(guard.reference()).unwrap();
    let entry = NewEntry::text(format!(r#"{{"kind":"sample.blob","ts":9,"part":{reference}}}"#));
    store.append_with(FIRST.0, FIRST.1, &[entry], &AppendOptions::default()).unwrap();
    store.put_blob(b"").unwrap();
    store.put_blob(b"nobody refers to it").unwrap();
    store.record(&Event::done(9, EventKind::HoleAcknowledged { log: "a".to_owned(), kept: "b".to_owned() })).unwrap();
    store.delete_session(DELETED.0).unwrap();
}

/// A closed database with the sample in it.
pub(crate) fn database() -> Folder {
    let folder = Folder::new();
    fill(&folder.open());
    folder
}

/// Everything that a database says, table by table and row by row, and what makes its tables.
pub(crate) fn dump(path: &Path) -> rusqlite::Result<Vec<(String, Vec<Vec<Value>>)>> {
    let connection = Connection::open(path)?;
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let tables: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let schema = "(SELECT type, name, tbl_name, sql FROM sqlite_schema)".to_owned();
    let all = tables.into_iter().map(|table| format!("\"{table}\"")).chain([schema]);
    let rows = all.map(|table| {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_count();
        let read =
            |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>();
        let rows: Vec<Vec<Value>> = statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
        Ok((table, rows))
    });
    let mut rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    let application_id: Value = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    rows.push(("application_id".to_owned(), vec![vec![application_id]]));
    Ok(rows)
}
