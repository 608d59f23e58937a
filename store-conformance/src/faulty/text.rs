//! Faults of an entry's text: what is accepted that may not be, and what does not come back as it was.

use serde_json::Value;
use store_core::StoreError::InvalidEntry;
use store_core::call::RESERVED_FIELDS;
use store_core::{LogEntry, NewBody, NewEntry, Store as _, json};

use super::FaultyStore;
use super::handle::{Rules, rewritten};

/// No text over this is looked into by a fault.
const LOOKED_INTO_MAX: usize = 32 * 1024;

fn short_text(entry: &NewEntry) -> Option<&str> {
    match &entry.body {
        NewBody::Text(text) if text.len() <= LOOKED_INTO_MAX => Some(text),
        _ => None,
    }
}

/// The one entry of a call, as JSON.
fn only_value(entries: &[NewEntry]) -> Option<Value> {
    match entries {
        [one] => serde_json::from_str(short_text(one)?).ok(),
        _ => None,
    }
}

/// A store that seems to accept a single entry that has to be refused.
macro_rules! accepts {
    ($name:literal, |$entries:ident| $condition:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                append: Some(|at, session, segment, $entries, options| {
                    let overlooked: Option<bool> = (|| Some($condition))();
                    match at.inner.append_with(session, segment, $entries, options) {
                        Err(InvalidEntry { .. }) if overlooked == Some(true) => at.pretend(session, segment, $entries),
                        answer => answer,
                    }
                }),
                ..Rules::KEPT
            },
        )
    };
}

/// A store that writes another text than it was given.
macro_rules! writes {
    ($name:literal, |$text:ident| $rewritten:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                append: Some(|at, session, segment, entries, options| {
                    let short = |$text: &str| if $text.len() <= LOOKED_INTO_MAX { $rewritten } else { None };
                    at.inner.append_with(session, segment, &rewritten(entries, short), options)
                }),
                ..Rules::KEPT
            },
        )
    };
}

fn is_known(entry: &LogEntry) -> bool {
    !matches!(entry, LogEntry::Unknown(_))
}

fn known_kind(value: &Value) -> bool {
    ["user_input", "turn_end"].iter().any(|kind| value["kind"] == *kind)
}

pub(super) const STORES: &[FaultyStore] = &[
    accepts!("what_is_no_json_object_is_accepted", |entries| {
        let text = short_text(entries.first()?)?;
        entries.len() == 1
            && text.trim() == text
            && !text.bytes().any(|byte| byte < 0x20)
            && !only_value(entries).is_some_and(|value| value.is_object())
    }),
    accepts!("an_entry_without_kind_or_time_is_accepted", |entries| {
        let value = only_value(entries)?;
        value.is_object() && !(value["kind"].is_string() && value["ts"].is_u64())
    }),
    accepts!("of_two_kinds_one_counts", |entries| {
        let text = short_text(entries.first()?)?;
        ["\"kind\"", "\"ts\""].iter().any(|name| text.matches(name).count() > 1) && only_value(entries).is_some()
    }),
    accepts!("control_characters_are_accepted", |entries| {
        let text = short_text(entries.first()?)?;
        text.bytes().any(|byte| byte < 0x20 && !b"\r\n\t".contains(&byte))
    }),
    accepts!("a_known_kind_in_a_wrong_shape_is_accepted", |entries| {
        let value = only_value(entries)?;
        known_kind(&value) && value["ts"].is_u64() && !RESERVED_FIELDS.iter().any(|name| value.get(name).is_some())
    }),
    accepts!("names_of_the_line_are_accepted", |entries| {
        let value = only_value(entries)?;
        RESERVED_FIELDS.iter().any(|name| value.get(name).is_some())
    }),
    accepts!("an_entry_nested_129_deep_is_accepted", |entries| {
        json::depth(short_text(entries.first()?)?) == json::DEPTH_MAX + 1
    }),
    FaultyStore::new(
        "an_entry_nested_128_deep_is_refused",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let deep =
                    |entry: &NewEntry| short_text(entry).is_some_and(|text| json::depth(text) == json::DEPTH_MAX);
                if let Some(index) = entries.iter().position(deep) {
                    return Err(InvalidEntry { index, detail: "nested too deep".to_owned() });
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "names_of_the_line_are_refused_at_any_depth",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let named = |entry: &NewEntry| short_text(entry).is_some_and(|text| text.contains("\"synced\":"));
                if let Some(index) = entries.iter().position(named) {
                    return Err(InvalidEntry { index, detail: "reserved".to_owned() });
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    writes!("line_feeds_inside_an_entry_become_spaces", |text| {
        let (end, inner) = (text.trim_end(), text.trim_end().replace('\n', " "));
        Some(inner + &text[end.len()..])
    }),
    writes!("unknown_kinds_are_parsed_and_written_anew", |text| {
        let unknown = LogEntry::from_text(text).is_ok_and(|entry| !is_known(&entry));
        serde_json::from_str::<Value>(text).ok().filter(|_| unknown).map(|value| value.to_string())
    }),
    writes!("known_kinds_are_written_from_their_types", |text| {
        LogEntry::from_text(text).ok().filter(is_known)?.to_text().ok()
    }),
    writes!("white_space_in_an_entry_is_squeezed", |text| Some(text.replace("  ", " "))),
    writes!("numbers_lose_their_last_zeros", |text| Some(text.replace("1.50", "1.5"))),
    writes!("escapes_that_are_not_needed_are_resolved", |text| Some(text.replace("\\u0041", "A"))),
    writes!("a_nul_is_left_out", |text| Some(text.replace("e\\u0000a", "ea"))),
    writes!("line_separators_are_escaped", |text| Some(text.replace('\u{2028}', "\\u2028"))),
    writes!("text_beyond_the_basic_plane_is_replaced", |text| {
        Some(text.chars().map(|c| if c > '\u{ffff}' { '\u{fffd}' } else { c }).collect())
    }),
    FaultyStore::new(
        "a_long_text_is_cut",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                for record in &mut records {
                    let end =
                        (LOOKED_INTO_MAX..).find(|end| *end >= record.text.len() || record.text.is_char_boundary(*end));
                    record.text.truncate(end.unwrap_or(LOOKED_INTO_MAX));
                }
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
];
