//! Summing uses up: by day, week, month, five-hour block, session, model, agent or project.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use store_core::TimestampMs;

use super::money::NanoDollars;
use super::prices::PriceTable;
use super::{PricedUse, Use};
use crate::fold::UsageTotals;

/// What a block of hours is.
const BLOCK_MS: u64 = 5 * HOUR_MS;
const HOUR_MS: u64 = 3_600_000;
/// The key of what has none.
const UNKNOWN: &str = "";

/// What uses are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The calendar's day: `2025-11-30`.
    Day,
    /// The week of ISO 8601: `2025-W48`.
    Week,
    /// The calendar's month: `2025-11`.
    Month,
    /// Five hours from the full hour of the first use that no earlier block holds: the time of that hour, RFC 3339 in UTC.
    Block,
    /// The session that owns it.
    Session,
    /// The model, as the provider names it.
    Model,
    /// The agent.
    Agent,
    /// The folder that the agent worked in.
    Project,
}

/// Which uses count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// From this time on, inclusive.
    pub since: Option<TimestampMs>,
    /// Before this time, exclusive.
    pub until: Option<TimestampMs>,
}

/// The sums of some uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// How many requests.
    pub requests: u64,
    /// Their tokens.
    #[serde(flatten)]
    pub usage: UsageTotals,
    /// What they cost in US dollars, by the list, or as the agent said where the list has no price; `None` unless that is known of each of them.
    #[serde(serialize_with = "as_text")]
    pub cost_usd: Option<NanoDollars>,
    /// What those of them cost that the list has a price for; `None` if there are none.
    #[serde(serialize_with = "as_text")]
    pub listed_usd: Option<NanoDollars>,
    /// What the agents said that those of them cost of which they said it; `None` if there are none.
    #[serde(serialize_with = "as_text")]
    pub reported_usd: Option<NanoDollars>,
    /// How many of them the list has no price for.
    pub unpriced: u64,
}

fn as_text<S: serde::Serializer>(cost: &Option<NanoDollars>, to: S) -> Result<S::Ok, S::Error> {
    match cost {
        Some(cost) => to.collect_str(cost),
        None => to.serialize_none(),
    }
}

/// One group of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What its uses have in common; empty where that is not known.
    pub key: String,
    /// Their sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// What some uses come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All of them.
    pub total: Sums,
    /// By what was asked for, by key ascending.
    pub groups: Vec<Group>,
}

impl Sums {
    /// Adds one request.
    pub fn add(&mut self, priced: &PricedUse) {
        let plus = |sum: Option<NanoDollars>, cost: Option<NanoDollars>| match (sum, cost) {
            (sum, None) => sum,
            (None, cost) => cost,
            (Some(sum), Some(cost)) => sum.checked_add(cost),
        };
        let PricedUse { one, listed, reported } = priced;
        let (listed, reported) = (*listed, *reported);
        self.cost_usd = match (self.requests, self.cost_usd, priced.cost()) {
            (0, _, cost) => cost,
            (_, Some(sum), Some(cost)) => sum.checked_add(cost),
            _ => None,
        };
        self.listed_usd = plus(self.listed_usd, listed);
        self.reported_usd = plus(self.reported_usd, reported);
        self.unpriced += u64::from(listed.is_none());
        self.requests += 1;
        self.usage.add(&one.usage);
    }
}

impl UsageFilter {
    /// Whether it lets a use pass.
    pub fn passes(&self, one: &Use) -> bool {
        self.since.is_none_or(|since| one.at() >= since) && self.until.is_none_or(|until| one.at() < until)
    }
}

/// Sums up the uses that the filter lets pass, by the prices of a table. Days, weeks and months are those of a time zone.
pub fn report(uses: &[Use], by: By, filter: UsageFilter, zone: &TimeZone, prices: &PriceTable) -> Report {
    let priced: Vec<PricedUse> = uses.iter().map(|one| PricedUse::of(one.clone(), prices)).collect();
    report_of(&priced, by, filter, zone)
}

/// Sums up the uses that the filter lets pass, whose costs are known. Days, weeks and months are those of a time zone.
pub fn report_of(uses: &[PricedUse], by: By, filter: UsageFilter, zone: &TimeZone) -> Report {
    let mut counted: Vec<&PricedUse> = uses.iter().filter(|priced| filter.passes(&priced.one)).collect();
    counted.sort_unstable_by(|one, other| (one.one.at(), &one.one.request).cmp(&(other.one.at(), &other.one.request)));
    let (mut total, mut groups, mut block) = (Sums::default(), BTreeMap::<String, Sums>::new(), None);
    for priced in counted {
        total.add(priced);
        groups.entry(key_of(&priced.one, by, zone, &mut block)).or_default().add(priced);
    }
    Report { total, groups: groups.into_iter().map(|(key, sums)| Group { key, sums }).collect() }
}

