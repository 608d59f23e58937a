//! Repairing a segment: every part from the first that is not as it should be is written anew, as the plan says.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use store_core::chain::Chain;
use store_core::codec::{LineFields, decode_line, encode_line};
use store_core::integrity::{
    CheckpointLine, EndState, EventKind, Kept, ListedCheckpoint, MaintenanceOptions, Planned, Quarantined, Repair,
    RepairPlan, RepairPlanner, Scanned, ScannedEntry, Verification, Visit, maintained, verification,
};
use store_core::{MigrationId, Position, Result, SegmentId, Seq, SessionId, StoreError};

use super::maintain::{HeldLog, HeldSession, end_of};
use super::rollback::whole_line;
use crate::error::At as _;
use crate::migrate_layout::Beside;
use crate::record_log::{NewParts, Replacing, Writers};
use crate::store::FsStore;

/// What is done to a log, and where it begins.
struct Work {
    plan: RepairPlan,
    /// The first part that is written anew.
    from: u32,
    void_after: Option<u64>,
}

impl FsStore {
    pub(super) fn repair_log(
        &self,
        session: SessionId,
        segment: SegmentId,
        options: &MaintenanceOptions,
    ) -> Result<Repair> {
        self.check_maintainable(options.dry_run)?;
        if !self.has_log(session, segment)? && self.is_lost(session, segment)? {
            if options.dry_run || !self.has_folder(session)? {
                return self.repair_lost(session, segment, options);
            }
            // From here on it is a log that lacks everything.
            self.mark_lost(session, segment)?;
        }
        let before = Some(self.end_state(session, segment)?);
        let migration_id = MigrationId::mint(options.now);
        let intended = |before, after, verification, quarantined, lost| EventKind::Repaired {
            migration_id,
            session,
            segment,
            before,
            after,
            verification,
            quarantined,
            lost,
        };
        let first = intended(before, None, None, Vec::new(), Vec::new());
        maintained(
            options,
            first,
            |event| self.events.append(event),
            || {
                let (before, done) = self.repaired((session, segment), migration_id, options.dry_run)?;
                if done.migration_id.is_none() {
                    return Ok((done, None));
                }
                let after = Some(EndState { seq: done.after.seq, head: Some(done.after.head) });
                let (quarantined, lost) = (done.quarantined.clone(), done.lost.clone());
                let what = intended(Some(before), after, Some(done.verification), quarantined, lost);
                Ok((done, Some(what)))
            },
        )
    }

    fn repaired(
        &self,
        (session, segment): (SessionId, SegmentId),
        migration_id: MigrationId,
        dry_run: bool,
    ) -> Result<(EndState, Repair)> {
        let held = self.hold_session(session, segment, dry_run)?;
        if !dry_run && self.has_flat(session, segment)? {
            // What an older program wrote beside the log is nobody's, and is kept.
            self.put_away_flat(session, segment, Beside::Keep)?;
        }
        let in_step = self.ways_in_step(session, segment)?;
        let (before, mut done) = repair_held(&held, migration_id, dry_run)?;
        if !in_step {
            done.migration_id = Some(migration_id);
            if !dry_run {
                self.set_ways_right(session, segment)?;
            }
        }
        Ok((before, done))
    }
}

impl FsStore {
    /// Repairs a segment of which nothing but what leads to it is left: says what would be done where its session has a folder, and where that is
    /// gone too gives the segment up, and what leads to it.
    fn repair_lost(&self, session: SessionId, segment: SegmentId, options: &MaintenanceOptions) -> Result<Repair> {
        let migration_id = MigrationId::mint(options.now);
        let continued = self.continued_at(segment)?.into_iter().filter_map(|(_, seq)| seq).max();
        let plan = RepairPlanner::new(session, segment).finish(continued.unwrap_or(Seq::START), None)?;
        let mut after = Chain::START;
        let mut lost = Vec::new();
        if self.has_folder(session)? {
            plan.entries().for_each(|entry| {
                if let Planned::Lost(_, text) = entry {
                    after.push(&text);
                }
            });
            lost = plan.lost;
        }
        let verification = Verification { entry_count_match: true, hash_chain_match: true, order_consistent: true };
        let end = EndState { seq: Seq::START, head: Some(Chain::START.head) };
        let event = EventKind::Repaired {
            migration_id,
            session,
            segment,
            before: Some(end),
            after: Some(end),
            verification: Some(verification),
            quarantined: Vec::new(),
            lost: Vec::new(),
        };
        let quarantined = Vec::new();
        let done = Repair { migration_id: Some(migration_id), kept: 0, lost, quarantined, after, verification };
        maintained(
            options,
            event.clone(),
            |event| self.events.append(event),
            || {
                if !options.dry_run {
                    let _writing = self.before_first_write();
                    let _create = self.lock_create()?;
                    self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
                    if self.is_lost(session, segment)? && !self.has_folder(session)? {
                        self.remove_look_up(segment)?;
                    }
                }
                Ok((done, Some(event)))
            },
        )
    }
}

