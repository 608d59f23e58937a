//! A store to rehearse an import in: what stands in another store, and on top of it what would be written there.
//!
//! A rehearsal is the import itself, in a store whose reads go below and whose writes stay here, so that what it tells is what the
//! import would do, fork by fork and entry by entry. The price is that it takes as long as the import without its
//! syncs, and as much room for temporary files as what is new. A segment of the store below is read as long as it was when the rehearsal first added to
//! it: others may go on writing there. What no import does is `ReadOnly`.

mod scratch;

use std::collections::BTreeSet;

use store_core::call::{self, NewEntry, Prepared, Slot};
use store_core::chain;
use store_core::origin::{self, SegmentFacts};
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Fact, FactScope,
    LogEntry, Position, Record, Result, SegmentId, Seq, SessionId, Store, StoreError, TraceEntry,
};

use scratch::{Added, Scratch};

/// How many records are read at once.
const BATCH_RECORDS: usize = 256;

/// A store that is rehearsed in.
pub(super) struct Rehearsal<'a> {
    below: &'a dyn Backend,
    scratch: Scratch,
}

impl<'a> Rehearsal<'a> {
    /// Rehearses on top of a store.
    pub(super) fn on(below: &'a dyn Backend) -> Result<Self> {
        Ok(Self { below, scratch: Scratch::new()? })
    }

    fn added(&self, session: SessionId, segment: SegmentId) -> Result<Option<Added>> {
        match self.scratch.added(segment)? {
            Some(added) if added.session != session => Err(StoreError::no_segment(segment)),
            added => Ok(added),
        }
    }

    /// A segment that is added to; one of the store below is taken up, with the keys that stand there.
    fn take_up(&self, session: SessionId, segment: SegmentId) -> Result<Added> {
        if let Some(added) = self.added(session, segment)? {
            return Ok(added);
        }
        let stood = self.below.read_entry_count(session, segment)?;
        let mut end = Position { seq: Seq::START, crc32c: 0 };
        while end.seq.0 < stood {
            let left = usize::try_from(stood - end.seq.0).unwrap_or(usize::MAX);
            let records = self.below.read_range(session, segment, end.seq, left.min(BATCH_RECORDS))?;
            let Some(last) = records.last() else { break };
            end = last.position;
            for record in &records {
                if let Some(key) = &record.key {
                    self.scratch.note_key(segment, key, record.position.seq)?;
                }
            }
        }
        let added = Added { session, stood, end };
        self.scratch.take_up(segment, &added)?;
        Ok(added)
    }

    fn resolve(&self, session: SessionId, segment: SegmentId, entries: &[Prepared]) -> Result<Vec<Slot>> {
        call::resolve_keys(entries, |key| {
            let Some(seq) = self.scratch.seq_of(segment, key)? else { return Ok(None) };
            let found = self.read_range(session, segment, Seq(seq.0.saturating_sub(1)), 1)?.into_iter().next();
            Ok(found.map(|record| (record.position, record.text)))
        })
    }

    fn facts_of(&self, segment: SegmentId) -> Result<Option<SegmentFacts>> {
        let Some(session) = self.lookup_session_of(segment)? else { return Ok(None) };
        let entry_count = self.read_entry_count(session, segment)?;
        let first = self.read_range(session, segment, Seq::START, 1)?.into_iter().next();
        let origin = first.and_then(|first| match first.entry {
            LogEntry::SegmentStart(start) => start.origin().copied(),
            _ => None,
        });
        Ok(Some(SegmentFacts { session, entry_count, origin }))
    }
}

