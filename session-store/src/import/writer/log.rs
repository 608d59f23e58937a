//! The writer's own segments, and the entries on their way into one of them.
//!
//! Entries wait until there are enough of them. Then those that stand in the segment already are compared and left alone, and
//! the others are appended behind them, on the condition that nothing else stands there. Where the segment goes on with
//! something else, because the file was changed or somebody continued the conversation here, the file's entries go on in a
//! branch, under an id that importing again comes to as well.

use serde::{Deserialize, Serialize};
use store_core::{
    AppendOptions, CreateOptions, Durability, Expected, LogEntry, Position, SegmentId, SegmentStart, Seq, SessionId,
    Store, StoreError, TimestampMs,
};

use super::Tally;
use super::pending::{Pending, new_entries};
use super::places::Places;
use super::target::Target;
use crate::error::{LineageError, Result};
use crate::import::memory::Key;
use crate::import::moved::Moved;
use crate::import::walk::{Folds, Place};
use crate::segment::entries_there;

/// How many entries are written at once.
const BATCH_ENTRIES: usize = 1024;
/// How many bytes of entries are written at once, the last entry not counted.
const BATCH_BYTES: usize = 4 << 20;
/// How many records of one file are told that the index may not know.
const RECORDS_MAX: usize = 50_000;
/// How often a write is tried again when others write to the same segment.
const ATTEMPTS: u32 = 16;

/// One of the conversation's segments.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Segment {
    id: SegmentId,
    exists: bool,
    /// How many of the file's entries stand there.
    stored: u64,
    /// Where the last of them stands.
    end: Option<Position>,
    /// How many there will be.
    entries: u64,
    /// The last entry of what was said.
    said: u64,
    /// Something else stands behind the file's entries.
    is_closed: bool,
    /// How many entries stood there when it was taken up.
    #[serde(skip)]
    stood: u64,
}

/// The segments of one conversation.
pub(super) struct Log<'a> {
    store: &'a dyn Store,
    session: SessionId,
    /// The session was there before.
    existed: bool,
    /// What every id begins with that is derived.
    seed: String,
    moved: Moved,
    segments: Vec<Segment>,
    open: Option<usize>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    places: Places,
    written: u64,
    /// The records of what was written, as long as they are not too many.
    records: Option<Vec<Key>>,
}

/// What came of an attempt to write.
enum Settled {
    Done,
    /// Somebody else wrote in between.
    Again,
    /// Something else stands there; with a key if an import wrote it.
    Differs {
        keyed: bool,
    },
}

impl<'a> Log<'a> {
    /// The log of a session of which nothing was read yet.
    pub(super) fn new(target: &Target<'a>, existed: bool) -> Result<Self> {
        let mut log = Self {
            store: target.store,
            session: target.session,
            existed,
            seed: format!("{}{}", target.head.agent, target.head.native_id),
            moved: target.moved.clone().unwrap_or_default(),
            segments: Vec::new(),
            open: None,
            pending: Vec::new(),
            pending_bytes: 0,
            places: Places::default(),
            written: 0,
            records: Some(Vec::new()),
        };
        if let Some(home) = target.exported.filter(|home| home.is_own_segment) {
            let segment = log.take_up(home.at.segment, true)?;
            let first = log.store.read_range(log.session, segment.id, Seq::START, 1)?;
            let end = first.first().map(|first| first.position);
            log.segments.push(Segment { end, ..segment });
            log.open = Some(0);
        }
        Ok(log)
    }

    /// Whether the session was there before.
    pub(super) const fn existed(&self) -> bool {
        self.existed
    }

    /// How many entries were written that were not there before.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Whether the file has entries of its own, beside the beginning of a segment that was made for it.
    pub(super) fn has_own(&self) -> bool {
        self.segments.iter().any(|segment| segment.entries > 1)
    }

    /// How many of the file's entries one of its segments has.
    pub(super) fn entries_in(&self, segment: SegmentId) -> Option<u64> {
        self.segments.iter().find(|own| own.id == segment).map(|own| own.entries)
    }

    /// The segments that the file's entries stand in.
    pub(super) fn segments(&self) -> impl Iterator<Item = SegmentId> {
        self.segments.iter().map(|segment| segment.id)
    }

