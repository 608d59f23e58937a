//! Reading logs into the tables, each only behind where it was read before.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;
use store_core::call::NewBody;
use store_core::{LogEntry, Record, SegmentId, SegmentOrigin, Seq, SessionId, Store, StoreError};

use super::branch::{Branch, prompt_title};
use super::plan::Wanted;
use super::reading::{Before, Entry, Go, MadeEntries, Reading};
use super::rows::{Fault, SegmentRow, read_id};
use super::usage::{Touched, put_usage};
use super::{bookmark, search};
use crate::leaf::is_damage;
use crate::usage::{record_of, request_name};

/// How many records are read at once.
const BATCH_RECORDS: usize = 64;

/// One pass over changed segments.
pub(super) struct Scan<'a> {
    store: &'a dyn Store,
    made: &'a dyn MadeEntries,
    wanted: Wanted,
    /// Segments of which nothing that is known holds, and that were not come to yet.
    rewritten: BTreeSet<SegmentId>,
    /// Folds at the points that later segments continue.
    captured: HashMap<(SegmentId, Seq), Branch>,
    touched: Touched,
    /// Segments that have to be read once more.
    again: Vec<(SessionId, SegmentId)>,
    entries: u64,
    dropped: bool,
}

impl<'a> Scan<'a> {
    /// A pass that keeps what is wanted on its way.
    pub(super) fn new(
        store: &'a dyn Store,
        made: &'a dyn MadeEntries,
        wanted: Wanted,
        rewritten: BTreeSet<SegmentId>,
    ) -> Self {
        Self {
            store,
            made,
            wanted,
            rewritten,
            captured: HashMap::new(),
            touched: Touched::default(),
            again: Vec::new(),
            entries: 0,
            dropped: false,
        }
    }

    /// Forgets what concerned the last transaction.
    pub(super) fn begin_chunk(&mut self) {
        self.entries = 0;
        self.touched = Touched::default();
    }

    /// How much was read since the chunk began; a segment counts as an entry.
    pub(super) const fn entries_in_chunk(&self) -> u64 {
        self.entries
    }

    /// What the chunk did to the ownership of requests.
    pub(super) const fn touched(&self) -> &Touched {
        &self.touched
    }

    /// Reads what is new of a segment and answers with the sessions whose rows change by it.
    pub(super) fn segment(
        &mut self,
        db: &Connection,
        session: SessionId,
        segment: SegmentId,
    ) -> Result<BTreeSet<SessionId>, Fault> {
        self.entries += 1;
        let mut changed = BTreeSet::new();
        let row = match SegmentRow::find(db, segment)? {
            Some(row) if row.session == session => row,
            _ if !self.belongs(session, segment)? => return Ok(changed),
            Some(other) => {
                changed.insert(other.session);
                self.drop_segment(db, &other)?;
                SegmentRow::insert(db, session, segment)?
            }
            None => SegmentRow::insert(db, session, segment)?,
        };
        let known = (row.no, row.position, row.damaged, row.own.unreadable);
        let branch = row.branch(db)?;
        let mut reading = Reading::of(row, branch);
        // Of what cannot be read what was known is better than nothing.
        let is_rewritten = self.rewritten.remove(&segment)
            && reading.row.position.seq > Seq::START
            && self.store.read_entry_count(session, segment).is_ok();
        match if is_rewritten { Ok(Go::Anew) } else { self.read(db, &mut reading) } {
            Err(Fault::Store(StoreError::NotFound(_))) => {
                self.drop_segment(db, &reading.row)?;
                changed.insert(session);
                return Ok(changed);
            }
            Err(error) => return Err(error),
            Ok(Go::On) => {}
            Ok(Go::Anew) => {
                self.drop_segment(db, &reading.row)?;
                let row = SegmentRow::insert(db, session, segment)?;
                reading = Reading::of(row, Branch::default());
                match self.read(db, &mut reading) {
                    Err(Fault::Store(StoreError::NotFound(_))) => {
                        self.drop_segment(db, &reading.row)?;
                        changed.insert(session);
                        return Ok(changed);
                    }
                    read => read?,
                };
            }
        }
        reading.row.damaged = reading.failed || reading.row.own.detached;
        let found = (reading.row.no, reading.row.position, reading.row.damaged, reading.row.own.unreadable);
        if known != found {
            reading.row.own.turns_through = reading.branch.turns.turn_count();
            reading.row.save(db, &reading.branch)?;
            changed.insert(session);
        }
        self.release(reading.row.own.origin());
        Ok(changed)
    }

