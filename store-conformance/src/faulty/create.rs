//! Faults of creation.

use store_core::StoreError::{AlreadyExists, KeyReused};
use store_core::{LogEntry, NewBody, NewEntry, SegmentStart, Seq, SessionId, Store as _, call};

use super::FaultyStore;
use super::handle::{Rules, text_of, without_keys};

fn start(session: SessionId) -> NewEntry {
    NewEntry::typed(LogEntry::SegmentStart(Box::new(SegmentStart::new(session, 1))))
}

const fn is_start(entry: &NewEntry) -> bool {
    matches!(entry.body, NewBody::Typed(LogEntry::SegmentStart(_)))
}

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "a_creation_writes_its_later_entries_backwards",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let mut entries = entries.to_vec();
                if entries.len() > 2 && entries.iter().all(|entry| entry.key.is_none()) {
                    entries[1..].reverse();
                }
                at.inner.create_segment(session, segment, &entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_creation_counts_from_zero",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let mut positions = at.inner.create_segment(session, segment, entries, options)?;
                for position in &mut positions {
                    position.seq = Seq(position.seq.0 - 1);
                }
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_empty_creation_is_given_a_start",
        Rules {
            create: Some(|at, session, segment, entries, options| match entries {
                [] => at.inner.create_segment(session, segment, &[start(session)], options),
                _ => at.inner.create_segment(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_missing_start_is_supplied",
        Rules {
            create: Some(|at, session, segment, entries, options| match entries.first() {
                Some(first) if !is_start(first) => {
                    at.inner.create_segment(session, segment, &[&[start(session)], entries].concat(), options)
                }
                _ => at.inner.create_segment(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_session_that_a_start_names_is_not_looked_at",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let mut entries = entries.to_vec();
                if let Some(NewEntry { body: NewBody::Typed(LogEntry::SegmentStart(start)), .. }) = entries.first_mut()
                {
                    start.session_id = session;
                }
                at.inner.create_segment(session, segment, &entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "later_starts_of_a_creation_are_left_out",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let mut number = 0..;
                let keep = |entry: &&NewEntry| number.next() == Some(0) || !is_start(entry);
                let kept: Vec<_> = entries.iter().filter(keep).cloned().collect();
                at.inner.create_segment(session, segment, &kept, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_second_creation_succeeds_without_writing",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                match at.inner.create_segment(session, segment, entries, options) {
                    Err(AlreadyExists { session: holder, .. }) if holder == session => {
                        at.pretend(session, segment, entries)
                    }
                    answer => answer,
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "segment_ids_are_unique_in_their_session_only",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                match at.inner.create_segment(session, segment, entries, options) {
                    Err(AlreadyExists { session: holder, .. }) if holder != session => {
                        at.pretend(holder, segment, entries)
                    }
                    answer => answer,
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_second_creation_writes_before_it_is_refused",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let answer = at.inner.create_segment(session, segment, entries, options);
                if let (Err(AlreadyExists { session: holder, .. }), Some(later)) = (&answer, entries.get(1..)) {
                    let _ = at.inner.append_with(*holder, segment, later, &store_core::AppendOptions::default());
                }
                answer
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_refused_creation_leaves_its_first_entry",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                if entries.len() > 1 && entries.first().is_some_and(is_start) {
                    call::prepare_create(session, entries).or_else(|error| {
                        at.inner.create_segment(session, segment, &entries[..1], options)?;
                        Err(error)
                    })?;
                }
                at.inner.create_segment(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_creation_with_a_reused_key_leaves_its_first_entry",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let answer = at.inner.create_segment(session, segment, entries, options);
                if matches!(answer, Err(KeyReused { .. })) {
                    at.inner.create_segment(session, segment, &entries[..1], options)?;
                }
                answer
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_creation_writes_a_repeated_key_twice",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let keys: Vec<_> = entries.iter().filter_map(|entry| entry.key.as_deref()).collect();
                let repeated = keys.iter().any(|key| keys.iter().filter(|other| *other == key).count() > 1);
                let texts: std::collections::BTreeSet<_> = entries.iter().map(text_of).collect();
                if repeated && texts.len() < entries.len() {
                    return at.inner.create_segment(session, segment, &without_keys(entries), options);
                }
                at.inner.create_segment(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_keys_of_a_creation_are_forgotten",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                at.inner.create_segment(session, segment, &without_keys(entries), options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_has_one_log_for_all_its_segments",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let known = at.inner.lookup_session_of(segment)? == Some(session);
                let oldest = at.inner.list_segments(session)?.pop().filter(|_| known);
                at.inner.append_with(session, oldest.unwrap_or(segment), entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_buffered_creation_is_lost",
        Rules {
            create: Some(|at, session, segment, entries, options| match options.durability {
                Some(store_core::Durability::Buffered) => at.pretend(session, segment, entries),
                _ => at.inner.create_segment(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_synced_creation_is_not_supported",
        Rules {
            create: Some(|at, session, segment, entries, options| match options.durability {
                Some(store_core::Durability::Synced) => Err(store_core::StoreError::Unsupported { what: "Synced" }),
                _ => at.inner.create_segment(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
];
