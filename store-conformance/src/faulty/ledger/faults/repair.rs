//! Faults of repairs.

use store_core::MigrationId;
use store_core::Seq;
use store_core::integrity::{EventKind, MaintenanceOptions};
use store_core::ledger::{BookName, Ledger as _, LedgerError, LedgerRepair};

use super::super::FaultyLedger;
use super::super::handle::{Handle, Rules};
use super::fault;

/// Whether a book was repaired.
fn was_repaired(at: &Handle, of: &str) -> bool {
    let is_it = |what: &EventKind| matches!(what, EventKind::LedgerRepaired { book: Some(book), .. } if book == of);
    at.medium.record().iter().any(|event| is_it(&event.what))
}

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
    fault!("a_whole_book_is_repaired", repair: |at, book, options| {
        let mut done = at.inner.repair(book, options)?;
        for one in done.books.iter_mut().filter(|one| one.is_whole() && one.kept > 8) {
            one.migration_id = Some(MigrationId::mint(options.now));
        }
        Ok(done)
    }),
    fault!("a_dry_run_of_a_repair_is_a_repair", repair: |at, book, options| {
        at.inner.repair(book, &MaintenanceOptions { dry_run: false, ..options.clone() })
    }),
    fault!("a_repair_gives_up_an_event_too_many", repair: |at, book, options| {
        let mut done = at.inner.repair(book, options)?;
        for one in done.books.iter_mut().filter(|one| one.migration_id.is_some() && !options.dry_run) {
            if let Some(name) = one.book.clone().filter(|_| one.kept == 5) {
                at.medium.damage(&name, Seq(one.kept));
                at.inner.repair(Some(&name), options)?;
            }
        }
        Ok(done)
    }),
    fault!("a_repair_does_not_say_what_is_lost", repair: |at, book, options| {
        let mut done = at.inner.repair(book, options)?;
        for lost in done.books.iter_mut().filter(|one| one.kept == 5 && !options.dry_run).map(|one| &mut one.lost) {
            *lost = None;
        }
        Ok(done)
    }),
    fault!("keys_of_lost_transactions_are_used_up", commit: |at, book, drafts| {
        Handle::each(drafts, |draft| match draft.key == "key 3" && was_repaired(at, "home") {
            true => Err(LedgerError::KeyReused { key: draft.key.clone(), seq: Seq(6) }),
            false => at.inner.commit(book, draft),
        })
    }),
    fault!("a_repair_of_one_book_repairs_all", repair: |at, book, options| match book {
        Some(book) if at.inner.list_books()?.contains(book) => at.inner.repair(None, options),
        book => at.inner.repair(book, options),
    }),
    fault!("an_unused_book_needs_no_repair", repair: |at, book, options| match at.inner.repair(book, options) {
        Err(LedgerError::UnknownBook { .. }) => Ok(LedgerRepair::default()),
        answer => answer,
    }),
    fault!("a_repaired_book_is_repaired_again", repair: |at, book, options| {
        let before = was_repaired(at, "home");
        let mut done = at.inner.repair(book, options)?;
        if before && let Some(one) = done.books.last_mut() {
            one.made_anew.push("what was made anew".to_owned());
        }
        Ok(done)
    }),
    fault!("a_book_that_lost_everything_is_listed", books: |at| {
        let mut books = at.inner.list_books()?;
        if was_repaired(at, "home") && books.len() == 2 {
            books.extend("home".parse::<BookName>());
        }
        Ok(books)
    }),
    fault!("assets_behind_a_damaged_one_are_lost", asset: |at, id| match was_repaired(at, "_system") {
        true if id.as_str() == "EUR" => Err(LedgerError::UnknownAsset { asset: id.clone() }),
        _ => at.inner.asset(id),
    }),
];
