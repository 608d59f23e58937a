//! `pod budget`
//!
//! Listing writes: it brings the budgets in step with the conversations and gives back what dead turns had reserved. Where the ledger cannot be written, or another process keeps it, the
//! list is made all the same, of what can be read.

use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};
use session_store::SessionError;
use session_store::budget::{Budget, Budgets, Per, Standing, parse_amount};
use session_store::usage::{NanoDollars, PriceTable, Use};
use store_core::StoreError;
use store_core::ledger::{Ledger, LedgerError};

use super::books::all_uses;
use super::table;
use crate::app::App;
use crate::cli::{BudgetCommand, BudgetListArgs, BudgetRmArgs, BudgetSetArgs};
use crate::confirm::{Consent, confirm};
use crate::error::{CliError, Result, exit};
use crate::library::{Library, open_ledger, open_ledger_within, read_ledger};
use crate::render::{Cell, Column, Table, rfc3339};

/// How long a list waits for another process to let go of the ledger.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many cells a bar has.
const BAR_CELLS: u64 = 20;

const COLUMNS: [Column; 9] = [
    Column::text("FOLDER").flexible().cut_front(),
    Column::text("PER"),
    Column::number("LIMIT").shown_from(50),
    Column::number("SPENT").shown_from(40),
    Column::number("RESERVED").shown_from(90),
    Column::number("LEFT"),
    Column::number("%"),
    Column::text("").shown_from(100),
    Column::text("UNTIL").shown_from(76),
];

/// Does what was asked.
pub(super) fn run(app: &App, command: &BudgetCommand) -> Result<u8> {
    match command {
        BudgetCommand::Set(arguments) => set(app, arguments),
        BudgetCommand::List(arguments) => list(app, arguments),
        BudgetCommand::Rm(arguments) => remove(app, arguments),
    }
}

fn set(app: &App, arguments: &BudgetSetArgs) -> Result<u8> {
    let limit = parse_amount(&arguments.amount).map_err(|wrong| {
        let hint = "for example --amount 20.50; `pod budget rm` takes a budget away";
        App::usage(format!("{:?} is no amount for a budget: {wrong}", arguments.amount), hint)
    })?;
    let per = Per::from(arguments.per);
    let zone = if per == Per::Total { "UTC".to_owned() } else { zone(app, arguments.tz.as_deref())? };
    let budget = Budget { project: folder(app, arguments.project.as_deref())?, per, zone, limit };
    let library = Library::for_writing(app)?;
    let prices = app.prices()?;
    let uses = all_uses(app, &library, &prices)?;
    let standings = with_ledger(app, |ledger| {
        let budgets = budgets(app, ledger, &library, &prices);
        budgets.set(&budget)?;
        budgets.list(std::slice::from_ref(&budget), &uses)
    })?;
    show(app, &standings)?;
    Ok(exit::OK)
}

fn list(app: &App, arguments: &BudgetListArgs) -> Result<u8> {
    let project = arguments.project.as_deref().map(|project| folder(app, Some(project))).transpose()?;
    let library = Library::for_reading(app)?;
    let prices = app.prices()?;
    let Some(read) = read_ledger(app)? else { return none(app) };
    let set = {
        let budgets = budgets(app, &*read, &library, &prices);
        project.as_deref().map_or_else(|| budgets.all(), |project| budgets.covering(project))?
    };
    if set.is_empty() {
        return none(app);
    }
    let uses = all_uses(app, &library, &prices)?;
    let listed = open_ledger_within(app, PATIENCE).and_then(|ledger| {
        let done = budgets(app, &*ledger, &library, &prices).list(&set, &uses);
        let_go(&*ledger, done)
    });
    let standings = match listed {
        Err(CliError::Session(error)) if cannot_be_written(&error) => {
            app.say("the ledger cannot be written now; this is what can be read");
            budgets(app, &*read, &library, &prices).look(&set, &uses)?
        }
        standings => standings?,
    };
    show(app, &standings)?;
    Ok(exit::OK)
}

fn none(app: &App) -> Result<u8> {
    if app.global.json {
        app.print_json(&json!({ "budgets": [] }))?;
    } else {
        app.say("no budget is set");
        app.hint("`pod budget set --amount 20 --per month` sets one for this folder");
    }
    Ok(exit::OK)
}

