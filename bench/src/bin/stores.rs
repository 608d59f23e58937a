//! Measures the stores beside the machine's limits and beside published engines, and prints tables.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;

use bench::machine::Machine;
use bench::work::{append, open, read, sync};
use clap::{Parser, ValueEnum};

/// Measures the stores beside the machine's limits and beside published engines.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured; without it everything is.
    #[arg(value_enum)]
    works: Vec<Work>,
    /// The folder on the medium that is measured; it must exist. What is made in it is removed again.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// How many rounds are counted.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How many entries or sessions the large stores have, as a part of what the targets name: 1 is all.
    #[arg(long, default_value_t = 1)]
    part: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    /// One entry a call, buffered.
    Append,
    /// A hundred entries a call, buffered.
    Batch,
    /// Synced, with 1, 8 and 64 threads.
    Sync,
    /// All of 100,000 entries.
    Read,
    /// The ends of long logs.
    Ends,
    /// From opening to the first append.
    Open,
    /// Look-ups among 100,000 sessions.
    Lookup,
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
    let Arguments { works, folder, rounds, part } = arguments;
    let (rounds, part) = (*rounds, (*part).max(1));
    println!("{}\n", Machine::of(folder)?);
    let works = if works.is_empty() { Work::value_variants() } else { works };
    for work in works {
        let outcomes = match work {
            Work::Append => vec![append::contest(folder, (20_000, 1), rounds)?],
            Work::Batch => vec![append::contest(folder, (100_000, 100), rounds)?],
            Work::Sync => [(1, 400), (8, 200), (64, 50)]
                .into_iter()
                .map(|(threads, each)| sync::contest(folder, (threads, each), rounds))
                .collect::<bench::Result<_>>()?,
            Work::Read => vec![read::all(folder, 100_000 / part, rounds)?],
            Work::Ends => read::ends(folder, &[10_000 / part, 1_000_000 / part], rounds)?,
            Work::Open => vec![open::to_first_append(folder, &[10_000 / part, 1_000_000 / part], rounds)?],
            Work::Lookup => open::lookup(folder, 100_000 / part, rounds)?,
        };
        outcomes.iter().for_each(|outcome| println!("{outcome}"));
    }
    Ok(())
}
