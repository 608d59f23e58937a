//! The reference: a store in memory, strict and boring.
//!
//! It does what the contract says in the most obvious way, under one lock, and is what the other backends are
//! compared with. A clone is another handle on the same store. Everything is gone with the last handle.

mod integrity;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use crate::backend::{Backend, BackendInfo};
use crate::call::{self, NewEntry, Prepared, Slot};
use crate::chain;
use crate::codec::LogContext;
use crate::entry::{BlobRef, HistoryItem, HistoryRef, LogEntry, SegmentOrigin};
use crate::error::{Damage, Missing, Result, StoreError};
use crate::follow::Signal;
use crate::id::{Position, SegmentId, Seq, SessionId};
use crate::integrity::{CheckpointLine, Event, Integrity};
use crate::new_session::{Created, NewSession};
use crate::origin::{self, SegmentFacts};
use crate::store::{AppendOptions, BlobGuard, ChangeCursor, Changes, CreateOptions, Fact, FactScope, Record, Store};
use crate::trace::TraceEntry;
use crate::watch::{LeaseHolder, Watch};

/// A store in memory. Clone it for a second handle.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<SessionId, Session>,
    session_of: HashMap<SegmentId, SessionId>,
    facts: Vec<Fact>,
    blobs: HashMap<String, Vec<u8>>,
    /// Every guard of a blob has a clone of it.
    blob_hold: Arc<()>,
    events: Vec<Event>,
    /// Facts that somebody said are not what was written, each by its scope and its number there, from 1.
    damaged_facts: BTreeSet<(Option<SessionId>, u64)>,
    /// What repairs took out of facts, by their session.
    facts_quarantine: BTreeMap<Option<SessionId>, Vec<String>>,
    changes: Vec<Change>,
    leases: HashMap<SegmentId, LeaseHolder>,
    /// The tails of each segment, which are woken while the store is locked for the change.
    tails: HashMap<SegmentId, Vec<Weak<Signal>>>,
}

#[derive(Debug, Default)]
struct Session {
    segments: BTreeMap<SegmentId, Segment>,
    facts: Vec<Fact>,
}

#[derive(Debug, Default)]
struct Segment {
    records: Vec<Stored>,
    keys: HashMap<String, usize>,
    traces: Vec<TraceEntry>,
    origin: Option<SegmentOrigin>,
    /// What the segment's history refers to.
    references: Vec<HistoryRef>,
    checkpoints: Vec<CheckpointLine>,
    /// The texts of entries that were taken out.
    quarantine: Vec<String>,
}

#[derive(Clone, Debug)]
struct Stored {
    position: Position,
    key: Option<String>,
    text: String,
    /// Somebody said that this is not what was written.
    damaged: bool,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Session(SessionId),
    Segment(SessionId, SegmentId),
    /// A segment that was repaired or rolled back.
    Rewritten(SessionId, SegmentId),
}

impl Stored {
    fn check(&self, segment: SegmentId) -> Result<()> {
        if !self.damaged {
            return Ok(());
        }
        let (offset, seq) = (self.position.seq.0, Some(self.position.seq));
        let detail = "the entry is not what was written".to_owned();
        Err(StoreError::Corrupt(Damage { segment: Some(segment), part: 1, offset, seq, detail }))
    }
}

impl Segment {
    fn check_end(&self, id: SegmentId) -> Result<()> {
        self.records.last().map_or(Ok(()), |last| last.check(id))
    }

    fn end(&self) -> Position {
        self.records.last().map_or(Position { seq: Seq::START, crc32c: 0 }, |last| last.position)
    }

