//! The ids of what is exported: derived, so that exporting again gives the same, and an import knows what it has.
//!
//! A record's id is made from the segment and the seq of the entry that it tells. Whoever has the branch can come to all ids that a file
//! made of it may hold ([`Origins`]), without the file, whatever version wrote it. So this derivation is for good.

use std::collections::HashMap;

use store_core::{HistoryItem, LogEntry, SegmentId, Seq, SessionId};
use uuid::Uuid;

use crate::lineage::LineageEntries;

/// Which of the records that one entry gives.
// Persisted: never change what a name begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Aspect {
    /// The entry itself.
    Entry,
    /// The result that was made for a call that nothing answered.
    Result,
    /// The summary that a compacted segment begins with.
    Summary,
    /// An item of the history that a segment begins with.
    History(usize),
    /// What the person is made to say where a conversation begins with the model's words.
    Begin,
    /// The response of a model that begins with the entry.
    Response,
    /// What a model went on with beside a summary, where an agent has no other form for it.
    Kept,
    /// The record that says what a file was made of.
    Mark,
    /// The record that has the conversation's title.
    Title,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct At {
    pub(crate) segment: SegmentId,
    pub(crate) seq: Seq,
    pub(crate) aspect: Aspect,
}

impl At {
    pub(crate) const fn entry(segment: SegmentId, seq: Seq) -> Self {
        Self { segment, seq, aspect: Aspect::Entry }
    }

    pub(crate) const fn with(self, aspect: Aspect) -> Self {
        Self { aspect, ..self }
    }

    /// The record's id.
    pub(crate) fn uuid(self) -> Uuid {
        let seq = self.seq;
        let name = match self.aspect {
            Aspect::Entry => seq.to_string(),
            Aspect::Result => format!("{seq}/result"),
            Aspect::Summary => format!("{seq}/summary"),
            Aspect::History(place) => format!("{seq}/{place}"),
            Aspect::Begin => format!("{seq}/begin"),
            Aspect::Response => format!("{seq}/response"),
            Aspect::Kept => format!("{seq}/kept"),
            Aspect::Mark => format!("{seq}/mark"),
            Aspect::Title => format!("{seq}/title"),
        };
        Uuid::new_v5(&Uuid::from_bytes(*self.segment.as_bytes()), name.as_bytes())
    }
}

/// The short ids that pi gives its records: eight digits of the id, the first eight that no record before has.
#[derive(Debug, Default)]
pub(crate) struct ShortIds {
    by_record: HashMap<At, String>,
    taken: HashMap<String, At>,
}

impl ShortIds {
    /// The short ids of all records that a branch may give.
    pub(crate) fn of(parts: &[LineageEntries]) -> Self {
        let mut ids = Self::default();
        records_of(parts, |at| ids.give(at));
        ids
    }

    fn give(&mut self, at: At) {
        let digits = at.uuid().simple().to_string();
        let eighths = (0..4).map(|eighth| &digits[eighth * 8..eighth * 8 + 8]);
        let free = eighths.map(str::to_owned).find(|id| !self.taken.contains_key(id));
        let id = free.unwrap_or(digits);
        self.taken.insert(id.clone(), at);
        self.by_record.insert(at, id);
    }

    /// The short id of a record.
    pub(crate) fn get(&self, at: At) -> String {
        self.by_record.get(&at).cloned().unwrap_or_else(|| at.uuid().simple().to_string())
    }
}

/// Of each id that a file made of a branch may hold, the entry that it comes from.
#[derive(Debug, Default)]
pub(crate) struct Origins(HashMap<String, (SessionId, SegmentId, Seq)>);

impl Origins {
    /// All ids of a branch.
    pub(crate) fn of(parts: &[LineageEntries]) -> Self {
        let sessions: HashMap<SegmentId, SessionId> =
            parts.iter().map(|part| (part.segment_id, part.session_id)).collect();
        let mut origins = HashMap::new();
        let short = ShortIds::of(parts);
        records_of(parts, |at| {
            if let Some(session) = sessions.get(&at.segment) {
                let entry = (*session, at.segment, at.seq);
                origins.insert(at.uuid().to_string(), entry);
                origins.insert(short.get(at), entry);
            }
        });
        Self(origins)
    }

    /// The entry that the record with this id comes from.
    pub(crate) fn get(&self, record: &str) -> Option<(SessionId, SegmentId, Seq)> {
        // Where an agent needs several records for one, the others say so behind its id.
        let id = record.split('/').next().unwrap_or(record);
        self.0.get(id).copied()
    }
}

/// Visits every record that a branch may give, in its order.
fn records_of(parts: &[LineageEntries], mut visit: impl FnMut(At)) {
    for part in parts {
        for (seq, entry) in part.numbered() {
            let at = At::entry(part.segment_id, seq);
            visit(at);
            match entry {
                LogEntry::SegmentStart(start) => {
                    let aspects = [Aspect::Summary, Aspect::Begin, Aspect::Kept, Aspect::Mark, Aspect::Title];
                    aspects.into_iter().for_each(|aspect| visit(at.with(aspect)));
                    let own = start.history.iter().enumerate().filter(|(_, item)| matches!(item, HistoryItem::Item(_)));
                    own.for_each(|(place, _)| visit(at.with(Aspect::History(place))));
                }
                LogEntry::AssistantItem(_) => visit(at.with(Aspect::Result)),
                _ => {}
            }
        }
    }
}
