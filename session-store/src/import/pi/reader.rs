//! From records to steps.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store_core::{
    ConfigChanged, Extension, Item, ItemEntry, LogEntry, Part, Role, SessionConfig, SystemItem, TimestampMs, UserInput,
};

use super::head::is_mark;
use super::message;
use super::rest::{self, Rests};
use crate::import::bookmark::{self, Resume};
use crate::import::fields::{filled, is_nothing, owned, storable, take, text, time_ms};
use crate::import::memory::{Memory, Notes};
use crate::import::record::{FileHead, HistoryPart, Parent, RawRecord, Reader, Step};

/// The domain under which records are kept that have no form of their own.
const DOMAIN: &str = "import.pi";

/// Reads one pi file.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::import) struct PiReader {
    ts: TimestampMs,
    /// All records, by their ids.
    #[serde(skip)]
    known: Memory<Known>,
    /// The record before.
    last: Option<String>,
    /// The lines of the records of a file without ids, which version 1 counts.
    lines: Vec<u64>,
    /// Something was said that no end followed.
    turn_open: bool,
    rests: Rests,
}

/// What is remembered of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    /// What it stands behind.
    parent: Option<String>,
    /// Whether the turn was open behind it.
    turn_open: bool,
}

/// A record's place.
#[derive(Clone, Debug)]
struct Place {
    record: String,
    line: u64,
    ts: TimestampMs,
    parent: Parent,
}

impl Place {
    fn entries(&self, entries: Vec<LogEntry>) -> Step {
        let Self { record, line, ts, parent } = self.clone();
        Step::Entries { record, line, ts, parent, entries }
    }

    /// What is left of the record, if anything is.
    fn rest(&self, payload: Option<Value>, out: &mut Vec<Step>) {
        if let Some(payload) = payload {
            let (record, line, ts) = (self.record.clone(), self.line, self.ts);
            out.push(Step::Rest { record, line, ts, domain: rest::DOMAIN, payload });
        }
    }
}

impl PiReader {
    /// A reader of the file with this head.
    pub(in crate::import) fn new(head: &FileHead) -> Self {
        Self {
            ts: head.birth_ms,
            known: Memory::default(),
            last: None,
            lines: Vec::new(),
            turn_open: false,
            rests: Rests::default(),
        }
    }

    /// Where the record stands. Says so if what it names as its parent cannot be.
    fn place(&mut self, value: &Value, line: u64, out: &mut Vec<Step>) -> Place {
        let id = owned(value, "id").unwrap_or_else(|| line.to_string());
        let record = self.unused(id, line);
        let parent = match value.get("parentId") {
            Some(Value::String(parent)) if self.last.as_ref() == Some(parent) => Parent::Previous,
            Some(Value::String(parent)) if self.known.contains(parent) => Parent::Record(parent.clone()),
            Some(Value::String(parent)) => {
                let why = if *parent == record { "is the record itself" } else { "is not known" };
                let message = format!("the parent {parent} of {record} {why}; it is read behind the record before it");
                out.push(Step::Warning { line, message });
                Parent::Previous
            }
            Some(Value::Null) if self.last.is_some() => Parent::Root,
            _ => Parent::Previous,
        };
        let behind = match &parent {
            Parent::Previous => self.last.clone(),
            Parent::Record(parent) => Some(parent.clone()),
            Parent::Root => None,
        };
        if parent != Parent::Previous {
            self.turn_open =
                behind.as_ref().and_then(|behind| self.known.get(behind)).is_some_and(|known| known.turn_open);
        }
        self.known.insert(&record, Known { parent: behind, turn_open: self.turn_open });
        self.last = Some(record.clone());
        Place { record, line, ts: self.ts, parent }
    }

    /// An id that no record before has.
    fn unused(&self, id: String, line: u64) -> String {
        if !self.known.contains(&id) {
            return id;
        }
        let repeated = format!("{id}@{line}");
        let more = (1..).map(|more| format!("{repeated}.{more}"));
        std::iter::once(repeated.clone()).chain(more).find(|id| !self.known.contains(id)).unwrap_or(repeated)
    }

    /// Whether a record is among those that another stands behind.
    fn is_behind(&self, record: &str, ancestor: &str) -> bool {
        // Each step leads to an earlier record, so this ends.
        let parent_of = |record: &str| self.known.get(record).and_then(|known| known.parent);
        std::iter::successors(parent_of(record), |at| parent_of(at)).any(|at| at == ancestor)
    }

