//! `pod usage rebuild`

use std::io::Write;

use serde::Serialize;
use session_store::usage::{AccountDifference, Posted, Rebuild, reread};

use super::super::books::feed_books;
use super::super::damage::counted;
use crate::app::App;
use crate::cli::UsageRebuildArgs;
use crate::confirm::{Consent, confirm};
use crate::error::{Result, exit};
use crate::library::{Library, open_ledger, read_ledger};
use crate::output::Output;
use crate::render::clean;

/// What was compared, and what was done, as JSON shows it.
#[derive(Serialize)]
struct Document {
    /// How many requests the logs hold.
    requests: u64,
    /// How many requests the books know that stand in no log any more.
    kept: u64,
    /// How many accounts were compared.
    accounts: u64,
    /// Those that differed, in minor units.
    differences: Vec<AccountDifference>,
    /// What was posted.
    posted: Option<PostedDocument>,
    /// Those that differ still: no request explains them.
    unexplained: Vec<AccountDifference>,
    dry_run: bool,
    /// `in_step`, `would_post`, `posted`, `unexplained`.
    outcome: &'static str,
}

#[derive(Serialize)]
struct PostedDocument {
    new: u64,
    adjusted: u64,
    unchanged: u64,
    refused: u64,
}

impl From<Posted> for PostedDocument {
    fn from(posted: Posted) -> Self {
        let Posted { new, adjusted, unchanged, refused } = posted;
        Self { new, adjusted, unchanged, refused }
    }
}

/// Derives the usage books again, and sets them right.
pub(super) fn run(app: &App, arguments: &UsageRebuildArgs) -> Result<u8> {
    let consented = arguments.consented;
    let prices = app.prices()?;
    let library = Library::for_reading(app)?;
    if !consented.dry_run {
        // What the books were not told yet is no difference.
        feed_books(app, &library, &prices)?;
    }
    let ledger = read_ledger(app)?;
    let mut made = Rebuild::compare(&*library.store, ledger.as_deref(), &prices)?;
    drop(ledger);
    let mut document = Document {
        requests: made.requests,
        kept: made.kept,
        accounts: made.accounts,
        differences: made.differences.clone(),
        posted: None,
        unexplained: Vec::new(),
        dry_run: consented.dry_run,
        outcome: if made.differences.is_empty() { "in_step" } else { "would_post" },
    };
    if !consented.dry_run && !made.differences.is_empty() {
        let what = format!("set {} of the usage books right", counted(made.differences.len() as u64, "account"));
        if confirm(app, consented.yes, &what)? == Consent::Refused {
            app.say("nothing was changed");
            return Ok(exit::CANCELLED);
        }
        let ledger = open_ledger(app)?;
        let posted = made.post(&*ledger, &prices)?;
        reread(&library.index, &*ledger)?;
        ledger.shutdown().map_err(session_store::SessionError::from)?;
        document.posted = Some(posted.into());
        document.unexplained.clone_from(&made.differences);
        document.outcome = if made.differences.is_empty() { "posted" } else { "unexplained" };
    }
    tell(app, &document)?;
    Ok(if document.unexplained.is_empty() { exit::OK } else { exit::DAMAGE })
}

fn tell(app: &App, document: &Document) -> Result<()> {
    if app.global.json {
        return app.print_json(document);
    }
    let mut out = Output::plain();
    let kept = match document.kept {
        0 => String::new(),
        kept => format!(", and {} that stand in no log any more", counted(kept, "request")),
    };
    let (requests, accounts) = (counted(document.requests, "request"), counted(document.accounts, "account"));
    writeln!(out, "{requests} in the logs{kept}; {accounts} compared")?;
    if document.differences.is_empty() {
        writeln!(out, "nothing differs")?;
    }
    for AccountDifference { account, books, logs } in &document.differences {
        writeln!(out, "{}: the books say {books}, the logs {logs}", clean(&account.to_string()))?;
    }
    if let Some(posted) = &document.posted {
        writeln!(out, "{} posted, {} set right", counted(posted.new, "request"), posted.adjusted)?;
    }
    for AccountDifference { account, books, logs } in &document.unexplained {
        let bad = app.terminal.theme.bad;
        let account = clean(&account.to_string()).into_owned();
        writeln!(out, "{bad}{account}: {books} rather than {logs}, which no request explains{bad:#}")?;
    }
    out.finish()?;
    if document.dry_run {
        app.say("nothing was changed");
    }
    Ok(())
}
