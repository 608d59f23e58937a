//! New conversations on their way into the store: held in memory until there are enough of them, and then made together.
//!
//! It is a store that reads from the one below and answers for what it holds itself, so that writers need not know of it. Only sessions that do not
//! exist yet are held, whole with their facts, so that a cursor never stands in the store before the entries that it tells of. Whatever
//! else is written goes below at once. The price is the memory of what is held, which is bounded.
//!
//! What was made is kept a little longer, typed as it is, for the index to be fed with: [`Made`](super::made::Made) answers for it in the place of the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_core::call::{NewBody, NewEntry};
use store_core::{
    AppendOptions, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Expected, Fact, FactScope, LogEntry,
    NewSegment, NewSession, Position, Record, Result, SegmentId, Seq, SessionId, Store, StoreError, TraceEntry,
};

use crate::segment::SegmentLocation;

/// How much text is held.
const BYTES_MAX: usize = 16 << 20;
/// How many sessions are held.
const SESSIONS_MAX: usize = 256;

/// Sessions in memory.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: BTreeMap<SessionId, NewSession>,
    session_of: HashMap<SegmentId, SessionId>,
    /// Where the entries stand in the store; nothing as long as they stand nowhere.
    positions: HashMap<SegmentId, Vec<Position>>,
    bytes: usize,
}

impl Sessions {
    pub(super) fn has(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    pub(super) fn entries(&self, session: SessionId, segment: SegmentId) -> Option<&[NewEntry]> {
        let segments = &self.sessions.get(&session)?.segments;
        segments.iter().find(|held| held.segment == segment).map(|held| held.entries.as_slice())
    }

    pub(super) fn facts(&self, session: SessionId) -> Option<&[Fact]> {
        self.sessions.get(&session).map(|held| held.facts.as_slice())
    }

    pub(super) fn segments(&self, session: SessionId) -> Option<Vec<SegmentId>> {
        let mut segments: Vec<SegmentId> =
            self.sessions.get(&session)?.segments.iter().map(|held| held.segment).collect();
        segments.sort_unstable_by(|a, b| b.cmp(a));
        Some(segments)
    }

    /// Where an entry stands.
    pub(super) fn position(&self, segment: SegmentId, seq: Seq) -> Option<Position> {
        let at = usize::try_from(seq.0.checked_sub(1)?).ok()?;
        self.positions.get(&segment)?.get(at).copied()
    }

    /// As `read_range` of a store.
    pub(super) fn read(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Option<Vec<Record>> {
        let entries = self.entries(session, segment)?;
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(entries.len());
        let numbered = entries.iter().zip(1..).skip(from).take(limit);
        let records = numbered.map(|(new, seq)| {
            let NewBody::Serialized(body) = &new.body else { return None };
            let position = self.position(segment, Seq(seq)).unwrap_or(Position { seq: Seq(seq), crc32c: 0 });
            let (text, entry) = (body.text().to_owned(), body.entry().clone());
            Some(Record { position, key: new.key.clone(), text, entry })
        });
        records.collect()
    }

    /// The session of a segment.
    pub(super) fn session_of(&self, segment: SegmentId) -> Option<SessionId> {
        self.session_of.get(&segment).copied().filter(|session| self.has(*session))
    }

    /// How much text it is.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The segments, in the order of their sessions.
    pub(super) fn locations(&self) -> Vec<SegmentLocation> {
        let sessions = self.sessions.values();
        let of = |new: &NewSession| {
            let session_id = new.session;
            let segments: Vec<SegmentId> = new.segments.iter().map(|held| held.segment).collect();
            segments.into_iter().map(move |segment_id| SegmentLocation { session_id, segment_id })
        };
        sessions.flat_map(of).collect()
    }
}

#[derive(Debug, Default)]
struct Held {
    sessions: Sessions,
    /// What keeps the blobs that the held entries refer to.
    guards: Vec<Arc<BlobGuard>>,
    /// What was made and nobody has asked for yet.
    made: Vec<Arc<Sessions>>,
    /// What could not be made.
    failed: BTreeSet<SessionId>,
    /// Nothing is held any more.
    is_direct: bool,
}

/// A store in front of another one.
pub(super) struct Staging<'a> {
    below: &'a dyn Store,
    held: Mutex<Held>,
}

impl<'a> Staging<'a> {
    /// In front of a store.
    pub(super) fn before(below: &'a dyn Store) -> Self {
        Self { below, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a session is held.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.held().sessions.has(session)
    }

    /// Makes what is held. What cannot be made is told by [`take_failed`](Self::take_failed) and not held any more.
    pub(super) fn commit(&self) {
        self.held().commit(self.below);
    }

    /// What was made since the last time.
    pub(super) fn take_made(&self) -> Vec<Arc<Sessions>> {
        std::mem::take(&mut self.held().made)
    }

    /// The sessions that could not be made since the last time. Perhaps others made them, or part of them.
    pub(super) fn take_failed(&self) -> BTreeSet<SessionId> {
        std::mem::take(&mut self.held().failed)
    }

    /// Lets everything go below at once from now on.
    pub(super) fn go_direct(&self) {
        let mut held = self.held();
        held.commit(self.below);
        held.is_direct = true;
    }

    /// Whether a new session may be held that does not exist.
    fn may_hold(&self, held: &Held, session: SessionId) -> Result<bool> {
        Ok(!held.is_direct && !held.failed.contains(&session) && !self.below.exists(session)?)
    }
}

impl Held {
    fn commit(&mut self, below: &dyn Store) {
        let mut sessions = std::mem::take(&mut self.sessions);
        if sessions.sessions.is_empty() {
            self.guards.clear();
            return;
        }
        let new: Vec<NewSession> = std::mem::take(&mut sessions.sessions).into_values().collect();
        let answers = below.create_sessions(&new);
        self.guards.clear();
        let Ok(answers) = answers else {
            // Whoever wrote them writes each again, and meets what this met.
            self.failed.extend(new.iter().map(|new| new.session));
            return;
        };
        for (new, answer) in new.into_iter().zip(answers) {
            match answer {
                Ok(positions) => {
                    let ids = new.segments.iter().map(|held| held.segment);
                    sessions.positions.extend(ids.zip(positions));
                    sessions.sessions.insert(new.session, new);
                }
                Err(_) => {
                    self.failed.insert(new.session);
                }
            }
        }
        self.made.push(Arc::new(sessions));
    }

