//! Finding and reading the lines of a log.
//!
//! A [`View`] is a file and the length it had at one moment: appending never changes what is before that length. The
//! seq in each line makes a binary search over byte offsets possible, so nothing but the log itself is needed to
//! find an entry. Damage elsewhere can mislead the search; then the log is read from its start.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;

use memchr::{memchr, memrchr};
use store_core::codec::{Line, decode_line};
use store_core::{Damage, Result, SegmentId, Seq, StoreError};

use super::parts::Place;
use super::recover::End;
use crate::disk::{Disk, DiskFile};
use crate::error::At as _;
use crate::layout::LogName;

/// The first read of a scan; each further one is twice as long, up to [`CHUNK_BYTES_MAX`].
pub(super) const CHUNK_BYTES_MIN: u64 = 4 * 1024;
pub(super) const CHUNK_BYTES_MAX: u64 = 1024 * 1024;
/// A stretch this short is scanned rather than halved.
const SEARCH_BYTES_MIN: u64 = 16 * 1024;
/// Enough for `{"seq":`, the longest number and the comma behind it.
const SEQ_BYTES_MAX: u64 = 32;

/// A log's file, as long as it was at one moment.
pub(crate) struct View<'a> {
    file: &'a dyn DiskFile,
    pub(super) name: &'a LogName,
    pub(crate) bytes: u64,
    /// How far the file was looked through for zeros already.
    pub(super) checked: Option<&'a AtomicU64>,
    /// Whether no writer can be changing the file's end while it is looked at.
    pub(super) confirmed: bool,
    /// The last seq of the parts before this one, where it is known.
    pub(super) before: Option<Seq>,
    /// Whether another part follows.
    pub(super) sealed: bool,
    /// Where the parts before this one are.
    pub(super) disk: Option<&'a dyn Disk>,
}

impl<'a> View<'a> {
    /// The first `bytes` bytes of a log's file.
    pub(crate) fn new(file: &'a dyn DiskFile, name: &'a LogName, bytes: u64) -> Self {
        let before = (name.part == 1).then_some(Seq::START);
        Self { file, name, bytes, checked: None, confirmed: false, before, sealed: false, disk: None }
    }

    /// The same, with the parts before it, whose last seq is `before`.
    pub(super) fn behind(self, disk: &'a dyn Disk, before: Option<Seq>) -> Self {
        Self { disk: Some(disk), before: before.or(self.before), ..self }
    }

    /// The same, of a part that another one follows.
    pub(super) fn sealed(self) -> Self {
        Self { sealed: true, confirmed: true, ..self }
    }

    /// The same, remembering how far the file was looked through.
    pub(super) fn checked_by(self, checked: &'a AtomicU64) -> Self {
        Self { checked: Some(checked), ..self }
    }

    /// The same, while writers are kept out or there is none.
    pub(crate) fn confirmed(self) -> Self {
        Self { confirmed: true, ..self }
    }

    /// The same file as if it were `bytes` long.
    pub(super) fn cut(&self, bytes: u64) -> Self {
        Self { bytes, ..*self }
    }

    pub(crate) fn corrupt(&self, offset: u64, seq: Option<Seq>, detail: impl Into<String>) -> StoreError {
        let segment: Option<SegmentId> = self.name.segment;
        let mut detail = detail.into();
        if segment.is_none() {
            detail = format!("{}: {detail}", self.name.path.display());
        }
        StoreError::Corrupt(Damage { segment, part: self.name.part, offset, seq, detail })
    }

