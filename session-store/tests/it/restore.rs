//! The state at the end of a segment.

use serde_json::json;
use session_store::{
    ForkPoint, LineageEntries, NewSegment, SegmentLocation, append_entry, collect_state, create_compacted_segment,
    create_segment, fork, fork_at, restore, restore_by_segment,
};
use store_core::{
    ConfigChanged, Extension, HistoryItem, HistoryRef, Item, LogEntry, Missing, Position, Role, SegmentMeta, Seq,
    SessionConfig, StoreError,
};

use crate::common::{
    NOW, answer, assistant, branch, call, every_store, extend, injected, interrupted, prompt, result, root, said,
    segment, session, turn, turn_end, usage, with_names,
};

fn reference(location: SegmentLocation, from: u64, through: u64) -> HistoryItem {
    HistoryItem::Reference(HistoryRef { segment_id: location.segment_id, from: Seq(from), through: Seq(through) })
}

fn summary(text: &str) -> HistoryItem {
    HistoryItem::Item(Item::message(Role::User, text))
}

fn history(items: Vec<HistoryItem>) -> NewSegment {
    NewSegment { history: items, ..NewSegment::default() }
}

#[test]
fn every_backend_restores_the_same_state_by_session_and_by_segment_alone() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let b = fork(&*store, NOW, a, ForkPoint::Turn(1)).unwrap();
        extend(&*store, b, turn(2, "other two", "r3"));
        let c = create_compacted_segment(
            &*store,
            NOW,
            b,
            ForkPoint::End,
            history(vec![summary("so far"), reference(a, 3, 3), reference(b, 2, 3)]),
        )
        .unwrap();
        extend(&*store, c, [prompt("three"), call("c1"), usage("r1", 500, 50)]);
        let state = restore(&*store, c.session_id, c.segment_id).unwrap();
        assert_eq!(restore_by_segment(&*store, c.segment_id).unwrap(), state, "{scheme}");
        assert_eq!(
            said(&state.history),
            [
                "User: so far",
                "Assistant: re: one",
                "User: other two",
                "Assistant: re: other two",
                "User: three",
                "Call c1",
                "Result c1: [interrupted]"
            ],
            "{scheme}"
        );
        let mut shown = state.clone();
        shown.position.crc32c = 0;
        let names = [(b.session_id.to_string(), "SESSION"), (c.segment_id.to_string(), "C")];
        insta::assert_json_snapshot!("a_compaction_of_a_fork", with_names(&shown, &names));
        let own = branch(&*store, c).pop().unwrap();
        assert_eq!(state.position, own.position, "{scheme}");
    }
}

#[test]
fn a_state_without_entries_has_no_ids() {
    let state = collect_state(&[]);
    assert_eq!((state.session_id, state.segment_id, state.position.seq), (None, None, Seq(0)));
    assert_eq!((state.turn_count, state.entries_count, state.history.len()), (0, 0, 0));
}

#[test]
fn an_unknown_segment_is_not_found() {
    for (scheme, store, _folder) in every_store() {
        let error = restore_by_segment(&*store, segment("none")).unwrap_err();
        assert!(
            matches!(&error, session_store::SessionError::Store(StoreError::NotFound(Missing::Segment(_)))),
            "{scheme}: {error:?}"
        );
    }
}

#[test]
fn behind_a_compaction_of_a_compaction_only_the_last_history_counts() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = create_compacted_segment(
            &*store,
            NOW,
            a,
            ForkPoint::End,
            history(vec![summary("first"), reference(a, 3, 3)]),
        )
        .unwrap();
        extend(&*store, b, turn(2, "two", "r2"));
        // A reference to a segment's start means what stands only there, not what that refers to.
        let again = history(vec![summary("second"), reference(b, 1, 2)]);
        let c = create_compacted_segment(&*store, NOW, b, ForkPoint::End, again).unwrap();
        extend(&*store, c, [prompt("three")]);
        let state = restore(&*store, c.session_id, c.segment_id).unwrap();
        assert_eq!(said(&state.history), ["User: second", "User: first", "User: two", "User: three"], "{scheme}");
        assert_eq!((state.turn_count, state.entries_count), (3, 2), "{scheme}");
        assert_eq!(state.usage_history.len(), 2, "{scheme}");
    }
}

#[test]
fn a_fork_of_a_compacted_segment_keeps_its_history() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = create_compacted_segment(&*store, NOW, a, ForkPoint::End, history(vec![summary("first")])).unwrap();
        extend(&*store, b, turn(2, "two", "r2"));
        let c = fork_at(&*store, NOW, b, ForkPoint::Seq(Seq(2))).unwrap();
        extend(&*store, c, [answer("other")]);
        let state = restore(&*store, c.session_id, c.segment_id).unwrap();
        assert_eq!(said(&state.history), ["User: first", "User: two", "Assistant: other"], "{scheme}");
    }
}

