//! The format on disk: what version 1 is, and that it is still read.

use std::fmt::Write as _;

use rusqlite::Connection;
use store_core::{BlobRef, ChangeCursor, FactScope, Seq, Store as _};
use store_sqlite::SqliteStore;

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
        "SELECT session_id, segment_id FROM segments WHERE change > 5",
        "SELECT session_id FROM sessions WHERE change > 5",
        "SELECT session_id FROM deleted_sessions WHERE change > 5",
        "SELECT segment_id FROM segments WHERE origin_session_id = x'00' AND session_id <> x'00'",
        "SELECT max(seq) FROM entries WHERE segment_id = x'00'",
        "SELECT seq, key, body, crc32c FROM entries WHERE segment_id = x'00' AND seq > 7 ORDER BY seq LIMIT 9",
        "SELECT seq, key, body, crc32c FROM entries WHERE segment_id = x'00' AND key = 'k'",
        "SELECT seq, body, crc32c FROM facts WHERE scope = x'' ORDER BY seq",
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
    std::fs::copy(fixture(), folder.database()).unwrap();
    let raw = folder.raw();
    let mut text = String::new();
    for (title, sql) in [
        (
            "segments",
            "SELECT hex(segment_id), hex(session_id), entry_count, trace_count, hex(origin_segment_id), origin_seq, change FROM segments",
        ),
        ("entries", "SELECT hex(segment_id), seq, kind, ts, key, body, printf('%08X', crc32c) FROM entries"),
        ("traces", "SELECT hex(segment_id), seq, body, printf('%08X', crc32c) FROM traces"),
        ("facts", "SELECT hex(scope), seq, domain, body, printf('%08X', crc32c) FROM facts"),
        ("blobs", "SELECT blobs.sha256, bytes, part, data FROM blobs JOIN blob_parts USING (sha256)"),
        ("sessions", "SELECT hex(session_id), fact_count, change FROM sessions"),
        ("deleted_sessions", "SELECT hex(session_id), change FROM deleted_sessions"),
        ("store", "SELECT id, length(uuid), min_reader, last_change, fact_count FROM store"),
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

fn fixture() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/version-1.db")
}

/// The page about the format names every table and column, and its worked example is what the fixture holds.
#[test]
fn the_page_about_the_format_is_true() {
    let page =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SQLITE.md")).unwrap();
    let folder = Folder::new();
    std::fs::copy(fixture(), folder.database()).unwrap();
    let raw = folder.raw();
    let mut statement = raw
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
        )
        .unwrap();
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

#[test]
fn a_database_of_version_1_is_read_and_written() {
    let folder = Folder::new();
    std::fs::copy(fixture(), folder.database()).unwrap();
    for store in [SqliteStore::open_read_only(folder.database()).unwrap(), folder.open()] {
        let records = store.read_range(SESSION, SEGMENT, Seq(0), usize::MAX).unwrap();
        let kinds: Vec<&str> = records.iter().map(|record| record.entry.kind()).collect();
        assert_eq!(kinds, ["segment_start", "user_input", "test.quiet"]);
        assert_eq!(records[2].key.as_deref(), Some("a key"));
        assert_eq!(store.read_traces(SESSION, SEGMENT).unwrap().len(), 1);
        assert_eq!(store.facts(FactScope::Session(SESSION)).unwrap()[0].value, "A title");
        assert_eq!(store.facts(FactScope::Store).unwrap()[0].domain, "source.somewhere");
        let sha256 = store_core::chain::sha256_hex(b"the bytes of a blob");
        assert_eq!(store.get_blob(&BlobRef { sha256, bytes: 19 }).unwrap(), b"the bytes of a blob");
        let cursor: ChangeCursor = store.changes(None).unwrap().cursor;
        assert!(cursor.0.ends_with(":7"), "{cursor:?}");
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
