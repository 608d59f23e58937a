//! The commands, a file each.

mod agents;
mod books;
mod budget;
mod checkpoint;
mod compact;
mod completions;
mod config;
mod damage;
mod doctor;
mod export;
mod follow;
mod fork;
mod gc;
mod home;
mod import;
mod ledger;
mod list;
mod live;
mod log;
mod manifest;
mod migrate;
mod organise;
mod pick;
mod raw;
mod repair;
mod resume;
mod rm;
mod rollback;
mod search;
mod segments;
mod show;
mod table;
mod usage;
mod verify;

use crate::app::App;
use crate::cli::{Cli, Command, ResumeOptions};
use crate::error::Result;

/// Does what was typed and answers with the exit code.
pub(crate) fn run(app: &App, cli: Cli) -> Result<u8> {
    match (cli.command, cli.session) {
        (Some(_), Some(_)) => {
            Err(App::usage("--session stands for a command of its own", "leave it out, or the command"))
        }
        (None, Some(id)) => resume::with(app, &id, &cli.resume, &cli.prompt),
        (None | Some(_), None) if cli.resume != ResumeOptions::default() => {
            let message = "--print, --print-cmd, --agent and --cwd say how to go on with a conversation";
            Err(App::usage(message, "`pod --session ID` names it"))
        }
        (None, None) => home::run(app),
        (Some(command), None) => match command {
            Command::Import(arguments) => import::run(app, &arguments),
            Command::List(arguments) => list::run(app, &arguments),
            Command::Search(arguments) => search::run(app, &arguments),
            Command::Pick(arguments) => pick::run(app, &arguments),
            Command::Show(arguments) => show::run(app, &arguments),
            Command::Segments(arguments) => segments::run(app, &arguments.id),
            Command::Log(arguments) => log::run(app, &arguments),
            Command::Export(arguments) => export::run(app, &arguments),
            Command::Fork(arguments) => fork::run(app, &arguments),
            Command::Compact(arguments) => compact::run(app, &arguments),
            Command::Resume(arguments) => resume::run(app, &arguments),
            Command::Rename(arguments) => organise::rename(app, &arguments),
            Command::Tag(arguments) => organise::tag(app, &arguments),
            Command::Pin(arguments) => organise::pin(app, &arguments),
            Command::Archive(arguments) => organise::archive(app, &arguments, true),
            Command::Unarchive(arguments) => organise::archive(app, &arguments, false),
            Command::Rm(arguments) => rm::run(app, &arguments),
            Command::Undo(arguments) => rm::undo(app, &arguments),
            Command::Budget(command) => budget::run(app, &command),
            Command::Usage(arguments) => usage::run(app, &arguments),
            Command::Ledger(command) => ledger::run(app, &command),
            Command::Verify(arguments) => verify::run(app, &arguments),
            Command::Checkpoint(arguments) if arguments.list => checkpoint::list(app, &arguments.id),
            Command::Checkpoint(arguments) => checkpoint::run(app, &arguments),
            Command::Checkpoints(arguments) => checkpoint::list(app, &arguments.id),
            Command::Rollback(arguments) => rollback::run(app, &arguments),
            Command::Manifest(arguments) => manifest::run(app, &arguments.id),
            Command::Repair(arguments) => repair::run(app, &arguments),
            Command::Gc(arguments) => gc::run(app, &arguments),
            Command::Migrate(arguments) => migrate::run(app, &arguments),
            Command::Doctor => doctor::run(app),
            Command::Agents(command) => agents::run(app, &command),
            Command::Config(command) => config::run(app, &command),
            Command::Completions(arguments) => completions::completions(&arguments),
            Command::Man(arguments) => completions::man(&arguments),
        },
    }
}
