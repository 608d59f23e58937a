//! The bytes of the files that were imported, kept beside what was read of them.
//!
//! What an import reads anew it keeps: the text of the file, in pieces of up to 4 MiB, each compressed into a blob, which the cursor that is put for the
//! file names. So a file's bytes are the pieces of all its cursors in order: a cursor begins where it says, and what earlier ones say of
//! what lies behind that counts no more. That way a file that grows a little a thousand times is kept once, and no cursor grows with it; the price
//! is that a cursor alone does not tell the whole.
//!
//! The bytes pass by while the file is summed, so that nothing is read for this; only a file whose beginning is not what was kept of it is read a second
//! time.

use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use store_core::{BlobGuard, BlobRef, FactScope, SessionId, Store, StoreError};

use super::feed::failure;
use super::source::Source;
use super::writer::Cursor;
use crate::error::Result;
use crate::facts::SessionFact;

/// How much text a piece has.
const PIECE_BYTES: usize = 4 << 20;
/// How much is compressed at the price of time: most of what can be won with the first level costs least.
const LEVEL: i32 = 1;

/// Whether an import keeps the bytes of what it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RawArchive {
    /// Of what it reads anew; of a file of which it is not kept yet what was read before, all.
    #[default]
    Keep,
    /// The same, also of files that nobody touched since they were read.
    Backfill,
    /// Not at all.
    Off,
}

/// The part of a file that was kept together with a cursor: from an offset to where that cursor is.
// Persisted: a value of the `cursor.` facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RawRange {
    /// Where it begins.
    from: u64,
    /// Its pieces, in order.
    pieces: Vec<RawPiece>,
}

impl RawRange {
    /// Whether it has nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// A piece of a file.
// Persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RawPiece {
    /// How many bytes of the file it has.
    bytes: u64,
    /// Them, compressed with zstd.
    zstd: BlobRef,
}

/// What is kept of a file, with guards until its cursor is put.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) range: RawRange,
    guards: Vec<BlobGuard>,
}

impl Kept {
    /// The same, which begins at an offset.
    pub(super) fn behind(mut self, from: u64) -> Self {
        self.range.from = from;
        self
    }

    /// Puts pieces into the store.
    pub(super) fn put(&mut self, store: &dyn Store, pieces: Vec<Packed>) -> Result<()> {
        for Packed { bytes, zstd } in pieces {
            let guard = store.put_blob(&zstd)?;
            self.range.pieces.push(RawPiece { bytes, zstd: guard.reference().clone() });
            self.guards.push(guard);
        }
        Ok(())
    }
}

/// A piece of a file that is not in the store yet.
#[derive(Debug)]
pub(super) struct Packed {
    /// How many bytes of the file it has.
    bytes: u64,
    /// Them, compressed.
    zstd: Vec<u8>,
}

#[cfg(test)]
impl Packed {
    pub(super) fn zstd(&self) -> &[u8] {
        &self.zstd
    }
}

