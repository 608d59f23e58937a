//! What a message of pi says, and how pi words for a model what is no message.

use serde_json::Value;
use store_core::{Content, Item, LlmUsage, Part, Role, TimestampMs};

use crate::import::fields::{count, filled, owned, storable, take, text};

/// The decimals of a cost that are kept: below them is only what binary fractions add.
const COST_DECIMALS: usize = 12;

/// The parts of a content: a text, or a list of blocks.
pub(super) fn parts(content: Value) -> Vec<Part> {
    match content {
        Value::String(text) => vec![Part::text(text)],
        Value::Array(blocks) => blocks.into_iter().map(part).collect(),
        Value::Null => Vec::new(),
        other => vec![Part::Other(storable(other))],
    }
}

fn part(mut block: Value) -> Part {
    match text(&block, "type").unwrap_or_default() {
        "text" => match take(&mut block, "text") {
            Value::String(text) => Part::text(text),
            _ => Part::text(""),
        },
        "image" => image(block),
        _ => Part::Other(storable(block)),
    }
}

/// Older versions put an image below `source`.
fn image(mut block: Value) -> Part {
    let mut holder = if block.get("source").is_some_and(Value::is_object) { take(&mut block, "source") } else { block };
    let media_type = owned(&holder, "mimeType").or_else(|| owned(&holder, "mediaType"));
    let data = match take(&mut holder, "data") {
        Value::String(data) => Some(Content::Inline(data)),
        _ => None,
    };
    Part::Image { media_type, data, url: owned(&holder, "url") }
}

/// The items of an assistant message, one a block.
pub(super) fn assistant(content: Value, record: &str) -> Vec<Item> {
    match content {
        Value::Array(blocks) => blocks.into_iter().map(|block| block_item(block, record)).collect(),
        Value::String(said) if said.is_empty() => Vec::new(),
        Value::String(said) => vec![Item::message(Role::Assistant, said)],
        _ => Vec::new(),
    }
}

fn block_item(mut block: Value, record: &str) -> Item {
    match text(&block, "type").unwrap_or_default() {
        "thinking" => {
            let is_redacted = block.get("redacted").and_then(Value::as_bool) == Some(true);
            let signature = owned(&block, "thinkingSignature");
            Item::Reasoning {
                text: owned(&block, "thinking").unwrap_or_default(),
                encrypted: signature.clone().filter(|_| is_redacted),
                signature: signature.filter(|_| !is_redacted),
            }
        }
        "toolCall" => Item::ToolCall {
            call_id: owned(&block, "id").unwrap_or_else(|| record.to_owned()),
            name: owned(&block, "name").unwrap_or_default(),
            arguments: storable(take(&mut block, "arguments")),
        },
        _ => Item::Message { role: Role::Assistant, parts: vec![part(block)] },
    }
}

/// A tool's answer.
pub(super) fn tool_result(message: &mut Value, record: &str) -> Item {
    Item::ToolResult {
        call_id: owned(message, "toolCallId").unwrap_or_else(|| record.to_owned()),
        is_error: message.get("isError").and_then(Value::as_bool).unwrap_or(false),
        parts: parts(take(message, "content")),
    }
}

/// What a request used, from the `usage` of a message or of a summary. Nothing was used where all is 0.
pub(super) fn usage(holder: &Value, ts: TimestampMs) -> Option<LlmUsage> {
    let usage = holder.get("usage").filter(|usage| usage.is_object())?;
    let [input, output, read, write] = ["input", "output", "cacheRead", "cacheWrite"].map(|key| count(usage, key));
    if input == 0 && output == 0 && read == 0 && write == 0 {
        return None;
    }
    Some(LlmUsage {
        ts,
        request_id: owned(holder, "responseId"),
        model: owned(holder, "model"),
        history_len: 0,
        input_total_tokens: input.saturating_add(read).saturating_add(write),
        cache_read_tokens: read,
        cache_write_tokens: write,
        output_tokens: output,
        reasoning_tokens: usage.get("reasoning").and_then(Value::as_u64),
        cost: usage.pointer("/cost/total").and_then(Value::as_f64).and_then(cost),
    })
}

/// A cost as a decimal text. pi writes 0 where it knows no price.
fn cost(dollars: f64) -> Option<String> {
    if !dollars.is_finite() || dollars <= 0.0 {
        return None;
    }
    let text = format!("{dollars:.COST_DECIMALS$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    (text != "0").then(|| text.to_owned())
}

/// How pi words the summary of a compaction for the model.
pub(super) fn compaction_summary(summary: &str) -> Item {
    let text = format!(
        "The conversation history before this point was compacted into the following summary:\n\n<summary>\n{summary}\n</summary>"
    );
    Item::message(Role::User, text)
}

/// How pi words the summary of a branch that was left for the model.
pub(super) fn branch_summary(summary: &str) -> Item {
    let text = format!(
        "The following is a summary of a branch that this conversation came back from:\n\n<summary>\n{summary}</summary>"
    );
    Item::message(Role::User, text)
}

/// A command that a person ran, as pi words it for the model: the command, which was typed, and what came of it.
pub(super) fn bash_execution(message: &Value) -> (String, String) {
    let mut result = match filled(message, "output") {
        Some(output) => format!("```\n{output}\n```"),
        None => "(no output)".to_owned(),
    };
    let flag = |key| message.get(key).and_then(Value::as_bool).unwrap_or(false);
    let exit_code = message.get("exitCode").and_then(Value::as_i64).filter(|code| *code != 0);
    if flag("cancelled") {
        result.push_str("\n\n(command cancelled)");
    } else if let Some(code) = exit_code {
        result.push_str(&format!("\n\nCommand exited with code {code}"));
    }
    if let Some(path) = filled(message, "fullOutputPath").filter(|_| flag("truncated")) {
        result.push_str(&format!("\n\n[Output truncated. Full output: {path}]"));
    }
    (format!("Ran `{}`", text(message, "command").unwrap_or_default()), result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cost_is_a_decimal_text_without_the_noise_of_binary_fractions() {
        assert_eq!(cost(0.000_498_750_000_000_000_1).as_deref(), Some("0.00049875"));
        assert_eq!(cost(0.000_000_5).as_deref(), Some("0.0000005"));
        assert_eq!(cost(12.0).as_deref(), Some("12"));
        assert_eq!(cost(0.0), None);
    }

    #[test]
    fn input_counts_the_cache_in() {
        let message =
            json!({"responseId": "r", "usage": {"input": 10, "output": 20, "cacheRead": 100, "cacheWrite": 5}});
        let usage = usage(&message, 1).unwrap();
        assert_eq!((usage.input_total_tokens, usage.output_tokens, usage.cost), (115, 20, None));
    }

    #[test]
    fn a_command_is_worded_as_pi_words_it() {
        let message = json!({"command": "ls", "output": "", "exitCode": 2, "cancelled": false});
        let worded = bash_execution(&message);
        assert_eq!(worded, ("Ran `ls`".into(), "(no output)\n\nCommand exited with code 2".into()));
    }
}