    fn message(&mut self, place: &Place, mut value: Value, out: &mut Vec<Step>) {
        let ts = place.ts;
        let mut said = take(&mut value, "message");
        match text(&said, "role").unwrap_or_default() {
            "user" => {
                self.turn_open = true;
                let content = message::parts(take(&mut said, "content"));
                out.push(place.entries(vec![LogEntry::UserInput(UserInput { ts, content })]));
            }
            "assistant" => {
                let blocks = said.get("content").and_then(rest::of_blocks);
                self.assistant(place, &mut said, out);
                let mut left = self.rests.of_message(said).unwrap_or_default();
                if let Some(blocks) = blocks {
                    left["content"] = blocks;
                }
                return place.rest(Some(left).filter(|left| !left.is_null()), out);
            }
            "toolResult" => {
                self.turn_open = true;
                let details = take(&mut said, "details");
                let result =
                    LogEntry::ToolResult(ItemEntry { ts, item: message::tool_result(&mut said, &place.record) });
                let details = if details.is_object() {
                    Some(details).filter(|details| !is_nothing(details))
                } else {
                    said["details"] = details;
                    None
                };
                let details = details
                    .map(|details| extension(ts, json!({"toolCallId": text(&said, "toolCallId"), "details": details})));
                out.push(place.entries(std::iter::once(result).chain(details).collect()));
            }
            "bashExecution" if said.get("excludeFromContext").and_then(Value::as_bool) == Some(true) => {
                // What was kept from the model stays out of the context.
                value["message"] = said;
                return out.push(place.entries(vec![extension(ts, value)]));
            }
            "bashExecution" => self.bash_execution(place, &said, out),
            "custom" | "hookMessage" => {
                let item = Item::Message { role: Role::User, parts: message::parts(take(&mut said, "content")) };
                out.push(place.entries(vec![injected(ts, item)]));
            }
            "branchSummary" | "compactionSummary" => {
                let summary = text(&said, "summary").unwrap_or_default();
                let is_branch = text(&said, "role") == Some("branchSummary");
                let item =
                    if is_branch { message::branch_summary(summary) } else { message::compaction_summary(summary) };
                out.push(place.entries(vec![injected(ts, item)]));
            }
            _ => {
                value["message"] = said;
                return out.push(place.entries(vec![extension(ts, value)]));
            }
        }
        place.rest(self.rests.of_message(said), out);
    }

    fn assistant(&mut self, place: &Place, said: &mut Value, out: &mut Vec<Step>) {
        let ts = place.ts;
        let config = SessionConfig {
            model: owned(said, "model"),
            provider: owned(said, "provider"),
            ..SessionConfig::default()
        };
        let mut entries = Vec::new();
        if !config.is_empty() {
            entries.push(LogEntry::ConfigChanged(ConfigChanged { ts, config }));
        }
        let items = message::assistant(take(said, "content"), &place.record);
        self.turn_open |= !items.is_empty();
        entries.extend(items.into_iter().map(|item| LogEntry::AssistantItem(ItemEntry { ts, item })));
        entries.extend(message::usage(said, ts).map(LogEntry::LlmUsage));
        out.push(place.entries(entries));
        let Place { record, line, .. } = place.clone();
        match text(said, "stopReason").unwrap_or_default() {
            _ if !self.turn_open => {}
            "stop" | "length" => {
                self.turn_open = false;
                out.push(Step::EndTurn { record, line, ts });
            }
            reason @ ("aborted" | "error") => {
                self.turn_open = false;
                let message = filled(said, "errorMessage").unwrap_or(reason).to_owned();
                out.push(Step::Fail { record, line, ts, message, interrupted: reason == "aborted" });
            }
            _ => {}
        }
    }

    /// A command that a person ran.
    fn bash_execution(&self, place: &Place, said: &Value, out: &mut Vec<Step>) {
        let ts = place.ts;
        let (command, result) = message::bash_execution(said);
        let typed = LogEntry::UserInput(UserInput { ts, content: vec![Part::text(command)] });
        out.push(place.entries(vec![typed, injected(ts, Item::message(Role::User, result))]));
        if !self.turn_open {
            // Nobody answers a command; within a turn it only stands between.
            out.push(Step::EndTurn { record: place.record.clone(), line: place.line, ts });
        }
    }

