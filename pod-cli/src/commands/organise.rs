//! `pod rename`, `tag`, `pin`, `archive`, `unarchive`: what people say about conversations.

use std::io::Write;

use serde::Serialize;
use session_store::index::SessionSummary;
use session_store::organise::{Organiser, TagChange};
use store_core::SessionId;

use crate::app::App;
use crate::cli::{IdsArgs, PinArgs, RenameArgs, TagArgs};
use crate::error::{Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::render::one_line;

/// What is said about a conversation, as JSON shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) session_id: SessionId,
    pub(super) title: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) pinned: bool,
    pub(super) archived: bool,
    pub(super) trashed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) purged: bool,
}

impl From<SessionSummary> for Row {
    fn from(row: SessionSummary) -> Self {
        let SessionSummary { session_id, title, tags, pinned, archived, trashed, .. } = row;
        Self { session_id, title, tags, pinned, archived, trashed, purged: false }
    }
}

/// Conversations as JSON shows them.
#[derive(Serialize)]
struct Document<'a> {
    sessions: &'a [Row],
}

/// Gives a conversation a title.
pub(super) fn rename(app: &App, arguments: &RenameArgs) -> Result<u8> {
    change(app, std::slice::from_ref(&arguments.id), |organiser, session| organiser.rename(session, &arguments.title))
}

/// Changes the tags of conversations.
pub(super) fn tag(app: &App, arguments: &TagArgs) -> Result<u8> {
    let TagArgs { which, add, remove, clear } = arguments;
    let change_of_tags = TagChange { clear: *clear, remove: remove.clone(), add: add.clone() };
    change(app, &which.ids, |organiser, session| organiser.tag(session, &change_of_tags))
}

/// Pins conversations.
pub(super) fn pin(app: &App, arguments: &PinArgs) -> Result<u8> {
    change(app, &arguments.which.ids, |organiser, session| organiser.pin(session, !arguments.off))
}

/// Puts conversations into the archive, or takes them out.
pub(super) fn archive(app: &App, arguments: &IdsArgs, archived: bool) -> Result<u8> {
    change(app, &arguments.ids, |organiser, session| organiser.archive(session, archived))
}

/// Says something about each of the conversations. All of them are found before anything is said.
fn change(
    app: &App,
    ids: &[String],
    say: impl Fn(&Organiser<'_>, SessionId) -> session_store::Result<()>,
) -> Result<u8> {
    let library = Library::for_writing(app)?;
    let sessions = library.find_all(app, ids)?;
    let organiser = library.organiser(app);
    for session in &sessions {
        say(&organiser, *session)?;
    }
    let rows = rows(&library, &sessions)?;
    if app.global.json {
        app.print_json(&Document { sessions: &rows })?;
    } else {
        tell(&rows)?;
    }
    Ok(exit::OK)
}

/// What is said about sessions now.
pub(super) fn rows(library: &Library, sessions: &[SessionId]) -> Result<Vec<Row>> {
    library.index.refresh(&*library.store)?;
    sessions.iter().map(|session| library.summary(*session).map(Row::from)).collect()
}

/// Tells a person what is said about conversations, a line each.
pub(super) fn tell(rows: &[Row]) -> Result<()> {
    let mut out = Output::plain();
    for row in rows {
        let title = row.title.as_deref().map_or_else(|| "(no title)".to_owned(), one_line);
        write!(out, "{}  {title}", row.session_id)?;
        for (is, word) in [
            (row.pinned, "pinned"),
            (row.archived, "archived"),
            (row.trashed && !row.purged, "in the trash"),
            (row.purged, "purged"),
        ] {
            if is {
                write!(out, " [{word}]")?;
            }
        }
        for tag in &row.tags {
            write!(out, " #{}", one_line(tag))?;
        }
        writeln!(out)?;
    }
    Ok(out.finish()?)
}
