//! Which snapshot is given to write to.

use store_core::snapshot_set::{SHARDS_MAX, SnapshotError, SnapshotInfo, SnapshotOrdinal, SnapshotType};

use super::{
    KEEP, Outcome, create, diff, diff_to_append_to, listed, open, pending, publish, read, refused, reopen, same,
};
use crate::checks::fixture::Works as _;
use crate::snapshot_sets::SnapshotSetHarness;

pub(crate) fn a_new_set_is_empty(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    same("the snapshots of a new set", &listed(&*set)?, &vec![])
}

pub(crate) fn a_created_snapshot_is_in_the_set_with_empty_shards(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let created = create(&*set, SnapshotType::Diff, 3)?;
    let snapshots = set.list_snapshots().works("listing the snapshots")?;
    same("the snapshots after one was created", &snapshots, &vec![created])?;
    same("its number of shards", &created.shard_count, &3)?;
    for shard in 0..3 {
        same("the bytes of a new shard", &read(&*set, created.ordinal, shard)?, &vec![])?;
    }
    Ok(())
}

pub(crate) fn ordinals_begin_at_one_and_ascend(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinals = [diff(&*set)?.ordinal.0, pending(&*set)?.ordinal.0, diff(&*set)?.ordinal.0];
    same("the first ordinals", &ordinals, &[1, 2, 3])
}

pub(crate) fn ordinals_ascend_after_a_reopen(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    diff(&*set)?;
    let set = reopen(harness, set)?;
    same("the ordinal after a reopen", &diff(&*set)?.ordinal.0, &3)
}

pub(crate) fn a_discarded_ordinal_is_not_given_again(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let discarded = pending(&*set)?.ordinal;
    set.discard_pending_snapshot(discarded).works("discarding a pending snapshot")?;
    same("the ordinal after one that was discarded", &diff(&*set)?.ordinal.0, &(discarded.0 + 1))
}

pub(crate) fn a_completed_full_snapshot_cannot_be_created(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    refused(set.create_or_get_snapshot(SnapshotType::FullCompleted, 1, false), "creating a full snapshot", |error| {
        matches!(error, SnapshotError::NotCreatable { kind: SnapshotType::FullCompleted })
    })
}

pub(crate) fn a_snapshot_without_shards_is_refused(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    refused(set.create_or_get_snapshot(SnapshotType::Diff, 0, false), "creating a snapshot of no shards", |error| {
        matches!(error, SnapshotError::ShardCount { shard_count: 0 })
    })
}

pub(crate) fn a_snapshot_may_have_1024_shards_and_no_more(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let most = create(&*set, SnapshotType::Pending, SHARDS_MAX)?;
    same("the bytes of the last shard", &read(&*set, most.ordinal, SHARDS_MAX - 1)?, &vec![])?;
    let more = set.create_or_get_snapshot(SnapshotType::Pending, SHARDS_MAX + 1, false);
    refused(more, "creating a snapshot of 1025 shards", |error| {
        matches!(error, SnapshotError::ShardCount { shard_count: 1025 })
    })
}

pub(crate) fn a_refused_creation_changes_nothing(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    for (kind, shard_count) in [(SnapshotType::FullCompleted, 1), (SnapshotType::Diff, 0), (SnapshotType::Diff, 9999)] {
        let refusal = set.create_or_get_snapshot(kind, shard_count, false);
        refused(refusal, "a snapshot that cannot be", |_| true)?;
    }
    same("the snapshots after refused creations", &listed(&*set)?, &vec![])?;
    same("the ordinal after refused creations", &diff(&*set)?.ordinal, &SnapshotOrdinal(1))
}

pub(crate) fn the_last_diff_is_given_to_append_to(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let first = diff(&*set)?;
    same("the diff to append to", &diff_to_append_to(&*set)?, &first)?;
    same("the snapshots after that", &listed(&*set)?, &vec![(1, SnapshotType::Diff)])
}

pub(crate) fn a_diff_is_made_anew_unless_it_may_be_appended_to(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    same("the ordinal of a second diff", &diff(&*set)?.ordinal.0, &2)
}

pub(crate) fn a_diff_of_another_shard_count_is_not_appended_to(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    create(&*set, SnapshotType::Diff, 2)?;
    let expected = SnapshotInfo { ordinal: SnapshotOrdinal(2), kind: SnapshotType::Diff, shard_count: 1 };
    same("the diff to append to", &diff_to_append_to(&*set)?, &expected)
}

pub(crate) fn a_diff_before_another_diff_is_not_appended_to(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    create(&*set, SnapshotType::Diff, 2)?;
    same("the ordinal of the diff to append to", &diff_to_append_to(&*set)?.ordinal.0, &3)
}

pub(crate) fn a_diff_before_a_full_snapshot_is_not_appended_to(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    publish(&*set, KEEP)?;
    same("the ordinal of the diff to append to", &diff_to_append_to(&*set)?.ordinal.0, &3)
}

pub(crate) fn a_diff_before_a_pending_snapshot_is_not_appended_to(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    pending(&*set)?;
    same("the ordinal of the diff to append to", &diff_to_append_to(&*set)?.ordinal.0, &3)
}

pub(crate) fn a_pending_snapshot_is_always_made_anew(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    pending(&*set)?;
    let second = set.create_or_get_snapshot(SnapshotType::Pending, 1, true).works("creating a pending snapshot")?;
    same("the ordinal of a second pending snapshot", &second.ordinal.0, &2)
}

pub(crate) fn the_last_diff_is_given_after_a_reopen(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let first = diff(&*set)?;
    let set = reopen(harness, set)?;
    same("the diff to append to", &diff_to_append_to(&*set)?, &first)
}
