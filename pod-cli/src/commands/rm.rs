//! `pod rm` and `pod undo`: into the trash, out of it, and for good.

use serde::Serialize;
use session_store::index::Candidate;
use session_store::organise::{Organiser, PurgePlan};
use session_store::refuse_live;
use store_core::SessionId;

use super::books::feed_before_loss;
use super::organise::{Row, rows, tell};
use crate::app::App;
use crate::cli::{IdsArgs, RmArgs};
use crate::confirm::{Consent, confirm};
use crate::error::{CliError, Result, exit};
use crate::library::Library;

/// What was done, as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    sessions: &'a [Row],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    purged: bool,
    /// What was written anew because it continued what is gone.
    #[serde(skip_serializing_if = "<[Detached]>::is_empty")]
    detached: &'a [Detached],
    dry_run: bool,
}

/// A conversation that was written anew.
#[derive(Serialize)]
struct Detached {
    session_id: SessionId,
    moved_to: SessionId,
    title: Option<String>,
}

/// Puts conversations into the trash, or gets rid of them for good.
pub(super) fn run(app: &App, arguments: &RmArgs) -> Result<u8> {
    let is_tried = arguments.consented.dry_run;
    let library = if is_tried { Library::for_reading(app) } else { Library::for_writing(app) }?;
    let sessions = library.find_all(app, &arguments.which.ids)?;
    let organiser = library.organiser(app);
    if arguments.purge {
        purge(app, &library, &organiser, &sessions, arguments)
    } else {
        trash(app, &library, &sessions, arguments)
    }
}

fn trash(app: &App, library: &Library, sessions: &[SessionId], arguments: &RmArgs) -> Result<u8> {
    let organiser = library.organiser(app);
    let all = organiser.with_subagents(sessions)?;
    for session in &all {
        refuse_live(&*library.store, *session)?;
    }
    if arguments.consented.dry_run {
        let rows = rows(library, &all)?.into_iter().map(|row| Row { trashed: true, ..row }).collect::<Vec<_>>();
        return tell_done(app, &Done { rows: &rows, purged: false, detached: &[], dry_run: true });
    }
    let what = format!("put {} into the trash", counted(sessions.len(), all.len()));
    if confirm(app, arguments.consented.yes, &what)? == Consent::Refused {
        app.say("nothing was changed");
        return Ok(exit::CANCELLED);
    }
    organiser.trash(sessions)?;
    tell_done(app, &Done { rows: &rows(library, &all)?, purged: false, detached: &[], dry_run: false })?;
    app.hint("`pod undo ID` takes a conversation out again, with all that went along");
    Ok(exit::OK)
}

fn purge(
    app: &App,
    library: &Library,
    organiser: &Organiser<'_>,
    sessions: &[SessionId],
    arguments: &RmArgs,
) -> Result<u8> {
    let plan = organiser.plan_purge(sessions)?;
    for session in plan.purged.iter().chain(&plan.detached) {
        refuse_live(&*library.store, *session)?;
    }
    if !arguments.detach && !plan.referrers.is_empty() {
        return Err(CliError::Referenced { by: referrers(library, &plan)? });
    }
    let all = organiser.with_subagents(sessions)?;
    let gone: Vec<Row> =
        rows(library, &all)?.into_iter().map(|row| Row { purged: true, trashed: true, ..row }).collect();
    let mut detached = Vec::new();
    for session in &plan.detached {
        let moved_to = session_store::organise::detached_session(*session);
        detached.push(Detached { session_id: *session, moved_to, title: library.summary(*session)?.title });
    }
    if arguments.consented.dry_run {
        return tell_done(app, &Done { rows: &gone, purged: true, detached: &detached, dry_run: true });
    }
    let anew = match detached.len() {
        0 => String::new(),
        1 => ", and write 1 anew that continues them".to_owned(),
        several => format!(", and write {several} anew that continue them"),
    };
    let what = format!("purge {} for good{anew}", counted(sessions.len(), all.len()));
    if confirm(app, arguments.consented.yes, &what)? == Consent::Refused {
        app.say("nothing was changed");
        return Ok(exit::CANCELLED);
    }
    feed_before_loss(app, library, &app.prices()?)?;
    organiser.purge(sessions, arguments.detach)?;
    tell_done(app, &Done { rows: &gone, purged: true, detached: &detached, dry_run: false })
}

/// The conversations that continue what is to be purged.
fn referrers(library: &Library, plan: &PurgePlan) -> Result<Vec<Candidate>> {
    let mut by: Vec<Candidate> = Vec::new();
    for one in &plan.referrers {
        let row = library.summary(one.session_id)?;
        let candidate = Candidate {
            session_id: one.session_id,
            segment_id: one.segment_id,
            title: row.title,
            agent: row.agent,
            native_id: row.native_id,
            cwd: row.cwd,
            updated_at: row.updated_at,
        };
        if by.iter().all(|known| known.session_id != candidate.session_id) {
            by.push(candidate);
        }
    }
    Ok(by)
}

/// Takes conversations out of the trash.
pub(super) fn undo(app: &App, arguments: &IdsArgs) -> Result<u8> {
    let library = Library::for_writing(app)?;
    let sessions = library.find_all_in_trash(app, &arguments.ids)?;
    let out = library.organiser(app).take_out(&sessions)?;
    tell_done(app, &Done { rows: &rows(&library, &out)?, purged: false, detached: &[], dry_run: false })
}

/// How many conversations, in words, and how many of them nobody named.
fn counted(named: usize, all: usize) -> String {
    let count = match named {
        1 => "1 conversation".to_owned(),
        named => format!("{named} conversations"),
    };
    match all - named {
        0 => count,
        1 => format!("{count} and 1 of a sub-agent"),
        along => format!("{count} and {along} of sub-agents"),
    }
}

struct Done<'a> {
    rows: &'a [Row],
    purged: bool,
    detached: &'a [Detached],
    dry_run: bool,
}

fn tell_done(app: &App, done: &Done<'_>) -> Result<u8> {
    let Done { rows, purged, detached, dry_run } = *done;
    if app.global.json {
        app.print_json(&Document { sessions: rows, purged, detached, dry_run })?;
        return Ok(exit::OK);
    }
    tell(rows)?;
    for one in detached {
        let is = if dry_run { "would be" } else { "is now" };
        app.say(&format!("{} {is} {}, with what it continued", one.session_id, one.moved_to));
    }
    if dry_run {
        app.say("nothing was changed");
    }
    Ok(exit::OK)
}
