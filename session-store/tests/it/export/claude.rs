//! The rules of a transcript that `claude --resume` loads, held against every sample's.
//!
//! They are those that IMPORT.md names, and what the real files show.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use session_store::import::Agent;

use super::said::exported;
use crate::import::world::World;

fn text<'a>(record: &'a Value, key: &str) -> Option<&'a str> {
    record.get(key)?.as_str()
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
        })
}

/// What is wrong with a transcript.
fn faults(native_id: &str, records: &[Value]) -> Vec<String> {
    let mut faults = Faults { native_id, found: Vec::new() };
    let transcript: Vec<&Value> = records.iter().filter(|record| record.get("uuid").is_some()).collect();
    faults.of_each_record(&transcript);
    faults.of_the_chain(&transcript);
    faults.of_calls(&transcript);
    faults.of_responses(&transcript);
    faults.of_what_follows(records, &transcript);
    faults.found
}

struct Faults<'a> {
    native_id: &'a str,
    found: Vec<String>,
}

impl Faults<'_> {
    fn add(&mut self, record: &Value, rule: &str) {
        self.found.push(format!("{rule}: {record}"));
    }

    /// Each has the fields that the program reads, and says something.
    fn of_each_record(&mut self, transcript: &[&Value]) {
        for record in transcript {
            if text(record, "sessionId") != Some(self.native_id) {
                self.add(record, "every record names the session of the file's name");
            }
            let fields = ["type", "uuid", "timestamp", "cwd", "version", "userType", "gitBranch"];
            if fields.iter().any(|field| text(record, field).is_none()) || record["isSidechain"] != false {
                self.add(record, "every record has the fields of a transcript");
            }
            if text(record, "cwd").is_some_and(|cwd| !cwd.starts_with('/')) {
                self.add(record, "a folder is absolute");
            }
            let is_time = text(record, "timestamp").is_some_and(|time| time.len() == 24 && time.ends_with('Z'));
            if !is_time {
                self.add(record, "a time has milliseconds, in UTC");
            }
            let role = match text(record, "type") {
                Some("system") => continue,
                role => role,
            };
            if record.pointer("/message/role").and_then(Value::as_str) != role {
                self.add(record, "a message is of the record's role");
            }
            let content = &record["message"]["content"];
            let is_said = match content {
                Value::String(text) => !text.trim().is_empty(),
                Value::Array(blocks) => !blocks.is_empty() && blocks.iter().all(says_something),
                _ => false,
            };
            if !is_said {
                self.add(record, "no empty message");
            }
        }
    }

    /// Every record stands behind one before it, but for the first one and the boundaries of compactions.
    fn of_the_chain(&mut self, transcript: &[&Value]) {
        let mut known = BTreeSet::new();
        for (at, record) in transcript.iter().enumerate() {
            let is_boundary = text(record, "subtype") == Some("compact_boundary");
            match text(record, "parentUuid") {
                Some(parent) if known.contains(parent) && !is_boundary => {}
                None if record.get("parentUuid").is_some_and(Value::is_null) && (at == 0 || is_boundary) => {}
                _ => self.add(record, "a record stands behind one before it"),
            }
            if is_boundary && at > 0 && !text(record, "logicalParentUuid").is_some_and(|parent| known.contains(parent))
            {
                self.add(record, "a boundary names the record before it");
            }
            let kept = record.pointer("/compactMetadata/preservedMessages/uuids").and_then(Value::as_array);
            if !kept.into_iter().flatten().all(|kept| kept.as_str().is_some_and(|kept| known.contains(kept))) {
                self.add(record, "what is preserved stands before");
            }
            let uuid = text(record, "uuid").unwrap_or_default();
            if !is_uuid(uuid) || !known.insert(uuid.to_owned()) {
                self.add(record, "an id is a UUID that no other record has");
            }
        }
    }

    /// Every call has one result, behind its own record, before anything else is said but other calls and results.
    fn of_calls(&mut self, transcript: &[&Value]) {
        let mut open: BTreeMap<String, String> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for record in transcript {
            let blocks = record.pointer("/message/content").and_then(Value::as_array);
            let blocks: Vec<&Value> = blocks.into_iter().flatten().collect();
            let is_between =
                blocks.iter().all(|block| !matches!(text(block, "type"), Some("tool_use" | "tool_result")));
            if is_between && !open.is_empty() {
                self.add(record, "every call is answered next");
            }
            for block in blocks {
                match text(block, "type") {
                    Some("tool_use") => {
                        let id = text(block, "id").unwrap_or_default();
                        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
                        let is_named =
                            text(block, "name").is_some_and(|name| !name.is_empty() && name.chars().all(is_plain));
                        if id.is_empty() || !id.chars().all(is_plain) || !known.insert(id.to_owned()) || !is_named {
                            self.add(record, "a call has an id of its own and a name, in plain characters");
                        }
                        if !block["input"].is_object() {
                            self.add(record, "an argument is an object");
                        }
                        open.insert(id.to_owned(), text(record, "uuid").unwrap_or_default().to_owned());
                    }
                    Some("tool_result") => {
                        let call = open.remove(text(block, "tool_use_id").unwrap_or_default());
                        if call.is_none() || call.as_deref() != text(record, "parentUuid") {
                            self.add(record, "a result stands behind its own call, once");
                        }
                    }
                    _ => {}
                }
            }
        }
        if !open.is_empty() {
            self.found.push(format!("every call is answered: {open:?}"));
        }
    }

    /// A response has a record for each block; they stand together, and share message, request and usage.
    fn of_responses(&mut self, transcript: &[&Value]) {
        let mut seen = BTreeSet::new();
        let mut last: Option<(&str, &Value, Option<&Value>)> = None;
        for record in transcript.iter().filter(|record| text(record, "type") == Some("assistant")) {
            if record["message"]["content"].as_array().is_none_or(|blocks| blocks.len() != 1) {
                self.add(record, "a record of a response has one block");
            }
            let id = record.pointer("/message/id").and_then(Value::as_str).unwrap_or_default();
            let now = (id, &record["requestId"], record.pointer("/message/usage"));
            let is_same = last.is_some_and(|last| last.0 == id);
            if is_same && last != Some(now) {
                self.add(record, "the records of a response share its request and usage");
            }
            if !is_same && !seen.insert(id.to_owned()) {
                self.add(record, "the records of a response stand together");
            }
            if record.pointer("/message/model").is_none_or(|model| !model.is_string()) {
                self.add(record, "a response names its model");
            }
            last = Some(now);
        }
    }

    /// The leaf that is named is the transcript's last record.
    fn of_what_follows(&mut self, records: &[Value], transcript: &[&Value]) {
        let named = records.iter().filter(|record| text(record, "type") == Some("last-prompt"));
        let named: Vec<&str> = named.filter_map(|record| text(record, "leafUuid")).collect();
        let last = transcript.last().and_then(|record| text(record, "uuid"));
        if named != last.into_iter().collect::<Vec<_>>() {
            self.found.push(format!("the leaf is the last record: {named:?}"));
        }
    }
}

