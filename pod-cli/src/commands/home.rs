//! `pod` without a command: the picker on a terminal, elsewhere the newest conversations, and how to go on.

use std::io::{self, IsTerminal};

use session_store::index::{ArchivedFilter, KindFilter, ListQuery};

use super::list::conversations;
use super::pick::{self, Ended};
use super::{resume, table};
use crate::app::App;
use crate::error::{Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::picker::PickOptions;

/// How many are shown.
const NEWEST: usize = 10;

/// Opens the picker and shows what was chosen; where it cannot be drawn, lists the newest conversations.
pub(super) fn run(app: &App) -> Result<u8> {
    if !app.global.json && io::stdout().is_terminal() && pick::may_draw(app) {
        let library = Library::as_it_is(app)?;
        let any =
            ListQuery { limit: Some(1), kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
        if library.index.list(&any)?.total > 0 {
            drop(library);
            return match pick::choose(app, &PickOptions { may_draw: true, ..PickOptions::default() })? {
                Ended::Chosen(segment) => resume::picked(app, &segment.to_string()),
                Ended::Code(code) => Ok(code),
            };
        }
    }
    let library = Library::for_reading(app)?;
    let page = library.page(&ListQuery { limit: Some(NEWEST), ..ListQuery::default() })?;
    if app.global.json {
        app.print_json(&page)?;
        return Ok(exit::OK);
    }
    if page.rows.is_empty() {
        app.say("pod keeps the conversations of AI agents; there are none here yet");
        app.hint("`pod import` brings in what Claude Code, Codex and pi wrote on this machine; `pod --help` says what else there is");
        return Ok(exit::OK);
    }
    let rows = table::sessions(app, &library, &page.rows)?;
    let mut out = Output::plain();
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    if page.next_cursor.is_some() {
        app.say(&format!("the newest {} of {}; `pod list` lists them all", page.rows.len(), conversations(page.total)));
    }
    app.hint("`pod show ID` shows one, `pod --session ID --print` restores it; @last is the newest; `pod --help` says what else there is");
    Ok(exit::OK)
}
