//! The filesystem backend: one append-only log of checksummed lines a segment, and nothing that cannot be rebuilt
//! or proven from those lines.
//!
//! * [`FsStore`] keeps the contract of [`store_core::Store`] on a folder whose bytes `docs/FORMAT.md` describes.
//! * [`FileSnapshotSet`] keeps that of [`store_core::snapshot_set::SnapshotSet`].
//! * [`FsLedger`] keeps that of [`store_core::ledger::Ledger`].
//! * [`disk`] is the only door to the operating system, small enough to put a lying disk behind it.
//!
//! The decision that shapes the rest: a line carries its own number and checksum, so the log needs no index, no
//! header and no footer, and a reader needs no lock. The price is that finding an entry costs a few reads.

mod append;
mod blobs;
mod create;
mod create_many;
mod delete;
pub mod disk;
mod error;
mod events;
mod facts;
mod holders;
mod integrity;
mod layout;
mod lease;
mod ledger;
mod live;
mod logs;
mod look_up;
mod lost;
mod migrate_layout;
mod open;
mod read;
mod record_log;
mod repair_header;
#[cfg(feature = "simulate")]
pub mod simulate;
mod snapshot_set;
mod store;
mod traces;
mod watch;

pub use events::{Event, EventKind, Hole, Outcome};
pub use holders::{LockHolder, lock_holders};
pub use layout::FORMAT_VERSION;
pub use ledger::{FsLedger, LedgerOptions};
pub use open::{DurabilityPolicy, FsOptions, OpenAs, RemoteMedium};
pub use repair_header::{HeaderRepair, repair_header};
pub use snapshot_set::FileSnapshotSet;
pub use store::FsStore;
