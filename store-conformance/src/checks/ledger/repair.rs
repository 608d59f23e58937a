//! Repairs: what stands before the damage is kept as it is, and the book takes writes again.

use store_core::Seq;
use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{Account, BookName, BookRepair, Event, LedgerError, LedgerRepair, verify_ledger};

use super::{Desk, NOON, away, clearing, eur, home, id, in_book, transaction, transfer, usd};
use crate::checks::fixture::{Works as _, holds, refused, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

/// How a check asks for a repair.
fn options(dry_run: bool) -> MaintenanceOptions {
    MaintenanceOptions { now: NOON / 1000, dry_run, correlation_id: Some("check".to_owned()) }
}

fn repair(desk: &Desk<'_>, book: Option<&BookName>, dry_run: bool) -> Result<LedgerRepair, Failure> {
    desk.ledger().repair(book, &options(dry_run)).works("repairing a ledger")
}

/// What a repair says of a book.
fn of_book(repair: &LedgerRepair, book: &BookName) -> Result<BookRepair, Failure> {
    let found = repair.books.iter().find(|one| one.book.as_ref() == Some(book)).cloned();
    found.ok_or_else(|| Failure::new(format!("the repair says nothing of {book}: {repair:?}")))
}

/// A ledger whose book `home` has an account each for events 1 to 3 and transactions for 4 to 9, and `away` has two accounts.
fn filled(harness: &dyn LedgerHarness) -> Result<Desk<'_>, Failure> {
    let desk = Desk::new(harness)?;
    for n in 1..=6 {
        desk.set_clock(NOON + n);
        desk.commit(&transfer(n, "a", "b", 1))?;
    }
    for path in ["a", "b"] {
        desk.account(&Account { id: in_book(&away(), path), ..clearing("a") })?;
    }
    Ok(desk)
}

/// The same with damaged events, and the events of `home` as they were; `None` where nothing can be damaged, which whoever runs it says.
fn damaged<'h>(
    harness: &'h dyn LedgerHarness,
    events: &[(BookName, u64)],
) -> Result<Option<(Desk<'h>, Vec<Event>)>, Failure> {
    let mut desk = filled(harness)?;
    let before = desk.events(&home())?;
    desk.close()?;
    if !harness.can_damage() {
        return Ok(None);
    }
    for (book, seq) in events {
        holds("the harness damages a stored event, or says that it cannot", harness.damage(book, Seq(*seq)))?;
    }
    desk.reopen_as(1)?;
    Ok(Some((desk, before)))
}

fn is_damaged(desk: &Desk<'_>, book: &BookName) -> Outcome {
    refused!(
        "reading over a damaged event",
        desk.ledger().read_events(book, Seq(1), usize::MAX),
        LedgerError::Damaged { .. }
    )
}

fn proved(desk: &Desk<'_>) -> Outcome {
    let report = verify_ledger(desk.ledger()).works("verifying a repaired ledger")?;
    same("what is wrong with a repaired ledger", report.damage, Vec::new())
}

pub(crate) fn a_whole_ledger_needs_no_repair(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = filled(harness)?;
    let before = desk.events(&home())?;
    for dry_run in [true, false] {
        let repair = repair(&desk, None, dry_run)?;
        let told: Vec<_> = repair.books.iter().map(|one| (one.book.clone(), one.kept, one.migration_id)).collect();
        let expected = [(BookName::system(), 2), (away(), 2), (home(), 9)];
        same("what is kept", told, expected.map(|(book, kept)| (Some(book), kept, None)).to_vec())?;
        holds("nothing was to be done", repair.is_whole() && repair.unregistered.is_empty())?;
        same("the events", desk.events(&home())?, before.clone())?;
        desk.reopen()?;
    }
    same("the seq of the next", desk.commit(&transfer(7, "a", "b", 1))?.seq, Seq(10))?;
    proved(&desk)
}

pub(crate) fn a_dry_run_of_a_repair_changes_nothing(harness: &dyn LedgerHarness) -> Outcome {
    let Some((mut desk, _)) = damaged(harness, &[(home(), 6)])? else { return Ok(()) };
    for _ in 0..2 {
        let told = of_book(&repair(&desk, None, true)?, &home())?;
        same("what would be kept", (told.kept, told.lost.map(|lost| lost.from)), (5, Some(Seq(6))))?;
        holds("where it would be kept is not said", told.set_aside.iter().all(|aside| aside.path.is_none()))?;
        is_damaged(&desk, &home())?;
        desk.reopen()?;
    }
    Ok(())
}

pub(crate) fn a_repair_keeps_what_stands_before_the_damage(harness: &dyn LedgerHarness) -> Outcome {
    let Some((mut desk, mut before)) = damaged(harness, &[(home(), 6)])? else { return Ok(()) };
    let done = of_book(&repair(&desk, None, false)?, &home())?;
    let lost = done.lost.map(|lost| (lost.from, lost.lines));
    same("what is kept and what is lost", (done.kept, lost), (5, Some((Seq(6), 4))))?;
    holds("it has a name in the record", done.migration_id.is_some())?;
    let kept = !done.set_aside.is_empty() && done.set_aside.iter().all(|aside| aside.path.is_some());
    holds("it says where it is", kept)?;
    before.truncate(5);
    for _ in 0..2 {
        same("the events that are kept", desk.events(&home())?, before.clone())?;
        same("the balance of them", desk.balance("a", None)?, (2, 5))?;
        proved(&desk)?;
        desk.reopen()?;
    }
    Ok(())
}

