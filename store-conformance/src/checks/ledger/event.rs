//! Events and their times.

use std::time::Duration;

use store_core::Seq;
use store_core::ledger::{Account, BookName, Event, EventBody};

use super::{Desk, NOON, away, clearing, home, in_book, transfer};
use crate::checks::fixture::{Works as _, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

fn read(desk: &Desk<'_>, from: u64, limit: usize) -> Result<Vec<u64>, Failure> {
    let events = desk.ledger().read_events(&home(), Seq(from), limit).works("reading events")?;
    Ok(events.into_iter().map(|event| event.seq.0).collect())
}

pub(crate) fn events_are_numbered_without_gaps(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    for n in 1..=4 {
        desk.commit(&transfer(n, "a", "b", 5))?;
    }
    same("the seqs", read(&desk, 1, usize::MAX)?, (1..=7).collect())
}

pub(crate) fn events_are_read_from_the_first_that_is_named(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    same("from 2", read(&desk, 2, usize::MAX)?, vec![2, 3])?;
    same("from 0", read(&desk, 0, usize::MAX)?, vec![1, 2, 3])?;
    same("from behind the last", read(&desk, 4, usize::MAX)?, Vec::new())
}

pub(crate) fn events_are_read_up_to_a_limit(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    same("two", read(&desk, 1, 2)?, vec![1, 2])?;
    same("none", read(&desk, 1, 0)?, Vec::new())
}

pub(crate) fn an_unused_book_has_no_events(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    same("the events of a book that nothing was written to", desk.events(&away())?, Vec::new())
}

pub(crate) fn events_hold_what_was_written(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut draft = transfer(1, "a", "b", 5);
    draft.meta.insert("k".to_owned(), "v".to_owned());
    desk.commit(&draft)?;
    let event = |seq, body| Event { book: home(), seq: Seq(seq), at: NOON, body };
    let expected = vec![event(3, EventBody::AccountOpened(clearing("c"))), event(4, EventBody::Transaction(draft))];
    let events = desk.ledger().read_events(&home(), Seq(3), 9).works("reading events")?;
    same("the last two", events, expected)
}

pub(crate) fn commit_times_never_go_back(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.set_clock(NOON + 50);
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.set_clock(NOON + 20);
    let receipt = desk.commit(&transfer(2, "a", "b", 5))?;
    same("the time of a commit whose clock went back", receipt.at, NOON + 50)?;
    let times: Vec<_> = desk.events(&home())?.iter().map(|event| event.at - NOON).collect();
    same("the times", times, vec![0, 0, 0, 50, 50])
}

pub(crate) fn commit_times_do_not_go_back_after_a_reopen(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.set_clock(NOON + 50);
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.reopen()?;
    desk.set_clock(NOON);
    same("the time of the next", desk.commit(&transfer(2, "a", "b", 5))?.at, NOON + 50)
}

pub(crate) fn a_book_has_a_time_of_its_own(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.set_clock(NOON + 50);
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.set_clock(NOON + 20);
    desk.account(&Account { id: in_book(&away(), "a"), ..clearing("a") })?;
    let times: Vec<_> = desk.events(&away())?.iter().map(|event| event.at).collect();
    same("the times of the other book", times, vec![NOON + 20])
}

pub(crate) fn microseconds_come_back(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    let time = NOON + 123_456;
    desk.set_clock(time);
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.reopen()?;
    same("the time", desk.events(&home())?.last().map(|event| event.at), Some(time))
}

pub(crate) fn books_are_listed_by_name(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.account(&Account { id: in_book(&away(), "a"), ..clearing("a") })?;
    let books = desk.ledger().list_books().works("listing the books")?;
    same("the books", books, vec![BookName::system(), away(), home()])
}

pub(crate) fn a_subscription_gives_what_stands_there(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut events = desk.ledger().subscribe(&home(), Seq(1)).works("subscribing")?;
    for seq in 1..=3 {
        let event = events.next(harness.patience()).works("waiting for an event")?;
        same("the next event", event.map(|event| event.seq.0), Some(seq))?;
    }
    Ok(())
}

pub(crate) fn a_subscription_begins_with_the_event_it_names(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut events = desk.ledger().subscribe(&home(), Seq(3)).works("subscribing")?;
    let event = events.next(harness.patience()).works("waiting for an event")?;
    same("the first event", event.map(|event| event.seq.0), Some(3))
}

pub(crate) fn a_subscription_goes_on_with_what_is_committed(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut events = desk.ledger().subscribe(&home(), Seq(4)).works("subscribing")?;
    same("what there is", events.next(Duration::ZERO).works("looking for an event")?, None)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    let event = events.next(harness.patience()).works("waiting for an event")?;
    same("the next event", event.map(|event| event.seq.0), Some(4))?;
    same("what follows", events.next(Duration::from_millis(5)).works("looking for an event")?, None)
}

pub(crate) fn a_subscription_may_wait_for_a_book(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut events = desk.ledger().subscribe(&away(), Seq(1)).works("subscribing to an unused book")?;
    same("what there is", events.next(Duration::ZERO).works("looking for an event")?, None)?;
    let account = Account { id: in_book(&away(), "a"), ..clearing("a") };
    desk.account(&account)?;
    let event = events.next(harness.patience()).works("waiting for an event")?;
    same("the first event", event.map(|event| event.body), Some(EventBody::AccountOpened(account)))
}
