//! Damage: found where it stands, never worked over, repaired without losing or renumbering what is valid.

mod beside;

use std::ops::ControlFlow;

use store_core::StoreError::{Busy, Corrupt};
use store_core::integrity::{EventKind, FindingKind, LOST_DOMAIN, Lost, Outcome as Ended, Repair, Scanned, salvage};
use store_core::{Backend, LogEntry, NewEntry, Record, Seq};

pub(crate) use self::beside::*;
use super::fixture::{
    Works as _, append, count, create_first, fork_of, holds, note, point, records, refused, same, segment, session,
    start_with, try_append, try_create,
};
use super::integrity::{checkpoint, checkpoints, dry, integrity, options, try_rollback, verify};
use crate::{Failure, Harness, Outcome};

/// Segment 1 of session 1 with five entries, each with a key, of which that at `seq` is damaged. Answers with what was there before.
fn damaged(harness: &mut dyn Harness, seq: u64) -> Result<Vec<Record>, Failure> {
    let store = harness.store();
    create_first(store, 1)?;
    for n in 2..=5 {
        append(store, &[note(&n.to_string()).with_key(n.to_string())])?;
    }
    let before = records(store)?;
    hit(harness, seq)?;
    Ok(before)
}

/// Damages an entry of segment 1 of session 1, and opens the store again: nobody remembers what it was.
fn hit(harness: &mut dyn Harness, seq: u64) -> Outcome {
    let hit = harness.damage(session(1), segment(1), Seq(seq));
    holds("the harness can damage the bytes of its store, or says in `not_offered` that it cannot", hit)?;
    harness.reopen();
    Ok(())
}

fn repair(store: &dyn Backend) -> Result<Repair, Failure> {
    integrity(store)?.repair(session(1), segment(1), &options()).works("repairing a damaged segment")
}

fn lost(from: u64, through: u64) -> Lost {
    Lost { from: Seq(from), through: Seq(through) }
}

fn says_lost(record: Option<&Record>) -> bool {
    record.is_some_and(|record| matches!(&record.entry, LogEntry::Extension(entry) if entry.domain == LOST_DOMAIN))
}

pub(crate) fn a_damaged_entry_is_told_where_it_stands(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let report = verify(harness.store())?;
    holds("a store with a damaged entry is not whole", !report.ok)?;
    let told: Vec<_> = report.damage.iter().map(|found| (found.kind, found.segment_id, found.seq)).collect();
    same("what is told", told, vec![(FindingKind::Checksum, Some(segment(1)), Some(Seq(3)))])?;
    same("the valid entries", report.entries, 4)?;
    same("the heads of segments that are whole", report.heads, vec![])
}

pub(crate) fn a_scan_goes_on_behind_damage(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let mut met = Vec::new();
    let visit = &mut |scanned: Scanned<'_>| {
        met.push(match scanned {
            Scanned::Entry(entry) => entry.position.seq.0,
            Scanned::Damaged(_) => 0,
        });
        ControlFlow::Continue(())
    };
    integrity(harness.store())?.scan(session(1), segment(1), visit).works("scanning a damaged segment")?;
    same("what is met, damage as 0", met, vec![1, 2, 0, 4, 5])
}

pub(crate) fn damage_is_never_read_over(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let read = harness.store().read_all(session(1), segment(1));
    refused!("reading everything", read, Corrupt(damage) if damage.segment == Some(segment(1)) && damage.seq == Some(Seq(3)))
}

pub(crate) fn nothing_is_appended_behind_a_damaged_end(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 5)?;
    let store = harness.store();
    refused!("an append", try_append(store, session(1), segment(1), &[note("on")]), Corrupt(_))
}

pub(crate) fn salvage_gives_every_valid_entry(harness: &mut dyn Harness) -> Outcome {
    let mut before = damaged(harness, 3)?;
    before.remove(2);
    let found = salvage(integrity(harness.store())?, session(1), segment(1)).works("salvaging")?;
    same("the entries", found.records, before)?;
    same("the damaged stretches", found.damaged.len(), 1)
}

pub(crate) fn a_damaged_segment_gets_no_checkpoint(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let answer = integrity(harness.store())?.checkpoint(
        session(1),
        segment(1),
        &store_core::integrity::NewCheckpoint::default(),
    );
    refused!("a checkpoint", answer, Corrupt(_))?;
    same("its checkpoints", checkpoints(harness.store())?, vec![])
}

