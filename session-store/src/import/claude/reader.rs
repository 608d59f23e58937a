//! From records to steps.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store_core::{
    ConfigChanged, Item, ItemEntry, LogEntry, Role, SessionConfig, SessionKind, SystemItem, TimestampMs, UserInput,
};

use super::content::{self, SYNTHETIC, UserContent};
use super::place::{Boundary, Place};
use super::rest::{self, Rests};
use super::sidechain::{self, Calls, Threads};
use super::{output, typed};
use crate::import::bookmark::{self, Resume};
use crate::import::fields::{field, filled, is_nothing, left_of, owned, storable, take, text, time_ms};
use crate::import::memory::{Memory, Notes};
use crate::import::record::{FileHead, Parent, RawRecord, Reader, Step};
use crate::import::unpack::plain_path;

/// The longest id that is taken for one.
const ID_BYTES_MAX: usize = 512;

/// Reads one Claude Code file.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::import) struct ClaudeReader {
    /// Where the file was before it was compressed: what lies beside it stays.
    #[serde(skip)]
    path: PathBuf,
    pub(super) native_id: String,
    is_subagent: bool,
    pub(super) ts: TimestampMs,
    /// Every record that can be a parent. Of one that is written again, the record that its later lines stand for.
    #[serde(skip)]
    pub(super) seen: Memory<Option<String>>,
    /// The transcript's last record.
    last: Option<String>,
    /// A compaction that waits for its summary.
    boundary: Option<Boundary>,
    /// A response that ended its turn, which waits for a record outside of it.
    pub(super) ended: Option<Ended>,
    rests: Rests,
    /// The sub-agents among the records, by their number their native ids, and the calls that may start one.
    #[serde(skip)]
    pub(super) threads: Threads,
    #[serde(skip)]
    pub(super) subagents: Vec<String>,
    pub(super) calls: Calls,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    message: Option<String>,
    pub(super) record: String,
    /// The response has said something, so that no more of it need follow.
    pub(super) has_text: bool,
}

impl ClaudeReader {
    /// A reader of the file with this head.
    pub(in crate::import) fn new(head: &FileHead, path: &Path) -> Self {
        Self {
            path: plain_path(path),
            native_id: head.native_id.clone(),
            is_subagent: head.kind == SessionKind::Subagent,
            ts: head.birth_ms,
            seen: Memory::default(),
            last: None,
            boundary: None,
            ended: None,
            rests: Rests::new(head.other.get("version")),
            threads: Threads::default(),
            subagents: Vec::new(),
            calls: Calls::default(),
        }
    }

    /// Names a record. An id that another record has already is told apart by its line.
    pub(super) fn name(&self, id: Option<&str>, line: u64) -> String {
        let id = id.filter(|id| id.len() <= ID_BYTES_MAX).map_or_else(|| line.to_string(), str::to_owned);
        if !self.seen.contains(&id) {
            return id;
        }
        let repeated = format!("{id}@{line}");
        let more = (1..).map(|more| format!("{repeated}.{more}"));
        std::iter::once(repeated.clone()).chain(more).find(|id| !self.seen.contains(id)).unwrap_or(repeated)
    }

    /// Where a record of the transcript stands. Says so if what it names as its parent cannot be.
    fn parent(&self, value: &Value, place: &Place, may_branch: bool, out: &mut Vec<Step>) -> Parent {
        let named = field(value, "parentUuid").or_else(|| field(value, "logicalParentUuid"));
        let parent = match named {
            Some(Value::String(parent)) => parent,
            None => return Parent::Previous,
            Some(Value::Null) if may_branch && self.last.is_some() => return Parent::Root,
            Some(Value::Null) => return Parent::Previous,
            Some(_) => {
                out.push(place.warning("the parent is not an id; the record is read behind the one before it"));
                return Parent::Previous;
            }
        };
        if self.last.as_ref() == Some(parent) {
            // Nothing stands for the record that came last but itself.
            return Parent::Previous;
        }
        let Some(later) = self.seen.get(parent) else {
            if self.threads.holds(parent) {
                return Parent::Previous;
            }
            let why = if *parent == place.record { "is the record itself" } else { "is not known" };
            let told = format!("the parent {parent} {why}; the record is read behind the one before it");
            out.push(place.warning(&told));
            return Parent::Previous;
        };
        let parent = later.as_ref().unwrap_or(parent);
        if !may_branch || self.last.as_ref() == Some(parent) {
            return Parent::Previous;
        }
        Parent::Record(parent.clone())
    }

