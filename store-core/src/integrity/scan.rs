//! A segment's log as it lies on the medium: valid entries, and what is between them.

use std::ops::ControlFlow;

use super::contract::Integrity;
use super::finding::{Finding, FindingKind};
use crate::entry::LogEntry;
use crate::error::Result;
use crate::id::{Position, SegmentId, Seq, SessionId};
use crate::store::Record;

/// The next thing in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned<'a> {
    /// An entry whose stored bytes are what was written. That its seq follows the one before is for the reader to see.
    Entry(ScannedEntry<'a>),
    /// A stretch that holds no valid entry.
    Damaged(Stretch),
}

/// What a scan hands each thing to. `Break` ends the scan.
pub type Visit<'a> = dyn FnMut(Scanned<'_>) -> ControlFlow<()> + 'a;

/// An entry with a right checksum, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedEntry<'a> {
    /// Its place and checksum.
    pub position: Position,
    /// Its idempotency key.
    pub key: Option<&'a str>,
    /// Its own text.
    pub text: &'a str,
    /// The part of the log that holds it, from 1.
    pub part: u32,
    /// Bytes from the start of the part; a row number where the medium has no bytes.
    pub offset: u64,
    /// How many bytes it takes there, its newline included.
    pub bytes: u64,
    /// What the medium keeps beside the entry and is not what its text says, for a person; `None` if there is no such thing. The entry is valid all
    /// the same.
    pub out_of_step: Option<&'a str>,
}

/// A stretch of a log that holds no valid entry.
///
/// A stretch is as short as the medium can tell: a line, a row. One of no bytes is a fault between two entries, such as a call that
/// is not whole, or what is wrong with the log as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The part of the log that holds it, from 1.
    pub part: u32,
    /// Bytes from the start of the part; a row number where the medium has no bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The seq that should stand at its start, where it is known.
    pub seq: Option<Seq>,
    /// What kind of damage it is.
    pub kind: FindingKind,
    /// What is wrong, for a person.
    pub detail: String,
}

impl Stretch {
    /// The stretch as something that was found.
    pub fn to_finding(&self, session: SessionId, segment: SegmentId) -> Finding {
        Finding {
            session_id: Some(session),
            segment_id: Some(segment),
            part: self.part,
            offset: self.offset,
            seq: self.seq,
            kind: self.kind,
            detail: self.detail.clone(),
        }
    }
}

/// What is left of a damaged segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Salvage {
    /// Every valid entry, by seq, each seq once.
    pub records: Vec<Record>,
    /// Every damaged stretch, in the order of the log.
    pub damaged: Vec<Stretch>,
}

/// Everything that is valid in a segment, and every damaged stretch; changes nothing.
///
/// Of two valid entries with one seq the first in the log is given. The whole segment is held in memory: where that is too
/// much, use [`Integrity::scan`].
///
/// # Errors
/// `NotFound`; those of the medium. Damage is no error here.
pub fn salvage(store: &dyn Integrity, session: SessionId, segment: SegmentId) -> Result<Salvage> {
    let mut records: std::collections::BTreeMap<Seq, Record> = std::collections::BTreeMap::new();
    let mut damaged = Vec::new();
    store.scan(session, segment, &mut |scanned| {
        match scanned {
            Scanned::Damaged(stretch) => damaged.push(stretch),
            Scanned::Entry(found) => match LogEntry::from_text(found.text) {
                Ok(entry) => {
                    let (position, text) = (found.position, found.text.to_owned());
                    let record = Record { position, key: found.key.map(str::to_owned), text, entry };
                    records.entry(position.seq).or_insert(record);
                }
                Err(error) => damaged.push(Stretch {
                    part: found.part,
                    offset: found.offset,
                    bytes: found.bytes,
                    seq: Some(found.position.seq),
                    kind: FindingKind::Json,
                    detail: error.to_string(),
                }),
            },
        }
        ControlFlow::Continue(())
    })?;
    Ok(Salvage { records: records.into_values().collect(), damaged })
}