fn remove(app: &App, arguments: &BudgetRmArgs) -> Result<u8> {
    let project = folder(app, arguments.project.as_deref())?;
    let is_tried = arguments.consented.dry_run;
    let library = if is_tried { Library::for_reading(app) } else { Library::for_writing(app) }?;
    let prices = app.prices()?;
    let per = arguments.per.map(Per::from);
    let mut set = match read_ledger(app)? {
        Some(read) => budgets(app, &*read, &library, &prices).all()?,
        None => Vec::new(),
    };
    set.retain(|budget| budget.project == project && per.is_none_or(|per| per == budget.per));
    if set.is_empty() {
        return Err(CliError::NoBudget { project: app.short_path(&project) });
    }
    if is_tried {
        return tell_removed(app, &set, true);
    }
    if confirm(app, arguments.consented.yes, &what_is_removed(app, &set))? == Consent::Refused {
        app.say("nothing was changed");
        return Ok(exit::CANCELLED);
    }
    let removed = with_ledger(app, |ledger| budgets(app, ledger, &library, &prices).remove(&project, per))?;
    tell_removed(app, &removed, false)
}

fn what_is_removed(app: &App, set: &[Budget]) -> String {
    let each = set.iter().map(|Budget { per, limit, .. }| format!("{} {}", dollars(*limit), per.phrase()));
    let folder = set.first().map_or_else(String::new, |budget| app.short_path(&budget.project));
    format!("take the budget of {} away from {folder}", each.collect::<Vec<_>>().join(" and "))
}

fn tell_removed(app: &App, removed: &[Budget], dry_run: bool) -> Result<u8> {
    if app.global.json {
        let removed: Vec<Value> = removed
            .iter()
            .map(|Budget { project, per, zone, limit }| {
                json!({ "project": project, "per": per, "zone": zone, "limit_usd": limit.to_string() })
            })
            .collect();
        app.print_json(&json!({ "removed": removed, "dry_run": dry_run }))?;
    }
    for Budget { project, per, limit, .. } in removed {
        let (folder, limit, per) = (app.short_path(project), dollars(*limit), per.phrase());
        let has = if dry_run { "would have" } else { "has" };
        app.say(&format!("{folder} {has} no budget of {limit} {per} any more"));
    }
    if dry_run {
        app.say("nothing was changed");
    }
    Ok(exit::OK)
}

/// What the budgets of a ledger are asked with.
pub(super) fn budgets<'a>(
    app: &App,
    ledger: &'a dyn Ledger,
    library: &'a Library,
    prices: &'a PriceTable,
) -> Budgets<'a> {
    Budgets { ledger, store: &*library.store, prices, now: app.environment.clock() }
}

/// Does something with the ledger, which is let go of then.
pub(super) fn with_ledger<T>(app: &App, work: impl FnOnce(&dyn Ledger) -> session_store::Result<T>) -> Result<T> {
    let ledger = open_ledger(app)?;
    let done = work(&*ledger);
    let_go(&*ledger, done)
}

fn let_go<T>(ledger: &dyn Ledger, done: session_store::Result<T>) -> Result<T> {
    let closed = ledger.shutdown();
    let done = done?;
    closed.map_err(SessionError::from)?;
    Ok(done)
}

/// Whether a list has to do without posting anything.
fn cannot_be_written(error: &SessionError) -> bool {
    let (SessionError::Store(error) | SessionError::Ledger(LedgerError::Store(error))) = error else { return false };
    matches!(
        error,
        StoreError::Locked { .. }
            | StoreError::Busy { .. }
            | StoreError::ReadOnly
            | StoreError::NoSpace { .. }
            | StoreError::Unsupported { .. }
            | StoreError::Io { .. }
    )
}

/// The folder that is meant, as conversations have it.
fn folder(app: &App, named: Option<&Path>) -> Result<String> {
    match named {
        Some(named) => app.absolute(named),
        None => app
            .folder()
            .map(str::to_owned)
            .ok_or_else(|| App::usage("nobody knows which folder this is", "--project DIR says which one is meant")),
    }
}

