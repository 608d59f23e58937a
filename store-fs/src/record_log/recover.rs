//! Where a log truly ends, and taking out what a crash left behind that point.
//!
//! Only the end of the file is looked at, so the cost does not follow the log's length. A stopped write leaves
//! bytes without a complete checksum, or a call whose `more` was never fulfilled; both are uncounted by readers and
//! moved to quarantine by the next writer. Whatever else does not fit is damage, and nobody touches it.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use store_core::codec::{Line, Tail, decode_line, decode_tail};
use store_core::{Result, Seq, StoreError};

use super::append::append_all_or_nothing;
use super::read::{Lines, View, copy_range};
use super::{Known, RecordLog};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::At as _;
use crate::events::EventKind;
use crate::layout::LogName;
use crate::store::ensure_folder;

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The last entry's seq; 0 if there is none.
    pub(crate) seq: Seq,
    /// Its checksum.
    pub(crate) crc32c: u32,
    /// The length of what is valid.
    pub(crate) bytes: u64,
    /// What the last line lacks to be one.
    pub(crate) missing: &'static [u8],
    /// Whether what stands behind the end is what a power loss left.
    pub(crate) hole: bool,
}

impl End {
    pub(crate) const EMPTY: Self = Self { seq: Seq::START, crc32c: 0, bytes: 0, missing: b"", hole: false };
}

impl View<'_> {
    /// Finds the end of the last complete call.
    pub(crate) fn end(&self) -> Result<End> {
        if self.sealed {
            return self.sealed_end();
        }
        let hole = self.find_hole()?;
        if let Some(offset) = hole.filter(|_| !self.confirmed) {
            // A writer that takes back a torn line may show zeros for a moment.
            return Err(self.corrupt(offset, None, "zeros stand here"));
        }
        let end = End { hole: hole.is_some(), ..self.cut(hole.unwrap_or(self.bytes)).find_end()? };
        if end.seq == Seq::START && self.name.segment.is_some() {
            // A segment appears with its first call or not at all, so this is no stopped write.
            return Err(self.lost_first_call()?);
        }
        if let Some(checked) = self.checked {
            checked.store(end.bytes, Ordering::Release);
        }
        Ok(end)
    }

    /// What is wrong with a segment's log without one complete call, at the place where its entries end.
    fn lost_first_call(&self) -> Result<StoreError> {
        let (mut offset, mut next) = (0, Seq(1));
        let mut lines = Lines::new(self, &self.whole(), 0);
        while let Some((start, bytes)) = lines.next_line()? {
            if !decode_line(&self.name.context, bytes).is_ok_and(|line| line.seq == next) {
                break;
            }
            (offset, next) = (start + bytes.len() as u64 + 1, next.next());
        }
        let detail =
            if next == Seq(1) { "the log has lost its first entry" } else { "the log's first call is cut off" };
        Ok(self.corrupt(offset.min(self.bytes), Some(next), detail))
    }

    pub(super) fn find_end(&self) -> Result<End> {
        let tail_start = self.line_start_before(self.bytes)?;
        let mut follower = None;
        if tail_start < self.bytes {
            let tail = self.read_bytes(tail_start, self.bytes)?;
            match decode_tail(&self.name.context, &tail) {
                Tail::Complete { line, missing } if line.more == 0 => {
                    self.check_follows(tail_start, line.seq)?;
                    return Ok(End { seq: line.seq, crc32c: line.crc32c, bytes: self.bytes, missing, hole: false });
                }
                Tail::Complete { line, .. } => follower = Some((line.seq, line.more)),
                Tail::Torn => {}
                Tail::Damaged(error) => return Err(self.corrupt(tail_start, None, error.to_string())),
            }
        }
        let mut at = tail_start;
        while at > 0 {
            let start = self.line_start_before(at - 1)?;
            let bytes = self.read_bytes(start, at - 1)?;
            let line = decode_line(&self.name.context, &bytes)
                .map_err(|error| self.corrupt(start, None, error.to_string()))?;
            self.check_followed(at, &line, follower)?;
            if line.more == 0 {
                self.check_follows(start, line.seq)?;
                return Ok(End { seq: line.seq, crc32c: line.crc32c, bytes: at, missing: b"", hole: false });
            }
            follower = Some((line.seq, line.more));
            at = start;
        }
        self.end_before()
    }

    /// The last line is the count, so it has to be one more than the line before it says. A line of the same log that stands there a
    /// second time has a checksum that matches, and entries behind it would get seqs that are taken.
    fn check_follows(&self, start: u64, seq: Seq) -> Result<()> {
        let before = match start.checked_sub(1) {
            None => self.before,
            Some(newline) => self.claimed_seq(self.line_start_before(newline)?, start)?,
        };
        match before {
            Some(before) if before.next() != seq => {
                Err(self.corrupt(start, Some(before.next()), format!("seq {seq} stands here")))
            }
            // A line before it that claims nothing is damage, which its readers are told of.
            _ => Ok(()),
        }
    }

    /// Lines of an unfinished call count down to its last one; before it stands the end of a finished call. The follower starts
    /// at `start`.
    fn check_followed(&self, start: u64, line: &Line<'_>, follower: Option<(Seq, u64)>) -> Result<()> {
        let Some((seq, more)) = follower else { return Ok(()) };
        if line.seq.next() == seq && (line.more == 0 || line.more == more + 1) {
            return Ok(());
        }
        Err(self.corrupt(start, Some(line.seq.next()), format!("seq {seq} with {more} more stands here")))
    }
}

