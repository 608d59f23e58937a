//! Writing a call's lines: all of them or none, under the log's lock.
//!
//! One write takes the whole call. If the medium takes only a part, the part is taken back before the lock is given
//! up; if the process dies in between, `more` and the checksum tell the next reader, and the next writer cleans up. Calls of several threads may
//! share a write: what holds for the lines of one holds for each.
//!
//! A part is never gone on with by a second write. Of a line in two writes a power loss can take the few bytes that share a
//! sector with the first, and keep what follows: too few zeros to be told from damage. The price is that a call which the
//! medium took in parts costs a sync and a second try.

use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use store_core::codec::{LineFields, encode_line};
use store_core::group_commit::Poisoned;
use store_core::{Position, Result, Seq, StoreError};

use super::{End, FileLock, Known, RecordLog, Writer, lock_mutex};
use crate::disk::{DiskFile, FileStat, LockKind};
use crate::error::At as _;

/// What stands behind the checksum's digits at the end of a line.
const LINE_CLOSE: &[u8] = b"\"}\n";
/// How often a call is written that the medium takes only a part of without saying why.
const TRIES_MAX: usize = 3;
/// The largest buffer that a log keeps for its next call.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// A line that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewLine<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) text: &'a [u8],
}

/// A log whose lock is held: what may be done with it then.
pub(crate) struct Locked<'a> {
    pub(super) log: &'a RecordLog,
    pub(super) writer: &'a mut Writer,
    pub(super) known: Known,
}

impl RecordLog {
    /// Does `work` with the log's lock held; `None`, and nothing done, if the log's name no longer stands for this file.
    pub(crate) fn with_lock<T>(&self, work: impl FnOnce(&mut Locked<'_>) -> Result<T>) -> Result<Option<T>> {
        if self.name.replacing.is_some() {
            // It was opened to be read where it lies until it has its name.
            return Ok(None);
        }
        let mut writer = lock_mutex(&self.writer);
        self.file.lock(LockKind::Exclusive).at("lock", &self.name.path)?;
        let _lock = FileLock(&*self.file);
        let Some(stat) = self.stat()? else { return Ok(None) };
        // A handle that has seen to the file once is told by its write bits when that is to be done again.
        let is_cleared = self.is_told_by_its_file() && stat.writable && self.cleared.load(Ordering::Acquire);
        if let Some(poisoned) = self.shared.poisoned() {
            return Err(self.failed_sync(&poisoned));
        }
        if !is_cleared && !self.is_fit(&stat)? {
            return Ok(None);
        }
        let done = self.refresh(&mut writer, stat.bytes);
        self.unless_gone(done.and_then(|known| work(&mut Locked { log: self, writer: &mut writer, known })))
    }

    /// Whether the file under the lock may be written to; where it may not, another one has been put in its place.
    fn is_fit(&self, stat: &FileStat) -> Result<bool> {
        if self.has_failed_mark()? {
            self.rewrite_after_failed_sync(stat.bytes)?;
            return Ok(false);
        }
        if !stat.writable {
            if !self.settle()? {
                return Ok(false);
            }
        } else if !self.cleared.load(Ordering::Acquire) {
            self.clear_leftover()?;
        }
        self.cleared.store(true, Ordering::Release);
        Ok(true)
    }

    /// What a call answers on a log that is not trusted any more.
    pub(crate) fn failed_sync(&self, poisoned: &Poisoned) -> StoreError {
        StoreError::io("sync", &self.name.path, io::Error::other(poisoned.clone()))
    }

    /// What a call answers that waited for a sync which failed.
    pub(crate) fn untrusted(&self) -> StoreError {
        let unknown = || Poisoned { reason: "it is not known why".into() };
        self.failed_sync(&self.shared.poisoned().unwrap_or_else(unknown))
    }

    /// Looks at what others did to the file since this handle looked last.
    fn refresh(&self, writer: &mut Writer, bytes: u64) -> Result<Known> {
        let before = writer.known.take();
        // Only what is valid stays where it is. A torn tail may have made way for a line of the same length.
        let is_whole = |known: &Known| known.end.bytes == known.bytes && known.end.missing.is_empty();
        if let Some(known) = before.filter(|known| known.bytes == bytes && is_whole(known)) {
            writer.known = Some(known);
            return Ok(known);
        }
        let view = self.view(bytes).confirmed();
        let end = view.end()?;
        match before {
            // The keys of what others wrote are looked for when one is asked for.
            Some(known) if known.end.missing.is_empty() && known.end.bytes <= end.bytes => {}
            Some(_) => {
                writer.keys = None;
                self.shared.restart();
            }
            None => writer.keys = writer.inherited.take(),
        }
        let known = Known { bytes, end };
        self.shared.wrote(end.seq);
        writer.known = Some(known);
        Ok(known)
    }

    /// Returns when all that was written to the log is on stable storage; `None` if the log's name no longer stands for this
    /// file. It takes the log's lock.
    pub(crate) fn sync(&self) -> Result<Option<()>> {
        match self.with_lock(|log| Ok(log.seq())) {
            Ok(Some(seq)) => self.sync_through(seq).map(Some),
            Ok(None) => Ok(None),
            // What is damaged is written to the medium as it is, unless a failed sync has made that worthless.
            Err(StoreError::Corrupt(_)) if !self.has_failed_mark()? => self.sync_or_poison().map(Some),
            Err(error) => Err(error),
        }
    }

    /// Returns when everything through `seq` is on stable storage. Callers that wait at the same time share one sync, also
    /// those of other handles of this process.
    pub(crate) fn sync_through(&self, seq: Seq) -> Result<()> {
        let mut cause = None;
        let sync = || {
            self.file.sync_file().map_err(|error| {
                self.leave_failed_mark();
                let text = error.to_string();
                cause = Some(error);
                text
            })
        };
        self.shared.group().commit(seq.0, sync).map_err(|poisoned| match cause {
            Some(error) => StoreError::io("sync", &self.name.path, error),
            None => self.failed_sync(&poisoned),
        })
    }
}

impl Locked<'_> {
    /// Where the log ends.
    pub(crate) const fn end(&self) -> Position {
        self.known.end.position()
    }

