//! The usage books, for the commands that look at them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_store::SessionError;
use session_store::usage::{PriceTable, Use, feed_with, follow, is_followed, is_unfed, known_uses};
use store_core::StoreError;
use store_core::ledger::{Ledger, LedgerError};

use super::budget::budgets;
use crate::app::App;
use crate::error::{CliError, Result};
use crate::library::{LEDGER_PATIENCE, Library, open_ledger_within, read_ledger};
use crate::progress::ProgressLine;

/// How long a command that can do without waits for another process to let go of the ledger.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells the books what is new, as far as that can be: who cannot write them reads them, and who cannot even read them does without, which is said.
pub(super) fn feed_books(app: &App, library: &Library, prices: &PriceTable) -> Result<()> {
    if library.store.info().format_version == 0 {
        // Looking at what an older program left makes nothing in it.
        return Ok(());
    }
    if is_unfed(&library.index, prices)? {
        let failed = match open_to_feed(app, library, PATIENCE) {
            Ok(ledger) => let_go(&*ledger, tell_books(app, library, &*ledger, prices)).err(),
            Err(error) if is_usual(&error) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            app.warn(&format!("the books were not told what is new: {}", error.report().message));
        } else if !is_unfed(&library.index, prices)? {
            return Ok(());
        }
    } else if is_followed(&library.index)? {
        return Ok(());
    }
    match read_ledger(app) {
        Ok(Some(ledger)) => {
            if let Err(error) = follow(&library.index, &*ledger) {
                app.warn(&format!("what only the books know is left out: {error}"));
            }
        }
        Ok(None) => {}
        Err(error) => app.warn(&format!("what only the books know is left out: {}", error.report().message)),
    }
    Ok(())
}

/// Every request that is known, for a budget to be held against: those of the logs, and those that only the books know any more.
pub(super) fn all_uses(app: &App, library: &Library, prices: &PriceTable) -> Result<Vec<Use>> {
    feed_books(app, library, prices)?;
    Ok(known_uses(&library.index, prices)?.into_iter().map(|priced| priced.one).collect())
}

/// Tells the books and the budgets what is new before some of it is taken out of the logs: what was spent stays spent, and soon nobody else knows of it.
///
/// Fails if they cannot be told: then nothing may be taken out. Where there can be no ledger there is nobody to tell, which is said.
pub(super) fn feed_before_loss(app: &App, library: &Library, prices: &PriceTable) -> Result<()> {
    let is_due = is_unfed(&library.index, prices)? || has_budgets(app, library, prices)?;
    // From a store that cannot be written to nothing is taken out.
    if !is_due || library.store.info().read_only {
        return Ok(());
    }
    let ledger = match open_to_feed(app, library, LEDGER_PATIENCE) {
        Err(error) if has_no_ledger(&error) => {
            app.warn("this store has no ledger: what is taken out of it is not counted any more");
            return Ok(());
        }
        ledger => ledger?,
    };
    let charge = || {
        let uses: Vec<Use> = known_uses(&library.index, prices)?.into_iter().map(|priced| priced.one).collect();
        Ok(budgets(app, &*ledger, library, prices).charge(&uses)?)
    };
    let told = tell_books(app, library, &*ledger, prices).and_then(|()| charge().map(drop));
    let_go(&*ledger, told)
}

fn has_budgets(app: &App, library: &Library, prices: &PriceTable) -> Result<bool> {
    match read_ledger(app) {
        Ok(Some(ledger)) => Ok(!budgets(app, &*ledger, library, prices).all()?.is_empty()),
        Ok(None) => Ok(false),
        Err(error) if has_no_ledger(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_to_feed(app: &App, library: &Library, patience: Duration) -> Result<Arc<dyn Ledger>> {
    if library.store.info().read_only {
        return Err(StoreError::ReadOnly.into());
    }
    open_ledger_within(app, patience)
}

fn tell_books(app: &App, library: &Library, ledger: &dyn Ledger, prices: &PriceTable) -> Result<()> {
    let mut line = ProgressLine::on_stderr(app);
    feed_with(&library.index, ledger, prices, &mut |done, all| {
        line.tell(Instant::now(), &format!("telling the books: {done} of {all} requests"));
    })?;
    Ok(())
}

fn let_go(ledger: &dyn Ledger, done: Result<()>) -> Result<()> {
    let shut = ledger.shutdown();
    done?;
    Ok(shut.map_err(SessionError::from)?)
}

/// Whether the store is of a kind that has no ledger.
const fn has_no_ledger(error: &CliError) -> bool {
    matches!(
        error,
        CliError::Session(
            SessionError::Store(StoreError::Unsupported { .. })
                | SessionError::Ledger(LedgerError::Store(StoreError::Unsupported { .. }))
        )
    )
}

/// Whether it is in the order of things that the ledger cannot be opened: another process writes it, or nothing may be written here.
fn is_usual(error: &CliError) -> bool {
    let CliError::Session(SessionError::Store(error) | SessionError::Ledger(LedgerError::Store(error))) = error else {
        return false;
    };
    matches!(
        error,
        StoreError::Locked { .. } | StoreError::Busy { .. } | StoreError::ReadOnly | StoreError::Unsupported { .. }
    )
}

/// The ledger, to read, after its usage books were told what is new; `None` if there is none.
pub(super) fn books_to_read(app: &App) -> Result<Option<Arc<dyn Ledger>>> {
    let library = Library::for_reading(app)?;
    feed_books(app, &library, &app.prices()?)?;
    read_ledger(app)
}
