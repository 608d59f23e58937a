//! Proving a ledger: its events are gapless and follow the rules, and everything else it says is what they fold to.
//!
//! It works on any [`Ledger`], through its own calls, also while others write to it. The events are folded here once more, from the first to the last, by the rules
//! that judged them when they were written; then the ledger is asked for its accounts, balances, trial balances and transactions, and each answer is
//! held against the fold. What only the implementation can see (files and tables beside the events) it tells itself, in [`Ledger::examine`]. The price is the
//! memory of one book's fold, and sixteen bytes for each key and id.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::adopt::{End, Stands, judge_events};
use super::contract::Ledger;
use super::error::{LedgerError, LedgerResult};
use super::fingerprint;
use super::names::{AccountId, AssetId, BookName};
use super::state::BookState;
use super::types::{Account, Asset, Event, EventBody};
use crate::id::{Seq, TransactionId};

/// How many events are read at once.
const EVENTS_AT_ONCE: usize = 512;
/// Of so many transactions one is looked up by its id.
const LOOKED_UP_EVERY: u64 = 1_000;
/// How often a ledger is asked again that others write to meanwhile.
const TRIES_MAX: usize = 64;

/// What is wrong.
// Persisted in what programs read: never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LedgerFindingKind {
    /// An event is not as it was written, or is not there.
    Event,
    /// An event does not follow from those before it: a gap, a time that goes back, what a rule forbids.
    Rule,
    /// The ledger answers otherwise than its events.
    Answer,
    /// The ledger as a whole cannot be read.
    Unreadable,
    /// Something beside the events, made of them, is not in step: it can be made again.
    Projection,
}

/// Something that is wrong with a ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LedgerFinding {
    /// The book; `None` for the ledger as a whole.
    pub book: Option<BookName>,
    /// The event, as far as one is concerned.
    pub seq: Option<Seq>,
    /// What, for a program.
    pub kind: LedgerFindingKind,
    /// What, for a person.
    pub detail: String,
}

impl LedgerFinding {
    /// A finding about what lies beside the events of a book.
    pub fn projection(book: &BookName, detail: impl Into<String>) -> Self {
        Self::of(book, None, LedgerFindingKind::Projection, detail)
    }

    /// A finding about a book.
    pub fn of(book: &BookName, seq: Option<Seq>, kind: LedgerFindingKind, detail: impl Into<String>) -> Self {
        Self { book: Some(book.clone()), seq, kind, detail: detail.into() }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// How many books the ledger has, the reserved one included.
    pub books: u64,
    /// How many events were read and follow the rules.
    pub events: u64,
    /// How many of them are transactions.
    pub transactions: u64,
    /// What is wrong, book by book.
    pub damage: Vec<LedgerFinding>,
}

/// Proves a ledger. Damage is an answer; what follows a damaged event of a book is not judged, and that is said.
///
/// # Errors
/// `ShutDown`; those of the medium.
pub fn verify_ledger(ledger: &dyn Ledger) -> LedgerResult<LedgerReport> {
    let mut verification =
        Verification { ledger, report: LedgerReport::default(), assets: BTreeMap::new(), ids: Ids::default() };
    let system = BookName::system();
    let mut books = ledger.list_books()?;
    // What accounts count is registered there.
    books.sort_by_key(|book| *book != system);
    for book in &books {
        verification.book(book)?;
    }
    verification.assets()?;
    let Verification { mut report, .. } = verification;
    report.damage.extend(ledger.examine()?);
    report.books = books.len() as u64;
    report.ok = report.damage.is_empty();
    Ok(report)
}

/// Where each id stands, by its fingerprint.
#[derive(Debug, Default)]
struct Ids {
    books: Vec<BookName>,
    places: HashMap<u64, (u32, Seq)>,
}

struct Verification<'l> {
    ledger: &'l dyn Ledger,
    report: LedgerReport,
    assets: BTreeMap<AssetId, Asset>,
    ids: Ids,
}

