//! Loses the power under the filesystem store and its ledger, at every call of fixed scripts and under as many seeds as asked for.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to whoever started it")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Parser, ValueEnum};
use store_fs::simulate::{Failure, Fault, LedgerScript, Script, Simulation, Tally};

/// How many disks on which a power loss left holes are gone on with.
const DISKS_WITH_HOLES: usize = 6;

/// Loses the power under the filesystem store and its ledger, and judges what is left.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many random scripts are run. With 0 only the fixed ones are.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed. With it the fixed scripts are left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Of the fixed scripts only the one with this name.
    #[arg(long)]
    script: Option<String>,
    /// What alone is tried; by default both.
    #[arg(long)]
    only: Option<Part>,
    /// How many crashes are tried at each call of a fixed script.
    #[arg(long, default_value_t = 20)]
    crashes_per_call: u64,
    /// Lets no sync fail and forget what it was to sync.
    #[arg(long)]
    no_failed_syncs: bool,
    /// How many bytes a part of a log may have, if not as many as it may by default.
    #[arg(long)]
    max_part_bytes: Option<u64>,
    /// How many threads work at it.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

/// What keeps its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The logs of sessions, and what stands beside them.
    Segments,
    /// The ledger.
    Ledgers,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let simulation = Simulation {
        crashes_per_call: arguments.crashes_per_call,
        max_part_bytes: arguments.max_part_bytes,
        failed_syncs: !arguments.no_failed_syncs,
        ..Simulation::default()
    };
    let (tally, failure) = run(&simulation, &tasks(&arguments), arguments.threads);
    println!("{tally}");
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// A part of the work that does not depend on any other.
#[derive(Clone, Debug)]
enum Task {
    CrashEverywhere(Script),
    FailEverywhere(Script, Fault),
    CrashEverywhereWithHoles,
    Random(u64),
    CrashLedgerEverywhere(LedgerScript),
    FailLedgerEverywhere(LedgerScript, Fault),
    RandomLedger(u64),
}

fn tasks(arguments: &Arguments) -> Vec<Task> {
    let mut tasks = Vec::new();
    let faults = [Fault::Death, Fault::Refused, Fault::Full, Fault::Short, Fault::ForgottenSync];
    let is_tried = |part| arguments.only.is_none_or(|only| only == part);
    let is_meant = |name: &str| arguments.script.as_ref().is_none_or(|meant| meant == name);
    let seeds = arguments.seed.unwrap_or_default()..arguments.seed.unwrap_or_default() + arguments.seeds;
    if is_tried(Part::Segments) {
        if arguments.seed.is_none() {
            for script in Script::fixed().into_iter().filter(|script| is_meant(&script.name)) {
                tasks.push(Task::CrashEverywhere(script.clone()));
                tasks.extend(faults.map(|fault| Task::FailEverywhere(script.clone(), fault)));
            }
            if arguments.script.is_none() {
                tasks.push(Task::CrashEverywhereWithHoles);
            }
        }
        tasks.extend(seeds.clone().map(Task::Random));
    }
    if is_tried(Part::Ledgers) {
        if arguments.seed.is_none() {
            for script in LedgerScript::fixed().into_iter().filter(|script| is_meant(script.name)) {
                tasks.push(Task::CrashLedgerEverywhere(script.clone()));
                tasks.extend(faults.map(|fault| Task::FailLedgerEverywhere(script.clone(), fault)));
            }
        }
        tasks.extend(seeds.map(Task::RandomLedger));
    }
    tasks
}

impl Task {
    fn run(&self, simulation: &Simulation) -> Result<Tally, Failure> {
        match self {
            Self::CrashEverywhere(script) => simulation.crash_everywhere(script),
            Self::FailEverywhere(script, fault) => simulation.fail_everywhere(script, *fault),
            Self::CrashEverywhereWithHoles => simulation.crash_everywhere_with_holes(DISKS_WITH_HOLES),
            Self::Random(seed) => simulation.random(*seed),
            Self::CrashLedgerEverywhere(script) => simulation.crash_ledger_everywhere(script),
            Self::FailLedgerEverywhere(script, fault) => simulation.fail_ledger_everywhere(script, *fault, 1),
            Self::RandomLedger(seed) => simulation.random_ledger(*seed),
        }
    }
}

/// Runs the tasks until one fails; and what was tried until then.
fn run(simulation: &Simulation, tasks: &[Task], threads: u64) -> (Tally, Option<Failure>) {
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Tally::default(), None));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = task.run(simulation);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    match done {
                        Ok(tally) => found.0.add(&tally),
                        Err(failure) => {
                            next.store(tasks.len(), Ordering::Relaxed);
                            found.1.get_or_insert(failure);
                        }
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
