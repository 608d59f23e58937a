//! The ledger, in a verification of the whole store.

use std::io::Write;

use session_store::SessionError;
use store_core::StoreError;
use store_core::ledger::{LedgerFinding, LedgerFindingKind, LedgerReport, verify_ledger};

use crate::app::App;
use crate::commands::damage::counted;
use crate::error::{CliError, Result};
use crate::library::read_ledger;
use crate::output::Output;
use crate::render::clean;

/// What is wrong with the store's ledger; `None` if it has none.
pub(super) fn check(app: &App) -> Result<Option<LedgerReport>> {
    let ledger = match read_ledger(app) {
        Ok(ledger) => ledger,
        Err(CliError::Session(SessionError::Store(StoreError::Unsupported { .. }))) => None,
        // That it cannot be opened is something that a verification tells.
        Err(CliError::Session(error @ (SessionError::Ledger(_) | SessionError::Store(_)))) => {
            return Ok(Some(unreadable(&error.to_string())));
        }
        Err(error) => return Err(error),
    };
    let Some(ledger) = ledger else { return Ok(None) };
    Ok(match verify_ledger(&*ledger) {
        Ok(report) if report.books == 0 && report.ok => None,
        Ok(report) => Some(report),
        Err(error) => Some(unreadable(&error.to_string())),
    })
}

fn unreadable(detail: &str) -> LedgerReport {
    let (book, kind) = (None, LedgerFindingKind::Unreadable);
    let damage = vec![LedgerFinding { book, seq: None, kind, detail: detail.to_owned() }];
    LedgerReport { damage, ..LedgerReport::default() }
}

/// What is wrong, a line or two each.
pub(super) fn write_findings(app: &App, out: &mut Output, report: &LedgerReport) -> Result<()> {
    let bad = app.terminal.theme.bad;
    for LedgerFinding { book, seq, detail, .. } in &report.damage {
        let place = match (book, seq) {
            (Some(book), Some(seq)) => format!("the book {book} of the ledger, event {seq}"),
            (Some(book), None) => format!("the book {book} of the ledger"),
            (None, _) => "the ledger".to_owned(),
        };
        writeln!(out, "{bad}{place}{bad:#}")?;
        writeln!(out, "  {}", clean(detail))?;
    }
    Ok(())
}

/// What was looked at, and what came of it.
pub(super) fn summary(report: &LedgerReport) -> String {
    let verdict = match report.damage.len() as u64 {
        0 => "gapless, balanced, and in step".to_owned(),
        findings => counted(findings, "finding"),
    };
    let [books, events] = [counted(report.books, "book"), counted(report.events, "event")];
    format!("ledger: {books}, {events}, {}: {verdict}", counted(report.transactions, "transaction"))
}

/// What to do about it.
pub(super) fn advice(report: &LedgerReport) -> Option<&'static str> {
    let has = |is_it: fn(&LedgerFinding) -> bool| report.damage.iter().any(is_it);
    if has(|finding| matches!(finding.kind, LedgerFindingKind::Event | LedgerFindingKind::Rule)) {
        return Some(
            "`pod repair --ledger --dry-run` says what of it can be kept; usage is derived again from the conversations by `pod usage rebuild`",
        );
    }
    if has(|finding| finding.kind == LedgerFindingKind::Unreadable) {
        return Some(
            "`pod repair --ledger --dry-run` says what can be done; of a database that cannot be read `pod repair --into URL` makes a new one",
        );
    }
    (!report.ok)
        .then_some("the events are whole, and `pod repair --ledger` makes anew of them what is not in step with them")
}
