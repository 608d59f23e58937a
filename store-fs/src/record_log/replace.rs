//! Putting another file in a log's place, and what to make of a log that somebody was replacing when he died.
//!
//! The old file loses its write bits first: whoever has it open notices. The new one is written whole and synced under a
//! name of its own, without write bits and locked, takes the log's name, and gets its write bits when the folder is
//! synced. So a log that stands under its name without write bits is one whose name may not be on stable storage, or
//! one that was to be replaced and was not: both are settled by syncing the folders and giving the bits back.

use store_core::{Result, StoreError};

use super::parts::find_parts;
use super::read::copy_range;
use super::{FileLock, RecordLog};
use crate::disk::{DiskFile, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::events::EventKind;

impl RecordLog {
    /// Puts a file with other contents in this one's place. The caller holds the log's lock, and the log's name stands for this file.
    ///
    /// After an error the log is what it was, or the new file stands in its place and is settled by the next writer.
    pub(crate) fn replace(&self, fill: impl FnOnce(&dyn DiskFile) -> Result<()>) -> Result<()> {
        let path = &self.name.path;
        self.file.set_writable(false).at("write-protect", path)?;
        let file = self.put_in_place(fill).inspect_err(|_| {
            // The old file goes on, or waits for the next writer to try again. If this fails too, that one gives it its bits.
            let _ = self.disk.remove_file(&self.name.replacement());
            let _ = self.unprotect();
        })?;
        let _lock = FileLock(&*file);
        self.sync_folders()?;
        if self.is_sealed {
            return Ok(());
        }
        file.set_writable(true).at("unprotect", path)
    }

    /// Does `work` with the lock of a log held whose end may be damaged; `None`, and nothing done, if the log's name no longer stands for this file.
    pub(crate) fn with_damage<T>(&self, work: impl FnOnce(&dyn DiskFile) -> Result<T>) -> Result<Option<T>> {
        self.file.lock(LockKind::Exclusive).at("lock", &self.name.path)?;
        let _lock = FileLock(&*self.file);
        if let Some(poisoned) = self.shared.poisoned() {
            return Err(self.failed_sync(&poisoned));
        }
        if self.has_its_name()? { work(&*self.file).map(Some) } else { Ok(None) }
    }

    /// As [`replace`](Self::replace), with what can be read of the log: a failed sync of the old file is dealt with by that, too.
    pub(crate) fn rebuild(&self, fill: impl FnOnce(&dyn DiskFile) -> Result<()>) -> Result<()> {
        self.replace(fill)?;
        found(self.disk.remove_file(&self.failed)).at("remove", &self.failed)?;
        Ok(())
    }

    /// Writes the new file and gives it the log's name; its lock is held and its write bits are off.
    fn put_in_place(&self, fill: impl FnOnce(&dyn DiskFile) -> Result<()>) -> Result<Box<dyn DiskFile>> {
        self.clear_leftover()?;
        let temporary = self.name.replacement();
        let file = self.disk.open(&temporary, OpenMode::CreateNew).at("create", &temporary)?;
        file.lock(LockKind::Exclusive).at("lock", &temporary)?;
        fill(&*file)?;
        file.set_writable(false).at("write-protect", &temporary)?;
        file.sync_file().at("sync", &temporary)?;
        self.disk.rename(&temporary, &self.name.path).at("rename", &temporary)?;
        Ok(file)
    }

    /// Gives a log its write bits back that stands under its name without them, unless the log goes on in a later part. The
    /// caller holds the log's lock. Answers with whether this is where the log goes on.
    pub(super) fn settle(&self) -> Result<bool> {
        if find_parts(&*self.disk, &self.name)?.newest > self.name.part || self.is_being_replaced()? {
            return Ok(false);
        }
        self.clear_leftover()?;
        if !self.sync_folders()? {
            return Ok(false);
        }
        self.unprotect()?;
        Ok(true)
    }

    /// Removes the file that was to take this one's place. The caller holds the log's lock, so nobody is writing it.
    pub(super) fn clear_leftover(&self) -> Result<()> {
        let leftover = self.name.replacement();
        if found(self.disk.stat(&leftover)).at("stat", &leftover)?.is_some() {
            found(self.disk.remove_file(&leftover)).at("remove", &leftover)?;
        }
        Ok(())
    }

    /// As [`settle`](Self::settle), for a log that could only be opened for reading.
    pub(crate) fn settle_if_protected(&self) -> Result<bool> {
        self.file.lock(LockKind::Exclusive).at("lock", &self.name.path)?;
        let _lock = FileLock(&*self.file);
        match self.stat_of_name()? {
            Some(stat) if !stat.writable => {
                if let Some(poisoned) = self.shared.poisoned() {
                    return Err(self.failed_sync(&poisoned));
                }
                if self.has_failed_mark()? {
                    return self.rewrite_after_failed_sync(stat.bytes).map(|()| true);
                }
                self.settle()
            }
            _ => Ok(true),
        }
    }

    /// Whether the folders are there: what is deleted meanwhile is not there to be settled.
    fn sync_folders(&self) -> Result<bool> {
        for folder in self.name.folders() {
            if found(self.disk.sync_folder(folder)).at("sync", folder)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Syncs the file. After a failure nobody knows what of it is on stable storage: a mark beside the log says so to
    /// other processes, and no handle of this one goes on with the file.
    pub(super) fn sync_or_poison(&self) -> Result<()> {
        self.file.sync_file().map_err(|error| {
            self.leave_failed_mark();
            self.shared.group().poison(&error.to_string());
            StoreError::io("sync", &self.name.path, error)
        })
    }

    /// Leaves the mark of a failed sync, as far as a medium that fails can be made to keep it. Before that it takes the log's write
    /// bits, so that nobody misses the mark; and after it once more, because somebody who saw no mark may have given them back.
    pub(super) fn leave_failed_mark(&self) {
        if self.has_its_name().is_ok_and(|has| !has) {
            return;
        }
        let protect = || self.is_told_by_its_file().then(|| self.file.set_writable(false));
        protect();
        let marked = self.disk.open(&self.failed, OpenMode::AppendOrCreate);
        protect();
        if marked.is_ok() {
            let _ = self.disk.sync_folder(self.name.folder());
        }
    }

    /// Whether a sync of this log failed and nobody has dealt with it yet.
    pub(super) fn has_failed_mark(&self) -> Result<bool> {
        Ok(found(self.disk.stat(&self.failed)).at("stat", &self.failed)?.is_some())
    }

    /// Writes all that is valid into a new file, because a sync of this one failed. The caller holds the log's lock.
    pub(super) fn rewrite_after_failed_sync(&self, bytes: u64) -> Result<()> {
        let view = self.view(bytes).confirmed();
        let end = view.end()?;
        if end.bytes < bytes {
            self.take_out(&end, bytes)?;
        }
        self.replace(|file| {
            copy_range(&self.view(end.bytes), 0, file)?;
            super::append_all_or_nothing(file, end.bytes, end.missing).at("write", &self.name.path)
        })?;
        self.record(EventKind::LogRewritten {
            log: self.name.relative(),
            segment: self.name.segment,
            entries: end.seq.0 - view.start_seq()?.0,
            bytes: end.bytes,
        })?;
        found(self.disk.remove_file(&self.failed)).at("remove", &self.failed)?;
        Ok(())
    }
}
