//! `pod segments ID`

use serde::Serialize;
use session_store::index::SegmentSummary;
use session_store::{Live, live};
use store_core::{SegmentOrigin, SessionId};

use super::table;
use crate::app::App;
use crate::error::{Result, exit};
use crate::library::Library;
use crate::render::{Cell, Column, SHORT_ID_CELLS, Table, relative, short_id, thousands};

const COLUMNS: [Column; 8] = [
    Column::text("SEGMENT"),
    Column::text("LAST").shown_from(50),
    Column::number("ENTRIES").shown_from(60),
    Column::number("TURNS").shown_from(36),
    Column::number("TOKENS").shown_from(100),
    Column::text("CONTINUES").shown_from(70),
    Column::text("TITLE").flexible(),
    Column::text("").shown_from(30),
];

#[derive(Serialize)]
struct Document<'a> {
    session_id: SessionId,
    segments: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    segment: &'a SegmentSummary,
    /// Who writes it now.
    live: Live,
}

/// Lists the segments of a conversation.
pub(super) fn run(app: &App, id: &str) -> Result<u8> {
    let library = Library::for_reading(app)?;
    let target = library.resolve(app, id)?;
    let segments = library.index.segments(target.session)?;
    let writers: Vec<Live> =
        segments.iter().map(|segment| live(&*library.store, target.session, [segment.segment_id])).collect();
    if app.global.json {
        let rows = segments.iter().zip(writers).map(|(segment, live)| Row { segment, live });
        app.print_json(&Document { session_id: target.session, segments: rows.collect() })?;
        return Ok(exit::OK);
    }
    let theme = &app.terminal.theme;
    let mut rows = Table::new(&COLUMNS);
    let ids: Vec<String> = segments.iter().map(|segment| segment.segment_id.to_string()).collect();
    let endings = library.index.unique_endings(&ids)?;
    for (((segment, id), ending), live) in segments.iter().zip(&ids).zip(endings).zip(&writers) {
        rows.row(vec![
            short_id(id, ending, theme),
            Cell::default().styled(theme.dim, &relative(app.environment.now, segment.updated_at)),
            Cell::plain(&segment.entries.to_string()),
            Cell::plain(&segment.turns.to_string()),
            Cell::plain(&thousands(segment.usage.total_tokens)),
            Cell::default().styled(theme.dim, &continues(segment)),
            Cell::plain(segment.title.as_deref().unwrap_or_default()),
            marks(app, segment, live),
        ]);
    }
    let mut out = app.paged();
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    Ok(exit::OK)
}

fn continues(segment: &SegmentSummary) -> String {
    let origin = |word: &str, origin: &SegmentOrigin| {
        let id = origin.segment_id.to_string();
        let end = id.get(id.len().saturating_sub(SHORT_ID_CELLS)..).unwrap_or(&id);
        format!("{word} {end}:{}", origin.seq)
    };
    match (&segment.forked_from, &segment.compacted_from) {
        (Some(from), _) => origin("fork", from),
        (None, Some(from)) => origin("compaction", from),
        (None, None) => String::new(),
    }
}

fn marks(app: &App, segment: &SegmentSummary, live: &Live) -> Cell {
    let theme = &app.terminal.theme;
    let marks = [
        (segment.current, theme.good, "current"),
        (live.writer().is_some(), theme.good, "live"),
        (segment.leaf && !segment.current, theme.dim, "leaf"),
        (segment.superseded, theme.warn, "superseded"),
        (segment.damaged, theme.bad, "damaged"),
    ];
    let mut marked = marks.into_iter().filter(|(is, ..)| *is);
    let first = marked.next().map_or_else(Cell::default, |(_, style, word)| Cell::default().styled(style, word));
    marked.fold(first, |cell, (_, style, word)| cell.also(style, word))
}
