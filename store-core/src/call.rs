//! One append call on its way to a log: what callers hand in, what every backend refuses, and the texts that are
//! then written.
//!
//! Each entry is serialised once, here, so that what is validated is what is stored, and all backends refuse the
//! same calls with the same errors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::chain;
use crate::entry::{BlobRef, LogEntry, SegmentStart, UnknownEntry};
use crate::error::{Damage, Result, StoreError};
use crate::id::{Position, SessionId, TimestampMs};
use crate::json;
use crate::store::{Durability, Fact};
pub use crate::text::EntryText;
use crate::trace::TraceEntry;

/// The longest line of a log, its newline included: 100 MiB.
pub const LINE_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// The longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// The longest entry text, in bytes: what is left of a line after the longest key and the line's own fields.
pub const ENTRY_BYTES_MAX: u64 = LINE_BYTES_MAX - 8 * 1024;
/// The most that the entries of one call may have together, in bytes of text: 256 MiB.
pub const CALL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The largest blob, in bytes: 1 GiB.
pub const BLOB_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The longest domain of a fact, in bytes.
pub const DOMAIN_BYTES_MAX: usize = 4096;
/// How much room the text of a typed entry is given at first. A call of one entry finds it, and what goes with it, among the small pieces of
/// memory that are had quickest.
const SERIALISED_BYTES: usize = 960;
/// Top-level names that belong to the line, not to the entry.
// Persisted: never reuse a name that was given up.
pub const RESERVED_FIELDS: [&str; 5] = ["seq", "more", "key", "synced", "crc32c"];

/// What is to be appended: a typed entry, or the text of an entry that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum NewBody {
    /// An entry that is serialised by the store.
    Typed(LogEntry),
    /// An entry's text, written byte for byte.
    Text(String),
    /// An entry that was serialised before.
    Serialized(Serialized),
}

/// An entry and its text: for who needs the text before the store does, so that it is made once. A copy costs nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Serialized(Arc<WithText>);

#[derive(Debug, PartialEq)]
struct WithText {
    entry: LogEntry,
    text: String,
}

impl Serialized {
    /// Serialises an entry.
    ///
    /// # Errors
    /// A value that JSON has no form for.
    pub fn new(entry: LogEntry) -> Result<Self, serde_json::Error> {
        let text = entry.to_text()?;
        Ok(Self(Arc::new(WithText { entry, text })))
    }

    /// The entry.
    pub fn entry(&self) -> &LogEntry {
        &self.0.entry
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether its arrays and objects are nested too deep for a store.
    pub fn is_too_deep(&self) -> bool {
        json::is_deeper(self.text(), json::DEPTH_MAX)
    }
}

impl NewBody {
    /// How many bytes of text are handed in; 0 for an entry that is yet to be serialised.
    fn text_bytes(&self) -> u64 {
        match self {
            Self::Text(text) | Self::Typed(LogEntry::Unknown(UnknownEntry { text, .. })) => text.len() as u64,
            Self::Serialized(serialized) => serialized.text().len() as u64,
            Self::Typed(_) => 0,
        }
    }
}

/// One entry of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// The entry.
    pub body: NewBody,
    /// The idempotency key: with it, the same entry is never written to the segment twice.
    pub key: Option<String>,
}

impl NewEntry {
    /// A typed entry without a key.
    pub const fn typed(entry: LogEntry) -> Self {
        Self { body: NewBody::Typed(entry), key: None }
    }

    /// An entry's text without a key.
    pub fn text(text: impl Into<String>) -> Self {
        Self { body: NewBody::Text(text.into()), key: None }
    }

    /// An entry that was serialised before, without a key.
    pub const fn serialized(entry: Serialized) -> Self {
        Self { body: NewBody::Serialized(entry), key: None }
    }

    /// The same with an idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl From<LogEntry> for NewEntry {
    fn from(entry: LogEntry) -> Self {
        Self::typed(entry)
    }
}

/// An entry that may be written: validated, and serialised once.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The entry's own text.
    pub text: EntryText,
    /// Its idempotency key.
    pub key: Option<String>,
    /// Its kind.
    pub kind: Cow<'static, str>,
    /// Its time, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// The segment's start, if it is one.
    pub start: Option<Box<SegmentStart>>,
}

