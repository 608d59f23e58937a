//! A beginning that says the same as another conversation: the copies of files whose records have no ids.

use std::collections::VecDeque;

use serde_json::Value;
use store_core::{Extension, LogEntry, Seq, SessionId, Store, StoreError};

use super::copies::Copied;
use crate::blob;
use crate::error::Result;
use crate::import::record::Step;
use crate::import::walk::Place;
use crate::leaf;
use crate::lineage::{self, LineagePart};

/// How many records of the other conversation are read at once.
const BATCH_RECORDS: usize = 256;

/// An entry of the other conversation.
struct Original {
    at: Place,
    kind: Kind,
    said: String,
}

/// What entries are compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Part of the conversation: one after the other, each has to be equal.
    Item,
    /// A compaction, which is one of them.
    Compaction,
    /// What goes along with it.
    Beside,
}

/// A beginning that says the same as another conversation.
pub(super) struct Beginning<'a> {
    store: &'a dyn Store,
    /// What is left of the other conversation: its segments, and how far the first one was read.
    parts: VecDeque<LineagePart>,
    after: Seq,
    read: VecDeque<Original>,
    /// What waits for the next item, which tells whose it is.
    held: Vec<Step>,
    is_over: bool,
}

impl<'a> Beginning<'a> {
    pub(super) fn new(store: &'a dyn Store, parent: SessionId) -> Result<Self> {
        let leaf = leaf::current_leaf(store, parent)?;
        Ok(Self::along(store, lineage::lineage(store, parent, leaf)?))
    }

    /// A beginning that says the same as what stands up to a place; as nothing if there is none.
    pub(super) fn of(store: &'a dyn Store, through: Option<Place>) -> Result<Self> {
        let read = |at: Place| lineage::lineage_through(store, at.session, at.segment, at.seq);
        Ok(Self::along(store, through.map(read).transpose()?.unwrap_or_default()))
    }

    fn along(store: &'a dyn Store, parts: Vec<LineagePart>) -> Self {
        let parts = parts.into();
        Self { store, parts, after: Seq::START, read: VecDeque::new(), held: Vec::new(), is_over: false }
    }

    /// Whether the own records have begun.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Tells whose a step is.
    pub(super) fn take(&mut self, step: Step) -> Result<Copied> {
        if self.is_over {
            return Ok(Copied::own(step));
        }
        let matched = match &step {
            Step::Entries { entries, .. } if entries.iter().any(|entry| kind_of(entry) == Kind::Item) => {
                self.matched(entries)?
            }
            Step::Compact { .. } => self.matched_compaction()?,
            Step::RollBack { .. } => None,
            Step::Entries { .. } | Step::Rest { .. } | Step::EndTurn { .. } | Step::Fail { .. } => {
                self.held.push(step);
                return Ok(Copied::Held);
            }
            _ => return Ok(Copied::own(step)),
        };
        match (matched, step) {
            (Some(at), Step::Entries { record, line, .. } | Step::Compact { record, line, .. }) => {
                self.held.clear();
                Ok(Copied::Copy { record, line, at })
            }
            (_, step) => self.end(step),
        }
    }

    /// The first step that is the conversation's own.
    fn end(&mut self, step: Step) -> Result<Copied> {
        self.is_over = true;
        let mut beside: Vec<Original> = Vec::new();
        while let Some(next) = self.next()? {
            if next.kind != Kind::Beside {
                break;
            }
            beside.push(next);
        }
        let mut behind = None;
        let mut steps = Vec::new();
        for held in std::mem::take(&mut self.held) {
            let said: Vec<String> = match &held {
                Step::Entries { entries, .. } => {
                    entries.iter().map(|entry| self.said(entry.clone())).collect::<Result<_>>()?
                }
                Step::Rest { ts, domain, payload, .. } => {
                    let (domain, payload) = ((*domain).to_owned(), payload.clone());
                    vec![self.said(LogEntry::Extension(Extension { ts: *ts, domain, payload }))?]
                }
                Step::EndTurn { .. } => vec!["turn_end".to_owned()],
                _ => vec!["run_errored".to_owned()],
            };
            let found: Vec<Place> = said
                .iter()
                .filter_map(|said| {
                    let of_kind = |original: &&Original| original.said == *said || said_kind(&original.said) == *said;
                    beside.iter().find(of_kind).map(|original| original.at)
                })
                .collect();
            if found.len() == said.len() {
                behind = found.into_iter().chain(behind).max_by_key(|at| at.seq);
            } else {
                steps.push(held);
            }
        }
        steps.push(step);
        Ok(Copied::Own { behind, steps })
    }

