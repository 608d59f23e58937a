//! What an import that is rehearsed would have written.
//!
//! It lies in a database without a name: in memory as long as it is small, then in a file that nobody else sees and that is gone with
//! the process, however that ends. Nothing of it is ever opened again, so that nothing is made safe against a crash.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store_core::call::Prepared;
use store_core::codec::LogContext;
use store_core::{LogEntry, Position, Record, Result, SegmentId, Seq, SessionId, StoreError};

/// How much of the database is held in memory, as SQLite counts it: in KiB, negative.
const CACHE_KIB: i32 = -8192;

const TABLES: &str = "
-- Segments that were made or added to: how many of their entries stand in the store below, and where they end now.
CREATE TABLE segment (id TEXT PRIMARY KEY, session TEXT NOT NULL, stood INTEGER NOT NULL, entries INTEGER NOT NULL,
  crc INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX segment_session ON segment (session);
CREATE TABLE entry (no INTEGER PRIMARY KEY, segment TEXT NOT NULL, seq INTEGER NOT NULL, crc INTEGER NOT NULL, key TEXT,
  text TEXT NOT NULL, UNIQUE (segment, seq)) STRICT;
-- The keys of these segments, of those below too.
CREATE TABLE key (segment TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (segment, key))
  WITHOUT ROWID, STRICT;
CREATE TABLE fact (no INTEGER PRIMARY KEY, session TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE INDEX fact_session ON fact (session);
CREATE TABLE blob (sha256 TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

/// A segment that was made or added to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    pub(super) session: SessionId,
    /// How many of its entries stand in the store below.
    pub(super) stood: u64,
    /// Its last entry.
    pub(super) end: Position,
}

/// The database.
pub(super) struct Scratch(Mutex<Connection>);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let open = || {
            let db = Connection::open("")?;
            db.pragma_update(None, "cache_size", CACHE_KIB)?;
            db.pragma_update(None, "synchronous", "OFF")?;
            db.execute_batch(TABLES)?;
            Ok(db)
        };
        Ok(Self(Mutex::new(open().map_err(failed)?)))
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment, if it was made or added to.
    pub(super) fn added(&self, segment: SegmentId) -> Result<Option<Added>> {
        let db = self.db();
        let ask = || {
            let mut query = db.prepare_cached("SELECT session, stood, entries, crc FROM segment WHERE id = ?1")?;
            let row = query.query_row([segment.to_string()], |row| {
                let session = row.get::<_, Id<SessionId>>(0)?.0;
                let (stood, end) = (number(row, 1)?, Position { seq: Seq(number(row, 2)?), crc32c: row.get(3)? });
                Ok(Added { session, stood, end })
            });
            row.optional()
        };
        ask().map_err(failed)
    }

    /// Takes up a segment of the store below, or one that is made.
    pub(super) fn take_up(&self, segment: SegmentId, added: &Added) -> Result<()> {
        let Added { session, stood, end } = added;
        let put = "INSERT INTO segment (id, session, stood, entries, crc) VALUES (?1, ?2, ?3, ?4, ?5)";
        let (stood, entries) = (to_db(*stood), to_db(end.seq.0));
        let values = params![segment.to_string(), session.to_string(), stood, entries, end.crc32c];
        self.db().prepare_cached(put).and_then(|mut put| put.execute(values)).map(drop).map_err(failed)
    }

    /// Notes the key of an entry of the store below.
    pub(super) fn note_key(&self, segment: SegmentId, key: &str, seq: Seq) -> Result<()> {
        note_key(&self.db(), segment, key, seq).map_err(failed)
    }

    /// The seq of a key's entry.
    pub(super) fn seq_of(&self, segment: SegmentId, key: &str) -> Result<Option<Seq>> {
        let db = self.db();
        let ask = || {
            let mut query = db.prepare_cached("SELECT seq FROM key WHERE segment = ?1 AND key = ?2")?;
            query.query_row(params![segment.to_string(), key], |row| Ok(Seq(number(row, 0)?))).optional()
        };
        ask().map_err(failed)
    }

    /// Adds entries to a segment that was taken up.
    pub(super) fn write(&self, segment: SegmentId, end: Position, entries: &[&Prepared]) -> Result<Vec<Position>> {
        let mut db = self.db();
        let mut write = || {
            let db = db.transaction()?;
            let mut written = Vec::with_capacity(entries.len());
            let mut end = end;
            for entry in entries {
                let seq = end.seq.next();
                let text = entry.text.as_str();
                let bytes = format!("{seq} {:?} {text}", entry.key);
                end = Position { seq, crc32c: LogContext::segment(segment).checksum(bytes.as_bytes()) };
                db.prepare_cached("INSERT INTO entry (segment, seq, crc, key, text) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![segment.to_string(), to_db(seq.0), end.crc32c, entry.key, text])?;
                if let Some(key) = &entry.key {
                    note_key(&db, segment, key, seq)?;
                }
                written.push(end);
            }
            db.prepare_cached("UPDATE segment SET entries = ?2, crc = ?3 WHERE id = ?1")?.execute(params![
                segment.to_string(),
                to_db(end.seq.0),
                end.crc32c
            ])?;
            db.commit()?;
            Ok(written)
        };
        write().map_err(failed)
    }

    /// At most `limit` of the entries that were added to a segment, behind `after`.
    pub(super) fn read(&self, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let ask = "SELECT seq, crc, key, text FROM entry WHERE segment = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        let found = self.rows(ask, params![segment.to_string(), to_db(after.0), limit], |row| {
            let position = Position { seq: Seq(number(row, 0)?), crc32c: row.get(1)? };
            Ok((position, row.get::<_, Option<String>>(2)?, row.get::<_, String>(3)?))
        })?;
        let records = found.into_iter().map(|(position, key, text)| {
            let entry = LogEntry::from_text(&text).map_err(StoreError::backend)?;
            Ok(Record { position, key, text, entry })
        });
        records.collect()
    }

    /// Every segment that was made or added to, of one session or of all.
    pub(super) fn segments(&self, session: Option<SessionId>) -> Result<Vec<(SessionId, SegmentId)>> {
        let read = |row: &Row<'_>| Ok((row.get::<_, Id<SessionId>>(0)?.0, row.get::<_, Id<SegmentId>>(1)?.0));
        match session {
            Some(session) => {
                self.rows("SELECT session, id FROM segment WHERE session = ?1", [session.to_string()], read)
            }
            None => self.rows("SELECT session, id FROM segment", [], read),
        }
    }

    /// Every session that something was said of.
    pub(super) fn sessions_with_facts(&self) -> Result<Vec<SessionId>> {
        let ask = "SELECT DISTINCT session FROM fact WHERE session <> ''";
        self.rows(ask, [], |row| Ok(row.get::<_, Id<SessionId>>(0)?.0))
    }

    /// Adds a fact, as its text; of the store if there is no session.
    pub(super) fn put_fact(&self, session: Option<SessionId>, text: &str) -> Result<()> {
        let put = "INSERT INTO fact (session, text) VALUES (?1, ?2)";
        self.db().execute(put, params![scope(session), text]).map(drop).map_err(failed)
    }

    /// The facts that were added, as their texts.
    pub(super) fn facts(&self, session: Option<SessionId>) -> Result<Vec<String>> {
        self.rows("SELECT text FROM fact WHERE session = ?1 ORDER BY no", [scope(session)], |row| row.get(0))
    }

    pub(super) fn put_blob(&self, sha256: &str, bytes: &[u8]) -> Result<()> {
        let put = "INSERT OR IGNORE INTO blob (sha256, bytes) VALUES (?1, ?2)";
        self.db().execute(put, params![sha256, bytes]).map(drop).map_err(failed)
    }

    pub(super) fn blob(&self, sha256: &str) -> Result<Option<Vec<u8>>> {
        let db = self.db();
        let found = db.query_row("SELECT bytes FROM blob WHERE sha256 = ?1", [sha256], |row| row.get(0));
        found.optional().map_err(failed)
    }

    fn rows<T>(
        &self,
        ask: &str,
        with: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let db = self.db();
        let mut query = db.prepare_cached(ask).map_err(failed)?;
        let rows = query.query_map(with, read).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }
}

fn note_key(db: &Connection, segment: SegmentId, key: &str, seq: Seq) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached("INSERT OR IGNORE INTO key (segment, key, seq) VALUES (?1, ?2, ?3)")?;
    put.execute(params![segment.to_string(), key, to_db(seq.0)]).map(drop)
}

fn to_db(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The tables never hold a negative count.
fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or_default())
}

fn scope(session: Option<SessionId>) -> String {
    session.map(|session| session.to_string()).unwrap_or_default()
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::backend(error)
}

/// An id, kept as its text.
struct Id<T>(T);

impl<T: std::str::FromStr> FromSql for Id<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}
