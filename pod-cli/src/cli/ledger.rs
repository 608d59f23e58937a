//! The arguments of `pod ledger`.

use clap::{Args, Subcommand};

/// What is asked of the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// List accounts with what they hold.
    Accounts(LedgerBooksArgs),
    /// List the postings of an account.
    History(LedgerHistoryArgs),
    /// Say what an account holds.
    Balance(LedgerBalanceArgs),
    /// Sum up the debit and the credit balances of a book, by asset; they are always equal.
    Trial(LedgerBooksArgs),
    /// List what happened in a book.
    Events(LedgerEventsArgs),
}

/// Which books are looked at.
#[derive(Args, Debug)]
pub(crate) struct LedgerBooksArgs {
    /// Which book: its name, or its project's folder; without it, all of them.
    #[arg(value_name = "BOOK")]
    pub(crate) book: Option<String>,

    /// As of when: a date, a time, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
}

/// Arguments of `pod ledger history`.
#[derive(Args, Debug)]
pub(crate) struct LedgerHistoryArgs {
    /// Which account: BOOK:PATH.
    #[arg(value_name = "ACCOUNT")]
    pub(crate) account: String,

    /// Only what stands behind this event of the book.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) after: u64,

    /// At most so many transactions.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// As of when: a date, a time, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
}

/// Arguments of `pod ledger balance`.
#[derive(Args, Debug)]
pub(crate) struct LedgerBalanceArgs {
    /// Which account: BOOK:PATH.
    #[arg(value_name = "ACCOUNT")]
    pub(crate) account: String,

    /// As of when: a date, a time, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
}

/// Arguments of `pod ledger events`.
#[derive(Args, Debug)]
pub(crate) struct LedgerEventsArgs {
    /// Which book: its name, or its project's folder. `_system` has the assets.
    #[arg(value_name = "BOOK")]
    pub(crate) book: String,

    /// Only from this event on.
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    pub(crate) from: u64,

    /// At most so many.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// As of when: a date, a time, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
}
