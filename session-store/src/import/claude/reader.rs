//! From records to steps.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{
    ConfigChanged, Extension, Item, ItemEntry, LogEntry, Role, SessionConfig, SessionKind, SystemItem, TimestampMs,
    UserInput,
};

use super::content::{self, SYNTHETIC, UserContent};
use super::{output, typed};
use crate::import::bookmark::{self, Resume};
use crate::import::fields::{filled, owned, storable, take, text, time_ms};
use crate::import::memory::{Memory, Notes};
use crate::import::record::{FileHead, HistoryPart, Parent, RawRecord, Reader, Step};

/// The domain under which records are kept that have no form of their own.
const DOMAIN: &str = "import.claude";

/// The longest id that is taken for one.
const ID_BYTES_MAX: usize = 512;

/// Reads one Claude Code file.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::import) struct ClaudeReader {
    #[serde(skip)]
    path: PathBuf,
    is_subagent: bool,
    ts: TimestampMs,
    /// Every record that can be a parent. Of one that is written again, the record that its later lines stand for.
    #[serde(skip)]
    seen: Memory<Option<String>>,
    /// The transcript's last record.
    last: Option<String>,
    /// A compaction that waits for its summary.
    boundary: Option<Boundary>,
    /// A response that ended its turn, which waits for a record outside of it.
    ended: Option<Ended>,
}

/// A record's place.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    record: String,
    line: u64,
    ts: TimestampMs,
}

impl Place {
    fn entries(&self, parent: Parent, entries: Vec<LogEntry>) -> Step {
        let Self { record, line, ts } = self.clone();
        Step::Entries { record, line, ts, parent, entries }
    }

    const fn skipped(&self) -> Step {
        Step::Skipped { line: self.line }
    }

    fn extension(&self, value: Value) -> LogEntry {
        LogEntry::Extension(Extension { ts: self.ts, domain: DOMAIN.to_owned(), payload: storable(value) })
    }

