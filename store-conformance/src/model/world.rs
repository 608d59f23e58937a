//! A store and the reference side by side: each call is made on both, and what they answer is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde_json::json;
use store_core::{
    AppendOptions, Backend, BlobRef, ChangeCursor, Changes, CreateOptions, Durability, Expected, Fact, FactScope,
    HistoryItem, HistoryRef, LogEntry, MemoryStore, NewEntry, NewSegment, NewSession, Part, Position, Record, Result,
    SegmentId, SegmentOrigin, SegmentStart, Seq, SessionId, Store, StoreError, TraceEntry, UserInput, chain,
};

use super::call::{Call, End, Entry, NewOne, Of, Point, Shape, Start, Step};
use super::picture::{Subjects, picture, records_words, seqs, words};
use crate::checks::fixture::{TIME, nested, note, segment as segment_id, session as session_id};
use crate::{Failure, Harness, Outcome};

/// The first handle of the harness and two beside it.
pub(super) const HANDLES: usize = 3;
pub(super) const SESSIONS: u64 = 2;
pub(super) const SEGMENTS: u64 = 4;

/// Who asks for changes from time to time, and where it stands in each store.
#[derive(Default)]
struct Observer {
    store: Option<ChangeCursor>,
    reference: Option<ChangeCursor>,
}

pub(super) struct World<'a> {
    harness: &'a mut dyn Harness,
    beside: [Option<Box<dyn Backend>>; HANDLES - 1],
    reference: MemoryStore,
    observers: [Observer; 2],
    /// The positions that the store and the reference gave, of what is there now.
    positions: BTreeMap<(SegmentId, Seq), (Position, Position)>,
    sessions: Vec<SessionId>,
    segments: Vec<SegmentId>,
    blobs: Vec<BlobRef>,
}

impl<'a> World<'a> {
    pub(super) fn new(harness: &'a mut dyn Harness, reference: MemoryStore) -> Self {
        Self {
            harness,
            beside: [None, None],
            reference,
            observers: Default::default(),
            positions: BTreeMap::new(),
            sessions: (0..SESSIONS).map(session_id).collect(),
            segments: (0..SEGMENTS).map(segment_id).collect(),
            blobs: (0..4).map(|n| reference_to(&bytes_of(n))).collect(),
        }
    }

    fn handle(&mut self, n: usize) -> &dyn Backend {
        match n.checked_sub(1) {
            None => self.harness.store(),
            Some(n) => &**self.beside[n].get_or_insert_with(|| self.harness.second_handle()),
        }
    }

    /// Makes one call on both, and compares what they answer and what both then are.
    pub(super) fn take(&mut self, step: &Step) -> Outcome {
        let (store, reference) = self.make(step)?;
        same("the answer", &store, &reference)?;
        self.compare(step.observer)
    }

    /// Compares what every handle, and one that is opened now, sees.
    pub(super) fn end(&mut self) -> Outcome {
        for n in 0..HANDLES {
            self.compare(n)?;
        }
        for n in 0..self.observers.len() {
            self.changes(0, n)?;
        }
        self.reopen(0);
        self.compare(0)?;
        self.observers[0] = Observer::default();
        self.changes(0, 0)
    }

    fn compare(&mut self, n: usize) -> Outcome {
        let reference = self.reference.clone();
        let (sessions, segments, blobs) = (self.sessions.clone(), self.segments.clone(), self.blobs.clone());
        let subjects = Subjects { sessions: &sessions, segments: &segments, blobs: &blobs };
        let seen = picture(self.handle(n), &subjects);
        for (seen, expected) in seen.iter().zip(&picture(&reference, &subjects)) {
            same(&format!("what handle {n} sees"), seen, expected)?;
        }
        for segment in segments {
            let Some(home) = reference.lookup_session_of(segment).map_err(unexpected)? else { continue };
            let records = self.handle(n).read_range(home, segment, Seq::START, usize::MAX).map_err(unexpected)?;
            for Record { position, .. } in records {
                let answered = self.positions.get(&(segment, position.seq)).map(|(answered, _)| *answered);
                same(&format!("the position that handle {n} reads in {segment}"), &Some(position), &answered)?;
            }
        }
        Ok(())
    }

