//! Conversations as people read them.

use serde_json::json;
use session_store::{
    ForkPoint, NewSegment, SegmentLocation, SessionFact, ShowKind, ShowMessage, ShowOptions, ShowScope, TranscriptFold,
    create_compacted_segment, create_segment, fork, fork_at, lineage, put_session_fact, transcript,
};
use store_core::{
    Content, HistoryItem, HistoryRef, Item, ItemEntry, LogEntry, Part, Role, Seq, Store, SystemItem, UserInput,
};

use crate::common::{
    LyingStore, NOW, answer, assistant, branch, call, every_store, extend, injected, interrupted, prompt, result, root,
    turn, turn_end, usage, with_names,
};

fn show(store: &dyn Store, location: SegmentLocation, options: &ShowOptions) -> Vec<ShowMessage> {
    transcript(store, location.session_id, location.segment_id, options).unwrap().messages
}

fn rows(store: &dyn Store, location: SegmentLocation, scope: ShowScope) -> Vec<String> {
    lines(&show(store, location, &ShowOptions { scope, ..ShowOptions::default() }))
}

fn lines(messages: &[ShowMessage]) -> Vec<String> {
    let line = |row: &ShowMessage| match (&row.tool, row.kind) {
        (Some(tool), ShowKind::ToolCall) => format!("{} call {}", row.turn, tool.call_id),
        (Some(tool), _) => format!("{} result {}: {}", row.turn, tool.call_id, row.text),
        (None, ShowKind::Message) => format!("{} {:?}: {}", row.turn, row.role, row.text),
        (None, kind) => format!("{} {:?} {kind:?}: {}", row.turn, row.role, row.text),
    };
    messages.iter().map(line).collect()
}

fn summary(text: &str) -> HistoryItem {
    HistoryItem::Item(Item::message(Role::User, text))
}

fn reference(location: SegmentLocation, from: u64, through: u64) -> HistoryItem {
    HistoryItem::Reference(HistoryRef { segment_id: location.segment_id, from: Seq(from), through: Seq(through) })
}

fn compact(store: &dyn Store, from: SegmentLocation, history: Vec<HistoryItem>) -> SegmentLocation {
    create_compacted_segment(store, NOW, from, ForkPoint::End, NewSegment { history, ..NewSegment::default() }).unwrap()
}

/// What the fold counts for a branch.
fn counted(store: &dyn Store, location: SegmentLocation) -> u64 {
    let mut fold = TranscriptFold::default();
    for entry in branch(store, location).iter().flat_map(|part| &part.entries) {
        fold.apply(entry);
    }
    fold.messages()
}

fn assert_counted(store: &dyn Store, location: SegmentLocation, scheme: &str) {
    let shown = show(store, location, &ShowOptions::default());
    let messages = shown.iter().filter(|row| row.kind.is_message()).count() as u64;
    assert_eq!(counted(store, location), messages, "{scheme}");
}

#[test]
fn every_kind_of_row_has_one_json_form() {
    for (scheme, store, _folder) in every_store() {
        let image = Part::Image { media_type: Some("image/png".into()), data: Some(Content::from("aGk=")), url: None };
        let typed = vec![Part::text("look"), image, Part::text("there")];
        let thought = Item::Reasoning { text: "Hmm.".into(), signature: Some("s".into()), encrypted: None };
        let hidden = Item::Reasoning { text: String::new(), signature: None, encrypted: Some("x".into()) };
        let notice = Item::message(Role::System, "The model was changed.");
        let failed =
            Item::ToolResult { call_id: "c1".into(), parts: vec![Part::text("no"), Part::text("way")], is_error: true };
        let a = root(
            &*store,
            [
                injected("env"),
                LogEntry::UserInput(UserInput { ts: NOW, content: typed }),
                assistant(thought),
                assistant(hidden),
                answer("I look."),
                call("c1"),
                LogEntry::ToolResult(ItemEntry { ts: NOW + 1_500, item: failed }),
                LogEntry::SystemItem(SystemItem { ts: NOW, item: notice, injected: false }),
                assistant(serde_json::from_value(json!({"type": "hologram", "x": 1})).unwrap()),
                usage("r1", 1, 1),
                turn_end(1),
            ],
        );
        let b = compact(&*store, a, vec![summary("All of it.")]);
        let shown = transcript(&*store, b.session_id, b.segment_id, &ShowOptions::default()).unwrap();
        let names =
            [(a.session_id.to_string(), "SESSION"), (a.segment_id.to_string(), "A"), (b.segment_id.to_string(), "B")];
        insta::assert_json_snapshot!("every_kind_of_row", with_names(&shown, &names));
        assert_counted(&*store, b, scheme);
    }
}

