//! The core of the conversation store: what a conversation log consists of, what a store promises, and the
//! bytes of a line.
//!
//! * [`Store`] is the contract of a log store; [`Backend`] adds the capabilities a store may have beside it.
//! * [`LogEntry`] is one state transition of a conversation; a conversation's state is the fold of its entries.
//! * [`codec`] turns an entry's text into a checksummed line and back; [`chain`] names a history by one hash.
//! * [`Integrity`] is the contract of proving, setting back and repairing; [`integrity`] is what every backend has in common there.
//! * [`Watch`] is the contract of tails and leases; [`follow`] is what every backend's tails have in common.
//! * [`snapshot_set`] is the contract of the files of a state that is kept as differences and full snapshots.
//! * [`ledger`] is the contract of a double-entry ledger, with its rules.
//! * [`call`] and [`origin`] are the rules that every backend applies before it writes.
//! * [`medium`] says which filesystems are not this machine's own.
//! * [`parse`] lets several threads parse the entries of a log that is read whole.
//! * [`MemoryStore`] is the reference that the other backends are compared with.
//!
//! This crate does no file I/O, reads no clock that it was not given and names no backend.

mod backend;
pub mod call;
pub mod chain;
pub mod codec;
mod entry;
mod error;
pub mod follow;
pub mod group_commit;
mod id;
pub mod integrity;
pub mod json;
pub mod ledger;
pub mod medium;
mod memory;
pub mod new_session;
pub mod origin;
pub mod parse;
pub mod snapshot_set;
mod store;
mod text;
mod trace;
mod watch;

pub use backend::{Backend, BackendInfo};
pub use call::{NewBody, NewEntry, Serialized};
pub use entry::{
    BlobRef, ConfigChanged, Content, Extension, HistoryItem, HistoryRef, Item, ItemEntry, LlmUsage, LogEntry, Part,
    Role, RunCompleted, RunErrored, SegmentMeta, SegmentOrigin, SegmentStart, SessionConfig, SessionKind, SystemItem,
    TurnEnd, UnknownEntry, UserInput,
};
pub use error::{BoxError, Damage, Missing, ParseIdError, Result, StoreError};
pub use id::{MigrationId, Position, SegmentId, Seq, SessionId, TimestampMs, TransactionId};
pub use integrity::Integrity;
pub use memory::MemoryStore;
pub use new_session::{Created, NewSegment, NewSession};
pub use store::{
    AppendOptions, BlobGuard, ChangeCursor, Changes, CreateOptions, Durability, Expected, Fact, FactScope, Record,
    Store,
};
pub use trace::TraceEntry;
pub use watch::{LEASE_HOLDER_BYTES_MAX, Lease, LeaseHolder, StopHandle, Tail, TailEvent, TailFrom, Watch};