    /// Whether the store says that the segment is the session's; where it cannot tell, reading will.
    fn belongs(&self, session: SessionId, segment: SegmentId) -> Result<bool, Fault> {
        match self.store.lookup_session_of(segment) {
            Ok(Some(found)) => Ok(found == session),
            // What leads to it may be lost; the log itself says whose it is.
            Ok(None) => match self.store.read_entry_count(session, segment) {
                Ok(_) => Ok(true),
                Err(error) if is_damage(&error) => Ok(true),
                Err(error) if is_gone(&error) => Ok(false),
                Err(error) => Err(error.into()),
            },
            Err(error) if is_damage(&error) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a segment from where it was read before to its end, or as far as it can be read.
    fn read(&mut self, db: &Connection, reading: &mut Reading) -> Result<Go, Fault> {
        let (session, segment) = (reading.row.session, reading.row.id);
        let mut known = Some(reading.row.position).filter(|position| position.seq > Seq::START);
        if let Some(origin) = reading.row.own.origin().copied().filter(|_| reading.row.own.detached)
            && !self.branch_at(db, origin)?.detached
        {
            return Ok(Go::Anew);
        }
        self.look_again(reading)?;
        if known.is_none() && self.take_made(db, reading)? {
            return Ok(Go::On);
        }
        let mut limit = BATCH_RECORDS;
        loop {
            let after = Seq(known.map_or(reading.row.position.seq.0, |known| known.seq.0 - 1));
            let records = match self.store.read_range(session, segment, after, limit) {
                Ok(records) => records,
                // What stands before the damage can still be read, in smaller steps.
                Err(error) if is_damage(&error) => {
                    reading.failed = true;
                    reading.row.own.unreadable = Some((after, limit));
                    if limit == 1 {
                        return Ok(Go::On);
                    }
                    limit /= 2;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let at_end = records.len() < limit;
            let mut records = records.into_iter();
            // The last entry that was read stands there still, or the log was rolled back since.
            if let Some(known) = known.take()
                && records.next().map(|record| record.position) != Some(known)
            {
                return Ok(Go::Anew);
            }
            for Record { position, key, entry, .. } in records {
                self.take(db, reading, &Entry { position, key: key.as_deref(), entry: &entry })?;
            }
            reading.put_record(db)?;
            if at_end {
                return Ok(Go::On);
            }
        }
    }

    /// Asks once more for what could not be read.
    fn look_again(&self, reading: &mut Reading) -> Result<(), Fault> {
        let Some((after, limit)) = reading.row.own.unreadable else { return Ok(()) };
        match self.store.read_range(reading.row.session, reading.row.id, after, limit) {
            Ok(_) => reading.row.own.unreadable = None,
            Err(error) if is_damage(&error) => reading.failed = true,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes the entries of a segment that are in memory; `false` if they are not.
    fn take_made(&mut self, db: &Connection, reading: &mut Reading) -> Result<bool, Fault> {
        let Some((entries, positions)) = self.made.made(reading.row.session, reading.row.id) else { return Ok(false) };
        let typed = entries.iter().zip(positions).map_while(|(new, position)| match &new.body {
            NewBody::Serialized(body) => {
                Some(Entry { position: *position, key: new.key.as_deref(), entry: body.entry() })
            }
            NewBody::Typed(_) | NewBody::Text(_) => None,
        });
        let typed: Vec<Entry<'_>> = typed.collect();
        if typed.len() != entries.len() {
            return Ok(false);
        }
        typed.iter().try_for_each(|entry| self.take(db, reading, entry))?;
        reading.put_record(db)?;
        Ok(true)
    }

    fn take(&mut self, db: &Connection, reading: &mut Reading, record: &Entry<'_>) -> Result<(), Fault> {
        if let Some(id) = record.key.and_then(record_of) {
            reading.reach(db, id, record.position.seq)?;
        }
        let Reading { row, branch, .. } = reading;
        let seq = record.position.seq;
        let mut prompt = None;
        match record.entry {
            LogEntry::SegmentStart(start) => {
                if let Some(origin) = start.origin() {
                    let before = self.branch_at(db, *origin)?;
                    row.own.turns_before = before.branch.turns.turn_count();
                    row.own.detached = before.detached;
                    *branch = before.branch;
                    if origin.session_id != row.session {
                        self.touched.regrafted.insert(row.session);
                    }
                }
            }
            LogEntry::UserInput(input) if row.own.prompt.is_none() => prompt = prompt_title(self.store, input),
            LogEntry::LlmUsage(usage) => {
                let request = request_name((row.session, row.id, record.position.seq), record.key, usage);
                let cwd = branch.config.config().cwd.as_deref();
                if put_usage(db, (row.no, seq), &request, usage, cwd)? {
                    self.touched.requests.insert(request);
                }
            }
            _ => {}
        }
        row.own.apply(record.entry, prompt.as_deref());
        branch.apply(record.entry, prompt.as_deref());
        row.position = record.position;
        self.entries += 1;
        if self.wanted.get(&row.id).is_some_and(|points| points.contains_key(&seq)) {
            self.captured.insert((row.id, seq), branch.clone());
        }
        Ok(())
    }

    /// The fold of a branch up to a point of it.
    fn branch_at(&self, db: &Connection, point: SegmentOrigin) -> Result<Before, Fault> {
        let mut unread = Vec::new();
        let mut passed = BTreeSet::new();
        let mut next = Some(point);
        let mut before = Before::default();
        while let Some(at) = next {
            if !passed.insert(at.segment_id) {
                return Ok(Before::unreadable());
            }
            if let Some(branch) = self.captured.get(&(at.segment_id, at.seq)) {
                before.branch = branch.clone();
                break;
            }
            let row = SegmentRow::find(db, at.segment_id)?;
            let row = row.filter(|row| row.session == at.session_id && row.position.seq > Seq::START);
            if let Some(row) = row.as_ref().filter(|row| row.position.seq == at.seq) {
                before = Before { branch: row.branch(db)?, detached: row.own.detached };
                break;
            }
            unread.push(at);
            next = match row {
                Some(row) => row.own.origin().copied(),
                None => match self.store.read_range(at.session_id, at.segment_id, Seq::START, 1) {
                    Ok(records) => records.first().and_then(|record| match &record.entry {
                        LogEntry::SegmentStart(start) => start.origin().copied(),
                        _ => None,
                    }),
                    Err(error) if is_damage(&error) || is_gone(&error) => return Ok(Before::unreadable()),
                    Err(error) => return Err(error.into()),
                },
            };
        }
        for part in unread.into_iter().rev() {
            if !self.fold_prefix(&mut before.branch, part)? {
                return Ok(Before::unreadable());
            }
        }
        Ok(before)
    }

    /// Folds a segment up to a point of it; `false` if it cannot be read that far.
    fn fold_prefix(&self, branch: &mut Branch, part: SegmentOrigin) -> Result<bool, Fault> {
        let mut after = Seq::START;
        while after < part.seq {
            let limit = usize::try_from(part.seq.0 - after.0).unwrap_or(usize::MAX).min(BATCH_RECORDS);
            let records = match self.store.read_range(part.session_id, part.segment_id, after, limit) {
                Ok(records) if records.is_empty() => return Ok(false),
                Ok(records) => records,
                Err(error) if is_damage(&error) || is_gone(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            for record in records {
                let prompt = match &record.entry {
                    LogEntry::UserInput(input) if branch.prompt.is_none() => prompt_title(self.store, input),
                    _ => None,
                };
                branch.apply(&record.entry, prompt.as_deref());
                after = record.position.seq;
            }
        }
        Ok(true)
    }

    /// One segment fewer waits for the fold at its origin.
    fn release(&mut self, origin: Option<&SegmentOrigin>) {
        let Some(origin) = origin else { return };
        let Some(count) = self.wanted.get_mut(&origin.segment_id).and_then(|points| points.get_mut(&origin.seq)) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.captured.remove(&(origin.segment_id, origin.seq));
        }
    }

    /// Forgets a segment, and what was folded on top of it.
    fn drop_segment(&mut self, db: &Connection, row: &SegmentRow) -> Result<(), Fault> {
        self.touched.note_segment(db, row.no)?;
        if row.own.origin().is_some_and(|origin| origin.session_id != row.session) {
            self.touched.regrafted.insert(row.session);
        }
        self.captured.retain(|(segment, _), _| *segment != row.id);
        db.prepare_cached("DELETE FROM usage WHERE segment = ?1")?.execute([row.no])?;
        db.prepare_cached("DELETE FROM segment WHERE no = ?1")?.execute([row.no])?;
        search::forget(db, row.no)?;
        self.dropped = true;
        self.detach_children(db, row.id)
    }

    /// What continues a segment that is not what it was is folded anew, now or with the next refresh.
    fn detach_children(&mut self, db: &Connection, segment: SegmentId) -> Result<(), Fault> {
        let mut parents = vec![segment];
        let mut passed = BTreeSet::from([segment]);
        let mut query = db.prepare_cached("SELECT id FROM segment WHERE origin_segment = ?1")?;
        while let Some(parent) = parents.pop() {
            let children: Vec<SegmentId> =
                query.query_map([parent.to_string()], |row| read_id(row, 0))?.collect::<rusqlite::Result<_>>()?;
            for child in children {
                if !passed.insert(child) {
                    continue;
                }
                parents.push(child);
                if let Some(mut row) = SegmentRow::find(db, child)? {
                    row.damaged = true;
                    row.own.detached = true;
                    row.save(db, &row.branch(db)?)?;
                    self.again.push((row.session, child));
                }
            }
        }
        Ok(())
    }

    /// Drops the segments of a session that the store does not list any more, and has those read that are not known;
    /// answers whether any was dropped.
    pub(super) fn compare_segments(&mut self, db: &Connection, session: SessionId) -> Result<bool, Fault> {
        let mut listed: BTreeSet<SegmentId> = match self.store.list_segments(session) {
            Ok(listed) => listed.into_iter().collect(),
            Err(error) if is_damage(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut dropped = false;
        for row in SegmentRow::of_session(db, session)? {
            if !listed.remove(&row.id) {
                self.drop_segment(db, &row)?;
                dropped = true;
            }
        }
        self.again.extend(listed.into_iter().map(|segment| (session, segment)));
        Ok(dropped)
    }

    /// Segments that have to be read once more, because what they continue was read anew.
    pub(super) fn take_again(&mut self) -> Vec<(SessionId, SegmentId)> {
        std::mem::take(&mut self.again)
    }

    /// Forgets a session that the store does not have any more.
    pub(super) fn drop_session(&mut self, db: &Connection, session: SessionId) -> Result<(), Fault> {
        for row in SegmentRow::of_session(db, session)? {
            self.drop_segment(db, &row)?;
        }
        for table in ["DELETE FROM folder WHERE session = ?1", "DELETE FROM session WHERE id = ?1"] {
            db.prepare_cached(table)?.execute([session.to_string()])?;
        }
        bookmark::forget(db, session)?;
        Ok(())
    }

    /// Removes the records of segments that were dropped since the last sweep.
    pub(super) fn sweep(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if std::mem::take(&mut self.dropped) {
            db.execute("DELETE FROM record WHERE segment NOT IN (SELECT no FROM segment)", [])?;
        }
        Ok(())
    }
}

const fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound(_))
}
