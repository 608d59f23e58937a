//! What a compaction keeps, and what comes of it.

use proptest::prelude::*;
use session_store::{
    CompactOptions, CompactionPlan, NewSegment, SegmentLocation, SegmentState, SessionError, ShowKind, ShowOptions,
    compact, current_leaf, entry_item, plan_compaction, restore_by_segment, transcript, valid_history,
};
use store_core::{HistoryItem, HistoryRef, Item, LogEntry, MemoryStore, Role, Seq, Store, StoreError};

use crate::common::{
    LyingStore, NOW, answer, assistant, branch, call, every_store, extend, injected, prompt, result, root, said, turn,
    turn_end, usage,
};

fn plan(store: &dyn Store, at: SegmentLocation, keep_turns: u64) -> CompactionPlan {
    plan_compaction(&branch(store, at), &CompactOptions { keep_turns }).unwrap()
}

fn references(at: SegmentLocation, ranges: &[(u64, u64)]) -> Vec<HistoryRef> {
    let range = |(from, through): &(u64, u64)| HistoryRef {
        segment_id: at.segment_id,
        from: Seq(*from),
        through: Seq(*through),
    };
    ranges.iter().map(range).collect()
}

#[test]
fn the_last_turns_stay_by_reference_and_a_summary_stands_for_the_rest() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2"), turn(3, "three", "r3")].concat());
        let before = store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap();
        let plan = plan(&*store, a, 1);
        assert_eq!(said(&plan.to_summarise), ["User: one", "Assistant: re: one", "User: two", "Assistant: re: two"]);
        assert_eq!((plan.kept.clone(), plan.kept_turns, plan.history_items), (references(a, &[(10, 11)]), 1, 3));
        let b = compact(&*store, NOW, &plan, "  They counted.\n").unwrap();
        let state = restore_by_segment(&*store, b.segment_id).unwrap();
        assert_eq!(said(&state.history), ["User: They counted.", "User: three", "Assistant: re: three"], "{scheme}");
        assert_eq!((state.turn_count, state.usage_history.len()), (3, 3), "{scheme}: usage goes on");
        assert_eq!(current_leaf(&*store, a.session_id).unwrap(), b.segment_id, "{scheme}");
        let start = branch(&*store, b).last().unwrap().start().unwrap().clone();
        let kept: Vec<HistoryItem> = plan.kept.iter().copied().map(HistoryItem::Reference).collect();
        assert_eq!(start.history[1..], kept[..], "{scheme}: nothing is copied");
        assert_eq!(start.compacted_from.map(|origin| origin.seq), Some(Seq(13)), "{scheme}");
        assert_eq!(store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap(), before, "{scheme}");
        let rows = transcript(&*store, b.session_id, b.segment_id, &ShowOptions::default()).unwrap().messages;
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(texts, ["one", "re: one", "two", "re: two", "three", "re: three", "They counted."], "{scheme}");
        assert_eq!(rows.last().map(|row| row.kind), Some(ShowKind::Summary), "{scheme}");
    }
}

