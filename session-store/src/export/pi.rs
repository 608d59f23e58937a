//! pi's form, version 3: a header, then records chained by `id` and `parentId`.
//!
//! A response is one message with all its blocks. What the program put in is a `custom_message` that is not displayed. A compaction keeps what came
//! before it from one record on; where the model was given something else, that follows as a `custom_message`. The first record is a
//! `custom` one that says where the file comes from: pi copies it into forks, and no model is given it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};
use store_core::{Content, Item, Part, Role, TimestampMs};

use super::conversation::Conversation;
use super::id::{Aspect, At};
use super::script::{Compaction, Kept, Line, Setting, What};
use super::{MARK, text_of, text_of_part};
use crate::facts::TitleBy;
use crate::import::Agent;
use crate::time::to_millis_text;

/// How pi words a summary for its model.
const SUMMARY_BEGINS: &str =
    "The conversation history before this point was compacted into the following summary:\n\n<summary>\n";
const SUMMARY_ENDS: &str = "\n</summary>";

/// The lines of the file.
pub(super) fn lines(conversation: &Conversation) -> Vec<Value> {
    let tails = conversation.script.lines.iter().filter_map(|line| match &line.what {
        What::Compacted(compaction) => compaction.tail,
        _ => None,
    });
    let mut writer = Writer {
        conversation,
        tails: tails.collect(),
        lines: Vec::new(),
        last: None,
        records: HashMap::new(),
        message: Vec::new(),
        used: HashSet::new(),
    };
    writer.begin();
    for (number, line) in conversation.script.lines.iter().enumerate() {
        writer.line(number, line);
    }
    writer.flush(conversation.script.lines.len());
    writer.close();
    writer.lines
}

struct Writer<'a> {
    conversation: &'a Conversation,
    /// What compactions keep begins with these.
    tails: HashSet<At>,
    lines: Vec<Value>,
    last: Option<String>,
    /// The record that tells each line.
    records: HashMap<At, String>,
    /// The lines of a message that is not written yet.
    message: Vec<&'a Line>,
    /// The responses whose usage was told.
    used: HashSet<usize>,
}

impl<'a> Writer<'a> {
    fn begin(&mut self) {
        let Conversation { native_id, birth_ms, cwd, from, .. } = self.conversation;
        let time = to_millis_text(*birth_ms);
        self.lines.push(json!({"type": "session", "version": 3, "id": native_id, "timestamp": time, "cwd": cwd}));
        if let Some(first) = self.conversation.script.lines.first() {
            let at = At { seq: store_core::Seq(1), ..first.at }.with(Aspect::Mark);
            self.record(at, *birth_ms, "custom", object(json!({"customType": MARK, "data": from})));
        }
    }

    fn record(&mut self, at: At, ts: TimestampMs, kind: &str, fields: Map<String, Value>) {
        let id = self.conversation.short_ids.get(at);
        let mut record = Map::new();
        record.insert("type".to_owned(), json!(kind));
        record.insert("id".to_owned(), json!(id));
        record.insert("parentId".to_owned(), json!(self.last));
        record.insert("timestamp".to_owned(), json!(to_millis_text(ts)));
        record.extend(fields);
        self.lines.push(Value::Object(record));
        self.records.insert(at, id.clone());
        self.last = Some(id);
    }

    fn message(&mut self, line: &Line, message: Value) {
        self.record(line.at, line.ts, "message", object(json!({"message": message})));
    }