    /// Where the items stand in the other conversation, if it goes on with exactly them.
    fn matched(&mut self, entries: &[LogEntry]) -> Result<Option<Place>> {
        let mut wanted = Vec::new();
        for entry in entries.iter().filter(|entry| kind_of(entry) == Kind::Item) {
            wanted.push(self.said(entry.clone())?);
        }
        let mut passed = VecDeque::new();
        let mut at = None;
        for wanted in wanted {
            let found = loop {
                match self.next()? {
                    Some(next) if next.kind == Kind::Beside => passed.push_back(next),
                    next => break next,
                }
            };
            let is_equal = found.as_ref().is_some_and(|found| found.kind == Kind::Item && found.said == wanted);
            at = found.as_ref().map(|found| found.at).filter(|_| is_equal);
            passed.extend(found);
            if !is_equal {
                // None of the record's items is a copy.
                passed.append(&mut self.read);
                self.read = passed;
                return Ok(None);
            }
        }
        Ok(at)
    }

    fn matched_compaction(&mut self) -> Result<Option<Place>> {
        let mut passed = VecDeque::new();
        while let Some(next) = self.next()? {
            match next.kind {
                Kind::Beside => passed.push_back(next),
                Kind::Compaction => return Ok(Some(next.at)),
                Kind::Item => {
                    passed.push_back(next);
                    break;
                }
            }
        }
        passed.append(&mut self.read);
        self.read = passed;
        Ok(None)
    }

    /// The next entry of the other conversation.
    fn next(&mut self) -> Result<Option<Original>> {
        while self.read.is_empty() {
            let Some(part) = self.parts.front() else { return Ok(None) };
            let (session, segment, through) = (part.session_id, part.segment_id, part.through);
            let left = usize::try_from(through.0.saturating_sub(self.after.0)).unwrap_or(usize::MAX);
            let records = self.store.read_range(session, segment, self.after, left.min(BATCH_RECORDS))?;
            let Some(last) = records.last().map(|record| record.position.seq) else {
                self.parts.pop_front();
                self.after = Seq::START;
                continue;
            };
            self.after = last;
            for record in records {
                let at = Place { session, segment, seq: record.position.seq };
                let kind = kind_of(&record.entry);
                self.read.push_back(Original { at, kind, said: said(&record.entry)? });
            }
        }
        Ok(self.read.pop_front())
    }

    /// What an entry of the file says, as it would be stored.
    fn said(&self, entry: LogEntry) -> Result<String> {
        said(&blob::externalize(self.store, entry)?.0)
    }
}

fn kind_of(entry: &LogEntry) -> Kind {
    match entry {
        LogEntry::UserInput(_) | LogEntry::AssistantItem(_) | LogEntry::ToolResult(_) | LogEntry::SystemItem(_) => {
            Kind::Item
        }
        LogEntry::SegmentStart(start) if start.compacted_from.is_some() => Kind::Compaction,
        _ => Kind::Beside,
    }
}

/// An entry without its time: copies are written at another one.
fn said(entry: &LogEntry) -> Result<String> {
    let mut value = serde_json::to_value(entry).map_err(StoreError::backend)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("ts");
    }
    Ok(value.to_string())
}

/// The kind of an entry that says nothing else that could be compared.
fn said_kind(said: &str) -> String {
    let value: Value = serde_json::from_str(said).unwrap_or_default();
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if matches!(kind, "turn_end" | "run_errored") { kind.to_owned() } else { String::new() }
}
