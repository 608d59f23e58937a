//! The reference: a snapshot set in memory, strict and boring.
//!
//! A [`MemorySnapshotMedium`] stands for the folder: it is what is left when a set is dropped, and one set owns it at a time.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{
    Catalogue, FoundShard, FoundSnapshot, Obsolete, PublishOptions, ShardReader, ShardWriter, SnapshotDamage,
    SnapshotError, SnapshotInfo, SnapshotOrdinal, SnapshotResult, SnapshotSet, SnapshotType, SnapshotsToRestore, Work,
    shard_name, snapshot_name,
};
use crate::error::StoreError;

type Bytes = Arc<Mutex<Vec<u8>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a set in memory is kept in. A clone is the same medium.
#[derive(Clone, Debug, Default)]
pub struct MemorySnapshotMedium {
    state: Arc<Mutex<State>>,
    /// Held by the set that owns it, and by its writers.
    owner: Arc<Mutex<Weak<()>>>,
}

#[derive(Debug, Default)]
struct State {
    snapshots: BTreeMap<SnapshotOrdinal, (SnapshotType, Vec<Bytes>)>,
    base: SnapshotOrdinal,
}

impl State {
    fn catalogue(&self) -> Catalogue {
        let found = self.snapshots.iter().map(|(ordinal, (kind, shards))| {
            let path = PathBuf::from(snapshot_name(*ordinal, *kind));
            let shard_count = u32::try_from(shards.len()).unwrap_or(u32::MAX);
            let shard = |shard| FoundShard { shard, shard_count, path: path.join(shard_name(shard, shard_count)) };
            let shards = (0..shard_count).map(shard).collect();
            FoundSnapshot { ordinal: *ordinal, kind: *kind, path, shards, foreign: Vec::new() }
        });
        Catalogue::new(found.collect(), Vec::new(), self.base)
    }

    fn remove(&mut self, obsolete: Obsolete, work: &mut Work) {
        self.base = obsolete.base.unwrap_or(self.base);
        for ordinal in obsolete.snapshots {
            self.snapshots.remove(&ordinal);
            work.forget(ordinal);
        }
    }

    fn bytes(&self, info: &SnapshotInfo, shard: u32) -> SnapshotResult<Bytes> {
        info.check_shard(shard)?;
        let unknown = SnapshotError::UnknownSnapshot { ordinal: info.ordinal };
        let (_, shards) = self.snapshots.get(&info.ordinal).ok_or(unknown)?;
        Ok(Arc::clone(&shards[shard as usize]))
    }
}

/// A snapshot set in memory.
#[derive(Debug)]
pub struct MemorySnapshotSet {
    medium: MemorySnapshotMedium,
    work: Arc<Mutex<Work>>,
    owner: Arc<()>,
}

impl MemorySnapshotSet {
    /// A set on a medium of its own.
    pub fn new() -> Self {
        Self::on(MemorySnapshotMedium::default(), Arc::new(()))
    }

    /// The set that is kept in a medium.
    ///
    /// # Errors
    /// `Locked` while another set owns the medium.
    pub fn open(medium: &MemorySnapshotMedium) -> SnapshotResult<Self> {
        let mut owner = lock(&medium.owner);
        if owner.upgrade().is_some() {
            return Err(StoreError::Locked { path: PathBuf::from("memory") }.into());
        }
        let own = Arc::new(());
        *owner = Arc::downgrade(&own);
        drop(owner);
        Ok(Self::on(medium.clone(), own))
    }

    fn on(medium: MemorySnapshotMedium, owner: Arc<()>) -> Self {
        Self { medium, work: Arc::default(), owner }
    }
}

impl Default for MemorySnapshotSet {
    fn default() -> Self {
        Self::new()
    }
}

