//! The steps of the sample files, and of lines of version 1.

use std::path::{Path, PathBuf};

use serde_json::Value;
use store_core::LogEntry;

use super::{PiReader, head, sniff};
use crate::import::record::{FileHead, ForkHint, Step};
use crate::import::testing::{
    assert_prefix_rule, assert_wrong_types_are_survived, records, render, sample, samples, steps,
};

const FOLDER: &str = "pi/agent/sessions/--home-dev-src-acme-api--/2026-11-21T";

fn read_text(path: &Path, text: &str) -> (FileHead, Vec<Step>) {
    let records = records(text);
    let values: Vec<Value> = records.iter().map(|(_, value)| value.clone()).collect();
    let head = head(path, &values).unwrap();
    let steps = steps(PiReader::new(&head), &records);
    (head, steps)
}

fn read(path: &str) -> (FileHead, Vec<Step>) {
    let path = sample(path);
    read_text(&path, &std::fs::read_to_string(&path).unwrap())
}

fn tokens(steps: &[Step]) -> u64 {
    let entries = steps.iter().flat_map(|step| match step {
        Step::Entries { entries, .. } => entries.as_slice(),
        _ => &[],
    });
    let used = entries.map(|entry| match entry {
        LogEntry::LlmUsage(usage) => usage.input_total_tokens + usage.output_tokens,
        _ => 0,
    });
    used.sum()
}

fn all_samples() -> Vec<PathBuf> {
    ["pi", "constructed/pi"].into_iter().flat_map(samples).collect()
}

#[test]
fn the_steps_of_a_prefix_are_a_prefix_of_the_steps() {
    for path in all_samples() {
        assert_prefix_rule(&path, head, PiReader::new);
    }
}

#[test]
fn fields_of_wrong_types_are_survived() {
    for path in samples("constructed/pi") {
        assert_wrong_types_are_survived(&path, head, PiReader::new);
    }
}

#[test]
fn every_record_of_the_samples_is_known_as_pi() {
    for path in all_samples() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, value) in records(&text) {
            assert!(sniff(&value), "line {line} of {path:?}");
        }
    }
    for path in ["claude", "codex", "codex-0.80.0"].into_iter().flat_map(samples) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, value) in records(&text) {
            assert!(!sniff(&value), "line {line} of {path:?}");
        }
    }
}

#[test]
fn what_was_used_is_what_the_files_record() {
    for path in samples("pi") {
        let text = std::fs::read_to_string(&path).unwrap();
        let recorded: u64 = records(&text)
            .iter()
            .filter_map(|(_, value)| value.pointer("/message/usage/totalTokens").and_then(Value::as_u64))
            .sum();
        assert_eq!(tokens(&read_text(&path, &text).1), recorded, "{path:?}");
    }
}

#[test]
fn a_tree_with_a_compaction() {
    let (head, steps) = read("constructed/pi/v3_tree_compaction_branch.jsonl");
    insta::assert_debug_snapshot!("head_of_v3_tree_compaction_branch", head);
    insta::assert_snapshot!("v3_tree_compaction_branch", render(&steps));
    assert_eq!(tokens(&steps), 465);
}

#[test]
fn a_broken_header_loses_no_entry() {
    let (head, steps) = read("constructed/pi/v3_corrupt_header.jsonl");
    assert_eq!(head.native_id, "v3_corrupt_header");
    assert_eq!(head.birth_ms, 1_785_578_401_000);
    insta::assert_snapshot!("v3_corrupt_header", render(&steps));
}

#[test]
fn branches_labels_custom_entries_and_commands() {
    let (_, steps) = read(&format!("{FOLDER}03-58-51-847Z_01a1fc41-c7c6-75b1-a473-02866b9d2d2c.jsonl"));
    insta::assert_snapshot!("rewind", render(&steps));
}

