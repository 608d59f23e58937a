//! `pod repair ID` and `pod repair --into URL`

use std::io::Write;

use serde::Serialize;
use session_store::{OpenMode, Salvaged, salvage_into};
use store_core::chain::ChainHead;
use store_core::integrity::{Lost, Quarantined, Repair, Verification};
use store_core::{MigrationId, SegmentId, Seq, SessionId, StoreError};

use super::damage::{counted, counted_entries};
use super::rollback::options;
use crate::app::App;
use crate::cli::RepairArgs;
use crate::confirm::{Consent, confirm};
use crate::error::{CliError, Result, exit};
use crate::keeper::{Keeper, Named};
use crate::output::Output;
use crate::render::{clean, thousands};

/// The repair of one segment as JSON shows it.
#[derive(Clone, Serialize)]
struct Row {
    session_id: SessionId,
    segment_id: SegmentId,
    kept: u64,
    lost: Vec<Lost>,
    quarantined: Vec<Quarantined>,
    seq: Seq,
    head: ChainHead,
    verification: Verification,
    migration_id: Option<MigrationId>,
    /// `repaired`, `clean` if there was nothing to do, `would_repair`.
    outcome: &'static str,
}

/// The whole: the first segment that needed it stands at the top.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    first: Row,
    segments: Vec<Row>,
    /// Segments of which nothing can be saved.
    hopeless: Vec<Hopeless>,
    dry_run: bool,
}

/// What was saved into a new store, as JSON shows it.
#[derive(Serialize)]
struct SalvageDocument<'a> {
    into: &'a str,
    #[serde(flatten)]
    saved: &'a Salvaged,
}

#[derive(Serialize)]
struct Hopeless {
    segment_id: SegmentId,
    message: String,
}

/// Makes a segment, or all segments of a session, whole again.
pub(super) fn run(app: &App, arguments: &RepairArgs) -> Result<u8> {
    let id = match (&arguments.id, &arguments.into) {
        (Some(id), _) => id,
        (None, Some(into)) => return salvage(app, into),
        (None, None) => return Err(App::usage("which conversation?", "pod repair ID")),
    };
    let consented = arguments.consented;
    let keeper = Keeper::open(app, OpenMode::ReadWrite)?;
    let named = keeper.find(app, id)?;
    let (mut rows, hopeless) = plan(app, &keeper, named)?;
    let damaged: Vec<SegmentId> = rows.iter().filter(|row| row.outcome != "clean").map(|row| row.segment_id).collect();
    if !consented.dry_run && !damaged.is_empty() {
        let lost: u64 = rows.iter().flat_map(|row| &row.lost).map(|lost| lost.count()).sum();
        let kept: u64 = rows.iter().filter(|row| row.outcome != "clean").map(|row| row.kept).sum();
        let what = format!(
            "rewrite {}, keeping {} and giving up {}",
            counted(damaged.len() as u64, "segment"),
            counted_entries(kept),
            counted_entries(lost)
        );
        if confirm(app, consented.yes, &what)? == Consent::Refused {
            app.say("nothing was changed");
            return Ok(exit::CANCELLED);
        }
        let options = options(app, false);
        for row in rows.iter_mut().filter(|row| row.outcome != "clean") {
            let done = keeper.integrity()?.repair(row.session_id, row.segment_id, &options)?;
            *row = self::row(row.session_id, row.segment_id, done, false);
        }
    }
    tell(app, id, rows, hopeless, consented.dry_run)
}

