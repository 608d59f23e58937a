//! What records say beyond their entries, and what earlier readers made of them.
//!
//! Both are decided by what stood in the open segment before this run: a segment that an earlier version wrote goes on as it is,
//! and nothing is put between its entries.

use store_core::{Durability, LogEntry};

use super::{Reading, Writer};
use crate::error::Result;

impl Writer<'_> {
    /// What is left of a record goes with its entries: it is written together with them. Where they stand without it nothing could
    /// be added but in the middle.
    pub(super) fn rest(&mut self, reading: Reading<'_>, entry: LogEntry) -> Result<()> {
        if !self.log.is_open() {
            return Ok(());
        }
        let key = self.keys.peek(reading.record);
        let is_missing = self.ends_old()?
            && match self.log.stood_next()? {
                Some(next) => next != key,
                None => self.last == reading.record,
            };
        if is_missing {
            self.keys.skip(reading.record);
            return Ok(());
        }
        self.push_along(reading, entry)
    }

    /// Reads what a record gives no more, where it stands.
    pub(super) fn former(&mut self, reading: Reading<'_>, entries: Vec<LogEntry>) -> Result<()> {
        let key = self.keys.peek(reading.record);
        if self.ends_old()? && self.log.stood_next()?.is_some_and(|next| next == key) {
            self.entries(reading, entries)?;
        }
        Ok(())
    }

    /// Whether the last entry stood in the open segment before this run. What waits may turn out to differ from what stands
    /// there, so it is settled first.
    fn ends_old(&mut self) -> Result<bool> {
        if self.log.ends_old() {
            self.flush(Durability::Synced)?;
        }
        Ok(self.log.ends_old())
    }
}
