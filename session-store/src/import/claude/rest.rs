//! What a record says beyond its entries.
//!
//! Nothing that a record says is lost: what has no form of its own is kept as an extension behind the record's entries. Left out are
//! the links between records, which the order of the entries tells, ids that say nothing to anybody else, and settings of the
//! program that are as they were. A tool's structured result mostly repeats the text that the model was given; what it repeats
//! is referred to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store_core::{Content, Item, Part};

use crate::export::MARK;
use crate::import::fields::{Repeated, count, is_nothing, left_of, storable, take, text};

/// The domain under which it is kept.
// Persisted: never rename or reuse.
pub(super) const DOMAIN: &str = "import.claude.rest";

/// What refers to a part of the results in the same record, counted from 0.
// Persisted: never rename or reuse.
const PART: &str = "$part";

/// Shorter texts are kept as they are: a reference would be as long.
const REFERRED_BYTES_MIN: usize = 32;

/// Fields that entries tell, or that tell nothing.
const READ: [&str; 21] = [
    MARK,
    "type",
    "subtype",
    "uuid",
    "parentUuid",
    "logicalParentUuid",
    "sessionId",
    "timestamp",
    "cwd",
    "gitBranch",
    "isSidechain",
    "isMeta",
    "isCompactSummary",
    "isVisibleInTranscriptOnly",
    "isApiErrorMessage",
    "level",
    "agentId",
    "attributionAgent",
    "requestId",
    "promptId",
    "sourceToolAssistantUUID",
];

/// Settings of the program, which many records repeat.
const REPEATED: [&str; 9] = [
    "version",
    "userType",
    "entrypoint",
    "slug",
    "permissionMode",
    "promptSource",
    "origin",
    "thinkingMetadata",
    "todos",
];

/// Fields of a message that entries tell, or that tell nothing.
const OF_MESSAGE: [&str; 6] = ["id", "type", "role", "model", "content", "stop_details"];

/// Ends of a response that the entries show.
const SHOWN_ENDS: [&str; 2] = ["end_turn", "tool_use"];

/// Takes what is left of records.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rests {
    repeated: Repeated,
    /// The last response whose usage was read: each of its lines repeats it.
    response: Option<String>,
}

impl Rests {
    /// For a file whose head keeps this version.
    pub(super) fn new(version: Option<&Value>) -> Self {
        let mut repeated = Repeated::default();
        if let Some(version) = version {
            repeated.leave_out(&mut json!({"version": version}), &["version"]);
        }
        Self { repeated, response: None }
    }

    /// What is left of a record of which everything was taken that entries tell.
    pub(super) fn of(&mut self, mut record: Value) -> Option<Value> {
        self.repeated.leave_out(&mut record, &REPEATED);
        left_of(record, &READ).map(storable)
    }

    /// What is left of a message whose content was taken.
    pub(super) fn of_message(&mut self, mut message: Value) -> Option<Value> {
        let usage = take(&mut message, "usage");
        let id = text(&message, "id");
        let usage = if id.is_some() && self.response.as_deref() == id { None } else { of_usage(usage) };
        self.response = id.map(str::to_owned);
        let fields = message.as_object_mut()?;
        if fields.get("stop_reason").and_then(Value::as_str).is_some_and(|reason| SHOWN_ENDS.contains(&reason)) {
            fields.shift_remove("stop_reason");
        }
        match usage {
            Some(usage) => fields.insert("usage".to_owned(), usage),
            None => fields.shift_remove("usage"),
        };
        left_of(message, &OF_MESSAGE)
    }
}

/// What decides the price of a response, beside the counts that every usage has.
fn of_usage(mut usage: Value) -> Option<Value> {
    let mut left = Map::new();
    if let Some(tier) = text(&usage, "service_tier").filter(|tier| *tier != "standard") {
        left.insert("service_tier".to_owned(), tier.into());
    }
    if usage.get("cache_creation").is_some_and(|created| count(created, "ephemeral_1h_input_tokens") > 0) {
        left.insert("cache_creation".to_owned(), take(&mut usage, "cache_creation"));
    }
    let served = usage.get("server_tool_use").and_then(Value::as_object);
    if served.is_some_and(|served| served.values().any(|count| count.as_u64() != Some(0))) {
        left.insert("server_tool_use".to_owned(), take(&mut usage, "server_tool_use"));
    }
    (!left.is_empty()).then_some(Value::Object(left))
}

/// What is left of the blocks of a content besides what items tell, each with its place.
pub(super) fn of_blocks(content: &Value) -> Option<Value> {
    let left: Vec<Value> = (0..).zip(content.as_array()?).filter_map(|(at, block)| of_block(at, block)).collect();
    (!left.is_empty()).then_some(Value::Array(left))
}

fn of_block(at: usize, block: &Value) -> Option<Value> {
    let read: &[&str] = match text(block, "type")? {
        "text" => &["type", "text"],
        "thinking" => &["type", "thinking", "signature"],
        "redacted_thinking" => &["type", "data"],
        "tool_use" => &["type", "id", "name", "input"],
        // Kept whole, or a result, whose parts are.
        _ => return None,
    };
    let is_left = |name: &str, value: &Value| {
        let is_usual = name == "cache_control" || (name == "caller" && text(value, "type") == Some("direct"));
        !read.contains(&name) && !is_usual && !is_nothing(value)
    };
    let fields = block.as_object()?.iter().filter(|(name, value)| is_left(name, value));
    let left: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!left.is_empty()).then(|| json!({"block": at, "left": left}))
}