    /// A record of the transcript.
    fn transcript(&mut self, mut value: Value, line: u64, out: &mut Vec<Step>) {
        if !self.is_subagent && sidechain::is_sidechain(&value) {
            return self.sidechain(value, line, out);
        }
        let uuid = filled(&value, "uuid").map(str::to_owned);
        let is_again = uuid.as_ref().is_some_and(|uuid| self.seen.contains(uuid));
        let is_name = |id: &&String| !is_again && id.len() <= ID_BYTES_MAX;
        let record = uuid.as_ref().filter(is_name).cloned().unwrap_or_else(|| self.name(uuid.as_deref(), line));
        let place = Place { record, line, ts: self.ts };
        if is_again {
            self.again(uuid, &place, value, out);
            return;
        }
        match text(&value, "type").unwrap_or_default() {
            "user" => self.user(&place, value, out),
            "assistant" => self.assistant(&place, value, out),
            "system" => self.system(&place, value, out),
            "attachment" => {
                self.outside(&place, None, out);
                let parent = self.parent(&value, &place, false, out);
                let mut attachment = take(&mut value, "attachment");
                let entries = Self::attachment(&place, &mut attachment);
                out.push(place.entries(parent, with_config(place.ts, config_of(&value, None), entries)));
                self.rest(&place, value, "attachment", left_of(attachment, &[]), out);
            }
            "progress" => {
                out.push(place.entries(Parent::Previous, Vec::new()));
                out.push(place.skipped());
            }
            _ => {
                self.outside(&place, None, out);
                out.push(place.entries(Parent::Previous, vec![place.extension(value)]));
            }
        }
        self.seen.insert(&place.record, None);
        self.last = Some(place.record);
    }

    /// What is left of a record, and of a part of it, when its entries were taken.
    fn rest(&mut self, place: &Place, value: Value, name: &str, part: Option<Value>, out: &mut Vec<Step>) {
        let rest = self.rests.of(value);
        let rest = match part.filter(|part| !is_nothing(part)) {
            Some(part) => {
                let mut fields = match rest {
                    Some(Value::Object(fields)) => fields,
                    _ => Map::new(),
                };
                fields.insert(name.to_owned(), storable(part));
                Some(Value::Object(fields))
            }
            None => rest,
        };
        place.rest(rest, out);
    }

