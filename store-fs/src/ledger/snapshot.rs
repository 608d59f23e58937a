//! The state of a book as bytes, kept in a snapshot set, so that opening costs what was written since.
//!
//! ```text
//! "podLsnp1"  then, little-endian: u64 seq · u32 crc32c of that event's line · u64 events · u64 commit time each ·
//! u64 accounts · each: u32 length, text of its opening · u64 opened · u64 marks · (u64 seq, i64 net) each ·
//! u64 put aside through · u64 pairs · (u64 fingerprint, u64 seq) each · u32 CRC-32C of everything before
//! ```
//!
//! A snapshot that is not whole, or that is not of this log, says nothing: the one before it is tried, and at last the log is read from its
//! start. It is a copy of what the log says, and never the only one.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use store_core::ledger::{Account, BookName, BookState, EventBody, Mark, text};
use store_core::snapshot_set::{PublishOptions, SnapshotOrdinal, SnapshotSet as _, SnapshotType};
use store_core::{Position, Seq};

use crate::disk::Disk;
use crate::record_log::Pair;
use crate::snapshot_set::FileSnapshotSet;

// Persisted: never renumber or reuse.
const MAGIC: &[u8; 8] = b"podLsnp1";

/// What a snapshot holds.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The last event that it knows, and the checksum of its line.
    pub(super) position: Position,
    pub(super) state: BookState,
    /// What of the keys was put aside then, and what was held.
    pub(super) put_aside: Seq,
    pub(super) recent: Vec<Pair>,
}

pub(super) fn encode(
    position: Position,
    state: &BookState,
    put_aside: Seq,
    recent: impl ExactSizeIterator<Item = Pair>,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64 + 8 * state.times().len() + 16 * recent.len());
    let mut put = |number: u64| bytes.extend_from_slice(&number.to_le_bytes());
    put(position.seq.0);
    put(state.times().len() as u64);
    state.times().iter().for_each(|time| put(*time));
    put(state.rows().count() as u64);
    for (account, opened, marks) in state.rows() {
        let text = text::encode(0, &EventBody::AccountOpened(account.clone())).ok()?;
        bytes.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(&opened.0.to_le_bytes());
        bytes.extend_from_slice(&(marks.len() as u64).to_le_bytes());
        for mark in marks {
            bytes.extend_from_slice(&mark.seq.0.to_le_bytes());
            bytes.extend_from_slice(&mark.net.to_le_bytes());
        }
    }
    bytes.extend_from_slice(&put_aside.0.to_le_bytes());
    bytes.extend_from_slice(&(recent.len() as u64).to_le_bytes());
    for (fingerprint, seq) in recent {
        bytes.extend_from_slice(&fingerprint.to_le_bytes());
        bytes.extend_from_slice(&seq.0.to_le_bytes());
    }
    let mut whole = Vec::with_capacity(bytes.len() + 16);
    whole.extend_from_slice(MAGIC);
    whole.extend_from_slice(&position.crc32c.to_le_bytes());
    whole.append(&mut bytes);
    let crc = crc32c::crc32c(&whole);
    whole.extend_from_slice(&crc.to_le_bytes());
    Some(whole)
}

/// What is left of the bytes to read.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A number of things that have so many bytes each, and those bytes.
    fn counted(&mut self, bytes_each: usize) -> Option<impl Iterator<Item = Rest<'b>> + use<'b>> {
        let count = usize::try_from(self.u64()?).ok()?;
        let bytes = self.take(count.checked_mul(bytes_each)?)?;
        Some(bytes.chunks_exact(bytes_each).map(Rest))
    }
}

pub(super) fn decode(book: &BookName, bytes: &[u8]) -> Option<Snapshot> {
    let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc32c::crc32c(body).to_le_bytes() != crc {
        return None;
    }
    let mut rest = Rest(body.strip_prefix(MAGIC)?);
    let crc32c = rest.u32()?;
    let position = Position { seq: Seq(rest.u64()?), crc32c };
    let times = rest.counted(8)?.map(|mut time| time.u64()).collect::<Option<Vec<_>>>()?;
    let accounts = rest.u64()?;
    let mut rows = Vec::new();
    for _ in 0..accounts {
        rows.push(decode_row(book, &mut rest)?);
    }
    let put_aside = Seq(rest.u64()?);
    let pair = |mut pair: Rest<'_>| Some((pair.u64()?, Seq(pair.u64()?)));
    let recent = rest.counted(16)?.map(pair).collect::<Option<Vec<_>>>()?;
    let state = BookState::of_parts(book, times, rows)?;
    (rest.0.is_empty() && state.last_seq() == position.seq).then_some(Snapshot { position, state, put_aside, recent })
}

