//! Turns, settings and usage.

use proptest::prelude::*;
use serde_json::json;
use session_store::{ConfigFold, OpenCall, TurnChange, TurnFold, UsageFold};
use store_core::{ConfigChanged, LlmUsage, LogEntry, RunCompleted, SegmentStart, SessionConfig, TimestampMs};

use crate::common::{NOW, answer, call, injected, interrupted, prompt, result, session, turn, turn_end, usage};

fn after(entries: &[LogEntry]) -> TurnFold {
    let mut fold = TurnFold::default();
    for entry in entries {
        fold.apply(entry);
    }
    fold
}

fn run_completed(interrupted: bool) -> LogEntry {
    LogEntry::RunCompleted(RunCompleted { ts: NOW, result: json!({"ok": true}), interrupted })
}

fn start() -> LogEntry {
    LogEntry::SegmentStart(Box::new(SegmentStart::new(session("s"), NOW)))
}

#[test]
fn a_second_prompt_belongs_to_the_turn_that_is_open() {
    let fold = after(&[start(), prompt("a"), answer("b"), prompt("also")]);
    assert_eq!((fold.turn(), fold.is_open(), fold.is_answered()), (1, true, true));
    let fold = after(&[start(), prompt("a"), turn_end(1), prompt("b")]);
    assert_eq!((fold.turn_count(), fold.is_open(), fold.is_answered()), (2, true, false));
}

#[test]
fn an_answer_without_a_prompt_begins_a_turn_and_injected_text_does_not() {
    let mut fold = after(&[start(), injected("env")]);
    assert_eq!((fold.turn(), fold.is_open()), (0, false));
    assert_eq!(fold.apply(&answer("hello")), TurnChange::Began);
    assert_eq!(fold.apply(&injected("reminder")), TurnChange::None);
    assert_eq!(fold.apply(&turn_end(1)), TurnChange::Ended);
    assert_eq!(fold.apply(&result("lost", "late")), TurnChange::Began);
    assert_eq!((fold.turn(), fold.is_answered()), (2, false));
}

#[test]
fn a_segment_that_begins_within_a_turn_does_not_end_it() {
    let fold = after(&[start(), prompt("a"), call("c1"), start(), result("c1", "ok"), turn_end(1)]);
    assert_eq!((fold.turn_count(), fold.is_open()), (1, false));
    assert_eq!(fold.open_calls(), []);
}

#[test]
fn open_calls_are_those_of_the_last_turn_in_the_order_they_were_made() {
    let open = |id: &str| OpenCall { call_id: id.into(), name: "shell".into() };
    let mut fold = after(&[prompt("a"), call("c1"), call("c2"), call("c3"), result("c2", "ok")]);
    assert_eq!(fold.open_calls(), [open("c1"), open("c3")]);
    fold.apply(&interrupted());
    assert_eq!(fold.open_calls(), [open("c1"), open("c3")]);
    fold.apply(&prompt("again"));
    assert_eq!(fold.open_calls(), []);
}

#[test]
fn a_result_answers_one_of_two_calls_with_the_same_id() {
    let fold = after(&[prompt("a"), call("c1"), call("c1"), result("c1", "ok")]);
    assert_eq!(fold.open_calls().len(), 1);
}

#[test]
fn only_the_end_of_the_last_run_says_that_it_was_interrupted() {
    let cases: [(&str, Vec<LogEntry>, bool); 8] = [
        ("nothing yet", vec![], false),
        ("open calls alone", vec![prompt("a"), call("c1")], false),
        ("an error that is no interruption", vec![prompt("a"), crate::common::run_errored(false)], false),
        ("interrupted", vec![prompt("a"), interrupted()], true),
        ("a run that completed half", vec![prompt("a"), answer("b"), run_completed(true)], true),
        ("a turn end behind the interruption", vec![prompt("a"), interrupted(), turn_end(1)], true),
        ("a turn end, then the run's own end", vec![prompt("a"), answer("b"), turn_end(1), run_completed(true)], true),
        ("a new turn", vec![prompt("a"), interrupted(), prompt("b")], false),
    ];
    for (name, entries, expected) in cases {
        assert_eq!(after(&entries).last_run_interrupted(), expected, "{name}");
    }
}

#[test]
fn settings_change_by_name_and_the_rest_stays() {
    let config = |model: Option<&str>, cwd: Option<&str>| SessionConfig {
        model: model.map(Into::into),
        cwd: cwd.map(Into::into),
        ..SessionConfig::default()
    };
    let mut fold = ConfigFold::default();
    let first = SegmentStart { config: config(Some("m1"), Some("/a")), ..SegmentStart::new(session("s"), NOW) };
    fold.apply(&LogEntry::SegmentStart(Box::new(first)));
    fold.apply(&LogEntry::ConfigChanged(ConfigChanged { ts: NOW, config: config(Some("m2"), None) }));
    fold.apply(&start());
    assert_eq!(fold.config(), &config(Some("m2"), Some("/a")));
}

