//! The calls that read, and the trait.

use std::sync::{Arc, PoisonError};

use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{
    Account, AccountId, Asset, AssetId, Balance, BookName, Draft, Event, EventBody, EventSource, HistoryRow, Ledger,
    LedgerError, LedgerFinding, LedgerRepair, LedgerResult, Receipt, SourceSubscription, Subscription, TimestampUs,
    Transaction, TrialRow, fingerprint, rows_of,
};
use store_core::{Seq, TransactionId};

use super::book::{event, unknown};
use super::{Entry, FsLedger, Open, Shared, find};

/// Events this close to each other are read at once.
const GAP_MAX: u64 = 64;

impl Open {
    fn assets(&self) -> LedgerResult<Vec<Asset>> {
        let (books, system) = (self.read()?, BookName::system());
        let Some(book) = find(&books, &system)? else { return Ok(Vec::new()) };
        // Each event of the book is an asset.
        let visible = usize::try_from(book.visible().0).unwrap_or(usize::MAX);
        Ok(book.assets.iter().take(visible).cloned().collect())
    }

    pub(super) fn read_events(&self, name: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        let visible = find(&*self.read()?, name)?.map_or(Seq::START, super::book::Book::visible);
        let lines = self.logs.lines(name, from, visible, limit)?;
        lines.iter().map(|line| event(name, line)).collect()
    }

    fn balance(&self, account: &AccountId, as_of: Option<TimestampUs>) -> LedgerResult<Balance> {
        let books = self.read()?;
        let book = find(&books, account.book())?.ok_or_else(|| unknown(account))?;
        let visible = book.visible();
        let at = book.state.seq_at(visible, as_of);
        book.state.balance(account, visible, at).ok_or_else(|| unknown(account))
    }

    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>> {
        let (kind, marks) = {
            let books = self.read()?;
            let book = find(&books, account.book())?.ok_or_else(|| unknown(account))?;
            let visible = book.visible();
            let known = book.state.account(account.path(), visible).ok_or_else(|| unknown(account))?;
            let marks = book.state.marks(account.path(), after, visible);
            (known.kind, marks[..marks.len().min(limit)].to_vec())
        };
        let mut rows = Vec::with_capacity(marks.len());
        for close in marks.chunk_by(|one, next| next.seq.0 - one.seq.0 <= GAP_MAX) {
            let (Some(first), Some(last)) = (close.first(), close.last()) else { continue };
            let mut marks = close.iter().peekable();
            for line in self.logs.lines(account.book(), first.seq, last.seq, usize::MAX)? {
                let Some(mark) = marks.next_if(|mark| mark.seq == line.seq) else { continue };
                let Event { seq, at, body, .. } = event(account.book(), &line)?;
                if let EventBody::Transaction(draft) = body {
                    rows.extend(rows_of(account, seq, at, &draft, kind.balance(mark.net)));
                }
            }
        }
        Ok(rows)
    }

    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>> {
        let (books, fingerprint) = (self.read()?, fingerprint::of_id(id));
        for (name, entry) in &*books {
            let Entry::Whole(book) = entry else { continue };
            if let Some(found) = book.find_id(&self.logs, fingerprint, id)? {
                return Ok(Some(found).filter(|found| found.seq <= book.visible()));
            }
            debug_assert_eq!(book.name, *name);
        }
        Ok(None)
    }
}

impl Ledger for FsLedger {
    fn register_asset(&self, asset: &Asset) -> LedgerResult<()> {
        self.0.with(|open| open.register_asset(asset))?;
        self.0.news.tell();
        Ok(())
    }

    fn asset(&self, id: &AssetId) -> LedgerResult<Asset> {
        let found = self.0.with(Open::assets)?.into_iter().find(|asset| asset.id == *id);
        found.ok_or_else(|| LedgerError::UnknownAsset { asset: id.clone() })
    }

    fn list_assets(&self) -> LedgerResult<Vec<Asset>> {
        let mut assets = self.0.with(Open::assets)?;
        assets.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(assets)
    }

    fn open_account(&self, account: &Account) -> LedgerResult<()> {
        self.0.with(|open| open.open_account(account))?;
        self.0.news.tell();
        Ok(())
    }

    fn list_books(&self) -> LedgerResult<Vec<BookName>> {
        self.0.with(|open| {
            let books = open.read()?;
            let visible = books.iter().filter(|(_, entry)| match entry {
                Entry::Whole(book) => book.visible() > Seq::START,
                Entry::Damaged { .. } => true,
            });
            Ok(visible.map(|(name, _)| name.clone()).collect())
        })
    }

    fn list_accounts(&self, name: &BookName) -> LedgerResult<Vec<Account>> {
        self.0.with(|open| {
            let books = open.read()?;
            let Some(book) = find(&books, name)? else { return Ok(Vec::new()) };
            let mut accounts: Vec<_> =
                book.state.accounts(book.visible()).map(|(account, _)| account.clone()).collect();
            accounts.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            Ok(accounts)
        })
    }

    fn commit_batch(&self, book: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        self.0.commit(book, drafts)
    }

    fn balance(&self, account: &AccountId, as_of: Option<TimestampUs>) -> LedgerResult<Balance> {
        self.0.with(|open| open.balance(account, as_of))
    }

    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>> {
        self.0.with(|open| open.account_history(account, after, limit))
    }

    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>> {
        self.0.with(|open| open.transaction(id))
    }

    fn trial_balance(&self, name: &BookName, as_of: Option<TimestampUs>) -> LedgerResult<Vec<TrialRow>> {
        self.0.with(|open| {
            let books = open.read()?;
            let Some(book) = find(&books, name)? else { return Ok(Vec::new()) };
            Ok(book.state.trial_balance(book.state.seq_at(book.visible(), as_of)))
        })
    }

    fn read_events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        self.0.with(|open| open.read_events(book, from, limit))
    }

    fn subscribe(&self, book: &BookName, from: Seq) -> LedgerResult<Box<dyn Subscription>> {
        self.0.with(|_| Ok(()))?;
        let source: Arc<dyn EventSource> = Arc::<Shared>::clone(&self.0);
        Ok(Box::new(SourceSubscription::new(source, book.clone(), from)))
    }

    fn snapshot_now(&self, book: &BookName) -> LedgerResult<()> {
        self.0.with(|open| open.snapshot_now(book))
    }

    fn adopt_events(&self, book: &BookName, events: &[Event]) -> LedgerResult<u64> {
        let count = self.0.with(|open| {
            let count = open.adopt_events(book, events)?;
            open.snapshot_if_due(book);
            Ok(count)
        })?;
        self.0.news.tell();
        Ok(count)
    }

    fn examine(&self) -> LedgerResult<Vec<LedgerFinding>> {
        self.0.with(Open::examine)
    }

    fn repair(&self, book: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair> {
        let done = self.0.with(|open| open.repair(book, options))?;
        self.0.news.tell();
        Ok(done)
    }

    fn shutdown(&self) -> LedgerResult<()> {
        let open = self.0.open.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(open);
        self.0.news.tell();
        Ok(())
    }
}
