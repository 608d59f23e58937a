//! Two processes that do what a script says, and the record of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use store_core::call::{self, NewEntry};
use store_core::{
    AppendOptions, CreateOptions, Durability, Fact, FactScope, Lease, LogEntry, NewSegment, NewSession, Result,
    SegmentId, SegmentOrigin, SegmentStart, Seq, SessionId, Store as _, StoreError, TraceEntry,
};

use super::disk::SimDisk;
use super::lies::{Lie, LyingDisk};
use super::picture::{fact_text, read_picture, trace_text};
use super::record::{Asked, Entry, LogId, Outcome, Record};
use super::script::{How, Step};
use super::watching::Followed;
use crate::disk::Disk;
use crate::{FsOptions, FsStore, OpenAs};

/// Where the store lies on the disk: also the folder above it is not there at first.
pub(super) const STORE: &str = "/home/store";

pub(super) const NOW: u64 = 1_764_000_000_000;

pub(super) fn session_id(n: u8) -> SessionId {
    SessionId::derive(NOW + u64::from(n), format!("session {n}").as_bytes())
}

/// From here on a segment has its session's id, as in the layout that had no folders for sessions.
pub(super) const FLAT: u8 = 200;

/// The segment that is made when a crash was recovered from.
const ANOTHER: u8 = 190;

pub(super) fn segment_id(n: u8) -> SegmentId {
    if n >= FLAT {
        return SegmentId::from_bytes(*session_id(n).as_bytes());
    }
    SegmentId::derive(NOW + u64::from(n), format!("segment {n}").as_bytes())
}

/// How the stores are opened that are tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setting {
    /// The mistake that the disk hides.
    pub(super) lie: Option<Lie>,
    /// How long a part of a log may become, if not as long as it may by default.
    pub(super) max_part_bytes: Option<u64>,
}

impl Setting {
    /// The same without the mistake.
    pub(super) const fn honest(self) -> Self {
        Self { lie: None, ..self }
    }

    fn options(self) -> FsOptions {
        let options = FsOptions::at(NOW);
        FsOptions { max_part_bytes: self.max_part_bytes.unwrap_or(options.max_part_bytes), ..options }
    }
}

pub(super) fn open(disk: Arc<dyn Disk>, open_as: OpenAs, setting: Setting) -> Result<FsStore> {
    FsStore::open_on(disk, Path::new(STORE), open_as, &setting.options())
}

struct Handle {
    process: SimDisk,
    store: Arc<FsStore>,
}

/// Processes at work on one disk.
pub(super) struct Machine {
    disk: SimDisk,
    setting: Setting,
    handles: [Option<Handle>; 3],
    /// Who has which segment's lease.
    pub(super) leases: BTreeMap<SegmentId, (usize, Lease)>,
    /// What each tail has told.
    pub(super) tails: BTreeMap<(usize, SegmentId), Followed>,
    pub(super) record: Record,
    /// What makes each text differ from all others.
    number: u64,
    /// The segments that stand there for sure, and where.
    pub(super) sure: BTreeMap<SegmentId, SessionId>,
    /// The last keyed call on each segment.
    keyed: BTreeMap<SegmentId, (SessionId, Vec<Entry>, Durability)>,
    /// Errors that nothing on the disk explains.
    pub(super) complaints: Vec<String>,
}

