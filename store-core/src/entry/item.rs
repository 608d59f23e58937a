//! What a conversation is made of: messages, reasoning, tool calls and their results, and the parts of these.
//!
//! The same items stand in entries, in a compaction's history and in what a model is given.

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
#[serde(tag = "type", rename_all = "snake_case")]
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

/// One item of a conversation, as a model is given it or gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
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
