//! Published engines, each used as its documentation says a log of entries is kept in it.
//!
//! The key is the segment's id and the entry's seq, the value the entry's text. *Buffered* means that the bytes are with the
//! operating system when the call returns; where an engine has nothing between memory and stable storage, its row says so.

use std::path::Path;
use std::sync::Mutex;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use okaywal::{LogVoid, WriteAheadLog};
use protobuf::well_known_types::Any;
use raft_engine::{Config, Engine, LogBatch, MessageExt};
use redb::TableDefinition;
use rusqlite::Connection;
use store_core::Durability;

use crate::Result;

/// A place where the entries of one segment are appended.
pub trait Log: Send + Sync {
    /// Appends entries, all or none; `place` is the writer and the first one's seq. The writers (threads) have seqs of their own, each its own
    /// without gaps, because there are engines that want that.
    ///
    /// # Errors
    /// Those of the engine.
    fn append(&self, place: (u64, u64), texts: &[String], durability: Durability) -> Result<()>;
}

/// An engine: its name, whether it has a buffered append, and how its log is opened in a folder.
#[derive(Clone, Copy)]
pub struct EngineKind {
    /// What it is called in a table.
    pub name: &'static str,
    /// Opens a log in an empty folder.
    pub open: fn(&Path) -> Result<Box<dyn Log>>,
    /// Whether an append can return with the bytes at the operating system and not yet on stable storage.
    pub buffers: bool,
}

/// The engines that are measured.
pub const ENGINES: [EngineKind; 5] = [
    EngineKind { name: "bare rusqlite (WAL)", open: |folder| Sqlite::open(folder), buffers: true },
    EngineKind { name: "fjall 3.1.13", open: |folder| Fjall::open(folder), buffers: true },
    EngineKind { name: "raft-engine 0.4.2", open: |folder| Raft::open(folder), buffers: true },
    EngineKind { name: "redb 4.5.0 (buffered: in memory only)", open: |folder| Redb::open(folder), buffers: true },
    EngineKind { name: "okaywal 0.3.1", open: |folder| Okay::open(folder), buffers: false },
];

struct Sqlite {
    connection: Mutex<(Connection, Durability)>,
}

impl Sqlite {
    fn open(folder: &Path) -> Result<Box<dyn Log>> {
        let connection = Connection::open(folder.join("bare.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             CREATE TABLE entries (segment_id BLOB NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (segment_id, seq));",
        )?;
        Ok(Box::new(Self { connection: Mutex::new((connection, Durability::Buffered)) }))
    }
}

impl Log for Sqlite {
    fn append(&self, (writer, first): (u64, u64), texts: &[String], durability: Durability) -> Result<()> {
        let mut held = self.connection.lock().map_err(|_| "a thread died")?;
        let (connection, set) = &mut *held;
        if *set != durability {
            let level = if durability == Durability::Synced { "FULL" } else { "NORMAL" };
            connection.pragma_update(None, "synchronous", level)?;
            *set = durability;
        }
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3)")?;
            for (seq, text) in (first..).zip(texts) {
                insert.execute((segment(writer).as_slice(), i64::try_from(seq)?, text))?;
            }
        }
        Ok(transaction.commit()?)
    }
}

fn segment(writer: u64) -> [u8; 16] {
    u128::from(writer).to_be_bytes()
}

fn key((writer, seq): (u64, u64)) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&segment(writer));
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
}

struct Fjall {
    database: Database,
    entries: Keyspace,
}

impl Fjall {
    fn open(folder: &Path) -> Result<Box<dyn Log>> {
        let database = Database::builder(folder.join("fjall")).open()?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Self { database, entries }))
    }
}

impl Log for Fjall {
    fn append(&self, (writer, first): (u64, u64), texts: &[String], durability: Durability) -> Result<()> {
        let mut batch = self.database.batch();
        for (seq, text) in (first..).zip(texts) {
            batch.insert(&self.entries, key((writer, seq)), text.as_str());
        }
        let mode = match durability {
            Durability::Buffered => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        };
        Ok(batch.durability(Some(mode)).commit()?)
    }
}

struct Raft(Engine);

/// An entry of a raft log, its index where the type's name would be.
struct Indexed;

impl MessageExt for Indexed {
    type Entry = Any;

    fn index(entry: &Any) -> u64 {
        entry.get_type_url().parse().unwrap_or_default()
    }
}

impl Raft {
    fn open(folder: &Path) -> Result<Box<dyn Log>> {
        let dir = folder.join("raft").to_string_lossy().into_owned();
        Ok(Box::new(Self(Engine::open(Config { dir, ..Config::default() })?)))
    }
}

impl Log for Raft {
    fn append(&self, (writer, first): (u64, u64), texts: &[String], durability: Durability) -> Result<()> {
        let entry = |(seq, text): (u64, &String)| {
            let mut entry = Any::new();
            entry.set_type_url(seq.to_string());
            entry.set_value(text.as_bytes().to_vec());
            entry
        };
        let entries: Vec<Any> = (first..).zip(texts).map(entry).collect();
        let mut batch = LogBatch::with_capacity(1);
        batch.add_entries::<Indexed>(writer + 1, &entries)?;
        self.0.write(&mut batch, durability == Durability::Synced)?;
        Ok(())
    }
}

struct Redb(redb::Database);

const TABLE: TableDefinition<'_, &[u8], &str> = TableDefinition::new("entries");

impl Redb {
    fn open(folder: &Path) -> Result<Box<dyn Log>> {
        Ok(Box::new(Self(redb::Database::create(folder.join("bare.redb"))?)))
    }
}

impl Log for Redb {
    fn append(&self, (writer, first): (u64, u64), texts: &[String], durability: Durability) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(match durability {
            Durability::Buffered => redb::Durability::None,
            Durability::Synced => redb::Durability::Immediate,
        })?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (seq, text) in (first..).zip(texts) {
                table.insert(key((writer, seq)).as_slice(), text.as_str())?;
            }
        }
        Ok(transaction.commit()?)
    }
}

struct Okay(WriteAheadLog);

impl Okay {
    fn open(folder: &Path) -> Result<Box<dyn Log>> {
        Ok(Box::new(Self(WriteAheadLog::recover(folder.join("okaywal"), LogVoid)?)))
    }
}

impl Log for Okay {
    fn append(&self, _place: (u64, u64), texts: &[String], _durability: Durability) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for text in texts {
            entry.write_chunk(text.as_bytes())?;
        }
        entry.commit()?;
        Ok(())
    }
}
