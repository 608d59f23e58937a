//! Faults of creating many sessions at once.

use store_core::{CreateOptions, FactScope, NewSession, Store as _, StoreError};

use super::FaultyStore;
use super::handle::{Handle, Rules};

/// Makes a session segment by segment, and takes nothing back.
fn make(at: &Handle, new: &NewSession) -> store_core::Created {
    let options = CreateOptions::default();
    let made = new.segments.iter().map(|one| at.inner.create_segment(new.session, one.segment, &one.entries, &options));
    let made = made.collect::<store_core::Result<Vec<_>>>()?;
    let scope = FactScope::Session(new.session);
    new.facts.iter().try_for_each(|fact| at.inner.put_fact(scope, fact))?;
    Ok(made)
}

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "sessions_are_created_without_the_ends_of_their_segments",
        Rules {
            create_sessions: Some(|at, sessions| {
                let mut sessions = sessions.to_vec();
                for segment in sessions.iter_mut().flat_map(|new| &mut new.segments) {
                    segment.entries.truncate(1);
                }
                at.inner.create_sessions(&sessions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "sessions_are_created_without_their_facts",
        Rules {
            create_sessions: Some(|at, sessions| {
                let bare: Vec<_> = sessions.iter().map(|new| NewSession { facts: Vec::new(), ..new.clone() }).collect();
                at.inner.create_sessions(&bare)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "sessions_are_answered_newest_first",
        Rules {
            create_sessions: Some(|at, sessions| {
                let mut answers = at.inner.create_sessions(sessions)?;
                if answers.iter().all(Result::is_ok) {
                    answers.reverse();
                }
                Ok(answers)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "nothing_is_created_behind_a_session_that_is_refused",
        Rules {
            create_sessions: Some(|at, sessions| {
                let mut is_over = false;
                let answers = sessions.iter().map(|new| {
                    if is_over {
                        return Err(StoreError::backend("one before it was refused"));
                    }
                    let answer = at.inner.create_sessions(std::slice::from_ref(new))?.remove(0);
                    is_over = answer.is_err();
                    answer
                });
                Ok(answers.collect())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "what_was_made_of_a_refused_session_stays",
        Rules {
            create_sessions: Some(|at, sessions| {
                let answers = sessions.iter().map(|new| {
                    new.check(at.inner.exists(new.session)?)?;
                    make(at, new)
                });
                Ok(answers.collect())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "segments_are_added_to_a_session_that_exists",
        Rules {
            create_sessions: Some(|at, sessions| {
                let create = |new: &NewSession| {
                    if at.inner.exists(new.session)? && !new.segments.is_empty() {
                        return make(at, new);
                    }
                    at.inner.create_sessions(std::slice::from_ref(new))?.remove(0)
                };
                Ok(sessions.iter().map(create).collect())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_without_a_segment_is_answered",
        Rules {
            create_sessions: Some(|at, sessions| {
                let create = |new: &NewSession| {
                    if new.segments.is_empty() {
                        return Ok(Vec::new());
                    }
                    at.inner.create_sessions(std::slice::from_ref(new))?.remove(0)
                };
                Ok(sessions.iter().map(create).collect())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "sessions_are_looked_at_before_the_first_is_created",
        Rules {
            create_sessions: Some(|at, sessions| {
                let ids: Vec<_> = sessions.iter().map(|new| new.session).collect();
                let continues_another = |new: &&NewSession| {
                    let starts = new.segments.iter().filter_map(|segment| segment.entries.first());
                    let texts = starts.map(super::handle::text_of).collect::<String>();
                    let (own, others) = (new.session, ids.iter());
                    others.filter(|id| **id != own).any(|id| texts.contains(&format!("{{\"session_id\":\"{id}\"")))
                };
                let refused: Vec<bool> = sessions.iter().map(|new| continues_another(&new)).collect();
                let create = |(new, refused): (&NewSession, bool)| {
                    if refused {
                        return Err(StoreError::InvalidOrigin { detail: "it does not exist yet".to_owned() });
                    }
                    at.inner.create_sessions(std::slice::from_ref(new))?.remove(0)
                };
                Ok(sessions.iter().zip(refused).map(create).collect())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "created_sessions_are_not_among_the_changes",
        Rules {
            create_sessions: Some(|at, sessions| {
                for new in sessions {
                    at.shared.put(format!("silent {}", new.session), "");
                }
                at.inner.create_sessions(sessions)
            }),
            changes: Some(|at, cursor| {
                let mut changes = at.inner.changes(cursor)?;
                if cursor.is_some() {
                    changes.segments.retain(|(session, _)| !at.shared.has(&format!("silent {session}")));
                }
                Ok(changes)
            }),
            ..Rules::KEPT
        },
    ),
];
