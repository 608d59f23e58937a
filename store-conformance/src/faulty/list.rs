//! Faults of lists and of the look-up.

use store_core::{SessionId, Store as _, StoreError};

use super::FaultyStore;
use super::handle::Rules;

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "an_empty_store_lists_a_session",
        Rules {
            sessions: Some(|at| {
                let sessions = at.inner.list_sessions()?;
                Ok(if sessions.is_empty() { vec![SessionId::derive(1, b"nobody")] } else { sessions })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new("every_session_exists", Rules { exists: Some(|_at, _session| Ok(true)), ..Rules::KEPT }),
    FaultyStore::new(
        "sessions_are_listed_oldest_first",
        Rules {
            sessions: Some(|at| {
                let mut sessions = at.inner.list_sessions()?;
                sessions.reverse();
                Ok(sessions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_is_listed_once_for_every_segment",
        Rules {
            sessions: Some(|at| {
                let mut listed = Vec::new();
                for session in at.inner.list_sessions()? {
                    listed.extend(at.inner.list_segments(session)?.iter().map(|_| session));
                }
                Ok(listed)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "segments_are_listed_oldest_first",
        Rules {
            segments: Some(|at, session| {
                let mut segments = at.inner.list_segments(session)?;
                segments.reverse();
                Ok(segments)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_lists_the_segments_of_all",
        Rules {
            segments: Some(|at, session| {
                let mut segments = at.inner.list_segments(session)?;
                if !segments.is_empty() {
                    for other in at.inner.list_sessions()?.into_iter().filter(|other| *other != session) {
                        segments.extend(at.inner.list_segments(other)?);
                    }
                }
                Ok(segments)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_segments_of_an_unknown_session_are_refused",
        Rules {
            segments: Some(|at, session| match at.inner.list_segments(session)? {
                none if none.is_empty() => Err(StoreError::no_session(session)),
                segments => Ok(segments),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "every_segment_belongs_to_a_session_of_its_own_id",
        Rules {
            lookup: Some(|at, segment| {
                let found = at.inner.lookup_session_of(segment)?;
                Ok(found.map(|_| SessionId::from_bytes(*segment.as_bytes())))
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_unknown_segment_belongs_to_the_newest_session",
        Rules {
            lookup: Some(|at, segment| {
                let newest = at.inner.list_sessions()?.into_iter().next();
                Ok(at.inner.lookup_session_of(segment)?.or(newest))
            }),
            ..Rules::KEPT
        },
    ),
];
