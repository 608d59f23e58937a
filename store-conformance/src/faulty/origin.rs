//! Faults of origins.

use store_core::StoreError::InvalidOrigin;
use store_core::{
    AppendOptions, CreateOptions, HistoryItem, HistoryRef, LogEntry, NewBody, NewEntry, Position, Result, SegmentId,
    SegmentOrigin, SegmentStart, Seq, SessionId, Store as _,
};

use super::FaultyStore;
use super::handle::{Handle, Rules};

fn start_of(entries: &[NewEntry]) -> Option<&SegmentStart> {
    match &entries.first()?.body {
        NewBody::Typed(LogEntry::SegmentStart(start)) => Some(start),
        _ => None,
    }
}

fn origin_of(entries: &[NewEntry]) -> Option<SegmentOrigin> {
    start_of(entries)?.origin().copied()
}

fn reference_of(entries: &[NewEntry]) -> Option<HistoryRef> {
    start_of(entries)?.history.iter().find_map(|item| match item {
        HistoryItem::Reference(reference) => Some(*reference),
        HistoryItem::Item(_) => None,
    })
}

fn without_origin(entries: &[NewEntry]) -> Vec<NewEntry> {
    let mut entries = entries.to_vec();
    if let Some(NewEntry { body: NewBody::Typed(LogEntry::SegmentStart(start)), .. }) = entries.first_mut() {
        **start = SegmentStart::new(start.session_id, start.ts);
    }
    entries
}

/// Creates the segment although its origin is invalid, if `overlooked` says that this store does not notice.
fn create_anyway(
    at: &Handle,
    (session, segment): (SessionId, SegmentId),
    entries: &[NewEntry],
    options: &CreateOptions,
    overlooked: impl Fn() -> Option<bool>,
) -> Result<Vec<Position>> {
    match at.inner.create_segment(session, segment, entries, options) {
        Err(InvalidOrigin { .. }) if overlooked() == Some(true) => {
            at.inner.create_segment(session, segment, &without_origin(entries), options)
        }
        answer => answer,
    }
}

/// Refuses what is valid, if `disliked` says that this store does not accept it.
fn create_unless(
    at: &Handle,
    (session, segment): (SessionId, SegmentId),
    entries: &[NewEntry],
    options: &CreateOptions,
    disliked: impl Fn() -> Option<bool>,
) -> Result<Vec<Position>> {
    if disliked() == Some(true) {
        return Err(InvalidOrigin { detail: "not accepted".to_owned() });
    }
    at.inner.create_segment(session, segment, entries, options)
}

/// How many entries the segment of an origin has, if that segment is in the origin's session.
fn count_at(at: &Handle, origin: SegmentOrigin) -> Option<u64> {
    at.inner.read_entry_count(origin.session_id, origin.segment_id).ok()
}

macro_rules! store {
    ($name:literal, $create:ident, |$at:ident, $segment:ident, $entries:ident| $condition:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                create: Some(|$at, session, $segment, $entries, options| {
                    $create($at, (session, $segment), $entries, options, || Some($condition))
                }),
                ..Rules::KEPT
            },
        )
    };
}

pub(super) const STORES: &[FaultyStore] = &[
    store!("an_origin_in_a_missing_segment_is_accepted", create_anyway, |at, segment, entries| {
        let origin = origin_of(entries)?;
        origin.segment_id != segment && at.inner.lookup_session_of(origin.segment_id).ok()?.is_none()
    }),
    store!("a_segment_may_continue_itself", create_anyway, |_at, segment, entries| {
        origin_of(entries)?.segment_id == segment
    }),
    store!("the_session_of_an_origin_is_not_looked_at", create_anyway, |at, _segment, entries| {
        let origin = origin_of(entries)?;
        at.inner.lookup_session_of(origin.segment_id).ok()? != Some(origin.session_id)
            && at.inner.lookup_session_of(origin.segment_id).ok()?.is_some()
    }),
    store!("an_origin_may_stand_before_the_first_entry", create_anyway, |_at, _segment, entries| {
        origin_of(entries)?.seq.0 == 0
    }),
    store!("a_fork_may_stand_beyond_the_end", create_anyway, |at, _segment, entries| {
        let origin = start_of(entries)?.forked_from?;
        origin.seq.0 > count_at(at, origin)?
    }),
    store!("the_origin_of_a_compaction_is_not_looked_at", create_anyway, |_at, _segment, entries| {
        start_of(entries)?.forked_from.is_none() && start_of(entries)?.compacted_from.is_some()
    }),
    store!("of_two_origins_the_first_counts", create_anyway, |_at, _segment, entries| {
        start_of(entries)?.forked_from.is_some() && start_of(entries)?.compacted_from.is_some()
    }),
    store!("history_may_refer_behind_the_origin", create_anyway, |_at, _segment, entries| {
        reference_of(entries)?.through > origin_of(entries)?.seq
    }),
    store!("history_may_refer_to_any_segment", create_anyway, |_at, _segment, entries| {
        reference_of(entries)?.segment_id != origin_of(entries)?.segment_id
    }),
    store!("history_may_run_backwards", create_anyway, |_at, _segment, entries| {
        reference_of(entries)?.from > reference_of(entries)?.through
    }),
    store!("a_fork_of_the_last_entry_is_refused", create_unless, |at, _segment, entries| {
        let origin = origin_of(entries)?;
        origin.seq.0 == count_at(at, origin)?
    }),
    store!("history_may_not_refer_to_the_origin_itself", create_unless, |_at, _segment, entries| {
        reference_of(entries)?.through == origin_of(entries)?.seq
    }),
    store!("history_may_refer_to_the_parent_only", create_unless, |_at, _segment, entries| {
        reference_of(entries)?.segment_id != origin_of(entries)?.segment_id
    }),
    store!("a_fork_stays_in_its_session", create_unless, |_at, _segment, entries| {
        origin_of(entries)?.session_id != start_of(entries)?.session_id
    }),
    FaultyStore::new(
        "a_fork_copies_its_prefix",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let positions = at.inner.create_segment(session, segment, entries, options)?;
                if let Some(origin) = origin_of(entries) {
                    let prefix = at.inner.read_range(origin.session_id, origin.segment_id, Seq(1), usize::MAX)?;
                    let copies: Vec<_> = prefix.into_iter().map(|record| NewEntry::text(record.text)).collect();
                    if !copies.is_empty() {
                        at.inner.append_with(session, segment, &copies, &AppendOptions::default())?;
                    }
                }
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_fork_is_read_without_its_origin",
        Rules {
            all: Some(|at, session, segment| {
                let mut entries = at.inner.read_all(session, segment)?;
                if let Some(LogEntry::SegmentStart(start)) = entries.first_mut() {
                    start.forked_from = None;
                }
                Ok(entries)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_refused_origin_leaves_its_segment",
        Rules {
            create: Some(|at, session, segment, entries, options| {
                let answer = at.inner.create_segment(session, segment, entries, options);
                if matches!(answer, Err(InvalidOrigin { .. })) {
                    at.inner.create_segment(session, segment, &without_origin(entries), options)?;
                }
                answer
            }),
            ..Rules::KEPT
        },
    ),
];
