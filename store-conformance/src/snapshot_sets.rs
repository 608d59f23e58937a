//! The suite of snapshot sets: what an implementation gives to be checked, and the one list of its checks.
//!
//! Apart from the suite of stores, because a set is no part of a store: who keeps a ledger in one may keep no conversation.

mod model;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use store_core::snapshot_set::{MemorySnapshotMedium, MemorySnapshotSet, SnapshotResult, SnapshotSet};

pub use self::model::{run_snapshot_set_model, snapshot_set_model_test};
use crate::checks::snapshot_set;
use crate::harness::words_of;
use crate::{Failure, Outcome};

/// One empty snapshot set, and the way to it.
pub trait SnapshotSetHarness: Send + Sync {
    /// A medium with an empty set that shares nothing with any other.
    fn fresh() -> Self
    where
        Self: Sized;

    /// Opens the set on the medium, as another process would. Dropping what is given back closes it.
    ///
    /// # Errors
    /// Those of the implementation.
    fn open(&self) -> SnapshotResult<Box<dyn SnapshotSet>>;
}

/// One check of the suite of snapshot sets.
#[derive(Clone, Copy)]
pub struct SnapshotSetCheck {
    /// What it holds, as a statement in snake_case.
    pub name: &'static str,
    run: fn(&dyn SnapshotSetHarness) -> Outcome,
}

impl fmt::Debug for SnapshotSetCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl SnapshotSetCheck {
    /// Runs the check on a fresh set. A set that panics has failed it.
    ///
    /// # Errors
    /// What the set did instead of what the contract says.
    pub fn run(&self, harness: &dyn SnapshotSetHarness) -> Outcome {
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(harness)));
        ran.unwrap_or_else(|panic| Err(Failure::new(format!("the set panicked: {}", words_of(&*panic)))))
    }
}

/// Hands the one list of checks of snapshot sets to a macro, as [`for_each_check!`](crate::for_each_check) does.
#[macro_export]
macro_rules! for_each_snapshot_set_check {
    ([$($callback:tt)+] [$($arguments:tt)*]) => {
        $($callback)+! {
            [$($arguments)*]
            snapshot_set {
                a_new_set_is_empty,
                a_created_snapshot_is_in_the_set_with_empty_shards,
                ordinals_begin_at_one_and_ascend,
                ordinals_ascend_after_a_reopen,
                a_discarded_ordinal_is_not_given_again,
                a_completed_full_snapshot_cannot_be_created,
                a_snapshot_without_shards_is_refused,
                a_snapshot_may_have_1024_shards_and_no_more,
                a_refused_creation_changes_nothing,
                the_last_diff_is_given_to_append_to,
                a_diff_is_made_anew_unless_it_may_be_appended_to,
                a_diff_of_another_shard_count_is_not_appended_to,
                a_diff_before_another_diff_is_not_appended_to,
                a_diff_before_a_full_snapshot_is_not_appended_to,
                a_diff_before_a_pending_snapshot_is_not_appended_to,
                a_pending_snapshot_is_always_made_anew,
                the_last_diff_is_given_after_a_reopen,
                what_is_written_to_a_shard_is_read_from_it,
                shards_are_written_and_read_at_the_same_time,
                a_diff_is_appended_to_behind_what_it_holds,
                a_pending_shard_begins_empty,
                a_shard_is_read_while_it_is_written,
                a_shard_has_one_writer_at_a_time,
                a_dropped_writer_gives_its_shard_up,
                a_finished_shard_takes_no_writer,
                a_completed_full_snapshot_takes_no_writer,
                a_diff_that_is_followed_takes_no_writer,
                an_unknown_snapshot_is_neither_read_nor_written,
                an_unknown_shard_is_neither_read_nor_written,
                a_published_snapshot_is_full_and_holds_what_was_written,
                a_publication_holds_after_a_reopen,
                an_unfinished_snapshot_is_not_published,
                a_snapshot_that_an_earlier_owner_left_is_not_published,
                only_a_pending_snapshot_is_published,
                a_snapshot_before_a_full_one_is_not_published,
                a_refused_publication_changes_nothing,
                the_newest_two_full_snapshots_are_kept,
                obsolete_diffs_are_purged_when_that_is_asked,
                diffs_stay_unless_their_purge_is_asked,
                the_older_full_snapshot_keeps_its_diffs,
                obsolete_pending_snapshots_are_purged_when_that_is_asked,
                pending_snapshots_stay_unless_their_purge_is_asked,
                a_newer_pending_snapshot_is_never_purged,
                without_a_full_snapshot_all_diffs_are_restored,
                the_newest_full_snapshot_and_the_diffs_behind_it_are_restored,
                a_pending_snapshot_is_not_restored,
                the_older_full_snapshot_is_restored_with_every_diff_behind_it,
                what_is_restored_is_the_same_after_a_reopen,
                before_the_only_full_snapshot_nothing_is_restored_once_diffs_were_purged,
                a_pending_snapshot_can_be_discarded,
                only_a_pending_snapshot_is_discarded,
                a_set_has_one_owner_at_a_time,
                a_set_is_free_when_its_owner_is_gone,
                a_writer_keeps_the_set_owned,
                a_reader_goes_on_with_what_is_purged,
                a_whole_set_has_no_damage,
            }
        }
    };
}

/// Makes a `#[test]` of every check of snapshot sets for one implementation: `snapshot_set_conformance_tests!(MyHarness);`.
#[macro_export]
macro_rules! snapshot_set_conformance_tests {
    ($harness:ty) => {
        type SnapshotSetConformanceHarness = $harness;
        $crate::for_each_snapshot_set_check!([$crate::__snapshot_set_conformance_tests] []);
    };
}

/// The callback of [`snapshot_set_conformance_tests!`]; of no use by itself.
#[macro_export]
#[doc(hidden)]
macro_rules! __snapshot_set_conformance_tests {
    ([] $($group:ident { $($name:ident),+ $(,)? })+) => {$(
        mod $group {$(
            #[test]
            fn $name() {
                $crate::assert_snapshot_set_conforms::<super::SnapshotSetConformanceHarness>(stringify!($name));
            }
        )+}
    )+};
}

macro_rules! list_snapshot_set_checks {
    ([] $($group:ident { $($name:ident),+ $(,)? })+) => {
        /// Every check of snapshot sets, in the order of the contract.
        pub const SNAPSHOT_SET_CHECKS: &[SnapshotSetCheck] = &[$($(
            SnapshotSetCheck { name: stringify!($name), run: $group::$name },
        )+)+];
    };
}

for_each_snapshot_set_check!([list_snapshot_set_checks][]);

/// Runs one check on a fresh set of `H`; what
/// [`snapshot_set_conformance_tests!`](crate::snapshot_set_conformance_tests) calls.
///
/// # Panics
/// The check fails, or the list has no such check.
pub fn assert_snapshot_set_conforms<H: SnapshotSetHarness>(name: &str) {
    let check = SNAPSHOT_SET_CHECKS.iter().find(|check| check.name == name);
    let Some(check) = check else { panic!("the list has no check {name}") };
    if let Err(failure) = check.run(&H::fresh()) {
        panic!("snapshot_set::{name}: {failure}");
    }
}

/// The reference: a set in memory.
#[derive(Debug, Default)]
pub struct MemorySnapshotSetHarness(MemorySnapshotMedium);

impl SnapshotSetHarness for MemorySnapshotSetHarness {
    fn fresh() -> Self {
        Self::default()
    }

    fn open(&self) -> SnapshotResult<Box<dyn SnapshotSet>> {
        Ok(Box::new(MemorySnapshotSet::open(&self.0)?))
    }
}
