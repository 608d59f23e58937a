//! What the checks are written with: ids, entries, calls, and expectations that say in words what went wrong.

use std::fmt::{Debug, Display};

use serde_json::{Value, json};
use store_core::{
    AppendOptions, Backend, CreateOptions, Expected, LogEntry, NewBody, NewEntry, Part, Position, Record, SegmentId,
    SegmentOrigin, SegmentStart, Seq, SessionId, UserInput,
};

use crate::{Failure, Outcome};

/// The time that the ids and entries of the checks start from.
pub(crate) const TIME: u64 = 1_764_000_000_000;

/// The n-th session of a check; a greater n is newer.
pub(crate) fn session(n: u64) -> SessionId {
    SessionId::derive(TIME + n, b"session")
}

/// The n-th segment of a check; a greater n is newer.
pub(crate) fn segment(n: u64) -> SegmentId {
    SegmentId::derive(TIME + n, b"segment")
}

/// A plain first entry.
pub(super) fn start(session: SessionId) -> NewEntry {
    start_with(SegmentStart::new(session, TIME))
}

/// This first entry.
pub(super) fn start_with(start: SegmentStart) -> NewEntry {
    NewEntry::typed(LogEntry::SegmentStart(Box::new(start)))
}

/// A first entry of `session` that continues the given point of another segment.
pub(super) fn fork_of(session: SessionId, origin: SegmentOrigin) -> SegmentStart {
    SegmentStart { forked_from: Some(origin), ..SegmentStart::new(session, TIME) }
}

/// A point of a segment.
pub(super) fn point(session: SessionId, segment: SegmentId, seq: u64) -> SegmentOrigin {
    SegmentOrigin { session_id: session, segment_id: segment, seq: Seq(seq), at_turn_index: 0 }
}

/// A person's input.
pub(super) fn input(text: &str) -> NewEntry {
    NewEntry::typed(LogEntry::UserInput(UserInput { ts: TIME + 1, content: vec![Part::text(text)] }))
}

/// An entry of a kind that no version knows.
pub(crate) fn note(text: &str) -> NewEntry {
    NewEntry::text(json!({"kind": "note", "ts": TIME + 2, "text": text}).to_string())
}

/// `count` different notes.
pub(super) fn notes(count: usize) -> Vec<NewEntry> {
    (1..=count).map(|n| note(&n.to_string())).collect()
}

/// The text that an entry of a call is stored under.
pub(super) fn text_of(entry: &NewEntry) -> String {
    match &entry.body {
        NewBody::Text(text) => text.clone(),
        NewBody::Typed(typed) => typed.to_text().unwrap_or_default(),
        NewBody::Serialized(serialized) => serialized.text().to_owned(),
    }
}

/// A value of nested arrays, `depth` levels of them.
pub(crate) fn nested(depth: usize) -> Value {
    (1..depth).fold(json!([]), |inner, _| Value::Array(vec![inner]))
}

/// Creates a segment from these entries.
pub(super) fn try_create(
    store: &dyn Backend,
    session: SessionId,
    segment: SegmentId,
    entries: &[NewEntry],
) -> store_core::Result<Vec<Position>> {
    store.create_segment(session, segment, entries, &CreateOptions::default())
}

/// Creates a segment that starts plainly and goes on with `more`.
pub(super) fn create(
    store: &dyn Backend,
    session: SessionId,
    segment: SegmentId,
    more: &[NewEntry],
) -> Result<Vec<Position>, Failure> {
    try_create(store, session, segment, &[&[start(session)], more].concat()).works("creating a segment")
}

/// A new segment 1 of session 1 that has its start and `count - 1` notes.
pub(super) fn create_first(store: &dyn Backend, count: usize) -> Result<Vec<Position>, Failure> {
    create(store, session(1), segment(1), &notes(count - 1))
}

/// Appends by the store's own policy.
pub(super) fn try_append(
    store: &dyn Backend,
    session: SessionId,
    segment: SegmentId,
    entries: &[NewEntry],
) -> store_core::Result<Vec<Position>> {
    store.append_with(session, segment, entries, &AppendOptions::default())
}