    fn write(&mut self, id: SegmentId, entries: &[&Prepared]) -> Vec<Position> {
        let mut written = Vec::with_capacity(entries.len());
        for entry in entries {
            let seq = self.end().seq.next();
            let head = LogContext::segment(id).checksum(format!("{seq} {:?} ", entry.key).as_bytes());
            let position = Position { seq, crc32c: crc32c::crc32c_append(head, entry.text.as_bytes()) };
            if let Some(key) = &entry.key {
                self.keys.insert(key.clone(), self.records.len());
            }
            let (key, text) = (entry.key.clone(), entry.text.as_str().to_owned());
            self.records.push(Stored { position, key, text, damaged: false });
            written.push(position);
        }
        written
    }

    fn resolve(&self, entries: &[Prepared]) -> Result<Vec<Slot>> {
        call::resolve_keys(entries, |key| {
            Ok(self.keys.get(key).map(|at| (self.records[*at].position, self.records[*at].text.clone())))
        })
    }
}

/// The session of a scope; none for the store.
const fn session_of(scope: FactScope) -> Option<SessionId> {
    match scope {
        FactScope::Store => None,
        FactScope::Session(session) => Some(session),
    }
}

impl State {
    fn scoped_facts(&self, scope: FactScope) -> Result<&Vec<Fact>> {
        match scope {
            FactScope::Store => Ok(&self.facts),
            FactScope::Session(id) => {
                self.sessions.get(&id).map(|session| &session.facts).ok_or(StoreError::no_session(id))
            }
        }
    }

    fn first_damaged_fact(&self, scope: FactScope) -> Option<u64> {
        let of_scope = (session_of(scope), 0)..=(session_of(scope), u64::MAX);
        self.damaged_facts.range(of_scope).next().map(|(_, number)| *number)
    }

    fn segment(&self, session: SessionId, segment: SegmentId) -> Result<&Segment> {
        let found = self.sessions.get(&session).and_then(|found| found.segments.get(&segment));
        found.ok_or(StoreError::no_segment(segment))
    }

    fn segment_mut(&mut self, session: SessionId, segment: SegmentId) -> Result<&mut Segment> {
        let found = self.sessions.get_mut(&session).and_then(|found| found.segments.get_mut(&segment));
        found.ok_or(StoreError::no_segment(segment))
    }

    fn wake_tails(&mut self, segment: SegmentId) {
        let Some(tails) = self.tails.get_mut(&segment) else { return };
        tails.retain(|tail| {
            let tail = tail.upgrade();
            tail.inspect(|tail| tail.wake()).is_some()
        });
    }

    fn create(&mut self, session: SessionId, segment: SegmentId, prepared: &[Prepared]) -> Result<Vec<Position>> {
        // What is wrong with the call itself comes before what is wrong with it in this store.
        let mut new = Segment::default();
        let slots = new.resolve(prepared)?;
        if let Some(holder) = self.session_of.get(&segment) {
            return Err(StoreError::AlreadyExists { session: *holder, segment });
        }
        if let Some(start) = prepared.first().and_then(|first| first.start.as_deref()) {
            origin::check_origin(segment, start, |id| Ok(self.facts_of(id)))?;
            new.origin = start.origin().copied();
            new.references = start.history.iter().filter_map(HistoryItem::as_reference).copied().collect();
        }
        let written = new.write(segment, &call::entries_to_write(prepared, &slots));
        self.sessions.entry(session).or_default().segments.insert(segment, new);
        self.session_of.insert(segment, session);
        self.changes.push(Change::Segment(session, segment));
        Ok(call::answer(&slots, &written))
    }

    fn create_session(&mut self, new: &NewSession) -> Created {
        let prepared = new.prepare()?;
        new.check(self.sessions.contains_key(&new.session))?;
        let told = self.changes.len();
        let segments = prepared.iter().zip(&new.segments);
        let made: Created = segments.map(|(prepared, made)| self.create(new.session, made.segment, prepared)).collect();
        if made.is_err() {
            self.changes.truncate(told);
            let gone = self.sessions.remove(&new.session).unwrap_or_default();
            for segment in gone.segments.keys() {
                self.session_of.remove(segment);
            }
        } else if let Some(session) = self.sessions.get_mut(&new.session) {
            session.facts.extend(new.facts.iter().cloned());
        }
        made
    }

