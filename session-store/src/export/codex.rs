//! Codex's form: a rollout of response items, with the events that say the same of them.
//!
//! A prompt is told from context by its event. What a turn was done with is told only where Codex did it: what another agent worked with would be
//! taken for its own settings. A compaction lists exactly the items that the model went on with. Every line names, beside what Codex
//! reads, the record that it is ([`MARK`](super::MARK)).

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use store_core::{Content, Item, LlmUsage, Part, Role};

use super::conversation::Conversation;
use super::id::At;
use super::script::{Compaction, Line, What, arranged_history};
use super::{MARK, MARK_FAILED, text_of, text_of_part};
use crate::facts::TitleBy;
use crate::import::Agent;
use crate::time::to_millis_text;

/// The version whose form this is.
const VERSION: &str = "0.169.0";

/// The lines of the file.
pub(super) fn lines(conversation: &Conversation) -> Vec<Value> {
    let mut writer = Writer {
        conversation,
        lines: Vec::new(),
        setting: None,
        used: Counts::default(),
        custom: HashSet::new(),
        marks: HashMap::new(),
    };
    writer.header();
    for (number, line) in conversation.script.lines.iter().enumerate() {
        writer.line(number, line);
    }
    writer.close();
    writer.lines
}

/// Running totals of the thread.
#[derive(Clone, Copy, Default)]
struct Counts {
    input: u64,
    cached: u64,
    written: u64,
    output: u64,
    reasoning: u64,
}

impl Counts {
    fn of(usage: &LlmUsage) -> Self {
        Self {
            input: usage.input_total_tokens,
            cached: usage.cache_read_tokens,
            written: usage.cache_write_tokens,
            output: usage.output_tokens,
            reasoning: usage.reasoning_tokens.unwrap_or_default(),
        }
    }

    fn add(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.written = self.written.saturating_add(other.written);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }

    fn value(self) -> Value {
        json!({
            "input_tokens": self.input, "cached_input_tokens": self.cached, "cache_write_input_tokens": self.written,
            "output_tokens": self.output, "reasoning_output_tokens": self.reasoning,
            "total_tokens": self.input.saturating_add(self.output),
        })
    }
}

struct Writer<'a> {
    conversation: &'a Conversation,
    lines: Vec<Value>,
    /// The settings that were told last.
    setting: Option<Value>,
    used: Counts,
    /// The calls of tools that take a text.
    custom: HashSet<String>,
    /// How many records each line has.
    marks: HashMap<At, u32>,
}

