//! A folder of logs of the older layouts becomes a store: when something is written to it for the first time.
//!
//! Until then it is read without anything that leads to its logs: sessions are searched. What leads to them is on stable storage before
//! `store.json` is, so whoever finds that can rely on it; a death in between leaves what the next one makes again.

use std::collections::BTreeSet;

use store_core::{LogEntry, Result, SegmentId, SessionId, Store as _, StoreError};

use crate::disk::{Disk, FileKind, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::{Layout, LogName};
use crate::open::{write_header, write_permission};
use crate::record_log::first_older_entry;
use crate::store::FsStore;

/// Whether a folder without `store.json` holds a log of an older layout.
pub(crate) fn holds_older(disk: &dyn Disk, layout: &Layout) -> Result<bool> {
    let root = layout.root();
    // What is not there, or is no folder, is told of by whoever would make a store of it.
    let names = found(disk.list(root)).at("list", root)?.unwrap_or_default();
    for listed in &names {
        if let Some((session, segment)) = Layout::parse_flat(listed)
            && let Some(name) = layout.flat_name(session, segment)
            && begins_conversation(disk, &name)?
        {
            return Ok(true);
        }
        let Some(session) = Layout::parse_session(listed) else { continue };
        let folder = layout.session(session);
        let logs = found(disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
        for (segment, _) in logs.iter().filter(|log| log.kind == FileKind::File).filter_map(Layout::parse_log) {
            if begins_conversation(disk, &layout.log_name(session, segment))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether a file is a log of an older layout and its first entry that of a conversation: other programs call their files by ids, too.
fn begins_conversation(disk: &dyn Disk, name: &LogName) -> Result<bool> {
    let Some(file) = found(disk.open(&name.path, OpenMode::Read)).at("open", &name.path)? else { return Ok(false) };
    let Some(text) = first_older_entry(&*file, name)? else { return Ok(false) };
    Ok(LogEntry::from_text(&text).is_ok_and(|entry| matches!(entry, LogEntry::SegmentStart(_))))
}

impl FsStore {
    /// Makes the folder a store, if it is not one yet. The caller holds no lock.
    pub(crate) fn adopt(&self) -> Result<()> {
        let mut lock = self.lock_of_store();
        if self.is_adopted() {
            return Ok(());
        }
        if lock.is_none() {
            *lock = Some(write_permission(&*self.disk, &self.layout, LockKind::Shared)?);
        }
        {
            let _create = self.lock_create()?;
            if found(self.disk.stat(&self.layout.store_json())).at("stat", &self.layout.store_json())?.is_none() {
                self.note_ways_to_logs()?;
            }
            write_header(&*self.disk, &self.layout, self.now)?;
            self.clear_leftovers_once();
        }
        self.set_adopted();
        Ok(())
    }

    /// Makes what leads to each log that is there. The caller holds `CREATE`.
    fn note_ways_to_logs(&self) -> Result<()> {
        self.ensure_lasting_folder(&self.layout.by_segment_root())?;
        let mut folders = BTreeSet::new();
        for session in self.list_sessions()? {
            for segment in self.list_segments(session)? {
                self.note_way_to(session, segment)?;
                folders.insert(self.layout.by_segment_folder(segment));
                match self.origin_of(session, segment) {
                    Ok(Some(origin)) => self.write_by_origin(origin.segment_id, segment)?,
                    // What damage hides is told where the log is verified.
                    Ok(None) | Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // The names are what has to last: an entry that has lost its text is one that cannot be read, and its log is searched for.
        folders.iter().try_for_each(|folder| self.disk.sync_folder(folder).at("sync", folder))
    }

    fn note_way_to(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        let folder = self.layout.by_segment_folder(segment);
        self.ensure_lasting_folder(&folder)?;
        let path = self.layout.by_segment(segment);
        match self.disk.open(&path, OpenMode::CreateNew) {
            Ok(file) => {
                let text = format!("{session}\n");
                crate::record_log::append_all_or_nothing(&*file, 0, text.as_bytes()).at("write", &path)
            }
            // Somebody came this far and died; what he could not write is searched for.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(StoreError::io("create", &path, error)),
        }
    }

    /// The sessions of a folder that is no store yet which have a segment of this id.
    pub(crate) fn search_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        for session in self.list_sessions()? {
            if self.has_log(session, segment)? {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// The segments of a folder that is no store yet which say that they continue a segment.
    pub(crate) fn search_children_of(&self, segment: SegmentId) -> Result<Vec<SegmentId>> {
        let mut children = Vec::new();
        for session in self.list_sessions()? {
            for child in self.list_segments(session)? {
                match self.origin_of(session, child) {
                    Ok(Some(origin)) if origin.segment_id == segment => children.push(child),
                    Ok(_) | Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(children)
    }
}
