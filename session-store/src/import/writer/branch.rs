//! Where the next entry stands: behind the last one, behind an earlier one, behind a compaction.
//!
//! What a branch amounts to where it leaves is read from the last mark before that place, not from the root.

use store_core::{Durability, Seq};

use super::{Reading, Writer, history};
use crate::error::Result;
use crate::import::record::{HistoryPart, Parent};
use crate::import::walk::{self, Folds, Place};

/// How many entries of a segment lie between two marks.
const MARK_ENTRIES: u64 = 64;

/// The name of a place's mark.
fn mark(at: Place) -> String {
    format!("{}:{}", at.segment, at.seq)
}

impl Writer<'_> {
    /// Stands where the next record stands.
    pub(super) fn go_behind(&mut self, parent: &Parent, line: u64) -> Result<()> {
        match parent {
            Parent::Previous => Ok(()),
            Parent::Root => {
                self.flush(Durability::Synced)?;
                self.log.close();
                self.at = None;
                self.folds = Folds::default();
                Ok(())
            }
            Parent::Record(record) => match self.log.place_of(record) {
                Some(Some(at)) => self.go_to(at, line),
                // It gave nothing and nothing stood before it.
                Some(None) => self.go_behind(&Parent::Root, line),
                None => {
                    let told = format!("the record {record} is not known; the next one is read behind the one before");
                    self.tally.warn(line, told);
                    Ok(())
                }
            },
        }
    }

    /// Stands behind an entry. At the end of an own segment that segment goes on; elsewhere the next entry begins a branch.
    pub(super) fn go_to(&mut self, at: Place, line: u64) -> Result<()> {
        if self.at == Some(at) || self.log.is_end(at) {
            return Ok(());
        }
        self.flush(Durability::Synced)?;
        // What was written may have turned out to belong into a branch, which moves the place.
        let at = self.log.places().moved(at);
        let at = self.log.reopen(at);
        let folds = self.folds_at(at);
        self.folds = match folds {
            Err(error) if at.session != self.session => {
                // The other conversation cannot be read; what follows still can.
                self.tally.warn(line, format!("the conversation that this one continues cannot be read: {error}"));
                Folds::default()
            }
            folds => folds?,
        };
        self.at = Some(at);
        Ok(())
    }

    pub(super) fn compact(&mut self, reading: Reading<'_>, history: Vec<HistoryPart>) -> Result<()> {
        self.flush(Durability::Synced)?;
        let mut start = self.target.start(self.session, reading.ts);
        match self.at {
            Some(at) => start.compacted_from = Some(at.origin(self.folds.turns.turn_count())),
            None => {
                start.config = self.target.head.config.clone();
                start.system_prompt.clone_from(&self.target.head.system_prompt);
            }
        }
        start.history = history::resolve(self.target.store, &self.log, self.at, history, |message| {
            self.tally.warn(reading.line, message);
        })?;
        self.said.leaf = None;
        self.begin(reading, start)
    }

    pub(super) fn roll_back(&mut self, reading: Reading<'_>, turns: u64) -> Result<()> {
        self.flush(Durability::Synced)?;
        let Some(at) = self.at else { return Ok(()) };
        let Some(back) = walk::before_turns(self.target.store, at, turns)?.filter(|back| *back != at) else {
            return Ok(());
        };
        self.log.close();
        self.folds = self.folds_at(back)?;
        self.at = Some(back);
        let mut start = self.target.start(self.session, reading.ts);
        start.forked_from = Some(back.origin(self.folds.turns.turn_count()));
        self.said.leaf = None;
        self.begin(reading, start)
    }

    /// Notes what the branch amounts to, now and then.
    pub(super) fn mark(&mut self) {
        if let Some(at) = self.at.filter(|at| at.seq.0 == 1 || at.seq.0 % MARK_ENTRIES == 0) {
            self.marks.insert(&mark(at), self.folds.clone());
        }
    }

    /// What a branch amounts to that ends with an entry of the store.
    fn folds_at(&self, at: Place) -> Result<Folds> {
        let store = self.target.store;
        if let Some(here) = self.at.filter(|here| here.segment == at.segment && here.seq <= at.seq) {
            return self.folds.clone().read_on(store, here, at.seq);
        }
        let last = Seq((at.seq.0 / MARK_ENTRIES * MARK_ENTRIES).max(1));
        let from = Place { seq: last, ..at };
        match self.marks.get(&mark(from)) {
            Some(folds) => folds.read_on(store, from, at.seq),
            None => Folds::read(store, at),
        }
    }
}
