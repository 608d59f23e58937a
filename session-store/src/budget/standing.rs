//! How a budget stands: what a list shows.

use serde::Serialize;
use store_core::TimestampMs;

use super::grant::Holds;
use super::hold::Place;
use super::limits::Budget;
use super::{Budgets, Per, WARN_PERCENT, as_text};
use crate::error::Result;
use crate::usage::{NanoDollars, Use};

/// How a budget stands in its present period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The folder that it is for.
    pub project: String,
    /// What it is for.
    pub per: Per,
    /// The time zone of its calendar.
    pub zone: String,
    /// How much may be spent in US dollars.
    #[serde(rename = "limit_usd", serialize_with = "as_text")]
    pub limit: NanoDollars,
    /// How much was spent.
    #[serde(rename = "spent_usd", serialize_with = "as_text")]
    pub spent: NanoDollars,
    /// How much turns that go on have reserved.
    #[serde(rename = "reserved_usd", serialize_with = "as_text")]
    pub reserved: NanoDollars,
    /// How much is left; less than nothing if more was spent.
    #[serde(rename = "left_usd", serialize_with = "as_text")]
    pub left: NanoDollars,
    /// How much of it was spent, in hundredths, rounded down.
    pub percent: u64,
    /// How many requests are left out, because an account would count more than can be counted.
    pub refused: u64,
    /// When the period began, if it did.
    #[serde(serialize_with = "as_time")]
    pub start: Option<TimestampMs>,
    /// When it ends, if it does.
    #[serde(serialize_with = "as_time")]
    pub end: Option<TimestampMs>,
    /// How many of the period's requests nobody knows the price of. They count as nothing. `None` where nobody looked at the requests.
    pub unpriced: Option<u64>,
}

fn as_time<S: serde::Serializer>(time: &Option<TimestampMs>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.serialize_str(&crate::time::to_text(*time)),
        None => to.serialize_none(),
    }
}

impl Standing {
    /// Whether so much of it is spent that somebody should be told.
    pub const fn warns(&self) -> bool {
        self.percent >= WARN_PERCENT
    }
}

impl Budgets<'_> {
    /// Brings budgets in step with the requests of the store, gives back what dead owners reserved, and says how they stand.
    ///
    /// # Errors
    /// `UnknownZone`; those of the ledger.
    pub fn list(&self, budgets: &[Budget], uses: &[Use]) -> Result<Vec<Standing>> {
        let mut standings = Vec::with_capacity(budgets.len());
        for budget in budgets {
            let refused = self.charge_budget(budget, uses)?;
            let place = Place::at(budget, budget.period(self.now)?)?;
            self.reverse_dead(&place, None)?;
            standings.push(Standing { refused, ..self.standing(&place, Some(uses), 0)? });
        }
        Ok(standings)
    }

    /// The same of a ledger that cannot be written to: what would be posted is added to what the accounts say.
    ///
    /// # Errors
    /// `UnknownZone`; those of the ledger.
    pub fn look(&self, budgets: &[Budget], uses: &[Use]) -> Result<Vec<Standing>> {
        let mut standings = Vec::with_capacity(budgets.len());
        for budget in budgets {
            let place = Place::at(budget, budget.period(self.now)?)?;
            let spent = Holds::read(self.ledger, &place.book, &place.period.label)?.spent;
            let (mut unposted, mut refused) = (0_i64, 0);
            for change in self.unposted(&place, uses)? {
                match unposted.checked_add(change.amount).filter(|sum| spent.checked_add(*sum).is_some()) {
                    Some(sum) => unposted = sum,
                    None => refused += 1,
                }
            }
            standings.push(Standing { refused, ..self.standing(&place, Some(uses), unposted)? });
        }
        Ok(standings)
    }

    /// How budgets stand by what their accounts say, without looking at requests: how many of them have no price nobody says.
    ///
    /// # Errors
    /// `UnknownZone`; those of the ledger.
    pub fn stand(&self, budgets: &[Budget]) -> Result<Vec<Standing>> {
        let stand = |budget| self.standing(&Place::at(budget, budget.period(self.now)?)?, None, 0);
        budgets.iter().map(stand).collect()
    }

    fn standing(&self, place: &Place<'_>, uses: Option<&[Use]>, unposted: i64) -> Result<Standing> {
        let Place { budget, book, period } = place;
        let spent = Holds::read(self.ledger, book, &period.label)?.spent.saturating_add(unposted);
        let reserved = self.reserved(book, &period.label)?;
        let is_unpriced = |one: &&Use| {
            let covered = one.project.as_deref().is_some_and(|project| budget.covers(project));
            covered && period.holds(one.at()) && self.known_cost(one).is_none()
        };
        let percent = i128::from(spent) * 100 / i128::from(budget.limit.0.max(1));
        Ok(Standing {
            project: budget.project.clone(),
            per: budget.per,
            zone: budget.zone.clone(),
            limit: budget.limit,
            spent: NanoDollars(spent),
            reserved,
            left: NanoDollars(budget.limit.0.saturating_sub(spent).saturating_sub(reserved.0)),
            percent: u64::try_from(percent).unwrap_or_default(),
            refused: 0,
            start: period.start,
            end: period.end,
            unpriced: uses.map(|uses| uses.iter().filter(is_unpriced).count() as u64),
        })
    }
}
