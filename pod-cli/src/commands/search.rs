//! `pod search TEXT`

use std::time::Instant;

use session_store::index::{ArchivedFilter, KindFilter, ListQuery, SearchHit, SearchHits, SearchProgress, SearchQuery};
use session_store::query::Query;

use crate::app::App;
use crate::cli::SearchArgs;
use crate::error::{Result, exit};
use crate::library::Library;
use crate::progress::ProgressLine;
use crate::render::{Cell, Column, Table, parse_since, relative, short_id, thousands};

/// The columns of hits, the ones that go first when there is no room last.
const COLUMNS: [Column; 5] = [
    Column::text("ID"),
    Column::text("SAID").shown_from(50),
    Column::text("BY").shown_from(60),
    Column::text("TEXT").flexible(),
    Column::text("TITLE").shown_from(120).at_most(32),
];

/// Searches.
pub(super) fn run(app: &App, arguments: &SearchArgs) -> Result<u8> {
    let query = query(app, arguments)?;
    let library = Library::for_reading(app)?;
    read_texts(app, &library)?;
    let found = library.index.search(&*library.store, &query)?;
    if app.global.json {
        app.print_json(&found)?;
        return Ok(exit::OK);
    }
    if found.hits.is_empty() {
        app.say("nothing found");
        app.hint("every word has to stand in one message; begin* finds every word that begins so");
        return Ok(exit::OK);
    }
    let mut out = app.paged();
    table(app, &library, &found.hits)?.write(&mut out, app.terminal.width, &app.terminal.theme)?;
    out.finish()?;
    say_total(app, &found);
    Ok(exit::OK)
}

fn query(app: &App, arguments: &SearchArgs) -> Result<SearchQuery> {
    // An argument of several words was quoted for the shell; only quotes within make a phrase.
    let query = Query::parse(&arguments.text.join(" "), &|value| parse_since(value, app.environment.now));
    if let Some(problem) = query.problems.first() {
        return Err(App::usage(problem.to_string(), "`pod search --help` has the operators"));
    }
    let among = ListQuery {
        agent: arguments.agent.clone(),
        cwd: arguments.cwd.as_deref().map(|folder| app.absolute(folder)).transpose()?,
        kind: KindFilter::All,
        archived: ArchivedFilter::All,
        ..ListQuery::default()
    };
    let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(SearchQuery {
        query,
        among,
        limit: Some(number(arguments.limit)),
        per_session: arguments.per_session.map(number),
    })
}

/// Has the index read what was said since somebody searched last.
fn read_texts(app: &App, library: &Library) -> Result<()> {
    let mut line = ProgressLine::on_stderr(app);
    let mut progress = SearchProgress::default();
    while library.index.read_texts(&*library.store, &mut progress)? {
        let SearchProgress { segments, segments_total, entries } = progress;
        let entries = thousands(entries);
        line.tell(
            Instant::now(),
            &format!("reading texts: {segments} of {segments_total} segments, {entries} entries"),
        );
    }
    Ok(())
}

fn table(app: &App, library: &Library, hits: &[SearchHit]) -> Result<Table> {
    let theme = &app.terminal.theme;
    let ids: Vec<String> = hits.iter().map(|hit| hit.session_id.to_string()).collect();
    let endings = library.index.unique_endings(&ids)?;
    let mut table = Table::new(&COLUMNS);
    let mut before = None;
    for ((hit, id), ending) in hits.iter().zip(&ids).zip(endings) {
        // A conversation is named once, above what else it says.
        let first = before.replace(hit.session_id) != Some(hit.session_id);
        let role = match hit.role {
            session_store::ShowRole::User => Cell::default().styled(theme.person, "you"),
            session_store::ShowRole::Assistant => Cell::default().styled(theme.model, "model"),
            session_store::ShowRole::Tool => Cell::default().styled(theme.tool, "tool"),
            session_store::ShowRole::System => Cell::default().styled(theme.dim, "system"),
        };
        table.row(vec![
            if first { short_id(id, ending, theme) } else { Cell::default() },
            Cell::default().styled(theme.dim, &relative(app.environment.now, hit.ts)),
            role,
            snippet(app, hit),
            if first {
                Cell::default().styled(theme.dim, hit.title.as_deref().unwrap_or_default())
            } else {
                Cell::default()
            },
        ]);
    }
    Ok(table)
}

/// The snippet, what was searched for marked.
fn snippet(app: &App, hit: &SearchHit) -> Cell {
    let chars: Vec<char> = hit.snippet.chars().collect();
    let piece = |from: usize, to: usize| chars.get(from..to).unwrap_or_default().iter().collect::<String>();
    let mut cell = Cell::default();
    let mut at = 0;
    for [from, to] in hit.ranges.iter().copied() {
        cell = cell.piece(anstyle::Style::new(), &piece(at, from)).piece(app.terminal.theme.warn, &piece(from, to));
        at = to;
    }
    cell.piece(anstyle::Style::new(), &piece(at, chars.len()))
}

fn say_total(app: &App, found: &SearchHits) {
    let shown = found.hits.len() as u64;
    let places = if found.total == 1 { "1 place".to_owned() } else { format!("{} places", thousands(found.total)) };
    let of = if shown < found.total { format!("{} of ", thousands(shown)) } else { String::new() };
    let sessions = if found.sessions == 1 {
        "1 conversation".to_owned()
    } else {
        format!("{} conversations", thousands(found.sessions))
    };
    app.say(&format!("{of}{places} in {sessions}"));
    if shown < found.total {
        app.hint("--limit N shows more, --per-session N fewer of each conversation");
    }
}
