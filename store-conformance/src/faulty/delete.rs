//! Faults of deletion.

use store_core::FactScope::{Session, Store};
use store_core::StoreError::{NotFound, Referenced};
use store_core::{
    AppendOptions, CreateOptions, Fact, LogEntry, NewBody, NewEntry, SegmentStart, SessionId, Store as _, StoreError,
};

use super::FaultyStore;
use super::handle::Rules;

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "a_deleted_session_stays_in_the_list",
        Rules {
            sessions: Some(|at| {
                let mut sessions = at.inner.list_sessions()?;
                sessions.extend(at.shared.all().iter().filter_map(|(session, _)| session.parse::<SessionId>().ok()));
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
        "a_deleted_segment_can_be_looked_up",
        Rules {
            lookup: Some(|at, segment| {
                let found = at.inner.lookup_session_of(segment)?;
                Ok(found.or_else(|| at.shared.get(&segment.to_string())?.parse().ok()))
            }),
            delete: Some(|at, session| {
                let segments = at.inner.list_segments(session)?;
                at.inner.delete_session(session)?;
                for segment in segments {
                    at.shared.put(segment.to_string(), session.to_string());
                }
                Ok(())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "deleting_an_unknown_session_succeeds",
        Rules {
            delete: Some(|at, session| match at.inner.delete_session(session) {
                Err(NotFound(_)) => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_deletion_takes_the_oldest_session_along",
        Rules {
            delete: Some(|at, session| {
                at.inner.delete_session(session)?;
                match at.inner.list_sessions()?.pop() {
                    Some(oldest) if oldest < session => at.inner.delete_session(oldest),
                    _ => Ok(()),
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "facts_about_the_store_go_with_a_session",
        Rules {
            delete: Some(|at, session| {
                at.shared.put("deleted", "");
                at.inner.delete_session(session)
            }),
            facts: Some(|at, scope| {
                let facts = at.inner.facts(scope)?;
                Ok(if scope == Store && at.shared.has("deleted") { Vec::new() } else { facts })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_deleted_id_is_never_free_again",
        Rules {
            create: Some(|at, session, segment, entries, options| match at.shared.has(&segment.to_string()) {
                true => Err(StoreError::AlreadyExists { session, segment }),
                false => at.inner.create_segment(session, segment, entries, options),
            }),
            delete: Some(|at, session| {
                let segments = at.inner.list_segments(session)?;
                at.inner.delete_session(session)?;
                segments.into_iter().for_each(|segment| drop(at.shared.put(segment.to_string(), "")));
                Ok(())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "facts_come_back_with_a_deleted_id",
        Rules {
            delete: Some(|at, session| {
                let facts = at.inner.facts(Session(session))?;
                at.inner.delete_session(session)?;
                for (n, fact) in facts.iter().enumerate() {
                    at.shared.put(format!("{session} {n}"), serde_json::to_string(fact).unwrap_or_default());
                }
                Ok(())
            }),
            facts: Some(|at, scope| {
                let mut facts = at.inner.facts(scope)?;
                if let Session(session) = scope {
                    let noted = at.shared.all().into_iter().filter(|(name, _)| name.starts_with(&session.to_string()));
                    facts.extend(noted.filter_map(|(_, text)| serde_json::from_str::<Fact>(&text).ok()));
                }
                Ok(facts)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "references_do_not_keep_a_session",
        Rules {
            delete: Some(|at, session| match at.inner.delete_session(session) {
                Err(Referenced { .. }) => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_refusal_names_one_reference_only",
        Rules {
            delete: Some(|at, session| {
                at.inner.delete_session(session).map_err(|error| match error {
                    Referenced { by } => Referenced { by: by.into_iter().take(1).collect() },
                    other => other,
                })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_refused_deletion_takes_the_facts",
        Rules {
            delete: Some(|at, session| {
                let answer = at.inner.delete_session(session);
                if matches!(answer, Err(Referenced { .. })) {
                    at.shared.put(session.to_string(), "");
                }
                answer
            }),
            facts: Some(|at, scope| {
                let facts = at.inner.facts(scope)?;
                let taken = matches!(scope, Session(session) if at.shared.has(&session.to_string()));
                Ok(if taken { Vec::new() } else { facts })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "own_forks_keep_a_session",
        Rules {
            delete: Some(|at, session| {
                for segment in at.inner.list_segments(session)? {
                    let first = at.inner.read_all(session, segment)?.into_iter().next();
                    if let Some(LogEntry::SegmentStart(start)) = first
                        && start.origin().is_some_and(|origin| origin.session_id == session)
                    {
                        return Err(Referenced { by: vec![segment] });
                    }
                }
                at.inner.delete_session(session)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reference_outlives_the_session_it_stood_in",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let positions = at.inner.create_segment(session, segment, entries, options)?;
                if let Some(NewEntry { body: NewBody::Typed(LogEntry::SegmentStart(start)), .. }) = entries.first()
                    && let Some(origin) = start.origin()
                    && origin.session_id != session
                {
                    at.shared.put(origin.session_id.to_string(), segment.to_string());
                }
                Ok(positions)
            }),
            delete: Some(|at, session| match at.shared.get(&session.to_string()).and_then(|by| by.parse().ok()) {
                Some(by) if at.inner.lookup_session_of(by)?.is_none() => Err(Referenced { by: vec![by] }),
                _ => at.inner.delete_session(session),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_handle_remembers_what_another_one_deleted",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let positions = at.inner.create_segment(session, segment, entries, options)?;
                at.own.put(session.to_string(), "");
                Ok(positions)
            }),
            exists: Some(|at, session| Ok(at.own.has(&session.to_string()) || at.inner.exists(session)?)),
            delete: Some(|at, session| {
                at.inner.delete_session(session)?;
                at.own.remove(&session.to_string());
                Ok(())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_append_brings_a_deleted_session_back",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                // Late on purpose, so that of an append and a deletion at once the append comes second.
                for _ in 0..200 {
                    if entries.len() > 1 || at.shared.has(&session.to_string()) {
                        break;
                    }
                    std::thread::yield_now();
                }
                match at.inner.append_with(session, segment, entries, options) {
                    Err(NotFound(_)) if at.shared.has(&segment.to_string()) => {
                        let start = LogEntry::SegmentStart(Box::new(SegmentStart::new(session, 1)));
                        let _ = at.inner.create_segment(session, segment, &[start.into()], &CreateOptions::default());
                        at.inner.append_with(session, segment, entries, &AppendOptions::default())
                    }
                    answer => answer,
                }
            }),
            delete: Some(|at, session| {
                let segments = at.inner.list_segments(session)?;
                at.inner.delete_session(session)?;
                segments.into_iter().for_each(|segment| drop(at.shared.put(segment.to_string(), "")));
                at.shared.put(session.to_string(), "");
                Ok(())
            }),
            ..Rules::KEPT
        },
    ),
];
