//! What can go wrong with a ledger, as its user would act on it.

use super::names::{AccountId, AssetId, BookName};
use crate::error::StoreError;
use crate::id::{Seq, TransactionId};

/// The result of every call on a ledger.
pub type LedgerResult<T> = Result<T, LedgerError>;

/// What stands there already, with another definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// An asset of another precision.
    Asset(AssetId),
    /// An account of another asset, kind or minimum.
    Account(AccountId),
    /// A transaction, of whatever postings.
    Transaction(TransactionId),
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asset(asset) => write!(f, "asset {asset}"),
            Self::Account(account) => write!(f, "account {account}"),
            Self::Transaction(id) => write!(f, "transaction {id}"),
        }
    }
}

/// Why a call on a ledger failed. Unless a variant says otherwise nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A text that is no name.
    #[error("{text:?} is no valid {what} name")]
    InvalidName {
        /// What it was to name.
        what: &'static str,
        /// Its beginning.
        text: String,
    },
    /// The book belongs to the ledger.
    #[error("the book {book} is reserved")]
    ReservedBook {
        /// The book.
        book: BookName,
    },
    /// An asset or account that cannot be.
    #[error("the definition is invalid: {detail}")]
    InvalidDefinition {
        /// What is wrong with it.
        detail: String,
    },
    /// A transaction that cannot be, whatever the accounts hold.
    #[error("the transaction is invalid: {detail}")]
    InvalidTransaction {
        /// What is wrong with it.
        detail: String,
    },
    /// No such asset is registered.
    #[error("the asset {asset} is not registered")]
    UnknownAsset {
        /// The asset.
        asset: AssetId,
    },
    /// No such account was opened.
    #[error("the account {account} was not opened")]
    UnknownAccount {
        /// The account.
        account: AccountId,
    },
    /// Nothing was ever written to the book.
    #[error("nothing was written to the book {book}")]
    UnknownBook {
        /// The book.
        book: BookName,
    },
    /// Something of this name or id stands there with another definition.
    #[error("the {what} exists already")]
    AlreadyExists {
        /// What.
        what: Known,
    },
    /// The idempotency key stands in the book with other postings.
    #[error("the key {key:?} was already used at {seq} for other postings")]
    KeyReused {
        /// The key.
        key: String,
        /// The event that it stands at.
        seq: Seq,
    },
    /// Debits and credits differ.
    #[error("unbalanced in {asset}: {debits} debited, {credits} credited")]
    Unbalanced {
        /// The first asset, by name, in which they differ.
        asset: AssetId,
        /// The sum of its debits.
        debits: i128,
        /// The sum of its credits.
        credits: i128,
    },
    /// An account would hold more than can be counted.
    #[error("the balance of {account} would overflow")]
    Overflow {
        /// The account.
        account: AccountId,
    },
    /// An account would hold less than it may.
    #[error("{account} would hold {balance}, and at least {min_balance} is wanted")]
    BelowMinimum {
        /// The first such account, in the order of the postings.
        account: AccountId,
        /// What it would hold.
        balance: i64,
        /// What it has to hold.
        min_balance: i64,
    },
    /// A sync of the book failed, now or earlier: this handle writes nothing to it any more. Whether the call is written is unknown:
    /// open the ledger anew and commit again with the same key.
    #[error("the book {book} is closed: {reason}")]
    BookClosed {
        /// The book.
        book: BookName,
        /// What the system said.
        reason: String,
    },
    /// The handle was shut down.
    #[error("the ledger was shut down")]
    ShutDown,
    /// An event that is not as it was written, or that this version cannot read.
    #[error("damaged: event {seq} of {book}: {detail}")]
    Damaged {
        /// The book.
        book: BookName,
        /// The event, as far as that is known.
        seq: Seq,
        /// What is wrong with it.
        detail: String,
    },
    /// An event of elsewhere that cannot follow what stands in the book. None behind it was taken over either.
    #[error("event {seq} cannot stand in {book}: {detail}")]
    Unfit {
        /// The book.
        book: BookName,
        /// The event.
        seq: Seq,
        /// Why.
        detail: String,
    },
    /// What every store may answer: `Locked`, `Busy`, `ReadOnly`, `NoSpace`, damage, the medium's errors.
    #[error(transparent)]
    Store(#[from] StoreError),
}
