//! What a state is restored from, and who owns the set.

use store_core::StoreError;
use store_core::snapshot_set::{PublishOptions, SnapshotDamage, SnapshotError, SnapshotOrdinal};

use super::{KEEP, Outcome, diff, open, pending, publish, refused, reopen, same, to_restore, to_restore_before, write};
use crate::checks::fixture::Works as _;
use crate::snapshot_sets::SnapshotSetHarness;

pub(crate) fn without_a_full_snapshot_all_diffs_are_restored(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    same("what a new set restores", &to_restore(&*set)?, &(None, vec![]))?;
    diff(&*set)?;
    diff(&*set)?;
    same("what is restored", &to_restore(&*set)?, &(None, vec![1, 2]))
}

pub(crate) fn the_newest_full_snapshot_and_the_diffs_behind_it_are_restored(
    harness: &dyn SnapshotSetHarness,
) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    publish(&*set, KEEP)?;
    diff(&*set)?;
    publish(&*set, KEEP)?;
    diff(&*set)?;
    diff(&*set)?;
    same("what is restored", &to_restore(&*set)?, &(Some(4), vec![5, 6]))
}

pub(crate) fn a_pending_snapshot_is_not_restored(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    publish(&*set, KEEP)?;
    let ordinal = pending(&*set)?.ordinal;
    write(&*set, ordinal, 0, b"whole")?;
    diff(&*set)?;
    same("what is restored", &to_restore(&*set)?, &(Some(1), vec![3]))
}

pub(crate) fn the_older_full_snapshot_is_restored_with_every_diff_behind_it(
    harness: &dyn SnapshotSetHarness,
) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    publish(&*set, PublishOptions::PURGE_ALL)?;
    diff(&*set)?;
    let newest = publish(&*set, PublishOptions::PURGE_ALL)?;
    diff(&*set)?;
    same("what is restored before the newest", &to_restore_before(&*set, newest)?, &(Some(2), vec![3, 5]))?;
    let behind = SnapshotOrdinal(newest.0 + 1);
    same("what is restored before the diff behind it", &to_restore_before(&*set, behind)?, &(Some(4), vec![5]))
}

pub(crate) fn what_is_restored_is_the_same_after_a_reopen(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    publish(&*set, PublishOptions::PURGE_ALL)?;
    diff(&*set)?;
    let newest = publish(&*set, PublishOptions::PURGE_ALL)?;
    diff(&*set)?;
    let set = reopen(harness, set)?;
    same("what is restored", &to_restore(&*set)?, &(Some(4), vec![5]))?;
    same("what is restored before the newest", &to_restore_before(&*set, newest)?, &(Some(2), vec![3, 5]))
}

pub(crate) fn before_the_only_full_snapshot_nothing_is_restored_once_diffs_were_purged(
    harness: &dyn SnapshotSetHarness,
) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    let kept = publish(&*set, KEEP)?;
    same("what is restored before it", &to_restore_before(&*set, kept)?, &(None, vec![1]))?;
    let set = reopen(harness, set)?;
    publish(&*set, KEEP)?;
    let purged = publish(&*set, PublishOptions::PURGE_ALL)?;
    diff(&*set)?;
    let set = reopen(harness, set)?;
    same("what is restored before the newest", &to_restore_before(&*set, purged)?, &(Some(3), vec![5]))?;
    let older = SnapshotOrdinal(3);
    refused(
        set.get_snapshots_to_restore_before(older),
        "restoring without the diffs that were purged",
        |error| matches!(error, SnapshotError::Damaged(SnapshotDamage::FullSnapshotLost { ordinal }) if *ordinal == older),
    )
}

pub(crate) fn a_set_has_one_owner_at_a_time(harness: &dyn SnapshotSetHarness) -> Outcome {
    let _owner = open(harness)?;
    refused(harness.open(), "a second owner", |error| matches!(error, SnapshotError::Store(StoreError::Locked { .. })))
}

pub(crate) fn a_set_is_free_when_its_owner_is_gone(harness: &dyn SnapshotSetHarness) -> Outcome {
    drop(open(harness)?);
    open(harness).map(drop)
}

pub(crate) fn a_writer_keeps_the_set_owned(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = diff(&*set)?.ordinal;
    let writer = set.write_shard(ordinal, 0).works("opening a shard for writing")?;
    drop(set);
    refused(harness.open(), "an owner beside a writer", |error| {
        matches!(error, SnapshotError::Store(StoreError::Locked { .. }))
    })?;
    drop(writer);
    open(harness).map(drop)
}

pub(crate) fn a_whole_set_has_no_damage(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    for _ in 0..3 {
        diff(&*set)?;
        publish(&*set, PublishOptions::PURGE_ALL)?;
    }
    pending(&*set)?;
    same("the damage of a set that nobody touched", &set.damage().works("asking for damage")?, &vec![])
}