/// Repairs the log itself.
fn repair_held(held: &HeldSession<'_>, migration_id: MigrationId, dry_run: bool) -> Result<(EndState, Repair)> {
    let lease = held.hold_lease()?;
    let log = held.hold_log(lease)?;
    log.check_kinds()?;
    let before = end_of(held.segment, |visit| log.scan(visit))?;
    let work = plan(held, &log)?;
    let mut quarantined = joined(&work.plan.quarantined);
    let (after, verification) = if dry_run || work.plan.is_clean {
        let mut after = Chain::START;
        replay(&log, &work.plan, &mut |_, text| {
            after.push(text);
            Ok(())
        })?;
        (after, replayed(&log, &work.plan, after)?)
    } else {
        let done = rewrite(&log, &work, &mut quarantined);
        done.inspect_err(|_| {
            if !log.is_decided() {
                log.give_up(work.from);
            }
        })?
    };
    let done = Repair {
        migration_id: (!work.plan.is_clean).then_some(migration_id),
        kept: work.plan.kept.len() as u64,
        lost: work.plan.lost.clone(),
        quarantined,
        after,
        verification,
    };
    Ok((before, done))
}

fn plan(held: &HeldSession<'_>, log: &HeldLog<'_>) -> Result<Work> {
    let mut planner = RepairPlanner::new(held.session, held.segment);
    let mut damaged = u32::MAX;
    log.scan(&mut |scanned| {
        if let Scanned::Damaged(stretch) = &scanned {
            damaged = damaged.min(stretch.part);
        }
        planner.add(&scanned);
        ControlFlow::Continue(())
    })?;
    let listed = match held.checkpoints() {
        // What cannot be read says nothing of where the log should end.
        Err(StoreError::Corrupt(_)) => Vec::new(),
        listed => listed?,
    };
    let continued = held.store.continued_at(held.segment)?.into_iter().filter_map(|(_, seq)| seq);
    let remembered = listed.iter().filter(|one| !one.void).map(|one| one.checkpoint.seq);
    let plan = planner.finish(continued.chain(remembered).max().unwrap_or(Seq::START), None)?;
    let from = first_changed(log, &plan)?.min(damaged);
    let void_after = match ListedCheckpoint::void_behind(&listed, plan.intact_through()) {
        Some(CheckpointLine::Void { void_after }) => Some(void_after),
        _ => None,
    };
    Ok(Work { plan, from, void_after })
}

/// The first part in which not every byte is the next entry that is kept.
fn first_changed(log: &HeldLog<'_>, plan: &RepairPlan) -> Result<u32> {
    let mut lengths = BTreeMap::new();
    for part in 1..=log.newest() {
        lengths.insert(part, log.bytes(part)?);
    }
    let length = |part: u32| lengths.get(&part).copied().unwrap_or_default();
    let (mut part, mut offset) = (1, 0);
    for entry in plan.entries() {
        let Planned::Kept(kept) = entry else { return Ok(part) };
        if kept.part == part + 1 && kept.offset == 0 && offset == length(part) {
            (part, offset) = (kept.part, 0);
        }
        if (kept.part, kept.offset) != (part, offset) {
            return Ok(part);
        }
        offset += kept.bytes;
    }
    Ok(part)
}

