//! What the readers of all agents' files need: fields of JSON values, times, ids in names.

use serde_json::Value;
use store_core::TimestampMs;

/// How deep a value may be nested that becomes part of an entry, which has to stay below the store's limit.
const MAX_PARSED_DEPTH: usize = 100;

/// A text field.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
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
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// Takes a field out of an object.
pub(super) fn take(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map(Value::take).unwrap_or_default()
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
    fn a_text_that_is_no_json_or_too_deep_stays_a_text() {
        assert_eq!(parsed("{\"a\":1}"), json!({"a": 1}));
        assert_eq!(parsed("{\"a\":"), json!("{\"a\":"));
        let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
        assert_eq!(parsed(&deep), json!(deep));
        let value: Value = serde_json::from_str(&deep).unwrap();
        assert_eq!(storable(value), json!(deep));
    }
}
