//! Measures what a person waits for, and prints tables.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;

use bench::command::Pod;
use bench::contest::Span;
use bench::machine::Machine;
use bench::ours::KINDS;
use bench::work::live::LATENCIES_HEAD;
use bench::work::{find, frame};
use clap::{Parser, ValueEnum};

/// Measures how long the picker takes to show conversations, and how long a search for texts takes.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder on the medium that is measured; it must exist. What is made in it is removed again.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Only one of them.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// How many conversations the picker is opened over.
    #[arg(long, default_value_t = 10_000)]
    sessions: u64,
    /// How often it is opened.
    #[arg(long, default_value_t = 50)]
    frames: usize,
    /// How many entries are searched.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// How often each kind of question is asked.
    #[arg(long, default_value_t = 300)]
    questions: u64,
    /// The `pod` program; without it, the one beside this program.
    #[arg(long)]
    pod: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// The picker's first frame.
    Frame,
    /// Searches.
    Find,
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
    let Arguments { folder, only, sessions, frames, entries, questions, pod } = arguments;
    println!("{}", Machine::of(folder)?);
    if *only != Some(Only::Find) {
        println!("\n### the picker's first frame\n\n{LATENCIES_HEAD}");
        let pod = Pod::find(pod.as_deref())?;
        frame::first(folder, *sessions, *frames, &pod)?.iter().for_each(|row| println!("{row}"));
    }
    if *only != Some(Only::Frame) {
        for kind in KINDS {
            println!("\n### search over {entries} entries, {}\n", kind.name());
            let found = find::search(kind, folder, *entries, *questions)?;
            let read = Span(found.read.as_nanos() as f64);
            println!(
                "Reading the texts once took {read}; the index is {} MB then.\n\n{LATENCIES_HEAD}",
                found.index_bytes >> 20
            );
            found.rows.iter().for_each(|row| println!("{row}"));
        }
    }
    Ok(())
}
