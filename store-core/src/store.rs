//! The log store: the contract that every backend keeps.
//!
//! The documentation of [`Store`] *is* the contract; the checks of `store-conformance` hold every sentence of it
//! against each backend. Sync on purpose: an append is one short write to a local medium.
//!
//! **Visibility.** When a call returns, every other handle on the store, in this or another process, sees its effect.
//!
//! **Failure.** After an error that is not about the arguments, the outcome of a write may be unknown: retry it
//! with the same idempotency keys.

use std::any::Any;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::NewEntry;
use crate::entry::{BlobRef, LogEntry};
use crate::error::Result;
use crate::id::{Position, SegmentId, Seq, SessionId, TimestampMs};
use crate::new_session::{Created, NewSession, one_by_one};
use crate::trace::TraceEntry;

/// When a write is safe from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Survives the death of the process: handed to the operating system when the call returns.
    Buffered,
    /// Survives power loss: on stable storage when the call returns.
    Synced,
}

/// Where the caller believes the log to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// After this many entries.
    Count(u64),
    /// At this entry, with this checksum: also notices a log that was rolled back and grew again.
    At(Position),
}

impl Expected {
    /// Whether a log that ends at `actual` ends where the caller believes.
    pub fn holds_at(&self, actual: Position) -> bool {
        match self {
            Self::Count(count) => *count == actual.seq.0,
            Self::At(position) => *position == actual,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count} entries"),
            Self::At(position) => position.fmt(f),
        }
    }
}

/// How a segment is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// `None`: by the store's policy.
    pub durability: Option<Durability>,
}

/// How entries are appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// Append only if the log ends here.
    pub expected: Option<Expected>,
    /// `None`: by the store's policy, which syncs `segment_start`, `user_input`, `turn_end`, `run_completed` and
    /// `run_errored`, so that the rest ride along.
    pub durability: Option<Durability>,
}

impl AppendOptions {
    /// Append only if the log ends at `expected`.
    pub const fn expecting(expected: Expected) -> Self {
        Self { expected: Some(expected), durability: None }
    }
}

/// One stored entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place and checksum.
    pub position: Position,
    /// Its idempotency key, if it was written with one.
    pub key: Option<String>,
    /// The entry's own text, byte for byte as it was written: what is compared, chained and migrated.
    pub text: String,
    /// What the text says.
    pub entry: LogEntry,
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactScope {
    /// The store itself: sources, tombstones. Outlives every session.
    Store,
    /// One session; goes with it.
    Session(SessionId),
}

/// What people or importers say about a session or the store: beside the logs, never in them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// When it was said, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// What it is about: `title`, `tags`, `cursor.<native id>`, `source.<path>`. Of one domain the latest counts.
    pub domain: String,
    /// What is said.
    pub value: Value,
}

/// The content address of bytes that were put into the store, held against collection while this value lives.
///
/// Drop it after the append that refers to the blob has returned.
pub struct BlobGuard {
    reference: BlobRef,
    _hold: Option<Box<dyn Any + Send + Sync>>,
}

impl BlobGuard {
    /// A guard for a blob; `hold` is dropped with it.
    pub fn new(reference: BlobRef, hold: Option<Box<dyn Any + Send + Sync>>) -> Self {
        Self { reference, _hold: hold }
    }

    /// What an entry or a fact puts in place of the bytes.
    pub const fn reference(&self) -> &BlobRef {
        &self.reference
    }
}

impl fmt::Debug for BlobGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobGuard").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// A place in the store's history of changes. Opaque: only the store that gave it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeCursor(pub String);

/// What may have changed since a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Sessions that may have been created, deleted, or have new facts; ascending, each once.
    pub sessions: Vec<SessionId>,
    /// Segments that may have been created, or have new entries; ascending, each once.
    pub segments: Vec<(SessionId, SegmentId)>,
    /// Segments of these whose entries may be others than they were, from the first on, also where the last has its position still: a repair
    /// or a rollback put them in the place of those that were read before. Ascending, each once.
    pub rewritten: Vec<(SessionId, SegmentId)>,
    /// Where to go on from.
    pub cursor: ChangeCursor,
}

