//! Appending: order, all or nothing, and texts that come back byte for byte.

use serde_json::json;
use store_core::StoreError::{InvalidEntry, NotFound};
use store_core::{
    Backend, ConfigChanged, Extension, Item, ItemEntry, LlmUsage, LogEntry, Missing, NewEntry, Part, Role,
    RunCompleted, RunErrored, SessionConfig, SystemItem, TurnEnd,
};

use super::fixture::{
    TIME, Works as _, append, count, create_first, input, later_texts, note, notes, records, refused, same, segment,
    seqs, session, start, text_of, texts_of, try_append,
};
use crate::{Harness, Outcome};

/// A text that is JSON and no entry.
pub(super) fn without_kind() -> NewEntry {
    NewEntry::text(r#"{"ts":1}"#)
}

/// Appending these texts one by one has to give them back as they were.
fn come_back(store: &dyn Backend, texts: &[&str]) -> Outcome {
    create_first(store, 1)?;
    for text in texts {
        append(store, &[NewEntry::text(*text)])?;
    }
    same("the texts that are read", later_texts(store)?, texts.iter().map(|text| (*text).to_owned()).collect())
}

/// Each of these texts has to be refused.
fn are_refused(store: &dyn Backend, texts: &[String]) -> Outcome {
    create_first(store, 1)?;
    for text in texts {
        let answer = try_append(store, session(1), segment(1), &[NewEntry::text(text.as_str())]);
        refused!(&format!("the entry {text:?}"), answer, InvalidEntry { index: 0, .. })?;
    }
    same("the entries after the refusals", count(store)?, 1)
}

pub(crate) fn appended_entries_stand_in_the_order_of_the_calls(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    for n in 1..=3 {
        append(store, &[note(&n.to_string())])?;
    }
    same("the entries of three calls", later_texts(store)?, texts_of(&notes(3)))
}

pub(crate) fn the_entries_of_a_call_stand_in_its_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &notes(4))?;
    same("the entries of one call", later_texts(store)?, texts_of(&notes(4)))
}

pub(crate) fn an_append_answers_with_the_positions_that_are_read(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let answer = append(store, &notes(3))?;
    let read = records(store)?.iter().skip(2).map(|record| record.position).collect();
    same("the positions of the append", answer, read)
}

pub(crate) fn appended_entries_are_numbered_without_gaps(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let mut answer = append(store, &notes(2))?;
    answer.extend(append(store, &[note("5")])?);
    same("the seqs behind two entries", seqs(&answer), vec![3, 4, 5])
}

pub(crate) fn one_entry_can_be_appended_alone(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let entry = LogEntry::TurnEnd(TurnEnd { ts: TIME, turn_count: 1 });
    let position = store.append(session(1), segment(1), &entry).works("appending one entry")?;
    same("its seq", position.seq.0, 2)?;
    same("the entries behind the first", later_texts(store)?, vec![text_of(&NewEntry::typed(entry))])
}

pub(crate) fn typed_entries_of_every_kind_come_back(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let ts = TIME;
    let call = Item::ToolCall { call_id: "c".into(), name: "n".into(), arguments: json!({"z": 1.5, "a": [null]}) };
    let result = Item::ToolResult { call_id: "c".into(), parts: vec![Part::text("é")], is_error: true };
    let usage = LlmUsage { ts, request_id: Some("r".into()), cost: Some("0.10".into()), ..LlmUsage::default() };
    let config = SessionConfig { cwd: Some("/a b".into()), ..SessionConfig::default() };
    let entries = vec![
        LogEntry::AssistantItem(ItemEntry { ts, item: call }),
        LogEntry::ToolResult(ItemEntry { ts, item: result }),
        LogEntry::SystemItem(SystemItem { ts, item: Item::message(Role::Developer, "env"), injected: true }),
        LogEntry::TurnEnd(TurnEnd { ts, turn_count: 3 }),
        LogEntry::RunCompleted(RunCompleted { ts, result: json!({"ok": true}), interrupted: true }),
        LogEntry::RunErrored(RunErrored { ts, message: "cut".into(), interrupted: false }),
        LogEntry::ConfigChanged(ConfigChanged { ts, config }),
        LogEntry::LlmUsage(usage),
        LogEntry::Extension(Extension { ts, domain: "d".into(), payload: json!({"$blob": "ab", "bytes": 1}) }),
    ];
    append(store, &entries.iter().cloned().map(NewEntry::typed).collect::<Vec<_>>())?;
    let read = store.read_all(session(1), segment(1)).works("reading every entry")?;
    same("the entries behind the first", read[1..].to_vec(), entries)
}

