//! How far a file was read, so that a file that grew is read from there.
//!
//! A bookmark holds what the reader and the writer knew behind the last whole line, and what they remember of single records. It
//! lies in the index, because it is a projection: without one, or with one that does not fit, the whole file is replayed
//! against the keys in the store, which gives the same and takes longer. It fits if it was made together with
//! the cursor that the store holds, if the file begins with the same bytes, and if the segments end as they did then or
//! have grown.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Position, SegmentId, Seq};

use super::memory::{Key, Notes};
use super::record::{FileHead, Reader};
use super::writer;

/// Grows with every change of what readers and writers know, or of what they make of it: a file is then replayed once.
const VERSION: u32 = 1;

/// A reader that can go on where another one was.
pub(super) trait Resume: Reader {
    /// What it knows, but for its memories. `None`: nothing that another one could go on with.
    fn state(&self) -> Option<Value>;

    /// Goes on with what another one knew. False if that means nothing.
    fn resume(&mut self, state: Value) -> bool;

    /// What it remembers of single records, always in the same order.
    fn memories(&mut self) -> Vec<&mut dyn Notes>;
}

/// A state as it is kept.
pub(super) fn value(state: &impl Serialize) -> Option<Value> {
    serde_json::to_value(state).ok()
}

/// A state that was kept.
pub(super) fn read<T: DeserializeOwned>(state: Value) -> Option<T> {
    serde_json::from_value(state).ok()
}

/// Where a file was left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bookmark {
    version: u32,
    /// What the head of the file told: that decides how its records are read.
    head: String,
    /// The cursor that the store was given in the same run.
    pub(super) cursor: Value,
    pub(super) place: FilePlace,
    pub(super) reader: Value,
    pub(super) writer: Value,
    /// How many pieces of notes belong to it.
    pub(super) notes: u64,
}

/// A place between two lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilePlace {
    /// How many bytes are before it.
    pub(super) bytes: u64,
    /// Their SHA-256.
    pub(super) sha256: String,
    /// How many lines are before it.
    pub(super) lines: u64,
    /// The ordinal behind the last record's.
    pub(super) end_ordinal: Option<u64>,
}

impl Bookmark {
    /// The bookmark of a place; the cursor comes last.
    pub(super) fn new(head: &FileHead, place: FilePlace, reader: Value, writer: Value, notes: u64) -> Self {
        Self { version: VERSION, head: told(head), cursor: Value::Null, place, reader, writer, notes }
    }

    /// Says where entries stand in the store that stood nowhere yet when it was made.
    pub(super) fn place(&mut self, position: &dyn Fn(SegmentId, Seq) -> Option<Position>) {
        writer::place(&mut self.writer, position);
    }

    /// Reads one that was kept, if it is of this version and of a file with this head.
    pub(super) fn parse(text: &str, head: &FileHead) -> Option<Self> {
        let found: Self = serde_json::from_str(text).ok()?;
        (found.version == VERSION && found.head == told(head)).then_some(found)
    }
}

/// All that a head tells.
fn told(head: &FileHead) -> String {
    format!("{:?}", Key::of(&format!("{head:?}")))
}
