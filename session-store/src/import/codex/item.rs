//! What a `response_item` says.

use serde::Deserialize;
use serde_json::{Value, json};
use store_core::{Content, Item, Part, Role};

use crate::import::fields::{filled, owned, parsed, storable, take, text};

/// What a user message is, as far as the item itself tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A person typed it.
    Typed,
    /// The program put it in.
    Injected,
    /// The summary that a compaction goes on with.
    Summary,
    /// The item does not tell.
    Open,
}

/// A `response_item`.
#[derive(Debug)]
pub(super) enum Response {
    /// A message in the user's name.
    User {
        /// What it says.
        parts: Vec<Part>,
        /// Whose it is.
        origin: Origin,
    },
    /// A message or a thought of the model.
    Said(Item),
    /// What the program or its developer put in.
    Context(Item),
    /// A call of a tool.
    Call(Item),
    /// A call that the provider itself answered, with the answer.
    Answered {
        /// The call.
        call: Item,
        /// The answer.
        result: Item,
    },
    /// What a tool answered.
    Result(Item),
    /// Context that only Codex can read.
    Opaque(Item),
    /// Nothing that can be kept as an item, with what was read.
    Unknown(Value),
}

impl Response {
    /// The item as the model is given it.
    pub(super) fn into_item(self) -> Option<Item> {
        match self {
            Self::User { parts, .. } => Some(Item::Message { role: Role::User, parts }),
            Self::Said(item) | Self::Context(item) | Self::Call(item) | Self::Result(item) | Self::Opaque(item) => {
                Some(item)
            }
            Self::Answered { result, .. } => Some(result),
            Self::Unknown(_) => None,
        }
    }
}

/// Reads a response item. `id` stands in for the id of a call that has none.
pub(super) fn read(mut payload: Value, id: &str) -> Response {
    match text(&payload, "type").unwrap_or_default() {
        "message" => message(payload),
        "reasoning" => reasoning(&mut payload),
        "function_call" => Response::Call(Item::ToolCall {
            call_id: call_id(&payload, id),
            name: tool_name(&payload),
            arguments: match take(&mut payload, "arguments") {
                Value::String(arguments) => parsed(&arguments),
                arguments => storable(arguments),
            },
        }),
        "custom_tool_call" => Response::Call(Item::ToolCall {
            call_id: call_id(&payload, id),
            name: tool_name(&payload),
            arguments: storable(take(&mut payload, "input")),
        }),
        "local_shell_call" => Response::Call(Item::ToolCall {
            call_id: call_id(&payload, id),
            name: "local_shell".into(),
            arguments: storable(take(&mut payload, "action")),
        }),
        "tool_search_call" if filled(&payload, "call_id").is_some() => Response::Call(Item::ToolCall {
            call_id: call_id(&payload, id),
            name: "tool_search".into(),
            arguments: storable(take(&mut payload, "arguments")),
        }),
        "function_call_output" | "custom_tool_call_output" => {
            let call_id = call_id(&payload, id);
            let (parts, is_error) = output(take(&mut payload, "output"));
            Response::Result(Item::ToolResult { call_id, parts, is_error })
        }
        "tool_search_output" if filled(&payload, "call_id").is_some() => Response::Result(Item::ToolResult {
            call_id: call_id(&payload, id),
            parts: vec![Part::text(take(&mut payload, "tools").to_string())],
            is_error: false,
        }),
        "web_search_call" => web_search(payload, id),
        "image_generation_call" => image_generation(payload, id),
        "compaction" | "compaction_summary" | "context_compaction" => Response::Opaque(Item::Other(storable(payload))),
        _ => Response::Unknown(payload),
    }
}

fn call_id(payload: &Value, id: &str) -> String {
    owned(payload, "call_id").or_else(|| owned(payload, "id")).unwrap_or_else(|| id.to_owned())
}

/// A tool of a server is named behind its namespace.
fn tool_name(payload: &Value) -> String {
    let name = text(payload, "name").unwrap_or_default();
    match filled(payload, "namespace") {
        Some(space) if !name.starts_with(space) && space.ends_with('_') => format!("{space}{name}"),
        Some(space) if !name.starts_with(space) => format!("{space}.{name}"),
        _ => name.to_owned(),
    }
}

fn message(mut payload: Value) -> Response {
    let role = text(&payload, "role").unwrap_or_default().to_owned();
    let parts = parts(take(&mut payload, "content"));
    match role.as_str() {
        "user" => {
            let origin = origin(&payload);
            Response::User { parts, origin }
        }
        "assistant" => Response::Said(Item::Message { role: Role::Assistant, parts }),
        "developer" => Response::Context(Item::Message { role: Role::Developer, parts }),
        "system" => Response::Context(Item::Message { role: Role::System, parts }),
        _ => Response::Context(Item::Message { role: Role::User, parts }),
    }
}

/// Newer versions say of each part of a message what it is.
fn origin(payload: &Value) -> Origin {
    let kinds = payload
        .pointer("/internal_chat_message_metadata_passthrough/content_item_kinds")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "unknown").collect();
    if kinds.is_empty() {
        Origin::Open
    } else if kinds.iter().any(|kind| kind.starts_with("user.")) {
        Origin::Typed
    } else if kinds.contains(&"compaction.summary") {
        Origin::Summary
    } else {
        Origin::Injected
    }
}

