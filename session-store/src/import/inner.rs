//! Sub-agents whose records stand among those of the conversation that started them.
//!
//! The pass that reads the conversation finds out which there are; their records are read in a second pass over such a file, in which
//! only their lines are taken apart, each by a reader and into a session of its own. What waits to be written is bounded for
//! all of them together.

use std::collections::HashMap;
use std::path::Path;

use store_core::{SessionId, TimestampMs};

use super::bookmark::Resume;
use super::claude::{ClaudeReader, Threads, is_sidechain, may_be_sidechain};
use super::detect;
use super::feed::failure;
use super::fresh::Fresh;
use super::lines::{Found, Lines};
use super::memory;
use super::moved::Moves;
use super::raw::RawArchive;
use super::record::{FileHead, RawRecord, Reader, Step};
use super::source::Source;
use super::writer::{Cursor, Outcome, Target, Writer};
use crate::error::Result;
use crate::index::Index;

/// How much text is read before what waits of all sub-agents is written.
const PAUSE_BYTES: usize = 4 << 20;

/// A conversation with sub-agents among its records.
pub(super) struct Inner<'a> {
    pub(super) store: &'a dyn store_core::Store,
    pub(super) index: &'a Index,
    pub(super) fresh: &'a Fresh<'a>,
    pub(super) now: TimestampMs,
    pub(super) path: &'a Path,
    /// The conversation that the file is.
    pub(super) head: &'a FileHead,
    /// The sub-agents, in the order in which they begin.
    pub(super) heads: &'a [FileHead],
    /// What was purged, or written anew.
    pub(super) moves: &'a Moves,
}

struct Open<'a> {
    reader: ClaudeReader,
    writer: Writer<'a>,
}

impl<'a> Inner<'a> {
    /// Reads the sub-agents but for those that were removed; answers with what came of each, in their order.
    pub(super) fn import(&self) -> Result<Vec<Option<Outcome>>> {
        let sessions = self.sessions();
        let mut open: Vec<Option<Open<'a>>> = Vec::new();
        for head in self.heads {
            let is_removed = self.moves.is_removed(self.store, head)?;
            open.push(if is_removed { None } else { Some(self.open(head, &sessions)?) });
        }
        let cursor = self.read(&mut open)?;
        open.into_iter().map(|open| open.map(|open| open.writer.finish(cursor.clone())).transpose()).collect()
    }

    /// The sessions that may have started a sub-agent, by their native ids.
    fn sessions(&self) -> HashMap<&str, SessionId> {
        let heads = std::iter::once(self.head).chain(self.heads);
        heads.map(|head| (head.native_id.as_str(), self.moves.session(head))).collect()
    }

    fn open(&self, head: &'a FileHead, sessions: &HashMap<&str, SessionId>) -> Result<Open<'a>> {
        let by = head.parent.as_ref();
        let target = Target {
            store: self.store,
            index: self.index,
            fresh: self.fresh,
            head,
            session: self.moves.session(head),
            moved: self.moves.find(head),
            source: self.path.display().to_string(),
            parent: by.and_then(|by| sessions.get(by.native_id.as_str()).copied()),
            parent_call: by.and_then(|by| by.call_id.clone()),
            raw: RawArchive::Off,
            exported: None,
            continues: None,
            now: self.now,
        };
        Ok(Open { reader: ClaudeReader::new(head, self.path), writer: Writer::new(target)? })
    }

    fn read(&self, open: &mut [Option<Open<'a>>]) -> Result<Cursor> {
        let mut source = Source::open(self.path).map_err(|error| failure(self.path, error))?;
        let mut lines = Lines::new(&mut source.input, detect::is_record).only(may_be_sidechain);
        let mut threads = Threads::default();
        let mut steps: Vec<Step> = Vec::new();
        let mut bytes = 0;
        while let Some(piece) = lines.next().map_err(|error| failure(self.path, error))? {
            // What is wrong with a line was told when the conversation was read.
            let Found::Record { value, bytes: read } = piece.found else { continue };
            if !is_sidechain(&value) {
                continue;
            }
            // One that began since is read the next time.
            let thread = threads.take(&value).number;
            let Some(Some(Open { reader, writer })) = open.get_mut(thread) else { continue };
            writer.tally().records += 1;
            reader.record(RawRecord { line: piece.line, value }, &mut steps);
            memory::check(vec![threads.memory()])?;
            memory::check(reader.memories())?;
            steps.drain(..).try_for_each(|step| writer.take(step))?;
            writer.check()?;
            bytes += read;
            if bytes > PAUSE_BYTES {
                bytes = 0;
                open.iter_mut().flatten().try_for_each(|open| open.writer.settle())?;
            }
        }
        for Open { reader, writer } in open.iter_mut().flatten() {
            reader.finish(&mut steps);
            steps.drain(..).try_for_each(|step| writer.take(step))?;
        }
        drop(lines);
        Ok(source.cursor(self.path))
    }
}
