//! Measures the stores beside the machine's limits and beside published engines, and prints tables.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;

use bench::claude::Shape;
use bench::command::Pod;
use bench::contest::Setting;
use bench::machine::Machine;
#[cfg(feature = "engines")]
use bench::work::{append, sync};
use bench::work::{import, list, open, read, verify};
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
    /// Only the ways whose names hold one of these words, beside the first.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many entries or sessions the large stores have, as a part of what the targets name: 1 is all.
    #[arg(long, default_value_t = 1)]
    part: u64,
    /// The `pod` program whose commands are measured as a whole; without it, the one beside this program.
    #[arg(long)]
    pod: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    /// One entry a call, buffered.
    #[cfg(feature = "engines")]
    Append,
    /// A hundred entries a call, buffered.
    #[cfg(feature = "engines")]
    Batch,
    /// Synced, with 1, 8 and 64 threads.
    #[cfg(feature = "engines")]
    Sync,
    /// All of 100,000 entries.
    Read,
    /// The ends of long logs.
    Ends,
    /// From opening to the first append.
    Open,
    /// Look-ups among 100,000 sessions.
    Lookup,
    /// Lists of 10,000 sessions.
    List,
    /// Proving 100,000 entries.
    Verify,
    /// Importing 1,000 files of Claude Code.
    Import,
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
    let Arguments { works, folder, rounds, only, part, pod } = arguments;
    let setting = Setting { folder: folder.clone(), rounds: *rounds, only: only.clone() };
    let part = (*part).max(1);
    println!("{}\n", Machine::of(folder)?);
    let works = if works.is_empty() { Work::value_variants() } else { works };
    for work in works {
        let outcomes = match work {
            #[cfg(feature = "engines")]
            Work::Append => vec![append::contest(&setting, (20_000, 1))?],
            #[cfg(feature = "engines")]
            Work::Batch => vec![append::contest(&setting, (100_000, 100))?],
            #[cfg(feature = "engines")]
            Work::Sync => [(1, 400), (8, 200), (64, 50)]
                .into_iter()
                .map(|(threads, each)| sync::contest(&setting, (threads, each)))
                .collect::<bench::Result<_>>()?,
            Work::Read => vec![read::all(&setting, 100_000 / part)?],
            Work::Ends => read::ends(&setting, &[10_000 / part, 1_000_000 / part])?,
            Work::Open => vec![open::to_first_append(&setting, &[10_000 / part, 1_000_000 / part])?],
            Work::Lookup => open::lookup(&setting, 100_000 / part)?,
            Work::List => list::contest(&setting, 10_000 / part, &Pod::find(pod.as_deref())?)?,
            Work::Verify => vec![verify::contest(&setting, 100_000 / part)?],
            Work::Import => {
                let shape = Shape { files: 1000 / part, lines: 200, line_bytes: 1650 };
                import::contest(&setting, shape, &Pod::find(pod.as_deref())?)?
            }
        };
        outcomes.iter().for_each(|outcome| println!("{outcome}"));
    }
    Ok(())
}
