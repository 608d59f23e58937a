//! What events tell: which user messages were typed, and nothing else that the items do not say.

use serde_json::Value;
use store_core::Part;

use super::item;
use crate::import::fields::{filled, text};

/// Whether the message of an event was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Yes,
    No,
}

/// What a record says of a user message, if it is the event of one.
pub(super) fn user_event(value: &Value) -> Option<Typed> {
    let payload = value.get("payload").filter(|_| text(value, "type") == Some("event_msg"))?;
    let is_user = text(payload, "type") == Some("user_message")
        || payload.pointer("/item/type").and_then(Value::as_str) == Some("UserMessage");
    is_user.then(|| if is_typed(payload) { Typed::Yes } else { Typed::No })
}

/// Some versions told of injected messages too, and said so.
pub(super) fn is_typed(payload: &Value) -> bool {
    text(payload, "kind").is_none_or(|kind| kind == "plain")
}

/// The parts of a record that is a user item.
pub(super) fn user_item(value: &Value) -> Option<Vec<Part>> {
    let payload = value.get("payload").filter(|_| text(value, "type") == Some("response_item"))?;
    let is_user = text(payload, "type") == Some("message") && text(payload, "role") == Some("user");
    is_user.then(|| item::parts(payload.get("content").cloned().unwrap_or_default()))
}

/// What the event of a user message says.
pub(super) fn event_parts(payload: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(images) = payload.get("images").and_then(Value::as_array) {
        parts.extend(images.iter().filter_map(Value::as_str).map(item::image));
    }
    if let Some(content) = payload.get("content").cloned() {
        parts.extend(item::parts(content));
    }
    if let Some(message) = filled(payload, "message") {
        parts.push(Part::text(message));
    }
    parts
}

pub(super) fn said(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect()
}

/// Events that repeat what items say, or that tell of something under way.
pub(super) fn is_noise(kind: &str) -> bool {
    const REPEATED: [&str; 30] = [
        "agent_message",
        "agent_reasoning",
        "agent_reasoning_raw_content",
        "agent_reasoning_section_break",
        "context_compacted",
        "exec_command_begin",
        "exec_command_end",
        "exec_approval_request",
        "apply_patch_approval_request",
        "patch_apply_begin",
        "patch_apply_end",
        "mcp_tool_call_begin",
        "mcp_tool_call_end",
        "mcp_startup_update",
        "mcp_startup_complete",
        "mcp_list_tools_response",
        "list_custom_prompts_response",
        "list_skills_response",
        "get_history_entry_response",
        "web_search_begin",
        "web_search_end",
        "image_generation_begin",
        "image_generation_end",
        "view_image_tool_call",
        "turn_diff",
        "item_started",
        "raw_response_item",
        "session_configured",
        "background_event",
        "shutdown_complete",
    ];
    REPEATED.contains(&kind) || kind.ends_with("_delta")
}
