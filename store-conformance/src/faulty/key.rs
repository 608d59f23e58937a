//! Faults of idempotency keys.

use std::collections::BTreeSet;

use store_core::StoreError::{Conflict, InvalidEntry, KeyReused};
use store_core::{AppendOptions, NewEntry, Position, SegmentId, SessionId, Store as _};

use super::FaultyStore;
use super::handle::{Handle, Rules, text_of, without_keys};

/// Where each key of a call stands already.
fn standing(at: &Handle, session: SessionId, segment: SegmentId, entries: &[NewEntry]) -> Vec<Option<Position>> {
    let records = at.records(session, segment);
    let find =
        |key: &String| records.iter().find(|record| record.key.as_ref() == Some(key)).map(|record| record.position);
    entries.iter().map(|entry| entry.key.as_ref().and_then(find)).collect()
}

fn has_keys(entries: &[NewEntry]) -> bool {
    entries.iter().any(|entry| entry.key.is_some())
}

/// The text that stands at a position.
fn text_at(at: &Handle, session: SessionId, segment: SegmentId, position: Position) -> String {
    let records = at.records(session, segment);
    records.into_iter().find(|record| record.position == position).map(|record| record.text).unwrap_or_default()
}

fn sorted_json(text: &str) -> Option<String> {
    let value: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    serde_json::to_string(&value).ok()
}

