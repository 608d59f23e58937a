//! `pod usage`

use std::io::Write;

use jiff::tz::TimeZone;
use session_store::usage::{By, Group, PriceTable, Report, Sums, UsageFilter, report};

use super::table;
use crate::app::App;
use crate::cli::{UsageArgs, UsageBy};
use crate::error::{CliError, Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::render::{Cell, Column, Table, parse_since, thousands};

/// How many cells the longest bar has.
const BAR_CELLS: u64 = 20;

const COLUMNS: [Column; 9] = [
    Column::text("").flexible(),
    Column::number("REQUESTS").shown_from(60),
    Column::number("INPUT").shown_from(110),
    Column::number("CACHE READ").shown_from(110),
    Column::number("CACHE WRITE").shown_from(120),
    Column::number("OUTPUT").shown_from(110),
    Column::number("TOKENS").shown_from(36),
    Column::number("COST"),
    Column::text("").shown_from(90),
];

/// Says what was used.
pub(super) fn run(app: &App, arguments: &UsageArgs) -> Result<u8> {
    let time = |text: &Option<String>, option: &str| {
        let parsed = text.as_deref().map(|text| parse_since(text, app.environment.now)).transpose();
        parsed.map_err(|message| App::usage(message, &format!("for example --{option} 2d")))
    };
    let filter = UsageFilter { since: time(&arguments.since, "since")?, until: time(&arguments.until, "until")? };
    let zone = match &arguments.tz {
        None => TimeZone::system(),
        Some(name) => TimeZone::get(name)
            .map_err(|_| App::usage(format!("{name:?} is no time zone"), "for example --tz Europe/Berlin"))?,
    };
    let library = Library::for_reading(app)?;
    let uses = library.index.uses()?;
    let prices = PriceTable::shipped().map_err(|error| CliError::Usage { message: error.to_string(), hint: None })?;
    let made = report(&uses, by(arguments.by), filter, &zone, &prices);
    if app.global.json {
        app.print_json(&made)?;
    } else if arguments.csv {
        write_csv(&made)?;
    } else {
        write_table(app, arguments.by, &made)?;
    }
    Ok(exit::OK)
}

const fn by(by: UsageBy) -> By {
    match by {
        UsageBy::Day => By::Day,
        UsageBy::Week => By::Week,
        UsageBy::Month => By::Month,
        UsageBy::Block => By::Block,
        UsageBy::Session => By::Session,
        UsageBy::Model => By::Model,
        UsageBy::Agent => By::Agent,
        UsageBy::Project => By::Project,
    }
}

fn write_csv(made: &Report) -> Result<()> {
    let mut out = Output::plain();
    writeln!(
        out,
        "key,requests,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,reasoning_tokens,total_tokens,cost_usd,unpriced"
    )?;
    for Group { key, sums } in &made.groups {
        let usage = &sums.usage;
        let cost = sums.cost_usd.map_or_else(String::new, |cost| cost.to_string());
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{cost},{}",
            quoted(key),
            sums.requests,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
            usage.total_tokens,
            sums.unpriced
        )?;
    }
    Ok(out.finish()?)
}

/// A field of comma-separated values, as RFC 4180 writes it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn write_table(app: &App, by: UsageBy, made: &Report) -> Result<()> {
    if made.groups.is_empty() {
        app.say("nothing was used");
        return Ok(());
    }
    let theme = &app.terminal.theme;
    let most = made.groups.iter().map(|group| group.sums.usage.total_tokens).max().unwrap_or(0);
    let mut rows = Table::new(&COLUMNS);
    let mut row = |name: Cell, sums: &Sums, bar: &str| {
        let usage = &sums.usage;
        rows.row(vec![
            name,
            Cell::plain(&thousands(sums.requests)),
            Cell::plain(&thousands(usage.input_tokens)),
            Cell::plain(&thousands(usage.cache_read_tokens)),
            Cell::plain(&thousands(usage.cache_write_tokens)),
            Cell::plain(&thousands(usage.output_tokens)),
            Cell::plain(&thousands(usage.total_tokens)),
            Cell::plain(&cost(sums)),
            Cell::default().styled(theme.dim, bar),
        ]);
    };
    for Group { key, sums } in &made.groups {
        let name = match (key.as_str(), by) {
            ("", _) => Cell::default().styled(theme.dim, "unknown"),
            (path, UsageBy::Project) => Cell::plain(&app.short_path(path)),
            (key, _) => Cell::plain(key),
        };
        let cells = (sums.usage.total_tokens * BAR_CELLS).div_ceil(most.max(1));
        row(name, sums, &"█".repeat(usize::try_from(cells).unwrap_or(0)));
    }
    row(Cell::default().styled(theme.dim, "all"), &made.total, "");
    let mut out = app.paged();
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    if made.total.unpriced > 0 {
        let count = made.total.unpriced;
        app.say(&format!("the list has no price for {count} of {} requests", made.total.requests));
    }
    Ok(())
}

/// A cost for people: to the cent where that says something, and a question mark where it is not known.
fn cost(sums: &Sums) -> String {
    let Some(cost) = sums.cost_usd else { return "?".to_owned() };
    let cents = (i128::from(cost.0) + 5_000_000) / 10_000_000;
    if cents == 0 && cost.0 > 0 { "<$0.01".to_owned() } else { format!("${}.{:02}", cents / 100, cents % 100) }
}