/// Appends to segment 1 of session 1, which has to work.
pub(super) fn append(store: &dyn Backend, entries: &[NewEntry]) -> Result<Vec<Position>, Failure> {
    try_append(store, session(1), segment(1), entries).works("appending to a segment that exists")
}

/// Appends to segment 1 of session 1 if it ends where it is expected to.
pub(super) fn append_at(
    store: &dyn Backend,
    entries: &[NewEntry],
    expected: Expected,
) -> store_core::Result<Vec<Position>> {
    store.append_with(session(1), segment(1), entries, &AppendOptions::expecting(expected))
}

/// Every record of segment 1 of session 1.
pub(super) fn records(store: &dyn Backend) -> Result<Vec<Record>, Failure> {
    store.read_range(session(1), segment(1), Seq::START, usize::MAX).works("reading a whole segment")
}

/// The texts of every record of a segment.
pub(super) fn texts_in(store: &dyn Backend, session: SessionId, segment: SegmentId) -> Result<Vec<String>, Failure> {
    let records = store.read_range(session, segment, Seq::START, usize::MAX).works("reading a whole segment")?;
    Ok(records.into_iter().map(|record| record.text).collect())
}

/// The texts behind the first entry of segment 1 of session 1.
pub(super) fn later_texts(store: &dyn Backend) -> Result<Vec<String>, Failure> {
    Ok(texts_in(store, session(1), segment(1))?.into_iter().skip(1).collect())
}

/// How many entries segment 1 of session 1 has.
pub(super) fn count(store: &dyn Backend) -> Result<u64, Failure> {
    store.read_entry_count(session(1), segment(1)).works("counting the entries of a segment")
}

/// The seqs of some positions.
pub(super) fn seqs(positions: &[Position]) -> Vec<u64> {
    positions.iter().map(|position| position.seq.0).collect()
}

/// The texts of the entries of a call.
pub(super) fn texts_of(entries: &[NewEntry]) -> Vec<String> {
    entries.iter().map(text_of).collect()
}

/// A call that has to succeed.
pub(super) trait Works<T> {
    /// What the call gave; otherwise a failure that says what had to work.
    fn works(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: Display> Works<T> for Result<T, E> {
    fn works(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{what} must succeed, it answered: {error}")))
    }
}

/// Two values that have to be the same.
#[expect(clippy::needless_pass_by_value, reason = "what is compared was made for the comparison")]
pub(super) fn same<T: PartialEq + Debug>(what: &str, actual: T, expected: T) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(Failure::new(format!("{what}: expected {}, found {}", short(&expected), short(&actual))))
}

/// Something that has to be true.
pub(super) fn holds(what: &str, condition: bool) -> Outcome {
    if condition { Ok(()) } else { Err(Failure::new(format!("it must be true that {what}"))) }
}

/// A call that has to be refused with the error that `is` recognises; use it through [`refused!`].
pub(super) fn expect_refusal<T: Debug, E: Display>(
    what: &str,
    with: &str,
    answer: Result<T, E>,
    is: impl FnOnce(&E) -> bool,
) -> Outcome {
    match answer {
        Err(error) if is(&error) => Ok(()),
        Err(error) => Err(Failure::new(format!("{what} must be refused with {with}, it answered: {error}"))),
        Ok(value) => Err(Failure::new(format!("{what} must be refused with {with}, it gave {}", short(&value)))),
    }
}

/// Expects a call to be refused with an error of this pattern.
macro_rules! refused {
    ($what:expr, $answer:expr, $pattern:pat $(if $guard:expr)?) => {
        $crate::checks::fixture::expect_refusal(
            $what,
            stringify!($pattern $(if $guard)?),
            $answer,
            |error| matches!(error, $pattern $(if $guard)?),
        )
    };
}
pub(super) use refused;

fn short(value: &dyn Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(400) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
