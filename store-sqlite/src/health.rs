//! Whether the log of a database may still be trusted: what all handles of this process on one database know together.
//!
//! When a sync fails, the operating system may forget what it could not write and report the next sync as good. So no
//! handle of this process acknowledges another write on that database. The memory goes with the last of them: who opens the database anew starts
//! with what is there. Other processes are not told; SQLite has no place for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::disk::FileId;

/// The databases that are open to be written in this process.
static OPEN: Mutex<Vec<(FileId, Weak<Health>)>> = Mutex::new(Vec::new());

/// What the handles on one database share. Share it for as long as a handle is open.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: Mutex<Option<Arc<str>>>,
}

impl Health {
    /// What the handles on this file share.
    pub(crate) fn of(file: FileId) -> Arc<Self> {
        let mut open = lock(&OPEN);
        open.retain(|(_, health)| health.strong_count() > 0);
        let known = open.iter().find(|(id, _)| *id == file).and_then(|(_, health)| health.upgrade());
        known.unwrap_or_else(|| {
            let health = Arc::default();
            open.push((file, Arc::downgrade(&health)));
            health
        })
    }

    /// What the first failed sync said, if one failed.
    pub(crate) fn failed(&self) -> Option<Arc<str>> {
        lock(&self.failed).clone()
    }

    /// Remembers that a sync failed; the first reason stays.
    pub(crate) fn fail(&self, reason: &str) -> Arc<str> {
        Arc::clone(lock(&self.failed).get_or_insert_with(|| reason.into()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_on_one_file_share_what_failed_until_the_last_is_closed() {
        let (one, other) = (FileId::for_tests(1), FileId::for_tests(2));
        let first = Health::of(one);
        let second = Health::of(one);
        let elsewhere = Health::of(other);
        first.fail("EIO");
        second.fail("later");
        assert_eq!(second.failed().as_deref(), Some("EIO"));
        assert_eq!(elsewhere.failed(), None);
        drop((first, second));
        assert_eq!(Health::of(one).failed(), None);
    }
}
