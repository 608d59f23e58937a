//! A snapshot set in a folder: one folder for each snapshot, one file in it for each shard.
//!
//! A snapshot comes into the set, changes its type and leaves it by a rename of its folder, so a crash leaves it whole or
//! leaves something under a name that nobody reads. Nothing is remembered of the folder between two calls: each looks at
//! it again, which costs a few listings and makes a set that does not match its folder impossible.
//!
//! What syncs what: a new snapshot's names are synced before and after its rename; a shard is synced by its writer, and a pending
//! snapshot cannot be published before all of its shards were; a publication is synced before anything older goes, and a folder that
//! goes is renamed, and that is synced, before its files are removed.

mod shard;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use store_core::StoreError;
use store_core::snapshot_set::{
    Catalogue, FoundShard, FoundSnapshot, Obsolete, PublishOptions, ShardReader, ShardWriter, SnapshotDamage,
    SnapshotError, SnapshotInfo, SnapshotOrdinal, SnapshotResult, SnapshotSet, SnapshotType, SnapshotsToRestore, Work,
};

use self::shard::{FileShardReader, FileShardWriter};
use crate::disk::{Disk, DiskFile, FileKind, LockKind, OpenMode, OsDisk};
use crate::error::{At as _, found};
use crate::layout::{Layout, SetName, SnapshotLayout};
use crate::open::{create_folders, is_remote, sync_ancestors};
use crate::record_log::lock_mutex;

/// How often a reader looks again whose folder is changed by the owner while it looks.
const LOOKS_MAX: usize = 100;

/// What a set shares with its writers: as long as one of them lives, the set is owned.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    layout: SnapshotLayout,
    work: Mutex<Work>,
    /// `None` if the set was opened for reading.
    lock: Option<Box<dyn DiskFile>>,
}

/// A [`SnapshotSet`] in a folder.
#[derive(Debug)]
pub struct FileSnapshotSet {
    shared: Arc<Shared>,
    /// Held by each call, so that none sees another one half done.
    calls: Mutex<()>,
}

impl FileSnapshotSet {
    /// Opens the set in a folder, makes it if there is none, and owns it until the set and all its writers are dropped. What a
    /// crash left is cleared away, and no snapshot is among that which could still be restored from. What an earlier owner wrote to
    /// diffs is on stable storage when the call returns.
    ///
    /// # Errors
    /// `Locked` while another process, or another set of this one, owns it; `Unsupported` on a remote medium, where locks and syncs
    /// may not do what they say; those of the medium. Damage is no error here.
    pub fn open(path: impl AsRef<Path>) -> SnapshotResult<Self> {
        if is_remote(&OsDisk, path.as_ref())? {
            return Err(StoreError::Unsupported { what: "a snapshot set on a remote filesystem" }.into());
        }
        Self::open_on(Arc::new(OsDisk), path.as_ref())
    }

    /// Opens an existing set for reading, also while somebody owns it. Takes no lock and changes nothing; a snapshot that was listed may be
    /// purged before it is read, which is `UnknownSnapshot`: ask again.
    ///
    /// # Errors
    /// Those of the medium. A folder that is not there is an empty set.
    pub fn open_read_only(path: impl AsRef<Path>) -> SnapshotResult<Self> {
        Self::open_read_only_on(Arc::new(OsDisk), path.as_ref())
    }

