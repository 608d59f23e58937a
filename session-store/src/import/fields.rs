//! What the readers of all agents' files need: fields of JSON values, times, ids in names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::TimestampMs;

use crate::export::ExportedFrom;

/// How deep a value may be nested that becomes part of an entry, which has to stay below the store's limit.
const MAX_PARSED_DEPTH: usize = 100;

/// A field of an object. A record has few: to look at each takes less time than to hash a name.
pub(super) fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// A text field.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    field(value, key)?.as_str()
}

/// A text field that says something.
pub(super) fn filled<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    text(value, key).filter(|text| !text.is_empty())
}

/// A copy of a text field that says something.
pub(super) fn owned(value: &Value, key: &str) -> Option<String> {
    filled(value, key).map(str::to_owned)
}

/// A count; 0 where there is none.
pub(super) fn count(value: &Value, key: &str) -> u64 {
    field(value, key).and_then(Value::as_u64).unwrap_or(0)
}

/// Takes a field out of an object.
pub(super) fn take(value: &mut Value, key: &str) -> Value {
    let found = value.as_object_mut().and_then(|fields| fields.iter_mut().find(|(name, _)| *name == key));
    found.map(|(_, value)| value.take()).unwrap_or_default()
}

/// A time: RFC 3339, or a number of milliseconds since the epoch.
pub(super) fn time_ms(value: &Value) -> Option<TimestampMs> {
    match value {
        Value::String(text) => time_of(text),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// The time that an RFC 3339 text names.
pub(super) fn time_of(text: &str) -> Option<TimestampMs> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok()
}

/// The last UUID in a text, such as a file's name.
pub(super) fn uuid_in(text: &str) -> Option<&str> {
    (0..text.len().checked_sub(35)?).rev().find_map(|at| text.get(at..at + 36).filter(|part| is_uuid(part)))
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// Whether a value says nothing: it is null, or there is nothing in it.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What an exported file says that it was made of.
pub(super) fn exported(mark: &Value) -> Option<ExportedFrom> {
    serde_json::from_value(mark.clone()).ok()
}

/// What is left of an object without the fields that were read, and without those that say nothing; `None` if nothing is.
pub(super) fn left_of(value: Value, read: &[&str]) -> Option<Value> {
    let Value::Object(mut fields) = value else { return None };
    fields.retain(|name, value| !read.contains(&name.as_str()) && !is_nothing(value));
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// Fields that a conversation's records repeat until they change. What is said again is not kept again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Repeated(BTreeMap<String, Value>);

impl Repeated {
    /// Takes out of an object what it says again of these fields.
    pub(super) fn leave_out(&mut self, value: &mut Value, names: &[&str]) {
        let Some(fields) = value.as_object_mut() else { return };
        for name in names {
            let Some((_, value)) = fields.iter().find(|(own, _)| own == name) else { continue };
            if self.0.get(*name) == Some(value) {
                fields.shift_remove(*name);
            } else {
                self.0.insert((*name).to_owned(), value.clone());
            }
        }
    }
}

/// The value that a text holds, if it is JSON that is not nested beyond reason; otherwise the text.
pub(super) fn parsed(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if is_shallow(&value, MAX_PARSED_DEPTH) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// The value, or its text if it is nested beyond reason.
pub(super) fn storable(value: Value) -> Value {
    if is_shallow(&value, MAX_PARSED_DEPTH) { value } else { Value::String(value.to_string()) }
}

fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(|value| is_shallow(value, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|value| is_shallow(value, levels - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_from_text_and_number() {
        assert_eq!(time_ms(&json!("2026-11-21T03:55:14.446Z")), Some(1_795_233_314_446));
        assert_eq!(time_ms(&json!("2026-11-21T04:55:14.446+01:00")), Some(1_795_233_314_446));
        assert_eq!(time_ms(&json!(1_795_233_314_446_u64)), Some(1_795_233_314_446));
        assert_eq!(time_ms(&json!("yesterday")), None);
        assert_eq!(time_ms(&json!("1950-01-01T00:00:00Z")), None);
    }

    #[test]
    fn the_last_uuid_of_a_name_is_found() {
        let name = "2026-11-21T03-57-58-411Z_01a1fc40-f70a-76c6-a20d-1b90f8c1da48.jsonl";
        assert_eq!(uuid_in(name), Some("01a1fc40-f70a-76c6-a20d-1b90f8c1da48"));
        assert_eq!(uuid_in("ünïcode"), None);
        assert_eq!(uuid_in("01a1fc40-f70a-76c6-a20d-1b90f8c1da4"), None);
    }

    #[test]
    fn what_is_left_of_an_object_says_something() {
        let record = json!({"a": 1, "b": null, "c": [], "d": "x", "e": "", "f": {}, "g": false});
        assert_eq!(left_of(record.clone(), &["a"]), Some(json!({"d": "x", "g": false})));
        assert_eq!(left_of(record, &["a", "d", "g"]), None);
        assert_eq!(left_of(json!("x"), &[]), None);
    }

    #[test]
    fn what_is_repeated_is_left_out_until_it_changes() {
        let mut repeated = Repeated::default();
        let mut left = |mut value: Value| {
            repeated.leave_out(&mut value, &["mode"]);
            value
        };
        assert_eq!(left(json!({"mode": "plan", "x": 1})), json!({"mode": "plan", "x": 1}));
        assert_eq!(left(json!({"mode": "plan", "x": 2})), json!({"x": 2}));
        assert_eq!(left(json!({"x": 3})), json!({"x": 3}));
        assert_eq!(left(json!({"mode": "default"})), json!({"mode": "default"}));
        assert_eq!(left(json!({"mode": "plan"})), json!({"mode": "plan"}));
    }

    #[test]
    fn a_text_that_is_no_json_or_too_deep_stays_a_text() {
        assert_eq!(parsed("{\"a\":1}"), json!({"a": 1}));
        assert_eq!(parsed("{\"a\":"), json!("{\"a\":"));
        let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
        assert_eq!(parsed(&deep), json!(deep));
        let value: Value = serde_json::from_str(&deep).unwrap();
        assert_eq!(storable(value), json!(deep));
    }
}
