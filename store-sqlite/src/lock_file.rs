//! A file that is there to be locked.
//!
//! The kernel drops a lock with the last copy of its descriptor. A process that another thread of this one is just starting has a copy of
//! each until it runs its own program; so a lock is given back before its file is closed, and not by closing it.

use std::fs::File;
use std::ops::Deref;

/// An open file, whose lock is given back where it goes out of scope.
#[derive(Debug)]
pub(crate) struct LockFile(File);

impl From<File> for LockFile {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl Deref for LockFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // The lock goes with the descriptor at the latest; there is nobody to tell.
        let _ = self.0.unlock();
    }
}
