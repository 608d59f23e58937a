//! The format on disk: what each version is, and that all of them are still read.

use std::fmt::Write as _;

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;
use store_core::integrity::{FindingKind, Outcome, VerifyOptions, verify};
use store_core::ledger::{Ledger as _, LedgerError};
use store_core::{Backend as _, BlobRef, ChangeCursor, FactScope, Seq, Store as _};
use store_sqlite::{OpenAs, SqliteLedger, SqliteOptions, SqliteStore};

use crate::support::{Folder, SEGMENT, SESSION, fill, input};

fn pragma(connection: &Connection, name: &str) -> String {
    let value = connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    match value {
        rusqlite::types::Value::Integer(number) => format!("{number:#x}"),
        rusqlite::types::Value::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_schema_is_the_documented_one() {
    let folder = Folder::new();
    drop(folder.open());
    let raw = folder.raw();
    let mut text = String::new();
    for name in ["application_id", "user_version", "journal_mode", "encoding"] {
        writeln!(text, "{name}: {}", pragma(&raw, name)).unwrap();
    }
    let mut statement =
        raw.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name").unwrap();
    for sql in statement.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        writeln!(text, "\n{}", sql.unwrap()).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// Every look-up of the contract goes through an index: none of them walks a table that grows.
#[test]
fn no_look_up_walks_a_table() {
    let folder = Folder::new();
    drop(folder.open());
    let raw = folder.raw();
    let look_ups = [
        "SELECT session_id FROM segments WHERE segment_id = x'00'",
        "SELECT segment_id FROM segments WHERE session_id = x'00' ORDER BY segment_id DESC",
        "SELECT session_id, segment_id, change, entry_count FROM segments WHERE change >= 5",
        "SELECT entry_count FROM segments WHERE change = 5",
        "SELECT segment_id FROM segments WHERE origin_session_id = x'00' AND origin_segment_id = x'00' AND origin_seq > 3",
        "SELECT session_id FROM sessions WHERE change > 5",
        "SELECT session_id FROM deleted_sessions WHERE change > 5",
        "SELECT segment_id FROM segments WHERE origin_session_id = x'00' AND session_id <> x'00'",
        "SELECT max(seq) FROM entries WHERE segment_id = x'00'",
        "SELECT seq, key, body, crc32c FROM entries WHERE segment_id = x'00' AND seq > 7 ORDER BY seq LIMIT 9",
        "SELECT seq, key, body, crc32c FROM entries WHERE segment_id = x'00' ORDER BY seq DESC LIMIT 1",
        "SELECT seq, key, body, crc32c FROM entries WHERE segment_id = x'00' AND key = 'k'",
        "SELECT seq, body, crc32c FROM checkpoints WHERE segment_id = x'00' ORDER BY seq",
        "SELECT number FROM quarantine WHERE segment_id = x'00'",
        "SELECT seq, body, crc32c FROM facts WHERE scope = x'' ORDER BY seq",
        "SELECT seq, key, body, crc32c FROM ledger_events WHERE book = 'b' AND key = 'k'",
        "SELECT 1 FROM ledger_events WHERE transaction_id = x'00'",
        "SELECT seq, key, body, crc32c FROM ledger_events WHERE book = 'b' AND seq >= 7 ORDER BY seq LIMIT 9",
        "SELECT seq FROM ledger_events WHERE book = 'b' AND at <= 7 ORDER BY at DESC, seq DESC LIMIT 1",
        "SELECT net FROM ledger_accounts WHERE book = 'b' AND path = 'p'",
        "SELECT path FROM ledger_accounts WHERE book = 'b' ORDER BY path",
        "SELECT net, seq FROM ledger_balances WHERE account_id = 1 AND seq <= 7 ORDER BY seq DESC LIMIT 1",
        "SELECT last_seq FROM ledger_books WHERE book = 'b'",
    ];
    for sql in look_ups {
        let mut statement = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{sql}: {plan:?}");
    }
}

/// The rows as they stand, for the worked example of docs/SQLITE.md.
#[test]
fn rows_have_the_documented_form() {
    let folder = Folder::new();
    std::fs::copy(fixture("version-2.db"), folder.database()).unwrap();
    let raw = folder.raw();
    let mut text = String::new();
    for (title, sql) in [
        (
            "segments",
            "SELECT hex(segment_id), hex(session_id), entry_count, trace_count, hex(origin_segment_id), origin_seq, change, checkpoint_count FROM segments",
        ),
        ("entries", "SELECT hex(segment_id), seq, kind, ts, key, body, printf('%08X', crc32c) FROM entries"),
        ("traces", "SELECT hex(segment_id), seq, body, printf('%08X', crc32c) FROM traces"),
        ("facts", "SELECT hex(scope), seq, domain, body, printf('%08X', crc32c) FROM facts"),
        ("blobs", "SELECT blobs.sha256, bytes, part, data FROM blobs JOIN blob_parts USING (sha256)"),
        ("sessions", "SELECT hex(session_id), fact_count, change FROM sessions"),
        ("deleted_sessions", "SELECT hex(session_id), change FROM deleted_sessions"),
        ("store", "SELECT id, length(uuid), min_reader, last_change, fact_count, event_count FROM store"),
        ("checkpoints", "SELECT hex(segment_id), seq, body, printf('%08X', crc32c) FROM checkpoints"),
        ("events", "SELECT seq, body, printf('%08X', crc32c) FROM events"),
        (
            "quarantine",
            "SELECT number, hex(migration_id), hex(segment_id), seq, key, body, printf('%08X', row_crc32c), printf('%08X', crc32c) FROM quarantine",
        ),
    ] {
        writeln!(text, "{title}").unwrap();
        let mut statement = raw.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|at| show(row.get_unwrap(at))).collect();
            writeln!(text, "  {}", values.join(" | ")).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

fn show(value: rusqlite::types::Value) -> String {
    use rusqlite::types::Value;
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn fixture(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The page about the format names every table and column, and its worked example is what the fixture holds.
#[test]
fn the_page_about_the_format_is_true() {
    let page =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SQLITE.md")).unwrap();
    let folder = Folder::new();
    std::fs::copy(fixture("version-2.db"), folder.database()).unwrap();
    drop(folder.open());
    let raw = folder.raw();
    let mut statement = raw
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
        )
        .unwrap();
    // As the page describes the version that this program writes.
    let columns = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    for (table, column) in columns.map(Result::unwrap).filter(|(_, column)| column != "id") {
        assert!(page.contains(&format!("**`{table}`**")), "the page does not tell of {table}");
        assert!(page.contains(&format!("`{column}`")), "the page does not tell of {table}.{column}");
    }
    let mut statement = raw
        .prepare(
            "SELECT seq, kind, ts, ifnull(key, ''), body, printf('%08X', crc32c) FROM entries WHERE segment_id = ?1",
        )
        .unwrap();
    let mut rows = statement.query([SEGMENT.as_bytes()]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let line = (0..6).map(|at| show(row.get_unwrap(at))).collect::<Vec<_>>().join("|");
        assert!(page.contains(&line), "the page's example lacks {line}");
    }
}

/// What both fixtures hold.
#[track_caller]
fn assert_fixture(store: &SqliteStore) {
    let records = store.read_range(SESSION, SEGMENT, Seq(0), usize::MAX).unwrap();
    let kinds: Vec<&str> = records.iter().map(|record| record.entry.kind()).collect();
    assert_eq!(kinds, ["segment_start", "user_input", "test.quiet"]);
    assert_eq!(records[2].key.as_deref(), Some("a key"));
    assert_eq!(store.read_traces(SESSION, SEGMENT).unwrap().len(), 1);
    assert_eq!(store.facts(FactScope::Session(SESSION)).unwrap()[0].value, "A title");
    assert_eq!(store.facts(FactScope::Store).unwrap()[0].domain, "source.somewhere");
    let sha256 = store_core::chain::sha256_hex(b"the bytes of a blob");
    assert_eq!(store.get_blob(&BlobRef { sha256, bytes: 19 }).unwrap(), b"the bytes of a blob");
}

/// Verifies a store whose file others may read, as files in a checkout are.
#[track_caller]
fn assert_whole(store: &SqliteStore) {
    let options = VerifyOptions { deep: true, ..VerifyOptions::default() };
    let report = verify(store.integrity().unwrap(), &options, &|_| ControlFlow::Continue(())).unwrap();
    let damage: Vec<_> = report.damage.iter().filter(|finding| finding.kind != FindingKind::Permission).collect();
    assert!(damage.is_empty(), "{damage:?}");
}

#[test]
fn a_database_of_version_1_is_read_and_written() {
    let folder = Folder::new();
    std::fs::copy(fixture("version-1.db"), folder.database()).unwrap();
    for store in [SqliteStore::open_read_only(folder.database()).unwrap(), folder.open()] {
        assert_fixture(&store);
        assert_whole(&store);
        let cursor: ChangeCursor = store.changes(None).unwrap().cursor;
        assert!(cursor.0.ends_with(":7:0:0:0"), "{cursor:?}");
        assert_eq!(store.integrity().unwrap().checkpoints(SESSION, SEGMENT).unwrap(), []);
        assert_eq!(store.integrity().unwrap().events().unwrap(), []);
    }
    assert_eq!(folder.open().append(SESSION, SEGMENT, &input(9)).unwrap().seq, Seq(4));
    assert_eq!(pragma(&folder.raw(), "user_version"), "0x3");
    assert_whole(&folder.open());
}

#[test]
fn reading_a_database_of_version_1_leaves_it_as_it_is() {
    let folder = Folder::new();
    std::fs::copy(fixture("version-1.db"), folder.database()).unwrap();
    let bytes = std::fs::read(folder.database()).unwrap();
    assert_whole(&SqliteStore::open_read_only(folder.database()).unwrap());
    assert!(std::fs::read(folder.database()).unwrap() == bytes);
    assert_eq!(folder.names(), ["store.db"]);
}

#[test]
fn a_database_of_version_2_is_read_and_written() {
    let folder = Folder::new();
    std::fs::copy(fixture("version-2.db"), folder.database()).unwrap();
    for store in [SqliteStore::open_read_only(folder.database()).unwrap(), folder.open()] {
        assert_fixture(&store);
        assert_whole(&store);
        let integrity = store.integrity().unwrap();
        let checkpoints = integrity.checkpoints(SESSION, SEGMENT).unwrap();
        let named: Vec<_> = checkpoints.iter().map(|one| (one.checkpoint.name.as_deref(), one.void)).collect();
        assert_eq!(named, [(Some("before"), false), (None, true)]);
        let events = integrity.events().unwrap();
        assert_eq!(
            events.iter().map(|event| event.outcome).collect::<Vec<_>>(),
            [Outcome::Ok, Outcome::RecoverableError]
        );
    }
    assert_eq!(folder.open().append(SESSION, SEGMENT, &input(9)).unwrap().seq, Seq(4));
}

#[test]
fn a_closed_store_is_one_file_and_its_lock() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 3);
    assert_eq!(store.read_all(SESSION, SEGMENT).unwrap().len(), 3);
    drop(store);
    assert_eq!(folder.names(), ["store.db", "store.db.lock"]);
}

#[test]
fn a_database_of_version_2_has_an_empty_ledger_for_who_only_reads() {
    let folder = Folder::new();
    std::fs::copy(fixture("version-2.db"), folder.database()).unwrap();
    let options = SqliteOptions { open_as: OpenAs::ReadOnly, ..SqliteOptions::default() };
    let ledger = SqliteLedger::open_with(folder.database(), &options, Arc::new(|| 1)).unwrap();
    assert_eq!(ledger.list_books().unwrap(), []);
    let account = "home:a".parse().unwrap();
    assert!(matches!(ledger.balance(&account, None), Err(LedgerError::UnknownAccount { .. })));
}

#[test]
fn a_database_of_version_3_is_read_and_written() {
    let folder = Folder::new();
    std::fs::copy(fixture("version-3.db"), folder.database()).unwrap();
    assert_fixture(&SqliteStore::open_read_only(folder.database()).unwrap());
    let ledger = SqliteLedger::open(folder.database(), Arc::new(|| 1)).unwrap();
    assert_eq!(ledger.balance(&"home:a".parse().unwrap(), None).unwrap().amount, 10);
    let events = ledger.read_events(&"home".parse().unwrap(), Seq(1), 99).unwrap();
    assert_eq!(events.len(), 12);
    let receipt = ledger.commit(&"home".parse().unwrap(), &crate::ledger::transfer(5)).unwrap();
    assert_eq!((receipt.seq, receipt.at), (Seq(7), events[6].at), "a known key answers with what stands there");
    assert_eq!(ledger.commit(&"home".parse().unwrap(), &crate::ledger::transfer(11)).unwrap().seq, Seq(13));
    assert_whole(&folder.open());
}
