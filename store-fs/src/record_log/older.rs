//! A log of an older layout, read as the file that it would be today.
//!
//! Its lines are entries without `seq` and `crc32c`; here and there one of today's may stand among them. [`OlderFile`] is that log
//! in today's form, made as it is read: a line that is an entry gets its number and its checksum, any other stays as it is,
//! and so is damage or a stopped write by the same rules as everywhere. What is read is what a rewriting writes, so a position that was
//! remembered before it still stands after it.
//!
//! The price is one pass over the file whenever it is opened, because nothing in it says how many lines come before one. No more than
//! a block of it is in memory.

use std::io;
use std::sync::{Arc, Mutex};

use memchr::memrchr;
use store_core::call::{ENTRY_BYTES_MAX, check_text};
use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::{Result, Seq, StoreError};

use super::lock_mutex;
use super::read::{View, copy_range};
use crate::disk::{DiskFile, FileStat, LockKind};
use crate::error::At as _;
use crate::layout::LogName;

/// How much of the file is put into today's form at once, unless a line is longer.
const BLOCK_BYTES: u64 = 64 * 1024;
/// More than any line has that is an entry.
const LINE_BYTES_MAX: u64 = ENTRY_BYTES_MAX + 64 * 1024;
/// In so many of its first lines a log has to have an entry.
const FIRST_LINES_MAX: usize = 64;
/// What every line of today begins with.
const LINE_OPEN: &[u8] = br#"{"seq":"#;

/// Some whole lines of the file.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Where in the file they start.
    source: u64,
    /// Where they start in today's form.
    at: u64,
    /// The first line's number.
    seq: Seq,
    /// Whether it is one line that is too long to be an entry, and stays as it is.
    is_raw: bool,
}

/// A log of an older layout in today's form, as long as the file was when it was opened.
#[derive(Debug)]
pub(crate) struct OlderFile {
    file: Box<dyn DiskFile>,
    context: LogContext,
    blocks: Vec<Block>,
    /// The length of today's form.
    bytes: u64,
    /// The length of the file.
    source_bytes: u64,
    /// The block that was read last.
    recent: Mutex<Option<(usize, Arc<Today>)>>,
}

/// Some lines in today's form.
#[derive(Debug, Default)]
struct Today {
    bytes: Vec<u8>,
    lines: Vec<TodayLine>,
}

#[derive(Clone, Copy, Debug)]
struct TodayLine {
    /// Where it starts in today's form of the block, and where in the block of the file.
    at: usize,
    source: usize,
    /// Whether it stays as it is.
    is_same: bool,
}

/// Whether a file under a segment's name is a log of an older layout: the first of its lines that is an entry in either form is one without
/// a checksum.
pub(crate) fn is_older(file: &dyn DiskFile, name: &LogName) -> Result<bool> {
    first_older_entry(file, name).map(|text| text.is_some())
}

/// The text of the first line that is an entry in either form, if it is one without a checksum.
pub(crate) fn first_older_entry(file: &dyn DiskFile, name: &LogName) -> Result<Option<String>> {
    let path = &name.path;
    let open = read_range(file, 0, LINE_OPEN.len() as u64).at("read", path)?;
    if open == LINE_OPEN || open.is_empty() {
        return Ok(None);
    }
    let bytes = file.stat().at("stat", path)?.bytes;
    let mut length = BLOCK_BYTES;
    loop {
        let head = read_range(file, 0, length.min(bytes)).at("read", path)?;
        // A log may begin with one long line, and of one that is cut nobody knows what it is.
        let whole = if length >= bytes { head.len() } else { memrchr(b'\n', &head).map_or(0, |at| at + 1) };
        let mut looked_at = 0;
        for line in head[..whole].split(|byte| *byte == b'\n').take(FIRST_LINES_MAX) {
            match form_of(&name.context, line) {
                Form::Today => return Ok(None),
                Form::Older(text) => return Ok(Some(text.to_owned())),
                Form::Neither => looked_at += 1,
            }
        }
        if length >= bytes || length > LINE_BYTES_MAX || looked_at == FIRST_LINES_MAX {
            return Ok(None);
        }
        length *= 4;
    }
}

