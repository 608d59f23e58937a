//! Where logs of the older layouts lie, and what they become.

use std::path::{Path, PathBuf};

use store_core::codec::LogContext;
use store_core::{SegmentId, SessionId};

use super::{Layout, LogName, QUARANTINE, part_name};
use crate::disk::{FileKind, Listed};

impl LogName {
    /// The log of the same segment in the layout that had no folders for sessions, where a session had one segment, with its own id.
    pub(crate) fn flat(&self) -> Option<Self> {
        let segment = self.segment.filter(|_| self.part == 1)?;
        let is_flat = self.folder().file_name()?.to_str()? == segment.to_string();
        is_flat.then(|| Self { path: self.root.join(part_name(segment, 1)), ..self.clone() })
    }
}

impl Layout {
    /// The log of a segment in the layout that had no folders for sessions, where a session had one segment, with its own id.
    pub(crate) fn flat_name(&self, session: SessionId, segment: SegmentId) -> Option<LogName> {
        self.log_name(session, segment).flat()
    }

    /// What was listed in the root, if it is a log of that layout: its session and its segment, which share an id.
    pub(crate) fn parse_flat(listed: &Listed) -> Option<(SessionId, SegmentId)> {
        let name = listed.name.to_str().filter(|_| listed.kind == FileKind::File)?;
        let (segment, part) = Self::parse_log_name(name)?;
        (part == 1).then(|| (SessionId::from_bytes(*segment.as_bytes()), segment))
    }

    /// Whether something that was listed in a folder of quarantine is a whole log of the segment.
    pub(crate) fn is_kept_log(listed: &Listed, segment: SegmentId) -> bool {
        listed.name.to_str().is_some_and(|name| name.starts_with(&format!("{}.0.", part_name(segment, 1))))
    }

    /// The name of a log that is being made in a folder that is going to be the session's.
    pub(crate) fn new_log_name(&self, folder: &Path, segment: SegmentId) -> LogName {
        LogName {
            path: Self::log_in(folder, segment),
            context: LogContext::segment(segment),
            segment: Some(segment),
            part: 1,
            quarantine: folder.join(QUARANTINE),
            root: self.root.clone(),
            replacing: None,
        }
    }

    /// Where something is that was in a folder which has another name now.
    pub(crate) fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
        path.strip_prefix(from).map_or_else(|_| path.to_owned(), |rest| to.join(rest))
    }
}
