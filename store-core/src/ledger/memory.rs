//! The reference: a ledger in memory that keeps its events and nothing else, and folds them anew for every answer.
//!
//! Slow on purpose. It shares the rules with every other implementation, and none of their ways to be quick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::adopt::{self, End, Stands};
use super::contract::Ledger;
use super::error::{Known, LedgerError, LedgerResult};
use super::names::{AccountId, AssetId, BookName};
use super::repair::{BookPlan, BookRepair, LedgerRepair, LedgerRepairPlanner, Met, MetVisit};
use super::rules::{self, Standing};
use super::subscription::{EventSource, SourceSubscription, Subscription};
use super::text;
use super::types::{
    Account, Asset, Balance, Clock, Draft, Event, EventBody, HistoryRow, Receipt, Side, TimestampUs, Transaction,
    TrialRow,
};
use crate::id::{Seq, TransactionId};
use crate::integrity::{Event as Done, MaintenanceOptions, Quarantined};

/// What a ledger in memory is kept in: any number of handles may be opened on it.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedgerMedium(Arc<Mutex<Books>>);

impl MemoryLedgerMedium {
    /// Makes an event unreadable, as a medium does that loses a bit; whether there is such an event.
    pub fn damage(&self, book: &BookName, seq: Seq) -> bool {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = events_of(&books, book).iter().any(|event| event.seq == seq);
        is_there && books.damaged.insert((book.clone(), seq))
    }

    /// What was done to the ledger by those who look after it.
    pub fn record(&self) -> Vec<Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record.clone()
    }
}

/// What stands on the medium.
#[derive(Debug, Default)]
struct Books {
    events: BTreeMap<BookName, Vec<Event>>,
    /// The events that cannot be read.
    damaged: BTreeSet<(BookName, Seq)>,
    /// What repairs took out.
    aside: Vec<Vec<Event>>,
    record: Vec<Done>,
}

impl Books {
    fn scan(&self, book: &BookName, visit: &mut MetVisit<'_>) -> LedgerResult<()> {
        for event in events_of(self, book) {
            let key = match &event.body {
                EventBody::Transaction(draft) => Some(&*draft.key),
                _ => None,
            };
            let text = text::encode(event.at, &event.body)?;
            let is_damaged = self.damaged.contains(&(book.clone(), event.seq));
            let met = if is_damaged {
                Met::Damaged { detail: "the event cannot be read" }
            } else {
                Met::Whole { seq: event.seq, key, text: &text }
            };
            if visit(met).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Does what a plan says; answers with what was taken out.
    fn cut(&mut self, plan: &BookPlan) -> Quarantined {
        let events = self.events.entry(plan.book.clone()).or_default();
        let kept = events.iter().take_while(|event| event.seq <= plan.kept.seq).count();
        let taken = events.split_off(kept);
        events.extend_from_slice(&plan.registered);
        if events.is_empty() {
            self.events.remove(&plan.book);
        }
        self.damaged.retain(|(book, _)| *book != plan.book);
        self.aside.push(taken);
        Quarantined {
            part: 1,
            offset: plan.kept.seq.0 + 1,
            bytes: 0,
            path: Some(format!("aside {}", self.aside.len())),
        }
    }
}

/// A [`Ledger`] in memory.
#[derive(Clone)]
pub struct MemoryLedger {
    medium: MemoryLedgerMedium,
    clock: Clock,
    is_shut_down: Arc<AtomicBool>,
}

impl std::fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MemoryLedger").field(&self.medium).finish()
    }
}

impl MemoryLedger {
    /// A handle on what the medium holds.
    pub fn open(medium: &MemoryLedgerMedium, clock: Clock) -> Self {
        Self { medium: medium.clone(), clock, is_shut_down: Arc::default() }
    }

