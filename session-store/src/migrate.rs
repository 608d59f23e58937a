//! Copying conversations from any store into any other, above the [`Store`](store_core::Store) contract alone.
//!
//! Segments go in the order of their origins, each entry with its own text and key, byte for byte, blobs before what refers
//! to them; then what is said beside the logs. What was copied is read back and compared. The source is only read.
//!
//! The one decision: there is no record of how far a migration came. The target says it: what stands there is compared with the source
//! entry by entry, and what is missing is added. So a migration can be cut off anywhere, run again, and run on a source that is still
//! written to. The price is that running again reads both stores.

mod beside;
mod ledger;
mod records;
mod run;
mod segment;

use std::ops::ControlFlow;

pub use self::ledger::{BookFailure, LedgerMigrated, migrate_ledger};
use serde::Serialize;
use store_core::integrity::Verification;
use store_core::{Backend, BackendInfo, SegmentId, SessionId, TimestampMs};

use crate::error::{Result, SessionError};

/// How conversations are migrated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrateOptions {
    /// The present time, in milliseconds since the epoch.
    pub now: TimestampMs,
    /// Only these sessions and those that they continue, without facts about the store; `None`: everything.
    pub sessions: Option<Vec<SessionId>>,
    /// Say what would be copied, write nothing.
    pub dry_run: bool,
    /// What tells the event of this migration from others; the caller's own.
    pub correlation_id: Option<String>,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrateProgress {
    /// How many segments are to be looked at.
    pub segments: u64,
    /// How many of them are done.
    pub segments_done: u64,
    /// How many entries were copied or found in place.
    pub entries: u64,
}

/// Why something is not in the target as it is in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MigrateFailureKind {
    /// It cannot be read: repair the source first.
    Damaged,
    /// The target has another segment, or another history, under this id.
    Differs,
    /// What it continues was not copied.
    Ancestor,
    /// The target does not take it.
    Refused,
}

/// What is not in the target as it is in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrateFailure {
    /// The session; `None` for what is said about the store.
    pub session_id: Option<SessionId>,
    /// The segment; `None` for what is said about the session or the store.
    pub segment_id: Option<SegmentId>,
    /// Why, for a program.
    pub kind: MigrateFailureKind,
    /// Why, for a person.
    pub message: String,
}

/// What a migration did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MigrateReport {
    /// How many sessions were to be copied.
    pub sessions: u64,
    /// How many segments they have.
    pub segments: u64,
    /// How many entries these had when they were looked at.
    pub entries: u64,
    /// The sessions of which something was copied, and all is there now.
    pub migrated: u64,
    /// The sessions that were there already.
    pub already: u64,
    /// The sessions of which something could not be copied.
    pub failed: u64,
    /// The segments of which something was copied.
    pub new_segments: u64,
    /// The entries that were copied.
    pub new_entries: u64,
    /// What was found when everything in place was read back and held against the source; `true` throughout if nothing was.
    pub verification: MigrateVerification,
    /// What could not be copied, in the order in which it was tried.
    pub failures: Vec<MigrateFailure>,
    /// What went otherwise than one would expect, for a person.
    pub warnings: Vec<String>,
    /// Nothing was written.
    pub dry_run: bool,
    /// Somebody said stop: the same migration again goes on from there.
    pub stopped: bool,
}

/// Whether the target holds what the source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MigrateVerification {
    /// Every segment has at least the source's entries.
    pub entry_count_match: bool,
    /// The chain over them has the same head.
    pub hash_chain_match: bool,
}

impl Default for MigrateVerification {
    fn default() -> Self {
        Self { entry_count_match: true, hash_chain_match: true }
    }
}

impl From<MigrateVerification> for Verification {
    fn from(found: MigrateVerification) -> Self {
        // The chain is over the entries in their order.
        let MigrateVerification { entry_count_match, hash_chain_match } = found;
        Self { entry_count_match, hash_chain_match, order_consistent: hash_chain_match }
    }
}

/// Copies conversations from `source` into `target`.
///
/// A segment that the target has already, as it is in the source, stays; one whose beginning it has is gone on with; one that goes on behind
/// the source's end stays too; one that differs is a failure, and is left alone. One failure keeps nothing else from being copied but what
/// continues the segment. Checkpoints that hold are made anew in the target, with their names and reasons, at the same entries. If the target
/// keeps a record of events, what was copied is recorded there.
///
/// Memory is bounded by some of the longest entries, and by what is said about one session. `progress` is called after each piece of work, and may say stop.
///
/// # Errors
/// `SameStore`; `NotFound` for a session of `options` that the source does not have; what either store fails with as a whole. What fails one segment is an
/// answer.
pub fn migrate(
    source: &dyn Backend,
    target: &dyn Backend,
    options: &MigrateOptions,
    progress: &mut dyn FnMut(MigrateProgress) -> ControlFlow<()>,
) -> Result<MigrateReport> {
    refuse_same(source, target)?;
    run::Run::new(source, target, options, progress).everything()
}

/// A store that was migrated into itself would compare each log with itself, and say that all is well.
fn refuse_same(source: &dyn Backend, target: &dyn Backend) -> Result<()> {
    let place = |info: &BackendInfo| {
        std::fs::canonicalize(&info.location).map_or_else(|_| info.location.clone(), |path| path.display().to_string())
    };
    let (from, to) = (source.info(), target.info());
    let has_place = !from.location.is_empty();
    let same = from.scheme == to.scheme && has_place && place(&from) == place(&to);
    if same || std::ptr::addr_eq(source, target) {
        return Err(SessionError::SameStore { url: url(&from) });
    }
    Ok(())
}

fn url(info: &BackendInfo) -> String {
    format!("{}:{}", info.scheme, info.location)
}