    /// Where the entries of each record end.
    pub(super) const fn places(&mut self) -> &mut Places {
        &mut self.places
    }

    /// Where a record's entries end; `None` for a record that was not read.
    pub(super) fn place_of(&self, record: &str) -> Option<Option<Place>> {
        self.places.place_of(record)
    }

    /// Whether the next entry goes into a segment that has begun.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The next entry begins a segment.
    pub(super) const fn close(&mut self) {
        self.open = None;
    }

    /// The last entry of the open segment.
    pub(super) fn end(&self) -> Option<Place> {
        let segment = &self.segments[self.open?];
        Some(Place { session: self.session, segment: segment.id, seq: Seq(segment.entries) })
    }

    /// Whether nothing was said in the open segment behind this entry of it.
    pub(super) fn is_end(&self, at: Place) -> bool {
        let open = self.open.map(|open| &self.segments[open]);
        open.is_some_and(|open| open.id == at.segment && at.seq.0 >= open.said)
    }

    /// Whether the last entry of the open segment stood there before.
    pub(super) fn ends_old(&self) -> bool {
        self.open.is_some_and(|open| self.segments[open].entries <= self.segments[open].stood)
    }

    /// The key of the entry that stood next in the open segment before; `None` if none did.
    pub(super) fn stood_next(&self) -> Result<Option<String>> {
        let Some(segment) = self.open.map(|open| &self.segments[open]) else { return Ok(None) };
        if segment.entries >= segment.stood {
            return Ok(None);
        }
        let next = self.store.read_range(self.session, segment.id, Seq(segment.entries), 1)?;
        Ok(next.into_iter().next().map(|record| record.key.unwrap_or_default()))
    }

    /// Takes up a segment of which nothing but its beginning was read.
    fn take_up(&self, id: SegmentId, exists: bool) -> Result<Segment> {
        let stood = if exists { self.store.read_entry_count(self.session, id)? } else { 0 };
        Ok(Segment { id, exists, stored: u64::from(exists), end: None, entries: 1, said: 1, is_closed: false, stood })
    }

    /// Opens the segment that an entry ends and answers with its last entry; for any other entry with the entry itself.
    pub(super) fn reopen(&mut self, at: Place) -> Place {
        let ends = |segment: &Segment| segment.id == at.segment && !segment.is_closed && at.seq.0 >= segment.said;
        self.open = self.segments.iter().position(ends);
        self.end().unwrap_or(at)
    }

    fn derive(&self, ts: TimestampMs, origin: Option<SegmentId>, key: &str) -> SegmentId {
        let origin = origin.map(|origin| self.moved.first(origin).to_string()).unwrap_or_default();
        self.moved.now(SegmentId::derive(ts, format!("{}{origin}{key}", self.seed).as_bytes()))
    }

    /// Begins a segment, or takes up the one that stands there; answers with its start as it stands.
    pub(super) fn begin(
        &mut self,
        start: SegmentStart,
        key: String,
        line: u64,
        ts: TimestampMs,
    ) -> Result<SegmentStart> {
        let id = self.derive(ts, start.origin().map(|origin| origin.segment_id), &key);
        let standing = self.standing(id)?;
        let exists = standing.is_some();
        let segment = self.take_up(id, exists)?;
        self.open = Some(self.segments.len());
        self.segments.push(segment);
        if let Some(standing) = standing {
            return Ok(standing);
        }
        let entry = LogEntry::SegmentStart(Box::new(start.clone()));
        let pending = Pending::new(self.store, entry, key, line, ts)?;
        self.wait(pending);
        Ok(start)
    }

    fn standing(&self, id: SegmentId) -> Result<Option<SegmentStart>> {
        match self.store.lookup_session_of(id)? {
            Some(session) if session != self.session => Err(StoreError::AlreadyExists { session, segment: id }.into()),
            None if entries_there(self.store, self.session, id)?.is_none() => Ok(None),
            _ => {
                let first = self.store.read_range(self.session, id, Seq::START, 1)?.into_iter().next();
                match first.map(|record| record.entry) {
                    Some(LogEntry::SegmentStart(start)) => Ok(Some(*start)),
                    _ => Err(LineageError::NoStart { segment: id }.into()),
                }
            }
        }
    }

