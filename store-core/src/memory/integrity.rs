//! Proving and repairing what is in memory: each call is one stretch under the store's lock.
//!
//! The medium has no bytes, so an entry's offset is its seq and its length that of its text.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, RwLockWriteGuard};

use super::{Change, MemoryStore, Segment, State, Stored};
use crate::call::{ENTRY_BYTES_MAX, Prepared, check_size};
use crate::chain::Chain;
use crate::error::{Damage, Missing, Result, StoreError};
use crate::id::{MigrationId, SegmentId, Seq, SessionId};
use crate::integrity::{
    BlobUse, Checkpoint, CheckpointLine, Collected, Collection, EndState, Event, EventKind, Finding, FindingKind,
    Integrity, ListedCheckpoint, MaintenanceOptions, NewCheckpoint, Planned, Quarantined, RecordAt, RecordRepair,
    Repair, RepairPlan, RepairPlanner, Rollback, Scanned, ScannedEntry, Stretch, Verification, Visit, check_head,
    list_checkpoints, maintained, measure, verification,
};
use crate::store::{FactScope, Store as _};

type Locked<'a> = RefCell<RwLockWriteGuard<'a, State>>;

fn visit_all(records: &[Stored], visit: &mut Visit<'_>) {
    for Stored { position, key, text, damaged } in records {
        let (part, offset, bytes) = (1, position.seq.0, text.len() as u64);
        let scanned = if *damaged {
            let detail = "the entry is not what was written".to_owned();
            let seq = Some(position.seq);
            Scanned::Damaged(Stretch { part, offset, bytes, seq, kind: FindingKind::Checksum, detail })
        } else {
            Scanned::Entry(ScannedEntry {
                position: *position,
                key: key.as_deref(),
                text,
                part,
                offset,
                bytes,
                out_of_step: None,
            })
        };
        if visit(scanned).is_break() {
            return;
        }
    }
}

fn scan_of(records: &[Stored]) -> impl FnOnce(&mut Visit<'_>) -> Result<()> {
    |visit| {
        visit_all(records, visit);
        Ok(())
    }
}

fn verified(expected: Chain, records: &[Stored]) -> Result<Verification> {
    verification(expected, scan_of(records))
}

/// Where a log ends; without a head if it is damaged.
fn end_state(id: SegmentId, segment: &Segment) -> EndState {
    let measured = measure(id, None, scan_of(&segment.records)).ok();
    EndState { seq: segment.end().seq, head: measured.map(|measured| measured.chain.head) }
}

fn quarantined(stored: &Stored) -> Quarantined {
    let path = Some(format!("entry {}", stored.position.seq));
    Quarantined { part: 1, offset: stored.position.seq.0, bytes: stored.text.len() as u64, path }
}

impl State {
    /// Refuses what a lease keeps others from.
    fn refuse_leased(&self, segment: SegmentId) -> Result<()> {
        self.leases.get(&segment).map_or(Ok(()), |holder| Err(holder.clone().into_busy()))
    }

    /// The other segments that refer to a segment, each with the greatest seq that it refers to.
    fn references_to(&self, segment: SegmentId) -> Vec<(SegmentId, Seq)> {
        let others = self.sessions.values().flat_map(|session| &session.segments);
        let greatest = |other: &Segment| {
            let origin = other.origin.filter(|origin| origin.segment_id == segment).map(|origin| origin.seq);
            let within = other.references.iter().filter(|reference| reference.segment_id == segment);
            within.map(|reference| reference.through).chain(origin).max()
        };
        others.filter_map(|(id, other)| Some((*id, greatest(other)?))).collect()
    }

