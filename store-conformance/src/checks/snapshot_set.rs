//! Sets of snapshots.

mod create;
mod publish;
mod restore;
mod shard;

use std::io::Write as _;

use store_core::snapshot_set::{
    PublishOptions, SnapshotError, SnapshotInfo, SnapshotOrdinal, SnapshotSet, SnapshotType,
};

pub(crate) use self::create::*;
pub(crate) use self::publish::*;
pub(crate) use self::restore::*;
pub(crate) use self::shard::*;
use super::fixture::{Works, same};
use crate::snapshot_sets::SnapshotSetHarness;
use crate::{Failure, Outcome};

const KEEP: PublishOptions = PublishOptions { purge_obsolete_diff: false, purge_obsolete_pending: false };

type Set = Box<dyn SnapshotSet>;

fn open(harness: &dyn SnapshotSetHarness) -> Result<Set, Failure> {
    harness.open().works("opening a set that nobody owns")
}

/// Closes the set and opens it again.
fn reopen(harness: &dyn SnapshotSetHarness, set: Set) -> Result<Set, Failure> {
    drop(set);
    open(harness)
}

fn create(set: &dyn SnapshotSet, kind: SnapshotType, shard_count: u32) -> Result<SnapshotInfo, Failure> {
    set.create_or_get_snapshot(kind, shard_count, false).works("creating a snapshot")
}

/// A new diff of one shard.
fn diff(set: &dyn SnapshotSet) -> Result<SnapshotInfo, Failure> {
    create(set, SnapshotType::Diff, 1)
}

/// A new pending snapshot of one shard.
fn pending(set: &dyn SnapshotSet) -> Result<SnapshotInfo, Failure> {
    create(set, SnapshotType::Pending, 1)
}

/// Asks for a diff of one shard to append to.
fn diff_to_append_to(set: &dyn SnapshotSet) -> Result<SnapshotInfo, Failure> {
    set.create_or_get_snapshot(SnapshotType::Diff, 1, true).works("asking for a diff to append to")
}

/// Writes these bytes to a shard and finishes it.
fn write(set: &dyn SnapshotSet, ordinal: SnapshotOrdinal, shard: u32, bytes: &[u8]) -> Outcome {
    let mut writer = set.write_shard(ordinal, shard).works("opening a shard for writing")?;
    writer.write_all(bytes).works("writing to a shard")?;
    writer.finish().works("finishing a shard")
}

fn read(set: &dyn SnapshotSet, ordinal: SnapshotOrdinal, shard: u32) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut reader = set.read_shard(ordinal, shard).works("opening a shard for reading")?;
    reader.read_to_end(&mut bytes).works("reading a shard")?;
    Ok(bytes)
}

/// Creates, writes and publishes a full snapshot of one shard.
fn publish(set: &dyn SnapshotSet, options: PublishOptions) -> Result<SnapshotOrdinal, Failure> {
    let SnapshotInfo { ordinal, .. } = pending(set)?;
    write(set, ordinal, 0, format!("state {ordinal}").as_bytes())?;
    set.publish_completed_snapshot(ordinal, options).works("publishing a finished snapshot")?;
    Ok(ordinal)
}

/// The ordinals and types of all snapshots.
fn listed(set: &dyn SnapshotSet) -> Result<Vec<(u64, SnapshotType)>, Failure> {
    let snapshots = set.list_snapshots().works("listing the snapshots")?;
    Ok(snapshots.into_iter().map(|info| (info.ordinal.0, info.kind)).collect())
}

/// The ordinals of what a state is restored from: the full snapshot's, and the diffs'.
type ToRestore = (Option<u64>, Vec<u64>);

fn to_restore(set: &dyn SnapshotSet) -> Result<ToRestore, Failure> {
    let found = set.get_snapshots_to_restore().works("asking what to restore")?;
    Ok((found.full.map(|full| full.ordinal.0), found.diffs.iter().map(|diff| diff.ordinal.0).collect()))
}

fn to_restore_before(set: &dyn SnapshotSet, ordinal: SnapshotOrdinal) -> Result<ToRestore, Failure> {
    let found = set.get_snapshots_to_restore_before(ordinal).works("asking what to restore before a full snapshot")?;
    Ok((found.full.map(|full| full.ordinal.0), found.diffs.iter().map(|diff| diff.ordinal.0).collect()))
}

/// The call is refused with an error of which `is` holds.
fn refused<T>(result: Result<T, SnapshotError>, what: &str, is: impl Fn(&SnapshotError) -> bool) -> Outcome {
    match result {
        Err(error) if is(&error) => Ok(()),
        Err(error) => Err(Failure::new(format!("{what} must be refused otherwise than with {error:?}"))),
        Ok(_) => Err(Failure::new(format!("{what} must be refused, and was done"))),
    }
}
