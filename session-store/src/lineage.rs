//! The lineage of a segment: the entries that its branch consists of, from the root to its end.
//!
//! A segment that continues another one copies nothing; its prefix is read where it stands. Walking the origins
//! upwards and turning the list round gives the branch in reading order. Each segment of the way is read once: its
//! first entry for [`lineage`], its whole prefix for [`load`].
//!
//! The store checks an origin when a segment is created. It is checked again on every way up, because logs can be
//! damaged or rolled back afterwards, and an answer that silently lacks a part of the history would be worse than none.

use store_core::{
    HistoryItem, HistoryRef, LogEntry, Missing, Position, Record, SegmentId, SegmentOrigin, SegmentStart, Seq,
    SessionId, Store, StoreError,
};

use crate::error::{LineageError, Result};

/// One segment of a branch, as far as the branch goes through it.
#[derive(Clone, Debug, PartialEq)]
pub struct LineagePart {
    /// The segment's session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The last entry that belongs to the branch, inclusive.
    pub through: Seq,
    /// The segment's first entry.
    pub start: SegmentStart,
}

/// One segment of a branch with its entries.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageEntries {
    /// The segment's session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The last entry that belongs to the branch.
    pub position: Position,
    /// The entries from seq 1 through `position`; the first one is the `segment_start`.
    pub entries: Vec<LogEntry>,
}

impl LineageEntries {
    /// The segment's first entry.
    pub fn start(&self) -> Option<&SegmentStart> {
        match self.entries.first() {
            Some(LogEntry::SegmentStart(start)) => Some(start),
            _ => None,
        }
    }

    /// The entries with their seqs, in order.
    pub fn numbered(&self) -> impl Iterator<Item = (Seq, &LogEntry)> {
        (1_u64..).map(Seq).zip(&self.entries)
    }
}

/// What of a segment a walk upwards is about to visit.
#[derive(Clone, Copy)]
struct Visit {
    session: SessionId,
    segment: SegmentId,
    /// `None`: to its end.
    through: Option<Seq>,
    /// The segment that continues it.
    child: Option<SegmentId>,
}

impl Visit {
    fn parent_of(segment: SegmentId, start: &SegmentStart) -> Option<Self> {
        let origin = start.origin()?;
        Some(Self {
            session: origin.session_id,
            segment: origin.segment_id,
            through: Some(origin.seq),
            child: Some(segment),
        })
    }

    /// A parent that is not there is the lineage's fault, not the caller's.
    fn explain(&self, error: StoreError) -> crate::SessionError {
        match (self.child, &error) {
            (Some(child), StoreError::NotFound(Missing::Segment(_) | Missing::Session(_))) => {
                LineageError::MissingParent { segment: self.segment, child }.into()
            }
            _ => error.into(),
        }
    }

    fn check_count(&self, count: u64) -> Result<()> {
        match self.through {
            Some(seq) if seq == Seq::START || seq.0 > count => {
                Err(LineageError::BeyondEnd { segment: self.segment, seq, count }.into())
            }
            _ => Ok(()),
        }
    }

    fn start_of(&self, first: Option<Record>) -> Result<SegmentStart> {
        match first.map(|record| record.entry) {
            Some(LogEntry::SegmentStart(start)) => Ok(*start),
            _ => Err(LineageError::NoStart { segment: self.segment }.into()),
        }
    }
}

fn refuse_cycle(visit: &Visit, mut passed: impl Iterator<Item = SegmentId>) -> Result<()> {
    if passed.any(|segment| segment == visit.segment) {
        return Err(LineageError::Cycle { segment: visit.segment }.into());
    }
    Ok(())
}

/// The branch that ends with this segment, root first, the segment itself last and up to its end.
///
/// Reads the first entry and the count of each segment, nothing else.
///
/// # Errors
/// [`LineageError`] with the segment to blame; `NotFound` for the segment itself; what the store fails with.
pub fn lineage(store: &dyn Store, session: SessionId, segment: SegmentId) -> Result<Vec<LineagePart>> {
    walk(store, Visit { session, segment, through: None, child: None }, |_| false)
}

/// The branch that ends with this segment's entry `through`, inclusive.
///
/// # Errors
/// As [`lineage`]; `BeyondEnd` if the segment has no such entry.
pub fn lineage_through(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    through: Seq,
) -> Result<Vec<LineagePart>> {
    walk(store, Visit { session, segment, through: Some(through), child: None }, |_| false)
}