/// What the default durability policy gives for a call: synced if it has an entry that a person would miss.
pub fn durability_by_policy(entries: &[Prepared]) -> Durability {
    let synced = ["segment_start", "user_input", "turn_end", "run_completed", "run_errored"];
    if entries.iter().any(|entry| synced.contains(&&*entry.kind)) { Durability::Synced } else { Durability::Buffered }
}

/// Validates a call on an existing segment and serialises its entries.
///
/// # Errors
/// `InvalidEntry` and `TooLarge` as [`Store::append_with`](crate::Store::append_with) says.
pub fn prepare_append(entries: &[NewEntry]) -> Result<Vec<Prepared>> {
    let prepared = prepare(entries)?;
    refuse_start(&prepared, 0)?;
    Ok(prepared)
}

/// Validates the creation of a segment of `session` and serialises its entries. A key that is repeated with the
/// same text is left out.
///
/// # Errors
/// `InvalidEntry`, `KeyReused` and `TooLarge` as [`Store::create_segment`](crate::Store::create_segment) says.
pub fn prepare_create(session: SessionId, entries: &[NewEntry]) -> Result<Vec<Prepared>> {
    let prepared = prepare(entries)?;
    match prepared.first().and_then(|first| first.start.as_deref()) {
        Some(start) if start.session_id == session => {}
        Some(start) => {
            return Err(invalid(0, format!("segment_start names session {}, not {session}", start.session_id)));
        }
        None => return Err(invalid(0, "the first entry of a segment must be segment_start")),
    }
    refuse_start(&prepared, 1)?;
    Ok(prepared)
}

fn refuse_start(prepared: &[Prepared], from: usize) -> Result<()> {
    match prepared.iter().skip(from).position(|entry| entry.kind == "segment_start") {
        Some(at) => Err(invalid(from + at, "segment_start may only be the first entry of a segment")),
        None => Ok(()),
    }
}

fn prepare(entries: &[NewEntry]) -> Result<Vec<Prepared>> {
    if entries.is_empty() {
        return Err(invalid(0, "the call has no entries"));
    }
    // Sizes first: nothing large is copied or parsed only to be refused.
    for entry in entries {
        check_size(entry.body.text_bytes(), ENTRY_BYTES_MAX)?;
    }
    check_size(entries.iter().map(|entry| entry.body.text_bytes()).sum(), CALL_BYTES_MAX)?;
    let (texts, refused) = texts_of(entries);
    let mut prepared = Vec::with_capacity(entries.len());
    for (index, (entry, text)) in entries.iter().zip(texts).enumerate() {
        prepared.push(prepare_one(index, entry, text)?);
    }
    refused.map_or(Ok(prepared), Err)
}

