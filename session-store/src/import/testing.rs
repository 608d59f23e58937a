//! What the readers' tests share: the steps of a sample file, in a form that a person can read.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::record::{FileHead, HistoryPart, Parent, RawRecord, Reader, Step};

/// How much of a text a rendered step shows.
const SHOWN_CHARS: usize = 72;

/// A file of the sample conversations.
pub(super) fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(path)
}

/// All files of an agent below a folder of the samples.
pub(super) fn samples(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![sample(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no samples below {folder}");
    files
}

/// The records of a text, with their lines; what does not parse is left out.
pub(super) fn records(text: &str) -> Vec<(u64, Value)> {
    let lines = (0..).zip(text.split('\n'));
    lines.filter_map(|(line, text)| Some((line, serde_json::from_str(text).ok()?))).collect()
}

/// The steps of records.
pub(super) fn steps(mut reader: impl Reader, records: &[(u64, Value)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (line, value) in records {
        reader.record(RawRecord { line: *line, value: value.clone() }, &mut steps);
    }
    reader.finish(&mut steps);
    steps
}

/// Holds that the steps of every prefix of a file are a prefix of the steps of the whole.
pub(super) fn assert_prefix_rule<R: Reader>(
    path: &Path,
    head: fn(&Path, &[Value]) -> Option<FileHead>,
    reader: fn(&FileHead) -> R,
) {
    let text = std::fs::read_to_string(path).unwrap();
    let records = records(&text);
    let values: Vec<Value> = records.iter().map(|(_, value)| value.clone()).collect();
    let whole_head = head(path, &values).unwrap();
    let whole = steps(reader(&whole_head), &records);
    for cut in 1..=records.len() {
        assert_eq!(head(path, &values[..cut]).as_ref(), Some(&whole_head), "the head of {cut} records of {path:?}");
        let part = steps(reader(&whole_head), &records[..cut]);
        assert!(part.len() <= whole.len(), "{path:?}, {cut} records");
        assert_eq!(part, whole[..part.len()], "the steps of {cut} records of {path:?}");
    }
}

/// Holds that a reader survives records whose fields, each in turn, are of another type or missing, and that it goes on
/// with the records behind them.
pub(super) fn assert_wrong_types_are_survived<R: Reader>(
    path: &Path,
    head: fn(&Path, &[Value]) -> Option<FileHead>,
    reader: fn(&FileHead) -> R,
) {
    let records = records(&std::fs::read_to_string(path).unwrap());
    let values: Vec<Value> = records.iter().map(|(_, value)| value.clone()).collect();
    let whole_head = head(path, &values).unwrap();
    for at in 0..records.len() {
        for pointer in pointers(&values[at]) {
            for wrong in [Value::Null, json!(7), json!("x"), json!([1]), json!({"x": 1})] {
                let mut broken = records.clone();
                *broken[at].1.pointer_mut(&pointer).unwrap() = wrong;
                let broken_values: Vec<Value> = broken.iter().map(|(_, value)| value.clone()).collect();
                head(path, &broken_values);
                let steps = steps(reader(&whole_head), &broken);
                assert!(steps.len() + 2 >= records.len(), "{path:?}, record {at}, {pointer}");
            }
        }
    }
}

/// The JSON pointers of all values within a value.
fn pointers(value: &Value) -> Vec<String> {
    let below = |key: &str, value: &Value| {
        let own = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        let inner = pointers(value).into_iter().map(|pointer| format!("{own}{pointer}")).collect::<Vec<_>>();
        std::iter::once(own).chain(inner).collect::<Vec<_>>()
    };
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(values) => {
            (0..).zip(values).flat_map(|(at, value): (usize, _)| below(&at.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}

/// Steps as text, a line each, long texts cut short.
pub(super) fn render(steps: &[Step]) -> String {
    steps.iter().map(|step| render_step(step) + "\n").collect()
}

fn render_step(step: &Step) -> String {
    match step {
        Step::Entries { record, line, parent, entries, .. } => {
            let behind = match parent {
                Parent::Previous => String::new(),
                Parent::Record(record) => format!(" behind {record}"),
                Parent::Root => " behind nothing".into(),
            };
            let entries: String = entries.iter().map(|entry| format!("\n      {}", short(entry))).collect();
            format!("{line:>3} {record}{behind}{entries}")
        }
        Step::Rest { record, line, payload, .. } => format!("{line:>3} {record} rest {}", short(payload)),
        Step::Former { record, line, .. } => format!("{line:>3} {record} was kept here"),
        Step::Subagent { head } => format!("    sub-agent {} of {:?}", head.native_id, head.parent),
        Step::EndTurn { record, line, .. } => format!("{line:>3} {record} end of the turn"),
        Step::Fail { record, line, message, interrupted, .. } => {
            format!("{line:>3} {record} failed, interrupted {interrupted}: {message}")
        }
        Step::Compact { record, line, behind, history, .. } => {
            let behind = behind.as_ref().map(|behind| format!(" behind {behind}")).unwrap_or_default();
            let history: String = history.iter().map(render_part).collect();
            format!("{line:>3} {record}{behind} compaction{history}")
        }
        Step::RollBack { record, line, turns, .. } => format!("{line:>3} {record} rolls back {turns}"),
        Step::Title { text, by_person, .. } => format!("    title {text:?}, by a person {by_person}"),
        Step::Tags { tags, .. } => format!("    tags {tags:?}"),
        Step::ActiveLeaf { record } => format!("    active leaf {record}"),
        Step::Skipped { line } => format!("{line:>3} skipped"),
        Step::Warning { line, message } => format!("{line:>3} warning: {message}"),
    }
}

fn render_part(part: &HistoryPart) -> String {
    match part {
        HistoryPart::Item(item) => format!("\n      {}", short(item)),
        HistoryPart::Records(records) => format!("\n      records {}", records.join(" ")),
        HistoryPart::FromRecord(record) => format!("\n      from {record}"),
    }
}

fn short(value: &impl serde::Serialize) -> String {
    let mut value = serde_json::to_value(value).unwrap();
    cut(&mut value);
    value.to_string()
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARS) {
                let bytes = text.len();
                text.truncate(end);
                text.push_str(&format!("… {bytes} bytes"));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(cut),
        Value::Object(fields) => fields.values_mut().for_each(cut),
        _ => {}
    }
}
