//! Times as JSON shows them: RFC 3339 in UTC.

use jiff::Timestamp;
use store_core::TimestampMs;

/// The text of a time; one outside the calendar is the calendar's end.
pub(super) fn to_text(ms: TimestampMs) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
}

fn from_text(text: &str) -> Result<TimestampMs, jiff::Error> {
    let time: Timestamp = text.parse()?;
    Ok(u64::try_from(time.as_millisecond()).unwrap_or_default())
}

/// For `#[serde(with)]` on a time.
pub(super) mod rfc3339 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use store_core::TimestampMs;

    pub(in crate::index) fn serialize<S: Serializer>(ms: &TimestampMs, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::to_text(*ms))
    }

    pub(in crate::index) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TimestampMs, D::Error> {
        super::from_text(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// For `#[serde(with)]` on a time that may be unknown.
pub(super) mod rfc3339_option {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use store_core::TimestampMs;

    pub(in crate::index) fn serialize<S: Serializer>(ms: &Option<TimestampMs>, to: S) -> Result<S::Ok, S::Error> {
        ms.map(super::to_text).serialize(to)
    }

    pub(in crate::index) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TimestampMs>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| super::from_text(&text).map_err(D::Error::custom)).transpose()
    }
}