impl RecordLog {
    /// Makes the file end where its last complete call ends. The caller holds the log's lock.
    pub(super) fn heal(&self, known: &Known) -> Result<Known> {
        let End { bytes, missing, .. } = known.end;
        if bytes < known.bytes {
            self.take_out(&known.end, known.bytes)?;
            self.file.truncate(bytes).at("truncate", &self.name.path)?;
            self.sync_or_poison()?;
        }
        if !missing.is_empty() {
            append_all_or_nothing(&*self.file, bytes, missing).at("append to", &self.name.path)?;
            // A power loss must leave zeros behind this line, not within it.
            self.sync_or_poison()?;
        }
        let bytes = bytes + missing.len() as u64;
        Ok(Known { bytes, end: End { bytes, missing: b"", hole: false, ..known.end } })
    }

    /// Copies what stands behind the end of a file of `bytes` bytes to quarantine, and records it if a power loss left it.
    pub(super) fn take_out(&self, end: &End, bytes: u64) -> Result<()> {
        let kept = quarantine(&*self.disk, &self.name, &*self.file, end.bytes..bytes)?;
        if !end.hole {
            return Ok(());
        }
        self.record(EventKind::HoleTakenOut {
            log: self.name.relative(),
            segment: self.name.segment,
            after: end.seq,
            offset: end.bytes,
            bytes: bytes - end.bytes,
            kept: self.name.relative_path(&kept),
        })
    }
}

/// Copies bytes out of a log's file and returns when the copy is on stable storage.
pub(crate) fn quarantine(disk: &dyn Disk, name: &LogName, file: &dyn DiskFile, bytes: Range<u64>) -> Result<PathBuf> {
    let folder = &name.quarantine;
    ensure_folder(disk, folder)?;
    let (path, copy) = create_quarantined(disk, name, bytes.start)?;
    let view = View::new(file, name, bytes.end);
    let copied = copy_range(&view, bytes.start, &*copy).and_then(|()| copy.sync_file().at("sync", &path));
    if let Err(error) = copied {
        // Half a copy is of no use to anybody; the log itself still holds the bytes.
        let _ = disk.remove_file(&path);
        return Err(error);
    }
    disk.sync_folder(folder).at("sync", folder)?;
    Ok(path)
}

fn create_quarantined(disk: &dyn Disk, name: &LogName, offset: u64) -> Result<(PathBuf, Box<dyn DiskFile>)> {
    let mut attempt = 1;
    loop {
        let path = name.quarantined(offset, attempt);
        match disk.open(&path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            opened => return Ok((path.clone(), opened.at("create", &path)?)),
        }
    }
}