#[test]
fn without_turns_to_keep_the_summary_is_all_there_is() {
    let store = MemoryStore::new();
    let a = root(&store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
    let plan = plan(&store, a, 0);
    assert_eq!((plan.kept.len(), plan.kept_turns), (0, 0));
    let b = compact(&store, NOW, &plan, "All.").unwrap();
    assert_eq!(said(&restore_by_segment(&store, b.segment_id).unwrap().history), ["User: All."]);
}

#[test]
fn a_call_that_may_still_be_answered_keeps_its_turn() {
    let store = MemoryStore::new();
    let open = [prompt("two"), call("c1"), call("c2"), result("c1", "ok")];
    let a = root(&store, turn(1, "one", "r1").into_iter().chain(open));
    let plan = plan(&store, a, 0);
    assert_eq!((plan.kept.clone(), plan.kept_turns), (references(a, &[(6, 9)]), 1));
    let b = compact(&store, NOW, &plan, "S").unwrap();
    extend(&store, b, [result("c2", "late")]);
    let state = restore_by_segment(&store, b.segment_id).unwrap();
    assert_eq!(
        said(&state.history),
        ["User: S", "User: two", "Call c1", "Call c2", "Result c1: ok", "Result c2: late"]
    );
}

#[test]
fn a_call_of_a_run_that_was_ended_is_summarised_with_it() {
    let store = MemoryStore::new();
    let a = root(&store, [vec![prompt("one"), call("c1"), turn_end(1)], turn(2, "two", "r2")].concat());
    assert_eq!(plan(&store, a, 1).kept, references(a, &[(5, 6)]));
}

#[test]
fn a_call_stays_with_an_answer_that_came_turns_later() {
    let store = MemoryStore::new();
    let late = vec![prompt("two"), call("c1"), turn_end(2), prompt("three"), result("c1", "at last"), turn_end(3)];
    let a = root(&store, [turn(1, "one", "r1"), late].concat());
    let plan = plan(&store, a, 1);
    assert_eq!((plan.kept, plan.kept_turns), (references(a, &[(6, 10)]), 2));
}

#[test]
fn what_the_program_said_first_stays_in_front_of_the_summary() {
    let store = MemoryStore::new();
    let a = root(
        &store,
        [vec![injected("rules"), injected("more")], turn(1, "one", "r1"), vec![injected("today")]].concat(),
    );
    extend(&store, a, turn(2, "two", "r2"));
    let first = plan(&store, a, 1);
    assert_eq!(first.instructions, references(a, &[(2, 3)]));
    assert_eq!(first.kept, references(a, &[(8, 10)]), "what was said between two turns belongs to the later one");
    let b = compact(&store, NOW, &first, "S").unwrap();
    extend(&store, b, turn(3, "three", "r3"));
    let again = plan(&store, b, 1);
    assert_eq!(said(&again.to_summarise), ["User: S", "Developer: today", "User: two", "Assistant: re: two"]);
    let c = compact(&store, NOW, &again, "S2").unwrap();
    let state = restore_by_segment(&store, c.segment_id).unwrap();
    let expected = ["Developer: rules", "Developer: more", "User: S2", "User: three", "Assistant: re: three"];
    assert_eq!(said(&state.history), expected);
}

#[test]
fn turns_that_an_earlier_compaction_kept_may_be_kept_again() {
    let store = MemoryStore::new();
    let a = root(&store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
    let b = compact(&store, NOW, &plan(&store, a, 1), "S").unwrap();
    extend(&store, b, turn(3, "three", "r3"));
    // Only the earlier summary would be left to summarise.
    let error = plan_compaction(&branch(&store, b), &CompactOptions { keep_turns: 2 }).unwrap_err();
    assert!(matches!(error, SessionError::NothingToCompact { turns: 3, kept: 2 }), "{error:?}");
    extend(&store, b, turn(4, "four", "r4"));
    let again = plan(&store, b, 2);
    assert_eq!(again.kept, references(b, &[(2, 7)]));
    assert_eq!(said(&again.to_summarise), ["User: S", "User: two", "Assistant: re: two"]);
}

#[test]
fn there_may_be_nothing_to_compact() {
    let store = MemoryStore::new();
    let empty = root(&store, []);
    let one = root(&store, turn(1, "one", "r1"));
    for (at, keep_turns) in [(empty, 0), (empty, 2), (one, 1), (one, u64::MAX)] {
        let error = plan_compaction(&branch(&store, at), &CompactOptions { keep_turns }).unwrap_err();
        assert!(matches!(error, SessionError::NothingToCompact { .. }), "{error:?}");
    }
}

#[test]
fn an_empty_summary_stands_for_nothing() {
    let store = MemoryStore::new();
    let a = root(&store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
    let error = compact(&store, NOW, &plan(&store, a, 1), " \n").unwrap_err();
    assert!(matches!(error, SessionError::EmptySummary), "{error:?}");
    assert_eq!(store.list_segments(a.session_id).unwrap().len(), 1);
}

#[test]
fn a_plan_that_somebody_wrote_after_is_void() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let plan = plan(&*store, a, 1);
        extend(&*store, a, [prompt("three")]);
        let error = compact(&*store, NOW, &plan, "S").unwrap_err();
        assert!(matches!(error, SessionError::Store(StoreError::Conflict { .. })), "{scheme}: {error:?}");
        assert_eq!(store.list_segments(a.session_id).unwrap(), [a.segment_id], "{scheme}");
    }
}

#[test]
fn what_somebody_says_while_the_segment_is_made_is_what_the_session_goes_on_from() {
    let store = LyingStore::default();
    let a = root(&store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
    let state = SegmentState::open(&store, a).unwrap();
    let plan = plan(&store, a, 1);
    store.interject(a, prompt("me first"));
    let error = compact(&store, NOW, &plan, "S").unwrap_err();
    assert!(matches!(error, SessionError::Store(StoreError::Conflict { .. })), "{error:?}");
    assert_eq!(current_leaf(&store, a.session_id).unwrap(), a.segment_id);
    store.interject(a, prompt("me first"));
    let error = state.compact(&store, NOW, NewSegment::default()).unwrap_err();
    assert!(matches!(error, SessionError::Store(StoreError::Conflict { .. })), "{error:?}");
    assert_eq!(current_leaf(&store, a.session_id).unwrap(), a.segment_id);
}

#[test]
fn the_text_for_a_summariser_says_who_said_what() {
    let store = MemoryStore::new();
    let thought = Item::Reasoning { text: "hm".into(), signature: None, encrypted: None };
    let entries = [
        injected("rules"),
        prompt("Why?"),
        injected("reminder"),
        assistant(thought),
        call("c1"),
        result("c1", "a\nb\n"),
        answer("Because."),
        turn_end(1),
        usage("r1", 1, 1),
    ];
    let a = root(&store, entries);
    let text = plan(&store, a, 0).text(&store).unwrap();
    insta::assert_snapshot!(text, @r#"
    [user]
    Why?

    [instructions]
    reminder

    [call c1 of shell]
    {"command":"ls"}

    [result of c1]
    a
    b

    [assistant]
    Because.
    "#);
}

#[test]
fn a_large_text_is_read_back_for_the_summariser() {
    for (scheme, store, _folder) in every_store() {
        let long = "long ".repeat(20_000);
        let a = root(&*store, [prompt(&long), answer("ok"), turn_end(1)]);
        let text = plan(&*store, a, 0).text(&*store).unwrap();
        assert!(text.contains(long.trim_end()), "{scheme}");
    }
}

fn script() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0_u8..8, 0..40)
}

/// Entries that somebody might write, and some that nobody should.
fn entries(script: &[u8]) -> Vec<LogEntry> {
    let mut calls = 0;
    let entry = |step: &u8| match step {
        0 => prompt("p"),
        1 => answer("a"),
        2 => {
            calls += 1;
            call(&format!("c{calls}"))
        }
        3 => result(&format!("c{calls}"), "r"),
        4 => result("c1", "r"),
        5 => injected("i"),
        6 => turn_end(1),
        _ => usage("r", 1, 1),
    };
    script.iter().map(entry).collect()
}

proptest! {
    #[test]
    fn a_plan_leaves_nothing_out_and_splits_no_call(script in script(), more in script(), keep_turns in 0_u64..4) {
        let store = MemoryStore::new();
        let mut at = root(&store, entries(&script));
        for _ in 0..2 {
            let before = restore_by_segment(&store, at.segment_id).unwrap().history;
            let Ok(plan) = plan_compaction(&branch(&store, at), &CompactOptions { keep_turns }) else { return Ok(()) };
            let (instructions, kept) = (items(&store, at, &plan.instructions), items(&store, at, &plan.kept));
            let whole: Vec<Item> = [&instructions[..], &plan.to_summarise, &kept].concat();
            prop_assert_eq!(valid_history(whole.clone()), before, "nothing is left out, nothing said twice");
            let cut = instructions.len() + plan.to_summarise.len();
            for (call, result) in answered(&whole) {
                prop_assert!(call >= cut || result < cut, "the call at {} is split from its result at {}", call, result);
            }
            at = compact(&store, NOW, &plan, "S").unwrap();
            let given = [&instructions[..], &[Item::message(Role::User, "S")], &kept].concat();
            prop_assert_eq!(given.len() as u64, plan.history_items);
            prop_assert_eq!(restore_by_segment(&store, at.segment_id).unwrap().history, valid_history(given));
            extend(&store, at, entries(&more).into_iter().map(renamed));
        }
    }
}

/// The items that references stand for.
fn items(store: &dyn Store, at: SegmentLocation, references: &[HistoryRef]) -> Vec<Item> {
    let of = |range: &HistoryRef| {
        let (after, count) = (Seq(range.from.0 - 1), range.through.0 - range.from.0 + 1);
        let records =
            store.read_range(at.session_id, range.segment_id, after, usize::try_from(count).unwrap()).unwrap();
        records.into_iter().filter_map(|record| entry_item(&record.entry)).collect::<Vec<Item>>()
    };
    references.iter().flat_map(of).collect()
}

/// The places of calls and of what answers them: the earliest call of that id that is still open.
fn answered(history: &[Item]) -> Vec<(usize, usize)> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut answered = Vec::new();
    for (at, item) in history.iter().enumerate() {
        match item {
            Item::ToolCall { call_id, .. } => open.push((at, call_id)),
            Item::ToolResult { call_id, .. } => {
                if let Some(place) = open.iter().position(|(_, id)| id == call_id) {
                    answered.push((open.remove(place).0, at));
                }
            }
            _ => {}
        }
    }
    answered
}

/// The calls of a second script are not those of the first.
fn renamed(entry: LogEntry) -> LogEntry {
    match entry {
        LogEntry::AssistantItem(mut entry) => {
            if let Item::ToolCall { call_id, .. } = &mut entry.item {
                call_id.insert(0, 'd');
            }
            LogEntry::AssistantItem(entry)
        }
        LogEntry::ToolResult(mut entry) => {
            if let Item::ToolResult { call_id, .. } = &mut entry.item {
                call_id.insert(0, 'd');
            }
            LogEntry::ToolResult(entry)
        }
        entry => entry,
    }
}
