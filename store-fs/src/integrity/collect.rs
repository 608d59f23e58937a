//! Collecting blobs: what no entry, no fact and nothing in quarantine names, while nobody can put any.
//!
//! The lock on `blobs/LOCK` is tried and not waited for: whoever holds a guard may hold it for as long as a person thinks.

use std::path::Path;

use store_core::integrity::{BlobUse, Collected, Collection, collectable};
use store_core::{Result, Store as _, StoreError};

use crate::disk::{DiskFile, FileKind, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::Layout;
use crate::store::FsStore;

/// How much of a file is read at once.
const READ_BYTES: usize = 1024 * 1024;
/// An address may lie across two reads: as many bytes of the one before are looked at again, and one more to see where it begins.
const OVERLAP_BYTES: usize = 65;

impl FsStore {
    pub(super) fn collect_unused(&self, dry_run: bool) -> Result<Collection> {
        self.check_maintainable(dry_run)?;
        if !self.is_adopted() {
            // Nothing was ever made here by who would leave something.
            return Ok(Collection::default());
        }
        // Whoever is being made or goes away in the root belongs to whoever holds `CREATE`.
        let _create = self.lock_create()?;
        self.refuse_lost()?;
        let path = self.layout.blobs_lock();
        let lock = found(self.disk.open(&path, OpenMode::AppendOrCreate)).at("open", &path)?;
        if let Some(lock) = &lock
            && !lock.try_lock(LockKind::Exclusive).at("lock", &path)?
        {
            let holder = "somebody who puts blobs".to_owned();
            return Err(StoreError::Busy { holder, host: None, since: None });
        }
        // Where there is no folder of blobs there is nothing to remove, and also nothing to be found out.
        let blobs = if lock.is_some() { self.collect_blobs(dry_run)? } else { Collected::default() };
        let mut temporary = Collected::default();
        for folder in [self.layout.root(), &self.layout.blobs()] {
            for listed in found(self.disk.list(folder)).at("list", folder)?.unwrap_or_default() {
                if Layout::is_new(&listed) {
                    let path = Layout::listed(folder, &listed);
                    temporary.removed += 1;
                    temporary.bytes += self.bytes_of(&path)?;
                    if !dry_run {
                        self.clear_away(&path)?;
                    }
                }
            }
        }
        Ok(Collection { blobs, temporary })
    }

    fn collect_blobs(&self, dry_run: bool) -> Result<Collected> {
        let mut used = collectable(self)?;
        self.add_quarantine(&self.layout.quarantine(None), &mut used)?;
        for session in self.list_sessions()? {
            self.add_quarantine(&self.layout.quarantine(Some(session)), &mut used)?;
        }
        let mut gone = Collected::default();
        for (_, address) in self.blob_files()? {
            if used.contains(&address) {
                continue;
            }
            let path = self.layout.blob(&address);
            gone.removed += 1;
            gone.bytes += self.bytes_of(&path)?;
            if !dry_run {
                found(self.disk.remove_file(&path)).at("remove", &path)?;
            }
        }
        Ok(gone)
    }

    /// Adds what anything in a folder of quarantine names.
    fn add_quarantine(&self, folder: &Path, used: &mut BlobUse) -> Result<()> {
        for listed in found(self.disk.list(folder)).at("list", folder)?.unwrap_or_default() {
            let path = Layout::listed(folder, &listed);
            if listed.kind == FileKind::File
                && let Some(file) = found(self.disk.open(&path, OpenMode::Read)).at("open", &path)?
            {
                add_file(&path, &*file, used)?;
            }
        }
        Ok(())
    }

    /// How many bytes lie under a name.
    fn bytes_of(&self, path: &Path) -> Result<u64> {
        let Some(stat) = found(self.disk.stat(path)).at("stat", path)? else { return Ok(0) };
        if stat.kind != FileKind::Folder {
            return Ok(stat.bytes);
        }
        let names = found(self.disk.list(path)).at("list", path)?.unwrap_or_default();
        names.iter().map(|listed| self.bytes_of(&Layout::listed(path, listed))).sum()
    }
}

fn add_file(path: &Path, file: &dyn DiskFile, used: &mut BlobUse) -> Result<()> {
    let mut buffer = vec![0; OVERLAP_BYTES + READ_BYTES];
    let (mut kept, mut done) = (0, 0);
    loop {
        match file.read_at(&mut buffer[kept..], done) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                let filled = kept + count;
                used.add_bytes(&buffer[..filled]);
                done += count as u64;
                kept = filled.min(OVERLAP_BYTES);
                buffer.copy_within(filled - kept..filled, 0);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("read", path, error)),
        }
    }
}
