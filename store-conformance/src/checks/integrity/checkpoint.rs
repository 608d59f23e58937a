//! Checkpoints: what is remembered of a segment, for good.

use store_core::StoreError::{InvalidEntry, NotFound, TooLarge};
use store_core::integrity::NewCheckpoint;
use store_core::{Backend, Seq};

use super::{NOW, checkpoint, checkpoints, integrity, rollback, verify};
use crate::checks::fixture::{
    Works as _, append, count, create, create_first, note, records, refused, same, segment, session,
};
use crate::{Failure, Harness, Outcome};

/// Makes a checkpoint of this name.
fn named(store: &dyn Backend, name: &str) -> Result<store_core::Result<u64>, Failure> {
    let new = NewCheckpoint { reason: "before a risk".to_owned(), name: Some(name.to_owned()), now: NOW };
    Ok(integrity(store)?.checkpoint(session(1), segment(1), &new).map(|made| made.number))
}

fn numbers(store: &dyn Backend) -> Result<Vec<(u64, u64)>, Failure> {
    Ok(checkpoints(store)?.iter().map(|listed| (listed.checkpoint.number, listed.checkpoint.seq.0)).collect())
}

pub(crate) fn a_checkpoint_remembers_where_the_segment_ends(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 3)?;
    let made = checkpoint(store)?;
    let last = records(store)?.last().map(|last| (last.position.seq, last.position.crc32c));
    same("its entry and that entry's checksum", Some((made.seq, made.last_crc32c)), last)?;
    let head = verify(store)?.heads.first().map(|head| head.head);
    same("its head", Some(made.head), head)?;
    same("when it was made, and why", (made.created_at, made.reason.as_str()), (NOW, "a check"))
}

pub(crate) fn checkpoints_are_numbered_from_one_upward(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(checkpoint(store)?.number);
    }
    same("the numbers", made, vec![1, 2, 3])
}

pub(crate) fn checkpoints_are_listed_as_they_were_made(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let first = checkpoint(store)?;
    append(store, &[note("more")])?;
    named(store, "later \u{1F9F7}")?.works("making a checkpoint with a name")?;
    let listed = checkpoints(store)?;
    same("the first", listed.first().map(|listed| &listed.checkpoint), Some(&first))?;
    let second = listed.get(1).map(|listed| (listed.checkpoint.name.as_deref(), listed.checkpoint.seq, listed.void));
    same("the second", second, Some((Some("later \u{1F9F7}"), Seq(3), false)))?;
    same("how many there are", listed.len(), 2)
}

pub(crate) fn a_segment_has_no_checkpoints_at_first(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    same("its checkpoints", checkpoints(store)?, vec![])
}

pub(crate) fn a_checkpoint_disturbs_no_log(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let before = records(store)?;
    checkpoint(store)?;
    same("the segment", records(store)?, before)?;
    same("how many entries it counts", count(store)?, 2)
}

pub(crate) fn checkpoints_are_there_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 2)?;
    let made = checkpoint(harness.store())?;
    harness.reopen();
    let listed = checkpoints(harness.store())?;
    same("the checkpoints", listed.into_iter().map(|listed| listed.checkpoint).collect(), vec![made])
}

pub(crate) fn checkpoints_of_another_handle_are_seen(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 2)?;
    checkpoint(store)?;
    checkpoint(&*other)?;
    same(
        "the numbers that both see",
        (numbers(store)?, numbers(&*other)?),
        (vec![(1, 2), (2, 2)], vec![(1, 2), (2, 2)]),
    )
}

pub(crate) fn checkpoints_belong_to_their_segment(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    create(store, session(1), segment(2), &[])?;
    checkpoint(store)?;
    let others = integrity(store)?.checkpoints(session(1), segment(2)).works("listing checkpoints")?;
    same("the checkpoints of another segment", others, vec![])
}

pub(crate) fn checkpoints_go_with_their_session(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    checkpoint(store)?;
    store.delete_session(session(1)).works("deleting a session")?;
    create_first(store, 2)?;
    same("the checkpoints of a segment that was made anew", checkpoints(store)?, vec![])
}

pub(crate) fn a_checkpoint_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    let (integrity, new) = (integrity(store)?, NewCheckpoint::default());
    refused!("of an unknown segment", integrity.checkpoint(session(1), segment(3), &new), NotFound(_))?;
    refused!("as another session", integrity.checkpoint(session(2), segment(1), &new), NotFound(_))
}

pub(crate) fn the_checkpoints_of_an_unknown_segment_are_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    let integrity = integrity(store)?;
    refused!("of an unknown segment", integrity.checkpoints(session(1), segment(3)), NotFound(_))?;
    refused!("as another session", integrity.checkpoints(session(2), segment(1)), NotFound(_))
}

pub(crate) fn a_checkpoints_name_is_neither_empty_nor_a_number(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    named(store, "v2")?.works("a name with a letter")?;
    refused!("a number", named(store, "17")?, InvalidEntry { .. })?;
    refused!("nothing", named(store, "")?, InvalidEntry { .. })?;
    same("the checkpoints", checkpoints(store)?.len(), 1)
}

pub(crate) fn a_checkpoints_name_has_256_bytes_and_no_more(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    named(store, &"n".repeat(256))?.works("a name of 256 bytes")?;
    refused!("a name of 257 bytes", named(store, &"n".repeat(257))?, TooLarge { .. })
}

pub(crate) fn numbers_of_void_checkpoints_are_not_used_again(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    checkpoint(store)?;
    append(store, &[note("gone")])?;
    checkpoint(store)?;
    rollback(store, 1)?;
    same("the next number", checkpoint(store)?.number, 3)
}

pub(crate) fn a_checkpoint_ignores_leases(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 2)?;
    let watch = store.watch().ok_or_else(|| Failure::new("the store must offer Watch"))?;
    let _held = watch.lease(session(1), segment(1), "writer", NOW).works("taking a free lease")?;
    checkpoint(store)?;
    checkpoint(&*other).map(|_| ())
}
