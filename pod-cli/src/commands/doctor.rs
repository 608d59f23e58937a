//! `pod doctor`: the store and its surroundings, with a verdict a line.
//!
//! It looks at what can be told without reading logs; that they are what was written is what `pod verify` proves.

mod surroundings;

use std::io::Write;

use serde::Serialize;
use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery};
use session_store::{LockHolder, SessionError, lock_holders};
use store_core::integrity::unacknowledged_holes;
use store_core::{Backend, BackendInfo, StoreError};

use super::damage::counted;
use super::list::conversations;
use crate::app::App;
use crate::error::{CliError, Result, exit};
use crate::keeper::Keeper;
use crate::library::read_ledger;
use crate::output::Output;
use crate::render::{one_line, relative};

/// How many holders of leases are named.
const HOLDERS_NAMED_MAX: usize = 3;
/// From here on what was looked at and what was found stand side by side.
const WIDE_CELLS: usize = 70;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and a person should know.
    Warning,
    /// Something does not work, or is not safe.
    Problem,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// What was looked at.
    check: &'static str,
    verdict: Level,
    detail: String,
    /// What to do about it.
    hint: Option<String>,
}

impl Verdict {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Level::Ok, detail: detail.into(), hint: None }
    }

    pub(super) fn warning(check: &'static str, detail: impl Into<String>, hint: &str) -> Self {
        Self { check, verdict: Level::Warning, detail: detail.into(), hint: Some(hint.to_owned()) }
    }

    pub(super) fn problem(check: &'static str, detail: impl Into<String>, hint: Option<&str>) -> Self {
        Self { check, verdict: Level::Problem, detail: detail.into(), hint: hint.map(str::to_owned) }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    /// Nothing is a problem.
    ok: bool,
    /// The store's URL.
    store: &'a str,
    verdicts: &'a [Verdict],
}

/// Says how the store and its surroundings are.
pub(super) fn run(app: &App) -> Result<u8> {
    let named = app.store_url()?;
    let mut verdicts = Vec::new();
    let mut code = exit::OK;
    match Keeper::open_to_look(app) {
        Ok(keeper) => of_store(app, &keeper, &mut verdicts),
        Err(CliError::NoStore { .. }) if named.is_default => {
            verdicts.push(Verdict::warning("store", "there is none yet", "`pod import` makes it"));
        }
        Err(error) => {
            let report = error.report();
            code = report.code;
            let held = if report.kind == "locked" { format!("; {}", held_by(&named.url)) } else { String::new() };
            verdicts.push(Verdict::problem("store", format!("{}{held}", report.message), report.hint.as_deref()));
        }
    }
    verdicts.extend(surroundings::agents(app));
    let ok = verdicts.iter().all(|one| one.verdict != Level::Problem);
    if app.global.json {
        app.print_json(&Document { ok, store: &named.url, verdicts: &verdicts })?;
    } else {
        tell(app, &verdicts)?;
    }
    Ok(match (ok, code) {
        (true, _) => exit::OK,
        (false, exit::OK) => exit::FAILED,
        (false, code) => code,
    })
}

fn of_store(app: &App, keeper: &Keeper, verdicts: &mut Vec<Verdict>) {
    let info = keeper.store.info();
    verdicts.push(format(&info));
    verdicts.extend(surroundings::of_place(&info));
    verdicts.push(locks(app, &*keeper.store, &info));
    verdicts.extend(index(&*keeper.store, &info));
    verdicts.push(ways(&*keeper.store));
    verdicts.push(holes(keeper));
    verdicts.push(ledger(app));
}

fn format(info: &BackendInfo) -> Verdict {
    let BackendInfo { scheme, location, format_version, read_only, .. } = info;
    let detail = match format_version {
        0 => format!("{scheme}, logs of an older layout, at {location}; the first change makes a store of them"),
        version => format!("{scheme}, format {version}, at {location}"),
    };
    if *read_only {
        let hint = "reading works; the other lines say what keeps pod from writing";
        return Verdict::warning("store", format!("{detail}, for reading only"), hint);
    }
    Verdict::ok("store", detail)
}

/// Who has the store for himself, as far as the system says it.
fn held_by(url: &str) -> String {
    let holders = lock_holders(url).unwrap_or_default();
    let named = others(&holders);
    if named.is_empty() {
        "somebody has it, and the system does not say who".to_owned()
    } else {
        format!("{named} has it")
    }
}

