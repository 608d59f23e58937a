//! `pod migrate --to URL`

mod ledger;

use std::io::Write;
use std::time::Instant;

use serde::Serialize;
use session_store::{
    LedgerMigrated, MigrateFailureKind, MigrateOptions, MigrateReport, OpenMode, OpenOptions, SessionError, migrate,
    open,
};
use store_core::{Backend, MigrationId, SessionId};

use super::damage::{counted, counted_entries};
use crate::app::App;
use crate::cli::MigrateArgs;
use crate::error::{Result, exit};
use crate::keeper::Keeper;
use crate::library::is_missing;
use crate::output::Output;
use crate::progress::ProgressLine;
use crate::render::{clean, thousands};

/// So many failures and warnings are told; the others are counted.
const TOLD_MAX: usize = 10;

/// A migration as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a MigrateReport,
    /// The ledger; `null` if the store keeps none, or only some conversations were meant.
    ledger: Option<&'a LedgerMigrated>,
}

/// Copies conversations, and the ledger with a whole store, into another store.
pub(super) fn run(app: &App, arguments: &MigrateArgs) -> Result<u8> {
    // The source is opened in the way that leaves no trace in it.
    let source = Keeper::open(app, OpenMode::ReadOnly)?;
    let sessions: Vec<SessionId> =
        arguments.sessions.iter().map(|id| Ok(source.find(app, id)?.session)).collect::<Result<_>>()?;
    let target = open_target(app, arguments)?;
    let now = app.environment.now;
    let options = MigrateOptions {
        now,
        sessions: Some(sessions).filter(|sessions| !sessions.is_empty()),
        dry_run: arguments.dry_run,
        correlation_id: Some(MigrationId::mint(now).to_string()),
    };
    let asked = app.interrupt.ask_to_stop()?;
    let mut line = ProgressLine::on_stderr(app);
    let report = migrate(&*source.store, &*target, &options, &mut |far| {
        let (at, of) = ((far.segments_done + 1).min(far.segments), far.segments);
        line.tell(Instant::now(), &format!("migrating {at} of {of}  {} entries", thousands(far.entries)));
        asked.flow()
    });
    drop(line);
    app.interrupt.end_at_once();
    let report = report?;
    let copied = if options.sessions.is_none() && !report.stopped {
        ledger::copy(app, &arguments.to, arguments.dry_run)
    } else {
        Ok(None)
    };
    // Whatever came of the ledger, what came of the conversations is told.
    let (ledger, refused) = match copied {
        Ok(ledger) => (ledger, None),
        Err(error) => (None, Some(error)),
    };
    if app.global.json {
        app.print_json(&Document { report: &report, ledger: ledger.as_ref() })?;
    } else {
        tell(app, &report, ledger.as_ref())?;
    }
    if let Some(error) = refused {
        return Err(error);
    }
    let of_ledger = ledger.as_ref().map_or(exit::OK, ledger::code);
    Ok(match (code(&report), of_ledger) {
        (exit::OK, of_ledger) => of_ledger,
        (_, exit::DAMAGE) => exit::DAMAGE,
        (of_sessions, _) => of_sessions,
    })
}

/// Opens the store to copy into. A dry run makes none.
fn open_target(app: &App, arguments: &MigrateArgs) -> Result<std::sync::Arc<dyn Backend>> {
    let now = app.environment.now;
    if arguments.to.trim_start().starts_with("memory:") {
        return Err(App::usage(
            "what is migrated into memory is gone with this command",
            "name a place: --to sqlite:FILE or --to fs:FOLDER",
        ));
    }
    if !arguments.dry_run {
        return Ok(open(&arguments.to, &OpenOptions::at(now))?);
    }
    let to_look = OpenOptions { mode: OpenMode::ReadOnly, now, create: false };
    let opened: Result<_, SessionError> = match open(&arguments.to, &to_look) {
        Err(error) if is_missing(&error) => open("memory:", &OpenOptions::at(now)),
        opened => opened,
    };
    Ok(opened?)
}

fn code(report: &MigrateReport) -> u8 {
    let failed = |kind| report.failures.iter().any(|failure| failure.kind == kind);
    let verified = report.verification.entry_count_match && report.verification.hash_chain_match;
    if failed(MigrateFailureKind::Damaged) || !verified {
        exit::DAMAGE
    } else if failed(MigrateFailureKind::Differs) {
        exit::CONFLICT
    } else if report.failed > 0 || !report.failures.is_empty() {
        exit::FAILED
    } else if report.stopped {
        exit::CANCELLED
    } else {
        exit::OK
    }
}

fn tell(app: &App, report: &MigrateReport, ledger: Option<&LedgerMigrated>) -> Result<()> {
    let theme = &app.terminal.theme;
    let mut out = Output::plain();
    for failure in report.failures.iter().take(TOLD_MAX) {
        let bad = theme.bad;
        match (failure.segment_id, failure.session_id) {
            (Some(segment), _) => writeln!(out, "{bad}segment {segment}{bad:#}")?,
            (None, Some(session)) => writeln!(out, "{bad}session {session}{bad:#}")?,
            (None, None) => writeln!(out, "{bad}the store{bad:#}")?,
        }
        writeln!(out, "  {}", clean(&failure.message))?;
    }
    if report.failures.len() > TOLD_MAX {
        writeln!(out, "… and {} more (--json tells all)", report.failures.len() - TOLD_MAX)?;
    }
    let counts = [
        (report.migrated, if report.dry_run { "to migrate" } else { "migrated" }),
        (report.already, "there already"),
        (report.failed, "failed"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", thousands(count)))
        .collect();
    let counts = if counts.is_empty() { "nothing to migrate".to_owned() } else { counts.join(", ") };
    writeln!(
        out,
        "{}, {}, {}: {counts}",
        counted(report.sessions, "session"),
        counted(report.segments, "segment"),
        counted_entries(report.entries)
    )?;
    ledger.map_or(Ok(()), |ledger| ledger::write(app, &mut out, ledger))?;
    let verified = report.verification.entry_count_match && report.verification.hash_chain_match;
    match (report.dry_run, verified) {
        (true, _) => writeln!(out, "nothing was written")?,
        (false, true) if report.new_entries > 0 => {
            writeln!(out, "{} copied, read back: the heads are equal", counted_entries(report.new_entries))?;
        }
        (false, true) => {}
        (false, false) => {
            writeln!(out, "{bad}what was read back is not what was written{bad:#}", bad = theme.bad)?;
        }
    }
    out.finish()?;
    for warning in report.warnings.iter().take(TOLD_MAX) {
        app.warn(warning);
    }
    if report.stopped {
        app.hint("the same command again goes on from here");
    }
    if report.failures.iter().any(|failure| failure.kind == MigrateFailureKind::Damaged) {
        let damaged = report.failures.iter().filter(|failure| failure.kind == MigrateFailureKind::Damaged);
        let named = damaged.filter_map(|failure| failure.session_id).next();
        let id = named.map_or_else(String::new, |session| format!(" {session}"));
        app.hint(&format!(
            "`pod repair{id}` keeps all that can be read; then the same command again brings over the rest"
        ));
    }
    if report.failures.iter().any(|failure| failure.kind == MigrateFailureKind::Differs) {
        app.hint("what differs was left as it is in both; `pod show --store URL` shows each, `pod rm --purge` in one of them decides");
    }
    Ok(())
}
