//! The index's tables, and opening its file.
//!
//! The file is a projection: whatever is wrong with it (damage, another version, another store's) it is made anew,
//! and where no file can be written the same tables live in memory.

use std::ffi::c_int;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// "podI": marks the file as an index.
// Persisted: never renumber or reuse.
const APPLICATION_ID: i32 = 0x706F_6449;

/// Grows with every change of the tables or of what they mean; a file of another version is made anew.
const VERSION: i32 = 9;

/// How long a process waits for another one that refreshes the same file.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(15);

/// How long to wait before a copy is tried again that another process kept from being made.
const BACKUP_WAIT: Duration = Duration::from_millis(5);

/// Statements kept prepared: more than the index has.
const STATEMENTS_MAX: usize = 112;

/// How much of the file each connection keeps in memory at most.
const CACHE_KIB: i32 = 8 << 10;

/// Files up to this size are checked page by page when they are opened.
const CHECKED_BYTES_MAX: u64 = 16 << 20;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;

-- One row a segment: the fold of its log up to a position.
CREATE TABLE segment (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  session TEXT NOT NULL,
  agent TEXT,
  native_id TEXT,
  origin_session TEXT,
  origin_segment TEXT,
  origin_seq INTEGER,
  seq INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  damaged INTEGER NOT NULL,
  superseded INTEGER NOT NULL,
  own TEXT NOT NULL,
  branch TEXT NOT NULL
) STRICT;
CREATE INDEX segment_session ON segment (session);
CREATE INDEX segment_native ON segment (native_id);
CREATE INDEX segment_origin ON segment (origin_segment);
CREATE INDEX segment_origin_session ON segment (origin_session);
CREATE INDEX segment_again ON segment (damaged) WHERE damaged;

-- One row a session: its facts, and the row of lists that follows from them and its segments.
CREATE TABLE session (
  id TEXT PRIMARY KEY,
  facts TEXT NOT NULL,
  facts_damaged INTEGER NOT NULL,
  summary TEXT NOT NULL,
  title TEXT,
  title_key TEXT NOT NULL,
  agent TEXT,
  subagent INTEGER NOT NULL,
  archived INTEGER NOT NULL,
  trashed INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  last_message_ms INTEGER
) STRICT;
CREATE INDEX session_updated ON session (updated_ms, id);
CREATE INDEX session_title ON session (title);
CREATE INDEX session_again ON session (facts_damaged) WHERE facts_damaged;

-- How many rows of lists there are of each sort, so that nobody has to count them.
CREATE TABLE listed (
  agent TEXT NOT NULL,
  subagent INTEGER NOT NULL,
  archived INTEGER NOT NULL,
  trashed INTEGER NOT NULL,
  sessions INTEGER NOT NULL,
  PRIMARY KEY (agent, subagent, archived, trashed)
) WITHOUT ROWID, STRICT;
CREATE TRIGGER session_comes AFTER INSERT ON session WHEN NEW.summary <> '' BEGIN
  INSERT INTO listed VALUES (ifnull(NEW.agent, ''), NEW.subagent, NEW.archived, NEW.trashed, 1)
    ON CONFLICT DO UPDATE SET sessions = sessions + 1;
END;
CREATE TRIGGER session_goes AFTER DELETE ON session WHEN OLD.summary <> '' BEGIN
  UPDATE listed SET sessions = sessions - 1 WHERE agent = ifnull(OLD.agent, '') AND subagent = OLD.subagent
    AND archived = OLD.archived AND trashed = OLD.trashed;
END;
CREATE TRIGGER session_changes AFTER UPDATE OF summary, agent, subagent, archived, trashed ON session BEGIN
  UPDATE listed SET sessions = sessions - 1 WHERE OLD.summary <> '' AND agent = ifnull(OLD.agent, '')
    AND subagent = OLD.subagent AND archived = OLD.archived AND trashed = OLD.trashed;
  INSERT INTO listed SELECT ifnull(NEW.agent, ''), NEW.subagent, NEW.archived, NEW.trashed, 1 WHERE NEW.summary <> ''
    ON CONFLICT DO UPDATE SET sessions = sessions + 1;