/// The structured result of a tool, with references to what it repeats of the results that the model was given.
pub(super) fn refer(structured: &mut Value, results: &[Item]) {
    let texts: Vec<&str> = results.iter().flat_map(parts).map(said).collect();
    if texts.iter().any(|text| text.len() >= REFERRED_BYTES_MIN) {
        refer_within(structured, &texts);
    }
}

fn parts(result: &Item) -> &[Part] {
    match result {
        Item::ToolResult { parts, .. } => parts,
        _ => &[],
    }
}

/// The text or the data of a part.
fn said(part: &Part) -> &str {
    match part {
        Part::Image { data: Some(Content::Inline(data)), .. }
        | Part::File { data: Some(Content::Inline(data)), .. } => data,
        part => part.as_text().unwrap_or_default(),
    }
}

fn refer_within(value: &mut Value, texts: &[&str]) {
    match value {
        Value::String(own) if own.len() >= REFERRED_BYTES_MIN => {
            if let Some(reference) = (0..).zip(texts).find_map(|(at, text)| reference(own, at, text)) {
                *value = reference;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| refer_within(value, texts)),
        Value::Object(fields) => fields.values_mut().for_each(|value| refer_within(value, texts)),
        _ => {}
    }
}

/// What stands for a text that repeats a part as a whole, perhaps below an introduction, or its lines without their numbers.
fn reference(own: &str, at: usize, text: &str) -> Option<Value> {
    if text.len() < REFERRED_BYTES_MIN {
        return None;
    }
    if let Some((before, after)) = own.split_once(text) {
        let mut reference = Map::from_iter([(PART.to_owned(), at.into())]);
        let around = [("before", before), ("after", after)].into_iter().filter(|(_, around)| !around.is_empty());
        reference.extend(around.map(|(name, around)| (name.to_owned(), around.into())));
        return Some(Value::Object(reference));
    }
    let lines = numbered_lines(own, text)?;
    Some(json!({PART: at, "numbered_lines": lines}))
}

/// How many lines a text has, if another begins with exactly these, each behind its number.
fn numbered_lines(own: &str, text: &str) -> Option<usize> {
    let mut numbered = text.split('\n');
    let mut count = 0;
    for line in own.split('\n') {
        let behind = numbered.next()?.trim_start_matches(' ').trim_start_matches(|digit: char| digit.is_ascii_digit());
        if behind.strip_prefix(['\t', '→'])? != line {
            return None;
        }
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "a text that is long enough to be referred to";

    fn referred(structured: Value, text: &str) -> Value {
        let result = Item::ToolResult { call_id: "c".into(), parts: vec![Part::text(text)], is_error: false };
        let mut structured = structured;
        refer(&mut structured, &[result]);
        structured
    }

    #[test]
    fn what_the_result_says_is_referred_to() {
        let structured = json!({"stdout": LONG, "stderr": "", "content": [{"text": LONG}], "code": 0});
        let left = json!({"stdout": {"$part": 0}, "stderr": "", "content": [{"text": {"$part": 0}}], "code": 0});
        assert_eq!(referred(structured, LONG), left);
        let error = json!({"$part": 0, "before": "Error: "});
        assert_eq!(referred(json!(format!("Error: {LONG}")), LONG), error);
        assert_eq!(referred(json!("Error: short"), "short"), json!("Error: short"));
        assert_eq!(referred(json!({"other": LONG}), &LONG[1..20]), json!({"other": LONG}));
    }

    #[test]
    fn lines_with_numbers_before_them_are_referred_to() {
        let own = "first line of the file\n\n  third line of the file\n";
        for numbered in [
            "1\tfirst line of the file\n2\t\n3\t  third line of the file\n4\t",
            "     8→first line of the file\n     9→\n    10→  third line of the file\n    11→\n\n<system-reminder>x",
        ] {
            let left = referred(json!({"file": {"content": own}}), numbered);
            assert_eq!(left, json!({"file": {"content": {"$part": 0, "numbered_lines": 4}}}));
        }
        let other = "1\tfirst line of the file\n2\tx\n3\t  third line of the file\n4\t";
        assert_eq!(referred(json!({"file": {"content": own}}), other), json!({"file": {"content": own}}));
    }

    #[test]
    fn what_a_response_cost_is_left_once() {
        let mut rests = Rests::new(None);
        let usage =
            json!({"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 5}, "service_tier": "standard"});
        let message = json!({"id": "m1", "role": "assistant", "stop_reason": "max_tokens", "usage": usage});
        let left = json!({"stop_reason": "max_tokens", "usage": {"cache_creation": {"ephemeral_1h_input_tokens": 5}}});
        assert_eq!(rests.of_message(message.clone()), Some(left));
        assert_eq!(rests.of_message(message), Some(json!({"stop_reason": "max_tokens"})));
        let usual = json!({"id": "m2", "stop_reason": "tool_use", "usage": {"input_tokens": 1}, "stop_sequence": null});
        assert_eq!(rests.of_message(usual), None);
    }
}
