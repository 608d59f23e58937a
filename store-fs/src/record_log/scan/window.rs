//! A stretch of a file in memory: what was read and not yet used.

use store_core::{Result, StoreError};

use crate::disk::DiskFile;
use crate::layout::LogName;

/// How much is read at once.
const READ_BYTES: usize = 1024 * 1024;
/// Bytes of a file that were read and not yet used.
#[derive(Default)]
pub(super) struct Window {
    pub(super) buffer: Vec<u8>,
    /// The file's offset of the buffer's first byte.
    pub(super) start: u64,
    /// Where in the buffer the next line starts.
    pub(super) at: usize,
    /// How far the buffer is filled.
    pub(super) filled: usize,
}

impl Window {
    pub(super) fn read_to(&self) -> u64 {
        self.start + self.filled as u64
    }

    pub(super) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    pub(super) fn unused(&self) -> &[u8] {
        &self.buffer[self.at..self.filled]
    }

    /// Reads on, at most to `stop`; answers with what was read, which is nothing if the file ends there.
    pub(super) fn read(&mut self, file: &dyn DiskFile, stop: u64, name: &LogName) -> Result<&[u8]> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.start += self.at as u64;
        self.filled -= self.at;
        self.at = 0;
        let wanted = usize::try_from(stop - self.read_to()).unwrap_or(usize::MAX).min(READ_BYTES);
        if self.buffer.len() < self.filled + wanted {
            self.buffer.resize(self.filled + wanted, 0);
        }
        let from = self.filled;
        while self.filled < from + wanted {
            let read_to = self.read_to();
            match file.read_at(&mut self.buffer[self.filled..from + wanted], read_to) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &name.path, error)),
            }
        }
        Ok(&self.buffer[from..self.filled])
    }
}
