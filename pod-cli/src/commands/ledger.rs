//! `pod ledger accounts|history|balance|trial|events`
//!
//! What the ledger says, as it says it. Before it is shown, its usage books are told what is new, as far as that can be. A book that is damaged keeps no other from being shown.

mod account;
mod events;
mod view;

use jiff::tz::TimeZone;
use serde::Serialize;
use store_core::ledger::{BookName, Ledger, LedgerError, TimestampUs};

pub(super) use self::view::is_folder;
use self::view::{amount, wide_amount};
use super::books::books_to_read;
use super::table;
use super::usage::as_of;
use crate::app::App;
use crate::cli::{LedgerBooksArgs, LedgerCommand};
use crate::error::{Result, exit};
use crate::output::Output;
use crate::render::{Cell, Column, Table, clean};

const ACCOUNT_COLUMNS: [Column; 4] = [
    Column::text("ACCOUNT").flexible().cut_front(),
    Column::text("TYPE").shown_from(90),
    Column::number("BALANCE"),
    Column::text("ASSET").shown_from(60),
];

const TRIAL_COLUMNS: [Column; 3] =
    [Column::text("ASSET").flexible(), Column::number("DEBIT"), Column::number("CREDIT").shown_from(40)];

/// An account, as JSON shows it.
#[derive(Serialize)]
struct AccountRow {
    account: String,
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    asset: String,
    precision: u8,
    min_balance: Option<String>,
    balance: String,
    /// The last event that changed it; 0 if none did.
    updated_seq: u64,
}

/// An asset of a trial balance, as JSON shows it.
#[derive(Serialize)]
struct AssetRow {
    asset: String,
    precision: u8,
    debit: String,
    credit: String,
}

/// A book with what was asked of it, as JSON shows it.
#[derive(Serialize)]
struct BookRow<T> {
    book: BookName,
    /// The folder whose book it is, if it is one's.
    project: Option<String>,
    #[serde(flatten)]
    of_it: T,
}

#[derive(Serialize)]
struct Accounts {
    accounts: Vec<AccountRow>,
}

#[derive(Serialize)]
struct Assets {
    assets: Vec<AssetRow>,
}

#[derive(Serialize)]
struct Document<T> {
    books: Vec<BookRow<T>>,
    /// Books that cannot be read, with the reason.
    damaged: Vec<DamagedBook>,
}

#[derive(Serialize)]
struct DamagedBook {
    book: BookName,
    message: String,
}

/// Shows what was asked of the ledger.
pub(super) fn run(app: &App, command: &LedgerCommand) -> Result<u8> {
    match command {
        LedgerCommand::Accounts(arguments) => accounts(app, arguments),
        LedgerCommand::History(arguments) => account::history(app, arguments),
        LedgerCommand::Balance(arguments) => account::balance(app, arguments),
        LedgerCommand::Trial(arguments) => trial(app, arguments),
        LedgerCommand::Events(arguments) => events::run(app, arguments),
    }
}

/// Asks each of the books that are meant. Of all books, those that are damaged are told and passed over.
fn ask<T>(
    app: &App,
    arguments: &LedgerBooksArgs,
    question: impl Fn(&dyn Ledger, &BookName, Option<TimestampUs>) -> Result<T>,
) -> Result<Document<T>> {
    let as_of = as_of(app, arguments.as_of.as_deref(), &TimeZone::system())?;
    let mut document = Document { books: Vec::new(), damaged: Vec::new() };
    let ledger = books_to_read(app)?;
    let books = view::books(app, ledger.as_deref(), arguments.book.as_deref())?;
    let Some(ledger) = ledger else { return Ok(document) };
    for book in books {
        let asked = view::project(&*ledger, &book).and_then(|project| Ok((project, question(&*ledger, &book, as_of)?)));
        match asked {
            Ok((project, of_it)) => document.books.push(BookRow { book, project, of_it }),
            Err(error) if arguments.book.is_none() && view::is_damage(&error) => {
                document.damaged.push(DamagedBook { book, message: error.report().message });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(document)
}

fn accounts(app: &App, arguments: &LedgerBooksArgs) -> Result<u8> {
    let mut document = ask(app, arguments, |ledger, book, as_of| {
        let mut rows = Vec::new();
        for account in ledger.list_accounts(book).map_err(view::failed)? {
            let balance = ledger.balance(&account.id, as_of).map_err(view::failed)?;
            let precision = ledger.asset(&account.asset).map_err(view::failed)?.precision;
            rows.push(AccountRow {
                account: account.id.to_string(),
                path: account.id.path().to_owned(),
                kind: account.kind.as_str(),
                asset: account.asset.to_string(),
                precision,
                min_balance: account.min_balance.map(|min| amount(min, precision)),
                balance: amount(balance.amount, precision),
                updated_seq: balance.updated_seq.0,
            });
        }
        Ok(Accounts { accounts: rows })
    })?;
    if arguments.book.is_none() {
        // The reserved book has assets, and nobody's accounts.
        document.books.retain(|book| !book.of_it.accounts.is_empty());
    }
    show(app, &document, &ACCOUNT_COLUMNS, |book| {
        let row = |row: &AccountRow| [&row.path, row.kind, &row.balance, &row.asset].map(Cell::plain).to_vec();
        book.accounts.iter().map(row).collect()
    })
}

fn trial(app: &App, arguments: &LedgerBooksArgs) -> Result<u8> {
    let mut document = ask(app, arguments, |ledger, book, as_of| {
        let mut rows = Vec::new();
        for row in ledger.trial_balance(book, as_of).map_err(view::failed)? {
            let precision = ledger.asset(&row.asset).map_err(view::failed)?.precision;
            let (debit, credit) = (wide_amount(row.debit, precision), wide_amount(row.credit, precision));
            rows.push(AssetRow { asset: row.asset.to_string(), precision, debit, credit });
        }
        Ok(Assets { assets: rows })
    })?;
    if arguments.book.is_none() {
        document.books.retain(|book| !book.of_it.assets.is_empty());
    }
    show(app, &document, &TRIAL_COLUMNS, |book| {
        let row = |row: &AssetRow| [&row.asset, &row.debit, &row.credit].map(|text| Cell::plain(text)).to_vec();
        book.assets.iter().map(row).collect()
    })
}

/// Writes what books said: for people a table under each book's name.
fn show<T: Serialize>(
    app: &App,
    document: &Document<T>,
    columns: &[Column],
    rows_of: impl Fn(&T) -> Vec<Vec<Cell>>,
) -> Result<u8> {
    let code = if document.damaged.is_empty() { exit::OK } else { exit::DAMAGE };
    if app.global.json {
        app.print_json(document)?;
        return Ok(code);
    }
    if document.books.is_empty() {
        app.say("the ledger is empty");
    }
    let mut out = app.paged();
    for (at, book) in document.books.iter().enumerate() {
        if at > 0 {
            view::gap(&mut out)?;
        }
        view::heading(app, &mut out, &book.book, book.project.as_deref())?;
        let mut rows = Table::new(columns);
        rows_of(&book.of_it).into_iter().for_each(|cells| rows.row(cells));
        table::write(app, &mut out, &rows)?;
    }
    finish(app, out, &document.damaged)?;
    Ok(code)
}

fn finish(app: &App, out: Output, damaged: &[DamagedBook]) -> Result<()> {
    out.finish()?;
    for DamagedBook { message, .. } in damaged {
        app.warn(&clean(message));
    }
    Ok(())
}

/// What a book answers that nothing was written to.
fn unknown_book(book: &BookName) -> LedgerError {
    LedgerError::UnknownBook { book: book.clone() }
}