    fn compaction(&self, place: &Place, value: &Value, out: &mut Vec<Step>) {
        let usage = message::usage(value, place.ts).map(LogEntry::LlmUsage);
        out.push(place.entries(usage.into_iter().collect()));
        let first_kept = match value.get("firstKeptEntryIndex").and_then(Value::as_u64) {
            Some(index) => usize::try_from(index).ok().and_then(|at| self.lines.get(at)).map(u64::to_string),
            None => owned(value, "firstKeptEntryId"),
        };
        let mut history = Vec::new();
        if let Some(summary) = filled(value, "summary") {
            history.push(HistoryPart::Item(message::compaction_summary(summary)));
        }
        // pi keeps nothing of the branch if the entry is not on it.
        if let Some(first) = first_kept.filter(|first| self.is_behind(&place.record, first)) {
            history.push(HistoryPart::FromRecord(first));
        }
        let Place { record, line, ts, .. } = place.clone();
        out.push(Step::Compact { record, line, ts, behind: None, history });
    }

    fn branch_summary(place: &Place, value: &Value, out: &mut Vec<Step>) {
        let summary = filled(value, "summary").map(|summary| injected(place.ts, message::branch_summary(summary)));
        let usage = message::usage(value, place.ts).map(LogEntry::LlmUsage);
        out.push(place.entries(summary.into_iter().chain(usage).collect()));
    }
}

impl Reader for PiReader {
    fn record(&mut self, record: RawRecord, out: &mut Vec<Step>) {
        let RawRecord { line, mut value } = record;
        if let Some(ts) = value.get("timestamp").and_then(time_ms) {
            self.ts = ts;
        }
        let kind = text(&value, "type").unwrap_or_default().to_owned();
        if value.get("id").is_none() || kind == "session" {
            self.lines.push(line);
        }
        if kind == "session" {
            out.push(Step::Skipped { line });
            return;
        }
        let place = self.place(&value, line, out);
        let ts = place.ts;
        match kind.as_str() {
            "message" => self.message(&place, value, out),
            "model_change" => {
                let config = SessionConfig {
                    model: owned(&value, "modelId"),
                    provider: owned(&value, "provider"),
                    ..SessionConfig::default()
                };
                out.push(place.entries(vec![LogEntry::ConfigChanged(ConfigChanged { ts, config })]));
            }
            "thinking_level_change" => {
                let config = SessionConfig { thinking: owned(&value, "thinkingLevel"), ..SessionConfig::default() };
                out.push(place.entries(vec![LogEntry::ConfigChanged(ConfigChanged { ts, config })]));
            }
            "compaction" => {
                self.compaction(&place, &value, out);
                place.rest(rest::of_record(value), out);
            }
            "branch_summary" => {
                Self::branch_summary(&place, &value, out);
                place.rest(rest::of_record(value), out);
            }
            "custom_message" => {
                let item = Item::Message { role: Role::User, parts: message::parts(take(&mut value, "content")) };
                out.push(place.entries(vec![injected(ts, item)]));
                place.rest(rest::of_record(value), out);
            }
            "custom" if is_mark(&value) => {
                out.push(place.entries(Vec::new()));
                out.push(Step::Skipped { line });
            }
            "session_info" => {
                out.push(place.entries(Vec::new()));
                if let Some(name) = filled(&value, "name") {
                    out.push(Step::Title { ts, text: name.to_owned(), by_person: true });
                }
            }
            _ => out.push(place.entries(vec![extension(ts, value)])),
        }
        if let Some(known) = self.known.get(&place.record).filter(|known| known.turn_open != self.turn_open) {
            self.known.insert(&place.record, Known { turn_open: self.turn_open, ..known });
        }
        if place.parent != Parent::Previous {
            out.push(Step::ActiveLeaf { record: place.record });
        }
    }

    fn finish(&mut self, _out: &mut Vec<Step>) {
        // Every record was told as soon as it was read.
    }
}

impl Resume for PiReader {
    fn state(&self) -> Option<Value> {
        bookmark::value(self)
    }

    fn resume(&mut self, state: Value) -> bool {
        let Some(before) = bookmark::read::<Self>(state) else { return false };
        *self = Self { known: std::mem::take(&mut self.known), ..before };
        true
    }

    fn memories(&mut self) -> Vec<&mut dyn Notes> {
        vec![&mut self.known]
    }
}

const fn injected(ts: TimestampMs, item: Item) -> LogEntry {
    LogEntry::SystemItem(SystemItem { ts, item, injected: true })
}

fn extension(ts: TimestampMs, payload: Value) -> LogEntry {
    LogEntry::Extension(Extension { ts, domain: DOMAIN.into(), payload: storable(payload) })
}
