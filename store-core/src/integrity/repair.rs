//! What a repair keeps, loses and takes out: the same for every backend, found out before anything is written.
//!
//! Every valid entry names its seq under its checksum, so it keeps it, wherever in the log it lies; nothing is renumbered,
//! because forks, checkpoints and people refer to seqs. What is missing between them is lost, and the log says so at its place. The
//! price is that a plan holds a few words for each entry of the log that is being repaired.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::finding::FindingKind;
use super::maintain::Quarantined;
use super::scan::{Scanned, Stretch};
use crate::entry::{Extension, LogEntry, SegmentOrigin, SegmentStart};
use crate::error::{Damage, Result, StoreError};
use crate::id::{SegmentId, Seq, SessionId, TimestampMs};

/// The domain of the extension that stands in place of an entry that is lost.
// Persisted: never rename.
pub const LOST_DOMAIN: &str = "store.lost";
/// The most seqs that a repair gives up: a log that lacks more was cut to pieces, and no plan is made for it.
pub const LOST_SEQS_MAX: u64 = 1 << 20;

/// Seqs whose entries are lost, both ends inclusive.
// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The first.
    pub from: Seq,
    /// The last.
    pub through: Seq,
}

impl Lost {
    /// How many entries that are.
    pub const fn count(self) -> u64 {
        self.through.0 + 1 - self.from.0
    }
}

/// A valid entry that is kept, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its seq, which it keeps.
    pub seq: Seq,
    /// The part that it lies in, from 1.
    pub part: u32,
    /// Where in the part.
    pub offset: u64,
    /// How many bytes it takes there.
    pub bytes: u64,
    /// Its time, in milliseconds since the epoch.
    pub ts: TimestampMs,
}

/// The next entry of a repaired log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// A valid entry: its text and key as they are, without the line's `more`.
    Kept(Kept),
    /// A lost one: this seq, and the text that stands in its place.
    Lost(Seq, String),
}

/// What a repair does to a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairPlan {
    /// The entries that are kept, by seq.
    pub kept: Vec<Kept>,
    /// The seqs that are lost, in order.
    pub lost: Vec<Lost>,
    /// What is taken out: every stretch that holds no entry that is kept, in the order of the log.
    pub quarantined: Vec<Quarantined>,
    /// Whether there is nothing to do.
    pub is_clean: bool,
    session: SessionId,
    origin: Option<SegmentOrigin>,
}

/// Makes a plan from a scan of the log.
#[derive(Debug)]
pub struct RepairPlanner {
    session: SessionId,
    segment: SegmentId,
    kept: BTreeMap<Seq, Kept>,
    quarantined: Vec<Quarantined>,
    /// Damaged stretches behind the valid entry that the scan met last.
    trailing: u64,
    last: Seq,
    is_clean: bool,
}

impl RepairPlanner {
    /// A plan for a segment.
    pub const fn new(session: SessionId, segment: SegmentId) -> Self {
        Self {
            session,
            segment,
            kept: BTreeMap::new(),
            quarantined: Vec::new(),
            trailing: 0,
            last: Seq::START,
            is_clean: true,
        }
    }

    /// Takes the next thing in the log.
    pub fn add(&mut self, scanned: &Scanned<'_>) {
        match scanned {
            Scanned::Entry(entry) => {
                let seq = entry.position.seq;
                let at = Quarantined { part: entry.part, offset: entry.offset, bytes: entry.bytes, path: None };
                let Ok(readable) = LogEntry::from_text(entry.text) else { return self.take_out(at, true) };
                if seq == Seq::START || self.kept.contains_key(&seq) {
                    return self.take_out(at, false);
                }
                self.is_clean &= seq == self.last.next();
                self.last = seq;
                self.trailing = 0;
                let (part, offset, bytes, ts) = (entry.part, entry.offset, entry.bytes, readable.ts());
                self.kept.insert(seq, Kept { seq, part, offset, bytes, ts });
            }
            Scanned::Damaged(stretch) => {
                let Stretch { part, offset, bytes, kind, .. } = *stretch;
                let was_entry = bytes > 0 && !matches!(kind, FindingKind::TornTail | FindingKind::Hole);
                self.take_out(Quarantined { part, offset, bytes, path: None }, was_entry);
            }
        }
    }