/// Whether a text is of those that older versions put in in the user's name.
pub(super) fn looks_injected(parts: &[Part]) -> bool {
    const BEGINNINGS: [&str; 10] = [
        "<environment_context>",
        "<user_instructions>",
        "<INSTRUCTIONS>",
        "# AGENTS.md instructions",
        "<turn_aborted>",
        "<subagent_notification>",
        "<skill>",
        "<permissions instructions>",
        "<collaboration_mode>",
        "<user_action>",
    ];
    let first = parts.iter().find_map(Part::as_text).unwrap_or_default().trim_start();
    BEGINNINGS.iter().any(|beginning| first.starts_with(beginning))
}

/// Whether a text is a command that a person ran with `!`, which stands in the context with what it put out.
pub(super) fn is_shell_command(parts: &[Part]) -> bool {
    parts.iter().find_map(Part::as_text).is_some_and(|text| text.trim_start().starts_with("<user_shell_command>"))
}

fn reasoning(payload: &mut Value) -> Response {
    let mut texts = Vec::new();
    for list in ["summary", "content"] {
        if let Value::Array(blocks) = take(payload, list) {
            texts.extend(blocks.iter().filter_map(|block| owned(block, "text")));
        }
    }
    let encrypted = owned(payload, "encrypted_content");
    Response::Said(Item::Reasoning { text: texts.join("\n\n"), signature: None, encrypted })
}

/// The provider searched; what it found went to the model and is not recorded.
fn web_search(mut payload: Value, id: &str) -> Response {
    let call_id = call_id(&payload, id);
    let status = owned(&payload, "status").unwrap_or_else(|| "completed".into());
    let is_error = status == "failed";
    Response::Answered {
        call: Item::ToolCall {
            call_id: call_id.clone(),
            name: "web_search".into(),
            arguments: storable(take(&mut payload, "action")),
        },
        result: Item::ToolResult { call_id, parts: vec![Part::text(status)], is_error },
    }
}

fn image_generation(mut payload: Value, id: &str) -> Response {
    let call_id = call_id(&payload, id);
    let prompt = take(&mut payload, "revised_prompt");
    let result = match take(&mut payload, "result") {
        Value::String(data) if !data.is_empty() => {
            Part::Image { media_type: Some("image/png".into()), data: Some(Content::Inline(data)), url: None }
        }
        _ => Part::text(text(&payload, "status").unwrap_or("completed")),
    };
    let is_error = text(&payload, "status") == Some("failed");
    Response::Answered {
        call: Item::ToolCall {
            call_id: call_id.clone(),
            name: "image_generation".into(),
            arguments: json!({ "prompt": prompt }),
        },
        result: Item::ToolResult { call_id, parts: vec![result], is_error },
    }
}

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
        "input_text" | "output_text" | "text" | "Text" => match take(&mut block, "text") {
            Value::String(text) => Part::text(text),
            _ => Part::text(""),
        },
        "refusal" => Part::text(text(&block, "refusal").unwrap_or_default()),
        "input_image" => {
            let url = block.pointer("/image_url/url").or_else(|| block.get("image_url")).and_then(Value::as_str);
            match url.map(image) {
                Some(image) => image,
                None => Part::Other(storable(block)),
            }
        }
        "input_file" => Part::File {
            name: owned(&block, "filename"),
            media_type: None,
            data: owned(&block, "file_data").map(Content::Inline),
            url: owned(&block, "file_url"),
        },
        _ => Part::Other(storable(block)),
    }
}

/// An image by its address, which may hold the image itself.
pub(super) fn image(url: &str) -> Part {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media_type, data)) => Part::Image {
            media_type: Some(media_type.to_owned()).filter(|media_type| !media_type.is_empty()),
            data: Some(Content::Inline(data.to_owned())),
            url: None,
        },
        None => Part::Image { media_type: None, data: None, url: Some(url.to_owned()) },
    }
}

/// A tool's output: a text, a list of blocks, or an object around either that says whether it went well.
fn output(output: Value) -> (Vec<Part>, bool) {
    match output {
        Value::Object(mut object) if object.contains_key("content") => {
            let failed = object.get("success").and_then(Value::as_bool) == Some(false);
            (parts(object.remove("content").unwrap_or_default()), failed)
        }
        Value::String(text) => {
            let failed = says_failed(&text);
            (vec![Part::text(text)], failed)
        }
        other => (parts(other), false),
    }
}

/// Whether the text of an output says that the tool failed: each version puts the exit code elsewhere.
fn says_failed(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Wrapped {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        exit_code: i64,
    }
    if text.starts_with("unsupported call: ") {
        return true;
    }
    if text.starts_with('{') {
        return serde_json::from_str::<Wrapped>(text).is_ok_and(|wrapped| wrapped.metadata.exit_code != 0);
    }
    text.lines()
        .take_while(|line| *line != "Output:")
        .take(6)
        .find_map(|line| line.strip_prefix("Exit code: ").or_else(|| line.strip_prefix("Process exited with code ")))
        .is_some_and(|code| code.trim() != "0")
}
