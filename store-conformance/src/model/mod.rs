//! The model test: any sequence of calls, on several handles that are closed and opened in between, answers what the reference
//! answers.
//!
//! A sequence is made of few ids, texts and keys, so that calls meet each other: the same segment is created twice, a key comes
//! back with another text, a session that others continue is deleted. After every call everything that a store can be asked is
//! asked of one of the handles and compared with [`MemoryStore`]: positions by their seqs (checksums are a
//! backend's own, but a position must be read back as it was answered), errors by variant and data, records,
//! lists, facts, traces and blobs in full; and `changes` must name at least what changed since each observer asked last. What
//! differs is reported with the shortest sequence that shows it.
//!
//! Threads, crashes and the cost of a call are not its matter.

mod call;
mod picture;
mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use store_core::MemoryStore;

use self::world::World;
use crate::{Failure, Harness, Outcome};

/// How many calls a sequence has at most.
const CALLS_MAX: usize = 40;

/// Runs so many random sequences, each on a fresh store of `H`, other ones every time.
///
/// ```
/// store_conformance::model_test::<store_conformance::MemoryHarness>(8);
/// ```
///
/// # Panics
/// A store answers otherwise than the reference; the message has the shortest sequence that was found.
pub fn model_test<H: Harness + 'static>(cases: u32) {
    let runner = TestRunner::new(config(cases, true));
    if let Err(failure) = run(runner, &|| Box::new(H::fresh())) {
        panic!("{failure}");
    }
}

/// Runs so many sequences, each on a store that `fresh` makes: the same ones every time for a seed. The first sequence that shows
/// a difference is reported as it is.
///
/// # Errors
/// A store answers otherwise than the reference.
pub fn run_model(fresh: &dyn Fn() -> Box<dyn Harness>, cases: u32, seed: u64) -> Outcome {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    run(TestRunner::new_with_rng(config(cases, false), rng), fresh)
}

fn config(cases: u32, shortest: bool) -> Config {
    let max_shrink_iters = if shortest { 2_000 } else { 0 };
    Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() }
}

fn run(mut runner: TestRunner, fresh: &dyn Fn() -> Box<dyn Harness>) -> Outcome {
    let steps = proptest::collection::vec(call::any_step(), 1..=CALLS_MAX);
    let outcome = runner.run(&steps, |steps| {
        let mut harness = fresh();
        let mut world = World::new(&mut *harness, MemoryStore::new());
        for (number, step) in steps.iter().enumerate() {
            let words = |failure: Failure| TestCaseError::fail(format!("in call {}: {failure}", number + 1));
            world.take(step).map_err(words)?;
        }
        world.end().map_err(|failure| TestCaseError::fail(format!("in the end: {failure}")))
    });
    outcome.map_err(|error| match error {
        TestError::Fail(reason, steps) => {
            let calls: String = (1..).zip(&steps).map(|(number, step)| format!("\n{number:4} {step:?}")).collect();
            Failure::new(format!("{reason}\nThe calls were:{calls}"))
        }
        TestError::Abort(reason) => Failure::new(format!("the sequences could not be run: {reason}")),
    })
}
