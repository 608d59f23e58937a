//! Making a damaged segment whole again, in one transaction with its event: rows that are kept stay where they are.

use std::ops::ControlFlow;

use rusqlite::Connection;
use store_core::call::Prepared;
use store_core::chain::Chain;
use store_core::integrity::{
    EndState, Event, EventKind, ListedCheckpoint, MaintenanceOptions, Planned, Repair, RepairPlan, RepairPlanner,
    maintained, verification,
};
use store_core::{Durability, LogEntry, MigrationId, SegmentId, Seq, SessionId};

use super::scan::scan_in;
use super::transaction::{
    continued_behind, end_state, end_state_in, finish, not_as_written, quarantine, refuse_leased, unless_dry,
};
use super::{checkpoint, columns, event};
use crate::connection::Connections;
use crate::error::{Result, damage};
use crate::row::{self, EntryRow};
use crate::{append, read};

pub(super) fn repair(
    connections: &Connections,
    (session, segment): (SessionId, SegmentId),
    options: &MaintenanceOptions,
) -> store_core::Result<Repair> {
    let migration_id = MigrationId::mint(options.now);
    let intended = EventKind::Repaired {
        migration_id,
        session,
        segment,
        before: Some(end_state(connections, session, segment)?),
        after: None,
        verification: None,
        quarantined: Vec::new(),
        lost: Vec::new(),
    };
    maintained(
        options,
        intended,
        |event| event::record(connections, event),
        || {
            let repairing = Repairing { connections, session, segment, migration_id, options };
            let report = connections.writer()?.write_alone(Durability::Synced, |transaction| {
                unless_dry(transaction, options.dry_run, || repairing.repair(transaction))
            })?;
            // The event is in the transaction.
            Ok((report, None))
        },
    )
}

struct Repairing<'a> {
    connections: &'a Connections,
    session: SessionId,
    segment: SegmentId,
    migration_id: MigrationId,
    options: &'a MaintenanceOptions,
}

impl Repairing<'_> {
    fn repair(&self, transaction: &Connection) -> Result<Repair> {
        let Self { session, segment, .. } = *self;
        let found = read::segment_of(transaction, session, segment)?;
        let _lease = refuse_leased(self.connections, segment)?;
        let listed = match checkpoint::listed(transaction, segment) {
            // What cannot be read says nothing of where the log should end.
            Err(error) if error.is_corrupt() => Vec::new(),
            listed => listed?,
        };
        let plan = self.plan(transaction, &found, &listed)?;
        let after = self.planned_chain(transaction, &plan)?;
        let counted = found.entry_count == plan.through().0;
        let in_step = counted && columns::in_step(transaction, session, segment)?;
        let is_whole = plan.is_clean && in_step;
        let before = end_state_in(transaction, segment, found.entry_count);
        let mut quarantined = Vec::new();
        if !is_whole {
            let is_kept = |seq: i64| {
                u64::try_from(seq).is_ok_and(|seq| plan.kept.binary_search_by_key(&Seq(seq), |kept| kept.seq).is_ok())
            };
            quarantined = quarantine(transaction, segment, self.migration_id, |seq| !is_kept(seq))?;
            fill(transaction, segment, &plan)?;
            columns::set_right(transaction, segment)?;
            finish(transaction, segment, plan.through(), (&listed, plan.intact_through()))?;
        }
        let verification = verification(after, |visit| scan_in(transaction, segment, visit))?;
        if !verification.holds() {
            return Err(not_as_written(segment).into());
        }
        let (kept, lost) = (plan.kept.len() as u64, plan.lost);
        let migration_id = (!is_whole).then_some(self.migration_id);
        let mut report = Repair { migration_id, kept, lost, quarantined, after, verification };
        if self.options.dry_run {
            report.quarantined.iter_mut().for_each(|taken| taken.path = None);
        } else if !is_whole {
            self.record(transaction, before, &report)?;
        }
        Ok(report)
    }

    fn plan(
        &self,
        transaction: &Connection,
        found: &read::SegmentRow,
        listed: &[ListedCheckpoint],
    ) -> Result<RepairPlan> {
        let mut planner = RepairPlanner::new(self.session, self.segment);
        scan_in(transaction, self.segment, &mut |scanned| {
            planner.add(&scanned);
            ControlFlow::Continue(())
        })?;
        let referred = continued_behind(transaction, (self.session, self.segment), Seq::START)?;
        let remembered = listed.iter().filter(|one| !one.void).map(|one| one.checkpoint.seq);
        // What was counted was given away, also if nothing of it is left.
        let counted = Some(Seq(found.entry_count));
        let at_least = referred.into_iter().map(|(_, seq)| seq).chain(remembered).chain(counted).max();
        Ok(planner.finish(at_least.unwrap_or(Seq::START), found.origin)?)
    }

    /// The chain over what the plan gives.
    fn planned_chain(&self, transaction: &Connection, plan: &RepairPlan) -> Result<Chain> {
        let mut statement = transaction
            .prepare_cached("SELECT seq, key, body, crc32c FROM entries WHERE segment_id = ?1 AND seq = ?2")?;
        let mut chain = Chain::START;
        for planned in plan.entries() {
            match planned {
                Planned::Lost(_, text) => chain.push(&text),
                Planned::Kept(kept) => {
                    let mut rows = statement.query((self.segment.as_bytes(), row::to_sql(kept.seq.0)))?;
                    let gone = || damage(Some(self.segment), Some(kept.seq.0), "the row is gone");
                    let row = rows.next()?.ok_or_else(gone)?;
                    chain.push(&EntryRow::read(self.segment, row)?.text);
                }
            }
        }
        Ok(chain)
    }

    fn record(&self, transaction: &Connection, before: EndState, report: &Repair) -> Result<()> {
        let what = EventKind::Repaired {
            migration_id: self.migration_id,
            session: self.session,
            segment: self.segment,
            before: Some(before),
            after: Some(EndState { seq: report.after.seq, head: Some(report.after.head) }),
            verification: Some(report.verification),
            quarantined: report.quarantined.clone(),
            lost: report.lost.clone(),
        };
        let correlation_id = self.options.correlation_id.clone();
        event::insert(transaction, &Event { correlation_id, ..Event::done(self.options.now, what) })
    }
}

/// Writes what stands in the places of lost entries.
fn fill(transaction: &Connection, segment: SegmentId, plan: &RepairPlan) -> Result<()> {
    for planned in plan.entries() {
        if let Planned::Lost(seq, text) = planned {
            append::insert(transaction, segment, seq.0 - 1, &[&prepared(text)?])?;
        }
    }
    Ok(())
}

/// The text of an entry as it is inserted.
pub(crate) fn prepared(text: String) -> Result<Prepared> {
    let entry = LogEntry::from_text(&text).map_err(store_core::StoreError::backend)?;
    let kind = entry.kind().to_owned().into();
    Ok(Prepared { kind, ts: entry.ts(), text: text.into(), key: None, start: None })
}
