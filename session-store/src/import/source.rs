//! One file on its way in: what was read of it, and that nothing was read twice.

use std::fs::Metadata;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::detect;
use super::unpack::Unpacked;
use super::writer::Cursor;

/// How much is read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads and takes the sum of what was read.
#[derive(Debug)]
pub(super) struct Summed<R> {
    input: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// A file that is being read, as far as it reached when it was opened: what is written meanwhile is read the next time. What
/// is counted and summed is the text, also of a compressed file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) input: BufReader<Summed<Unpacked>>,
    meta: Metadata,
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = detect::open(path)?;
        let meta = file.metadata()?;
        let input = Unpacked::new(file, meta.len())?;
        let summed = Summed { input, hash: Sha256::new(), bytes: 0 };
        Ok(Self { input: BufReader::with_capacity(BUFFER_BYTES, summed), meta })
    }

    /// Why the text ends before the file does.
    pub(super) fn damage(&self) -> Option<&str> {
        self.input.get_ref().input.damage()
    }

    /// How far the file was read.
    pub(super) fn cursor(self, path: &Path) -> Cursor {
        let Summed { input, hash, bytes } = self.input.into_inner();
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let cursor = Cursor::new(path, bytes, sha256, &self.meta);
        if input.is_packed() { cursor.of_text() } else { cursor }
    }
}

/// What the file's cursor would be, without reading records.
pub(super) fn cursor_of(path: &Path) -> io::Result<Cursor> {
    let mut source = Source::open(path)?;
    io::copy(&mut source.input, &mut io::sink())?;
    Ok(source.cursor(path))
}
