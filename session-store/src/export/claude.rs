//! Claude Code's form: the lines of a transcript, chained by `uuid` and `parentUuid`.
//!
//! A response is a line for each of its blocks, which share the message's id and usage. Calls follow one another, each result stands behind
//! its own call, and what comes next behind the last result. A compaction is a boundary without a parent, its summary, and the ids of the
//! records that were kept. What the program had put in is `isMeta`: the model is given it, and nobody typed it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};
use store_core::{Content, Item, LlmUsage, Part, Role};

use super::conversation::Conversation;
use super::id::{Aspect, At};
use super::script::{Compaction, Line, Response, What, told};
use super::{MARK, text_of};
use crate::facts::TitleBy;
use crate::import::Agent;
use crate::time::to_millis_text;

/// The version that is named where the conversation comes from another agent.
const VERSION: &str = "2.1.197";
/// The model of messages that no model made.
const SYNTHETIC: &str = "<synthetic>";
const INTERRUPTION: &str = "[Request interrupted by user]";
/// How long an id or a name may be.
const NAME_CHARS_MAX: usize = 200;

/// The lines of the file.
pub(super) fn lines(conversation: &Conversation) -> Vec<Value> {
    let told = told(&conversation.script.lines);
    let mut writer =
        Writer { conversation, told, lines: Vec::new(), last: None, calls: HashMap::new(), used: HashSet::new() };
    for (number, line) in conversation.script.lines.iter().enumerate() {
        writer.line(number, line);
    }
    writer.close();
    writer.lines
}

struct Writer<'a> {
    conversation: &'a Conversation,
    told: HashSet<At>,
    lines: Vec<Value>,
    /// The record that the next one stands behind.
    last: Option<String>,
    /// The ids that calls have here.
    calls: HashMap<String, String>,
    /// Those that are taken.
    used: HashSet<String>,
}

