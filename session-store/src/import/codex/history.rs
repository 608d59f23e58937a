//! What the model went on with behind a compaction.
//!
//! A compaction lists the items that replace the history; older versions only tell the summary, and their history is
//! rebuilt as they rebuild it: the context that was put in, what was typed, the summary. Items that the file held
//! before are referred to. For that, a digest of each is remembered, never its text.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Item, Part, Role};

use super::item::{self, Origin, Response};
use crate::import::fields::storable;
use crate::import::memory::{Key, Memory, Notes};
use crate::import::record::HistoryPart;

/// How much of what was typed Codex keeps when it rebuilds a history: 20,000 tokens of about four bytes.
const TYPED_BYTES_MAX: usize = 80_000;

/// What of a file a later compaction may go on with.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// How many items there are.
    items: u64,
    /// Each of them, by its number.
    #[serde(skip)]
    numbered: Memory<Numbered>,
    /// The number of the last one of each digest.
    #[serde(skip)]
    by_digest: Memory<u64>,
    /// The context that was put in before the first prompt, by what it begins with, and its records.
    context: Vec<(String, String)>,
    prompts: Vec<Prompt>,
}

/// An item among all.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Numbered {
    digest: Key,
    record: String,
    /// The number of the last one before it with the same digest.
    before: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Prompt {
    record: String,
    bytes: usize,
    /// How many items there were before it.
    items: u64,
}

/// What replaces a history. What is `put_in` stands nowhere in the file and is given records of its own.
#[derive(Debug, Default)]
pub(super) struct Replacement {
    pub(super) put_in: Vec<(String, Item)>,
    pub(super) parts: Vec<HistoryPart>,
}

impl Replacement {
    fn refer(&mut self, record: String) {
        match self.parts.last_mut() {
            Some(HistoryPart::Records(records)) => records.push(record),
            _ => self.parts.push(HistoryPart::Records(vec![record])),
        }
    }
}

impl Remembered {
    /// An item of the context or of the model.
    pub(super) fn item(&mut self, item: &Item, record: &str) {
        let digest = digest_of(item);
        let before = self.by_digest.at(digest);
        let numbered = Numbered { digest, record: record.to_owned(), before };
        self.numbered.insert(&self.items.to_string(), numbered);
        self.by_digest.put(digest, Some(self.items));
        self.items += 1;
    }

    /// Context that was put in. Behind the first prompt it only replaces what it is a newer version of.
    pub(super) fn context(&mut self, item: &Item, record: &str) {
        self.item(item, record);
        let beginning = beginning_of(item);
        match self.context.iter_mut().find(|(known, _)| *known == beginning) {
            Some((_, known)) => record.clone_into(known),
            None if self.prompts.is_empty() => self.context.push((beginning, record.to_owned())),
            None => {}
        }
    }

    /// Something that a person typed.
    pub(super) fn prompt(&mut self, parts: &[Part], record: &str) {
        let bytes = parts.iter().filter_map(Part::as_text).map(str::len).sum();
        self.prompts.push(Prompt { record: record.to_owned(), bytes, items: self.items });
        self.item(&Item::Message { role: Role::User, parts: parts.to_vec() }, record);
    }

    /// The last prompts and all that followed them are not part of the history any more.
    pub(super) fn roll_back(&mut self, turns: u64) {
        let turns = usize::try_from(turns).unwrap_or(usize::MAX);
        let kept = self.prompts.len().saturating_sub(turns);
        let Some(first) = self.prompts.get(kept).map(|prompt| prompt.items) else { return };
        for number in (first..self.items).rev() {
            if let Some(gone) = self.numbered.get(&number.to_string()) {
                self.by_digest.put(gone.digest, gone.before);
            }
        }
        self.items = first;
        self.prompts.truncate(kept);
    }

    /// What is remembered of single items.
    pub(super) fn memories(&mut self) -> Vec<&mut dyn Notes> {
        vec![&mut self.numbered, &mut self.by_digest]
    }

