//! `pod manifest ID`

use std::io::Write;

use session_store::{SessionError, current_leaf};
use store_core::StoreError;
use store_core::integrity::{Invariants, Manifest, ManifestOptions, manifest};

use super::damage::{counted, counted_entries};
use super::verify::with_progress;
use crate::app::App;
use crate::error::{DAMAGE_HINT, Result, exit};
use crate::keeper::Keeper;
use crate::output::Output;
use crate::render::thousands;

/// Prints what a conversation is.
pub(super) fn run(app: &App, id: &str) -> Result<u8> {
    let keeper = Keeper::open_to_look(app)?;
    let session = keeper.find(app, id)?.session;
    let current = match current_leaf(&*keeper.store, session) {
        Ok(current) => Some(current),
        // What cannot be read is what a manifest tells.
        Err(SessionError::Store(StoreError::Corrupt(_)) | SessionError::Lineage(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let options = ManifestOptions { current, threads: 0 };
    let made =
        with_progress(app, "reading", |progress| Ok(manifest(keeper.integrity()?, session, &options, progress)?))?;
    let Some(made) = made else { return Ok(exit::CANCELLED) };
    let broken = broken(&made.invariants);
    if app.global.json {
        app.print_json(&made)?;
    } else {
        tell(app, &made, &broken)?;
    }
    Ok(if broken.is_empty() { exit::OK } else { exit::DAMAGE })
}

/// What does not hold, in words.
fn broken(invariants: &Invariants) -> Vec<&'static str> {
    let Invariants {
        checksums_valid,
        sequence_contiguous,
        entries_readable,
        checkpoints_match,
        origins_valid,
        blobs_present,
        projections_in_step,
        holes_acknowledged,
        files_private_and_whole,
    } = *invariants;
    let all = [
        (checksums_valid, "stored bytes are not what was written"),
        (sequence_contiguous, "entries are missing, or stand where they may not"),
        (entries_readable, "texts are not entries"),
        (checkpoints_match, "the log is not the one that a checkpoint saw"),
        (origins_valid, "what is continued is not there"),
        (blobs_present, "blobs are missing or other ones"),
        (projections_in_step, "look-ups do not say what the logs say"),
        (holes_acknowledged, "nobody has acknowledged a hole"),
        (files_private_and_whole, "files are open to others, or not what their names say"),
    ];
    all.into_iter().filter(|(holds, _)| !holds).map(|(_, said)| said).collect()
}

fn tell(app: &App, made: &Manifest, broken: &[&str]) -> Result<()> {
    let mut out = Output::plain();
    let theme = &app.terminal.theme;
    let head = made.head.map_or_else(|| "unknown".to_owned(), |head| head.to_string());
    let counters = &made.counters;
    writeln!(out, "session  {}", made.session_id)?;
    writeln!(out, "segment  {}", made.segment_id)?;
    writeln!(out, "head     {head}")?;
    writeln!(
        out,
        "holds    {}, {}, {}, {}, {} bytes",
        counted_entries(counters.entries),
        counted(counters.messages, "message"),
        counted(counters.branches, "branch").replace("branchs", "branches"),
        counted(counters.compactions, "compaction"),
        thousands(counters.bytes)
    )?;
    writeln!(out, "from     {} to {}", made.created_at, made.updated_at)?;
    writeln!(out, "manifest {}", made.manifest_hash)?;
    match broken {
        [] => writeln!(out, "{good}everything holds{good:#}", good = theme.good)?,
        broken => {
            for said in broken {
                writeln!(out, "{bad}{said}{bad:#}", bad = theme.bad)?;
            }
        }
    }
    out.finish()?;
    if !broken.is_empty() {
        app.hint(DAMAGE_HINT);
    }
    Ok(())
}