    fn books(&self) -> LedgerResult<MutexGuard<'_, Books>> {
        if self.is_shut_down.load(Ordering::Acquire) {
            return Err(LedgerError::ShutDown);
        }
        Ok(self.medium.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn append(&self, books: &mut Books, book: &BookName, body: EventBody) -> (Seq, TimestampUs) {
        let events = books.events.entry(book.clone()).or_default();
        let last = events.last().map_or(0, |event| event.at);
        let (seq, at) = (Seq(events.len() as u64 + 1), rules::commit_time((self.clock)(), last));
        events.push(Event { book: book.clone(), seq, at, body });
        (seq, at)
    }

    fn commit_one(&self, books: &mut Books, book: &BookName, draft: &Draft) -> LedgerResult<Receipt> {
        rules::check_draft(book, draft)?;
        let known = drafts(events_of(books, book)).find(|(_, known)| known.key == draft.key);
        if let Some((event, known)) = known {
            rules::check_same_postings(&draft.key, event.seq, &known.postings, &draft.postings)?;
            return Ok(Receipt { id: known.id, seq: event.seq, at: event.at });
        }
        if books.events.values().any(|events| drafts(events).any(|(_, known)| known.id == draft.id)) {
            return Err(LedgerError::AlreadyExists { what: Known::Transaction(draft.id) });
        }
        rules::judge(draft, |id| {
            let events = events_of(books, book);
            Ok(find_account(events, id).map(|account| Standing {
                asset: account.asset.clone(),
                kind: account.kind,
                min_balance: account.min_balance,
                net: net(events, id).0,
            }))
        })?;
        let (seq, at) = self.append(books, book, EventBody::Transaction(draft.clone()));
        Ok(Receipt { id: draft.id, seq, at })
    }
}

fn events_of<'b>(books: &'b Books, book: &BookName) -> &'b [Event] {
    books.events.get(book).map_or(&[], Vec::as_slice)
}

fn until(events: &[Event], as_of: Option<TimestampUs>) -> &[Event] {
    let by_then = events.iter().take_while(|event| as_of.is_none_or(|as_of| event.at <= as_of)).count();
    &events[..by_then]
}

fn drafts(events: &[Event]) -> impl Iterator<Item = (&Event, &Draft)> {
    events.iter().filter_map(|event| match &event.body {
        EventBody::Transaction(draft) => Some((event, draft)),
        _ => None,
    })
}

fn accounts(events: &[Event]) -> impl Iterator<Item = &Account> {
    events.iter().filter_map(|event| match &event.body {
        EventBody::AccountOpened(account) => Some(account),
        _ => None,
    })
}

fn assets(books: &Books) -> impl Iterator<Item = &Asset> {
    books.events.get(&BookName::system()).into_iter().flatten().filter_map(|event| match &event.body {
        EventBody::AssetRegistered(asset) => Some(asset),
        _ => None,
    })
}

fn find_account<'e>(events: &'e [Event], id: &AccountId) -> Option<&'e Account> {
    accounts(events).find(|account| account.id == *id)
}

/// Debits minus credits, and the last event that posted.
fn net(events: &[Event], id: &AccountId) -> (i64, Seq) {
    let mut folded = (0, Seq::START);
    for (event, draft) in drafts(events) {
        for posting in draft.postings.iter().filter(|posting| posting.account == *id) {
            let amount = i128::from(posting.amount);
            folded.0 += if posting.side == Side::Debit { amount } else { -amount };
            folded.1 = event.seq;
        }
    }
    // What was judged fits.
    (i64::try_from(folded.0).unwrap_or_default(), folded.1)
}

impl Ledger for MemoryLedger {
    fn register_asset(&self, asset: &Asset) -> LedgerResult<()> {
        rules::check_asset(asset)?;
        let mut books = self.books()?;
        if let Some(known) = assets(&books).find(|known| known.id == asset.id) {
            return rules::check_same_asset(known, asset);
        }
        self.append(&mut books, &BookName::system(), EventBody::AssetRegistered(asset.clone()));
        Ok(())
    }

    fn asset(&self, id: &AssetId) -> LedgerResult<Asset> {
        let books = self.books()?;
        let found = assets(&books).find(|asset| asset.id == *id).cloned();
        found.ok_or_else(|| LedgerError::UnknownAsset { asset: id.clone() })
    }

