//! Accounts.

use store_core::ledger::{Account, AccountId, AccountKind, BookName, LedgerError};

use super::handle::at_once;
use super::{Desk, account_of, away, clearing, eur, home, id, in_book, transfer, unknown_asset};
use crate::checks::fixture::{Works as _, holds, refused, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

fn listed(desk: &Desk<'_>, book: &BookName) -> Result<Vec<Account>, Failure> {
    desk.ledger().list_accounts(book).works("listing the accounts of a book")
}

pub(crate) fn an_opened_account_is_listed_as_it_was_opened(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let account = account_of("savings", AccountKind::Liability, Some(-7));
    desk.account(&account)?;
    same("the last account", listed(&desk, &home())?.pop(), Some(account))
}

pub(crate) fn an_account_that_is_opened_twice_is_one(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.ledger().open_account(&clearing("a")).works("opening the same account again")?;
    same("how many events the book has", desk.count()?, 3)
}

pub(crate) fn an_account_of_another_definition_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let account = account_of("d", AccountKind::Asset, Some(0));
    desk.account(&account)?;
    for other in [
        Account { asset: eur().id, ..account.clone() },
        Account { kind: AccountKind::Expense, ..account.clone() },
        Account { min_balance: None, ..account.clone() },
    ] {
        refused!(
            "an account of another definition",
            desk.ledger().open_account(&other),
            LedgerError::AlreadyExists { .. }
        )?;
    }
    same("how many events the book has", desk.count()?, 4)
}

pub(crate) fn a_known_account_is_told_before_its_asset(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "a known account with an asset that nobody registered",
        desk.ledger().open_account(&Account { asset: unknown_asset(), ..clearing("a") }),
        LedgerError::AlreadyExists { .. }
    )
}

pub(crate) fn an_account_of_an_unregistered_asset_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "an account of an asset that nobody registered",
        desk.ledger().open_account(&Account { asset: unknown_asset(), ..clearing("d") }),
        LedgerError::UnknownAsset { asset } if *asset == unknown_asset()
    )?;
    same("how many events the book has", desk.count()?, 3)
}

pub(crate) fn a_refused_account_makes_no_book(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let account = Account { id: in_book(&away(), "a"), asset: unknown_asset(), ..clearing("a") };
    let _refused = desk.ledger().open_account(&account);
    let books = desk.ledger().list_books().works("listing the books")?;
    same("the books", books, vec![BookName::system(), home()])
}

pub(crate) fn an_account_in_the_reserved_book_is_refused_first(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let account = Account { id: in_book(&BookName::system(), "a"), asset: unknown_asset(), ..clearing("a") };
    refused!(
        "an account in the reserved book, of an unknown asset",
        desk.ledger().open_account(&account),
        LedgerError::ReservedBook { .. }
    )
}

pub(crate) fn a_clearing_account_has_no_minimum(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "a clearing account with a minimum",
        desk.ledger().open_account(&account_of("d", AccountKind::Clearing, Some(0))),
        LedgerError::InvalidDefinition { .. }
    )
}

pub(crate) fn of_openings_at_once_one_is_recorded(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.reopen_as(2)?;
    let answers = at_once(&desk, |ledger, _| ledger.open_account(&clearing("d")).is_ok())?;
    holds("the same opening by several succeeds for all", answers.iter().all(|ok| *ok))?;
    same("how many events the book has", desk.count()?, 4)
}

pub(crate) fn accounts_are_listed_by_path(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.account(&clearing("Z"))?;
    let paths: Vec<_> = listed(&desk, &home())?.into_iter().map(|account| account.id.path().to_owned()).collect();
    same("the paths", paths, ["Z", "a", "b", "c"].map(str::to_owned).to_vec())
}

pub(crate) fn an_unused_book_has_no_accounts(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    same("the accounts of a book that nothing was written to", listed(&desk, &away())?, Vec::new())
}

pub(crate) fn accounts_of_one_path_in_two_books_are_two(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    for path in ["a", "b"] {
        desk.account(&Account { id: in_book(&away(), path), ..clearing(path) })?;
    }
    desk.commit(&transfer(1, "a", "b", 5))?;
    let other = desk.ledger().balance(&in_book(&away(), "a"), None).works("asking for a balance")?;
    same("what the account of the other book holds", other.amount, 0)
}

pub(crate) fn paths_with_separators_are_kept_apart(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let paths = ["a:b", "a/b", "a b", "A", "a:", "home:a", "a\"b", "é", "a%3Ab"];
    for path in paths {
        desk.account(&clearing(path))?;
    }
    for (n, path) in (1..).zip(paths) {
        desk.commit(&transfer(n, path, "c", i64::try_from(n).unwrap_or(0)))?;
    }
    for (n, path) in (1..).zip(paths) {
        same(path, desk.balance(path, None)?.0, n)?;
    }
    let ids: Vec<AccountId> = paths.iter().map(|path| id(path)).collect();
    let listed: Vec<_> = listed(&desk, &home())?.into_iter().map(|account| account.id).collect();
    holds("every account is listed", ids.iter().all(|id| listed.contains(id)))
}
