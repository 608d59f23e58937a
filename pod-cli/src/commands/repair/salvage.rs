//! `pod repair --into URL`: a new database of all that one still holds that cannot be read any more.

use std::io::{ErrorKind, Write};

use serde::Serialize;
use session_store::{OpenMode, OpenOptions, Salvaged, open, salvage_into};
use store_core::StoreError;

use crate::app::App;
use crate::commands::damage::{counted, counted_entries};
use crate::error::{CliError, Result, exit};
use crate::library::is_missing;
use crate::output::Output;

/// What was saved into a new store, as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    into: &'a str,
    #[serde(flatten)]
    saved: &'a Salvaged,
    dry_run: bool,
}

/// Makes a new store of what a database still holds.
pub(super) fn run(app: &App, into: &str, dry_run: bool) -> Result<u8> {
    let url = app.store_url()?.url;
    let saved = if dry_run { rehearse(app, &url, into)? } else { salvage_into(&url, into, app.environment.now)? };
    let code = if saved.is_whole() { exit::OK } else { exit::DAMAGE };
    if app.global.json {
        app.print_json(&Document { into, saved: &saved, dry_run })?;
        return Ok(code);
    }
    let mut out = Output::plain();
    writeln!(
        out,
        "{} {}, {}, {}, {}",
        if dry_run { "would save" } else { "saved" },
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
    if dry_run {
        app.hint("nothing was written; the same without --dry-run saves it there");
    } else {
        app.hint(&format!("`pod verify --store {into}` proves what was saved; the old store is as it was"));
    }
    Ok(code)
}

/// What would be saved. That is known when it was done, so it is done in a folder that goes at once.
fn rehearse(app: &App, url: &str, into: &str) -> Result<Salvaged> {
    let now = app.environment.now;
    match open(into, &OpenOptions { mode: OpenMode::ReadOnly, now, create: false }) {
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error.into()),
        Ok(store) => {
            let location = store.info().location;
            return Err(StoreError::io("create", location.as_ref(), ErrorKind::AlreadyExists.into()).into());
        }
    }
    let folder =
        tempfile::tempdir().map_err(|source| CliError::Io { op: "create", path: std::env::temp_dir(), source })?;
    let scheme = into.split_once(':').map_or("sqlite", |(scheme, _)| scheme);
    Ok(salvage_into(url, &format!("{scheme}:{}", folder.path().join("saved.db").display()), now)?)
}
