//! Deleting a session: one rename takes all of it out of the store; clearing away comes after.
//!
//! Whoever has a log of it open notices that the log's name is gone, because every write asks what the name stands
//! for, or sees that the file has lost its write bits and asks then. A crash after the rename leaves a folder that the next opening clears away.

use std::path::Path;

use store_core::{Result, SegmentId, SessionId, Store as _, StoreError};

use crate::disk::{FileKind, LockKind, OpenMode};
use crate::error::At as _;
use crate::layout::Layout;
use crate::live::Touched;
use crate::migrate_layout::Beside;
use crate::store::FsStore;

impl FsStore {
    pub(crate) fn delete_whole_session(&self, session: SessionId) -> Result<()> {
        let _writing = self.before_first_write();
        let _create = self.lock_create()?;
        self.clear_leftovers_once();
        if !self.exists(session)? {
            return Err(StoreError::no_session(session));
        }
        if let Some(segment) = self.flat_of(session)? {
            // All of the session goes by one rename, so all of it has to be in one folder.
            self.modernise_held(session, segment)?;
            self.put_away_flat(session, segment, Beside::Keep)?;
        }
        let lock_path = self.layout.session_lock(session);
        let lock = self.disk.open(&lock_path, OpenMode::AppendOrCreate).at("open", &lock_path)?;
        lock.lock(LockKind::Exclusive).at("lock", &lock_path)?;
        let _leases = self.hold_leases(session)?;
        let by = self.referring_to(session)?;
        if !by.is_empty() {
            return Err(StoreError::Referenced { by });
        }
        // Whoever deleted a session that continued this one may not have come to syncing that: it must not come back alone.
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
        self.touch(Touched::session(session))?;
        let (folder, gone) = (self.layout.session(session), self.layout.new_name());
        self.protect_logs(session, &folder)?;
        self.disk.rename(&folder, &gone).at("rename", &folder)?;
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
        self.logs.forget_session(session);
        // The session is deleted. What cannot be cleared away now is cleared away before the next creation.
        let _ = self.clear_away(&gone);
        Ok(())
    }

    /// Takes the write bits of all segments' logs in a session's folder. If the session is not deleted after that, the next writers
    /// give them back.
    fn protect_logs(&self, session: SessionId, folder: &Path) -> Result<()> {
        let listed = self.disk.list(folder).at("list", folder)?;
        for (segment, part) in
            listed.iter().filter(|listed| listed.kind == FileKind::File).filter_map(Layout::parse_log)
        {
            let path = self.layout.log_name(session, segment).of_part(part).path;
            let file = self.disk.open(&path, OpenMode::Read).at("open", &path)?;
            file.set_writable(false).at("write-protect", &path)?;
        }
        Ok(())
    }

    /// The segments of other sessions that continue a segment of this one.
    fn referring_to(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        let mut by = Vec::new();
        for segment in self.list_segments(session)? {
            for child in self.children_of(segment)? {
                let Some(holder) = self.find_session_of(child)?.filter(|holder| *holder != session) else { continue };
                // The entry may be older than the child: what counts is what the child says. If it cannot be
                // read, nothing is deleted that it may need.
                let refers = match self.origin_of(holder, child) {
                    Ok(origin) => origin.is_some_and(|origin| origin.segment_id == segment),
                    Err(StoreError::Corrupt(_)) => true,
                    Err(error) => return Err(error),
                };
                if refers {
                    by.push(child);
                }
            }
        }
        by.sort_unstable();
        by.dedup();
        Ok(by)
    }
}
