//! What the message of a record holds.

use serde_json::Value;
use store_core::{Content, Item, LlmUsage, Part, Role, TimestampMs};

use crate::import::fields::{count, owned, storable, take, text};

/// The model of messages that no model made.
pub(super) const SYNTHETIC: &str = "<synthetic>";

/// What a user's message holds.
#[derive(Debug, Default)]
pub(super) struct UserContent {
    pub(super) results: Vec<Item>,
    pub(super) parts: Vec<Part>,
}

impl UserContent {
    /// The first text, which tells whose it is.
    pub(super) fn first_text(&self) -> &str {
        self.parts.iter().find_map(Part::as_text).unwrap_or_default()
    }

    /// The text that says so, if the person interrupted.
    pub(super) fn interruption(&self) -> Option<&str> {
        self.parts.iter().filter_map(Part::as_text).find(|text| super::typed::is_interruption(text))
    }
}

/// Reads the content of a user's message; `record` stands in for the id of a call that a result does not name.
pub(super) fn user(content: Value, record: &str) -> UserContent {
    let mut read = UserContent::default();
    for mut block in blocks(content) {
        if text(&block, "type") == Some("tool_result") {
            let call_id = owned(&block, "tool_use_id").unwrap_or_else(|| record.to_owned());
            let is_error = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
            let parts = blocks(take(&mut block, "content")).into_iter().map(part).collect();
            read.results.push(Item::ToolResult { call_id, parts, is_error });
        } else {
            read.parts.push(part(block));
        }
    }
    read
}

/// Reads the content of an assistant's message, an item for each block.
pub(super) fn assistant(content: Value, record: &str) -> Vec<Item> {
    blocks(content).into_iter().map(|block| said(block, record)).collect()
}

fn blocks(content: Value) -> Vec<Value> {
    match content {
        Value::Array(blocks) => blocks,
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => Vec::new(),
        block => vec![block],
    }
}

fn said(mut block: Value, record: &str) -> Item {
    match text(&block, "type") {
        Some("text") if text(&block, "text").is_some() => {
            Item::Message { role: Role::Assistant, parts: vec![part(block)] }
        }
        Some("thinking") => Item::Reasoning {
            text: owned(&block, "thinking").unwrap_or_default(),
            signature: owned(&block, "signature"),
            encrypted: None,
        },
        Some("redacted_thinking") => {
            Item::Reasoning { text: String::new(), signature: None, encrypted: owned(&block, "data") }
        }
        Some("tool_use") => Item::ToolCall {
            call_id: owned(&block, "id").unwrap_or_else(|| record.to_owned()),
            name: owned(&block, "name").unwrap_or_default(),
            arguments: storable(take(&mut block, "input")),
        },
        _ => match block {
            Value::String(text) => Item::message(Role::Assistant, text),
            block => Item::Other(storable(block)),
        },
    }
}

/// A block that is a part of a message.
pub(super) fn part(mut block: Value) -> Part {
    if let Value::String(text) = block {
        return Part::text(text);
    }
    match text(&block, "type").unwrap_or_default() {
        "text" => match take(&mut block, "text") {
            Value::String(text) => Part::text(text),
            _ => Part::Other(storable(block)),
        },
        "image" if block.get("source").is_some_and(Value::is_object) => {
            let (media_type, data, url) = source(&mut block);
            Part::Image { media_type, data, url }
        }
        "document" if block.get("source").is_some_and(Value::is_object) => {
            let (media_type, data, url) = source(&mut block);
            Part::File { name: owned(&block, "title"), media_type, data, url }
        }
        _ => Part::Other(storable(block)),
    }
}

fn source(block: &mut Value) -> (Option<String>, Option<Content>, Option<String>) {
    let mut source = take(block, "source");
    let data = match take(&mut source, "data") {
        Value::String(data) => Some(Content::Inline(data)),
        _ => None,
    };
    (owned(&source, "media_type"), data, owned(&source, "url"))
}

/// Takes what the program put in beside a message, as the text that the model is given.
pub(super) fn attached(attachment: &mut Value) -> Vec<Part> {
    let pointers = ["/content", "/content/file/content", "/prompt", "/message"];
    let told = pointers.into_iter().find(|pointer| attachment.pointer(pointer).is_some_and(is_told));
    if let Some(content) = told.and_then(|pointer| attachment.pointer_mut(pointer)) {
        return blocks(content.take()).into_iter().map(part).collect();
    }
    let lines = attachment.get("addedLines").and_then(Value::as_array);
    let lines: Vec<&str> = lines.into_iter().flatten().filter_map(Value::as_str).collect();
    if !lines.is_empty() {
        let told = lines.join("\n");
        take(attachment, "addedLines");
        return vec![Part::text(told)];
    }
    vec![Part::text(storable(attachment.take()).to_string())]
}

fn is_told(value: &Value) -> bool {
    let is_block = |block: &Value| block.is_string() || text(block, "type").is_some();
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(blocks) => !blocks.is_empty() && blocks.iter().all(is_block),
        _ => false,
    }
}

/// What a response used, as its message says. Cache reads and writes are not part of `input_tokens` there.
pub(super) fn usage(record: &Value, message: &Value, ts: TimestampMs) -> Option<LlmUsage> {
    let used = message.get("usage").filter(|used| used.is_object())?;
    let model = owned(message, "model");
    if model.as_deref() == Some(SYNTHETIC) {
        return None;
    }
    let (read, written) = (count(used, "cache_read_input_tokens"), count(used, "cache_creation_input_tokens"));
    Some(LlmUsage {
        ts,
        request_id: owned(message, "id").or_else(|| owned(record, "requestId")),
        model,
        history_len: 0,
        input_total_tokens: count(used, "input_tokens").saturating_add(read).saturating_add(written),
        cache_read_tokens: read,
        cache_write_tokens: written,
        output_tokens: count(used, "output_tokens"),
        reasoning_tokens: None,
        cost: None,
    })
}
