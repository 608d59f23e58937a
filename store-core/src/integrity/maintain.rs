//! What rollbacks, repairs and collections are asked and answer, and the event that each of them leaves.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::event::{EndState, Event, EventKind, Outcome};
use super::repair::Lost;
use super::scan::{Scanned, Stretch, Visit};
use crate::chain::Chain;
use crate::error::{Damage, Result, StoreError};
use crate::id::{MigrationId, SegmentId, Seq, TimestampMs};

/// How something is done to a segment as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceOptions {
    /// When, in milliseconds since the epoch.
    pub now: TimestampMs,
    /// Say what would be done, change nothing, record nothing.
    pub dry_run: bool,
    /// What tells the events of one operation from those of others; the caller's own.
    pub correlation_id: Option<String>,
}

/// What was found when a result was read back from the medium.
// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The log has exactly as many entries as it should.
    pub entry_count_match: bool,
    /// The chain over them has the head that it should.
    pub hash_chain_match: bool,
    /// Their seqs run from 1 without gaps, and nothing damaged stands between them.
    pub order_consistent: bool,
}

impl Verification {
    /// Whether everything is as it should be.
    pub const fn holds(self) -> bool {
        self.entry_count_match && self.hash_chain_match && self.order_consistent
    }
}

/// Reads a stream of a log back and holds it against what it should be.
///
/// Backends call it on what they have written, before it takes the place of what was there. `scan` is as
/// [`Integrity::scan`](super::Integrity::scan).
///
/// # Errors
/// What `scan` fails with.
pub fn verification(expected: Chain, scan: impl FnOnce(&mut Visit<'_>) -> Result<()>) -> Result<Verification> {
    let (mut chain, mut in_order) = (Chain::START, true);
    scan(&mut |scanned| {
        match scanned {
            Scanned::Entry(entry) => {
                in_order &= entry.position.seq == chain.seq.next();
                chain.push(entry.text);
            }
            Scanned::Damaged(_) => in_order = false,
        }
        ControlFlow::Continue(())
    })?;
    Ok(Verification {
        entry_count_match: chain.seq == expected.seq,
        hash_chain_match: chain.head == expected.head,
        order_consistent: in_order,
    })
}

/// Bytes that were taken out of a log and kept.
// Persisted: never rename a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The part of the log that they stood in, from 1.
    pub part: u32,
    /// Where they stood: bytes from the start of the part, or a row number where the medium has no bytes.
    pub offset: u64,
    /// How many they are.
    pub bytes: u64,
    /// Where they are kept, for a person; `None` when nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What a rollback did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Names it in the record of events.
    pub migration_id: MigrationId,
    /// The checkpoint's number.
    pub checkpoint: u64,
    /// Where the segment ended before.
    pub before: EndState,
    /// Where it ends now: at the checkpoint.
    pub after: Chain,
    /// How many entries went to quarantine.
    pub removed: u64,
    /// Where they are.
    pub quarantined: Vec<Quarantined>,
    /// What was found when the result was read back; of a dry run, what was found in the log that would be left.
    pub verification: Verification,
}

/// What a repair did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Names it in the record of events; `None` if there was nothing to repair, and nothing was changed or recorded.
    pub migration_id: Option<MigrationId>,
    /// How many valid entries were kept.
    pub kept: u64,
    /// The seqs whose entries are lost, in order.
    pub lost: Vec<Lost>,
    /// The bytes that held no valid entry.
    pub quarantined: Vec<Quarantined>,
    /// Where the segment ends now.
    pub after: Chain,
    /// What was found when the result was read back; of a dry run, what was found in the log that would be left.
    pub verification: Verification,
}

/// How much was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// How many things.
    pub removed: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

/// What a collection removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// Blobs that nothing refers to.
    pub blobs: Collected,
    /// What stopped processes left behind.
    pub temporary: Collected,
}

