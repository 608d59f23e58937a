//! The model test of snapshot sets: any sequence of calls, with reopens in between, answers what the reference answers.
//!
//! Ordinals are few, so that calls meet each other: what was purged is written, what is being written is published. After
//! every call everything that a set can be asked is asked of both, and compared in full, errors by variant and data.

use std::fmt::Debug;
use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use store_core::snapshot_set::{
    MemorySnapshotMedium, MemorySnapshotSet, PublishOptions, SHARDS_MAX, ShardWriter, SnapshotOrdinal, SnapshotResult,
    SnapshotSet, SnapshotType,
};

use super::SnapshotSetHarness;
use crate::{Failure, Outcome};

/// How many calls a sequence has at most.
const CALLS_MAX: usize = 40;
/// The highest ordinal that is asked for on purpose; those beyond come up by themselves.
const ORDINAL_MAX: u64 = 12;

#[derive(Clone, Debug)]
enum Step {
    Create { kind: SnapshotType, shard_count: u32, may_append_existing: bool },
    Write { ordinal: SnapshotOrdinal, shard: u32, bytes: Vec<u8>, end: End },
    Publish { ordinal: SnapshotOrdinal, options: PublishOptions },
    WriteAndPublish { ordinal: SnapshotOrdinal, options: PublishOptions },
    Discard(SnapshotOrdinal),
    DropWriters,
    Reopen,
}

/// What becomes of a writer.
#[derive(Clone, Copy, Debug)]
enum End {
    Finished,
    Dropped,
    Kept,
}

fn any_ordinal() -> impl Strategy<Value = SnapshotOrdinal> {
    (0..=ORDINAL_MAX).prop_map(SnapshotOrdinal)
}

fn any_options() -> impl Strategy<Value = PublishOptions> {
    any::<(bool, bool)>().prop_map(|(purge_obsolete_diff, purge_obsolete_pending)| PublishOptions {
        purge_obsolete_diff,
        purge_obsolete_pending,
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        4 => Just(SnapshotType::Diff),
        4 => Just(SnapshotType::Pending),
        1 => Just(SnapshotType::FullCompleted)
    ];
    let shard_count =
        prop_oneof![5 => Just(1_u32), 3 => Just(2), 1 => Just(0), 1 => Just(3), 1 => Just(SHARDS_MAX + 1)];
    let end = prop_oneof![5 => Just(End::Finished), 1 => Just(End::Dropped), 2 => Just(End::Kept)];
    let bytes = proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        6 => (kind, shard_count, any::<bool>()).prop_map(|(kind, shard_count, may_append_existing)| {
            Step::Create { kind, shard_count, may_append_existing }
        }),
        6 => (any_ordinal(), 0..3_u32, bytes, end)
            .prop_map(|(ordinal, shard, bytes, end)| Step::Write { ordinal, shard, bytes, end }),
        2 => (any_ordinal(), any_options()).prop_map(|(ordinal, options)| Step::Publish { ordinal, options }),
        4 => (any_ordinal(), any_options()).prop_map(|(ordinal, options)| Step::WriteAndPublish { ordinal, options }),
        1 => any_ordinal().prop_map(Step::Discard),
        1 => Just(Step::DropWriters),
        1 => Just(Step::Reopen),
    ]
}

/// A set with the writers that are kept.
struct Side {
    set: Option<Box<dyn SnapshotSet>>,
    writers: Vec<Box<dyn ShardWriter>>,
}

#[expect(clippy::needless_pass_by_value, reason = "what is said was answered for it")]
fn said(result: SnapshotResult<impl Debug>) -> String {
    format!("{result:?}")
}

impl Side {
    fn open(open: &dyn Fn() -> SnapshotResult<Box<dyn SnapshotSet>>) -> Result<Self, String> {
        Ok(Self { set: Some(open().map_err(|error| format!("the set does not open: {error}"))?), writers: Vec::new() })
    }

    fn write(&mut self, ordinal: SnapshotOrdinal, shard: u32, bytes: &[u8], end: End) -> String {
        let Some(set) = &self.set else { return "closed".to_owned() };
        let mut writer = match set.write_shard(ordinal, shard) {
            Ok(writer) => writer,
            Err(error) => return format!("{error:?}"),
        };
        let written = writer.write_all(bytes).map_err(|error| error.to_string());
        let ended = match end {
            End::Finished => said(writer.finish()),
            End::Dropped => String::new(),
            End::Kept => {
                self.writers.push(writer);
                String::new()
            }
        };
        format!("{written:?} {ended}")
    }

