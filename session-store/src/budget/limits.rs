//! What was set: the limits of a project's budgets.
//!
//! A limit is what its account holds, so every change is a transaction, and what it was at a time can be asked. A budget that holds nothing was taken away.

use std::path::Path;

use store_core::ledger::{BookName, Draft, Ledger, LedgerResult};
use store_core::{Seq, StoreError};

use super::accounts::{BOOK_PREFIX, Became, Of, budget_book, commit, postings, register_asset, transaction_id};
use super::period::{Per, Period, time_zone};
use super::{Budgets, TRIES_MAX};
use crate::error::Result;
use crate::usage::NanoDollars;

/// A budget as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The folder that it is for, with all below it.
    pub project: String,
    /// The stretch of time that it is for.
    pub per: Per,
    /// The time zone of its calendar.
    pub zone: String,
    /// How much may be spent in each period.
    pub limit: NanoDollars,
}

impl Budget {
    pub(super) fn book(&self) -> LedgerResult<BookName> {
        budget_book(&self.project)
    }

    /// The period that a time is in.
    pub(super) fn period(&self, time: u64) -> Result<Period> {
        Period::at(self.per, &self.zone, time)
    }

    /// Whether it is for a folder.
    pub(super) fn covers(&self, project: &str) -> bool {
        Path::new(project).starts_with(&self.project)
    }
}

impl Budgets<'_> {
    /// Sets a budget, or changes the one that the folder has for such a period: its limit, or its zone. It counts from the beginning of the present period.
    ///
    /// # Errors
    /// `UnknownZone`; those of the ledger.
    pub fn set(&self, budget: &Budget) -> Result<()> {
        time_zone(&budget.zone)?;
        register_asset(self.ledger)?;
        self.limit(&budget.project, budget.per, Some((&budget.zone, budget.limit.0)))?;
        self.grant(budget, &budget.period(self.now)?)
    }

    /// Takes the budgets of a folder away, or the one for such a period; answers with those that there were. What they were stays in the ledger.
    ///
    /// # Errors
    /// `UnknownZone`; those of the ledger.
    pub fn remove(&self, project: &str, per: Option<Per>) -> Result<Vec<Budget>> {
        let mut removed = self.set_on(project)?;
        removed.retain(|budget| per.is_none_or(|per| per == budget.per));
        for budget in &removed {
            self.limit(project, budget.per, None)?;
            self.grant(budget, &budget.period(self.now)?)?;
        }
        Ok(removed)
    }

    /// Sees to it that of a project's limits for such periods exactly this one holds anything.
    fn limit(&self, project: &str, per: Per, wanted: Option<(&str, i64)>) -> Result<()> {
        let (book, word) = (budget_book(project)?, per.as_str());
        Of::Authority.open(self.ledger, &book)?;
        if let Some((zone, _)) = wanted {
            Of::Limit(word, zone).open(self.ledger, &book)?;
        }
        for _ in 0..TRIES_MAX {
            let known = limits_of(self.ledger, &book)?;
            let known: Vec<&Limit> = known.iter().filter(|known| known.per == per).collect();
            let last = known.iter().map(|known| known.changed).max().unwrap_or_default();
            let (mut debits, mut credits) = (Vec::new(), Vec::new());
            for Limit { zone, holds, .. } in known {
                let change = wanted.filter(|(wanted, _)| wanted == zone).map_or(0, |(_, limit)| limit) - holds;
                let side = if change > 0 { &mut debits } else { &mut credits };
                side.push((Of::Limit(word, zone), change.saturating_abs()));
            }
            let sum = |side: &[(Of<'_>, i64)]| side.iter().map(|(_, amount)| amount).sum::<i64>();
            let (raised, lowered) = (sum(&debits), sum(&credits));
            if raised == 0 && lowered == 0 {
                return Ok(());
            }
            debits.push((Of::Authority, lowered));
            credits.push((Of::Authority, raised));
            let key = format!("limit:{word}:{last}");
            let to = wanted.map_or_else(String::new, |(zone, limit)| format!("{limit} {zone}"));
            let id = transaction_id(&book, &format!("{key}\n{to}"));
            let mut draft = Draft::new(id, key, postings(&book, &debits, &credits)?);
            draft.meta.insert("project".to_owned(), project.to_owned());
            if commit(self.ledger, &book, &draft)? == Became::Committed {
                return Ok(());
            }
        }
        Err(busy().into())
    }

    /// The budgets that were set on this very folder.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn set_on(&self, project: &str) -> Result<Vec<Budget>> {
        let limits = limits_of(self.ledger, &budget_book(project)?)?;
        let budget = |Limit { per, zone, holds, .. }| Budget {
            project: project.to_owned(),
            per,
            zone,
            limit: NanoDollars(holds),
        };
        Ok(limits.into_iter().filter(|limit| limit.holds > 0).map(budget).collect())
    }

    /// The budgets that a turn in this folder is under: those of the folder and of all above it, the nearest first.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn covering(&self, project: &str) -> Result<Vec<Budget>> {
        let books = self.ledger.list_books()?;
        let mut budgets = Vec::new();
        for folder in Path::new(project).ancestors().filter_map(Path::to_str) {
            if books.binary_search(&budget_book(folder)?).is_ok() {
                budgets.extend(self.set_on(folder)?);
            }
        }
        Ok(budgets)
    }

    /// Every budget, by folder.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn all(&self) -> Result<Vec<Budget>> {
        let mut budgets = Vec::new();
        for book in self.ledger.list_books()? {
            if book.as_str().starts_with(BOOK_PREFIX)
                && let Some(project) = project_of(self.ledger, &book)?
            {
                budgets.extend(self.set_on(&project)?);
            }
        }
        budgets.sort_by(|one, other| (&one.project, one.per).cmp(&(&other.project, other.per)));
        Ok(budgets)
    }
}

/// What was said meanwhile keeps being overtaken.
pub(super) fn busy() -> StoreError {
    StoreError::Busy { holder: "others who post to the same budget".to_owned(), host: None, since: None }
}

/// A limit's account.
struct Limit {
    per: Per,
    zone: String,
    holds: i64,
    /// The event that changed it last.
    changed: Seq,
}

/// The accounts of a project's limits, also of those that were taken away.
fn limits_of(ledger: &dyn Ledger, book: &BookName) -> LedgerResult<Vec<Limit>> {
    let mut limits = Vec::new();
    for account in ledger.list_accounts(book)? {
        let name = account.id.path().strip_prefix("limit:").and_then(|name| name.split_once(':'));
        if let Some((per, zone)) = name
            && let Ok(per) = per.parse()
        {
            let balance = ledger.balance(&account.id, None)?;
            limits.push(Limit { per, zone: zone.to_owned(), holds: balance.amount, changed: balance.updated_seq });
        }
    }
    limits.sort_by_key(|limit| limit.per);
    Ok(limits)
}

/// Whose budgets a book has.
fn project_of(ledger: &dyn Ledger, book: &BookName) -> LedgerResult<Option<String>> {
    let Some(balance) = Of::Authority.balance(ledger, book)? else { return Ok(None) };
    let first = ledger.account_history(&balance.account, Seq::START, 1)?;
    let Some(row) = first.first() else { return Ok(None) };
    Ok(ledger.transaction(row.transaction)?.and_then(|mut found| found.draft.meta.remove("project")))
}
