//! `pod list`

use session_store::index::{ArchivedFilter, Hidden, KindFilter, ListQuery, SortBy};
use store_core::SessionKind;

use super::table;
use crate::app::App;
use crate::cli::{ArchivedArg, KindArg, ListArgs, SortArg};
use crate::error::{Result, exit};
use crate::library::Library;
use crate::render::parse_since;

/// Lists conversations.
pub(super) fn run(app: &App, arguments: &ListArgs) -> Result<u8> {
    let query = query(app, arguments)?;
    let library = Library::for_reading(app)?;
    let mut page = library.page(&query)?;
    if app.global.json {
        library.price(&mut page.rows, &app.prices()?)?;
        app.print_json(&page)?;
        return Ok(exit::OK);
    }
    if page.rows.is_empty() {
        say_empty(app, arguments, &page.hidden);
        return Ok(exit::OK);
    }
    let rows = table::sessions(app, &library, &page.rows)?;
    let mut out = app.paged();
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    let shown = page.rows.len();
    let more = if page.next_cursor.is_some() { format!("{shown} of ") } else { String::new() };
    app.say(&format!("{more}{}{}", conversations(page.total), hidden(&page.hidden)));
    if let Some(cursor) = page.next_cursor {
        app.hint(&format!("--cursor {cursor} goes on from here"));
    }
    Ok(exit::OK)
}

fn query(app: &App, arguments: &ListArgs) -> Result<ListQuery> {
    let since = arguments
        .since
        .as_deref()
        .map(|text| parse_since(text, app.environment.now))
        .transpose()
        .map_err(|message| App::usage(message, "for example --since 2d"))?;
    Ok(ListQuery {
        agent: arguments.agent.clone(),
        cwd: arguments.cwd.as_deref().map(|folder| app.absolute(folder)).transpose()?,
        since,
        kind: match arguments.kind {
            KindArg::Main => KindFilter::Only(SessionKind::Main),
            KindArg::Subagent => KindFilter::Only(SessionKind::Subagent),
            KindArg::All => KindFilter::All,
        },
        archived: which(arguments.archived),
        trashed: which(arguments.trashed),
        tag: arguments.tag.clone(),
        sort: match arguments.sort {
            SortArg::Updated => SortBy::Updated,
            SortArg::Created => SortBy::Created,
            SortArg::Title => SortBy::Title,
        },
        limit: arguments.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        cursor: arguments.cursor.clone(),
    })
}

const fn which(which: ArchivedArg) -> ArchivedFilter {
    match which {
        ArchivedArg::No => ArchivedFilter::No,
        ArchivedArg::Only => ArchivedFilter::Only,
        ArchivedArg::All => ArchivedFilter::All,
    }
}

fn say_empty(app: &App, arguments: &ListArgs, left_out: &Hidden) {
    let filtered =
        arguments.agent.is_some() || arguments.cwd.is_some() || arguments.since.is_some() || arguments.tag.is_some();
    app.say(&format!("{}{}", conversations(0), hidden(left_out)));
    if *left_out != Hidden::default() {
        app.hint("`pod list --kind all --archived all --trashed all` lists what was left out");
    } else if filtered {
        app.hint("`pod list` without filters lists everything");
    } else {
        app.hint("`pod import` brings in what Claude Code, Codex and pi wrote on this machine, `pod import PATH` what is at PATH");
    }
}

/// How many conversations, in words.
pub(super) fn conversations(count: u64) -> String {
    match count {
        0 => "no conversations".to_owned(),
        1 => "1 conversation".to_owned(),
        count => format!("{count} conversations"),
    }
}

fn hidden(hidden: &Hidden) -> String {
    let kinds = [
        (hidden.subagent, "of sub-agents", "--kind all"),
        (hidden.archived, "archived", "--archived all"),
        (hidden.trashed, "in the trash", "--trashed all"),
    ];
    let said: Vec<String> = kinds
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, how)| format!("{count} {what} ({how})"))
        .collect();
    if said.is_empty() { String::new() } else { format!("; not listed: {}", said.join(", ")) }
}