    /// The last entry's seq: how far the log has to be synced for all of it to be safe.
    pub(crate) const fn seq(&self) -> Seq {
        self.known.end.seq
    }

    /// The last entry's text.
    pub(crate) fn last_text(&self) -> Result<Option<String>> {
        let mut text = None;
        let view = self.log.view(self.known.bytes);
        view.read_last(&self.known.end, 1, |_, line| {
            text = Some(line.text());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(text)
    }

    /// Makes the file end where its last complete call ends, and returns when all of the log is on stable storage.
    pub(crate) fn settle_end(&mut self) -> Result<()> {
        self.known = self.log.heal(&self.known).inspect_err(|_| self.writer.known = None)?;
        self.writer.known = Some(self.known);
        self.log.sync_through(self.known.end.seq)
    }

    /// Where a key's entry stands and with which text. The first look reads the log once.
    pub(crate) fn find_key(&mut self, key: &str) -> Result<Option<(Position, String)>> {
        let view = self.log.view(self.known.bytes);
        let end = self.known.end;
        // What cannot be read whole is read again from the start by the next who asks.
        let mut keys = self.writer.keys.take().filter(|keys| keys.through <= end.seq).unwrap_or_default();
        keys.collect(&*self.log.disk, &view, &end)?;
        let found = keys.find(&view, &end, key)?;
        self.writer.keys = Some(keys);
        Ok(found)
    }

    /// What is to follow the log's end: no call yet.
    pub(crate) fn draft<'l>(&mut self) -> Draft<'l> {
        let first = self.known.end.next_seq();
        let mark = self.log.shared.mark(first);
        let buffer = mem::take(&mut self.writer.buffer);
        Draft { end: self.known.end.position(), lines: Vec::new(), buffer, written: Vec::new(), mark, first }
    }

    /// Puts the lines of one call, of which there is at least one, behind those that the draft has.
    pub(crate) fn add_call<'l>(&self, draft: &mut Draft<'l>, lines: impl ExactSizeIterator<Item = NewLine<'l>>) {
        let mut more = lines.len() as u64;
        draft.lines.reserve(lines.len());
        draft.written.reserve(lines.len());
        for line in lines {
            more -= 1;
            let seq = draft.end.seq.next();
            let synced = draft.mark.filter(|_| seq == draft.first);
            let fields = LineFields { seq, more, key: line.key, synced };
            let crc32c = encode_line(&mut draft.buffer, &self.log.name.context, &fields, line.text);
            draft.end = Position { seq, crc32c };
            draft.lines.push(line);
            draft.written.push(draft.end);
        }
    }

    /// Whether this part of the log holds entries and would have more than `bytes_max` bytes with the draft.
    pub(crate) fn is_full_for(&self, draft: &Draft<'_>, bytes_max: u64) -> bool {
        let End { bytes, missing, .. } = self.known.end;
        bytes > 0 && bytes + (missing.len() + draft.buffer.len()) as u64 > bytes_max
    }

    /// Writes the lines of one call.
    pub(crate) fn write(&mut self, lines: &[NewLine<'_>]) -> Result<Vec<Position>> {
        let mut draft = self.draft();
        self.add_call(&mut draft, lines.iter().copied());
        self.write_draft(draft)
    }

    /// Writes a draft that was made with this lock held and has a call: all of it or nothing, for who looks on; of what a crash
    /// leaves each call is whole or not there. Answers with where its lines stand.
    pub(crate) fn write_draft(&mut self, draft: Draft<'_>) -> Result<Vec<Position>> {
        self.known = self.log.heal(&self.known).inspect_err(|_| self.writer.known = None)?;
        self.writer.known = Some(self.known);
        let End { bytes: start, seq: before, .. } = self.known.end;
        let missing = self.log.append_call(start, &draft.buffer).inspect_err(|_| self.writer.known = None)?;
        if let Some(mark) = draft.mark {
            self.log.shared.said(mark);
        }
        let bytes = start + (draft.buffer.len() - missing.len()) as u64;
        let Position { seq, crc32c } = draft.end;
        self.known = Known { bytes, end: End { seq, crc32c, bytes, missing, hole: false } };
        self.writer.known = Some(self.known);
        if let Some(keys) = self.writer.keys.as_mut().filter(|keys| keys.through == before) {
            keys.add(&*self.log.disk, &self.log.name, &draft, seq);
        }
        self.log.shared.wrote(seq);
        let Draft { written, mut buffer, .. } = draft;
        if buffer.capacity() <= BUFFER_BYTES_MAX {
            buffer.clear();
            self.writer.buffer = buffer;
        }
        Ok(written)
    }
}

/// The bytes of calls that are written together.
pub(crate) struct Draft<'l> {
    pub(super) lines: Vec<NewLine<'l>>,
    buffer: Vec<u8>,
    /// Each line's position.
    pub(super) written: Vec<Position>,
    /// Where the log ends with it.
    end: Position,
    /// How far its first line says that the log is on stable storage.
    mark: Option<Seq>,
    first: Seq,
}

impl Draft<'_> {
    /// Where the log ends with what is in it.
    pub(crate) const fn end(&self) -> Position {
        self.end
    }

