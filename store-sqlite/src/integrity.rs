//! Proving, setting back and repairing what a database holds.
//!
//! Here is how rows are walked past damaged ones, and what one transaction replaces; what is judged, planned and reported is
//! [`store_core::integrity`]'s. A rollback and a repair are one transaction with their event in it, so they are there with their record or not at
//! all, and a dry run is the same transaction, taken back. The price is that other writers wait meanwhile.
//!
//! A row can be set right here, a page of the database file cannot: where SQLite itself cannot read, [`salvage_database`](crate::salvage_database)
//! makes a new database.

mod beside;
mod checkpoint;
mod collect;
mod columns;
pub(crate) mod event;
mod examine;
mod repair;
mod rollback;
mod scan;
mod transaction;

use store_core::integrity::{
    Checkpoint, Collection, Event, Finding, Integrity, ListedCheckpoint, MaintenanceOptions, NewCheckpoint,
    RecordRepair, Repair, Rollback, Visit,
};
use store_core::{BlobRef, Result, SegmentId, SessionId};

use crate::store::SqliteStore;

pub(crate) use checkpoint::insert as insert_checkpoint_line;
pub(crate) use event::insert as insert_event;
pub(crate) use repair::prepared;
pub(crate) use transaction::{quarantine_checksum, quarantine_row};

impl Integrity for SqliteStore {
    fn scan(&self, session: SessionId, segment: SegmentId, visit: &mut Visit<'_>) -> Result<()> {
        scan::scan(self.connections(), session, segment, visit)
    }

    fn examine(&self, session: Option<SessionId>) -> Result<Vec<Finding>> {
        Ok(examine::examine(self.connections(), session)?)
    }

    fn check_blob(&self, reference: &BlobRef) -> Result<()> {
        crate::blobs::check_blob(self.connections(), reference)
    }

    fn checkpoint(&self, session: SessionId, segment: SegmentId, new: &NewCheckpoint) -> Result<Checkpoint> {
        checkpoint::checkpoint(self.connections(), session, segment, new)
    }

    fn checkpoints(&self, session: SessionId, segment: SegmentId) -> Result<Vec<ListedCheckpoint>> {
        Ok(checkpoint::checkpoints(self.connections(), session, segment)?)
    }

    fn rollback(
        &self,
        session: SessionId,
        segment: SegmentId,
        checkpoint: u64,
        options: &MaintenanceOptions,
    ) -> Result<Rollback> {
        rollback::rollback(self.connections(), (session, segment), checkpoint, options)
    }

    fn repair(&self, session: SessionId, segment: SegmentId, options: &MaintenanceOptions) -> Result<Repair> {
        repair::repair(self.connections(), (session, segment), options)
    }

    fn repair_beside(&self, session: Option<SessionId>, options: &MaintenanceOptions) -> Result<Vec<RecordRepair>> {
        beside::repair(self.connections(), session, options)
    }

    fn collect(&self, dry_run: bool) -> Result<Collection> {
        collect::collect(self, dry_run)
    }

    fn events(&self) -> Result<Vec<Event>> {
        Ok(event::events(self.connections())?)
    }

    fn record(&self, event: &Event) -> Result<()> {
        event::record(self.connections(), event)
    }
}
