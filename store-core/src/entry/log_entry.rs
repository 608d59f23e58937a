//! One entry of whatever kind, and its one stored form.
//!
//! `kind` is read before the rest, so that an unknown kind costs nothing but its text. It stands first in everything that this crate writes, and is read there without
//! looking through the text for it.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::event::{
    ConfigChanged, Extension, ItemEntry, LlmUsage, RunCompleted, RunErrored, SystemItem, TurnEnd, UnknownEntry,
    UserInput,
};
use super::start::SegmentStart;
use crate::id::TimestampMs;
use crate::json;

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

/// The kind of an entry whose text begins with it, as this crate writes it.
fn leading_kind(text: &str) -> Option<&str> {
    let (kind, _) = text.strip_prefix(r#"{"kind":""#)?.split_once('"')?;
    Some(kind)
}

impl LogEntry {
    /// The entry that a text holds.
    ///
    /// A kind or shape that this version does not know becomes [`LogEntry::Unknown`].
    ///
    /// # Errors
    /// The text is not one JSON object with a `kind` and a `ts`, or it is nested deeper than 128.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        if let Some(Ok(entry)) = leading_kind(text).and_then(|kind| Self::known_from_text(kind, text)) {
            return Ok(entry);
        }
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

    /// Writes the entry's own text behind what stands in `to` already.
    pub(crate) fn write_text(&self, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self.known() {
            Ok(known) => serde_json::to_writer(to, &known),
            Err(unknown) => {
                to.extend_from_slice(unknown.text.as_bytes());
                Ok(())
            }
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
            Self::Unknown(entry) => &entry.kind,
            known => known.known_kind().unwrap_or_default(),
        }
    }

    /// The kind of an entry that this version knows.
    pub(crate) const fn known_kind(&self) -> Option<&'static str> {
        Some(match self {
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
            Self::Unknown(_) => return None,
        })
    }

    /// When the entry happened, in milliseconds since the epoch. Never an order: that is what [`Seq`](crate::Seq) is for.
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
    use serde_json::Value;

    use super::*;
    use crate::entry::{HistoryItem, HistoryRef, Item, Part, Role, SegmentMeta, SegmentOrigin, SessionConfig};
    use crate::id::{SegmentId, Seq, SessionId};

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
