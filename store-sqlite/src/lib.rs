//! The SQLite backend of the conversation store: one database file that keeps the promises of
//! [`store_core::Store`].
//!
//! [`SqliteStore`] is the store, [`SqliteLedger`] the ledger in the same file; [`SqliteOptions`] says how it is opened. The tables, what their columns mean and what a
//! commit promises stand in `docs/SQLITE.md`.
//!
//! Calls that write run in `BEGIN IMMEDIATE` transactions on the handle's one writer connection, in WAL mode; calls of many
//! threads share one, and one sync, each under a savepoint of its own. Every call that reads is one read
//! transaction on a connection of its own. That is the whole atomicity argument: a transaction is there for every reader at once, or
//! never. Its price is that writers of one database wait for each other, also when they write to different segments.
//!
//! ```
//! use store_core::{CreateOptions, NewEntry, SegmentId, SessionId, Store};
//! use store_sqlite::SqliteStore;
//!
//! # fn main() -> store_core::Result<()> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("conversations.db");
//! let store = SqliteStore::open(&path)?;
//! let (session, segment) = (SessionId::mint(1_764_000_000_000), SegmentId::mint(1_764_000_000_000));
//! let start = format!(r#"{{"kind":"segment_start","ts":1764000000000,"session_id":"{session}"}}"#);
//! store.create_segment(session, segment, &[NewEntry::text(start)], &CreateOptions::default())?;
//!
//! let reader = SqliteStore::open_read_only(&path)?;
//! assert_eq!(reader.read_entry_count(session, segment)?, 1);
//! # Ok(())
//! # }
//! ```

mod append;
mod blob_lock;
mod blobs;
mod changes;
mod connection;
mod create;
mod delete;
mod disk;
mod error;
mod facts;
mod group;
mod health;
mod integrity;
mod last_end;
mod lease;
mod ledger;
mod lock_file;
mod log_index;
mod open;
mod read;
mod reading;
mod row;
mod salvage;
mod schema;
mod shared;
mod side;
mod store;
mod store_lock;
mod traces;
mod transaction;
mod watch;
mod writer;

pub use ledger::SqliteLedger;
pub use open::{DurabilityPolicy, OpenAs, SqliteOptions};
pub use salvage::{DatabaseSalvage, LostEntries, LostEvents, salvage_database};
pub use store::SqliteStore;
