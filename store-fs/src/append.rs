//! Appending entries to a segment that exists: keys, the expected end and the write, under the log's lock.
//!
//! A part that the call would make too long is sealed, and everything is decided anew with the next one's lock: somebody
//! else may have been quicker.

use store_core::call::{self, Prepared};
use store_core::{AppendOptions, Durability, NewEntry, Position, Result, SegmentId, Seq, SessionId, StoreError};

use crate::disk::{LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::live::Touched;
use crate::open::DurabilityPolicy;
use crate::record_log::{Locked, NewLine};
use crate::store::FsStore;

impl FsStore {
    pub(crate) fn append_entries(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        self.check_writable()?;
        let prepared = call::prepare_append(entries)?;
        let durability = self.durability_of(options.durability, &prepared);
        let _writing = self.before_first_write();
        let appended = self.on_segment(session, segment, |log| {
            let done = log.with_lock(|log| self.append_locked((session, segment), &prepared, options, log))?;
            let Some((positions, seq)) = done.flatten() else { return Ok(None) };
            if durability == Durability::Synced {
                log.sync_through(seq)?;
            }
            Ok(Some(positions))
        })?;
        appended.ok_or(StoreError::no_segment(segment))
    }

    fn durability_of(&self, asked: Option<Durability>, entries: &[Prepared]) -> Durability {
        match (asked, self.durability) {
            (Some(asked), _) => asked,
            (None, DurabilityPolicy::Turn) => call::durability_by_policy(entries),
            (None, DurabilityPolicy::Always(durability)) => durability,
        }
    }

    /// The positions, and how far the log has to be synced for them; `None` if the log goes on in another part.
    fn append_locked<'p>(
        &self,
        (session, segment): (SessionId, SegmentId),
        prepared: &'p [Prepared],
        options: &AppendOptions,
        log: &mut Locked<'_>,
    ) -> Result<Option<(Vec<Position>, Seq)>> {
        let slots = if prepared.iter().any(|entry| entry.key.is_some()) {
            Some(call::resolve_keys(prepared, |key| log.find_key(key))?)
        } else {
            None
        };
        let line = |entry: &'p Prepared| NewLine { key: entry.key.as_deref(), text: &entry.text };
        let lines: Vec<NewLine<'p>> = match &slots {
            Some(slots) => call::entries_to_write(prepared, slots).into_iter().map(line).collect(),
            None => prepared.iter().map(line).collect(),
        };
        if let (Some(slots), true) = (&slots, lines.is_empty()) {
            return Ok(Some((call::answer(slots, &[]), log.seq())));
        }
        let actual = log.end();
        if let Some(expected) = options.expected
            && !expected.holds_at(actual)
        {
            return Err(StoreError::Conflict { expected, actual });
        }
        self.touch(Touched::segment(session, segment))?;
        let call = log.encode(&lines);
        if log.is_full_for(&call, self.max_part_bytes) && self.roll_over(session, log)? {
            return Ok(None);
        }
        let written = log.write_call(&call)?;
        let positions = match slots {
            Some(slots) => call::answer(&slots, &written),
            None => written,
        };
        Ok(Some((positions, log.seq())))
    }

    /// Lets the log go on in a new part, unless somebody maintains the session or deletes it: then the part grows beyond its
    /// limit, because the session's lock is never waited for by who holds a log's. Answers with whether the log has to be opened anew.
    fn roll_over(&self, session: SessionId, log: &mut Locked<'_>) -> Result<bool> {
        let path = self.layout.session_lock(session);
        let Some(lock) = found(self.disk.open(&path, OpenMode::AppendOrCreate)).at("open", &path)? else {
            return Ok(true);
        };
        if !lock.try_lock(LockKind::Shared).at("lock", &path)? {
            return Ok(false);
        }
        log.roll_over()?;
        Ok(true)
    }
}