    /// A record that was written again. What it says stands where it was first; what follows it stands here.
    fn again(&mut self, uuid: Option<String>, place: &Place, mut value: Value, out: &mut Vec<Step>) {
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !matches!(name.as_str(), "message" | "toolUseResult" | "attachment"));
        }
        out.push(place.entries(Parent::Previous, vec![place.extension(value)]));
        self.seen.insert(&place.record, None);
        if let Some(uuid) = uuid {
            self.seen.insert(&uuid, Some(place.record.clone()));
        }
        self.last = Some(place.record.clone());
    }

    /// The record ends the turn of the response before it, unless it belongs to that response.
    fn outside(&mut self, place: &Place, message: Option<&str>, out: &mut Vec<Step>) {
        let belongs = |ended: &Ended| message.is_some() && ended.message.as_deref() == message;
        if self.ended.take_if(|ended| !belongs(ended)).is_some() {
            out.push(place.end_turn());
        }
    }

    fn user(&mut self, place: &Place, mut value: Value, out: &mut Vec<Step>) {
        let flag = |key| field(&value, key).and_then(Value::as_bool) == Some(true);
        let (is_meta, is_summary) = (flag("isMeta"), flag("isCompactSummary"));
        let mut message = take(&mut value, "message");
        self.calls.note(message.get("content"), &self.native_id);
        let said = content::user(take(&mut message, "content"), &place.record);
        if is_summary {
            return self.summary(place, said, out);
        }
        self.settle_boundary(out);
        let interruption = said.interruption().map(str::to_owned);
        let is_typed = said.results.is_empty() && !is_meta && !typed::is_put_in(said.first_text());
        if !is_typed {
            self.outside(place, None, out);
        }
        self.ended = None;
        let parent = self.parent(&value, place, said.results.is_empty(), out);
        if let Some(structured) = value.get_mut("toolUseResult") {
            rest::refer(structured, &said.results);
        }
        let (outputs, warnings) = output::follow(&said.results, &self.path, place.ts);
        let entries = Self::said_by_user(place, said, is_typed, outputs);
        out.push(place.entries(parent, with_config(place.ts, config_of(&value, None), entries)));
        out.extend(warnings.iter().map(|message| place.warning(message)));
        if let Some(message) = interruption {
            out.push(place.fail(message, true));
        }
        place.rest(self.rests.of(value), out);
    }

    fn said_by_user(place: &Place, said: UserContent, is_typed: bool, outputs: Vec<LogEntry>) -> Vec<LogEntry> {
        let ts = place.ts;
        let results = said.results.into_iter().map(|item| LogEntry::ToolResult(ItemEntry { ts, item }));
        let mut entries: Vec<LogEntry> = results.collect();
        if !said.parts.is_empty() {
            entries.push(if is_typed {
                LogEntry::UserInput(UserInput { ts, content: said.parts })
            } else {
                place.injected(Item::Message { role: Role::User, parts: said.parts })
            });
        }
        entries.extend(outputs);
        entries
    }

    fn assistant(&mut self, place: &Place, mut value: Value, out: &mut Vec<Step>) {
        self.settle_boundary(out);
        let mut message = take(&mut value, "message");
        let id = owned(&message, "id");
        self.outside(place, id.as_deref(), out);
        let parent = self.parent(&value, place, false, out);
        let is_error = field(&value, "isApiErrorMessage").and_then(Value::as_bool) == Some(true);
        let content = take(&mut message, "content");
        self.calls.note(Some(&content), &self.native_id);
        let blocks = rest::of_blocks(&content);
        let items = content::assistant(content, &place.record);
        if is_error {
            let message = items.iter().find_map(said).unwrap_or("error").to_owned();
            out.push(place.entries(parent, Vec::new()));
            out.push(place.fail(message, false));
            return place.rest(self.rests.of(value), out);
        }
        let model = owned(&message, "model").filter(|model| model != SYNTHETIC);
        let usage = content::usage(&value, &message, place.ts);
        let has_text = items.iter().any(|item| said(item).is_some());
        let is_end = ["end_turn", "stop_sequence", "max_tokens", "refusal"];
        if model.is_some() && text(&message, "stop_reason").is_some_and(|reason| is_end.contains(&reason)) {
            self.ended = Some(Ended { message: id, record: place.record.clone(), has_text });
        }
        let ts = place.ts;
        let items = items.into_iter().map(|item| LogEntry::AssistantItem(ItemEntry { ts, item }));
        let entries: Vec<LogEntry> = items.chain(usage.map(LogEntry::LlmUsage)).collect();
        out.push(place.entries(parent, with_config(ts, config_of(&value, model), entries)));
        let mut left = self.rests.of_message(message).unwrap_or_default();
        if let Some(blocks) = blocks {
            left["content"] = blocks;
        }
        self.rest(place, value, "message", Some(left), out);
    }

    /// Takes out of an attachment what the model was told.
    fn attachment(place: &Place, attachment: &mut Value) -> Vec<LogEntry> {
        let is_typed = text(attachment, "type") == Some("queued_command")
            && text(attachment, "commandMode").is_none_or(|mode| mode == "prompt");
        let parts = content::attached(attachment);
        // What a person typed while the model was at work is said within the turn.
        let item = Item::Message { role: Role::User, parts };
        vec![LogEntry::SystemItem(SystemItem { ts: place.ts, item, injected: !is_typed })]
    }

    fn system(&mut self, place: &Place, mut value: Value, out: &mut Vec<Step>) {
        match text(&value, "subtype").unwrap_or_default() {
            "compact_boundary" => self.boundary(place, value, out),
            "local_command" => {
                self.settle_boundary(out);
                self.outside(place, None, out);
                let parent = self.parent(&value, place, false, out);
                let content = take(&mut value, "content");
                let item = Item::message(Role::User, content.as_str().unwrap_or_default());
                out.push(place.entries(parent, vec![place.injected(item)]));
                place.rest(self.rests.of(value), out);
            }
            "turn_duration" | "stop_hook_summary" => {
                self.outside(place, None, out);
                out.push(place.entries(Parent::Previous, Vec::new()));
                place.rest(self.rests.of(value), out);
            }
            _ => {
                self.outside(place, None, out);
                out.push(place.entries(Parent::Previous, vec![place.extension(value)]));
            }
        }
    }

    fn boundary(&mut self, place: &Place, mut value: Value, out: &mut Vec<Step>) {
        self.settle_boundary(out);
        let preserved = value.pointer_mut("/compactMetadata/preservedMessages/uuids").map(Value::take);
        let preserved = preserved.as_ref().and_then(Value::as_array).into_iter().flatten();
        let preserved = preserved.filter_map(Value::as_str).map(str::to_owned).collect();
        let behind = owned(&value, "logicalParentUuid");
        let behind = behind.and_then(|uuid| self.seen.get(&uuid).map(|later| later.unwrap_or(uuid)));
        if let Some(fields) = value.as_object_mut() {
            // The same words in each.
            fields.shift_remove("content");
        }
        self.boundary = Some(Boundary { place: place.clone(), behind, preserved, rest: self.rests.of(value) });
    }

    /// The summary that a compaction waited for; some versions write it alone.
    fn summary(&mut self, place: &Place, said: UserContent, out: &mut Vec<Step>) {
        let boundary = self.boundary.take();
        let alone = || Boundary { place: place.clone(), behind: None, preserved: Vec::new(), rest: None };
        let summary = Item::Message { role: Role::User, parts: said.parts };
        boundary.unwrap_or_else(alone).compact(Some(summary), out);
        out.push(place.entries(Parent::Previous, Vec::new()));
    }

    /// A compaction whose summary does not follow has none.
    fn settle_boundary(&mut self, out: &mut Vec<Step>) {
        if let Some(boundary) = self.boundary.take() {
            boundary.compact(None, out);
        }
    }
}

