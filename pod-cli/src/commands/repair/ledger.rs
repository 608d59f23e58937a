//! The ledger, in a repair of the whole store and in one of its own.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use session_store::SessionError;
use session_store::budget::budget_book;
use session_store::usage::{known_asset, usage_book};
use store_core::StoreError;
use store_core::integrity::Quarantined;
use store_core::ledger::{AssetId, BookName, BookRepair, Ledger, LedgerError, LedgerRepair, LedgerResult, LostEvents};
use store_core::{MigrationId, Seq};

use crate::app::App;
use crate::commands::damage::counted;
use crate::commands::ledger::is_folder;
use crate::commands::rollback::options;
use crate::error::{CliError, Result};
use crate::library::{ledger_to_plan_repair, open_ledger};
use crate::output::Output;
use crate::render::clean;

/// The repair of a book as JSON shows it.
#[derive(Serialize)]
struct Row {
    /// `null` for what belongs to no book.
    book: Option<BookName>,
    kept: u64,
    lost: Option<LostEvents>,
    set_aside: Vec<Quarantined>,
    registered: Vec<AssetId>,
    made_anew: Vec<String>,
    migration_id: Option<MigrationId>,
    /// `repaired`, `clean` if there was nothing to do, `would_repair`.
    outcome: &'static str,
}

/// The repair of a ledger as JSON shows it.
#[derive(Serialize)]
pub(super) struct Part {
    books: Vec<Row>,
    /// Assets that accounts count and that are registered nowhere.
    unregistered: Vec<AssetId>,
}

/// Which books are repaired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// Each of them, if the store has a ledger.
    OfTheStore,
    /// Each of them.
    All,
    /// Those that this names: a book, or a project's folder.
    Named(&'a str),
}

impl Which<'_> {
    /// The books; `None` for all.
    fn books(self, app: &App) -> Result<Option<Vec<BookName>>> {
        let Self::Named(named) = self else { return Ok(None) };
        if !is_folder(named) {
            return Ok(Some(vec![named.parse().map_err(failed)?]));
        }
        // A book that cannot be read does not say whose it is.
        let folder = app.absolute(Path::new(named))?;
        let of_folder = [usage_book(Some(&folder)), budget_book(&folder)];
        Ok(Some(of_folder.into_iter().collect::<LedgerResult<_>>().map_err(failed)?))
    }
}

fn failed(error: LedgerError) -> CliError {
    CliError::Session(SessionError::Ledger(error))
}

/// Does it for each of the books that are meant; of several that are named one may be nobody's.
fn each(app: &App, ledger: &dyn Ledger, which: Which<'_>, dry_run: bool) -> Result<LedgerRepair> {
    let options = options(app, dry_run);
    let Some(books) = which.books(app)? else { return ledger.repair(None, &options).map_err(failed) };
    let (mut whole, mut unknown) = (LedgerRepair::default(), None);
    for book in &books {
        match ledger.repair(Some(book), &options) {
            Ok(one) => {
                whole.books.extend(one.books);
                whole.unregistered = one.unregistered;
            }
            Err(error @ LedgerError::UnknownBook { .. }) => drop(unknown.get_or_insert(error)),
            Err(error) => return Err(failed(error)),
        }
    }
    match unknown {
        Some(unknown) if whole.books.is_empty() => Err(failed(unknown)),
        _ => Ok(whole),
    }
}

/// What would be done; `None` if the store has no ledger.
pub(super) fn plan(app: &App, which: Which<'_>) -> Result<Option<LedgerRepair>> {
    let ledger = match ledger_to_plan_repair(app) {
        Err(CliError::Session(SessionError::Store(StoreError::Unsupported { .. })))
            if matches!(which, Which::OfTheStore) =>
        {
            None
        }
        ledger => ledger?,
    };
    match (ledger, which) {
        (Some(ledger), _) => Ok(Some(each(app, &*ledger, which, true)?)),
        (None, Which::Named(named)) => {
            let book = named.parse().unwrap_or_else(|_| BookName::system());
            Err(failed(LedgerError::UnknownBook { book }))
        }
        (None, _) => Ok(None),
    }
}

