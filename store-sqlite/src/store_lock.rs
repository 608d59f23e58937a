//! Who has the database open: a lock file beside it, shared by who writes beside others, exclusive for who needs the store alone.

use std::fs::{OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use store_core::{Result, StoreError};

use crate::disk::{FILE_MODE, Place};
use crate::lock_file::LockFile;

/// How long the lock is waited for: as long as a hold may be in the way that only passes over into another.
const LOCK_WAIT: Duration = Duration::from_millis(200);
const LOCK_POLL: Duration = Duration::from_millis(2);

/// How the store's lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Beside others.
    Shared,
    /// Alone.
    Exclusive,
}

/// The lock file beside the database. The kernel drops the lock with the process.
#[derive(Debug)]
pub(crate) struct StoreLock {
    path: PathBuf,
    file: LockFile,
}

impl StoreLock {
    /// Opens the lock file, and makes it if it is missing. Nothing is held yet.
    pub(crate) fn open(place: &Place) -> Result<Self> {
        let path = place.beside(".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(&path).map_err(|error| StoreError::io("open", &path, error))?;
        Ok(Self { path, file: file.into() })
    }

    /// Takes the lock alone for a store that nobody may write meanwhile; makes no lock file where none is.
    pub(crate) fn take_if_there(place: &Place) -> Result<Option<Self>> {
        let path = place.beside(".lock");
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let lock = match options.open(&path) {
            Ok(file) => Self { path, file: file.into() },
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", &path, error)),
        };
        lock.wait_to_take(Hold::Exclusive)?;
        Ok(Some(lock))
    }

    /// Takes the lock if nobody's hold excludes this one.
    pub(crate) fn try_take(&self, hold: Hold) -> Result<bool> {
        let taken = match hold {
            Hold::Shared => self.file.try_lock_shared(),
            Hold::Exclusive => self.file.try_lock(),
        };
        match taken {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &self.path, error)),
        }
    }

    /// Gives the lock up.
    pub(crate) fn release(&self) -> Result<()> {
        self.file.unlock().map_err(|error| StoreError::io("unlock", &self.path, error))
    }

    /// Takes the lock, or finds it `Locked`.
    pub(crate) fn wait_to_take(&self, hold: Hold) -> Result<()> {
        self.wait_for(LOCK_WAIT, || Ok(self.try_take(hold)?.then_some(())))
    }

    /// Tries `attempt` until it answers or so much time has passed: then `Locked`.
    pub(crate) fn wait_for<T>(&self, wait: Duration, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(done) = attempt()? {
                return Ok(done);
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Locked { path: self.path.clone() });
            }
            std::thread::sleep(LOCK_POLL);
        }
    }
}