    fn roll_back(
        &mut self,
        at: (SessionId, SegmentId),
        number: u64,
        id: MigrationId,
        dry_run: bool,
    ) -> Result<(Rollback, Option<EventKind>)> {
        let (session, segment) = at;
        let found = self.segment(session, segment)?;
        let listed = list_checkpoints(found.checkpoints.iter().cloned());
        let checkpoint = ListedCheckpoint::find(&listed, number)
            .ok_or(StoreError::NotFound(Missing::Checkpoint(segment, number)))?;
        self.refuse_leased(segment)?;
        let beyond = self.references_to(segment).into_iter().filter(|(_, seq)| *seq > checkpoint.seq);
        let by: Vec<SegmentId> = beyond.map(|(id, _)| id).collect();
        if !by.is_empty() {
            return Err(StoreError::Referenced { by });
        }
        let measured = measure(segment, Some(checkpoint.seq), scan_of(&found.records))?;
        check_head(segment, checkpoint, measured.chain)?;
        let left = found.records.iter().take_while(|stored| stored.position.seq <= checkpoint.seq).count();
        let gone = &found.records[left..];
        let report = Rollback {
            migration_id: id,
            checkpoint: number,
            before: end_state(segment, found),
            after: measured.chain,
            removed: gone.len() as u64,
            quarantined: gone.iter().map(quarantined).collect(),
            verification: verified(measured.chain, &found.records[..left])?,
        };
        if dry_run {
            return Ok((report, None));
        }
        let void = ListedCheckpoint::void_behind(&listed, checkpoint.seq);
        let found = self.segment_mut(session, segment)?;
        let gone = found.records.split_off(left);
        found.keys.retain(|_, at| *at < left);
        found.quarantine.extend(gone.into_iter().map(|stored| stored.text));
        found.checkpoints.extend(void);
        self.changed(session, segment);
        let after = EndState { seq: report.after.seq, head: Some(report.after.head) };
        let event = EventKind::RolledBack {
            migration_id: id,
            session,
            segment,
            checkpoint: number,
            before: Some(report.before),
            after: Some(after),
            verification: Some(report.verification),
            quarantined: report.quarantined.clone(),
        };
        Ok((report, Some(event)))
    }

    fn repair(
        &mut self,
        session: SessionId,
        segment: SegmentId,
        id: MigrationId,
        dry_run: bool,
    ) -> Result<(Repair, Option<EventKind>)> {
        self.refuse_leased(segment)?;
        let found = self.segment(session, segment)?;
        let listed = list_checkpoints(found.checkpoints.iter().cloned());
        let plan = self.plan(session, segment, &listed)?;
        let records = repaired(segment, found, &plan);
        let mut after = Chain::START;
        records.iter().for_each(|stored| after.push(&stored.text));
        let taken: Vec<&Stored> = found.records.iter().filter(|stored| stored.damaged).collect();
        let report = Repair {
            migration_id: (!plan.is_clean).then_some(id),
            kept: plan.kept.len() as u64,
            lost: plan.lost.clone(),
            quarantined: taken.iter().map(|stored| quarantined(stored)).collect(),
            after,
            verification: verified(after, &records)?,
        };
        if dry_run || plan.is_clean {
            return Ok((report, None));
        }
        let before = end_state(segment, found);
        let void = ListedCheckpoint::void_behind(&listed, plan.intact_through());
        let gone: Vec<String> = taken.into_iter().map(|stored| stored.text.clone()).collect();
        let found = self.segment_mut(session, segment)?;
        let keyed = records.iter().enumerate().filter_map(|(at, stored)| Some((stored.key.clone()?, at)));
        found.keys = keyed.collect();
        found.records = records;
        found.quarantine.extend(gone);
        found.checkpoints.extend(void);
        self.changed(session, segment);
        let event = EventKind::Repaired {
            migration_id: id,
            session,
            segment,
            before: Some(before),
            after: Some(EndState { seq: after.seq, head: Some(after.head) }),
            verification: Some(report.verification),
            quarantined: report.quarantined.clone(),
            lost: report.lost.clone(),
        };
        Ok((report, Some(event)))
    }

    fn plan(&self, session: SessionId, segment: SegmentId, listed: &[ListedCheckpoint]) -> Result<RepairPlan> {
        let found = self.segment(session, segment)?;
        let mut planner = RepairPlanner::new(session, segment);
        visit_all(&found.records, &mut |scanned| {
            planner.add(&scanned);
            ControlFlow::Continue(())
        });
        let referred = self.references_to(segment).into_iter().map(|(_, seq)| seq);
        let remembered = listed.iter().filter(|one| !one.void).map(|one| one.checkpoint.seq);
        planner.finish(referred.chain(remembered).max().unwrap_or(Seq::START), found.origin)
    }

