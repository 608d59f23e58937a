//! The parts of a segment's log: a log that has grown to its limit goes on in a new file.
//!
//! The newest part is the one that is written to, and a [`RecordLog`] is that part. The parts before it are *sealed*: a
//! sealed part is on stable storage, ends with a whole call, has lost its write bits, and never changes again but by being
//! replaced. What makes a part sealed is that another one follows it; write bits are what tells a handle to look for that.
//!
//! Every line has its seq, so the first line of a part says which entries are in it, and no list of parts is needed.
//! Nothing of a sealed part is remembered and no descriptor of one is kept, which is why replacing them needs nobody's
//! consent. The price is that reading an older entry opens as many files as a binary search over the parts asks.

use std::ops::ControlFlow;

use store_core::codec::{Line, decode_line};
use store_core::{Damage, Result, Seq, StoreError};

use super::read::{Lines, View};
use super::{End, FileLock, Locked, RecordLog, lock_mutex};
use crate::disk::{Disk, DiskFile, FileKind, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::{Layout, LogName};

/// Where in a log a line starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) part: u32,
    /// From the start of the part.
    pub(crate) offset: u64,
}

/// What a folder holds of a segment's log.
#[derive(Debug)]
pub(crate) struct PartsFound {
    /// The highest part; 1 if there is none.
    pub(crate) newest: u32,
    /// The parts with a mark that a sync of them failed.
    pub(crate) failed: Vec<u32>,
}

/// Looks for all parts of the log that a part belongs to.
pub(crate) fn find_parts(disk: &dyn Disk, name: &LogName) -> Result<PartsFound> {
    let mut parts = PartsFound { newest: 1, failed: Vec::new() };
    let Some(segment) = name.segment else { return Ok(parts) };
    for listed in found(disk.list(name.folder())).at("list", name.folder())?.unwrap_or_default() {
        match (Layout::parse_log(&listed), Layout::parse_failed(&listed)) {
            (Some((of, part)), _) if of == segment => parts.newest = parts.newest.max(part),
            (_, Some((of, part))) if of == segment => parts.failed.push(part),
            _ => {}
        }
    }
    Ok(parts)
}

/// The last seq before a later part that is open as the newest one.
///
/// Its first line says so, as long as it is valid; an empty part is asked through the one before it. Damage there is left to those who
/// read it, unless entries behind the newest part's would get seqs that are taken.
pub(crate) fn seq_before(disk: &dyn Disk, file: &dyn DiskFile, name: &LogName) -> Result<Seq> {
    let bytes = file.stat().at("stat", &name.path)?.bytes;
    let view = View::new(file, name, bytes).behind(disk, None);
    let first = view.first_seq()?;
    match (first, view.end_before()) {
        (Some(first), Ok(end)) if first <= end.seq => {
            Err(view.corrupt(0, Some(end.seq.next()), format!("seq {first} stands here")))
        }
        (Some(first), Ok(_) | Err(StoreError::Corrupt(_))) => Ok(before(first)),
        (None, Err(StoreError::Corrupt(damage))) => {
            view.claimed_seq(0, bytes)?.map(before).ok_or(StoreError::Corrupt(damage))
        }
        (_, Err(error)) => Err(error),
        (None, Ok(end)) => Ok(end.seq),
    }
}

const fn before(seq: Seq) -> Seq {
    Seq(seq.0.saturating_sub(1))
}

/// A part that another one follows, open for reading.
struct Sealed {
    file: Box<dyn DiskFile>,
    name: LogName,
    bytes: u64,
}

impl Sealed {
    fn view(&self) -> View<'_> {
        View::new(&*self.file, &self.name, self.bytes).sealed()
    }
}

