//! The faults.

use std::io::Read as _;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use store_core::StoreError;
use store_core::snapshot_set::SnapshotError::{
    Damaged, NotCreatable, NotPending, NotWritable, Sealed, ShardBusy, ShardCount, ShardFinished, Store, Superseded,
    Unfinished, UnknownShard, UnknownSnapshot,
};
use store_core::snapshot_set::SnapshotType::{Diff, FullCompleted, Pending};
use store_core::snapshot_set::{
    PublishOptions, SHARDS_MAX, ShardReader, SnapshotDamage, SnapshotInfo, SnapshotOrdinal, SnapshotResult,
    SnapshotSet as _, SnapshotsToRestore,
};

use super::FaultySnapshotSet;
use super::set::{Rules, Set};
use super::shard::{Bound, Clinging, Given, Late, Nowhere, Short};

macro_rules! fault {
    ($name:literal, $call:ident: |$($argument:pat_param),+| $body:expr) => {
        FaultySnapshotSet { name: $name, rules: Rules { $call: Some(|$($argument),+| $body), ..Rules::KEPT } }
    };
}

fn bytes_of(mut reader: Box<dyn ShardReader>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read is as good as empty for a fault.
    let _ = reader.read_to_end(&mut bytes);
    bytes
}

/// The snapshot itself, if it is in the set.
fn info(at: &Set, ordinal: SnapshotOrdinal) -> SnapshotResult<SnapshotInfo> {
    let found = at.inner.list_snapshots()?.into_iter().find(|info| info.ordinal == ordinal);
    found.ok_or(UnknownSnapshot { ordinal })
}

/// The diff that is given although `by` is newer.
fn diff_before(at: &Set, by: Option<SnapshotInfo>, shard_count: u32) -> Option<SnapshotInfo> {
    let diff = at.last(Diff).filter(|diff| diff.shard_count == shard_count)?;
    by.filter(|by| by.ordinal > diff.ordinal).map(|_| diff)
}

/// The answer without diffs that stand before the newest full snapshot.
fn without_early_diffs(at: &Set, answer: SnapshotsToRestore) -> SnapshotsToRestore {
    let newest = at.last(FullCompleted).map_or(SnapshotOrdinal(0), |full| full.ordinal);
    let purged = at.noted(SnapshotOrdinal(0), 0).is_some();
    let diffs = answer.diffs.into_iter().filter(|diff| !purged || diff.ordinal > newest).collect();
    SnapshotsToRestore { full: answer.full, diffs }
}

