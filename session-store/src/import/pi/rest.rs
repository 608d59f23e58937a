//! What a record says beyond its entries: kept as an extension behind them.
//!
//! Left out are the links between records, times that the record has twice, and the sums of usage that its parts tell.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::import::fields::{Repeated, is_nothing, left_of, storable, text};

/// The domain under which it is kept.
// Persisted: never rename or reuse.
pub(super) const DOMAIN: &str = "import.pi.rest";

/// Fields of a record that entries tell.
const OF_RECORD: [&str; 11] = [
    "type",
    "id",
    "parentId",
    "timestamp",
    "message",
    "content",
    "summary",
    "firstKeptEntryId",
    "firstKeptEntryIndex",
    "usage",
    "model",
];

/// Fields of a message that entries tell.
const OF_MESSAGE: [&str; 14] = [
    "role",
    "content",
    "timestamp",
    "model",
    "provider",
    "usage",
    "responseId",
    "errorMessage",
    "toolCallId",
    "toolName",
    "isError",
    "summary",
    "command",
    "output",
];

/// Ends of a response that the entries show.
const SHOWN_ENDS: [&str; 4] = ["stop", "toolUse", "error", "aborted"];

/// Takes what is left of records.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rests(Repeated);

impl Rests {
    /// What is left of a message.
    pub(super) fn of_message(&mut self, mut message: Value) -> Option<Value> {
        let is_shown = text(&message, "stopReason").is_some_and(|reason| SHOWN_ENDS.contains(&reason));
        self.0.leave_out(&mut message, &["api"]);
        let fields = message.as_object_mut()?;
        if is_shown {
            fields.shift_remove("stopReason");
        }
        // A command that went well says so in none of them.
        fields.retain(|name, value| !matches!(name.as_str(), "cancelled" | "truncated") || *value != false);
        left_of(message, &OF_MESSAGE).map(storable)
    }
}

/// What is left of a record that is no message.
pub(super) fn of_record(mut record: Value) -> Option<Value> {
    if let Some(fields) = record.as_object_mut() {
        fields.retain(|name, value| name != "fromHook" || *value != false);
    }
    left_of(record, &OF_RECORD).map(storable)
}

/// What is left of the blocks of a content besides what items tell, each with its place: what a provider needs to be given again.
pub(super) fn of_blocks(content: &Value) -> Option<Value> {
    let left: Vec<Value> = (0..).zip(content.as_array()?).filter_map(|(at, block)| of_block(at, block)).collect();
    (!left.is_empty()).then(|| storable(Value::Array(left)))
}

fn of_block(at: usize, block: &Value) -> Option<Value> {
    let read: &[&str] = match text(block, "type")? {
        "text" => &["type", "text"],
        "thinking" => &["type", "thinking", "thinkingSignature", "redacted"],
        "toolCall" => &["type", "id", "name", "arguments"],
        _ => return None,
    };
    let fields = block.as_object()?.iter().filter(|(name, value)| !read.contains(&name.as_str()) && !is_nothing(value));
    let left: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!left.is_empty()).then(|| json!({"block": at, "left": left}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_message_is_left_what_its_entries_do_not_say() {
        let mut rests = Rests::default();
        let message =
            |stop: &str| json!({"role": "assistant", "api": "x", "model": "m", "stopReason": stop, "timestamp": 1});
        assert_eq!(rests.of_message(message("length")), Some(json!({"api": "x", "stopReason": "length"})));
        assert_eq!(rests.of_message(message("toolUse")), None);
        let command =
            json!({"role": "bashExecution", "command": "ls", "exitCode": 4, "cancelled": false, "truncated": true});
        assert_eq!(rests.of_message(command), Some(json!({"exitCode": 4, "truncated": true})));
    }

    #[test]
    fn what_a_provider_signed_is_left() {
        let content = json!([
            {"type": "text", "text": "x"},
            {"type": "toolCall", "id": "c", "name": "n", "arguments": {}, "thoughtSignature": "s"},
        ]);
        assert_eq!(of_blocks(&content), Some(json!([{"block": 1, "left": {"thoughtSignature": "s"}}])));
        assert_eq!(of_blocks(&json!("x")), None);
    }

    #[test]
    fn of_a_summary_is_left_what_it_counted() {
        let record = json!({"type": "compaction", "id": "a", "summary": "s", "tokensBefore": 9, "fromHook": false});
        assert_eq!(of_record(record), Some(json!({"tokensBefore": 9})));
    }
}
