//! Writing a call's lines: all of them or none, under the log's lock.
//!
//! One write takes the whole call. If the medium takes only a part, the part is taken back before the lock is given
//! up; if the process dies in between, `more` and the checksum tell the next reader, and the next writer cleans up.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use store_core::codec::{LineFields, encode_line};
use store_core::{Position, Result, Seq};

use super::read::View;
use super::{End, FileLock, KeyAt, Known, RecordLog, Writer, lock_mutex};
use crate::disk::{DiskFile, LockKind};
use crate::error::At as _;

/// What stands behind the checksum's digits at the end of a line.
const LINE_CLOSE: &[u8] = b"\"}\n";

/// A line that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewLine<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) text: &'a str,
}

/// A log whose lock is held: what may be done with it then.
pub(crate) struct Locked<'a> {
    log: &'a RecordLog,
    writer: &'a mut Writer,
    known: Known,
}

impl RecordLog {
    /// Does `work` with the log's lock held; `None`, and nothing done, if the log's name no longer stands for this file.
    pub(crate) fn with_lock<T>(&self, work: impl FnOnce(&mut Locked<'_>) -> Result<T>) -> Result<Option<T>> {
        let mut writer = lock_mutex(&self.writer);
        self.file.lock(LockKind::Exclusive).at("lock", &self.name.path)?;
        let _lock = FileLock(&*self.file);
        let Some(stat) = self.stat()? else { return Ok(None) };
        let known = self.refresh(&mut writer, stat.bytes)?;
        work(&mut Locked { log: self, writer: &mut writer, known }).map(Some)
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
        let view = self.view(bytes);
        let end = view.end()?;
        match before {
            Some(known) if known.end.missing.is_empty() && known.end.bytes <= end.bytes => {
                let (from, first) = (known.end.bytes, known.end.next_seq());
                // What others wrote is damaged, or is no continuation: whoever asks for a key reads it all and is told.
                if let Some(keys) = &mut writer.keys
                    && collect_keys(&view, &end, from, first, keys).is_err()
                {
                    writer.keys = None;
                }
            }
            Some(_) => {
                writer.keys = None;
                *lock_mutex(&self.synced) = None;
                self.written.store(0, Ordering::Release);
            }
            None => writer.keys = None,
        }
        let known = Known { bytes, end };
        self.written.fetch_max(end.bytes, Ordering::AcqRel);
        writer.known = Some(known);
        Ok(known)
    }

    /// Returns when all that was written to the log is on stable storage; `None` if the log's name no longer stands for this
    /// file.
    pub(crate) fn sync(&self) -> Result<Option<()>> {
        let Some(stat) = self.stat()? else { return Ok(None) };
        let synced = lock_mutex(&self.synced);
        if synced.is_none_or(|synced| synced < stat.bytes) {
            // How far that is stays unknown: what others left at the end may be taken out again.
            self.sync_file_and_name(synced.is_none())?;
        }
        Ok(Some(()))
    }

    /// Returns when the first `bytes` bytes are on stable storage. Callers that wait at the same time share one sync.
    pub(crate) fn sync_through(&self, bytes: u64) -> Result<()> {
        let mut synced = lock_mutex(&self.synced);
        if synced.is_some_and(|synced| synced >= bytes) {
            return Ok(());
        }
        let through = self.written.load(Ordering::Acquire).max(bytes);
        self.sync_file_and_name(synced.is_none())?;
        *synced = Some(through);
        Ok(())
    }

    fn sync_file_and_name(&self, is_first: bool) -> Result<()> {
        self.file.sync_file().at("sync", &self.name.path)?;
        if is_first {
            // Whoever gave the log its name may have died before that was on stable storage.
            for folder in &self.name.folders {
                self.disk.sync_folder(folder).at("sync", folder)?;
            }
        }
        Ok(())
    }
}

impl Locked<'_> {
    /// Where the log ends.
    pub(crate) const fn end(&self) -> Position {
        self.known.end.position()
    }

    /// The length of what is valid: what has to be synced for the last entry to be safe.
    pub(crate) const fn bytes(&self) -> u64 {
        self.known.end.bytes
    }

