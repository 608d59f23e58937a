//! The reference with some calls replaced.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_core::snapshot_set::{
    MemorySnapshotMedium, MemorySnapshotSet, PublishOptions, ShardReader, ShardWriter, SnapshotDamage, SnapshotInfo,
    SnapshotOrdinal, SnapshotResult, SnapshotSet, SnapshotType, SnapshotsToRestore,
};

use crate::SnapshotSetHarness;

/// A call that is replaced: what is done in its place.
type Open = fn(&FaultyHarness) -> SnapshotResult<Box<dyn SnapshotSet>>;
type Create = fn(&Set, SnapshotType, u32, bool) -> SnapshotResult<SnapshotInfo>;
type Publish = fn(&Set, SnapshotOrdinal, PublishOptions) -> SnapshotResult<SnapshotInfo>;
type Restore = fn(&Set) -> SnapshotResult<SnapshotsToRestore>;
type RestoreBefore = fn(&Set, SnapshotOrdinal) -> SnapshotResult<SnapshotsToRestore>;
type List = fn(&Set) -> SnapshotResult<Vec<SnapshotInfo>>;
type FindDamage = fn(&Set) -> SnapshotResult<Vec<SnapshotDamage>>;
type Discard = fn(&Set, SnapshotOrdinal) -> SnapshotResult<()>;
type WriteShard = fn(&Set, SnapshotOrdinal, u32) -> SnapshotResult<Box<dyn ShardWriter>>;
type ReadShard = fn(&Set, SnapshotOrdinal, u32) -> SnapshotResult<Box<dyn ShardReader>>;

/// Which calls are replaced, and by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) open: Option<Open>,
    pub(super) create: Option<Create>,
    pub(super) publish: Option<Publish>,
    pub(super) restore: Option<Restore>,
    pub(super) restore_before: Option<RestoreBefore>,
    pub(super) list: Option<List>,
    pub(super) damage: Option<FindDamage>,
    pub(super) discard: Option<Discard>,
    pub(super) write: Option<WriteShard>,
    pub(super) read: Option<ReadShard>,
    /// What happens when the set is closed.
    pub(super) close: Option<fn(&Set)>,
}

impl Rules {
    /// Every call does what the contract says.
    pub(super) const KEPT: Self = Self {
        open: None,
        create: None,
        publish: None,
        restore: None,
        restore_before: None,
        list: None,
        damage: None,
        discard: None,
        write: None,
        read: None,
        close: None,
    };
}

/// What a fault remembers, with the medium.
type Notes = Arc<Mutex<BTreeMap<(SnapshotOrdinal, u32), u64>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A set with a fault.
pub(super) struct Set {
    /// The reference.
    pub(super) inner: Arc<MemorySnapshotSet>,
    /// How often the set was opened before.
    pub(super) reopened: u64,
    /// How many snapshots this opening has created.
    pub(super) created: Mutex<u64>,
    notes: Notes,
    closed: Arc<AtomicBool>,
    rules: Rules,
}

impl Drop for Set {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Some(close) = self.rules.close {
            close(self);
        }
    }
}

impl Set {
    pub(super) fn note(&self, ordinal: SnapshotOrdinal, shard: u32, number: u64) {
        lock(&self.notes).insert((ordinal, shard), number);
    }

    pub(super) fn noted(&self, ordinal: SnapshotOrdinal, shard: u32) -> Option<u64> {
        lock(&self.notes).get(&(ordinal, shard)).copied()
    }

    pub(super) fn created(&self) -> u64 {
        *lock(&self.created)
    }

    /// Uses an ordinal up.
    pub(super) fn burn(&self) -> SnapshotResult<()> {
        let burnt = self.inner.create_or_get_snapshot(SnapshotType::Pending, 1, false)?;
        self.inner.discard_pending_snapshot(burnt.ordinal)
    }

    /// The last snapshot of this type.
    pub(super) fn last(&self, kind: SnapshotType) -> Option<SnapshotInfo> {
        self.inner.list_snapshots().unwrap_or_default().into_iter().rfind(|info| info.kind == kind)
    }
}

