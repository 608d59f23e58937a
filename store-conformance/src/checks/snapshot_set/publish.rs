//! Publishing, discarding, and what is purged.

use store_core::snapshot_set::{PublishOptions, SnapshotError, SnapshotOrdinal, SnapshotType};

use super::{KEEP, Outcome, create, diff, listed, open, pending, publish, read, refused, reopen, same, write};
use crate::checks::fixture::Works as _;
use crate::snapshot_sets::SnapshotSetHarness;

const DIFF: SnapshotType = SnapshotType::Diff;
const FULL: SnapshotType = SnapshotType::FullCompleted;
const PENDING: SnapshotType = SnapshotType::Pending;

const PURGE_DIFFS: PublishOptions = PublishOptions { purge_obsolete_diff: true, purge_obsolete_pending: false };
const PURGE_PENDING: PublishOptions = PublishOptions { purge_obsolete_diff: false, purge_obsolete_pending: true };

pub(crate) fn a_published_snapshot_is_full_and_holds_what_was_written(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = create(&*set, PENDING, 2)?.ordinal;
    write(&*set, ordinal, 0, b"one")?;
    write(&*set, ordinal, 1, b"")?;
    let full = set.publish_completed_snapshot(ordinal, KEEP).works("publishing a finished snapshot")?;
    same("what was published", &(full.ordinal, full.kind, full.shard_count), &(ordinal, FULL, 2))?;
    same("the snapshots", &set.list_snapshots().works("listing the snapshots")?, &vec![full])?;
    same("the bytes of the first shard", &read(&*set, ordinal, 0)?, &b"one".to_vec())?;
    same("the bytes of the second shard", &read(&*set, ordinal, 1)?, &vec![])
}

pub(crate) fn a_publication_holds_after_a_reopen(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = publish(&*set, KEEP)?;
    let set = reopen(harness, set)?;
    same("the snapshots after a reopen", &listed(&*set)?, &vec![(ordinal.0, FULL)])?;
    same("the bytes after a reopen", &read(&*set, ordinal, 0)?, &format!("state {ordinal}").into_bytes())
}

pub(crate) fn an_unfinished_snapshot_is_not_published(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = create(&*set, PENDING, 4)?.ordinal;
    write(&*set, ordinal, 1, b"finished")?;
    drop(set.write_shard(ordinal, 2).works("opening a shard for writing")?);
    let _open = set.write_shard(ordinal, 3).works("opening a shard for writing")?;
    refused(
        set.publish_completed_snapshot(ordinal, KEEP),
        "publishing an unfinished snapshot",
        |error| matches!(error, SnapshotError::Unfinished { ordinal: of, shards } if *of == ordinal && *shards == [0, 2, 3]),
    )
}

pub(crate) fn a_snapshot_that_an_earlier_owner_left_is_not_published(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = pending(&*set)?.ordinal;
    write(&*set, ordinal, 0, b"finished")?;
    let set = reopen(harness, set)?;
    refused(
        set.publish_completed_snapshot(ordinal, KEEP),
        "publishing what an earlier owner left",
        |error| matches!(error, SnapshotError::Unfinished { shards, .. } if *shards == [0]),
    )
}

pub(crate) fn only_a_pending_snapshot_is_published(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let diff = diff(&*set)?.ordinal;
    refused(
        set.publish_completed_snapshot(diff, KEEP),
        "publishing a diff",
        |error| matches!(error, SnapshotError::NotPending { ordinal, kind: DIFF } if *ordinal == diff),
    )?;
    let full = publish(&*set, KEEP)?;
    refused(
        set.publish_completed_snapshot(full, KEEP),
        "publishing a snapshot twice",
        |error| matches!(error, SnapshotError::NotPending { ordinal, kind: FULL } if *ordinal == full),
    )?;
    refused(set.publish_completed_snapshot(SnapshotOrdinal(9), KEEP), "publishing an unknown snapshot", |error| {
        matches!(error, SnapshotError::UnknownSnapshot { ordinal: SnapshotOrdinal(9) })
    })
}

pub(crate) fn a_snapshot_before_a_full_one_is_not_published(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let early = pending(&*set)?.ordinal;
    write(&*set, early, 0, b"early")?;
    let newer = publish(&*set, KEEP)?;
    refused(
        set.publish_completed_snapshot(early, KEEP),
        "publishing a snapshot before a full one",
        |error| matches!(error, SnapshotError::Superseded { ordinal, by } if (*ordinal, *by) == (early, newer)),
    )
}

