//! One segment: what stands in the target is compared, what is missing is added, and what was added is read back.

use store_core::chain::Chain;
use store_core::integrity::{Checkpoint, ListedCheckpoint, NewCheckpoint};
use store_core::{
    AppendOptions, Backend, CreateOptions, Durability, Expected, NewEntry, Position, Record, SegmentId, Seq, SessionId,
    StoreError,
};

use super::beside::Blobs;
use super::records::Records;
use super::{MigrateFailureKind, MigrateVerification};
use crate::segment::entries_there;

/// About how many bytes of text, and how many entries at most, are written in one call.
const CALL_BYTES: usize = 4 << 20;
const CALL_ENTRIES: usize = 1024;

/// What was done with a segment.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// How many entries the source has.
    pub(super) entries: u64,
    /// How many of them were copied.
    pub(super) new_entries: u64,
    /// How many checkpoints were made.
    pub(super) checkpoints: u64,
    /// Whether the target holds what the source has.
    pub(super) verification: MigrateVerification,
    /// For a person.
    pub(super) warnings: Vec<String>,
}

/// Why a segment was not copied to its end.
#[derive(Debug)]
pub(super) enum Problem {
    /// Somebody said stop.
    Stopped,
    /// One of the stores failed.
    Store(StoreError),
    /// The target has something else there.
    Differs(String),
    /// What it continues was not copied.
    Ancestor(SegmentId),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Problem {
    /// What it means for this one segment; `None` if it is not about this one alone.
    pub(super) fn of_one_segment(&self) -> Option<(MigrateFailureKind, String)> {
        match self {
            Self::Stopped => None,
            Self::Differs(detail) => Some((MigrateFailureKind::Differs, detail.clone())),
            Self::Ancestor(segment) => {
                let detail = format!("it continues segment {segment}, which was not copied");
                Some((MigrateFailureKind::Ancestor, detail))
            }
            Self::Store(error) => {
                let kind = match error {
                    StoreError::Corrupt(_) => MigrateFailureKind::Damaged,
                    StoreError::AlreadyExists { .. } | StoreError::Conflict { .. } | StoreError::KeyReused { .. } => {
                        MigrateFailureKind::Differs
                    }
                    StoreError::InvalidOrigin { .. }
                    | StoreError::InvalidEntry { .. }
                    | StoreError::TooLarge { .. }
                    | StoreError::NotFound(_)
                    | StoreError::Io { .. } => MigrateFailureKind::Refused,
                    _ => return None,
                };
                Some((kind, error.to_string()))
            }
        }
    }
}

/// The way of one segment from a store into another.
pub(super) struct Passage<'a> {
    pub(super) source: &'a dyn Backend,
    pub(super) target: &'a dyn Backend,
    pub(super) session: SessionId,
    pub(super) segment: SegmentId,
    pub(super) dry_run: bool,
}

