//! Who puts blobs and who collects them: a lock file beside the database, shared from a put until its guard is dropped, exclusive while somebody
//! collects.
//!
//! A lock of the database would not do: a guard outlives the transaction that put the blob. The kernel drops this one with the
//! process.

use std::fs::{OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use rustix::fs::OFlags;
use store_core::{Result, StoreError};

use crate::disk::{FILE_MODE, Place};
use crate::lock_file::LockFile;

/// The lock, as long as it lives.
#[derive(Debug)]
pub(crate) struct BlobLock {
    _file: LockFile,
}

fn open(place: &Place) -> Result<(PathBuf, LockFile)> {
    let path = place.beside(".blobs");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    match options.open(&path) {
        Ok(file) => Ok((path, file.into())),
        Err(error) => Err(StoreError::io("open", &path, error)),
    }
}

impl BlobLock {
    /// Keeps collectors out. Waits for one that is at work.
    pub(crate) fn share(place: &Place) -> Result<Self> {
        let (path, file) = open(place)?;
        file.lock_shared().map_err(|error| StoreError::io("lock", &path, error))?;
        Ok(Self { _file: file })
    }

    /// Keeps out whoever puts blobs; `None` while anybody does or a guard lives.
    pub(crate) fn try_take(place: &Place) -> Result<Option<Self>> {
        let (path, file) = open(place)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path, error)),
        }
    }
}
