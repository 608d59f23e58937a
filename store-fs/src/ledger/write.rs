//! The calls that write.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use store_core::ledger::{
    Account, Asset, BookName, Draft, EventBody, LedgerError, LedgerResult, Receipt, TimestampUs, Transaction, rules,
    text,
};
use store_core::snapshot_set::SnapshotError;
use store_core::{Position, Seq, StoreError, TransactionId};

use super::book::Book;
use super::plan::{NewTransaction, Stands};
use super::{Books, Entry, Open, Shared, find, snapshot};
use crate::record_log::{NewLine, lock_mutex};

/// The books, as a batch of one of them asks them.
pub(super) struct In<'b> {
    pub(super) open: &'b Open,
    pub(super) books: &'b Books,
    pub(super) name: &'b BookName,
}

impl Stands for In<'_> {
    fn by_key(&self, fingerprint: u64, key: &str) -> LedgerResult<Option<Transaction>> {
        match self.books.get(self.name) {
            Some(entry) => entry.book(self.name)?.find_key(&self.open.logs, fingerprint, key),
            None => Ok(None),
        }
    }

    fn has_id(&self, fingerprint: u64, id: TransactionId) -> LedgerResult<bool> {
        for entry in self.books.values() {
            // Nobody knows what a damaged book has.
            if let Entry::Whole(book) = entry
                && book.find_id(&self.open.logs, fingerprint, id)?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Open {
    pub(super) fn register_asset(&self, asset: &Asset) -> LedgerResult<()> {
        rules::check_asset(asset)?;
        let system = BookName::system();
        let written = {
            let mut books = self.write()?;
            let known = match books.get(&system) {
                Some(entry) => entry.book(&system)?.assets.iter().find(|known| known.id == asset.id),
                None => None,
            };
            match known {
                Some(known) => {
                    rules::check_same_asset(known, asset)?;
                    // Whoever registered it may still wait for the sync.
                    books
                        .get(&system)
                        .map(|entry| entry.book(&system))
                        .transpose()?
                        .map_or(Seq::START, |book| book.end.seq)
                }
                None => self.append_other(&mut books, &system, &EventBody::AssetRegistered(asset.clone()))?,
            }
        };
        self.sync(&system, written)
    }

    pub(super) fn open_account(&self, account: &Account) -> LedgerResult<()> {
        rules::check_account(account)?;
        let (system, name) = (BookName::system(), account.id.book());
        let written = {
            let mut books = self.write()?;
            let book = books.get(name).map(|entry| entry.book(name)).transpose()?;
            let known = book.and_then(|book| book.state.account(account.id.path(), book.state.last_seq()));
            match (known, book) {
                (Some(known), Some(book)) => {
                    rules::check_same_account(known, account)?;
                    book.end.seq
                }
                _ => {
                    let assets = books.get(&system).map(|entry| entry.book(&system)).transpose()?;
                    if !assets.is_some_and(|book| book.assets.iter().any(|asset| asset.id == account.asset)) {
                        return Err(LedgerError::UnknownAsset { asset: account.asset.clone() });
                    }
                    self.append_other(&mut books, name, &EventBody::AccountOpened(account.clone()))?
                }
            }
        };
        self.sync(name, written)
    }

    /// Writes an event that is no transaction, and takes it in.
    fn append_other(&self, books: &mut Books, name: &BookName, body: &EventBody) -> LedgerResult<Seq> {
        let now = (self.options.clock)();
        let at = match books.get(name) {
            Some(entry) => {
                let book = entry.book(name)?;
                book.check_open()?;
                rules::commit_time(now, book.state.last_at())
            }
            None => now,
        };
        let text = text::encode(at, body)?;
        let end = match books.get(name) {
            None => self.logs.create(name, &text)?,
            Some(entry) => {
                let after = entry.book(name)?.end.seq;
                self.logs.append(name, after, &[&[NewLine { key: None, text: text.as_bytes() }]])?
            }
        };
        let entry =
            books.entry(name.clone()).or_insert_with(|| Entry::Whole(Box::new(Book::new(name, &self.book_options))));
        let Entry::Whole(book) = entry else { return Ok(end.seq) };
        match body {
            EventBody::AssetRegistered(asset) => {
                book.state.push(at);
                book.assets.push(asset.clone());
            }
            EventBody::AccountOpened(account) => drop(book.state.push_account(at, account.clone())),
            EventBody::Transaction(_) => {}
        }
        book.end = end;
        book.note(end.seq, &[]);
        if end.seq == Seq(1) {
            // It was made at once, on stable storage.
            book.is_durable(end.seq);
        }
        Ok(end.seq)
    }

    /// Writes the new transactions of batches, of which each has so many, and takes them in. The last event is that before, if there are none.
    pub(super) fn append_transactions(
        &self,
        books: &mut Books,
        name: &BookName,
        (before, at): (Seq, TimestampUs),
        (new, batches): (&[NewTransaction<'_>], impl Iterator<Item = usize>),
    ) -> LedgerResult<Seq> {
        if new.is_empty() {
            return Ok(before);
        }
        let lines: Vec<NewLine<'_>> = new.iter().map(NewTransaction::line).collect();
        let (mut calls, mut rest) = (Vec::new(), &lines[..]);
        for count in batches.filter(|count| *count > 0) {
            let (call, behind) = rest.split_at(count);
            calls.push(call);
            rest = behind;
        }
        let end: Position = self.logs.append(name, before, &calls)?;
        let Some(Entry::Whole(book)) = books.get_mut(name) else { return Ok(end.seq) };
        for new in new {
            let seq = book.state.push_changes(at, &new.changes);
            book.note(seq, &new.prepared.fingerprints);
        }
        book.end = end;
        Ok(end.seq)
    }

    /// Returns when a book is on stable storage through `seq`, and visible.
    pub(super) fn sync(&self, name: &BookName, seq: Seq) -> LedgerResult<()> {
        {
            let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
            let Some(book) = books.get(name).map(|entry| entry.book(name)).transpose()? else { return Ok(()) };
            if book.visible() >= seq {
                return Ok(());
            }
            book.check_open()?;
        }
        let synced = self.logs.sync(name, seq);
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        let Some(book) = books.get(name).map(|entry| entry.book(name)).transpose()? else { return Ok(()) };
        match synced {
            Ok(()) => {
                // A repair may have cut the book meanwhile.
                book.is_durable(seq.min(book.end.seq));
                Ok(())
            }
            Err(error) => {
                book.close(&error.to_string());
                book.check_open()
            }
        }
    }

    /// Makes a snapshot of a book if its last one is so many events old. One that fails is made another time.
    pub(super) fn snapshot_if_due(&self, name: &BookName) {
        let every = self.options.snapshot_every;
        if every == 0 || name.is_reserved() {
            return;
        }
        let is_due = {
            let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
            let book = books.get(name).and_then(|entry| entry.book(name).ok());
            book.is_some_and(|book| book.visible().0 >= book.snapshot.load(Ordering::Acquire) + every)
        };
        if is_due && let Ok(_alone) = self.snapshotting.try_lock() {
            let _ = self.make_snapshot(name);
        }
    }

    pub(super) fn snapshot_now(&self, name: &BookName) -> LedgerResult<()> {
        if find(&*self.read()?, name)?.is_none() {
            return Err(LedgerError::UnknownBook { book: name.clone() });
        }
        if self.is_read_only {
            return Err(StoreError::ReadOnly.into());
        }
        // The reserved book has an event for each asset: it is read as quickly as a snapshot.
        if name.is_reserved() {
            return Ok(());
        }
        let _alone = lock_mutex(&self.snapshotting);
        self.make_snapshot(name)
    }

    pub(super) fn make_snapshot(&self, name: &BookName) -> LedgerResult<()> {
        let (bytes, seq) = {
            let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
            let Some(book) = books.get(name).map(|entry| entry.book(name)).transpose()? else { return Ok(()) };
            book.check_open()?;
            (book.snapshot_bytes(), book.end.seq)
        };
        // A snapshot must not know what the log may lose.
        self.sync(name, seq)?;
        let bytes = bytes.ok_or_else(|| LedgerError::from(StoreError::Unsupported { what: "so large a snapshot" }))?;
        let folder = self.book_options.layout.book_snapshots(name);
        snapshot::publish(&self.book_options.disk, &folder, &bytes).map_err(|error| match error {
            SnapshotError::Store(error) => error,
            error => StoreError::backend(error),
        })?;
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Entry::Whole(book)) = books.get(name) {
            book.snapshot.fetch_max(seq.0, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl Shared {
    pub(super) fn commit(&self, name: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
        let answers = self.with(|open| open.commit_batch(name, drafts))?;
        self.news.tell();
        Ok(answers)
    }
}