    fn list_assets(&self) -> LedgerResult<Vec<Asset>> {
        let mut found: Vec<_> = assets(&*self.books()?).cloned().collect();
        found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    fn open_account(&self, account: &Account) -> LedgerResult<()> {
        rules::check_account(account)?;
        let mut books = self.books()?;
        let book = account.id.book();
        if let Some(known) = find_account(events_of(&books, book), &account.id) {
            return rules::check_same_account(known, account);
        }
        if !assets(&books).any(|asset| asset.id == account.asset) {
            return Err(LedgerError::UnknownAsset { asset: account.asset.clone() });
        }
        self.append(&mut books, book, EventBody::AccountOpened(account.clone()));
        Ok(())
    }

    fn list_books(&self) -> LedgerResult<Vec<BookName>> {
        Ok(self.books()?.events.keys().cloned().collect())
    }

    fn list_accounts(&self, book: &BookName) -> LedgerResult<Vec<Account>> {
        let mut found: Vec<_> = accounts(events_of(&*self.books()?, book)).cloned().collect();
        found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    fn commit_batch(&self, book: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        rules::check_book(book)?;
        let mut books = self.books()?;
        Ok(drafts.iter().map(|draft| self.commit_one(&mut books, book, draft)).collect())
    }

    fn balance(&self, account: &AccountId, as_of: Option<TimestampUs>) -> LedgerResult<Balance> {
        let books = self.books()?;
        let events = events_of(&books, account.book());
        let known =
            find_account(events, account).ok_or_else(|| LedgerError::UnknownAccount { account: account.clone() })?;
        let (net, updated_seq) = net(until(events, as_of), account);
        let amount = known.kind.balance(net);
        Ok(Balance { account: account.clone(), asset: known.asset.clone(), amount, updated_seq })
    }

    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>> {
        let books = self.books()?;
        let events = events_of(&books, account.book());
        let known =
            find_account(events, account).ok_or_else(|| LedgerError::UnknownAccount { account: account.clone() })?;
        let mut rows = Vec::new();
        let touching = |draft: &Draft| draft.postings.iter().any(|posting| posting.account == *account);
        let touched = drafts(events).filter(|(event, draft)| event.seq > after && touching(draft));
        for (event, draft) in touched.take(limit) {
            let through = usize::try_from(event.seq.0).unwrap_or(usize::MAX);
            let balance = known.kind.balance(net(&events[..through], account).0);
            rows.extend(rows_of(account, event.seq, event.at, draft, balance));
        }
        Ok(rows)
    }

    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>> {
        let books = self.books()?;
        let found = books.events.values().flat_map(|events| drafts(events)).find(|(_, draft)| draft.id == id);
        Ok(found.map(|(event, draft)| Transaction {
            book: event.book.clone(),
            seq: event.seq,
            at: event.at,
            draft: draft.clone(),
        }))
    }

    fn trial_balance(&self, book: &BookName, as_of: Option<TimestampUs>) -> LedgerResult<Vec<TrialRow>> {
        let books = self.books()?;
        let events = until(events_of(&books, book), as_of);
        let mut sums: BTreeMap<AssetId, (i128, i128)> = BTreeMap::new();
        for account in accounts(events) {
            let (net, updated_seq) = net(events, &account.id);
            if updated_seq > Seq::START {
                let (debit, credit) = sums.entry(account.asset.clone()).or_default();
                *debit += i128::from(net.max(0));
                *credit += -i128::from(net.min(0));
            }
        }
        Ok(sums.into_iter().map(|(asset, (debit, credit))| TrialRow { asset, debit, credit }).collect())
    }

    fn read_events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        let books = self.books()?;
        let events = events_of(&books, book).iter().filter(|event| event.seq >= from).take(limit);
        let readable = |event: &Event| match books.damaged.contains(&(book.clone(), event.seq)) {
            true => Err(text::damaged(book, event.seq, "the event cannot be read")),
            false => Ok(event.clone()),
        };
        events.map(readable).collect()
    }

    fn subscribe(&self, book: &BookName, from: Seq) -> LedgerResult<Box<dyn Subscription>> {
        drop(self.books()?);
        Ok(Box::new(SourceSubscription::new(Arc::new(self.clone()), book.clone(), from)))
    }

    fn snapshot_now(&self, book: &BookName) -> LedgerResult<()> {
        if self.books()?.events.contains_key(book) {
            Ok(())
        } else {
            Err(LedgerError::UnknownBook { book: book.clone() })
        }
    }

    fn adopt_events(&self, book: &BookName, events: &[Event]) -> LedgerResult<u64> {
        let mut books = self.books()?;
        let there = events_of(&books, book);
        let end = there.last().map_or(End::default(), |event| End { seq: event.seq, at: event.at });
        let known =
            |from: Seq, count| Ok(there.iter().filter(|event| event.seq >= from).take(count).cloned().collect());
        let new = adopt::behind(book, end.seq, events, known)?;
        adopt::judge_events(book, end, new, &Asked { books: &books, book })?;
        if !new.is_empty() {
            let new = new.to_vec();
            books.events.entry(book.clone()).or_default().extend(new);
        }
        Ok(new.len() as u64)
    }

    fn repair(&self, book: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair> {
        let mut books = self.books()?;
        if let Some(book) = book.filter(|book| !books.events.contains_key(*book)) {
            return Err(LedgerError::UnknownBook { book: book.clone() });
        }
        let mut names: Vec<BookName> = books.events.keys().cloned().collect();
        LedgerRepairPlanner::sort(&mut names);
        let (mut planner, mut repair) = (LedgerRepairPlanner::default(), LedgerRepair::default());
        for name in names {
            let plan = planner.plan(&name, (self.clock)(), || Ok(Vec::new()), |visit| books.scan(&name, visit))?;
            if book.is_some_and(|book| *book != name) {
                continue;
            }
            let mut done = BookRepair::of_plan(&plan).named(options);
            if plan.lost.is_some() && !options.dry_run {
                done.set_aside = vec![books.cut(&plan)];
                books.record.extend(done.event(options));
            }
            repair.books.push(done);
        }
        repair.unregistered = planner.unregistered();
        Ok(repair)
    }

    fn shutdown(&self) -> LedgerResult<()> {
        self.is_shut_down.store(true, Ordering::Release);
        Ok(())
    }
}

/// The books, as events that are adopted by one of them ask them.
struct Asked<'b> {
    books: &'b Books,
    book: &'b BookName,
}

impl Stands for Asked<'_> {
    fn asset(&self, id: &AssetId) -> LedgerResult<Option<Asset>> {
        Ok(assets(self.books).find(|asset| asset.id == *id).cloned())
    }