impl View<'_> {
    /// Which part of its log it is, from 1.
    pub(crate) const fn part(&self) -> u32 {
        self.name.part
    }

    fn open_sealed(&self, part: u32) -> Result<Sealed> {
        let name = self.name.of_part(part);
        let damaged = |detail: &str| {
            let detail = detail.to_owned();
            StoreError::Corrupt(Damage { segment: name.segment, part, offset: 0, seq: None, detail })
        };
        let Some(disk) = self.disk else { return Err(damaged("the part cannot be reached from here")) };
        let is_new = name.replacing.is_some_and(|what| part >= what.from);
        let new = if is_new { found(disk.open(&name.replacement(), OpenMode::Read)).ok().flatten() } else { None };
        let opened = new.map_or_else(|| found(disk.open(&name.path, OpenMode::Read)), |new| Ok(Some(new)));
        let file = match opened {
            Ok(Some(file)) => file,
            Ok(None) => return Err(damaged("the part is not there")),
            Err(_) if disk.stat(&name.path).is_ok_and(|stat| stat.kind != FileKind::File) => {
                return Err(damaged("what stands in the part's place is not a regular file"));
            }
            Err(error) => return Err(StoreError::io("open", &name.path, error)),
        };
        let bytes = file.stat().at("stat", &name.path)?.bytes;
        Ok(Sealed { file, name, bytes })
    }

    /// The seq of the part's first line, if that is valid.
    fn first_seq(&self) -> Result<Option<Seq>> {
        let end = self.whole();
        let mut lines = Lines::new(self, &end, 0);
        let Some((_, bytes)) = lines.next_line()? else { return Ok(None) };
        Ok(decode_line(&self.name.context, bytes).ok().map(|line| line.seq))
    }

    /// The last seq of the parts before this one, as far as this one says it.
    pub(super) fn start_seq(&self) -> Result<Seq> {
        match self.before {
            Some(before) => Ok(before),
            None => Ok(self.first_seq()?.map_or(Seq::START, before)),
        }
    }

    /// The end of a sealed part.
    pub(super) fn sealed_end(&self) -> Result<End> {
        let end = self.find_end()?;
        if end.bytes == 0 || end.bytes < self.bytes || !end.missing.is_empty() {
            let next = (end.bytes > 0).then(|| end.seq.next());
            return Err(self.corrupt(
                end.bytes,
                next,
                "the part does not end with a whole call, and another one follows it",
            ));
        }
        Ok(end)
    }

    /// The log's end if this part holds no complete call: that of the part before it.
    pub(super) fn end_before(&self) -> Result<End> {
        if self.name.part == 1 || self.sealed {
            return Ok(End::EMPTY);
        }
        let end = self.open_sealed(self.name.part - 1)?.view().sealed_end()?;
        Ok(End { seq: end.seq, crc32c: end.crc32c, ..End::EMPTY })
    }

    /// Whether the entry stands in this part or behind it.
    fn is_behind_start(&self, seq: Seq) -> bool {
        self.before.is_none_or(|before| seq > before)
    }

    /// Hands each line from the entry `first` on to `each`, checked, through the end.
    pub(crate) fn read_from(
        &self,
        end: &End,
        first: Seq,
        mut each: impl FnMut(Place, &Line<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        if first > end.seq {
            return Ok(());
        }
        let place = self.place_of(end, first)?;
        self.read_on(end, place, first, &mut each)
    }

    /// Hands each of the last `count` lines, or all if they are fewer, to `each`, checked.
    pub(crate) fn read_last(
        &self,
        end: &End,
        count: u64,
        mut each: impl FnMut(Place, &Line<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let count = count.min(end.seq.0);
        let first = Seq(end.seq.0 - count + 1);
        if count == 0 || !self.is_behind_start(first) || self.before == Some(before(first)) {
            return self.read_from(end, first, each);
        }
        let place = Place { part: self.name.part, offset: self.tail_start(end, count)? };
        self.read_on(end, place, first, &mut each)
    }

    /// As [`read_from`](Self::read_from), where the first line's place is known: it stands there or a little behind it.
    pub(super) fn read_on(
        &self,
        end: &End,
        place: Place,
        first: Seq,
        each: &mut impl FnMut(Place, &Line<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (mut offset, mut next) = (place.offset, first);
        self.parts_from(place.part, |part| {
            let end = if part.sealed { part.whole() } else { *end };
            let ControlFlow::Continue(behind) = part.forward(&end, offset, next, each)? else {
                return Ok(ControlFlow::Break(()));
            };
            (offset, next) = (0, behind);
            if part.sealed {
                self.check_joins(part, behind)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Hands a view of each part from `part` on to `each`, in order; the last one is this view.
    pub(crate) fn parts_from(
        &self,
        part: u32,
        mut each: impl FnMut(&View<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for part in part..self.name.part {
            let sealed = self.open_sealed(part)?;
            if each(&sealed.view())?.is_break() {
                return Ok(());
            }
        }
        each(self).map(|_| ())
    }

    /// Sees that the part behind a sealed one begins with the entry that should follow.
    fn check_joins(&self, sealed: &View<'_>, next: Seq) -> Result<()> {
        let part = sealed.name.part + 1;
        let first = match self.before {
            Some(before) if part == self.name.part => Some(before.next()),
            _ => self.open_sealed(part)?.view().first_seq()?,
        };
        match first {
            // Which of the two is at fault: one that lost its end, or one that is not the one that stood there.
            Some(first) if first > next => Err(sealed.corrupt(sealed.bytes, Some(next), "the entry is not there")),
            Some(first) if first < next => {
                let (segment, detail) = (self.name.segment, format!("seq {first} stands here"));
                Err(StoreError::Corrupt(Damage { segment, part, offset: 0, seq: Some(next), detail }))
            }
            // A first line that is damaged is told when it is read.
            _ => Ok(()),
        }
    }

    /// Where the entry stands. Where the line is damaged: where the damage starts that hides it.
    fn place_of(&self, end: &End, seq: Seq) -> Result<Place> {
        if self.is_behind_start(seq) {
            let is_first = self.before == Some(before(seq));
            let offset = if is_first { 0 } else { self.locate(end, seq)? };
            return Ok(Place { part: self.name.part, offset });
        }
        match self.search_parts(seq) {
            Ok(Some(place)) => Ok(place),
            Ok(None) | Err(StoreError::Corrupt(_)) => self.scan_parts(seq),
            Err(error) => Err(error),
        }
    }

    /// Binary search over the sealed parts, and then within one; `None` if it was misled.
    fn search_parts(&self, seq: Seq) -> Result<Option<Place>> {
        let (mut low, mut high) = (1, self.name.part);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let sealed = self.open_sealed(middle)?;
            match sealed.view().claimed_seq(0, sealed.bytes)? {
                None => return Ok(None),
                Some(first) if first <= seq => low = middle,
                Some(_) => high = middle,
            }
        }
        let sealed = self.open_sealed(low)?;
        let view = sealed.view();
        Ok(view.find(&view.whole(), seq)?.map(|offset| Place { part: low, offset }))
    }

    /// Reads the sealed parts from the start: the line's place, or the place behind the last valid line before it.
    fn scan_parts(&self, seq: Seq) -> Result<Place> {
        let mut behind = Place { part: 1, offset: 0 };
        for part in 1..self.name.part {
            let sealed = match self.open_sealed(part) {
                Err(StoreError::Corrupt(_)) => continue,
                opened => opened?,
            };
            let view = sealed.view();
            let (found, offset) = view.scan(&view.whole(), seq)?;
            if found || offset > 0 {
                behind = Place { part, offset };
            }
            if found {
                break;
            }
        }
        Ok(behind)
    }
}

impl Locked<'_> {
    /// Seals this part and makes the next one, which is empty. The caller gives the lock up and opens the log anew; whoever
    /// finds a part empty that it is going to write to sees to it first that the part keeps its name.
    ///
    /// After an error the part is what it was, or is sealed and goes on being one or the other as the next writer finds it.
    pub(crate) fn roll_over(&mut self) -> Result<()> {
        let log = self.log;
        if log.stat()?.is_none() {
            return Ok(());
        }
        self.known = log.heal(&self.known).inspect_err(|_| self.writer.known = None)?;
        self.writer.known = Some(self.known);
        log.sync_through(self.known.end.seq)?;
        log.file.set_writable(false).at("write-protect", &log.name.path)?;
        if find_parts(&*log.disk, &log.name)?.newest > log.name.part {
            return Ok(());
        }
        let next = log.name.of_part(log.name.part + 1);
        log.disk.open(&next.path, OpenMode::CreateNew).at("create", &next.path).inspect_err(|_| {
            // If this fails too, the next writer gives them back.
            let _ = log.unprotect();
        })?;
        log.disk.sync_folder(next.folder()).at("sync", next.folder())
    }
}

impl RecordLog {
    pub(crate) const fn part(&self) -> u32 {
        self.name.part
    }

    pub(crate) const fn name(&self) -> &LogName {
        &self.name
    }

    /// Whether the next part is there.
    pub(super) fn has_successor(&self) -> Result<bool> {
        if self.name.segment.is_none() {
            return Ok(false);
        }
        let next = self.name.of_part(self.name.part + 1);
        Ok(found(self.disk.stat(&next.path)).at("stat", &next.path)?.is_some())
    }

    /// Takes over what another handle's knowledge of keys is still worth: that handle is of a part before this one.
    pub(crate) fn inherit(&self, older: &Self) -> Result<()> {
        if self.name.segment.is_none() || older.name.part >= self.name.part || !older.has_its_name()? {
            return Ok(());
        }
        let keys = lock_mutex(&older.writer).keys.take();
        lock_mutex(&self.writer).inherited = keys;
        Ok(())
    }

    /// Writes a sealed part anew if a sync of it failed after somebody else had sealed it.
    pub(crate) fn mend_sealed(&self) -> Result<()> {
        let _writer = lock_mutex(&self.writer);
        self.file.lock(LockKind::Exclusive).at("lock", &self.name.path)?;
        let _lock = FileLock(&*self.file);
        if let Some(poisoned) = self.shared.poisoned() {
            return Err(self.failed_sync(&poisoned));
        }
        if !self.has_its_name()? || !self.has_failed_mark()? {
            return Ok(());
        }
        let bytes = self.file.stat().at("stat", &self.name.path)?.bytes;
        self.rewrite_after_failed_sync(bytes)
    }
}