#[test]
fn injected_text_is_part_of_what_the_model_sees() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [injected("env"), prompt("hi"), answer("hello")]);
        let state = restore(&*store, a.session_id, a.segment_id).unwrap();
        assert_eq!(said(&state.history), ["Developer: env", "User: hi", "Assistant: hello"], "{scheme}");
    }
}

#[test]
fn open_calls_are_those_that_the_history_leaves_open() {
    for (scheme, store, _folder) in every_store() {
        let open = [prompt("a"), call("c1"), interrupted(), prompt("b"), call("c2"), call("c3"), result("c3", "ok")];
        let a = root(&*store, open);
        let state = restore(&*store, a.session_id, a.segment_id).unwrap();
        assert_eq!(state.open_tool_calls, ["c1", "c2"], "{scheme}");
        assert!(!state.last_run_interrupted, "{scheme}");
        // What a compaction leaves out is nobody's open call any more.
        let b = create_compacted_segment(&*store, NOW, a, ForkPoint::End, history(vec![summary("s")])).unwrap();
        let state = restore(&*store, b.session_id, b.segment_id).unwrap();
        assert_eq!(state.open_tool_calls, Vec::<String>::new(), "{scheme}");
    }
}

#[test]
fn a_run_that_was_cut_short_is_restored_as_interrupted() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("a"), call("c1"), interrupted()]);
        assert!(restore_by_segment(&*store, a.segment_id).unwrap().last_run_interrupted, "{scheme}");
        let b = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        assert!(restore_by_segment(&*store, b.segment_id).unwrap().last_run_interrupted, "{scheme}");
        extend(&*store, b, turn(2, "on", "r"));
        assert!(!restore_by_segment(&*store, b.segment_id).unwrap().last_run_interrupted, "{scheme}");
    }
}

#[test]
fn settings_prompt_meta_and_extensions_come_from_the_whole_branch() {
    for (scheme, store, _folder) in every_store() {
        let config = |model: &str| SessionConfig { model: Some(model.into()), ..SessionConfig::default() };
        let meta = SegmentMeta { agent: Some("pi".into()), native_id: Some("n1".into()), ..SegmentMeta::default() };
        let new = NewSegment {
            system_prompt: Some("Be brief.".into()),
            config: SessionConfig { cwd: Some("/a".into()), ..config("m1") },
            meta,
            ..NewSegment::default()
        };
        let a = create_segment(&*store, NOW, new).unwrap();
        let domain =
            |name: &str| LogEntry::Extension(Extension { ts: NOW, domain: name.into(), payload: json!([name]) });
        extend(&*store, a, [domain("x"), prompt("hi"), answer("hello"), turn_end(1)]);
        append_entry(&*store, a, LogEntry::ConfigChanged(ConfigChanged { ts: NOW, config: config("m2") })).unwrap();
        let same = fork_at(&*store, NOW, a, ForkPoint::End).unwrap();
        extend(&*store, same, [domain("y")]);
        let state = restore_by_segment(&*store, same.segment_id).unwrap();
        assert_eq!(state.config, SessionConfig { cwd: Some("/a".into()), ..config("m2") }, "{scheme}");
        assert_eq!(state.system_prompt.as_deref(), Some("Be brief."), "{scheme}");
        assert_eq!(
            (state.meta.agent.as_deref(), state.meta.native_id.as_deref()),
            (Some("pi"), Some("n1")),
            "{scheme}"
        );
        let expected = [("x".to_owned(), json!(["x"])), ("y".to_owned(), json!(["y"]))];
        assert_eq!(state.extensions, expected, "{scheme}");
        // Another session is another conversation, also to the agent.
        let other = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        let state = restore_by_segment(&*store, other.segment_id).unwrap();
        assert_eq!((state.meta.agent.as_deref(), state.meta.native_id), (Some("pi"), None), "{scheme}");
    }
}

#[test]
fn a_reference_that_leads_nowhere_stands_for_nothing() {
    let own = segment("own");
    let session = session("s");
    let stranger = SegmentLocation { session_id: session, segment_id: segment("stranger") };
    let start = store_core::SegmentStart {
        history: vec![reference(stranger, 1, 9), summary("kept")],
        ..store_core::SegmentStart::new(session, NOW)
    };
    let part = LineageEntries {
        session_id: session,
        segment_id: own,
        position: Position { seq: Seq(1), crc32c: 7 },
        entries: vec![LogEntry::SegmentStart(Box::new(start))],
    };
    assert_eq!(said(&collect_state(&[part]).history), ["User: kept"]);
}