#[test]
fn a_branch_is_shown_from_its_root_across_forks_and_compactions() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let b = fork(&*store, NOW, a, ForkPoint::Turn(1)).unwrap();
        extend(&*store, b, turn(2, "other", "r3"));
        let c = compact(&*store, b, vec![summary("so far"), reference(a, 2, 3)]);
        extend(&*store, c, turn(3, "three", "r4"));
        assert_eq!(
            rows(&*store, c, ShowScope::Branch),
            [
                "1 User: one",
                "1 Assistant: re: one",
                "2 User: other",
                "2 Assistant: re: other",
                "2 User Summary: so far",
                "3 User: three",
                "3 Assistant: re: three",
            ],
            "{scheme}"
        );
        let shown = transcript(&*store, c.session_id, c.segment_id, &ShowOptions::default()).unwrap();
        let lineage: Vec<_> = shown.lineage.iter().map(|part| (part.segment_id, part.through.0)).collect();
        assert_eq!(lineage, [(a.segment_id, 5), (b.segment_id, 5), (c.segment_id, 5)], "{scheme}");
        assert_counted(&*store, c, scheme);
    }
}

#[test]
fn an_answer_that_only_says_the_summary_is_hidden_and_another_is_not() {
    let cases: [(&str, &str, &str, bool); 6] = [
        ("the same", "It is done.", "It is done.", true),
        ("white space aside", " It is done.\n", "It is done.", true),
        ("below an introduction", "It is done.", "Here is the summary:\nIt is done.", true),
        ("something else", "It is done.", "It is not.", false),
        ("the end of a word", "done.", "undone.", false),
        ("more than the summary", "First.\nIt is done.", "It is done.", false),
    ];
    for (name, said, summed, hidden) in cases {
        for (scheme, store, _folder) in every_store() {
            let a = root(&*store, [prompt("one"), answer("1"), turn_end(1), answer(said), usage("r", 1, 1)]);
            let b = compact(&*store, a, vec![summary("context"), summary(summed)]);
            let shown = rows(&*store, b, ShowScope::Branch);
            assert_eq!(shown.len(), if hidden { 3 } else { 4 }, "{name}, {scheme}: {shown:?}");
            assert_eq!(shown.last().unwrap(), &format!("2 User Summary: {summed}"), "{name}, {scheme}");
            assert_counted(&*store, b, scheme);
            assert_eq!(rows(&*store, b, ShowScope::All), shown, "{name}, {scheme}");
        }
    }
}

#[test]
fn a_prompt_between_an_answer_and_its_summary_keeps_the_answer() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one"), answer("same"), prompt("two")]);
        let b = compact(&*store, a, vec![summary("same")]);
        assert_eq!(rows(&*store, b, ShowScope::Branch).len(), 4, "{scheme}");
        assert_counted(&*store, b, scheme);
    }
}

#[test]
fn an_answer_with_more_than_text_is_not_hidden() {
    for (scheme, store, _folder) in every_store() {
        let image = Part::Image { media_type: None, data: None, url: Some("https://example.org/a.png".into()) };
        let parts = vec![Part::text("same"), image];
        let a = root(&*store, [prompt("one"), assistant(Item::Message { role: Role::Assistant, parts })]);
        let b = compact(&*store, a, vec![summary("same")]);
        assert_eq!(rows(&*store, b, ShowScope::Branch).len(), 3, "{scheme}");
        assert_counted(&*store, b, scheme);
    }
}

#[test]
fn items_that_a_conversation_starts_with_are_shown() {
    for (scheme, store, _folder) in every_store() {
        let history = vec![summary("earlier"), HistoryItem::Item(Item::message(Role::Assistant, "yes"))];
        let a = create_segment(&*store, NOW, NewSegment { history, ..NewSegment::default() }).unwrap();
        assert_eq!(rows(&*store, a, ShowScope::Branch), ["0 User: earlier", "0 Assistant: yes"], "{scheme}");
        assert_counted(&*store, a, scheme);
    }
}

#[test]
fn a_compaction_without_a_summary_shows_none() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = compact(&*store, a, vec![reference(a, 2, 3)]);
        assert_eq!(rows(&*store, b, ShowScope::Branch), ["1 User: one", "1 Assistant: re: one"], "{scheme}");
    }
}

#[test]
fn all_shows_each_entry_of_the_session_once_behind_what_it_inherited() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "not inherited", "r2")].concat());
        let b = fork(&*store, NOW, a, ForkPoint::Turn(1)).unwrap();
        extend(&*store, b, [turn(2, "two", "r3"), turn(3, "dead end", "r4")].concat());
        let c = fork_at(&*store, NOW, b, ForkPoint::Turn(2)).unwrap();
        extend(&*store, c, turn(3, "three", "r5"));
        let gone = fork_at(&*store, NOW, b, ForkPoint::Turn(2)).unwrap();
        extend(&*store, gone, turn(3, "superseded", "r6"));
        put_session_fact(&*store, NOW, b.session_id, &SessionFact::Superseded(gone.segment_id)).unwrap();
        let expected = [
            "1 User: one",
            "1 Assistant: re: one",
            "2 User: two",
            "2 Assistant: re: two",
            "3 User: dead end",
            "3 Assistant: re: dead end",
            "3 User: three",
            "3 Assistant: re: three",
        ];
        assert_eq!(rows(&*store, c, ShowScope::All), expected, "{scheme}");
        assert_eq!(rows(&*store, b, ShowScope::All), expected, "{scheme}");
    }
}

