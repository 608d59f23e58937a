//! What is saved of the ledger: of each book the events from the first on, up to the first that is not there or does not follow.
//!
//! A book is gapless, and what an event behind a gap did to an account cannot be told without the ones in it. So nothing behind a gap is written: a balance that leaves something out would be a wrong one
//! that looks right. It is told which events are missing; those that stand behind stay in the source.

use store_core::Seq;
use store_core::ledger::{BookName, Event, LedgerError, text};

use super::find::with_row;
use super::rows::Row;
use super::write::Writing;
use super::{DatabaseSalvage, LostEvents};
use crate::error::Result;
use crate::ledger::adopt_in;

/// How many events are written at once.
const EVENTS_AT_ONCE: usize = 512;

impl Writing<'_> {
    pub(super) fn write_ledger(&self, salvage: &mut DatabaseSalvage) -> Result<()> {
        let mut books: Vec<(BookName, &str)> =
            self.finds.ledger.keys().filter_map(|name| Some((name.parse().ok()?, name.as_str()))).collect();
        // What accounts count is registered there.
        books.sort_by_key(|(book, _)| (*book != BookName::system(), book.clone()));
        for (book, name) in books {
            let kept = self.write_book(&book, name)?;
            let found = &self.finds.ledger[name];
            salvage.ledger_events += kept.0;
            salvage.ledger_books += u64::from(kept > Seq::START);
            if found.through > kept.0 {
                salvage.ledger_lost.push(LostEvents { book, from: kept.next(), through: Seq(found.through) });
            }
        }
        Ok(())
    }

    /// Answers with the last event that was written.
    fn write_book(&self, book: &BookName, name: &str) -> Result<Seq> {
        let spots = &self.finds.ledger[name].spots;
        let (mut written, mut waiting) = (Seq::START, Vec::new());
        for (next, (seq, spot)) in (1..).zip(spots) {
            let event = with_row(self.pages, *spot, |row| match row {
                Row::LedgerEvent { key, body, .. } => text::decode(book, Seq(*seq), *key, body).ok(),
                _ => None,
            });
            let Some(event) = event.flatten().filter(|_| *seq == next) else { break };
            waiting.push(event);
            if waiting.len() == EVENTS_AT_ONCE {
                if !self.adopt(book, &waiting, &mut written)? {
                    return Ok(written);
                }
                waiting.clear();
            }
        }
        self.adopt(book, &waiting, &mut written)?;
        Ok(written)
    }

    /// Writes events up to the first that does not follow; whether that were all.
    fn adopt(&self, book: &BookName, events: &[Event], written: &mut Seq) -> Result<bool> {
        match adopt_in(self.transaction, book, events)? {
            Ok(count) => {
                written.0 += count;
                Ok(true)
            }
            Err(LedgerError::Unfit { seq, .. }) => {
                let good = events.partition_point(|event| event.seq < seq);
                if good > 0
                    && let Ok(count) = adopt_in(self.transaction, book, &events[..good])?
                {
                    written.0 += count;
                }
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    }
}
