//! Conversations that were purged, or written anew as another session: where what their files hold goes.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{SegmentId, SessionId, Store};

use super::record::FileHead;
use super::walk::Place;
use super::writer;
use crate::error::Result;
use crate::tombstone::{MovedPoint, Tombstone, Tombstones};

/// What became of conversations that are not where their files say.
#[derive(Debug)]
pub(super) struct Moves(Tombstones);

impl Moves {
    pub(super) fn read(store: &dyn Store) -> Result<Self> {
        Ok(Self(Tombstones::read(store)?))
    }

    fn of(&self, head: &FileHead) -> Option<&Tombstone> {
        self.0.of(head.agent.name(), &head.native_id)
    }

    /// Whether the conversation was purged and stays away: also if what it was written anew as is gone.
    pub(super) fn is_removed(&self, store: &dyn Store, head: &FileHead) -> Result<bool> {
        if let Some(from) = &head.exported
            && !store.exists(from.session_id)?
            && self.0.names_purged(from.session_id)
        {
            return Ok(true);
        }
        Ok(match self.of(head).map(|tombstone| tombstone.moved_to) {
            None => false,
            Some(None) => true,
            Some(Some(session)) => !store.exists(session)?,
        })
    }

    /// The session that the conversation is.
    pub(super) fn session(&self, head: &FileHead) -> SessionId {
        self.of(head).and_then(|tombstone| tombstone.moved_to).unwrap_or_else(|| writer::session_id(head))
    }

    /// Where the conversation was written anew, if it was.
    pub(super) fn find(&self, head: &FileHead) -> Option<Moved> {
        let tombstone = self.of(head)?;
        tombstone.moved_to?;
        let place = |at: MovedPoint| Place { session: at.session_id, segment: at.segment_id, seq: at.seq };
        Some(Moved {
            now: tombstone.segments.clone(),
            first: tombstone.segments.iter().map(|(first, now)| (*now, *first)).collect(),
            copied: tombstone.copied.clone(),
            continues: tombstone.continues.map(place),
        })
    }
}

/// A conversation that was written anew. Ids are derived as if it had not been, and then followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved {
    now: BTreeMap<SegmentId, SegmentId>,
    first: BTreeMap<SegmentId, SegmentId>,
    copied: BTreeSet<SegmentId>,
    /// The point behind which its own entries begin.
    pub(super) continues: Option<Place>,
}

impl Moved {
    /// What a segment is now.
    pub(super) fn now(&self, first: SegmentId) -> SegmentId {
        self.now.get(&first).copied().unwrap_or(first)
    }

    /// What a segment was when it was imported.
    pub(super) fn first(&self, now: SegmentId) -> SegmentId {
        self.first.get(&now).copied().unwrap_or(now)
    }

    /// Whether a segment holds what the conversation continues.
    pub(super) fn is_copied(&self, segment: SegmentId) -> bool {
        self.copied.contains(&segment)
    }
}