impl Machine {
    /// Processes that go on where a record stands. Texts get numbers from `number` on.
    pub(super) fn new(disk: SimDisk, record: Record, number: u64, setting: Setting) -> Self {
        let sure = record.created();
        Self {
            disk,
            setting,
            handles: [const { None }; 3],
            leases: BTreeMap::new(),
            tails: BTreeMap::new(),
            record,
            number,
            sure,
            keyed: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    /// The number of the next text.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    /// Closes all handles.
    pub(super) fn close(&mut self) {
        (0..self.handles.len()).for_each(|by| self.close_handle(by));
    }

    fn close_handle(&mut self, by: usize) {
        self.tails.retain(|(of, _), _| *of != by);
        self.leases.retain(|_, (of, _)| *of != by);
        self.handles[by] = None;
    }

    /// Kills a process with all its handles.
    fn kill(&mut self, by: usize) {
        let Some(process) = self.handles[by].as_ref().map(|handle| handle.process.clone()) else { return };
        process.kill();
        self.bury();
    }

    /// Closes the handles of dead processes.
    fn bury(&mut self) {
        for by in 0..self.handles.len() {
            if self.handles[by].as_ref().is_some_and(|handle| handle.process.is_dead()) {
                self.close_handle(by);
            }
        }
    }

    /// The process that a handle is opened in: 0 and 2 share one as long as either is open.
    fn process_of(&self, by: usize) -> SimDisk {
        let other = [Some(2), None, Some(0)][by].and_then(|other: usize| self.handles[other].as_ref());
        other.map_or_else(|| self.disk.start_process(), |handle| handle.process.clone())
    }

    pub(super) fn store(&mut self, by: usize) -> Option<Arc<FsStore>> {
        self.bury();
        if self.handles[by].is_none() {
            let process = self.process_of(by);
            let disk: Arc<dyn Disk> = Arc::new(process.clone());
            let disk = match self.setting.lie {
                Some(lie) => Arc::new(LyingDisk::new(disk, lie)),
                None => disk,
            };
            match open(disk, OpenAs::Shared, self.setting) {
                Ok(store) => self.handles[by] = Some(Handle { process, store: Arc::new(store) }),
                Err(error) => self.explain("open", &error),
            }
        }
        self.handles[by].as_ref().map(|handle| Arc::clone(&handle.store))
    }

    /// Notes an error that neither the arguments nor a fault of the disk can have caused.
    pub(super) fn explain(&mut self, what: &str, error: &StoreError) {
        let is_excused = match error {
            StoreError::Io { .. } | StoreError::NoSpace { .. } => self.disk.faulted() > 0,
            _ => false,
        };
        if !is_excused {
            self.complaints.push(format!("{what}: {error}"));
        }
    }

    fn ask(&mut self, asked: Asked) -> usize {
        let asking = self.record.ask(asked);
        self.disk.set_mark(self.record.mark());
        asking
    }

    fn answer<T>(&mut self, what: &str, asking: usize, result: &Result<T>, done: impl FnOnce(&T) -> Outcome) {
        let outcome = match result {
            Ok(answer) => done(answer),
            Err(
                StoreError::NotFound(_)
                | StoreError::AlreadyExists { .. }
                | StoreError::InvalidOrigin { .. }
                | StoreError::Referenced { .. },
            ) => Outcome::Refused,
            Err(StoreError::Busy { .. }) if !self.leases.is_empty() => Outcome::Refused,
            Err(error) => {
                self.explain(what, error);
                Outcome::Unknown
            }
        };
        self.record.answer(asking, outcome);
        self.disk.set_mark(self.record.mark());
    }

    pub(super) fn text(&mut self, kind: &str, size: usize) -> String {
        self.number += 1;
        let (n, pad) = (self.number, "x".repeat(size));
        match kind {
            "user_input" => {
                format!(r#"{{"kind":"user_input","ts":{},"content":[{{"type":"text","text":"{n} {pad}"}}]}}"#, NOW + n)
            }
            kind => format!(r#"{{"kind":"{kind}","ts":{},"n":{n},"pad":"{pad}"}}"#, NOW + n),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Create { by, segment, session, entries } => {
                self.create(*by, segment_id(*segment), session_id(*session), *entries, None);
            }
            Step::CreateMany { by, sessions } => self.create_many(*by, sessions),
            Step::Fork { by, segment, session, of } => self.fork(*by, *segment, *session, *of),
            Step::Append { by, segment, sizes, how } => self.append(*by, segment_id(*segment), sizes, *how),
            Step::Repeat { by, segment } => {
                if let Some((session, entries, durability)) = self.keyed.get(&segment_id(*segment)).cloned() {
                    let _ = self.append_once(*by, session, segment_id(*segment), &entries, Some(durability));
                }
            }
            Step::Fact { by, session } => self.fact(*by, session.map(session_id)),
            Step::Trace { by, segment } => {
                if let Some(session) = self.sure.get(&segment_id(*segment)).copied() {
                    self.trace(*by, session, segment_id(*segment));
                }
            }
            Step::Delete { by, session } => self.delete(*by, session_id(*session)),
            Step::Cursor { by } => self.place(*by),
            Step::Lease { by, segment } => self.lease(*by, segment_id(*segment)),
            Step::Tail { by, segment } => self.follow(*by, segment_id(*segment)),
            Step::Close { by } => self.close_handle(*by),
            Step::Kill { by } => self.kill(*by),
        }
    }

    fn create(
        &mut self,
        by: usize,
        segment: SegmentId,
        session: SessionId,
        count: usize,
        origin: Option<SegmentOrigin>,
    ) {
        let Some(store) = self.store(by) else { return };
        self.number += 1;
        let start = SegmentStart { forked_from: origin, ..SegmentStart::new(session, NOW + self.number) };
        let Ok(text) = LogEntry::SegmentStart(Box::new(start)).to_text() else { return };
        let mut entries = vec![Entry::plain(text)];
        entries.extend((0..count).map(|_| Entry::plain(self.text("note", 20))));
        let new = new_entries(&entries);
        let asking = self.ask(Asked::Create { session, segment, entries, origin, fact: None });
        let result = store.create_segment(session, segment, &new, &CreateOptions::default());
        match &result {
            Ok(_) => _ = self.sure.insert(segment, session),
            Err(StoreError::InvalidOrigin { .. })
                if origin.is_some_and(|of| self.sure.contains_key(&of.segment_id)) =>
            {
                self.complaints.push(format!("the origin of {segment} is said to be invalid"));
            }
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(_) => _ = self.sure.remove(&segment),
        }
        self.answer("create", asking, &result, |positions| done(true, positions));
    }

    /// Makes a segment that no script has.
    pub(super) fn make_another(&mut self) {
        self.create(0, segment_id(ANOTHER), session_id(ANOTHER), 0, None);
    }

    fn create_many(&mut self, by: usize, sessions: &[(u8, u8, usize)]) {
        let Some(store) = self.store(by) else { return };
        let (mut new, mut askings) = (Vec::new(), Vec::new());
        for (session, segment, count) in sessions {
            let (session, segment) = (session_id(*session), segment_id(*segment));
            self.number += 1;
            let start = SegmentStart::new(session, NOW + self.number);
            let Ok(text) = LogEntry::SegmentStart(Box::new(start)).to_text() else { return };
            let mut entries = vec![Entry::plain(text)];
            entries.extend((0..*count).map(|_| Entry::plain(self.text("note", 20))));
            self.number += 1;
            let fact = Fact { ts: NOW, domain: "title".to_owned(), value: self.number.into() };
            let said = Entry::plain(fact_text(&fact));
            new.push(NewSession {
                session,
                segments: vec![NewSegment { segment, entries: new_entries(&entries) }],
                facts: vec![fact],
            });
            let fact = Some(said.text.clone());
            let created = self.ask(Asked::Create { session, segment, entries, origin: None, fact });
            let said = self.ask(Asked::Append { log: LogId::Facts(Some(session)), entries: vec![said] });
            askings.push((session, segment, created, said));
        }
        let answers = store.create_sessions(&new);
        if let Err(error) = &answers {
            self.explain("create many", error);
        }
        let mut answers = answers.unwrap_or_default().into_iter();
        for (session, segment, created, said) in askings {
            let Some(result) = answers.next() else {
                self.sure.remove(&segment);
                self.record.answer(created, Outcome::Unknown);
                self.record.answer(said, Outcome::Unknown);
                continue;
            };
            match &result {
                Ok(_) => _ = self.sure.insert(segment, session),
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(_) => _ = self.sure.remove(&segment),
            }
            self.answer("create one of many", created, &result, |made| done(true, &made.concat()));
            self.answer("say a fact of one of many", said, &result, |_| Outcome::Done {
                synced: true,
                seqs: Vec::new(),
            });
        }
        self.disk.set_mark(self.record.mark());
    }

    fn fork(&mut self, by: usize, segment: u8, session: u8, of: u8) {
        let Some(store) = self.store(by) else { return };
        let of = segment_id(of);
        let Some(home) = self.sure.get(&of).copied() else { return };
        let Ok(count) = store.read_entry_count(home, of) else { return };
        let origin = SegmentOrigin { session_id: home, segment_id: of, seq: Seq(count), at_turn_index: 0 };
        self.create(by, segment_id(segment), session_id(session), 1, Some(origin));
    }

    fn append(&mut self, by: usize, segment: SegmentId, sizes: &[usize], how: How) {
        let Some(store) = self.store(by) else { return };
        let session = match self.sure.get(&segment) {
            Some(session) => *session,
            None => store.lookup_session_of(segment).ok().flatten().unwrap_or(session_id(1)),
        };
        let mut entries = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let kind = if how == How::Turn && at + 1 == sizes.len() { "user_input" } else { "note" };
            let mut entry = Entry::plain(self.text(kind, *size));
            entry.key = matches!(how, How::Keyed(_)).then(|| format!("key {}", self.number));
            entries.push(entry);
        }
        let mut guard = None;
        if let (How::Blob(_), Some(first)) = (how, entries.first_mut()) {
            let size = usize::try_from(self.number % 1500).unwrap_or_default();
            let bytes = format!("blob {} {}", self.number, "y".repeat(size)).into_bytes();
            match store.put_blob(&bytes) {
                Ok(held) => {
                    let reference = held.reference().clone();
                    let text = serde_json::to_string(&reference).unwrap_or_default();
                    first.text = format!(r#"{},"blob":{text}}}"#, first.text.trim_end_matches('}'));
                    first.blob = Some(reference);
                    guard = Some(held);
                }
                Err(error) => return self.explain("put a blob", &error),
            }
        }
        let durability = match how {
            How::Turn | How::Rides => None,
            How::Asked(asked) | How::Keyed(asked) | How::Blob(asked) => Some(asked),
        };
        let answered = self.append_once(by, session, segment, &entries, durability);
        drop(guard);
        if let How::Keyed(asked) = how {
            self.keyed.insert(segment, (session, entries.clone(), asked));
            if !answered {
                let _ = self.append_once(by, session, segment, &entries, durability);
            }
        }
    }

    /// One call; answers whether it succeeded.
    pub(super) fn append_once(
        &mut self,
        by: usize,
        session: SessionId,
        segment: SegmentId,
        entries: &[Entry],
        durability: Option<Durability>,
    ) -> bool {
        let Some(store) = self.store(by) else { return false };
        let new = new_entries(entries);
        let promised = match (durability, call::prepare_append(&new)) {
            (Some(asked), _) => asked,
            (None, Ok(prepared)) => call::durability_by_policy(&prepared),
            (None, Err(error)) => {
                self.complaints.push(format!("an entry is refused: {error}"));
                return false;
            }
        };
        let options = AppendOptions { expected: None, durability };
        let log = LogId::Segment(session, segment);
        let asking = self.ask(Asked::Append { log, entries: entries.to_vec() });
        let result = store.append_with(session, segment, &new, &options);
        if matches!(result, Err(StoreError::NotFound(_))) && self.sure.get(&segment) == Some(&session) {
            self.complaints.push(format!("segment {segment} is there and was not found"));
        }
        self.answer("append", asking, &result, |positions| done(promised == Durability::Synced, positions));
        result.is_ok()
    }

    pub(super) fn fact(&mut self, by: usize, session: Option<SessionId>) {
        let Some(store) = self.store(by) else { return };
        self.number += 1;
        let fact = Fact { ts: NOW, domain: "title".to_owned(), value: self.number.into() };
        let entries = vec![Entry::plain(fact_text(&fact))];
        let asking = self.ask(Asked::Append { log: LogId::Facts(session), entries });
        let result = store.put_fact(session.map_or(FactScope::Store, FactScope::Session), &fact);
        self.answer("put a fact", asking, &result, |()| Outcome::Done { synced: true, seqs: Vec::new() });
    }

    pub(super) fn trace(&mut self, by: usize, session: SessionId, segment: SegmentId) {
        let Some(store) = self.store(by) else { return };
        self.number += 1;
        let trace = TraceEntry { ts: NOW, event: format!("event {}", self.number), payload: 1.into() };
        let entries = vec![Entry::plain(trace_text(&trace))];
        let asking = self.ask(Asked::Append { log: LogId::Trace(session, segment), entries });
        let result = store.append_trace(session, segment, &trace);
        self.answer("append a trace", asking, &result, |()| Outcome::Done { synced: false, seqs: Vec::new() });
    }

    fn delete(&mut self, by: usize, session: SessionId) {
        let Some(store) = self.store(by) else { return };
        let asking = self.ask(Asked::Delete { session });
        let result = store.delete_session(session);
        match &result {
            Err(StoreError::NotFound(_)) if self.sure.values().any(|home| *home == session) => {
                self.complaints.push(format!("session {session} is there and was not found"));
            }
            Err(StoreError::NotFound(_) | StoreError::Referenced { .. } | StoreError::Busy { .. }) => {}
            _ => self.sure.retain(|_, home| *home != session),
        }
        self.answer("delete", asking, &result, |()| Outcome::Done { synced: true, seqs: Vec::new() });
    }

    fn place(&mut self, by: usize) {
        let Some(store) = self.store(by) else { return };
        // What is held there is read after the cursor: what came in between is named again, which is allowed.
        let Ok(changes) = store.changes(None) else { return };
        let Ok(picture) = read_picture(&store) else { return };
        self.record.place(changes.cursor, picture);
        self.disk.set_mark(self.record.mark());
    }
}

fn done(synced: bool, positions: &[store_core::Position]) -> Outcome {
    Outcome::Done { synced, seqs: positions.iter().map(|position| position.seq.0).collect() }
}

fn new_entries(entries: &[Entry]) -> Vec<NewEntry> {
    entries.iter().map(|entry| NewEntry { key: entry.key.clone(), ..NewEntry::text(entry.text.clone()) }).collect()
}
