//! The calendar of budgets: which period a time is in, and when it begins and ends.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use store_core::TimestampMs;

use crate::error::{Result, SessionError};

/// What a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Per {
    /// A day of the calendar.
    Day,
    /// A week of ISO 8601, which begins with its Monday.
    Week,
    /// A month of the calendar.
    Month,
    /// All time.
    Total,
}

impl Per {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Total];

    /// Its word.
    // Persisted: never rename.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// How it is said behind an amount.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Day => "a day",
            Self::Week => "a week",
            Self::Month => "a month",
            Self::Total => "in total",
        }
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Per {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|per| per.as_str() == text).ok_or(())
    }
}

/// A stretch of time that a budget is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// What names it in accounts: `day:Europe/Berlin:2025-11-30`, `week:UTC:2025-W48`, `month:UTC:2025-11`, `total`.
    pub label: String,
    /// Its first moment; `None` if it has no beginning.
    pub start: Option<TimestampMs>,
    /// The first moment behind it; `None` if it has no end.
    pub end: Option<TimestampMs>,
}

impl Period {
    /// The period that a time is in, by the calendar of a time zone.
    ///
    /// # Errors
    /// `UnknownZone`.
    pub fn at(per: Per, zone: &str, time: TimestampMs) -> Result<Self> {
        let time_zone = time_zone(zone)?;
        let ms = i64::try_from(time).unwrap_or(i64::MAX);
        let day = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_zoned(time_zone.clone()).date();
        let week = day.iso_week_date();
        // Where the calendar ends nothing begins any more.
        let later = |first: Date, span| first.checked_add(span).unwrap_or(Date::MAX);
        // Persisted: never rename.
        let (label, first, next) = match per {
            Per::Day => (format!("day:{zone}:{day}"), day, later(day, 1.day())),
            Per::Week => {
                let first = day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days()).unwrap_or(day);
                (format!("week:{zone}:{:04}-W{:02}", week.year(), week.week()), first, later(first, 7.days()))
            }
            Per::Month => {
                let first = day.first_of_month();
                (format!("month:{zone}:{}", day.strftime("%Y-%m")), first, later(first, 1.month()))
            }
            Per::Total => return Ok(Self { label: "total".to_owned(), start: None, end: None }),
        };
        let begins = |day: Date| {
            let ms = day.to_zoned(time_zone.clone()).map_or(i64::MAX, |zoned| zoned.timestamp().as_millisecond());
            u64::try_from(ms).unwrap_or(0)
        };
        Ok(Self { label, start: Some(begins(first)), end: Some(begins(next)) })
    }

    /// Whether a time is in it.
    pub fn holds(&self, time: TimestampMs) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }
}

/// A time zone by its name.
pub(super) fn time_zone(name: &str) -> Result<TimeZone> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| SessionError::UnknownZone { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> TimestampMs {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn told(per: Per, zone: &str, time: &str) -> (String, String, String) {
        let period = Period::at(per, zone, ms(time)).unwrap();
        assert!(period.holds(ms(time)), "{period:?} holds {time}");
        assert!(!period.holds(period.end.unwrap()) && !period.holds(period.start.unwrap() - 1));
        let text = |ms: Option<u64>| crate::time::to_text(ms.unwrap());
        (period.label.clone(), text(period.start), text(period.end))
    }

    fn of(label: &str, start: &str, end: &str) -> (String, String, String) {
        (label.to_owned(), start.to_owned(), end.to_owned())
    }

    #[test]
    fn periods_are_those_of_the_zones_calendar() {
        assert_eq!(
            told(Per::Day, "UTC", "2025-11-30T23:30:00Z"),
            of("day:UTC:2025-11-30", "2025-11-30T00:00:00Z", "2025-12-01T00:00:00Z")
        );
        assert_eq!(
            told(Per::Day, "Europe/Berlin", "2025-11-30T23:30:00Z"),
            of("day:Europe/Berlin:2025-12-01", "2025-11-30T23:00:00Z", "2025-12-01T23:00:00Z")
        );
        assert_eq!(
            told(Per::Week, "UTC", "2026-01-01T12:00:00Z"),
            of("week:UTC:2026-W01", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z")
        );
        assert_eq!(
            told(Per::Month, "Asia/Tokyo", "2025-12-31T15:00:00Z"),
            of("month:Asia/Tokyo:2026-01", "2025-12-31T15:00:00Z", "2026-01-31T15:00:00Z")
        );
        let total = Period::at(Per::Total, "UTC", 5).unwrap();
        assert_eq!((total.label.as_str(), total.start, total.end), ("total", None, None));
    }

    #[test]
    fn a_day_has_the_hours_that_its_zone_gives_it() {
        // Clocks go forward on 2025-03-30 and back on 2025-10-26.
        assert_eq!(
            told(Per::Day, "Europe/Berlin", "2025-03-30T12:00:00Z"),
            of("day:Europe/Berlin:2025-03-30", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z")
        );
        assert_eq!(
            told(Per::Day, "Europe/Berlin", "2025-10-25T22:00:00Z"),
            of("day:Europe/Berlin:2025-10-26", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z")
        );
        // In Santiago the day itself begins an hour late when clocks go forward.
        assert_eq!(
            told(Per::Day, "America/Santiago", "2025-09-07T04:00:00Z"),
            of("day:America/Santiago:2025-09-07", "2025-09-07T04:00:00Z", "2025-09-08T03:00:00Z")
        );
    }

    #[test]
    fn a_zone_that_nobody_knows_is_told() {
        let refused = Period::at(Per::Day, "Middle/Earth", 0).unwrap_err();
        assert!(matches!(&refused, SessionError::UnknownZone { name } if name == "Middle/Earth"), "{refused}");
    }
}
