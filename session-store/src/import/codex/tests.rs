//! The steps of the sample files, and of lines of versions that left no samples.

use std::path::Path;

use serde_json::Value;
use store_core::{Item, LogEntry, SessionKind};

use super::{CodexReader, head, sniff};
use crate::import::record::{FileHead, ForkHint, Step};
use crate::import::testing::{
    assert_prefix_rule, assert_wrong_types_are_survived, records, render, sample, samples, steps,
};

const DAY: &str = "codex/sessions/2026/11/21/rollout-2026-11-21T";
const OLD_DAY: &str = "codex-0.80.0/sessions/2026/11/21/rollout-2026-11-21T";

fn read_text(path: &Path, text: &str) -> (FileHead, Vec<Step>) {
    let records = records(text);
    let values: Vec<Value> = records.iter().map(|(_, value)| value.clone()).collect();
    let head = head(path, &values).unwrap();
    let steps = steps(CodexReader::new(&head), &records);
    (head, steps)
}

fn read(path: &str) -> (FileHead, Vec<Step>) {
    let path = sample(path);
    read_text(&path, &std::fs::read_to_string(&path).unwrap())
}

/// The text of what was typed.
fn prompts(steps: &[Step]) -> Vec<String> {
    let entries = steps.iter().flat_map(|step| match step {
        Step::Entries { entries, .. } => entries.as_slice(),
        _ => &[],
    });
    let inputs = entries.filter_map(|entry| match entry {
        LogEntry::UserInput(input) => Some(input.content.iter().filter_map(|part| part.as_text()).collect()),
        _ => None,
    });
    inputs.collect()
}

fn usage(steps: &[Step]) -> (u64, u64, u64) {
    let mut sum = (0, 0, 0);
    for step in steps {
        let Step::Entries { entries, .. } = step else { continue };
        for entry in entries {
            if let LogEntry::LlmUsage(usage) = entry {
                sum.0 += usage.input_total_tokens;
                sum.1 += usage.cache_read_tokens;
                sum.2 += usage.output_tokens;
            }
        }
    }
    sum
}

fn all_samples() -> Vec<std::path::PathBuf> {
    ["codex", "codex-0.80.0", "constructed/codex"].into_iter().flat_map(samples).collect()
}

#[test]
fn the_steps_of_a_prefix_are_a_prefix_of_the_steps() {
    for path in all_samples() {
        assert_prefix_rule(&path, head, CodexReader::new);
    }
}

#[test]
fn fields_of_wrong_types_are_survived() {
    for path in samples("constructed/codex") {
        assert_wrong_types_are_survived(&path, head, CodexReader::new);
    }
}

#[test]
fn every_record_of_the_samples_is_known_as_codex() {
    for path in all_samples() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, value) in records(&text) {
            assert!(sniff(&value), "line {line} of {path:?}");
        }
    }
    for path in ["claude", "pi"].into_iter().flat_map(samples) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, value) in records(&text) {
            assert!(!sniff(&value), "line {line} of {path:?}");
        }
    }
}

