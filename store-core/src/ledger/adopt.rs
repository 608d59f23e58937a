//! Taking over events that stand in another ledger: what may follow what stands in this one.
//!
//! A copy of a book is the same events at the same seqs and times, so nothing is made anew here: each event is judged as if it were written now,
//! by the same rules, and by what those before it have made of the book. Verification judges the events of a ledger in the same way. Where events are kept,
//! and how what stands there is found, is an implementation's business ([`Stands`]).

use std::collections::{HashMap, HashSet};

use super::error::{LedgerError, LedgerResult};
use super::names::{AccountId, AssetId, BookName};
use super::rules::{self, Change, Standing};
use super::text;
use super::types::{Account, Asset, Draft, Event, EventBody, TimestampUs};
use crate::id::{Seq, TransactionId};

/// How a book is asked for what stands in it and in its ledger.
pub trait Stands {
    /// A registered asset.
    ///
    /// # Errors
    /// Those of the medium.
    fn asset(&self, id: &AssetId) -> LedgerResult<Option<Asset>>;

    /// An account of the book, and its debits minus its credits.
    ///
    /// # Errors
    /// Those of the medium.
    fn account(&self, id: &AccountId) -> LedgerResult<Option<(Account, i64)>>;

    /// The event of the book that has this idempotency key.
    ///
    /// # Errors
    /// Those of the medium.
    fn seq_of_key(&self, key: &str) -> LedgerResult<Option<Seq>>;

    /// Whether any book has a transaction with this id.
    ///
    /// # Errors
    /// Those of the medium.
    fn has_id(&self, id: TransactionId) -> LedgerResult<bool>;
}

/// An event that follows what stands in a book.
#[derive(Debug)]
pub struct Following<'e> {
    /// The event.
    pub event: &'e Event,
    /// Its text.
    pub text: String,
    /// What it makes of accounts.
    pub changes: Vec<Change>,
}

/// Where a book ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The last event; 0 for a book that nothing was written to.
    pub seq: Seq,
    /// When it was committed.
    pub at: TimestampUs,
}

/// What earlier events of a call have made of the book.
#[derive(Debug, Default)]
struct Overlay<'e> {
    assets: HashMap<&'e AssetId, &'e Asset>,
    accounts: HashMap<&'e AccountId, &'e Account>,
    nets: HashMap<AccountId, i64>,
    keys: HashSet<&'e str>,
    ids: HashSet<TransactionId>,
}

/// Judges events that are to follow the end of a book, in their order: all of them follow, or the first that does not is told.
///
/// # Errors
/// `Unfit` for an event that cannot follow; those of `stands`.
pub fn judge_events<'e>(
    book: &BookName,
    end: End,
    events: &'e [Event],
    stands: &impl Stands,
) -> LedgerResult<Vec<Following<'e>>> {
    let (mut end, mut overlay) = (end, Overlay::default());
    let mut judged = Vec::with_capacity(events.len());
    for event in events {
        let changes = judge(book, end, event, stands, &mut overlay).map_err(|error| told(book, end, error))?;
        end = End { seq: event.seq, at: event.at };
        judged.push(Following { event, text: text::encode(event.at, &event.body)?, changes });
    }
    Ok(judged)
}

/// What a rule says of an event that stands elsewhere already is a remark about that event.
fn told(book: &BookName, end: End, error: LedgerError) -> LedgerError {
    match error {
        error @ (LedgerError::Store(_) | LedgerError::Damaged { .. } | LedgerError::Unfit { .. }) => error,
        refused => unfit(book, end.seq.next(), refused.to_string()),
    }
}

fn unfit(book: &BookName, seq: Seq, detail: impl Into<String>) -> LedgerError {
    LedgerError::Unfit { book: book.clone(), seq, detail: detail.into() }
}

fn judge<'e>(
    book: &BookName,
    end: End,
    event: &'e Event,
    stands: &impl Stands,
    overlay: &mut Overlay<'e>,
) -> LedgerResult<Vec<Change>> {
    let next = end.seq.next();
    if event.book != *book {
        return Err(unfit(book, next, format!("it is an event of {}", event.book)));
    }
    if event.seq != next {
        return Err(unfit(book, next, format!("event {} stands where {next} belongs", event.seq)));
    }
    if event.at < end.at {
        return Err(unfit(
            book,
            next,
            format!("its time {} is before {}, that of the event before it", event.at, end.at),
        ));
    }
    let is_asset = matches!(event.body, EventBody::AssetRegistered(_));
    if is_asset != book.is_reserved() {
        return Err(unfit(book, next, "assets stand in the reserved book, and everything else elsewhere"));
    }
    match &event.body {
        EventBody::AssetRegistered(asset) => {
            rules::check_asset(asset)?;
            if overlay.assets.contains_key(&asset.id) || stands.asset(&asset.id)?.is_some() {
                return Err(unfit(book, next, format!("the asset {} is registered a second time", asset.id)));
            }
            overlay.assets.insert(&asset.id, asset);
            Ok(Vec::new())
        }
        EventBody::AccountOpened(account) => {
            rules::check_account(account)?;
            if overlay.accounts.contains_key(&account.id) || stands.account(&account.id)?.is_some() {
                return Err(unfit(book, next, format!("the account {} is opened a second time", account.id)));
            }
            if stands.asset(&account.asset)?.is_none() {
                return Err(LedgerError::UnknownAsset { asset: account.asset.clone() });
            }
            overlay.accounts.insert(&account.id, account);
            Ok(Vec::new())
        }
        EventBody::Transaction(draft) => judge_transaction(book, next, draft, stands, overlay),
    }
}

fn judge_transaction<'e>(
    book: &BookName,
    next: Seq,
    draft: &'e Draft,
    stands: &impl Stands,
    overlay: &mut Overlay<'e>,
) -> LedgerResult<Vec<Change>> {
    rules::check_draft(book, draft)?;
    if !overlay.keys.insert(&draft.key) || stands.seq_of_key(&draft.key)?.is_some() {
        return Err(unfit(book, next, format!("the key {:?} stands in the book already", draft.key)));
    }
    if !overlay.ids.insert(draft.id) || stands.has_id(draft.id)? {
        return Err(unfit(book, next, format!("the ledger has a transaction {} already", draft.id)));
    }
    let changes = rules::judge(draft, |id| {
        let found = match overlay.accounts.get(id) {
            Some(account) => Some(((*account).clone(), 0)),
            None => stands.account(id)?,
        };
        Ok(found.map(|(account, net)| Standing {
            net: overlay.nets.get(id).copied().unwrap_or(net),
            asset: account.asset,
            kind: account.kind,
            min_balance: account.min_balance,
        }))
    })?;
    overlay.nets.extend(changes.iter().map(|change| (change.account.clone(), change.net)));
    Ok(changes)
}

/// Of events that are to be adopted, those behind the end of a book; those that the book has are held against it.
///
/// # Errors
/// `Unfit` for an event that the book has otherwise.
pub fn behind<'e>(
    book: &BookName,
    end: Seq,
    events: &'e [Event],
    stands: impl FnOnce(Seq, usize) -> LedgerResult<Vec<Event>>,
) -> LedgerResult<&'e [Event]> {
    let known = events.partition_point(|event| event.seq <= end);
    let (known, new) = events.split_at(known);
    if let Some(first) = known.first() {
        let there = stands(first.seq, known.len())?;
        let differs = known.iter().zip(&there).find(|(event, there)| event != there);
        if let Some((event, _)) = differs {
            return Err(unfit(book, event.seq, "another event stands there"));
        }
    }
    Ok(new)
}
