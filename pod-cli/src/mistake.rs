//! Command lines that clap refuses: what is wrong with them, and what was probably meant.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use crate::cli::Cli;
use crate::error::Report;
use crate::render::one_line;

/// How alike two words have to be for one to be meant by the other, from 0 to 1.
const ALIKE_MIN: f64 = 0.7;

/// What is told of a command line that clap refuses.
pub(crate) fn report(error: &clap::Error, arguments: &[OsString]) -> Report {
    let program = Cli::command();
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let command = words.iter().find(|word| program.find_subcommand(word).is_some());
    if let Some(word) = strange_word(error)
        && command.is_none()
    {
        let hint = match nearest(&program, word) {
            Some(name) => format!("did you mean `pod {name}`?"),
            None => "`pod --help` lists the commands; a prompt goes behind `pod --session ID --`".to_owned(),
        };
        return Report::usage(format!("there is no command {word:?}"), Some(&hint));
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        && let Some(command) = command.and_then(|word| program.find_subcommand(word))
    {
        let names: Vec<&str> =
            command.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name).collect();
        let name = command.get_name();
        let hint = format!("there are {}; `pod {name} --help` says more", names.join(", "));
        return Report::usage(format!("`pod {name}` wants to know what to do"), Some(&hint));
    }
    let said = error.render().to_string();
    let message = one_line(said.split("\n\n").next().unwrap_or_default());
    let line_of = |start: &str| said.lines().map(str::trim).find(|line| line.starts_with(start)).map(str::to_owned);
    let help = || {
        format!(
            "`{}` says what there is",
            ["pod"].iter().chain(command).chain(&["--help"]).copied().collect::<Vec<_>>().join(" ")
        )
    };
    let hint = line_of("tip: ").map(|tip| tip.trim_start_matches("tip: ").to_owned());
    let hint = hint.or_else(|| line_of("Usage: ").map(|usage| usage.replacen('U', "u", 1))).unwrap_or_else(help);
    Report::usage(message.trim_start_matches("error: ").to_owned(), Some(&hint))
}

/// The word that stands where nothing may stand, if that is no option.
fn strange_word(error: &clap::Error) -> Option<&str> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) if !word.starts_with('-') => Some(word),
        _ => None,
    }
}

/// The command that is most like a word.
fn nearest(program: &Command, word: &str) -> Option<String> {
    let names = program.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
    let alike = names.map(|name| (strsim::jaro(name, word), name)).filter(|(alike, _)| *alike > ALIKE_MIN);
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.to_owned())
}