#[test]
fn what_was_used_is_what_was_served() {
    for folder in ["codex", "codex-0.80.0"] {
        let expected = std::fs::read_to_string(sample(folder).join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        for file in expected["files"].as_array().unwrap() {
            let path = format!("{folder}/{}", file["file"].as_str().unwrap());
            let recorded = &file["tokens_sum_of_last_token_usage_when_total_changes"];
            let of = |key: &str| recorded[key].as_u64().unwrap();
            let mut expected = (of("input_tokens"), of("cached_input_tokens"), of("output_tokens"));
            let (_, steps) = read(&path);
            if file["tokens_served_by_response_id"].is_object() && folder == "codex" {
                // A response may be recorded by its id although the totals were never told again.
                let recorded = &file["tokens_served_by_response_id"];
                let of = |key: &str| recorded[key].as_u64().unwrap();
                expected = (of("input"), of("cached"), of("output"));
            }
            assert_eq!(usage(&steps), expected, "{path}");
        }
    }
}

#[test]
fn what_was_typed_is_told_from_what_was_put_in() {
    for folder in ["codex", "codex-0.80.0"] {
        let expected = std::fs::read_to_string(sample(folder).join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        for file in expected["files"].as_array().unwrap() {
            let path = format!("{folder}/{}", file["file"].as_str().unwrap());
            let (_, steps) = read(&path);
            let prompts = prompts(&steps);
            let runs = file["runs"].as_array().unwrap();
            assert!(prompts.len() >= runs.len(), "{path}: {prompts:?}");
            for (prompt, run) in prompts.iter().zip(runs) {
                let mut arguments = run.as_array().unwrap().iter().filter_map(Value::as_str);
                // `-`: the prompt came through standard input.
                assert!(
                    arguments.any(|asked| asked == "-" || prompt.ends_with(asked)),
                    "{path}: {prompt:?} is not of {run}"
                );
            }
        }
    }
}

#[test]
fn a_compaction_and_a_roll_back() {
    let (head, steps) = read("constructed/codex/compaction_rollback_reemit.jsonl");
    insta::assert_debug_snapshot!("head_of_compaction_rollback_reemit", head);
    insta::assert_snapshot!("compaction_rollback_reemit", render(&steps));
    assert_eq!(usage(&steps), (1_500, 400, 130));
}

#[test]
fn a_fork_by_reference() {
    let (head, steps) = read("constructed/codex/paginated_ordinals_fork.jsonl");
    let native_id = "019ee8c9-c5b3-78f0-bdc2-ab4c8e024293".to_owned();
    assert_eq!(head.fork, ForkHint::ByReference { native_id, end_ordinal: 13 });
    insta::assert_snapshot!("paginated_ordinals_fork", render(&steps));
}

#[test]
fn a_compaction_that_lists_its_history() {
    let (_, steps) = read(&format!("{DAY}03-55-21-01a1fc3e-90d6-74b3-bc47-288e52a01880.jsonl"));
    insta::assert_snapshot!("compaction_with_a_list", render(&steps));
}

#[test]
fn a_compaction_of_an_older_version() {
    let (_, steps) = read(&format!("{OLD_DAY}04-04-58-01a1fc47-605b-7bf0-8a90-b0615a3094fa.jsonl"));
    insta::assert_snapshot!("compaction_without_a_list", render(&steps));
}

#[test]
fn a_sub_agent_names_the_thread_that_started_it() {
    let (head, steps) = read(&format!("{DAY}03-55-28-01a1fc3e-acef-7ff3-953a-307c45cda9b7.jsonl"));
    assert_eq!(head.kind, SessionKind::Subagent);
    assert_eq!(head.parent.unwrap().native_id, "01a1fc3e-ac7f-7bc3-b8cf-ace528909995");
    insta::assert_snapshot!("sub_agent", render(&steps));
}

#[test]
fn an_archived_file_is_known_by_its_folder() {
    let name = "rollout-2026-11-21T03-55-29-01a1fc3e-b322-7c70-bd0b-341f8244c8d4.jsonl";
    assert!(read(&format!("codex/archived_sessions/{name}")).0.archived);
    assert!(!read(&format!("{DAY}03-55-14-01a1fc3e-75ff-72c0-b123-b705a12b61bd.jsonl")).0.archived);
}

#[test]
fn a_refused_request_fails_its_turn() {
    let (_, steps) = read(&format!("{DAY}03-55-17-01a1fc3e-8301-7491-ada4-59cf0f38f2d8.jsonl"));
    let failed: Vec<&Step> = steps.iter().filter(|step| matches!(step, Step::Fail { .. })).collect();
    assert!(
        matches!(failed[..], [Step::Fail { message, interrupted: false, .. }] if message.contains("dusky-narwhal-8987")),
        "{failed:?}"
    );
}

#[test]
fn the_flat_form_of_2025() {
    let text = concat!(
        r#"{"id":"0f5a9f3e-4f9b-4a62-8f0c-0a3d3f1e2b11","timestamp":"2025-07-02T10:00:00.000Z","instructions":"Be brief.","git":{"branch":"main"}}"#,
        "\n",
        r#"{"record_type":"state"}"#,
        "\n",
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>\n  <cwd>/home/dev/app</cwd>\n</environment_context>"}]}"#,
        "\n",
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"What is here?"}]}"#,
        "\n",
        r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Look."}],"encrypted_content":null}"#,
        "\n",
        r#"{"type":"local_shell_call","id":"ls_1","call_id":"call_1","status":"completed","action":{"type":"exec","command":["ls"]}}"#,
        "\n",
        r#"{"type":"function_call_output","call_id":"call_1","output":"{\"output\":\"no\",\"metadata\":{\"exit_code\":2,\"duration_seconds\":0.1}}"}"#,
        "\n",
        r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Nothing."}]}"#,
        "\n",
    );
    let (head, steps) = read_text(Path::new("rollout-2025-07-02.jsonl"), text);
    assert_eq!(head.native_id, "0f5a9f3e-4f9b-4a62-8f0c-0a3d3f1e2b11");
    assert_eq!(head.config.branch.as_deref(), Some("main"));
    insta::assert_snapshot!("flat_form", render(&steps));
}

