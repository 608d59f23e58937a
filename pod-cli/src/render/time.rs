//! Times for people and for programs. The clock is passed in.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use store_core::TimestampMs;
use store_core::ledger::TimestampUs;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time as JSON has it: RFC 3339 in UTC. One outside the calendar is the calendar's end.
pub(crate) fn rfc3339(ts: TimestampMs) -> String {
    timestamp(ts).unwrap_or(Timestamp::MAX).to_string()
}

/// A time as people say it: how long ago, and a date where that says more.
pub(crate) fn relative(now: TimestampMs, ts: TimestampMs) -> String {
    match now.checked_sub(ts) {
        Some(age) if age < MINUTE => format!("{}s ago", age / SECOND),
        Some(age) if age < HOUR => format!("{}m ago", age / MINUTE),
        Some(age) if age < DAY => format!("{}h ago", age / HOUR),
        Some(age) if age < 14 * DAY => format!("{}d ago", age / DAY),
        _ => local(ts).map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d").to_string()),
    }
}

/// The time of day with its date, in the local zone.
pub(crate) fn clock(ts: TimestampMs) -> String {
    local(ts).map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The point in time that a person names: an RFC 3339 time, a date or date and time of this machine's zone, or how long ago.
pub(crate) fn parse_since(text: &str, now: TimestampMs) -> Result<TimestampMs, String> {
    parse_since_in(text, now, &TimeZone::system())
}

/// The same with dates of a zone.
pub(crate) fn parse_since_in(text: &str, now: TimestampMs, zone: &TimeZone) -> Result<TimestampMs, String> {
    let time = parse_time(text, now, zone)?;
    u64::try_from(time.as_millisecond()).map_err(|_| unreadable(text))
}

/// The same in microseconds, which is how finely a ledger counts.
pub(crate) fn parse_as_of(text: &str, now: TimestampMs, zone: &TimeZone) -> Result<TimestampUs, String> {
    let time = parse_time(text, now, zone)?;
    u64::try_from(time.as_microsecond()).map_err(|_| unreadable(text))
}

/// A time of a ledger as JSON has it: RFC 3339 in UTC, with its microseconds.
pub(crate) fn rfc3339_us(us: TimestampUs) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX).to_string()
}

fn unreadable(text: &str) -> String {
    format!("{text:?} is not a time: give a date (2025-11-30), an RFC 3339 time, or how long ago (90m, 2h, 3d)")
}

fn parse_time(text: &str, now: TimestampMs, zone: &TimeZone) -> Result<Timestamp, String> {
    let time = if let Ok(time) = text.parse::<Timestamp>() {
        Some(time)
    } else if let Ok(date) = text.parse::<Date>() {
        date.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
    } else if let Ok(datetime) = text.parse::<DateTime>() {
        datetime.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
    } else {
        let span = text.parse::<Span>().map_err(|_| unreadable(text))?;
        let ago = if span.is_negative() { span } else { -span };
        let now = timestamp(now).map(|time| time.to_zoned(zone.clone()));
        now.and_then(|zoned| zoned.checked_add(ago).ok()).map(|zoned| zoned.timestamp())
    };
    time.ok_or_else(|| unreadable(text))
}

/// The milliseconds of an RFC 3339 time.
pub(crate) fn parse_clock(text: &str) -> Option<TimestampMs> {
    text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok())
}

fn timestamp(ts: TimestampMs) -> Option<Timestamp> {
    i64::try_from(ts).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

fn local(ts: TimestampMs) -> Option<Zoned> {
    timestamp(ts).map(|time| time.to_zoned(TimeZone::system()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = 1_764_000_000_000; // 2025-11-24T16:00:00Z

    #[test]
    fn ages_are_told_in_the_largest_whole_unit() {
        let cases = [
            (0, "0s ago"),
            (59 * SECOND, "59s ago"),
            (2 * MINUTE + 59 * SECOND, "2m ago"),
            (3 * HOUR, "3h ago"),
            (DAY, "1d ago"),
            (13 * DAY + 23 * HOUR, "13d ago"),
        ];
        for (age, said) in cases {
            assert_eq!(relative(NOW, NOW - age), said);
        }
    }

    #[test]
    fn what_is_long_ago_or_still_to_come_is_told_as_a_date() {
        assert!(relative(NOW, NOW - 20 * DAY).starts_with("2025-11-0"), "{}", relative(NOW, NOW - 20 * DAY));
        assert!(relative(NOW, NOW + 3 * DAY).starts_with("2025-11-2"), "{}", relative(NOW, NOW + 3 * DAY));
        assert_eq!(relative(NOW, u64::MAX), "?");
    }

    #[test]
    fn times_in_json_are_utc() {
        assert_eq!(rfc3339(NOW), "2025-11-24T16:00:00Z");
        assert_eq!(rfc3339(NOW + 7), "2025-11-24T16:00:00.007Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-12-30"), "{}", rfc3339(u64::MAX));
    }

    #[test]
    fn since_takes_times_dates_and_ages() {
        assert_eq!(parse_since("2025-11-24T15:00:00Z", NOW), Ok(NOW - HOUR));
        assert_eq!(parse_since("2h", NOW), Ok(NOW - 2 * HOUR));
        assert_eq!(parse_since("90m", NOW), Ok(NOW - 90 * MINUTE));
        assert_eq!(parse_since("2 hours ago", NOW), Ok(NOW - 2 * HOUR));
        let date = parse_since("2025-11-20", NOW).unwrap();
        assert!(date > NOW - 6 * DAY && date < NOW - 3 * DAY, "{date}");
        assert_eq!(parse_as_of("2025-11-24T16:00:00.000007Z", NOW, &TimeZone::UTC), Ok(NOW * 1000 + 7));
        assert_eq!(rfc3339_us(NOW * 1000 + 7), "2025-11-24T16:00:00.000007Z");
        for bad in ["", "yesterday-ish", "2025-13-01", "12"] {
            assert!(parse_since(bad, NOW).is_err(), "{bad:?} must be refused");
        }
    }
}
