//! What a record says beyond its entries.
//!
//! Most of what Codex writes twice or for itself stays out: ids of items, positions in its own history, windows, limits. Kept is
//! what a person may ask for (how long it took, with which exit code) or what Codex needs to be given the same again
//! (which kind of call it was, of which server's tools), as an extension behind the record's entries.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::import::fields::{Repeated, is_nothing, left_of, storable, text};

/// The domain under which it is kept.
// Persisted: never rename or reuse.
pub(super) const DOMAIN: &str = "import.codex.rest";

/// Fields of items that entries tell, or that say nothing to anybody else.
const OF_ITEM: [&str; 19] = [
    "id",
    "role",
    "content",
    "summary",
    "encrypted_content",
    "call_id",
    "name",
    "arguments",
    "input",
    "output",
    "action",
    "tools",
    "result",
    "revised_prompt",
    "status",
    "metadata",
    "internal_chat_message_metadata_passthrough",
    "end_turn",
    "execution",
];

/// Settings of a turn that entries tell, or that each turn has anew.
const OF_TURN: [&str; 13] = [
    "model",
    "cwd",
    "effort",
    "reasoning_effort",
    "approval_policy",
    "sandbox_policy",
    "turn_id",
    "root_turn_id",
    "trace_id",
    "current_date",
    "timezone",
    "realtime_active",
    "disabled_plugin_ids",
];

/// Settings of a turn that are told again only when they have changed.
const REPEATED: [&str; 12] = [
    "summary",
    "personality",
    "collaboration_mode",
    "multi_agent_version",
    "permission_profile",
    "approvals_reviewer",
    "truncation_policy",
    "user_instructions",
    "developer_instructions",
    "final_output_json_schema",
    "network",
    "workspace_roots",
];

/// Fields of a finished turn that entries tell.
const OF_END: [&str; 8] =
    ["type", "turn_id", "root_turn_id", "last_agent_message", "started_at", "completed_at", "reason", "message"];

/// What the items of a command say too.
const OF_COMMAND: [&str; 8] =
    ["type", "turn_id", "process_id", "aggregated_output", "formatted_output", "stdout", "stderr", "source"];

/// Takes what is left of records.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rests(Repeated);

impl Rests {
    /// What is left of the settings of a turn.
    pub(super) fn of_turn(&mut self, mut settings: Value) -> Option<Value> {
        self.0.leave_out(&mut settings, &REPEATED);
        left_of(settings, &OF_TURN).map(storable)
    }
}

/// What is left of an item, besides what is read of it.
pub(super) fn of_item(item: &Value) -> Option<Value> {
    let is_left = |name: &str, value: &Value| match name {
        // The others can be told from what was called.
        "type" => value == "custom_tool_call",
        name => !OF_ITEM.contains(&name) && !is_nothing(value),
    };
    let fields = item.as_object()?.iter().filter(|(name, value)| is_left(name, value));
    let mut left: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    let blocks = (0..).zip(item.get("content").and_then(Value::as_array).into_iter().flatten());
    let blocks: Vec<Value> = blocks.filter_map(|(at, block)| of_block(at, block)).collect();
    if !blocks.is_empty() {
        left.insert("content".to_owned(), Value::Array(blocks));
    }
    (!left.is_empty()).then_some(storable(Value::Object(left)))
}

/// What a block says about its text or image.
fn of_block(at: usize, block: &Value) -> Option<Value> {
    const SAID: [&str; 3] = ["annotations", "detail", "logprobs"];
    let fields = block.as_object()?.iter();
    let left = fields.filter(|(name, value)| SAID.contains(&name.as_str()) && !is_nothing(value));
    let left: Map<String, Value> = left.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!left.is_empty()).then(|| json!({"block": at, "left": left}))
}

/// What is left of the event that ended a turn.
pub(super) fn of_end(event: Value) -> Option<Value> {
    left_of(event, &OF_END).map(storable)
}

/// What is left of the event that ended a command, or the call of a server's tool.
pub(super) fn of_command(event: Value) -> Option<Value> {
    left_of(event, &OF_COMMAND).map(storable)
}

/// Whether an event tells of a command or a patch that ended.
pub(super) fn is_command(kind: &str) -> bool {
    matches!(kind, "CommandExecution" | "exec_command_end" | "patch_apply_end")
}

/// What a compaction says that its history does not.
pub(super) fn of_compaction(payload: &Value) -> Option<Value> {
    let message = text(payload, "message").filter(|message| !message.is_empty())?;
    let history = payload.get("replacement_history").and_then(Value::as_array)?;
    let blocks = history.iter().filter_map(|item| item.get("content")?.as_array()).flatten();
    let is_said = blocks.filter_map(|block| text(block, "text")).any(|text| text.contains(message));
    (!is_said).then(|| json!({"message": message}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_item_is_left_what_its_entry_does_not_say() {
        let call = json!({"type": "function_call", "id": "fc", "name": "spawn", "namespace": "agents", "arguments": "{}", "call_id": "c"});
        assert_eq!(of_item(&call), Some(json!({"namespace": "agents"})));
        let custom = json!({"type": "custom_tool_call", "name": "apply_patch", "input": "x", "call_id": "c", "status": "completed"});
        assert_eq!(of_item(&custom), Some(json!({"type": "custom_tool_call"})));
        let block = json!({"type": "output_text", "text": "x", "annotations": [{"url": "u"}], "logprobs": []});
        let message = json!({"type": "message", "role": "assistant", "phase": "final_answer", "content": [block]});
        let left = json!({"phase": "final_answer", "content": [{"block": 0, "left": {"annotations": [{"url": "u"}]}}]});
        assert_eq!(of_item(&message), Some(left));
        assert_eq!(of_item(&json!({"type": "message", "role": "user", "content": [{"text": "x"}]})), None);
    }

    #[test]
    fn settings_are_left_when_they_change() {
        let mut rests = Rests::default();
        let turn =
            |summary: &str| json!({"turn_id": "t", "cwd": "/", "summary": summary, "user_instructions": "Be brief."});
        assert_eq!(rests.of_turn(turn("auto")), Some(json!({"summary": "auto", "user_instructions": "Be brief."})));
        assert_eq!(rests.of_turn(turn("auto")), None);
        assert_eq!(rests.of_turn(turn("none")), Some(json!({"summary": "none"})));
    }

    #[test]
    fn a_summary_that_no_item_says_is_left() {
        let item = json!({"type": "message", "content": [{"type": "input_text", "text": "Before: the sum"}]});
        let said = json!({"message": "the sum", "replacement_history": [item]});
        assert_eq!(of_compaction(&said), None);
        let opaque = json!({"type": "compaction", "encrypted_content": "g"});
        let unsaid = json!({"message": "the sum", "replacement_history": [opaque]});
        assert_eq!(of_compaction(&unsaid), Some(json!({"message": "the sum"})));
        assert_eq!(of_compaction(&json!({"message": "the sum"})), None);
    }
}
