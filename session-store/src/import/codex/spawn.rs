//! Which call of a conversation started a sub-agent. The sub-agent's own file names the conversation alone.

use serde_json::Value;
use store_core::{Item, LogEntry, Part};

use super::place::DOMAIN;
use crate::import::fields::{owned, text};

/// The call that started the thread `child`, by the entries of the conversation that made it.
pub(in crate::import) fn spawning_call<'a>(
    entries: impl IntoIterator<Item = &'a LogEntry>,
    child: &str,
) -> Option<String> {
    entries.into_iter().find_map(|entry| match entry {
        LogEntry::Extension(extension) if extension.domain == DOMAIN => told(&extension.payload, child),
        LogEntry::ToolResult(entry) => answered(&entry.item, child),
        _ => None,
    })
}

/// Newer versions tell of the call in an event of its own.
fn told(record: &Value, child: &str) -> Option<String> {
    let item = record.pointer("/payload/item")?;
    let started = item.get("receiver_thread_ids")?.as_array()?;
    let is_spawn = text(item, "tool") == Some("spawn_agent");
    (is_spawn && started.iter().any(|thread| thread == child)).then(|| owned(item, "id"))?
}

/// The call is answered with the thread's id.
fn answered(item: &Item, child: &str) -> Option<String> {
    let Item::ToolResult { call_id, parts, .. } = item else { return None };
    let answer = parts.iter().find_map(Part::as_text).filter(|answer| answer.contains(child))?;
    let answer: Value = serde_json::from_str(answer).ok()?;
    (text(&answer, "agent_id") == Some(child)).then(|| call_id.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store_core::{Extension, ItemEntry};

    use super::*;

    fn result(call_id: &str, answer: &str) -> LogEntry {
        let item = Item::ToolResult { call_id: call_id.into(), parts: vec![Part::text(answer)], is_error: false };
        LogEntry::ToolResult(ItemEntry { ts: 1, item })
    }

    #[test]
    fn the_call_is_found_by_its_event_or_by_its_answer() {
        let event = |tool: &str, id: &str| {
            let item = json!({"type": "CollabAgentToolCall", "id": id, "tool": tool, "receiver_thread_ids": ["child"]});
            let payload = json!({"type": "event_msg", "payload": {"type": "item_completed", "item": item}});
            LogEntry::Extension(Extension { ts: 1, domain: DOMAIN.into(), payload })
        };
        let entries = [event("send_input", "c1"), event("spawn_agent", "c2")];
        assert_eq!(spawning_call(&entries, "child").as_deref(), Some("c2"));
        assert_eq!(spawning_call(&entries, "other"), None);
        let entries = [result("c3", "the child is fine"), result("c4", r#"{"agent_id":"child","nickname":"D"}"#)];
        assert_eq!(spawning_call(&entries, "child").as_deref(), Some("c4"));
    }
}
