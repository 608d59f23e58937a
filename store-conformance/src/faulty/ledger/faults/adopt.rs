//! Faults of taking over events, and of what a ledger proves of itself.

use store_core::Seq;
use store_core::ledger::LedgerError::{Damaged, Unfit};
use store_core::ledger::{BookName, Event, Ledger as _, LedgerFinding};

use super::super::FaultyLedger;
use super::super::handle::{Handle, Rules};
use super::{fault, known, renamed};

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
    fault!("adopted_events_get_the_time_of_their_adoption", adopt: |at, book, events| {
        let now = (at.clock)();
        let events: Vec<Event> = events.iter().map(|event| Event { at: now.max(event.at), ..event.clone() }).collect();
        at.inner.adopt_events(book, &events)
    }),
    fault!("adopted_keys_are_not_known", commit: |at, book, drafts| {
        let first = at.inner.read_events(&BookName::system(), Seq(1), 1)?;
        let is_adopted = first.first().is_some_and(|event| event.at < (at.clock)()) && at.reopened == 0;
        Handle::each(drafts, |draft| match known(at, book, draft) {
            Some(_) if is_adopted && draft.key == "key 1" => at.inner.commit(book, &renamed(draft, " anew")),
            _ => at.inner.commit(book, draft),
        })
    }),
    fault!("adoption_counts_what_it_was_given", adopt: |at, book, events| {
        at.inner.adopt_events(book, events).map(|_| events.len() as u64)
    }),
    fault!("adopted_events_are_numbered_anew", adopt: |at, book, events| {
        let end = at.inner.read_events(book, Seq(1), usize::MAX)?.len() as u64;
        let is_behind = events.first().is_some_and(|event| event.seq.0 > end + 1 && end > 0);
        if !is_behind {
            return at.inner.adopt_events(book, events);
        }
        let numbered = (end + 1..).zip(events).map(|(seq, event)| Event { seq: Seq(seq), ..event.clone() });
        at.inner.adopt_events(book, &numbered.collect::<Vec<_>>())
    }),
    fault!("times_of_adopted_events_are_raised", adopt: |at, book, events| {
        let mut last = at.inner.read_events(book, Seq(1), usize::MAX)?.last().map_or(0, |event| event.at);
        let raised: Vec<Event> = events
            .iter()
            .map(|event| {
                last = last.max(event.at);
                Event { at: last, ..event.clone() }
            })
            .collect();
        at.inner.adopt_events(book, if events.len() == 1 { &raised } else { events })
    }),
    fault!("what_stands_there_is_not_compared", adopt: |at, book, events| {
        let end = at.inner.read_events(book, Seq(1), usize::MAX)?.len() as u64;
        let new: Vec<Event> = events.iter().filter(|event| event.seq.0 > end).cloned().collect();
        at.inner.adopt_events(book, &new)
    }),
    fault!("an_adopted_transaction_need_not_balance", adopt: |at, book, events| {
        match at.inner.adopt_events(book, events) {
            Err(Unfit { detail, .. }) if detail.starts_with("unbalanced") => Ok(1),
            answer => answer,
        }
    }),
    fault!("what_stands_before_an_unfit_event_is_adopted", adopt: |at, book, events| {
        let mut count = 0;
        for event in events {
            count += at.inner.adopt_events(book, std::slice::from_ref(event))?;
        }
        Ok(count)
    }),
    fault!("accounts_without_assets_are_adopted_when_those_come", adopt: |at, book, events| {
        match at.inner.adopt_events(book, events) {
            Err(Unfit { detail, .. }) if detail.ends_with("is not registered") => Ok(0),
            answer => answer,
        }
    }),
    fault!("an_examination_finds_what_is_not_wrong", examine: |at| {
        let books = at.inner.list_books()?;
        Ok(books.iter().map(|book| LedgerFinding::projection(book, "it looks odd")).collect())
    }),
    fault!("a_damaged_event_ends_the_book", events: |at, book, from, limit| {
        match at.inner.read_events(book, from, limit) {
            Err(Damaged { seq, .. }) => at.inner.read_events(book, from, usize::try_from(seq.0 - from.0).unwrap_or(0)),
            answer => answer,
        }
    }),
];
