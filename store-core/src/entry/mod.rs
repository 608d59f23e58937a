//! Entries: the state transitions a log is made of, and the items of a conversation.
//!
//! A conversation's state is the fold of its entries and nothing else. Every entry is one JSON object with
//! `kind` and `ts`. A kind that this version does not know, and a known kind in a shape that it does not know,
//! is kept as [`LogEntry::Unknown`] with its text byte for byte, so that an older program never loses what a
//! newer one wrote.

mod event;
mod item;
mod log_entry;
mod start;

pub use event::{
    ConfigChanged, Extension, ItemEntry, LlmUsage, RunCompleted, RunErrored, SystemItem, TurnEnd, UnknownEntry,
    UserInput,
};
pub use item::{BlobRef, Content, Item, Part, Role};
pub use log_entry::LogEntry;
pub use start::{HistoryItem, HistoryRef, SegmentMeta, SegmentOrigin, SegmentStart, SessionConfig, SessionKind};
