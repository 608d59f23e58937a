//! One part of a log, line by line, and what stands behind its lines.
//!
//! A call is handed over only when no zeros stand in it, so that what a power loss left is never told as entries first.

use std::ops::ControlFlow;

use memchr::{memchr, memchr_iter, memmem};
use store_core::call::ENTRY_BYTES_MAX;
use store_core::codec::{Line, Tail, decode_line, decode_tail};
use store_core::integrity::FindingKind;
use store_core::{Result, Seq};

use super::window::Window;
use super::{Scan, Writers};
use crate::disk::{DiskFile, LockKind};
use crate::error::At as _;
use crate::layout::LogName;
use crate::record_log::FileLock;
use crate::record_log::read::View;

/// More than any line has: an entry, its key with every byte escaped, and the line's own fields.
const LINE_BYTES_MAX: u64 = ENTRY_BYTES_MAX + 64 * 1024;
/// How many places within a damaged line are tried where a whole one may start, and how many where it may end.
const TRIES: usize = 8;
const LINE_OPEN: &[u8] = br#"{"seq":"#;
const CRC_OPEN: &[u8] = br#","crc32c":""#;
/// The checksum's digits and the bytes that close a line.
const CRC_CLOSE_BYTES: usize = 10;

/// Where a part's lines end, and what stands there.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Where what was acknowledged ends, or what is damaged.
    lines: u64,
    /// Where a hole starts, or the file ends.
    data: u64,
    /// The file's length.
    bytes: u64,
}

/// A walk over one part.
pub(super) struct PartScan<'p, 's, 'a, 'v> {
    pub(super) scan: &'s mut Scan<'a, 'v>,
    pub(super) name: &'p LogName,
    pub(super) file: &'p dyn DiskFile,
    pub(super) is_newest: bool,
    pub(super) looked_for_hole: bool,
}

