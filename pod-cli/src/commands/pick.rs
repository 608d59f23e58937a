//! `pod pick`: choose a conversation on the terminal; its id, or its row, is printed.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;
use session_store::picker::Choice;
use session_store::{ForkPoint, SegmentLocation, fork_at};
use store_core::SegmentId;

use super::{log, repair};
use crate::app::App;
use crate::cli::{LogArgs, PickArgs, PickPrint, RepairArgs};
use crate::error::{CliError, Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::picker::{self, PickOptions, Picked};

/// Lets somebody choose, and prints what was chosen.
pub(super) fn run(app: &App, arguments: &PickArgs) -> Result<u8> {
    let options = PickOptions {
        query: arguments.query.clone().unwrap_or_default(),
        height: arguments.height,
        select_one: arguments.select_1,
        exit_empty: arguments.exit_0,
        may_draw: may_draw(app),
    };
    match choose(app, &options)? {
        Ended::Chosen(segment) => print(app, arguments, segment),
        Ended::Code(code) => Ok(code),
    }
}

/// How choosing ended.
pub(super) enum Ended {
    /// With this segment.
    Chosen(SegmentId),
    /// Without one, or with something else that was done instead.
    Code(u8),
}

/// Lets somebody choose a segment. A turn that was chosen is forked at.
pub(super) fn choose(app: &App, options: &PickOptions) -> Result<Ended> {
    if !(options.may_draw || options.select_one || options.exit_empty) {
        return Err(no_terminal());
    }
    let library =
        if options.select_one || options.exit_empty { Library::for_reading(app) } else { Library::as_it_is(app) }?;
    Ok(match picker::run(app, library, options)? {
        Picked::Place(choice @ Choice { turn: Some(_), .. }) | Picked::Fork(choice) => {
            Ended::Chosen(forked(app, choice)?)
        }
        Picked::Place(choice) => Ended::Chosen(choice.segment),
        Picked::Watch(choice) => Ended::Code(log::run(app, &LogArgs::following(choice.segment))?),
        Picked::Repair(choice) => Ended::Code(repair::run(app, &RepairArgs::of(choice.session))?),
        Picked::Undrawn => return Err(no_terminal()),
        Picked::Nothing | Picked::Cancelled => Ended::Code(exit::CANCELLED),
    })
}

/// Whether somebody can press keys and see what they do.
pub(super) fn may_draw(app: &App) -> bool {
    io::stdin().is_terminal() && app.terminal.can_draw()
}

fn no_terminal() -> CliError {
    App::usage("the picker needs a terminal", "`pod list --json` lists conversations for programs")
}

fn forked(app: &App, choice: Choice) -> Result<SegmentId> {
    let library = Library::for_writing(app)?;
    let from = SegmentLocation { session_id: choice.session, segment_id: choice.segment };
    let at = choice.turn.map_or(ForkPoint::End, ForkPoint::Turn);
    Ok(fork_at(&*library.store, app.environment.now, from, at)?.segment_id)
}

fn print(app: &App, arguments: &PickArgs, segment: SegmentId) -> Result<u8> {
    let mut out = Output::plain();
    match arguments.print {
        PickPrint::Id => writeln!(out, "{segment}")?,
        PickPrint::Json => {
            let library = Library::for_reading(app)?;
            let target = library.resolve(app, &segment.to_string())?;
            let mut row = library.summary(target.session)?;
            library.price(std::slice::from_mut(&mut row), &app.prices()?)?;
            let mut row = serde_json::to_value(row).map_err(io::Error::from)?;
            if let Value::Object(fields) = &mut row {
                fields.insert("segment_id".to_owned(), Value::String(segment.to_string()));
            }
            writeln!(out, "{row}")?;
        }
    }
    out.finish()?;
    Ok(exit::OK)
}
