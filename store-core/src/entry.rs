//! Entries: the state transitions a log is made of, and the items of a conversation.
//!
//! A conversation's state is the fold of its entries and nothing else. Every entry is one JSON object with
//! `kind` and `ts`. A kind that this version does not know, and a known kind in a shape that it does not know,
//! is kept as [`LogEntry::Unknown`] with its text byte for byte, so that an older program never loses what a
//! newer one wrote.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::id::{SegmentId, Seq, SessionId, TimestampMs};
use crate::json;

/// The point that a segment continues. Everything up to and including `seq` is read there; nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentOrigin {
    /// The session of the continued segment.
    pub session_id: SessionId,
    /// The continued segment.
    pub segment_id: SegmentId,
    /// The last entry that is continued, inclusive.
    pub seq: Seq,
    /// How many turns the branch has up to there, counted from its root.
    pub at_turn_index: u64,
}

/// Whether a segment is a conversation of a person or one that a tool call started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A conversation that a person has.
    #[default]
    Main,
    /// A conversation that another one started with a tool call.
    Subagent,
}

/// Where a segment comes from. All fields are optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentMeta {
    /// The agent that wrote the conversation: `claude`, `codex`, `pi`, or a runtime's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent's own id of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_id: Option<String>,
    /// Main or sub-agent.
    pub kind: SessionKind,
    /// The session whose tool call started this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<SessionId>,
    /// The tool call that started this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_call_id: Option<String>,
    /// The file it was imported from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What else the writer wanted to keep.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The settings under which a conversation runs. All fields are optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionConfig {
    /// The model's name as the provider knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The working folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The version-control branch checked out there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The reasoning level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// What else the writer wanted to keep.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl SessionConfig {
    /// The settings after a change: what `change` names replaces what stood here, the rest stays.
    pub fn apply(&mut self, change: &Self) {
        let fields = [
            (&mut self.model, &change.model),
            (&mut self.provider, &change.provider),
            (&mut self.cwd, &change.cwd),
            (&mut self.branch, &change.branch),
            (&mut self.thinking, &change.thinking),
        ];
        for (old, new) in fields {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        for (name, value) in &change.other {
            self.other.insert(name.clone(), value.clone());
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// A reference to entries of the segment's own lineage, in place of a second copy of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryRef {
    /// The segment that holds the entries.
    pub segment_id: SegmentId,
    /// The first entry, inclusive.
    pub from: Seq,
    /// The last entry, inclusive.
    pub through: Seq,
}

/// What a segment's history starts with: an item, or a reference to entries that hold items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryItem {
    /// Entries of the segment's lineage.
    Reference(HistoryRef),
    /// An item of its own, such as a compaction's summary.
    Item(Item),
}

/// The first entry of every segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentStart {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// The session that the segment belongs to.
    pub session_id: SessionId,
    /// The system prompt, if the runtime keeps it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The settings at the start.
    #[serde(default, skip_serializing_if = "SessionConfig::is_empty")]
    pub config: SessionConfig,
    /// What the model is given before the segment's own entries. Empty with `forked_from`: the prefix is read there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryItem>,
    /// The point that this segment continues with the whole history before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<SegmentOrigin>,
    /// The point that this segment continues with `history` in place of what came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compacted_from: Option<SegmentOrigin>,
    /// Where it comes from.
    #[serde(default)]
    pub meta: SegmentMeta,
}

impl SegmentStart {
    /// A start without a prompt, settings, history or origin.
    pub fn new(session_id: SessionId, ts: TimestampMs) -> Self {
        Self {
            ts,
            session_id,
            system_prompt: None,
            config: SessionConfig::default(),
            history: Vec::new(),
            forked_from: None,
            compacted_from: None,
            meta: SegmentMeta::default(),
        }
    }

    /// The point that is continued, by fork or by compaction.
    pub const fn origin(&self) -> Option<&SegmentOrigin> {
        match (&self.forked_from, &self.compacted_from) {
            (Some(origin), _) | (None, Some(origin)) => Some(origin),
            (None, None) => None,
        }
    }
}

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