/// The name of a time zone: the one that is asked for, or this machine's.
fn zone(app: &App, named: Option<&str>) -> Result<String> {
    let Some(named) = named else {
        let system = TimeZone::system();
        let name = system.iana_name().map(str::to_owned);
        return Ok(name.unwrap_or_else(|| {
            app.warn(
                "nobody knows the name of this machine's time zone, so days are those of UTC; --tz ZONE says another",
            );
            "UTC".to_owned()
        }));
    };
    let known = TimeZone::get(named).ok().and_then(|zone| zone.iana_name().map(str::to_owned));
    known.ok_or_else(|| App::usage(format!("{named:?} is no time zone"), "for example --tz Europe/Berlin"))
}

#[derive(Serialize)]
struct Document<'a> {
    budgets: &'a [Standing],
}

fn show(app: &App, standings: &[Standing]) -> Result<()> {
    if app.global.json {
        return app.print_json(&Document { budgets: standings });
    }
    let theme = &app.terminal.theme;
    let mut rows = Table::new(&COLUMNS);
    for standing in standings {
        let style = match standing.percent {
            100.. => theme.bad,
            _ if standing.warns() => theme.warn,
            _ => theme.good,
        };
        let filled = (standing.percent * BAR_CELLS / 100).min(BAR_CELLS);
        let cells = |count| usize::try_from(count).unwrap_or_default();
        let bar = Cell::default()
            .styled(style, &"█".repeat(cells(filled)))
            .styled(theme.dim, &"░".repeat(cells(BAR_CELLS - filled)));
        rows.row(vec![
            Cell::plain(&app.short_path(&standing.project)),
            Cell::plain(standing.per.as_str()),
            Cell::plain(&dollars(standing.limit)),
            Cell::plain(&dollars(standing.spent)),
            Cell::plain(&dollars(standing.reserved)),
            Cell::plain(&dollars(standing.left)),
            Cell::default().styled(style, &standing.percent.to_string()),
            bar,
            Cell::default().styled(theme.dim, &until(standing)),
        ]);
    }
    let mut out = app.paged();
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    let refused: u64 = standings.iter().map(|standing| standing.refused).max().unwrap_or(0);
    if refused > 0 {
        app.warn(&format!("{refused} requests cost more than can be counted; they are left out"));
    }
    let unpriced = standings.iter().filter_map(|standing| standing.unpriced).max().unwrap_or(0);
    if unpriced > 0 {
        app.say(&format!("nobody knows what {unpriced} requests of these periods cost; they count as nothing"));
    }
    Ok(())
}

/// When a period ends, by the calendar of its budget.
fn until(standing: &Standing) -> String {
    let Some(end) = standing.end else { return String::new() };
    let (Ok(ms), Ok(zone)) = (i64::try_from(end), TimeZone::get(&standing.zone)) else { return rfc3339(end) };
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| rfc3339(end), |end| end.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string())
}

/// An amount for people: to the cent where that says something.
pub(super) fn dollars(amount: NanoDollars) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    let nanos = u128::from(amount.0.unsigned_abs());
    let cents = (nanos + 5_000_000) / 10_000_000;
    if cents == 0 && nanos > 0 {
        return format!("{sign}<$0.01");
    }
    format!("{sign}${}.{:02}", cents / 100, cents % 100)
}

/// Tells of the budgets that are nearly spent.
pub(super) fn warn(app: &App, standings: &[Standing]) {
    for standing in standings.iter().filter(|standing| standing.warns()) {
        let folder = app.short_path(&standing.project);
        let (limit, per) = (dollars(standing.limit), standing.per.phrase());
        app.warn(&format!("{}% of the budget of {limit} {per} for {folder} is spent", standing.percent));
    }
}

/// What a turn of a conversation has cost so far, in the mean, in whole billionths rounded up; nothing if nobody knows.
pub(super) fn cost_of_a_turn(uses: &[Use], prices: &PriceTable, turns: u64) -> NanoDollars {
    let cost = |one: &Use| prices.cost(&one.usage).or_else(|| one.reported()).map_or(0, |cost| i128::from(cost.0));
    let sum: i128 = uses.iter().map(cost).sum();
    let mean = sum.div_euclid(i128::from(turns.max(1))) + i128::from(sum % i128::from(turns.max(1)) != 0);
    NanoDollars(i64::try_from(mean).unwrap_or(i64::MAX))
}
