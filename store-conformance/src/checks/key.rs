//! Idempotency keys: with them the same entry is never written to a segment twice.

use store_core::Expected::Count;
use store_core::StoreError::{Conflict, InvalidEntry, KeyReused};
use store_core::{Backend, NewEntry};

use super::fixture::{
    Works as _, append, append_at, count, create, create_first, later_texts, note, records, refused, same, segment,
    seqs, session, start, texts_of, try_append, try_create,
};
use crate::{Harness, Outcome};

fn keyed(text: &str, key: &str) -> NewEntry {
    note(text).with_key(key)
}

/// Appends to segment 1 of session 1.
fn try_keyed(store: &dyn Backend, entries: &[NewEntry]) -> store_core::Result<Vec<store_core::Position>> {
    try_append(store, session(1), segment(1), entries)
}

pub(crate) fn a_repeated_keyed_entry_is_written_once(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[keyed("one", "a")])?;
    append(store, &[keyed("one", "a")])?;
    same("the entries of the segment", count(store)?, 2)
}

pub(crate) fn a_repeated_keyed_call_answers_with_the_first_positions(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let call = [keyed("one", "a"), keyed("two", "b")];
    let first = append(store, &call)?;
    append(store, &[note("between")])?;
    same("the positions of the repeated call", append(store, &call)?, first)
}

pub(crate) fn a_partly_present_call_writes_only_the_rest(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[keyed("two", "b")])?;
    append(store, &[keyed("one", "a"), keyed("two", "b"), note("three"), keyed("four", "d")])?;
    let expected = ["two", "one", "three", "four"].map(note);
    same("the entries of the segment", later_texts(store)?, texts_of(&expected))
}

pub(crate) fn a_partly_present_call_answers_in_its_own_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[keyed("two", "b")])?;
    let answer = append(store, &[keyed("one", "a"), keyed("two", "b"), keyed("three", "c")])?;
    same("the seqs of the answer", seqs(&answer), vec![3, 2, 4])
}

pub(crate) fn a_key_with_another_text_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let first = append(store, &[keyed("one", "a")])?[0];
    let answer = try_keyed(store, &[keyed("other", "a")]);
    refused!("a key with another text", answer, KeyReused { key, position } if key == "a" && *position == first)
}

pub(crate) fn a_key_with_the_same_json_spelt_otherwise_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[NewEntry::text(r#"{"kind":"note","ts":1}"#).with_key("a")])?;
    let answer = try_keyed(store, &[NewEntry::text(r#"{"ts":1,"kind":"note"}"#).with_key("a")]);
    refused!("a key with the same JSON in another order", answer, KeyReused { .. })
}

pub(crate) fn a_call_with_a_reused_key_writes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[keyed("one", "a")])?;
    let answer = try_keyed(store, &[note("before"), keyed("other", "a"), note("behind")]);
    same("the call succeeded", answer.is_ok(), false)?;
    same("the entries of the segment", count(store)?, 2)
}

pub(crate) fn keys_are_looked_at_before_the_expected_end(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let first = append_at(store, &[keyed("one", "a")], Count(1)).works("the first call")?;
    append(store, &[note("two")])?;
    let again = append_at(store, &[keyed("one", "a")], Count(1)).works("a repeated call with a stale count")?;
    same("its positions", again, first)
}

pub(crate) fn a_partly_present_call_looks_at_the_expected_end(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[keyed("one", "a"), note("two")])?;
    let answer = append_at(store, &[keyed("one", "a"), keyed("three", "c")], Count(1));
    refused!("a partly present call with a stale count", answer, Conflict { .. })?;
    same("the entries of the segment", count(store)?, 3)
}

pub(crate) fn a_key_twice_in_a_call_is_written_once(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = append(store, &[keyed("one", "a"), note("two"), keyed("one", "a")])?;
    same("the seqs of the answer", seqs(&answer), vec![2, 3, 2])?;
    same("the entries of the segment", count(store)?, 3)
}

pub(crate) fn a_key_twice_in_a_call_with_other_texts_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = try_keyed(store, &[keyed("one", "a"), keyed("other", "a")]);
    refused!("a key for two texts of a call", answer, KeyReused { key, .. } if key == "a")?;
    same("the entries of the segment", count(store)?, 1)
}

