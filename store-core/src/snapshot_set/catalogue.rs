//! What is in a set, as it was found, and what follows from it: which snapshots are whole, which is next, what a state is
//! restored from, what is obsolete. Pure: whoever keeps a set looks at its medium, asks here, and moves bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::{SnapshotDamage, SnapshotError, SnapshotResult};
use super::{
    FULL_SNAPSHOTS_KEPT, PublishOptions, SHARDS_MAX, SnapshotInfo, SnapshotOrdinal, SnapshotType, SnapshotsToRestore,
};

/// A file that has a shard's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundShard {
    /// Its number, from 0.
    pub shard: u32,
    /// How many shards the snapshot has, by this name.
    pub shard_count: u32,
    /// The file.
    pub path: PathBuf,
}

/// Something that has a snapshot's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSnapshot {
    /// Its ordinal.
    pub ordinal: SnapshotOrdinal,
    /// Its type.
    pub kind: SnapshotType,
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub shards: Vec<FoundShard>,
    /// What else is there.
    pub foreign: Vec<PathBuf>,
}

impl FoundSnapshot {
    /// The snapshot, if its shards are the ones it should have.
    fn check(&self) -> Result<SnapshotInfo, SnapshotDamage> {
        let ordinal = self.ordinal;
        let is_named = |path: &Path, name: String| path.file_name().is_some_and(|own| *own == *name);
        if !is_named(&self.path, snapshot_name(ordinal, self.kind)) {
            return Err(SnapshotDamage::Foreign { files: vec![self.path.clone()] });
        }
        if !self.foreign.is_empty() {
            return Err(SnapshotDamage::Foreign { files: self.foreign.clone() });
        }
        let Some(first) = self.shards.first() else {
            return Err(SnapshotDamage::MissingShards { ordinal, files: vec![self.path.clone()] });
        };
        let shard_count = first.shard_count;
        let belongs = |found: &FoundShard| found.shard_count == shard_count && found.shard < shard_count;
        if !self.shards.iter().all(belongs) || shard_count > SHARDS_MAX {
            let files = self.shards.iter().map(|found| found.path.clone()).collect();
            return Err(SnapshotDamage::MismatchedShards { ordinal, files });
        }
        let mut by_number: BTreeMap<u32, Vec<&FoundShard>> = BTreeMap::new();
        for found in &self.shards {
            by_number.entry(found.shard).or_default().push(found);
        }
        let twice: Vec<_> = by_number.values().filter(|files| files.len() > 1).flatten().collect();
        if !twice.is_empty() {
            let files = twice.into_iter().map(|found| found.path.clone()).collect();
            return Err(SnapshotDamage::DuplicateShards { ordinal, files });
        }
        let misspelt = self.shards.iter().filter(|found| !is_named(&found.path, shard_name(found.shard, shard_count)));
        let files: Vec<_> = misspelt.map(|found| found.path.clone()).collect();
        if !files.is_empty() {
            return Err(SnapshotDamage::Foreign { files });
        }
        let missing = (0..shard_count).filter(|shard| !by_number.contains_key(shard));
        let files: Vec<_> = missing.map(|shard| self.path.join(shard_name(shard, shard_count))).collect();
        if !files.is_empty() {
            return Err(SnapshotDamage::MissingShards { ordinal, files });
        }
        Ok(SnapshotInfo { ordinal, kind: self.kind, shard_count })
    }
}

/// What a snapshot is called within its set.
// Persisted: never change.
pub fn snapshot_name(ordinal: SnapshotOrdinal, kind: SnapshotType) -> String {
    format!("{ordinal}.{kind}")
}

/// What a shard is called within its snapshot.
// Persisted: never change.
pub fn shard_name(shard: u32, shard_count: u32) -> String {
    format!("{shard}-of-{shard_count}")
}

#[derive(Clone, Debug)]
struct Entry {
    kind: SnapshotType,
    state: Result<SnapshotInfo, SnapshotDamage>,
    paths: Vec<PathBuf>,
}

/// What can be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obsolete {
    /// The snapshots, ascending.
    pub snapshots: Vec<SnapshotOrdinal>,
    /// From this full snapshot on a state has to be restored when they are gone; `None` if none of them is a diff.
    pub base: Option<SnapshotOrdinal>,
}

/// What is in a set at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: BTreeMap<SnapshotOrdinal, Entry>,
    foreign: Vec<PathBuf>,
    base: SnapshotOrdinal,
}