    /// Adds an entry to the open segment.
    pub(super) fn push(&mut self, pending: Pending) {
        if let Some(open) = self.open {
            let segment = &mut self.segments[open];
            segment.entries += 1;
            if super::is_said(pending.entry()) {
                segment.said = segment.entries;
            }
            self.wait(pending);
        }
    }

    fn wait(&mut self, pending: Pending) {
        self.pending_bytes += pending.bytes();
        self.pending.push(pending);
    }

    /// Whether enough entries wait.
    pub(super) const fn is_full(&self) -> bool {
        self.pending.len() >= BATCH_ENTRIES || self.pending_bytes >= BATCH_BYTES
    }

    /// Writes what waits. Answers whether it went into a branch that had to be made for it; `start` is what one begins with.
    pub(super) fn flush(
        &mut self,
        durability: Durability,
        start: &dyn Fn(TimestampMs) -> SegmentStart,
        tally: &mut Tally,
    ) -> Result<bool> {
        let mut moved = false;
        for _ in 0..ATTEMPTS {
            let Some(open) = self.open.filter(|_| !self.pending.is_empty()) else { return Ok(moved) };
            match self.settle(open, durability)? {
                Settled::Done => return Ok(moved),
                Settled::Again => {}
                Settled::Differs { keyed } => {
                    self.diverge(open, keyed, start, tally)?;
                    moved = true;
                }
            }
        }
        let what = "other writers kept the conversation busy";
        Err(StoreError::backend(what).into())
    }

    fn settle(&mut self, open: usize, durability: Durability) -> Result<Settled> {
        let segment = &mut self.segments[open];
        let (session, id) = (self.session, segment.id);
        if !segment.exists {
            let options = CreateOptions { durability: Some(durability) };
            let created = self.store.create_segment(session, id, &new_entries(&self.pending), &options);
            segment.exists = true;
            return match created {
                Ok(end) => Ok(self.wrote(open, &end)),
                Err(StoreError::AlreadyExists { .. }) => Ok(Settled::Again),
                Err(error) => Err(error.into()),
            };
        }
        let count = self.store.read_entry_count(session, id)?;
        let behind = usize::try_from(count.saturating_sub(segment.stored)).unwrap_or(usize::MAX);
        let behind = behind.min(self.pending.len());
        if behind > 0 {
            let records = self.store.read_range(session, id, Seq(segment.stored), behind)?;
            let standing = records.iter().zip(&self.pending).take_while(|(record, new)| new.is(record)).count();
            self.pending.drain(..standing);
            segment.stored += standing as u64;
            if let Some(last) = standing.checked_sub(1).and_then(|last| records.get(last)) {
                segment.end = Some(last.position);
            }
            if let Some(other) = records.get(standing) {
                return Ok(Settled::Differs { keyed: other.key.is_some() });
            }
        }
        if self.pending.is_empty() {
            self.pending_bytes = 0;
            return Ok(Settled::Done);
        }
        let expected = Some(Expected::Count(segment.stored));
        let options = AppendOptions { expected, durability: Some(durability) };
        match self.store.append_with(session, id, &new_entries(&self.pending), &options) {
            Ok(end) => Ok(self.wrote(open, &end)),
            Err(StoreError::Conflict { .. }) => Ok(Settled::Again),
            Err(StoreError::KeyReused { .. }) => Ok(Settled::Differs { keyed: true }),
            Err(error) => Err(error.into()),
        }
    }

    fn wrote(&mut self, open: usize, positions: &[Position]) -> Settled {
        self.segments[open].end = positions.last().copied();
        let count = self.pending.len() as u64;
        self.written += count;
        self.note_records();
        self.segments[open].stored += count;
        self.pending.clear();
        self.pending_bytes = 0;
        Settled::Done
    }

