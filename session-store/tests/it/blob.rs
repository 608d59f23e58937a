//! Large parts of entries.

use serde_json::{Value, json};
use session_store::blob::{INLINE_BYTES_MAX, externalize, resolve, resolve_texts, resolve_value};
use session_store::{SessionError, ShowOptions, append_entry, restore_by_segment, transcript};
use store_core::{BlobRef, Content, Extension, Item, ItemEntry, LogEntry, Part, Role, Seq, StoreError, UserInput};

use crate::common::{NOW, every_store, root};

fn large(letter: &str) -> String {
    letter.repeat(INLINE_BYTES_MAX + 1)
}

fn large_call() -> LogEntry {
    let arguments = json!({"small": "s", "deep": [{"text": large("é")}], "just fits": "x".repeat(INLINE_BYTES_MAX)});
    LogEntry::AssistantItem(ItemEntry {
        ts: NOW,
        item: Item::ToolCall { call_id: "c1".into(), name: "write".into(), arguments },
    })
}

fn large_input() -> LogEntry {
    let image =
        Part::Image { media_type: Some("image/png".into()), data: Some(Content::Inline(large("A"))), url: None };
    let other = Part::Other(json!({"type": "hologram", "layers": [large("h")]}));
    LogEntry::UserInput(UserInput { ts: NOW, content: vec![Part::text(large("t")), Part::text("small"), image, other] })
}

fn large_extension() -> LogEntry {
    LogEntry::Extension(Extension { ts: NOW, domain: "d".into(), payload: json!([{"k": large("p")}, 1]) })
}

#[test]
fn what_is_too_large_for_an_entry_is_moved_out_at_any_depth_and_comes_back() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, []);
        for entry in [large_input(), large_call(), large_extension()] {
            let at = append_entry(&*store, a, entry).unwrap();
            let text = store.read_range(a.session_id, a.segment_id, Seq(at.seq.0 - 1), 1).unwrap().remove(0).text;
            assert!(text.contains("$blob"), "{scheme}");
            assert!(text.len() < INLINE_BYTES_MAX + 1_000, "{scheme}: {} bytes", text.len());
        }
        let state = restore_by_segment(&*store, a.segment_id).unwrap();
        let (LogEntry::AssistantItem(call), LogEntry::UserInput(input)) = (large_call(), large_input()) else {
            unreachable!("made above");
        };
        let prompt = Item::Message { role: Role::User, parts: input.content.clone() };
        assert!(state.history[..2] == [prompt, call.item], "{scheme}: the history differs");
        assert!(state.user_inputs == [input], "{scheme}: the input differs");
        assert!(
            state.extensions == [("d".to_owned(), json!([{"k": large("p")}, 1]))],
            "{scheme}: the extension differs"
        );
    }
}

#[test]
fn what_fits_stays_in_its_entry() {
    for (scheme, store, _folder) in every_store() {
        let entry = LogEntry::UserInput(UserInput { ts: NOW, content: vec![Part::text("x".repeat(INLINE_BYTES_MAX))] });
        let (same, guards) = externalize(&*store, entry.clone()).unwrap();
        assert!(same == entry && guards.is_empty(), "{scheme}");
    }
}

#[test]
fn a_transcript_has_the_texts_and_leaves_pictures_where_they_are() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, []);
        append_entry(&*store, a, large_input()).unwrap();
        let shown = transcript(&*store, a.session_id, a.segment_id, &ShowOptions::default()).unwrap();
        let row = &shown.messages[0];
        assert!(row.text == format!("{}\nsmall", large("t")), "{scheme}: {} bytes", row.text.len());
        let picture = row.parts.as_ref().and_then(|parts| parts.get(2)).unwrap();
        assert!(matches!(picture, Part::Image { data: Some(Content::Blob(_)), .. }), "{scheme}");
    }
}

#[test]
fn a_part_whose_bytes_are_gone_is_an_error() {
    for (scheme, store, _folder) in every_store() {
        let gone = BlobRef { sha256: "0".repeat(64), bytes: 70_000 };
        let mut item = Item::Message { role: Role::User, parts: vec![Part::Text { text: Content::Blob(gone) }] };
        for outcome in [resolve(&*store, &mut item), resolve_texts(&*store, &mut item)] {
            let error = outcome.unwrap_err();
            assert!(matches!(&error, SessionError::Store(StoreError::NotFound(_))), "{scheme}: {error:?}");
        }
    }
}

#[test]
fn a_value_that_only_looks_like_a_reference_stays_as_it_is() {
    for (scheme, store, _folder) in every_store() {
        let no_text = store.put_blob(&[0xFF, 0xFE]).unwrap();
        let values = [
            json!({"$blob": "not an address", "bytes": 3}),
            json!({"$blob": "0".repeat(64), "bytes": 70_000}),
            json!({"$blob": no_text.reference().sha256, "bytes": 2}),
            json!({"$blob": 5, "bytes": 3}),
            json!({"$blob": "x", "bytes": 3, "more": true}),
            json!([{"$blob": "x"}]),
        ];
        for value in values {
            let mut resolved: Value = value.clone();
            resolve_value(&*store, &mut resolved).unwrap();
            assert_eq!(resolved, value, "{scheme}");
        }
    }
}