/// The processes that have a store open beside this one.
fn others(holders: &[LockHolder]) -> String {
    let others = holders.iter().filter(|holder| holder.pid != std::process::id());
    let named = others.map(|LockHolder { pid, name, .. }| match (name, pid) {
        (Some(name), pid) => format!("{} (process {pid})", one_line(name)),
        (None, 0) => "a process that cannot be seen from here".to_owned(),
        (None, pid) => format!("process {pid}"),
    });
    named.take(HOLDERS_NAMED_MAX).collect::<Vec<_>>().join(", ")
}

/// Who is writing now. That the store could be opened shows that this process gets its locks.
fn locks(app: &App, store: &dyn Backend, info: &BackendInfo) -> Verdict {
    let beside = lock_holders(&format!("{}:{}", info.scheme, info.location)).map(|holders| others(&holders));
    let beside = beside.filter(|named| !named.is_empty()).map(|named| format!("; also open in {named}"));
    let own = if info.read_only { "taken by readers: none" } else { "this process gets them" };
    let own = format!("{own}{}", beside.unwrap_or_default());
    let Some(watch) = store.watch() else { return Verdict::ok("locks", format!("{own}; leases are not offered")) };
    let look = || -> store_core::Result<Vec<String>> {
        let mut holders = Vec::new();
        for session in store.list_sessions()? {
            for segment in store.list_segments(session)? {
                // One that is deleted meanwhile has no holder.
                let Ok(Some(holder)) = watch.leased(session, segment) else { continue };
                let since = holder.since.map(|since| format!(" since {}", relative(app.environment.now, since)));
                holders.push(format!("{segment} by {}{}", holder.holder, since.unwrap_or_default()));
            }
        }
        Ok(holders)
    };
    match look() {
        Ok(holders) if holders.is_empty() => Verdict::ok("locks", format!("{own}; nobody is writing a conversation")),
        Ok(holders) => {
            let named = holders.iter().take(HOLDERS_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
            let writers = counted(holders.len() as u64, "conversation");
            Verdict::ok("locks", format!("{own}; {writers} being written: {named}"))
        }
        Err(error) => Verdict::problem("locks", error.to_string(), None),
    }
}

/// The projections: whether they are kept, in step, and what they know of damage.
fn index(store: &dyn Backend, info: &BackendInfo) -> Vec<Verdict> {
    let check = "index";
    let bytes = info.projection_path.as_deref().and_then(|path| path.metadata().ok()).map(|found| found.len());
    let look = || -> session_store::Result<_> {
        let index = Index::open(store)?;
        let behind = index.refresh(store)?;
        let query = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
        Ok((index.is_kept(), behind.segments, index.list(&query)?))
    };
    let (kept, behind, page) = match look() {
        Ok(found) => found,
        Err(error) => {
            let hint = "the index holds nothing of its own: it may be deleted and is made again";
            return vec![Verdict::problem(check, error.to_string(), Some(hint))];
        }
    };
    let size = bytes.map(|bytes| format!(", {} bytes", crate::render::thousands(bytes))).unwrap_or_default();
    let step = match behind {
        0 => "in step".to_owned(),
        behind => format!("in step again after reading {}", counted(behind, "segment")),
    };
    let of = conversations(page.total);
    let mut verdicts = vec![if kept {
        Verdict::ok(check, format!("{step}, {of}{size}"))
    } else {
        let hint = "it is made anew by each command; where the store may be written to it is kept";
        Verdict::warning(check, format!("in memory only, {of}"), hint)
    }];
    let damaged = page.rows.iter().filter(|row| row.damaged).count() as u64;
    verdicts.push(match damaged {
        0 => Verdict::ok("conversations", "none is known to be damaged; `pod verify` proves it"),
        damaged => {
            let detail = format!("{} damaged", conversations(damaged));
            Verdict::problem(
                "conversations",
                detail,
                Some("`pod verify` says where, `pod repair ID` saves what can be saved"),
            )
        }
    });
    verdicts
}

/// Whether each conversation has its segments, and each segment is found by its id alone.
fn ways(store: &dyn Backend) -> Verdict {
    let check = "look-ups";
    let look = || -> store_core::Result<(u64, u64)> {
        let (mut empty, mut lost) = (0, 0);
        for session in store.list_sessions()? {
            let segments = store.list_segments(session)?;
            // One that was deleted meanwhile is nobody's loss.
            empty += u64::from(segments.is_empty() && store.exists(session)?);
            for segment in segments {
                if store.lookup_session_of(segment)? != Some(session)
                    && store.list_segments(session)?.contains(&segment)
                {
                    lost += 1;
                }
            }
        }
        Ok((empty, lost))
    };
    match look() {
        Ok((0, 0)) => Verdict::ok(check, "every segment is found by its id"),
        Ok((0, lost)) => {
            let detail = format!("{} not found by id", counted(lost, "segment"));
            Verdict::problem(
                check,
                detail,
                Some("`pod verify` says which, `pod repair ID` makes what leads there again"),
            )
        }
        Ok((empty, _)) => {
            let detail = format!("{} without any log", conversations(empty));
            Verdict::problem(check, detail, Some("`pod verify` says more; put the logs back from a copy of the store"))
        }
        Err(error) => Verdict::problem(check, error.to_string(), Some("`pod verify` says more")),
    }
}

fn holes(keeper: &Keeper) -> Verdict {
    let check = "holes";
    let Some(integrity) = keeper.store.integrity() else {
        return Verdict::warning(
            check,
            "this store cannot be verified",
            "`pod migrate` copies it into one that can be",
        );
    };
    match unacknowledged_holes(integrity) {
        Ok(holes) if holes.is_empty() => Verdict::ok(check, "none that nobody has acknowledged"),
        Ok(holes) => {
            let detail = format!("{} left by power losses", counted(holes.len() as u64, "hole"));
            Verdict::warning(check, detail, "`pod verify` says where, `pod verify --acknowledge` takes note of them")
        }
        Err(error) => Verdict::problem(check, error.to_string(), Some("`pod verify` says more")),
    }
}

/// Whether the ledger can be opened, and each of its books read.
fn ledger(app: &App) -> Verdict {
    let check = "ledger";
    let look = || -> Result<Option<(u64, Vec<String>)>> {
        let ledger = match read_ledger(app) {
            Err(CliError::Session(SessionError::Store(StoreError::Unsupported { .. }))) => None,
            ledger => ledger?,
        };
        let Some(ledger) = ledger else { return Ok(None) };
        let books = ledger.list_books().map_err(SessionError::from)?;
        if books.is_empty() {
            // Where no book is named there is nothing to read but what tells of one that was.
            let found = ledger.examine().map_err(SessionError::from)?;
            return Ok(Some((0, found.into_iter().map(|finding| finding.detail).collect())));
        }
        let told = |book| ledger.trial_balance(book, None).err().map(|error| error.to_string());
        Ok(Some((books.len() as u64, books.iter().filter_map(told).collect())))
    };
    match look() {
        Ok(None) => Verdict::ok(check, "none yet"),
        Ok(Some((0, found))) if found.is_empty() => Verdict::ok(check, "none yet"),
        Ok(Some((books, damaged))) if damaged.is_empty() => {
            Verdict::ok(check, format!("{}; `pod verify` proves it", counted(books, "book")))
        }
        Ok(Some((_, damaged))) => Verdict::problem(
            check,
            damaged.join("; "),
            Some("`pod verify` says where, `pod repair --ledger --dry-run` what can be kept"),
        ),
        Err(error) => {
            let report = error.report();
            Verdict::problem(check, report.message, report.hint.as_deref())
        }
    }
}

fn tell(app: &App, verdicts: &[Verdict]) -> Result<()> {
    let theme = &app.terminal.theme;
    let mut out = Output::plain();
    for Verdict { check, verdict, detail, hint } in verdicts {
        let (style, word) = match verdict {
            Level::Ok => (theme.good, "ok"),
            Level::Warning => (theme.warn, "warning"),
            Level::Problem => (theme.bad, "problem"),
        };
        // What it says is not cut: where there is little room it stands on lines of its own.
        let is_narrow = app.terminal.width.is_some_and(|cells| cells < WIDE_CELLS);
        let between = if is_narrow { format!("\n{:9}", "") } else { "  ".to_owned() };
        let check = if is_narrow { (*check).to_owned() } else { format!("{check:<13}") };
        writeln!(out, "{style}{word:<7}{style:#}  {check}{between}{}", one_line(detail))?;
        if let Some(hint) = hint {
            let dim = theme.dim;
            writeln!(out, "         {dim}{}{dim:#}", one_line(hint))?;
        }
    }
    out.finish()?;
    Ok(())
}
