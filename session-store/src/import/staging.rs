//! New conversations on their way into the store: held in memory until there are enough of them, and then made together.
//!
//! It is a store that reads from the one below and answers for what it holds itself, so that writers need not know of it. Only sessions that do not
//! exist yet are held, whole with their facts, so that a cursor never stands in the store before the entries that it tells of. Whatever
//! else is written goes below at once. The price is the memory of what is held, which is bounded.
//!
//! What was made is kept a little longer, typed as it is, for the index to be fed with: [`WithMade`](super::made::WithMade) answers for it in the place of the store.
//!
//! Blobs wait with the sessions: whoever makes those puts these first, so that nobody who reads waits for the medium. Before anything goes below at once, they do.

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use store_core::call::{NewBody, NewEntry};
use store_core::chain::sha256_hex;
use store_core::{
    AppendOptions, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Created, Expected, Fact, FactScope,
    LogEntry, NewSegment, NewSession, Position, Record, Result, SegmentId, Seq, SessionId, Store, StoreError,
    TraceEntry,
};

use crate::segment::SegmentLocation;

/// How much is held, in bytes of text and of what an entry takes beside it.
const BYTES_MAX: usize = 8 << 20;
/// What an entry takes beside its text, whose typed form is about as long: its key, and the structure of both.
const ENTRY_BYTES: usize = 768;
/// How many sessions are held.
const SESSIONS_MAX: usize = 256;

/// Sessions in memory, as they are handed to the store.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    list: Vec<NewSession>,
    places: HashMap<SessionId, usize>,
    session_of: HashMap<SegmentId, SessionId>,
    /// What the entries and facts refer to.
    blobs: Vec<HeldBlob>,
    blob_bytes: usize,
    /// Of the entries.
    bytes: usize,
}

/// A blob that is put before what refers to it.
#[derive(Clone, Debug)]
struct HeldBlob {
    reference: BlobRef,
    /// Gone when whoever has put it has handed over the entry or fact that refers to it.
    asked_for: Weak<()>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Held(Arc<Vec<u8>>),
    /// It is in the store.
    Put(Arc<BlobGuard>),
}

impl HeldBlob {
    fn put(&self, below: &dyn Store) -> Result<Arc<BlobGuard>> {
        match &self.body {
            Body::Put(guard) => Ok(Arc::clone(guard)),
            Body::Held(bytes) => below.put_blob(bytes).map(Arc::new),
        }
    }

    fn is_asked_for(&self) -> bool {
        self.asked_for.strong_count() > 0
    }

    fn held(&self) -> Option<&Arc<Vec<u8>>> {
        match &self.body {
            Body::Held(bytes) => Some(bytes),
            Body::Put(_) => None,
        }
    }
}

impl Sessions {
    fn get(&self, session: SessionId) -> Option<&NewSession> {
        self.list.get(*self.places.get(&session)?)
    }

    fn get_mut(&mut self, session: SessionId) -> Option<&mut NewSession> {
        self.list.get_mut(*self.places.get(&session)?)
    }

    fn has(&self, session: SessionId) -> bool {
        self.places.contains_key(&session)
    }

    pub(super) fn entries(&self, session: SessionId, segment: SegmentId) -> Option<&[NewEntry]> {
        let segments = &self.get(session)?.segments;
        segments.iter().find(|held| held.segment == segment).map(|held| held.entries.as_slice())
    }

    pub(super) fn facts(&self, session: SessionId) -> Option<&[Fact]> {
        self.get(session).map(|held| held.facts.as_slice())
    }

    /// The segments of a session, newest first.
    pub(super) fn segments(&self, session: SessionId) -> Option<Vec<SegmentId>> {
        let mut segments: Vec<SegmentId> = self.get(session)?.segments.iter().map(|held| held.segment).collect();
        segments.sort_unstable_by(|a, b| b.cmp(a));
        Some(segments)
    }

    /// The session of a segment.
    pub(super) fn session_of(&self, segment: SegmentId) -> Option<SessionId> {
        self.session_of.get(&segment).copied()
    }

    /// As `read_range` of a store, with the places that `positions` has.
    pub(super) fn read(
        &self,
        (session, segment): (SessionId, SegmentId),
        after: Seq,
        limit: usize,
        positions: Option<&[Position]>,
    ) -> Option<Vec<Record>> {
        let entries = self.entries(session, segment)?;
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(entries.len());
        let records = entries.iter().enumerate().skip(from).take(limit).map(|(at, new)| {
            let NewBody::Serialized(body) = &new.body else { return None };
            let position = positions.and_then(|positions| positions.get(at).copied()).unwrap_or_else(|| unplaced(at));
            let (text, entry) = (body.text().to_owned(), body.entry().clone());
            Some(Record { position, key: new.key.clone(), text, entry })
        });
        records.collect()
    }