#[test]
fn an_open_call_is_closed_in_the_view_and_never_in_the_log() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("a"), call("c1"), call("c2"), result("c2", "ok"), prompt("b")]);
        let before = store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap();
        let state = restore_by_segment(&*store, a.segment_id).unwrap();
        let closed = ["User: a", "Call c1", "Call c2", "Result c2: ok", "Result c1: [interrupted]", "User: b"];
        assert_eq!(
            (said(&state.history), state.open_tool_calls),
            (closed.map(str::to_owned).to_vec(), vec!["c1".to_owned()])
        );
        assert_eq!(store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap(), before, "{scheme}");
        // Whoever answers it later is heard, where the call stands.
        extend(&*store, a, [result("c1", "late")]);
        let state = restore_by_segment(&*store, a.segment_id).unwrap();
        let answered = ["User: a", "Call c1", "Call c2", "Result c2: ok", "Result c1: late", "User: b"];
        assert_eq!((said(&state.history), state.open_tool_calls.len()), (answered.map(str::to_owned).to_vec(), 0));
    }
}

#[test]
fn what_a_provider_sealed_is_given_to_no_other_one() {
    let provider = |name: &str| {
        LogEntry::ConfigChanged(ConfigChanged {
            ts: NOW,
            config: SessionConfig { provider: Some(name.into()), ..SessionConfig::default() },
        })
    };
    let sealed = |text: &str| Item::Reasoning { text: text.into(), signature: Some("s".into()), encrypted: None };
    let opaque = Item::Reasoning { text: String::new(), signature: None, encrypted: Some("e".into()) };
    let store = store_core::MemoryStore::new();
    let thoughts = [provider("one"), prompt("a"), assistant(sealed("t")), assistant(opaque.clone()), answer("b")];
    let a = root(&store, thoughts);
    let thoughts_of = |at: SegmentLocation| -> Vec<Item> {
        let history = restore_by_segment(&store, at.segment_id).unwrap().history;
        history.into_iter().filter(|item| matches!(item, Item::Reasoning { .. })).collect()
    };
    assert_eq!(thoughts_of(a), [sealed("t"), opaque.clone()]);
    extend(&store, a, [provider("two"), prompt("c"), assistant(sealed("u")), answer("d")]);
    let plain = Item::Reasoning { text: "t".into(), signature: None, encrypted: None };
    assert_eq!(thoughts_of(a), [plain, sealed("u")], "what can be read of it stays");
    extend(&store, a, [provider("one")]);
    let plain = Item::Reasoning { text: "u".into(), signature: None, encrypted: None };
    assert_eq!(thoughts_of(a), [sealed("t"), opaque, plain]);
}

#[test]
fn what_an_agent_sealed_is_given_to_no_other_agent() {
    let sealed = Item::Reasoning { text: String::new(), signature: None, encrypted: Some("e".into()) };
    let store = store_core::MemoryStore::new();
    let of = |agent: &str| SegmentMeta { agent: Some(agent.into()), ..SegmentMeta::default() };
    let a = create_segment(&store, NOW, NewSegment { meta: of("one"), ..NewSegment::default() }).unwrap();
    extend(&store, a, [prompt("a"), assistant(sealed.clone()), answer("b")]);
    let history = vec![HistoryItem::Reference(HistoryRef { segment_id: a.segment_id, from: Seq(2), through: Seq(4) })];
    let compacted = |agent: &str| {
        let new = NewSegment { meta: of(agent), history: history.clone(), ..NewSegment::default() };
        let at = create_compacted_segment(&store, NOW, a, ForkPoint::End, new).unwrap();
        restore_by_segment(&store, at.segment_id).unwrap().history.contains(&sealed)
    };
    assert_eq!((compacted("one"), compacted("two")), (true, false));
}

#[test]
fn thoughts_and_items_of_the_future_are_handed_on_as_they_are() {
    for (scheme, store, _folder) in every_store() {
        let thought = Item::Reasoning { text: String::new(), signature: None, encrypted: Some("e30=".into()) };
        let future: Item = serde_json::from_value(json!({"type": "hologram", "x": [1, 2]})).unwrap();
        let a = root(&*store, [prompt("a"), assistant(thought.clone()), assistant(future.clone()), answer("b")]);
        let state = restore_by_segment(&*store, a.segment_id).unwrap();
        assert_eq!(state.history[1..3], [thought, future], "{scheme}");
    }
}
