//! Making segments and writing to them.

use serde_json::json;
use session_store::{
    NewSegment, SegmentLocation, SegmentState, SessionError, append_entry, create_segment, create_segment_with_ids,
    restore_by_segment, save_config_changed, save_delta, save_extension, save_run_completed, save_run_errored,
    save_turn_end, save_usage, save_user_input,
};
use store_core::{Item, LlmUsage, LogEntry, Part, Role, SegmentStart, Seq, SessionConfig, StoreError};

use crate::common::{NOW, call_item, every_store, prompt, result_item, segment, session, with_names};

#[test]
fn a_session_begins_with_its_first_segment() {
    for (scheme, store, _folder) in every_store() {
        let new = NewSegment { system_prompt: Some("Be brief.".into()), ..NewSegment::default() };
        let a = create_segment(&*store, NOW, new).unwrap();
        assert_eq!(store.list_sessions().unwrap(), [a.session_id], "{scheme}");
        assert_eq!(store.lookup_session_of(a.segment_id).unwrap(), Some(a.session_id), "{scheme}");
        assert_eq!(a.segment_id.timestamp_ms(), a.session_id.timestamp_ms(), "{scheme}");
        let entries = store.read_all(a.session_id, a.segment_id).unwrap();
        let expected = SegmentStart { system_prompt: Some("Be brief.".into()), ..SegmentStart::new(a.session_id, NOW) };
        assert_eq!(entries, [LogEntry::SegmentStart(Box::new(expected))], "{scheme}");
    }
}

#[test]
fn given_ids_are_used_and_a_segment_id_only_once() {
    for (scheme, store, _folder) in every_store() {
        let location = SegmentLocation { session_id: session("s"), segment_id: segment("a") };
        let position = create_segment_with_ids(&*store, NOW, location, NewSegment::default()).unwrap();
        assert_eq!(position.seq, Seq(1), "{scheme}");
        let again = SegmentLocation { session_id: session("other"), ..location };
        let error = create_segment_with_ids(&*store, NOW, again, NewSegment::default()).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::AlreadyExists { .. })), "{scheme}: {error:?}");
        assert!(!store.exists(session("other")).unwrap(), "{scheme}");
    }
}

#[test]
fn each_save_writes_the_entry_that_it_names() {
    for (scheme, store, _folder) in every_store() {
        let store = &*store;
        let a = create_segment(store, NOW, NewSegment::default()).unwrap();
        let state = SegmentState::open(store, a).unwrap();
        let config = SessionConfig { model: Some("m2".into()), ..SessionConfig::default() };
        let used = LlmUsage { ts: NOW, request_id: Some("r1".into()), output_tokens: 9, ..LlmUsage::default() };
        save_user_input(store, &state, NOW, vec![Part::text("list it")]).unwrap();
        let step = vec![Item::message(Role::Assistant, "sure"), call_item("c1"), result_item("c1", "a b")];
        let positions = save_delta(store, &state, NOW, step).unwrap();
        assert_eq!(positions.iter().map(|at| at.seq.0).collect::<Vec<_>>(), [3, 4, 5], "{scheme}");
        save_usage(store, &state, used).unwrap();
        save_turn_end(store, &state, NOW).unwrap();
        save_run_completed(store, &state, NOW, json!({"ok": true}), false).unwrap();
        save_config_changed(store, &state, NOW, config).unwrap();
        save_extension(store, &state, NOW, "plan", json!(["a", "b"])).unwrap();
        save_user_input(store, &state, NOW, vec![Part::text("again")]).unwrap();
        save_turn_end(store, &state, NOW).unwrap();
        save_run_errored(store, &state, NOW, "stopped", true).unwrap();
        let texts: Vec<String> =
            store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap().into_iter().map(|r| r.text).collect();
        let names = [(a.session_id.to_string(), "SESSION")];
        let log: Vec<serde_json::Value> = serde_json::from_str(&format!("[{}]", texts.join(","))).unwrap();
        let lines: Vec<String> = log.iter().map(|entry| with_names(entry, &names).to_string()).collect();
        insta::assert_snapshot!("what_a_run_writes", lines.join("\n"));
        let restored = restore_by_segment(store, a.segment_id).unwrap();
        assert_eq!((restored.position, &restored.turns), (state.head().position, &state.head().turns), "{scheme}");
    }
}

#[test]
fn a_step_without_items_writes_nothing() {
    for (scheme, store, _folder) in every_store() {
        let a = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        let state = SegmentState::open(&*store, a).unwrap();
        assert_eq!(save_delta(&*store, &state, NOW, Vec::new()).unwrap(), [], "{scheme}");
        assert_eq!(store.read_entry_count(a.session_id, a.segment_id).unwrap(), 1, "{scheme}");
    }
}

#[test]
fn a_step_is_written_whole_or_not_at_all() {
    for (scheme, store, _folder) in every_store() {
        let a = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        let state = SegmentState::open(&*store, a).unwrap();
        let before = state.head();
        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        let bad = Item::ToolCall { call_id: "c1".into(), name: "n".into(), arguments: deep };
        let error = save_delta(&*store, &state, NOW, vec![Item::message(Role::Assistant, "ok"), bad]).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::InvalidEntry { .. })), "{scheme}: {error:?}");
        assert_eq!(store.read_entry_count(a.session_id, a.segment_id).unwrap(), 1, "{scheme}");
        assert_eq!(state.head(), before, "{scheme}");
    }
}

#[test]
fn an_entry_is_appended_wherever_the_log_ends() {
    for (scheme, store, _folder) in every_store() {
        let a = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        assert_eq!(append_entry(&*store, a, prompt("a")).unwrap().seq, Seq(2), "{scheme}");
        assert_eq!(append_entry(&*store, a, prompt("b")).unwrap().seq, Seq(3), "{scheme}");
        let wrong = SegmentLocation { session_id: session("other"), ..a };
        let error = append_entry(&*store, wrong, prompt("c")).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::NotFound(_))), "{scheme}: {error:?}");
    }
}