    fn add(&mut self, session: SessionId, segment: SegmentId, entries: &[NewEntry]) -> Vec<Position> {
        let place = *self.places.entry(session).or_insert_with(|| {
            self.list.push(NewSession { session, segments: Vec::new(), facts: Vec::new() });
            self.list.len() - 1
        });
        let segments = &mut self.list[place].segments;
        let at = segments.iter().position(|held| held.segment == segment).unwrap_or_else(|| {
            segments.push(NewSegment { segment, entries: Vec::new() });
            segments.len() - 1
        });
        let held = &mut segments[at].entries;
        let before = held.len();
        held.extend_from_slice(entries);
        self.session_of.insert(segment, session);
        self.bytes += entries.iter().map(bytes_of).sum::<usize>();
        (before..before + entries.len()).map(unplaced).collect()
    }

    /// Puts what they refer to, and makes them.
    fn make(&self, below: &dyn Store) -> Result<Vec<Created>> {
        let guards = self.blobs.iter().map(|blob| blob.put(below)).collect::<Result<Vec<_>>>()?;
        let made = below.create_sessions(&self.list);
        drop(guards);
        made
    }

    fn hold_blob(&mut self, blob: HeldBlob) {
        self.blob_bytes += blob.held().map_or(0, |bytes| bytes.len());
        self.blobs.push(blob);
    }

    /// Puts the blobs at once and keeps their guards.
    fn put_blobs(&mut self, below: &dyn Store) -> Result<()> {
        for blob in &mut self.blobs {
            let guard = blob.put(below)?;
            self.blob_bytes -= blob.held().map_or(0, |bytes| bytes.len());
            blob.body = Body::Put(guard);
        }
        if self.list.is_empty() {
            self.blobs.retain(HeldBlob::is_asked_for);
        }
        Ok(())
    }

    fn blob(&self, reference: &BlobRef) -> Option<Arc<Vec<u8>>> {
        self.blobs.iter().find(|held| held.reference == *reference)?.held().cloned()
    }

    fn is_full(&self) -> bool {
        self.bytes + self.blob_bytes >= BYTES_MAX || self.list.len() >= SESSIONS_MAX
    }
}

/// The position of an entry that stands nowhere yet.
const fn unplaced(at: usize) -> Position {
    Position { seq: Seq(at as u64 + 1), crc32c: 0 }
}

fn bytes_of(new: &NewEntry) -> usize {
    let text = match &new.body {
        NewBody::Serialized(body) => body.text().len(),
        NewBody::Text(text) => text.len(),
        NewBody::Typed(_) => 0,
    };
    text + ENTRY_BYTES
}

/// Sessions that were made, and where their entries stand.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) sessions: Arc<Sessions>,
    positions: HashMap<SegmentId, Vec<Position>>,
}

impl Made {
    /// Whether a session was made.
    pub(super) fn has(&self, session: SessionId) -> bool {
        let first = self.sessions.get(session).and_then(|made| made.segments.first());
        first.is_some_and(|first| self.positions.contains_key(&first.segment))
    }

    /// Where the entries of a segment stand.
    pub(super) fn positions(&self, segment: SegmentId) -> Option<&[Position]> {
        self.positions.get(&segment).map(Vec::as_slice)
    }

    /// Where an entry stands.
    pub(super) fn position(&self, segment: SegmentId, seq: Seq) -> Option<Position> {
        let at = usize::try_from(seq.0.checked_sub(1)?).ok()?;
        self.positions(segment)?.get(at).copied()
    }

    /// How many bytes it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.sessions.bytes
    }

    /// The segments that were made.
    pub(super) fn locations(&self) -> impl Iterator<Item = SegmentLocation> {
        let all = self.sessions.list.iter().filter(|made| self.has(made.session));
        all.flat_map(|made| {
            made.segments
                .iter()
                .map(|segment| SegmentLocation { session_id: made.session, segment_id: segment.segment })
        })
    }
}

/// The thread that makes sessions: what goes there, and what came of it.
struct Maker {
    give: Sender<Arc<Sessions>>,
    told: Receiver<Result<Vec<Created>>>,
}

#[derive(Default)]
struct Held {
    sessions: Sessions,
    /// What is being made.
    making: Option<Arc<Sessions>>,
    maker: Option<Maker>,
    /// What was made and nobody has asked for yet.
    made: Vec<Arc<Made>>,
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
    /// In front of a store, for who makes what is held himself.
    pub(super) fn before(below: &'a dyn Store) -> Self {
        Self { below, held: Mutex::default() }
    }

