//! `pod usage`: what was used, by the index and the books of the ledger.

mod explain;
mod rebuild;

use std::collections::BTreeMap;
use std::io::Write;

use jiff::tz::TimeZone;
use serde::Serialize;
use session_store::SessionError;
use session_store::usage::{
    By, Group, NanoDollars, PriceTable, Report, Sums, UsageFilter, inherited_uses, known_uses, report_of, uses_as_of,
};
use store_core::SessionId;
use store_core::ledger::TimestampUs;

use super::books::feed_books;
use super::table;
use crate::app::App;
use crate::cli::{UsageArgs, UsageBy, UsageCommand, UsageReportArgs};
use crate::error::{Result, exit};
use crate::library::{Library, read_ledger};
use crate::output::Output;
use crate::render::{Cell, Column, Table, parse_as_of, parse_since_in, thousands};

/// How many cells the longest bar has.
const BAR_CELLS: u64 = 20;

const COLUMNS: [Column; 10] = [
    Column::text("").flexible(),
    Column::number("REQUESTS").shown_from(60),
    Column::number("INPUT").shown_from(110),
    Column::number("CACHE READ").shown_from(110),
    Column::number("CACHE WRITE").shown_from(120),
    Column::number("OUTPUT").shown_from(110),
    Column::number("TOKENS").shown_from(36),
    Column::number("COST"),
    Column::number("REPORTED").shown_from(130),
    Column::text("").shown_from(90),
];

const INHERITED_COLUMNS: [Column; 11] = [
    Column::text("").flexible(),
    Column::number("REQUESTS").shown_from(90),
    Column::number("INPUT").shown_from(150),
    Column::number("CACHE READ").shown_from(150),
    Column::number("CACHE WRITE").shown_from(160),
    Column::number("OUTPUT").shown_from(150),
    Column::number("TOKENS").shown_from(70),
    Column::number("COST"),
    Column::number("INHERITED").shown_from(80),
    Column::number("TOGETHER").shown_from(60),
    Column::number("COST").shown_from(40),
];

/// A report with what is inherited beside what is owned.
#[derive(Serialize)]
struct InheritedReport {
    total: Sums,
    groups: Vec<InheritedGroup>,
}

/// A conversation with what it inherited.
#[derive(Serialize)]
struct InheritedGroup {
    #[serde(flatten)]
    own: Group,
    /// What it continues or repeats of others.
    inherited: Sums,
    /// Both together.
    with_inherited: Sums,
}

/// Says what was used, what a record counts for, or whether the books are right.
pub(super) fn run(app: &App, arguments: &UsageArgs) -> Result<u8> {
    match &arguments.command {
        Some(UsageCommand::Explain(arguments)) => explain::run(app, arguments),
        Some(UsageCommand::Rebuild(arguments)) => rebuild::run(app, arguments),
        None => run_report(app, &arguments.report),
    }
}

fn run_report(app: &App, arguments: &UsageReportArgs) -> Result<u8> {
    let now = app.environment.now;
    let zone = zone(arguments.tz.as_deref())?;
    let time = |text: &Option<String>, option: &str| {
        let parsed = text.as_deref().map(|text| parse_since_in(text, now, &zone)).transpose();
        parsed.map_err(|message| App::usage(message, &format!("for example --{option} 2d")))
    };
    let filter = UsageFilter { since: time(&arguments.since, "since")?, until: time(&arguments.until, "until")? };
    let as_of = as_of(app, arguments.as_of.as_deref(), &zone)?;
    let by = match (arguments.by, arguments.inherited) {
        (None | Some(UsageBy::Session), true) => UsageBy::Session,
        (Some(_), true) => {
            return Err(App::usage("--inherited is told by conversation", "leave --by out, or say --by session"));
        }
        (by, false) => by.unwrap_or_default(),
    };
    let prices = app.prices()?;
    let library = Library::for_reading(app)?;
    feed_books(app, &library, &prices)?;
    let uses = match as_of {
        None => known_uses(&library.index, &prices)?,
        Some(as_of) => {
            let said = read_ledger(app)?.map(|ledger| uses_as_of(&*ledger, as_of)).transpose();
            said.map_err(SessionError::from)?.unwrap_or_default()
        }
    };
    let made = report_of(&uses, self::by(by), filter, &zone);
    let made = if arguments.inherited { with_inherited(&library, &prices, filter, made)? } else { without(made) };
    if app.global.json {
        if arguments.inherited {
            app.print_json(&made)?;
        } else {
            app.print_json(&Report {
                total: made.total,
                groups: made.groups.into_iter().map(|group| group.own).collect(),
            })?;
        }
    } else if arguments.csv {
        write_csv(&made, arguments.inherited)?;
    } else {
        write_table(app, by, &made, arguments.inherited)?;
    }
    Ok(exit::OK)
}

