//! What conversations cost: requests, their prices, reports over them, and the ledger's books that they are posted to.
//!
//! A *use* ([`Use`]) is one provider request, counted once in the whole store, with the session that owns it. Where uses come from is somebody else's business: the
//! index gives them (`Index::uses`). [`PriceTable`] says what one cost, [`report()`] sums them up, [`post`] puts them into books. With the feature `index`, [`feed`] does so from where it left off,
//! [`known_uses`] adds what only the books know any more, [`uses_as_of`] tells what they said at a time, and [`Rebuild`] holds them against the logs.
//!
//! A model that the table does not know has no price; it is told as unpriced, and never as free. What the agent itself said that a request cost is kept beside
//! what the table says.

#[cfg(feature = "index")]
mod feed;
mod money;
mod post;
mod prices;
#[cfg(feature = "index")]
mod rebuild;
mod report;
mod request;
mod standing;

#[cfg(feature = "index")]
pub use feed::{feed, feed_with, follow, inherited_uses, is_followed, is_unfed, known_uses, reread};
pub use money::NanoDollars;
pub use post::{Posted, post};
pub use prices::{Day, LongContext, ModelPrice, PriceError, PriceTable, Rate};
#[cfg(feature = "index")]
pub use rebuild::{AccountDifference, Rebuild};
pub use report::{By, Group, Report, Sums, UsageFilter, report, report_of};
#[cfg(feature = "index")]
pub(crate) use request::record_of;
pub(crate) use request::request_name;
#[cfg(feature = "index")]
pub(crate) use standing::{Line, Standing};
pub use standing::{is_usage_book, known_asset, usage_book, uses_as_of};

use store_core::{LlmUsage, SessionId, TimestampMs};

/// One provider request, counted once.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// What tells its repeats from other requests: the same wherever and in whatever order it was recorded.
    pub request: String,
    /// The session that owns it: the first that holds it.
    pub session: SessionId,
    /// The agent that made it.
    pub agent: Option<String>,
    /// The folder that the agent worked in where the session that owns it holds it first; where that says none, the one that the session works in now.
    pub project: Option<String>,
    /// When it was recorded first, and what it used: the largest of its repeats. The model is the provider's name of it.
    pub usage: LlmUsage,
}

impl Use {
    /// When it was made.
    pub const fn at(&self) -> TimestampMs {
        self.usage.ts
    }

    /// What the agent said that it cost, if that is an amount.
    pub fn reported(&self) -> Option<NanoDollars> {
        self.usage.cost.as_deref().and_then(NanoDollars::parse)
    }
}

/// A use with what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct PricedUse {
    /// The request.
    pub one: Use,
    /// What it cost by the list; `None` if that has no price for it.
    pub listed: Option<NanoDollars>,
    /// What the agent said that it cost.
    pub reported: Option<NanoDollars>,
}

impl PricedUse {
    /// A use by the prices of a table.
    pub fn of(one: Use, prices: &PriceTable) -> Self {
        let (listed, reported) = (prices.cost(&one.usage), one.reported());
        Self { one, listed, reported }
    }

    /// What it cost: by the list, or as the agent said where the list has no price.
    pub fn cost(&self) -> Option<NanoDollars> {
        self.listed.or(self.reported)
    }
}
