//! The words of the ledger.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names::{AccountId, AssetId, BookName};
use crate::id::{Seq, TransactionId};

/// Microseconds since the Unix epoch, UTC.
pub type TimestampUs = u64;

/// Where a ledger asks what time it is.
pub type Clock = Arc<dyn Fn() -> TimestampUs + Send + Sync>;

/// What is counted, and how finely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its name.
    pub id: AssetId,
    /// How many decimal digits a whole unit has: amounts are counted in 10^-precision of it. 0 to 18, and never another one.
    pub precision: u8,
}

/// One of the two sides of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The left side.
    Debit,
    /// The right side.
    Credit,
}

/// What an account stands for.
// Persisted: never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// What is owned.
    Asset,
    /// What is owed.
    Liability,
    /// What came in.
    Income,
    /// What was spent.
    Expense,
    /// What belongs to the owner.
    Equity,
    /// What is on its way. It has no normal side.
    Clearing,
}

impl AccountKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Asset, Self::Liability, Self::Income, Self::Expense, Self::Equity, Self::Clearing];

    /// The side that makes a balance greater; `None` for clearing accounts.
    pub const fn normal_side(self) -> Option<Side> {
        match self {
            Self::Asset | Self::Expense => Some(Side::Debit),
            Self::Liability | Self::Income | Self::Equity => Some(Side::Credit),
            Self::Clearing => None,
        }
    }

    /// The balance of an account whose debits minus its credits are `net`. Nets are never `i64::MIN`.
    pub const fn balance(self, net: i64) -> i64 {
        match self.normal_side() {
            Some(Side::Credit) => -net,
            Some(Side::Debit) | None => net,
        }
    }

    /// Its word in texts.
    // Persisted: never rename.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Liability => "liability",
            Self::Income => "income",
            Self::Expense => "expense",
            Self::Equity => "equity",
            Self::Clearing => "clearing",
        }
    }

    /// The kind of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An account as it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// What it counts.
    pub asset: AssetId,
    /// What it stands for.
    pub kind: AccountKind,
    /// The least that its balance may be after a transaction that posts to it, on its normal side.
    pub min_balance: Option<i64>,
}

/// One line of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The account.
    pub account: AccountId,
    /// Its side.
    pub side: Side,
    /// How much, in minor units; at least 1.
    pub amount: i64,
}

impl Posting {
    /// A debit.
    pub const fn debit(account: AccountId, amount: i64) -> Self {
        Self { account, side: Side::Debit, amount }
    }

    /// A credit.
    pub const fn credit(account: AccountId, amount: i64) -> Self {
        Self { account, side: Side::Credit, amount }
    }
}

/// A transaction that is to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its id, which no other transaction of the ledger has.
    pub id: TransactionId,
    /// What makes committing it again harmless; 1 to 1024 bytes. It belongs to the book and is kept for ever.
    pub key: String,
    /// What is posted. Of each asset, debits equal credits.
    pub postings: Vec<Posting>,
    /// When it happened, where that is another time than that of its commit.
    pub effective_at: Option<TimestampUs>,
    /// What else is to be remembered of it.
    pub meta: BTreeMap<String, String>,
}

impl Draft {
    /// A draft without anything that is not needed.
    pub fn new(id: TransactionId, key: impl Into<String>, postings: Vec<Posting>) -> Self {
        Self { id, key: key.into(), postings, effective_at: None, meta: BTreeMap::new() }
    }
}

/// What a commit answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction that stands there: for a repeated key the first one.
    pub id: TransactionId,
    /// Its event in the book.
    pub seq: Seq,
    /// When it was committed.
    pub at: TimestampUs,
}

/// A transaction that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The book.
    pub book: BookName,
    /// Its event there.
    pub seq: Seq,
    /// When it was committed.
    pub at: TimestampUs,
    /// What was committed.
    pub draft: Draft,
}

/// One thing that happened in a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The book.
    pub book: BookName,
    /// Its place: per book, gapless, from 1.
    pub seq: Seq,
    /// When it was committed. Never before the event in front of it.
    pub at: TimestampUs,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventBody {
    /// An asset was registered; only in the reserved book.
    AssetRegistered(Asset),
    /// An account was opened.
    AccountOpened(Account),
    /// A transaction was committed.
    Transaction(Draft),
}

/// What an account holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The account.
    pub account: AccountId,
    /// What it counts.
    pub asset: AssetId,
    /// How much, in minor units, on its normal side; debits minus credits for a clearing account.
    pub amount: i64,
    /// The last event that changed it; 0 if none did.
    pub updated_seq: Seq,
}

/// One posting in the history of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The transaction's event.
    pub seq: Seq,
    /// When it was committed.
    pub at: TimestampUs,
    /// The transaction.
    pub transaction: TransactionId,
    /// Its side.
    pub side: Side,
    /// How much, in minor units.
    pub amount: i64,
    /// The account's balance after the whole transaction, as [`Balance::amount`].
    pub balance: i64,
}

/// One asset in a trial balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialRow {
    /// The asset.
    pub asset: AssetId,
    /// The sum of the nets of all accounts with more debits than credits.
    pub debit: i128,
    /// The sum of the nets, without their sign, of all accounts with more credits than debits.
    pub credit: i128,
}
