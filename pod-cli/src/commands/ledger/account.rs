//! `pod ledger balance` and `pod ledger history`: one account.

use std::io::Write;

use jiff::tz::TimeZone;
use serde::Serialize;
use store_core::Seq;
use store_core::ledger::{AccountId, Ledger, LedgerError, Side, TimestampUs};

use super::super::books::books_to_read;
use super::super::table;
use super::super::usage::as_of;
use super::view::{self, amount};
use crate::app::App;
use crate::cli::{LedgerBalanceArgs, LedgerHistoryArgs};
use crate::error::{Result, exit};
use crate::render::{Cell, Column, Table, clock, rfc3339_us};

/// How many transactions are listed where nobody says how many.
const LIMIT: usize = 1000;

const COLUMNS: [Column; 6] = [
    Column::number("SEQ"),
    Column::text("COMMITTED").shown_from(60),
    Column::number("DEBIT"),
    Column::number("CREDIT"),
    Column::number("BALANCE").shown_from(50),
    Column::text("TRANSACTION").shown_from(110).flexible(),
];

/// An account, as JSON shows it.
#[derive(Serialize)]
struct Head {
    account: String,
    book: String,
    project: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    asset: String,
    precision: u8,
    as_of: Option<String>,
}

#[derive(Serialize)]
struct BalanceDocument {
    #[serde(flatten)]
    head: Head,
    balance: String,
    /// The last event that changed it; 0 if none did.
    updated_seq: u64,
}

#[derive(Serialize)]
struct HistoryDocument {
    #[serde(flatten)]
    head: Head,
    postings: Vec<PostingRow>,
    /// What `--after` goes on from; `null` if that is all.
    next_after: Option<u64>,
}

#[derive(Serialize)]
struct PostingRow {
    seq: u64,
    at: String,
    transaction: String,
    side: Side,
    amount: String,
    balance: String,
    #[serde(skip)]
    at_us: TimestampUs,
}

/// The account of a text, and what is known of it.
fn find(ledger: Option<&dyn Ledger>, text: &str, as_of: Option<TimestampUs>) -> Result<(AccountId, Head)> {
    let account: AccountId = text.parse().map_err(view::failed)?;
    let unknown = || view::failed(LedgerError::UnknownAccount { account: account.clone() });
    let ledger = ledger.ok_or_else(unknown)?;
    let opened = ledger.list_accounts(account.book()).map_err(view::failed)?;
    let opened = opened.into_iter().find(|opened| opened.id == account).ok_or_else(unknown)?;
    let head = Head {
        account: account.to_string(),
        book: account.book().to_string(),
        project: view::project(ledger, account.book())?,
        kind: opened.kind.as_str(),
        precision: ledger.asset(&opened.asset).map_err(view::failed)?.precision,
        asset: opened.asset.to_string(),
        as_of: as_of.map(rfc3339_us),
    };
    Ok((account, head))
}

/// Says what an account holds.
pub(super) fn balance(app: &App, arguments: &LedgerBalanceArgs) -> Result<u8> {
    let as_of = as_of(app, arguments.as_of.as_deref(), &TimeZone::system())?;
    let ledger = books_to_read(app)?;
    let (account, head) = find(ledger.as_deref(), &arguments.account, as_of)?;
    let Some(ledger) = ledger else { return Ok(exit::OK) };
    let found = ledger.balance(&account, as_of).map_err(view::failed)?;
    let balance = amount(found.amount, head.precision);
    if app.global.json {
        app.print_json(&BalanceDocument { head, balance, updated_seq: found.updated_seq.0 })?;
        return Ok(exit::OK);
    }
    let mut out = app.paged();
    writeln!(out, "{balance} {}", head.asset)?;
    out.finish()?;
    Ok(exit::OK)
}

/// Lists what was posted to an account.
pub(super) fn history(app: &App, arguments: &LedgerHistoryArgs) -> Result<u8> {
    let as_of = as_of(app, arguments.as_of.as_deref(), &TimeZone::system())?;
    let ledger = books_to_read(app)?;
    let (account, head) = find(ledger.as_deref(), &arguments.account, as_of)?;
    let Some(ledger) = ledger else { return Ok(exit::OK) };
    let limit = arguments.limit.unwrap_or(LIMIT);
    // One more than is shown tells whether there is more.
    let found =
        ledger.account_history(&account, Seq(arguments.after), limit.saturating_add(1)).map_err(view::failed)?;
    let mut rows: Vec<PostingRow> = found
        .into_iter()
        .filter(|row| as_of.is_none_or(|as_of| row.at <= as_of))
        .map(|row| PostingRow {
            seq: row.seq.0,
            at: rfc3339_us(row.at),
            transaction: row.transaction.to_string(),
            side: row.side,
            amount: amount(row.amount, head.precision),
            balance: amount(row.balance, head.precision),
            at_us: row.at,
        })
        .collect();
    let mut seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    seqs.dedup();
    let last = (seqs.len() > limit)
        .then(|| limit.checked_sub(1).and_then(|at| seqs.get(at)).copied().unwrap_or(arguments.after));
    if let Some(last) = last {
        rows.retain(|row| row.seq <= last);
    }
    let document = HistoryDocument { head, postings: rows, next_after: last };
    if app.global.json {
        app.print_json(&document)?;
    } else {
        show(app, &document, &account)?;
    }
    Ok(exit::OK)
}

fn show(app: &App, document: &HistoryDocument, account: &AccountId) -> Result<()> {
    let theme = &app.terminal.theme;
    let mut rows = Table::new(&COLUMNS);
    for row in &document.postings {
        let side = |side: Side| Cell::plain(if row.side == side { row.amount.as_str() } else { "" });
        rows.row(vec![
            Cell::plain(&row.seq.to_string()),
            Cell::default().styled(theme.dim, &clock(row.at_us / 1000)),
            side(Side::Debit),
            side(Side::Credit),
            Cell::plain(&row.balance),
            Cell::default().styled(theme.dim, &row.transaction),
        ]);
    }
    let mut out = app.paged();
    view::heading(app, &mut out, account.book(), document.head.project.as_deref())?;
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    app.say(&format!("{} in {}", account.path(), document.head.asset));
    if let Some(after) = document.next_after {
        app.hint(&format!("--after {after} goes on from here"));
    }
    Ok(())
}
