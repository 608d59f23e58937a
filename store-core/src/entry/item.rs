//! What a conversation is made of: messages, reasoning, tool calls and their results, and the parts of these.
//!
//! The same items stand in entries, in a compaction's history and in what a model is given.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person, or what stands in for one.
    User,
    /// The model.
    Assistant,
    /// The program that runs the model.
    System,
    /// The program's developer, where a provider distinguishes that from the system.
    Developer,
}

/// A reference to bytes that are kept beside the log, by content: `{"$blob":"<sha256>","bytes":n}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// SHA-256 of the bytes, 64 lower-case hex digits.
    #[serde(rename = "$blob")]
    pub sha256: String,
    /// How many bytes they are.
    pub bytes: u64,
}

/// Text that stands in the entry, or bytes that stand beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// In the entry itself.
    Inline(String),
    /// Beside the log, by content address.
    Blob(BlobRef),
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Inline(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Inline(text)
    }
}

impl Content {
    /// The text, where it stands in the entry.
    pub fn as_inline(&self) -> Option<&str> {
        match self {
            Self::Inline(text) => Some(text),
            Self::Blob(_) => None,
        }
    }
}

/// One piece of a message or of a tool's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", remote = "Self")]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: Content,
    },
    /// A picture.
    Image {
        /// Its media type, such as `image/png`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// Base64, or a blob of the bytes that the base64 text is made of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Content>,
        /// Where it is to be found, if the bytes are not here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// Any other file.
    File {
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// Text, base64, or a blob.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Content>,
        /// Where it is to be found, if the bytes are not here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// A piece that this version does not know.
    #[serde(untagged)]
    Other(Value),
}

impl Part {
    /// A text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: Content::Inline(text.into()) }
    }

    /// The text of a text part that stands in the entry.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => text.as_inline(),
            _ => None,
        }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, to)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(Self::from_value)
    }
}

impl Part {
    /// The part that a value is. Text, which most parts are, is moved out of it.
    fn from_value(mut value: Value) -> Self {
        if let Value::Object(fields) = &mut value
            && is_text(fields, "type", "text")
            && let Some(Value::String(text)) = fields.get_mut("text")
        {
            return Self::Text { text: Content::Inline(std::mem::take(text)) };
        }
        Self::deserialize(&value).unwrap_or(Self::Other(value))
    }
}

/// One item of a conversation, as a model is given it or gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", remote = "Self")]
pub enum Item {
    /// Something said.
    Message {
        /// By whom.
        role: Role,
        /// What.
        parts: Vec<Part>,
    },
    /// What the model thought, as far as the provider shows it.
    Reasoning {
        /// The readable text; empty where only an encrypted form exists.
        #[serde(default)]
        text: String,
        /// The provider's signature of the text, which only that provider can check.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        /// The provider's encrypted form, which only that provider can read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encrypted: Option<String>,
    },
    /// A call of a tool.
    ToolCall {
        /// Pairs the call with its result.
        call_id: String,
        /// The tool.
        name: String,
        /// Its arguments, as JSON; a string where the model gave no valid JSON.
        arguments: Value,
    },
    /// What a tool answered.
    ToolResult {
        /// The call that is answered.
        call_id: String,
        /// The answer.
        parts: Vec<Part>,
        /// Whether the tool says that it failed.
        #[serde(default)]
        is_error: bool,
    },
    /// An item that this version does not know.
    #[serde(untagged)]
    Other(Value),
}

impl Item {
    /// A message of one text part.
    pub fn message(role: Role, text: impl Into<String>) -> Self {
        Self::Message { role, parts: vec![Part::text(text)] }
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, to)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(Self::from_value)
    }
}

impl Item {
    /// The item that a value is. What is as it usually is is moved out of it.
    fn from_value(mut value: Value) -> Self {
        if let Some(item) = value.as_object_mut().and_then(Self::take_usual) {
            return item;
        }
        Self::deserialize(&value).unwrap_or(Self::Other(value))
    }

    /// Takes an item out of its fields; `None` and nothing taken if they are not the usual ones.
    fn take_usual(fields: &mut Map<String, Value>) -> Option<Self> {
        match fields.get("type")?.as_str()? {
            "message" => {
                let role = Role::deserialize(fields.get("role")?).ok()?;
                Some(Self::Message { role, parts: take_parts(fields)? })
            }
            "tool_call" if fields.get("call_id")?.is_string() && fields.get("name")?.is_string() => {
                let arguments = fields.get_mut("arguments")?.take();
                Some(Self::ToolCall {
                    call_id: take_string(fields, "call_id"),
                    name: take_string(fields, "name"),
                    arguments,
                })
            }
            "tool_result" if fields.get("call_id")?.is_string() => {
                let is_error = fields.get("is_error").map_or(Some(false), Value::as_bool)?;
                let parts = take_parts(fields)?;
                Some(Self::ToolResult { call_id: take_string(fields, "call_id"), parts, is_error })
            }
            _ => None,
        }
    }
}

fn is_text(fields: &Map<String, Value>, name: &str, text: &str) -> bool {
    fields.get(name).and_then(Value::as_str) == Some(text)
}

fn take_parts(fields: &mut Map<String, Value>) -> Option<Vec<Part>> {
    let parts = fields.get_mut("parts")?.as_array_mut()?;
    Some(std::mem::take(parts).into_iter().map(Part::from_value).collect())
}

/// A string that is there.
fn take_string(fields: &mut Map<String, Value>, name: &str) -> String {
    match fields.get_mut(name) {
        Some(Value::String(text)) => std::mem::take(text),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What serde alone makes of a value.
    fn derived(value: &Value) -> Item {
        Item::deserialize(value).unwrap()
    }

    #[test]
    fn what_is_taken_out_of_a_value_is_what_serde_makes_of_it() {
        let parts = json!([
            {"type": "text", "text": "a"}, {"text": "b", "type": "text", "more": 1}, {"type": "text", "text": 1},
            {"type": "text", "text": {"$blob": "00", "bytes": 7}}, {"type": "text"}, {"type": "image", "url": "u"},
            {"type": "audio", "text": "x"}, "bare", null, {"type": "file", "name": null},
        ]);
        let values = [
            json!({"type": "message", "role": "user", "parts": parts}),
            json!({"parts": [], "role": "developer", "type": "message", "more": 1}),
            json!({"type": "message", "role": "nobody", "parts": []}),
            json!({"type": "message", "role": "user", "parts": "x"}),
            json!({"type": "message", "role": "user"}),
            json!({"type": "tool_call", "call_id": "c", "name": "n", "arguments": {"b": 1, "a": [2]}}),
            json!({"type": "tool_call", "call_id": "c", "name": "n", "arguments": null}),
            json!({"type": "tool_call", "call_id": "c", "name": "n"}),
            json!({"type": "tool_call", "call_id": 1, "name": "n", "arguments": {}}),
            json!({"type": "tool_result", "call_id": "c", "parts": parts}),
            json!({"type": "tool_result", "call_id": "c", "parts": [], "is_error": true}),
            json!({"type": "tool_result", "call_id": "c", "parts": [], "is_error": null}),
            json!({"type": "reasoning", "signature": "s"}),
            json!({"type": "reasoning", "text": "t", "encrypted": null}),
            json!({"type": "from_the_future", "x": 1}),
            json!([1]),
        ];
        for value in values {
            assert_eq!(Item::from_value(value.clone()), derived(&value), "{value}");
            assert_eq!(serde_json::from_str::<Item>(&value.to_string()).unwrap(), derived(&value), "{value}");
        }
    }
}
