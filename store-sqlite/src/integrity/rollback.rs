//! Setting a segment back to a checkpoint, in one transaction with its event.

use rusqlite::Connection;
use store_core::integrity::{
    EndState, Event, EventKind, ListedCheckpoint, MaintenanceOptions, Rollback, check_head, maintained, measure,
    verification,
};
use store_core::{Durability, MigrationId, Missing, SegmentId, SessionId, StoreError};

use super::scan::scan_in;
use super::transaction::{
    continued_behind, end_state, end_state_in, finish, not_as_written, quarantine, refuse_leased, unless_dry,
};
use super::{checkpoint, event};
use crate::connection::Connections;
use crate::error::Result;
use crate::{read, row};

pub(super) fn rollback(
    connections: &Connections,
    (session, segment): (SessionId, SegmentId),
    number: u64,
    options: &MaintenanceOptions,
) -> store_core::Result<Rollback> {
    let migration_id = MigrationId::mint(options.now);
    let intended = EventKind::RolledBack {
        migration_id,
        session,
        segment,
        checkpoint: number,
        before: Some(end_state(connections, session, segment)?),
        after: None,
        verification: None,
        quarantined: Vec::new(),
    };
    maintained(
        options,
        intended,
        |event| event::record(connections, event),
        || {
            let rolling = Rolling { connections, session, segment, number, migration_id, options };
            let report = connections.writer()?.write_alone(Durability::Synced, |transaction| {
                unless_dry(transaction, options.dry_run, || rolling.roll_back(transaction))
            })?;
            // The event is in the transaction.
            Ok((report, None))
        },
    )
}

struct Rolling<'a> {
    connections: &'a Connections,
    session: SessionId,
    segment: SegmentId,
    number: u64,
    migration_id: MigrationId,
    options: &'a MaintenanceOptions,
}

impl Rolling<'_> {
    fn roll_back(&self, transaction: &Connection) -> Result<Rollback> {
        let Self { session, segment, number, .. } = *self;
        let found = read::segment_of(transaction, session, segment)?;
        let listed = checkpoint::listed(transaction, segment)?;
        let checkpoint = ListedCheckpoint::find(&listed, number)
            .ok_or(StoreError::NotFound(Missing::Checkpoint(segment, number)))?;
        let _lease = refuse_leased(self.connections, segment)?;
        let beyond = continued_behind(transaction, (session, segment), checkpoint.seq)?;
        if !beyond.is_empty() {
            return Err(StoreError::Referenced { by: beyond.into_iter().map(|(id, _)| id).collect() }.into());
        }
        let scan = |visit: &mut store_core::integrity::Visit<'_>| scan_in(transaction, segment, visit);
        let measured = measure(segment, Some(checkpoint.seq), scan)?;
        check_head(segment, checkpoint, measured.chain)?;
        let before = end_state_in(transaction, segment, found.entry_count);
        let last = row::to_sql(checkpoint.seq.0);
        let quarantined = quarantine(transaction, segment, self.migration_id, |seq| seq > last)?;
        finish(transaction, segment, checkpoint.seq, (&listed, checkpoint.seq))?;
        let verification = verification(measured.chain, scan)?;
        if !verification.holds() {
            return Err(not_as_written(segment).into());
        }
        let mut report = Rollback {
            migration_id: self.migration_id,
            checkpoint: number,
            before,
            after: measured.chain,
            removed: quarantined.len() as u64,
            quarantined,
            verification,
        };
        if self.options.dry_run {
            report.quarantined.iter_mut().for_each(|taken| taken.path = None);
        } else {
            self.record(transaction, &report)?;
        }
        Ok(report)
    }

    fn record(&self, transaction: &Connection, report: &Rollback) -> Result<()> {
        let what = EventKind::RolledBack {
            migration_id: self.migration_id,
            session: self.session,
            segment: self.segment,
            checkpoint: self.number,
            before: Some(report.before),
            after: Some(EndState { seq: report.after.seq, head: Some(report.after.head) }),
            verification: Some(report.verification),
            quarantined: report.quarantined.clone(),
        };
        let correlation_id = self.options.correlation_id.clone();
        event::insert(transaction, &Event { correlation_id, ..Event::done(self.options.now, what) })
    }
}
