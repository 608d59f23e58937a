//! What requests cost, posted once for each period.
//!
//! A request is one transaction, whose key is `use:`, the period and the request's name; one that grew, got another price, or turned out to be another folder's or period's is set right by
//! further ones, `use#2:` and so on, which post the difference. A request that is not told of any more stays as it is: what was spent stays spent.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};
use store_core::ledger::{BookName, Draft, Ledger, LedgerError, LedgerResult, Side};
use store_core::{Seq, TransactionId};

use super::accounts::{Of, postings, transaction_id};
use super::grant::{Holds, too_much};
use super::hold::{Hold, Place, Reservation};
use super::limits::{Budget, busy};
use super::{Budgets, TRIES_MAX};
use crate::error::Result;
use crate::usage::Use;

/// How many transactions are committed together.
const BATCH: usize = 256;
/// How many postings of a history are read at once.
const READ: usize = 4096;

/// A difference that is to be posted.
pub(super) struct Change<'u> {
    one: &'u Use,
    /// Which transaction of the request it is; the first is 1.
    number: u64,
    pub(super) amount: i64,
}

/// How posting went.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// Somebody else took the number of a transaction meanwhile: what is to be posted is another thing by now.
    is_overtaken: bool,
    /// Requests that a budget cannot hold, because an account would count more than can be counted.
    refused: u64,
}

/// What is known of what a request cost by then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Every request of the store, as it is now.
    All,
    /// Some, of which more may be known by others.
    Some,
}

