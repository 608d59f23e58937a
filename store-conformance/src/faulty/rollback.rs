//! Faults of rollbacks.

use store_core::StoreError::{Busy, Corrupt, KeyReused, NotFound, Referenced};
use store_core::chain::Chain;
use store_core::integrity::{
    EndState, EventKind, ListedCheckpoint, MaintenanceOptions, Outcome, Rollback, Scanned, Verification,
};
use store_core::{
    AppendOptions, Damage, Integrity as _, LogEntry, MigrationId, Missing, NewEntry, SegmentId, SegmentStart, Seq,
    SessionId, Store as _,
};

use super::FaultyStore;
use super::handle::{Handle, Rules, text_of, without_keys};
use super::integrity::rule;

/// The answer of a rollback that was not done.
pub(super) fn pretended(checkpoint: u64) -> Rollback {
    Rollback {
        migration_id: MigrationId::derive(1, b"pretended"),
        checkpoint,
        before: EndState { seq: Seq::START, head: None },
        after: Chain::START,
        removed: 0,
        quarantined: Vec::new(),
        verification: Verification { entry_count_match: true, hash_chain_match: true, order_consistent: true },
    }
}

/// The start of a segment.
fn start_of(at: &Handle, segment: SegmentId) -> Option<SegmentStart> {
    let session = at.inner.lookup_session_of(segment).ok().flatten()?;
    match at.records(session, segment).into_iter().next()?.entry {
        LogEntry::SegmentStart(start) => Some(*start),
        _ => None,
    }
}

/// A rollback that does not see some of those who refer to what it removes.
fn blind(
    at: &Handle,
    session: SessionId,
    segment: SegmentId,
    number: u64,
    options: &MaintenanceOptions,
    is_seen: fn(SessionId, &SegmentStart) -> bool,
) -> store_core::Result<Rollback> {
    match at.inner.rollback(session, segment, number, options) {
        Err(Referenced { by }) => {
            let by: Vec<_> =
                by.into_iter().filter(|by| start_of(at, *by).is_none_or(|start| is_seen(session, &start))).collect();
            if by.is_empty() { Ok(pretended(number)) } else { Err(Referenced { by }) }
        }
        answer => answer,
    }
}

/// Rolls back and notes that it was done, under the segment's id.
fn noting(
    at: &Handle,
    session: SessionId,
    segment: SegmentId,
    number: u64,
    options: &MaintenanceOptions,
) -> store_core::Result<Rollback> {
    let done = at.inner.rollback(session, segment, number, options)?;
    at.shared.put(segment.to_string(), session.to_string());
    Ok(done)
}