/// The time zone that `--tz` names, or this machine's.
fn zone(name: Option<&str>) -> Result<TimeZone> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name).map_err(|_| App::usage(format!("{name:?} is no time zone"), "for example --tz Europe/Berlin"))
}

/// The commit time that `--as-of` names, where a date is one of this zone.
pub(super) fn as_of(app: &App, text: Option<&str>, zone: &TimeZone) -> Result<Option<TimestampUs>> {
    let parsed = text.map(|text| parse_as_of(text, app.environment.now, zone)).transpose();
    parsed.map_err(|message| App::usage(message, "for example --as-of 2d"))
}

fn without(made: Report) -> InheritedReport {
    let groups = made.groups.into_iter();
    let groups = groups.map(|own| InheritedGroup { own, inherited: Sums::default(), with_inherited: Sums::default() });
    InheritedReport { total: made.total, groups: groups.collect() }
}

/// A report by conversation with what each inherited; those that inherited everything are in it too.
fn with_inherited(
    library: &Library,
    prices: &PriceTable,
    filter: UsageFilter,
    made: Report,
) -> Result<InheritedReport> {
    let mut inherited = inherited_uses(&library.index, prices)?;
    inherited.values_mut().for_each(|uses| uses.retain(|priced| filter.passes(&priced.one)));
    let mut groups: BTreeMap<String, Sums> = made.groups.into_iter().map(|group| (group.key, group.sums)).collect();
    for (session, _) in inherited.iter().filter(|(_, uses)| !uses.is_empty()) {
        groups.entry(session.to_string()).or_default();
    }
    let mut told = Vec::with_capacity(groups.len());
    for (key, sums) in groups {
        let session = key.parse::<SessionId>().ok();
        let (mut alone, mut both) = (Sums::default(), sums.clone());
        for priced in session.and_then(|session| inherited.get(&session)).into_iter().flatten() {
            alone.add(priced);
            both.add(priced);
        }
        told.push(InheritedGroup { own: Group { key, sums }, inherited: alone, with_inherited: both });
    }
    Ok(InheritedReport { total: made.total, groups: told })
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

const CSV_SUMS: &str = "requests,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,reasoning_tokens,total_tokens,cost_usd,unpriced,listed_usd,reported_usd";

fn write_csv(made: &InheritedReport, with_inherited: bool) -> Result<()> {
    let mut out = Output::plain();
    write!(out, "key,{CSV_SUMS}")?;
    if with_inherited {
        let named =
            |prefix: &str| CSV_SUMS.split(',').map(|name| format!("{prefix}{name}")).collect::<Vec<_>>().join(",");
        write!(out, ",{},{}", named("inherited_"), named("with_inherited_"))?;
    }
    writeln!(out)?;
    for InheritedGroup { own, inherited, with_inherited: both } in &made.groups {
        write!(out, "{},{}", quoted(&own.key), csv_sums(&own.sums))?;
        if with_inherited {
            write!(out, ",{},{}", csv_sums(inherited), csv_sums(both))?;
        }
        writeln!(out)?;
    }
    Ok(out.finish()?)
}

fn csv_sums(sums: &Sums) -> String {
    let usage = &sums.usage;
    let [cost, listed, reported] = [sums.cost_usd, sums.listed_usd, sums.reported_usd]
        .map(|cost| cost.map_or_else(String::new, |cost| cost.to_string()));
    format!(
        "{},{},{},{},{},{},{},{cost},{},{listed},{reported}",
        sums.requests,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.total_tokens,
        sums.unpriced
    )
}

/// A field of comma-separated values, as RFC 4180 writes it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn write_table(app: &App, by: UsageBy, made: &InheritedReport, with_inherited: bool) -> Result<()> {
    if made.groups.is_empty() {
        app.say("nothing was used");
        return Ok(());
    }
    let theme = &app.terminal.theme;
    let most = made.groups.iter().map(|group| group.own.sums.usage.total_tokens).max().unwrap_or(0);
    let mut rows = Table::new(if with_inherited { &INHERITED_COLUMNS } else { &COLUMNS });
    let mut row = |name: Cell, sums: &Sums, inherited: Option<&InheritedGroup>, bar: &str| {
        let usage = &sums.usage;
        let mut cells = vec![
            name,
            Cell::plain(&thousands(sums.requests)),
            Cell::plain(&thousands(usage.input_tokens)),
            Cell::plain(&thousands(usage.cache_read_tokens)),
            Cell::plain(&thousands(usage.cache_write_tokens)),
            Cell::plain(&thousands(usage.output_tokens)),
            Cell::plain(&thousands(usage.total_tokens)),
            Cell::plain(&cost_text(sums)),
        ];
        if with_inherited {
            let of = |text: fn(&InheritedGroup) -> String| {
                inherited.map_or_else(Cell::default, |group| Cell::plain(&text(group)))
            };
            cells.push(of(|group| thousands(group.inherited.usage.total_tokens)));
            cells.push(of(|group| thousands(group.with_inherited.usage.total_tokens)));
            cells.push(of(|group| cost_text(&group.with_inherited)));
        } else {
            let reported = sums.reported_usd.map(dollars).unwrap_or_default();
            cells.push(Cell::default().styled(theme.dim, &reported));
            cells.push(Cell::default().styled(theme.dim, bar));
        }
        rows.row(cells);
    };
    for group in &made.groups {
        let Group { key, sums } = &group.own;
        let name = match (key.as_str(), by) {
            ("", _) => Cell::default().styled(theme.dim, "unknown"),
            (path, UsageBy::Project) => Cell::plain(&app.short_path(path)),
            (key, _) => Cell::plain(key),
        };
        let cells = (sums.usage.total_tokens * BAR_CELLS).div_ceil(most.max(1));
        row(name, sums, Some(group), &"█".repeat(usize::try_from(cells).unwrap_or(0)));
    }
    row(Cell::default().styled(theme.dim, "all"), &made.total, None, "");
    let mut out = app.paged();
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    if made.total.unpriced > 0 {
        let count = made.total.unpriced;
        app.say(&format!("the list has no price for {count} of {} requests", made.total.requests));
    }
    Ok(())
}

/// A cost for people: a question mark where it is not known.
fn cost_text(sums: &Sums) -> String {
    match sums.cost_usd {
        None if sums.requests == 0 => String::new(),
        cost => cost.map_or_else(|| "?".to_owned(), dollars),
    }
}

/// An amount for people: to the cent where that says something.
pub(super) fn dollars(amount: NanoDollars) -> String {
    let cents = (i128::from(amount.0) + 5_000_000) / 10_000_000;
    if cents == 0 && amount.0 > 0 { "<$0.01".to_owned() } else { format!("${}.{:02}", cents / 100, cents % 100) }
}
