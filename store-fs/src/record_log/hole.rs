//! What a power loss leaves in a log that was not synced: zeros where bytes should be.
//!
//! No line holds a zero byte. So a line that breaks into zeros was never written by anybody: it is a stretch of the
//! file that grew without reaching the medium. Where a line says that everything up to there was on stable storage,
//! that is no power loss's doing, and it is damage like any other.
//!
//! The stretch that no line vouches for is looked through once by each handle, from the end backward, and after
//! that only what was added.

use std::sync::atomic::Ordering;

use memchr::{memchr, memmem, memrchr};
use store_core::codec::{Tail, decode_line, decode_tail};
use store_core::{Result, Seq};

use super::End;
use super::read::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Lines, View};

/// So many zeros in a row are no flipped bit.
const ZEROS: [u8; 8] = [0; 8];
/// Where in a line the mark stands: its name, the longest number, and the checksum's field.
const MARK_BYTES_MAX: usize = 64;
const MARK_OPEN: &[u8] = br#","synced":"#;

impl View<'_> {
    /// Where the hole starts, if there is one: where the first line starts that breaks into zeros beyond what is known to have been
    /// on stable storage, or where that line's zeros start if it lacks nothing but its closing bytes.
    pub(super) fn find_hole(&self) -> Result<Option<u64>> {
        let checked = self.checked.map_or(0, |checked| checked.load(Ordering::Acquire));
        let from = if checked <= self.bytes { checked } else { 0 };
        if self.has_doubtful_zero(from)? { self.look_for_hole() } else { Ok(None) }
    }

    /// Whether a zero stands behind `from` in what no line says to have been on stable storage.
    fn has_doubtful_zero(&self, from: u64) -> Result<bool> {
        let (mut at, mut chunk) = (self.bytes, CHUNK_BYTES_MIN);
        let mut mark = Seq::START;
        while at > from {
            let start = if at - from <= chunk { from } else { self.line_start_before(at - chunk)?.max(from) };
            let bytes = self.read_bytes(start, at)?;
            if memchr(0, &bytes).is_some() {
                return Ok(true);
            }
            mark = mark.max(self.last_mark(&bytes));
            if at == self.bytes && start > from {
                mark = mark.max(self.first_call()?);
            }
            if self.claimed_seq(start, at)?.is_some_and(|seq| seq <= mark) {
                return Ok(false);
            }
            (at, chunk) = (start, (chunk * 2).min(CHUNK_BYTES_MAX));
        }
        Ok(false)
    }

    /// What the last line among these whole ones says that says how far the log is on stable storage.
    fn last_mark(&self, lines: &[u8]) -> Seq {
        let marks = memmem::rfind_iter(lines, MARK_OPEN).map(|at| {
            let start = memrchr(b'\n', &lines[..at]).map_or(0, |newline| newline + 1);
            let end = memchr(b'\n', &lines[at..]).map_or(lines.len(), |newline| at + newline);
            // Further before the line's end it stands in the entry.
            let line = lines.get(start..end).filter(|_| end - at <= MARK_BYTES_MAX);
            line.and_then(|line| decode_line(&self.name.context, line).ok()?.synced)
        });
        marks.flatten().next().unwrap_or(Seq::START)
    }

    /// The last seq of a segment's first call, which was on stable storage before the segment appeared; in a later part, of the
    /// parts before it.
    fn first_call(&self) -> Result<Seq> {
        if self.name.segment.is_none() || self.name.part > 1 {
            return Ok(self.start());
        }
        let mut lines = Lines::new(self, &self.whole(), 0);
        let Some((_, bytes)) = lines.next_line()? else { return Ok(Seq::START) };
        let line = decode_line(&self.name.context, bytes).ok().filter(|line| line.seq == Seq(1));
        Ok(line.map_or(Seq::START, |line| Seq(line.more.saturating_add(1))))
    }

    fn start(&self) -> Seq {
        self.before.unwrap_or(Seq::START)
    }

    /// The seq of a line whose checksum is complete and right, and that has zeros where its closing bytes should be; and how
    /// many bytes it has without them. The line was written: what the power loss took is only what the next writer adds.
    fn closed_by_zeros(&self, line: &[u8]) -> Option<(Seq, u64)> {
        let length = line.iter().position(|byte| *byte == 0).filter(|length| *length > 0)?;
        match decode_tail(&self.name.context, &line[..length]) {
            Tail::Complete { line, .. } => Some((line.seq, length as u64)),
            Tail::Torn | Tail::Damaged(_) => None,
        }
    }

    /// The end of a part that is taken as it is.
    pub(super) fn whole(&self) -> End {
        End { bytes: self.bytes, ..End::EMPTY }
    }

    /// Reads the whole log: its marks may stand behind the zeros.
    fn look_for_hole(&self) -> Result<Option<u64>> {
        let mut mark = self.first_call()?;
        let mut last = self.start();
        let mut zeroed = Vec::new();
        let mut lines = Lines::new(self, &self.whole(), 0);
        while let Some((start, bytes)) = lines.next_line()? {
            match decode_line(&self.name.context, bytes) {
                Ok(line) => {
                    mark = mark.max(line.synced.unwrap_or(Seq::START));
                    last = line.seq;
                }
                Err(_) => {
                    if let Some((line, length)) = self.closed_by_zeros(bytes) {
                        last = line;
                        zeroed.push((start + length, last));
                    } else if is_zeroed(bytes, start + bytes.len() as u64 == self.bytes) {
                        zeroed.push((start, last));
                    }
                }
            }
        }
        Ok(zeroed.into_iter().find(|(_, last)| *last >= mark).map(|(start, _)| start))
    }
}

/// Whether a line breaks into zeros: at its start, at the file's end, or for longer than an accident.
fn is_zeroed(line: &[u8], is_last: bool) -> bool {
    line.first() == Some(&0)
        || (is_last && line.last() == Some(&0))
        || line.windows(ZEROS.len()).any(|window| window == ZEROS)
}