impl Passage<'_> {
    /// Copies what the target lacks of the entries that the source has now. `copied` says how far that came, also if it fails. `each` is told how many
    /// entries were dealt with, and says whether to go on.
    ///
    /// Somebody else may copy the same: what they were quicker with is compared like everything that is there.
    pub(super) fn copy(&self, copied: &mut Copied, each: &mut dyn FnMut(u64) -> bool) -> Result<(), Problem> {
        loop {
            let there = self.count_there()?;
            let done = self.copy_once(copied, each);
            let is_overtaken =
                matches!(done, Err(Problem::Store(StoreError::AlreadyExists { .. } | StoreError::Conflict { .. })));
            // The target grows each time, and to what the source has at the most.
            if !is_overtaken || self.count_there()? <= there {
                return done;
            }
        }
    }

    fn copy_once(&self, copied: &mut Copied, each: &mut dyn FnMut(u64) -> bool) -> Result<(), Problem> {
        let count = self.source.read_entry_count(self.session, self.segment)?;
        copied.entries = count;
        let mut marks = Marks::new(self, copied)?;
        let there = self.count_there()?;
        let mut ours = Records::new(self.source, self.session, self.segment, Seq(count));
        let (mut chain, mut end) = self.compare(&mut ours, count.min(there), each)?;
        if there <= count {
            marks.make(self, chain, copied)?;
        }
        let mut call = Call::default();
        while let Some(record) = ours.next()? {
            chain.push(&record.text);
            let is_last = chain.seq.0 == count;
            let is_full = call.push(record) || is_last || marks.is_at(chain.seq);
            if is_full {
                let call = std::mem::take(&mut call);
                let written = call.records.len() as u64;
                end = self.write(call, end, is_last, copied)?;
                copied.new_entries += written;
                marks.make(self, chain, copied)?;
                if !each(written) && !is_last {
                    return Err(Problem::Stopped);
                }
            }
        }
        marks.tell_left(copied);
        if copied.new_entries > 0 && !self.dry_run {
            copied.verification = self.read_back(chain)?;
        }
        Ok(())
    }

    /// How many entries the target has of the segment.
    fn count_there(&self) -> Result<u64, Problem> {
        match self.target.lookup_session_of(self.segment)? {
            None => Ok(entries_there(self.target, self.session, self.segment)?.unwrap_or_default()),
            Some(session) if session == self.session => Ok(self.target.read_entry_count(self.session, self.segment)?),
            Some(other) => Err(Problem::Differs(format!("it belongs to session {other} there"))),
        }
    }

    /// Holds the first `common` entries of both logs against each other; answers with the chain over them and the position of the last one there.
    fn compare(
        &self,
        ours: &mut Records<'_>,
        common: u64,
        each: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(Chain, Option<Position>), Problem> {
        let mut theirs = Records::new(self.target, self.session, self.segment, Seq(common));
        let (mut chain, mut end, mut told) = (Chain::START, None, 0);
        while let Some(other) = theirs.next()? {
            let Some(record) = ours.next()? else { break };
            let seq = other.position.seq;
            if record.text != other.text {
                return Err(Problem::Differs(format!("entry {seq} says something else there")));
            }
            if record.key != other.key {
                return Err(Problem::Differs(format!("entry {seq} has another key there")));
            }
            chain.push(&record.text);
            end = Some(other.position);
            if chain.seq.0.is_multiple_of(CALL_ENTRIES as u64) || chain.seq.0 == common {
                if !each(chain.seq.0 - told) {
                    return Err(Problem::Stopped);
                }
                told = chain.seq.0;
            }
        }
        Ok((chain, end))
    }

    /// Writes a call behind `end`; the last one of a segment makes all of it durable.
    fn write(
        &self,
        call: Call,
        end: Option<Position>,
        is_last: bool,
        copied: &mut Copied,
    ) -> Result<Option<Position>, Problem> {
        let mut blobs = Blobs::default();
        for record in &call.records {
            if self.dry_run {
                blobs.look(self.source, &record.text)?;
            } else {
                blobs.bring(self.source, self.target, &record.text)?;
            }
        }
        for address in &blobs.missing {
            let warning = format!("blob {address} is missing in the source, too");
            if !copied.warnings.contains(&warning) {
                copied.warnings.push(warning);
            }
        }
        if self.dry_run {
            return Ok(None);
        }
        let entries: Vec<NewEntry> = call.records.into_iter().map(new_entry).collect();
        let durability = Some(if is_last { Durability::Synced } else { Durability::Buffered });
        let positions = match end {
            None => self.target.create_segment(self.session, self.segment, &entries, &CreateOptions { durability })?,
            Some(end) => {
                let options = AppendOptions { expected: Some(Expected::At(end)), durability };
                self.target.append_with(self.session, self.segment, &entries, &options)?
            }
        };
        Ok(positions.last().copied())
    }

    /// Reads what the target has now.
    fn read_back(&self, expected: Chain) -> Result<MigrateVerification, Problem> {
        let count = self.target.read_entry_count(self.session, self.segment)?;
        let mut chain = Chain::START;
        let mut theirs = Records::new(self.target, self.session, self.segment, expected.seq);
        while let Some(record) = theirs.next()? {
            chain.push(&record.text);
        }
        Ok(MigrateVerification {
            entry_count_match: count >= expected.seq.0 && chain.seq == expected.seq,
            hash_chain_match: chain.head == expected.head,
        })
    }
}