    /// What the store and the reference answer, in words.
    fn make(&mut self, Step { handle, call, .. }: &Step) -> Result<(String, String), Failure> {
        let handle = *handle;
        match call {
            Call::Create { session, segment, start, entries, durability } => {
                self.create(handle, (session_id(*session), segment_id(*segment)), start, entries, *durability)
            }
            Call::CreateMany { sessions } => self.create_many(handle, sessions),
            Call::Append { of, segment, entries, expected, durability } => {
                let at = (self.home(*of, *segment)?, segment_id(*segment));
                self.append(handle, at, entries, *expected, *durability)
            }
            Call::AppendOne { segment, text } => {
                let (home, segment) = (self.home(Of::Home, *segment)?, segment_id(*segment));
                let entry = typed(*text);
                let answers = self.both(handle, |store| store.append(home, segment, &entry).map(|one| vec![one]));
                self.remember(segment, &answers);
                Ok(in_words(answers, |positions| seqs(&positions)))
            }
            Call::ReadRange { of, segment, after, limit } => {
                let (home, segment) = (self.home(*of, *segment)?, segment_id(*segment));
                let answers = self.both(handle, |store| store.read_range(home, segment, Seq(*after), *limit));
                Ok(in_words(answers, |records| records_words(&records)))
            }
            Call::ReadTail { segment, count } => {
                let (home, segment) = (self.home(Of::Home, *segment)?, segment_id(*segment));
                let answers = self.both(handle, |store| store.read_tail(home, segment, *count));
                Ok(in_words(answers, |records| records_words(&records)))
            }
            Call::Trace { of, segment, text } => {
                let (home, segment) = (self.home(*of, *segment)?, segment_id(*segment));
                let payload = if *text == 3 { nested(200) } else { json!({"text": text}) };
                let trace = TraceEntry { ts: TIME, event: "traced".to_owned(), payload };
                Ok(self.done(handle, |store| store.append_trace(home, segment, &trace)))
            }
            Call::Fact { session, text } => {
                let scope = session.map_or(FactScope::Store, |session| FactScope::Session(session_id(session)));
                let fact = fact_of(*text);
                Ok(self.done(handle, |store| store.put_fact(scope, &fact)))
            }
            Call::PutBlob { bytes } => {
                let bytes = bytes_of(*bytes);
                let answers = self.both(handle, |store| store.put_blob(&bytes));
                Ok(in_words(answers, |guard| format!("{:?}", guard.reference())))
            }
            Call::GetBlob { bytes, length } => {
                let wrong = BlobRef { bytes: *length, ..reference_to(&bytes_of(*bytes)) };
                Ok(in_words(self.both(handle, |store| store.get_blob(&wrong)), |bytes| format!("{bytes:?}")))
            }
            Call::Delete { session } => {
                let session = session_id(*session);
                let answers = self.both(handle, |store| store.delete_session(session));
                self.forget_what_is_gone()?;
                Ok(in_words(answers, |()| "done".to_owned()))
            }
            Call::Changes { observer } => self.changes(handle, *observer).map(|()| Default::default()),
            Call::Reopen => {
                self.reopen(handle);
                Ok(Default::default())
            }
            Call::LeaveBehind { dice } => {
                self.harness.leave_behind(*dice);
                Ok(Default::default())
            }
        }
    }

    /// Makes one call on a handle and on the reference.
    fn both<T>(&mut self, handle: usize, call: impl Fn(&dyn Store) -> Result<T>) -> [Result<T>; 2] {
        let reference = self.reference.clone();
        [call(self.handle(handle)), call(&reference)]
    }

