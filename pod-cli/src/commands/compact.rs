//! `pod compact ID`

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use session_store::{
    CompactOptions, CompactionPlan, ForkPoint, LineageEntries, SegmentLocation, compact, fork_origin, lineage,
    plan_compaction, refuse_live,
};
use store_core::{SegmentId, SegmentOrigin, SessionId};

use super::live::lease;
use crate::app::App;
use crate::cli::CompactArgs;
use crate::error::{CliError, Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::summarizer;

/// A compaction as JSON shows it.
#[derive(Serialize)]
struct Document {
    session_id: SessionId,
    /// The new segment; null where nothing was written.
    segment_id: Option<SegmentId>,
    compacted_from: SegmentOrigin,
    kept_turns: u64,
    history_items: u64,
    summarised_items: u64,
    dry_run: bool,
}

/// Goes on from a summary and the last turns.
pub(super) fn run(app: &App, arguments: &CompactArgs) -> Result<u8> {
    let library = if arguments.dry_run { Library::for_reading(app) } else { Library::for_writing(app) }?;
    let target = library.resolve(app, &arguments.id)?;
    let at = SegmentLocation { session_id: target.session, segment_id: target.segment };
    refuse_live(&*library.store, target.session)?;
    let plan = |parts: &[LineageEntries]| plan_compaction(parts, &CompactOptions { keep_turns: arguments.keep });
    if arguments.dry_run {
        let parts = lineage::load(&*library.store, at.session_id, at.segment_id)?;
        tell(app, &plan(&parts)?, fork_origin(&parts, ForkPoint::End)?, None)?;
        return Ok(exit::OK);
    }
    // From here on nobody who asks begins to write, until it is done.
    let _lease = lease(app, &*library.store, at, "pod compact")?;
    let parts = lineage::load(&*library.store, at.session_id, at.segment_id)?;
    let plan = plan(&parts)?;
    let Some(summary) = summary(app, &library, arguments, &plan)? else {
        app.say("nothing was changed");
        return Ok(exit::CANCELLED);
    };
    let made = compact(&*library.store, app.environment.now, &plan, &summary)?;
    tell(app, &plan, fork_origin(&parts, ForkPoint::End)?, Some(made.segment_id))?;
    Ok(exit::OK)
}

/// The summary; `None` if a person would rather not wait for it.
fn summary(app: &App, library: &Library, arguments: &CompactArgs, plan: &CompactionPlan) -> Result<Option<String>> {
    if let Some(path) = &arguments.summary {
        return read(path).map(Some);
    }
    match arguments.summarizer.as_ref().or(app.config()?.summarizer.as_ref()) {
        Some(command) => {
            let text = plan.text(&*library.store)?;
            app.say(&format!("summarising {} ({} bytes) with: {command}", items(plan), text.len()));
            summarizer::run(app, command, text, Duration::from_secs(arguments.timeout))
        }
        None => Err(App::usage(
            "a compaction needs a summary",
            "--summarizer CMD runs a program that makes one, as does `summarizer` in the config file; --summary FILE reads one, --dry-run says what it has to tell",
        )),
    }
}

fn read(path: &Path) -> Result<String> {
    let failed = |source| CliError::Io { op: "read", path: path.to_owned(), source };
    if path != Path::new("-") {
        return fs::read_to_string(path).map_err(failed);
    }
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn items(plan: &CompactionPlan) -> String {
    match plan.to_summarise.len() {
        1 => "1 item".to_owned(),
        items => format!("{items} items"),
    }
}

fn tell(app: &App, plan: &CompactionPlan, from: SegmentOrigin, made: Option<SegmentId>) -> Result<()> {
    if app.global.json {
        return app.print_json(&Document {
            session_id: plan.location.session_id,
            segment_id: made,
            compacted_from: from,
            kept_turns: plan.kept_turns,
            history_items: plan.history_items,
            summarised_items: plan.to_summarise.len() as u64,
            dry_run: made.is_none(),
        });
    }
    let turns = match plan.kept_turns {
        0 => String::new(),
        1 => " and the last turn".to_owned(),
        turns => format!(" and the last {turns} turns"),
    };
    let said = format!("a summary of {}{turns}", items(plan));
    match made {
        Some(segment) => {
            let mut out = Output::plain();
            writeln!(out, "{segment}")?;
            out.finish()?;
            app.say(&format!("a model is given {said}; `pod show` still shows everything"));
        }
        None => {
            let mut out = Output::plain();
            writeln!(out, "a model would be given {said}: {} items", plan.history_items)?;
            out.finish()?;
            app.say("nothing was changed");
        }
    }
    Ok(())
}
