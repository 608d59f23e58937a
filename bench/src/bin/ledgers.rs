//! Measures the ledgers beside published ones, and prints tables.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;

use bench::contest::Setting;
use bench::ledgers::ours;
use bench::machine::Machine;
use bench::ours::Kind;
use bench::work::ledgers::{self, Programs};
use clap::{Parser, ValueEnum};

/// Measures the ledgers beside published ones, each in a process of its own.
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
    /// Only the ledgers of ours whose names hold one of these words, and what they are measured beside.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How much is committed, as a part of all: 1 is all.
    #[arg(long, default_value_t = 1)]
    part: u64,
    /// The program `talea-ledgers`; without it, the one beside this program.
    #[arg(long)]
    talea: Option<PathBuf>,
    /// What a process that is measured does.
    #[arg(long, hide = true)]
    task: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    /// One committer.
    One,
    /// 64 committers.
    Many,
    /// 128 committers.
    Crowd,
    /// Batches of 50 from 32 threads.
    Batches,
    /// Opening 500,000 transactions, balances as of a time, memory.
    Filled,
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
    let Arguments { works, folder, rounds, only, part, talea, task } = arguments;
    if let Some(task) = task {
        let (kind, task) = match task.split_once(' ') {
            Some(("fs", task)) => (Kind::Fs, task.parse()?),
            Some(("sqlite", task)) => (Kind::Sqlite, task.parse()?),
            _ => return Err(format!("{task:?} names no ledger").into()),
        };
        println!("{}", ours::run(kind, task, folder)?);
        return Ok(());
    }
    let setting = Setting { folder: folder.clone(), rounds: *rounds, only: only.clone() };
    let programs = Programs::find(talea.as_deref())?;
    let part = |all: u64| (all / (*part).max(1)).max(1);
    println!("{}\n", Machine::of(folder)?);
    let works = if works.is_empty() { Work::value_variants() } else { works };
    for work in works {
        let outcomes = match work {
            Work::One => ledgers::commit(&setting, &programs, (1, part(1000), 1))?,
            Work::Many => ledgers::commit(&setting, &programs, (64, part(200), 1))?,
            Work::Crowd => ledgers::commit(&setting, &programs, (128, part(200), 1))?,
            Work::Batches => ledgers::commit(&setting, &programs, (32, part(50), 50))?,
            Work::Filled => ledgers::filled(&setting, &programs, (part(500_000), 10_000))?,
        };
        outcomes.iter().for_each(|outcome| println!("{outcome}"));
    }
    Ok(())
}