pub(crate) fn damage_behind_a_checkpoint_is_rolled_back(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 2)?;
    checkpoint(harness.store())?;
    append(harness.store(), &[note("a"), note("b")])?;
    hit(harness, 3)?;
    let store = harness.store();
    let done = try_rollback(store, 1)?.works("rolling damage back")?;
    holds("what was read back is as it should be", done.verification.holds())?;
    same("how many entries are counted", count(store)?, 2)?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn damage_before_a_checkpoint_refuses_the_rollback(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 3)?;
    checkpoint(harness.store())?;
    append(harness.store(), &[note("behind")])?;
    hit(harness, 2)?;
    let store = harness.store();
    refused!("a rollback", try_rollback(store, 1)?, Corrupt(_))?;
    let events = integrity(store)?.events().works("reading the events")?;
    let ended: Vec<_> = events.into_iter().map(|event| (event.outcome, event.error_class)).collect();
    same("how it ended", ended, vec![(Ended::FatalError, Some("corrupt".to_owned()))])?;
    let rest = store.read_range(session(1), segment(1), Seq(2), 9).works("reading behind the damage")?;
    same("the entries behind the damage", rest.len(), 2)
}

pub(crate) fn a_repair_keeps_every_valid_entry_at_its_seq(harness: &mut dyn Harness) -> Outcome {
    let before = damaged(harness, 3)?;
    let store = harness.store();
    let done = repair(store)?;
    same("what was kept, and lost", (done.kept, done.lost), (4, vec![lost(3, 3)]))?;
    let shape = |records: &[Record]| -> Vec<(Seq, Option<String>, String)> {
        let others = records.iter().filter(|record| record.position.seq != Seq(3));
        others.map(|record| (record.position.seq, record.key.clone(), record.text.clone())).collect()
    };
    same("the valid entries", shape(&records(store)?), shape(&before))
}

pub(crate) fn a_repaired_segment_says_what_is_lost(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let store = harness.store();
    repair(store)?;
    let now = records(store)?;
    holds("an extension of the domain store.lost stands in place of the lost entry", says_lost(now.get(2)))
}

pub(crate) fn a_repaired_segment_verifies(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 4)?;
    let done = repair(harness.store())?;
    holds("what was read back is as it should be", done.verification.holds())?;
    for _ in 0..2 {
        let report = verify(harness.store())?;
        same("what is wrong with it", report.damage, vec![])?;
        let head = report.heads.first().map(|head| (head.seq, head.head));
        same("its head", head, Some((done.after.seq, done.after.head)))?;
        harness.reopen();
    }
    Ok(())
}

pub(crate) fn a_repair_of_a_lost_start_makes_one_that_says_so(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 1)?;
    let store = harness.store();
    repair(store)?;
    let first = records(store)?.into_iter().next().map(|record| record.entry);
    let Some(LogEntry::SegmentStart(start)) = first else {
        return Err(Failure::new(format!("the first entry must be a segment_start, not {first:?}")));
    };
    same("its session", start.session_id, session(1))?;
    holds("it says that the start is lost", start.meta.other.contains_key(LOST_DOMAIN))?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn the_seq_of_a_lost_last_entry_is_not_given_again(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 5)?;
    let store = harness.store();
    same("what is lost", repair(store)?.lost, vec![lost(5, 5)])?;
    let written = append(store, &[note("on")])?;
    same("the next seq", written.first().map(|position| position.seq), Some(Seq(6)))
}

pub(crate) fn a_repair_keeps_what_forks_continue(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 4)?;
    let start = start_with(fork_of(session(2), point(session(1), segment(1), 4)));
    try_create(store, session(2), segment(2), &[start]).works("forking")?;
    hit(harness, 4)?;
    let store = harness.store();
    repair(store)?;
    same("how many entries are counted", count(store)?, 4)?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn a_repair_makes_void_what_does_not_hold_any_more(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 2)?;
    checkpoint(harness.store())?;
    append(harness.store(), &[note("a"), note("b")])?;
    checkpoint(harness.store())?;
    hit(harness, 3)?;
    repair(harness.store())?;
    let void: Vec<bool> = checkpoints(harness.store())?.iter().map(|listed| listed.void).collect();
    same("which checkpoints are void", void, vec![false, true])
}

