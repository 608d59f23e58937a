//! The words of a budget's book: its name, its accounts, and how transactions are named.
//!
//! A transaction's id is derived from what it is, so that the same one is never there twice, whoever posts it. Where what is posted depends on what the accounts hold, the key
//! says by which event that was known: who was overtaken finds the key used, looks again, and posts what is right then.

use sha2::{Digest as _, Sha256};
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, AssetId, Balance, BookName, Draft, Ledger, LedgerError, LedgerResult,
    Posting,
};
use store_core::{Seq, TransactionId};

/// The asset that budgets count: the one that usage is posted in.
// Persisted: never rename.
const USD: &str = "usd";
const USD_PRECISION: u8 = 9;
/// What the names of books begin with.
// Persisted: never rename.
pub(super) const BOOK_PREFIX: &str = "budget-";

/// The book of a project's budgets: `budget-` and the first 32 digits of the SHA-256 of its folder.
///
/// # Errors
/// None: that is always a name.
pub fn budget_book(project: &str) -> LedgerResult<BookName> {
    let hex: String = Sha256::digest(project).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{BOOK_PREFIX}{hex}").parse()
}

/// An account of a budget's book.
// Persisted: the paths of all of them are never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of<'a> {
    /// Where limits come from.
    Authority,
    /// How much may be spent in each period: of what, in which zone.
    Limit(&'a str, &'a str),
    /// How much of it a period was given.
    Granted(&'a str),
    /// What may still be reserved or spent in a period.
    Available(&'a str),
    /// What a turn that goes on has reserved in a period; each has one of these for itself.
    Reserved(&'a str, usize),
    /// What was spent in a period.
    Spent(&'a str),
    /// What was spent in a period beyond what it was given.
    Overdrawn(&'a str),
}

impl Of<'_> {
    pub(super) fn id(self, book: &BookName) -> LedgerResult<AccountId> {
        let path = match self {
            Self::Authority => "authority".to_owned(),
            Self::Limit(per, zone) => format!("limit:{per}:{zone}"),
            Self::Granted(label) => format!("granted:{label}"),
            Self::Available(label) => format!("available:{label}"),
            Self::Reserved(label, slot) => format!("reserved:{label}:{slot}"),
            Self::Spent(label) => format!("spent:{label}"),
            Self::Overdrawn(label) => format!("overdrawn:{label}"),
        };
        AccountId::new(book, &path)
    }

    const fn kind(self) -> (AccountKind, Option<i64>) {
        match self {
            Self::Authority => (AccountKind::Clearing, None),
            Self::Limit(..) | Self::Available(_) | Self::Reserved(..) => (AccountKind::Asset, Some(0)),
            Self::Granted(_) => (AccountKind::Equity, Some(0)),
            Self::Spent(_) => (AccountKind::Expense, Some(0)),
            Self::Overdrawn(_) => (AccountKind::Liability, Some(0)),
        }
    }

    /// Opens it; again is fine.
    pub(super) fn open(self, ledger: &dyn Ledger, book: &BookName) -> LedgerResult<()> {
        let (kind, min_balance) = self.kind();
        ledger.open_account(&Account { id: self.id(book)?, asset: usd()?, kind, min_balance })
    }

    /// What it holds; `None` if it was never opened.
    pub(super) fn balance(self, ledger: &dyn Ledger, book: &BookName) -> LedgerResult<Option<Balance>> {
        match ledger.balance(&self.id(book)?, None) {
            Ok(balance) => Ok(Some(balance)),
            Err(LedgerError::UnknownAccount { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How much it holds; nothing if it was never opened.
    pub(super) fn amount(self, ledger: &dyn Ledger, book: &BookName) -> LedgerResult<i64> {
        Ok(self.balance(ledger, book)?.map_or(0, |balance| balance.amount))
    }
}

fn usd() -> LedgerResult<AssetId> {
    USD.parse()
}

pub(super) fn register_asset(ledger: &dyn Ledger) -> LedgerResult<()> {
    ledger.register_asset(&Asset { id: usd()?, precision: USD_PRECISION })
}

/// The id of what has this name in a book.
pub(super) fn transaction_id(book: &BookName, name: &str) -> TransactionId {
    TransactionId::derive(0, format!("budget\n{book}\n{name}").as_bytes())
}

/// The postings of a transaction, without those of nothing.
pub(super) fn postings(
    book: &BookName,
    debits: &[(Of<'_>, i64)],
    credits: &[(Of<'_>, i64)],
) -> LedgerResult<Vec<Posting>> {
    let some = |(_, amount): &&(Of<'_>, i64)| *amount > 0;
    let debits = debits.iter().filter(some).map(|(of, amount)| Ok(Posting::debit(of.id(book)?, *amount)));
    let credits = credits.iter().filter(some).map(|(of, amount)| Ok(Posting::credit(of.id(book)?, *amount)));
    debits.chain(credits).collect()
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// It stands there, since now or before.
    Committed,
    /// Somebody else was quicker with another one, or an account holds less than was known: look again.
    Overtaken,
}

/// Commits a transaction.
pub(super) fn commit(ledger: &dyn Ledger, book: &BookName, draft: &Draft) -> LedgerResult<Became> {
    became(draft, ledger.commit(book, draft).map(|receipt| receipt.id))
}

pub(super) fn became(draft: &Draft, answer: LedgerResult<TransactionId>) -> LedgerResult<Became> {
    match answer {
        Ok(id) if id == draft.id => Ok(Became::Committed),
        Err(LedgerError::AlreadyExists { .. }) => Ok(Became::Committed),
        // The same postings under the same key are not the same thing if another id did them.
        Ok(_) | Err(LedgerError::KeyReused { .. } | LedgerError::BelowMinimum { .. }) => Ok(Became::Overtaken),
        Err(error) => Err(error),
    }
}

/// The last transaction of an account.
pub(super) fn last_transaction(
    ledger: &dyn Ledger,
    balance: &Balance,
) -> LedgerResult<Option<store_core::ledger::Transaction>> {
    let Some(before) = balance.updated_seq.0.checked_sub(1) else { return Ok(None) };
    match ledger.account_history(&balance.account, Seq(before), 1)?.first() {
        Some(row) => ledger.transaction(row.transaction),
        None => Ok(None),
    }
}