    fn done(&mut self, handle: usize, call: impl Fn(&dyn Store) -> Result<()>) -> (String, String) {
        in_words(self.both(handle, call), |()| "done".to_owned())
    }

    /// The session that a call on a segment names; the last one if the segment is nowhere.
    fn home(&self, of: Of, segment: u64) -> Result<SessionId, Failure> {
        let home = match of {
            Of::Session(session) => Some(session_id(session)),
            Of::Home => self.reference.lookup_session_of(segment_id(segment)).map_err(unexpected)?,
        };
        Ok(home.unwrap_or(session_id(SESSIONS - 1)))
    }

    fn create(
        &mut self,
        handle: usize,
        (session, segment): (SessionId, SegmentId),
        start: &Start,
        entries: &[Entry],
        durability: Option<Durability>,
    ) -> Result<(String, String), Failure> {
        let mut all: Vec<NewEntry> = self.start(session, start)?.into_iter().collect();
        all.extend(entries.iter().map(|entry| entry_of(entry, session)));
        let options = CreateOptions { durability };
        let answers = self.both(handle, |store| store.create_segment(session, segment, &all, &options));
        self.remember(segment, &answers);
        Ok(in_words(answers, |positions| seqs(&positions)))
    }

    fn create_many(&mut self, handle: usize, sessions: &[NewOne]) -> Result<(String, String), Failure> {
        let new = sessions.iter().map(|new| {
            let session = session_id(new.session);
            let segments = new.segments.iter().map(|(segment, start, entries)| {
                let mut all: Vec<NewEntry> = self.start(session, start)?.into_iter().collect();
                all.extend(entries.iter().map(|entry| entry_of(entry, session)));
                Ok(NewSegment { segment: segment_id(*segment), entries: all })
            });
            let facts = new.facts.iter().map(|text| fact_of(*text)).collect();
            Ok(NewSession { session, segments: segments.collect::<Result<_, Failure>>()?, facts })
        });
        let new: Vec<NewSession> = new.collect::<Result<_, Failure>>()?;
        let [store, reference] = self.both(handle, |store| store.create_sessions(&new));
        let (store, reference) = (store.map_err(unexpected)?, reference.map_err(unexpected)?);
        let (mut of_store, mut of_reference) = (Vec::new(), Vec::new());
        for (new, answers) in new.iter().zip(store.into_iter().zip(reference)) {
            let (store, reference) = answers;
            if let (Ok(store), Ok(reference)) = (&store, &reference) {
                for (segment, (store, reference)) in new.segments.iter().zip(store.iter().zip(reference)) {
                    self.remember(segment.segment, &[Ok(store.clone()), Ok(reference.clone())]);
                }
            }
            let seqs_of =
                |made: Vec<Vec<Position>>| made.iter().map(|positions| seqs(positions)).collect::<Vec<_>>().concat();
            let (store, reference) = in_words([store, reference], seqs_of);
            of_store.push(store);
            of_reference.push(reference);
        }
        Ok((of_store.join("; "), of_reference.join("; ")))
    }

    fn start(&self, session: SessionId, start: &Start) -> Result<Option<NewEntry>, Failure> {
        let plain = SegmentStart::new(session, TIME);
        let start = match start {
            Start::Plain => plain,
            Start::Foreign(other) => SegmentStart::new(session_id(*other), TIME),
            Start::Missing => return Ok(None),
            Start::Fork(point) => SegmentStart { forked_from: Some(self.origin(*point)?), ..plain },
            Start::Compaction { point, history } => {
                let reference = history.map(|(segment, from, through)| {
                    let (from, through) = (Seq(from), Seq(through));
                    HistoryItem::Reference(HistoryRef { segment_id: segment_id(segment), from, through })
                });
                let history = reference.into_iter().collect();
                SegmentStart { compacted_from: Some(self.origin(*point)?), history, ..plain }
            }
            Start::Both(point) => {
                let origin = Some(self.origin(*point)?);
                SegmentStart { forked_from: origin, compacted_from: origin, ..plain }
            }
        };
        Ok(Some(NewEntry::typed(LogEntry::SegmentStart(Box::new(start)))))
    }