END;

-- Every folder that a conversation ever had.
CREATE TABLE folder (session TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (session, path)) WITHOUT ROWID, STRICT;
CREATE INDEX folder_path ON folder (path);

-- Where the records of agents' files stand: a UUID as its 16 bytes, anything else as its text. Rows of a segment
-- that is gone are swept at the end of the refresh that dropped it.
CREATE TABLE record (id ANY NOT NULL, segment INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (id, segment))
  WITHOUT ROWID, STRICT;

-- Every recorded use of a provider request, under a name that tells which uses are of the same request, with the folder that was worked in there.
CREATE TABLE usage (
  segment INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  request TEXT NOT NULL,
  input_total INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  cache_write INTEGER NOT NULL,
  output INTEGER NOT NULL,
  reasoning INTEGER,
  cost TEXT,
  at_ms INTEGER NOT NULL,
  model TEXT,
  cwd TEXT,
  PRIMARY KEY (segment, seq)
) WITHOUT ROWID, STRICT;
CREATE INDEX usage_request ON usage (request);

-- Where importers left the files that they read, and what they remember of single records; with a SHA-256 of each.
CREATE TABLE bookmark (session TEXT NOT NULL, native_id TEXT NOT NULL, state TEXT NOT NULL, sum BLOB NOT NULL,
  PRIMARY KEY (session, native_id)) STRICT;
CREATE TABLE bookmark_notes (session TEXT NOT NULL, native_id TEXT NOT NULL, no INTEGER NOT NULL, notes BLOB NOT NULL,
  sum BLOB NOT NULL, PRIMARY KEY (session, native_id, no)) STRICT;

-- Which files of sources an importer has seen, and as what; when it failed on one.
CREATE TABLE source_file (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  failed_ms INTEGER) WITHOUT ROWID, STRICT;

-- How far each usage book of the ledger was read, what the books say of each request, and the sessions that changed since the books were last told.
CREATE TABLE usage_book (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, mark TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE booked (request TEXT PRIMARY KEY, standing TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE unfed (no INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL UNIQUE) STRICT;

-- The words of every entry, without its text; `text` is handed over as words in the form in which they are compared.
CREATE VIRTUAL TABLE words USING fts5(text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, 'row');
-- How far the words of a segment are known, and which segments have others.
CREATE TABLE searched (segment INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE unsearched (segment INTEGER PRIMARY KEY) STRICT;
";

/// An open index, and the file it is in.
#[derive(Debug)]
pub(super) struct Opened {
    /// The tables.
    pub(super) db: Connection,
    /// `None` in memory.
    pub(super) path: Option<PathBuf>,
}

/// Opens the tables of the store called `identity` in the file, making it anew if it is not usable; in memory if there can be no file.
pub(super) fn open(path: Option<&Path>, identity: &str) -> rusqlite::Result<Opened> {
    let Some(path) = path else { return in_memory(identity) };
    for _ in 0..2 {
        match open_file(path, identity) {
            Ok(db) => return Ok(Opened { db, path: Some(path.to_owned()) }),
            Err(error) if is_busy(&error) => return Err(error),
            Err(_) => {
                if discard(path).is_err() {
                    break;
                }
            }
        }
    }
    in_memory(identity)
}

/// The tables in memory, empty.
pub(super) fn in_memory(identity: &str) -> rusqlite::Result<Opened> {
    let db = Connection::open_in_memory()?;
    configure(&db)?;
    create(&db, identity)?;
    Ok(Opened { db, path: None })
}

/// A copy of the tables without a name: in memory as long as it is small, then in a file that goes with the process.
pub(super) fn copy(db: &Connection) -> rusqlite::Result<Opened> {
    let mut copied = Connection::open("")?;
    configure(&copied)?;
    Backup::new(db, &mut copied)?.run_to_completion(c_int::MAX, BACKUP_WAIT, None)?;
    copied.pragma_update(None, "synchronous", "OFF")?;
    Ok(Opened { db: copied, path: None })
}

/// The tables without a name, empty: where they are made of a whole store, they may be larger than memory should be.
pub(super) fn nameless(identity: &str) -> rusqlite::Result<Opened> {
    let db = Connection::open("")?;
    configure(&db)?;
    db.pragma_update(None, "synchronous", "OFF")?;
    create(&db, identity)?;
    Ok(Opened { db, path: None })
}

/// Removes the file and what SQLite keeps beside it.
pub(super) fn discard(path: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether another process kept the file for longer than the bounded wait.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the file is not what was written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match error {
        // The tables are typed and written by this code alone: a value of another shape was not written by it.
        FromSqlConversionFailure(..) | InvalidColumnType(..) | IntegralValueOutOfRange(..) => true,
        _ => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown | ErrorCode::SchemaChanged)
        ),
    }
}

/// Whether the file cannot take writes.
pub(super) fn is_unwritable(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(CannotOpen | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure))
}

