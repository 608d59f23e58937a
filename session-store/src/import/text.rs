//! The text of a file that is being imported, wherever it is read: here, or by the thread that reads ahead.

use std::io::{self, BufRead, Read};
use std::path::Path;

use store_core::{Store, StoreError};

use super::ahead::{AheadText, End, Sum};
use super::feed::failure;
use super::raw::Kept;
use super::source::Source;
use super::writer::Cursor;
use crate::error::Result;

/// Where a text comes from.
pub(super) enum Text {
    /// It is read here.
    Here(Box<Source>),
    /// Another thread reads it.
    Ahead {
        text: Box<AheadText>,
        /// How many bytes of whole lines it has.
        whole_bytes: u64,
        /// What of it is in the store.
        kept: Kept,
    },
}

impl Text {
    /// A file that is read here.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::Here(Box::new(Source::open(path)?)))
    }

    /// A file that is read ahead.
    pub(super) fn ahead(mut text: Box<AheadText>) -> io::Result<Self> {
        let whole_bytes = text.open()?;
        Ok(Self::Ahead { text, whole_bytes, kept: Kept::default() })
    }

    /// How many bytes of whole lines are still to be read. A last line without its end may go on when the file grows.
    pub(super) const fn whole_lines_left(&self) -> u64 {
        match self {
            Self::Here(source) => source.whole_lines_left(),
            Self::Ahead { whole_bytes, .. } => *whole_bytes,
        }
    }

    /// How much was read when all whole lines were.
    pub(super) fn whole(&mut self) -> io::Result<Sum> {
        match self {
            Self::Here(source) => Ok(Sum { bytes: source.bytes(), sha256: source.sha256() }),
            Self::Ahead { text, .. } => text.whole(),
        }
    }

    /// Puts what was kept into the store.
    pub(super) fn settle(&mut self, store: &dyn Store) -> Result<()> {
        match self {
            Self::Here(source) => source.settle(store),
            Self::Ahead { text, kept, .. } => kept.put(store, text.take_packed()),
        }
    }

    /// Why the text, of which all was read, ends before the file does.
    pub(super) fn damage(&mut self) -> io::Result<Option<String>> {
        match self {
            Self::Here(source) => Ok(source.damage().map(str::to_owned)),
            Self::Ahead { text, .. } => text.damage(),
        }
    }

    /// How far the file was read, and what was kept of it; nothing if it was not as it had been before.
    pub(super) fn finish(self, path: &Path, store: &dyn Store) -> Result<(Cursor, Option<Kept>)> {
        match self {
            Self::Here(mut source) => {
                let kept = source.take_kept(store)?;
                Ok((source.cursor(path), kept))
            }
            Self::Ahead { mut text, mut kept, .. } => {
                kept.put(store, text.take_packed())?;
                let End { cursor, packed, .. } = text.end().map_err(|error| failure(path, error))?;
                let packed = packed.transpose().map_err(StoreError::backend)?;
                let is_kept = packed.is_some();
                kept.put(store, packed.unwrap_or_default())?;
                Ok((cursor, is_kept.then_some(kept)))
            }
        }
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Here(source) => source.input.read(buffer),
            Self::Ahead { text, .. } => text.read(buffer),
        }
    }
}

impl BufRead for Text {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Here(source) => source.input.fill_buf(),
            Self::Ahead { text, .. } => text.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Self::Here(source) => source.input.consume(count),
            Self::Ahead { text, .. } => text.consume(count),
        }
    }
}