/// Takes pieces of what passes by.
pub(super) struct Packer {
    /// What lies before this is not taken.
    from: u64,
    text: Vec<u8>,
    ready: Vec<Packed>,
    error: Option<io::Error>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Packer {
    /// A packer of what lies behind an offset.
    pub(super) fn new(from: u64) -> Self {
        Self { from, text: Vec::new(), ready: Vec::new(), error: None }
    }

    /// Begins at another offset. Nothing may have been taken yet.
    pub(super) const fn begin(&mut self, from: u64) {
        self.from = from;
    }

    /// Bytes of the file that pass by at an offset.
    pub(super) fn take(&mut self, at: u64, bytes: &[u8]) {
        let before = usize::try_from(self.from.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = bytes.get(before..).unwrap_or_default();
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.text.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.text.extend_from_slice(now);
            bytes = later;
            if self.text.len() == PIECE_BYTES {
                self.pack();
            }
        }
    }

    fn pack(&mut self) {
        if self.text.is_empty() {
            return;
        }
        match zstd::bulk::compress(&self.text, LEVEL) {
            Ok(zstd) => self.ready.push(Packed { bytes: self.text.len() as u64, zstd }),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
        self.text.clear();
    }

    /// Where what is taken begins.
    pub(super) const fn from(&self) -> u64 {
        self.from
    }

    /// What was packed since the last time.
    pub(super) fn take_ready(&mut self) -> Vec<Packed> {
        std::mem::take(&mut self.ready)
    }

    /// Nothing comes any more: what was packed since the last time.
    pub(super) fn finish(mut self) -> io::Result<Vec<Packed>> {
        self.pack();
        self.error.map_or(Ok(self.ready), Err)
    }
}

/// Reads a file once more, to keep so many bytes of it; `None` if it is not the same any more.
pub(super) fn pack_file(store: &dyn Store, path: &Path, bytes: u64, sha256: &str) -> Result<Option<Kept>> {
    let read = |error| failure(path, error);
    let mut source = Source::open(path).map_err(read)?;
    source.keep(Packer::new(0));
    let mut left = bytes;
    while left > 0 {
        let step = left.min(PIECE_BYTES as u64);
        let copied = io::copy(&mut (&mut source.input).take(step), &mut io::sink()).map_err(read)?;
        source.settle(store)?;
        left -= copied;
        if copied == 0 {
            break;
        }
    }
    let is_same = left == 0 && source.sha256() == sha256;
    let kept = source.take_kept(store)?;
    Ok(kept.filter(|_| is_same))
}

/// What the cursors of a file name, as far as it is whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Of each piece, where it begins and how much of it counts.
    pieces: Vec<(u64, u64, RawPiece)>,
    /// The last cursor.
    cursor: Option<Cursor>,
    /// Something before the end was not kept.
    is_cut: bool,
}

impl Standing {
    /// Reads what is kept of the file with a native id.
    pub(crate) fn read(store: &dyn Store, session: SessionId, native_id: &str) -> Result<Self> {
        let mut standing = Self::default();
        for fact in store.facts(FactScope::Session(session))? {
            match SessionFact::from_fact(&fact) {
                Some(SessionFact::Cursor { native_id: of, value }) if of == native_id => {
                    standing.apply(serde_json::from_value(value).unwrap_or_default());
                }
                _ => {}
            }
        }
        Ok(standing)
    }

    fn apply(&mut self, cursor: Cursor) {
        match cursor.raw() {
            Some(range) => {
                self.is_cut = range.from > if self.is_cut { 0 } else { self.end() };
                self.pieces.retain(|(at, ..)| *at < range.from);
                if let Some((at, bytes, _)) = self.pieces.last_mut() {
                    *bytes = (*bytes).min(range.from - *at);
                }
                let mut at = range.from;
                for piece in &range.pieces {
                    self.pieces.push((at, piece.bytes, piece.clone()));
                    at += piece.bytes;
                }
            }
            None => self.is_cut |= self.cursor.as_ref().is_none_or(|before| !before.is_of_bytes(&cursor)),
        }
        self.cursor = Some(cursor);
    }

    fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |(at, bytes, _)| at + bytes)
    }

    /// The last cursor, if all that it has read is kept.
    pub(super) fn whole(&self) -> Option<&Cursor> {
        self.cursor.as_ref().filter(|cursor| !self.is_cut && cursor.bytes() == self.end())
    }

    /// Whether a file was read, but not kept.
    pub(super) fn is_missing(&self) -> bool {
        self.cursor.is_some() && self.whole().is_none()
    }

    /// The name of the file, where it was when it was read last.
    pub(crate) fn source(&self) -> Option<&Path> {
        self.cursor.as_ref().map(|cursor| Path::new(cursor.source()))
    }

    /// Whether a segment is where the file's conversation goes on, and nothing was written there but what the file says.
    pub(crate) fn ends_with(
        &self,
        store: &dyn Store,
        session: SessionId,
        segment: store_core::SegmentId,
    ) -> Result<bool> {
        let Some(end) = self.whole().and_then(|cursor| cursor.end_in(segment)) else { return Ok(false) };
        Ok(store.read_entry_count(session, segment)? == end)
    }

    /// Writes the file's bytes, held against their sum.
    pub(crate) fn write(&self, store: &dyn Store, to: &mut Vec<u8>) -> Result<()> {
        let Some(cursor) = self.whole() else { return Ok(()) };
        for (_, bytes, piece) in &self.pieces {
            let packed = store.get_blob(&piece.zstd)?;
            let mut text = zstd::stream::Decoder::with_buffer(packed.as_slice()).map_err(StoreError::backend)?;
            let copied = io::copy(&mut (&mut text).take(*bytes), to).map_err(StoreError::backend)?;
            if copied != *bytes {
                return Err(StoreError::backend("a piece of the file that was imported is too short").into());
            }
        }
        to.flush().map_err(StoreError::backend)?;
        if store_core::chain::sha256_hex(to) != cursor.sha256() {
            return Err(
                StoreError::backend("the bytes that were kept are not those of the file that was imported").into()
            );
        }
        Ok(())
    }
}
