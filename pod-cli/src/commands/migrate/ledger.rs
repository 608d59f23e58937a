//! The ledger, in a migration of a whole store.

use std::io::Write;
use std::time::{Duration, Instant};

use session_store::{LedgerMigrated, MigrateFailureKind, SessionError, migrate_ledger, open_ledger, read_ledger};
use store_core::StoreError;

use crate::app::App;
use crate::commands::damage::counted;
use crate::error::{CliError, Result, exit};
use crate::library::is_missing;
use crate::output::Output;
use crate::progress::ProgressLine;
use crate::render::{clean, thousands};

/// How long another process may take to let go of the target's ledger.
const PATIENCE: Duration = Duration::from_secs(10);

/// Copies the books of the store's ledger into the store at `to`; `None` if there are none.
pub(super) fn copy(app: &App, to: &str, dry_run: bool) -> Result<Option<LedgerMigrated>> {
    let source = match crate::library::read_ledger(app) {
        Err(CliError::Session(SessionError::Store(StoreError::Unsupported { .. }))) => None,
        source => source?,
    };
    let Some(source) = source else { return Ok(None) };
    let is_empty = source.list_books().map_err(SessionError::from)?.is_empty();
    // A ledger that names no book may still have lost the names of some.
    if is_empty && source.examine().map_err(SessionError::from)?.is_empty() {
        return Ok(None);
    }
    let clock = app.environment.ledger_clock();
    let target = if dry_run {
        match read_ledger(to, &clock) {
            Err(error) if is_missing(&error) => None,
            target => target?,
        }
    } else {
        Some(open_ledger(to, &clock, PATIENCE)?)
    };
    let asked = app.interrupt.ask_to_stop()?;
    let mut line = ProgressLine::on_stderr(app);
    let report = migrate_ledger(&*source, target.as_deref(), dry_run, &mut |events| {
        line.tell(Instant::now(), &format!("migrating the ledger  {} events", thousands(events)));
        asked.flow()
    });
    drop(line);
    app.interrupt.end_at_once();
    Ok(Some(report?))
}

pub(super) fn code(report: &LedgerMigrated) -> u8 {
    let failed = |kind| report.failures.iter().any(|failure| failure.kind == kind);
    if failed(MigrateFailureKind::Damaged) || !report.verified {
        exit::DAMAGE
    } else if failed(MigrateFailureKind::Differs) {
        exit::CONFLICT
    } else if report.failed > 0 {
        exit::FAILED
    } else if report.stopped {
        exit::CANCELLED
    } else {
        exit::OK
    }
}

pub(super) fn write(app: &App, out: &mut Output, report: &LedgerMigrated) -> Result<()> {
    let bad = app.terminal.theme.bad;
    for failure in &report.failures {
        writeln!(out, "{bad}the book {} of the ledger{bad:#}", failure.book)?;
        writeln!(out, "  {}", clean(&failure.message))?;
    }
    let counts = [
        (report.migrated, if report.dry_run { "to migrate" } else { "migrated" }),
        (report.already, "there already"),
        (report.failed, "failed"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, what)| format!("{} {what}", thousands(count))).collect();
    let [books, events] = [counted(report.books, "book"), counted(report.events, "event")];
    writeln!(out, "ledger: {books}, {events}: {}", counts.join(", "))?;
    if !report.verified {
        writeln!(out, "{bad}what was read back of the ledger is not what was written{bad:#}")?;
    }
    Ok(())
}