impl Catalogue {
    /// What follows from what was found: snapshots, names that no set writes, and the base that was noted when diffs were
    /// purged (0 if they never were).
    pub fn new(found: Vec<FoundSnapshot>, foreign: Vec<PathBuf>, base: SnapshotOrdinal) -> Self {
        let mut entries: BTreeMap<SnapshotOrdinal, Entry> = BTreeMap::new();
        for snapshot in found {
            let state = snapshot.check();
            let new = Entry { kind: snapshot.kind, state, paths: vec![snapshot.path] };
            let Some(entry) = entries.get_mut(&snapshot.ordinal) else {
                entries.insert(snapshot.ordinal, new);
                continue;
            };
            entry.paths.extend(new.paths);
            entry.paths.sort_unstable();
            // What may be full is never taken for less.
            if new.kind == SnapshotType::FullCompleted || entry.kind == SnapshotType::Pending {
                entry.kind = new.kind;
            }
            let files = entry.paths.clone();
            entry.state = Err(SnapshotDamage::DuplicateSnapshots { ordinal: snapshot.ordinal, files });
        }
        Self { entries, foreign, base }
    }

    /// The base that was noted.
    pub const fn base(&self) -> SnapshotOrdinal {
        self.base
    }

    /// Where a snapshot is; several places if it is there several times.
    pub fn paths(&self, ordinal: SnapshotOrdinal) -> &[PathBuf] {
        self.entries.get(&ordinal).map_or(&[], |entry| &entry.paths)
    }

    /// The snapshots that are whole, ascending.
    pub fn whole(&self) -> Vec<SnapshotInfo> {
        self.entries.values().filter_map(|entry| entry.state.as_ref().ok().copied()).collect()
    }

    /// Everything that is not as the set left it.
    pub fn damage(&self) -> Vec<SnapshotDamage> {
        let mut damage: Vec<_> = self.entries.values().filter_map(|entry| entry.state.clone().err()).collect();
        damage.extend(self.foreign_names());
        if self.whole_full_before(None).is_none_or(|full| full < self.base) && self.base > SnapshotOrdinal(0) {
            damage.push(SnapshotDamage::FullSnapshotLost { ordinal: self.base });
        }
        damage
    }

    fn foreign_names(&self) -> Option<SnapshotDamage> {
        (!self.foreign.is_empty()).then(|| SnapshotDamage::Foreign { files: self.foreign.clone() })
    }

