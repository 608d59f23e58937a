//! Times as JSON shows them: RFC 3339 in UTC.

use jiff::Timestamp;
use store_core::TimestampMs;

/// The text of a time; one outside the calendar is the calendar's end.
pub(crate) fn to_text(ms: TimestampMs) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
}

/// The text of a time with its milliseconds, as the agents write it.
#[cfg(feature = "index")]
pub(crate) fn to_millis_text(ms: TimestampMs) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    format!("{:.3}", Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX))
}

/// For `#[serde(serialize_with)]`.
pub(crate) fn serialize<S: serde::Serializer>(ms: &TimestampMs, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&to_text(*ms))
}