/// What the bytes before a newline are.
enum Form<'a> {
    Today,
    /// The entry's text.
    Older(&'a str),
    Neither,
}

fn form_of<'a>(context: &LogContext, line: &'a [u8]) -> Form<'a> {
    if decode_line(context, line).is_ok() {
        return Form::Today;
    }
    match std::str::from_utf8(line) {
        Ok(text) if check_text(text).is_ok() => Form::Older(text),
        _ => Form::Neither,
    }
}

/// The bytes from `from` up to `to`; fewer if the file got shorter.
fn read_range(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], from + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Whether two files have the same bytes.
pub(crate) fn same_bytes(one: &dyn DiskFile, other: &dyn DiskFile) -> io::Result<bool> {
    let bytes = one.stat()?.bytes;
    if other.stat()?.bytes != bytes {
        return Ok(false);
    }
    let mut at = 0;
    while at < bytes {
        let stop = (at + BLOCK_BYTES).min(bytes);
        if read_range(one, at, stop)? != read_range(other, at, stop)? {
            return Ok(false);
        }
        at = stop;
    }
    Ok(true)
}

/// Writes a log in today's form to an empty file.
pub(crate) fn copy_of_older(older: &Arc<OlderFile>, name: &LogName, to: &dyn DiskFile) -> Result<()> {
    copy_range(&View::new(older, name, older.bytes()), 0, to)
}

impl OlderFile {
    /// Goes through the file once, to know what number each line has.
    pub(crate) fn read(file: Box<dyn DiskFile>, name: &LogName) -> Result<Self> {
        let source_bytes = file.stat().at("stat", &name.path)?.bytes;
        let context = name.context.clone();
        let mut read = Self { file, context, blocks: Vec::new(), bytes: 0, source_bytes, recent: Mutex::default() };
        read.find_blocks().at("read", &name.path)?;
        Ok(read)
    }

    fn find_blocks(&mut self) -> io::Result<()> {
        let (mut source, mut seq) = (0, Seq(1));
        while source < self.source_bytes {
            let (end, is_raw) = self.end_of_block(source)?;
            let at = self.bytes;
            self.blocks.push(Block { source, at, seq, is_raw });
            let lines = if is_raw {
                self.bytes += end - source;
                1
            } else {
                let bytes = read_range(&*self.file, source, end)?;
                let today = self.translate(&bytes, seq);
                self.bytes += today.bytes.len() as u64;
                today.lines.len() as u64
            };
            (source, seq) = (end, Seq(seq.0 + lines));
        }
        Ok(())
    }

    /// The end of the block that starts at an offset, and whether it is one line that is no entry.
    fn end_of_block(&self, source: u64) -> io::Result<(u64, bool)> {
        let mut length = BLOCK_BYTES;
        while length <= LINE_BYTES_MAX * 2 {
            let stop = source + length;
            if stop >= self.source_bytes {
                return Ok((self.source_bytes, false));
            }
            let bytes = read_range(&*self.file, source, stop)?;
            if let Some(newline) = memrchr(b'\n', &bytes) {
                return Ok((source + newline as u64 + 1, false));
            }
            length *= 2;
        }
        let mut at = source + length / 2;
        while at < self.source_bytes {
            let bytes = read_range(&*self.file, at, (at + BLOCK_BYTES).min(self.source_bytes))?;
            if let Some(newline) = memchr::memchr(b'\n', &bytes) {
                return Ok((at + newline as u64 + 1, true));
            }
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
        }
        Ok((self.source_bytes, true))
    }