#[test]
fn a_compaction_that_keeps_nothing_and_one_that_keeps_all() {
    let (_, none) = read(&format!("{FOLDER}03-58-56-796Z_01a1fc41-db1c-72c1-8473-a4e300b60ed5.jsonl"));
    let (_, all) = read(&format!("{FOLDER}03-58-58-043Z_01a1fc41-dffa-73c6-bef2-21d24d3bcb22.jsonl"));
    let compactions: Vec<Step> =
        none.into_iter().chain(all).filter(|step| matches!(step, Step::Compact { .. })).collect();
    insta::assert_snapshot!("compactions", render(&compactions));
}

#[test]
fn a_refused_request_fails_its_turn_and_a_cut_answer_ends_it() {
    let (_, refused) = read(&format!("{FOLDER}03-57-27-134Z_01a1fc40-7cde-7020-9466-95036f591a1b.jsonl"));
    let failed: Vec<&Step> = refused.iter().filter(|step| matches!(step, Step::Fail { .. })).collect();
    assert!(
        matches!(failed[..], [Step::Fail { message, interrupted: false, .. }] if message.contains("keen-vole-2865")),
        "{failed:?}"
    );
    let (_, cut) = read(&format!("{FOLDER}03-58-18-435Z_01a1fc41-4543-77ff-a106-854e443f4d40.jsonl"));
    assert_eq!(cut.iter().filter(|step| matches!(step, Step::EndTurn { .. })).count(), 3);
}

#[test]
fn a_fork_names_its_parent_by_the_id_in_a_path() {
    let (head, _) = read(&format!("{FOLDER}03-58-00-642Z_01a1fc40-ffc1-7721-985c-5c0f9f4d2f3e.jsonl"));
    assert_eq!(head.fork, ForkHint::Copy { native_id: "01a1fc40-f70a-76c6-a20d-1b90f8c1da48".into() });
}

#[test]
fn version_1_is_linear() {
    let text = concat!(
        r#"{"type":"session","id":"0f5a9f3e-4f9b-4a62-8f0c-0a3d3f1e2b11","timestamp":"2025-11-20T10:00:00.000Z","cwd":"/home/dev/app","provider":"anthropic","modelId":"claude","thinkingLevel":"off"}"#,
        "\n",
        r#"{"type":"message","timestamp":"2025-11-20T10:00:01.000Z","message":{"role":"user","content":"one","timestamp":1763632801000}}"#,
        "\n",
        r#"{"type":"message","timestamp":"2025-11-20T10:00:02.000Z","message":{"role":"assistant","content":[{"type":"text","text":"answer one"}],"provider":"anthropic","model":"claude","usage":{"input":1,"output":2,"cacheRead":3,"cacheWrite":4,"cost":{"total":0.5}},"stopReason":"stop"}}"#,
        "\n",
        r#"{"type":"message","timestamp":"2025-11-20T10:00:03.000Z","message":{"role":"user","content":"two"}}"#,
        "\n",
        r#"{"type":"compaction","timestamp":"2025-11-20T10:00:04.000Z","summary":"So far: one.","firstKeptEntryIndex":3,"tokensBefore":9}"#,
        "\n",
        r#"{"type":"message","timestamp":"2025-11-20T10:00:05.000Z","message":{"role":"assistant","content":[{"type":"text","text":"half"}],"stopReason":"aborted","errorMessage":"Request was aborted."}}"#,
        "\n",
    );
    let (head, steps) = read_text(Path::new("x.jsonl"), text);
    assert_eq!(head.config.thinking.as_deref(), Some("off"));
    insta::assert_snapshot!("version_1", render(&steps));
}

#[test]
fn a_record_behind_nothing_begins_a_branch_of_its_own() {
    let text = concat!(
        r#"{"type":"message","id":"a","parentId":null,"timestamp":"2026-01-02T10:00:01Z","message":{"role":"user","content":"one"}}"#,
        "\n",
        r#"{"type":"message","id":"b","parentId":null,"timestamp":"2026-01-02T10:00:02Z","message":{"role":"user","content":"again"}}"#,
        "\n",
        r#"{"type":"message","id":"b","parentId":"a","timestamp":"2026-01-02T10:00:03Z","message":{"role":"user","content":"repeated id"}}"#,
        "\n",
    );
    insta::assert_snapshot!("roots", render(&read_text(Path::new("x.jsonl"), text).1));
}
