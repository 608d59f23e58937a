//! The point that a file continues by reference.

use store_core::{Seq, SessionId, Store};

use super::copies::{root_origin, sessions_of};
use super::finish::Cursor;
use crate::error::Result;
use crate::facts::SessionFacts;
use crate::import::record::{FileHead, ForkHint};
use crate::import::walk::Place;
use crate::index::Index;

/// How many records without an entry are passed over.
const GAP_MAX: u64 = 100_000;

/// The last entry that the file's conversation has from the one that it continues: that of the last record before the
/// ordinal that the file names. `None` if the file continues none, or if that one is not there, or not as far: a
/// link is for good.
///
/// The named conversation may continue another one itself; ordinals count on along the way.
pub(in crate::import) fn reference_origin(store: &dyn Store, index: &Index, head: &FileHead) -> Result<Option<Place>> {
    let ForkHint::ByReference { native_id, end_ordinal } = &head.fork else { return Ok(None) };
    let own = super::session_id(head);
    let mut session = sessions_of(index, head.agent, native_id)?.into_iter().find(|session| *session != own);
    let Some(parent) = session else { return Ok(None) };
    let read = Cursor::read(&SessionFacts::read(store, parent)?, native_id);
    if !read.is_some_and(|read| read.reaches(*end_ordinal)) {
        return Ok(None);
    }
    let mut passed = vec![own];
    while let Some(at) = session.filter(|session| !passed.contains(session)) {
        passed.push(at);
        if let Some(place) = last_before(store, index, at, *end_ordinal)? {
            return Ok(Some(place));
        }
        let Some(origin) = root_origin(store, at)? else { return Ok(None) };
        if ordinal_of(store, origin)?.is_none_or(|ordinal| ordinal < *end_ordinal) {
            return Ok(Some(origin));
        }
        session = Some(origin.session);
    }
    Ok(None)
}

/// The last entry of a session whose record stands before an ordinal.
fn last_before(store: &dyn Store, index: &Index, session: SessionId, end: u64) -> Result<Option<Place>> {
    let mut last = None;
    for segment in store.list_segments(session)? {
        let seq = Seq(store.read_entry_count(session, segment)?);
        last = last.max(ordinal_of(store, Place { session, segment, seq })?);
    }
    let Some(last) = last else { return Ok(None) };
    let end = end.min(last.saturating_add(1));
    for ordinal in (end.saturating_sub(GAP_MAX)..end).rev() {
        let homes = index.records_of(session, &ordinal.to_string())?;
        // A record that ends one segment and begins another stands at the beginning.
        if let Some(home) = homes.into_iter().rfind(|home| !home.superseded) {
            return Ok(Some(Place { session, segment: home.segment_id, seq: home.seq }));
        }
    }
    Ok(None)
}

/// The ordinal of the record that an entry came from.
fn ordinal_of(store: &dyn Store, at: Place) -> Result<Option<u64>> {
    let read = store.read_range(at.session, at.segment, Seq(at.seq.0.saturating_sub(1)), 1)?;
    let key = read.into_iter().next().and_then(|record| record.key);
    let number = key.as_deref().and_then(|key| key.split(['#', '@', '.']).next());
    Ok(number.and_then(|number| number.parse().ok()))
}
