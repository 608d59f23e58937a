//! Periods: what they were given, and what they hold.
//!
//! A period comes into being when somebody asks for it, and is given the limit. When the limit is changed, it is given the difference; what is taken back and was spent already is
//! overdrawn. So what is available, reserved and spent, without what is overdrawn, is always what was given.

use store_core::ledger::{BookName, Draft, Ledger, LedgerError, LedgerResult};

use super::accounts::{Became, Of, commit, postings, transaction_id};
use super::limits::{Budget, busy};
use super::period::Period;
use super::{Budgets, TRIES_MAX};
use crate::error::Result;

/// What the accounts of a period hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    pub(super) available: i64,
    pub(super) spent: i64,
    pub(super) overdrawn: i64,
}

impl Holds {
    pub(super) fn read(ledger: &dyn Ledger, book: &BookName, label: &str) -> LedgerResult<Self> {
        Ok(Self {
            available: Of::Available(label).amount(ledger, book)?,
            spent: Of::Spent(label).amount(ledger, book)?,
            overdrawn: Of::Overdrawn(label).amount(ledger, book)?,
        })
    }

    /// How much may still be reserved; less than nothing if more was spent than given.
    pub(super) const fn left(self) -> i64 {
        self.available.saturating_sub(self.overdrawn)
    }

    /// Takes an amount out of what is available; what that does not have is overdrawn. Answers with the two parts; `None`, and takes nothing, if that is more than can be counted.
    pub(super) fn take(&mut self, amount: i64) -> Option<(i64, i64)> {
        let available = amount.min(self.available).max(0);
        let overdrawn = amount.checked_sub(available)?;
        self.overdrawn = self.overdrawn.checked_add(overdrawn)?;
        self.available -= available;
        Some((available, overdrawn))
    }

    /// Puts an amount back: what is overdrawn goes first. Answers with what became available, and what is overdrawn no more; `None`, and puts nothing, if that is more than can be counted.
    pub(super) fn put_back(&mut self, amount: i64) -> Option<(i64, i64)> {
        let overdrawn = amount.min(self.overdrawn).max(0);
        let available = amount.checked_sub(overdrawn)?;
        self.available = self.available.checked_add(available)?;
        self.overdrawn -= overdrawn;
        Some((available, overdrawn))
    }
}

/// What is said of an amount that a period cannot hold.
pub(super) fn too_much(book: &BookName, label: &str) -> LedgerResult<LedgerError> {
    Ok(LedgerError::Overflow { account: Of::Overdrawn(label).id(book)? })
}

impl Budgets<'_> {
    /// Sees to it that a period was given what the limit is now, and that nothing is overdrawn that is there.
    pub(super) fn grant(&self, budget: &Budget, period: &Period) -> Result<()> {
        let (ledger, book, label) = (self.ledger, budget.book()?, period.label.as_str());
        for _ in 0..TRIES_MAX {
            let Some(granted) = Of::Granted(label).balance(ledger, &book)? else {
                for of in [Of::Granted(label), Of::Available(label), Of::Spent(label), Of::Overdrawn(label)] {
                    of.open(ledger, &book)?;
                }
                continue;
            };
            let limit = Of::Limit(budget.per.as_str(), &budget.zone).amount(ledger, &book)?;
            let mut holds = Holds::read(ledger, &book, label)?;
            let change = limit - granted.amount;
            let postings = if change == 0 {
                return self.cover(&book, label);
            } else if change > 0 {
                let (available, overdrawn) = holds.put_back(change).ok_or(too_much(&book, label)?)?;
                let debits = [(Of::Available(label), available), (Of::Overdrawn(label), overdrawn)];
                postings(&book, &debits, &[(Of::Granted(label), change)])?
            } else {
                let (available, overdrawn) = holds.take(-change).ok_or(too_much(&book, label)?)?;
                let credits = [(Of::Available(label), available), (Of::Overdrawn(label), overdrawn)];
                postings(&book, &[(Of::Granted(label), -change)], &credits)?
            };
            // What a period is given follows from what it was given before: of two who know the same only one is right.
            let key = format!("grant:{label}:{}", granted.updated_seq);
            let id = transaction_id(&book, &format!("{key}\n{limit}"));
            // Whether it is there now or somebody else was quicker, the next look says what is missing.
            commit(ledger, &book, &Draft::new(id, key, postings))?;
        }
        Err(busy().into())
    }

    /// Pays what is overdrawn with what is available, where two who posted at once left both.
    pub(super) fn cover(&self, book: &BookName, label: &str) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let available = Of::Available(label).balance(self.ledger, book)?;
            let overdrawn = Of::Overdrawn(label).balance(self.ledger, book)?;
            let (Some(available), Some(overdrawn)) = (available, overdrawn) else { return Ok(()) };
            let both = available.amount.min(overdrawn.amount);
            if both == 0 {
                return Ok(());
            }
            let key = format!("cover:{label}:{}:{}", available.updated_seq, overdrawn.updated_seq);
            let id = transaction_id(book, &format!("{key}\n{both}"));
            let postings = postings(book, &[(Of::Overdrawn(label), both)], &[(Of::Available(label), both)])?;
            if commit(self.ledger, book, &Draft::new(id, key, postings))? == Became::Committed {
                return Ok(());
            }
        }
        Err(busy().into())
    }
}
