//! What the handles of one process know together of a log's file: how far it is on stable storage, and whether a
//! sync of it failed.
//!
//! The file is known by its number, not by its name: a file that was put in a log's place is another one, about
//! which nothing is known yet. An entry lives as long as somebody has the file open, so that its number is nobody else's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use store_core::Seq;
use store_core::group_commit::{GroupCommit, Poisoned};

use super::lock_mutex;
use crate::disk::FileId;

type Key = (u64, FileId);

static OPEN: LazyLock<Mutex<HashMap<Key, Weak<Shared>>>> = LazyLock::new(Mutex::default);

/// What is known of one open file. Tickets of its group are seqs.
#[derive(Debug)]
pub(super) struct Shared {
    key: Key,
    group: Mutex<Arc<GroupCommit>>,
    /// The highest seq of which a line of this process says that it is on stable storage.
    said: AtomicU64,
}

impl Shared {
    /// What the process knows of a file that the caller has open.
    pub(super) fn of(process: u64, id: FileId) -> Arc<Self> {
        let key = (process, id);
        let mut open = lock_mutex(&OPEN);
        if let Some(shared) = open.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        let shared = Arc::new(Self { key, group: Mutex::default(), said: AtomicU64::default() });
        open.insert(key, Arc::downgrade(&shared));
        shared
    }

    pub(super) fn group(&self) -> Arc<GroupCommit> {
        Arc::clone(&lock_mutex(&self.group))
    }

    pub(super) fn poisoned(&self) -> Option<Poisoned> {
        lock_mutex(&self.group).poisoned()
    }

    /// Forgets how far the file was synced, because it is not the file any more that this was known of.
    pub(super) fn restart(&self) {
        let mut group = lock_mutex(&self.group);
        if group.poisoned().is_none() {
            *group = Arc::default();
            self.said.store(0, Ordering::Release);
        }
    }

    /// Says that everything through `seq` was handed to the operating system. The caller holds the log's lock.
    pub(super) fn wrote(&self, seq: Seq) {
        lock_mutex(&self.group).wrote(seq.0);
    }

    /// What the line `next` has to say: how far the file is known to be on stable storage, if no line said so yet.
    pub(super) fn mark(&self, next: Seq) -> Option<Seq> {
        let synced = lock_mutex(&self.group).synced();
        (synced > self.said.load(Ordering::Acquire) && synced < next.0).then_some(Seq(synced))
    }

    /// A line says so now.
    pub(super) fn said(&self, mark: Seq) {
        self.said.fetch_max(mark.0, Ordering::AcqRel);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut open = lock_mutex(&OPEN);
        // Somebody may have opened the file again since the last one let go of it.
        if open.get(&self.key).is_some_and(|shared| shared.strong_count() == 0) {
            open.remove(&self.key);
        }
    }
}