    fn add(&mut self, session: SessionId, segment: SegmentId, entries: &[NewEntry]) -> Vec<Position> {
        let held = self.sessions.sessions.entry(session).or_insert_with(|| NewSession {
            session,
            segments: Vec::new(),
            facts: Vec::new(),
        });
        let at = match held.segments.iter().position(|held| held.segment == segment) {
            Some(at) => at,
            None => {
                held.segments.push(NewSegment { segment, entries: Vec::new() });
                self.sessions.session_of.insert(segment, session);
                held.segments.len() - 1
            }
        };
        let before = held.segments[at].entries.len() as u64;
        held.segments[at].entries.extend_from_slice(entries);
        let bytes = |new: &NewEntry| match &new.body {
            NewBody::Serialized(body) => body.text().len(),
            NewBody::Text(text) => text.len(),
            NewBody::Typed(_) => 0,
        };
        self.sessions.bytes += entries.iter().map(bytes).sum::<usize>();
        let count = entries.len() as u64;
        (before + 1..=before + count).map(|seq| Position { seq: Seq(seq), crc32c: 0 }).collect()
    }

    fn is_full(&self) -> bool {
        self.sessions.bytes >= BYTES_MAX || self.sessions.sessions.len() > SESSIONS_MAX
    }
}

/// Whether entries can be held: they are answered for as they were handed in.
fn are_serialized(entries: &[NewEntry]) -> bool {
    entries.iter().all(|new| matches!(new.body, NewBody::Serialized(_)))
}

fn origin_of(entries: &[NewEntry]) -> Option<SessionId> {
    let NewBody::Serialized(body) = &entries.first()?.body else { return None };
    match body.entry() {
        LogEntry::SegmentStart(start) => start.origin().map(|origin| origin.session_id),
        _ => None,
    }
}

impl Store for Staging<'_> {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        if let Some(session) = self.lookup_session_of(segment)? {
            return Err(StoreError::AlreadyExists { session, segment });
        }
        let mut held = self.held();
        let continues_held = origin_of(entries).is_some_and(|origin| origin != session && held.sessions.has(origin));
        if continues_held || held.is_full() {
            // What others continue is there before they are.
            held.commit(self.below);
        }
        if are_serialized(entries) && (held.sessions.has(session) || self.may_hold(&held, session)?) {
            return Ok(held.add(session, segment, entries));
        }
        if held.sessions.has(session) {
            held.commit(self.below);
        }
        drop(held);
        self.below.create_segment(session, segment, entries, options)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        let mut held = self.held();
        if let Some(standing) = held.sessions.entries(session, segment) {
            let end = Position { seq: Seq(standing.len() as u64), crc32c: 0 };
            let is_expected = match options.expected {
                Some(Expected::Count(count)) => count == end.seq.0,
                Some(Expected::At(_)) => false,
                None => true,
            };
            if is_expected && are_serialized(entries) && !held.is_full() {
                return Ok(held.add(session, segment, entries));
            }
            held.commit(self.below);
        }
        drop(held);
        self.below.append_with(session, segment, entries, options)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let found = self.held().sessions.read(session, segment, after, limit);
        found.map_or_else(|| self.below.read_range(session, segment, after, limit), Ok)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        let held = self.held();
        if let Some(entries) = held.sessions.entries(session, segment) {
            let after = Seq(entries.len().saturating_sub(count) as u64);
            if let Some(found) = held.sessions.read(session, segment, after, count) {
                return Ok(found);
            }
        }
        drop(held);
        self.below.read_tail(session, segment, count)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        let count = self.held().sessions.entries(session, segment).map(|entries| entries.len() as u64);
        count.map_or_else(|| self.below.read_entry_count(session, segment), Ok)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        Ok(self.holds(session) || self.below.exists(session)?)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        let mut all: BTreeSet<SessionId> = self.below.list_sessions()?.into_iter().collect();
        all.extend(self.held().sessions.sessions.keys());
        Ok(all.into_iter().rev().collect())
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        let found = self.held().sessions.segments(session);
        found.map_or_else(|| self.below.list_segments(session), Ok)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        let found = self.held().sessions.session_of(segment);
        found.map_or_else(|| self.below.lookup_session_of(segment), |session| Ok(Some(session)))
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.commit();
        self.below.append_trace(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.commit();
        self.below.read_traces(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        if let FactScope::Session(session) = scope
            && let Some(held) = self.held().sessions.sessions.get_mut(&session)
        {
            held.facts.push(fact.clone());
            return Ok(());
        }
        self.below.put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        if let FactScope::Session(session) = scope
            && let Some(facts) = self.held().sessions.facts(session)
        {
            return Ok(facts.to_vec());
        }
        self.below.facts(scope)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        let guard = Arc::new(self.below.put_blob(bytes)?);
        // Whoever puts it lets go of it when its entry is held, which is before that is made.
        self.held().guards.push(Arc::clone(&guard));
        Ok(BlobGuard::new(guard.reference().clone(), Some(Box::new(guard))))
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.below.get_blob(reference)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.commit();
        self.below.changes(cursor)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.commit();
        self.below.delete_session(session)
    }
}
