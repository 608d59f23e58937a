//! `pod completions SHELL` and `pod man`: made from the definitions that `--help` is made from.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::error::{CliError, Result, exit};
use crate::output::Output;

/// Prints a shell's completions.
pub(super) fn completions(arguments: &CompletionsArgs) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "pod", &mut text);
    print(&text)
}

/// Prints the manual page, or writes one for each command.
pub(super) fn man(arguments: &ManArgs) -> Result<u8> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &arguments.dir else {
        return print(&page(command)?);
    };
    let subcommands: Vec<clap::Command> =
        command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).cloned().collect();
    write_page(folder, "pod", command)?;
    for subcommand in subcommands {
        let name = format!("pod-{}", subcommand.get_name());
        write_page(folder, &name, subcommand.display_name(name.clone()))?;
    }
    Ok(exit::OK)
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command).render(&mut text)?;
    Ok(text)
}

fn write_page(folder: &Path, name: &str, command: clap::Command) -> Result<()> {
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?).map_err(|source| CliError::Io { op: "write", path, source })
}

fn print(text: &[u8]) -> Result<u8> {
    let mut out = Output::plain();
    out.write_all(text)?;
    out.finish()?;
    Ok(exit::OK)
}