#[test]
fn a_session_whose_only_segment_was_superseded_is_still_shown() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one")]);
        put_session_fact(&*store, NOW, a.session_id, &SessionFact::Superseded(a.segment_id)).unwrap();
        assert_eq!(rows(&*store, a, ShowScope::All), ["1 User: one"], "{scheme}");
    }
}

#[test]
fn all_reads_each_segment_as_often_however_they_continue_each_other() {
    let store = LyingStore::default();
    let mut last = root(&store, turn(1, "one", "r1"));
    for number in 2..12 {
        last = fork_at(&store, NOW, last, ForkPoint::End).unwrap();
        extend(&store, last, turn(number, "more", "r"));
    }
    store.take_reads();
    let options = ShowOptions { scope: ShowScope::All, ..ShowOptions::default() };
    transcript(&store, last.session_id, last.segment_id, &options).unwrap();
    let most = store.take_reads().into_values().max();
    // Its start, its entries, and once more as a part of the named branch.
    assert_eq!(most, Some(3));
}

#[test]
fn a_context_is_what_a_model_would_be_given_with_open_calls_closed() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = compact(&*store, a, vec![summary("so far"), reference(a, 3, 3)]);
        let more =
            [injected("env"), prompt("two"), call("c1"), call("c2"), result("c2", "ok"), interrupted(), prompt("on")];
        extend(&*store, b, more);
        assert_eq!(
            rows(&*store, b, ShowScope::Context),
            [
                "1 User Summary: so far",
                "1 Assistant: re: one",
                "1 System: env",
                "2 User: two",
                "2 call c1",
                "2 call c2",
                "2 result c2: ok",
                "2 result c1: [interrupted]",
                "3 User: on",
            ],
            "{scheme}"
        );
        let shown = show(&*store, b, &ShowOptions { scope: ShowScope::Context, ..ShowOptions::default() });
        let kept: Vec<_> = shown.iter().map(|row| (row.segment_id == a.segment_id, row.injected)).collect();
        assert_eq!(kept[..4], [(false, false), (true, false), (false, true), (false, false)], "{scheme}");
        let closing = shown[7].tool.clone().unwrap();
        assert_eq!((closing.name.as_deref(), closing.is_error), (Some("shell"), Some(true)), "{scheme}");
    }
}

#[test]
fn turns_and_the_last_messages_narrow_what_is_shown() {
    for (scheme, store, _folder) in every_store() {
        let entries =
            [turn(1, "one", "r1"), vec![prompt("two"), call("c1"), result("c1", "ok"), answer("2")], turn(3, "x", "r")];
        let a = root(&*store, entries.concat());
        let narrowed = |turns, last| lines(&show(&*store, a, &ShowOptions { turns, last, ..ShowOptions::default() }));
        let second =
            ["2 User: two", "2 call c1", "2 result c1: ok", "2 Assistant: 2", "2 User: x", "2 Assistant: re: x"];
        assert_eq!(narrowed(Some((2, 9)), None), second, "{scheme}");
        assert_eq!(narrowed(Some((1, 1)), Some(1)), ["1 Assistant: re: one"], "{scheme}");
        assert_eq!(narrowed(None, Some(4)), second, "{scheme}");
        assert_eq!(narrowed(None, Some(0)), Vec::<String>::new(), "{scheme}");
        assert_eq!(narrowed(None, Some(99)).len(), 8, "{scheme}");
        assert_eq!(narrowed(Some((5, 2)), None), Vec::<String>::new(), "{scheme}");
    }
}

#[test]
fn a_tool_is_named_in_its_result_across_a_fork() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one"), call("c1")]);
        let b = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        extend(&*store, b, [result("c1", "ok"), result("unknown", "?")]);
        let shown = show(&*store, b, &ShowOptions::default());
        let names: Vec<_> = shown[2..].iter().map(|row| row.tool.clone().and_then(|tool| tool.name)).collect();
        assert_eq!(names, [Some("shell".to_owned()), None], "{scheme}");
    }
}

#[test]
fn a_fold_that_was_stored_within_a_branch_still_hides_what_a_summary_repeats() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one"), answer("the sum")]);
        let b = compact(&*store, a, vec![summary("the sum")]);
        let parts = lineage::load(&*store, b.session_id, b.segment_id).unwrap();
        let mut fold = TranscriptFold::default();
        for entry in parts.iter().flat_map(|part| &part.entries) {
            fold = serde_json::from_str(&serde_json::to_string(&fold).unwrap()).unwrap();
            fold.apply(entry);
        }
        assert_eq!(fold.messages(), 2, "{scheme}");
    }
}