    fn origin(&self, Point { of, segment, seq }: Point) -> Result<SegmentOrigin, Failure> {
        let session_id = self.home(of, segment)?;
        Ok(SegmentOrigin { session_id, segment_id: segment_id(segment), seq: Seq(seq), at_turn_index: 0 })
    }

    fn append(
        &mut self,
        handle: usize,
        (session, segment): (SessionId, SegmentId),
        entries: &[Entry],
        expected: End,
        durability: Option<Durability>,
    ) -> Result<(String, String), Failure> {
        let entries: Vec<NewEntry> = entries.iter().map(|entry| entry_of(entry, session)).collect();
        let [of_store, of_reference] = self.expectations(segment, expected);
        let options = |expected| AppendOptions { expected, durability };
        let reference = self.reference.append_with(session, segment, &entries, &options(of_reference));
        let store = self.handle(handle).append_with(session, segment, &entries, &options(of_store));
        let answers = [store, reference];
        self.remember(segment, &answers);
        Ok(in_words(answers, |positions| seqs(&positions)))
    }

    /// What the store and the reference are told to expect: the same place, each with its own checksum.
    fn expectations(&self, segment: SegmentId, expected: End) -> [Option<Expected>; 2] {
        let of_segment = self.positions.range((segment, Seq::START)..=(segment, Seq(u64::MAX)));
        let known: Vec<(Position, Position)> = of_segment.map(|(_, positions)| *positions).collect();
        let back = |n: u64| {
            let at = known.len().checked_sub(1 + usize::try_from(n).unwrap_or(usize::MAX));
            at.map_or([Position { seq: Seq::START, crc32c: 0 }; 2], |at| [known[at].0, known[at].1])
        };
        match expected {
            End::Anywhere => [None, None],
            End::Count(beyond) => [Some(Expected::Count((known.len() as u64).saturating_add_signed(beyond))); 2],
            End::At(n) => back(n).map(|position| Some(Expected::At(position))),
            End::Otherwise => {
                back(0).map(|Position { seq, crc32c }| Some(Expected::At(Position { seq, crc32c: !crc32c })))
            }
        }
    }

    fn remember(&mut self, segment: SegmentId, answers: &[Result<Vec<Position>>; 2]) {
        let [Ok(store), Ok(reference)] = answers else { return };
        for (store, reference) in store.iter().zip(reference) {
            self.positions.entry((segment, reference.seq)).or_insert((*store, *reference));
        }
    }

    fn forget_what_is_gone(&mut self) -> Outcome {
        for segment in &self.segments {
            if self.reference.lookup_session_of(*segment).map_err(unexpected)?.is_none() {
                self.positions.retain(|(of, _), _| of != segment);
            }
        }
        Ok(())
    }

    /// Asks both what changed since the observer asked last: the store must name whatever the reference names.
    fn changes(&mut self, handle: usize, observer: usize) -> Outcome {
        let Observer { store, reference } = std::mem::take(&mut self.observers[observer]);
        let expected = self.reference.changes(reference.as_ref()).map_err(unexpected)?;
        let named = self.handle(handle).changes(store.as_ref()).map_err(unexpected)?;
        let Changes { sessions, segments, rewritten, cursor } = named;
        must_name("sessions", &sessions, &expected.sessions)?;
        // Of a session that was deleted its own name is enough.
        let there: Vec<_> = expected.segments.into_iter().filter(|(home, id)| self.is_in(*home, *id)).collect();
        must_name("segments", &segments, &there)?;
        let other: Vec<_> = expected.rewritten.into_iter().filter(|(home, id)| self.is_in(*home, *id)).collect();
        must_name("rewritten segments", &rewritten, &other)?;
        let homes: BTreeSet<SessionId> = segments.iter().map(|(home, _)| *home).collect();
        must_name("sessions", &sessions, &homes.into_iter().collect::<Vec<_>>())?;
        let known = |id: &SessionId| self.sessions.contains(id);
        if let Some(strange) = sessions.iter().find(|id| !known(id)) {
            return Err(Failure::new(format!("changes names session {strange}, which never was")));
        }
        self.observers[observer] = Observer { store: Some(cursor), reference: Some(expected.cursor) };
        Ok(())
    }