/// The entries with their keys rewritten.
fn rekeyed(entries: &[NewEntry], rewrite: impl Fn(&str) -> Option<String>) -> Vec<NewEntry> {
    let one = |entry: &NewEntry| NewEntry { key: entry.key.as_deref().and_then(&rewrite), ..entry.clone() };
    entries.iter().map(one).collect()
}

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "a_keyed_entry_alone_loses_its_key",
        Rules {
            append: Some(|at, session, segment, entries, options| match entries {
                [one] if one.key.as_ref().is_some_and(|key| !key.is_empty() && key.len() < 1000) => {
                    at.inner.append_with(session, segment, &without_keys(entries), options)
                }
                _ => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_repeated_entry_answers_with_the_end",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let stood = has_keys(entries) && standing(at, session, segment, entries).iter().all(Option::is_some);
                let answer = at.inner.append_with(session, segment, entries, options)?;
                if stood { at.pretend(session, segment, entries) } else { Ok(answer) }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_partly_present_call_counts_as_present",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                if has_keys(entries) && entries.len() > 1 {
                    let stands = standing(at, session, segment, entries);
                    if stands.iter().any(Option::is_some) && stands.iter().any(Option::is_none) {
                        return at.pretend(session, segment, entries);
                    }
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_partly_present_call_answers_in_the_order_of_the_log",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut positions = at.inner.append_with(session, segment, entries, options)?;
                positions.sort_by_key(|position| position.seq);
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_text_of_a_key_is_not_looked_at",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                match at.inner.append_with(session, segment, entries, options) {
                    Err(KeyReused { position, .. }) if position.seq.0 > 0 && entries.len() == 1 => Ok(vec![position]),
                    answer => answer,
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_texts_of_a_key_are_compared_as_json",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                match (at.inner.append_with(session, segment, entries, options), entries) {
                    (Err(KeyReused { position, .. }), [one])
                        if sorted_json(&text_at(at, session, segment, position)) == sorted_json(&text_of(one)) =>
                    {
                        Ok(vec![position])
                    }
                    (answer, _) => answer,
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_reused_key_tells_no_position",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                at.inner.append_with(session, segment, entries, options).map_err(|error| match error {
                    KeyReused { key, position } => KeyReused { key, position: Position { crc32c: 0, ..position } },
                    other => other,
                })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_call_with_a_reused_key_writes_the_entries_before_it",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let answer = at.inner.append_with(session, segment, entries, options);
                if let Err(KeyReused { key, .. }) = &answer {
                    let before = entries.iter().take_while(|entry| entry.key.as_ref() != Some(key)).cloned();
                    let before: Vec<_> = before.collect();
                    if !before.is_empty() {
                        at.inner.append_with(session, segment, &before, options)?;
                    }
                }
                answer
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_expected_end_is_looked_at_before_the_keys",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let actual = at.end(session, segment);
                match options.expected {
                    Some(expected) if !expected.holds_at(actual) => Err(Conflict { expected, actual }),
                    _ => at.inner.append_with(session, segment, entries, options),
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "one_present_key_makes_the_expected_end_unimportant",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let stood = has_keys(entries) && standing(at, session, segment, entries).iter().any(Option::is_some);
                let expected = options.expected.filter(|_| !stood);
                at.inner.append_with(session, segment, entries, &AppendOptions { expected, ..*options })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_key_twice_in_a_call_is_refused",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut seen = BTreeSet::new();
                match entries.iter().filter_map(|entry| entry.key.as_ref()).find(|key| !seen.insert(*key)) {
                    Some(key) => Err(KeyReused { key: key.clone(), position: at.end(session, segment) }),
                    None => at.inner.append_with(session, segment, entries, options),
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "of_two_texts_for_a_key_the_first_counts",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut seen = BTreeSet::new();
                let first = |entry: &&NewEntry| entry.key.as_ref().is_none_or(|key| seen.insert(key.clone()));
                let kept: Vec<_> = entries.iter().filter(first).cloned().collect();
                let mut positions = at.inner.append_with(session, segment, &kept, options)?;
                positions.resize(entries.len(), at.end(session, segment));
                Ok(positions)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "keys_are_remembered_by_their_handle_alone",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let stands = standing(at, session, segment, entries);
                let mut entries = entries.to_vec();
                for (entry, stands) in entries.iter_mut().zip(stands) {
                    let name = format!("{segment} {}", entry.key.as_deref().unwrap_or_default());
                    if stands.is_some() && !at.own.has(&name) {
                        entry.key = None;
                    }
                    at.own.put(name, "");
                }
                at.inner.append_with(session, segment, &entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "keys_belong_to_the_whole_store",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                for entry in entries {
                    let Some(key) = entry.key.clone() else { continue };
                    let text = text_of(entry);
                    let before = at
                        .shared
                        .get(&key)
                        .and_then(|noted| noted.split_once(' ').map(|(s, t)| (s.to_owned(), t.to_owned())));
                    match before {
                        Some((other, noted)) if other != segment.to_string() && noted != text => {
                            return Err(KeyReused { key, position: at.end(session, segment) });
                        }
                        _ => at.shared.put(key, format!("{segment} {text}")),
                    };
                }
                at.inner.append_with(session, segment, entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_same_text_is_the_same_entry_under_every_key",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let mut entries = entries.to_vec();
                for n in 1..entries.len() {
                    let (before, rest) = entries.split_at_mut(n);
                    let twin = before
                        .iter()
                        .find(|other| rest[0].key.is_some() && other.key.is_some() && other.body == rest[0].body);
                    if let Some(twin) = twin {
                        rest[0].key.clone_from(&twin.key);
                    }
                }
                at.inner.append_with(session, segment, &entries, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "records_do_not_tell_their_keys",
        Rules {
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                records.iter_mut().for_each(|record| record.key = None);
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "keys_are_trimmed",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let trimmed = rekeyed(entries, |key| Some(if key.len() < 9 { key.trim() } else { key }.to_owned()));
                at.inner.append_with(session, segment, &trimmed, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "keys_are_folded_to_lower_case",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                at.inner.append_with(session, segment, &rekeyed(entries, |key| Some(key.to_lowercase())), options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_empty_key_is_no_key",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let kept = rekeyed(entries, |key| Some(key.to_owned()).filter(|key| !key.is_empty()));
                at.inner.append_with(session, segment, &kept, options)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_key_of_1024_bytes_is_refused",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                match entries.iter().position(|entry| entry.key.as_ref().is_some_and(|key| key.len() == 1024)) {
                    Some(index) => Err(InvalidEntry { index, detail: "the key is too long".to_owned() }),
                    None => at.inner.append_with(session, segment, entries, options),
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_long_key_is_cut",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let cut = rekeyed(entries, |key| Some(key.get(..1024).unwrap_or(key).to_owned()));
                at.inner.append_with(session, segment, &cut, options)
            }),
            ..Rules::KEPT
        },
    ),
];