impl Writer<'_> {
    fn line(&mut self, number: usize, line: &Line) {
        match &line.what {
            What::Prompt(parts) => {
                self.user(line, content(parts, is_own(line)), &[("permissionMode", json!("default"))])
            }
            What::Put(item) => self.put(line, item),
            What::Model(item, response) => self.model(number, line, item, *response),
            What::Result { item, call, .. } => self.result(line, item, *call),
            What::Failed { interrupted: true, .. } => {
                if !self.is_interruption() {
                    self.user(line, json!([{"type": "text", "text": INTERRUPTION}]), &[]);
                }
            }
            What::Failed { message, .. } => self.error(line, message),
            What::Compacted(compaction) => self.compaction(line, compaction),
            What::Used(_) | What::Thinking(_) | What::End => {}
        }
    }

    /// A record of the transcript behind the last one.
    fn record(&mut self, line: &Line, at: At, kind: &str, parent: Option<&str>, fields: Map<String, Value>) {
        let conversation = self.conversation;
        let uuid = at.uuid().to_string();
        let mut record = Map::new();
        let mut put = |name: &str, value: Value| {
            record.insert(name.to_owned(), value);
        };
        put("parentUuid", json!(parent));
        put("isSidechain", json!(false));
        put("type", json!(kind));
        fields.into_iter().for_each(|(name, value)| put(&name, value));
        put("uuid", json!(uuid));
        put("timestamp", json!(to_millis_text(line.ts)));
        put("userType", json!("external"));
        put("entrypoint", json!("cli"));
        put("cwd", json!(conversation.cwd_of(&line.setting)));
        put("sessionId", json!(conversation.native_id));
        put("version", json!(conversation.version.as_deref().unwrap_or(VERSION)));
        put("gitBranch", json!(line.setting.config.branch.as_deref().unwrap_or_default()));
        if parent.is_none() {
            // A copy of the transcript begins with such a record, and so each tells where it comes from.
            put(MARK, json!(conversation.from));
        }
        self.last = Some(uuid);
        self.lines.push(Value::Object(record));
    }

    fn user(&mut self, line: &Line, content: Value, more: &[(&str, Value)]) {
        let mut fields = Map::new();
        fields.insert("message".to_owned(), json!({"role": "user", "content": content}));
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let parent = self.last.clone();
        self.record(line, line.at, "user", parent.as_deref(), fields);
    }

    fn put(&mut self, line: &Line, item: &Item) {
        let Item::Message { parts, .. } = item else { return };
        let content = content(parts, is_own(line));
        self.user(line, content, &[("isMeta", json!(true))]);
    }

    fn model(&mut self, number: usize, line: &Line, item: &Item, response: usize) {
        let conversation = self.conversation;
        let Some(block) = self.block(item, is_own(line)) else { return };
        let response = &conversation.script.responses[response];
        let stop = match item {
            _ if conversation.script.ends_turn(number) => json!("end_turn"),
            Item::ToolCall { .. } => json!("tool_use"),
            _ => Value::Null,
        };
        let model = response.usage.as_ref().and_then(|usage| usage.model.clone());
        let model = model.or_else(|| line.setting.config.model.clone()).unwrap_or_else(|| "unknown".to_owned());
        let mut message = json!({
            "id": response.id(), "type": "message", "role": "assistant", "model": model,
            "content": [block], "stop_reason": stop, "stop_sequence": null,
        });
        if let Some(usage) = &response.usage {
            message["usage"] = used(usage);
        }
        let mut fields = Map::new();
        fields.insert("message".to_owned(), message);
        fields.insert("requestId".to_owned(), json!(request_id(response)));
        let parent = self.last.clone();
        self.record(line, line.at, "assistant", parent.as_deref(), fields);
    }

    fn block(&mut self, item: &Item, is_own: bool) -> Option<Value> {
        Some(match item {
            Item::Message { parts, .. } => match parts.as_slice() {
                [part] => block(part, is_own),
                parts => json!({"type": "text", "text": text_of(parts)}),
            },
            Item::Reasoning { text, signature: Some(signature), .. } => {
                json!({"type": "thinking", "thinking": text, "signature": signature})
            }
            Item::Reasoning { encrypted: Some(data), .. } => json!({"type": "redacted_thinking", "data": data}),
            // Without a signature nobody takes a thought back.
            Item::Reasoning { .. } | Item::ToolResult { .. } => return None,
            Item::ToolCall { call_id, name, arguments } => {
                let id = self.call_id(call_id);
                let input = if arguments.is_object() { arguments.clone() } else { json!({super::WRAPPED: arguments}) };
                json!({"type": "tool_use", "id": id, "name": plain(name), "input": input})
            }
            Item::Other(value) => value.clone(),
        })
    }

    /// The id of a call in the characters that the provider allows, which no other call has.
    fn call_id(&mut self, call_id: &str) -> String {
        let plain = plain(call_id);
        let mut id = plain.clone();
        let mut number = 1_u64;
        while !self.used.insert(id.clone()) {
            number += 1;
            id = format!("{plain}_{number}");
        }
        self.calls.insert(call_id.to_owned(), id.clone());
        id
    }

    fn result(&mut self, line: &Line, item: &Item, call: At) {
        let Item::ToolResult { call_id, parts, is_error } = item else { return };
        let id = self.calls.get(call_id).cloned().unwrap_or_else(|| plain(call_id));
        let block = json!({"tool_use_id": id, "type": "tool_result", "content": content(parts, is_own(line)), "is_error": is_error});
        let call = call.uuid().to_string();
        let mut fields = Map::new();
        fields.insert("message".to_owned(), json!({"role": "user", "content": [block]}));
        fields.insert("sourceToolAssistantUUID".to_owned(), json!(call));
        self.record(line, line.at, "user", Some(&call), fields);
    }

    /// Whether the last record says already that the person interrupted.
    fn is_interruption(&self) -> bool {
        let last = self.lines.last().and_then(|last| last.pointer("/message/content"));
        let text = last.and_then(|content| content.as_str().or_else(|| content.pointer("/0/text")?.as_str()));
        text.is_some_and(|text| text.trim_start().starts_with("[Request interrupted by user"))
    }

    fn error(&mut self, line: &Line, message: &str) {
        let usage = json!({"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0});
        let message = json!({
            "id": line.at.uuid().to_string(), "type": "message", "role": "assistant", "model": SYNTHETIC,
            "content": [{"type": "text", "text": if message.is_empty() { "error" } else { message }}],
            "stop_reason": "stop_sequence", "stop_sequence": "", "usage": usage,
        });
        let mut fields = Map::new();
        fields.insert("message".to_owned(), message);
        fields.insert("isApiErrorMessage".to_owned(), json!(true));
        let parent = self.last.clone();
        self.record(line, line.at, "assistant", parent.as_deref(), fields);
    }

    fn compaction(&mut self, line: &Line, compaction: &Compaction) {
        let summary = line.at.with(Aspect::Summary);
        let kept: Vec<String> = compaction
            .history
            .iter()
            .filter(|kept| !kept.is_summary && self.told.contains(&kept.at))
            .map(|kept| kept.at.uuid().to_string())
            .collect();
        let anchor = summary.uuid().to_string();
        let mut about = json!({"trigger": "manual", "preTokens": 0});
        if let (Some(head), Some(tail)) = (kept.first(), kept.last()) {
            about["preservedSegment"] = json!({"headUuid": head, "anchorUuid": anchor, "tailUuid": tail});
            about["preservedMessages"] = json!({"anchorUuid": anchor, "uuids": kept, "allUuids": kept});
        }
        let fields = json!({
            "logicalParentUuid": self.last, "subtype": "compact_boundary", "content": "Conversation compacted",
            "isMeta": false, "level": "info", "compactMetadata": about,
        });
        self.record(line, line.at, "system", None, object(fields));
        if let Some(said) = &compaction.summary {
            let fields = json!({
                "message": {"role": "user", "content": content(said, false)},
                "isVisibleInTranscriptOnly": true, "isCompactSummary": true,
            });
            let parent = line.at.uuid().to_string();
            self.record(line, summary, "user", Some(&parent), object(fields));
        }
        for kept in compaction.history.iter().filter(|kept| kept.is_own && !kept.is_summary) {
            if let Item::Message { role: Role::User, parts } = &kept.item {
                let line = Line { at: kept.at, ..line.clone() };
                self.user(&line, content(parts, is_own(&line)), &[("isMeta", json!(true))]);
            }
        }
    }

    /// What stands behind the transcript: where it goes on, and what it is called.
    fn close(&mut self) {
        let session = &self.conversation.native_id;
        if let Some(leaf) = &self.last {
            let prompts = self.conversation.script.lines.iter().rev();
            let prompt = prompts.filter_map(|line| match &line.what {
                What::Prompt(parts) => Some(text_of(parts)),
                _ => None,
            });
            let prompt = prompt.take(1).next().unwrap_or_default();
            let record = json!({"type": "last-prompt", "lastPrompt": prompt, "leafUuid": leaf, "sessionId": session});
            self.lines.push(record);
        }
        match &self.conversation.title {
            Some(title) if title.by == TitleBy::Person => {
                self.lines.push(json!({"type": "custom-title", "customTitle": title.text, "sessionId": session}));
            }
            Some(title) => self.lines.push(json!({"type": "ai-title", "aiTitle": title.text, "sessionId": session})),
            None => {}
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Whether Claude Code itself wrote it.
fn is_own(line: &Line) -> bool {
    line.setting.agent.as_deref() == Some(Agent::Claude.name())
}

/// All lines of a response name the same request.
fn request_id(response: &Response) -> String {
    format!("req_{}", response.at.with(Aspect::Response).uuid().simple())
}

fn used(usage: &LlmUsage) -> Value {
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    json!({
        "input_tokens": usage.input_total_tokens.saturating_sub(cached),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    })
}

/// A content: a text, or blocks.
fn content(parts: &[Part], is_own: bool) -> Value {
    match parts {
        [] => json!(""),
        [part] if part.as_text().is_some() => json!(part.as_text()),
        parts => parts.iter().map(|part| block(part, is_own)).collect(),
    }
}

fn block(part: &Part, is_own: bool) -> Value {
    match part {
        Part::Other(value) if is_own => value.clone(),
        Part::Image { media_type, data: Some(Content::Inline(data)), .. } => {
            let media_type = media_type.as_deref().unwrap_or("image/png");
            json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}})
        }
        Part::Image { url: Some(url), .. } => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Part::File { name, media_type, data: Some(Content::Inline(data)), .. } if is_pdf(media_type.as_deref()) => {
            let source = json!({"type": "base64", "media_type": media_type, "data": data});
            with_title(json!({"type": "document", "source": source}), name.as_deref())
        }
        Part::File { name, media_type: Some(media_type), data: Some(Content::Inline(data)), .. }
            if media_type == "text/plain" =>
        {
            let source = json!({"type": "text", "media_type": media_type, "data": data});
            with_title(json!({"type": "document", "source": source}), name.as_deref())
        }
        part => json!({"type": "text", "text": super::text_of_part(part)}),
    }
}

fn is_pdf(media_type: Option<&str>) -> bool {
    media_type == Some("application/pdf")
}

fn with_title(mut document: Value, title: Option<&str>) -> Value {
    if let Some(title) = title {
        document["title"] = json!(title);
    }
    document
}

/// A name in the characters that the provider allows.
fn plain(name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    let plain: String = name.chars().map(|char| if is_plain(char) { char } else { '_' }).take(NAME_CHARS_MAX).collect();
    if plain.is_empty() { "_".to_owned() } else { plain }
}
