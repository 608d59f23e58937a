//! A log as it lies on the medium, part by part: every line with a right checksum, and every stretch between them.
//!
//! This is the reading that stops at nothing. What the other readings are refused with is here one more thing to hand
//! over. It streams: of a log no more is in memory than one read, or the one call that is longer.
//!
//! A line that is damaged may hold whole lines nevertheless, because its newline was what broke: they are found by their
//! checksums. What nobody was promised, the end of a stopped write and what a power loss left, is told apart from damage by the
//! same rules that readers and writers have.

mod part;
mod window;

use std::ops::ControlFlow;
use std::sync::Arc;

use store_core::codec::Line;
use store_core::integrity::{FindingKind, Scanned, ScannedEntry, Stretch, Visit};
use store_core::{Position, Result, Seq};

use self::part::PartScan;
use super::OlderFile;
use crate::disk::{Disk, DiskFile};
use crate::layout::LogName;

/// One part of a log, on a descriptor of the scan's own.
pub(crate) struct ScannedPart {
    pub(crate) name: LogName,
    /// `None` if there is no such file, or something else in its place.
    pub(crate) file: Option<Box<dyn DiskFile>>,
    /// The file, if it is a log of an older layout.
    pub(crate) older: Option<Arc<OlderFile>>,
}

/// Whether writers can be at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// Perhaps: what looks like a stopped write is looked at again when none can be.
    Possible,
    /// The caller holds the log's lock.
    KeptOut,
}

/// Walks over the parts of one log.
pub(crate) struct Scan<'a, 'v> {
    disk: &'a dyn Disk,
    writers: Writers,
    visit: &'a mut Visit<'v>,
    /// The line before: its seq and how many lines of its call follow it. `None` behind damage.
    before: Option<(Seq, u64)>,
    /// The last seq that was met.
    last: Seq,
    /// Whether anything was handed over.
    is_begun: bool,
    text: String,
}

impl<'a, 'v> Scan<'a, 'v> {
    pub(crate) fn new(disk: &'a dyn Disk, writers: Writers, visit: &'a mut Visit<'v>) -> Self {
        Self { disk, writers, visit, before: None, last: Seq::START, is_begun: false, text: String::new() }
    }

    /// Hands over a part; `is_newest` if no other follows.
    pub(crate) fn part(&mut self, part: &ScannedPart, is_newest: bool) -> Result<ControlFlow<()>> {
        let Some(file) = &part.file else {
            let detail = "the part is not there, or something else stands in its place";
            return Ok(self.damage(&part.name, 0..0, FindingKind::Structure, detail));
        };
        PartScan { scan: self, name: &part.name, file: &**file, is_newest, looked_for_hole: !is_newest }.run()
    }

    /// Hands over a log of one part, from a descriptor of the caller's.
    pub(crate) fn file(&mut self, name: &LogName, file: &dyn DiskFile) -> Result<ControlFlow<()>> {
        PartScan { scan: self, name, file, is_newest: true, looked_for_hole: false }.run()
    }

    /// Says what is wrong with the log as a whole.
    pub(crate) fn finish(&mut self, name: &LogName) -> ControlFlow<()> {
        if self.is_begun {
            return ControlFlow::Continue(());
        }
        self.damage(name, 0..0, FindingKind::Structure, "the log has lost its first entry")
    }

    fn damage(
        &mut self,
        name: &LogName,
        at: std::ops::Range<u64>,
        kind: FindingKind,
        detail: impl Into<String>,
    ) -> ControlFlow<()> {
        let seq = self.before.map_or_else(|| (!self.is_begun).then_some(Seq(1)), |(seq, _)| Some(seq.next()));
        // What follows a fault between two lines is still known.
        if at.end > at.start {
            self.before = None;
        }
        self.is_begun = true;
        let (part, offset, bytes, detail) = (name.part, at.start, at.end - at.start, detail.into());
        (self.visit)(Scanned::Damaged(Stretch { part, offset, bytes, seq, kind, detail }))
    }

    fn entry(&mut self, name: &LogName, offset: u64, bytes: u64, line: &Line<'_>) -> ControlFlow<()> {
        if self.before.is_some_and(|(_, more)| more > 0 && line.more != more - 1) {
            let kind = FindingKind::Sequence;
            if self.damage(name, offset..offset, kind, "the call before it is not complete").is_break() {
                return ControlFlow::Break(());
            }
        }
        self.before = Some((line.seq, line.more));
        self.last = line.seq;
        self.is_begun = true;
        self.text.clear();
        line.push_text(&mut self.text);
        let position = Position { seq: line.seq, crc32c: line.crc32c };
        let (key, text) = (line.key.as_deref(), self.text.as_str());
        (self.visit)(Scanned::Entry(ScannedEntry {
            position,
            key,
            text,
            part: name.part,
            offset,
            bytes,
            out_of_step: None,
        }))
    }
}