impl SnapshotSet for MemorySnapshotSet {
    fn create_or_get_snapshot(
        &self,
        kind: SnapshotType,
        shard_count: u32,
        may_append_existing: bool,
    ) -> SnapshotResult<SnapshotInfo> {
        Work::check_new(kind, shard_count)?;
        let (mut state, mut work) = (lock(&self.medium.state), lock(&self.work));
        let catalogue = state.catalogue();
        if kind == SnapshotType::Diff && may_append_existing {
            let existing = catalogue.appendable_diff(shard_count).filter(|diff| work.is_trusted(diff));
            if let Some(existing) = existing {
                return Ok(existing);
            }
        }
        let ordinal = work.next_ordinal(catalogue.highest())?;
        let shards = (0..shard_count).map(|_| Bytes::default()).collect();
        state.snapshots.insert(ordinal, (kind, shards));
        Ok(SnapshotInfo { ordinal, kind, shard_count })
    }

    fn publish_completed_snapshot(
        &self,
        ordinal: SnapshotOrdinal,
        options: PublishOptions,
    ) -> SnapshotResult<SnapshotInfo> {
        let (mut state, mut work) = (lock(&self.medium.state), lock(&self.work));
        let info = state.catalogue().publishable(ordinal)?;
        work.check_finished(&info)?;
        work.forget(ordinal);
        if let Some((kind, _)) = state.snapshots.get_mut(&ordinal) {
            *kind = SnapshotType::FullCompleted;
        }
        let obsolete = state.catalogue().obsolete(ordinal, options);
        state.remove(obsolete, &mut work);
        Ok(SnapshotInfo { kind: SnapshotType::FullCompleted, ..info })
    }

    fn get_snapshots_to_restore(&self) -> SnapshotResult<SnapshotsToRestore> {
        lock(&self.medium.state).catalogue().to_restore(None)
    }

    fn get_snapshots_to_restore_before(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotsToRestore> {
        lock(&self.medium.state).catalogue().to_restore(Some(ordinal))
    }

    fn list_snapshots(&self) -> SnapshotResult<Vec<SnapshotInfo>> {
        Ok(lock(&self.medium.state).catalogue().whole())
    }

    fn damage(&self) -> SnapshotResult<Vec<SnapshotDamage>> {
        Ok(lock(&self.medium.state).catalogue().damage())
    }

    fn discard_pending_snapshot(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<()> {
        let (mut state, mut work) = (lock(&self.medium.state), lock(&self.work));
        state.catalogue().check_pending(ordinal)?;
        state.snapshots.remove(&ordinal);
        work.forget(ordinal);
        Ok(())
    }

    fn write_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardWriter>> {
        let (state, mut work) = (lock(&self.medium.state), lock(&self.work));
        let info = state.catalogue().writable(ordinal)?;
        work.begin(&info, shard)?;
        let bytes = state.bytes(&info, shard)?;
        if info.kind == SnapshotType::Pending {
            lock(&bytes).clear();
        }
        let (work, owner) = (Arc::clone(&self.work), Arc::clone(&self.owner));
        Ok(Box::new(MemoryShardWriter { bytes, info, shard, work, _owner: owner }))
    }

    fn read_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardReader>> {
        let state = lock(&self.medium.state);
        let bytes = state.bytes(&state.catalogue().get(ordinal)?, shard)?;
        let size_bytes = lock(&bytes).len() as u64;
        Ok(Box::new(MemoryShardReader { bytes, at: 0, size_bytes }))
    }
}

struct MemoryShardWriter {
    bytes: Bytes,
    info: SnapshotInfo,
    shard: u32,
    work: Arc<Mutex<Work>>,
    _owner: Arc<()>,
}

impl Write for MemoryShardWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.bytes).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ShardWriter for MemoryShardWriter {
    fn sync(&mut self) -> SnapshotResult<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> SnapshotResult<()> {
        lock(&self.work).finish(&self.info, self.shard);
        Ok(())
    }
}

impl Drop for MemoryShardWriter {
    fn drop(&mut self) {
        lock(&self.work).give_up(self.info.ordinal, self.shard);
    }
}

struct MemoryShardReader {
    bytes: Bytes,
    at: usize,
    size_bytes: u64,
}

impl Read for MemoryShardReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let bytes = lock(&self.bytes);
        let count = bytes.get(self.at..).unwrap_or_default().read(to)?;
        self.at += count;
        Ok(count)
    }
}

impl ShardReader for MemoryShardReader {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
