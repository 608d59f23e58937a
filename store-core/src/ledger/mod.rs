//! The ledger: what was spent, by whom, within which budget. Double entry, several assets, append-only.
//!
//! Here live the words ([`Asset`], [`Account`], [`Posting`], [`Draft`], [`Event`]), the contract ([`Ledger`]), the rules that every
//! implementation applies before it writes ([`rules`]), and those by which it takes over another's events ([`adopt`]), the proof of a ledger ([`verify_ledger`]), what a repair keeps of it ([`repair`]), the text of an event ([`text`]), the state that a book's events fold
//! to ([`BookState`]), and the reference in memory ([`MemoryLedger`]). Where the events are kept is an implementation's business.
//!
//! The decision that shapes the rest: a book is a gapless list of events, and every balance is a fold of them. So there is nothing
//! beside the events that could disagree with them. The price is that whoever wants a balance quickly keeps the fold, and says up to which event.
//!
//! A [`Side`] tells debits from credits; amounts are never negative. An account's *net* is its debits minus its credits; its balance
//! is that net as its kind counts: as it is for assets, expenses and clearing accounts, negated for the others.

pub mod adopt;
mod contract;
mod error;
pub mod fingerprint;
mod memory;
mod names;
pub mod repair;
pub mod rules;
mod state;
mod subscription;
pub mod text;
mod types;
mod verify;

pub use contract::Ledger;
pub use error::{Known, LedgerError, LedgerResult};
pub use memory::{MemoryLedger, MemoryLedgerMedium, rows_of};
pub use names::{AccountId, AssetId, BookName};
pub use repair::{BookRepair, LedgerRepair, LostEvents};
pub use state::{BookState, Mark};
pub use subscription::{EventSource, SourceSubscription, Subscription};
pub use types::{
    Account, AccountKind, Asset, Balance, Clock, Draft, Event, EventBody, HistoryRow, Posting, Receipt, Side,
    TimestampUs, Transaction, TrialRow,
};
pub use verify::{LedgerFinding, LedgerFindingKind, LedgerReport, verify_ledger};