/// What would be done with each segment that was named, and of which of them nothing can be saved.
fn plan(app: &App, keeper: &Keeper, named: Named) -> Result<(Vec<Row>, Vec<Hopeless>)> {
    let segments = match named.segment {
        Some(segment) => vec![segment],
        None => segments_of(keeper, named.session)?,
    };
    let integrity = keeper.integrity()?;
    let (mut rows, mut hopeless, mut first_error) = (Vec::new(), Vec::new(), None);
    for segment in segments {
        match integrity.repair(named.session, segment, &options(app, true)) {
            Ok(planned) => rows.push(row(named.session, segment, planned, true)),
            Err(error @ StoreError::Corrupt(_)) => {
                hopeless.push(Hopeless { segment_id: segment, message: error.to_string() });
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match first_error {
        Some(error) if rows.is_empty() => Err(error.into()),
        _ => Ok((rows, hopeless)),
    }
}

/// The segments of a session, and those that something says were in it.
fn segments_of(keeper: &Keeper, session: SessionId) -> Result<Vec<SegmentId>> {
    let mut segments = keeper.store.list_segments(session)?;
    if segments.is_empty() && keeper.store.exists(session)? {
        let told = keeper.integrity()?.examine(Some(session))?;
        segments.extend(told.into_iter().filter_map(|finding| finding.segment_id));
        segments.dedup();
    }
    Ok(segments)
}

fn row(session_id: SessionId, segment_id: SegmentId, done: Repair, dry_run: bool) -> Row {
    let outcome = match done.migration_id {
        None => "clean",
        Some(_) if dry_run => "would_repair",
        Some(_) => "repaired",
    };
    Row {
        session_id,
        segment_id,
        kept: done.kept,
        lost: done.lost,
        quarantined: done.quarantined,
        seq: done.after.seq,
        head: done.after.head,
        verification: done.verification,
        migration_id: done.migration_id,
        outcome,
    }
}

fn tell(app: &App, id: &str, rows: Vec<Row>, hopeless: Vec<Hopeless>, dry_run: bool) -> Result<u8> {
    let code = if hopeless.is_empty() { exit::OK } else { exit::DAMAGE };
    let first = rows.iter().find(|row| row.outcome != "clean").or_else(|| rows.first()).cloned();
    let Some(first) = first else { return Err(CliError::NotFound { id: id.to_owned() }) };
    if app.global.json {
        app.print_json(&Document { first, segments: rows, hopeless, dry_run })?;
        return Ok(code);
    }
    let mut out = Output::plain();
    for row in rows.iter().filter(|row| row.outcome != "clean") {
        write_row(&mut out, row)?;
    }
    if hopeless.is_empty() && rows.iter().all(|row| row.outcome == "clean") {
        writeln!(out, "nothing to repair")?;
    }
    let bad = app.terminal.theme.bad;
    for Hopeless { segment_id, message } in &hopeless {
        writeln!(out, "{bad}segment {segment_id}: nothing can be saved{bad:#}")?;
        writeln!(out, "  {}", clean(message))?;
    }
    out.finish()?;
    if dry_run {
        app.say("nothing was changed");
    }
    Ok(code)
}

fn write_row(out: &mut Output, row: &Row) -> Result<()> {
    let would = if row.outcome == "would_repair" { "would be " } else { "" };
    writeln!(out, "segment {}", row.segment_id)?;
    writeln!(out, "  {} {would}kept", counted_entries(row.kept))?;
    for lost in &row.lost {
        match lost.count() {
            1 => writeln!(out, "  entry {} is lost", lost.from)?,
            _ => writeln!(out, "  entries {} to {} are lost", lost.from, lost.through)?,
        }
    }
    let bytes: u64 = row.quarantined.iter().map(|one| one.bytes).sum();
    if bytes > 0 {
        writeln!(out, "  {} bytes {would}taken out", thousands(bytes))?;
    }
    for path in row.quarantined.iter().filter_map(|one| one.path.as_deref()) {
        writeln!(out, "  kept in {}", clean(path))?;
    }
    writeln!(out, "  head {}", row.head)?;
    Ok(())
}

/// Makes a new store of what a database still holds.
fn salvage(app: &App, into: &str) -> Result<u8> {
    let saved = salvage_into(&app.store_url()?.url, into, app.environment.now)?;
    let code = if saved.is_whole() { exit::OK } else { exit::DAMAGE };
    if app.global.json {
        app.print_json(&SalvageDocument { into, saved: &saved })?;
        return Ok(code);
    }
    let mut out = Output::plain();
    writeln!(
        out,
        "saved {}, {}, {}, {}",
        counted(saved.sessions, "session"),
        counted(saved.segments, "segment"),
        counted_entries(saved.entries),
        counted(saved.blobs, "blob")
    )?;
    if saved.ledger_books > 0 {
        writeln!(out, "ledger: {}, {}", counted(saved.ledger_books, "book"), counted(saved.ledger_events, "event"))?;
    }
    for loss in &saved.ledger_lost {
        writeln!(out, "the book {} of the ledger: events {} to {} lost", loss.book, loss.from, loss.through)?;
    }
    for loss in &saved.lost {
        let lost = counted_entries(loss.lost.iter().map(|lost| lost.count()).sum());
        writeln!(out, "segment {}: {lost} lost", loss.segment_id)?;
    }
    for segment in &saved.segments_lost {
        writeln!(out, "segment {segment}: lost")?;
    }
    for segment in &saved.without_session {
        writeln!(out, "segment {segment}: saved, in a conversation of its own")?;
    }
    let others = [(saved.blobs_lost.len() as u64, "blob"), (saved.beside_lost, "fact or checkpoint")];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{} lost", counted(count, what))?;
    }
    out.finish()?;
    app.hint(&format!("`pod verify --store {into}` proves what was saved; the old store is as it was"));
    Ok(code)
}
