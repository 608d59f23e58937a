//! How books, accounts and amounts are named and shown.

use std::io::Write;
use std::path::Path;

use session_store::SessionError;
use session_store::usage::usage_book;
use store_core::Seq;
use store_core::ledger::{BookName, Ledger, LedgerError};

use super::unknown_book;
use crate::app::App;
use crate::error::{CliError, Result};
use crate::output::Output;
use crate::render::{one_line, truncate_front, width};

/// An error of the ledger.
pub(super) fn failed(error: LedgerError) -> CliError {
    CliError::Session(SessionError::Ledger(error))
}

/// Whether a book is not as it was written.
pub(super) const fn is_damage(error: &CliError) -> bool {
    matches!(error, CliError::Session(SessionError::Ledger(LedgerError::Damaged { .. })))
}

/// The books that are meant: one by its name, those of a folder, or all that there are.
pub(super) fn books(app: &App, ledger: Option<&dyn Ledger>, named: Option<&str>) -> Result<Vec<BookName>> {
    let all = ledger.map(Ledger::list_books).transpose().map_err(failed)?.unwrap_or_default();
    let Some(named) = named else { return Ok(all) };
    if !is_folder(named) {
        let book: BookName = named.parse().map_err(failed)?;
        return if all.contains(&book) { Ok(vec![book]) } else { Err(failed(unknown_book(&book))) };
    }
    let folder = app.absolute(Path::new(named))?;
    let mut found = Vec::new();
    for book in all {
        if let Some(ledger) = ledger
            && project(ledger, &book).is_ok_and(|project| project.as_deref() == Some(&*folder))
        {
            found.push(book);
        }
    }
    if found.is_empty() { Err(failed(unknown_book(&usage_book(Some(&folder)).map_err(failed)?))) } else { Ok(found) }
}

/// Whether what names a book is a folder: no book's name holds a slash or a dot.
pub(in crate::commands) fn is_folder(named: &str) -> bool {
    named.contains(['/', '.'])
}

/// The folder whose book it is, as the first transaction of an account says.
pub(super) fn project(ledger: &dyn Ledger, book: &BookName) -> Result<Option<String>> {
    for account in ledger.list_accounts(book).map_err(failed)? {
        let first = ledger.account_history(&account.id, Seq::START, 1).map_err(failed)?;
        if let Some(first) = first.first() {
            let transaction = ledger.transaction(first.transaction).map_err(failed)?;
            return Ok(transaction.and_then(|found| found.draft.meta.get("project").cloned()));
        }
    }
    Ok(None)
}

/// An amount of minor units in whole ones, with all decimals of the asset.
pub(super) fn amount(amount: i64, precision: u8) -> String {
    wide_amount(i128::from(amount), precision)
}

/// The same for a sum.
pub(super) fn wide_amount(amount: i128, precision: u8) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let decimals = usize::from(precision);
    let digits = format!("{:0>width$}", amount.unsigned_abs(), width = decimals + 1);
    match digits.split_at_checked(digits.len() - decimals) {
        Some((whole, fraction)) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
        _ => format!("{sign}{digits}"),
    }
}

/// A book's name, with its project's folder beside it.
pub(super) fn heading(app: &App, out: &mut Output, book: &BookName, project: Option<&str>) -> Result<()> {
    let (heading, dim) = (app.terminal.theme.heading, app.terminal.theme.dim);
    write!(out, "{heading}{book}{heading:#}")?;
    if let Some(project) = project {
        let folder = one_line(&app.short_path(project));
        let left = app.terminal.width.map_or(usize::MAX, |line| line.saturating_sub(width(book.as_str()) + 2));
        let folder = truncate_front(&folder, left);
        if !folder.is_empty() {
            write!(out, "  {dim}{folder}{dim:#}")?;
        }
    }
    Ok(writeln!(out)?)
}

/// An empty line.
pub(super) fn gap(out: &mut Output) -> Result<()> {
    Ok(writeln!(out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_asset() {
        let cases =
            [(0, 0, "0"), (-7, 0, "-7"), (5, 2, "0.05"), (-1234, 2, "-12.34"), (1, 9, "0.000000001"), (10, 1, "1.0")];
        for (minor, precision, text) in cases {
            assert_eq!(amount(minor, precision), text);
        }
        assert_eq!(amount(i64::MIN + 1, 18), "-9.223372036854775807");
        assert_eq!(wide_amount(i128::from(i64::MAX) * 2, 0), "18446744073709551614");
    }

    #[test]
    fn a_folder_is_told_from_a_books_name() {
        assert!(["/w", ".", "./a", "a/b", "../x"].iter().all(|named| is_folder(named)));
        assert!(["_system", "usage-12", "home"].iter().all(|named| !is_folder(named)));
    }
}