    /// How much it holds.
    pub(crate) const fn place(&self) -> DraftPlace {
        DraftPlace { lines: self.lines.len(), bytes: self.buffer.len(), end: self.end }
    }

    /// Takes out what was added behind a place.
    pub(crate) fn cut_back(&mut self, place: &DraftPlace) {
        self.lines.truncate(place.lines);
        self.written.truncate(place.lines);
        self.buffer.truncate(place.bytes);
        self.end = place.end;
    }
}

/// A place in a draft, between two calls.
pub(crate) struct DraftPlace {
    /// How many lines stand before it.
    pub(crate) lines: usize,
    /// How many bytes they have.
    pub(crate) bytes: usize,
    end: Position,
}

/// What a medium made of a write.
struct Taken {
    bytes: usize,
    /// Why it takes no more, if it says so.
    cause: Option<io::Error>,
}

impl RecordLog {
    /// Appends the lines of a call to a file that is `start` bytes long, and answers with what the last one lacks to be a line. If the
    /// medium does not take them the file is cut back.
    ///
    /// A medium that ran full within a line's closing bytes took the call: a reader may have counted it already.
    fn append_call(&self, start: u64, bytes: &[u8]) -> Result<&'static [u8]> {
        for _ in 0..TRIES_MAX {
            let taken = take_whole(&*self.file, bytes);
            let missing = bytes.len() - taken.bytes;
            if let Some(written) = LINE_CLOSE.len().checked_sub(missing) {
                return Ok(&LINE_CLOSE[written..]);
            }
            // If this fails, the bytes are a torn tail, and the next writer takes them out.
            let cut = self.file.truncate(start);
            // What was taken back must not come back in the middle of what is written next.
            let synced = self.sync_or_poison();
            if let Some(cause) = taken.cause {
                return Err(cause).at("append to", &self.name.path);
            }
            cut.at("truncate", &self.name.path)?;
            synced?;
        }
        let cause = io::Error::new(io::ErrorKind::WriteZero, "the medium takes only a part of the call");
        Err(cause).at("append to", &self.name.path)
    }
}

/// Appends by one write. A medium that takes a part does not say why: it is asked by one byte more, behind which there is nothing
/// that a power loss could keep.
fn take_whole(file: &dyn DiskFile, bytes: &[u8]) -> Taken {
    let mut taken = take_some(file, bytes);
    if taken.cause.is_none() && taken.bytes + LINE_CLOSE.len() < bytes.len() {
        let next = take_some(file, &bytes[taken.bytes..=taken.bytes]);
        taken = Taken { bytes: taken.bytes + next.bytes, ..next };
    }
    taken
}

fn take_some(file: &dyn DiskFile, bytes: &[u8]) -> Taken {
    loop {
        match file.append(bytes) {
            Ok(0) => return Taken { bytes: 0, cause: Some(io::ErrorKind::WriteZero.into()) },
            Ok(bytes) => return Taken { bytes, cause: None },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Taken { bytes: 0, cause: Some(error) },
        }
    }
}

/// Appends to a file that is `start` bytes long, by as many writes as it takes: the caller lets nothing follow it that is not synced after it.
/// If the medium does not take everything, the file is cut back.
pub(crate) fn append_all_or_nothing(file: &dyn DiskFile, start: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let taken = take_some(file, &bytes[done..]);
        done += taken.bytes;
        if let Some(cause) = taken.cause {
            // If even this fails, the bytes are a torn tail, and the next writer takes them out.
            let _ = file.truncate(start);
            return Err(cause);
        }
    }
    Ok(())
}
