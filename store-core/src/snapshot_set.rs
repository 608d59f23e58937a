//! Snapshot sets: the files of a state that is kept as a log of differences plus full snapshots.
//!
//! Here live the contract, its types and errors, the rules that every implementation applies ([`Catalogue`], [`Work`]), and the reference
//! in memory. What is in a file is its owner's business: a set creates, names, orders, publishes and removes files, and never
//! reads what is in them.
//!
//! The decision that shapes the rest: a snapshot is in the set whole or not at all, and it changes its kind at once, with
//! all its shards. So there is no half snapshot to recover from, and what is missing was taken away by somebody. The price
//! is a folder for each snapshot where it is kept in files.
//!
//! How a state is kept in a set:
//!
//! 1. Start: restore what [`get_snapshots_to_restore`](SnapshotSet::get_snapshots_to_restore) gives — the shards of the
//!    full one in parallel, then the differences in order.
//! 2. Work: append to a `Diff`.
//! 3. Now and then: create a `Pending` snapshot, then a new `Diff` for what happens from then on. Write the state of that
//!    moment into the pending one's shards in the background, finish them, publish. The order counts: a full snapshot holds
//!    everything that any diff with a lower ordinal holds.

mod catalogue;
mod error;
mod memory;
mod work;

use std::fmt;
use std::io::{Read, Write};

pub use self::catalogue::{Catalogue, FoundShard, FoundSnapshot, Obsolete, shard_name, snapshot_name};
pub use self::error::{SnapshotDamage, SnapshotError, SnapshotResult};
pub use self::memory::{MemorySnapshotMedium, MemorySnapshotSet};
pub use self::work::Work;

/// How many shards a snapshot may have at most.
pub const SHARDS_MAX: u32 = 1024;

/// How many completed full snapshots are kept.
pub const FULL_SNAPSHOTS_KEPT: usize = 2;

/// A snapshot's place among all of the set, from 1. Those that are in the set need not be consecutive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotOrdinal(pub u64);

impl fmt::Display for SnapshotOrdinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotType {
    /// What changed, in order: a log that is appended to.
    Diff,
    /// The whole state, published: it holds all that any snapshot with a lower ordinal holds.
    FullCompleted,
    /// A full snapshot that is being written. Nothing is restored from it.
    Pending,
}

impl SnapshotType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Diff, Self::FullCompleted, Self::Pending];

    /// Its word in names.
    // Persisted: never rename.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Diff => "diff",
            Self::FullCompleted => "full",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for SnapshotType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A snapshot that is in the set with all its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotInfo {
    /// Its place among the others.
    pub ordinal: SnapshotOrdinal,
    /// What it is.
    pub kind: SnapshotType,
    /// How many shards it has, numbered from 0. Shards of one snapshot hold distinct keys: they are loaded in any order, also
    /// at the same time.
    pub shard_count: u32,
}

impl SnapshotInfo {
    /// Whether it has such a shard.
    ///
    /// # Errors
    /// `UnknownShard`.
    pub const fn check_shard(&self, shard: u32) -> SnapshotResult<()> {
        let Self { ordinal, shard_count, .. } = *self;
        if shard < shard_count { Ok(()) } else { Err(SnapshotError::UnknownShard { ordinal, shard, shard_count }) }
    }
}

/// What is removed when a snapshot is published. By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PublishOptions {
    /// Diffs that no kept full snapshot needs: those with a lower ordinal than the older one of the kept two.
    pub purge_obsolete_diff: bool,
    /// Pending snapshots with a lower ordinal than the published one.
    pub purge_obsolete_pending: bool,
}

impl PublishOptions {
    /// Everything that is obsolete is removed.
    pub const PURGE_ALL: Self = Self { purge_obsolete_diff: true, purge_obsolete_pending: true };
}

/// What a state is restored from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotsToRestore {
    /// The full snapshot to begin with; `None`: with nothing.
    pub full: Option<SnapshotInfo>,
    /// The diffs behind it, in the order in which they are applied.
    pub diffs: Vec<SnapshotInfo>,
}

/// The end of a shard that is being written. Every `write` hands its bytes to the medium, so wrap it in a
/// [`BufWriter`](std::io::BufWriter) for small ones; `flush` does nothing.
///
/// What was written survives the death of the process; what was synced survives power loss. Dropping the writer gives the shard
/// up: one of a pending snapshot is then not finished. A writer keeps the set owned as long as it lives.
pub trait ShardWriter: Write + Send {
    /// Returns when everything that was written is on stable storage.
    ///
    /// # Errors
    /// Those of the medium. What was written since the last sync may then be lost whatever a later sync says, and although it can be
    /// read still. So this owner gets no writer of the shard again (`ShardFailed`), nor the diff to append to: publish
    /// a full snapshot of what is known, or write what was not synced once more, to another diff.
    fn sync(&mut self) -> SnapshotResult<()>;

    /// Syncs, and gives the shard back. One of a pending snapshot is finished by this: it takes no writer any more, and
    /// when all of them are finished the snapshot can be published.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    fn finish(self: Box<Self>) -> SnapshotResult<()>;
}

