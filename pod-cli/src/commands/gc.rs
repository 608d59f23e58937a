//! `pod gc`

use std::io::Write;

use serde::Serialize;
use session_store::OpenMode;
use store_core::integrity::{Collected, Collection};

use super::damage::counted;
use crate::app::App;
use crate::cli::GcArgs;
use crate::confirm::{Consent, confirm};
use crate::error::{Result, exit};
use crate::keeper::Keeper;
use crate::output::Output;
use crate::render::thousands;

/// A collection as JSON shows it.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    collected: Collection,
    dry_run: bool,
}

/// Removes blobs that nothing refers to, and what stopped processes left behind.
pub(super) fn run(app: &App, arguments: &GcArgs) -> Result<u8> {
    let consented = arguments.consented;
    let keeper = Keeper::open(app, OpenMode::ReadWrite)?;
    let integrity = keeper.integrity()?;
    if consented.dry_run {
        return tell(app, integrity.collect(true)?, true);
    }
    if !consented.yes {
        let would = integrity.collect(true)?;
        if would == Collection::default() {
            return tell(app, would, false);
        }
        if confirm(app, false, &format!("remove {}", said(&would)))? == Consent::Refused {
            app.say("nothing was removed");
            return Ok(exit::CANCELLED);
        }
    }
    tell(app, integrity.collect(false)?, false)
}

fn said(collected: &Collection) -> String {
    let Collection { blobs, temporary } = collected;
    let of =
        |what: &Collected, noun: &str| format!("{} ({} bytes)", counted(what.removed, noun), thousands(what.bytes));
    format!("{} and {}", of(blobs, "blob"), of(temporary, "leftover"))
}

fn tell(app: &App, collected: Collection, dry_run: bool) -> Result<u8> {
    if app.global.json {
        app.print_json(&Document { collected, dry_run })?;
        return Ok(exit::OK);
    }
    let mut out = Output::plain();
    let removed = if dry_run { "would be removed" } else { "removed" };
    match collected == Collection::default() {
        true => writeln!(out, "nothing to remove")?,
        false => writeln!(out, "{} {removed}", said(&collected))?,
    }
    out.finish()?;
    Ok(exit::OK)
}