    fn facts_of(&self, segment: SegmentId) -> Option<SegmentFacts> {
        let session = *self.session_of.get(&segment)?;
        let found = self.sessions.get(&session)?.segments.get(&segment)?;
        Some(SegmentFacts { session, entry_count: found.end().seq.0, origin: found.origin })
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the entry at a seq unreadable, as if its bytes were not those that were written: for tests of whoever has to live with
    /// damage.
    ///
    /// # Errors
    /// `NotFound` if there is no such segment; a seq beyond its end damages nothing.
    pub fn damage(&self, session: SessionId, segment: SegmentId, seq: Seq) -> Result<()> {
        let mut state = self.write();
        let records = &mut state.segment_mut(session, segment)?.records;
        for stored in records.iter_mut().filter(|stored| stored.position.seq == seq) {
            stored.damaged = true;
        }
        Ok(())
    }

    /// The same for a fact: the one of this number in its scope, from 1.
    ///
    /// # Errors
    /// `NotFound` if there is no such session; a number beyond the last fact damages nothing.
    pub fn damage_fact(&self, scope: FactScope, number: u64) -> Result<()> {
        let mut state = self.write();
        let facts = state.scoped_facts(scope)?.len() as u64;
        if (1..=facts).contains(&number) {
            state.damaged_facts.insert((session_of(scope), number));
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_record(segment: SegmentId, stored: &Stored) -> Result<Record> {
    stored.check(segment)?;
    let entry = LogEntry::from_text(&stored.text).map_err(StoreError::backend)?;
    Ok(Record { position: stored.position, key: stored.key.clone(), text: stored.text.clone(), entry })
}

impl Store for MemoryStore {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        _options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        let prepared = call::prepare_create(session, entries)?;
        self.write().create(session, segment, &prepared)
    }

    fn create_sessions(&self, sessions: &[NewSession]) -> Result<Vec<Created>> {
        let mut state = self.write();
        Ok(sessions.iter().map(|new| state.create_session(new)).collect())
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        let prepared = call::prepare_append(entries)?;
        let mut state = self.write();
        let found = state.segment_mut(session, segment)?;
        let slots = found.resolve(&prepared)?;
        let writes = call::entries_to_write(&prepared, &slots);
        if writes.is_empty() {
            return Ok(call::answer(&slots, &[]));
        }
        found.check_end(segment)?;
        let actual = found.end();
        if let Some(expected) = options.expected
            && !expected.holds_at(actual)
        {
            return Err(StoreError::Conflict { expected, actual });
        }
        let written = found.write(segment, &writes);
        state.changes.push(Change::Segment(session, segment));
        state.wake_tails(segment);
        Ok(call::answer(&slots, &written))
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let state = self.read();
        let records = &state.segment(session, segment)?.records;
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        records.iter().skip(skip).take(limit).map(|stored| to_record(segment, stored)).collect()
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        let state = self.read();
        let records = &state.segment(session, segment)?.records;
        let tail = records.iter().skip(records.len().saturating_sub(count));
        tail.map(|stored| to_record(segment, stored)).collect()
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        let state = self.read();
        let found = state.segment(session, segment)?;
        found.check_end(segment)?;
        Ok(found.end().seq.0)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        Ok(self.read().sessions.contains_key(&session))
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        Ok(self.read().sessions.keys().rev().copied().collect())
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        let state = self.read();
        let found = state.sessions.get(&session);
        Ok(found.map(|found| found.segments.keys().rev().copied().collect()).unwrap_or_default())
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        Ok(self.read().session_of.get(&segment).copied())
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        call::prepare_trace(trace)?;
        self.write().segment_mut(session, segment)?.traces.push(trace.clone());
        Ok(())
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        Ok(self.read().segment(session, segment)?.traces.clone())
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        call::prepare_fact(fact)?;
        let mut state = self.write();
        match scope {
            FactScope::Store => state.facts.push(fact.clone()),
            FactScope::Session(id) => {
                let session = state.sessions.get_mut(&id).ok_or(StoreError::no_session(id))?;
                session.facts.push(fact.clone());
                state.changes.push(Change::Session(id));
            }
        }
        Ok(())
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        let state = self.read();
        let facts = state.scoped_facts(scope)?;
        state.first_damaged_fact(scope).map_or(Ok(()), |number| Err(integrity::damaged_fact(number)))?;
        Ok(facts.clone())
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        call::check_size(bytes.len() as u64, call::BLOB_BYTES_MAX)?;
        let sha256 = chain::sha256_hex(bytes);
        let mut state = self.write();
        state.blobs.entry(sha256.clone()).or_insert_with(|| bytes.to_vec());
        let hold = Arc::clone(&state.blob_hold);
        Ok(BlobGuard::new(BlobRef { sha256, bytes: bytes.len() as u64 }, Some(Box::new(hold))))
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        let state = self.read();
        let bytes = state.blobs.get(&reference.sha256);
        let bytes = bytes.ok_or_else(|| StoreError::NotFound(Missing::Blob(reference.sha256.clone())))?;
        call::check_blob(reference, bytes)?;
        Ok(bytes.clone())
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        let state = self.read();
        let known = cursor.and_then(|cursor| cursor.0.parse::<usize>().ok()).filter(|at| *at <= state.changes.len());
        let mut sessions = BTreeSet::new();
        let mut segments = BTreeSet::new();
        let mut rewritten = BTreeSet::new();
        match known {
            Some(at) => {
                for change in &state.changes[at..] {
                    match *change {
                        Change::Session(id) => sessions.insert(id),
                        Change::Segment(session, segment) => segments.insert((session, segment)),
                        Change::Rewritten(session, segment) => {
                            rewritten.insert((session, segment));
                            segments.insert((session, segment))
                        }
                    };
                }
            }
            None => {
                sessions.extend(state.sessions.keys());
                segments.extend(state.session_of.iter().map(|(segment, session)| (*session, *segment)));
                if cursor.is_some() {
                    rewritten.clone_from(&segments);
                }
            }
        }
        sessions.extend(segments.iter().map(|(session, _)| *session));
        Ok(Changes {
            sessions: sessions.into_iter().collect(),
            segments: segments.into_iter().collect(),
            rewritten: rewritten.into_iter().collect(),
            cursor: ChangeCursor(state.changes.len().to_string()),
        })
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        let mut state = self.write();
        let found = state.sessions.get(&session).ok_or(StoreError::no_session(session))?;
        if let Some(holder) = found.segments.keys().find_map(|segment| state.leases.get(segment)) {
            return Err(holder.clone().into_busy());
        }
        let others = state.sessions.iter().filter(|(id, _)| **id != session);
        let by: Vec<SegmentId> = others
            .flat_map(|(_, other)| &other.segments)
            .filter(|(_, segment)| segment.origin.is_some_and(|origin| origin.session_id == session))
            .map(|(id, _)| *id)
            .collect();
        if !by.is_empty() {
            return Err(StoreError::Referenced { by });
        }
        state.damaged_facts.retain(|(of, _)| *of != Some(session));
        state.facts_quarantine.remove(&Some(session));
        if let Some(gone) = state.sessions.remove(&session) {
            for segment in gone.segments.keys() {
                state.session_of.remove(segment);
                state.wake_tails(*segment);
            }
        }
        state.changes.push(Change::Session(session));
        Ok(())
    }
}

impl Backend for MemoryStore {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            scheme: "memory".to_owned(),
            location: String::new(),
            format_version: 1,
            read_only: false,
            projection_path: None,
        }
    }

    fn watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn integrity(&self) -> Option<&dyn Integrity> {
        Some(self)
    }
}
