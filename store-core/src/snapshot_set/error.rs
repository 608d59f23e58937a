//! What can go wrong with a snapshot set, as its owner would act on it.
//!
//! Apart from [`StoreError`]: whoever keeps a log is never told these, and whoever keeps a set is told hardly any of those.

use std::fmt;
use std::path::PathBuf;

use super::{SHARDS_MAX, SnapshotOrdinal, SnapshotType};
use crate::error::StoreError;

/// The result of every call on a snapshot set.
pub type SnapshotResult<T> = Result<T, SnapshotError>;

/// What is not as the set left it. Files are named by their full paths.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotDamage {
    /// Files of a snapshot are not there.
    MissingShards {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// What is not there: the files, or the folder that has none.
        files: Vec<PathBuf>,
    },
    /// Several files are the same shard of a snapshot.
    DuplicateShards {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// All files of those shards.
        files: Vec<PathBuf>,
    },
    /// Files of a snapshot do not agree on how many shards it has, or are numbered beyond that.
    MismatchedShards {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// All its files.
        files: Vec<PathBuf>,
    },
    /// Several snapshots have the same ordinal.
    DuplicateSnapshots {
        /// The ordinal.
        ordinal: SnapshotOrdinal,
        /// Where they are.
        files: Vec<PathBuf>,
    },
    /// Names that no set writes, or that stand for something else than the set makes of that name.
    Foreign {
        /// What stands there.
        files: Vec<PathBuf>,
    },
    /// Diffs were purged because of a full snapshot that is not there any more: without one of at least this ordinal the state
    /// is not whole.
    FullSnapshotLost {
        /// The lowest ordinal of a full snapshot that a restoration can begin with.
        ordinal: SnapshotOrdinal,
    },
}

impl fmt::Display for SnapshotDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, files) = match self {
            Self::MissingShards { ordinal, files } => (format!("files of snapshot {ordinal} are missing"), files),
            Self::DuplicateShards { ordinal, files } => {
                (format!("shards of snapshot {ordinal} are there twice"), files)
            }
            Self::MismatchedShards { ordinal, files } => {
                (format!("files of snapshot {ordinal} do not belong together"), files)
            }
            Self::DuplicateSnapshots { ordinal, files } => (format!("snapshot {ordinal} is there twice"), files),
            Self::Foreign { files } => ("what the set did not write is in it".to_owned(), files),
            Self::FullSnapshotLost { ordinal } => {
                return write!(f, "no full snapshot from {ordinal} on is there, and diffs before it were purged");
            }
        };
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        write!(f, "{what}: {}", names.join(", "))
    }
}

/// Why a snapshot set did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A completed full snapshot is published, not created: create a pending one.
    #[error("a {kind} snapshot cannot be created, only published")]
    NotCreatable {
        /// What was to be created.
        kind: SnapshotType,
    },

    /// A snapshot without shards, or with too many.
    #[error("a snapshot has 1 to {SHARDS_MAX} shards, not {shard_count}")]
    ShardCount {
        /// What was asked for.
        shard_count: u32,
    },

    /// No snapshot of this ordinal is in the set: it never was, or it was purged.
    #[error("snapshot {ordinal} is not in the set")]
    UnknownSnapshot {
        /// The ordinal.
        ordinal: SnapshotOrdinal,
    },

    /// The snapshot has fewer shards.
    #[error("snapshot {ordinal} has {shard_count} shard(s), and no shard {shard}")]
    UnknownShard {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// What was asked for, from 0.
        shard: u32,
        /// How many it has.
        shard_count: u32,
    },

    /// Only a pending snapshot can be published or discarded.
    #[error("snapshot {ordinal} is a {kind} one, not a pending one")]
    NotPending {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// What it is.
        kind: SnapshotType,
    },

    /// Shards were not finished by a writer of this owner: write them, or discard the snapshot.
    #[error("{} shard(s) of snapshot {ordinal} are not finished", shards.len())]
    Unfinished {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// The shards, ascending.
        shards: Vec<u32>,
    },

    /// A newer full snapshot was published already, and what lies between the two may be gone: discard this one.
    #[error("snapshot {ordinal} is older than the full snapshot {by}")]
    Superseded {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// The newer one.
        by: SnapshotOrdinal,
    },

    /// A completed full snapshot is never written to.
    #[error("snapshot {ordinal} is a {kind} one and takes no writer")]
    NotWritable {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// What it is.
        kind: SnapshotType,
    },

    /// What would be appended to the diff would come too late: ask for a diff to append to.
    #[error("diff {ordinal} is followed by snapshot {by}")]
    Sealed {
        /// The diff.
        ordinal: SnapshotOrdinal,
        /// A snapshot with a higher ordinal.
        by: SnapshotOrdinal,
    },

    /// Another writer has the shard.
    #[error("shard {shard} of snapshot {ordinal} is being written")]
    ShardBusy {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// The shard.
        shard: u32,
    },

    /// The pending snapshot's shard was finished: publish or discard the snapshot.
    #[error("shard {shard} of snapshot {ordinal} is finished")]
    ShardFinished {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// The shard.
        shard: u32,
    },

    /// A sync of the shard failed, and what it holds cannot be trusted: go on with another snapshot.
    #[error("a sync of shard {shard} of snapshot {ordinal} failed")]
    ShardFailed {
        /// The snapshot.
        ordinal: SnapshotOrdinal,
        /// The shard.
        shard: u32,
    },

    /// There is no higher ordinal.
    #[error("there is no ordinal above the highest one in the set")]
    OrdinalsExhausted,

    /// Files were removed, added or renamed by somebody else. Nothing was changed.
    #[error("the snapshot set is damaged: {0}")]
    Damaged(SnapshotDamage),

    /// The medium: another process owns the set (`Locked`), it is open for reading only, it is full, the system refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}
