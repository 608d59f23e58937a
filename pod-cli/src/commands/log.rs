//! `pod log ID`: the entries as they are stored, a line each; with `-f` also those that are yet to be written.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use session_store::index::Target;
use store_core::{Record, SegmentId, Seq, Store};

use super::follow;
use crate::app::App;
use crate::cli::LogArgs;
use crate::error::{Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::render::{clock, one_line, rfc3339, truncate, width};

/// How many entries are read at once.
const READ: usize = 256;
/// The narrowest line on which an entry's time is shown.
const TIME_FROM_LINE: usize = 72;
/// How much of an entry's text is shown where nobody said how wide a line is.
const TEXT_CELLS: usize = 160;

/// An entry as JSON shows it; its own text stands in it unchanged.
#[derive(Serialize)]
pub(super) struct LogLine<'a> {
    segment_id: SegmentId,
    seq: Seq,
    ts: String,
    kind: &'a str,
    entry: &'a RawValue,
}

impl<'a> LogLine<'a> {
    pub(super) fn new(segment: SegmentId, record: &'a Record) -> io::Result<Self> {
        Ok(Self {
            segment_id: segment,
            seq: record.position.seq,
            ts: rfc3339(record.entry.ts()),
            kind: record.entry.kind(),
            entry: serde_json::from_str(&record.text).map_err(io::Error::from)?,
        })
    }
}

/// Prints entries.
pub(super) fn run(app: &App, arguments: &LogArgs) -> Result<u8> {
    let library = Library::for_reading(app)?;
    let target = library.resolve(app, &arguments.id)?;
    let segments = segments(&library, &target)?;
    let end = if arguments.follow { Some(follow::end(&library, &target)?) } else { None };
    let mut out = Lines::new(app, arguments, segments.len() > 1);
    for segment in &segments {
        out.begin(*segment)?;
        let through = end.filter(|_| *segment == target.segment).map(|end| end.seq);
        for_each_record(&*library.store, &target, *segment, Seq(arguments.after), through, |record| {
            out.record(*segment, record)
        })?;
    }
    match end {
        Some(end) => follow::run(&library, &target, (end, Seq(arguments.after)), &mut out)?,
        None => out.finish()?,
    }
    Ok(exit::OK)
}

/// Where entries are printed.
pub(super) struct Lines<'a> {
    app: &'a App,
    out: Output,
    /// Whether it is said which segment the lines are of.
    titles: bool,
    /// The segment that the last line was of.
    segment: Option<SegmentId>,
}

impl<'a> Lines<'a> {
    fn new(app: &'a App, arguments: &LogArgs, titles: bool) -> Self {
        let out = match (app.global.json, arguments.follow) {
            (true, _) => Output::json(&app.terminal),
            (false, true) => Output::plain(),
            (false, false) => app.paged(),
        };
        Self { app, out, titles: titles && !app.global.json, segment: None }
    }

    /// The lines of a segment follow.
    fn begin(&mut self, segment: SegmentId) -> Result<()> {
        if self.titles {
            let strong = self.app.terminal.theme.strong;
            let gap = if self.segment.is_some() { "\n" } else { "" };
            writeln!(self.out, "{gap}{strong}segment {segment}{strong:#}")?;
        }
        self.segment = Some(segment);
        Ok(())
    }

    /// Prints an entry, which may be of another segment than the one before.
    pub(super) fn record(&mut self, segment: SegmentId, record: &Record) -> Result<()> {
        if self.segment != Some(segment) {
            self.titles = !self.app.global.json;
            self.begin(segment)?;
        }
        if self.app.global.json {
            self.out.document(&LogLine::new(segment, record)?)?;
        } else {
            write_line(self.app, &mut self.out, record)?;
        }
        Ok(())
    }

    /// Hands over what was printed, to whoever still reads.
    pub(super) fn hand_over(&mut self) -> Result<()> {
        self.out.flush()?;
        Ok(self.out.expect_reader()?)
    }

    fn finish(self) -> Result<()> {
        Ok(self.out.finish()?)
    }
}

/// The segments that an id means: a segment itself, or all of a session's, the oldest first.
fn segments(library: &Library, target: &Target) -> Result<Vec<SegmentId>> {
    if target.exact_segment {
        return Ok(vec![target.segment]);
    }
    Ok(library.index.segments(target.session)?.iter().map(|segment| segment.segment_id).collect())
}

/// Hands over the entries of a segment behind `after` (exclusive) through `through` (inclusive; `None`: to the end), a
/// few in memory at a time.
pub(super) fn for_each_record(
    store: &dyn Store,
    target: &Target,
    segment: SegmentId,
    after: Seq,
    through: Option<Seq>,
    mut each: impl FnMut(&Record) -> Result<()>,
) -> Result<()> {
    let session = target.session;
    let mut after = after;
    loop {
        let records = store.read_range(session, segment, after, READ)?;
        for record in &records {
            if through.is_some_and(|through| record.position.seq > through) {
                return Ok(());
            }
            each(record)?;
        }
        match records.last() {
            Some(last) if records.len() == READ => after = last.position.seq,
            _ => return Ok(()),
        }
    }
}

/// An entry on one line, for people.
pub(super) fn write_line(app: &App, out: &mut dyn Write, record: &Record) -> io::Result<()> {
    let (dim, tool) = (app.terminal.theme.dim, app.terminal.theme.tool);
    let line = app.terminal.width;
    let (seq, kind) = (record.position.seq.0, one_line(record.entry.kind()));
    let time = match line {
        Some(cells) if cells < TIME_FROM_LINE => String::new(),
        _ => format!("{}  ", clock(record.entry.ts())),
    };
    let taken = 6 + 2 + time.len() + width(&kind).max(14) + 2;
    let room = line.map_or(TEXT_CELLS, |cells| cells.saturating_sub(taken));
    let rest = said_besides(record);
    // An entry may be many megabytes; what cannot be seen need not be cleaned.
    let text = one_line(&rest.chars().take(room * 4).collect::<String>());
    writeln!(out, "{seq:>6}  {dim}{time}{dim:#}{tool}{kind:<14}{tool:#}  {}", truncate(&text, room))
}

/// An entry's text without its kind and time, where they stand first: they have columns of their own.
fn said_besides(record: &Record) -> &str {
    let front = format!("{{\"kind\":\"{}\",\"ts\":{},", record.entry.kind(), record.entry.ts());
    record.text.strip_prefix(&front).and_then(|rest| rest.strip_suffix('}')).unwrap_or(&record.text)
}