/// The texts of all entries, or of those before the first that is refused for its text alone.
fn texts_of(entries: &[NewEntry]) -> (impl Iterator<Item = EntryText>, Option<StoreError>) {
    let expected = |entry: &NewEntry| match &entry.body {
        NewBody::Typed(_) => SERIALISED_BYTES,
        body => usize::try_from(body.text_bytes()).unwrap_or_default(),
    };
    let mut bytes = Vec::with_capacity(entries.iter().map(expected).sum());
    let mut places = Vec::with_capacity(entries.len());
    let mut refused = None;
    for (index, entry) in entries.iter().enumerate() {
        match write_text(&mut bytes, index, entry) {
            Ok(place) => places.push(place),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    (EntryText::of_call(bytes, places), refused)
}

/// Writes an entry's text behind those of the entries before it.
fn write_text(bytes: &mut Vec<u8>, index: usize, entry: &NewEntry) -> Result<Range<usize>> {
    let start = bytes.len();
    match &entry.body {
        NewBody::Typed(LogEntry::Unknown(unknown)) => bytes.extend_from_slice(unknown.text.as_bytes()),
        NewBody::Typed(typed) => typed.write_text(bytes).map_err(|error| invalid(index, error.to_string()))?,
        NewBody::Text(text) => bytes.extend_from_slice(text.as_bytes()),
        NewBody::Serialized(serialized) => bytes.extend_from_slice(serialized.text().as_bytes()),
    }
    check_size((bytes.len() - start) as u64, ENTRY_BYTES_MAX)?;
    check_size(bytes.len() as u64, CALL_BYTES_MAX)?;
    Ok(start..bytes.len())
}

fn prepare_one(index: usize, entry: &NewEntry, text: EntryText) -> Result<Prepared> {
    if let Some(key) = &entry.key
        && (key.is_empty() || key.len() > KEY_BYTES_MAX)
    {
        return Err(invalid(index, format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
    }
    let key = entry.key.clone();
    let typed = match &entry.body {
        NewBody::Typed(typed) => Some(typed),
        NewBody::Serialized(serialized) => Some(serialized.entry()),
        NewBody::Text(_) => None,
    };
    if let Some(typed) = typed
        && reads_back_as_it_is(typed)
        && let Some(kind) = typed.known_kind()
    {
        // Only what callers nest in it can still make the text unreadable.
        refuse_deep(index, text.as_bytes())?;
        return Ok(Prepared { text, key, kind: Cow::Borrowed(kind), ts: typed.ts(), start: None });
    }
    let read = text.as_str();
    let head = check_object(index, read)?;
    let (Some(kind), Some(ts)) = (head.kind, head.ts) else {
        return Err(invalid(index, "an entry has a text `kind` and a whole number `ts`"));
    };
    let start = match LogEntry::known_from_text(&kind, read) {
        Some(Err(error)) => return Err(invalid(index, format!("{kind} in a wrong shape: {error}"))),
        Some(Ok(LogEntry::SegmentStart(start))) => Some(start),
        _ => None,
    };
    Ok(Prepared { text, key, kind: Cow::Owned(kind), ts, start })
}

/// Whether a text can stand in a log as an entry, whoever wrote it: one JSON object on one line with a text `kind` and a whole number `ts`, without the
/// names that belong to the store. What is said of a known kind may have any shape.
///
/// # Errors
/// `InvalidEntry`, `TooLarge`.
pub fn check_text(text: &str) -> Result<()> {
    check_size(text.len() as u64, ENTRY_BYTES_MAX)?;
    let head = check_object(0, text)?;
    if head.kind.is_none() || head.ts.is_none() {
        return Err(invalid(0, "an entry has a text `kind` and a whole number `ts`"));
    }
    Ok(())
}

fn refuse_deep(index: usize, text: &[u8]) -> Result<()> {
    if !json::may_be_deep(text) {
        return Ok(());
    }
    // What is made of texts is a text; brackets are the same in both.
    match json::depth(&String::from_utf8_lossy(text)) {
        depth if depth > json::DEPTH_MAX => Err(invalid(index, format!("nested deeper than {}", json::DEPTH_MAX))),
        _ => Ok(()),
    }
}

/// Whether a typed entry's text surely gives the entry back. Settings and meta hold names that the caller chose: one
/// that stands twice would make the text unreadable.
const fn reads_back_as_it_is(entry: &LogEntry) -> bool {
    !matches!(entry, LogEntry::Unknown(_) | LogEntry::SegmentStart(_) | LogEntry::ConfigChanged(_))
}

/// The top-level names of an entry that matter before it is parsed.
#[derive(Default)]
struct ObjectHead {
    kind: Option<String>,
    ts: Option<u64>,
    reserved: Option<&'static str>,
}

impl<'de> Deserialize<'de> for ObjectHead {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = ObjectHead;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<ObjectHead, A::Error> {
                let mut head = ObjectHead::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match name.as_ref() {
                        "kind" if head.kind.is_none() => head.kind = Some(map.next_value()?),
                        "ts" if head.ts.is_none() => head.ts = Some(map.next_value()?),
                        "kind" | "ts" => return Err(serde::de::Error::custom(format_args!("`{name}` stands twice"))),
                        other => {
                            head.reserved = head.reserved.or(RESERVED_FIELDS.into_iter().find(|field| *field == other));
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(head)
            }
        }
        from.deserialize_map(Names)
    }
}

fn check_object(index: usize, text: &str) -> Result<ObjectHead> {
    if !text.starts_with('{') || !text.ends_with('}') {
        return Err(invalid(index, "an entry is one JSON object, without white space around it"));
    }
    // The other control characters are refused by the parser, wherever they stand.
    // Every byte is looked at, which is quicker than stopping at the first: none is what nearly all texts have.
    if text.bytes().fold(false, |found, byte| found | matches!(byte, b'\n' | b'\r' | b'\t')) {
        return Err(invalid(index, "an entry is one line, without control characters"));
    }
    let head: ObjectHead = json::from_str(text).map_err(|error| invalid(index, error.to_string()))?;
    if let Some(field) = head.reserved {
        return Err(invalid(index, format!("the top-level name `{field}` belongs to the store")));
    }
    Ok(head)
}

/// The text under which a fact is stored.
///
/// # Errors
/// `InvalidEntry` and `TooLarge` as [`Store::put_fact`](crate::Store::put_fact) says.
pub fn prepare_fact(fact: &Fact) -> Result<String> {
    if fact.domain.is_empty() || fact.domain.len() > DOMAIN_BYTES_MAX {
        return Err(invalid(0, format!("a fact's domain has 1 to {DOMAIN_BYTES_MAX} bytes")));
    }
    prepare_side_text(serde_json::to_string(fact))
}

/// The text under which a trace event is stored.
///
/// # Errors
/// `InvalidEntry` and `TooLarge` as [`Store::append_trace`](crate::Store::append_trace) says.
pub fn prepare_trace(trace: &TraceEntry) -> Result<String> {
    prepare_side_text(serde_json::to_string(trace))
}

fn prepare_side_text(text: serde_json::Result<String>) -> Result<String> {
    let text = text.map_err(|error| invalid(0, error.to_string()))?;
    check_size(text.len() as u64, ENTRY_BYTES_MAX)?;
    refuse_deep(0, text.as_bytes())?;
    Ok(text)
}

/// Whether bytes that were read are the ones that the reference names.
///
/// # Errors
/// `Corrupt`.
pub fn check_blob(reference: &BlobRef, bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 == reference.bytes && chain::sha256_hex(bytes) == reference.sha256 {
        return Ok(());
    }
    let detail = format!("blob {} does not hold the bytes that were put", reference.sha256);
    Err(StoreError::Corrupt(Damage { segment: None, part: 1, offset: 0, seq: None, detail }))
}

/// Refuses what is over a limit.
///
/// # Errors
/// `TooLarge`.
pub const fn check_size(bytes: u64, bytes_max: u64) -> Result<()> {
    if bytes > bytes_max { Err(StoreError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

/// An `InvalidEntry` error.
pub fn invalid(index: usize, detail: impl Into<String>) -> StoreError {
    StoreError::InvalidEntry { index, detail: detail.into() }
}

/// Which entries of a call are new, and where the others stand.
///
/// One slot per entry of the call: a position that the entry has already, or the place among the entries that are to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The entry stands in the segment already.
    Stands(Position),
    /// The entry is the n-th (0-based) of those that the call writes.
    Write(usize),
}

/// Looks at the keys of a call first: `stands` answers where a key stands and with which text.
///
/// # Errors
/// `KeyReused` if a key stands with another text, in the segment or earlier in the call; what `stands` fails with.
pub fn resolve_keys(
    entries: &[Prepared],
    mut stands: impl FnMut(&str) -> Result<Option<(Position, String)>>,
) -> Result<Vec<Slot>> {
    let mut in_call: HashMap<&str, (usize, &EntryText)> = HashMap::new();
    let mut writes = 0;
    let mut slots = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Some(key) = entry.key.as_deref() {
            if let Some((position, text)) = stands(key)? {
                if entry.text != *text {
                    return Err(StoreError::KeyReused { key: key.to_owned(), position });
                }
                slots.push(Slot::Stands(position));
                continue;
            }
            if let Some((write, text)) = in_call.get(key) {
                if **text != entry.text {
                    let position = Position { seq: crate::Seq::START, crc32c: 0 };
                    return Err(StoreError::KeyReused { key: key.to_owned(), position });
                }
                slots.push(Slot::Write(*write));
                continue;
            }
            in_call.insert(key, (writes, &entry.text));
        }
        slots.push(Slot::Write(writes));
        writes += 1;
    }
    Ok(slots)
}

/// The entries that the slots say are to be written, in order.
pub fn entries_to_write<'a>(entries: &'a [Prepared], slots: &[Slot]) -> Vec<&'a Prepared> {
    let mut next = 0;
    let mut writes = Vec::new();
    for (entry, slot) in entries.iter().zip(slots) {
        if *slot == Slot::Write(next) {
            writes.push(entry);
            next += 1;
        }
    }
    writes
}

/// The answer of a call: `written` are the positions of the written entries, in order.
pub fn answer(slots: &[Slot], written: &[Position]) -> Vec<Position> {
    slots
        .iter()
        .map(|slot| match slot {
            Slot::Stands(position) => *position,
            Slot::Write(at) => written[*at],
        })
        .collect()
}
