//! Measures what a runtime and its watchers feel, and prints tables.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::machine::Machine;
use bench::work::live::{self, LATENCIES_HEAD};
use clap::{Parser, Subcommand};

/// Measures how long handing an entry to a writer takes, and how soon another process has it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder on the medium that is measured; it must exist. What is made in it is removed again.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// How many entries each way is measured with.
    #[arg(long, default_value_t = 2000)]
    entries: u64,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// What the other process does.
    #[command(hide = true)]
    Follow {
        /// The store.
        url: String,
        /// How many entries come.
        count: u64,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> bench::Result<()> {
    let Arguments { folder, entries, part } = arguments;
    if let Some(Part::Follow { url, count }) = part {
        return live::follow(url, *count, |line| println!("{line}"));
    }
    println!("{}\n\n### handing an entry over, beside a synced append\n\n{LATENCIES_HEAD}", Machine::of(folder)?);
    live::submit(folder, *entries, Duration::from_millis(2))?.iter().for_each(|row| println!("{row}"));
    println!("\n### following across processes\n\n{LATENCIES_HEAD}");
    live::tail(folder, *entries / 4, &std::env::current_exe()?)?.iter().for_each(|row| println!("{row}"));
    Ok(())
}