/// An append-only log per segment, and what stands beside it.
///
/// A session exists exactly when it has a segment. Ids are typed; no input becomes a path.
/// All methods take `&self`, may be called from many threads, and keep the contract among handles of any number of
/// processes on the same store.
pub trait Store: Send + Sync {
    /// Creates a segment with all `entries`, or not at all, for every reader and across crashes.
    ///
    /// The first entry is a `segment_start` with this session's id; no other entry is one. Answers with each
    /// entry's position, from seq 1.
    ///
    /// # Errors
    /// `InvalidEntry` (no entries; the first is not this session's `segment_start`; a later one is a `segment_start`; see
    /// [`append_with`](Self::append_with)); `AlreadyExists` if any session of the store has this segment id, and
    /// nothing changes; `KeyReused` if a key occurs twice in the call with different texts (the same key with the same text twice is
    /// written once); `InvalidOrigin` if `forked_from` or `compacted_from` names a segment that is not in that session, a seq beyond its
    /// end or 0, if both are given, or if a history reference lies outside the segment's own lineage; `TooLarge`.
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>>;

    /// Creates sessions, each with its segments as by [`create_segment`](Self::create_segment) and its facts as by
    /// [`put_fact`](Self::put_fact); answers for each in the order of the call. When the call returns, all that was created is on
    /// stable storage, whatever the store's policy.
    ///
    /// A session is there whole or not at all for every reader, also when its last segment or fact is what is refused; one
    /// that is refused touches no other. Its segments may continue entries of sessions that stand before it in the call. The provided implementation does one after the other, so that other
    /// readers see a session before its facts and a crash can leave one without; a backend that replaces it keeps that promise across crashes
    /// too.
    ///
    /// # Errors
    /// As a whole: what the medium fails with, and then it is not known which of the sessions there are. For one session: `AlreadyExists` if it
    /// exists, also by an earlier place of the call, and gets nothing; `InvalidEntry` without a segment; those of the two calls.
    fn create_sessions(&self, sessions: &[NewSession]) -> Result<Vec<Created>> {
        Ok(one_by_one(self, sessions))
    }

    /// Appends one entry by the store's own durability policy and answers with its position.
    ///
    /// # Errors
    /// As [`append_with`](Self::append_with).
    fn append(&self, session: SessionId, segment: SegmentId, entry: &LogEntry) -> Result<Position> {
        let entries = [NewEntry::typed(entry.clone())];
        let positions = self.append_with(session, segment, &entries, &AppendOptions::default())?;
        positions
            .into_iter()
            .next()
            .ok_or_else(|| crate::StoreError::backend("the store gave no position for an entry"))
    }

    /// Appends 1..n entries: all of them or none, for every reader and across crashes. Answers with each entry's
    /// position, in the order of the call.
    ///
    /// Keys are looked at first: an entry whose key stands in the segment with the same text is not written again
    /// and answers with the position it has; the others are written consecutively in the order of the call. If
    /// every entry stands there already, the call succeeds without writing and without looking at `expected`.
    /// A key is kept forever. A handle's first keyed call on a segment may read that segment once.
    ///
    /// # Errors
    /// `NotFound` for an unknown segment and for one of another session; `InvalidEntry` for an empty call, a
    /// `segment_start`, a text that is not one JSON object on one line with a `kind` and a `ts`, one nested deeper than 128, with a
    /// top-level `seq`, `more`, `key`, `synced` or `crc32c`, with a known kind in a wrong shape, or a key that is empty or longer than 1024
    /// bytes; `TooLarge` (an entry over [`ENTRY_BYTES_MAX`](crate::call::ENTRY_BYTES_MAX), a call over
    /// [`CALL_BYTES_MAX`](crate::call::CALL_BYTES_MAX)); `KeyReused`; `Conflict` if the log does not end at `options.expected`. After each of these nothing
    /// was written.
    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>>;