#[test]
fn a_request_counts_once_with_its_largest_record() {
    let mut fold = UsageFold::default();
    fold.apply(&usage("r1", 100, 10), true);
    fold.apply(&usage("r2", 100, 1), false);
    fold.apply(&usage("r1", 100, 40), false);
    fold.apply(&usage("r1", 90, 20), false);
    let rows: Vec<_> = fold.rows().iter().map(|row| (row.usage.output_tokens, row.inherited)).collect();
    assert_eq!(rows, [(40, true), (1, false)]);
    assert_eq!((fold.totals(true).total_tokens, fold.totals(false).total_tokens), (140, 101));
}

#[test]
fn of_two_records_with_the_same_total_the_one_with_more_output_counts() {
    let mut fold = UsageFold::default();
    fold.apply(&usage("r1", 100, 10), false);
    fold.apply(&usage("r1", 90, 20), false);
    fold.apply(&usage("r1", 95, 15), false);
    assert_eq!(fold.into_history()[0].output_tokens, 20);
}

#[test]
fn records_without_an_id_are_requests_of_their_own() {
    let mut fold = UsageFold::default();
    let nameless = LogEntry::LlmUsage(LlmUsage { output_tokens: 5, ..LlmUsage::default() });
    fold.apply(&nameless, false);
    fold.apply(&nameless, false);
    assert_eq!(fold.totals(false).total_tokens, 10);
}

#[test]
fn totals_split_input_from_the_cache_and_survive_absurd_counts() {
    let mut fold = UsageFold::default();
    let request = LlmUsage {
        input_total_tokens: 100,
        cache_read_tokens: 60,
        cache_write_tokens: 30,
        output_tokens: 7,
        reasoning_tokens: Some(3),
        ..LlmUsage::default()
    };
    fold.apply(&LogEntry::LlmUsage(request), false);
    insta::assert_json_snapshot!(fold.totals(false));
    let absurd = LlmUsage {
        input_total_tokens: 1,
        cache_read_tokens: u64::MAX,
        cache_write_tokens: 5,
        output_tokens: u64::MAX,
        ..LlmUsage::default()
    };
    fold.apply(&LogEntry::LlmUsage(absurd), false);
    assert_eq!((fold.totals(false).input_tokens, fold.totals(false).total_tokens), (10, u64::MAX));
}

fn any_entry() -> impl Strategy<Value = LogEntry> {
    let id = prop_oneof![Just("a"), Just("b"), Just("c")];
    prop_oneof![
        Just(start()),
        Just(prompt("p")),
        Just(answer("x")),
        Just(injected("i")),
        Just(turn_end(1)),
        Just(interrupted()),
        Just(run_completed(false)),
        id.clone().prop_map(call),
        id.clone().prop_map(|id| result(id, "r")),
        (id, 0_u64..50).prop_map(|(id, tokens)| usage(id, tokens, tokens)),
    ]
}

proptest! {
    #[test]
    fn folds_that_were_stored_and_taken_up_again_go_on_the_same(
        entries in proptest::collection::vec(any_entry(), 0..40),
        cut in 0_usize..40,
    ) {
        let (mut turns, mut config, mut used) = (TurnFold::default(), ConfigFold::default(), UsageFold::default());
        let (mut turns2, mut config2, mut used2) = (turns.clone(), config.clone(), used.clone());
        for (at, entry) in entries.iter().enumerate() {
            if at == cut {
                let again = |fold: serde_json::Value| fold.to_string();
                turns2 = serde_json::from_str(&again(json!(turns2))).unwrap();
                config2 = serde_json::from_str(&again(json!(config2))).unwrap();
                used2 = serde_json::from_str(&again(json!(used2))).unwrap();
            }
            turns.apply(entry);
            turns2.apply(entry);
            config.apply(entry);
            config2.apply(entry);
            used.apply(entry, at % 2 == 0);
            used2.apply(entry, at % 2 == 0);
        }
        prop_assert_eq!(turns, turns2);
        prop_assert_eq!(config, config2);
        prop_assert_eq!(used, used2);
    }
}

#[test]
fn entries_out_of_their_time_are_taken_in_their_order() {
    let early: TimestampMs = 1;
    let mut entries = turn(1, "a", "r1");
    entries.push(LogEntry::RunCompleted(RunCompleted { ts: early, result: json!(null), interrupted: true }));
    assert!(after(&entries).last_run_interrupted(), "{entries:?}");
}