fn new_entry(record: Record) -> NewEntry {
    let entry = NewEntry::text(record.text);
    match record.key {
        Some(key) => entry.with_key(key),
        None => entry,
    }
}

/// Entries that are written together.
#[derive(Debug, Default)]
struct Call {
    records: Vec<Record>,
    bytes: usize,
}

impl Call {
    /// Adds an entry; answers whether that is enough.
    fn push(&mut self, record: Record) -> bool {
        self.bytes += record.text.len();
        self.records.push(record);
        self.bytes >= CALL_BYTES || self.records.len() >= CALL_ENTRIES
    }
}

/// The checkpoints of the source that the target lacks.
#[derive(Default)]
struct Marks {
    /// Those that can still be made, the first one last.
    next: Vec<Checkpoint>,
    /// The target has gone on behind them.
    passed: Vec<Checkpoint>,
}

impl Marks {
    fn new(passage: &Passage<'_>, copied: &mut Copied) -> Result<Self, Problem> {
        let (session, segment) = (passage.session, passage.segment);
        let Some(source) = passage.source.integrity() else { return Ok(Self::default()) };
        let listed = match source.checkpoints(session, segment) {
            Ok(listed) => live(listed),
            Err(StoreError::Corrupt(damage)) => {
                copied.warnings.push(format!("the checkpoints were left behind: {damage}"));
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        if listed.is_empty() {
            return Ok(Self::default());
        }
        let Some(target) = passage.target.integrity() else {
            copied.warnings.push("the checkpoints were left behind: the target keeps none".to_owned());
            return Ok(Self::default());
        };
        let there = match target.checkpoints(session, segment) {
            Ok(listed) => live(listed),
            Err(StoreError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let same =
            |a: &Checkpoint, b: &Checkpoint| (a.seq, a.head, &a.name, &a.reason) == (b.seq, b.head, &b.name, &b.reason);
        let mut lacking: Vec<Checkpoint> =
            listed.into_iter().filter(|one| !there.iter().any(|other| same(one, other))).collect();
        lacking.sort_by_key(|one| std::cmp::Reverse((one.seq, one.number)));
        Ok(Self { next: lacking, passed: Vec::new() })
    }

    /// Whether one is to be made behind this entry.
    fn is_at(&self, seq: Seq) -> bool {
        self.next.last().is_some_and(|next| next.seq == seq)
    }

    /// Makes those of the entry that the target ends with now.
    fn make(&mut self, passage: &Passage<'_>, end: Chain, copied: &mut Copied) -> Result<(), Problem> {
        while let Some(passed) = self.next.pop_if(|next| next.seq < end.seq) {
            self.passed.push(passed);
        }
        while let Some(mark) = self.next.pop_if(|next| next.seq == end.seq) {
            if mark.head != end.head {
                copied.warnings.push(format!("checkpoint {} was left behind: it is not of this log", mark.number));
                continue;
            }
            copied.checkpoints += 1;
            let Some(target) = passage.target.integrity().filter(|_| !passage.dry_run) else { continue };
            let new = NewCheckpoint { reason: mark.reason, name: mark.name, now: mark.created_at };
            let made = target.checkpoint(passage.session, passage.segment, &new)?;
            if made.number != mark.number {
                // A number counts what was made in a store, and what does not hold any more is not made again.
                copied.warnings.push(format!("checkpoint {} is number {} there", mark.number, made.number));
            }
        }
        Ok(())
    }

    /// Behind an entry that is not the target's last no checkpoint can be made.
    fn tell_left(self, copied: &mut Copied) {
        let left = self.passed.iter().chain(self.next.iter().rev());
        copied.warnings.extend(left.map(|mark| {
            let Checkpoint { number, seq, .. } = mark;
            format!("checkpoint {number} was left behind: the target has more than the {seq} entries it is of")
        }));
    }
}

fn live(listed: Vec<ListedCheckpoint>) -> Vec<Checkpoint> {
    listed.into_iter().filter(|one| !one.void).map(|one| one.checkpoint).collect()
}