    /// Where a key's entry stands and with which text. The first look reads the log once.
    pub(crate) fn find_key(&mut self, key: &str) -> Result<Option<(Position, String)>> {
        let view = self.log.view(self.known.bytes);
        let end = self.known.end;
        if self.writer.keys.is_none() {
            let mut keys = HashMap::new();
            collect_keys(&view, &end, 0, Seq(1), &mut keys)?;
            self.writer.keys = Some(keys);
        }
        let Some(at) = self.writer.keys.as_ref().and_then(|keys| keys.get(key)).copied() else { return Ok(None) };
        let mut text = String::new();
        view.forward(&end, at.offset, at.position.seq, |_, line| {
            text = line.text();
            Ok(ControlFlow::Break(()))
        })?;
        Ok(Some((at.position, text)))
    }

    /// Writes the lines of one call; there is at least one.
    pub(crate) fn write(&mut self, lines: &[NewLine<'_>]) -> Result<Vec<Position>> {
        self.known = self.log.heal(&self.known).inspect_err(|_| self.writer.known = None)?;
        self.writer.known = Some(self.known);
        let start = self.known.end.bytes;
        let (buffer, written) = encode_call(&self.log.name.context, self.known.end.next_seq(), lines);
        let missing = append_call(&*self.log.file, start, &buffer)
            .inspect_err(|_| self.writer.known = None)
            .at("append to", &self.log.name.path)?;
        if let Some(keys) = &mut self.writer.keys {
            for (line, at) in lines.iter().zip(&written) {
                if let Some(key) = line.key {
                    keys.insert(key.to_owned(), KeyAt { position: at.position, offset: start + at.offset });
                }
            }
        }
        let positions: Vec<Position> = written.iter().map(|at| at.position).collect();
        let bytes = start + (buffer.len() - missing.len()) as u64;
        let last = positions.last().copied().unwrap_or(self.known.end.position());
        self.known = Known { bytes, end: End { seq: last.seq, crc32c: last.crc32c, bytes, missing } };
        self.writer.known = Some(self.known);
        self.log.written.fetch_max(bytes, Ordering::AcqRel);
        Ok(positions)
    }
}

/// The bytes of one call, and where in them each line starts.
fn encode_call(context: &store_core::codec::LogContext, first: Seq, lines: &[NewLine<'_>]) -> (Vec<u8>, Vec<KeyAt>) {
    let mut buffer = Vec::with_capacity(lines.iter().map(|line| line.text.len() + 64).sum());
    let mut written = Vec::with_capacity(lines.len());
    let mut seq = first;
    for (line, more) in lines.iter().zip((0..lines.len() as u64).rev()) {
        let offset = buffer.len() as u64;
        let fields = LineFields { seq, more, key: line.key, synced: None };
        let crc32c = encode_line(&mut buffer, context, &fields, line.text);
        written.push(KeyAt { position: Position { seq, crc32c }, offset });
        seq = seq.next();
    }
    (buffer, written)
}

/// Appends the lines of a call and answers with what the last one lacks to be a line.
///
/// A medium that ran full within a line's closing bytes took the call: a reader may have counted it already.
fn append_call(file: &dyn DiskFile, start: u64, bytes: &[u8]) -> io::Result<&'static [u8]> {
    let Err((done, cause)) = append_some(file, bytes) else { return Ok(b"") };
    let missing = bytes.len() - done;
    if let Some(written) = LINE_CLOSE.len().checked_sub(missing) {
        return Ok(&LINE_CLOSE[written..]);
    }
    Err(take_back(file, start, cause))
}

/// Appends to a file that is `start` bytes long. If the medium does not take everything, the file is cut back.
pub(crate) fn append_all_or_nothing(file: &dyn DiskFile, start: u64, bytes: &[u8]) -> io::Result<()> {
    append_some(file, bytes).map_err(|(_, cause)| take_back(file, start, cause))
}

fn take_back(file: &dyn DiskFile, start: u64, cause: io::Error) -> io::Error {
    // If even this fails, the bytes are a torn tail, and the next writer takes them out.
    let _ = file.truncate(start);
    cause
}

/// Appends, or says how many bytes the medium took and why no more.
fn append_some(file: &dyn DiskFile, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        match file.append(&bytes[done..]) {
            Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
            // A short write is gone on with: only the next one says what is wrong.
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((done, error)),
        }
    }
    Ok(())
}

/// Notes the keys of the lines from `offset` on.
fn collect_keys(view: &View<'_>, end: &End, offset: u64, first: Seq, keys: &mut HashMap<String, KeyAt>) -> Result<()> {
    view.forward(end, offset, first, |offset, line| {
        if let Some(key) = &line.key {
            let position = Position { seq: line.seq, crc32c: line.crc32c };
            keys.insert(key.clone().into_owned(), KeyAt { position, offset });
        }
        Ok(ControlFlow::Continue(()))
    })
}