    fn changed(&mut self, session: SessionId, segment: SegmentId) {
        self.changes.push(Change::Rewritten(session, segment));
        self.wake_tails(segment);
    }
}

/// The records that a plan gives.
fn repaired(id: SegmentId, damaged: &Segment, plan: &RepairPlan) -> Vec<Stored> {
    let mut new = Segment::default();
    for entry in plan.entries() {
        match entry {
            Planned::Kept(kept) => {
                new.records.extend(damaged.records.iter().find(|stored| stored.position.seq == kept.seq).cloned());
            }
            Planned::Lost(_, text) => {
                let lost = Prepared { text: text.clone().into(), key: None, kind: "".into(), ts: 0, start: None };
                new.write(id, &[&lost]);
            }
        }
    }
    new.records
}

impl Integrity for MemoryStore {
    fn scan(&self, session: SessionId, segment: SegmentId, visit: &mut Visit<'_>) -> Result<()> {
        // The visitor may use the store.
        let records = self.read().segment(session, segment)?.records.clone();
        visit_all(&records, visit);
        Ok(())
    }

    fn examine(&self, session: Option<SessionId>) -> Result<Vec<Finding>> {
        match session {
            Some(session) if !self.exists(session)? => Err(StoreError::no_session(session)),
            session => match self.facts(session.map_or(FactScope::Store, FactScope::Session)) {
                Err(StoreError::Corrupt(damage)) => {
                    Ok(vec![Finding::of_damage(session, FindingKind::Checksum, damage)])
                }
                facts => facts.map(|_| Vec::new()),
            },
        }
    }

    fn checkpoint(&self, session: SessionId, segment: SegmentId, new: &NewCheckpoint) -> Result<Checkpoint> {
        new.check()?;
        let mut state = self.write();
        let found = state.segment_mut(session, segment)?;
        let measured = measure(segment, None, scan_of(&found.records))?;
        let checkpoint = Checkpoint {
            number: ListedCheckpoint::next_number(&list_checkpoints(found.checkpoints.iter().cloned())),
            seq: measured.chain.seq,
            head: measured.chain.head,
            last_crc32c: measured.last_crc32c,
            bytes: measured.bytes,
            name: new.name.clone(),
            reason: new.reason.clone(),
            created_at: new.now,
        };
        found.checkpoints.push(CheckpointLine::Made(checkpoint.clone()));
        Ok(checkpoint)
    }

    fn checkpoints(&self, session: SessionId, segment: SegmentId) -> Result<Vec<ListedCheckpoint>> {
        let state = self.read();
        Ok(list_checkpoints(state.segment(session, segment)?.checkpoints.iter().cloned()))
    }

    fn rollback(
        &self,
        session: SessionId,
        segment: SegmentId,
        checkpoint: u64,
        options: &MaintenanceOptions,
    ) -> Result<Rollback> {
        let state: Locked<'_> = RefCell::new(self.write());
        let before = end_state(segment, state.borrow().segment(session, segment)?);
        let migration_id = MigrationId::mint(options.now);
        let intended = EventKind::RolledBack {
            migration_id,
            session,
            segment,
            checkpoint,
            before: Some(before),
            after: None,
            verification: None,
            quarantined: Vec::new(),
        };
        maintained(options, intended, record_in(&state), || {
            state.borrow_mut().roll_back((session, segment), checkpoint, migration_id, options.dry_run)
        })
    }

    fn repair(&self, session: SessionId, segment: SegmentId, options: &MaintenanceOptions) -> Result<Repair> {
        let state: Locked<'_> = RefCell::new(self.write());
        let before = end_state(segment, state.borrow().segment(session, segment)?);
        let migration_id = MigrationId::mint(options.now);
        let intended = EventKind::Repaired {
            migration_id,
            session,
            segment,
            before: Some(before),
            after: None,
            verification: None,
            quarantined: Vec::new(),
            lost: Vec::new(),
        };
        maintained(options, intended, record_in(&state), || {
            state.borrow_mut().repair(session, segment, migration_id, options.dry_run)
        })
    }