impl Writer<'_> {
    fn header(&mut self) {
        let Conversation { native_id, birth_ms, cwd, from, .. } = self.conversation;
        let version = self.conversation.version.as_deref().unwrap_or(VERSION);
        let first = self.conversation.script.lines.iter().find(|line| is_own(line));
        let mut meta = json!({
            "session_id": native_id, "id": native_id, "timestamp": to_millis_text(*birth_ms), "cwd": cwd,
            "originator": "pod", "cli_version": version, "source": "cli",
        });
        if let Some(provider) = first.and_then(|line| line.setting.config.provider.as_ref()) {
            meta["model_provider"] = json!(provider);
        }
        let branch = self.conversation.script.lines.first().and_then(|line| line.setting.config.branch.as_ref());
        if let Some(branch) = branch {
            meta["git"] = json!({"branch": branch});
        }
        meta[MARK] = json!(from);
        self.lines.push(json!({"timestamp": to_millis_text(*birth_ms), "type": "session_meta", "payload": meta}));
    }

    /// A record that tells a line, or stands with the one that does.
    fn push(&mut self, line: &Line, kind: &str, payload: Value) {
        let id = line.at.uuid();
        let mark = match self.marks.entry(line.at).or_insert(0) {
            0 => id.to_string(),
            more => format!("{id}/{more}"),
        };
        self.marks.entry(line.at).and_modify(|count| *count += 1);
        let time = to_millis_text(line.ts);
        self.lines.push(json!({"timestamp": time, "type": kind, "payload": payload, MARK: mark}));
    }

    fn event(&mut self, line: &Line, payload: Value) {
        self.push(line, "event_msg", payload);
    }

    fn line(&mut self, number: usize, line: &Line) {
        self.settings(line);
        match &line.what {
            What::Prompt(parts) => {
                self.item(line, message("user", "input_text", parts));
                self.event(line, json!({"type": "user_message", "message": text_of(parts), "images": []}));
            }
            What::Put(item) => {
                if let Some(item) = response_item(item, is_own(line)) {
                    self.item(line, item);
                }
            }
            What::Model(item, _) => self.model(line, item),
            What::Result { item, .. } => self.result(line, item),
            What::Used(response) => self.usage(line, *response),
            What::Thinking(_) => {}
            What::End => {
                let said = self.last_answer(number);
                self.event(line, json!({"type": "task_complete", "last_agent_message": said}));
            }
            What::Failed { message, interrupted: true } => {
                // Codex knows these reasons alone.
                let known = ["interrupted", "replaced", "review_ended"].into_iter().find(|known| known == message);
                self.event(line, json!({"type": "turn_aborted", "reason": known.unwrap_or("interrupted")}));
            }
            What::Failed { message, .. } => self.event(line, json!({"type": "error", "message": message})),
            What::Compacted(compaction) => self.compaction(line, compaction),
        }
    }

    fn item(&mut self, line: &Line, payload: Value) {
        self.push(line, "response_item", payload);
    }

    fn model(&mut self, line: &Line, item: &Item) {
        match item {
            Item::Other(value) => return self.item(line, value.clone()),
            Item::Message { parts, .. } => {
                self.event(line, json!({"type": "agent_message", "message": text_of(parts)}));
            }
            _ => {}
        }
        if let Some(payload) = response_item(item, is_own(line)) {
            if let (Item::ToolCall { call_id, .. }, "custom_tool_call") = (item, kind_of(&payload)) {
                self.custom.insert(call_id.clone());
            }
            self.item(line, payload);
        }
    }

    fn result(&mut self, line: &Line, item: &Item) {
        let (Item::ToolResult { call_id, is_error, .. }, Some(mut payload)) = (item, response_item(item, true)) else {
            return;
        };
        if self.custom.contains(call_id) {
            payload["type"] = json!("custom_tool_call_output");
        }
        self.item(line, payload);
        if let (true, Some(record)) = (*is_error, self.lines.last_mut()) {
            // Codex tells failures in the words of its own tools.
            record[MARK_FAILED] = json!(true);
        }
    }

    /// Settings that Codex worked with, when they change.
    fn settings(&mut self, line: &Line) {
        let config = &line.setting.config;
        let is_said = matches!(line.what, What::Prompt(_) | What::Model(..));
        let (true, true, Some(model)) = (is_own(line), is_said, &config.model) else { return };
        let policy = |name: &str, usual: Value| config.other.get(name).cloned().unwrap_or(usual);
        let mut settings = json!({
            "cwd": self.conversation.cwd_of(&line.setting),
            "approval_policy": policy("approval_policy", json!("on-request")),
            "sandbox_policy": policy("sandbox_policy", json!({"type": "read-only"})),
            "model": model,
            "summary": "auto",
        });
        if let Some(effort) = config.thinking.as_ref().filter(|effort| *effort != "default") {
            settings["effort"] = json!(effort);
        }
        if self.setting.as_ref() != Some(&settings) {
            self.setting = Some(settings.clone());
            self.push(line, "turn_context", settings);
        }
    }

    fn usage(&mut self, line: &Line, response: usize) {
        let response = &self.conversation.script.responses[response];
        let Some(usage) = &response.usage else { return };
        let counts = Counts::of(usage);
        self.used.add(counts);
        let thread = &self.conversation.native_id;
        let mut record = json!({
            "thread_id": thread, "session_id": thread, "response_id": response.id(),
            "usage": counts.value(), "thread_token_usage": self.used.value(),
        });
        if let Some(model) = &usage.model {
            record["model"] = json!(model);
        }
        self.push(line, "token_usage_record", record);
        let info = json!({"total_token_usage": self.used.value(), "last_token_usage": counts.value()});
        self.event(line, json!({"type": "token_count", "info": info}));
    }

    /// What the model said last before a line of the script.
    fn last_answer(&self, number: usize) -> Option<String> {
        let before = self.conversation.script.lines[..number].iter().rev();
        let answer = before.take_while(|line| !matches!(line.what, What::Prompt(_) | What::Compacted(_)));
        let mut answer = answer.filter_map(|line| match &line.what {
            What::Model(Item::Message { parts, .. }, _) => Some(text_of(parts)),
            _ => None,
        });
        answer.next()
    }

    fn compaction(&mut self, line: &Line, compaction: &Compaction) {
        let history: Vec<Value> =
            arranged_history(&compaction.history).iter().filter_map(|item| response_item(item, is_own(line))).collect();
        let summary = compaction.summary.as_deref().map(text_of).unwrap_or_default();
        self.push(line, "compacted", json!({"message": summary, "replacement_history": history}));
        self.event(line, json!({"type": "context_compacted"}));
    }

    fn close(&mut self) {
        let Some(title) = self.conversation.title.as_ref().filter(|title| title.by == TitleBy::Person) else { return };
        let Some(last) = self.conversation.script.lines.last() else { return };
        let thread = &self.conversation.native_id;
        self.event(last, json!({"type": "thread_name_updated", "thread_id": thread, "thread_name": title.text}));
    }
}

