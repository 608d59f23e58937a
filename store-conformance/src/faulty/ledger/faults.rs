//! The faults, and what several of them need.

mod adopt;
mod batch;
mod commit;
mod definition;
mod key;
mod open;
mod read;
mod repair;

use store_core::ledger::{Account, AccountId, Balance, BookName, Draft, Ledger as _, Posting, Receipt};
use store_core::{Seq, TransactionId};

use super::FaultyLedger;
use super::handle::Handle;

macro_rules! fault {
    ($name:literal, $call:ident: |$($argument:pat_param),+| $body:expr) => {
        FaultyLedger { name: $name, rules: Rules { $call: Some(|$($argument),+| $body), ..Rules::KEPT } }
    };
}
use fault;

/// A receipt of what was not committed.
fn made_up(at: &Handle, book: &BookName, draft: &Draft) -> Receipt {
    let seq = at.inner.read_events(book, Seq(1), usize::MAX).map_or(0, |events| events.len() as u64);
    Receipt { id: draft.id, seq: Seq(seq + 1), at: (at.clock)() }
}

/// The account as it was opened.
fn opened(at: &Handle, id: &AccountId) -> Option<Account> {
    at.inner.list_accounts(id.book()).ok()?.into_iter().find(|account| account.id == *id)
}

/// The draft with other postings.
fn with(draft: &Draft, postings: Vec<Posting>) -> Draft {
    Draft { postings, ..draft.clone() }
}

/// The draft with another key and id.
fn renamed(draft: &Draft, by: &str) -> Draft {
    let seed = format!("{}{by}", draft.key);
    Draft { id: TransactionId::derive(9, seed.as_bytes()), key: seed, ..draft.clone() }
}

/// The first transaction with the key of a draft.
fn known(at: &Handle, book: &BookName, draft: &Draft) -> Option<(Receipt, Draft)> {
    let found = at.drafts(book).into_iter().find(|(_, known)| known.key == draft.key)?;
    Some((Receipt { id: found.1.id, seq: found.0.seq, at: found.0.at }, found.1))
}

fn no_account(id: &AccountId) -> Balance {
    let asset = "USD".parse().unwrap_or_else(|_| unreachable!("it is a name"));
    Balance { account: id.clone(), asset, amount: 0, updated_seq: Seq(0) }
}

/// Every faulty ledger, in the order of the contract.
pub fn ledgers() -> impl Iterator<Item = &'static FaultyLedger> {
    let themes = [
        definition::LEDGERS,
        commit::LEDGERS,
        key::LEDGERS,
        batch::LEDGERS,
        read::LEDGERS,
        open::LEDGERS,
        adopt::LEDGERS,
        repair::LEDGERS,
    ];
    themes.into_iter().flatten()
}

fn events_are_few(limit: usize) -> bool {
    limit < usize::MAX
}
