//! The history of a compaction: items that stand nowhere else, and references to those that stand in the branch.

use store_core::{HistoryItem, HistoryRef, Seq, Store};

use super::log::Log;
use crate::error::Result;
use crate::import::record::HistoryPart;
use crate::import::walk::{self, Place};
use crate::lineage::LineagePart;

/// How many records are read at once on the way back to a record's first entry.
const STEP: u64 = 16;

/// Makes the history of a segment that continues `at`.
pub(super) fn resolve(
    store: &dyn Store,
    log: &Log<'_>,
    at: Option<Place>,
    parts: Vec<HistoryPart>,
    mut warn: impl FnMut(String),
) -> Result<Vec<HistoryItem>> {
    let branch = at.map(|at| walk::parts_through(store, at)).transpose()?.unwrap_or_default();
    let mut history = History { store, branch, items: Vec::new() };
    for part in parts {
        match part {
            HistoryPart::Item(item) => history.items.push(HistoryItem::Item(item)),
            HistoryPart::Records(records) => {
                for record in records {
                    match log.place_of(&record).flatten() {
                        Some(at) => history.one(&record, at, &mut warn)?,
                        None => warn(format!("what the compaction keeps of {record} is not there")),
                    }
                }
            }
            HistoryPart::FromRecord(record) => match log.place_of(&record).flatten() {
                Some(at) => history.rest_from(&record, at, &mut warn)?,
                None => warn(format!("what the compaction keeps from {record} on is not there")),
            },
        }
    }
    Ok(history.items)
}

struct History<'a> {
    store: &'a dyn Store,
    branch: Vec<LineagePart>,
    items: Vec<HistoryItem>,
}

impl History<'_> {
    /// The part of the branch that holds an entry.
    fn part_of(&self, at: Place) -> Option<usize> {
        self.branch.iter().position(|part| part.segment_id == at.segment && at.seq <= part.through)
    }

    fn one(&mut self, record: &str, at: Place, warn: &mut dyn FnMut(String)) -> Result<()> {
        if self.part_of(at).is_none() {
            warn(format!("what the compaction keeps of {record} is not on its branch"));
            return Ok(());
        }
        if let Some(first) = self.first_of(record, at)? {
            self.refer(at, first, at.seq);
        }
        Ok(())
    }

    fn rest_from(&mut self, record: &str, at: Place, warn: &mut dyn FnMut(String)) -> Result<()> {
        let Some(part) = self.part_of(at) else {
            warn(format!("what the compaction keeps from {record} on is not on its branch"));
            return Ok(());
        };
        let first = self.first_of(record, at)?.unwrap_or(at.seq.next());
        self.refer(at, first, self.branch[part].through);
        // What a segment begins with is another compaction's business.
        let rest: Vec<Place> = self.branch[part + 1..]
            .iter()
            .map(|part| Place { session: part.session_id, segment: part.segment_id, seq: part.through })
            .collect();
        for at in rest {
            self.refer(at, Seq(2), at.seq);
        }
        Ok(())
    }

    /// The first entry that a record gave, of those that end with `at`; `None` if it gave none.
    fn first_of(&self, record: &str, at: Place) -> Result<Option<Seq>> {
        let mut first = None;
        let mut through = at.seq.0;
        while through > 1 {
            let after = through.saturating_sub(STEP).max(1);
            let limit = usize::try_from(through - after).unwrap_or(usize::MAX);
            let read = self.store.read_range(at.session, at.segment, Seq(after), limit)?;
            for entry in read.iter().rev() {
                let of = entry.key.as_deref().and_then(|key| key.rsplit_once('#')).map(|(of, _)| of);
                if of != Some(record) {
                    return Ok(first);
                }
                first = Some(entry.position.seq);
            }
            through = after;
        }
        Ok(first)
    }

    fn refer(&mut self, at: Place, from: Seq, through: Seq) {
        if from > through {
            return;
        }
        if let Some(HistoryItem::Reference(last)) = self.items.last_mut()
            && last.segment_id == at.segment
            && last.through.next() == from
        {
            last.through = through;
            return;
        }
        self.items.push(HistoryItem::Reference(HistoryRef { segment_id: at.segment, from, through }));
    }
}
