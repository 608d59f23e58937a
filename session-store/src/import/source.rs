//! One file on its way in: what was read of it, and that nothing was read twice.

use std::fs::Metadata;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};
use store_core::{Store, StoreError};

use super::detect;
use super::raw::{Kept, Packed, Packer};
use super::unpack::Unpacked;
use super::writer::Cursor;
use crate::error::Result;

/// How much is read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// How much is looked through at once for the last line end.
const STEP_BYTES: u64 = 64 << 10;

/// Takes the sum of what is read.
#[derive(Debug)]
pub(super) struct Summed<R> {
    input: BufReader<R>,
    hash: Sha256,
    bytes: u64,
    /// Keeps what is read.
    packer: Option<Packer>,
    /// What of it is in the store.
    kept: Kept,
    /// How much was read before, and its sum; then whether that is still so.
    before: Option<(u64, String)>,
    is_as_before: bool,
}

impl<R> Summed<R> {
    /// Puts what was kept into the store.
    pub(super) fn settle(&mut self, store: &dyn Store) -> Result<()> {
        match &mut self.packer {
            Some(packer) => self.kept.put(store, packer.take_ready()),
            None => Ok(()),
        }
    }

    /// What was packed since the last time, for who puts it into the store himself.
    pub(super) fn take_packed(&mut self) -> Vec<Packed> {
        self.packer.as_mut().map(Packer::take_ready).unwrap_or_default()
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Summed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.input.buffer().len());
        let bytes = &self.input.buffer()[..count];
        let end = self.bytes + count as u64;
        match self.before.take_if(|(before, _)| *before <= end) {
            Some((before, sha256)) => {
                let at = usize::try_from(before.saturating_sub(self.bytes)).unwrap_or(count).min(count);
                self.hash.update(&bytes[..at]);
                self.is_as_before = hex(&self.hash) == sha256;
                self.hash.update(&bytes[at..]);
            }
            None => self.hash.update(bytes),
        }
        if let Some(packer) = &mut self.packer {
            packer.take(self.bytes, bytes);
        }
        self.bytes = end;
        self.input.consume(count);
    }
}

/// A file that is being read, as far as it reached when it was opened: what is written meanwhile is read the next time. What
/// is counted and summed is the text, also of a compressed file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) input: Summed<Unpacked>,
    /// How many bytes there are up to the last line end; 0 of a compressed file, whose end nobody sees before it is read.
    whole_lines_bytes: u64,
    meta: Metadata,
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = detect::open(path)?;
        let meta = file.metadata()?;
        let whole_lines_bytes = whole_lines(&mut file, meta.len())?;
        let input = Unpacked::new(file, meta.len())?;
        let whole_lines_bytes = if input.is_packed() { 0 } else { whole_lines_bytes };
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        let (hash, packer, before) = (Sha256::new(), None, None);
        let input = Summed { input, hash, bytes: 0, packer, kept: Kept::default(), before, is_as_before: true };
        Ok(Self { input, whole_lines_bytes, meta })
    }

    /// Why the text ends before the file does.
    pub(super) fn damage(&self) -> Option<&str> {
        self.input.input.get_ref().damage()
    }

    /// How many bytes were read.
    pub(super) const fn bytes(&self) -> u64 {
        self.input.bytes
    }

    /// How many bytes of whole lines are still to be read. A last line without its end may go on when the file grows.
    pub(super) const fn whole_lines_left(&self) -> u64 {
        self.whole_lines_bytes.saturating_sub(self.input.bytes)
    }

    /// The sum of what was read.
    pub(super) fn sha256(&self) -> String {
        hex(&self.input.hash)
    }

    /// Keeps what is read from here on, as far as the packer wants it.
    pub(super) fn keep(&mut self, packer: Packer) {
        self.input.packer = Some(packer);
    }

    /// What is kept begins where an earlier import ended, if the file is the same up to there.
    pub(super) fn keep_behind(&mut self, bytes: u64, sha256: &str) {
        self.input.packer = Some(Packer::new(bytes));
        self.input.is_as_before = bytes == 0;
        self.input.before = (bytes > 0).then(|| (bytes, sha256.to_owned()));
    }

    /// What is kept begins at this place, up to which the file is the same.
    pub(super) fn keep_from(&mut self, bytes: u64) {
        if let (Some(packer), Some(_)) = (&mut self.input.packer, self.input.before.take()) {
            packer.begin(bytes);
            self.input.is_as_before = true;
        }
    }

    /// Puts what was kept into the store.
    pub(super) fn settle(&mut self, store: &dyn Store) -> Result<()> {
        self.input.settle(store)
    }

    /// All that was kept; nothing if the file was not as it had been before.
    pub(super) fn take_kept(&mut self, store: &dyn Store) -> Result<Option<Kept>> {
        let is_as_before = self.input.before.is_none() && self.input.is_as_before;
        let Some(packer) = self.input.packer.take().filter(|_| is_as_before) else { return Ok(None) };
        let mut kept = std::mem::take(&mut self.input.kept).behind(packer.from());
        kept.put(store, packer.finish().map_err(StoreError::backend)?)?;
        Ok(Some(kept))
    }

    /// The last of what was packed, for who puts it into the store himself; nothing if nothing is kept.
    pub(super) fn finish_packed(&mut self) -> Option<io::Result<Vec<Packed>>> {
        self.input.packer.take().map(Packer::finish)
    }

    /// Reads over a beginning of whole lines. False if the file has none of this length, or another one.
    pub(super) fn skip(&mut self, bytes: u64, sha256: &str) -> io::Result<bool> {
        if bytes > self.whole_lines_bytes {
            return Ok(false);
        }
        io::copy(&mut (&mut self.input).take(bytes), &mut io::sink())?;
        Ok(self.input.bytes == bytes && self.sha256() == sha256)
    }

    /// How far the file was read.
    pub(super) fn cursor(self, path: &Path) -> Cursor {
        let sha256 = self.sha256();
        let cursor = Cursor::new(path, self.input.bytes, sha256, &self.meta);
        if self.input.input.get_ref().is_packed() { cursor.of_text() } else { cursor }
    }
}

/// A sum in hexadecimal.
fn hex(hash: &Sha256) -> String {
    hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many bytes of a file there are up to its last line end.
fn whole_lines(file: &mut std::fs::File, bytes: u64) -> io::Result<u64> {
    let mut end = bytes;
    let mut found = 0;
    while end > 0 && found == 0 {
        let start = end.saturating_sub(STEP_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut step = Vec::new();
        file.by_ref().take(end - start).read_to_end(&mut step)?;
        found = step.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| start + at as u64 + 1);
        end = start;
    }
    file.rewind()?;
    Ok(found)
}

/// What tells that a file was touched, as a cursor of which nothing was read.
pub(super) fn stamp_of(path: &Path) -> io::Result<Cursor> {
    Ok(Cursor::new(path, 0, String::new(), &std::fs::metadata(path)?))
}

/// What the file's cursor would be, without reading records.
pub(super) fn cursor_of(path: &Path) -> io::Result<Cursor> {
    let mut source = Source::open(path)?;
    io::copy(&mut source.input, &mut io::sink())?;
    Ok(source.cursor(path))
}
