//! What batches are going to write: each draft judged by what those before it have made of the accounts.
//!
//! Nothing is changed while batches are judged, so that those whose write fails have done nothing.

use std::collections::HashMap;

use store_core::ledger::rules::{self, Change, Standing};
use store_core::ledger::{AccountId, BookName, Known, LedgerError, LedgerResult, Receipt, TimestampUs, Transaction};
use store_core::{Seq, StoreError, TransactionId};

use super::book::Book;
use super::round::Prepared;
use crate::record_log::NewLine;

/// What becomes of a draft.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is written, as this one of the new transactions.
    New(usize),
    /// It stood there already.
    Known(Receipt),
    /// It is as one before it that is written, too.
    Repeated(usize),
    Refused(LedgerError),
}

impl Fate {
    /// The answer, when the first of the new transactions has become the event `first`.
    pub(super) fn answer(self, new: &[NewTransaction<'_>], first: Seq, at: TimestampUs) -> LedgerResult<Receipt> {
        match self {
            Self::New(place) | Self::Repeated(place) => {
                Ok(Receipt { id: new[place].prepared.draft.id, seq: Seq(first.0 + place as u64), at })
            }
            Self::Known(receipt) => Ok(receipt),
            Self::Refused(error) => Err(error),
        }
    }

    /// The last event that has to be on stable storage for the answer; `last` is that of the new ones.
    pub(super) const fn through(&self, last: Seq) -> Option<Seq> {
        match self {
            Self::New(_) | Self::Repeated(_) => Some(last),
            Self::Known(receipt) => Some(receipt.seq),
            Self::Refused(_) => None,
        }
    }
}

/// A transaction that is written.
#[derive(Debug)]
pub(super) struct NewTransaction<'d> {
    pub(super) prepared: &'d Prepared,
    pub(super) text: &'d str,
    pub(super) changes: Vec<Change>,
}

impl<'d> NewTransaction<'d> {
    /// Its line in the log.
    pub(super) fn line(&self) -> NewLine<'d> {
        NewLine { key: Some(&self.prepared.draft.key), text: self.text.as_bytes() }
    }
}

/// How a plan finds what stands in the ledger.
pub(super) trait Stands {
    /// The transaction of the book with this key, whose fingerprint comes first.
    fn by_key(&self, fingerprint: u64, key: &str) -> LedgerResult<Option<Transaction>>;
    /// Whether any book has a transaction with this id, whose fingerprint comes first.
    fn has_id(&self, fingerprint: u64, id: TransactionId) -> LedgerResult<bool>;
}

/// What batches of one book are going to write.
#[derive(Debug)]
pub(super) struct Plan<'d, 'b> {
    name: &'b BookName,
    /// `None` if nothing was ever written to it.
    book: Option<&'b Book>,
    pub(super) new: Vec<NewTransaction<'d>>,
    nets: HashMap<&'d str, i64>,
    keys: HashMap<&'d str, usize>,
    ids: HashMap<TransactionId, usize>,
}

impl<'d, 'b> Plan<'d, 'b> {
    pub(super) fn new(name: &'b BookName, book: Option<&'b Book>) -> Self {
        let (new, nets, keys, ids) = (Vec::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Self { name, book, new, nets, keys, ids }
    }

    /// What is written.
    pub(super) fn into_new(self) -> Vec<NewTransaction<'d>> {
        self.new
    }

    /// Judges the drafts of the next batch.
    pub(super) fn judge_all(&mut self, stands: &impl Stands, drafts: &'d [Prepared]) -> LedgerResult<Vec<Fate>> {
        let mut fates = Vec::with_capacity(drafts.len());
        for prepared in drafts {
            fates.push(match self.judge(stands, prepared) {
                Ok(fate) => fate,
                // Of these the draft is not the cause: nothing of the batch can be judged.
                Err(error @ (LedgerError::Store(_) | LedgerError::Damaged { .. })) => return Err(error),
                Err(error) => Fate::Refused(error),
            });
        }
        Ok(fates)
    }

    fn judge(&mut self, stands: &impl Stands, prepared: &'d Prepared) -> LedgerResult<Fate> {
        let Prepared { draft, text, fingerprints: [of_key, of_id] } = prepared;
        let Some(text) = text.as_deref() else {
            rules::check_draft(self.name, draft)?;
            return Err(StoreError::Unsupported { what: "a transaction without a text" }.into());
        };
        if let Some(place) = self.keys.get(&*draft.key) {
            let known = &self.new[*place].prepared.draft.postings;
            let seq = Seq(self.book.map_or(0, |book| book.end.seq.0) + 1 + *place as u64);
            rules::check_same_postings(&draft.key, seq, known, &draft.postings)?;
            return Ok(Fate::Repeated(*place));
        }
        if let Some(known) = stands.by_key(*of_key, &draft.key)? {
            rules::check_same_postings(&draft.key, known.seq, &known.draft.postings, &draft.postings)?;
            return Ok(Fate::Known(Receipt { id: known.draft.id, seq: known.seq, at: known.at }));
        }
        if self.ids.contains_key(&draft.id) || stands.has_id(*of_id, draft.id)? {
            return Err(LedgerError::AlreadyExists { what: Known::Transaction(draft.id) });
        }
        let changes = rules::judge(draft, |account| Ok(self.standing(account)))?;
        for change in &changes {
            let posting = draft.postings.iter().find(|posting| posting.account == change.account);
            self.nets.extend(posting.map(|posting| (posting.account.path(), change.net)));
        }
        let place = self.new.len();
        self.keys.insert(&draft.key, place);
        self.ids.insert(draft.id, place);
        self.new.push(NewTransaction { prepared, text, changes });
        Ok(Fate::New(place))
    }

    fn standing(&self, account: &AccountId) -> Option<Standing> {
        let standing = self.book?.state.standing(account.path())?;
        let net = self.nets.get(account.path()).copied().unwrap_or(standing.net);
        Some(Standing { net, ..standing })
    }
}