impl Budgets<'_> {
    /// Brings every budget in step with the requests of the store, once each: all of them, as [`known_uses`](crate::usage::known_uses) tells them, so that one whose conversation was purged counts as well. Answers how many requests of them are left out, because an account would count more than can be counted.
    ///
    /// The present period of each budget is looked at request by request; an earlier one, if it was ever asked for, where its sum differs.
    ///
    /// # Errors
    /// `UnknownZone`; those of the ledger. What was posted by then stays, and doing it again goes on from there.
    pub fn charge(&self, uses: &[Use]) -> Result<u64> {
        self.all()?.iter().try_fold(0_u64, |sum, budget| Ok(sum.saturating_add(self.charge_budget(budget, uses)?)))
    }

    /// The same for one budget.
    ///
    /// # Errors
    /// As [`charge`](Self::charge).
    pub fn charge_budget(&self, budget: &Budget, uses: &[Use]) -> Result<u64> {
        let present = Place::at(budget, budget.period(self.now)?)?;
        self.grant(budget, &present.period)?;
        let mut refused = self.in_step(&present, uses)?;
        let begins = format!("granted:{}:{}:", budget.per, budget.zone);
        let mut earlier: BTreeMap<String, (Option<Place<'_>>, i64)> = BTreeMap::new();
        for account in self.ledger.list_accounts(&present.book)? {
            if account.id.path().starts_with(&begins)
                && let Some(label) =
                    account.id.path().strip_prefix("granted:").filter(|label| *label != present.period.label)
            {
                earlier.insert(label.to_owned(), (None, 0));
            }
        }
        if earlier.is_empty() {
            return Ok(refused);
        }
        let mut period = present.period.clone();
        for one in uses.iter().filter(|one| one.project.as_deref().is_some_and(|project| budget.covers(project))) {
            if !period.holds(one.at()) {
                period = budget.period(one.at())?;
            }
            if let Some((place, sum)) = earlier.get_mut(&period.label) {
                *sum = sum.saturating_add(self.cost(one).0);
                if place.is_none() {
                    *place = Some(Place::at(budget, period.clone())?);
                }
            }
        }
        for (label, (place, sum)) in earlier {
            if let Some(place) = place
                && Of::Spent(&label).amount(self.ledger, &present.book)? != sum
            {
                refused = refused.saturating_add(self.in_step(&place, uses)?);
            }
        }
        Ok(refused)
    }

    /// Posts what a turn cost and gives back what it had reserved, of every budget that its folder is under. Never refused: what is not there is overdrawn. Again is fine.
    ///
    /// # Errors
    /// `UnknownZone`; those of the ledger. The reservation is given back at the latest when its owner is gone, and the requests are posted when the store's are.
    pub fn settle(&self, reservation: &Reservation, uses: &[Use]) -> Result<()> {
        let mut holds: Vec<&Hold> = reservation.holds.iter().collect();
        for budget in &self.covering(&reservation.project)? {
            let mut places: Vec<Place<'_>> = Vec::new();
            let times = std::iter::once(self.now).chain(uses.iter().map(Use::at));
            for time in times {
                if !places.iter().any(|place| place.period.holds(time)) {
                    places.push(Place::at(budget, budget.period(time)?)?);
                }
            }
            for place in &places {
                // What a period that is over was given stays, and one that nobody asked for does not come into being any more.
                if place.period.holds(self.now) {
                    self.grant(budget, &place.period)?;
                } else if Of::Granted(&place.period.label).balance(self.ledger, &place.book)?.is_none() {
                    continue;
                }
                let at = holds.iter().position(|hold| hold.book == place.book && hold.label == place.period.label);
                let mut hold = at.map(|at| holds.swap_remove(at));
                let known = |id| spent_by(self.ledger, id);
                self.until_posted(|| {
                    let changes = self.changes(place, uses, Told::Some, &known)?;
                    self.post(place, hold.take(), &changes)
                })?;
            }
        }
        // Those of budgets that were taken away meanwhile, and of periods that nothing was spent in.
        holds.into_iter().try_for_each(|hold| self.release_hold(hold))
    }

    fn in_step(&self, place: &Place<'_>, uses: &[Use]) -> Result<u64> {
        self.until_posted(|| {
            let changes = self.unposted(place, uses)?;
            self.post(place, None, &changes)
        })
    }

    /// Looks and posts until nobody was quicker; answers how many requests were refused.
    fn until_posted(&self, mut post: impl FnMut() -> Result<Outcome>) -> Result<u64> {
        for _ in 0..TRIES_MAX {
            let Outcome { is_overtaken, refused } = post()?;
            if !is_overtaken {
                return Ok(refused);
            }
        }
        Err(busy().into())
    }

    /// What is to be posted for a period to be in step with the requests of the store.
    pub(super) fn unposted<'u>(&self, place: &Place<'_>, uses: &'u [Use]) -> Result<Vec<Change<'u>>> {
        let history = spent_history(self.ledger, &place.book, &place.period.label)?;
        self.changes(place, uses, Told::All, &|id| Ok(history.get(&id).copied()))
    }

    fn changes<'u>(
        &self,
        place: &Place<'_>,
        uses: &'u [Use],
        told: Told,
        known: &dyn Fn(TransactionId) -> LedgerResult<Option<i64>>,
    ) -> Result<Vec<Change<'u>>> {
        let mut changes = Vec::new();
        for one in uses {
            // Of one whose folder nobody knows, whoever told of it knew better.
            let Some(project) = one.project.as_deref() else { continue };
            let counts = place.budget.covers(project) && place.period.holds(one.at());
            if !counts && told == Told::Some {
                continue;
            }
            let wanted = if counts { self.cost(one).0 } else { 0 };
            let (mut posted, mut number) = (0_i64, 1);
            while let Some(amount) = known(use_id(place, one, number))? {
                posted = posted.saturating_add(amount);
                number += 1;
            }
            let amount = wanted.saturating_sub(posted);
            // Who knows a part only knows of less than others may.
            if amount > 0 || (amount < 0 && told == Told::All) {
                changes.push(Change { one, number, amount });
            }
        }
        Ok(changes)
    }

    /// Posts differences, and gives a reservation back before, with it where the ledger does that at once.
    fn post(&self, place: &Place<'_>, hold: Option<&Hold>, changes: &[Change<'_>]) -> Result<Outcome> {
        let (book, label) = (&place.book, place.period.label.as_str());
        let (mut hold, mut outcome) = (hold, Outcome::default());
        let mut waiting: Vec<&Change<'_>> = changes.iter().collect();
        let mut tries = 0;
        while hold.is_some() || !waiting.is_empty() {
            let mut holds = Holds::read(self.ledger, book, label)?;
            let mut drafts = Vec::new();
            if let Some(hold) = hold.take() {
                holds.available = holds.available.saturating_add(hold.amount);
                drafts.push(hold.release()?);
            }
            let released = drafts.len();
            let batch = waiting.len().min(BATCH);
            let mut drafted = Vec::with_capacity(batch);
            for change in waiting.drain(..batch) {
                match draft(place, change, &mut holds) {
                    Ok(draft) => {
                        drafts.push(draft);
                        drafted.push(change);
                    }
                    // One request that cannot be counted keeps no other from the budget.
                    Err(LedgerError::Overflow { .. }) => outcome.refused += 1,
                    Err(error) => return Err(error.into()),
                }
            }
            let mut again = Vec::new();
            for (at, answer) in self.ledger.commit_batch(book, &drafts)?.into_iter().enumerate() {
                match (answer, at.checked_sub(released)) {
                    (Ok(receipt), Some(_)) if receipt.id != drafts[at].id => outcome.is_overtaken = true,
                    (Ok(_), _) => {}
                    (Err(LedgerError::AlreadyExists { .. } | LedgerError::KeyReused { .. }), at) => {
                        // A reservation is given back by one transaction; of a request another amount may stand there.
                        outcome.is_overtaken |= at.is_some();
                    }
                    (Err(LedgerError::BelowMinimum { .. }), Some(at)) => again.push(drafted[at]),
                    (Err(LedgerError::Overflow { .. }), Some(_)) => outcome.refused += 1,
                    (Err(error), _) => return Err(error.into()),
                }
            }
            tries = if again.len() < batch { 0 } else { tries + 1 };
            if tries > TRIES_MAX {
                return Err(busy().into());
            }
            again.append(&mut waiting);
            waiting = again;
        }
        self.cover(book, label)?;
        Ok(outcome)
    }
}