    const fn injected(&self, item: Item) -> LogEntry {
        LogEntry::SystemItem(SystemItem { ts: self.ts, item, injected: true })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Boundary {
    place: Place,
    /// The record before it.
    behind: Option<String>,
    preserved: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    message: Option<String>,
    record: String,
    /// The response has said something, so that no more of it need follow.
    has_text: bool,
}

impl ClaudeReader {
    /// A reader of the file with this head.
    pub(in crate::import) fn new(head: &FileHead, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            is_subagent: head.kind == SessionKind::Subagent,
            ts: head.birth_ms,
            seen: Memory::default(),
            last: None,
            boundary: None,
            ended: None,
        }
    }

    /// Names a record. An id that another record has already is told apart by its line.
    fn name(&self, id: Option<&str>, line: u64) -> String {
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
        let named = value.get("parentUuid").or_else(|| value.get("logicalParentUuid"));
        let parent = match named {
            Some(Value::String(parent)) => parent,
            None => return Parent::Previous,
            Some(Value::Null) if may_branch && self.last.is_some() => return Parent::Root,
            Some(Value::Null) => return Parent::Previous,
            Some(_) => {
                out.push(warning(place, "the parent is not an id; the record is read behind the one before it"));
                return Parent::Previous;
            }
        };
        let Some(later) = self.seen.get(parent) else {
            let why = if *parent == place.record { "is the record itself" } else { "is not known" };
            let told = format!("the parent {parent} {why}; the record is read behind the one before it");
            out.push(warning(place, &told));
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
        let uuid = filled(&value, "uuid").map(str::to_owned);
        let is_again = uuid.as_ref().is_some_and(|uuid| self.seen.contains(uuid));
        let place = Place { record: self.name(uuid.as_deref(), line), line, ts: self.ts };
        if is_again {
            self.again(uuid, &place, value, out);
            return;
        }
        let kind = text(&value, "type").unwrap_or_default().to_owned();
        if value.get("isSidechain").and_then(Value::as_bool) == Some(true) && !self.is_subagent {
            self.sidechain(&place, value, out);
        } else {
            match kind.as_str() {
                "user" => self.user(&place, value, out),
                "assistant" => self.assistant(&place, value, out),
                "system" => self.system(&place, value, out),
                "attachment" => {
                    self.outside(&place, None, out);
                    let parent = self.parent(&value, &place, false, out);
                    let entries = Self::attachment(&place, take(&mut value, "attachment"));
                    out.push(place.entries(parent, with_config(place.ts, config_of(&value, None), entries)));
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
        }
        self.seen.insert(&place.record, None);
        self.last = Some(place.record);
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

    /// A sub-agent's record among those of the conversation that started it, as older versions wrote them.
    fn sidechain(&self, place: &Place, value: Value, out: &mut Vec<Step>) {
        let usage = value.get("message").and_then(|message| content::usage(&value, message, place.ts));
        let mut entries = vec![place.extension(value)];
        entries.extend(usage.map(LogEntry::LlmUsage));
        out.push(place.entries(Parent::Previous, entries));
    }

    /// The record ends the turn of the response before it, unless it belongs to that response.
    fn outside(&mut self, place: &Place, message: Option<&str>, out: &mut Vec<Step>) {
        let belongs = |ended: &Ended| message.is_some() && ended.message.as_deref() == message;
        if self.ended.take_if(|ended| !belongs(ended)).is_some() {
            let Place { record, line, ts } = place.clone();
            out.push(Step::EndTurn { record, line, ts });
        }
    }

    fn user(&mut self, place: &Place, mut value: Value, out: &mut Vec<Step>) {
        let flag = |key| value.get(key).and_then(Value::as_bool) == Some(true);
        let (is_meta, is_summary) = (flag("isMeta"), flag("isCompactSummary"));
        let mut message = take(&mut value, "message");
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
        let (outputs, warnings) = output::follow(&said.results, &self.path, place.ts);
        let entries = Self::said_by_user(place, said, is_typed, outputs);
        out.push(place.entries(parent, with_config(place.ts, config_of(&value, None), entries)));
        out.extend(warnings.iter().map(|message| warning(place, message)));
        if let Some(message) = interruption {
            let Place { record, line, ts } = place.clone();
            out.push(Step::Fail { record, line, ts, message, interrupted: true });
        }
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
        let is_error = value.get("isApiErrorMessage").and_then(Value::as_bool) == Some(true);
        let items = content::assistant(take(&mut message, "content"), &place.record);
        if is_error {
            let message = items.iter().find_map(said).unwrap_or("error").to_owned();
            let Place { record, line, ts } = place.clone();
            out.push(place.entries(parent, Vec::new()));
            out.push(Step::Fail { record, line, ts, message, interrupted: false });
            return;
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
    }

    fn attachment(place: &Place, mut attachment: Value) -> Vec<LogEntry> {
        let is_typed = text(&attachment, "type") == Some("queued_command")
            && text(&attachment, "commandMode").is_none_or(|mode| mode == "prompt");
        let parts = content::attached(attachment.take());
        // What a person typed while the model was at work is said within the turn.
        let item = Item::Message { role: Role::User, parts };
        vec![LogEntry::SystemItem(SystemItem { ts: place.ts, item, injected: !is_typed })]
    }

    fn system(&mut self, place: &Place, value: Value, out: &mut Vec<Step>) {
        match text(&value, "subtype").unwrap_or_default() {
            "compact_boundary" => {
                self.settle_boundary(out);
                let preserved = value.pointer("/compactMetadata/preservedMessages/uuids").and_then(Value::as_array);
                let preserved = preserved.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
                let behind = owned(&value, "logicalParentUuid");
                let behind = behind.and_then(|uuid| self.seen.get(&uuid).map(|later| later.unwrap_or(uuid)));
                self.boundary = Some(Boundary { place: place.clone(), behind, preserved: preserved.collect() });
            }
            "local_command" => {
                self.settle_boundary(out);
                self.outside(place, None, out);
                let parent = self.parent(&value, place, false, out);
                let item = Item::message(Role::User, text(&value, "content").unwrap_or_default());
                out.push(place.entries(parent, vec![place.injected(item)]));
            }
            "turn_duration" | "stop_hook_summary" => {
                self.outside(place, None, out);
                out.push(place.entries(Parent::Previous, Vec::new()));
                out.push(place.skipped());
            }
            _ => {
                self.outside(place, None, out);
                out.push(place.entries(Parent::Previous, vec![place.extension(value)]));
            }
        }
    }

    /// The summary that a compaction waited for; some versions write it alone.
    fn summary(&mut self, place: &Place, said: UserContent, out: &mut Vec<Step>) {
        let boundary = self.boundary.take();
        let boundary =
            boundary.unwrap_or_else(|| Boundary { place: place.clone(), behind: None, preserved: Vec::new() });
        compact(boundary, Some(Item::Message { role: Role::User, parts: said.parts }), out);
        out.push(place.entries(Parent::Previous, Vec::new()));
    }

    /// A compaction whose summary does not follow has none.
    fn settle_boundary(&mut self, out: &mut Vec<Step>) {
        if let Some(boundary) = self.boundary.take() {
            compact(boundary, None, out);
        }
    }

    /// A record that tells about the transcript.
    fn about(&mut self, value: Value, line: u64, out: &mut Vec<Step>) {
        let ts = self.ts;
        let skipped = Step::Skipped { line };
        match text(&value, "type").unwrap_or_default() {
            "last-prompt" => {
                if let Some(leaf) = owned(&value, "leafUuid") {
                    self.end_at_leaf(&leaf, line, out);
                    let record = self.seen.get(&leaf).flatten().unwrap_or(leaf);
                    out.push(Step::ActiveLeaf { record });
                }
                out.push(skipped);
            }
            "custom-title" => push_or_skip(title(&value, "customTitle", ts, true), line, out),
            "ai-title" => push_or_skip(title(&value, "aiTitle", ts, false), line, out),
            "summary" => {
                // Files begin with summaries of other conversations, which name a leaf that is not in them.
                let is_own = text(&value, "leafUuid").is_some_and(|leaf| self.seen.contains(leaf));
                push_or_skip(title(&value, "summary", ts, false).filter(|_| is_own), line, out);
            }
            "tag" => {
                let tags = owned(&value, "tag").into_iter().collect();
                push_or_skip(Some(Step::Tags { ts, tags }), line, out);
            }
            kind if is_noise(kind) => out.push(skipped),
            _ => {
                let place = Place { record: self.name(None, line), line, ts };
                self.seen.insert(&place.record, None);
                out.push(place.entries(Parent::Previous, vec![place.extension(value)]));
            }
        }
    }

    /// What names the last response as the leaf stands outside of it.
    fn end_at_leaf(&mut self, leaf: &str, line: u64, out: &mut Vec<Step>) {
        if self.ended.take_if(|ended| ended.has_text && ended.record == leaf).is_some() {
            let record = self.name(None, line);
            self.seen.insert(&record, None);
            out.push(Step::EndTurn { record, line, ts: self.ts });
        }
    }
}

impl Reader for ClaudeReader {
    fn record(&mut self, record: RawRecord<'_>, out: &mut Vec<Step>) {
        let RawRecord { line, value, .. } = record;
        if let Some(ts) = value.get("timestamp").and_then(time_ms) {
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
        bookmark::value(self)
    }

    fn resume(&mut self, state: Value) -> bool {
        let Some(before) = bookmark::read::<Self>(state) else { return false };
        *self = Self { path: std::mem::take(&mut self.path), seen: std::mem::take(&mut self.seen), ..before };
        true
    }

    fn memories(&mut self) -> Vec<&mut dyn Notes> {
        vec![&mut self.seen]
    }
}

fn compact(boundary: Boundary, summary: Option<Item>, out: &mut Vec<Step>) {
    let Boundary { place: Place { record, line, ts }, behind, preserved } = boundary;
    let mut history: Vec<HistoryPart> = summary.into_iter().map(HistoryPart::Item).collect();
    if !preserved.is_empty() {
        history.push(HistoryPart::Records(preserved));
    }
    out.push(Step::Compact { record, line, ts, behind, history });
}

fn warning(place: &Place, message: &str) -> Step {
    Step::Warning { line: place.line, message: message.to_owned() }
}

fn push_or_skip(step: Option<Step>, line: u64, out: &mut Vec<Step>) {
    out.push(step.unwrap_or(Step::Skipped { line }));
}

fn title(value: &Value, key: &str, ts: TimestampMs, by_person: bool) -> Option<Step> {
    owned(value, key).map(|text| Step::Title { ts, text, by_person })
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

/// Lines that repeat what the transcript says, or that only the program needs.
fn is_noise(kind: &str) -> bool {
    const NOISE: [&str; 8] = [
        "queue-operation",
        "mode",
        "permission-mode",
        "agent-name",
        "file-history-snapshot",
        "file-history-delta",
        "cost-state",
        "tools-used",
    ];
    NOISE.contains(&kind) || kind.starts_with("api-request")
}