/// What a set with a fault is kept in.
#[derive(Debug)]
pub(super) struct FaultyHarness {
    medium: MemorySnapshotMedium,
    notes: Notes,
    opened: Mutex<u64>,
    closed: Arc<AtomicBool>,
    rules: Rules,
}

impl FaultyHarness {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            medium: MemorySnapshotMedium::default(),
            notes: Arc::default(),
            opened: Mutex::default(),
            closed: Arc::default(),
            rules,
        }
    }

    /// Opens the set, and does nothing wrong in that.
    pub(super) fn open_kept(&self) -> SnapshotResult<Set> {
        let inner = Arc::new(MemorySnapshotSet::open(&self.medium)?);
        Ok(self.set(inner))
    }

    /// Whether a set that was opened is dropped, whatever its writers do.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// A set that is not on the medium at all.
    pub(super) fn open_elsewhere(&self) -> Set {
        self.set(Arc::new(MemorySnapshotSet::new()))
    }

    fn set(&self, inner: Arc<MemorySnapshotSet>) -> Set {
        let mut opened = lock(&self.opened);
        let (notes, closed) = (Arc::clone(&self.notes), Arc::clone(&self.closed));
        let set = Set { inner, reopened: *opened, created: Mutex::default(), notes, closed, rules: self.rules };
        *opened += 1;
        set
    }
}

impl SnapshotSetHarness for FaultyHarness {
    fn fresh() -> Self {
        Self::new(Rules::KEPT)
    }

    fn open(&self) -> SnapshotResult<Box<dyn SnapshotSet>> {
        match self.rules.open {
            Some(open) => open(self),
            None => Ok(Box::new(self.open_kept()?)),
        }
    }
}

impl SnapshotSet for Set {
    fn create_or_get_snapshot(
        &self,
        kind: SnapshotType,
        shard_count: u32,
        may_append_existing: bool,
    ) -> SnapshotResult<SnapshotInfo> {
        let info = match self.rules.create {
            Some(create) => create(self, kind, shard_count, may_append_existing),
            None => self.inner.create_or_get_snapshot(kind, shard_count, may_append_existing),
        }?;
        *lock(&self.created) += 1;
        Ok(info)
    }

    fn publish_completed_snapshot(
        &self,
        ordinal: SnapshotOrdinal,
        options: PublishOptions,
    ) -> SnapshotResult<SnapshotInfo> {
        match self.rules.publish {
            Some(publish) => publish(self, ordinal, options),
            None => self.inner.publish_completed_snapshot(ordinal, options),
        }
    }

    fn get_snapshots_to_restore(&self) -> SnapshotResult<SnapshotsToRestore> {
        self.rules.restore.map_or_else(|| self.inner.get_snapshots_to_restore(), |restore| restore(self))
    }

    fn get_snapshots_to_restore_before(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotsToRestore> {
        match self.rules.restore_before {
            Some(restore) => restore(self, ordinal),
            None => self.inner.get_snapshots_to_restore_before(ordinal),
        }
    }

    fn list_snapshots(&self) -> SnapshotResult<Vec<SnapshotInfo>> {
        self.rules.list.map_or_else(|| self.inner.list_snapshots(), |list| list(self))
    }

    fn damage(&self) -> SnapshotResult<Vec<SnapshotDamage>> {
        self.rules.damage.map_or_else(|| self.inner.damage(), |damage| damage(self))
    }

    fn discard_pending_snapshot(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<()> {
        match self.rules.discard {
            Some(discard) => discard(self, ordinal),
            None => self.inner.discard_pending_snapshot(ordinal),
        }
    }

    fn write_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardWriter>> {
        match self.rules.write {
            Some(write) => write(self, ordinal, shard),
            None => self.inner.write_shard(ordinal, shard),
        }
    }

    fn read_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardReader>> {
        match self.rules.read {
            Some(read) => read(self, ordinal, shard),
            None => self.inner.read_shard(ordinal, shard),
        }
    }
}
