//! The usage books, for the commands that look at them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_store::SessionError;
use session_store::usage::{PriceTable, feed_with, follow, is_unfed};
use store_core::StoreError;
use store_core::ledger::{Ledger, LedgerError};

use crate::app::App;
use crate::error::{CliError, Result};
use crate::library::{Library, open_ledger_within, read_ledger};
use crate::progress::ProgressLine;

/// How long a command that can do without waits for another process to let go of the ledger.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells the books what is new, as far as that can be: who cannot write them reads them, and who cannot even read them does without, which is said.
pub(super) fn feed_books(app: &App, library: &Library, prices: &PriceTable) -> Result<()> {
    if !is_unfed(&library.index, prices)? {
        return Ok(());
    }
    let Err(error) = feed_once(app, library, prices) else { return Ok(()) };
    if !is_usual(&error) {
        app.warn(&format!("the books were not told what is new: {}", error.report().message));
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

/// Tells the books what is new before some of it is taken out of the logs: what was spent stays spent. Whatever keeps that from being done keeps nobody from what follows.
pub(super) fn feed_before_loss(app: &App) {
    if let (Ok(library), Ok(prices)) = (Library::as_it_is(app), app.prices()) {
        drop(feed_books(app, &library, &prices));
    }
}

fn feed_once(app: &App, library: &Library, prices: &PriceTable) -> Result<()> {
    if library.store.info().read_only {
        return Err(StoreError::ReadOnly.into());
    }
    let ledger = open_ledger_within(app, PATIENCE)?;
    let mut line = ProgressLine::on_stderr(app);
    let fed = feed_with(&library.index, &*ledger, prices, &mut |done, all| {
        line.tell(Instant::now(), &format!("telling the books: {done} of {all} requests"));
    });
    drop(line);
    let shut = ledger.shutdown();
    fed?;
    Ok(shut.map_err(SessionError::from)?)
}

/// Whether it is in the order of things that the ledger is not to be had: another process writes it, or nothing may be written here.
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
