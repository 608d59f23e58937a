//! Holes that writers took out and nobody has acknowledged.
//!
//! A hole is what a power loss leaves of writes that nobody was promised. Nothing that was promised is missing, and yet a person
//! should know once: the record of events says what was taken out, and then that somebody took note of it.

use super::contract::Integrity;
use super::event::{Event, EventKind};
use super::finding::{Finding, FindingKind};
use crate::error::Result;
use crate::id::{SegmentId, Seq, SessionId, TimestampMs};

/// A hole that was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnacknowledgedHole {
    /// The log, as the event names it.
    pub log: String,
    /// The session and the segment, if it is a segment's log.
    pub segment: Option<(SessionId, SegmentId)>,
    /// The last entry that was left.
    pub after: Seq,
    /// Where in the log it began.
    pub offset: u64,
    /// How many bytes were taken out.
    pub bytes: u64,
    /// Where they are kept.
    pub kept: String,
}

impl UnacknowledgedHole {
    /// The hole as something that was found.
    pub fn to_finding(&self) -> Finding {
        let detail = format!(
            "a power loss left a hole behind entry {}; {} bytes of it lie in {}",
            self.after, self.bytes, self.kept
        );
        let place = match self.segment {
            Some((session, segment)) => {
                Finding::of_segment(session, segment, Some(self.after.next()), FindingKind::Hole, detail)
            }
            None => Finding::of_store(FindingKind::Hole, format!("{}: {detail}", self.log)),
        };
        Finding { offset: self.offset, ..place }
    }
}

/// The holes that nobody has acknowledged, in the order in which they were taken out. Those of segments that are gone are gone.
///
/// # Errors
/// What the store fails with.
pub fn unacknowledged_holes(store: &dyn Integrity) -> Result<Vec<UnacknowledgedHole>> {
    let mut holes: Vec<UnacknowledgedHole> = Vec::new();
    for event in store.events()? {
        match event.what {
            EventKind::HoleTakenOut { log, segment, after, offset, bytes, kept } => {
                let segment = match segment {
                    None => None,
                    Some(segment) => match store.lookup_session_of(segment)? {
                        Some(session) => Some((session, segment)),
                        None => continue,
                    },
                };
                holes.push(UnacknowledgedHole { log, segment, after, offset, bytes, kept });
            }
            EventKind::HoleAcknowledged { log, kept } => holes.retain(|hole| (&hole.log, &hole.kept) != (&log, &kept)),
            _ => {}
        }
    }
    Ok(holes)
}

/// Records that somebody took note of every hole that `concerns` says yes to, and answers with them.
///
/// # Errors
/// `ReadOnly`; what the store fails with.
pub fn acknowledge_holes(
    store: &dyn Integrity,
    now: TimestampMs,
    concerns: impl Fn(&UnacknowledgedHole) -> bool,
) -> Result<Vec<UnacknowledgedHole>> {
    let holes: Vec<_> = unacknowledged_holes(store)?.into_iter().filter(|hole| concerns(hole)).collect();
    for hole in &holes {
        let what = EventKind::HoleAcknowledged { log: hole.log.clone(), kept: hole.kept.clone() };
        store.record(&Event::done(now, what))?;
    }
    Ok(holes)
}
