//! What a batch is going to write: each draft judged by what those before it have made of the accounts.
//!
//! Nothing is changed while a batch is judged, so that one whose write fails has done nothing.

use std::collections::HashMap;

use store_core::ledger::rules::{self, Change, Standing};
use store_core::ledger::{
    AccountId, BookName, Draft, Known, LedgerError, LedgerResult, Receipt, TimestampUs, Transaction, text,
};
use store_core::{Seq, TransactionId};

use super::book::Book;

/// What becomes of a draft.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is written, as this one of the batch's new transactions.
    New(usize),
    /// It stood there already.
    Known(Receipt),
    /// It is as one before it in the batch.
    Repeated(usize),
    Refused(LedgerError),
}

/// A transaction that is written.
#[derive(Debug)]
pub(super) struct NewTransaction<'d> {
    pub(super) draft: &'d Draft,
    pub(super) text: String,
    pub(super) changes: Vec<Change>,
}

/// What a batch is going to write, and answer.
#[derive(Debug, Default)]
pub(super) struct Plan<'d> {
    pub(super) fates: Vec<Fate>,
    pub(super) new: Vec<NewTransaction<'d>>,
    nets: HashMap<&'d str, i64>,
    keys: HashMap<&'d str, usize>,
}

/// How a plan finds what stands in the ledger.
pub(super) trait Stands {
    /// The transaction of the book with this key.
    fn by_key(&self, key: &str) -> LedgerResult<Option<Transaction>>;
    /// Whether any book has a transaction with this id.
    fn has_id(&self, id: TransactionId) -> LedgerResult<bool>;
}

impl<'d> Plan<'d> {
    /// Judges the drafts of a batch; `book` is `None` if nothing was ever written to it.
    pub(super) fn of(
        name: &BookName,
        book: Option<&Book>,
        stands: &impl Stands,
        at: TimestampUs,
        drafts: &'d [Draft],
    ) -> LedgerResult<Self> {
        let mut plan = Self::default();
        for draft in drafts {
            let fate = match plan.judge(name, book, stands, at, draft) {
                Ok(fate) => fate,
                // Of these the draft is not the cause: nothing of the batch can be judged.
                Err(error @ (LedgerError::Store(_) | LedgerError::Damaged { .. })) => return Err(error),
                Err(error) => Fate::Refused(error),
            };
            plan.fates.push(fate);
        }
        Ok(plan)
    }

    fn judge(
        &mut self,
        name: &BookName,
        book: Option<&Book>,
        stands: &impl Stands,
        at: TimestampUs,
        draft: &'d Draft,
    ) -> LedgerResult<Fate> {
        rules::check_draft(name, draft)?;
        if let Some(place) = self.keys.get(&*draft.key) {
            let known = &self.new[*place].draft.postings;
            let seq = Seq(book.map_or(0, |book| book.end.seq.0) + 1 + *place as u64);
            rules::check_same_postings(&draft.key, seq, known, &draft.postings)?;
            return Ok(Fate::Repeated(*place));
        }
        if let Some(known) = stands.by_key(&draft.key)? {
            rules::check_same_postings(&draft.key, known.seq, &known.draft.postings, &draft.postings)?;
            return Ok(Fate::Known(Receipt { id: known.draft.id, seq: known.seq, at: known.at }));
        }
        if self.new.iter().any(|new| new.draft.id == draft.id) || stands.has_id(draft.id)? {
            return Err(LedgerError::AlreadyExists { what: Known::Transaction(draft.id) });
        }
        let changes = rules::judge(draft, |account| Ok(self.standing(book, account)))?;
        let text = text::encode_transaction(at, draft)?;
        for change in &changes {
            let posting = draft.postings.iter().find(|posting| posting.account == change.account);
            self.nets.extend(posting.map(|posting| (posting.account.path(), change.net)));
        }
        self.keys.insert(&draft.key, self.new.len());
        self.new.push(NewTransaction { draft, text, changes });
        Ok(Fate::New(self.new.len() - 1))
    }

    fn standing(&self, book: Option<&Book>, account: &AccountId) -> Option<Standing> {
        let standing = book?.state.standing(account.path())?;
        let net = self.nets.get(account.path()).copied().unwrap_or(standing.net);
        Some(Standing { net, ..standing })
    }

    /// The answers, when the first of the new transactions has become the event `first`.
    pub(super) fn answers(self, first: Seq, at: TimestampUs) -> Vec<LedgerResult<Receipt>> {
        let Self { fates, new, .. } = self;
        let receipt = |place: usize| Receipt { id: new[place].draft.id, seq: Seq(first.0 + place as u64), at };
        let answer = |fate| match fate {
            Fate::New(place) | Fate::Repeated(place) => Ok(receipt(place)),
            Fate::Known(receipt) => Ok(receipt),
            Fate::Refused(error) => Err(error),
        };
        fates.into_iter().map(answer).collect()
    }

    /// The last event that has to be on stable storage for the answers; `last` is that of the new ones.
    pub(super) fn through(&self, last: Seq) -> Option<Seq> {
        let known = self.fates.iter().filter_map(|fate| match fate {
            Fate::New(_) | Fate::Repeated(_) => Some(last),
            Fate::Known(receipt) => Some(receipt.seq),
            Fate::Refused(_) => None,
        });
        known.max()
    }
}