pub(crate) fn a_refused_publication_changes_nothing(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    pending(&*set)?;
    let ordinal = pending(&*set)?.ordinal;
    let refusal = set.publish_completed_snapshot(ordinal, PublishOptions::PURGE_ALL);
    refused(refusal, "publishing an unfinished snapshot", |_| true)?;
    same("the snapshots after that", &listed(&*set)?, &vec![(1, DIFF), (2, PENDING), (3, PENDING)])
}

pub(crate) fn the_newest_two_full_snapshots_are_kept(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    for _ in 0..4 {
        publish(&*set, KEEP)?;
    }
    same("the full snapshots", &listed(&*set)?, &vec![(3, FULL), (4, FULL)])?;
    let set = reopen(harness, set)?;
    same("the full snapshots after a reopen", &listed(&*set)?, &vec![(3, FULL), (4, FULL)])
}

pub(crate) fn obsolete_diffs_are_purged_when_that_is_asked(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    diff(&*set)?;
    publish(&*set, PURGE_DIFFS)?;
    same("the snapshots", &listed(&*set)?, &vec![(3, FULL)])
}

pub(crate) fn diffs_stay_unless_their_purge_is_asked(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    publish(&*set, PURGE_PENDING)?;
    same("the snapshots", &listed(&*set)?, &vec![(1, DIFF), (2, FULL)])
}

pub(crate) fn the_older_full_snapshot_keeps_its_diffs(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    publish(&*set, PURGE_DIFFS)?;
    diff(&*set)?;
    publish(&*set, PURGE_DIFFS)?;
    same("the snapshots after two publications", &listed(&*set)?, &vec![(2, FULL), (3, DIFF), (4, FULL)])?;
    diff(&*set)?;
    publish(&*set, PURGE_DIFFS)?;
    same("the snapshots after three", &listed(&*set)?, &vec![(4, FULL), (5, DIFF), (6, FULL)])
}

pub(crate) fn obsolete_pending_snapshots_are_purged_when_that_is_asked(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    pending(&*set)?;
    pending(&*set)?;
    publish(&*set, PURGE_PENDING)?;
    same("the snapshots", &listed(&*set)?, &vec![(3, FULL)])
}

pub(crate) fn pending_snapshots_stay_unless_their_purge_is_asked(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    pending(&*set)?;
    publish(&*set, PURGE_DIFFS)?;
    same("the snapshots", &listed(&*set)?, &vec![(1, PENDING), (2, FULL)])
}

pub(crate) fn a_newer_pending_snapshot_is_never_purged(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let first = pending(&*set)?.ordinal;
    pending(&*set)?;
    write(&*set, first, 0, b"whole")?;
    set.publish_completed_snapshot(first, PublishOptions::PURGE_ALL).works("publishing a finished snapshot")?;
    same("the snapshots", &listed(&*set)?, &vec![(1, FULL), (2, PENDING)])
}

pub(crate) fn a_pending_snapshot_can_be_discarded(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    let ordinal = pending(&*set)?.ordinal;
    set.discard_pending_snapshot(ordinal).works("discarding a pending snapshot")?;
    same("the snapshots", &listed(&*set)?, &vec![(1, DIFF)])?;
    let set = reopen(harness, set)?;
    same("the snapshots after a reopen", &listed(&*set)?, &vec![(1, DIFF)])
}

pub(crate) fn only_a_pending_snapshot_is_discarded(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let diff = diff(&*set)?.ordinal;
    refused(set.discard_pending_snapshot(diff), "discarding a diff", |error| {
        matches!(error, SnapshotError::NotPending { kind: DIFF, .. })
    })?;
    let full = publish(&*set, KEEP)?;
    refused(set.discard_pending_snapshot(full), "discarding a full snapshot", |error| {
        matches!(error, SnapshotError::NotPending { kind: FULL, .. })
    })?;
    refused(set.discard_pending_snapshot(SnapshotOrdinal(9)), "discarding an unknown snapshot", |error| {
        matches!(error, SnapshotError::UnknownSnapshot { ordinal: SnapshotOrdinal(9) })
    })
}