    /// Takes note of the records of what waited.
    fn note_records(&mut self) {
        let mut last = None;
        for pending in &self.pending {
            let record = pending.key.rsplit_once('#').map(|(record, _)| record);
            if record != last
                && let Some(text) = record
                && let Some(records) = &mut self.records
            {
                records.push(Key::of(text));
                last = record;
            }
        }
        if self.records.as_ref().is_some_and(|records| records.len() > RECORDS_MAX) {
            self.records = None;
        }
    }

    /// The records of what was written; `None` if they are too many.
    pub(super) const fn take_records(&mut self) -> Option<Vec<Key>> {
        self.records.take()
    }

    /// Goes on in a branch from the last entry that the file and the segment have in common.
    fn diverge(
        &mut self,
        open: usize,
        keyed: bool,
        start: &dyn Fn(TimestampMs) -> SegmentStart,
        tally: &mut Tally,
    ) -> Result<()> {
        let Some(first) = self.pending.first() else { return Ok(()) };
        let (line, ts) = (first.line, first.ts);
        tally.warn(
            line,
            if keyed {
                "the file differs from what was imported before; from here on it is imported as a branch"
            } else {
                "the conversation was continued here; the file goes on as a branch"
            },
        );
        let segment = &mut self.segments[open];
        segment.is_closed = true;
        let (from, after) = (segment.id, segment.stored);
        let (entries, said) = (segment.entries - after + 1, segment.said.saturating_sub(after) + 1);
        let id = self.derive(ts, Some(from), &first.key);
        let record = first.key.rsplit_once('#').map_or(first.key.as_str(), |(record, _)| record);
        let key = format!("{record}#s");
        let origin = Place { session: self.session, segment: from, seq: Seq(after) };
        let turns = Folds::read(self.store, origin)?.turns.turn_count();
        let exists = self.standing(id)?.is_some();
        if !exists {
            let start = SegmentStart { forked_from: Some(origin.origin(turns)), ..start(ts) };
            let entry = LogEntry::SegmentStart(Box::new(start));
            self.pending.insert(0, Pending::new(self.store, entry, key, line, ts)?);
        }
        self.segments[open].entries = after;
        self.segments[open].said = self.segments[open].said.min(after);
        let segment = Segment { entries, said, ..self.take_up(id, exists)? };
        self.open = Some(self.segments.len());
        self.segments.push(segment);
        self.places.went(from, after, id);
        Ok(())
    }
}

/// What another run can go on with.
#[derive(Serialize, Deserialize)]
pub(super) struct LogState {
    segments: Vec<Segment>,
    open: Option<usize>,
    places: Places,
}

impl LogState {
    /// Says where the last entries stand that stood nowhere yet.
    pub(super) fn place(&mut self, position: &dyn Fn(SegmentId, Seq) -> Option<Position>) {
        for segment in &mut self.segments {
            if let Some(end) = &mut segment.end
                && let Some(placed) = position(segment.id, end.seq)
            {
                *end = placed;
            }
        }
    }
}

impl Log<'_> {
    /// Where the log stands; nothing may wait.
    pub(super) fn state(&self) -> LogState {
        LogState { segments: self.segments.clone(), open: self.open, places: self.places.shape() }
    }

    /// Goes on where another log stood. False if the store does not hold any more what that one had written: it has to be
    /// replayed.
    pub(super) fn resume(&mut self, state: LogState) -> Result<bool> {
        let LogState { mut segments, open, places } = state;
        for segment in &mut segments {
            let Some(end) = segment.end.filter(|end| end.seq.0 == segment.stored && segment.exists) else {
                return Ok(false);
            };
            if entries_there(self.store, self.session, segment.id)?.is_none() {
                return Ok(false);
            }
            let last = self.store.read_range(self.session, segment.id, Seq(end.seq.0.saturating_sub(1)), 1)?;
            if last.first().is_none_or(|last| last.position != end) {
                return Ok(false);
            }
            segment.stood = self.store.read_entry_count(self.session, segment.id)?;
        }
        if open.is_some_and(|open| open >= segments.len()) {
            return Ok(false);
        }
        (self.segments, self.open, self.places) = (segments, open, places);
        Ok(true)
    }
}

impl std::fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("session", &self.session).field("segments", &self.segments).finish_non_exhaustive()
    }
}