    fn take(&mut self, step: &Step, open: &dyn Fn() -> SnapshotResult<Box<dyn SnapshotSet>>) -> Result<String, String> {
        match step {
            Step::Write { ordinal, shard, bytes, end } => return Ok(self.write(*ordinal, *shard, bytes, *end)),
            Step::WriteAndPublish { ordinal, .. } => {
                for shard in 0..3 {
                    self.write(*ordinal, shard, format!("{ordinal} {shard}").as_bytes(), End::Finished);
                }
            }
            Step::DropWriters => self.writers.clear(),
            Step::Reopen => {
                self.writers.clear();
                self.set = None;
                *self = Self::open(open)?;
            }
            _ => {}
        }
        let Some(set) = &self.set else { return Ok("closed".to_owned()) };
        Ok(match step {
            Step::Create { kind, shard_count, may_append_existing } => {
                said(set.create_or_get_snapshot(*kind, *shard_count, *may_append_existing))
            }
            Step::Publish { ordinal, options } | Step::WriteAndPublish { ordinal, options } => {
                said(set.publish_completed_snapshot(*ordinal, *options))
            }
            Step::Discard(ordinal) => said(set.discard_pending_snapshot(*ordinal)),
            Step::Write { .. } | Step::DropWriters | Step::Reopen => String::new(),
        })
    }

    /// Everything that the set can be asked.
    fn picture(&self) -> Vec<String> {
        let Some(set) = &self.set else { return Vec::new() };
        let mut picture = vec![said(set.list_snapshots()), said(set.get_snapshots_to_restore()), said(set.damage())];
        picture.push(said(set.read_shard(SnapshotOrdinal(0), 0).map(|reader| reader.size_bytes())));
        let snapshots = set.list_snapshots().unwrap_or_default();
        for info in &snapshots {
            picture.push(said(set.get_snapshots_to_restore_before(info.ordinal)));
            for shard in 0..=info.shard_count {
                let mut bytes = Vec::new();
                let read = set.read_shard(info.ordinal, shard).map(|mut reader| {
                    (reader.size_bytes(), reader.read_to_end(&mut bytes).map_err(|error| error.to_string()))
                });
                picture.push(format!("{} {shard} {read:?} {bytes:?}", info.ordinal));
            }
        }
        picture
    }
}

fn compare(harness: &dyn SnapshotSetHarness, steps: &[Step]) -> Result<(), String> {
    let medium = MemorySnapshotMedium::default();
    let open_reference = || Ok(Box::new(MemorySnapshotSet::open(&medium)?) as Box<dyn SnapshotSet>);
    let open = || harness.open();
    let (mut reference, mut set) = (Side::open(&open_reference)?, Side::open(&open)?);
    for (number, step) in (1..).zip(steps) {
        let (expected, found) = (reference.take(step, &open_reference)?, set.take(step, &open)?);
        if expected != found {
            return Err(format!("call {number} answers {found}, the reference {expected}"));
        }
        let (expected, found) = (reference.picture(), set.picture());
        if let Some((expected, found)) = expected.iter().zip(&found).find(|(expected, found)| expected != found) {
            return Err(format!("after call {number} the set says {found}, the reference {expected}"));
        }
    }
    Ok(())
}

/// Runs so many random sequences, each on a fresh set of `H`, other ones every time.
///
/// ```
/// store_conformance::snapshot_set_model_test::<store_conformance::MemorySnapshotSetHarness>(8);
/// ```
///
/// # Panics
/// A set answers otherwise than the reference; the message has the shortest sequence that was found.
pub fn snapshot_set_model_test<H: SnapshotSetHarness + 'static>(cases: u32) {
    let config = Config { cases, max_shrink_iters: 2_000, failure_persistence: None, ..Config::default() };
    if let Err(failure) = run(TestRunner::new(config), &|| Box::new(H::fresh())) {
        panic!("{failure}");
    }
}

/// Runs so many sequences, each on a set that `fresh` makes: the same ones every time for a seed.
///
/// # Errors
/// A set answers otherwise than the reference.
pub fn run_snapshot_set_model(fresh: &dyn Fn() -> Box<dyn SnapshotSetHarness>, cases: u32, seed: u64) -> Outcome {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    run(TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)), fresh)
}

fn run(mut runner: TestRunner, fresh: &dyn Fn() -> Box<dyn SnapshotSetHarness>) -> Outcome {
    let steps = proptest::collection::vec(any_step(), 1..=CALLS_MAX);
    let outcome = runner.run(&steps, |steps| compare(&*fresh(), &steps).map_err(TestCaseError::fail));
    outcome.map_err(|error| match error {
        TestError::Fail(reason, steps) => {
            let calls: String = (1..).zip(&steps).map(|(number, step)| format!("\n{number:4} {step:?}")).collect();
            Failure::new(format!("{reason}\nThe calls were:{calls}"))
        }
        TestError::Abort(reason) => Failure::new(format!("the sequences could not be run: {reason}")),
    })
}
