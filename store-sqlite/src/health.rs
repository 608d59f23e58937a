//! Whether the log of a database may still be trusted: what all handles of this process on one database know together.
//!
//! When a sync fails, the operating system may forget what it could not write and report the next sync as good. So no
//! handle of this process acknowledges another write on that database. The memory goes with the last of them: who opens the database anew starts
//! with what is there. Other processes are not told; SQLite has no place for it.

use std::sync::{Arc, Mutex};

use crate::connection::guard;
use crate::disk::FileId;
use crate::shared::Shared;

/// The databases that are open to be written in this process.
static OPEN: Shared<Health> = Shared::new();

/// What the handles on one database share. Share it for as long as a handle is open.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: Mutex<Option<Arc<str>>>,
}

impl Health {
    /// What the handles on this file share.
    pub(crate) fn of(file: FileId) -> Arc<Self> {
        OPEN.of(file)
    }

    /// What the first failed sync said, if one failed.
    pub(crate) fn failed(&self) -> Option<Arc<str>> {
        guard(&self.failed).clone()
    }

    /// Remembers that a sync failed; the first reason stays.
    pub(crate) fn fail(&self, reason: &str) -> Arc<str> {
        Arc::clone(guard(&self.failed).get_or_insert_with(|| reason.into()))
    }
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
