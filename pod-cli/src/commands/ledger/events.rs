//! `pod ledger events`: what happened in a book.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;
use store_core::Seq;
use store_core::ledger::{AccountId, BookName, Event, EventBody, Ledger, Posting, Side, text};

use super::super::books::books_to_read;
use super::super::table;
use super::super::usage::as_of;
use super::view::{self, amount};
use crate::app::App;
use crate::cli::LedgerEventsArgs;
use crate::error::{CliError, Result, exit};
use crate::render::{Cell, Column, Table, clock, rfc3339_us};

/// How many events are listed where nobody says how many.
const LIMIT: usize = 1000;

const COLUMNS: [Column; 4] = [
    Column::number("SEQ"),
    Column::text("COMMITTED").shown_from(60),
    Column::text("WHAT").shown_from(40),
    Column::text("").flexible(),
];

/// A book's events, as JSON shows them.
#[derive(Serialize)]
struct Document {
    book: BookName,
    project: Option<String>,
    events: Vec<Row>,
    /// What `--from` goes on from; `null` if that is all.
    next_from: Option<u64>,
}

#[derive(Serialize)]
struct Row {
    seq: u64,
    at: String,
    /// `asset`, `account`, `transaction`.
    kind: &'static str,
    /// A transaction's idempotency key.
    key: Option<String>,
    /// The event as it is stored: amounts in minor units, times in microseconds.
    event: Value,
    #[serde(skip)]
    cells: Vec<Cell>,
}

/// Lists what happened in a book.
pub(super) fn run(app: &App, arguments: &LedgerEventsArgs) -> Result<u8> {
    let as_of = as_of(app, arguments.as_of.as_deref(), &TimeZone::system())?;
    let ledger = books_to_read(app)?;
    let books = view::books(app, ledger.as_deref(), Some(&arguments.book))?;
    let (Some(ledger), [book]) = (ledger, books.as_slice()) else {
        let names = books.iter().map(BookName::to_string).collect::<Vec<_>>().join(", ");
        return Err(App::usage(format!("{} has several books", arguments.book), &format!("name one of them: {names}")));
    };
    let limit = arguments.limit.unwrap_or(LIMIT);
    let from = Seq(arguments.from.max(1));
    let mut events = ledger.read_events(book, from, limit.saturating_add(1)).map_err(view::failed)?;
    events.retain(|event| as_of.is_none_or(|as_of| event.at <= as_of));
    let next_from = events.get(limit).map(|event| event.seq.0);
    events.truncate(limit);
    let precisions = precisions(&*ledger, book)?;
    let rows = events.iter().map(|event| row(app, &precisions, event)).collect::<Result<Vec<_>>>()?;
    let document = Document { book: book.clone(), project: view::project(&*ledger, book)?, events: rows, next_from };
    if app.global.json {
        app.print_json(&document)?;
        return Ok(exit::OK);
    }
    let mut rows = Table::new(&COLUMNS);
    document.events.iter().for_each(|row| rows.row(row.cells.clone()));
    let mut out = app.paged();
    view::heading(app, &mut out, book, document.project.as_deref())?;
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    if let Some(from) = document.next_from {
        app.hint(&format!("--from {from} goes on from here"));
    }
    Ok(exit::OK)
}

/// How finely each account of a book counts.
type Precisions = HashMap<AccountId, u8>;

fn precisions(ledger: &dyn Ledger, book: &BookName) -> Result<Precisions> {
    let mut precisions = Precisions::new();
    for account in ledger.list_accounts(book).map_err(view::failed)? {
        let asset = ledger.asset(&account.asset).map_err(view::failed)?;
        precisions.insert(account.id, asset.precision);
    }
    Ok(precisions)
}

fn row(app: &App, precisions: &Precisions, event: &Event) -> Result<Row> {
    let stored = text::encode(event.at, &event.body).map_err(view::failed)?;
    let stored = serde_json::from_str(&stored).map_err(|error| CliError::Output(error.into()))?;
    let (kind, key, what) = match &event.body {
        EventBody::AssetRegistered(asset) => ("asset", None, format!("{}, {} decimals", asset.id, asset.precision)),
        EventBody::AccountOpened(account) => {
            ("account", None, format!("{}, {} in {}", account.id.path(), account.kind, account.asset))
        }
        EventBody::Transaction(draft) => {
            let posting = |posting: &Posting| {
                let precision = precisions.get(&posting.account).copied().unwrap_or(0);
                let sign = if posting.side == Side::Debit { '+' } else { '-' };
                format!("{sign}{} {}", amount(posting.amount, precision), posting.account.path())
            };
            let postings: Vec<String> = draft.postings.iter().map(posting).collect();
            ("transaction", Some(draft.key.clone()), format!("{}: {}", draft.key, postings.join(", ")))
        }
    };
    let cells = vec![
        Cell::plain(&event.seq.to_string()),
        Cell::default().styled(app.terminal.theme.dim, &clock(event.at / 1000)),
        Cell::plain(kind),
        Cell::plain(&what),
    ];
    Ok(Row { seq: event.seq.0, at: rfc3339_us(event.at), kind, key, event: stored, cells })
}
