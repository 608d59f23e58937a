//! Appending entries to a segment that exists: keys, the expected end and the write, under the log's lock.
//!
//! A part that the call would make too long is sealed, and everything is decided anew with the next one's lock: somebody
//! else may have been quicker.
//!
//! Threads whose calls have to be on stable storage make them together: one of them takes the lock, writes for all and syncs once ([`round`]).
//! A call that need not be waits for no sync of others, so it is made alone.

mod round;

use store_core::call::{self, Prepared, Slot};
use store_core::{
    AppendOptions, Durability, Expected, NewEntry, Position, Result, SegmentId, Seq, SessionId, StoreError,
};

use crate::disk::{LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::live::Touched;
use crate::open::DurabilityPolicy;
use crate::record_log::{Locked, NewLine, RecordLog};
use crate::store::FsStore;
pub(crate) use round::Waiting;

/// Which log, and whose.
type Ids = (SessionId, SegmentId);

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
        let (ids, expected) = ((session, segment), options.expected);
        let appended = match durability {
            Durability::Buffered => {
                let append =
                    |log: &RecordLog| Ok(self.append_alone(ids, (&prepared, expected), log)?.map(|done| done.0));
                self.on_segment(session, segment, append)
            }
            Durability::Synced => {
                let waiting = Waiting::new(prepared, expected);
                self.on_segment(session, segment, |log| self.append_in_round(ids, &waiting, log))
            }
        };
        appended?.ok_or_else(|| self.without_log(session, segment))
    }

    fn durability_of(&self, asked: Option<Durability>, entries: &[Prepared]) -> Durability {
        match (asked, self.durability) {
            (Some(asked), _) => asked,
            (None, DurabilityPolicy::Turn) => call::durability_by_policy(entries),
            (None, DurabilityPolicy::Always(durability)) => durability,
        }
    }

    /// Makes a call by itself. The positions, and how far the log has to be synced for them; `None` if the log has to be opened anew.
    fn append_alone(
        &self,
        ids: Ids,
        call: (&[Prepared], Option<Expected>),
        log: &RecordLog,
    ) -> Result<Option<(Vec<Position>, Seq)>> {
        Ok(log.with_lock(|log| self.append_locked(ids, call, log))?.flatten())
    }

    /// The positions, and how far the log has to be synced for them; `None` if the log goes on in another part.
    fn append_locked(
        &self,
        (session, segment): Ids,
        (prepared, expected): (&[Prepared], Option<Expected>),
        log: &mut Locked<'_>,
    ) -> Result<Option<(Vec<Position>, Seq)>> {
        let slots = resolve(prepared, log)?;
        let writes = writes_of(prepared, slots.as_deref());
        if let (Some(slots), true) = (&slots, writes.is_empty()) {
            return Ok(Some((call::answer(slots, &[]), log.seq())));
        }
        refuse_unexpected(expected, log.end())?;
        self.touch(Touched::segment(session, segment))?;
        let mut draft = log.draft();
        log.add_call(&mut draft, writes.into_iter());
        if log.is_full_for(&draft, self.max_part_bytes) && self.roll_over(session, log)? {
            return Ok(None);
        }
        let written = log.write_draft(draft)?;
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

/// Where the entries of a call stand whose keys stand already; `None` if none of them has a key.
fn resolve(prepared: &[Prepared], log: &mut Locked<'_>) -> Result<Option<Vec<Slot>>> {
    if prepared.iter().all(|entry| entry.key.is_none()) {
        return Ok(None);
    }
    call::resolve_keys(prepared, |key| log.find_key(key)).map(Some)
}

/// The lines that a call writes.
fn writes_of<'p>(prepared: &'p [Prepared], slots: Option<&[Slot]>) -> Vec<NewLine<'p>> {
    let line = |entry: &'p Prepared| NewLine { key: entry.key.as_deref(), text: entry.text.as_bytes() };
    match slots {
        Some(slots) => call::entries_to_write(prepared, slots).into_iter().map(line).collect(),
        None => prepared.iter().map(line).collect(),
    }
}

fn refuse_unexpected(expected: Option<Expected>, actual: Position) -> Result<()> {
    match expected.filter(|expected| !expected.holds_at(actual)) {
        Some(expected) => Err(StoreError::Conflict { expected, actual }),
        None => Ok(()),
    }
}