pub(crate) fn keys_of_kept_entries_stand_after_a_repair(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let store = harness.store();
    repair(store)?;
    let again: Vec<NewEntry> = [2, 4, 5].iter().map(|n| note(&n.to_string()).with_key(n.to_string())).collect();
    let stand = append(store, &again)?;
    same("where they stand", stand.iter().map(|position| position.seq.0).collect(), vec![2, 4, 5])?;
    let written = append(store, &[note("anew").with_key("3")])?;
    same("where the lost key is written", written.first().map(|position| position.seq), Some(Seq(6)))
}

pub(crate) fn a_repair_is_seen_by_another_handle(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let (store, other) = (harness.store(), harness.second_handle());
    refused!("reading before the repair", other.read_all(session(1), segment(1)), Corrupt(_))?;
    let before = other.changes(None).works("asking for changes")?;
    repair(store)?;
    same("what the other handle reads", records(&*other)?.len(), 5)?;
    let after = other.changes(Some(&before.cursor)).works("asking for changes")?;
    holds("the segment may have changed", after.segments.contains(&(session(1), segment(1))))
}

/// The last entry stands where it stood: nothing else tells that the ones before it are others.
pub(crate) fn a_repair_is_named_by_changes(harness: &mut dyn Harness) -> Outcome {
    let before = harness.store().changes(None).works("asking for changes")?;
    damaged(harness, 3)?;
    let behind = harness.store().changes(Some(&before.cursor)).works("asking for changes")?;
    holds("what was appended is no other than it was", behind.rewritten.is_empty())?;
    repair(harness.store())?;
    let at = [&before, &behind].map(|seen| harness.store().changes(Some(&seen.cursor)).works("asking for changes"));
    for after in at {
        let after = after?;
        holds("the segment may have changed", after.segments.contains(&(session(1), segment(1))))?;
        same("the segments whose entries may be others", after.rewritten, vec![(session(1), segment(1))])?;
    }
    harness.reopen();
    let after = harness.store().changes(Some(&behind.cursor)).works("asking for changes")?;
    same("the segments whose entries may be others", after.rewritten, vec![(session(1), segment(1))])
}

pub(crate) fn a_dry_repair_changes_nothing(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let store = harness.store();
    let before = verify(store)?;
    let would = integrity(store)?.repair(session(1), segment(1), &dry()).works("a dry repair")?;
    same("the state of the store", verify(store)?, before)?;
    same("the events", integrity(store)?.events().works("reading the events")?.len(), 0)?;
    let done = repair(store)?;
    same("what a dry run says", (would.kept, would.lost, would.after), (done.kept, done.lost, done.after))
}

pub(crate) fn a_repair_is_recorded(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let done = repair(harness.store())?;
    let events = integrity(harness.store())?.events().works("reading the events")?;
    let Some(EventKind::Repaired { migration_id, lost, after, .. }) = events.last().map(|event| &event.what) else {
        return Err(Failure::new(format!("the last event must be a repair, not {events:?}")));
    };
    same("its name", Some(*migration_id), done.migration_id)?;
    same("what is lost", lost, &done.lost)?;
    same("where the segment ends", after.map(|after| after.seq), Some(done.after.seq))?;
    holds("what was taken out is kept somewhere", done.quarantined.iter().any(|out| out.path.is_some()))
}

pub(crate) fn a_repair_of_a_leased_segment_is_refused(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, 3)?;
    let store = harness.store();
    let watch = store.watch().ok_or_else(|| Failure::new("the store must offer Watch"))?;
    let _held = watch.lease(session(1), segment(1), "writer", 1).works("taking a free lease")?;
    let answer = integrity(store)?.repair(session(1), segment(1), &options());
    refused!("a repair", answer, Busy { .. })?;
    holds("nothing was repaired", !verify(store)?.ok)
}

pub(crate) fn nothing_is_collected_beside_damage(harness: &mut dyn Harness) -> Outcome {
    let blob = harness.store().put_blob(b"who knows").works("putting a blob")?.reference().clone();
    damaged(harness, 3)?;
    let store = harness.store();
    refused!("a collection", integrity(store)?.collect(false), Corrupt(_))?;
    store.get_blob(&blob).works("reading a blob that the damaged entry may have referred to").map(drop)
}