pub(crate) fn a_repaired_book_takes_what_was_lost(harness: &dyn LedgerHarness) -> Outcome {
    let Some((mut desk, before)) = damaged(harness, &[(home(), 6)])? else { return Ok(()) };
    repair(&desk, Some(&home()), false)?;
    desk.set_clock(NOON + 50);
    let first = desk.commit(&transfer(2, "a", "b", 1))?;
    same(
        "the receipt of a transaction that is kept",
        (first.seq, Some(first.at)),
        (Seq(5), before.get(4).map(|event| event.at)),
    )?;
    let lost = desk.ledger().transaction(transaction(3)).works("looking for a transaction that is lost")?;
    same("a transaction that is lost", lost, None)?;
    for n in 3..=8 {
        let receipt = desk.commit(&transfer(n, "a", "b", 1))?;
        same(
            "the seq and time of a lost transaction that is committed again",
            (receipt.seq, receipt.at),
            (Seq(n + 3), NOON + 50),
        )?;
    }
    for _ in 0..2 {
        same("the balance", desk.balance("a", None)?, (8, 11))?;
        proved(&desk)?;
        desk.reopen()?;
    }
    Ok(())
}

pub(crate) fn a_repair_of_one_book_leaves_the_others(harness: &dyn LedgerHarness) -> Outcome {
    let Some((desk, _)) = damaged(harness, &[(home(), 6), (away(), 1)])? else { return Ok(()) };
    let done = repair(&desk, Some(&home()), false)?;
    let books: Vec<_> = done.books.into_iter().map(|one| one.book).collect();
    same("the books that it says something of", books, vec![Some(home())])?;
    is_damaged(&desk, &away())
}

pub(crate) fn a_repair_of_an_unused_book_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    for dry_run in [true, false] {
        refused!(
            "repairing a book that nothing was written to",
            desk.ledger().repair(Some(&away()), &options(dry_run)),
            LedgerError::UnknownBook { .. }
        )?;
    }
    let books = desk.ledger().list_books().works("listing the books")?;
    same("the books", books, vec![BookName::system(), home()])
}

pub(crate) fn a_repaired_book_needs_no_second_repair(harness: &dyn LedgerHarness) -> Outcome {
    let Some((mut desk, _)) = damaged(harness, &[(home(), 4), (home(), 8)])? else { return Ok(()) };
    same("what is kept", of_book(&repair(&desk, None, false)?, &home())?.kept, 3)?;
    for _ in 0..2 {
        let again = repair(&desk, None, false)?;
        holds("nothing is left to be done", again.is_whole())?;
        desk.reopen()?;
    }
    Ok(())
}

pub(crate) fn a_book_whose_first_event_is_damaged_is_empty_again(harness: &dyn LedgerHarness) -> Outcome {
    let Some((mut desk, _)) = damaged(harness, &[(home(), 1)])? else { return Ok(()) };
    let done = of_book(&repair(&desk, None, false)?, &home())?;
    same(
        "what is kept and what is lost",
        (done.kept, done.lost.map(|lost| (lost.from, lost.lines))),
        (0, Some((Seq(1), 9))),
    )?;
    for _ in 0..2 {
        let books = desk.ledger().list_books().works("listing the books")?;
        same("the books", books, vec![BookName::system(), away()])?;
        same("the events", desk.events(&home())?, Vec::new())?;
        refused!(
            "the balance of an account that is lost",
            desk.ledger().balance(&id("a"), None),
            LedgerError::UnknownAccount { .. }
        )?;
        desk.reopen()?;
    }
    for path in ["a", "b"] {
        desk.account(&clearing(path))?;
    }
    same("the seq of what is committed again", desk.commit(&transfer(6, "a", "b", 1))?.seq, Seq(3))?;
    desk.reopen()?;
    same("the balance", desk.balance("a", None)?, (1, 3))?;
    proved(&desk)
}

pub(crate) fn assets_behind_a_damaged_one_are_registered_again(harness: &dyn LedgerHarness) -> Outcome {
    let Some((mut desk, before)) = damaged(harness, &[(BookName::system(), 1)])? else { return Ok(()) };
    let done = of_book(&repair(&desk, None, false)?, &BookName::system())?;
    same("what is kept of the assets", done.kept, 0)?;
    holds("what stands behind is registered again", done.registered.contains(&eur().id))?;
    same("the asset behind the damaged one", desk.ledger().asset(&eur().id).works("asking for an asset")?, eur())?;
    same("the events of a book whose asset is damaged", desk.events(&home())?, before)?;
    // Where nothing tells of its precision, whoever uses it does.
    desk.register(&usd())?;
    for _ in 0..2 {
        same("the balance", desk.balance("a", None)?, (6, 9))?;
        proved(&desk)?;
        desk.reopen()?;
    }
    Ok(())
}