pub(super) const STORES: &[FaultyStore] = &[
    rule!("a_rollback_is_noted_in_the_log", rollback: |at, session, segment, number, options| {
        let done = at.inner.rollback(session, segment, number, options)?;
        let note = NewEntry::text(r#"{"kind":"rollback","ts":1}"#);
        at.inner.append_with(session, segment, &[note], &AppendOptions::default())?;
        Ok(done)
    }),
    rule!("a_handle_takes_a_log_that_got_shorter_for_damage", range: |at, session, segment, after, limit| {
        let records = at.inner.read_range(session, segment, after, limit)?;
        let longest = at.own.get(&segment.to_string()).and_then(|seq| seq.parse().ok()).unwrap_or(0);
        let end = at.end(session, segment).seq.0;
        at.own.put(segment.to_string(), end.max(longest).to_string());
        if at.second && end < longest {
            let detail = "the log got shorter".to_owned();
            return Err(Corrupt(Damage { segment: Some(segment), part: 1, offset: 0, seq: None, detail }));
        }
        Ok(records)
    }),
    FaultyStore::new(
        "a_rollback_is_forgotten_by_a_reopen",
        Rules {
            rollback: Some(|at, session, segment, number, options| {
                let before = at.records(session, segment);
                let done = at.inner.rollback(session, segment, number, options)?;
                let gone = before.into_iter().filter(|record| record.position.seq > done.after.seq);
                let gone: Vec<String> = gone.map(|record| record.text).collect();
                at.shared.put(segment.to_string(), gone.join("\n"));
                Ok(done)
            }),
            range: Some(|at, session, segment, after, limit| {
                if at.reopened
                    && let Some(gone) = at.shared.get(&segment.to_string())
                {
                    at.shared.remove(&segment.to_string());
                    let gone: Vec<_> = gone.lines().map(NewEntry::text).collect();
                    at.inner.append_with(session, segment, &gone, &AppendOptions::default())?;
                }
                at.inner.read_range(session, segment, after, limit)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_segment_that_was_rolled_back_takes_no_single_entries",
        Rules {
            rollback: Some(noting),
            append: Some(|at, session, segment, entries, options| {
                if entries.len() == 1 && at.shared.has(&segment.to_string()) {
                    return Err(Busy { holder: String::new(), host: None, since: None });
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_keys_of_removed_entries_stay_taken",
        Rules {
            rollback: Some(|at, session, segment, number, options| {
                let before = at.records(session, segment);
                let done = at.inner.rollback(session, segment, number, options)?;
                for gone in before.into_iter().filter(|record| record.position.seq > done.after.seq) {
                    gone.key.and_then(|key| at.shared.put(key, ""));
                }
                Ok(done)
            }),
            append: Some(|at, session, segment, entries, options| {
                let taken = entries.iter().filter_map(|entry| entry.key.as_deref()).find(|key| at.shared.has(key));
                match taken {
                    Some(key) => Err(KeyReused { key: key.to_owned(), position: at.end(session, segment) }),
                    None => at.inner.append_with(session, segment, entries, options),
                }
            }),
            ..Rules::KEPT
        },
    ),
    rule!("a_handle_remembers_keys_that_another_one_rolled_back", append: |at, session, segment, entries, options| {
        for entry in entries.iter().filter(|_| at.second) {
            let Some(key) = &entry.key else { continue };
            let text = text_of(entry);
            if at.own.put(format!("{segment} {key}"), &text).is_some_and(|before| before != text) {
                return Err(KeyReused { key: key.clone(), position: at.end(session, segment) });
            }
        }
        at.inner.append_with(session, segment, entries, options)
    }),
    FaultyStore::new(
        "a_rollback_forgets_every_key",
        Rules {
            rollback: Some(noting),
            append: Some(|at, session, segment, entries, options| match at.shared.has(&segment.to_string()) {
                true => at.inner.append_with(session, segment, &without_keys(entries), options),
                false => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_rollback_is_no_change",
        Rules {
            rollback: Some(|at, session, segment, number, options| {
                let before = at.inner.changes(None)?.cursor;
                let done = at.inner.rollback(session, segment, number, options)?;
                at.shared.put(before.0, at.inner.changes(None)?.cursor.0);
                Ok(done)
            }),
            changes: Some(|at, cursor| {
                let behind = cursor.and_then(|cursor| at.shared.get(&cursor.0)).map(store_core::ChangeCursor);
                at.inner.changes(behind.as_ref().or(cursor))
            }),
            ..Rules::KEPT
        },
    ),
    rule!("no_checkpoint_is_ever_void", checkpoints: |at, session, segment| {
        let listed = at.inner.checkpoints(session, segment)?;
        Ok(listed.into_iter().map(|listed| ListedCheckpoint { void: false, ..listed }).collect())
    }),
    rule!("a_rollback_to_the_end_is_refused", rollback: |at, session, segment, number, options| {
        let listed = at.inner.checkpoints(session, segment)?;
        let end = at.end(session, segment).seq;
        match ListedCheckpoint::find(&listed, number) {
            Some(checkpoint) if number > 1 && checkpoint.seq == end => Err(NotFound(Missing::Checkpoint(segment, number))),
            _ => at.inner.rollback(session, segment, number, options),
        }
    }),
    rule!("an_unknown_checkpoint_means_the_last_one", rollback: |at, session, segment, number, options| {
        match at.inner.rollback(session, segment, number, options) {
            Err(NotFound(Missing::Checkpoint(..))) => {
                let listed = at.inner.checkpoints(session, segment)?;
                let last = listed.iter().rfind(|listed| !listed.void).map_or(0, |last| last.checkpoint.number);
                at.inner.rollback(session, segment, last, options)
            }
            answer => answer,
        }
    }),
    rule!("a_rollback_does_not_look_at_the_session", rollback: |at, session, segment, number, options| {
        let session = at.inner.lookup_session_of(segment)?.unwrap_or(session);
        at.inner.rollback(session, segment, number, options)
    }),
    rule!("a_rollback_does_not_see_the_sessions_own_forks", rollback: |at, session, segment, number, options| {
        blind(at, session, segment, number, options, |session, by| {
            by.session_id != session || by.compacted_from.is_some()
        })
    }),
    rule!("a_rollback_does_not_see_forks_of_other_sessions", rollback: |at, session, segment, number, options| {
        blind(at, session, segment, number, options, |session, by| by.session_id == session)
    }),
    rule!("a_rollback_does_not_see_compactions", rollback: |at, session, segment, number, options| {
        blind(at, session, segment, number, options, |_, by| by.compacted_from.is_none())
    }),
    FaultyStore::new(
        "a_rollback_that_is_refused_makes_checkpoints_void",
        Rules {
            rollback: Some(|at, session, segment, number, options| {
                let answer = at.inner.rollback(session, segment, number, options);
                if matches!(answer, Err(Referenced { .. })) && !options.dry_run {
                    at.shared.put(segment.to_string(), "");
                }
                answer
            }),
            checkpoints: Some(|at, session, segment| {
                let listed = at.inner.checkpoints(session, segment)?;
                let refused = at.shared.has(&segment.to_string());
                Ok(listed.into_iter().map(|one| ListedCheckpoint { void: one.void || refused, ..one }).collect())
            }),
            ..Rules::KEPT
        },
    ),
    rule!("any_fork_keeps_from_rolling_back", rollback: |at, session, segment, number, options| {
        let mut by = Vec::new();
        for other in at.inner.list_sessions()? {
            by.extend(at.inner.list_segments(other)?);
        }
        by.retain(|by| start_of(at, *by).and_then(|start| start.origin().copied()).is_some_and(|of| of.segment_id == segment));
        if by.is_empty() { at.inner.rollback(session, segment, number, options) } else { Err(Referenced { by }) }
    }),
    FaultyStore::new(
        "a_rollback_takes_the_sessions_other_segments_along",
        Rules {
            rollback: Some(noting),
            count: Some(|at, session, segment| {
                let count = at.inner.read_entry_count(session, segment)?;
                let rolled = at
                    .shared
                    .all()
                    .iter()
                    .any(|(of, within)| *of != segment.to_string() && *within == session.to_string());
                Ok(if rolled { 1 } else { count })
            }),
            ..Rules::KEPT
        },
    ),
    rule!("a_rollback_ignores_leases", rollback: |at, session, segment, number, options| {
        match at.inner.rollback(session, segment, number, options) {
            Err(Busy { .. }) => Ok(pretended(number)),
            answer => answer,
        }
    }),
    FaultyStore::new(
        "a_rollback_keeps_the_lease",
        Rules {
            rollback: Some(noting),
            lease: Some(|at, session, segment, holder, now| match at.shared.has(&segment.to_string()) {
                true => Err(Busy { holder: "a rollback".to_owned(), host: None, since: None }),
                false => at.inner.lease(session, segment, holder, now),
            }),
            ..Rules::KEPT
        },
    ),
    rule!("a_dry_rollback_is_a_rollback", rollback: |at, session, segment, number, options| {
        at.inner.rollback(session, segment, number, &MaintenanceOptions { dry_run: false, ..options.clone() })
    }),
    rule!("a_rollback_says_nothing_of_what_it_removed", rollback: |at, session, segment, number, options| {
        let done = at.inner.rollback(session, segment, number, options)?;
        Ok(Rollback { removed: 0, quarantined: Vec::new(), ..done })
    }),
    rule!("a_rollback_is_not_recorded", events: |at| {
        let mut events = at.inner.events()?;
        events.retain(|event| !matches!(event.what, EventKind::RolledBack { .. }) || event.outcome != Outcome::Ok);
        Ok(events)
    }),
    rule!("only_what_succeeds_is_recorded", events: |at| {
        let mut events = at.inner.events()?;
        events.retain(|event| !matches!(event.what, EventKind::RolledBack { .. }) || event.outcome == Outcome::Ok);
        Ok(events)
    }),
    rule!("damage_anywhere_keeps_from_rolling_back", rollback: |at, session, segment, number, options| {
        let mut damage = None;
        at.inner.scan(session, segment, &mut |scanned| {
            if let Scanned::Damaged(stretch) = scanned {
                damage = Some(stretch.to_finding(session, segment).to_damage());
            }
            std::ops::ControlFlow::Continue(())
        })?;
        damage.map_or_else(|| at.inner.rollback(session, segment, number, options), |damage| Err(Corrupt(damage)))
    }),
    rule!("a_rollback_does_not_look_at_what_it_keeps", rollback: |at, session, segment, number, options| {
        match at.inner.rollback(session, segment, number, options) {
            Err(Corrupt(_)) => Ok(pretended(number)),
            answer => answer,
        }
    }),
];