/// A book as its events fold to it.
struct Fold<'v> {
    ledger: &'v dyn Ledger,
    book: &'v BookName,
    state: BookState,
    keys: HashMap<u64, Seq>,
    assets: &'v BTreeMap<AssetId, Asset>,
    ids: &'v Ids,
}

/// The transaction of an event.
fn draft_at(ledger: &dyn Ledger, book: &BookName, seq: Seq) -> LedgerResult<Option<super::types::Draft>> {
    let event = ledger.read_events(book, seq, 1)?.pop();
    Ok(event.and_then(|event| match event.body {
        EventBody::Transaction(draft) => Some(draft),
        _ => None,
    }))
}

impl Stands for Fold<'_> {
    fn asset(&self, id: &AssetId) -> LedgerResult<Option<Asset>> {
        Ok(self.assets.get(id).cloned())
    }

    fn account(&self, id: &AccountId) -> LedgerResult<Option<(Account, i64)>> {
        let last = self.state.last_seq();
        let Some(account) = self.state.account(id.path(), last) else { return Ok(None) };
        let net = self.state.mark(id.path(), last).map_or(0, |mark| mark.net);
        Ok(Some((account.clone(), net)))
    }

    fn seq_of_key(&self, key: &str) -> LedgerResult<Option<Seq>> {
        // Two keys may have one fingerprint.
        let Some(seq) = self.keys.get(&fingerprint::of_key(key)) else { return Ok(None) };
        let is_it = draft_at(self.ledger, self.book, *seq)?.is_some_and(|draft| draft.key == key);
        Ok(is_it.then_some(*seq))
    }

    fn has_id(&self, id: TransactionId) -> LedgerResult<bool> {
        let Some((book, seq)) = self.ids.places.get(&fingerprint::of_id(id)) else { return Ok(false) };
        let Some(book) = self.ids.books.get(*book as usize) else { return Ok(false) };
        Ok(draft_at(self.ledger, book, *seq)?.is_some_and(|draft| draft.id == id))
    }
}