impl PartScan<'_, '_, '_, '_> {
    pub(super) fn run(mut self) -> Result<ControlFlow<()>> {
        let mut bounds = self.bounds()?;
        if !self.is_newest && bounds.bytes == 0 {
            return Ok(self.damage(0..0, FindingKind::Structure, "the part is empty, and another one follows it"));
        }
        let mut window = Window::default();
        if self.lines(&mut window, &mut bounds)?.is_break() || self.end_of(&bounds).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn damage(&mut self, at: std::ops::Range<u64>, kind: FindingKind, detail: impl Into<String>) -> ControlFlow<()> {
        self.scan.damage(self.name, at, kind, detail)
    }

    /// Hands over all lines up to the bounds.
    fn lines(&mut self, window: &mut Window, bounds: &mut Bounds) -> Result<ControlFlow<()>> {
        // How far the call was looked at that the next line belongs to.
        let mut looked_to = 0;
        let mut searched = 0;
        loop {
            if window.offset() >= bounds.lines {
                return Ok(ControlFlow::Continue(()));
            }
            let Some(newline) = memchr(b'\n', &window.unused()[searched..]).map(|at| searched + at) else {
                searched = window.unused().len();
                if self.fill(window, bounds)? {
                    if searched as u64 > LINE_BYTES_MAX {
                        if self.skip_line(window, bounds)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                        searched = 0;
                    }
                    continue;
                }
                return Ok(self.last_line(window, bounds));
            };
            let offset = window.offset();
            if offset + newline as u64 >= bounds.lines {
                return Ok(ControlFlow::Continue(()));
            }
            searched = 0;
            let decoded = decode_line(&self.name.context, &window.unused()[..newline]);
            if !self.looked_for_hole
                && offset >= looked_to
                && let Ok(line) = &decoded
                && line.more > 0
            {
                let more = line.more;
                looked_to = self.look_ahead(window, newline, more, bounds)?;
                continue;
            }
            let flow = match decoded {
                Ok(line) => self.scan.entry(self.name, offset, newline as u64 + 1, &line),
                Err(error) => self.damaged_line(&window.unused()[..=newline], offset, &error.to_string()),
            };
            if flow.is_break() {
                return Ok(flow);
            }
            window.at += newline + 1;
        }
    }

    fn decode<'l>(&self, line: &'l [u8]) -> Option<Line<'l>> {
        decode_line(&self.name.context, line).ok()
    }

    /// Reads on; whether there was more to read. Zeros may mean that the log ends sooner.
    fn fill(&mut self, window: &mut Window, bounds: &mut Bounds) -> Result<bool> {
        if window.read_to() >= bounds.lines {
            return Ok(false);
        }
        let read = window.read(self.file, bounds.lines, self.name)?;
        let (is_end, has_zero) = (read.is_empty(), memchr(0, read).is_some());
        if is_end || (has_zero && !self.looked_for_hole) {
            self.looked_for_hole = true;
            let found = self.bounds_with_hole()?;
            // What was handed over stays handed over.
            bounds.lines = found.lines.max(window.offset()).min(if is_end { window.read_to() } else { u64::MAX });
            (bounds.data, bounds.bytes) = (found.data.max(bounds.lines), found.bytes.max(bounds.lines));
            if window.read_to() > bounds.lines {
                window.filled = usize::try_from(bounds.lines - window.start).unwrap_or(usize::MAX).min(window.filled);
            }
        }
        Ok(!is_end)
    }

    /// Reads the whole call that begins with the line at hand, so that zeros in it are seen before any of it is handed
    /// over. Answers with how far that was.
    fn look_ahead(&mut self, window: &mut Window, newline: usize, more: u64, bounds: &mut Bounds) -> Result<u64> {
        let mut missing = more;
        let mut from = newline + 1;
        loop {
            for at in memchr_iter(b'\n', &window.unused()[from.min(window.unused().len())..]) {
                missing -= 1;
                if missing == 0 {
                    return Ok(window.offset() + (from + at) as u64);
                }
            }
            from = window.unused().len();
            if self.looked_for_hole || !self.fill(window, bounds)? {
                return Ok(window.read_to());
            }
        }
    }

    /// What stands behind the last newline.
    fn last_line(&mut self, window: &mut Window, bounds: &Bounds) -> ControlFlow<()> {
        let (offset, bytes) = (window.offset(), window.unused());
        if bytes.is_empty() {
            return ControlFlow::Continue(());
        }
        let end = offset + bytes.len() as u64;
        if end < bounds.data {
            // The last line is whole but for its newline, which belongs to what was never acknowledged.
            return self.damaged_line(bytes, offset, "the line does not end");
        }
        match decode_tail(&self.name.context, bytes) {
            Tail::Complete { line, .. } => {
                let flow = self.scan.entry(self.name, offset, bytes.len() as u64, &line);
                if flow.is_break() || self.is_newest {
                    return flow;
                }
                self.damage(end..end, FindingKind::Checksum, "the part does not end with a whole line")
            }
            Tail::Damaged(error) => self.damaged_line(bytes, offset, &error.to_string()),
            Tail::Torn => self.damaged_line(bytes, offset, "the line is cut off"),
        }
    }

    /// Passes over a line that is longer than any, up to its newline.
    fn skip_line(&mut self, window: &mut Window, bounds: &mut Bounds) -> Result<ControlFlow<()>> {
        let start = window.offset();
        loop {
            if let Some(newline) = memchr(b'\n', window.unused()) {
                window.at += newline + 1;
                break;
            }
            window.at = window.filled;
            if !self.fill(window, bounds)? {
                break;
            }
        }
        Ok(self.damage(start..window.offset(), FindingKind::Checksum, "the line is longer than any line"))
    }

    /// Hands over a line that is damaged, and what is whole within it. The last byte is its newline, if it has one.
    fn damaged_line(&mut self, bytes: &[u8], offset: u64, detail: &str) -> ControlFlow<()> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut done = 0;
        while done < line.len()
            && let Some((start, end)) = self.whole_line_in(&line[done..])
        {
            let (start, end) = (done + start, done + end);
            if self.between(done, start, offset, detail).is_break() {
                return ControlFlow::Break(());
            }
            // The byte that stands where its newline should be is part of its place.
            let place_end = (end + 1).min(bytes.len());
            let Ok(found) = decode_line(&self.name.context, &line[start..end]) else { break };
            let (at, length) = (offset + start as u64, (place_end - start) as u64);
            if self.scan.entry(self.name, at, length, &found).is_break() {
                return ControlFlow::Break(());
            }
            done = place_end;
            if place_end <= line.len() {
                let at = offset + done as u64;
                if self.damage(at..at, FindingKind::Checksum, "the line does not end with a newline").is_break() {
                    return ControlFlow::Break(());
                }
            }
        }
        if done > 0 && bytes[done..] == *b"\n" {
            // What is left is the newline behind what took its place, and was nobody's entry.
            return ControlFlow::Continue(());
        }
        self.between(done, bytes.len(), offset, detail)
    }

    fn between(&mut self, from: usize, to: usize, offset: u64, detail: &str) -> ControlFlow<()> {
        if from >= to {
            return ControlFlow::Continue(());
        }
        self.damage(offset + from as u64..offset + to as u64, FindingKind::Checksum, detail)
    }

    /// Where in some bytes a whole line stands, without its newline.
    fn whole_line_in(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let starts = std::iter::once(0).chain(memmem::find_iter(bytes, LINE_OPEN).filter(|start| *start > 0));
        for start in starts.take(TRIES) {
            for close in memmem::find_iter(&bytes[start..], CRC_OPEN).take(TRIES) {
                let end = start + close + CRC_OPEN.len() + CRC_CLOSE_BYTES;
                if bytes.get(start..end).is_some_and(|line| self.decode(line).is_some()) {
                    return Some((start, end));
                }
            }
        }
        None
    }

    /// What stands behind the lines: what was never acknowledged.
    fn end_of(&mut self, bounds: &Bounds) -> ControlFlow<()> {
        let unfinished = self.scan.before.is_some_and(|(_, more)| more > 0);
        if unfinished {
            let detail = "the call is not complete";
            if self.damage(bounds.lines..bounds.lines, FindingKind::Sequence, detail).is_break() {
                return ControlFlow::Break(());
            }
        }
        if bounds.lines < bounds.data {
            let detail = "a write that stopped";
            if self.damage(bounds.lines..bounds.data, FindingKind::TornTail, detail).is_break() {
                return ControlFlow::Break(());
            }
        }
        if bounds.data < bounds.bytes {
            let detail = "what a power loss left";
            return self.damage(bounds.data..bounds.bytes, FindingKind::Hole, detail);
        }
        ControlFlow::Continue(())
    }

    fn view(&self, bytes: u64) -> View<'_> {
        let before = (self.name.part > 1).then_some(self.scan.last);
        View::new(self.file, self.name, bytes).behind(self.scan.disk, before).confirmed()
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.stat().at("stat", &self.name.path)?.bytes)
    }

    /// Where the lines end, as far as the file's end tells it.
    fn bounds(&mut self) -> Result<Bounds> {
        let bytes = self.length()?;
        if !self.is_newest || self.acknowledged(bytes)? == bytes {
            return Ok(Bounds { lines: bytes, data: bytes, bytes });
        }
        // A writer may be in the middle of it, and zeros may stand there.
        self.looked_for_hole = true;
        self.bounds_with_hole()
    }

    /// The same, where a stopped write or zeros stand in the file.
    fn bounds_with_hole(&self) -> Result<Bounds> {
        let bytes = self.length()?;
        if !self.is_newest {
            return Ok(Bounds { lines: bytes, data: bytes, bytes });
        }
        let _lock = (self.scan.writers == Writers::Possible).then(|| self.lock());
        let bytes = self.length()?;
        let hole = self.view(bytes).find_hole()?;
        let is_first = self.scan.last == Seq::START;
        // A segment appears with its first call, so nothing of that is what a power loss left.
        let data = hole.filter(|hole| *hole > 0 || !is_first).unwrap_or(bytes);
        Ok(Bounds { lines: self.acknowledged(data)?, data, bytes })
    }

    /// Where a medium gives no locks the second reading is as good as the first.
    fn lock(&self) -> Option<FileLock<'_>> {
        self.file.lock(LockKind::Shared).ok().map(|()| FileLock(self.file))
    }

    /// Where the last complete call ends in the first `data` bytes, or what is damaged.
    fn acknowledged(&self, data: u64) -> Result<u64> {
        let view = self.view(data);
        let tail_start = view.line_start_before(data)?;
        let (mut end, mut follower) = (data, None);
        if tail_start < data {
            if data - tail_start > LINE_BYTES_MAX {
                return Ok(data);
            }
            match decode_tail(&self.name.context, &view.read_bytes(tail_start, data)?) {
                Tail::Complete { line, .. } if line.more > 0 => follower = Some((line.seq, line.more)),
                Tail::Torn => {}
                Tail::Complete { .. } | Tail::Damaged(_) => return Ok(data),
            }
            end = tail_start;
        }
        while end > 0 {
            let start = view.line_start_before(end - 1)?;
            if end - start > LINE_BYTES_MAX {
                break;
            }
            let bytes = view.read_bytes(start, end - 1)?;
            let Some(line) = self.decode(&bytes) else { break };
            let follows = |(seq, more)| line.seq.next() == seq && (line.more == 0 || line.more == more + 1);
            if !follower.is_none_or(follows) {
                // What no writer wrote one behind the other is not what one left.
                return Ok(data);
            }
            if line.more == 0 {
                break;
            }
            follower = Some((line.seq, line.more));
            end = start;
        }
        // A log without one complete call is what no crash leaves: what is whole in it is kept.
        Ok(if end == 0 && self.scan.last == Seq::START { data } else { end })
    }
}
