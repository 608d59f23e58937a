//! What an entry says, as it is searched and shown.

use serde_json::Value;
use store_core::{Item, LogEntry, Record, Seq, Store, StoreError};

use super::SearchHit;
use super::find::Match;
use super::snippet::{Needle, Snippet, snippet};
use crate::blob;
use crate::error::Result;
use crate::leaf::is_damage;
use crate::transcript::{ShowRole, shown_items, text_of_parts};

/// One thing that an entry says.
pub(super) struct Said {
    role: ShowRole,
    pub(super) text: String,
}

/// Everything that an entry shows. A text that stands beside the log is looked up; one that cannot be is left out, since
/// it is damage of its own and hides no other words.
pub(super) fn said(store: &dyn Store, entry: &LogEntry) -> Vec<Said> {
    let with_text = |mut item: Item| {
        // What could not be resolved still stands there as a reference, which has no text.
        let _ = blob::resolve_texts(store, &mut item);
        Said { role: ShowRole::of(&item), text: text_of(&item) }
    };
    shown_items(entry).into_iter().map(with_text).filter(|said| !said.text.is_empty()).collect()
}

/// What an entry says, and who says it.
pub(crate) fn entry_texts(store: &dyn Store, entry: &LogEntry) -> Vec<(ShowRole, String)> {
    said(store, entry).into_iter().map(|said| (said.role, said.text)).collect()
}

fn text_of(item: &Item) -> String {
    match item {
        Item::Message { parts, .. } | Item::ToolResult { parts, .. } => text_of_parts(parts),
        Item::Reasoning { text, .. } => text.clone(),
        Item::ToolCall { name, arguments, .. } => {
            let mut text = name.clone();
            add_texts(arguments, &mut text);
            text
        }
        Item::Other(value) => {
            let mut text = String::new();
            add_texts(value, &mut text);
            text
        }
    }
}

/// The names and values of a JSON value, as texts and not as their escapes.
fn add_texts(value: &Value, text: &mut String) {
    let mut add = |piece: &str| {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(piece);
    };
    match value {
        Value::String(string) => add(string),
        Value::Number(number) => add(&number.to_string()),
        Value::Bool(_) | Value::Null => {}
        Value::Array(values) => values.iter().for_each(|value| add_texts(value, text)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(name);
                text.push(':');
                add_texts(value, text);
            }
        }
    }
}

/// The hit that an entry is; `None` if it cannot be read any more.
///
/// Fails with what the store fails with as a whole.
pub(in crate::index) fn hit_at(
    store: &dyn Store,
    found: &Match,
    seq: Seq,
    needles: &[Needle],
) -> Result<Option<SearchHit>> {
    match store.read_range(found.session, found.segment, Seq(seq.0.saturating_sub(1)), 1) {
        Ok(records) => Ok(records.first().map(|record| hit_of(store, found, record, needles))),
        Err(error) if is_damage(&error) || matches!(error, StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn hit_of(store: &dyn Store, found: &Match, record: &Record, needles: &[Needle]) -> SearchHit {
    let pieces = said(store, &record.entry).into_iter().map(|said| (snippet(&said.text, needles), said.role));
    // The piece in which most of the words stand; of equals the first.
    let best = pieces.reduce(|best, next| if next.0.found > best.0.found { next } else { best });
    let (Snippet { text, ranges, .. }, role) = best.unwrap_or((Snippet::default(), ShowRole::System));
    SearchHit {
        session_id: found.session,
        segment_id: found.segment,
        seq: record.position.seq,
        role,
        ts: record.entry.ts(),
        title: found.title.clone(),
        snippet: text,
        ranges,
    }
}
