//! From records to steps.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Item, LogEntry, Part, Role, SessionConfig, TimestampMs, UserInput};

use super::event::{Typed, event_parts, is_noise, is_typed, said, user_event, user_item};
use super::head::{cwd_in, is_flat_header};
use super::history::Remembered;
use super::item::{self, Origin, Response};
use super::place::{Ordinals, Place, assistant, config_changed, extension, push_usage, system, tool_result};
use super::rest::{self, Rests};
use super::usage::UsageReader;
use crate::export::{MARK, MARK_FAILED};
use crate::import::bookmark::{self, Resume};
use crate::import::fields::{filled, owned, take, text, time_ms};
use crate::import::memory::Notes;
use crate::import::record::{FileHead, ForkHint, RawRecord, Reader, Step};

/// Reads one Codex file.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::import) struct CodexReader {
    pub(super) thread: String,
    ids: Ordinals,
    ts: TimestampMs,
    pub(super) model: Option<String>,
    pub(super) has_thinking: bool,
    pub(super) header_read: bool,
    held: Option<Held>,
    /// How many items are known to be typed whose event is still to come.
    unconfirmed: u32,
    /// The event of the item that comes next came before it.
    confirmed: bool,
    usage: UsageReader,
    rests: Rests,
    remembered: Remembered,
    turn: Turn,
}

/// What waits for the next record.
#[derive(Debug, Serialize, Deserialize)]
enum Held {
    /// A user item that does not say whose it is.
    Item { place: Place, parts: Vec<Part>, rest: Option<Value> },
    /// The event of something typed, without an item before it.
    Event { place: Place, parts: Vec<Part> },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Turn {
    /// Something was said that no end followed.
    open: bool,
    /// A task began, and neither its settings nor a prompt were seen: what the model says now answers the program, which
    /// makes it sum up the history.
    summing_up: bool,
}

impl CodexReader {
    /// A reader of the file with this head.
    pub(in crate::import) fn new(head: &FileHead) -> Self {
        Self {
            thread: head.native_id.clone(),
            ids: Ordinals::default(),
            ts: head.birth_ms,
            model: None,
            has_thinking: false,
            header_read: false,
            held: None,
            unconfirmed: 0,
            confirmed: false,
            usage: UsageReader::new(matches!(head.fork, ForkHint::ByReference { .. })),
            rests: Rests::default(),
            remembered: Remembered::default(),
            turn: Turn::default(),
        }
    }

    /// Decides what waited, now that the next record is known. True if that record said no more than this.
    fn settle(&mut self, value: &Value, out: &mut Vec<Step>) -> bool {
        self.confirmed = false;
        match self.held.take() {
            None => false,
            Some(Held::Item { place, parts, rest }) => {
                let event = user_event(value);
                if matches!(event, Some(Typed::Yes)) || item::is_shell_command(&parts) {
                    self.typed(&place, parts, out);
                } else {
                    self.injected(&place, parts, out);
                }
                place.rest(rest, out);
                event.is_some()
            }
            Some(Held::Event { place, parts }) => {
                self.confirmed = user_item(value).is_some_and(|item| said(&item) == said(&parts));
                if self.confirmed {
                    out.push(place.skipped());
                } else {
                    self.typed(&place, parts, out);
                }
                false
            }
        }
    }

    fn typed(&mut self, place: &Place, parts: Vec<Part>, out: &mut Vec<Step>) {
        self.turn.open = true;
        self.turn.summing_up = false;
        self.remembered.prompt(&parts, &place.record);
        out.push(place.entries(vec![LogEntry::UserInput(UserInput { ts: place.ts, content: parts })]));
    }

    fn injected(&mut self, place: &Place, parts: Vec<Part>, out: &mut Vec<Step>) {
        self.context(place, Item::Message { role: Role::User, parts }, out);
    }

    fn context(&mut self, place: &Place, item: Item, out: &mut Vec<Step>) {
        self.remembered.context(&item, &place.record);
        out.push(place.entries(vec![system(place.ts, item)]));
    }

