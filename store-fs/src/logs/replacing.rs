//! Logs of which it is decided that they are others: who may write makes them so, who only reads goes where they are.

use store_core::{Result, SegmentId, SessionId};

use super::{LogKey, Logs, Purpose};
use crate::disk::{LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::integrity::void_text;
use crate::layout::LogName;
use crate::record_log::{NewLine, Replacing, finish_replacing, read_replacing};

impl Logs {
    /// Where a log goes on of which it is decided that it is another one: who may write makes it so first.
    pub(super) fn replaced_part(
        &self,
        key: LogKey,
        purpose: Purpose,
        first: &LogName,
        what: Replacing,
    ) -> Result<(LogName, bool)> {
        if self.writable
            && purpose != Purpose::Read
            && let LogKey::Segment(session, segment) = key
        {
            let path = self.layout.session_lock(session);
            if let Some(lock) = found(self.disk.open(&path, OpenMode::AppendOrCreate)).at("open", &path)? {
                lock.lock(LockKind::Exclusive).at("lock", &path)?;
                self.finish_replacing(session, segment)?;
            }
            return self.newest_part(key, purpose);
        }
        let last = LogName { replacing: Some(what), ..first.of_part(what.through) };
        let new = LogName { path: last.replacement(), ..last.clone() };
        // Where it lies now is not where it will lie.
        Ok((if self.is_there(&new)? { new } else { last }, false))
    }

    /// Does what was decided of a segment's log. The caller holds the session's lock alone.
    pub(crate) fn finish_replacing(&self, session: SessionId, segment: SegmentId) -> Result<()> {
        let first = self.layout.log_name(session, segment);
        let Some(what) = read_replacing(&*self.disk, &first)? else { return Ok(()) };
        finish_replacing(&*self.disk, &first, what, |void_after| {
            let text = void_text(void_after)?;
            self.say_void(LogKey::Checkpoints(session, segment), &text)
        })
    }

    fn say_void(&self, key: LogKey, text: &str) -> Result<()> {
        self.on(key, Purpose::Create, |log| {
            let written = log.with_lock(|log| {
                // Whoever began this may have come as far as here.
                if log.last_text()?.as_deref() != Some(text) {
                    log.write(&[NewLine { key: None, text: text.as_bytes() }])?;
                }
                Ok(log.seq())
            })?;
            let Some(seq) = written else { return Ok(None) };
            log.sync_through(seq).map(Some)
        })?;
        Ok(())
    }
}