    fn repair_beside(&self, session: Option<SessionId>, options: &MaintenanceOptions) -> Result<Vec<RecordRepair>> {
        let mut state = self.write();
        state.scoped_facts(session.map_or(FactScope::Store, FactScope::Session))?;
        let damaged: BTreeSet<u64> =
            state.damaged_facts.range((session, 0)..=(session, u64::MAX)).map(|(_, number)| *number).collect();
        if damaged.is_empty() {
            return Ok(Vec::new());
        }
        let facts = match session {
            Some(session) => &mut state.sessions.get_mut(&session).ok_or(StoreError::no_session(session))?.facts,
            None => &mut state.facts,
        };
        let path = |number: &u64| (!options.dry_run).then(|| format!("fact {number}"));
        let repaired = RecordRepair {
            migration_id: MigrationId::mint(options.now),
            at: RecordAt::facts(session),
            kept: facts.len() as u64 - damaged.len() as u64,
            lost: damaged.len() as u64,
            quarantined: damaged
                .iter()
                .map(|number| Quarantined { part: 1, offset: *number, bytes: 0, path: path(number) })
                .collect(),
        };
        if options.dry_run {
            return Ok(vec![repaired]);
        }
        let mut numbers = 1..;
        let mut taken = Vec::new();
        facts.retain(|fact| {
            let is_kept = numbers.next().is_some_and(|number| !damaged.contains(&number));
            if !is_kept {
                taken.push(fact.value.to_string());
            }
            is_kept
        });
        state.damaged_facts.retain(|(of, _)| *of != session);
        state.facts_quarantine.entry(session).or_default().extend(taken);
        state.changes.extend(session.map(Change::Session));
        state.events.push(repaired.to_event(options));
        Ok(vec![repaired])
    }

    fn collect(&self, dry_run: bool) -> Result<Collection> {
        let mut state = self.write();
        if Arc::strong_count(&state.blob_hold) > 1 {
            let holder = "somebody who puts blobs".to_owned();
            return Err(StoreError::Busy { holder, host: None, since: None });
        }
        let mut used = BlobUse::default();
        if let Some((_, number)) = state.damaged_facts.first() {
            return Err(damaged_fact(*number));
        }
        state.facts_quarantine.values().flatten().for_each(|text| used.add_text(text));
        for fact in state.sessions.values().flat_map(|session| &session.facts).chain(&state.facts) {
            used.add_text(&fact.value.to_string());
        }
        for (id, segment) in state.sessions.values().flat_map(|session| &session.segments) {
            for stored in &segment.records {
                stored.check(*id)?;
                used.add_text(&stored.text);
            }
            segment.quarantine.iter().for_each(|text| used.add_text(text));
        }
        let unused = |address: &str| !used.contains(address);
        let gone: Vec<(String, u64)> = state
            .blobs
            .iter()
            .filter(|(address, _)| unused(address))
            .map(|(address, bytes)| (address.clone(), bytes.len() as u64))
            .collect();
        let blobs = Collected { removed: gone.len() as u64, bytes: gone.iter().map(|(_, bytes)| bytes).sum() };
        if !dry_run {
            for (address, _) in &gone {
                state.blobs.remove(address);
            }
        }
        Ok(Collection { blobs, temporary: Collected::default() })
    }

    fn events(&self) -> Result<Vec<Event>> {
        Ok(self.read().events.clone())
    }

    fn record(&self, event: &Event) -> Result<()> {
        let text = serde_json::to_string(event).map_err(StoreError::backend)?;
        check_size(text.len() as u64, ENTRY_BYTES_MAX)?;
        self.write().events.push(event.clone());
        Ok(())
    }
}

/// What reading a damaged fact is refused with.
pub(super) fn damaged_fact(number: u64) -> StoreError {
    let detail = "the fact is not what was written".to_owned();
    StoreError::Corrupt(Damage { segment: None, part: 1, offset: number, seq: Some(Seq(number)), detail })
}

fn record_in(state: &Locked<'_>) -> impl Fn(&Event) -> Result<()> {
    |event| {
        state.borrow_mut().events.push(event.clone());
        Ok(())
    }
}