    /// What the model said or a tool answered.
    fn answered(&mut self, place: &Place, entries: Vec<LogEntry>, out: &mut Vec<Step>) {
        for entry in &entries {
            if let LogEntry::AssistantItem(said) | LogEntry::ToolResult(said) = entry {
                self.remembered.item(&said.item, &place.record);
            }
        }
        self.turn.open = true;
        out.push(place.entries(entries));
    }

    fn response_item(&mut self, place: &Place, payload: Value, is_flat: bool, out: &mut Vec<Step>) {
        let ts = place.ts;
        let rest = rest::of_item(&payload);
        let before = out.len();
        match item::read(payload, &place.record) {
            Response::User { parts, origin } => {
                self.user(place.clone(), parts, origin, is_flat, out);
                return match &mut self.held {
                    Some(Held::Item { rest: held, .. }) => *held = rest,
                    _ => place.rest(rest, out),
                };
            }
            Response::Said(item) if self.turn.summing_up => {
                self.remembered.item(&item, &place.record);
                out.push(place.entries(vec![system(ts, item)]));
            }
            Response::Said(Item::Reasoning { text, encrypted: None, .. }) if text.is_empty() => {
                out.push(place.skipped());
            }
            Response::Said(item) => self.answered(place, vec![assistant(ts, item)], out),
            Response::Context(item) => self.context(place, item, out),
            Response::Call(item) => {
                self.turn.summing_up = false;
                self.answered(place, vec![assistant(ts, item)], out);
            }
            Response::Answered { call, result } => {
                self.answered(place, vec![assistant(ts, call), tool_result(ts, result)], out);
            }
            Response::Result(item) => self.answered(place, vec![tool_result(ts, item)], out),
            Response::Opaque(item) => {
                self.remembered.item(&item, &place.record);
                out.push(place.entries(vec![system(ts, item)]));
            }
            Response::Unknown(payload) => return out.push(place.entries(vec![extension(ts, payload)])),
        }
        if out[before..].iter().any(|step| matches!(step, Step::Entries { .. })) {
            place.rest(rest, out);
        }
    }

    fn user(&mut self, place: Place, parts: Vec<Part>, origin: Origin, is_flat: bool, out: &mut Vec<Step>) {
        match origin {
            Origin::Typed => {
                self.unconfirmed += u32::from(!self.confirmed);
                self.typed(&place, parts, out);
            }
            Origin::Injected if item::is_shell_command(&parts) => self.typed(&place, parts, out),
            Origin::Injected | Origin::Summary => self.injected(&place, parts, out),
            Origin::Open if is_flat && item::looks_injected(&parts) => self.flat_context(&place, parts, out),
            Origin::Open if is_flat => self.typed(&place, parts, out),
            Origin::Open if self.confirmed => self.typed(&place, parts, out),
            Origin::Open => self.held = Some(Held::Item { place, parts, rest: None }),
        }
    }

    /// The flat form tells the working folder in the context alone.
    fn flat_context(&mut self, place: &Place, parts: Vec<Part>, out: &mut Vec<Step>) {
        let cwd = parts.iter().filter_map(Part::as_text).find_map(cwd_in);
        self.injected(place, parts, out);
        if let (Some(cwd), Some(Step::Entries { entries, .. })) = (cwd, out.last_mut()) {
            entries.push(config_changed(place.ts, SessionConfig { cwd: Some(cwd), ..SessionConfig::default() }));
        }
    }