    fn take_out(&mut self, stretch: Quarantined, was_entry: bool) {
        self.is_clean = false;
        self.trailing += u64::from(was_entry);
        if stretch.bytes > 0 {
            self.quarantined.push(stretch);
        }
    }

    /// The plan.
    ///
    /// `at_least`: the greatest seq of this segment that anybody else refers to, a fork's origin or a checkpoint; the log keeps at
    /// least so many seqs. `origin`: what the segment continues, as far as the backend knows it beside the log; it is needed if
    /// the first entry is lost.
    ///
    /// # Errors
    /// `Corrupt` if more than [`LOST_SEQS_MAX`] seqs are missing.
    pub fn finish(self, at_least: Seq, origin: Option<SegmentOrigin>) -> Result<RepairPlan> {
        let valid = self.kept.last_key_value().map_or(Seq::START, |(seq, _)| *seq);
        // A damaged stretch at the end was an entry whose seq nobody may get again. A log without any has its first.
        let through = Seq(valid.0 + self.trailing).max(at_least).max(Seq(1));
        let missing = through.0 - self.kept.len() as u64;
        if missing > LOST_SEQS_MAX {
            let detail = format!("{missing} of {through} entries are missing");
            return Err(StoreError::Corrupt(Damage {
                segment: Some(self.segment),
                part: 1,
                offset: 0,
                seq: None,
                detail,
            }));
        }
        let mut lost = Vec::new();
        let mut next = Seq(1);
        for seq in self.kept.keys().copied().chain([through.next()]) {
            if seq > next {
                lost.push(Lost { from: next, through: Seq(seq.0 - 1) });
            }
            next = seq.next();
        }
        Ok(RepairPlan {
            is_clean: self.is_clean && lost.is_empty(),
            kept: self.kept.into_values().collect(),
            lost,
            quarantined: self.quarantined,
            session: self.session,
            origin,
        })
    }
}

impl RepairPlan {
    /// The seq of the last entry that the repaired log has.
    pub fn through(&self) -> Seq {
        let kept = self.kept.last().map_or(Seq::START, |last| last.seq);
        kept.max(self.lost.last().map_or(Seq::START, |last| last.through))
    }

    /// The last seq before the first that is lost: checkpoints through it still hold.
    pub fn intact_through(&self) -> Seq {
        self.lost.first().map_or_else(|| self.through(), |first| Seq(first.from.0 - 1))
    }

