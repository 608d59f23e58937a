//! Faults of changes.

use store_core::{ChangeCursor, Changes, Result, SegmentId, SessionId, Store as _};

use super::FaultyStore;
use super::handle::{Handle, Rules};

/// What changed since a cursor, as far as `named` lets it through; everything without a cursor.
fn changes_that(
    at: &Handle,
    cursor: Option<&ChangeCursor>,
    session_named: impl Fn(SessionId, &Changes) -> bool,
    segment_named: impl Fn(SessionId, SegmentId) -> bool,
) -> Result<Changes> {
    let all = at.inner.changes(cursor)?;
    if cursor.is_none_or(|cursor| cursor.0.parse::<u64>().is_err()) {
        return Ok(all);
    }
    let sessions = all.sessions.iter().copied().filter(|session| session_named(*session, &all)).collect();
    let segments =
        all.segments.iter().copied().filter(|(session, segment)| segment_named(*session, *segment)).collect();
    Ok(Changes { sessions, segments, ..all })
}

fn nothing(at: &Handle) -> Result<Changes> {
    Ok(Changes { sessions: Vec::new(), segments: Vec::new(), ..at.inner.changes(None)? })
}

fn entries_of(at: &Handle, session: SessionId, segment: SegmentId) -> u64 {
    at.inner.read_entry_count(session, segment).unwrap_or(0)
}

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "a_new_store_names_a_session",
        Rules {
            changes: Some(|at, cursor| {
                let mut all = at.inner.changes(cursor)?;
                if all.sessions.is_empty() {
                    all.sessions.push(SessionId::derive(1, b"nobody"));
                }
                Ok(all)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "without_a_cursor_the_oldest_session_is_missed",
        Rules {
            changes: Some(|at, cursor| {
                let mut all = at.inner.changes(cursor)?;
                if cursor.is_none() && all.sessions.len() > 1 {
                    let oldest = all.sessions.remove(0);
                    all.segments.retain(|(session, _)| *session != oldest);
                }
                Ok(all)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "with_an_unknown_cursor_nothing_has_changed",
        Rules {
            changes: Some(|at, cursor| match cursor {
                Some(cursor) if !at.shared.has(&cursor.0) => nothing(at),
                _ => {
                    let changes = at.inner.changes(cursor)?;
                    at.shared.put(changes.cursor.0.clone(), "");
                    Ok(changes)
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_created_segment_is_not_named",
        Rules {
            changes: Some(|at, cursor| changes_that(at, cursor, |_, _| true, |s, g| entries_of(at, s, g) > 1)),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_segment_that_was_appended_to_is_not_named",
        Rules {
            changes: Some(|at, cursor| changes_that(at, cursor, |_, _| true, |s, g| entries_of(at, s, g) < 2)),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_with_a_new_segment_is_not_named",
        Rules {
            changes: Some(|at, cursor| {
                changes_that(
                    at,
                    cursor,
                    |session, all| all.segments.iter().all(|(other, _)| *other != session),
                    |_, _| true,
                )
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_with_a_new_fact_is_not_named",
        Rules {
            changes: Some(|at, cursor| {
                let has_segments = |session, all: &Changes| all.segments.iter().any(|(other, _)| *other == session);
                let deleted = |session| at.inner.exists(session).is_ok_and(|exists| !exists);
                changes_that(at, cursor, |session, all| has_segments(session, all) || deleted(session), |_, _| true)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_deleted_session_is_not_named",
        Rules {
            changes: Some(|at, cursor| {
                changes_that(at, cursor, |session, _| at.inner.exists(session).is_ok_and(|exists| exists), |_, _| true)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_segment_is_named_once_and_never_again",
        Rules {
            changes: Some(|at, cursor| {
                changes_that(at, cursor, |_, _| true, |_, segment| at.shared.put(segment.to_string(), "").is_none())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_cursor_is_good_once",
        Rules {
            changes: Some(|at, cursor| match cursor {
                Some(cursor) if at.shared.put(format!("used {}", cursor.0), "").is_some() => nothing(at),
                _ => at.inner.changes(cursor),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_handle_names_what_it_wrote_itself",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                at.own.put(segment.to_string(), "");
                at.inner.create_segment(session, segment, entries, options)
            }),
            append: Some(|at, session, segment, entries, options| {
                at.own.put(format!("{segment} appended"), "");
                at.inner.append_with(session, segment, entries, options)
            }),
            changes: Some(|at, cursor| {
                let wrote = |segment: SegmentId| {
                    let created = entries_of_created(at, segment);
                    at.own.has(&format!("{segment} appended")) || created
                };
                changes_that(at, cursor, |_, _| true, |_, segment| wrote(segment))
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "changes_are_named_newest_first",
        Rules {
            changes: Some(|at, cursor| {
                let mut all = at.inner.changes(cursor)?;
                all.sessions.reverse();
                all.segments.reverse();
                Ok(all)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_change_is_named_every_time_it_happened",
        Rules {
            changes: Some(|at, cursor| {
                let mut all = at.inner.changes(cursor)?;
                let twice = all.segments.iter().flat_map(|named| [*named, *named]);
                all.segments = twice.collect();
                Ok(all)
            }),
            ..Rules::KEPT
        },
    ),
];

/// Whether this handle created a segment that nobody has appended to.
fn entries_of_created(at: &Handle, segment: SegmentId) -> bool {
    let session = at.inner.lookup_session_of(segment).ok().flatten();
    at.own.has(&segment.to_string()) && session.is_some_and(|session| entries_of(at, session, segment) == 1)
}
