//! What conversations cost: requests, their prices, reports over them, and the ledger's books that they are posted to.
//!
//! A *use* ([`Use`]) is one provider request, counted once in the whole store, with the session that owns it. Where uses come from is somebody else's business: the
//! index gives them (`Index::uses`). [`PriceTable`] says what one cost, [`report()`] sums them up, [`post`] puts them into books.
//!
//! A model that the table does not know has no price; it is told as unpriced, and never as free. What the agent itself said that a request cost is kept beside
//! what the table says.

mod money;
mod post;
mod prices;
mod report;
mod request;

pub use money::NanoDollars;
pub use post::{Posted, post, usage_book};
pub use prices::{PriceError, PriceTable};
pub use report::{By, Group, Report, Sums, UsageFilter, report};
#[cfg(feature = "index")]
pub(crate) use request::record_of;
pub(crate) use request::request_name;

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
    /// The folder that the agent worked in.
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