#[test]
fn calls_of_all_kinds_and_broken_arguments() {
    let text = concat!(
        r#"{"timestamp":"2026-01-02T10:00:00Z","type":"session_meta","payload":{"id":"t","timestamp":"2026-01-02T10:00:00Z","cwd":"/w"}}"#,
        "\n",
        r#"{"timestamp":"2026-01-02T10:00:01Z","type":"response_item","payload":{"type":"function_call","name":"recall","namespace":"mcp__notes__","arguments":"{\"q\":","call_id":"c1"}}"#,
        "\n",
        r#"{"timestamp":"2026-01-02T10:00:02Z","type":"response_item","payload":{"type":"custom_tool_call","name":"apply_patch","input":"*** Begin Patch","call_id":"c2"}}"#,
        "\n",
        r#"{"timestamp":"2026-01-02T10:00:03Z","type":"response_item","payload":{"type":"custom_tool_call_output","call_id":"c2","output":"Exit code: 1\nOutput:\nno"}}"#,
        "\n",
        r#"{"timestamp":"2026-01-02T10:00:04Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c1","output":[{"type":"input_text","text":"see"},{"type":"input_image","image_url":"data:image/png;base64,iVBO"}]}}"#,
        "\n",
        r#"{"timestamp":"2026-01-02T10:00:05Z","type":"response_item","payload":{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"rust"}}}"#,
        "\n",
        r#"{"timestamp":"2026-01-02T10:00:06Z","type":"response_item","payload":{"type":"ghost_snapshot","ghost_commit":{"id":"abc"}}}"#,
        "\n",
        r#"{"timestamp":"2026-01-02T10:00:07Z","type":"from_the_future","payload":{"x":1}}"#,
        "\n",
    );
    insta::assert_snapshot!("calls_of_all_kinds", render(&read_text(Path::new("x.jsonl"), text).1));
}

#[test]
fn a_prompt_is_found_whether_its_event_comes_before_or_behind_or_alone() {
    let event = |message: &str| {
        format!(
            r#"{{"timestamp":"2026-01-02T10:00:01Z","type":"event_msg","payload":{{"type":"user_message","message":"{message}"}}}}"#
        )
    };
    let item = |text: &str| {
        format!(
            r#"{{"timestamp":"2026-01-02T10:00:01Z","type":"response_item","payload":{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{text}"}}]}}}}"#
        )
    };
    let end = r#"{"timestamp":"2026-01-02T10:00:09Z","type":"event_msg","payload":{"type":"token_count","info":null}}"#;
    let lines = [item("put in"), item("one"), event("one"), event("two"), item("two"), event("three"), end.into()];
    let (_, steps) = read_text(Path::new("x.jsonl"), &lines.join("\n"));
    assert_eq!(prompts(&steps), ["one", "two", "three"]);
    let told = |step: &&Step| matches!(step, Step::Skipped { .. });
    assert_eq!(steps.iter().filter(told).count(), 3, "{steps:?}");
}

#[test]
fn a_repeated_or_missing_ordinal_still_names_one_record() {
    let line = |ordinal: &str| {
        format!(
            r#"{{"timestamp":"2026-01-02T10:00:01Z",{ordinal}"type":"response_item","payload":{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"a"}}]}}}}"#
        )
    };
    let lines = [line("\"ordinal\":7,"), line("\"ordinal\":7,"), line(""), line("\"ordinal\":8,")];
    let (_, steps) = read_text(Path::new("x.jsonl"), &lines.join("\n"));
    let ids: Vec<&str> = steps
        .iter()
        .map(|step| match step {
            Step::Entries { record, .. } => record.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, ["7", "7@1", "2@2", "8"]);
}

#[test]
fn the_model_that_sums_up_before_a_compaction_begins_no_turn() {
    let (_, steps) = read(&format!("{DAY}03-55-22-01a1fc3e-950d-7642-b13f-bb4b906135a5.jsonl"));
    let summaries = steps.iter().flat_map(|step| match step {
        Step::Entries { entries, .. } => entries.as_slice(),
        _ => &[],
    });
    let put_in = summaries.filter(|entry| {
        matches!(entry, LogEntry::SystemItem(put_in)
            if matches!(&put_in.item, Item::Message { role: store_core::Role::Assistant, .. }))
    });
    assert_eq!(put_in.count(), 1);
    assert_eq!(steps.iter().filter(|step| matches!(step, Step::EndTurn { .. })).count(), 3);
}
