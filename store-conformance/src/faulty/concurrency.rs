//! Faults that show only when calls meet: each looks first and writes later.
//!
//! Between the two a fault waits for another thread, for as long as some turns of the scheduler, so that it
//! shows every time the checks run.

use std::thread;

use store_core::StoreError::{AlreadyExists, Conflict};
use store_core::call::prepare_append;
use store_core::{AppendOptions, Store as _};

use super::FaultyStore;
use super::handle::Rules;

/// How many turns a fault gives the others.
const TURNS: usize = 150;

/// Lets others go first until `seen` something of them, or for long enough.
pub(super) fn let_others_go(seen: impl Fn() -> bool) -> bool {
    for _ in 0..TURNS {
        if seen() {
            return true;
        }
        thread::yield_now();
    }
    false
}

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "a_call_is_written_entry_by_entry",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                if entries.len() < 2
                    || entries.iter().any(|entry| entry.key.is_some())
                    || prepare_append(entries).is_err()
                {
                    return at.inner.append_with(session, segment, entries, options);
                }
                let (first, rest) = entries.split_at(1);
                let mut positions = at.inner.append_with(session, segment, first, options)?;
                let_others_go(|| at.end(session, segment) != positions[0]);
                for entry in rest {
                    let one = std::slice::from_ref(entry);
                    positions.extend(at.inner.append_with(session, segment, one, &AppendOptions::default())?);
                }
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_append_answers_with_the_end_as_it_is_then",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut positions = at.inner.append_with(session, segment, entries, options)?;
                let keyed = entries.iter().any(|entry| entry.key.is_some());
                if let Some(last) = positions.last().copied().filter(|_| !keyed)
                    && let_others_go(|| at.end(session, segment) != last)
                {
                    positions =
                        at.inner.read_tail(session, segment, entries.len())?.iter().map(|r| r.position).collect();
                }
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_append_beside_another_one_is_lost",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let end = at.end(session, segment);
                let met = let_others_go(|| at.end(session, segment) != end);
                let bound = options.expected.is_some() || entries.iter().any(|entry| entry.key.is_some());
                if met && !bound && at.end(session, segment).seq > end.seq {
                    return at.pretend(session, segment, entries);
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_expected_end_is_compared_before_the_lock",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let keyed = entries.iter().any(|entry| entry.key.is_some());
                let (Some(expected), false) = (options.expected, keyed) else {
                    return at.inner.append_with(session, segment, entries, options);
                };
                let actual = at.end(session, segment);
                if !expected.holds_at(actual) {
                    return Err(Conflict { expected, actual });
                }
                let_others_go(|| at.end(session, segment) != actual);
                at.inner.append_with(session, segment, entries, &AppendOptions { expected: None, ..*options })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_key_is_looked_up_before_the_lock",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let [one] = entries else { return at.inner.append_with(session, segment, entries, options) };
                let stands =
                    || at.records(session, segment).iter().any(|record| record.key.is_some() && record.key == one.key);
                if one.key.is_none() || stands() || !let_others_go(stands) {
                    return at.inner.append_with(session, segment, entries, options);
                }
                at.inner.append_with(session, segment, &super::handle::without_keys(entries), options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_id_is_looked_up_before_the_lock",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let taken = || at.inner.lookup_session_of(segment).is_ok_and(|holder| holder.is_some());
                if taken() || !let_others_go(taken) {
                    return at.inner.create_segment(session, segment, entries, options);
                }
                match at.inner.create_segment(session, segment, entries, options) {
                    Err(AlreadyExists { session: holder, .. }) => at.pretend(holder, segment, entries),
                    answer => answer,
                }
            }),
            ..Rules::KEPT
        },
    ),
];