/// Whether Codex itself wrote it.
fn is_own(line: &Line) -> bool {
    line.setting.agent.as_deref() == Some(Agent::Codex.name())
}

fn kind_of(payload: &Value) -> &str {
    payload.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// An item as a response item.
fn response_item(item: &Item, is_own: bool) -> Option<Value> {
    Some(match item {
        Item::Message { role: Role::Assistant, parts } => message("assistant", "output_text", parts),
        Item::Message { role: Role::User, parts } => message("user", "input_text", parts),
        Item::Message { role: Role::Developer, parts } => message("developer", "input_text", parts),
        Item::Message { role: Role::System, parts } => message("system", "input_text", parts),
        Item::Reasoning { text, encrypted, .. } => {
            let summary: Vec<Value> = match text.as_str() {
                "" => Vec::new(),
                text => vec![json!({"type": "summary_text", "text": text})],
            };
            json!({"type": "reasoning", "summary": summary, "encrypted_content": encrypted})
        }
        Item::ToolCall { call_id, name, arguments: Value::String(input) } if is_own => {
            json!({"type": "custom_tool_call", "name": name, "input": input, "call_id": call_id})
        }
        Item::ToolCall { call_id, name, arguments } => {
            json!({"type": "function_call", "name": name, "arguments": arguments.to_string(), "call_id": call_id})
        }
        Item::ToolResult { call_id, parts, .. } => {
            json!({"type": "function_call_output", "call_id": call_id, "output": output(parts)})
        }
        Item::Other(value) => value.clone(),
    })
}

fn message(role: &str, text: &str, parts: &[Part]) -> Value {
    let content: Vec<Value> = parts.iter().map(|part| block(part, text)).collect();
    json!({"type": "message", "role": role, "content": content})
}

fn block(part: &Part, text: &str) -> Value {
    match image(part).filter(|_| text == "input_text") {
        Some(url) => json!({"type": "input_image", "image_url": url}),
        None => json!({"type": text, "text": text_of_part(part)}),
    }
}

/// What a tool put out: a text, or blocks where it is more than that.
fn output(parts: &[Part]) -> Value {
    match parts {
        [] => json!(""),
        [part] if part.as_text().is_some() => json!(part.as_text()),
        parts => parts.iter().map(|part| block(part, "input_text")).collect(),
    }
}

/// The address of an image, which may hold the image itself.
fn image(part: &Part) -> Option<String> {
    match part {
        Part::Image { media_type, data: Some(Content::Inline(data)), .. } => {
            Some(format!("data:{};base64,{data}", media_type.as_deref().unwrap_or("image/png")))
        }
        Part::Image { url, .. } => url.clone(),
        _ => None,
    }
}
