//! From steps to segments.
//!
//! One writer writes one conversation. It replays the file, or goes on where an earlier one ended: what stands in the store
//! already is found by its place and key and left alone, so that importing again, or importing a file that grew, writes only what is new. Ids are derived from the
//! file and its records alone, and every decision from the records before it, so that what is written for a prefix of a
//! file is a prefix of what is written for the whole.
//!
//! * [`Writer`] turns steps into entries: turns, settings, usage, branches, compactions.
//! * `branch` stands where the next entry stands; `state` lets a later run go on where this one ends.
//! * `rest` writes what records say beyond their entries, and reads what earlier readers wrote.
//! * `log` is the writer's own segments: entries on their way, what stands there already, what differs.
//! * `pending` is an entry on its way, `places` where each record's entries end, `target` what a writer is told and counts.
//! * `known` passes over what an exported file was made of.
//! * `copies` and `beginning` find the conversation that a record is a copy of; `origin` the point that a file continues by reference.
//! * `history` makes the history of a compaction of references.
//! * `finish` says what is said about the session: leaf, title, tags, archive, cursor.

mod beginning;
mod branch;
mod copies;
mod finish;
mod history;
mod known;
mod log;
mod origin;
mod pending;
mod places;
mod rest;
mod state;
mod target;

use store_core::{
    ConfigChanged, Durability, Extension, LlmUsage, LogEntry, RunErrored, SegmentStart, SessionConfig, SessionId,
    TurnEnd,
};

use super::memory::Memory;
use super::record::{FileHead, Parent, Step};
use super::walk::{Folds, Place};
use crate::error::Result;
use crate::fold::usage_size;
use copies::{Copied, Copies};
use log::Log;
use pending::Pending;
use target::{Keys, Reading, Said};

pub(super) use finish::{Cursor, Outcome, ctime_ns};
pub(super) use origin::reference_origin;
pub(super) use state::place;
pub use target::ImportWarning;
pub(super) use target::{Tally, Target};

/// What is said of a turn that nothing ended before the next prompt.
const INTERRUPTED: &str = "interrupted";

/// Writes one conversation.
pub(super) struct Writer<'a> {
    target: Target<'a>,
    session: SessionId,
    log: Log<'a>,
    copies: Copies<'a>,
    /// The last entry of the current branch; `None` before the first.
    at: Option<Place>,
    folds: Folds,
    keys: Keys,
    /// The record that gave the last entry.
    last: String,
    /// The largest usage that was written of each request.
    usage: Memory<(u64, u64)>,
    /// What the branch amounts to at places along the own segments, so that a branch that leaves there need not be read from its
    /// root.
    marks: Memory<Folds>,
    said: Said,
    /// The last line whose record is a copy.
    copied_line: Option<u64>,
    /// The conversations of their own that stand among the file's records.
    subagents: Vec<FileHead>,
    tally: Tally,
}

/// The id of the session that a conversation is.
pub(super) fn session_id(head: &FileHead) -> SessionId {
    SessionId::derive(head.birth_ms, format!("{}{}", head.agent, head.native_id).as_bytes())
}

impl<'a> Writer<'a> {
    /// A writer at the beginning of a file.
    pub(super) fn new(target: Target<'a>) -> Result<Self> {
        let session = target.session;
        let exists = target.store.exists(session)?;
        let at = target.continues;
        let folds = at.map(|at| Folds::read(target.store, at)).transpose()?.unwrap_or_default();
        Ok(Self {
            session,
            log: Log::new(&target, exists)?,
            copies: Copies::new(&target, exists)?,
            at,
            folds,
            keys: Keys::default(),
            last: String::new(),
            usage: Memory::default(),
            marks: Memory::default(),
            said: Said::default(),
            copied_line: None,
            subagents: Vec::new(),
            tally: Tally::default(),
            target,
        })
    }

    /// Whether the conversation has something of its own.
    pub(super) fn has_begun(&self) -> bool {
        self.log.segments().next().is_some()
    }

    /// What was read so far.
    pub(super) const fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// The sub-agents that were found among the file's records.
    pub(super) fn take_subagents(&mut self) -> Vec<FileHead> {
        std::mem::take(&mut self.subagents)
    }

    /// Takes the next step.
    pub(super) fn take(&mut self, step: Step) -> Result<()> {
        let (log, at) = (&self.log, self.at);
        let behind = |parent: &Parent| match parent {
            Parent::Previous => at,
            Parent::Record(record) => log.place_of(record).flatten(),
            Parent::Root => None,
        };
        match self.copies.take(step, &behind)? {
            Copied::Copy { record, line, at } => self.is_copy(&record, line, at),
            Copied::Known { record, line, at } => {
                self.copied_line = Some(line);
                self.log.places().name(&record, Some(at));
                Ok(())
            }
            Copied::Held => Ok(()),
            Copied::Own { behind, steps } => {
                if let Some(at) = behind {
                    self.go_to(at, 0)?;
                }
                steps.into_iter().try_for_each(|step| self.own(step))
            }
        }
    }