    /// The snapshot of an ordinal.
    ///
    /// # Errors
    /// `UnknownSnapshot`; `Damaged`.
    pub fn get(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotInfo> {
        let entry = self.entries.get(&ordinal).ok_or(SnapshotError::UnknownSnapshot { ordinal })?;
        entry.state.clone().map_err(SnapshotError::Damaged)
    }

    /// The highest ordinal in the set; 0 if it is empty.
    pub fn highest(&self) -> SnapshotOrdinal {
        self.entries.keys().next_back().copied().unwrap_or_default()
    }

    /// The diff that may be appended to: the last of all snapshots, if it is one of that many shards and whole.
    pub fn appendable_diff(&self, shard_count: u32) -> Option<SnapshotInfo> {
        let last = self.entries.values().next_back()?.state.as_ref().ok()?;
        (last.kind == SnapshotType::Diff && last.shard_count == shard_count).then_some(*last)
    }

    /// A snapshot whose shards may be written.
    ///
    /// # Errors
    /// `UnknownSnapshot`; `Damaged`; `NotWritable`; `Sealed`.
    pub fn writable(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotInfo> {
        let info = self.get(ordinal)?;
        match info.kind {
            SnapshotType::FullCompleted => Err(SnapshotError::NotWritable { ordinal, kind: info.kind }),
            SnapshotType::Diff if self.highest() > ordinal => {
                Err(SnapshotError::Sealed { ordinal, by: self.highest() })
            }
            SnapshotType::Diff | SnapshotType::Pending => Ok(info),
        }
    }

    /// A pending snapshot, whole or not.
    ///
    /// # Errors
    /// `UnknownSnapshot`; `NotPending`.
    pub fn check_pending(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<()> {
        match self.entries.get(&ordinal) {
            None => Err(SnapshotError::UnknownSnapshot { ordinal }),
            Some(entry) if entry.kind != SnapshotType::Pending => {
                Err(SnapshotError::NotPending { ordinal, kind: entry.kind })
            }
            Some(_) => Ok(()),
        }
    }

    /// A snapshot that may be published when all its shards are finished.
    ///
    /// # Errors
    /// `UnknownSnapshot`; `NotPending`; `Damaged`; `Superseded`.
    pub fn publishable(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotInfo> {
        self.check_pending(ordinal)?;
        let info = self.get(ordinal)?;
        match self.newest_full_before(None).filter(|(newest, _)| *newest > ordinal) {
            Some((by, _)) => Err(SnapshotError::Superseded { ordinal, by }),
            None => Ok(info),
        }
    }

    fn of_kind(&self, kind: SnapshotType) -> impl DoubleEndedIterator<Item = (SnapshotOrdinal, &Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.kind == kind).map(|(ordinal, entry)| (*ordinal, entry))
    }

    fn newest_full_before(&self, before: Option<SnapshotOrdinal>) -> Option<(SnapshotOrdinal, &Entry)> {
        let mut full = self.of_kind(SnapshotType::FullCompleted);
        full.rfind(|(ordinal, _)| before.is_none_or(|before| *ordinal < before))
    }

    fn whole_full_before(&self, before: Option<SnapshotOrdinal>) -> Option<SnapshotOrdinal> {
        let mut full = self.of_kind(SnapshotType::FullCompleted).filter(|(_, entry)| entry.state.is_ok());
        full.rfind(|(ordinal, _)| before.is_none_or(|before| *ordinal < before)).map(|(ordinal, _)| ordinal)
    }

    /// What a state is restored from, as if the full snapshots from `before` on were not there.
    ///
    /// # Errors
    /// `Damaged` if any of it is not whole, or if more may belong to it.
    pub fn to_restore(&self, before: Option<SnapshotOrdinal>) -> SnapshotResult<SnapshotsToRestore> {
        if let Some(foreign) = self.foreign_names() {
            return Err(SnapshotError::Damaged(foreign));
        }
        let whole = |entry: &Entry| entry.state.clone().map_err(SnapshotError::Damaged);
        let full = self.newest_full_before(before).map(|(_, entry)| whole(entry)).transpose()?;
        let from = full.map_or(SnapshotOrdinal(0), |full| full.ordinal);
        if from < self.base {
            return Err(SnapshotError::Damaged(SnapshotDamage::FullSnapshotLost { ordinal: self.base }));
        }
        let diffs = self.of_kind(SnapshotType::Diff).filter(|(ordinal, _)| *ordinal > from);
        let diffs = diffs.map(|(_, entry)| whole(entry)).collect::<SnapshotResult<_>>()?;
        Ok(SnapshotsToRestore { full, diffs })
    }

    /// What can be removed now that this snapshot is published.
    pub fn obsolete(&self, published: SnapshotOrdinal, options: PublishOptions) -> Obsolete {
        let diffs_before = self.oldest_kept_full().filter(|_| options.purge_obsolete_diff);
        let pending_before = Some(published).filter(|_| options.purge_obsolete_pending);
        self.obsolete_before(diffs_before, pending_before)
    }

    /// What a publication that did not come to its end would have removed, as far as that is known.
    pub fn leftovers(&self) -> Obsolete {
        // Without the full snapshot that made them obsolete these diffs may be the only ones.
        let is_known = self.whole_full_before(None).is_some_and(|full| full >= self.base);
        self.obsolete_before(Some(self.base).filter(|_| is_known), None)
    }

    /// The older one of the full snapshots that are kept, or the only one. Only whole ones count.
    fn oldest_kept_full(&self) -> Option<SnapshotOrdinal> {
        let full = self.of_kind(SnapshotType::FullCompleted).filter(|(_, entry)| entry.state.is_ok());
        full.rev().take(FULL_SNAPSHOTS_KEPT).last().map(|(ordinal, _)| ordinal)
    }

    fn obsolete_before(&self, diffs: Option<SnapshotOrdinal>, pending: Option<SnapshotOrdinal>) -> Obsolete {
        let full = self.of_kind(SnapshotType::FullCompleted).filter(|(_, entry)| entry.state.is_ok());
        let full = full.rev().nth(FULL_SNAPSHOTS_KEPT - 1).map(|(ordinal, _)| ordinal);
        let lower = |kind: SnapshotType, than: Option<SnapshotOrdinal>| {
            let than = than.unwrap_or_default();
            self.of_kind(kind).filter(move |(ordinal, _)| *ordinal < than).map(|(ordinal, _)| ordinal)
        };
        let mut snapshots: BTreeSet<_> = lower(SnapshotType::Diff, diffs).collect();
        let base = diffs.filter(|_| !snapshots.is_empty()).map(|base| base.max(self.base));
        snapshots.extend(lower(SnapshotType::FullCompleted, full));
        snapshots.extend(lower(SnapshotType::Pending, pending));
        Obsolete { snapshots: snapshots.into_iter().collect(), base }
    }
}
