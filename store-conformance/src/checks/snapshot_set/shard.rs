//! Writing and reading shards.

use std::io::{Read as _, Write as _};
use std::thread;

use store_core::snapshot_set::{SnapshotError, SnapshotOrdinal, SnapshotType};

use super::{KEEP, Outcome, create, diff, open, pending, publish, read, refused, reopen, same, write};
use crate::checks::fixture::Works as _;
use crate::snapshot_sets::SnapshotSetHarness;
use crate::{Failure, race};

pub(crate) fn what_is_written_to_a_shard_is_read_from_it(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = create(&*set, SnapshotType::Diff, 2)?.ordinal;
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    write(&*set, ordinal, 0, b"first")?;
    write(&*set, ordinal, 1, &bytes)?;
    let set = reopen(harness, set)?;
    same("the bytes of the first shard", &read(&*set, ordinal, 0)?, &b"first".to_vec())?;
    let length = set.read_shard(ordinal, 1).works("opening a shard for reading")?.size_bytes();
    same("the length of the second shard", &length, &100_000)?;
    if read(&*set, ordinal, 1)? == bytes { Ok(()) } else { Err(Failure::new("the second shard has other bytes")) }
}

pub(crate) fn shards_are_written_and_read_at_the_same_time(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = create(&*set, SnapshotType::Pending, 4)?.ordinal;
    let bytes = |shard: u32| format!("shard {shard} ").repeat(1000).into_bytes();
    let all = |work: &(dyn Fn(u32) -> Outcome + Sync)| -> Outcome {
        race::begin();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|shard| scope.spawn(move || work(shard))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err(Failure::new("the set panicked in a thread")))
            })
        })
    };
    all(&|shard| write(&*set, ordinal, shard, &bytes(shard)))?;
    set.publish_completed_snapshot(ordinal, KEEP).works("publishing what four threads have written")?;
    all(&|shard| same("the bytes of a shard", &read(&*set, ordinal, shard)?, &bytes(shard)))
}

pub(crate) fn a_diff_is_appended_to_behind_what_it_holds(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = diff(&*set)?.ordinal;
    write(&*set, ordinal, 0, b"one ")?;
    write(&*set, ordinal, 0, b"two ")?;
    let set = reopen(harness, set)?;
    write(&*set, ordinal, 0, b"three")?;
    same("the bytes of the diff", &read(&*set, ordinal, 0)?, &b"one two three".to_vec())
}

pub(crate) fn a_pending_shard_begins_empty(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = pending(&*set)?.ordinal;
    let mut abandoned = set.write_shard(ordinal, 0).works("opening a shard for writing")?;
    abandoned.write_all(b"abandoned").works("writing to a shard")?;
    drop(abandoned);
    write(&*set, ordinal, 0, b"whole")?;
    same("the bytes of the shard", &read(&*set, ordinal, 0)?, &b"whole".to_vec())
}

pub(crate) fn a_shard_is_read_while_it_is_written(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = diff(&*set)?.ordinal;
    let mut writer = set.write_shard(ordinal, 0).works("opening a shard for writing")?;
    writer.write_all(b"one").works("writing to a shard")?;
    same("the bytes so far", &read(&*set, ordinal, 0)?, &b"one".to_vec())?;
    writer.write_all(b" two").works("writing to a shard")?;
    writer.sync().works("syncing a shard")?;
    same("the bytes so far", &read(&*set, ordinal, 0)?, &b"one two".to_vec())
}

pub(crate) fn a_shard_has_one_writer_at_a_time(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = create(&*set, SnapshotType::Diff, 2)?.ordinal;
    let _first = set.write_shard(ordinal, 0).works("opening a shard for writing")?;
    let _other = set.write_shard(ordinal, 1).works("opening the other shard for writing")?;
    refused(
        set.write_shard(ordinal, 0),
        "a second writer of a shard",
        |error| matches!(error, SnapshotError::ShardBusy { ordinal: of, shard: 0 } if *of == ordinal),
    )
}

pub(crate) fn a_dropped_writer_gives_its_shard_up(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = diff(&*set)?.ordinal;
    drop(set.write_shard(ordinal, 0).works("opening a shard for writing")?);
    set.write_shard(ordinal, 0).works("opening a shard whose writer was dropped").map(drop)
}

pub(crate) fn a_finished_shard_takes_no_writer(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = pending(&*set)?.ordinal;
    write(&*set, ordinal, 0, b"whole")?;
    refused(
        set.write_shard(ordinal, 0),
        "a writer of a finished shard",
        |error| matches!(error, SnapshotError::ShardFinished { ordinal: of, shard: 0 } if *of == ordinal),
    )?;
    same("the bytes of the shard", &read(&*set, ordinal, 0)?, &b"whole".to_vec())
}

pub(crate) fn a_completed_full_snapshot_takes_no_writer(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = publish(&*set, KEEP)?;
    refused(set.write_shard(ordinal, 0), "a writer of a full snapshot", |error| {
        matches!(error, SnapshotError::NotWritable { kind: SnapshotType::FullCompleted, .. })
    })
}

pub(crate) fn a_diff_that_is_followed_takes_no_writer(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let first = diff(&*set)?.ordinal;
    let by = pending(&*set)?.ordinal;
    refused(
        set.write_shard(first, 0),
        "a writer of a diff before a pending snapshot",
        |error| matches!(error, SnapshotError::Sealed { ordinal, by: named } if (*ordinal, *named) == (first, by)),
    )
}

pub(crate) fn an_unknown_snapshot_is_neither_read_nor_written(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    diff(&*set)?;
    let unknown =
        |error: &SnapshotError| matches!(error, SnapshotError::UnknownSnapshot { ordinal: SnapshotOrdinal(7) });
    refused(set.read_shard(SnapshotOrdinal(7), 0), "reading an unknown snapshot", unknown)?;
    refused(set.write_shard(SnapshotOrdinal(7), 0), "writing an unknown snapshot", unknown)
}

pub(crate) fn an_unknown_shard_is_neither_read_nor_written(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let ordinal = create(&*set, SnapshotType::Diff, 2)?.ordinal;
    let unknown = |error: &SnapshotError| matches!(error, SnapshotError::UnknownShard { shard: 2, shard_count: 2, .. });
    refused(set.read_shard(ordinal, 2), "reading an unknown shard", unknown)?;
    refused(set.write_shard(ordinal, 2), "writing an unknown shard", unknown)
}

pub(crate) fn a_reader_goes_on_with_what_is_purged(harness: &dyn SnapshotSetHarness) -> Outcome {
    let set = open(harness)?;
    let first = publish(&*set, KEEP)?;
    let mut reader = set.read_shard(first, 0).works("opening a shard for reading")?;
    publish(&*set, KEEP)?;
    publish(&*set, KEEP)?;
    let mut text = String::new();
    reader.read_to_string(&mut text).works("reading on in a snapshot that was purged")?;
    same("what the reader gives", &text, &format!("state {first}"))
}