fn says_something(block: &Value) -> bool {
    match text(block, "type") {
        Some("text") => text(block, "text").is_some_and(|text| !text.trim().is_empty()),
        Some("thinking") => text(block, "signature").is_some_and(|signature| !signature.is_empty()),
        _ => true,
    }
}

fn records(bytes: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_sample_in_claudes_form_keeps_every_rule() {
    let world = World::of(&["claude", "codex", "codex-0.80.0", "pi", "constructed"]);
    let mut wrong = Vec::new();
    for row in world.rows() {
        let file = exported(&world, row.session_id, Agent::Claude);
        let found = faults(&file.native_id, &records(&file.bytes));
        wrong.extend(found.into_iter().map(|fault| format!("{}: {fault}", row.session_id)));
    }
    assert_eq!(wrong, Vec::<String>::new(), "{}", wrong.join("\n"));
}

#[test]
fn the_rules_find_what_breaks_them() {
    let world = World::of(&["claude/projects/-home-dev-src-acme-api/b30d1613-a4ae-452a-8523-64c3786f4d52.jsonl"]);
    let file = exported(&world, world.rows()[0].session_id, Agent::Claude);
    let whole = records(&file.bytes);
    assert_eq!(faults(&file.native_id, &whole), Vec::<String>::new());
    let is_call = |record: &Value| record.pointer("/message/content/0/type") == Some(&"tool_use".into());
    let call = whole.iter().position(is_call).unwrap();
    let breaks: [(&str, fn(&mut Vec<Value>, usize)); 9] = [
        ("every call is answered next", |records, call| drop(records.remove(call + 1))),
        ("a result stands behind its own call, once", |records, call| drop(records.remove(call))),
        ("a record stands behind one before it", |records, call| records[call]["parentUuid"] = "x".into()),
        ("an id is a UUID that no other record has", |records, call| {
            records[call]["uuid"] = records[0]["uuid"].clone();
        }),
        ("every record names the session", |records, _| records[0]["sessionId"] = "x".into()),
        ("every record has the fields", |records, _| records[0]["version"] = Value::Null),
        ("no empty message", |records, _| records[0]["message"]["content"] = " ".into()),
        ("the leaf is the last record", |records, _| records.retain(|record| record["type"] != "last-prompt")),
        ("an argument is an object", |records, call| {
            records[call]["message"]["content"][0]["input"] = "x".into();
        }),
    ];
    for (rule, break_it) in breaks {
        let mut records = whole.clone();
        break_it(&mut records, call);
        let found = faults(&file.native_id, &records);
        assert!(found.iter().any(|fault| fault.starts_with(rule)), "{rule}: {found:?}");
    }
}
