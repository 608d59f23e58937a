//! `pod rollback ID --to CHECKPOINT`

use std::io::Write;

use serde::Serialize;
use session_store::OpenMode;
use store_core::chain::ChainHead;
use store_core::integrity::{Integrity, MaintenanceOptions, Quarantined, Rollback, Verification};
use store_core::{MigrationId, SegmentId, Seq, SessionId};

use super::books::feed_before_loss;
use super::damage::counted_entries;
use crate::app::App;
use crate::cli::RollbackArgs;
use crate::confirm::{Consent, confirm};
use crate::error::{CliError, Result, exit};
use crate::keeper::Keeper;
use crate::library::Library;
use crate::output::Output;
use crate::render::clean;

/// A rollback as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    session_id: SessionId,
    segment_id: SegmentId,
    checkpoint: u64,
    seq: Seq,
    head: ChainHead,
    removed: u64,
    verification: Verification,
    quarantined: &'a [Quarantined],
    outcome: &'static str,
    migration_id: MigrationId,
    dry_run: bool,
}

/// Sets a segment back to a checkpoint.
pub(super) fn run(app: &App, arguments: &RollbackArgs) -> Result<u8> {
    let consented = arguments.consented;
    let keeper = Keeper::open(app, OpenMode::ReadWrite)?;
    let (session, segment) = keeper.find_segment(app, &arguments.id)?;
    let integrity = keeper.integrity()?;
    let number = number(integrity, session, segment, &arguments.to)?;
    let roll_back = |dry_run| integrity.rollback(session, segment, number, &options(app, dry_run));
    if consented.dry_run {
        return tell(app, (session, segment), &roll_back(true)?, true);
    }
    if !consented.yes {
        let planned = roll_back(true)?;
        let what = format!(
            "take {} behind entry {} out of the conversation",
            counted_entries(planned.removed),
            planned.after.seq
        );
        if confirm(app, false, &what)? == Consent::Refused {
            app.say("nothing was changed");
            return Ok(exit::CANCELLED);
        }
    }
    let prices = app.prices()?;
    match Library::as_it_is(app) {
        Ok(library) => feed_before_loss(app, &library, &prices)?,
        // What the index cannot read no book could be told.
        Err(error) => app.warn(&format!("the books were not told what is new: {}", error.report().message)),
    }
    tell(app, (session, segment), &roll_back(false)?, false)
}

/// How something is done to a segment as a whole.
pub(super) fn options(app: &App, dry_run: bool) -> MaintenanceOptions {
    let now = app.environment.now;
    MaintenanceOptions { now, dry_run, correlation_id: Some(MigrationId::mint(now).to_string()) }
}

/// The number of the checkpoint that is meant: of several with a name, the latest that holds.
fn number(integrity: &dyn Integrity, session: SessionId, segment: SegmentId, said: &str) -> Result<u64> {
    if let Ok(number) = said.parse() {
        return Ok(number);
    }
    let listed = integrity.checkpoints(session, segment)?;
    let mut named = listed.iter().filter(|one| !one.void && one.checkpoint.name.as_deref() == Some(said));
    match named.next_back() {
        Some(one) => Ok(one.checkpoint.number),
        None => {
            let holding = listed.iter().filter(|one| !one.void);
            let mut known: Vec<&str> = holding.filter_map(|one| one.checkpoint.name.as_deref()).collect();
            known.sort_unstable();
            known.dedup();
            let hint = if known.is_empty() {
                "`pod checkpoints ID` lists them".to_owned()
            } else {
                format!("there are: {}", known.join(", "))
            };
            Err(CliError::NoCheckpoint { name: said.to_owned(), hint })
        }
    }
}

fn tell(app: &App, at: (SessionId, SegmentId), done: &Rollback, dry_run: bool) -> Result<u8> {
    let (session_id, segment_id) = at;
    if app.global.json {
        app.print_json(&Document {
            session_id,
            segment_id,
            checkpoint: done.checkpoint,
            seq: done.after.seq,
            head: done.after.head,
            removed: done.removed,
            verification: done.verification,
            quarantined: &done.quarantined,
            outcome: "ok",
            migration_id: done.migration_id,
            dry_run,
        })?;
        return Ok(exit::OK);
    }
    let mut out = Output::plain();
    let (ends, removed) = (if dry_run { "would end" } else { "ends" }, counted_entries(done.removed));
    writeln!(out, "segment {segment_id} {ends} at entry {}; {removed} taken out", done.after.seq)?;
    for path in done.quarantined.iter().filter_map(|one| one.path.as_deref()) {
        writeln!(out, "  kept in {}", clean(path))?;
    }
    writeln!(out, "head {}", done.after.head)?;
    out.finish()?;
    if dry_run {
        app.say("nothing was changed");
    }
    Ok(exit::OK)
}