    /// Takes over what another one remembers of single items.
    pub(super) fn keep_memories(&mut self, other: &mut Self) {
        self.numbered = std::mem::take(&mut other.numbered);
        self.by_digest = std::mem::take(&mut other.by_digest);
    }

    /// What a `compacted` payload goes on with. `record` is the record that says it.
    pub(super) fn replacement(&self, payload: &mut Value, record: &str) -> Replacement {
        let message = payload.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        match payload.get_mut("replacement_history").map(Value::take) {
            Some(Value::Array(items)) => self.listed(items, &message, record),
            _ => self.rebuilt(&message),
        }
    }

    /// The last message that stands nowhere else is what a transcript shows as the summary, so only what comes before it
    /// may stand in the history itself.
    fn listed(&self, items: Vec<Value>, message: &str, record: &str) -> Replacement {
        let items: Vec<(Item, Place)> = items.into_iter().map(|item| self.place(item, message)).collect();
        let told = items.iter().rposition(|(_, place)| *place == Place::Summary);
        let summary =
            told.or_else(|| items.iter().rposition(|(item, place)| *place == Place::Nowhere && is_said(item)));
        let mut replacement = Replacement::default();
        for (at, (item, place)) in items.into_iter().enumerate() {
            match place {
                Place::Record(record) => replacement.refer(record),
                _ if matches!(item, Item::Message { .. }) && summary.is_none_or(|summary| at > summary) => {
                    let own = format!("{record}.{}", replacement.put_in.len() + 1);
                    replacement.put_in.push((own.clone(), item));
                    replacement.refer(own);
                }
                _ => replacement.parts.push(HistoryPart::Item(item)),
            }
        }
        replacement
    }

    fn place(&self, payload: Value, message: &str) -> (Item, Place) {
        let kept = payload.clone();
        let response = item::read(payload, "");
        let (is_summary, is_context) = match &response {
            Response::User { origin: Origin::Summary, .. } => (true, false),
            Response::User { origin: Origin::Injected, .. } => (false, true),
            Response::User { parts, .. } => {
                (!message.is_empty() && is_text(parts, message), item::looks_injected(parts))
            }
            _ => (false, false),
        };
        let item = response.into_item().unwrap_or_else(|| Item::Other(storable(kept)));
        if is_summary {
            return (item, Place::Summary);
        }
        let known = self.by_digest.at(digest_of(&item)).and_then(|number| self.numbered.get(&number.to_string()));
        let place = match known {
            Some(known) => Place::Record(known.record),
            None if is_context => Place::GivenAnew,
            None => Place::Nowhere,
        };
        (item, place)
    }

    fn rebuilt(&self, message: &str) -> Replacement {
        let mut replacement = Replacement::default();
        for (_, record) in &self.context {
            replacement.refer(record.clone());
        }
        let mut left = TYPED_BYTES_MAX;
        let kept = self.prompts.iter().rev().take_while(|prompt| {
            let fits = prompt.bytes <= left;
            left = left.saturating_sub(prompt.bytes);
            fits
        });
        let kept: Vec<&Prompt> = kept.collect();
        for prompt in kept.into_iter().rev() {
            replacement.refer(prompt.record.clone());
        }
        if !message.is_empty() {
            replacement.parts.push(HistoryPart::Item(Item::message(Role::User, message)));
        }
        replacement
    }
}

/// Where an item of a replacement stands.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It is the record's.
    Record(String),
    /// It is the compaction's summary.
    Summary,
    /// Nowhere in the file: context, in a new version.
    GivenAnew,
    /// Nowhere in the file.
    Nowhere,
}

/// Whether an item is a message of the person or of the model.
const fn is_said(item: &Item) -> bool {
    matches!(item, Item::Message { role: Role::User | Role::Assistant, .. })
}

fn is_text(parts: &[Part], text: &str) -> bool {
    matches!(parts, [part] if part.as_text() == Some(text))
}

fn digest_of(item: &Item) -> Key {
    Key::of(&serde_json::to_string(item).unwrap_or_default())
}

