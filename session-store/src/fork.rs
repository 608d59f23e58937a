//! Forks: segments that continue a point of another one. Nothing is copied.
//!
//! [`fork`] begins a new session, [`fork_at`] a new branch of the same one, and [`ensure_head_or_fork`] one only if somebody
//! else went on where the caller wanted to.

use store_core::{
    Expected, LogEntry, Position, SegmentId, SegmentMeta, SegmentOrigin, SegmentStart, Seq, SessionId, Store,
    StoreError, TimestampMs,
};

use crate::error::{LineageError, Result, SessionError};
use crate::facts::{CurrentLeaf, SessionFact, put_session_fact};
use crate::fold::{TurnChange, TurnFold};
use crate::lineage::{self, LineageEntries};
use crate::restore::collect_meta;
use crate::segment::{SegmentLocation, write_start};

/// Where a branch is continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForkPoint {
    /// At its end.
    End,
    /// Behind the last entry of this turn, counted from the branch's root; 0: before the first turn.
    Turn(u64),
    /// Behind this entry of the named segment, inclusive.
    Seq(Seq),
}

/// Begins a new session that continues a point of a segment's branch.
///
/// # Errors
/// `NotFound`; `InvalidTurn`; [`LineageError`], `BeyondEnd` for a seq that the segment does not have; what the store fails with.
pub fn fork(store: &dyn Store, now: TimestampMs, from: SegmentLocation, at: ForkPoint) -> Result<SegmentLocation> {
    let parts = lineage::load(store, from.session_id, from.segment_id)?;
    let origin = fork_origin(&parts, at)?;
    let agent = collect_meta(&parts).agent;
    let meta = SegmentMeta { agent, ..SegmentMeta::default() };
    let location = SegmentLocation { session_id: SessionId::mint(now), segment_id: SegmentId::mint(now) };
    let start = SegmentStart { forked_from: Some(origin), meta, ..SegmentStart::new(location.session_id, now) };
    write_start(store, location.segment_id, start)?;
    Ok(location)
}

/// Begins a new branch of the same session at a point of a segment's branch, and makes it the current one.
///
/// # Errors
/// As [`fork`].
pub fn fork_at(store: &dyn Store, now: TimestampMs, from: SegmentLocation, at: ForkPoint) -> Result<SegmentLocation> {
    let parts = lineage::load(store, from.session_id, from.segment_id)?;
    let origin = fork_origin(&parts, at)?;
    Ok(branch(store, now, from.session_id, origin, &parts)?.0)
}

/// Answers with the segment itself if its log ends at `expected`; otherwise with a new branch of the same session
/// that continues it there.
///
/// # Errors
/// `Conflict` if the log has another entry at that place, or none, because it was rolled back: what the caller saw is gone;
/// else as [`fork`].
pub fn ensure_head_or_fork(
    store: &dyn Store,
    now: TimestampMs,
    location: SegmentLocation,
    expected: Position,
) -> Result<SegmentLocation> {
    let forked = fork_unless_head(store, now, location, expected)?;
    Ok(forked.map_or(location, |(location, _)| location))
}

/// The new branch and its first entry, if one was needed.
pub(crate) fn fork_unless_head(
    store: &dyn Store,
    now: TimestampMs,
    location: SegmentLocation,
    expected: Position,
) -> Result<Option<(SegmentLocation, Position)>> {
    let actual = end_of(store, location)?;
    if actual == expected {
        return Ok(None);
    }
    fork_behind(store, now, location, (expected, actual)).map(Some)
}

/// A new branch of the same session behind `expected`, which has to stand in a log that ends at `actual`; its first entry.
pub(crate) fn fork_behind(
    store: &dyn Store,
    now: TimestampMs,
    location: SegmentLocation,
    (expected, actual): (Position, Position),
) -> Result<(SegmentLocation, Position)> {
    let SegmentLocation { session_id, segment_id } = location;
    let conflict = StoreError::Conflict { expected: Expected::At(expected), actual };
    if expected.seq == Seq::START || expected.seq > actual.seq {
        return Err(conflict.into());
    }
    let parts = lineage::load_through(store, session_id, segment_id, expected.seq)?;
    if parts.last().is_none_or(|own| own.position != expected) {
        return Err(conflict.into());
    }
    let origin = fork_origin(&parts, ForkPoint::End)?;
    branch(store, now, session_id, origin, &parts)
}

/// Refuses to go on if the log does not end at `expected`.
pub(crate) fn expect_head(store: &dyn Store, location: SegmentLocation, expected: Position) -> Result<()> {
    let actual = end_of(store, location)?;
    if actual == expected {
        return Ok(());
    }
    Err(StoreError::Conflict { expected: Expected::At(expected), actual }.into())
}

pub(crate) fn end_of(store: &dyn Store, location: SegmentLocation) -> Result<Position> {
    let tail = store.read_tail(location.session_id, location.segment_id, 1)?;
    let last = tail.into_iter().next_back();
    Ok(last.ok_or(LineageError::NoStart { segment: location.segment_id })?.position)
}