    /// The bytes from `from` up to `to`.
    pub(crate) fn read_bytes(&self, from: u64, to: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length(from, to)];
        self.fill(&mut bytes, from)?;
        Ok(bytes)
    }

    fn fill(&self, buffer: &mut [u8], from: u64) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], from + done as u64) {
                Ok(0) => return Err(self.corrupt(from + done as u64, None, "the file got shorter")),
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &self.name.path, error)),
            }
        }
        Ok(())
    }

    /// The offset behind the last newline before `at`; 0 if there is none.
    pub(super) fn line_start_before(&self, at: u64) -> Result<u64> {
        let mut chunk = CHUNK_BYTES_MIN;
        let mut end = at;
        while end > 0 {
            let start = end.saturating_sub(chunk);
            let bytes = self.read_bytes(start, end)?;
            if let Some(newline) = memrchr(b'\n', &bytes) {
                return Ok(start + newline as u64 + 1);
            }
            end = start;
            chunk = (chunk * 2).min(CHUNK_BYTES_MAX);
        }
        Ok(0)
    }

    /// The first line start at or behind `at` and before `end`. A line starts at 0 and behind each newline.
    fn line_start_from(&self, at: u64, end: u64) -> Result<Option<u64>> {
        if at == 0 {
            return Ok((end > 0).then_some(0));
        }
        let mut chunk = CHUNK_BYTES_MIN;
        let mut start = at - 1;
        while start < end {
            let stop = (start + chunk).min(end);
            let bytes = self.read_bytes(start, stop)?;
            if let Some(newline) = memchr(b'\n', &bytes) {
                let found = start + newline as u64 + 1;
                return Ok((found < end).then_some(found));
            }
            start = stop;
            chunk = (chunk * 2).min(CHUNK_BYTES_MAX);
        }
        Ok(None)
    }

    /// The seq that the line at `start` claims to have.
    pub(super) fn claimed_seq(&self, start: u64, end: u64) -> Result<Option<Seq>> {
        let bytes = self.read_bytes(start, end.min(start + SEQ_BYTES_MAX))?;
        let Some(rest) = bytes.strip_prefix(br#"{"seq":"#) else { return Ok(None) };
        let Some(comma) = rest.iter().position(|byte| *byte == b',') else { return Ok(None) };
        Ok(std::str::from_utf8(&rest[..comma]).ok().and_then(|digits| digits.parse().ok()).map(Seq))
    }

    /// The offset of the line with this seq, which is in this part. Where the line is damaged: the offset at which the
    /// damage starts that hides it.
    pub(super) fn locate(&self, end: &End, seq: Seq) -> Result<u64> {
        match self.find(end, seq)? {
            Some(offset) => Ok(offset),
            None => self.scan(end, seq).map(|(_, offset)| offset),
        }
    }

    /// The offset of the line with this seq; `None` if it is not there or cannot be found without reading everything.
    pub(super) fn find(&self, end: &End, seq: Seq) -> Result<Option<u64>> {
        match self.search(end, seq)? {
            Some(offset) if self.valid_line_at(end, offset, seq)? => Ok(Some(offset)),
            _ => Ok(None),
        }
    }

    /// Binary search; `None` if it was misled.
    fn search(&self, end: &End, seq: Seq) -> Result<Option<u64>> {
        let (mut low, mut high) = (0, end.bytes);
        while high - low > SEARCH_BYTES_MIN {
            let middle = low + (high - low) / 2;
            match self.line_start_from(middle, high)? {
                None => high = middle,
                Some(start) => match self.claimed_seq(start, high)? {
                    None => return Ok(None),
                    Some(found) if found <= seq => low = start,
                    Some(_) => high = middle,
                },
            }
        }
        let mut next = Some(low);
        while let Some(start) = next {
            match self.claimed_seq(start, end.bytes)? {
                Some(found) if found == seq => return Ok(Some(start)),
                Some(found) if found < seq => next = self.line_start_from(start + 1, end.bytes)?,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn valid_line_at(&self, end: &End, offset: u64, seq: Seq) -> Result<bool> {
        let mut lines = Lines::new(self, end, offset);
        let Some((_, bytes)) = lines.next_line()? else { return Ok(false) };
        Ok(decode_line(&self.name.context, bytes).is_ok_and(|line| line.seq == seq))
    }

    /// Reads from the start: whether the line was found and its offset, or the offset behind the last valid line before it.
    pub(super) fn scan(&self, end: &End, seq: Seq) -> Result<(bool, u64)> {
        let mut lines = Lines::new(self, end, 0);
        let mut behind = 0;
        while let Some((start, bytes)) = lines.next_line()? {
            let Ok(line) = decode_line(&self.name.context, bytes) else { continue };
            if line.seq == seq {
                return Ok((true, start));
            }
            if line.seq < seq {
                behind = start + bytes.len() as u64 + 1;
            }
        }
        Ok((false, behind))
    }

    /// The offset of the line that has `count` - 1 lines behind it up to the end, found from the end backward.
    pub(super) fn tail_start(&self, end: &End, count: u64) -> Result<u64> {
        let behind_newline = end.missing.is_empty();
        let mut at = end.bytes;
        for _ in 0..count {
            if at == 0 {
                break;
            }
            let whole = if at == end.bytes && !behind_newline { at } else { at - 1 };
            at = self.line_start_before(whole)?;
        }
        Ok(at)
    }

    /// Hands each line of this part from `offset` on to `each`, checked: the line at `offset` is `first`, or lines before
    /// `first` are passed over. Answers with the seq that should follow.
    pub(super) fn forward(
        &self,
        end: &End,
        offset: u64,
        first: Seq,
        each: &mut impl FnMut(Place, &Line<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<(), Seq>> {
        let mut lines = Lines::new(self, end, offset);
        let mut expected = first;
        let mut following = None;
        while let Some((start, bytes)) = lines.next_line()? {
            let line = decode_line(&self.name.context, bytes)
                .map_err(|error| self.corrupt(start, Some(expected), error.to_string()))?;
            if line.seq < expected && expected == first && following.is_none() {
                continue;
            }
            if line.seq != expected {
                return Err(self.corrupt(start, Some(expected), format!("seq {} stands here", line.seq)));
            }
            if following.is_some_and(|more: u64| more > 0 && line.more != more - 1) {
                return Err(self.corrupt(start, Some(expected), "the call before it is not complete"));
            }
            following = Some(line.more);
            expected = expected.next();
            if each(Place { part: self.name.part, offset: start }, &line)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if expected <= end.seq || following.is_some_and(|more| more > 0) {
            return Err(self.corrupt(end.bytes, Some(expected), "the entry is not there"));
        }
        Ok(ControlFlow::Continue(expected))
    }
}

/// The whole lines of a view, one after another, without their newlines.
pub(super) struct Lines<'v, 'a> {
    view: &'v View<'a>,
    end: End,
    buffer: Vec<u8>,
    /// The offset of the buffer's first byte.
    start: u64,
    /// Where in the buffer the next line starts.
    at: usize,
    chunk: u64,
}

impl<'v, 'a> Lines<'v, 'a> {
    pub(super) fn new(view: &'v View<'a>, end: &End, offset: u64) -> Self {
        Self { view, end: *end, buffer: Vec::new(), start: offset, at: 0, chunk: CHUNK_BYTES_MIN }
    }

    pub(super) fn next_line(&mut self) -> Result<Option<(u64, &[u8])>> {
        let mut searched = self.at;
        loop {
            if let Some(newline) = memchr(b'\n', &self.buffer[searched..]) {
                let (from, to) = (self.at, searched + newline);
                self.at = to + 1;
                return Ok(Some((self.start + from as u64, &self.buffer[from..to])));
            }
            searched = self.buffer.len();
            let read_to = self.start + self.buffer.len() as u64;
            if read_to >= self.end.bytes {
                return Ok(self.last_line());
            }
            searched -= self.at;
            self.read_more(read_to)?;
        }
    }

    /// The line at the end that lacks its newline, completed.
    fn last_line(&mut self) -> Option<(u64, &[u8])> {
        let (from, written) = (self.at, self.buffer.len());
        if from >= written {
            return None;
        }
        let missing = self.end.missing.strip_suffix(b"\n").unwrap_or(self.end.missing);
        self.buffer.extend_from_slice(missing);
        self.at = self.buffer.len();
        Some((self.start + from as u64, &self.buffer[from..]))
    }

    fn read_more(&mut self, read_to: u64) -> Result<()> {
        self.buffer.drain(..self.at);
        self.start += self.at as u64;
        self.at = 0;
        let stop = (read_to + self.chunk).min(self.end.bytes);
        self.chunk = (self.chunk * 2).min(CHUNK_BYTES_MAX);
        let kept = self.buffer.len();
        self.buffer.resize(kept + length(read_to, stop), 0);
        self.view.fill(&mut self.buffer[kept..], read_to)
    }
}

/// Appends the bytes from `from` to the view's end to another file.
pub(super) fn copy_range(view: &View<'_>, from: u64, to: &dyn DiskFile) -> Result<()> {
    let mut at = from;
    while at < view.bytes {
        let stop = (at + CHUNK_BYTES_MAX).min(view.bytes);
        let bytes = view.read_bytes(at, stop)?;
        super::append_all_or_nothing(to, at - from, &bytes).at("copy", &view.name.path)?;
        at = stop;
    }
    Ok(())
}

/// How many bytes lie between two offsets. A file's stretch that is read at once fits into memory.
fn length(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}
