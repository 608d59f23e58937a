//! A segment on its way into the tables: where its entries come from, and what is known of it meanwhile.

use rusqlite::Connection;
use store_core::{LogEntry, NewEntry, Position, SegmentId, Seq, SessionId};

use super::branch::Branch;
use super::lookup;
use super::rows::SegmentRow;

/// Entries of a store that are in memory, typed as they are, so that nobody has to copy them or take them apart again.
pub(crate) trait MadeEntries {
    /// All entries of a segment, and where they stand.
    fn made(&self, session: SessionId, segment: SegmentId) -> Option<(&[NewEntry], &[Position])>;
}

/// None are in memory.
pub(super) struct Nothing;

impl MadeEntries for Nothing {
    fn made(&self, _: SessionId, _: SegmentId) -> Option<(&[NewEntry], &[Position])> {
        None
    }
}

/// An entry, and where it stands.
pub(super) struct Entry<'e> {
    pub(super) position: Position,
    pub(super) key: Option<&'e str>,
    pub(super) entry: &'e LogEntry,
}

/// A segment that is being read.
pub(super) struct Reading {
    pub(super) row: SegmentRow,
    pub(super) branch: Branch,
    /// The record that the last entries came from, and how far they reach. It is put when that is known.
    record: Option<(String, Seq)>,
    /// It could not be read to its end.
    pub(super) failed: bool,
}

impl Reading {
    /// A segment of which nothing was read in this pass.
    pub(super) const fn of(row: SegmentRow, branch: Branch) -> Self {
        Self { row, branch, record: None, failed: false }
    }

    /// The entries of a record reach up to `seq`.
    pub(super) fn reach(&mut self, db: &Connection, id: &str, seq: Seq) -> rusqlite::Result<()> {
        match &mut self.record {
            Some((last, through)) if last == id => *through = seq,
            _ => {
                self.put_record(db)?;
                self.record = Some((id.to_owned(), seq));
            }
        }
        Ok(())
    }

    pub(super) fn put_record(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let Some((id, through)) = self.record.take() else { return Ok(()) };
        lookup::put_record(db, self.row.no, &id, through)
    }
}

/// How reading a segment ended.
pub(super) enum Go {
    /// At its end, or at damage.
    On,
    /// What is known of it does not hold: it is to be read from its start.
    Anew,
}

/// The fold of what a segment continues.
#[derive(Default)]
pub(super) struct Before {
    pub(super) branch: Branch,
    /// Not all of it could be read.
    pub(super) detached: bool,
}

impl Before {
    pub(super) fn unreadable() -> Self {
        Self { branch: Branch::default(), detached: true }
    }
}
