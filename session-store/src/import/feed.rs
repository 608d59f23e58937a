//! From a file's bytes through its agent's reader to the writer.

use std::path::Path;

use serde_json::Value;

use super::claude::ClaudeReader;
use super::codex::CodexReader;
use super::detect;
use super::lines::{Found, Lines};
use super::pi::PiReader;
use super::record::{Agent, FileHead, RawRecord, Reader, Step};
use super::source::Source;
use super::writer::{Cursor, Writer};
use crate::error::{Result, SessionError};

/// Reads a file into the writer, to its end or until the writer has come as far as it should.
pub(super) fn feed(
    path: &Path,
    head: &FileHead,
    writer: &mut Writer<'_>,
    is_enough: impl Fn(&Writer<'_>) -> bool,
) -> Result<Cursor> {
    let mut reader: Box<dyn Reader> = match head.agent {
        Agent::Claude => Box::new(ClaudeReader::new(head, path)),
        Agent::Codex => Box::new(CodexReader::new(head)),
        Agent::Pi => Box::new(PiReader::new(head)),
    };
    let mut source = Source::open(path).map_err(|error| failure(path, error))?;
    let mut lines = Lines::new(&mut source.input, detect::is_record);
    let mut steps: Vec<Step> = Vec::new();
    let mut end_ordinal = None;
    while let Some(piece) = lines.next().map_err(|error| failure(path, error))? {
        match piece.found {
            Found::Warning(message) => writer.tally().warn(piece.line, message),
            Found::Record { value, text } => {
                writer.tally().records += 1;
                let ordinal = value.get("ordinal").and_then(Value::as_u64).unwrap_or(piece.line);
                end_ordinal = end_ordinal.max(Some(ordinal.saturating_add(1)));
                reader.record(RawRecord { line: piece.line, value, text: &text }, &mut steps);
            }
        }
        steps.drain(..).try_for_each(|step| writer.take(step))?;
        if is_enough(writer) {
            break;
        }
    }
    reader.finish(&mut steps);
    steps.drain(..).try_for_each(|step| writer.take(step))?;
    drop(lines);
    Ok(source.cursor(path).with_end_ordinal(end_ordinal))
}

pub(super) fn failure(path: &Path, error: std::io::Error) -> SessionError {
    SessionError::Import { path: path.to_owned(), detail: error.to_string(), source: Some(Box::new(error)) }
}