pub(crate) fn an_append_to_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = try_append(store, session(1), segment(2), &[note("lost")]);
    refused!("an append to an unknown segment", answer, NotFound(Missing::Segment(id)) if *id == segment(2))
}

pub(crate) fn an_append_by_another_session_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    super::fixture::create(store, session(2), segment(2), &[])?;
    let answer = try_append(store, session(2), segment(1), &[note("lost")]);
    refused!("an append to a segment of another session", answer, NotFound(Missing::Segment(id)) if *id == segment(1))?;
    same("the entries of the segment", count(store)?, 1)
}

pub(crate) fn a_call_without_entries_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    refused!("a call without entries", try_append(store, session(1), segment(1), &[]), InvalidEntry { .. })
}

pub(crate) fn one_bad_entry_refuses_the_whole_call(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = try_append(store, session(1), segment(1), &[note("good"), input("good"), without_kind()]);
    refused!("a call whose last entry is bad", answer, InvalidEntry { index: 2, .. })?;
    same("the entries after the refused call", count(store)?, 1)
}

pub(crate) fn a_start_behind_the_first_entry_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = try_append(store, session(1), segment(1), &[note("one"), start(session(1))]);
    refused!("an appended segment_start", answer, InvalidEntry { index: 1, .. })
}

pub(crate) fn a_text_that_is_no_json_object_is_refused(harness: &mut dyn Harness) -> Outcome {
    let texts =
        ["", "null", "[]", "{", r#"{"kind":"note","ts":1,}"#, r#"{"kind":"note","ts":1}{"kind":"note","ts":1}"#];
    are_refused(harness.store(), &texts.map(str::to_owned))
}

pub(crate) fn an_entry_without_kind_or_time_is_refused(harness: &mut dyn Harness) -> Outcome {
    let texts = [r#"{"ts":1}"#, r#"{"kind":"note"}"#, r#"{"kind":7,"ts":1}"#, r#"{"kind":"note","ts":"1"}"#, "{}"];
    are_refused(harness.store(), &texts.map(str::to_owned))
}

pub(crate) fn an_entry_with_two_kinds_is_refused(harness: &mut dyn Harness) -> Outcome {
    let texts = [r#"{"kind":"note","ts":1,"kind":"turn_end"}"#, r#"{"kind":"note","ts":1,"ts":2}"#];
    are_refused(harness.store(), &texts.map(str::to_owned))
}

pub(crate) fn an_entry_on_several_lines_is_refused(harness: &mut dyn Harness) -> Outcome {
    let texts = ["{\"kind\":\"note\",\n\"ts\":1}", "{\"kind\":\"note\",\"ts\":1,\"text\":\"a\nb\"}"];
    are_refused(harness.store(), &texts.map(str::to_owned))
}

pub(crate) fn a_control_character_in_an_entry_is_refused(harness: &mut dyn Harness) -> Outcome {
    let texts =
        ["{\"kind\":\"note\",\"ts\":1,\"text\":\"\u{1b}[31m\"}", "{\"kind\":\"note\",\"ts\":1,\"a\":[{\"\u{0}\":1}]}"];
    are_refused(harness.store(), &texts.map(str::to_owned))
}

pub(crate) fn white_space_around_an_entry_is_refused(harness: &mut dyn Harness) -> Outcome {
    let texts = [" {\"kind\":\"note\",\"ts\":1}", "{\"kind\":\"note\",\"ts\":1} ", "{\"kind\":\"note\",\"ts\":1}\n"];
    are_refused(harness.store(), &texts.map(str::to_owned))
}

pub(crate) fn a_known_kind_in_a_wrong_shape_is_refused(harness: &mut dyn Harness) -> Outcome {
    let texts = [r#"{"kind":"turn_end","ts":1,"turn_count":"many"}"#, r#"{"kind":"user_input","ts":1}"#];
    are_refused(harness.store(), &texts.map(str::to_owned))
}

pub(crate) fn a_name_that_belongs_to_the_line_is_refused(harness: &mut dyn Harness) -> Outcome {
    let names = ["seq", "more", "key", "synced", "crc32c"];
    let plain = names.map(|name| format!(r#"{{"kind":"note","ts":1,"{name}":1}}"#));
    let escaped = r#"{"kind":"note","ts":1,"\u0073eq":1}"#.to_owned();
    are_refused(harness.store(), &[&plain[..], &[escaped]].concat())
}

pub(crate) fn a_name_of_the_line_may_stand_further_in(harness: &mut dyn Harness) -> Outcome {
    let text = r#"{"kind":"note","ts":1,"in":{"seq":1,"more":2,"key":"k","synced":3,"crc32c":"00000000"}}"#;
    come_back(harness.store(), &[text])
}

pub(crate) fn an_unknown_kind_comes_back_byte_for_byte(harness: &mut dyn Harness) -> Outcome {
    let text = r#"{"kind":"from_the_future","ts":7,"z":{"b":1,"a":2},"y":{"b":1,"b":2},"x":[true,null]}"#;
    come_back(harness.store(), &[text])
}

pub(crate) fn unknown_fields_of_a_known_kind_come_back(harness: &mut dyn Harness) -> Outcome {
    let text = r#"{"new":{"z":1,"a":2},"kind":"turn_end","turn_count":1,"ts":7,"later":[]}"#;
    come_back(harness.store(), &[text])
}

pub(crate) fn white_space_inside_an_entry_comes_back(harness: &mut dyn Harness) -> Outcome {
    let text = r#"{ "kind" : "note" ,  "ts":1, "list" : [ 1 ,2 ] }"#;
    come_back(harness.store(), &[text])
}

pub(crate) fn numbers_come_back_as_they_were_spelt(harness: &mut dyn Harness) -> Outcome {
    let numbers = "1.0,1.50,-0,-0.0,1e3,1E+3,1e400,123456789012345678901234567890,0.1000000000000000055511151231257827";
    come_back(harness.store(), &[&format!(r#"{{"kind":"note","ts":1,"n":[{numbers}]}}"#)])
}

pub(crate) fn escapes_come_back_as_they_were_spelt(harness: &mut dyn Harness) -> Outcome {
    let escapes = r#"{"kind":"note","ts":1,"text":"\u0041\/\\\"\n\ud83d\ude00\u001b[31m \\u0000 }{][ \",\"crc32c\":\"00000000\"}"}"#;
    come_back(harness.store(), &[escapes])
}

pub(crate) fn nul_escapes_come_back(harness: &mut dyn Harness) -> Outcome {
    let text = r#"{"kind":"note","ts":1,"text":"before\u0000after","\u0000":"\u0000"}"#;
    come_back(harness.store(), &[text])
}

pub(crate) fn line_separators_of_unicode_come_back(harness: &mut dyn Harness) -> Outcome {
    let text = "{\"kind\":\"note\",\"ts\":1,\"text\":\"a\u{2028}b\u{2029}c\u{85}d\u{feff}e\u{7f}f\"}";
    come_back(harness.store(), &[text])
}

pub(crate) fn text_beyond_the_basic_plane_comes_back(harness: &mut dyn Harness) -> Outcome {
    let text = "{\"kind\":\"note\",\"ts\":1,\"text\":\"👩‍👩‍👧 \u{10ffff} e\u{301} é ﷽ \u{202e}abc\"}";
    come_back(harness.store(), &[text])
}

pub(crate) fn equal_entries_without_keys_are_all_written(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[note("again"), note("again")])?;
    append(store, &[note("again")])?;
    same("the entries of the segment", count(store)?, 4)
}
