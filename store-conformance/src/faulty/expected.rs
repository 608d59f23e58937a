//! Faults of `expected`.

use store_core::Expected::{At, Count};
use store_core::StoreError::Conflict;
use store_core::{AppendOptions, Expected, NewEntry, Position, Result, SegmentId, SessionId, Store as _};

use super::FaultyStore;
use super::handle::{Handle, Rules};

/// Appends without `expected`, if `ignored` says that this store takes it for met.
fn append_unless_ignored(
    at: &Handle,
    (session, segment): (SessionId, SegmentId),
    entries: &[NewEntry],
    options: &AppendOptions,
    ignored: impl Fn(Expected, Position) -> bool,
) -> Result<Vec<Position>> {
    let end = at.end(session, segment);
    let expected = options.expected.filter(|expected| !ignored(*expected, end));
    at.inner.append_with(session, segment, entries, &AppendOptions { expected, ..*options })
}

macro_rules! ignores {
    ($name:literal, |$expected:ident, $end:ident| $condition:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                append: Some(|at, session, segment, entries, options| {
                    append_unless_ignored(at, (session, segment), entries, options, |$expected, $end| $condition)
                }),
                ..Rules::KEPT
            },
        )
    };
}

pub(super) const STORES: &[FaultyStore] = &[
    ignores!("a_stale_count_is_accepted", |expected, end| matches!(expected, Count(count) if count < end.seq.0)),
    ignores!(
        "a_count_beyond_the_end_is_accepted",
        |expected, end| matches!(expected, Count(count) if count > end.seq.0)
    ),
    ignores!("an_earlier_position_is_accepted", |expected, end| matches!(expected, At(at) if at.seq < end.seq)),
    ignores!("positions_are_compared_by_seq_alone", |expected, end| matches!(expected, At(at) if at.seq == end.seq)),
    FaultyStore::new(
        "an_expected_count_is_never_met",
        Rules {
            append: Some(|at, session, segment, entries, options| match options.expected {
                Some(expected @ Count(_)) => Err(Conflict { expected, actual: at.end(session, segment) }),
                _ => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_expected_position_is_never_met",
        Rules {
            append: Some(|at, session, segment, entries, options| match options.expected {
                Some(expected @ At(_)) => Err(Conflict { expected, actual: at.end(session, segment) }),
                _ => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_conflict_tells_no_checksum",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                at.inner.append_with(session, segment, entries, options).map_err(|error| match error {
                    Conflict { expected, actual } => Conflict { expected, actual: Position { crc32c: 0, ..actual } },
                    other => other,
                })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_conflict_is_told_after_the_write",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let answer = at.inner.append_with(session, segment, entries, options);
                if matches!(answer, Err(Conflict { .. })) {
                    at.inner.append_with(session, segment, entries, &AppendOptions { expected: None, ..*options })?;
                }
                answer
            }),
            ..Rules::KEPT
        },
    ),
];
