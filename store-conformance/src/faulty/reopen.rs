//! Faults that show after a reopen or on another handle.

use store_core::StoreError::{NotFound, ReadOnly, Referenced};
use store_core::{Missing, SessionId, Store as _, StoreError};

use super::FaultyStore;
use super::handle::Rules;

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "a_reopened_store_lists_its_newest_session_only",
        Rules {
            sessions: Some(|at| {
                let mut sessions = at.inner.list_sessions()?;
                sessions.truncate(if at.reopened { 1 } else { usize::MAX });
                Ok(sessions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reopened_store_looks_no_segment_up",
        Rules {
            lookup: Some(|at, segment| if at.reopened { Ok(None) } else { at.inner.lookup_session_of(segment) }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reopened_store_has_no_traces",
        Rules {
            traces: Some(|at, session, segment| {
                let traces = at.inner.read_traces(session, segment)?;
                Ok(if at.reopened { Vec::new() } else { traces })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reopened_store_has_no_blobs",
        Rules {
            get_blob: Some(|at, reference| match at.reopened {
                true => Err(NotFound(Missing::Blob(reference.sha256.clone()))),
                false => at.inner.get_blob(reference),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reopened_store_has_no_facts",
        Rules {
            facts: Some(|at, scope| {
                let facts = at.inner.facts(scope)?;
                Ok(if at.reopened { Vec::new() } else { facts })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reopened_log_has_lost_its_last_entry",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                if at.reopened {
                    records.pop();
                }
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reopened_store_is_read_only",
        Rules {
            append: Some(|at, session, segment, entries, options| match at.reopened {
                true => Err(ReadOnly),
                false => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "references_are_forgotten_when_the_store_is_reopened",
        Rules {
            delete: Some(|at, session| match at.inner.delete_session(session) {
                Err(Referenced { .. }) if at.reopened => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_deleted_session_is_back_after_a_reopen",
        Rules {
            sessions: Some(|at| {
                let mut sessions = at.inner.list_sessions()?;
                if at.reopened {
                    sessions
                        .extend(at.shared.all().iter().filter_map(|(session, _)| session.parse::<SessionId>().ok()));
                }
                Ok(sessions)
            }),
            delete: Some(|at, session| {
                at.inner.delete_session(session)?;
                at.shared.put(session.to_string(), "");
                Ok(())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_handle_remembers_the_first_count",
        Rules {
            count: Some(|at, session, segment| {
                let count = at.inner.read_entry_count(session, segment)?;
                let remembered = at.own.get(&segment.to_string()).and_then(|count| count.parse().ok());
                if at.second && remembered.is_none() {
                    at.own.put(segment.to_string(), count.to_string());
                }
                Ok(remembered.unwrap_or(count))
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_handle_appends_to_what_was_there_or_its_own",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let positions = at.inner.create_segment(session, segment, entries, options)?;
                if at.second {
                    at.shared.put(segment.to_string(), "by the second handle");
                }
                Ok(positions)
            }),
            append: Some(|at, session, segment, entries, options| match at.shared.has(&segment.to_string()) {
                true if !at.second && !at.reopened => Err(StoreError::no_segment(segment)),
                _ => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
];
