//! What an entry shows, and how many messages that makes.

use serde::{Deserialize, Serialize};
use store_core::chain::sha256_hex;
use store_core::{Content, HistoryItem, Item, LogEntry, Part, Role, SegmentStart};

use super::ShowKind;

/// What an entry does to a transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many messages it adds.
    pub messages: u64,
    /// Whether it hides the message before it.
    pub hides_previous: bool,
}

/// Counts the messages of a branch as they are shown, without keeping their text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptFold {
    messages: u64,
    /// The last message, if it is an answer in text.
    last_answer: Option<AnswerDigest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AnswerDigest {
    bytes: usize,
    sha256: String,
}

impl AnswerDigest {
    /// `None` for a text that stands elsewhere or says nothing, and for what is not text alone.
    fn of(parts: &[Part]) -> Option<Self> {
        let text = inline_text(parts).filter(|_| parts.iter().all(|part| matches!(part, Part::Text { .. })))?;
        let text = text.trim();
        (!text.is_empty()).then(|| Self { bytes: text.len(), sha256: sha256_hex(text.as_bytes()) })
    }

    /// Whether a summary is this answer, perhaps below an introduction.
    fn is_said_by(&self, summary: &[Part]) -> bool {
        let Some(text) = inline_text(summary) else { return false };
        let text = text.trim();
        let Some((intro, tail)) = text.len().checked_sub(self.bytes).and_then(|at| text.split_at_checked(at)) else {
            return false;
        };
        (intro.is_empty() || intro.ends_with('\n')) && sha256_hex(tail.as_bytes()) == self.sha256
    }
}

impl TranscriptFold {
    /// Takes the next entry of the branch and says what it does to the transcript.
    pub fn apply(&mut self, entry: &LogEntry) -> Shown {
        let mut shown = Shown::default();
        for row in rows_of(entry) {
            if !row.kind.is_message() {
                continue;
            }
            if row.kind == ShowKind::Summary {
                let parts = row.said.parts();
                shown.hides_previous = self.last_answer.take().is_some_and(|answer| answer.is_said_by(parts));
            }
            shown.messages += 1;
            self.last_answer = row.said.answer().and_then(AnswerDigest::of).filter(|_| row.kind == ShowKind::Message);
        }
        self.messages = self.messages + shown.messages - u64::from(shown.hides_previous);
        shown
    }

    /// How many messages are shown.
    pub const fn messages(&self) -> u64 {
        self.messages
    }
}

/// What an entry shows, still where it stands.
#[derive(Clone, Copy)]
pub(super) struct RowRef<'a> {
    pub(super) kind: ShowKind,
    pub(super) said: Said<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    Input(&'a [Part]),
    Item(&'a Item),
}

impl<'a> Said<'a> {
    const fn parts(self) -> &'a [Part] {
        match self {
            Self::Input(parts) => parts,
            Self::Item(Item::Message { parts, .. } | Item::ToolResult { parts, .. }) => parts.as_slice(),
            Self::Item(_) => &[],
        }
    }

    /// The parts of a message of the model.
    const fn answer(self) -> Option<&'a [Part]> {
        match self {
            Self::Item(Item::Message { role: Role::Assistant, .. }) => Some(self.parts()),
            _ => None,
        }
    }

    pub(super) fn to_item(self) -> Item {
        match self {
            Self::Input(parts) => Item::Message { role: Role::User, parts: parts.to_vec() },
            Self::Item(item) => item.clone(),
        }
    }
}

/// The rows that an entry shows, in order.
pub(super) fn rows_of(entry: &LogEntry) -> Vec<RowRef<'_>> {
    match entry {
        LogEntry::SegmentStart(start) => start_rows(start),
        LogEntry::UserInput(input) => vec![RowRef { kind: ShowKind::Message, said: Said::Input(&input.content) }],
        LogEntry::AssistantItem(entry) | LogEntry::ToolResult(entry) => item_row(&entry.item).into_iter().collect(),
        LogEntry::SystemItem(entry) if !entry.injected => item_row(&entry.item).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The items that an entry shows, in order.
#[cfg(feature = "index")]
pub(crate) fn shown_items(entry: &LogEntry) -> Vec<Item> {
    rows_of(entry).into_iter().map(|row| row.said.to_item()).collect()
}

/// A start shows the items that stand nowhere else; behind a compaction that is the summary alone.
fn start_rows(start: &SegmentStart) -> Vec<RowRef<'_>> {
    if start.compacted_from.is_some() {
        return match summary_place(start).and_then(|at| start.history.get(at)) {
            Some(HistoryItem::Item(item)) => vec![RowRef { kind: ShowKind::Summary, said: Said::Item(item) }],
            _ => Vec::new(),
        };
    }
    let own = start.history.iter().filter_map(|item| match item {
        HistoryItem::Item(item) => item_row(item),
        HistoryItem::Reference(_) => None,
    });
    own.collect()
}

/// Where in a compacted segment's history the summary is: the last message that stands nowhere else. Those before it
/// are the context that some agents give anew.
pub(crate) fn summary_place(start: &SegmentStart) -> Option<usize> {
    start.compacted_from?;
    start.history.iter().rposition(|item| matches!(item, HistoryItem::Item(Item::Message { .. })))
}

/// The row of an item; thoughts that nobody can read have none.
pub(super) fn item_row(item: &Item) -> Option<RowRef<'_>> {
    let kind = match item {
        Item::Message { .. } | Item::Other(_) => ShowKind::Message,
        Item::Reasoning { text, .. } if text.is_empty() => return None,
        Item::Reasoning { .. } => ShowKind::Reasoning,
        Item::ToolCall { .. } => ShowKind::ToolCall,
        Item::ToolResult { .. } => ShowKind::ToolResult,
    };
    Some(RowRef { kind, said: Said::Item(item) })
}

/// The text of all text parts; `None` if one of them stands beside the log.
fn inline_text(parts: &[Part]) -> Option<String> {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(Content::as_inline(text)),
        _ => None,
    });
    Some(texts.collect::<Option<Vec<&str>>>()?.join("\n"))
}

/// The text of all text parts, a line break between them.
pub(crate) fn joined_text(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n")
}
