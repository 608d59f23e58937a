//! Taking over another ledger's events, and proving a ledger.

use std::sync::Arc;

use store_core::ledger::{
    AccountKind, BookName, Clock, Event, EventBody, Ledger, LedgerError, LedgerFindingKind, LedgerResult, MemoryLedger,
    MemoryLedgerMedium, Posting, verify_ledger,
};
use store_core::{Seq, TransactionId};

use super::{Desk, NOON, account_of, away, clearing, eur, home, id, transfer, usd};
use crate::checks::fixture::{Works as _, holds, refused, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

/// Another ledger with a history: `USD` and `EUR`, a purse and two clearing accounts, ten transactions of three times.
fn elsewhere() -> Result<MemoryLedger, Failure> {
    let medium = MemoryLedgerMedium::default();
    let at = |time: u64| -> MemoryLedger {
        let clock: Clock = Arc::new(move || time);
        MemoryLedger::open(&medium, clock)
    };
    let other = at(NOON - 90);
    for asset in [eur(), usd()] {
        other.register_asset(&asset).works("registering an asset elsewhere")?;
    }
    for account in [account_of("purse", AccountKind::Asset, Some(0)), clearing("a"), clearing("b")] {
        other.open_account(&account).works("opening an account elsewhere")?;
    }
    for n in 1..=10 {
        let (debit, credit) = if n < 8 { ("purse", "a") } else { ("b", "purse") };
        let mut draft = transfer(n, debit, credit, 3);
        draft.meta.insert("n".to_owned(), n.to_string());
        at(NOON - 90 + 10 * (n / 4)).commit(&home(), &draft).works("committing elsewhere")?;
    }
    Ok(at(NOON))
}

fn events_of(ledger: &dyn Ledger, book: &BookName) -> Result<Vec<Event>, Failure> {
    ledger.read_events(book, Seq(1), usize::MAX).works("reading the events of a book")
}

/// An empty ledger that has adopted the assets of the other.
fn with_assets(harness: &dyn LedgerHarness) -> Result<(Desk<'_>, MemoryLedger), Failure> {
    let (desk, other) = (Desk::empty(harness)?, elsewhere()?);
    adopt(&desk, &events_of(&other, &BookName::system())?).works("adopting the reserved book")?;
    Ok((desk, other))
}

fn adopt(desk: &Desk<'_>, events: &[Event]) -> LedgerResult<u64> {
    let book = events.first().map_or_else(home, |event| event.book.clone());
    desk.ledger().adopt_events(&book, events)
}

/// That something is refused as unfit, at an event, and that nothing of it is there.
fn unfit(desk: &Desk<'_>, what: &str, events: &[Event], at: u64) -> Outcome {
    let before = desk.count()?;
    refused!(what, adopt(desk, events), LedgerError::Unfit { seq, .. } if *seq == Seq(at))?;
    same("how many events the book has then", desk.count()?, before)
}

pub(crate) fn adopted_events_are_as_they_were(harness: &dyn LedgerHarness) -> Outcome {
    let (mut desk, other) = with_assets(harness)?;
    let events = events_of(&other, &home())?;
    same("how many events were new", adopt(&desk, &events).works("adopting a book")?, events.len() as u64)?;
    for _ in 0..2 {
        same("the events", desk.events(&home())?, events.clone())?;
        same("the reserved book", desk.events(&BookName::system())?, events_of(&other, &BookName::system())?)?;
        for path in ["purse", "a", "b"] {
            let asked = |ledger: &dyn Ledger| ledger.balance(&id(path), Some(NOON - 75)).works("asking for a balance");
            same("a balance", asked(desk.ledger())?, asked(&other)?)?;
        }
        let trial = |ledger: &dyn Ledger| ledger.trial_balance(&home(), None).works("asking for a trial balance");
        same("the trial balance", trial(desk.ledger())?, trial(&other)?)?;
        desk.reopen()?;
    }
    Ok(())
}

pub(crate) fn an_adopted_book_is_gone_on_with(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = with_assets(harness)?;
    adopt(&desk, &events_of(&other, &home())?).works("adopting a book")?;
    for n in [1, 9] {
        let first = other
            .commit(&home(), &transfer(n, if n == 1 { "purse" } else { "b" }, if n == 1 { "a" } else { "purse" }, 3));
        let again =
            desk.commit(&transfer(n, if n == 1 { "purse" } else { "b" }, if n == 1 { "a" } else { "purse" }, 3))?;
        same("the receipt of an adopted key", again, first.works("committing again elsewhere")?)?;
    }
    let mut known = transfer(11, "a", "b", 1);
    known.id = super::transaction(2);
    refused!("an adopted id", desk.try_commit(&known), LedgerError::AlreadyExists { .. })?;
    refused!(
        "more than the adopted purse holds",
        desk.try_commit(&transfer(11, "b", "purse", 13)),
        LedgerError::BelowMinimum { .. }
    )?;
    same("the seq of the next transaction", desk.commit(&transfer(11, "b", "purse", 12))?.seq, Seq(14))
}

pub(crate) fn events_that_stand_there_are_adopted_once(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = with_assets(harness)?;
    let events = events_of(&other, &home())?;
    same("how many of the first are new", adopt(&desk, &events[..6]).works("adopting a beginning")?, 6)?;
    same("how many of them are new again", adopt(&desk, &events[..6]).works("adopting it again")?, 0)?;
    same(
        "how many of some more are new",
        adopt(&desk, &events[4..]).works("adopting the rest")?,
        events.len() as u64 - 6,
    )?;
    same("how many of none are new", adopt(&desk, &[]).works("adopting nothing")?, 0)?;
    same("the events", desk.events(&home())?, events)
}

pub(crate) fn adopted_events_leave_no_gap(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = with_assets(harness)?;
    let mut events = events_of(&other, &home())?;
    unfit(&desk, "a book without its first event", &events[1..], 1)?;
    adopt(&desk, &events[..4]).works("adopting a beginning")?;
    unfit(&desk, "events behind a gap", &events[5..], 5)?;
    events.remove(6);
    unfit(&desk, "events with a gap", &events[4..], 7)
}

pub(crate) fn adopted_events_do_not_go_back_in_time(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = with_assets(harness)?;
    let mut events = events_of(&other, &home())?;
    adopt(&desk, &events[..8]).works("adopting a beginning")?;
    events[8].at = events[7].at - 1;
    unfit(&desk, "an event that goes back in time", &events[8..9], 9)
}

pub(crate) fn an_event_that_stands_there_otherwise_is_not_adopted(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = with_assets(harness)?;
    let mut events = events_of(&other, &home())?;
    adopt(&desk, &events[..8]).works("adopting a beginning")?;
    if let EventBody::Transaction(draft) = &mut events[5].body {
        draft.meta.insert("n".to_owned(), "other".to_owned());
    }
    unfit(&desk, "a book that differs", &events, 6)
}

pub(crate) fn adopted_transactions_are_judged(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = with_assets(harness)?;
    let events = events_of(&other, &home())?;
    adopt(&desk, &events[..9]).works("adopting a beginning")?;
    let changed = |change: &dyn Fn(&mut store_core::ledger::Draft)| {
        let mut event = events[9].clone();
        if let EventBody::Transaction(draft) = &mut event.body {
            change(draft);
        }
        vec![event]
    };
    unfit(&desk, "one that does not balance", &changed(&|draft| draft.postings[0].amount = 4), 10)?;
    unfit(&desk, "one of an unknown account", &changed(&|draft| draft.postings[0].account = id("nobody")), 10)?;
    unfit(&desk, "a known key", &changed(&|draft| "key 2".clone_into(&mut draft.key)), 10)?;
    unfit(&desk, "a known id", &changed(&|draft| draft.id = super::transaction(2)), 10)?;
    let drained = |draft: &mut store_core::ledger::Draft| {
        draft.postings = vec![Posting::debit(id("b"), 3000), Posting::credit(id("purse"), 3000)];
    };
    unfit(&desk, "one below a minimum", &changed(&drained), 10)
}

pub(crate) fn of_events_with_an_unfit_one_none_is_adopted(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = with_assets(harness)?;
    let mut events = events_of(&other, &home())?;
    if let EventBody::Transaction(draft) = &mut events[11].body {
        draft.id = TransactionId::derive(7, b"other");
        "key 1".clone_into(&mut draft.key);
    }
    unfit(&desk, "a book with a key twice", &events, 12)
}

pub(crate) fn an_account_is_not_adopted_without_its_asset(harness: &dyn LedgerHarness) -> Outcome {
    let (desk, other) = (Desk::empty(harness)?, elsewhere()?);
    unfit(&desk, "a book before its assets", &events_of(&other, &home())?, 1)?;
    let reserved: Vec<Event> =
        events_of(&other, &home())?.into_iter().map(|event| Event { book: BookName::system(), ..event }).collect();
    refused!(
        "accounts for the reserved book",
        desk.ledger().adopt_events(&BookName::system(), &reserved),
        LedgerError::Unfit { .. }
    )
}

pub(crate) fn a_whole_ledger_verifies(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Liability, Some(-9)))?;
    for n in 1..=12 {
        desk.commit(&transfer(n, if n % 3 == 0 { "purse" } else { "b" }, "a", 1))?;
    }
    let elsewhere = store_core::ledger::Account { id: super::in_book(&away(), "a"), ..clearing("a") };
    desk.account(&elsewhere)?;
    for _ in 0..2 {
        let report = verify_ledger(desk.ledger()).works("verifying a ledger")?;
        same("what is wrong with a whole ledger", report.damage.clone(), Vec::new())?;
        same(
            "books, events and transactions",
            (report.ok, report.books, report.events, report.transactions),
            (true, 3, 19, 12),
        )?;
        desk.reopen()?;
    }
    Ok(())
}

pub(crate) fn a_damaged_event_is_told(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    for n in 1..=6 {
        desk.commit(&transfer(n, "a", "b", 1))?;
    }
    desk.close()?;
    // Who runs it says that it is skipped.
    if !harness.can_damage() {
        return Ok(());
    }
    holds("the harness damages a stored event, or says that it cannot", harness.damage(&home(), Seq(6)))?;
    desk.reopen_as(1)?;
    refused!(
        "reading over a damaged event",
        desk.ledger().read_events(&home(), Seq(1), usize::MAX),
        LedgerError::Damaged { .. }
    )?;
    let report = verify_ledger(desk.ledger()).works("verifying a damaged ledger")?;
    let is_told = |finding: &store_core::ledger::LedgerFinding| {
        finding.book == Some(home()) && finding.kind == LedgerFindingKind::Event
    };
    holds("the damaged book is named", !report.ok && report.damage.iter().any(is_told))
}