/// One state transition of a conversation: one line of a log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LogEntry {
    /// The first entry of a segment.
    SegmentStart(Box<SegmentStart>),
    /// A person's input.
    UserInput(UserInput),
    /// An item of the model: message, reasoning, tool call.
    AssistantItem(ItemEntry),
    /// What a tool answered.
    ToolResult(ItemEntry),
    /// An item that the program put in.
    SystemItem(SystemItem),
    /// The end of a turn.
    TurnEnd(TurnEnd),
    /// The end of a run with a result.
    RunCompleted(RunCompleted),
    /// The end of a run without one.
    RunErrored(RunErrored),
    /// Settings changed.
    ConfigChanged(ConfigChanged),
    /// What a model request used.
    LlmUsage(LlmUsage),
    /// Anything else.
    Extension(Extension),
    /// An entry that this version does not know, byte for byte.
    Unknown(UnknownEntry),
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum KnownRef<'a> {
    SegmentStart(&'a SegmentStart),
    UserInput(&'a UserInput),
    AssistantItem(&'a ItemEntry),
    ToolResult(&'a ItemEntry),
    SystemItem(&'a SystemItem),
    TurnEnd(&'a TurnEnd),
    RunCompleted(&'a RunCompleted),
    RunErrored(&'a RunErrored),
    ConfigChanged(&'a ConfigChanged),
    LlmUsage(&'a LlmUsage),
    Extension(&'a Extension),
}

/// What every entry has, read without the rest.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    ts: TimestampMs,
}

impl LogEntry {
    /// The entry that a text holds.
    ///
    /// A kind or shape that this version does not know becomes [`LogEntry::Unknown`].
    ///
    /// # Errors
    /// The text is not one JSON object with a `kind` and a `ts`, or it is nested deeper than 128.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        let head: Head<'_> = json::from_str(text)?;
        Ok(match Self::known_from_text(&head.kind, text) {
            Some(Ok(entry)) => entry,
            Some(Err(_)) | None => {
                Self::Unknown(UnknownEntry { ts: head.ts, kind: head.kind.into_owned(), text: text.to_owned() })
            }
        })
    }

    /// The entry of a known kind that the text holds; `None` for an unknown kind.
    pub(crate) fn known_from_text(kind: &str, text: &str) -> Option<Result<Self, serde_json::Error>> {
        Some(match kind {
            "segment_start" => json::from_str(text).map(|start| Self::SegmentStart(Box::new(start))),
            "user_input" => json::from_str(text).map(Self::UserInput),
            "assistant_item" => json::from_str(text).map(Self::AssistantItem),
            "tool_result" => json::from_str(text).map(Self::ToolResult),
            "system_item" => json::from_str(text).map(Self::SystemItem),
            "turn_end" => json::from_str(text).map(Self::TurnEnd),
            "run_completed" => json::from_str(text).map(Self::RunCompleted),
            "run_errored" => json::from_str(text).map(Self::RunErrored),
            "config_changed" => json::from_str(text).map(Self::ConfigChanged),
            "llm_usage" => json::from_str(text).map(Self::LlmUsage),
            "extension" => json::from_str(text).map(Self::Extension),
            _ => return None,
        })
    }

    /// The entry's own text: one JSON object on one line.
    ///
    /// # Errors
    /// A value that JSON has no form for.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        match self.known() {
            Ok(known) => serde_json::to_string(&known),
            Err(unknown) => Ok(unknown.text.clone()),
        }
    }

    const fn known(&self) -> Result<KnownRef<'_>, &UnknownEntry> {
        Ok(match self {
            Self::SegmentStart(entry) => KnownRef::SegmentStart(entry),
            Self::UserInput(entry) => KnownRef::UserInput(entry),
            Self::AssistantItem(entry) => KnownRef::AssistantItem(entry),
            Self::ToolResult(entry) => KnownRef::ToolResult(entry),
            Self::SystemItem(entry) => KnownRef::SystemItem(entry),
            Self::TurnEnd(entry) => KnownRef::TurnEnd(entry),
            Self::RunCompleted(entry) => KnownRef::RunCompleted(entry),
            Self::RunErrored(entry) => KnownRef::RunErrored(entry),
            Self::ConfigChanged(entry) => KnownRef::ConfigChanged(entry),
            Self::LlmUsage(entry) => KnownRef::LlmUsage(entry),
            Self::Extension(entry) => KnownRef::Extension(entry),
            Self::Unknown(entry) => return Err(entry),
        })
    }

    /// The entry's kind, in snake_case as it is stored.
    pub fn kind(&self) -> &str {
        match self {
            Self::SegmentStart(_) => "segment_start",
            Self::UserInput(_) => "user_input",
            Self::AssistantItem(_) => "assistant_item",
            Self::ToolResult(_) => "tool_result",
            Self::SystemItem(_) => "system_item",
            Self::TurnEnd(_) => "turn_end",
            Self::RunCompleted(_) => "run_completed",
            Self::RunErrored(_) => "run_errored",
            Self::ConfigChanged(_) => "config_changed",
            Self::LlmUsage(_) => "llm_usage",
            Self::Extension(_) => "extension",
            Self::Unknown(entry) => &entry.kind,
        }
    }

    /// When the entry happened, in milliseconds since the epoch. Never an order: that is what [`Seq`] is for.
    pub const fn ts(&self) -> TimestampMs {
        match self {
            Self::SegmentStart(entry) => entry.ts,
            Self::UserInput(entry) => entry.ts,
            Self::AssistantItem(entry) | Self::ToolResult(entry) => entry.ts,
            Self::SystemItem(entry) => entry.ts,
            Self::TurnEnd(entry) => entry.ts,
            Self::RunCompleted(entry) => entry.ts,
            Self::RunErrored(entry) => entry.ts,
            Self::ConfigChanged(entry) => entry.ts,
            Self::LlmUsage(entry) => entry.ts,
            Self::Extension(entry) => entry.ts,
            Self::Unknown(entry) => entry.ts,
        }
    }
}

impl Serialize for LogEntry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.known() {
            Ok(known) => known.serialize(to),
            Err(unknown) => RawValue::from_string(unknown.text.clone()).map_err(S::Error::custom)?.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for LogEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        Self::from_text(raw.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_comes_back_byte_for_byte() {
        let text = r#"{"kind":"from_the_future","ts":7,"x":1e400,"y":{"b":1,"a":2}}"#;
        let entry = LogEntry::from_text(text).unwrap();
        assert_eq!(entry.kind(), "from_the_future");
        assert_eq!(entry.to_text().unwrap(), text);
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
    }

    #[test]
    fn a_known_kind_in_an_unknown_shape_is_kept_as_it_is() {
        let text = r#"{"kind":"turn_end","ts":7,"turn_count":"many"}"#;
        let entry = LogEntry::from_text(text).unwrap();
        assert!(matches!(&entry, LogEntry::Unknown(unknown) if unknown.text == text), "{entry:?}");
    }

    #[test]
    fn every_kind_has_one_stored_form() {
        let session = SessionId::derive(1, b"s");
        let segment = SegmentId::derive(1, b"g");
        let origin = SegmentOrigin { session_id: session, segment_id: segment, seq: Seq(3), at_turn_index: 1 };
        let start = SegmentStart {
            system_prompt: Some("Be brief.".into()),
            config: SessionConfig { model: Some("m".into()), ..SessionConfig::default() },
            history: vec![
                HistoryItem::Item(Item::message(Role::User, "summary")),
                HistoryItem::Reference(HistoryRef { segment_id: segment, from: Seq(2), through: Seq(3) }),
            ],
            compacted_from: Some(origin),
            meta: SegmentMeta { agent: Some("pi".into()), ..SegmentMeta::default() },
            ..SegmentStart::new(session, 1)
        };
        let call =
            Item::ToolCall { call_id: "c".into(), name: "n".into(), arguments: serde_json::json!({"z":1,"a":2}) };
        let result = Item::ToolResult { call_id: "c".into(), parts: vec![Part::text("ok")], is_error: false };
        let entries = vec![
            LogEntry::SegmentStart(Box::new(start)),
            LogEntry::UserInput(UserInput { ts: 2, content: vec![Part::text("hi")] }),
            LogEntry::AssistantItem(ItemEntry { ts: 3, item: call }),
            LogEntry::ToolResult(ItemEntry { ts: 4, item: result }),
            LogEntry::SystemItem(SystemItem { ts: 5, item: Item::message(Role::Developer, "env"), injected: true }),
            LogEntry::TurnEnd(TurnEnd { ts: 6, turn_count: 1 }),
            LogEntry::RunCompleted(RunCompleted { ts: 7, result: Value::Null, interrupted: false }),
            LogEntry::RunErrored(RunErrored { ts: 8, message: "cut".into(), interrupted: true }),
            LogEntry::ConfigChanged(ConfigChanged { ts: 9, config: SessionConfig::default() }),
            LogEntry::LlmUsage(LlmUsage { ts: 10, request_id: Some("r".into()), ..LlmUsage::default() }),
            LogEntry::Extension(Extension {
                ts: 11,
                domain: "d".into(),
                payload: serde_json::json!({"$blob":"ab","bytes":1}),
            }),
        ];
        let texts: Vec<String> = entries.iter().map(|entry| entry.to_text().unwrap()).collect();
        for (entry, text) in entries.iter().zip(&texts) {
            assert_eq!(&LogEntry::from_text(text).unwrap(), entry);
        }
        insta::assert_snapshot!(texts.join("\n"));
    }
}