impl Reader for ClaudeReader {
    fn record(&mut self, record: RawRecord, out: &mut Vec<Step>) {
        let RawRecord { line, value } = record;
        if let Some(ts) = field(&value, "timestamp").and_then(time_ms) {
            self.ts = ts;
        }
        let is_transcript = matches!(text(&value, "type"), Some("user" | "assistant" | "system" | "attachment"));
        if is_transcript || filled(&value, "uuid").is_some() {
            self.transcript(value, line, out);
        } else {
            self.about(value, line, out);
        }
    }

    fn finish(&mut self, _out: &mut Vec<Step>) {
        // What waits is decided by a record that may still come.
    }
}

impl Resume for ClaudeReader {
    fn state(&self) -> Option<Value> {
        // The sub-agents are read with the whole file, so that nothing has to know how far each of them is.
        self.subagents.is_empty().then(|| bookmark::value(self)).flatten()
    }

    fn resume(&mut self, state: Value) -> bool {
        let Some(before) = bookmark::read::<Self>(state) else { return false };
        *self = Self { path: std::mem::take(&mut self.path), seen: std::mem::take(&mut self.seen), ..before };
        true
    }

    fn memories(&mut self) -> Vec<&mut dyn Notes> {
        vec![&mut self.seen, self.threads.memory()]
    }
}

fn said(item: &Item) -> Option<&str> {
    match item {
        Item::Message { parts, .. } => parts.iter().find_map(store_core::Part::as_text),
        _ => None,
    }
}

/// The settings that a record was written under.
fn config_of(value: &Value, model: Option<String>) -> SessionConfig {
    let branch = owned(value, "gitBranch").filter(|branch| branch != "HEAD");
    SessionConfig { model, cwd: owned(value, "cwd"), branch, ..SessionConfig::default() }
}

fn with_config(ts: TimestampMs, config: SessionConfig, entries: Vec<LogEntry>) -> Vec<LogEntry> {
    if entries.is_empty() || config.is_empty() {
        return entries;
    }
    let config = LogEntry::ConfigChanged(ConfigChanged { ts, config });
    std::iter::once(config).chain(entries).collect()
}