impl Store for Rehearsal<'_> {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        _options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        let prepared = call::prepare_create(session, entries)?;
        let slots = call::resolve_keys(&prepared, |_| Ok(None))?;
        if let Some(session) = self.lookup_session_of(segment)? {
            return Err(StoreError::AlreadyExists { session, segment });
        }
        if let Some(start) = prepared.first().and_then(|first| first.start.as_deref()) {
            origin::check_origin(segment, start, |id| self.facts_of(id))?;
        }
        let added = Added { session, stood: 0, end: Position { seq: Seq::START, crc32c: 0 } };
        self.scratch.take_up(segment, &added)?;
        let written = self.scratch.write(segment, added.end, &call::entries_to_write(&prepared, &slots))?;
        Ok(call::answer(&slots, &written))
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        let prepared = call::prepare_append(entries)?;
        let actual = self.take_up(session, segment)?.end;
        let slots = self.resolve(session, segment, &prepared)?;
        let writes = call::entries_to_write(&prepared, &slots);
        if writes.is_empty() {
            return Ok(call::answer(&slots, &[]));
        }
        if let Some(expected) = options.expected
            && !expected.holds_at(actual)
        {
            return Err(StoreError::Conflict { expected, actual });
        }
        let written = self.scratch.write(segment, actual, &writes)?;
        Ok(call::answer(&slots, &written))
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let Some(added) = self.added(session, segment)? else {
            return self.below.read_range(session, segment, after, limit);
        };
        let left = usize::try_from(added.stood.saturating_sub(after.0)).unwrap_or(usize::MAX).min(limit);
        let mut records = match left {
            0 => Vec::new(),
            left => self.below.read_range(session, segment, after, left)?,
        };
        if records.len() < limit {
            let after = Seq(after.0.max(added.stood));
            records.extend(self.scratch.read(segment, after, limit - records.len())?);
        }
        Ok(records)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        let Some(added) = self.added(session, segment)? else {
            return self.below.read_tail(session, segment, count);
        };
        let after = added.end.seq.0.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        self.read_range(session, segment, Seq(after), count)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        match self.added(session, segment)? {
            Some(added) => Ok(added.end.seq.0),
            None => self.below.read_entry_count(session, segment),
        }
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        Ok(!self.scratch.segments(Some(session))?.is_empty() || self.below.exists(session)?)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        let mut all: BTreeSet<SessionId> = self.below.list_sessions()?.into_iter().collect();
        all.extend(self.scratch.segments(None)?.into_iter().map(|(session, _)| session));
        Ok(all.into_iter().rev().collect())
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        let mut all: BTreeSet<SegmentId> = self.below.list_segments(session)?.into_iter().collect();
        all.extend(self.scratch.segments(Some(session))?.into_iter().map(|(_, segment)| segment));
        Ok(all.into_iter().rev().collect())
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        match self.scratch.added(segment)? {
            Some(added) => Ok(Some(added.session)),
            None => self.below.lookup_session_of(segment),
        }
    }

    fn append_trace(&self, _session: SessionId, _segment: SegmentId, _trace: &TraceEntry) -> Result<()> {
        Err(StoreError::ReadOnly)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        match self.added(session, segment)? {
            Some(added) if added.stood == 0 => Ok(Vec::new()),
            _ => self.below.read_traces(session, segment),
        }
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        let text = call::prepare_fact(fact)?;
        match scope {
            FactScope::Store => self.scratch.put_fact(None, &text),
            FactScope::Session(session) if self.exists(session)? => self.scratch.put_fact(Some(session), &text),
            FactScope::Session(session) => Err(StoreError::no_session(session)),
        }
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        let (mut facts, session) = match scope {
            FactScope::Store => (self.below.facts(scope)?, None),
            FactScope::Session(session) if self.below.exists(session)? => (self.below.facts(scope)?, Some(session)),
            FactScope::Session(session) if self.exists(session)? => (Vec::new(), Some(session)),
            FactScope::Session(session) => return Err(StoreError::no_session(session)),
        };
        for text in self.scratch.facts(session)? {
            facts.push(serde_json::from_str(&text).map_err(StoreError::backend)?);
        }
        Ok(facts)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        call::check_size(bytes.len() as u64, call::BLOB_BYTES_MAX)?;
        let sha256 = chain::sha256_hex(bytes);
        self.scratch.put_blob(&sha256, bytes)?;
        Ok(BlobGuard::new(BlobRef { sha256, bytes: bytes.len() as u64 }, None))
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        let Some(bytes) = self.scratch.blob(&reference.sha256)? else { return self.below.get_blob(reference) };
        call::check_blob(reference, &bytes)?;
        Ok(bytes)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        let Changes { sessions, segments, rewritten, cursor } = self.below.changes(cursor)?;
        // All that was written here is told each time, which is allowed.
        let own = self.scratch.segments(None)?;
        let mut sessions: BTreeSet<SessionId> = sessions.into_iter().collect();
        sessions.extend(own.iter().map(|(session, _)| *session));
        sessions.extend(self.scratch.sessions_with_facts()?);
        let segments: BTreeSet<(SessionId, SegmentId)> = segments.into_iter().chain(own).collect();
        let (sessions, segments) = (sessions.into_iter().collect(), segments.into_iter().collect());
        Ok(Changes { sessions, segments, rewritten, cursor })
    }

    fn delete_session(&self, _session: SessionId) -> Result<()> {
        Err(StoreError::ReadOnly)
    }
}

impl Backend for Rehearsal<'_> {
    fn info(&self) -> BackendInfo {
        BackendInfo { read_only: false, projection_path: None, ..self.below.info() }
    }
}
