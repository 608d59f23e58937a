//! Rolling a segment back: the part that holds the checkpoint's entry is written anew up to it, the parts behind it go.

use std::ops::ControlFlow;

use store_core::codec::{Tail, decode_line, decode_tail};
use store_core::integrity::{
    Checkpoint, EndState, EventKind, ListedCheckpoint, MaintenanceOptions, Measured, Quarantined, Rollback, Scanned,
    Verification, check_head, maintained, measure, verification,
};
use store_core::{MigrationId, Missing, Result, SegmentId, SessionId, StoreError};

use super::maintain::{HeldLog, end_of};
use crate::record_log::{NewParts, Replacing, Writers};
use crate::store::FsStore;

/// How much is copied at once.
const COPY_BYTES: u64 = 1024 * 1024;

/// Where a log is cut.
struct Cut {
    /// The part that holds the last entry that is left, where in it that entry starts, and how many bytes it takes.
    part: u32,
    offset: u64,
    bytes: u64,
    /// How many entries stand behind it.
    removed: u64,
    before: EndState,
}

impl Cut {
    const fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

impl FsStore {
    pub(super) fn roll_back(
        &self,
        session: SessionId,
        segment: SegmentId,
        number: u64,
        options: &MaintenanceOptions,
    ) -> Result<Rollback> {
        self.check_maintainable(options.dry_run)?;
        let before = Some(self.end_state(session, segment)?);
        let migration_id = MigrationId::mint(options.now);
        let intended = |before, after, verification, quarantined| EventKind::RolledBack {
            migration_id,
            session,
            segment,
            checkpoint: number,
            before,
            after,
            verification,
            quarantined,
        };
        maintained(
            options,
            intended(before, None, None, Vec::new()),
            |event| self.events.append(event),
            || {
                let done = self.rolled_back((session, segment), number, migration_id, options.dry_run)?;
                let after = Some(EndState { seq: done.after.seq, head: Some(done.after.head) });
                let what = intended(Some(done.before), after, Some(done.verification), done.quarantined.clone());
                Ok((done, Some(what)))
            },
        )
    }

    fn rolled_back(
        &self,
        (session, segment): (SessionId, SegmentId),
        number: u64,
        migration_id: MigrationId,
        dry_run: bool,
    ) -> Result<Rollback> {
        let held = self.hold_session(session, segment, dry_run)?;
        let listed = held.checkpoints()?;
        let checkpoint = ListedCheckpoint::find(&listed, number)
            .ok_or(StoreError::NotFound(Missing::Checkpoint(segment, number)))?;
        let lease = held.hold_lease()?;
        let beyond =
            self.continued_at(segment)?.into_iter().filter(|(_, seq)| seq.is_none_or(|seq| seq > checkpoint.seq));
        let by: Vec<SegmentId> = beyond.map(|(id, _)| id).collect();
        if !by.is_empty() {
            return Err(StoreError::Referenced { by });
        }
        let log = held.hold_log(lease)?;
        let measured = measure(segment, Some(checkpoint.seq), |visit| log.scan(visit))?;
        check_head(segment, checkpoint, measured.chain)?;
        log.check_kinds()?;
        let cut = find_cut(&log, segment, checkpoint)?;
        let mut quarantined = behind(&log, &cut)?;
        let void_after = match ListedCheckpoint::void_behind(&listed, checkpoint.seq) {
            Some(store_core::integrity::CheckpointLine::Void { void_after }) => Some(void_after),
            _ => None,
        };
        let verification = if dry_run || (quarantined.is_empty() && void_after.is_none()) {
            verification(measured.chain, |visit| limited(&log, checkpoint, visit))?
        } else {
            let done = cut_log(&log, &cut, &measured, &mut quarantined, void_after);
            done.inspect_err(|_| {
                if !log.is_decided() {
                    log.give_up(cut.part);
                }
            })?
        };
        Ok(Rollback {
            migration_id,
            checkpoint: number,
            before: cut.before,
            after: measured.chain,
            removed: cut.removed,
            quarantined,
            verification,
        })
    }
}

fn find_cut(log: &HeldLog<'_>, segment: SegmentId, checkpoint: &Checkpoint) -> Result<Cut> {
    let mut place = None;
    let mut removed = 0;
    log.scan(&mut |scanned| {
        if let Scanned::Entry(entry) = scanned {
            if place.is_some() {
                removed += 1;
            } else if entry.position.seq == checkpoint.seq {
                place = Some((entry.part, entry.offset, entry.bytes));
            }
        }
        ControlFlow::Continue(())
    })?;
    let (part, offset, bytes) = place.ok_or_else(|| log.damaged(1, "the checkpoint's entry is not there"))?;
    Ok(Cut { part, offset, bytes, removed, before: end_of(segment, |visit| log.scan(visit))? })
}

/// Everything behind the cut.
fn behind(log: &HeldLog<'_>, cut: &Cut) -> Result<Vec<Quarantined>> {
    let mut taken = Vec::new();
    for part in cut.part..=log.newest() {
        let from = if part == cut.part { cut.end() } else { 0 };
        let bytes = log.bytes(part)?.saturating_sub(from);
        if bytes > 0 {
            taken.push(Quarantined { part, offset: from, bytes, path: None });
        }
    }
    Ok(taken)
}

/// The log up to the checkpoint.
fn limited(log: &HeldLog<'_>, checkpoint: &Checkpoint, visit: &mut store_core::integrity::Visit<'_>) -> Result<()> {
    let mut is_behind = false;
    log.scan(&mut |scanned| {
        if is_behind {
            return ControlFlow::Break(());
        }
        is_behind = matches!(&scanned, Scanned::Entry(entry) if entry.position.seq == checkpoint.seq);
        visit(scanned)
    })
}

fn cut_log(
    log: &HeldLog<'_>,
    cut: &Cut,
    measured: &Measured,
    quarantined: &mut [Quarantined],
    void_after: Option<u64>,
) -> Result<Verification> {
    log.protect()?;
    log.keep(quarantined)?;
    let disk = &*log.held.store.disk;
    let mut new = NewParts::begin(disk, &log.first, cut.part, u64::MAX)?;
    let mut at = 0;
    while at < cut.offset {
        let stop = (at + COPY_BYTES).min(cut.offset);
        new.push(&log.read(cut.part, at..stop)?)?;
        at = stop;
    }
    new.push(&whole_line(log, cut.part, &log.read(cut.part, cut.offset..cut.end())?)?)?;
    let through = new.finish()?;
    let renewed = log.renewed(cut.part, through)?;
    let verification = verification(measured.chain, |visit| renewed.scan(disk, Writers::KeptOut, visit))?;
    if !verification.holds() {
        return Err(log.damaged(cut.part, "what was written is not what was read"));
    }
    log.replace(Replacing { from: cut.part, through, void_after })?;
    Ok(verification)
}

/// A line as it should stand in a file, also where its closing bytes are missing or its newline is another byte.
pub(super) fn whole_line(log: &HeldLog<'_>, part: u32, raw: &[u8]) -> Result<Vec<u8>> {
    let context = &log.first.context;
    let mut line = raw.to_vec();
    if raw.len() > 1 && decode_line(context, &raw[..raw.len() - 1]).is_ok() {
        line.pop();
        line.push(b'\n');
        return Ok(line);
    }
    match decode_tail(context, raw) {
        Tail::Complete { missing, .. } => {
            line.extend_from_slice(missing);
            Ok(line)
        }
        Tail::Torn | Tail::Damaged(_) => Err(log.damaged(part, "a line that was whole is not any more")),
    }
}