    /// As [`open`](Self::open), on any [`Disk`], whose medium the caller has judged.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, root: &Path) -> SnapshotResult<Self> {
        let layout = SnapshotLayout::new(root);
        create_folders(&*disk, root)?;
        let path = layout.lock();
        let lock = disk.open(&path, OpenMode::AppendOrCreate).at("open", &path)?;
        if !lock.try_lock(LockKind::Exclusive).at("lock", &path)? {
            return Err(StoreError::Locked { path }.into());
        }
        // What a dead process left is built on from now on: the names, those that lead here, and what it wrote.
        sync_ancestors(&*disk, root)?;
        disk.sync_folder(root).at("sync", root)?;
        let set = Self::assemble(disk, layout, Some(lock));
        set.shared.sync_diffs()?;
        // What cannot be cleared away now is in nobody's way.
        let _ = set.shared.clear_leftovers();
        Ok(set)
    }

    /// As [`open_read_only`](Self::open_read_only), on any [`Disk`].
    ///
    /// # Errors
    /// As [`open_read_only`](Self::open_read_only).
    pub fn open_read_only_on(disk: Arc<dyn Disk>, root: &Path) -> SnapshotResult<Self> {
        let set = Self::assemble(disk, SnapshotLayout::new(root), None);
        set.shared.look()?;
        Ok(set)
    }

    fn assemble(disk: Arc<dyn Disk>, layout: SnapshotLayout, lock: Option<Box<dyn DiskFile>>) -> Self {
        let shared = Arc::new(Shared { disk, layout, work: Mutex::default(), lock });
        Self { shared, calls: Mutex::default() }
    }

    fn look(&self) -> SnapshotResult<Catalogue> {
        let _call = lock_mutex(&self.calls);
        self.shared.look()
    }
}

impl Shared {
    fn check_writable(&self) -> SnapshotResult<()> {
        if self.lock.is_some() { Ok(()) } else { Err(StoreError::ReadOnly.into()) }
    }

    /// What is in the folder now.
    fn look(&self) -> SnapshotResult<Catalogue> {
        for _ in 0..LOOKS_MAX {
            if let Some(catalogue) = self.look_once()? {
                return Ok(catalogue);
            }
        }
        Err(StoreError::Busy { holder: "the owner of the snapshot set".to_owned(), host: None, since: None }.into())
    }

    /// `None` if a snapshot went away meanwhile.
    fn look_once(&self) -> SnapshotResult<Option<Catalogue>> {
        let root = self.layout.root();
        let names = found(self.disk.list(root)).at("list", root)?.unwrap_or_default();
        let (mut snapshots, mut foreign, mut base) = (Vec::new(), Vec::new(), SnapshotOrdinal(0));
        for listed in &names {
            let path = Layout::listed(root, listed);
            match SnapshotLayout::parse(listed) {
                SetName::Ignored => {}
                SetName::Foreign => foreign.push(path),
                SetName::Base(ordinal) => base = base.max(ordinal),
                SetName::Snapshot(ordinal, kind) => {
                    let mut snapshot = FoundSnapshot { ordinal, kind, path, shards: Vec::new(), foreign: Vec::new() };
                    if !self.look_into(&mut snapshot)? {
                        return Ok(None);
                    }
                    snapshots.push(snapshot);
                }
            }
        }
        foreign.sort_unstable();
        Ok(Some(Catalogue::new(snapshots, foreign, base)))
    }

    /// Lists a snapshot's folder; `false` if it is gone.
    fn look_into(&self, snapshot: &mut FoundSnapshot) -> SnapshotResult<bool> {
        let folder = &snapshot.path;
        let Some(names) = found(self.disk.list(folder)).at("list", folder)? else { return Ok(false) };
        for listed in names.iter().filter(|listed| !SnapshotLayout::is_hidden(listed)) {
            let path = Layout::listed(folder, listed);
            match SnapshotLayout::parse_shard(listed) {
                Some((shard, shard_count)) => snapshot.shards.push(FoundShard { shard, shard_count, path }),
                None => snapshot.foreign.push(path),
            }
        }
        snapshot.shards.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        snapshot.foreign.sort_unstable();
        Ok(true)
    }

    fn sync_root(&self) -> SnapshotResult<()> {
        Ok(self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?)
    }

    /// Makes everything last that the diffs hold.
    fn sync_diffs(&self) -> SnapshotResult<()> {
        for info in self.look()?.whole().iter().filter(|info| info.kind == SnapshotType::Diff) {
            let folder = self.layout.snapshot(info.ordinal, info.kind);
            for shard in 0..info.shard_count {
                let path = SnapshotLayout::shard_in(&folder, shard, info.shard_count);
                let file = self.disk.open(&path, OpenMode::Append).at("open", &path)?;
                file.sync_file().at("sync", &path)?;
            }
        }
        Ok(())
    }