fn decode_row(book: &BookName, rest: &mut Rest<'_>) -> Option<(Account, Seq, Vec<Mark>)> {
    let length = usize::try_from(rest.u32()?).ok()?;
    let opening = std::str::from_utf8(rest.take(length)?).ok()?;
    let account = text::account(book, &text::parse(book, Seq::START, opening).ok()?)?;
    let opened = Seq(rest.u64()?);
    let mark = |mut mark: Rest<'_>| Some(Mark { seq: Seq(mark.u64()?), net: mark.u64()?.cast_signed() });
    Some((account, opened, rest.counted(16)?.map(mark).collect::<Option<_>>()?))
}

/// Hands the snapshots of a book to `accept`, from the newest on, until it accepts one.
pub(super) fn find<T>(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    book: &BookName,
    mut accept: impl FnMut(Snapshot) -> Option<T>,
) -> Option<T> {
    let set = FileSnapshotSet::open_read_only_on(Arc::clone(disk), folder).ok()?;
    let mut before: Option<SnapshotOrdinal> = None;
    loop {
        let found = match before {
            None => set.get_snapshots_to_restore(),
            Some(ordinal) => set.get_snapshots_to_restore_before(ordinal),
        };
        let ordinal = match found {
            Ok(found) => found.full?.ordinal,
            // One that is not whole stands in the way of those before it.
            Err(_) => newest_before(&set, before)?,
        };
        let mut bytes = Vec::new();
        let read = set.read_shard(ordinal, 0).ok().and_then(|mut shard| shard.read_to_end(&mut bytes).ok());
        if let Some(accepted) = read.and_then(|_| decode(book, &bytes)).and_then(&mut accept) {
            return Some(accepted);
        }
        before = Some(ordinal);
    }
}

/// Every snapshot of a book, from the oldest on; `None` for one that is not whole.
pub(super) fn all(disk: &Arc<dyn Disk>, folder: &Path, book: &BookName) -> Vec<(SnapshotOrdinal, Option<Snapshot>)> {
    let Ok(set) = FileSnapshotSet::open_read_only_on(Arc::clone(disk), folder) else { return Vec::new() };
    let listed = set.list_snapshots().unwrap_or_default();
    let full = listed.into_iter().filter(|info| info.kind == SnapshotType::FullCompleted);
    let read = |ordinal| {
        let mut bytes = Vec::new();
        let read = set.read_shard(ordinal, 0).ok().and_then(|mut shard| shard.read_to_end(&mut bytes).ok());
        read.and_then(|_| decode(book, &bytes))
    };
    full.map(|info| (info.ordinal, read(info.ordinal))).collect()
}

fn newest_before(set: &FileSnapshotSet, before: Option<SnapshotOrdinal>) -> Option<SnapshotOrdinal> {
    let full = set.list_snapshots().ok()?.into_iter().filter(|info| info.kind == SnapshotType::FullCompleted);
    full.map(|info| info.ordinal).filter(|ordinal| before.is_none_or(|before| *ordinal < before)).max()
}

/// Makes a snapshot of these bytes, and returns when it is on stable storage.
pub(super) fn publish(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    bytes: &[u8],
) -> store_core::snapshot_set::SnapshotResult<()> {
    let set = FileSnapshotSet::open_on(Arc::clone(disk), folder)?;
    let info = set.create_or_get_snapshot(SnapshotType::Pending, 1, false)?;
    let mut shard = set.write_shard(info.ordinal, 0)?;
    shard.write_all(bytes).map_err(|error| store_core::StoreError::io("write", folder, error))?;
    shard.finish()?;
    set.publish_completed_snapshot(info.ordinal, PublishOptions::PURGE_ALL)?;
    Ok(())
}
