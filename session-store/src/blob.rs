//! Large parts of entries: moved beside the log before it is appended, and read back when a history is needed.
//!
//! A store never rewrites entries; this layer decides what an entry's text holds. A text over [`INLINE_BYTES_MAX`],
//! wherever it stands in a part, an argument or a payload, becomes a reference to a blob with the text's own bytes.

use std::string::FromUtf8Error;

use serde_json::{Map, Value};
use store_core::{BlobGuard, BlobRef, Content, HistoryItem, Item, LogEntry, Missing, Part, Store, StoreError};

use crate::error::Result;

/// The longest text that stays in an entry, in bytes.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Moves what is too large for an entry into blobs.
///
/// Hold the guards until the entry is appended.
///
/// # Errors
/// What the store fails with.
pub fn externalize(store: &dyn Store, mut entry: LogEntry) -> Result<(LogEntry, Vec<BlobGuard>)> {
    let mut put = Put { store, guards: Vec::new() };
    match &mut entry {
        LogEntry::SegmentStart(start) => {
            for item in &mut start.history {
                if let HistoryItem::Item(item) = item {
                    walk_item(item, &mut put)?;
                }
            }
        }
        LogEntry::UserInput(input) => walk_parts(&mut input.content, &mut put)?,
        LogEntry::AssistantItem(item) | LogEntry::ToolResult(item) => walk_item(&mut item.item, &mut put)?,
        LogEntry::SystemItem(item) => walk_item(&mut item.item, &mut put)?,
        LogEntry::RunCompleted(end) => walk_value(&mut end.result, &mut put)?,
        LogEntry::Extension(extension) => walk_value(&mut extension.payload, &mut put)?,
        _ => {}
    }
    Ok((entry, put.guards))
}

/// Reads back what was moved out of an item.
///
/// # Errors
/// `NotFound` and `Corrupt` for a blob that a part refers to; what the store fails with.
pub fn resolve(store: &dyn Store, item: &mut Item) -> Result<()> {
    walk_item(item, &mut Get { store })
}

/// Reads back the texts that were moved out of an item; pictures and files stay where they are.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_texts(store: &dyn Store, item: &mut Item) -> Result<()> {
    walk_item(item, &mut GetTexts(Get { store }))
}

/// Reads back what was moved out of parts.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_parts(store: &dyn Store, parts: &mut [Part]) -> Result<()> {
    walk_parts(parts, &mut Get { store })
}

/// Reads back what was moved out of a free value. What only looks like a reference stays as it is.
///
/// # Errors
/// `Corrupt`; what the store fails with.
pub fn resolve_value(store: &dyn Store, value: &mut Value) -> Result<()> {
    walk_value(value, &mut Get { store })
}

/// What happens to each text of an entry.
trait Visit {
    fn content(&mut self, content: &mut Content) -> Result<()>;
    /// The data of a picture or a file.
    fn data(&mut self, data: &mut Content) -> Result<()> {
        self.content(data)
    }
    /// Called for texts and objects; answers whether it dealt with the value.
    fn value(&mut self, value: &mut Value) -> Result<bool>;
}

fn walk_item(item: &mut Item, visit: &mut dyn Visit) -> Result<()> {
    match item {
        Item::Message { parts, .. } | Item::ToolResult { parts, .. } => walk_parts(parts, visit),
        Item::ToolCall { arguments, .. } => walk_value(arguments, visit),
        Item::Other(value) => walk_value(value, visit),
        Item::Reasoning { .. } => Ok(()),
    }
}

fn walk_parts(parts: &mut [Part], visit: &mut dyn Visit) -> Result<()> {
    for part in parts {
        match part {
            Part::Text { text } => visit.content(text)?,
            Part::Image { data: Some(data), .. } | Part::File { data: Some(data), .. } => visit.data(data)?,
            Part::Other(value) => walk_value(value, visit)?,
            Part::Image { .. } | Part::File { .. } => {}
        }
    }
    Ok(())
}

/// Entries are nested 128 deep at most, which bounds the recursion.
fn walk_value(value: &mut Value, visit: &mut dyn Visit) -> Result<()> {
    if visit.value(value)? {
        return Ok(());
    }
    match value {
        Value::Array(values) => values.iter_mut().try_for_each(|value| walk_value(value, visit)),
        Value::Object(fields) => fields.values_mut().try_for_each(|value| walk_value(value, visit)),
        _ => Ok(()),
    }
}

struct Put<'a> {
    store: &'a dyn Store,
    guards: Vec<BlobGuard>,
}

impl Put<'_> {
    fn put(&mut self, text: &str) -> Result<Option<BlobRef>> {
        if text.len() <= INLINE_BYTES_MAX {
            return Ok(None);
        }
        let guard = self.store.put_blob(text.as_bytes())?;
        let reference = guard.reference().clone();
        self.guards.push(guard);
        Ok(Some(reference))
    }
}

impl Visit for Put<'_> {
    fn content(&mut self, content: &mut Content) -> Result<()> {
        if let Content::Inline(text) = content
            && let Some(reference) = self.put(text)?
        {
            *content = Content::Blob(reference);
        }
        Ok(())
    }

    fn value(&mut self, value: &mut Value) -> Result<bool> {
        if let Value::String(text) = value
            && let Some(reference) = self.put(text)?
        {
            let mut fields = Map::new();
            fields.insert("$blob".to_owned(), reference.sha256.into());
            fields.insert("bytes".to_owned(), reference.bytes.into());
            *value = Value::Object(fields);
            return Ok(true);
        }
        Ok(false)
    }
}

struct Get<'a> {
    store: &'a dyn Store,
}

impl Get<'_> {
    fn get(&self, reference: &BlobRef) -> Result<Result<String, FromUtf8Error>, StoreError> {
        Ok(String::from_utf8(self.store.get_blob(reference)?))
    }
}

impl Visit for Get<'_> {
    fn content(&mut self, content: &mut Content) -> Result<()> {
        if let Content::Blob(reference) = content {
            *content = Content::Inline(self.get(reference)?.map_err(StoreError::backend)?);
        }
        Ok(())
    }

    fn value(&mut self, value: &mut Value) -> Result<bool> {
        let Some(reference) = as_reference(value) else { return Ok(false) };
        match self.get(&reference) {
            Ok(Ok(text)) => *value = Value::String(text),
            Ok(Err(_)) | Err(StoreError::NotFound(Missing::Blob(_))) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

struct GetTexts<'a>(Get<'a>);

impl Visit for GetTexts<'_> {
    fn content(&mut self, content: &mut Content) -> Result<()> {
        self.0.content(content)
    }

    fn data(&mut self, _data: &mut Content) -> Result<()> {
        Ok(())
    }

    fn value(&mut self, value: &mut Value) -> Result<bool> {
        self.0.value(value)
    }
}

fn as_reference(value: &Value) -> Option<BlobRef> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let sha256 = fields.get("$blob")?.as_str()?.to_owned();
    Some(BlobRef { sha256, bytes: fields.get("bytes")?.as_u64()? })
}
