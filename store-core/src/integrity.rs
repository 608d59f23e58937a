//! Proving, setting back and repairing what a store holds.
//!
//! Here live the contract of [`Integrity`], the values it speaks in, and everything about it that is the same for all backends:
//! [`verify()`] and [`manifest()`] drive any backend through its [`scan`](Integrity::scan), the rules of checkpoints and
//! repairs are pure, and holes are acknowledged through the record of events. What does not live here is bytes: how a log is
//! walked past its damage, replaced and locked is a backend's own.
//!
//! The decision that shapes the rest: a backend gives one stream a segment, of valid entries and of damaged stretches in the
//! order of the log, and never judges them. So every judgement exists once, and two backends cannot differ in it. The
//! price is that nothing is proved faster than by reading it.

mod ahead;
mod beside;
mod blobs;
mod checkpoint;
mod contract;
mod event;
mod finding;
mod holes;
mod maintain;
mod manifest;
mod repair;
mod scan;
mod segment;
mod verify;

pub use beside::{RecordAt, RecordKind, RecordRepair, void_untrue};
pub use blobs::{BlobUse, blob_addresses, collectable, for_each_blob};
pub use checkpoint::{Checkpoint, CheckpointLine, ListedCheckpoint, NewCheckpoint, list_checkpoints};
pub use contract::Integrity;
pub use event::{EndState, Event, EventKind, Outcome};
pub use finding::{Finding, FindingKind};
pub use holes::{UnacknowledgedHole, acknowledge_holes, unacknowledged_holes};
pub use maintain::{
    Collected, Collection, MaintenanceOptions, Measured, Quarantined, Repair, Rollback, Verification, check_head,
    maintained, measure, verification,
};
pub use manifest::{ChainHeadOf, Counters, Invariants, Manifest, ManifestOptions, manifest};
pub use repair::{Kept, LOST_DOMAIN, LOST_SEQS_MAX, Lost, Planned, RepairPlan, RepairPlanner};
pub use scan::{Salvage, Scanned, ScannedEntry, Stretch, Visit, salvage};
pub use segment::{Looking, SegmentReport, verify_segment};
pub use verify::{Head, Progress, Report, Scope, VerifyOptions, verify};