/// Runs a rollback or a repair of an existing segment and records how it ended, whichever way that is.
///
/// `act` does it and answers with the event that describes it. If it fails, `intended` is recorded with the error's class; if
/// that cannot be recorded either, the first error is the answer. A dry run records nothing. A success that cannot be
/// recorded fails, and says so as the recorder does: what `act` did stands.
///
/// # Errors
/// What `act` fails with; what recording fails with.
pub fn maintained<T>(
    options: &MaintenanceOptions,
    intended: EventKind,
    record: impl Fn(&Event) -> Result<()>,
    act: impl FnOnce() -> Result<(T, Option<EventKind>)>,
) -> Result<T> {
    let correlation_id = options.correlation_id.clone();
    match act() {
        Ok((done, what)) => {
            if let Some(what) = what.filter(|_| !options.dry_run) {
                record(&Event { correlation_id, ..Event::done(options.now, what) })?;
            }
            Ok(done)
        }
        Err(error) => {
            let nothing_to_record = matches!(error, StoreError::ReadOnly | StoreError::UnsupportedVersion { .. });
            if !options.dry_run && !nothing_to_record {
                let outcome = Outcome::of_error(&error);
                let error_class = Some(error.class().to_owned());
                let event = Event { ts: options.now, what: intended, outcome, error_class, correlation_id };
                // Whoever called wants to know why it failed, not that this could not be written down.
                let _ = record(&event);
            }
            Err(error)
        }
    }
}

/// A log that was read from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Where it ends, and the chain's head there.
    pub chain: Chain,
    /// The stored checksum of its last entry.
    pub last_crc32c: u32,
    /// How many bytes it has, as the backend counts them.
    pub bytes: u64,
}

/// Reads a log from its start through the entry `through`, which has to be whole up to there; `None`: to its end. What a checkpoint is
/// made of, and what it is held against before anything is rolled back to it.
///
/// What was never acknowledged, a torn tail, is not counted. `scan` is as [`Integrity::scan`](super::Integrity::scan).
///
/// # Errors
/// `Corrupt` with the first damage on the way, or if the log ends before `through`; what `scan` fails with.
pub fn measure(
    segment: SegmentId,
    through: Option<Seq>,
    scan: impl FnOnce(&mut Visit<'_>) -> Result<()>,
) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut damage = None;
    scan(&mut |scanned| {
        if through == Some(measured.chain.seq) {
            return ControlFlow::Break(());
        }
        let next = Some(measured.chain.seq.next());
        match scanned {
            Scanned::Entry(entry) if Some(entry.position.seq) == next => {
                measured.chain.push(entry.text);
                measured.last_crc32c = entry.position.crc32c;
                measured.bytes += entry.bytes;
                return ControlFlow::Continue(());
            }
            Scanned::Entry(entry) => {
                let detail = format!("seq {} stands here", entry.position.seq);
                let (part, offset) = (entry.part, entry.offset);
                damage = Some(Damage { segment: Some(segment), part, offset, seq: next, detail });
            }
            Scanned::Damaged(stretch) if !stretch.kind.is_damage() => return ControlFlow::Continue(()),
            Scanned::Damaged(Stretch { part, offset, seq, detail, .. }) => {
                damage = Some(Damage { segment: Some(segment), part, offset, seq, detail });
            }
        }
        ControlFlow::Break(())
    })?;
    if damage.is_none() && through.is_some_and(|through| measured.chain.seq < through) {
        let detail = format!("the log ends after {} entries", measured.chain.seq);
        let seq = Some(measured.chain.seq.next());
        damage = Some(Damage { segment: Some(segment), part: 1, offset: measured.bytes, seq, detail });
    }
    match damage {
        Some(damage) => Err(StoreError::Corrupt(damage)),
        None => Ok(measured),
    }
}

/// Whether a log that was measured through a checkpoint is the one that the checkpoint saw.
///
/// # Errors
/// `Corrupt`.
pub fn check_head(segment: SegmentId, checkpoint: &Checkpoint, found: Chain) -> Result<()> {
    if found == (Chain { seq: checkpoint.seq, head: checkpoint.head }) {
        return Ok(());
    }
    let Checkpoint { number, seq, head, .. } = checkpoint;
    let detail = format!("checkpoint {number} saw head {head} at seq {seq}, the log has {} there", found.head);
    Err(StoreError::Corrupt(Damage { segment: Some(segment), part: 1, offset: 0, seq: Some(*seq), detail }))
}
