//! Reservations: what turns that go on may spend.
//!
//! A reservation moves an amount of each budget that a folder is under from what is available to an account of its own, a *slot* of the period, which is used again when it is empty. So
//! there are as many slots as turns went on at once, and who wants to know the open ones looks at a few accounts, however many turns there were.
//!
//! Its owner is the live writer of a segment. Whether that one lives is told by the segment's lease; as a successor may hold it by now, the reservation remembers what the
//! lease said of its holder, and a writer that reserves for its segment gives back what was reserved for it before.

use store_core::ledger::{BookName, Draft, LedgerError, LedgerResult};
use store_core::{Backend, LeaseHolder, SegmentId, Seq, SessionId, StoreError, TransactionId};

use super::accounts::{Of, commit, last_transaction, postings, transaction_id};
use super::grant::Holds;
use super::limits::{Budget, busy};
use super::period::Period;
use super::used::used_since;
use super::{Budgets, OverBudget, TRIES_MAX};
use crate::error::Result;
use crate::usage::NanoDollars;

/// For whom something is reserved: the live writer of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its session.
    pub session: SessionId,
    /// The segment that it writes to.
    pub segment: SegmentId,
    /// What the segment's lease says of it. `None` where there are no leases, and nobody can know whether it lives; who has none in a store that has leases is taken for dead.
    pub lease: Option<LeaseHolder>,
    /// The last entry that stood in the segment before the turn: what it uses stands behind.
    pub after: Seq,
}

impl Owner {
    /// The writer of a segment, who holds its lease now, for a turn of which nothing is written yet.
    ///
    /// # Errors
    /// Those of the store.
    pub fn of(store: &dyn Backend, session: SessionId, segment: SegmentId) -> Result<Self> {
        let after = Seq(store.read_entry_count(session, segment)?);
        Self::behind(store, (session, segment, after))
    }

    /// The same for a turn whose entries stand behind that one.
    pub(super) fn behind(store: &dyn Backend, (session, segment, after): (SessionId, SegmentId, Seq)) -> Result<Self> {
        let lease = store.watch().map(|watch| watch.leased(session, segment)).transpose()?.flatten();
        Ok(Self { session, segment, lease, after })
    }

    /// Whether it may live still.
    fn may_live(&self, store: &dyn Backend) -> bool {
        let Some(watch) = store.watch() else { return true };
        match watch.leased(self.session, self.segment) {
            Ok(Some(holder)) => self.lease.as_ref() == Some(&holder),
            Ok(None) | Err(StoreError::NotFound(_)) => false,
            // Nobody can say.
            Err(_) => true,
        }
    }
}

/// How much a turn reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// As much as this, or the turn may not begin.
    Exactly(NanoDollars),
    /// As much as this, or what is left where that is less. With nothing left the turn may not begin.
    AtMost(NanoDollars),
}

/// What is reserved for a turn, in each budget that it is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The folder that the turn is made in.
    pub project: String,
    /// How much; nothing if it is under no budget.
    pub amount: NanoDollars,
    pub(super) holds: Vec<Hold>,
}

impl Reservation {
    /// Of a turn that reserved nothing.
    pub fn nothing(project: &str) -> Self {
        Self { project: project.to_owned(), amount: NanoDollars(0), holds: Vec::new() }
    }
}

/// What is reserved in one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) book: BookName,
    pub(super) label: String,
    slot: usize,
    pub(super) amount: i64,
    /// The transaction that reserved it.
    id: TransactionId,
}

/// A budget in its present period.
pub(super) struct Place<'b> {
    pub(super) budget: &'b Budget,
    pub(super) book: BookName,
    pub(super) period: Period,
}

impl<'b> Place<'b> {
    pub(super) fn at(budget: &'b Budget, period: Period) -> LedgerResult<Self> {
        Ok(Self { budget, book: budget.book()?, period })
    }
}

impl Hold {
    /// The transaction that gives it back; the same one whoever does it.
    pub(super) fn release(&self) -> LedgerResult<Draft> {
        let key = format!("release:{}:{}", self.label, self.id);
        let available = [(Of::Available(&self.label), self.amount)];
        let reserved = [(Of::Reserved(&self.label, self.slot), self.amount)];
        Ok(Draft::new(transaction_id(&self.book, &key), key, postings(&self.book, &available, &reserved)?))
    }
}

