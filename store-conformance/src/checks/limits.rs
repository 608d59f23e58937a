//! Limits: the largest that is accepted comes back, and one more is refused.

use serde_json::json;
use store_core::StoreError::{InvalidEntry, TooLarge};
use store_core::{Backend, NewEntry};

use super::fixture::{
    append, count, create_first, holds, later_texts, nested, note, notes, refused, same, segment, session, texts_of,
    try_append,
};
use crate::{Failure, Harness, Outcome};

/// An entry whose text has this many bytes.
fn entry_of(bytes: usize) -> String {
    let (head, tail) = (r#"{"kind":"note","ts":1,"text":""#, r#""}"#);
    let mut text = "x".repeat(bytes);
    text.replace_range(..head.len(), head);
    text.replace_range(bytes - tail.len().., tail);
    text
}

/// The longest entry text of a store.
fn longest(harness: &dyn Harness) -> Result<usize, Failure> {
    usize::try_from(harness.limits().entry_bytes_max).map_err(|error| Failure::new(error.to_string()))
}

/// Writes one text and expects it back.
fn comes_back(store: &dyn Backend, text: &str) -> Outcome {
    create_first(store, 1)?;
    append(store, &[NewEntry::text(text)])?;
    let read = later_texts(store)?;
    same("the entries that are read", read.len(), 1)?;
    same("how long the text is that is read", read[0].len(), text.len())?;
    holds("the text that is read is the one that was written", read[0] == text)
}

pub(crate) fn an_entry_nested_128_deep_comes_back(harness: &mut dyn Harness) -> Outcome {
    comes_back(harness.store(), &json!({"kind": "note", "ts": 1, "deep": nested(127)}).to_string())
}

pub(crate) fn a_known_kind_nested_128_deep_comes_back(harness: &mut dyn Harness) -> Outcome {
    let deep = json!({"kind": "extension", "ts": 1, "domain": "d", "payload": nested(127)});
    comes_back(harness.store(), &deep.to_string())
}

pub(crate) fn an_entry_nested_129_deep_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let text = json!({"kind": "note", "ts": 1, "deep": nested(128)}).to_string();
    let answer = try_append(store, session(1), segment(1), &[NewEntry::text(text)]);
    refused!("an entry nested 129 deep", answer, InvalidEntry { index: 0, .. })
}

pub(crate) fn a_string_of_10_mib_comes_back(harness: &mut dyn Harness) -> Outcome {
    comes_back(harness.store(), &entry_of(harness.limits().string_bytes))
}

pub(crate) fn a_string_of_10_mib_of_escapes_comes_back(harness: &mut dyn Harness) -> Outcome {
    let escapes = r"\u0000\n\ud83d\ude00é".repeat(harness.limits().string_bytes / 22);
    comes_back(harness.store(), &format!(r#"{{"kind":"note","ts":1,"text":"{escapes}"}}"#))
}

pub(crate) fn a_call_of_a_thousand_entries_is_whole(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &notes(1000))?;
    holds("a thousand entries come back in order", later_texts(store)? == texts_of(&notes(1000)))
}

pub(crate) fn the_largest_entry_comes_back(harness: &mut dyn Harness) -> Outcome {
    comes_back(harness.store(), &entry_of(longest(harness)?))
}

pub(crate) fn an_entry_over_the_largest_is_refused(harness: &mut dyn Harness) -> Outcome {
    let (store, limits) = (harness.store(), harness.limits());
    create_first(store, 1)?;
    let entry = NewEntry::text(entry_of(longest(harness)? + 1));
    let answer = try_append(store, session(1), segment(1), &[entry]);
    refused!("an entry of one byte too many", answer, TooLarge { bytes_max, .. } if *bytes_max == limits.entry_bytes_max)?;
    same("the entries of the segment", count(store)?, 1)
}

pub(crate) fn a_call_over_the_largest_is_refused(harness: &mut dyn Harness) -> Outcome {
    let (store, limits) = (harness.store(), harness.limits());
    create_first(store, 1)?;
    let large = NewEntry::text(entry_of(longest(harness)?));
    let answer = try_append(store, session(1), segment(1), &[note("small"), large.clone(), large.clone(), large]);
    refused!("a call of too many bytes", answer, TooLarge { bytes_max, .. } if *bytes_max == limits.call_bytes_max)?;
    same("the entries of the segment", count(store)?, 1)
}