    fn line(&mut self, number: usize, line: &'a Line) {
        if let What::Model(_, response) = &line.what {
            let goes_on = self.message.first().is_none_or(|first| response_of(first) == Some(*response));
            if !goes_on || self.tails.contains(&line.at) {
                self.flush(number);
            }
            return self.message.push(line);
        }
        if matches!(line.what, What::Used(_)) {
            return;
        }
        self.flush(number);
        let ts = line.ts;
        match &line.what {
            What::Prompt(parts) => {
                self.message(line, json!({"role": "user", "content": content(parts), "timestamp": ts}));
            }
            What::Put(Item::Message { role: Role::User, parts }) => {
                let put = json!({"customType": MARK, "content": content(parts), "display": false});
                self.record(line.at, ts, "custom_message", object(put));
            }
            What::Result { item: Item::ToolResult { call_id, parts, is_error }, name, .. } => {
                let result = json!({
                    "role": "toolResult", "toolCallId": call_id, "toolName": name, "content": content(parts),
                    "isError": is_error, "timestamp": ts,
                });
                self.message(line, result);
            }
            What::Failed { message, interrupted } => {
                let mut failed = self.assistant(&line.setting, None, Vec::new(), ts);
                failed["stopReason"] = json!(if *interrupted { "aborted" } else { "error" });
                failed["errorMessage"] = json!(message);
                self.message(line, failed);
            }
            What::Thinking(level) => {
                self.record(line.at, ts, "thinking_level_change", object(json!({"thinkingLevel": level})));
            }
            What::Compacted(compaction) => self.compaction(line, compaction),
            _ => {}
        }
    }

    /// Writes the message that waits. `next` is the line behind it.
    fn flush(&mut self, next: usize) {
        let waiting = std::mem::take(&mut self.message);
        let (Some(first), Some(last)) = (waiting.first(), waiting.last()) else { return };
        let response = response_of(first).unwrap_or_default();
        let blocks: Vec<Value> = waiting.iter().filter_map(|line| block_of(line)).collect();
        if blocks.is_empty() {
            return;
        }
        let has_call = blocks.iter().any(|block| block["type"] == "toolCall");
        let mut message = self.assistant(&first.setting, Some(response), blocks, first.ts);
        let behind = self.conversation.script.lines[next.min(self.conversation.script.lines.len())..].first();
        // Only what ends the turn says so: what fails behind it, or goes on, is still of it.
        let ends = !has_call && !behind.is_some_and(|line| matches!(line.what, What::Failed { .. } | What::Model(..)));
        message["stopReason"] = json!(if ends { "stop" } else { "toolUse" });
        self.message(last, message);
        if let Some(id) = self.last.clone() {
            self.records.extend(waiting.iter().map(|line| (line.at, id.clone())));
        }
    }

    /// A message of the model, but for how it ended.
    fn assistant(&mut self, setting: &Setting, response: Option<usize>, content: Vec<Value>, ts: TimestampMs) -> Value {
        let conversation = self.conversation;
        let response = response.map(|number| (number, &conversation.script.responses[number]));
        let usage = response.and_then(|(_, response)| response.usage.as_ref());
        let provider = provider_of(setting);
        let model = usage.and_then(|usage| usage.model.clone()).or_else(|| setting.config.model.clone());
        let told = usage.filter(|_| response.is_some_and(|(number, _)| self.used.insert(number)));
        let mut message = json!({
            "role": "assistant", "content": content, "api": api_of(&provider), "provider": provider,
            "model": model.unwrap_or_else(|| "unknown".to_owned()), "usage": used(told), "stopReason": null,
            "timestamp": ts,
        });
        if let Some((_, response)) = response.filter(|_| usage.is_some()) {
            message["responseId"] = json!(response.id());
        }
        message
    }

    fn compaction(&mut self, line: &Line, compaction: &Compaction) {
        let tail = compaction.tail.and_then(|tail| self.records.get(&tail).cloned());
        let summary = compaction.summary.as_deref().map(text_of).unwrap_or_default();
        let own = summary.strip_prefix(SUMMARY_BEGINS).and_then(|rest| rest.strip_suffix(SUMMARY_ENDS));
        let first = tail.clone().unwrap_or_else(|| self.conversation.short_ids.get(line.at));
        let fields = json!({"summary": own.unwrap_or(&summary), "firstKeptEntryId": first, "tokensBefore": 0});
        self.record(line.at, line.ts, "compaction", object(fields));
        // What stands in the tail comes by itself.
        let from = compaction.tail.filter(|_| tail.is_some());
        let from = from.and_then(|tail| compaction.history.iter().position(|kept| kept.at == tail));
        let is_beside =
            |(place, kept): &(usize, &Kept)| !kept.is_summary && (kept.is_own || from.is_none_or(|from| *place < from));
        let beside = compaction.history.iter().enumerate().filter(is_beside);
        let beside: Vec<String> = beside.filter_map(|(_, kept)| told(&kept.item)).collect();
        if !beside.is_empty() {
            let kept = json!({"customType": MARK, "content": beside.join("\n\n"), "display": false});
            self.record(line.at.with(Aspect::Kept), line.ts, "custom_message", object(kept));
        }
    }