    /// Makes the files under a name that nobody reads, and lets them appear.
    fn make(&self, info: &SnapshotInfo) -> SnapshotResult<()> {
        let new = self.layout.new_name();
        let made = self.make_files(&new, info.shard_count).and_then(|()| {
            let path = self.layout.snapshot(info.ordinal, info.kind);
            Ok(self.disk.rename(&new, &path).at("rename", &new)?)
        });
        if made.is_err() {
            // What stays is a leftover, and the next opening clears it away.
            let _ = self.clear_away(&new);
        }
        made?;
        self.sync_root()
    }

    fn make_files(&self, folder: &Path, shard_count: u32) -> SnapshotResult<()> {
        self.disk.create_folder(folder).at("create", folder)?;
        for shard in 0..shard_count {
            let path = SnapshotLayout::shard_in(folder, shard, shard_count);
            self.disk.open(&path, OpenMode::CreateNew).at("create", &path)?;
        }
        Ok(self.disk.sync_folder(folder).at("sync", folder)?)
    }

    /// Takes snapshots out of the set, which by what is on stable storage are not needed any more.
    fn remove(&self, catalogue: &Catalogue, obsolete: &Obsolete) -> SnapshotResult<()> {
        if let Some(base) = obsolete.base.filter(|base| *base > catalogue.base()) {
            let path = self.layout.base(base);
            self.disk.open(&path, OpenMode::AppendOrCreate).at("create", &path)?;
            self.sync_root()?;
        }
        let mut gone = Vec::new();
        for path in obsolete.snapshots.iter().flat_map(|ordinal| catalogue.paths(*ordinal)) {
            let away = self.layout.new_name();
            self.disk.rename(path, &away).at("rename", path)?;
            gone.push(away);
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.sync_root()?;
        for ordinal in &obsolete.snapshots {
            lock_mutex(&self.work).forget(*ordinal);
        }
        gone.iter().try_for_each(|path| self.clear_away(path))?;
        self.clear_bases()
    }

    /// Removes the notes that a newer one makes useless.
    fn clear_bases(&self) -> SnapshotResult<()> {
        let root = self.layout.root();
        let names = self.disk.list(root).at("list", root)?;
        let mut bases: Vec<_> = names
            .iter()
            .filter_map(|listed| match SnapshotLayout::parse(listed) {
                SetName::Base(ordinal) => Some(ordinal),
                _ => None,
            })
            .collect();
        bases.sort_unstable();
        bases.pop();
        for ordinal in bases {
            let path = self.layout.base(ordinal);
            self.disk.remove_file(&path).at("remove", &path)?;
        }
        Ok(())
    }

    /// Removes a folder that is not in the set, or not any more.
    fn clear_away(&self, folder: &Path) -> SnapshotResult<()> {
        let Some(names) = found(self.disk.list(folder)).at("list", folder)? else { return Ok(()) };
        for listed in names.iter().filter(|listed| listed.kind != FileKind::Folder) {
            let path = Layout::listed(folder, listed);
            self.disk.remove_file(&path).at("remove", &path)?;
        }
        Ok(self.disk.remove_folder(folder).at("remove", folder)?)
    }

    /// Ends what a dead process began: what it was making or removing, and what it had made obsolete.
    fn clear_leftovers(&self) -> SnapshotResult<()> {
        let root = self.layout.root();
        let names = self.disk.list(root).at("list", root)?;
        // What a link of that name leads to is nobody's leftover.
        for listed in names.iter().filter(|listed| Layout::is_new(listed) && listed.kind == FileKind::Folder) {
            self.clear_away(&Layout::listed(root, listed))?;
        }
        let catalogue = self.look()?;
        self.remove(&catalogue, &catalogue.leftovers())?;
        self.clear_bases()
    }
}

impl SnapshotSet for FileSnapshotSet {
    fn create_or_get_snapshot(
        &self,
        kind: SnapshotType,
        shard_count: u32,
        may_append_existing: bool,
    ) -> SnapshotResult<SnapshotInfo> {
        let _call = lock_mutex(&self.calls);
        Work::check_new(kind, shard_count)?;
        self.shared.check_writable()?;
        let catalogue = self.shared.look()?;
        if kind == SnapshotType::Diff && may_append_existing {
            let existing = catalogue.appendable_diff(shard_count);
            if let Some(existing) = existing.filter(|diff| lock_mutex(&self.shared.work).is_trusted(diff)) {
                // The sync that was to make it last may have failed.
                self.shared.sync_root()?;
                return Ok(existing);
            }
        }
        let ordinal = lock_mutex(&self.shared.work).next_ordinal(catalogue.highest())?;
        let info = SnapshotInfo { ordinal, kind, shard_count };
        self.shared.make(&info)?;
        Ok(info)
    }

