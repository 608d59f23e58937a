//! Loses the power under the filesystem store, at every call of fixed scripts and under as many seeds as asked for.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to whoever started it")]

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Parser;
use store_fs::simulate::{Failure, Fault, Script, Simulation, Tally};

/// How many disks on which a power loss left holes are gone on with.
const DISKS_WITH_HOLES: usize = 6;

/// Loses the power under the filesystem store and judges what is left.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many random scripts are run. With 0 only the fixed ones are.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed. With it the fixed scripts are left out.
    #[arg(long)]
    seed: Option<u64>,
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let simulation = Simulation {
        crashes_per_call: arguments.crashes_per_call,
        max_part_bytes: arguments.max_part_bytes,
        failed_syncs: !arguments.no_failed_syncs,
        ..Simulation::default()
    };
    let mut tally = Tally::default();
    let fixed = if arguments.seed.is_none() { run_fixed(&simulation, &mut tally) } else { Ok(()) };
    let first = arguments.seed.unwrap_or_default();
    let done = fixed.and_then(|()| {
        run_seeds(&simulation, first..first + arguments.seeds, arguments.threads).map(|seeds| tally.add(&seeds))
    });
    println!("{tally}");
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run_fixed(simulation: &Simulation, tally: &mut Tally) -> Result<(), Failure> {
    for script in Script::fixed() {
        tally.add(&simulation.crash_everywhere(&script)?);
        for fault in [Fault::Death, Fault::Refused, Fault::Full, Fault::Short, Fault::ForgottenSync] {
            tally.add(&simulation.fail_everywhere(&script, fault)?);
        }
    }
    tally.add(&simulation.crash_everywhere_with_holes(DISKS_WITH_HOLES)?);
    Ok(())
}

fn run_seeds(simulation: &Simulation, seeds: Range<u64>, threads: u64) -> Result<Tally, Failure> {
    let next = AtomicU64::new(seeds.start);
    let stopped = AtomicBool::new(false);
    let found = Mutex::new((Tally::default(), None));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let done = simulation.random(seed);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match done {
                        Ok(tally) => found.0.add(&tally),
                        Err(failure) => {
                            stopped.store(true, Ordering::Relaxed);
                            found.1.get_or_insert(failure);
                        }
                    }
                }
            });
        }
    });
    let (tally, failure) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failure.map_or(Ok(tally), Err)
}
