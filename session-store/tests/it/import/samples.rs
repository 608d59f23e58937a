//! What the real programs wrote, held against what they had been served.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;
use session_store::import::ImportStatus;
use session_store::{RestoredState, ShowKind, ShowMessage, ShowRole, UsageTotals, current_leaf, restore};

use super::world::{World, complaints, files, kinds, sample};

/// What is known of an agent's files.
fn expected(folder: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(sample(folder).join("expected.json")).unwrap();
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    match expected["files"].take() {
        Value::Array(files) => files,
        other => panic!("{folder}: {other}"),
    }
}

/// The marks in a text: two words and four digits.
fn marks(text: &str) -> Vec<String> {
    let is_mark_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let words = text.split(|c: char| !is_mark_char(c));
    let is_mark = |word: &&str| match word.split('-').collect::<Vec<_>>().as_slice() {
        [a, b, digits] => {
            let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
            is_word(a) && is_word(b) && digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    words.filter(is_mark).map(str::to_owned).collect()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The marks of what the model was made to say, in order.
fn served(file: &Value) -> Vec<String> {
    let served = file["served"].as_array().into_iter().flatten();
    let all = served.flat_map(|served| texts(&served["texts"]).flat_map(marks).collect::<Vec<_>>());
    let mut seen = BTreeSet::new();
    all.filter(|mark| seen.insert(mark.clone())).collect()
}

/// The marks of what was typed.
fn typed(folder: &str, file: &Value) -> Vec<String> {
    let mut typed: Vec<String> = texts(&file["prompts_typed_in_this_process"]).flat_map(marks).collect();
    if !folder.starts_with("claude") {
        let runs = file["runs"].as_array().into_iter().flatten();
        typed.extend(runs.flat_map(|run| texts(run).flat_map(marks).collect::<Vec<_>>()));
    }
    typed
}

fn shown_at(rows: &[ShowMessage], role: ShowRole, mark: &str) -> Vec<usize> {
    let is_shown = |row: &&ShowMessage| row.kind == ShowKind::Message && row.role == role;
    let rows = rows.iter().filter(is_shown).enumerate();
    rows.filter(|(_, row)| row.text.contains(mark)).map(|(at, _)| at).collect()
}

fn calls(rows: &[ShowMessage], kind: ShowKind) -> Vec<String> {
    let rows = rows.iter().filter(|row| row.kind == kind);
    rows.filter_map(|row| row.tool.as_ref().map(|tool| tool.call_id.clone())).collect()
}

fn check_file(world: &World, folder: &str, file: &Value) -> Vec<String> {
    let native_id = file["session_id"].as_str().unwrap();
    let Some(session) = world.session(native_id) else { return vec!["is not there".to_owned()] };
    let mut wrong = Vec::new();
    let all = world.all(native_id);
    let branch = world.branch(native_id);
    let everything = serde_json::to_string(&all).unwrap();
    let served = served(file);
    let typed = typed(folder, file);
    for mark in served.iter().chain(&typed).filter(|mark| !everything.contains(mark.as_str())) {
        wrong.push(format!("{mark} is missing"));
    }
    let mut last = 0;
    for (role, marks) in [(ShowRole::Assistant, &served), (ShowRole::User, &typed)] {
        for mark in marks {
            let at = shown_at(&branch, role, mark);
            if at.len() > 1 {
                wrong.push(format!("{mark} is shown {} times", at.len()));
            }
            if let (Some(at), ShowRole::Assistant) = (at.first(), role) {
                if *at < last {
                    wrong.push(format!("{mark} is out of order"));
                }
                last = *at;
            }
        }
    }
    let made = calls(&branch, ShowKind::ToolCall);
    let answered = calls(&branch, ShowKind::ToolResult);
    let made_once: BTreeSet<&String> = made.iter().collect();
    if made_once.len() != made.len() {
        wrong.push("a call is shown twice".to_owned());
    }
    for result in answered.iter().filter(|result| !made_once.contains(result)) {
        wrong.push(format!("the result {result} has no call"));
    }
    let leaf = current_leaf(&*world.store, session).unwrap();
    let state: RestoredState = restore(&*world.store, session, leaf).unwrap();
    if state.history.is_empty() {
        wrong.push("there is nothing to go on with".to_owned());
    }
    let open: BTreeSet<&String> = made_once.into_iter().filter(|call| !answered.contains(call)).collect();
    for call in state.open_tool_calls.iter().filter(|call| !open.contains(call)) {
        wrong.push(format!("the call {call} is said to be open"));
    }
    wrong
}

fn check_agent(kind: &str, folder: &str) {
    let world = World::new(kind);
    let expected = expected(folder);
    let report = world.import(&[sample(folder)]);
    assert_eq!(report.failed, 0, "{:#?}", complaints(&report));
    assert_eq!(report.sessions.len(), expected.len());
    let mut wrong = BTreeMap::new();
    for file in &expected {
        let complaints = check_file(&world, folder, file);
        if !complaints.is_empty() {
            wrong.insert(format!("{} {}", file["session_id"], file["scenario"]), complaints);
        }
    }
    assert!(wrong.is_empty(), "{kind} {folder}: {wrong:#?}\n{:#?}", complaints(&report));
    let before = world.logs();
    let again = world.import(&[sample(folder)]);
    assert_eq!(again.entries, 0);
    assert!(again.sessions.iter().all(|file| file.status == ImportStatus::Unchanged), "{again:#?}");
    assert!(world.logs() == before, "{kind} {folder}: importing again changed a log");
    assert_eq!(world.usage(), recorded(folder), "{kind} {folder}");
}

/// The recorded usage, read from the files without any importer: each request once, its largest record.
pub(crate) fn recorded(folder: &str) -> UsageTotals {
    let mut by_id: BTreeMap<String, UsageTotals> = BTreeMap::new();
    for path in files(&sample(folder)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut totals = Value::Null;
        for (line, record) in text.lines().enumerate() {
            let record: Value = serde_json::from_str(record).unwrap();
            let at = format!("{}:{line}", path.display());
            let found = match folder {
                "claude" => claude_usage(&record),
                "codex" => codex_usage(&record),
                "codex-0.80.0" => codex_totals(&record, &mut totals).map(|usage| (at, usage)),
                _ => pi_usage(&record, &at),
            };
            if let Some((id, usage)) = found {
                let known = by_id.entry(id).or_default();
                if usage.total_tokens > known.total_tokens {
                    *known = usage;
                }
            }
        }
    }
    let mut sum = UsageTotals::default();
    for usage in by_id.values() {
        sum.input_tokens += usage.input_tokens;
        sum.output_tokens += usage.output_tokens;
        sum.cache_read_tokens += usage.cache_read_tokens;
        sum.cache_write_tokens += usage.cache_write_tokens;
        sum.reasoning_tokens += usage.reasoning_tokens;
        sum.total_tokens += usage.total_tokens;
    }
    sum
}

fn count(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(0)
}

fn totals(input: u64, read: u64, written: u64, output: u64, reasoning: u64) -> UsageTotals {
    UsageTotals {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: written,
        reasoning_tokens: reasoning,
        total_tokens: input + read + written + output,
    }
}

fn claude_usage(record: &Value) -> Option<(String, UsageTotals)> {
    let message = &record["message"];
    let used = message.get("usage").filter(|_| message["model"] != "<synthetic>")?;
    let (read, written) = (count(used, "cache_read_input_tokens"), count(used, "cache_creation_input_tokens"));
    let usage = totals(count(used, "input_tokens"), read, written, count(used, "output_tokens"), 0);
    Some((message["id"].as_str()?.to_owned(), usage))
}

fn codex_counts(used: &Value) -> UsageTotals {
    let (read, written) = (count(used, "cached_input_tokens"), count(used, "cache_write_input_tokens"));
    let input = count(used, "input_tokens") - read - written;
    totals(input, read, written, count(used, "output_tokens"), count(used, "reasoning_output_tokens"))
}

fn codex_usage(record: &Value) -> Option<(String, UsageTotals)> {
    let payload = record.get("payload").filter(|_| record["type"] == "token_usage_record")?;
    Some((payload["response_id"].as_str()?.to_owned(), codex_counts(&payload["usage"])))
}

fn codex_totals(record: &Value, before: &mut Value) -> Option<UsageTotals> {
    let info = record["payload"].get("info").filter(|_| record["payload"]["type"] == "token_count")?;
    let now = info.get("total_token_usage")?.clone();
    let changed = *before != now;
    *before = now;
    changed.then(|| codex_counts(&info["last_token_usage"]))
}

fn pi_usage(record: &Value, at: &str) -> Option<(String, UsageTotals)> {
    let message = record.get("message").filter(|message| message["stopReason"] != "error")?;
    let used = message.get("usage")?;
    let usage =
        totals(count(used, "input"), count(used, "cacheRead"), count(used, "cacheWrite"), count(used, "output"), 0);
    // Without an id a request is its entry, which a fork copies.
    let of_entry = || record["id"].as_str().map_or_else(|| at.to_owned(), |id| format!("{id} {}", record["timestamp"]));
    let id = message["responseId"].as_str().map_or_else(of_entry, str::to_owned);
    Some((id, usage))
}

macro_rules! agents {
    ($($name:ident: $kind:literal $folder:literal,)*) => {$(
        #[test]
        fn $name() {
            check_agent($kind, $folder);
        }
    )*};
}

agents! {
    claude_in_memory: "memory" "claude",
    codex_in_memory: "memory" "codex",
    older_codex_in_memory: "memory" "codex-0.80.0",
    pi_in_memory: "memory" "pi",
}
#[cfg(feature = "fs")]
agents! {
    claude_on_fs: "fs" "claude",
    codex_on_fs: "fs" "codex",
    older_codex_on_fs: "fs" "codex-0.80.0",
    pi_on_fs: "fs" "pi",
}
#[cfg(feature = "sqlite")]
agents! {
    claude_on_sqlite: "sqlite" "claude",
    codex_on_sqlite: "sqlite" "codex",
    older_codex_on_sqlite: "sqlite" "codex-0.80.0",
    pi_on_sqlite: "sqlite" "pi",
}

#[test]
fn marks_are_found_in_texts() {
    let found: Vec<PathBuf> = files(&sample("claude"));
    assert!(found.len() > 20);
    assert_eq!(
        marks("Answer A1. xenial-tapir-4491, so 2026-11-21 and a-b-c. (gilded-yak-0001)"),
        ["xenial-tapir-4491", "gilded-yak-0001"]
    );
}

/// An index in a file is fed by a thread beside the import, one in memory when a record is asked for.
#[test]
fn however_the_index_is_fed_the_same_is_written() {
    let all = ["claude", "codex", "pi"].map(sample);
    let memory = World::memory();
    memory.import(&all);
    for kind in kinds() {
        let world = World::new(kind);
        world.import(&all);
        assert!(world.logs() == memory.logs(), "{kind}");
        assert_eq!(world.rows(), memory.rows(), "{kind}");
        let again = world.import(&all);
        assert_eq!((again.entries, again.failed), (0, 0), "{kind}: {:?}", complaints(&again));
    }
}
