//! Budgets: how much a project may cost in a day, a week, a month or altogether, held before a turn begins.
//!
//! All of it is in the ledger. A project's budgets have a book ([`budget_book`]) with accounts for each period: what may still be spent is an account that cannot fall below
//! nothing, so that of two who reserve the last of it one is refused, whoever they are and wherever they run. A turn *reserves* before it begins and *settles* when it
//! ended; what was spent is never refused, and what it is more than was there is overdrawn. A reservation names its owner, a conversation's live writer; one whose owner died is
//! given back by whoever comes next.
//!
//! What a request cost is posted once for each period, under the request's name. So it does not matter whether a turn's end or an import tells of it first, or how often.
//!
//! The one decision: a budget is kept by asking the ledger at the beginning of turns, and by nothing that stands between an agent and its provider. The price is that a turn may
//! cost more than it reserved, and that requests that nobody recorded are not counted.
//!
//! * `accounts` are the words of a book, `period` the calendar, `limits` what was set; `grant` opens periods, `hold` reserves, `charge` posts what requests cost.
//! * `source` is where a ledger comes from; `turn` is how a writer uses all this, `used` what a dead one left untold.
//!
//! `docs/LEDGER.md` has the accounts and a worked example.

mod accounts;
mod amount;
mod charge;
mod grant;
mod hold;
mod limits;
mod period;
mod source;
mod standing;
mod turn;
mod used;

use serde::{Serialize, Serializer};
use store_core::ledger::Ledger;
use store_core::{Backend, TimestampMs};

pub use accounts::budget_book;
pub use amount::{AmountError, parse_amount};
pub use hold::{Owner, Reservation, Wanted};
pub use limits::Budget;
pub use period::{Per, Period};
pub use source::LedgerSource;
pub use standing::Standing;
pub use turn::TurnBudget;

pub(crate) use turn::Turns;

use crate::usage::{NanoDollars, PriceTable, Use};

/// From how many hundredths of its limit on a budget warns.
pub const WARN_PERCENT: u64 = 80;

/// How often something is tried anew because others post to the same budget.
const TRIES_MAX: usize = 32;

/// A turn that may not begin, because a budget does not have what it wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the budget of ${} {} for {project} is spent: ${} spent, ${} reserved",
    to_cents(*limit), per.phrase(), to_cents(*spent), to_cents(*reserved)
)]
pub struct OverBudget {
    /// The folder that the budget was set on.
    pub project: String,
    /// What it is for.
    pub per: Per,
    /// How much may be spent.
    pub limit: NanoDollars,
    /// How much was spent.
    pub spent: NanoDollars,
    /// How much turns that go on have reserved.
    pub reserved: NanoDollars,
    /// When the next period begins; never, if there is none.
    pub until: Option<TimestampMs>,
}

/// The budgets of a ledger, at a time.
#[derive(Clone, Copy)]
pub struct Budgets<'a> {
    /// The ledger.
    pub ledger: &'a dyn Ledger,
    /// Whose leases say which owners live.
    pub store: &'a dyn Backend,
    /// What requests cost.
    pub prices: &'a PriceTable,
    /// The present time.
    pub now: TimestampMs,
}

impl Budgets<'_> {
    /// What a request counts as: its price by the list, else what the agent said; nothing where nobody knows.
    fn cost(&self, one: &Use) -> NanoDollars {
        self.known_cost(one).unwrap_or_default()
    }

    fn known_cost(&self, one: &Use) -> Option<NanoDollars> {
        self.prices.cost(&one.usage).or_else(|| one.reported())
    }
}

impl std::fmt::Debug for Budgets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budgets").field("now", &self.now).finish_non_exhaustive()
    }
}

/// For `#[serde(serialize_with)]`: an amount as a decimal text.
fn as_text<S: Serializer>(amount: &NanoDollars, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

/// The text of an amount with its cents at least.
fn to_cents(amount: NanoDollars) -> String {
    let text = amount.to_string();
    match text.split_once('.') {
        None => format!("{text}.00"),
        Some((_, cents)) if cents.len() < 2 => format!("{text}0"),
        Some(_) => text,
    }
}

impl Serialize for Per {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
