//! What the checks are written with: ids, entries, and expectations that say in words what went wrong.

use std::fmt::Debug;

use serde_json::json;
use store_core::{
    AppendOptions, Backend, CreateOptions, LogEntry, NewEntry, Part, Position, Record, SegmentId, SegmentStart, Seq,
    SessionId, StoreError, UserInput,
};

use crate::{Failure, Outcome};

/// The time that the ids and entries of the checks start from.
pub(super) const TIME: u64 = 1_764_000_000_000;

/// The n-th session of a check; a greater n is newer.
pub(super) fn session(n: u64) -> SessionId {
    SessionId::derive(TIME + n, b"session")
}

/// The n-th segment of a check; a greater n is newer.
pub(super) fn segment(n: u64) -> SegmentId {
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

/// A person's input.
pub(super) fn input(text: &str) -> NewEntry {
    NewEntry::typed(LogEntry::UserInput(UserInput { ts: TIME + 1, content: vec![Part::text(text)] }))
}

/// An entry of a kind that no version knows, as a text.
pub(super) fn note(text: &str) -> NewEntry {
    NewEntry::text(note_text(text))
}

/// The text of [`note`].
pub(super) fn note_text(text: &str) -> String {
    json!({"kind": "note", "ts": TIME + 2, "text": text}).to_string()
}

/// The text that an entry of a call is stored under.
pub(super) fn text_of(entry: &NewEntry) -> String {
    match &entry.body {
        store_core::NewBody::Text(text) => text.clone(),
        store_core::NewBody::Typed(typed) => typed.to_text().unwrap_or_default(),
    }
}

/// Creates a segment that starts plainly and goes on with `more`.
pub(super) fn create(
    store: &dyn Backend,
    session: SessionId,
    segment: SegmentId,
    more: &[NewEntry],
) -> Result<Vec<Position>, Failure> {
    let mut entries = vec![start(session)];
    entries.extend_from_slice(more);
    let answer = store.create_segment(session, segment, &entries, &CreateOptions::default());
    answer.works("creating a segment")
}

/// Appends by the store's own policy.
pub(super) fn append(
    store: &dyn Backend,
    session: SessionId,
    segment: SegmentId,
    entries: &[NewEntry],
) -> Result<Vec<Position>, Failure> {
    let answer = store.append_with(session, segment, entries, &AppendOptions::default());
    answer.works("appending to a segment that exists")
}

/// Every record of a segment.
pub(super) fn records(store: &dyn Backend, session: SessionId, segment: SegmentId) -> Result<Vec<Record>, Failure> {
    store.read_range(session, segment, Seq::START, usize::MAX).works("reading a whole segment")
}

/// The texts of all records of a segment.
pub(super) fn texts(store: &dyn Backend, session: SessionId, segment: SegmentId) -> Result<Vec<String>, Failure> {
    Ok(records(store, session, segment)?.into_iter().map(|record| record.text).collect())
}

/// A call that has to succeed.
pub(super) trait Works<T> {
    /// What the call gave; otherwise a failure that says what had to work.
    fn works(self, what: &str) -> Result<T, Failure>;
}

impl<T> Works<T> for store_core::Result<T> {
    fn works(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{what} must succeed, it answered: {error}")))
    }
}

/// Two values that have to be the same.
pub(super) fn same<T: PartialEq + Debug>(what: &str, actual: T, expected: T) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(Failure::new(format!("{what}: expected {}, found {}", short(&expected), short(&actual))))
}

/// Something that has to be true.
pub(super) fn holds(what: &str, condition: bool) -> Outcome {
    if condition { Ok(()) } else { Err(Failure::new(format!("{what}: it does not"))) }
}

/// A call that has to be refused with the error that `is` recognises.
pub(super) fn refused<T: Debug>(
    what: &str,
    with: &str,
    answer: store_core::Result<T>,
    is: impl FnOnce(&StoreError) -> bool,
) -> Outcome {
    match answer {
        Err(error) if is(&error) => Ok(()),
        Err(error) => Err(Failure::new(format!("{what} must be refused with {with}, it answered: {error}"))),
        Ok(value) => Err(Failure::new(format!("{what} must be refused with {with}, it gave {}", short(&value)))),
    }
}

fn short(value: &dyn Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(400) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