    fn publish_completed_snapshot(
        &self,
        ordinal: SnapshotOrdinal,
        options: PublishOptions,
    ) -> SnapshotResult<SnapshotInfo> {
        let _call = lock_mutex(&self.calls);
        let shared = &*self.shared;
        shared.check_writable()?;
        let info = shared.look()?.publishable(ordinal)?;
        lock_mutex(&shared.work).check_finished(&info)?;
        let full = SnapshotInfo { kind: SnapshotType::FullCompleted, ..info };
        let from = shared.layout.snapshot(ordinal, info.kind);
        shared.disk.rename(&from, &shared.layout.snapshot(ordinal, full.kind)).at("rename", &from)?;
        lock_mutex(&shared.work).forget(ordinal);
        shared.sync_root()?;
        // It is published. What cannot be removed now is removed by the next publication or opening.
        if let Ok(catalogue) = shared.look() {
            let _ = shared.remove(&catalogue, &catalogue.obsolete(ordinal, options));
        }
        Ok(full)
    }

    fn get_snapshots_to_restore(&self) -> SnapshotResult<SnapshotsToRestore> {
        self.look()?.to_restore(None)
    }

    fn get_snapshots_to_restore_before(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotsToRestore> {
        self.look()?.to_restore(Some(ordinal))
    }

    fn list_snapshots(&self) -> SnapshotResult<Vec<SnapshotInfo>> {
        Ok(self.look()?.whole())
    }

    fn damage(&self) -> SnapshotResult<Vec<SnapshotDamage>> {
        Ok(self.look()?.damage())
    }

    fn discard_pending_snapshot(&self, ordinal: SnapshotOrdinal) -> SnapshotResult<()> {
        let _call = lock_mutex(&self.calls);
        self.shared.check_writable()?;
        let catalogue = self.shared.look()?;
        catalogue.check_pending(ordinal)?;
        self.shared.remove(&catalogue, &Obsolete { snapshots: vec![ordinal], base: None })
    }

    fn write_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardWriter>> {
        let _call = lock_mutex(&self.calls);
        self.shared.check_writable()?;
        let info = self.shared.look()?.writable(ordinal)?;
        FileShardWriter::open(&self.shared, info, shard)
    }

    fn read_shard(&self, ordinal: SnapshotOrdinal, shard: u32) -> SnapshotResult<Box<dyn ShardReader>> {
        let _call = lock_mutex(&self.calls);
        let info = self.shared.look()?.get(ordinal)?;
        info.check_shard(shard)?;
        let folder = self.shared.layout.snapshot(ordinal, info.kind);
        let path = SnapshotLayout::shard_in(&folder, shard, info.shard_count);
        match self.shared.disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SnapshotError::UnknownSnapshot { ordinal }),
            opened => FileShardReader::open(opened.at("open", &path)?, &path),
        }
    }
}