    /// A record whose entries stand in another conversation: the branch goes on behind them.
    fn is_copy(&mut self, record: &str, line: u64, at: Place) -> Result<()> {
        self.copied_line = Some(line);
        self.log.places().name(record, Some(at));
        self.go_to(at, line)
    }

    fn own(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Entries { record, line, ts, parent, entries } => {
                let reading = Reading { record: &record, line, ts };
                self.go_behind(&parent, line)?;
                self.entries(reading, entries)?;
                self.log.places().name(&record, self.at);
                Ok(())
            }
            Step::Rest { record, line, ts, domain, payload } => {
                let entry = LogEntry::Extension(Extension { ts, domain: domain.to_owned(), payload });
                self.rest(Reading { record: &record, line, ts }, entry)
            }
            Step::Former { record, line, ts, entries } => self.former(Reading { record: &record, line, ts }, entries),
            Step::Subagent { head } => {
                self.subagents.push(*head);
                Ok(())
            }
            Step::EndTurn { record, line, ts } => self.end_turn(Reading { record: &record, line, ts }),
            Step::Fail { record, line, ts, message, interrupted } => {
                let reading = Reading { record: &record, line, ts };
                self.write(reading, LogEntry::RunErrored(RunErrored { ts, message, interrupted }))?;
                self.log.places().name(&record, self.at);
                Ok(())
            }
            Step::Compact { record, line, ts, behind, history } => {
                let reading = Reading { record: &record, line, ts };
                self.go_behind(&behind.map_or(Parent::Previous, Parent::Record), line)?;
                self.compact(reading, history)?;
                self.log.places().name(&record, self.at);
                Ok(())
            }
            Step::RollBack { record, line, ts, turns } => {
                self.roll_back(Reading { record: &record, line, ts }, turns)?;
                self.log.places().name(&record, self.at);
                Ok(())
            }
            Step::Title { ts, text, by_person: true } => {
                self.said.title = Some((ts, text));
                Ok(())
            }
            Step::Title { ts, text, by_person: false } => {
                self.said.own_title = Some((ts, text));
                Ok(())
            }
            Step::Tags { ts, tags } => {
                self.said.tags = Some((ts, tags));
                Ok(())
            }
            Step::ActiveLeaf { record } => {
                self.said.leaf = Some(record);
                Ok(())
            }
            Step::Skipped { .. } => {
                self.tally.skipped += 1;
                Ok(())
            }
            Step::Warning { line, message } => {
                if self.copied_line != Some(line) {
                    self.tally.warn(line, message);
                }
                Ok(())
            }
        }
    }

    fn entries(&mut self, reading: Reading<'_>, entries: Vec<LogEntry>) -> Result<()> {
        let mut is_first_prompt = true;
        for entry in entries {
            if matches!(entry, LogEntry::UserInput(_)) && std::mem::take(&mut is_first_prompt) {
                self.close_turn(reading)?;
            }
            match self.wanted(entry) {
                Some(entry) => self.write(reading, entry)?,
                None => self.keys.skip(reading.record),
            }
        }
        Ok(())
    }

    /// What of an entry is new: settings that changed, usage that is larger than before.
    fn wanted(&mut self, entry: LogEntry) -> Option<LogEntry> {
        match entry {
            LogEntry::ConfigChanged(change) => {
                let config = difference(self.folds.config.config(), &change.config);
                (!config.is_empty()).then_some(LogEntry::ConfigChanged(ConfigChanged { ts: change.ts, config }))
            }
            LogEntry::LlmUsage(usage) => self.is_larger(&usage).then_some(LogEntry::LlmUsage(usage)),
            entry => Some(entry),
        }
    }

    fn is_larger(&mut self, usage: &LlmUsage) -> bool {
        let Some(id) = &usage.request_id else { return true };
        let size = usage_size(usage);
        let is_larger = self.usage.get(id).is_none_or(|known| known < size);
        if is_larger {
            self.usage.insert(id, size);
        }
        is_larger
    }

    /// A new prompt ends an answered turn; one that nothing answered, or with an open call, was interrupted.
    fn close_turn(&mut self, reading: Reading<'_>) -> Result<()> {
        let turns = &self.folds.turns;
        if !turns.is_open() {
            return Ok(());
        }
        let ts = reading.ts;
        if turns.is_answered() && turns.open_calls().is_empty() {
            let turn_count = turns.turn_count();
            return self.write(reading, LogEntry::TurnEnd(TurnEnd { ts, turn_count }));
        }
        let message = INTERRUPTED.to_owned();
        self.write(reading, LogEntry::RunErrored(RunErrored { ts, message, interrupted: true }))
    }

    fn end_turn(&mut self, reading: Reading<'_>) -> Result<()> {
        // Behind a copy nothing of this conversation's own has to be ended.
        if !self.folds.turns.is_open() || !self.log.is_open() {
            return Ok(());
        }
        let turn_count = self.folds.turns.turn_count();
        self.write(reading, LogEntry::TurnEnd(TurnEnd { ts: reading.ts, turn_count }))?;
        if self.log.place_of(reading.record).is_none() {
            self.log.places().name(reading.record, self.at);
        }
        Ok(())
    }

    /// Begins a segment with a start of its own and stands at its only entry.
    fn begin(&mut self, reading: Reading<'_>, start: SegmentStart) -> Result<()> {
        self.flush(Durability::Synced)?;
        let key = self.keys.take(reading.record);
        let standing = self.log.begin(start, key, reading.line, reading.ts)?;
        self.folds.apply(&LogEntry::SegmentStart(Box::new(standing)));
        reading.record.clone_into(&mut self.last);
        self.at = self.log.end();
        self.mark();
        Ok(())
    }

    /// Writes an entry at the end of the branch. The first one behind a point that is not the end of an own segment begins one.
    fn write(&mut self, reading: Reading<'_>, entry: LogEntry) -> Result<()> {
        if !self.log.is_open() {
            let mut start = self.target.start(self.session, reading.ts);
            start.forked_from = self.at.map(|at| at.origin(self.folds.turns.turn_count()));
            if self.at.is_none() {
                start.config = self.target.head.config.clone();
                start.system_prompt.clone_from(&self.target.head.system_prompt);
                if let LogEntry::ConfigChanged(change) = &entry {
                    start.config.apply(&change.config);
                    self.begin(reading, start)?;
                    // What stands there already may have begun otherwise.
                    let Some(left) = self.wanted(entry) else {
                        self.keys.skip(reading.record);
                        return Ok(());
                    };
                    return self.push(reading, left);
                }
            }
            self.begin(reading, start)?;
        }
        self.push(reading, entry)
    }

    /// Adds an entry behind those that wait, which are written before if they are enough.
    fn push(&mut self, reading: Reading<'_>, entry: LogEntry) -> Result<()> {
        self.add(reading, entry, self.log.is_full())
    }

    /// Adds an entry that is written together with the one before it.
    fn push_along(&mut self, reading: Reading<'_>, entry: LogEntry) -> Result<()> {
        self.add(reading, entry, false)
    }

    fn add(&mut self, reading: Reading<'_>, entry: LogEntry, writes_before: bool) -> Result<()> {
        let key = self.keys.take(reading.record);
        let pending = Pending::new(self.target.store, entry, key, reading.line, reading.ts)?;
        if let Some(problem) = pending.problem() {
            self.tally.warn(reading.line, problem);
            return Ok(());
        }
        if writes_before {
            // Without a sync, because one more waits behind them: what is written last of a segment is synced, and all before it
            // with it.
            self.flush(Durability::Buffered)?;
        }
        self.folds.apply(pending.entry());
        if is_said(pending.entry()) {
            self.said.leaf = None;
        }
        self.log.push(pending);
        reading.record.clone_into(&mut self.last);
        self.at = self.log.end();
        self.mark();
        Ok(())
    }

    /// Writes what waits, so that it is not kept longer.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.flush(Durability::Synced)
    }

    /// Writes what waits.
    fn flush(&mut self, durability: Durability) -> Result<()> {
        let (target, session) = (&self.target, self.session);
        let start = |ts| target.start(session, ts);
        let moved = self.log.flush(durability, &start, &mut self.tally)?;
        if moved {
            self.at = self.log.end();
        }
        Ok(())
    }
}

/// Whether an entry is part of what was said, so that a branch may leave before it.
fn is_said(entry: &LogEntry) -> bool {
    !matches!(
        entry,
        LogEntry::TurnEnd(_)
            | LogEntry::RunErrored(_)
            | LogEntry::RunCompleted(_)
            | LogEntry::LlmUsage(_)
            | LogEntry::Extension(_)
    )
}

/// What of `new` differs from `old`.
fn difference(old: &SessionConfig, new: &SessionConfig) -> SessionConfig {
    fn changed(old: Option<&String>, new: Option<&String>) -> Option<String> {
        new.filter(|new| old != Some(*new)).cloned()
    }
    let other = new.other.iter().filter(|(name, value)| old.other.get(*name) != Some(*value));
    SessionConfig {
        model: changed(old.model.as_ref(), new.model.as_ref()),
        provider: changed(old.provider.as_ref(), new.provider.as_ref()),
        cwd: changed(old.cwd.as_ref(), new.cwd.as_ref()),
        branch: changed(old.branch.as_ref(), new.branch.as_ref()),
        thinking: changed(old.thinking.as_ref(), new.thinking.as_ref()),
        other: other.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}