pub(crate) fn the_keys_of_a_creation_are_remembered(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let positions = create(store, session(1), segment(1), &[keyed("one", "a")])?;
    let again = append(store, &[keyed("one", "a")])?;
    same("the position of an entry that the creation wrote", again, positions[1..].to_vec())
}

pub(crate) fn a_key_twice_in_a_creation_is_written_once(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let answer = create(store, session(1), segment(1), &[keyed("one", "a"), keyed("one", "a"), note("two")])?;
    same("the seqs of the answer", seqs(&answer), vec![1, 2, 2, 3])?;
    same("the entries of the segment", count(store)?, 3)
}

pub(crate) fn a_key_twice_in_a_creation_with_other_texts_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let entries = [start(session(1)), keyed("one", "a"), keyed("other", "a")];
    let answer = try_create(store, session(1), segment(1), &entries);
    refused!("a key for two texts of a creation", answer, KeyReused { key, .. } if key == "a")?;
    same("the session exists", store.exists(session(1)).works("exists")?, false)
}

pub(crate) fn keys_are_remembered_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    append(harness.store(), &[keyed("one", "a")])?;
    harness.reopen();
    append(harness.store(), &[keyed("one", "a")])?;
    same("the entries of the segment", count(harness.store())?, 2)
}

pub(crate) fn keys_of_another_handle_are_known(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    append(store, &[keyed("one", "a")])?;
    append(&*other, &[keyed("one", "a"), keyed("two", "b")])?;
    append(store, &[keyed("two", "b")])?;
    same("the entries of the segment", count(store)?, 3)
}

pub(crate) fn a_key_belongs_to_its_segment(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(1), segment(2), &[])?;
    append(store, &[keyed("one", "a")])?;
    let answer = try_append(store, session(1), segment(2), &[keyed("other", "a")]);
    answer.works("a key that stands in another segment")?;
    let count = store.read_entry_count(session(1), segment(2)).works("counting")?;
    same("the entries of the second segment", count, 2)
}

pub(crate) fn other_keys_for_the_same_text_are_other_entries(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[keyed("one", "a"), keyed("one", "b"), note("one")])?;
    same("the entries of the segment", count(store)?, 4)
}

pub(crate) fn records_tell_their_keys(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[keyed("one", "a"), note("two")])?;
    let keys: Vec<_> = records(store)?.into_iter().skip(1).map(|record| record.key).collect();
    same("the keys of the records", keys, vec![Some("a".to_owned()), None])
}

pub(crate) fn hostile_keys_are_kept_apart_and_come_back(harness: &mut dyn Harness) -> Outcome {
    let keys = [
        "\"",
        "\\",
        "\\\"",
        "a\",\"crc32c\":\"00000000\"}",
        "\n",
        "\r\n",
        "\u{0}",
        "\u{2028}",
        "é",
        "e\u{301}",
        "a",
        "A",
        "a ",
        " a",
        "../../x",
        "'; DROP TABLE entries; --",
        "%",
        "_",
        "👩‍👩‍👧",
        "\u{feff}",
        "1",
        "01",
    ];
    let store = harness.store();
    create_first(store, 1)?;
    let entries: Vec<_> = keys.iter().map(|key| keyed("the same", key)).collect();
    let answer = append(store, &entries)?;
    let read: Vec<_> = records(store)?.into_iter().skip(1).filter_map(|record| record.key).collect();
    same("the keys that are read", read, keys.map(str::to_owned).to_vec())?;
    same("the positions of the repeated call", append(store, &entries)?, answer)
}

pub(crate) fn an_empty_key_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    refused!("an empty key", try_keyed(store, &[keyed("one", "")]), InvalidEntry { index: 0, .. })
}

pub(crate) fn a_key_of_1024_bytes_is_accepted(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    // A NUL is six bytes in JSON: the longest form that a key of this length can take.
    let entry = keyed("one", &"\u{0}".repeat(1024));
    let first = try_keyed(store, std::slice::from_ref(&entry)).works("a key of 1024 bytes")?;
    same("the positions of the repeated call", append(store, &[entry])?, first)
}

pub(crate) fn a_key_of_1025_bytes_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = try_keyed(store, &[note("good"), keyed("one", &"k".repeat(1025))]);
    refused!("a key of 1025 bytes", answer, InvalidEntry { index: 1, .. })
}