    /// Every entry of the repaired log, from seq 1 without gaps.
    pub fn entries(&self) -> impl Iterator<Item = Planned> + '_ {
        // A lost entry has the time of the one before it, so that times still go forward.
        let mut ts = self.kept.first().map_or(0, |first| first.ts);
        let mut kept = self.kept.iter().peekable();
        (1..=self.through().0).map(Seq).map(move |seq| match kept.next_if(|next| next.seq == seq) {
            Some(entry) => {
                ts = entry.ts;
                Planned::Kept(*entry)
            }
            None => Planned::Lost(seq, self.lost_text(seq, ts)),
        })
    }

    /// The text that stands in place of a lost entry: for the first, a `segment_start` whose meta says so.
    fn lost_text(&self, seq: Seq, ts: TimestampMs) -> String {
        let entry = if seq == Seq(1) {
            let mut start = SegmentStart::new(self.session, ts);
            start.forked_from = self.origin;
            start.meta.other.insert(LOST_DOMAIN.to_owned(), json!(true));
            LogEntry::SegmentStart(Box::new(start))
        } else {
            LogEntry::Extension(Extension { ts, domain: LOST_DOMAIN.to_owned(), payload: Map::new().into() })
        };
        // Nothing in them can fail to serialise.
        entry.to_text().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Position;
    use crate::integrity::ScannedEntry;

    fn session() -> SessionId {
        SessionId::derive(1, b"session")
    }

    fn plan_of(log: &[Result<u64, FindingKind>], at_least: u64) -> RepairPlan {
        let mut planner = RepairPlanner::new(session(), SegmentId::derive(1, b"segment"));
        let start = LogEntry::SegmentStart(Box::new(SegmentStart::new(session(), 5))).to_text().unwrap();
        for (at, line) in log.iter().enumerate() {
            let offset = 100 * at as u64;
            match line {
                Ok(seq) => {
                    let note = format!(r#"{{"kind":"note","ts":{}}}"#, 10 * seq);
                    let text = if *seq == 1 { start.as_str() } else { &note };
                    let position = Position { seq: Seq(*seq), crc32c: 0 };
                    planner.add(&Scanned::Entry(ScannedEntry {
                        position,
                        key: None,
                        text,
                        part: 1,
                        offset,
                        bytes: 100,
                        out_of_step: None,
                    }));
                }
                Err(kind) => {
                    let (part, bytes, seq, detail) = (1, 100, None, String::new());
                    planner.add(&Scanned::Damaged(Stretch { part, offset, bytes, seq, kind: *kind, detail }));
                }
            }
        }
        planner.finish(Seq(at_least), None).unwrap()
    }

    fn lost(plan: &RepairPlan) -> Vec<(u64, u64)> {
        plan.lost.iter().map(|lost| (lost.from.0, lost.through.0)).collect()
    }

    #[test]
    fn a_whole_log_needs_nothing() {
        let plan = plan_of(&[Ok(1), Ok(2), Ok(3)], 3);
        assert!(plan.is_clean && plan.lost.is_empty() && plan.quarantined.is_empty());
        assert_eq!((plan.through(), plan.intact_through()), (Seq(3), Seq(3)));
    }

    #[test]
    fn entries_keep_their_seqs_wherever_they_lie() {
        let plan = plan_of(&[Ok(1), Ok(4), Err(FindingKind::Checksum), Ok(2), Ok(2), Ok(6)], 0);
        assert_eq!(plan.kept.iter().map(|kept| kept.seq.0).collect::<Vec<_>>(), [1, 2, 4, 6]);
        assert_eq!(lost(&plan), [(3, 3), (5, 5)]);
        let out: Vec<_> = plan.quarantined.iter().map(|stretch| stretch.offset).collect();
        assert_eq!(out, [200, 400], "the damaged line and the second entry with a seq that stands");
        assert_eq!(plan.intact_through(), Seq(2));
        let shape: Vec<_> = plan.entries().map(|entry| matches!(entry, Planned::Kept(_))).collect();
        assert_eq!(shape, [true, true, false, true, false, true]);
    }

    #[test]
    fn seqs_that_were_given_away_are_not_given_again() {
        assert_eq!(lost(&plan_of(&[Ok(1), Err(FindingKind::Checksum), Err(FindingKind::Checksum)], 0)), [(2, 3)]);
        assert_eq!(lost(&plan_of(&[Ok(1), Ok(2)], 5)), [(3, 5)], "a fork continues seq 5");
        assert_eq!(lost(&plan_of(&[Ok(1), Err(FindingKind::TornTail)], 1)), [], "a torn tail was never acknowledged");
        assert!(!plan_of(&[Ok(1), Err(FindingKind::TornTail)], 1).is_clean);
    }

    #[test]
    fn what_stands_for_lost_entries_can_be_read() {
        let plan = plan_of(&[Err(FindingKind::Checksum), Ok(2), Err(FindingKind::Checksum), Ok(4)], 0);
        let texts: Vec<_> = plan
            .entries()
            .filter_map(|entry| match entry {
                Planned::Lost(_, text) => Some(text),
                Planned::Kept(_) => None,
            })
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
        {"kind":"segment_start","ts":20,"session_id":"00000000-0001-7ceb-b1ec-ebbd1410ab41","meta":{"kind":"main","store.lost":true}}
        {"kind":"extension","ts":20,"domain":"store.lost","payload":{}}
        "#);
        let start = LogEntry::from_text(&texts[0]).unwrap();
        assert!(matches!(start, LogEntry::SegmentStart(_)), "a segment begins with its start: {start:?}");
        assert!(matches!(LogEntry::from_text(&texts[1]).unwrap(), LogEntry::Extension(_)));
    }

    #[test]
    fn a_log_of_absurd_gaps_is_not_filled() {
        let mut planner = RepairPlanner::new(session(), SegmentId::derive(1, b"segment"));
        let position = Position { seq: Seq(LOST_SEQS_MAX + 2), crc32c: 0 };
        let text = r#"{"kind":"note","ts":1}"#;
        planner.add(&Scanned::Entry(ScannedEntry {
            position,
            key: None,
            text,
            part: 1,
            offset: 0,
            bytes: 9,
            out_of_step: None,
        }));
        assert!(matches!(planner.finish(Seq::START, None), Err(StoreError::Corrupt(_))));
    }
}