impl Verification<'_> {
    fn find(&mut self, book: &BookName, seq: Option<Seq>, kind: LedgerFindingKind, detail: impl Into<String>) {
        self.report.damage.push(LedgerFinding::of(book, seq, kind, detail));
    }

    fn book(&mut self, book: &BookName) -> LedgerResult<()> {
        self.ids.books.push(book.clone());
        let mut read = BookRead { book, state: BookState::default(), keys: HashMap::new(), is_whole: true };
        self.read_on(&mut read)?;
        if read.is_whole {
            match self.answers(&mut read) {
                Err(LedgerError::Damaged { seq, detail, .. }) => {
                    self.find(book, Some(seq), LedgerFindingKind::Event, detail);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Reads the events that a book has behind those that were read, until there are no more.
    fn read_on(&mut self, read: &mut BookRead<'_>) -> LedgerResult<()> {
        while read.is_whole {
            let from = read.state.last_seq().next();
            let events = match self.ledger.read_events(read.book, from, EVENTS_AT_ONCE) {
                Ok(events) if events.is_empty() => break,
                Ok(events) => events,
                Err(LedgerError::Damaged { seq, detail, .. }) => {
                    self.read_up_to_damage(read, from, seq)?;
                    self.find(read.book, Some(seq), LedgerFindingKind::Event, detail);
                    read.is_whole = false;
                    break;
                }
                Err(error) => return Err(error),
            };
            self.take_in(read, &events)?;
        }
        Ok(())
    }

    /// What stands before a damaged event is judged all the same.
    fn read_up_to_damage(&mut self, read: &mut BookRead<'_>, from: Seq, damaged: Seq) -> LedgerResult<()> {
        let count = usize::try_from(damaged.0.saturating_sub(from.0)).unwrap_or_default();
        match self.ledger.read_events(read.book, from, count) {
            Ok(events) => self.take_in(read, &events),
            // Of a damaged log nothing is told.
            Err(LedgerError::Damaged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_in(&mut self, read: &mut BookRead<'_>, events: &[Event]) -> LedgerResult<()> {
        let end = End { seq: read.state.last_seq(), at: read.state.last_at() };
        let keys = std::mem::take(&mut read.keys);
        let state = std::mem::take(&mut read.state);
        let (ledger, book) = (self.ledger, read.book);
        let mut fold = Fold { ledger, book, state, keys, assets: &self.assets, ids: &self.ids };
        let mut good = events.len();
        let mut judged = judge_events(book, end, events, &fold)
            .map(|judged| judged.into_iter().map(|one| one.changes).collect::<Vec<_>>());
        if let Err(LedgerError::Unfit { seq, detail, .. }) = &judged {
            let (seq, detail) = (*seq, detail.clone());
            good = usize::try_from(seq.0 - end.seq.next().0).unwrap_or_default();
            judged = judge_events(book, end, &events[..good], &fold)
                .map(|judged| judged.into_iter().map(|one| one.changes).collect());
            read.is_whole = false;
            self.report.damage.push(LedgerFinding::of(book, Some(seq), LedgerFindingKind::Rule, detail));
        }
        let number = u32::try_from(self.ids.books.len() - 1).unwrap_or(u32::MAX);
        let (mut assets, mut ids) = (Vec::new(), Vec::new());
        for (event, changes) in events[..good].iter().zip(judged?) {
            match &event.body {
                EventBody::AssetRegistered(asset) => {
                    fold.state.push(event.at);
                    assets.push(asset.clone());
                }
                EventBody::AccountOpened(account) => drop(fold.state.push_account(event.at, account.clone())),
                EventBody::Transaction(draft) => {
                    fold.state.push_changes(event.at, &changes);
                    fold.keys.insert(fingerprint::of_key(&draft.key), event.seq);
                    ids.push((fingerprint::of_id(draft.id), (number, event.seq)));
                    self.report.transactions += 1;
                }
            }
            self.report.events += 1;
        }
        (read.keys, read.state) = (fold.keys, fold.state);
        self.assets.extend(assets.into_iter().map(|asset| (asset.id.clone(), asset)));
        self.ids.places.extend(ids);
        Ok(())
    }

    /// Holds what the ledger says of a book against what its events fold to.
    fn answers(&mut self, read: &mut BookRead<'_>) -> LedgerResult<()> {
        self.accounts(read)?;
        let accounts: Vec<Account> = read.accounts().cloned().collect();
        for account in &accounts {
            self.balance(read, account)?;
        }
        self.trial_balance(read)?;
        self.transactions(read.book, read.state.last_seq())
    }

    fn accounts(&mut self, read: &mut BookRead<'_>) -> LedgerResult<()> {
        let before: Vec<AccountId> = read.accounts().map(|account| account.id.clone()).collect();
        let listed = self.ledger.list_accounts(read.book)?;
        self.read_on(read)?;
        let last = read.state.last_seq();
        for account in &listed {
            if read.state.account(account.id.path(), last) != Some(account) {
                let detail = format!("the account {} is listed otherwise than it was opened", account.id);
                self.find(read.book, None, LedgerFindingKind::Answer, detail);
            }
        }
        let listed: HashSet<&AccountId> = listed.iter().map(|account| &account.id).collect();
        for id in before {
            if !listed.contains(&id) {
                self.find(read.book, None, LedgerFindingKind::Answer, format!("the account {id} is not listed"));
            }
        }
        Ok(())
    }

    fn balance(&mut self, read: &mut BookRead<'_>, account: &Account) -> LedgerResult<()> {
        let before = read.state.mark(account.id.path(), read.state.last_seq()).map_or(Seq::START, |mark| mark.seq);
        let told = match self.ledger.balance(&account.id, None) {
            Ok(told) => told,
            Err(LedgerError::UnknownAccount { .. }) => {
                let detail = format!("the account {} is told to be unknown", account.id);
                self.find(read.book, None, LedgerFindingKind::Answer, detail);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if told.updated_seq > read.state.last_seq() {
            self.read_on(read)?;
        }
        let last = read.state.last_seq();
        let folded = read.state.balance(&account.id, last, told.updated_seq);
        if told.updated_seq < before || folded.as_ref() != Some(&told) {
            let folds = read.state.balance(&account.id, last, last).map_or(0, |folded| folded.amount);
            let detail = format!("{} is told to hold {}, its postings come to {folds}", account.id, told.amount);
            self.find(read.book, Some(told.updated_seq), LedgerFindingKind::Answer, detail);
            return Ok(());
        }
        if told.updated_seq > Seq::START {
            let after = Seq(told.updated_seq.0 - 1);
            let rows = self.ledger.account_history(&account.id, after, 1)?;
            let holds = rows.last().is_some_and(|row| row.seq == told.updated_seq && row.balance == told.amount);
            if !holds {
                let detail = format!("the history of {} ends otherwise than with its balance", account.id);
                self.find(read.book, Some(told.updated_seq), LedgerFindingKind::Answer, detail);
            }
        }
        Ok(())
    }

    fn trial_balance(&mut self, read: &mut BookRead<'_>) -> LedgerResult<()> {
        for _ in 0..TRIES_MAX {
            let before = read.state.last_seq();
            let told = self.ledger.trial_balance(read.book, None)?;
            self.read_on(read)?;
            // Only if nothing was committed meanwhile it is known what it should say.
            if read.state.last_seq() != before {
                continue;
            }
            let uneven = told.iter().find(|row| row.debit != row.credit);
            if uneven.is_some() || told != read.state.trial_balance(before) {
                let detail = match uneven {
                    Some(row) => {
                        format!("debits and credits of {} differ: {} and {}", row.asset, row.debit, row.credit)
                    }
                    None => "the trial balance is not that of the events".to_owned(),
                };
                self.find(read.book, None, LedgerFindingKind::Answer, detail);
            }
            break;
        }
        Ok(())
    }

    fn transactions(&mut self, book: &BookName, last: Seq) -> LedgerResult<()> {
        let mut seqs: Vec<Seq> = (1..=last.0).step_by(usize::try_from(LOOKED_UP_EVERY).unwrap_or(1)).map(Seq).collect();
        seqs.push(last);
        for seq in seqs {
            let Some(draft) = draft_at(self.ledger, book, seq)? else { continue };
            let found = self.ledger.transaction(draft.id)?;
            if !found.is_some_and(|found| found.book == *book && found.seq == seq && found.draft == draft) {
                let detail = format!("the transaction {} is not found by its id", draft.id);
                self.find(book, Some(seq), LedgerFindingKind::Answer, detail);
            }
        }
        Ok(())
    }

    /// Assets may have been registered meanwhile, and none goes away.
    fn assets(&mut self) -> LedgerResult<()> {
        let listed = self.ledger.list_assets()?;
        let missing: Vec<AssetId> =
            self.assets.values().filter(|asset| !listed.contains(asset)).map(|asset| asset.id.clone()).collect();
        for asset in missing {
            let detail = format!("the asset {asset} is listed otherwise than it was registered");
            self.find(&BookName::system(), None, LedgerFindingKind::Answer, detail);
        }
        Ok(())
    }
}

/// How far a book was read.
struct BookRead<'b> {
    book: &'b BookName,
    state: BookState,
    keys: HashMap<u64, Seq>,
    /// Nothing was found that leaves open what follows.
    is_whole: bool,
}

impl BookRead<'_> {
    fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.state.accounts(self.state.last_seq()).map(|(account, _)| account)
    }
}
