//! Lists, their order, and the look-up of a segment's session.

use store_core::{Backend, SegmentId, SessionId};

use super::fixture::{Works as _, create, create_first, same, segment, session};
use crate::{Failure, Harness, Outcome};

fn sessions(store: &dyn Backend) -> Result<Vec<SessionId>, Failure> {
    store.list_sessions().works("listing the sessions")
}

fn segments(store: &dyn Backend, session: SessionId) -> Result<Vec<SegmentId>, Failure> {
    store.list_segments(session).works("listing the segments of a session")
}

fn session_of(store: &dyn Backend, segment: SegmentId) -> Result<Option<SessionId>, Failure> {
    store.lookup_session_of(segment).works("looking up the session of a segment")
}

pub(crate) fn a_new_store_has_no_sessions(harness: &mut dyn Harness) -> Outcome {
    same("the sessions of a new store", sessions(harness.store())?, vec![])
}

pub(crate) fn a_session_exists_from_its_first_segment_on(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create(store, session(2), segment(2), &[])?;
    same("a session without a segment exists", store.exists(session(1)).works("exists")?, false)?;
    create_first(store, 1)?;
    same("a session with a segment exists", store.exists(session(1)).works("exists")?, true)
}

pub(crate) fn sessions_are_listed_newest_first(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    for n in [2, 4, 1, 3] {
        create(store, session(n), segment(n), &[])?;
    }
    same("the sessions", sessions(store)?, [4, 3, 2, 1].map(session).to_vec())
}

pub(crate) fn a_session_is_listed_once(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    for n in [1, 2] {
        create(store, session(1), segment(n), &[])?;
    }
    same("the sessions", sessions(store)?, vec![session(1)])
}

pub(crate) fn segments_are_listed_newest_first(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    for n in [2, 4, 1, 3] {
        create(store, session(1), segment(n), &[])?;
    }
    same("the segments", segments(store, session(1))?, [4, 3, 2, 1].map(segment).to_vec())
}

pub(crate) fn a_session_lists_its_own_segments_only(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    for n in [1, 2] {
        create(store, session(n), segment(n), &[])?;
    }
    same("the segments of the second session", segments(store, session(2))?, vec![segment(2)])
}

pub(crate) fn an_unknown_session_lists_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    same("the segments of an unknown session", segments(store, session(2))?, vec![])
}

pub(crate) fn lists_are_the_same_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    for n in [2, 1, 3] {
        create(harness.store(), session(n), segment(n), &[])?;
        create(harness.store(), session(n), segment(n + 10), &[])?;
    }
    harness.reopen();
    same("the sessions", sessions(harness.store())?, [3, 2, 1].map(session).to_vec())?;
    same("the segments of one", segments(harness.store(), session(2))?, vec![segment(12), segment(2)])
}

pub(crate) fn a_segment_is_looked_up_without_its_session(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    for n in [1, 2] {
        create(store, session(n), segment(n), &[])?;
    }
    same("the session of the second segment", session_of(store, segment(2))?, Some(session(2)))
}

pub(crate) fn an_unknown_segment_has_no_session(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    same("the session of an unknown segment", session_of(store, segment(2))?, None)
}

pub(crate) fn a_segment_is_looked_up_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    harness.reopen();
    same("the session of the segment", session_of(harness.store(), segment(1))?, Some(session(1)))
}