impl Budgets<'_> {
    /// Reserves an amount of every budget that a folder is under, in all of them or in none. Reservations whose owners died are given back first.
    ///
    /// # Errors
    /// `OverBudget` of the nearest budget that does not have it; `UnknownZone`; those of the ledger.
    pub fn reserve(&self, project: &str, wanted: Wanted, owner: &Owner) -> Result<Reservation> {
        for _ in 0..TRIES_MAX {
            let budgets = self.covering(project)?;
            let mut places = Vec::with_capacity(budgets.len());
            let (Wanted::Exactly(mut amount) | Wanted::AtMost(mut amount)) = wanted;
            for budget in &budgets {
                let place = Place::at(budget, budget.period(self.now)?)?;
                self.grant(budget, &place.period)?;
                self.reverse_dead(&place, Some(owner))?;
                let left = Holds::read(self.ledger, &place.book, &place.period.label)?.left();
                if left <= 0 || (matches!(wanted, Wanted::Exactly(_)) && left < amount.0) {
                    return Err(self.over(&place)?.into());
                }
                amount = amount.min(NanoDollars(left));
                places.push(place);
            }
            let amount = NanoDollars(amount.0.max(0));
            if let Some(holds) = self.hold_all(&places, amount.0, owner)? {
                let amount = if places.is_empty() { NanoDollars(0) } else { amount };
                return Ok(Reservation { project: project.to_owned(), amount, holds });
            }
        }
        Err(busy().into())
    }

    /// Gives a reservation back, as if the turn had not been. Again is fine, also where somebody else did.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn release(&self, reservation: &Reservation) -> Result<()> {
        reservation.holds.iter().try_for_each(|hold| self.release_hold(hold))
    }

    pub(super) fn release_hold(&self, hold: &Hold) -> Result<()> {
        commit(self.ledger, &hold.book, &hold.release()?)?;
        self.cover(&hold.book, &hold.label)
    }

    /// Reserves in all places; `None` if somebody was quicker in one of them, and nothing is reserved then.
    fn hold_all(&self, places: &[Place<'_>], amount: i64, owner: &Owner) -> Result<Option<Vec<Hold>>> {
        let mut holds = Vec::with_capacity(places.len());
        if amount == 0 {
            return Ok(Some(holds));
        }
        let name = TransactionId::mint(self.now);
        let held = places.iter().try_fold(true, |held, place| {
            let hold = if held { self.hold(place, amount, owner, name)? } else { None };
            let held = hold.is_some();
            holds.extend(hold);
            Ok(held)
        });
        match held.and_then(|held| Ok(held && !self.is_overdrawn(&holds)?)) {
            Ok(true) => Ok(Some(holds)),
            Ok(false) => holds.iter().try_for_each(|hold| self.release_hold(hold)).map(|()| None),
            Err(error) => {
                // What cannot be given back now is when its owner is gone; what went wrong is told.
                holds.iter().for_each(|hold| drop(self.release_hold(hold)));
                Err(error)
            }
        }
    }

    /// Whether more was spent anywhere than is there. What others spent meanwhile would be paid with what was reserved.
    fn is_overdrawn(&self, holds: &[Hold]) -> Result<bool> {
        for hold in holds {
            if Of::Overdrawn(&hold.label).amount(self.ledger, &hold.book)? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reserves in one place; `None` if it does not have as much any more.
    fn hold(&self, place: &Place<'_>, amount: i64, owner: &Owner, name: TransactionId) -> Result<Option<Hold>> {
        let (ledger, book, label) = (self.ledger, &place.book, place.period.label.as_str());
        let id = transaction_id(book, &format!("reserve:{label}:{name}"));
        let mut slot = 0;
        loop {
            let Some(known) = Of::Reserved(label, slot).balance(ledger, book)? else {
                Of::Reserved(label, slot).open(ledger, book)?;
                continue;
            };
            if known.amount > 0 {
                slot += 1;
                continue;
            }
            let key = format!("reserve:{label}:{slot}:{}", known.updated_seq);
            let postings = postings(book, &[(Of::Reserved(label, slot), amount)], &[(Of::Available(label), amount)])?;
            let mut draft = Draft::new(id, key, postings);
            draft.meta = owner.to_meta();
            match ledger.commit(book, &draft) {
                Ok(receipt) if receipt.id == id => {
                    return Ok(Some(Hold { book: book.clone(), label: label.to_owned(), slot, amount, id }));
                }
                // Somebody else has the slot by now.
                Ok(_) | Err(LedgerError::KeyReused { .. }) => slot += 1,
                Err(LedgerError::BelowMinimum { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives back what owners reserved that are dead, and what was reserved for `me` before. What the log says that they used is posted: nobody else may ever tell of it.
    pub(super) fn reverse_dead(&self, place: &Place<'_>, me: Option<&Owner>) -> Result<()> {
        for (hold, owner) in self.open_holds(&place.book, &place.period.label)? {
            let was_mine =
                me.is_some_and(|me| me.lease.is_some() && (me.session, me.segment) == (owner.session, owner.segment));
            if was_mine || !owner.may_live(self.store) {
                self.settle_dead(place.budget, hold, &owner)?;
            }
        }
        Ok(())
    }

    fn settle_dead(&self, budget: &Budget, hold: Hold, owner: &Owner) -> Result<()> {
        // A turn's reservation in this budget says that it was made in its folder, or below.
        let uses = used_since(self.store, owner, &budget.project)?;
        if uses.is_empty() {
            return self.release_hold(&hold);
        }
        let amount = NanoDollars(hold.amount);
        self.settle(&Reservation { project: budget.project.clone(), amount, holds: vec![hold] }, &uses)
    }

    /// What is reserved in a period, with whose it is.
    fn open_holds(&self, book: &BookName, label: &str) -> Result<Vec<(Hold, Owner)>> {
        let mut open = Vec::new();
        for slot in 0.. {
            let Some(known) = Of::Reserved(label, slot).balance(self.ledger, book)? else { break };
            if known.amount == 0 {
                continue;
            }
            if let Some(found) = last_transaction(self.ledger, &known)?
                && let Some(owner) = Owner::from_meta(&found.draft.meta)
            {
                let hold = Hold {
                    book: book.clone(),
                    label: label.to_owned(),
                    slot,
                    amount: found.draft.postings.first().map_or(0, |posting| posting.amount),
                    id: found.draft.id,
                };
                open.push((hold, owner));
            }
        }
        Ok(open)
    }

    /// How much turns that go on have reserved in a period.
    pub(super) fn reserved(&self, book: &BookName, label: &str) -> Result<NanoDollars> {
        let mut sum = 0_i64;
        for slot in 0.. {
            let Some(known) = Of::Reserved(label, slot).balance(self.ledger, book)? else { break };
            sum = sum.saturating_add(known.amount);
        }
        Ok(NanoDollars(sum))
    }

    fn over(&self, place: &Place<'_>) -> Result<OverBudget> {
        let (Budget { project, per, limit, .. }, label) = (place.budget, &place.period.label);
        let spent = Holds::read(self.ledger, &place.book, label)?.spent;
        Ok(OverBudget {
            project: project.clone(),
            per: *per,
            limit: *limit,
            spent: NanoDollars(spent),
            reserved: self.reserved(&place.book, label)?,
            until: place.period.end,
        })
    }
}

type Meta = std::collections::BTreeMap<String, String>;

// Persisted: never rename.
const SESSION: &str = "session";
const SEGMENT: &str = "segment";
const LEASE: &str = "lease";
const AFTER: &str = "after";

impl Owner {
    fn to_meta(&self) -> Meta {
        let lease = self.lease.as_ref().and_then(|lease| serde_json::to_string(lease).ok());
        let mut meta = Meta::from([
            (SESSION.to_owned(), self.session.to_string()),
            (SEGMENT.to_owned(), self.segment.to_string()),
            (AFTER.to_owned(), self.after.0.to_string()),
        ]);
        meta.extend(lease.map(|lease| (LEASE.to_owned(), lease)));
        meta
    }

    fn from_meta(meta: &Meta) -> Option<Self> {
        let lease = meta.get(LEASE).and_then(|lease| serde_json::from_str(lease).ok());
        let after = meta.get(AFTER).and_then(|after| after.parse().ok()).map_or(Seq::START, Seq);
        Some(Self {
            session: meta.get(SESSION)?.parse().ok()?,
            segment: meta.get(SEGMENT)?.parse().ok()?,
            lease,
            after,
        })
    }
}
