//! Proving, setting back and repairing a store in a folder: the contract of [`Integrity`], on files.
//!
//! Each call is thin here; what it does stands in the module of its name. [`scan`] walks over a log past everything, [`examine`] looks
//! at what lies beside the logs, [`checkpoint`] remembers, [`rollback`] and [`repair`] put other parts in a log's place with what
//! [`maintain`] locks and keeps, and [`collect`] removes what nobody refers to. What all backends share is in store-core.

mod beside;
mod checkpoint;
mod collect;
mod examine;
mod maintain;
mod repair;
mod rollback;
mod scan;

use store_core::integrity::{
    Checkpoint, Collection, Event, Finding, Integrity, ListedCheckpoint, MaintenanceOptions, NewCheckpoint,
    RecordRepair, Repair, Rollback, Visit,
};
use store_core::{BlobRef, Result, SegmentId, SessionId};

use crate::store::FsStore;

pub(crate) use checkpoint::void_text;
pub(crate) use maintain::end_of;
pub(crate) use scan::Parts;

impl Integrity for FsStore {
    fn scan(&self, session: SessionId, segment: SegmentId, visit: &mut Visit<'_>) -> Result<()> {
        self.scan_log(session, segment, visit)
    }

    fn examine(&self, session: Option<SessionId>) -> Result<Vec<Finding>> {
        match session {
            Some(session) => self.examine_session(session),
            None => self.examine_store(),
        }
    }

    fn check_blob(&self, reference: &BlobRef) -> Result<()> {
        self.check_blob_file(reference)
    }

    fn checkpoint(&self, session: SessionId, segment: SegmentId, new: &NewCheckpoint) -> Result<Checkpoint> {
        self.make_checkpoint(session, segment, new)
    }

    fn checkpoints(&self, session: SessionId, segment: SegmentId) -> Result<Vec<ListedCheckpoint>> {
        self.read_checkpoints(session, segment)
    }

    fn rollback(
        &self,
        session: SessionId,
        segment: SegmentId,
        checkpoint: u64,
        options: &MaintenanceOptions,
    ) -> Result<Rollback> {
        self.roll_back(session, segment, checkpoint, options)
    }

    fn repair(&self, session: SessionId, segment: SegmentId, options: &MaintenanceOptions) -> Result<Repair> {
        self.repair_log(session, segment, options)
    }

    fn repair_beside(&self, session: Option<SessionId>, options: &MaintenanceOptions) -> Result<Vec<RecordRepair>> {
        self.repair_records(session, options)
    }

    fn collect(&self, dry_run: bool) -> Result<Collection> {
        self.collect_unused(dry_run)
    }

    fn events(&self) -> Result<Vec<Event>> {
        Self::events(self)
    }

    fn record(&self, event: &Event) -> Result<()> {
        self.check_writable()?;
        self.events.append(event)
    }
}
