//! The commands, a file each.

mod completions;
mod fork;
mod home;
mod import;
mod list;
mod log;
mod raw;
mod resume;
mod segments;
mod show;
mod table;

use crate::app::App;
use crate::cli::{Cli, Command};
use crate::error::Result;

/// Does what was typed and answers with the exit code.
pub(crate) fn run(app: &App, cli: Cli) -> Result<u8> {
    match (cli.command, cli.session) {
        (Some(_), Some(_)) => {
            Err(App::usage("--session stands for a command of its own", "leave it out, or the command"))
        }
        (None, Some(id)) => resume::run(app, &id, cli.print),
        (None, None) => home::run(app),
        (Some(command), None) => match command {
            Command::Import(arguments) => import::run(app, &arguments),
            Command::List(arguments) => list::run(app, &arguments),
            Command::Show(arguments) => show::run(app, &arguments),
            Command::Segments(arguments) => segments::run(app, &arguments.id),
            Command::Log(arguments) => log::run(app, &arguments),
            Command::Fork(arguments) => fork::run(app, &arguments),
            Command::Resume(arguments) => resume::run(app, &arguments.id, arguments.print),
            Command::Completions(arguments) => completions::completions(&arguments),
            Command::Man(arguments) => completions::man(&arguments),
        },
    }
}
