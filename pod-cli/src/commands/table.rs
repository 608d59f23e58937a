//! Conversations as rows.

use std::io::{self, Write};

use session_store::index::SessionSummary;
use store_core::SessionKind;

use crate::app::App;
use crate::error::Result;
use crate::library::Library;
use crate::render::{Cell, Column, Table, relative, short_id, thousands};

/// The columns of a list, the ones that go first when there is no room last.
const COLUMNS: [Column; 8] = [
    Column::text("ID"),
    Column::text("LAST").shown_from(50),
    Column::text("AGENT").shown_from(60).at_most(10),
    Column::number("TURNS").shown_from(70),
    Column::number("TOKENS").shown_from(100),
    Column::text("TITLE").flexible(),
    Column::text("MODEL").shown_from(150).at_most(28),
    Column::text("FOLDER").shown_from(110).at_most(32).cut_front(),
];

/// The rows of a list as a table.
pub(super) fn sessions(app: &App, library: &Library, rows: &[SessionSummary]) -> Result<Table> {
    let theme = &app.terminal.theme;
    let mut table = Table::new(&COLUMNS);
    let ids: Vec<String> = rows.iter().map(|row| row.session_id.to_string()).collect();
    let endings = library.index.unique_endings(&ids)?;
    for ((row, id), ending) in rows.iter().zip(&ids).zip(endings) {
        let last = row.last_message_at.unwrap_or(row.updated_at);
        table.row(vec![
            short_id(id, ending, theme),
            Cell::default().styled(theme.dim, &relative(app.environment.now, last)),
            Cell::plain(row.agent.as_deref().unwrap_or_default()),
            Cell::plain(&row.turns.to_string()),
            Cell::plain(&thousands(row.usage.total_tokens)),
            title(app, row),
            Cell::default().styled(theme.dim, row.model.as_deref().unwrap_or_default()),
            Cell::default().styled(theme.dim, &app.short_path(row.cwd.as_deref().unwrap_or_default())),
        ]);
    }
    Ok(table)
}

fn title(app: &App, row: &SessionSummary) -> Cell {
    let theme = &app.terminal.theme;
    let cell = match row.title.as_deref() {
        Some(title) => Cell::plain(title),
        None => Cell::default().styled(theme.dim, "(no title)"),
    };
    let marks = [
        (row.live.writer().is_some(), theme.good, "live"),
        (row.damaged, theme.bad, "damaged"),
        (row.pinned, theme.good, "pinned"),
        (row.archived, theme.warn, "archived"),
        (row.trashed, theme.warn, "in the trash"),
        (row.kind == SessionKind::Subagent, theme.dim, "sub-agent"),
        (row.forked_from.is_some(), theme.dim, "fork"),
    ];
    let marked = marks.into_iter().filter(|(is, ..)| *is);
    let cell = marked.fold(cell, |cell, (_, style, word)| cell.also(style, &format!("[{word}]")));
    row.tags.iter().fold(cell, |cell, tag| cell.also(theme.tool, &format!("#{tag}")))
}

/// Writes the table.
pub(super) fn write(app: &App, out: &mut dyn Write, table: &Table) -> io::Result<()> {
    table.write(out, app.terminal.width, &app.terminal.theme)
}
