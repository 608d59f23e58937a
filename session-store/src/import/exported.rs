//! Files that were made of a conversation in a store: what they hold is there already, and what was added goes on behind it.
//!
//! Such a file says what it was made of ([`ExportedFrom`]), and each of its records has an id that is derived from the entry that it tells. Where the
//! store does not have that entry, the file is a conversation like any other.

use store_core::{LogEntry, Seq, Store};

use super::record::FileHead;
use super::walk::Place;
use crate::error::Result;
use crate::export::Origins;
use crate::lineage;
use crate::segment::entries_there;

/// What a store holds of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// The last entry that the file was made of.
    pub(super) at: Place,
    /// The file is the one that was made; otherwise it is a fork of that one.
    pub(super) is_same: bool,
    /// The entry begins a segment that was made for the file: what was added goes there.
    pub(super) is_own_segment: bool,
}

impl Home {
    /// What the store holds of a file, if it was made of what stands there.
    pub(super) fn find(store: &dyn Store, head: &FileHead) -> Result<Option<Self>> {
        let Some(from) = &head.exported else { return Ok(None) };
        let (session, segment, seq) = (from.session_id, from.segment_id, from.seq);
        if entries_there(store, session, segment)?.is_none_or(|count| count < seq.0) {
            return Ok(None);
        }
        let is_same = from.native_id == head.native_id;
        let first = store.read_range(session, segment, Seq::START, 1)?.into_iter().next();
        let is_own_segment = match first.map(|first| first.entry) {
            Some(LogEntry::SegmentStart(start)) => {
                let names = (start.meta.agent.as_deref(), start.meta.native_id.as_deref());
                is_same && seq == Seq(1) && names == (Some(head.agent.name()), Some(&*head.native_id))
            }
            _ => false,
        };
        Ok(Some(Self { at: Place { session, segment, seq }, is_same, is_own_segment }))
    }

    /// Where the file's records come from.
    pub(super) fn origins(&self, store: &dyn Store) -> Result<Origins> {
        let Place { session, segment, seq } = self.at;
        Ok(Origins::of(&lineage::load_through(store, session, segment, seq)?))
    }
}
