//! Bytes by content: a file each, written once, verified whenever they are read.
//!
//! All guards of a handle hold one shared lock on `blobs/LOCK`, so that whoever collects what nobody refers to, and
//! holds it exclusively, cannot come between a blob and the append that refers to it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use store_core::{BlobGuard, BlobRef, Damage, Missing, Result, StoreError, call, chain};

use crate::disk::{DiskFile, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::Layout;
use crate::open::write_whole;
use crate::record_log::lock_mutex;
use crate::store::FsStore;

/// How much of a blob is read at once where its bytes are not wanted.
const READ_BYTES: usize = 256 * 1024;

impl FsStore {
    pub(crate) fn keep_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.check_writable()?;
        call::check_size(bytes.len() as u64, call::BLOB_BYTES_MAX)?;
        self.ensure_lasting_folder(&self.layout.blobs())?;
        let hold = self.hold_blobs()?;
        let reference = BlobRef { sha256: chain::sha256_hex(bytes), bytes: bytes.len() as u64 };
        let folder = self.layout.blob_folder(&reference.sha256);
        self.ensure_lasting_folder(&folder)?;
        // Bytes that went bad are put anew, by the one who has the good ones.
        match self.read_blob(&reference) {
            Ok(_) => {}
            Err(StoreError::NotFound(_) | StoreError::Corrupt(_)) => {
                let path = self.layout.blob(&reference.sha256);
                write_whole(&*self.disk, &self.layout.new_blob(), &path, bytes)?;
            }
            Err(error) => return Err(error),
        }
        // Also where the file stood already: whoever made it may not have come to syncing its name.
        self.disk.sync_folder(&folder).at("sync", &folder)?;
        Ok(BlobGuard::new(reference, Some(Box::new(hold))))
    }

    fn hold_blobs(&self) -> Result<Arc<dyn DiskFile>> {
        let mut held = lock_mutex(&self.blob_hold);
        if let Some(hold) = held.as_ref().and_then(Weak::upgrade) {
            return Ok(hold);
        }
        let path = self.layout.blobs_lock();
        let file = self.disk.open(&path, OpenMode::AppendOrCreate).at("open", &path)?;
        file.lock(LockKind::Shared).at("lock", &path)?;
        let hold: Arc<dyn DiskFile> = Arc::from(file);
        *held = Some(Arc::downgrade(&hold));
        Ok(hold)
    }

    pub(crate) fn read_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        let missing = || StoreError::NotFound(Missing::Blob(reference.sha256.clone()));
        if !chain::is_sha256_hex(&reference.sha256) {
            return Err(missing());
        }
        let path = self.layout.blob(&reference.sha256);
        let file = found(self.disk.open(&path, OpenMode::Read)).at("open", &path)?.ok_or_else(missing)?;
        let stored = file.stat().at("stat", &path)?.bytes;
        let length = usize::try_from(reference.bytes).ok().filter(|_| stored == reference.bytes);
        let Some(length) = length else { return Err(wrong_length(reference, stored)) };
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            match file.read_at(&mut bytes[done..], done as u64) {
                Ok(0) => return Err(wrong_length(reference, done as u64)),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &path, error)),
            }
        }
        call::check_blob(reference, &bytes)?;
        Ok(bytes)
    }

    /// As [`read_blob`](Self::read_blob), without holding the bytes.
    pub(crate) fn check_blob_file(&self, reference: &BlobRef) -> Result<()> {
        let missing = || StoreError::NotFound(Missing::Blob(reference.sha256.clone()));
        if !chain::is_sha256_hex(&reference.sha256) {
            return Err(missing());
        }
        let path = self.layout.blob(&reference.sha256);
        let file = found(self.disk.open(&path, OpenMode::Read)).at("open", &path)?.ok_or_else(missing)?;
        let (address, stored) = self.address_of(&path, &*file)?;
        if stored != reference.bytes {
            return Err(wrong_length(reference, stored));
        }
        if address != reference.sha256 {
            let detail = format!("the bytes of blob {} are those of {address}", reference.sha256);
            return Err(StoreError::Corrupt(Damage { segment: None, part: 1, offset: 0, seq: None, detail }));
        }
        Ok(())
    }

    /// What a file's bytes are called, and how many they are.
    pub(crate) fn address_of(&self, path: &Path, file: &dyn DiskFile) -> Result<(String, u64)> {
        let mut address = chain::ContentAddress::default();
        let mut buffer = vec![0; READ_BYTES];
        let mut done = 0;
        loop {
            match file.read_at(&mut buffer, done) {
                Ok(0) => return Ok((address.finish(), done)),
                Ok(count) => {
                    address.update(&buffer[..count]);
                    done += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", path, error)),
            }
        }
    }

    /// Clears away what a stopped put left, unless somebody is putting blobs now.
    pub(crate) fn clear_new_blobs(&self) -> Result<()> {
        let folder = self.layout.blobs();
        let Some(names) = found(self.disk.list(&folder)).at("list", &folder)? else { return Ok(()) };
        let mut leftovers = names.iter().filter(|listed| Layout::is_new(listed)).peekable();
        if leftovers.peek().is_none() {
            return Ok(());
        }
        let path = self.layout.blobs_lock();
        let lock = self.disk.open(&path, OpenMode::AppendOrCreate).at("open", &path)?;
        if !lock.try_lock(LockKind::Exclusive).at("lock", &path)? {
            return Ok(());
        }
        for listed in leftovers {
            let path = Layout::listed(&folder, listed);
            found(self.disk.remove_file(&path)).at("remove", &path)?;
        }
        Ok(())
    }
}

fn wrong_length(reference: &BlobRef, stored: u64) -> StoreError {
    let detail = format!("blob {} has {stored} bytes, not {}", reference.sha256, reference.bytes);
    StoreError::Corrupt(Damage { segment: None, part: 1, offset: 0, seq: None, detail })
}