/// What every connection to the tables has.
fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // With a partial index on a table, a plan that may depend on bound values is made anew for each of them.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_WAIT)?;
    configure(&db)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(db)
}

/// A second connection to tables that this process has open and has checked.
pub(super) fn open_second(path: &Path, identity: &str) -> rusqlite::Result<Opened> {
    let db = connect(path)?;
    if is_current(&db, identity)? {
        return Ok(Opened { db, path: Some(path.to_owned()) });
    }
    Err(rusqlite::Error::InvalidQuery)
}

fn open_file(path: &Path, identity: &str) -> rusqlite::Result<Connection> {
    let bytes = prepare_file(path).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let mut db = connect(path)?;
    if is_current(&db, identity)? {
        if bytes <= CHECKED_BYTES_MAX {
            check_pages(&db)?;
        }
        return Ok(db);
    }
    // Another process may be faster, so that this one asks again under the lock. Tables of another version are dropped
    // where they are: unlinking a file that a process still has open would let it remove its successor's log.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !is_current(&transaction, identity)? {
        drop_tables(&transaction)?;
        create(&transaction, identity)?;
    }
    transaction.commit()?;
    Ok(db)
}

/// Makes the tables anew where they are.
pub(super) fn empty(db: &mut Connection, identity: &str) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    drop_tables(&transaction)?;
    create(&transaction, identity)?;
    transaction.commit()
}

fn drop_tables(db: &Connection) -> rusqlite::Result<()> {
    for table in tables(db)? {
        db.execute_batch(&format!("DROP TABLE \"{}\"", table.replace('"', "\"\"")))?;
    }
    Ok(())
}

/// Makes the file with its mode if it is not there, and answers with its size.
fn prepare_file(path: &Path) -> std::io::Result<u64> {
    if let Ok(found) = fs::symlink_metadata(path)
        && !found.is_file()
    {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file.metadata()?.len())
}

fn create(db: &Connection, identity: &str) -> rusqlite::Result<()> {
    db.execute_batch(TABLES)?;
    db.execute("INSERT INTO meta (name, value) VALUES ('identity', ?1)", [identity])?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", VERSION)
}

fn tables(db: &Connection) -> rusqlite::Result<Vec<String>> {
    // The tables of a virtual table go with it.
    let mut query = db.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite_%'
         ORDER BY name = 'words'",
    )?;
    query.query_map([], |row| row.get(0))?.collect()
}

/// Whether the tables are those of this version, for this store.
fn is_current(db: &Connection, identity: &str) -> rusqlite::Result<bool> {
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if number("application_id")? != APPLICATION_ID || number("user_version")? != VERSION {
        return Ok(false);
    }
    let stored: String = db.query_row("SELECT value FROM meta WHERE name = 'identity'", [], |row| row.get(0))?;
    Ok(stored == identity)
}

fn check_pages(db: &Connection) -> rusqlite::Result<()> {
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
}