    fn close(&mut self) {
        let Some(title) = self.conversation.title.as_ref().filter(|title| title.by == TitleBy::Person) else { return };
        let Some(last) = self.conversation.script.lines.last() else { return };
        let at = At { seq: store_core::Seq(1), ..last.at }.with(Aspect::Title);
        self.record(at, last.ts, "session_info", object(json!({"name": title.text})));
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

const fn response_of(line: &Line) -> Option<usize> {
    match line.what {
        What::Model(_, response) => Some(response),
        _ => None,
    }
}

/// The provider of what was said, as pi names it.
fn provider_of(setting: &Setting) -> String {
    let named = setting.config.provider.clone();
    named.unwrap_or_else(|| match setting.agent.as_deref() {
        Some(agent) if agent == Agent::Claude.name() => "anthropic".to_owned(),
        Some(agent) if agent == Agent::Codex.name() => "openai".to_owned(),
        agent => agent.unwrap_or("unknown").to_owned(),
    })
}

/// The way of speaking that a provider has in pi.
fn api_of(provider: &str) -> &'static str {
    match provider {
        "anthropic" => "anthropic-messages",
        "openai" => "openai-responses",
        "google" => "google-generative-ai",
        _ => "openai-completions",
    }
}

fn used(usage: Option<&store_core::LlmUsage>) -> Value {
    let [mut input, mut output, mut read, mut write] = [0_u64; 4];
    let mut cost = 0.0;
    if let Some(usage) = usage {
        (read, write, output) = (usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens);
        input = usage.input_total_tokens.saturating_sub(read.saturating_add(write));
        cost = usage.cost.as_ref().and_then(|cost| cost.parse::<f64>().ok()).unwrap_or_default();
    }
    let total = [input, output, read, write].into_iter().fold(0, u64::saturating_add);
    let mut used = json!({
        "input": input, "output": output, "cacheRead": read, "cacheWrite": write, "totalTokens": total,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": cost},
    });
    if let Some(reasoning) = usage.and_then(|usage| usage.reasoning_tokens) {
        used["reasoning"] = json!(reasoning);
    }
    used
}

fn content(parts: &[Part]) -> Value {
    parts.iter().map(block).collect()
}

fn block(part: &Part) -> Value {
    match part {
        Part::Image { media_type, data: Some(Content::Inline(data)), .. } => {
            json!({"type": "image", "data": data, "mimeType": media_type.as_deref().unwrap_or("image/png")})
        }
        part => json!({"type": "text", "text": text_of_part(part)}),
    }
}

/// What a line of the model is in its message.
fn block_of(line: &Line) -> Option<Value> {
    let What::Model(item, _) = &line.what else { return None };
    Some(match item {
        Item::Message { parts, .. } => json!({"type": "text", "text": text_of(parts)}),
        Item::Reasoning { text, signature, encrypted } => {
            let mut thought = json!({"type": "thinking", "thinking": text});
            if let Some(signature) = encrypted.as_ref().or(signature.as_ref()) {
                thought["thinkingSignature"] = json!(signature);
            }
            if encrypted.is_some() {
                thought["redacted"] = json!(true);
            }
            thought
        }
        Item::ToolCall { call_id, name, arguments } => {
            let arguments = if arguments.is_object() { arguments.clone() } else { json!({super::WRAPPED: arguments}) };
            json!({"type": "toolCall", "id": call_id, "name": name, "arguments": arguments})
        }
        Item::ToolResult { .. } | Item::Other(_) => return None,
    })
}

/// What is kept beside the record from which pi keeps the rest, in words.
fn told(item: &Item) -> Option<String> {
    Some(match item {
        Item::Message { role: Role::Assistant, parts } => format!("Assistant: {}", text_of(parts)),
        Item::Message { parts, .. } => text_of(parts),
        Item::ToolCall { name, arguments, .. } => format!("Assistant called {name}: {arguments}"),
        Item::ToolResult { parts, .. } => format!("Result: {}", text_of(parts)),
        Item::Reasoning { .. } | Item::Other(_) => return None,
    })
}