    /// Does `work` with a staging area whose sessions another thread makes while the next ones are read.
    pub(super) fn beside<T>(below: &dyn Store, work: impl FnOnce(&Staging<'_>) -> T) -> T {
        thread::scope(|scope| {
            let (give, take) = channel::<Arc<Sessions>>();
            let (tell, told) = channel();
            scope.spawn(move || {
                while let Ok(sessions) = take.recv() {
                    if tell.send(sessions.make(below)).is_err() {
                        return;
                    }
                }
            });
            let staging = Staging::before(below);
            staging.held().maker = Some(Maker { give, told });
            work(&staging)
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a session is held, or being made.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.held().find(|sessions| sessions.has(session).then_some(())).is_some()
    }

    /// Makes what is held. What cannot be made is told by [`take_failed`](Self::take_failed) and not held any more.
    pub(super) fn commit(&self) {
        self.held().commit(self.below);
    }

    /// What was made since the last time.
    pub(super) fn take_made(&self) -> Vec<Arc<Made>> {
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

    /// Whether a session may be held that is not yet.
    fn may_hold(&self, held: &Held, session: SessionId) -> Result<bool> {
        Ok(!held.is_direct && !held.failed.contains(&session) && !self.below.exists(session)?)
    }
}

impl Held {
    /// What is held of something, be it on its way or not.
    fn find<T>(&self, find: impl Fn(&Sessions) -> Option<T>) -> Option<T> {
        find(&self.sessions).or_else(|| self.making.as_deref().and_then(find))
    }

    fn is_making(&self, session: SessionId) -> bool {
        self.making.as_ref().is_some_and(|making| making.has(session))
    }

    /// Makes what is held and waits for it.
    fn commit(&mut self, below: &dyn Store) {
        self.send(below);
        self.wait();
    }

    /// Hands what is held to who makes it, when what was handed over before is made.
    fn send(&mut self, below: &dyn Store) {
        self.wait();
        let sessions = std::mem::take(&mut self.sessions);
        // What refers to these may not be held yet.
        let asked_for = sessions.blobs.iter().filter(|blob| blob.is_asked_for());
        asked_for.for_each(|blob| self.sessions.hold_blob(blob.clone()));
        if sessions.list.is_empty() {
            return;
        }
        let sessions = Arc::new(sessions);
        self.making = Some(Arc::clone(&sessions));
        match &self.maker {
            Some(maker) if maker.give.send(Arc::clone(&sessions)).is_ok() => {}
            _ => self.take_answers(sessions.make(below)),
        }
    }

    fn wait(&mut self) {
        if let (Some(_), Some(maker)) = (&self.making, &self.maker) {
            let gone = || Err(StoreError::backend("whoever makes sessions is gone"));
            let answers = maker.told.recv().unwrap_or_else(|_| gone());
            self.take_answers(answers);
        }
    }

    fn take_answers(&mut self, answers: Result<Vec<Created>>) {
        let Some(sessions) = self.making.take() else { return };
        let Ok(answers) = answers else {
            // Whoever wrote them writes each again, and meets what this met.
            self.failed.extend(sessions.list.iter().map(|new| new.session));
            return;
        };
        let mut positions = HashMap::new();
        for (new, answer) in sessions.list.iter().zip(answers) {
            match answer {
                Ok(stand) => positions.extend(new.segments.iter().map(|held| held.segment).zip(stand)),
                Err(_) => _ = self.failed.insert(new.session),
            }
        }
        self.made.push(Arc::new(Made { sessions, positions }));
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
        let origin = origin_of(entries).filter(|origin| *origin != session);
        if origin.is_some_and(|origin| held.find(|sessions| sessions.has(origin).then_some(())).is_some()) {
            // What others continue is there before they are.
            held.commit(self.below);
        } else if held.is_making(session) {
            held.wait();
        } else if held.sessions.is_full() {
            held.send(self.below);
        }
        if are_serialized(entries) && (held.sessions.has(session) || self.may_hold(&held, session)?) {
            return Ok(held.sessions.add(session, segment, entries));
        }
        if held.sessions.has(session) {
            held.commit(self.below);
        }
        held.sessions.put_blobs(self.below)?;
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
            let count = standing.len() as u64;
            let is_expected = match options.expected {
                Some(Expected::Count(expected)) => expected == count,
                Some(Expected::At(_)) => false,
                None => true,
            };
            if is_expected && are_serialized(entries) && !held.sessions.is_full() {
                return Ok(held.sessions.add(session, segment, entries));
            }
            held.commit(self.below);
        } else if held.is_making(session) {
            held.wait();
        }
        held.sessions.put_blobs(self.below)?;
        drop(held);
        self.below.append_with(session, segment, entries, options)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let found = self.held().find(|sessions| sessions.read((session, segment), after, limit, None));
        found.map_or_else(|| self.below.read_range(session, segment, after, limit), Ok)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        let found = self.held().find(|sessions| {
            let entries = sessions.entries(session, segment)?.len();
            sessions.read((session, segment), Seq(entries.saturating_sub(count) as u64), count, None)
        });
        found.map_or_else(|| self.below.read_tail(session, segment, count), Ok)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        let count = self.held().find(|sessions| Some(sessions.entries(session, segment)?.len() as u64));
        count.map_or_else(|| self.below.read_entry_count(session, segment), Ok)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        Ok(self.holds(session) || self.below.exists(session)?)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        self.commit();
        self.below.list_sessions()
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        let found = self.held().find(|sessions| sessions.segments(session));
        found.map_or_else(|| self.below.list_segments(session), Ok)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        let found = self.held().find(|sessions| sessions.session_of(segment));
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
        if let FactScope::Session(session) = scope {
            let mut held = self.held();
            if let Some(held) = held.sessions.get_mut(session) {
                held.facts.push(fact.clone());
                return Ok(());
            }
            if held.is_making(session) {
                held.wait();
            }
        }
        self.held().sessions.put_blobs(self.below)?;
        self.below.put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        let found = match scope {
            FactScope::Session(session) => self.held().find(|sessions| sessions.facts(session).map(<[Fact]>::to_vec)),
            FactScope::Store => None,
        };
        found.map_or_else(|| self.below.facts(scope), Ok)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        let mut held = self.held();
        if held.is_direct {
            drop(held);
            return self.below.put_blob(bytes);
        }
        let reference = BlobRef { sha256: sha256_hex(bytes), bytes: bytes.len() as u64 };
        let asked_for = Arc::new(());
        held.sessions.hold_blob(HeldBlob {
            reference: reference.clone(),
            asked_for: Arc::downgrade(&asked_for),
            body: Body::Held(Arc::new(bytes.to_vec())),
        });
        if held.sessions.blob_bytes >= BYTES_MAX {
            // A file may have any number of them before anything is written.
            held.sessions.put_blobs(self.below)?;
        }
        Ok(BlobGuard::new(reference, Some(Box::new(asked_for))))
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        let held = self.held().find(|sessions| sessions.blob(reference));
        held.map_or_else(|| self.below.get_blob(reference), |bytes| Ok(bytes.to_vec()))
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

#[cfg(test)]
mod tests {
    use store_core::{MemoryStore, SegmentOrigin, SegmentStart, Serialized};

    use super::*;

    fn ids(n: u64) -> (SessionId, SegmentId) {
        (SessionId::derive(n, b"session"), SegmentId::derive(n, b"segment"))
    }

    fn start(n: u64, origin: Option<u64>) -> NewEntry {
        let forked_from = origin.map(|of| SegmentOrigin {
            session_id: ids(of).0,
            segment_id: ids(of).1,
            seq: Seq(1),
            at_turn_index: 0,
        });
        let start = SegmentStart { forked_from, ..SegmentStart::new(ids(n).0, n) };
        NewEntry::serialized(Serialized::new(LogEntry::SegmentStart(Box::new(start))).unwrap())
    }

    fn create(store: &dyn Store, n: u64, origin: Option<u64>) -> Result<Vec<Position>> {
        store.create_segment(ids(n).0, ids(n).1, &[start(n, origin)], &CreateOptions::default())
    }

    fn title(n: u64) -> Fact {
        Fact { ts: n, domain: "title".to_owned(), value: n.into() }
    }

    #[test]
    fn what_is_held_is_read_as_if_it_were_there_and_is_there_after_a_commit() {
        let below = MemoryStore::new();
        Staging::beside(&below, |staging| {
            create(staging, 1, None).unwrap();
            staging.put_fact(FactScope::Session(ids(1).0), &title(1)).unwrap();
            let (session, segment) = ids(1);
            for is_made in [false, true] {
                assert_eq!(below.exists(session).unwrap(), is_made);
                assert_eq!(staging.holds(session), !is_made);
                assert!(staging.exists(session).unwrap());
                assert_eq!(staging.list_segments(session).unwrap(), [segment]);
                assert_eq!(staging.lookup_session_of(segment).unwrap(), Some(session));
                assert_eq!(staging.read_entry_count(session, segment).unwrap(), 1);
                assert_eq!(staging.read_tail(session, segment, 5).unwrap().len(), 1);
                assert_eq!(staging.facts(FactScope::Session(session)).unwrap(), [title(1)]);
                staging.commit();
            }
            let made = staging.take_made();
            let last = below.read_tail(session, segment, 1).unwrap().remove(0);
            assert_eq!(made[0].position(segment, Seq(1)), Some(last.position));
        });
    }

    #[test]
    fn what_others_continue_is_made_before_they_are_held() {
        let below = MemoryStore::new();
        let staging = Staging::before(&below);
        create(&staging, 1, None).unwrap();
        create(&staging, 2, Some(1)).unwrap();
        assert!(below.exists(ids(1).0).unwrap());
        assert!(staging.holds(ids(2).0));
        staging.commit();
        assert!(below.exists(ids(2).0).unwrap());
        assert_eq!(staging.take_failed(), BTreeSet::new());
    }

    /// Another process imports the same file meanwhile.
    #[test]
    fn a_session_that_somebody_else_made_is_told_and_not_held_again() {
        let below = MemoryStore::new();
        let staging = Staging::before(&below);
        create(&staging, 1, None).unwrap();
        create(&staging, 2, None).unwrap();
        create(&below, 1, None).unwrap();
        staging.commit();
        assert_eq!(staging.take_failed(), BTreeSet::from([ids(1).0]));
        assert!(below.exists(ids(2).0).unwrap(), "the others are there");
        let made: Vec<SessionId> = staging
            .take_made()
            .iter()
            .flat_map(|made| made.locations().map(|at| at.session_id).collect::<Vec<_>>())
            .collect();
        assert_eq!(made, [ids(2).0]);
    }

    #[test]
    fn a_session_that_exists_is_written_to_at_once() {
        let below = MemoryStore::new();
        create(&below, 1, None).unwrap();
        let staging = Staging::before(&below);
        let other = SegmentId::derive(1, b"other");
        staging.create_segment(ids(1).0, other, &[start(1, None)], &CreateOptions::default()).unwrap();
        assert!(!staging.holds(ids(1).0));
        assert_eq!(below.list_segments(ids(1).0).unwrap().len(), 2);
    }

    #[test]
    fn a_blob_waits_with_what_refers_to_it_and_is_there_before_what_is_written_at_once() {
        let below = MemoryStore::new();
        create(&below, 9, None).unwrap();
        let staging = Staging::before(&below);
        let guard = staging.put_blob(b"of a held one").unwrap();
        let held = guard.reference().clone();
        create(&staging, 1, None).unwrap();
        drop(guard);
        assert_eq!(staging.get_blob(&held).unwrap(), b"of a held one");
        assert!(below.get_blob(&held).is_err(), "the medium is not waited for");
        staging.commit();
        assert_eq!(below.get_blob(&held).unwrap(), b"of a held one");

        let guard = staging.put_blob(b"of one that is there").unwrap();
        assert!(below.get_blob(guard.reference()).is_err());
        staging.put_fact(FactScope::Session(ids(9).0), &title(9)).unwrap();
        assert_eq!(below.get_blob(guard.reference()).unwrap(), b"of one that is there");
    }

    #[test]
    fn a_blob_that_is_asked_for_still_goes_with_later_sessions_too() {
        let below = MemoryStore::new();
        let staging = Staging::before(&below);
        create(&staging, 1, None).unwrap();
        let guard = staging.put_blob(b"of the next").unwrap();
        staging.commit();
        assert_eq!(staging.held().sessions.blobs.len(), 1, "what refers to it is not held yet");
        create(&staging, 2, None).unwrap();
        drop(guard);
        staging.commit();
        assert_eq!(staging.held().sessions.blobs.len(), 0);
        assert!(below.get_blob(&BlobRef { sha256: sha256_hex(b"of the next"), bytes: 11 }).is_ok());
    }

    #[test]
    fn blobs_of_a_file_of_any_length_are_not_all_held() {
        let below = MemoryStore::new();
        let staging = Staging::before(&below);
        let guards: Vec<BlobGuard> = (0..5_u8).map(|n| staging.put_blob(&vec![n; BYTES_MAX / 2]).unwrap()).collect();
        assert!(staging.held().sessions.blob_bytes < BYTES_MAX);
        assert_eq!(staging.get_blob(guards[0].reference()).unwrap(), vec![0; BYTES_MAX / 2]);
        drop(guards);
    }
}
