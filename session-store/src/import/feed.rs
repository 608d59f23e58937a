//! From a file's bytes through its agent's reader to the writer.
//!
//! A file is read in two parts: its whole lines, behind which a later run may go on, and a last line without its end, which may
//! still become another one.

use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use store_core::StoreError;

use super::ahead::{AheadText, Sum};
use super::bookmark::{Bookmark, FilePlace, Resume};
use super::claude::ClaudeReader;
use super::codex::CodexReader;
use super::detect;
use super::lines::{Found, Lines};
use super::memory;
use super::pi::PiReader;
use super::raw::{Kept, Packer, Standing};
use super::record::{Agent, FileHead, RawRecord, Step};
use super::text::Text;
use super::writer::{Cursor, ImportWarning, Writer};
use crate::error::{Result, SessionError};

/// How far a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until something of it is to be written.
    Begun,
    /// To its end.
    End,
}

/// A file that is being read.
pub(super) struct Feed<'p> {
    path: &'p Path,
    text: Text,
    reader: Box<dyn Resume>,
    lines: u64,
    end_ordinal: Option<u64>,
}

impl<'p> Feed<'p> {
    /// A file at its beginning.
    pub(super) fn open(path: &'p Path, head: &FileHead) -> Result<Self> {
        Ok(Self::of(path, head, Text::open(path).map_err(|error| failure(path, error))?))
    }

    /// A file that is read ahead, with its bytes if they are to be kept.
    pub(super) fn ahead(path: &'p Path, head: &FileHead, text: Box<AheadText>) -> Result<Self> {
        Ok(Self::of(path, head, Text::ahead(text).map_err(|error| failure(path, error))?))
    }

    fn of(path: &'p Path, head: &FileHead, text: Text) -> Self {
        let reader: Box<dyn Resume> = match head.agent {
            Agent::Claude => Box::new(ClaudeReader::new(head, path)),
            Agent::Codex => Box::new(CodexReader::new(head)),
            Agent::Pi => Box::new(PiReader::new(head)),
        };
        Self { path, text, reader, lines: 0, end_ordinal: None }
    }

    /// Keeps the bytes of what is read: what lies behind those that are kept already, or all. Of a file that is read ahead that was
    /// said when it was asked for.
    pub(super) fn keep(&mut self, standing: &Standing) {
        let Text::Here(source) = &mut self.text else { return };
        match standing.whole() {
            Some(cursor) => source.keep_behind(cursor.bytes(), cursor.sha256()),
            None => source.keep(Packer::new(0)),
        }
    }

    /// Goes on behind a bookmark. False if the file does not begin as it did then: it has to be opened anew.
    pub(super) fn resume(&mut self, bookmark: &Bookmark) -> Result<bool> {
        let Text::Here(source) = &mut self.text else { return Ok(false) };
        let FilePlace { bytes, sha256, lines, end_ordinal } = &bookmark.place;
        let is_same = source.skip(*bytes, sha256).map_err(|error| failure(self.path, error))?;
        if is_same {
            source.keep_from(*bytes);
        }
        (self.lines, self.end_ordinal) = (*lines, *end_ordinal);
        Ok(is_same && self.reader.resume(bookmark.reader.clone()))
    }

    /// The file's reader.
    pub(super) fn reader(&mut self) -> &mut dyn Resume {
        &mut *self.reader
    }

    /// Where the file is read, when its whole lines were.
    pub(super) fn place(&mut self) -> Result<FilePlace> {
        let Sum { bytes, sha256 } = self.text.whole().map_err(|error| failure(self.path, error))?;
        Ok(FilePlace { bytes, sha256, lines: self.lines, end_ordinal: self.end_ordinal })
    }

    /// Reads the whole lines, as far as is asked for.
    pub(super) fn whole_lines(&mut self, writer: &mut Writer<'_>, until: Until) -> Result<()> {
        self.read(self.text.whole_lines_left(), writer, until)
    }

    /// Reads what is left, as far as is asked for; answers with what was kept of the bytes, if they were to be kept and begin as they did before.
    pub(super) fn rest(mut self, writer: &mut Writer<'_>, until: Until) -> Result<(Cursor, Option<Kept>)> {
        self.read(u64::MAX, writer, until)?;
        if let Some(message) = self.text.damage().map_err(|error| failure(self.path, error))? {
            writer.tally().warnings.push(ImportWarning { line: None, message });
        }
        let mut steps = Vec::new();
        self.reader.finish(&mut steps);
        steps.drain(..).try_for_each(|step| writer.take(step))?;
        let (cursor, kept) = self.text.finish(self.path, writer.store())?;
        Ok((cursor.with_end_ordinal(self.end_ordinal), kept))
    }

    fn read(&mut self, bytes: u64, writer: &mut Writer<'_>, until: Until) -> Result<()> {
        let mut lines = Lines::new((&mut self.text).take(bytes), detect::is_record).behind(self.lines);
        let mut steps: Vec<Step> = Vec::new();
        while let Some(piece) = lines.next().map_err(|error| failure(self.path, error))? {
            match piece.found {
                Found::Warning(message) => writer.tally().warn(piece.line, message),
                Found::Record { value, .. } => {
                    writer.tally().records += 1;
                    let ordinal = value.get("ordinal").and_then(Value::as_u64).unwrap_or(piece.line);
                    self.end_ordinal = self.end_ordinal.max(Some(ordinal.saturating_add(1)));
                    self.reader.record(RawRecord { line: piece.line, value }, &mut steps);
                }
            }
            memory::check(self.reader.memories())?;
            steps.drain(..).try_for_each(|step| writer.take(step))?;
            writer.check()?;
            lines.input().get_mut().settle(writer.store())?;
            if until == Until::Begun && writer.has_begun() {
                break;
            }
        }
        self.lines = lines.lines();
        Ok(())
    }
}

/// What a file could not be read for.
pub(super) fn failure(path: &Path, error: io::Error) -> SessionError {
    SessionError::Import { path: path.to_owned(), detail: error.to_string(), source: Some(Box::new(error)) }
}

/// Whether the store is not as it was written.
pub(super) const fn is_damage(error: &SessionError) -> bool {
    matches!(error, SessionError::Store(StoreError::Corrupt(_)) | SessionError::Lineage(_))
}

/// An error with what caused it.
pub(super) fn with_sources(error: &SessionError) -> String {
    let mut text = match error {
        SessionError::Import { detail, .. } => return detail.clone(),
        error => error.to_string(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
