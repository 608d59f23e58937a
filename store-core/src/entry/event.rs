//! What the entries behind a segment's first one hold, a type each.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::item::{Item, Part};
use super::start::SessionConfig;
use crate::id::TimestampMs;

/// A person's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserInput {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// What was typed or attached.
    pub content: Vec<Part>,
}

/// An item that the model produced, or that a tool answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemEntry {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// The item.
    pub item: Item,
}

/// An item that the program put into the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemItem {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// The item.
    pub item: Item,
    /// Put in for the model only (environment, reminders, command output): part of the context, not of what a person reads.
    #[serde(default)]
    pub injected: bool,
}

/// The end of a turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnEnd {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// How many turns the branch has now, counted from its root.
    pub turn_count: u64,
}

/// The end of a run with a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunCompleted {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// What the runtime wants to keep of the result.
    #[serde(default)]
    pub result: Value,
    /// Whether it was stopped before its end.
    #[serde(default)]
    pub interrupted: bool,
}

/// The end of a run without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunErrored {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// What went wrong.
    pub message: String,
    /// Whether a person or a signal stopped it.
    #[serde(default)]
    pub interrupted: bool,
}

/// Settings changed; what is not named stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// The changed settings.
    pub config: SessionConfig,
}

/// What one model request used. Token counts are those of the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LlmUsage {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// The provider's id of the request or response: what makes a repeat recognisable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many items the model was given, where it is known.
    #[serde(default)]
    pub history_len: u64,
    /// All input tokens, cache reads and writes included.
    #[serde(default)]
    pub input_total_tokens: u64,
    /// Input tokens that were read from the provider's cache.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Input tokens that were written to the provider's cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// Output tokens, reasoning included.
    #[serde(default)]
    pub output_tokens: u64,
    /// Output tokens that were reasoning, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// The cost in US dollars that the agent reported, as a decimal text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
}

/// Anything else that somebody wants to keep in the log, named by a domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extension {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// Whose it is, such as `import.claude` or `store.lost`.
    pub domain: String,
    /// What it is.
    pub payload: Value,
}

/// An entry of a kind, or in a shape, that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEntry {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// Its kind.
    pub kind: String,
    /// The whole entry, byte for byte.
    pub text: String,
}