fn branch(
    store: &dyn Store,
    now: TimestampMs,
    session: SessionId,
    origin: SegmentOrigin,
    parts: &[LineageEntries],
) -> Result<(SegmentLocation, Position)> {
    let meta = meta_of_branch(parts);
    let start = SegmentStart { forked_from: Some(origin), meta, ..SegmentStart::new(session, now) };
    begin_branch(store, now, start)
}

/// What a new segment of the same session takes over of the one that it continues: everything but the file that only
/// that one was read from and the id under which only that one stands there.
pub(crate) fn meta_of_branch(parts: &[LineageEntries]) -> SegmentMeta {
    SegmentMeta { native_id: None, source: None, ..collect_meta(parts) }
}

/// Makes a segment of an existing session and the session's current leaf.
pub(crate) fn begin_branch(
    store: &dyn Store,
    now: TimestampMs,
    start: SegmentStart,
) -> Result<(SegmentLocation, Position)> {
    let (location, position) = write_branch(store, now, start)?;
    make_current(store, now, location, position)?;
    Ok((location, position))
}

/// Makes a segment of an existing session.
pub(crate) fn write_branch(
    store: &dyn Store,
    now: TimestampMs,
    start: SegmentStart,
) -> Result<(SegmentLocation, Position)> {
    let location = SegmentLocation { session_id: start.session_id, segment_id: SegmentId::mint(now) };
    let position = write_start(store, location.segment_id, start)?;
    Ok((location, position))
}

/// Makes a segment its session's current leaf.
pub(crate) fn make_current(
    store: &dyn Store,
    now: TimestampMs,
    location: SegmentLocation,
    end: Position,
) -> Result<()> {
    let leaf = CurrentLeaf { segment_id: location.segment_id, seq: end.seq };
    put_session_fact(store, now, location.session_id, &SessionFact::CurrentLeaf(leaf))
}

/// The origin of a segment that continues a branch at a point. The branch's last segment is the one that
/// [`ForkPoint::Seq`] means.
///
/// A turn goes on to its last entry: what ended it, and the usage and extensions that were recorded behind that. What the program put
/// in and which settings changed between two turns belongs to the later one. A compaction between two turns belongs to neither.
///
/// # Errors
/// `InvalidTurn`; `BeyondEnd`.
pub fn fork_origin(parts: &[LineageEntries], at: ForkPoint) -> Result<SegmentOrigin> {
    let Some(own) = parts.last() else {
        return Err(SessionError::InvalidTurn { at: 0, turns: 0 });
    };
    let (part, seq) = match at {
        ForkPoint::End => (parts.len() - 1, own.position.seq),
        ForkPoint::Turn(turn) => end_of_turn(parts, turn)?,
        ForkPoint::Seq(seq) if seq == Seq::START || seq > own.position.seq => {
            let (segment, count) = (own.segment_id, own.position.seq.0);
            return Err(LineageError::BeyondEnd { segment, seq, count }.into());
        }
        ForkPoint::Seq(seq) => (parts.len() - 1, seq),
    };
    let through = &parts[part];
    let of_part = through.numbered().take_while(|(at, _)| *at <= seq).map(|(_, entry)| entry);
    let mut turns = TurnFold::default();
    for entry in parts[..part].iter().flat_map(|part| &part.entries).chain(of_part) {
        turns.apply(entry);
    }
    Ok(SegmentOrigin {
        session_id: through.session_id,
        segment_id: through.segment_id,
        seq,
        at_turn_index: turns.turn_count(),
    })
}

/// The last entry of a turn, or of all that stands before the first one, as the place of its segment in the branch and its seq.
pub(crate) fn end_of_turn(parts: &[LineageEntries], turn: u64) -> Result<(usize, Seq)> {
    let mut fold = TurnFold::default();
    let mut end = None;
    'branch: for (at, part) in parts.iter().enumerate() {
        for (seq, entry) in part.numbered() {
            let change = fold.apply(entry);
            if fold.turn_count() > turn || (fold.turn_count() == turn && turn > 0 && leaves_turn(&fold, entry)) {
                break 'branch;
            }
            if fold.turn_count() == turn && (turn == 0 || is_of_turn(&fold, change, entry)) {
                end = Some((at, seq));
            }
        }
    }
    end.filter(|_| fold.turn_count() >= turn).ok_or(SessionError::InvalidTurn { at: turn, turns: fold.turn_count() })
}

/// Whether nothing behind this entry can belong to the turn any more.
fn leaves_turn(fold: &TurnFold, entry: &LogEntry) -> bool {
    matches!(entry, LogEntry::SegmentStart(start) if start.compacted_from.is_some()) && !fold.is_open()
}

/// Whether an entry of the last turn's stretch belongs to that turn.
fn is_of_turn(fold: &TurnFold, change: TurnChange, entry: &LogEntry) -> bool {
    match entry {
        LogEntry::SegmentStart(_) => false,
        LogEntry::SystemItem(_) | LogEntry::ConfigChanged(_) => fold.is_open() || change == TurnChange::Ended,
        _ => true,
    }
}