/// The key of a use; `block` is the start of the block that is going on.
fn key_of(one: &Use, by: By, zone: &TimeZone, block: &mut Option<u64>) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let date = || {
        let ms = i64::try_from(one.at()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_zoned(zone.clone()).date()
    };
    match by {
        By::Day => date().to_string(),
        By::Week => {
            let week = date().iso_week_date();
            format!("{:04}-W{:02}", week.year(), week.week())
        }
        By::Month => date().strftime("%Y-%m").to_string(),
        By::Block => {
            let start = block.filter(|start| one.at() < start + BLOCK_MS).unwrap_or(one.at() / HOUR_MS * HOUR_MS);
            *block = Some(start);
            crate::time::to_text(start)
        }
        By::Session => one.session.to_string(),
        By::Model => known(&one.usage.model),
        By::Agent => known(&one.agent),
        By::Project => known(&one.project),
    }
}

#[cfg(test)]
mod tests {
    use store_core::{LlmUsage, SessionId};

    use super::*;

    /// 2025-11-30, 23:30 in UTC.
    const LATE: TimestampMs = 1_764_545_400_000;

    fn one(n: u64, ts: TimestampMs, model: &str, cost: Option<&str>) -> Use {
        Use {
            request: format!("r:{n}"),
            session: SessionId::derive(n % 2, b"s"),
            agent: Some("claude".to_owned()),
            project: (n > 1).then(|| "/work".to_owned()),
            usage: LlmUsage {
                ts,
                model: Some(model.to_owned()),
                input_total_tokens: 1_000_000,
                cost: cost.map(str::to_owned),
                ..LlmUsage::default()
            },
        }
    }

    fn keys(uses: &[Use], by: By, zone: &TimeZone) -> Vec<(String, u64)> {
        let prices = PriceTable::shipped().unwrap();
        let made = report(uses, by, UsageFilter::default(), zone, &prices);
        made.groups.into_iter().map(|group| (group.key, group.sums.requests)).collect()
    }

    #[test]
    fn days_weeks_and_months_are_those_of_the_zone() {
        let uses = [one(1, LATE, "gpt-5", None), one(2, LATE + HOUR_MS, "gpt-5", None)];
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let of = |pairs: &[(&str, u64)]| pairs.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(keys(&uses, By::Day, &TimeZone::UTC), of(&[("2025-11-30", 1), ("2025-12-01", 1)]));
        assert_eq!(keys(&uses, By::Day, &berlin), of(&[("2025-12-01", 2)]));
        assert_eq!(keys(&uses, By::Week, &TimeZone::UTC), of(&[("2025-W48", 1), ("2025-W49", 1)]));
        assert_eq!(keys(&uses, By::Month, &TimeZone::UTC), of(&[("2025-11", 1), ("2025-12", 1)]));
        assert_eq!(keys(&uses, By::Project, &berlin), of(&[("", 1), ("/work", 1)]));
    }

    #[test]
    fn a_block_is_five_hours_from_the_full_hour_of_its_first_use() {
        let at = |minutes: u64| LATE + minutes * 60_000;
        let uses = [one(1, at(0), "m", None), one(2, at(269), "m", None), one(3, at(270), "m", None)];
        let keys = keys(&uses, By::Block, &TimeZone::UTC);
        assert_eq!(keys, [("2025-11-30T23:00:00Z".to_owned(), 2), ("2025-12-01T04:00:00Z".to_owned(), 1)]);
    }

    #[test]
    fn what_has_no_price_is_told_and_is_not_nothing() {
        let prices = PriceTable::shipped().unwrap();
        let sums = |uses: &[Use]| report(uses, By::Model, UsageFilter::default(), &TimeZone::UTC, &prices).total;
        let (listed, unknown) = (one(1, LATE, "gpt-5", Some("1.3")), one(2, LATE, "pi-large", None));
        let both = sums(&[listed.clone(), unknown]);
        assert_eq!((both.cost_usd, both.unpriced), (None, 1));
        assert_eq!((both.listed_usd, both.reported_usd), (NanoDollars::parse("1.25"), NanoDollars::parse("1.3")));
        let said = sums(&[listed, one(3, LATE, "pi-large", Some("0.5"))]);
        assert_eq!((said.cost_usd, said.unpriced), (NanoDollars::parse("1.75"), 1));
    }

    #[test]
    fn since_is_inclusive_and_until_is_not() {
        let uses = [1, 2, 3].map(|n| one(n, n, "gpt-5", None));
        let filter = UsageFilter { since: Some(2), until: Some(3) };
        let made = report(&uses, By::Session, filter, &TimeZone::UTC, &PriceTable::default());
        assert_eq!(made.total.requests, 1);
    }

    #[test]
    fn the_form_of_a_report_is_the_documented_one() {
        let uses = [one(1, LATE, "gpt-5", None), one(2, LATE, "pi-large", Some("0.5"))];
        let prices = PriceTable::shipped().unwrap();
        insta::assert_json_snapshot!(report(&uses, By::Model, UsageFilter::default(), &TimeZone::UTC, &prices));
    }
}
