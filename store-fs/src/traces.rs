//! The debug trace of a segment: a log beside the segment's own, never synced for its own sake.

use store_core::{Durability, Result, SegmentId, SessionId, StoreError, TraceEntry, call};

use crate::logs::LogKey;
use crate::store::FsStore;

impl FsStore {
    pub(crate) fn append_trace_line(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.check_writable()?;
        let text = call::prepare_trace(trace)?;
        self.check_segment(session, segment)?;
        self.ensure_session_folder(session)?;
        let appended = self.append_side_line(LogKey::Trace(session, segment), &text, Durability::Buffered)?;
        appended.ok_or(StoreError::no_segment(segment))
    }

    pub(crate) fn read_trace_lines(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.check_segment(session, segment)?;
        let texts = self.read_side_texts(LogKey::Trace(session, segment))?;
        texts.iter().map(|text| parse(text)).collect()
    }

    fn check_segment(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        if self.has_log(session, segment)? { Ok(()) } else { Err(StoreError::no_segment(segment)) }
    }
}

fn parse(text: &str) -> Result<TraceEntry> {
    store_core::json::from_str(text)
        .map_err(|error| crate::error::corrupt(None, 0, None, format!("not a trace event: {error}")))
}