    fn account(&self, id: &AccountId) -> LedgerResult<Option<(Account, i64)>> {
        let events = events_of(self.books, self.book);
        Ok(find_account(events, id).map(|account| (account.clone(), net(events, id).0)))
    }

    fn seq_of_key(&self, key: &str) -> LedgerResult<Option<Seq>> {
        let found = drafts(events_of(self.books, self.book)).find(|(_, known)| known.key == key);
        Ok(found.map(|(event, _)| event.seq))
    }

    fn has_id(&self, id: TransactionId) -> LedgerResult<bool> {
        Ok(self.books.events.values().any(|events| drafts(events).any(|(_, known)| known.id == id)))
    }
}

/// The rows that a transaction adds to the history of an account, which holds `balance` after it.
pub fn rows_of<'d>(
    account: &'d AccountId,
    seq: Seq,
    at: TimestampUs,
    draft: &'d Draft,
    balance: i64,
) -> impl Iterator<Item = HistoryRow> + use<'d> {
    let postings = draft.postings.iter().filter(move |posting| posting.account == *account);
    postings.map(move |posting| HistoryRow {
        seq,
        at,
        transaction: draft.id,
        side: posting.side,
        amount: posting.amount,
        balance,
    })
}

impl EventSource for MemoryLedger {
    fn events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        self.read_events(book, from, limit)
    }
}
