//! Opening logs of the older layouts: for who reads, and for nobody else.

use std::sync::Arc;

use store_core::Result;

use super::{LogKey, Logs, Opened};
use crate::disk::DiskFile;
use crate::layout::LogName;
use crate::record_log::{OlderFile, RecordLog, is_older};

impl Logs {
    /// Opens a segment's log that lies in the root.
    pub(super) fn open_flat(&self, key: LogKey) -> Result<Opened<(RecordLog, bool)>> {
        let LogKey::Segment(session, segment) = key else { return Ok(Opened::Missing) };
        let Some(name) = self.layout.flat_name(session, segment) else { return Ok(Opened::Missing) };
        match self.open_to_read(&name.path)? {
            Some((file, _)) => self.older_log(&name, file),
            // It may have got its place in the session's folder a moment ago.
            None if self.is_there(&key.name(&self.layout))? => Ok(Opened::Outdated),
            None => Ok(Opened::Missing),
        }
    }

    pub(super) fn older_log(&self, name: &LogName, file: Box<dyn DiskFile>) -> Result<Opened<(RecordLog, bool)>> {
        let file = Arc::new(OlderFile::read(file, name)?);
        Ok(Opened::Log((RecordLog::older(Arc::clone(&self.disk), name.clone(), file)?, true)))
    }

    /// Whether a log has lines of an older layout. It then has one part.
    pub(super) fn is_older(&self, name: &LogName, file: &dyn DiskFile) -> Result<bool> {
        let may_be = name.segment.is_some() && name.part == 1 && name.replacing.is_none();
        Ok(may_be && is_older(file, name)?)
    }
}