/// As [`lineage`], but not beyond the first origin that `known` says yes to.
pub(crate) fn lineage_until(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    mut known: impl FnMut(&SegmentOrigin) -> bool,
) -> Result<Vec<LineagePart>> {
    walk(store, Visit { session, segment, through: None, child: None }, |start| start.origin().is_some_and(&mut known))
}

fn walk(store: &dyn Store, from: Visit, mut is_last: impl FnMut(&SegmentStart) -> bool) -> Result<Vec<LineagePart>> {
    let mut parts: Vec<LineagePart> = Vec::new();
    let mut next = Some(from);
    while let Some(visit) = next {
        refuse_cycle(&visit, parts.iter().map(|part| part.segment_id))?;
        let count = store.read_entry_count(visit.session, visit.segment).map_err(|error| visit.explain(error))?;
        visit.check_count(count)?;
        let first = store.read_range(visit.session, visit.segment, Seq::START, 1)?;
        let start = visit.start_of(first.into_iter().next())?;
        next = Visit::parent_of(visit.segment, &start).filter(|_| !is_last(&start));
        let through = visit.through.unwrap_or(Seq(count));
        parts.push(LineagePart { session_id: visit.session, segment_id: visit.segment, through, start });
    }
    parts.reverse();
    Ok(parts)
}

/// The branch that ends with this segment, with its entries: root first, the segment itself last and up to its end.
///
/// Reads each segment's prefix once. Every reference of a history is known to lie within the answer.
///
/// # Errors
/// As [`lineage`].
pub fn load(store: &dyn Store, session: SessionId, segment: SegmentId) -> Result<Vec<LineageEntries>> {
    load_from(store, Visit { session, segment, through: None, child: None })
}

/// The same through this segment's entry `through`, inclusive.
///
/// # Errors
/// As [`lineage_through`].
pub fn load_through(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    through: Seq,
) -> Result<Vec<LineageEntries>> {
    load_from(store, Visit { session, segment, through: Some(through), child: None })
}

fn load_from(store: &dyn Store, from: Visit) -> Result<Vec<LineageEntries>> {
    let mut parts: Vec<LineageEntries> = Vec::new();
    let mut next = Some(from);
    while let Some(visit) = next {
        refuse_cycle(&visit, parts.iter().map(|part| part.segment_id))?;
        let part = read_part(store, &visit)?;
        let start = part.start().ok_or(LineageError::NoStart { segment: visit.segment })?;
        next = Visit::parent_of(visit.segment, start);
        parts.push(part);
    }
    parts.reverse();
    check_references(&parts)?;
    Ok(parts)
}

fn read_part(store: &dyn Store, visit: &Visit) -> Result<LineageEntries> {
    if visit.through == Some(Seq::START) {
        let count = store.read_entry_count(visit.session, visit.segment).map_err(|error| visit.explain(error))?;
        visit.check_count(count)?;
    }
    let limit = visit.through.map_or(usize::MAX, |seq| usize::try_from(seq.0).unwrap_or(usize::MAX));
    let records =
        store.read_range(visit.session, visit.segment, Seq::START, limit).map_err(|error| visit.explain(error))?;
    visit.check_count(records.len() as u64)?;
    let position = records.last().map(|last| last.position).ok_or(LineageError::NoStart { segment: visit.segment })?;
    let entries = records.into_iter().map(|record| record.entry).collect();
    Ok(LineageEntries { session_id: visit.session, segment_id: visit.segment, position, entries })
}

fn check_references(parts: &[LineageEntries]) -> Result<()> {
    for (at, part) in parts.iter().enumerate() {
        for item in part.start().map(|start| start.history.as_slice()).unwrap_or_default() {
            if let HistoryItem::Reference(reference) = item
                && find_reference(&parts[..at], reference).is_none()
            {
                let (segment, reference) = (part.segment_id, *reference);
                return Err(LineageError::HistoryOutside { segment, reference }.into());
            }
        }
    }
    Ok(())
}

/// The place, among the segments before the one with the history, of the segment that holds all the referenced entries.
pub(crate) fn find_reference(before: &[LineageEntries], reference: &HistoryRef) -> Option<usize> {
    let within = Seq(1) <= reference.from && reference.from <= reference.through;
    before
        .iter()
        .position(|part| within && part.segment_id == reference.segment_id && reference.through <= part.position.seq)
}
