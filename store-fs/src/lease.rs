//! Leases: a locked file beside the log that says who writes it.
//!
//! The lock is the lease; the kernel drops it with the process. The file's text only says who holds it, and means nothing
//! without the lock. Whoever gives a lease up removes the file first, so whoever gets the lock makes sure that the
//! file still has its name.
//!
//! Who asks for the holder takes the lock shared, for a moment, because there is no other way to see it. Whoever
//! wants the lease tells the two apart: a lock that can be shared is no lease.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use store_core::{Lease, LeaseHolder, Result, SegmentId, SessionId, Store as _, StoreError, TimestampMs};

use crate::disk::{Disk, DiskFile, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::open::read_small;
use crate::record_log::append_all_or_nothing;
use crate::store::FsStore;

/// More than a lease says: a holder's text with every byte escaped, and a host's name.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// How often somebody is waited for who only asks, or who is about to say who he is, and how long each time.
const TRIES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(1);
/// How often a holder's text is read that is not whole yet.
const TEXT_TRIES: usize = 20;

/// The lock on a lease's file. Dropping it gives the lease up.
pub(crate) struct HeldLease {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl HeldLease {
    fn write(&self, holder: &LeaseHolder) -> Result<()> {
        let mut text = serde_json::to_vec(holder).map_err(StoreError::backend)?;
        text.push(b'\n');
        self.file.truncate(0).at("truncate", &self.path)?;
        append_all_or_nothing(&*self.file, 0, &text).at("write", &self.path)
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        // A file that cannot be removed is nobody's lease without its lock.
        if is_named(&*self.disk, &self.path, &*self.file).unwrap_or(false) {
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

/// Whether the path still stands for this file.
fn is_named(disk: &dyn Disk, path: &Path, file: &dyn DiskFile) -> Result<bool> {
    let id = file.stat().at("stat", path)?.id;
    Ok(found(disk.stat(path)).at("stat", path)?.is_some_and(|stat| stat.id == id))
}

/// Who says to hold the lease; nobody known if the file does not say so in time.
fn read_holder(path: &Path, file: &dyn DiskFile) -> Result<LeaseHolder> {
    for _ in 0..TEXT_TRIES {
        let text = read_small(file, TEXT_BYTES_MAX).at("read", path)?;
        match serde_json::from_slice(&text) {
            Ok(holder) => return Ok(holder),
            // The holder has the lock already and is about to write.
            Err(_) => thread::sleep(PAUSE),
        }
    }
    Ok(LeaseHolder::default())
}

impl FsStore {
    pub(crate) fn take_lease(
        &self,
        session: SessionId,
        segment: SegmentId,
        holder: &str,
        now: TimestampMs,
    ) -> Result<Lease> {
        self.check_writable()?;
        let holder = LeaseHolder::new(holder, self.disk.host_name(), now)?;
        if self.has_flat(session, segment)? {
            self.modernise(session, segment)?;
        }
        // Whoever maintains the session, or deletes it, has looked at its leases: no new one comes up meanwhile.
        let path = self.layout.session_lock(session);
        let lock = found(self.disk.open(&path, OpenMode::AppendOrCreate)).at("open", &path)?;
        let lock = lock.ok_or(StoreError::no_segment(segment))?;
        lock.lock(LockKind::Shared).at("lock", &path)?;
        if !self.has_log(session, segment)? {
            return Err(StoreError::no_segment(segment));
        }
        let held = self.hold_lease(session, segment, OpenMode::AppendOrCreate)?;
        let held = held.ok_or(StoreError::no_segment(segment))?;
        held.write(&holder)?;
        Ok(Lease::new(holder, Box::new(held)))
    }

    /// The lock on a lease; `None` if its file is not there and is not to be made, or its folder is gone.
    pub(crate) fn hold_lease(
        &self,
        session: SessionId,
        segment: SegmentId,
        mode: OpenMode,
    ) -> Result<Option<HeldLease>> {
        let path = self.layout.lease(session, segment);
        for _ in 0..TRIES {
            let Some(file) = found(self.disk.open(&path, mode)).at("open", &path)? else { return Ok(None) };
            if file.try_lock(LockKind::Exclusive).at("lock", &path)? {
                if is_named(&*self.disk, &path, &*file)? {
                    return Ok(Some(HeldLease { disk: Arc::clone(&self.disk), path, file }));
                }
            } else if file.try_lock(LockKind::Shared).at("lock", &path)? {
                drop(file);
                thread::sleep(PAUSE);
            } else {
                return Err(read_holder(&path, &*file)?.into_busy());
            }
        }
        Err(LeaseHolder::default().into_busy())
    }

    /// The locks on all leases of a session whose lock the caller holds alone: until they are dropped nobody is its writer.
    ///
    /// # Errors
    /// `Busy` if somebody holds one.
    pub(crate) fn hold_leases(&self, session: SessionId) -> Result<Vec<HeldLease>> {
        let mut held = Vec::new();
        for segment in self.list_segments(session)? {
            held.extend(self.hold_lease(session, segment, OpenMode::Append)?);
        }
        Ok(held)
    }

    pub(crate) fn lease_holder(&self, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>> {
        if !self.has_log(session, segment)? {
            return Err(StoreError::no_segment(segment));
        }
        let path = self.layout.lease(session, segment);
        let Some(file) = found(self.disk.open(&path, OpenMode::Read)).at("open", &path)? else { return Ok(None) };
        if file.try_lock(LockKind::Shared).at("lock", &path)? {
            return Ok(None);
        }
        read_holder(&path, &*file).map(Some)
    }
}