    fn event(&mut self, place: &Place, mut record: Value, out: &mut Vec<Step>) {
        let payload = record.get("payload").unwrap_or(&Value::Null);
        match text(payload, "type").unwrap_or_default() {
            "token_count" => {
                let usage = self.usage.of_totals(payload, place.ts, self.model.clone());
                push_usage(place, usage, out);
            }
            "task_started" | "turn_started" => {
                self.turn.summing_up = !self.turn.open;
                self.unconfirmed = 0;
                out.push(place.skipped());
            }
            "task_complete" | "turn_complete" => {
                self.task_complete(place, payload, out);
                place.rest_of_end(take(&mut record, "payload"), out);
            }
            "turn_aborted" => {
                let reason = filled(payload, "reason").unwrap_or("aborted").to_owned();
                self.fail(place, reason, true, out);
                place.rest_of_end(take(&mut record, "payload"), out);
            }
            "error" => {
                let message = filled(payload, "message").unwrap_or("error").to_owned();
                self.fail(place, message, false, out);
                place.rest_of_end(take(&mut record, "payload"), out);
            }
            "thread_rolled_back" => self.rolled_back(place, payload, out),
            "thread_settings_applied" => {
                let settings = payload.get("thread_settings").unwrap_or(&Value::Null);
                let config = self.settings(settings);
                out.push(place.entries(vec![config_changed(place.ts, config)]));
            }
            "thread_name_updated" => match filled(payload, "thread_name").or_else(|| filled(payload, "name")) {
                Some(name) => out.push(Step::Title { ts: place.ts, text: name.to_owned(), by_person: true }),
                None => out.push(place.skipped()),
            },
            "user_message" => self.user_event(place, payload, out),
            "item_completed" => self.item_completed(place, record, out),
            kind if rest::is_command(kind) => place.rest(rest::of_command(take(&mut record, "payload")), out),
            kind if is_noise(kind) => out.push(place.skipped()),
            _ => out.push(place.entries(vec![extension(place.ts, record)])),
        }
    }

    fn item_completed(&mut self, place: &Place, mut record: Value, out: &mut Vec<Step>) {
        let item = record.pointer("/payload/item").unwrap_or(&Value::Null);
        match text(item, "type").unwrap_or_default() {
            "UserMessage" => self.user_event(place, item, out),
            kind if rest::is_command(kind) => {
                let item = record.pointer_mut("/payload/item").map(Value::take).unwrap_or_default();
                place.rest(rest::of_command(item), out);
            }
            "AgentMessage" | "Reasoning" | "ContextCompaction" | "WebSearch" | "McpToolCall" => {
                out.push(place.skipped());
            }
            _ => out.push(place.entries(vec![extension(place.ts, record)])),
        }
    }

    /// The event of a user message whose item was not just before it.
    fn user_event(&mut self, place: &Place, payload: &Value, out: &mut Vec<Step>) {
        if self.unconfirmed > 0 {
            self.unconfirmed -= 1;
            out.push(place.skipped());
        } else if is_typed(payload) {
            let parts = event_parts(payload);
            if parts.is_empty() {
                out.push(place.skipped());
            } else {
                self.held = Some(Held::Event { place: place.clone(), parts });
            }
        } else {
            out.push(place.skipped());
        }
    }

    fn task_complete(&mut self, place: &Place, payload: &Value, out: &mut Vec<Step>) {
        self.turn.summing_up = false;
        if let Some(error) = payload.get("error").filter(|error| !error.is_null()) {
            let message = filled(error, "message").or_else(|| error.as_str());
            let message = message.map_or_else(|| error.to_string(), str::to_owned);
            return self.fail(place, message, false, out);
        }
        if self.turn.open {
            let Place { record, line, ts } = place.clone();
            out.push(Step::EndTurn { record, line, ts });
        } else {
            out.push(place.skipped());
        }
        self.turn.open = false;
    }

    fn fail(&mut self, place: &Place, message: String, interrupted: bool, out: &mut Vec<Step>) {
        self.turn.summing_up = false;
        if self.turn.open {
            let Place { record, line, ts } = place.clone();
            out.push(Step::Fail { record, line, ts, message, interrupted });
        } else {
            out.push(place.skipped());
        }
        self.turn.open = false;
    }

    fn rolled_back(&mut self, place: &Place, payload: &Value, out: &mut Vec<Step>) {
        let turns = payload.get("num_turns").and_then(Value::as_u64).unwrap_or(0);
        if turns == 0 {
            return out.push(place.skipped());
        }
        self.turn = Turn::default();
        self.remembered.roll_back(turns);
        let Place { record, line, ts } = place.clone();
        out.push(Step::RollBack { record, line, ts, turns });
    }