/// What tells a kind of context from another: its role and its first line or tag.
fn beginning_of(item: &Item) -> String {
    let Item::Message { role, parts } = item else { return String::new() };
    let first = parts.iter().find_map(Part::as_text).unwrap_or_default();
    let end = first.find(['>', '\n']).unwrap_or(first.len());
    format!("{role:?} {}", first.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(text: &str) -> Value {
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
    }

    fn remembered() -> Remembered {
        let mut known = Remembered::default();
        known.context(&Item::message(Role::User, "<environment_context>\nnow</environment_context>"), "1");
        known.prompt(&[Part::text("first")], "2");
        known.item(&Item::message(Role::Assistant, "answer"), "3");
        known.prompt(&[Part::text("second")], "4");
        known
    }

    #[test]
    fn what_the_file_held_is_referred_to_and_the_rest_stands_in_the_history() {
        let mut payload = json!({"message": "sum", "replacement_history": [
            user("<environment_context>\nlater</environment_context>"), user("first"), user("second"), user("sum"),
        ]});
        let replacement = remembered().replacement(&mut payload, "9");
        assert!(replacement.put_in.is_empty(), "{replacement:?}");
        let context = Item::message(Role::User, "<environment_context>\nlater</environment_context>");
        let records = HistoryPart::Records(vec!["2".into(), "4".into()]);
        let summary = HistoryPart::Item(Item::message(Role::User, "sum"));
        assert_eq!(replacement.parts, [HistoryPart::Item(context), records, summary]);
    }

    #[test]
    fn context_that_no_summary_follows_is_put_in_before() {
        let mut payload = json!({"message": "", "replacement_history": [
            user("first"),
            {"type": "compaction", "encrypted_content": "gAAA"},
            user("<environment_context>\nlater</environment_context>"),
        ]});
        let replacement = remembered().replacement(&mut payload, "9");
        assert_eq!(replacement.put_in.len(), 1);
        assert_eq!(replacement.put_in[0].0, "9.1");
        let opaque = Item::Other(json!({"type": "compaction", "encrypted_content": "gAAA"}));
        let [first, last] = ["2", "9.1"].map(|record| HistoryPart::Records(vec![record.into()]));
        assert_eq!(replacement.parts, [first, HistoryPart::Item(opaque), last]);
    }

    #[test]
    fn without_a_list_the_history_is_context_then_prompts_then_the_summary() {
        let mut known = remembered();
        known.context(&Item::message(Role::User, "<environment_context>\nmoved</environment_context>"), "5");
        known.context(&Item::message(Role::User, "<turn_aborted>\n</turn_aborted>"), "6");
        let replacement = known.replacement(&mut json!({"message": "sum"}), "9");
        let records = HistoryPart::Records(vec!["5".into(), "2".into(), "4".into()]);
        assert_eq!(replacement.parts, [records, HistoryPart::Item(Item::message(Role::User, "sum"))]);
    }

    #[test]
    fn what_was_rolled_back_is_not_referred_to() {
        let mut known = remembered();
        known.roll_back(1);
        let replacement = known.replacement(&mut json!({"message": "sum"}), "9");
        assert_eq!(replacement.parts[0], HistoryPart::Records(vec!["1".into(), "2".into()]));
        let mut payload = json!({"message": "sum", "replacement_history": [user("second"), user("sum")]});
        let second = HistoryPart::Item(Item::message(Role::User, "second"));
        assert_eq!(known.replacement(&mut payload, "9").parts[0], second);
    }

    #[test]
    fn of_what_was_typed_the_newest_is_kept_as_far_as_it_fits() {
        let mut known = Remembered::default();
        known.prompt(&[Part::text("old")], "1");
        known.prompt(&[Part::text("x".repeat(TYPED_BYTES_MAX))], "2");
        let replacement = known.replacement(&mut json!({"message": ""}), "9");
        assert_eq!(replacement.parts, [HistoryPart::Records(vec!["2".into()])]);
    }
}
