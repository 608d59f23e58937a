//! The order in which changed segments are read: what is continued before what continues it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Connection;
use store_core::{LogEntry, SegmentId, SegmentOrigin, Seq, SessionId, Store};

use super::rows::{Fault, SegmentRow};
use crate::leaf::is_damage;
use crate::order::origins_first;

/// The points at which others continue a segment, each with how many of them are still to be read.
pub(super) type Wanted = HashMap<SegmentId, BTreeMap<Seq, usize>>;

/// What is read in which order.
pub(super) struct Plan {
    /// The segments, origins first.
    pub(super) order: Vec<(SessionId, SegmentId)>,
    /// The points of them that the later ones start from.
    pub(super) wanted: Wanted,
}

impl Plan {
    /// Orders segments. Of one that is new its first entry is read.
    pub(super) fn new(
        db: &Connection,
        store: &dyn Store,
        segments: &BTreeSet<(SessionId, SegmentId)>,
    ) -> Result<Self, Fault> {
        let mut origins: BTreeMap<SegmentId, SegmentOrigin> = BTreeMap::new();
        let mut wanted = Wanted::new();
        for (session, segment) in segments {
            let Some(origin) = origin_of(db, store, *session, *segment)? else { continue };
            origins.insert(*segment, origin);
            *wanted.entry(origin.segment_id).or_default().entry(origin.seq).or_default() += 1;
        }
        Ok(Self { order: origins_first(segments, &origins), wanted })
    }
}

fn origin_of(
    db: &Connection,
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
) -> Result<Option<SegmentOrigin>, Fault> {
    if let Some(row) = SegmentRow::find(db, segment)?
        && row.session == session
        && row.position.seq > Seq::START
    {
        return Ok(row.own.origin().copied());
    }
    match store.read_range(session, segment, Seq::START, 1) {
        Ok(records) => Ok(records.first().and_then(|record| match &record.entry {
            LogEntry::SegmentStart(start) => start.origin().copied(),
            _ => None,
        })),
        Err(error) if is_damage(&error) || matches!(error, store_core::StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
