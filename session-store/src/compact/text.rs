//! A conversation as plain text, for a program that is to summarise it.

use std::fmt::Write;

use serde_json::Value;
use store_core::{Content, Item, Part, Role};

/// The items one below the other, each under a line that says what it is.
pub(super) fn of_items(items: &[Item]) -> String {
    let mut text = String::new();
    for item in items {
        match item {
            Item::Message { role, parts } => push(&mut text, role_name(*role), &of_parts(parts)),
            // What was thought led to what was said.
            Item::Reasoning { .. } => {}
            Item::ToolCall { call_id, name, arguments } => {
                push(&mut text, &format!("call {call_id} of {name}"), &of_value(arguments));
            }
            Item::ToolResult { call_id, parts, is_error } => {
                let head = if *is_error { "failed result" } else { "result" };
                push(&mut text, &format!("{head} of {call_id}"), &of_parts(parts));
            }
            Item::Other(value) => push(&mut text, "other", &of_value(value)),
        }
    }
    text
}

fn push(text: &mut String, head: &str, body: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{gap}[{head}]\n{}", body.trim_end());
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System | Role::Developer => "instructions",
    }
}

fn of_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn of_parts(parts: &[Part]) -> String {
    parts.iter().map(of_part).collect::<Vec<_>>().join("\n")
}

fn of_part(part: &Part) -> String {
    match part {
        Part::Text { text: Content::Inline(text) } => text.clone(),
        Part::Text { text: Content::Blob(blob) } => format!("(a text of {} bytes)", blob.bytes),
        Part::Image { media_type, .. } => format!("(a picture{})", of_type(media_type.as_deref())),
        Part::File { name, media_type, .. } => {
            let name = name.as_deref().map(|name| format!(" called {name}")).unwrap_or_default();
            format!("(a file{name}{})", of_type(media_type.as_deref()))
        }
        Part::Other(value) => of_value(value),
    }
}

fn of_type(media_type: Option<&str>) -> String {
    media_type.map(|media_type| format!(", {media_type}")).unwrap_or_default()
}