/// Does it. What is registered nowhere any more, and is what the program itself counts, is registered again.
pub(super) fn apply(app: &App, which: Which<'_>) -> Result<LedgerRepair> {
    let ledger: Arc<dyn Ledger> = open_ledger(app)?;
    let done = each(app, &*ledger, which, false).and_then(|mut done| {
        let known: Vec<_> = done.unregistered.iter().filter_map(known_asset).collect();
        for asset in known {
            ledger.register_asset(&asset).map_err(failed)?;
            done.unregistered.retain(|unregistered| *unregistered != asset.id);
        }
        Ok(done)
    });
    let shut = ledger.shutdown();
    let done = done?;
    shut.map_err(failed)?;
    Ok(done)
}

/// What is asked before it is done, behind "repair"; `None` if there is nothing to do.
pub(super) fn question(repair: &LedgerRepair) -> Option<String> {
    let changed: Vec<&BookRepair> = repair.books.iter().filter(|one| !one.is_whole()).collect();
    let damaged: Vec<&&BookRepair> = changed.iter().filter(|one| one.lost.is_some()).collect();
    if changed.is_empty() {
        return None;
    }
    let books = counted(changed.len() as u64, "book");
    if damaged.is_empty() {
        return Some(format!("make anew what does not follow from the events of {books} of the ledger"));
    }
    let kept: u64 = damaged.iter().map(|one| one.kept).sum();
    let lines: u64 = damaged.iter().filter_map(|one| one.lost.as_ref()).map(|lost| lost.lines).sum();
    Some(format!(
        "repair {books} of the ledger, keeping {} and setting {} aside",
        counted(kept, "event"),
        counted(lines, "line")
    ))
}

pub(super) fn part(repair: LedgerRepair, dry_run: bool) -> Part {
    let row = |one: BookRepair| Row {
        outcome: match one.migration_id {
            None => "clean",
            Some(_) if dry_run => "would_repair",
            Some(_) => "repaired",
        },
        book: one.book,
        kept: one.kept,
        lost: one.lost,
        set_aside: one.set_aside,
        registered: one.registered,
        made_anew: one.made_anew,
        migration_id: one.migration_id,
    };
    Part { books: repair.books.into_iter().map(row).collect(), unregistered: repair.unregistered }
}

impl Part {
    /// Whether nothing was to be done.
    pub(super) fn is_clean(&self) -> bool {
        self.books.iter().all(|row| row.outcome == "clean")
    }

    /// Whether something is left that a repair cannot do.
    pub(super) fn is_left(&self) -> bool {
        !self.unregistered.is_empty()
    }

    /// Whether events were lost.
    pub(super) fn has_lost(&self) -> bool {
        self.books.iter().any(|row| row.outcome == "repaired" && row.lost.is_some())
    }

    pub(super) fn write(&self, app: &App, out: &mut Output) -> Result<()> {
        for row in self.books.iter().filter(|row| row.outcome != "clean") {
            write_row(out, row)?;
        }
        let bad = app.terminal.theme.bad;
        for asset in &self.unregistered {
            writeln!(out, "{bad}the asset {} is not registered any more{bad:#}", clean(asset.as_str()))?;
            writeln!(out, "  whoever uses it registers it again, with the precision it had")?;
        }
        Ok(())
    }
}

fn write_row(out: &mut Output, row: &Row) -> Result<()> {
    let would = if row.outcome == "would_repair" { "would be " } else { "" };
    match &row.book {
        Some(book) => writeln!(out, "the book {book} of the ledger")?,
        None => writeln!(out, "the ledger")?,
    }
    if row.book.is_some() {
        writeln!(out, "  {} {would}kept", counted(row.kept, "event"))?;
    }
    if let Some(LostEvents { from, lines, detail }) = &row.lost {
        write_lost(out, *from, *lines, would)?;
        writeln!(out, "  {}", clean(detail))?;
    }
    if !row.registered.is_empty() {
        let names: Vec<_> = row.registered.iter().map(|asset| clean(asset.as_str()).into_owned()).collect();
        writeln!(out, "  {would}registered again: {}", names.join(", "))?;
    }
    for what in &row.made_anew {
        writeln!(out, "  {would}made anew: {}", clean(what))?;
    }
    for path in row.set_aside.iter().filter_map(|one| one.path.as_deref()) {
        writeln!(out, "  kept in {}", clean(path))?;
    }
    Ok(())
}

fn write_lost(out: &mut Output, from: Seq, lines: u64, would: &str) -> Result<()> {
    match lines {
        0 => writeln!(out, "  from event {from} on everything is lost, and nothing was left")?,
        lines => writeln!(out, "  lost from event {from} on; {} {would}set aside", counted(lines, "line"))?,
    }
    Ok(())
}