/// Every faulty snapshot set, in the order of the contract.
pub const SNAPSHOT_SETS: &[FaultySnapshotSet] = &[
    fault!("an_empty_set_lists_a_placeholder", list: |at| {
        let mut snapshots = at.inner.list_snapshots()?;
        if snapshots.is_empty() {
            snapshots.push(SnapshotInfo { ordinal: SnapshotOrdinal(0), kind: Diff, shard_count: 1 });
        }
        Ok(snapshots)
    }),
    fault!("a_new_shard_holds_a_header", read: |at, ordinal, shard| {
        let reader = at.inner.read_shard(ordinal, shard)?;
        if reader.size_bytes() == 0 { Ok(Given::boxed(b"SNAP")) } else { Ok(reader) }
    }),
    fault!("a_diff_behind_a_pending_snapshot_skips_an_ordinal", create: |at, kind, shards, existing| {
        let last = at.inner.list_snapshots()?.last().map(|info| info.kind);
        if kind == Diff && !existing && last == Some(Pending) && at.last(FullCompleted).is_none() {
            at.burn()?;
        }
        at.inner.create_or_get_snapshot(kind, shards, existing)
    }),
    fault!("the_first_ordinal_after_a_reopen_is_skipped", create: |at, kind, shards, existing| {
        if at.reopened > 0 && at.created() == 0 && !existing {
            at.burn()?;
        }
        at.inner.create_or_get_snapshot(kind, shards, existing)
    }),
    fault!("a_discarded_snapshot_takes_another_ordinal_with_it", discard: |at, ordinal| {
        at.inner.discard_pending_snapshot(ordinal)?;
        at.burn()
    }),
    fault!("a_full_snapshot_is_created", create: |at, kind, shards, existing| {
        match at.inner.create_or_get_snapshot(kind, shards, existing) {
            Err(NotCreatable { .. }) => at.inner.create_or_get_snapshot(Pending, shards, existing),
            answer => answer,
        }
    }),
    fault!("no_shards_are_taken_for_one", create: |at, kind, shards, existing| {
        at.inner.create_or_get_snapshot(kind, shards.max(1), existing)
    }),
    fault!("too_many_shards_are_cut_to_the_limit", create: |at, kind, shards, existing| {
        at.inner.create_or_get_snapshot(kind, shards.min(SHARDS_MAX), existing)
    }),
    fault!("a_snapshot_has_1000_shards_at_most", create: |at, kind, shards, existing| {
        if shards > 1000 {
            return Err(ShardCount { shard_count: shards });
        }
        at.inner.create_or_get_snapshot(kind, shards, existing)
    }),
    fault!("a_refused_creation_uses_an_ordinal_up", create: |at, kind, shards, existing| {
        let answer = at.inner.create_or_get_snapshot(kind, shards, existing);
        if answer.is_err() {
            at.burn()?;
        }
        answer
    }),
    fault!("no_diff_is_given_to_append_to", create: |at, kind, shards, _| {
        at.inner.create_or_get_snapshot(kind, shards, false)
    }),
    fault!("the_first_diff_is_given_again_whatever_is_asked", create: |at, kind, shards, existing| {
        let is_first = at.inner.list_snapshots()?.len() == 1;
        at.inner.create_or_get_snapshot(kind, shards, existing || is_first)
    }),
    fault!("a_diff_of_any_shard_count_is_given", create: |at, kind, shards, existing| {
        let last = at.inner.list_snapshots()?.last().copied();
        match last.filter(|last| existing && kind == Diff && last.kind == Diff) {
            Some(last) => Ok(last),
            None => at.inner.create_or_get_snapshot(kind, shards, existing),
        }
    }),
    fault!("the_last_diff_of_the_shard_count_is_given", create: |at, kind, shards, existing| {
        let snapshots = at.inner.list_snapshots()?;
        let only_diffs = snapshots.iter().all(|info| info.kind == Diff);
        let same = snapshots.into_iter().rfind(|info| info.shard_count == shards);
        match same.filter(|_| existing && kind == Diff && only_diffs) {
            Some(diff) => Ok(diff),
            None => at.inner.create_or_get_snapshot(kind, shards, existing),
        }
    }),
    fault!("a_diff_is_given_although_a_full_snapshot_is_newer", create: |at, kind, shards, existing| {
        match diff_before(at, at.last(FullCompleted), shards).filter(|_| existing && kind == Diff) {
            Some(diff) => Ok(diff),
            None => at.inner.create_or_get_snapshot(kind, shards, existing),
        }
    }),
    fault!("a_diff_is_given_although_a_pending_snapshot_is_newer", create: |at, kind, shards, existing| {
        match diff_before(at, at.last(Pending), shards).filter(|_| existing && kind == Diff) {
            Some(diff) => Ok(diff),
            None => at.inner.create_or_get_snapshot(kind, shards, existing),
        }
    }),
    fault!("a_pending_snapshot_is_given_again", create: |at, kind, shards, existing| {
        match at.last(Pending).filter(|_| existing && kind == Pending) {
            Some(pending) => Ok(pending),
            None => at.inner.create_or_get_snapshot(kind, shards, existing),
        }
    }),
    fault!("no_diff_is_given_after_a_reopen", create: |at, kind, shards, existing| {
        at.inner.create_or_get_snapshot(kind, shards, existing && at.reopened == 0)
    }),
    fault!("a_shard_keeps_its_first_64_kib", write: |at, ordinal, shard| {
        Ok(Box::new(Short(at.inner.write_shard(ordinal, shard)?, 64 * 1024)))
    }),
    fault!("a_full_snapshot_gives_its_first_two_shards_only", read: |at, ordinal, shard| {
        let reader = at.inner.read_shard(ordinal, shard)?;
        let is_full = info(at, ordinal)?.kind == FullCompleted;
        if is_full && shard >= 2 { Ok(Given::boxed(b"")) } else { Ok(reader) }
    }),
    FaultySnapshotSet {
        name: "a_diffs_writer_begins_anew",
        rules: Rules {
            write: Some(|at, ordinal, shard| {
                let before = at.inner.read_shard(ordinal, shard)?.size_bytes();
                at.note(ordinal, shard, before);
                at.inner.write_shard(ordinal, shard)
            }),
            read: Some(|at, ordinal, shard| {
                let skipped = usize::try_from(at.noted(ordinal, shard).unwrap_or(0)).unwrap_or(0);
                let bytes = bytes_of(at.inner.read_shard(ordinal, shard)?);
                Ok(Given::boxed(bytes.get(skipped..).unwrap_or_default()))
            }),
            ..Rules::KEPT
        },
    },
    fault!("a_pending_shard_goes_on_where_it_was_left", write: |at, ordinal, shard| {
        let before = bytes_of(at.inner.read_shard(ordinal, shard)?);
        let mut writer = at.inner.write_shard(ordinal, shard)?;
        if info(at, ordinal)?.kind == Pending {
            writer.write_all(&before).map_err(StoreError::backend)?;
        }
        Ok(writer)
    }),
    fault!("a_shard_holds_what_was_synced_only", write: |at, ordinal, shard| {
        Ok(Box::new(Late(at.inner.write_shard(ordinal, shard)?, Vec::new())))
    }),
    fault!("a_shard_has_two_writers", write: |at, ordinal, shard| {
        match at.inner.write_shard(ordinal, shard) {
            Err(ShardBusy { .. }) => Ok(Box::new(Nowhere)),
            answer => answer,
        }
    }),
    fault!("a_diff_has_one_writer_for_all_its_shards", write: |at, ordinal, shard| {
        let of = info(at, ordinal)?;
        let is_busy = |other: u32| matches!(at.inner.write_shard(ordinal, other), Err(ShardBusy { .. }));
        if of.kind == Diff && (0..of.shard_count).any(is_busy) {
            return Err(ShardBusy { ordinal, shard });
        }
        at.inner.write_shard(ordinal, shard)
    }),
    fault!("a_dropped_writer_keeps_its_shard", write: |at, ordinal, shard| {
        Ok(Box::new(Clinging(ManuallyDrop::new(at.inner.write_shard(ordinal, shard)?))))
    }),
    fault!("a_finished_shard_takes_a_writer", write: |at, ordinal, shard| {
        match at.inner.write_shard(ordinal, shard) {
            Err(ShardFinished { .. }) => Ok(Box::new(Nowhere)),
            answer => answer,
        }
    }),
    fault!("a_full_snapshot_takes_a_writer", write: |at, ordinal, shard| {
        match at.inner.write_shard(ordinal, shard) {
            Err(NotWritable { .. }) => Ok(Box::new(Nowhere)),
            answer => answer,
        }
    }),
    fault!("a_followed_diff_takes_a_writer", write: |at, ordinal, shard| {
        match at.inner.write_shard(ordinal, shard) {
            Err(Sealed { .. }) => Ok(Box::new(Nowhere)),
            answer => answer,
        }
    }),
    fault!("an_unknown_snapshot_is_empty", read: |at, ordinal, shard| {
        match at.inner.read_shard(ordinal, shard) {
            Err(UnknownSnapshot { .. }) => Ok(Given::boxed(b"")),
            answer => answer,
        }
    }),
    fault!("an_unknown_shard_is_empty", read: |at, ordinal, shard| {
        match at.inner.read_shard(ordinal, shard) {
            Err(UnknownShard { .. }) => Ok(Given::boxed(b"")),
            answer => answer,
        }
    }),
    fault!("a_reader_ends_when_its_snapshot_is_purged", read: |at, ordinal, shard| {
        Ok(Box::new(Bound(at.inner.read_shard(ordinal, shard)?, Arc::downgrade(&at.inner), ordinal)))
    }),
    fault!("a_publication_answers_with_the_pending_snapshot", publish: |at, ordinal, options| {
        Ok(SnapshotInfo { kind: Pending, ..at.inner.publish_completed_snapshot(ordinal, options)? })
    }),
    fault!("a_publication_is_forgotten_by_a_reopen", list: |at| {
        let mut snapshots = at.inner.list_snapshots()?;
        for info in snapshots.iter_mut().filter(|info| at.reopened > 0 && info.kind == FullCompleted) {
            info.kind = Pending;
        }
        Ok(snapshots)
    }),
    fault!("an_unfinished_snapshot_is_published", publish: |at, ordinal, options| {
        match at.inner.publish_completed_snapshot(ordinal, options) {
            Err(Unfinished { .. }) => info(at, ordinal),
            answer => answer,
        }
    }),
    fault!("the_first_unfinished_shard_is_named_only", publish: |at, ordinal, options| {
        at.inner.publish_completed_snapshot(ordinal, options).map_err(|error| match error {
            Unfinished { ordinal, mut shards } => {
                shards.truncate(1);
                Unfinished { ordinal, shards }
            }
            other => other,
        })
    }),
    fault!("what_an_earlier_owner_left_is_published", publish: |at, ordinal, options| {
        match at.inner.publish_completed_snapshot(ordinal, options) {
            Err(Unfinished { .. }) if at.reopened > 0 => info(at, ordinal),
            answer => answer,
        }
    }),
    fault!("a_diff_is_published", publish: |at, ordinal, options| {
        match at.inner.publish_completed_snapshot(ordinal, options) {
            Err(NotPending { kind: Diff, .. }) => info(at, ordinal),
            answer => answer,
        }
    }),
    fault!("a_snapshot_is_published_twice", publish: |at, ordinal, options| {
        match at.inner.publish_completed_snapshot(ordinal, options) {
            Err(NotPending { kind: FullCompleted, .. }) => info(at, ordinal),
            answer => answer,
        }
    }),
    fault!("a_snapshot_before_a_full_one_is_published", publish: |at, ordinal, options| {
        match at.inner.publish_completed_snapshot(ordinal, options) {
            Err(Superseded { .. }) => info(at, ordinal),
            answer => answer,
        }
    }),
    fault!("a_refused_publication_purges", publish: |at, ordinal, options| {
        let answer = at.inner.publish_completed_snapshot(ordinal, options);
        if answer.is_err() && options.purge_obsolete_pending {
            let pending = at.inner.list_snapshots()?.into_iter().find(|info| info.kind == Pending);
            pending.map(|pending| at.inner.discard_pending_snapshot(pending.ordinal)).transpose()?;
        }
        answer
    }),
    fault!("one_full_snapshot_is_kept", list: |at| {
        let mut snapshots = at.inner.list_snapshots()?;
        let newest = at.last(FullCompleted);
        snapshots.retain(|info| info.kind != FullCompleted || Some(*info) == newest);
        Ok(snapshots)
    }),
    fault!("diffs_are_not_purged", publish: |at, ordinal, options| {
        at.inner.publish_completed_snapshot(ordinal, PublishOptions { purge_obsolete_diff: false, ..options })
    }),
    fault!("diffs_are_purged_unasked", publish: |at, ordinal, options| {
        at.inner.publish_completed_snapshot(ordinal, PublishOptions { purge_obsolete_diff: true, ..options })
    }),
    FaultySnapshotSet {
        name: "diffs_before_the_newest_full_snapshot_are_purged",
        rules: Rules {
            publish: Some(|at, ordinal, options| {
                if options.purge_obsolete_diff {
                    at.note(SnapshotOrdinal(0), 0, 1);
                }
                at.inner.publish_completed_snapshot(ordinal, options)
            }),
            list: Some(|at| {
                let newest = at.last(FullCompleted);
                let purged = at.noted(SnapshotOrdinal(0), 0).is_some();
                let mut snapshots = at.inner.list_snapshots()?;
                snapshots.retain(|info| {
                    !purged || info.kind != Diff || newest.is_none_or(|full| info.ordinal > full.ordinal)
                });
                Ok(snapshots)
            }),
            restore_before: Some(|at, ordinal| {
                Ok(without_early_diffs(at, at.inner.get_snapshots_to_restore_before(ordinal)?))
            }),
            ..Rules::KEPT
        },
    },
    fault!("pending_snapshots_are_not_purged", publish: |at, ordinal, options| {
        at.inner.publish_completed_snapshot(ordinal, PublishOptions { purge_obsolete_pending: false, ..options })
    }),
    fault!("pending_snapshots_are_purged_unasked", publish: |at, ordinal, options| {
        at.inner.publish_completed_snapshot(ordinal, PublishOptions { purge_obsolete_pending: true, ..options })
    }),
    fault!("every_pending_snapshot_is_purged", publish: |at, ordinal, options| {
        let full = at.inner.publish_completed_snapshot(ordinal, options)?;
        let pending = at.last(Pending).filter(|_| options.purge_obsolete_pending);
        pending.map(|pending| at.inner.discard_pending_snapshot(pending.ordinal)).transpose()?;
        Ok(full)
    }),
    fault!("without_a_full_snapshot_nothing_is_restored", restore: |at| {
        let answer = at.inner.get_snapshots_to_restore()?;
        Ok(if answer.full.is_none() { SnapshotsToRestore::default() } else { answer })
    }),
    fault!("diffs_before_the_full_snapshot_are_restored", restore: |at| {
        let diffs = at.inner.list_snapshots()?.into_iter().filter(|info| info.kind == Diff).collect();
        Ok(SnapshotsToRestore { diffs, ..at.inner.get_snapshots_to_restore()? })
    }),
    fault!("diffs_are_restored_in_falling_order", restore: |at| {
        let mut answer = at.inner.get_snapshots_to_restore()?;
        answer.diffs.reverse();
        Ok(answer)
    }),
    fault!("a_pending_snapshot_is_restored", restore: |at| {
        let mut answer = at.inner.get_snapshots_to_restore()?;
        answer.full = at.last(Pending).filter(|pending| answer.full.is_some_and(|full| pending.ordinal > full.ordinal)).or(answer.full);
        Ok(answer)
    }),
    fault!("the_newest_full_snapshot_is_restored_before_itself", restore_before: |at, ordinal| {
        at.inner.get_snapshots_to_restore_before(SnapshotOrdinal(ordinal.0 + 1))
    }),
    fault!("before_a_full_snapshot_only_earlier_diffs_are_restored", restore_before: |at, ordinal| {
        let mut answer = at.inner.get_snapshots_to_restore_before(ordinal)?;
        answer.diffs.retain(|diff| diff.ordinal < ordinal);
        Ok(answer)
    }),
    fault!("after_a_reopen_the_older_full_snapshot_is_restored", restore: |at| {
        match at.last(FullCompleted).filter(|_| at.reopened > 0) {
            Some(newest) => at.inner.get_snapshots_to_restore_before(newest.ordinal),
            None => at.inner.get_snapshots_to_restore(),
        }
    }),
    fault!("what_was_purged_is_not_missed", restore_before: |at, ordinal| {
        match at.inner.get_snapshots_to_restore_before(ordinal) {
            Err(Damaged(SnapshotDamage::FullSnapshotLost { .. })) => Ok(SnapshotsToRestore::default()),
            answer => answer,
        }
    }),
    fault!("a_discarded_snapshot_stays", discard: |at, ordinal| {
        match info(at, ordinal)?.kind {
            Pending => Ok(()),
            _ => at.inner.discard_pending_snapshot(ordinal),
        }
    }),
    fault!("discarding_a_diff_does_nothing", discard: |at, ordinal| {
        match at.inner.discard_pending_snapshot(ordinal) {
            Err(NotPending { kind: Diff, .. }) => Ok(()),
            answer => answer,
        }
    }),
    fault!("a_set_has_two_owners", open: |harness| {
        match harness.open_kept() {
            Err(Store(StoreError::Locked { .. })) => Ok(Box::new(harness.open_elsewhere())),
            answer => Ok(Box::new(answer?)),
        }
    }),
    fault!("a_set_that_was_never_written_stays_owned", close: |at| {
        if at.created() == 0 && at.reopened == 0 {
            std::mem::forget(Arc::clone(&at.inner));
        }
    }),
    fault!("a_set_is_free_beside_its_writers", open: |harness| {
        match harness.open_kept() {
            Err(Store(StoreError::Locked { .. })) if harness.is_closed() => Ok(Box::new(harness.open_elsewhere())),
            answer => Ok(Box::new(answer?)),
        }
    }),
    fault!("a_purge_is_said_to_be_damage", damage: |at| {
        let purged = at.inner.list_snapshots()?.first().is_some_and(|first| first.ordinal > SnapshotOrdinal(1));
        Ok(if purged { vec![SnapshotDamage::FullSnapshotLost { ordinal: SnapshotOrdinal(1) }] } else { Vec::new() })
    }),
];