/// Stretches that lie one behind the other as one.
fn joined(taken: &[Quarantined]) -> Vec<Quarantined> {
    let mut joined: Vec<Quarantined> = Vec::new();
    for one in taken {
        match joined.last_mut() {
            Some(last) if last.part == one.part && last.offset + last.bytes == one.offset => last.bytes += one.bytes,
            _ => joined.push(one.clone()),
        }
    }
    joined
}

/// Hands over each entry of the repaired log: its line, and its text.
fn replay(log: &HeldLog<'_>, plan: &RepairPlan, each: &mut dyn FnMut(&Line, &str) -> Result<()>) -> Result<()> {
    for entry in plan.entries() {
        match entry {
            Planned::Kept(kept) => {
                let (line, text) = kept_line(log, &kept)?;
                each(&line, &text)?;
            }
            Planned::Lost(seq, text) => {
                let mut bytes = Vec::new();
                let fields = LineFields { seq, ..LineFields::default() };
                let crc32c = encode_line(&mut bytes, &log.first.context, &fields, &text);
                each(&Line { part: u32::MAX, position: Position { seq, crc32c }, key: None, bytes }, &text)?;
            }
        }
    }
    Ok(())
}

/// A line of the repaired log.
struct Line {
    /// The part that it lies in now.
    part: u32,
    position: Position,
    key: Option<String>,
    bytes: Vec<u8>,
}

/// The line of an entry that is kept: as it is, but for how many lines of its call follow.
fn kept_line(log: &HeldLog<'_>, kept: &Kept) -> Result<(Line, String)> {
    let bytes = whole_line(log, kept.part, &log.read(kept.part, kept.offset..kept.offset + kept.bytes)?)?;
    let context = &log.first.context;
    let Ok(line) = decode_line(context, &bytes[..bytes.len() - 1]) else {
        return Err(log.damaged(kept.part, "a line that was whole is not any more"));
    };
    let (text, key) = (line.text(), line.key.as_deref().map(str::to_owned));
    let mut position = Position { seq: line.seq, crc32c: line.crc32c };
    let fields = LineFields { seq: line.seq, more: 0, key: line.key.as_deref(), synced: line.synced };
    let mut alone = Vec::new();
    if line.more > 0 {
        position.crc32c = encode_line(&mut alone, context, &fields, &text);
    }
    let bytes = if alone.is_empty() { bytes } else { alone };
    Ok((Line { part: kept.part, position, key, bytes }, text))
}

/// What would be found in the log that a plan gives.
fn replayed(log: &HeldLog<'_>, plan: &RepairPlan, after: Chain) -> Result<Verification> {
    let scan = |visit: &mut Visit<'_>| {
        replay(log, plan, &mut |line, text| {
            let (position, key, bytes) = (line.position, line.key.as_deref(), line.bytes.len() as u64);
            let _ = visit(Scanned::Entry(ScannedEntry {
                position,
                key,
                text,
                part: 1,
                offset: 0,
                bytes,
                out_of_step: None,
            }));
            Ok(())
        })
    };
    verification(after, scan)
}

fn rewrite(log: &HeldLog<'_>, work: &Work, quarantined: &mut [Quarantined]) -> Result<(Chain, Verification)> {
    log.protect()?;
    log.keep(quarantined)?;
    let store = log.held.store;
    let disk = &*store.disk;
    let mut after = Chain::START;
    let mut new = NewParts::begin(disk, &log.first, work.from, store.max_part_bytes)?;
    let mut is_behind = work.from == 1;
    replay(log, &work.plan, &mut |line, text| {
        after.push(text);
        // Parts before the first that is changed hold the first entries and nothing else.
        is_behind |= line.part >= work.from;
        if is_behind { new.line(&line.bytes) } else { Ok(()) }
    })?;
    let through = new.finish()?;
    let renewed = log.renewed(work.from, through)?;
    let verification = verification(after, |visit| renewed.scan(disk, Writers::KeptOut, visit))?;
    if !verification.holds() {
        return Err(log.damaged(work.from, "what was written is not what was read"));
    }
    log.replace(Replacing { from: work.from, through, void_after: work.void_after })?;
    Ok((after, verification))
}