fn draft(place: &Place<'_>, change: &Change<'_>, holds: &mut Holds) -> LedgerResult<Draft> {
    let Change { one, number, amount } = change;
    let (book, label) = (&place.book, place.period.label.as_str());
    let postings = if *amount > 0 {
        let (available, overdrawn) = holds.take(*amount).ok_or(too_much(book, label)?)?;
        let from = [(Of::Available(label), available), (Of::Overdrawn(label), overdrawn)];
        postings(book, &[(Of::Spent(label), *amount)], &from)?
    } else {
        let (available, overdrawn) = holds.put_back(amount.saturating_neg()).ok_or(too_much(book, label)?)?;
        let to = [(Of::Available(label), available), (Of::Overdrawn(label), overdrawn)];
        postings(book, &to, &[(Of::Spent(label), -*amount)])?
    };
    // A request's name is the provider's, of whatever length: what is too long for a key is told by its hash.
    let name = if one.request.len() <= 768 {
        one.request.clone()
    } else {
        Sha256::digest(&one.request).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let key = if *number == 1 { format!("use:{label}:{name}") } else { format!("use#{number}:{label}:{name}") };
    let mut draft = Draft::new(use_id(place, one, *number), key, postings);
    draft.effective_at = Some(one.at().saturating_mul(1000));
    draft.meta.insert("session".to_owned(), one.session.to_string());
    Ok(draft)
}

/// The n-th transaction of a request in a period.
fn use_id(place: &Place<'_>, one: &Use, number: u64) -> TransactionId {
    transaction_id(&place.book, &format!("use:{}\n{}\n{number}", place.period.label, one.request))
}

/// How much a transaction says was spent; `None` if there is none of this id.
fn spent_by(ledger: &dyn Ledger, id: TransactionId) -> LedgerResult<Option<i64>> {
    let Some(found) = ledger.transaction(id)? else { return Ok(None) };
    let spent = found.draft.postings.iter().filter(|posting| posting.account.path().starts_with("spent:"));
    Ok(Some(spent.map(|posting| signed(posting.side, posting.amount)).sum()))
}

/// How much each transaction of a period says was spent.
fn spent_history(ledger: &dyn Ledger, book: &BookName, label: &str) -> LedgerResult<HashMap<TransactionId, i64>> {
    let (account, mut after, mut spent) = (Of::Spent(label).id(book)?, Seq::START, HashMap::new());
    loop {
        let rows = match ledger.account_history(&account, after, READ) {
            Err(LedgerError::UnknownAccount { .. }) => return Ok(spent),
            rows => rows?,
        };
        let Some(last) = rows.last() else { return Ok(spent) };
        after = last.seq;
        for row in rows {
            *spent.entry(row.transaction).or_default() += signed(row.side, row.amount);
        }
    }
}

const fn signed(side: Side, amount: i64) -> i64 {
    match side {
        Side::Debit => amount,
        Side::Credit => -amount,
    }
}
