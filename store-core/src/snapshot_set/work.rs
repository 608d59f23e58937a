//! What the owner of a set is doing: which shards are being written, which are finished, which cannot be trusted any more.
//!
//! None of it outlives the owner: what an earlier one did not publish is not finished.

use std::collections::BTreeMap;

use super::error::{SnapshotError, SnapshotResult};
use super::{SHARDS_MAX, SnapshotInfo, SnapshotOrdinal, SnapshotType};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Writing,
    Finished,
    Failed,
}

/// The shards that were written to since the set was opened, and the highest ordinal that was seen.
#[derive(Debug, Default)]
pub struct Work {
    shards: BTreeMap<(SnapshotOrdinal, u32), Progress>,
    highest: SnapshotOrdinal,
}

impl Work {
    /// Whether a snapshot of this type and size may be created.
    ///
    /// # Errors
    /// `NotCreatable`; `ShardCount`.
    pub fn check_new(kind: SnapshotType, shard_count: u32) -> SnapshotResult<()> {
        if kind == SnapshotType::FullCompleted {
            return Err(SnapshotError::NotCreatable { kind });
        }
        if !(1..=SHARDS_MAX).contains(&shard_count) {
            return Err(SnapshotError::ShardCount { shard_count });
        }
        Ok(())
    }

    /// The ordinal of the next snapshot, above all that are in the set and all that were given before.
    ///
    /// # Errors
    /// `OrdinalsExhausted`.
    pub fn next_ordinal(&mut self, highest: SnapshotOrdinal) -> SnapshotResult<SnapshotOrdinal> {
        let next = highest.max(self.highest).0.checked_add(1).ok_or(SnapshotError::OrdinalsExhausted)?;
        self.highest = SnapshotOrdinal(next);
        Ok(self.highest)
    }

    /// Whether every shard can be trusted, as far as this owner knows.
    pub fn is_trusted(&self, info: &SnapshotInfo) -> bool {
        let mut shards = self.shards.range((info.ordinal, 0)..=(info.ordinal, u32::MAX));
        shards.all(|(_, progress)| *progress != Progress::Failed)
    }

    /// Takes a shard for a writer.
    ///
    /// # Errors
    /// `UnknownShard`; `ShardBusy`; `ShardFinished`; `ShardFailed`.
    pub fn begin(&mut self, info: &SnapshotInfo, shard: u32) -> SnapshotResult<()> {
        info.check_shard(shard)?;
        let ordinal = info.ordinal;
        match self.shards.get(&(ordinal, shard)) {
            Some(Progress::Writing) => Err(SnapshotError::ShardBusy { ordinal, shard }),
            Some(Progress::Finished) => Err(SnapshotError::ShardFinished { ordinal, shard }),
            Some(Progress::Failed) => Err(SnapshotError::ShardFailed { ordinal, shard }),
            None => {
                self.shards.insert((ordinal, shard), Progress::Writing);
                Ok(())
            }
        }
    }

    /// The shard's writer is gone.
    pub fn give_up(&mut self, ordinal: SnapshotOrdinal, shard: u32) {
        if self.shards.get(&(ordinal, shard)) == Some(&Progress::Writing) {
            self.shards.remove(&(ordinal, shard));
        }
    }

    /// The shard's writer has finished it. A shard that failed before stays so.
    pub fn finish(&mut self, info: &SnapshotInfo, shard: u32) {
        if self.shards.get(&(info.ordinal, shard)) == Some(&Progress::Writing) && info.kind == SnapshotType::Pending {
            self.shards.insert((info.ordinal, shard), Progress::Finished);
        }
    }

    /// A sync of the shard failed.
    pub fn fail(&mut self, ordinal: SnapshotOrdinal, shard: u32) {
        self.shards.insert((ordinal, shard), Progress::Failed);
    }

    /// Whether a sync of the shard failed.
    ///
    /// # Errors
    /// `ShardFailed`.
    pub fn check_trusted(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<()> {
        match self.shards.get(&(ordinal, shard)) {
            Some(Progress::Failed) => Err(SnapshotError::ShardFailed { ordinal, shard }),
            _ => Ok(()),
        }
    }

    /// Whether all shards of a snapshot are finished.
    ///
    /// # Errors
    /// `Unfinished` with those that are not.
    pub fn check_finished(&self, info: &SnapshotInfo) -> SnapshotResult<()> {
        let finished = |shard: &u32| self.shards.get(&(info.ordinal, *shard)) == Some(&Progress::Finished);
        let shards: Vec<u32> = (0..info.shard_count).filter(|shard| !finished(shard)).collect();
        if shards.is_empty() { Ok(()) } else { Err(SnapshotError::Unfinished { ordinal: info.ordinal, shards }) }
    }

    /// The snapshot is published, or gone.
    pub fn forget(&mut self, ordinal: SnapshotOrdinal) {
        self.shards.retain(|(of, _), _| *of != ordinal);
    }
}