    /// Lines in today's form, the first of which has the number `seq`.
    fn translate(&self, bytes: &[u8], seq: Seq) -> Today {
        let mut today = Today::default();
        let mut source = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let seq = Seq(seq.0 + today.lines.len() as u64);
            let form = form_of(&self.context, line.strip_suffix(b"\n").unwrap_or(line));
            let is_same = !matches!(form, Form::Older(_));
            today.lines.push(TodayLine { at: today.bytes.len(), source, is_same });
            match form {
                // Also where its newline is missing: nothing of an object is when its last brace is there.
                Form::Older(text) => {
                    let fields = LineFields { seq, ..LineFields::default() };
                    encode_line(&mut today.bytes, &self.context, &fields, text);
                }
                Form::Today | Form::Neither => today.bytes.extend_from_slice(line),
            }
            source += line.len();
        }
        today
    }

    fn block_at(&self, offset: u64) -> Option<(usize, Block)> {
        let at = self.blocks.partition_point(|block| block.at <= offset).checked_sub(1)?;
        Some((at, self.blocks[at]))
    }

    /// Where a block ends: in the file, and in today's form.
    fn end_of(&self, at: usize) -> (u64, u64) {
        self.blocks.get(at + 1).map_or((self.source_bytes, self.bytes), |next| (next.source, next.at))
    }

    fn block(&self, at: usize) -> io::Result<Arc<Today>> {
        let mut recent = lock_mutex(&self.recent);
        if let Some((_, today)) = recent.as_ref().filter(|(of, _)| *of == at) {
            return Ok(Arc::clone(today));
        }
        let block = self.blocks[at];
        let bytes = read_range(&*self.file, block.source, self.end_of(at).0)?;
        let today = Arc::new(self.translate(&bytes, block.seq));
        *recent = Some((at, Arc::clone(&today)));
        Ok(today)
    }

    /// The length of the file when it was opened.
    pub(crate) const fn source_bytes(&self) -> u64 {
        self.source_bytes
    }

    /// The length of today's form.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where in the file stands what is at an offset of today's form: its line, or the byte itself where the line stays as it is.
    pub(crate) fn source_of(&self, offset: u64) -> io::Result<u64> {
        let Some((at, block)) = self.block_at(offset).filter(|_| offset < self.bytes) else {
            return Ok(self.source_bytes);
        };
        let within = offset - block.at;
        if block.is_raw {
            return Ok(block.source + within);
        }
        let within = usize::try_from(within).unwrap_or(usize::MAX);
        let today = self.block(at)?;
        let line = today.lines.partition_point(|line| line.at <= within).checked_sub(1).map(|line| today.lines[line]);
        let within = line.map_or(0, |line| line.source + if line.is_same { within - line.at } else { 0 });
        Ok(block.source + within as u64)
    }

    /// Damage that was found in today's form, where it stands in the file.
    pub(crate) fn locate<T>(&self, done: Result<T>) -> Result<T> {
        done.map_err(|error| match error {
            StoreError::Corrupt(mut damage) => {
                // Where that cannot be read any more the place in today's form is as good.
                damage.offset = self.source_of(damage.offset).unwrap_or(damage.offset);
                StoreError::Corrupt(damage)
            }
            error => error,
        })
    }
}

fn no_writes() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a log of an older layout is not written to")
}

/// For reading only; locks are those of the file.
impl DiskFile for Arc<OlderFile> {
    fn append(&self, _bytes: &[u8]) -> io::Result<usize> {
        Err(no_writes())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some((at, block)) = self.block_at(offset).filter(|_| offset < self.bytes) else { return Ok(0) };
        let left = usize::try_from(self.end_of(at).1 - offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        if block.is_raw {
            return self.file.read_at(&mut buffer[..length], block.source + (offset - block.at));
        }
        let today = self.block(at)?;
        let from = usize::try_from(offset - block.at).unwrap_or(usize::MAX);
        // A file that was changed meanwhile may give fewer.
        let bytes = today.bytes.get(from..).unwrap_or_default();
        let length = length.min(bytes.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn stat(&self) -> io::Result<FileStat> {
        Ok(FileStat { bytes: self.bytes, ..self.file.stat()? })
    }

    fn truncate(&self, _bytes: u64) -> io::Result<()> {
        Err(no_writes())
    }

    fn set_writable(&self, _writable: bool) -> io::Result<()> {
        Err(no_writes())
    }

    fn sync_file(&self) -> io::Result<()> {
        self.file.sync_file()
    }

    fn lock(&self, kind: LockKind) -> io::Result<()> {
        self.file.lock(kind)
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.file.try_lock(kind)
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}
