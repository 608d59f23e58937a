//! Deriving the usage books again, from the logs themselves, and holding what they say against that.
//!
//! Neither the index that is kept nor what it knows of the books takes part: the logs are read into an index that is thrown away, and each account is asked of the ledger. What the logs
//! do not hold any more, because it was purged or rolled back, was spent all the same: the books are right about it, and it is told as kept.

use std::collections::BTreeSet;

use serde::Serialize;
use store_core::Backend;
use store_core::ledger::{AccountId, Ledger, LedgerResult};

use super::Use;
use super::post::{Posted, bring_in_step};
use super::prices::PriceTable;
use super::standing::{Folded, Nets, is_usage_book, nets, wanted};
use crate::error::Result;
use crate::index::Index;

/// An account that says something else than it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountDifference {
    /// The account.
    pub account: AccountId,
    /// Its debits minus its credits, in minor units, as the book has them.
    pub books: i64,
    /// What they are by the logs, and by what is kept of requests that stand in no log.
    pub logs: i64,
}

/// The usage books, derived again and held against what they say.
#[derive(Debug)]
pub struct Rebuild {
    uses: Vec<Use>,
    folded: Folded,
    /// How many requests the logs hold.
    pub requests: u64,
    /// How many requests the books know that stand in no log any more.
    pub kept: u64,
    /// How many accounts were compared.
    pub accounts: u64,
    /// Those that differ, by name ascending.
    pub differences: Vec<AccountDifference>,
}

impl Rebuild {
    /// Reads all logs and all usage books, and compares. A store without a ledger has books that say nothing.
    ///
    /// # Errors
    /// What the store or the ledger fails with as a whole; `Index`.
    pub fn compare(backend: &dyn Backend, ledger: Option<&dyn Ledger>, prices: &PriceTable) -> Result<Self> {
        let index = Index::nameless(backend)?;
        index.refresh(backend)?;
        let mut made = Self {
            uses: index.uses()?,
            folded: Folded::default(),
            requests: 0,
            kept: 0,
            accounts: 0,
            differences: Vec::new(),
        };
        made.requests = made.uses.len() as u64;
        made.look(ledger, prices)?;
        Ok(made)
    }

    /// Compares once more: what the logs held when they were read with what the books say now.
    fn look(&mut self, ledger: Option<&dyn Ledger>, prices: &PriceTable) -> LedgerResult<()> {
        self.folded = ledger.map_or_else(|| Ok(Folded::default()), |ledger| Folded::read(ledger, None))?;
        let mut expected = Nets::new();
        let mut expect = |nets: Nets| {
            for (account, amount) in nets {
                let net = expected.entry(account).or_insert(0_i64);
                // What cannot be counted is in no book, and is told as a difference.
                *net = net.saturating_add(amount);
            }
        };
        for one in &self.uses {
            expect(nets(&[wanted(one, prices)?])?);
        }
        let known: BTreeSet<&str> = self.uses.iter().map(|one| one.request.as_str()).collect();
        self.kept = 0;
        for (request, standing) in self.folded.iter().filter(|(request, _)| !known.contains(request.as_str())) {
            expect(nets(standing.held())?);
            self.kept += u64::from(standing.to_use(request).is_some());
        }
        let said = ledger.map_or_else(|| Ok(Nets::new()), balances)?;
        let accounts: BTreeSet<&AccountId> = expected.keys().chain(said.keys()).collect();
        self.accounts = accounts.len() as u64;
        self.differences = accounts
            .into_iter()
            .map(|account| {
                let of = |nets: &Nets| nets.get(account).copied().unwrap_or(0);
                AccountDifference { account: account.clone(), books: of(&said), logs: of(&expected) }
            })
            .filter(|one| one.books != one.logs)
            .collect();
        Ok(())
    }

    /// Posts what sets the books right, and compares once more: what differs then is not of any request's doing.
    ///
    /// # Errors
    /// Those of the ledger. What was posted by then stays.
    pub fn post(&mut self, ledger: &dyn Ledger, prices: &PriceTable) -> Result<Posted> {
        let posted = bring_in_step(ledger, prices, &self.uses, &mut self.folded, &mut |_| {})?;
        self.look(Some(ledger), prices)?;
        Ok(posted)
    }
}

/// The net of every account of the usage books, as the ledger has it.
fn balances(ledger: &dyn Ledger) -> LedgerResult<Nets> {
    let mut nets = Nets::new();
    for book in ledger.list_books()?.into_iter().filter(is_usage_book) {
        for account in ledger.list_accounts(&book)? {
            let balance = ledger.balance(&account.id, None)?;
            // A balance is told on the account's normal side.
            let net = account.kind.balance(balance.amount);
            nets.insert(account.id, net);
        }
    }
    Ok(nets)
}