impl fmt::Debug for dyn ShardWriter + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShardWriter")
    }
}

/// A shard that is read from its first byte on. It goes on reading what it was opened for, also when that is purged meanwhile.
pub trait ShardReader: Read + Send {
    /// How many bytes the shard had when it was opened.
    fn size_bytes(&self) -> u64;
}

impl fmt::Debug for dyn ShardReader + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardReader({} bytes)", self.size_bytes())
    }
}

/// A set of snapshots, owned by one process at a time.
///
/// What is in the set always matches the medium: every call looks at it anew, so a file that somebody removed, added or
/// renamed is found by the next call that needs it. Damage never keeps a set from being opened, nor
/// snapshots from being created and published.
///
/// The group `snapshot_set` of the conformance suite holds all of this, but for damage.
pub trait SnapshotSet: Send + Sync {
    /// A snapshot to write to: a new one, whose shards are empty, or a diff that is there already.
    ///
    /// A new one has the ordinal behind the highest that is in the set or was given by this owner, is in the set with all its shards when the call returns, and
    /// survives power loss. With `may_append_existing`, a `Diff` that has the highest ordinal of all snapshots and the same
    /// number of shards is given again; one that is older than a full snapshot, completed or pending, is never given, because
    /// what was appended to it would be missing behind that one. Without, and for `Pending`, it is always a new one.
    ///
    /// # Errors
    /// `NotCreatable` for `FullCompleted`, which is published; `ShardCount` for no shards and for more than
    /// [`SHARDS_MAX`]; `OrdinalsExhausted`; those of the medium. Nothing is in the set then that was not there before.
    fn create_or_get_snapshot(
        &self,
        kind: SnapshotType,
        shard_count: u32,
        may_append_existing: bool,
    ) -> SnapshotResult<SnapshotInfo>;

    /// Makes a pending snapshot a completed full one, at once with all its shards, and on stable storage when the call returns.
    ///
    /// Of the completed full ones the newest two are kept; older ones are removed, but not before the published one is on stable
    /// storage. Whatever is removed, the present can be restored from either of the kept two. What cannot be removed now is no
    /// error: the next publication or opening removes it.
    ///
    /// # Errors
    /// `Unfinished` with the shards that no writer of this opening has finished, which is all of them for one that an earlier owner left;
    /// `NotPending`; `Superseded` if a completed full snapshot is newer; `Damaged` if files of it are missing; `UnknownSnapshot`. Nothing is
    /// changed then. Those of the medium: it may be published or not, the older ones are all there.
    fn publish_completed_snapshot(
        &self,
        ordinal: SnapshotOrdinal,
        options: PublishOptions,
    ) -> SnapshotResult<SnapshotInfo>;

    /// The newest completed full snapshot, and the diffs with a higher ordinal in ascending order. Without a full one, all diffs.
    ///
    /// # Errors
    /// `Damaged`, with the files, if one of these is not whole, if a name in the set is none that the set writes, or if
    /// diffs were purged and the full snapshot is gone that made them obsolete. Never a shorter answer.
    fn get_snapshots_to_restore(&self) -> SnapshotResult<SnapshotsToRestore>;

    /// As [`get_snapshots_to_restore`](Self::get_snapshots_to_restore), as if the completed full snapshots from this
    /// ordinal on (inclusive) were not there: for a full one that is not whole, or whose contents turn out to be damaged. The diffs
    /// that came before it are among the answer.
    ///
    /// # Errors
    /// The same.
    fn get_snapshots_to_restore_before(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotsToRestore>;

    /// Every snapshot that is whole, by ordinal ascending.
    ///
    /// # Errors
    /// Those of the medium.
    fn list_snapshots(&self) -> SnapshotResult<Vec<SnapshotInfo>>;

    /// Everything that is not as the set left it. Nothing is changed.
    ///
    /// # Errors
    /// Those of the medium.
    fn damage(&self) -> SnapshotResult<Vec<SnapshotDamage>>;

    /// Gives up a pending snapshot, whose writing failed or is not wanted any more.
    ///
    /// # Errors
    /// `NotPending`; `UnknownSnapshot`; those of the medium.
    fn discard_pending_snapshot(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<()>;

    /// The end of a shard, to append to. That of a pending snapshot begins empty, whatever an earlier writer left in it; a
    /// diff's stands behind what the diff holds.
    ///
    /// # Errors
    /// `NotWritable` for a completed full snapshot; `Sealed` for a diff that another snapshot follows; `ShardBusy` while another
    /// writer has it; `ShardFinished`; `ShardFailed` if a sync of it failed; `UnknownSnapshot`; `UnknownShard`; `Damaged`; those
    /// of the medium.
    fn write_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardWriter>>;

    /// A shard's bytes. One that is being written may be read too, as far as it was written.
    ///
    /// # Errors
    /// `UnknownSnapshot`; `UnknownShard`; `Damaged`; those of the medium.
    fn read_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardReader>>;
}