    fn is_in(&self, home: SessionId, segment: SegmentId) -> bool {
        self.reference.lookup_session_of(segment).is_ok_and(|found| found == Some(home))
    }

    /// Closes a handle and opens the store again; the first one is alone meanwhile.
    fn reopen(&mut self, n: usize) {
        match n.checked_sub(1) {
            None => {
                self.beside = [None, None];
                self.harness.reopen();
            }
            Some(n) => self.beside[n] = None,
        }
    }
}

fn in_words<T>([store, reference]: [Result<T>; 2], say: impl Fn(T) -> String) -> (String, String) {
    (words(store, &say), words(reference, &say))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn unexpected(error: StoreError) -> Failure {
    Failure::new(format!("a call that has to work answered: {error}"))
}

fn same<T: PartialEq + Debug + ?Sized>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(Failure::new(format!("{what} is\n{found:?}\nwhere the reference has\n{expected:?}")))
}

/// That an answer of `changes` has these ids, is in order, and has each once.
fn must_name<T: Ord + Debug>(what: &str, named: &[T], changed: &[T]) -> Outcome {
    if let Some(missed) = changed.iter().find(|id| !named.contains(id)) {
        return Err(Failure::new(format!("changes misses {missed:?} among its {what}: {named:?}")));
    }
    if named.is_sorted_by(|one, next| one < next) {
        return Ok(());
    }
    Err(Failure::new(format!("changes does not name its {what} in order and each once: {named:?}")))
}

fn bytes_of(n: usize) -> Vec<u8> {
    vec![7; n]
}

fn reference_to(bytes: &[u8]) -> BlobRef {
    BlobRef { sha256: chain::sha256_hex(bytes), bytes: bytes.len() as u64 }
}

fn typed(text: u64) -> LogEntry {
    LogEntry::UserInput(UserInput { ts: TIME + text, content: vec![Part::text(format!("typed {text}"))] })
}

fn entry_of(Entry { shape, text, key }: &Entry, session: SessionId) -> NewEntry {
    let entry = match shape {
        Shape::Note => note(&format!("note {text}")),
        Shape::Input => NewEntry::text(format!(r#"{{"kind":"user_input","ts":{text},"content":[]}}"#)),
        Shape::Typed => NewEntry::typed(typed(*text)),
        Shape::Long => note(&format!("{text} {}", "long ".repeat(1_000))),
        Shape::Odd => NewEntry::text(format!(
            r#"{{"ts": {text}, "kind":"odd", "n":1.50e3, "s":"\u00e9\/\u0000", "o":{{"crc32c":"9A3F00C1"}} }}"#
        )),
        Shape::Start => NewEntry::typed(LogEntry::SegmentStart(Box::new(SegmentStart::new(session, TIME)))),
        Shape::Reserved => NewEntry::text(r#"{"kind":"note","ts":1,"seq":4}"#),
        Shape::NoObject => NewEntry::text("{\"kind\":\"note\",\n\"ts\":1}"),
        Shape::EmptyKey => return note("keyed with nothing").with_key(""),
        Shape::Deep => NewEntry::text(json!({"kind": "note", "ts": 1, "deep": nested(200)}).to_string()),
    };
    match key {
        Some(key) => entry.with_key(format!("key {key}")),
        None => entry,
    }
}

/// One of the facts that are put; the last is refused.
fn fact_of(text: u64) -> Fact {
    let domain = if text == 4 { String::new() } else { format!("domain.{}", text % 2) };
    Fact { ts: TIME + text, domain, value: json!({"text": text}) }
}