    fn compacted(&mut self, place: &Place, mut payload: Value, out: &mut Vec<Step>) {
        let rest = rest::of_compaction(&payload);
        let replacement = self.remembered.replacement(&mut payload, &place.record);
        for (record, item) in replacement.put_in {
            self.remembered.item(&item, &record);
            let own = Place { record, ..place.clone() };
            out.push(own.entries(vec![system(place.ts, item)]));
        }
        let Place { record, line, ts } = place.clone();
        out.push(Step::Compact { record, line, ts, behind: None, history: replacement.parts });
        place.rest(rest, out);
    }

    fn flat(&mut self, place: &Place, value: Value, out: &mut Vec<Step>) {
        if is_flat_header(&value) {
            self.header(place, &value, out);
        } else if text(&value, "record_type") == Some("state") {
            out.push(place.skipped());
        } else if text(&value, "type").is_some() {
            self.response_item(place, value, true, out);
        } else {
            out.push(place.entries(vec![extension(place.ts, value)]));
        }
    }
}

impl Reader for CodexReader {
    fn record(&mut self, record: RawRecord, out: &mut Vec<Step>) {
        let RawRecord { line, mut value } = record;
        if let Some(ts) = value.get("timestamp").and_then(time_ms) {
            self.ts = ts;
        }
        let id = self.ids.take(value.get("ordinal").and_then(Value::as_u64), line);
        // An exported record has an id of its own.
        let id = owned(&value, MARK).unwrap_or(id);
        let place = Place { record: id, line, ts: self.ts };
        if self.settle(&value, out) {
            out.push(place.skipped());
            return;
        }
        if !value.get("payload").is_some_and(Value::is_object) {
            return self.flat(&place, value, out);
        }
        match text(&value, "type").unwrap_or_default() {
            "session_meta" => self.header(&place, &take(&mut value, "payload"), out),
            "response_item" => {
                let payload = take(&mut value, "payload");
                self.response_item(&place, payload, false, out);
                if value.get(MARK_FAILED) == Some(&Value::Bool(true)) {
                    fail_result(out);
                }
            }
            "event_msg" => self.event(&place, value, out),
            "turn_context" => {
                self.turn.summing_up = false;
                let config = self.settings(value.get("payload").unwrap_or(&Value::Null));
                out.push(place.entries(vec![config_changed(place.ts, config)]));
                place.rest(self.rests.of_turn(take(&mut value, "payload")), out);
            }
            "token_usage_record" => {
                let payload = value.get("payload").unwrap_or(&Value::Null);
                let model = owned(payload, "model").or_else(|| self.model.clone());
                let usage = self.usage.of_response(payload, place.ts, model);
                push_usage(&place, usage, out);
            }
            "compacted" => self.compacted(&place, take(&mut value, "payload"), out),
            // What the program knows of its surroundings; the model is told in items.
            "world_state" => out.push(place.skipped()),
            _ => out.push(place.entries(vec![extension(place.ts, value)])),
        }
    }

    fn finish(&mut self, _out: &mut Vec<Step>) {
        // What is held is decided by a record that may still come.
    }
}

/// The result that was read last failed, which an exported record says beside it.
fn fail_result(out: &mut [Step]) {
    let entries = out.iter_mut().rev().find_map(|step| match step {
        Step::Entries { entries, .. } => Some(entries),
        _ => None,
    });
    for entry in entries.into_iter().flatten() {
        if let LogEntry::ToolResult(result) = entry
            && let Item::ToolResult { is_error, .. } = &mut result.item
        {
            *is_error = true;
        }
    }
}

impl Resume for CodexReader {
    fn state(&self) -> Option<Value> {
        bookmark::value(self)
    }

    fn resume(&mut self, state: Value) -> bool {
        let Some(mut before) = bookmark::read::<Self>(state) else { return false };
        before.remembered.keep_memories(&mut self.remembered);
        *self = before;
        true
    }

    fn memories(&mut self) -> Vec<&mut dyn Notes> {
        self.remembered.memories()
    }
}
