//! Faults of appending: order, positions, and what is refused.

use store_core::StoreError::{InvalidEntry, NotFound, TooLarge, Unsupported};
use store_core::call::prepare_append;
use store_core::{AppendOptions, Durability, LogEntry, NewBody, NewEntry, Position, Result, SegmentId, Seq, SessionId};
use store_core::{Store as _, StoreError};

use super::FaultyStore;
use super::handle::{Handle, Rules, rewritten, text_of};
use super::reference::text_bytes;
use crate::Limits;

const fn is_start(entry: &NewEntry) -> bool {
    matches!(entry.body, NewBody::Typed(LogEntry::SegmentStart(_)))
}

/// Appends; a call that is refused seems to succeed if `overlooked` recognises the error and the entries.
fn append_anyway(
    at: &Handle,
    (session, segment): (SessionId, SegmentId),
    entries: &[NewEntry],
    options: &AppendOptions,
    overlooked: impl Fn(&StoreError, &[NewEntry]) -> bool,
) -> Result<Vec<Position>> {
    match at.inner.append_with(session, segment, entries, options) {
        Err(error) if overlooked(&error, entries) => at.pretend(session, segment, entries),
        answer => answer,
    }
}

macro_rules! overlooks {
    ($name:literal, |$error:ident, $entries:ident| $condition:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                append: Some(|at, session, segment, entries, options| {
                    append_anyway(at, (session, segment), entries, options, |$error, $entries| $condition)
                }),
                ..Rules::KEPT
            },
        )
    };
}

fn refuses_over(bytes_max: u64, entries: &[NewEntry]) -> Result<()> {
    match entries.iter().map(text_bytes).max() {
        Some(bytes) if bytes > bytes_max => Err(TooLarge { bytes, bytes_max }),
        _ => Ok(()),
    }
}

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "the_entries_of_a_call_are_written_backwards",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut entries = entries.to_vec();
                if entries.len() > 2
                    && entries.iter().all(|entry| entry.key.is_none())
                    && prepare_append(&entries).is_ok()
                {
                    entries.reverse();
                }
                at.inner.append_with(session, segment, &entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_append_answers_with_other_checksums",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut positions = at.inner.append_with(session, segment, entries, options)?;
                positions.iter_mut().for_each(|position| position.crc32c ^= 1);
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_append_answers_with_the_seq_before",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut positions = at.inner.append_with(session, segment, entries, options)?;
                positions.iter_mut().for_each(|position| position.seq = Seq(position.seq.0 - 1));
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_entry_that_is_appended_alone_is_written_twice",
        Rules {
            append_one: Some(|at, session, segment, entry| {
                let position = at.inner.append(session, segment, entry)?;
                at.inner.append(session, segment, entry)?;
                Ok(position)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_typed_entry_loses_its_mark_of_interruption",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut entries = entries.to_vec();
                for entry in &mut entries {
                    if let NewBody::Typed(LogEntry::RunCompleted(run)) = &mut entry.body {
                        run.interrupted = false;
                    }
                }
                at.inner.append_with(session, segment, &entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_entry_equal_to_the_last_one_is_left_out",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let last = at.inner.read_tail(session, segment, 1).unwrap_or_default().pop();
                match (entries, last) {
                    ([one], Some(last)) if one.key.is_none() && text_of(one) == last.text => Ok(vec![last.position]),
                    _ => at.inner.append_with(session, segment, entries, options),
                }
            }),
            ..Rules::KEPT
        },
    ),
    overlooks!("an_append_to_an_unknown_segment_is_dropped", |error, _entries| matches!(error, NotFound(_))),
    FaultyStore::new(
        "appends_do_not_look_at_the_session",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let holder = at.inner.lookup_session_of(segment)?;
                at.inner.append_with(holder.unwrap_or(session), segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    overlooks!("an_empty_call_succeeds", |_error, entries| entries.is_empty()),
    FaultyStore::new(
        "a_call_is_written_up_to_its_bad_entry",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let answer = at.inner.append_with(session, segment, entries, options);
                if let Err(InvalidEntry { index: index @ 1.., .. }) = &answer {
                    at.inner.append_with(session, segment, &entries[..*index], options)?;
                }
                answer
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "later_starts_are_left_out",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let kept: Vec<_> = entries.iter().filter(|entry| !is_start(entry)).cloned().collect();
                at.inner.append_with(session, segment, &kept, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_buffered_append_is_lost",
        Rules {
            append: Some(|at, session, segment, entries, options| match options.durability {
                Some(Durability::Buffered) => at.pretend(session, segment, entries),
                _ => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_synced_append_is_not_supported",
        Rules {
            append: Some(|at, session, segment, entries, options| match options.durability {
                Some(Durability::Synced) => Err(Unsupported { what: "Synced" }),
                _ => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_call_is_cut_after_512_entries",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let written = &entries[..entries.len().min(512)];
                let mut positions = at.inner.append_with(session, segment, written, options)?;
                positions.resize(entries.len(), at.end(session, segment));
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_long_entry_is_refused",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                refuses_over(Limits::SMALL.string_bytes as u64 / 2, entries)?;
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_largest_entry_is_refused",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                refuses_over(Limits::SMALL.entry_bytes_max - 1, entries)?;
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_entry_may_be_a_little_too_long",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let longest = entries.iter().map(text_bytes).max();
                if longest.is_some_and(|bytes| bytes > Limits::SMALL.entry_bytes_max) {
                    return at.pretend(session, segment, entries);
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_call_has_no_limit",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                if entries.iter().map(text_bytes).sum::<u64>() > Limits::SMALL.call_bytes_max {
                    return at.pretend(session, segment, entries);
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "entries_are_trimmed",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let trimmed = rewritten(entries, |text| Some(text.trim().to_owned()));
                at.inner.append_with(session, segment, &trimmed, options)
            }),
            ..Rules::KEPT
        },
    ),
];