    /// Every entry of a segment, in order.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` on any damage, never a shorter answer.
    fn read_all(&self, session: SessionId, segment: SegmentId) -> Result<Vec<LogEntry>> {
        Ok(self.read_range(session, segment, Seq::START, usize::MAX)?.into_iter().map(|record| record.entry).collect())
    }

    /// At most `limit` records behind `after` (exclusive; 0 = from the start), in order.
    ///
    /// Behind the end, or with a limit of 0, the answer is empty. The cost follows what is returned, not the log's
    /// length.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if what would be returned is damaged.
    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>>;

    /// The last `count` records, in order; all of them if there are fewer. The cost follows what is returned.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if what would be returned is damaged.
    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>>;

    /// How many entries the segment has, which is its last seq. O(1): does not read the log.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if the end of the log is damaged.
    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64>;

    /// Whether the session exists.
    ///
    /// # Errors
    /// Only those of the medium.
    fn exists(&self, session: SessionId) -> Result<bool>;

    /// All sessions, newest first by id.
    ///
    /// # Errors
    /// Only those of the medium.
    fn list_sessions(&self) -> Result<Vec<SessionId>>;

    /// The segments of a session, newest first by id; none for an unknown session.
    ///
    /// # Errors
    /// Only those of the medium.
    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>>;

    /// The session of a segment; `None` for an unknown one. A direct look-up, in a fresh process too.
    ///
    /// # Errors
    /// Only those of the medium.
    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>>;

    /// Appends one event to the segment's debug trace, which is apart from its log and never counted in it.
    ///
    /// # Errors
    /// `NotFound`; `InvalidEntry` if it is nested deeper than 128; `TooLarge`.
    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()>;

    /// The segment's debug trace, in order; empty if there is none.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`.
    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>>;

    /// Adds a fact. Disturbs no log and no writer.
    ///
    /// # Errors
    /// `NotFound` for a session that does not exist; `InvalidEntry` for an empty domain or one over 4096 bytes, or a value
    /// nested deeper than 127; `TooLarge`.
    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()>;

    /// All facts of a scope in the order they were put; of one domain the latest counts.
    ///
    /// # Errors
    /// `NotFound` for a session that does not exist; `Corrupt`.
    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>>;

    /// Keeps bytes under their SHA-256. The same bytes again are kept once.
    ///
    /// # Errors
    /// `TooLarge` over [`BLOB_BYTES_MAX`](crate::call::BLOB_BYTES_MAX).
    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard>;

    /// The bytes of a blob, verified against their address and length.
    ///
    /// # Errors
    /// `NotFound`, also for a reference whose address is not one; `Corrupt` if the bytes are not those that were put.
    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>>;

    /// What may have changed since `cursor`, in time proportional to the answer. May repeat, never misses.
    ///
    /// `None`, and a cursor that the store does not know, mean everything: every session and every segment. Who comes with such a cursor
    /// has read something, nobody knows when: all segments may be rewritten. Who comes with none has read nothing.
    /// A deleted session is named in `sessions`, a segment that was repaired or rolled back in `rewritten`.
    ///
    /// # Errors
    /// Only those of the medium.
    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes>;

    /// Deletes a session with its segments, traces and facts: all at once or nothing. It is unknown everywhere
    /// afterwards, and an append that raced it fails. Its segment ids may be used again.
    ///
    /// # Errors
    /// `NotFound`; `Referenced` if segments of other sessions have their origin in it; `Busy` if anybody, this handle
    /// included, holds the lease of one of its segments. Then nothing is deleted.
    fn delete_session(&self, session: SessionId) -> Result<()>;
}
