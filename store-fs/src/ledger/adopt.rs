//! Taking over the events of another ledger: judged like new ones, written with their own seqs and times.

use store_core::ledger::adopt::{self, End, Following, Stands};
use store_core::ledger::{
    Account, AccountId, Asset, AssetId, BookName, Event, EventBody, LedgerError, LedgerResult, fingerprint,
};
use store_core::{Seq, StoreError, TransactionId};

use super::book::{Book, event};
use super::{Books, Entry, Open};
use crate::record_log::NewLine;

/// The books, as events that are adopted by one of them ask them.
struct Asked<'b> {
    open: &'b Open,
    books: &'b Books,
    name: &'b BookName,
}

impl Asked<'_> {
    fn book(&self, name: &BookName) -> LedgerResult<Option<&Book>> {
        self.books.get(name).map(|entry| entry.book(name)).transpose()
    }
}

impl Stands for Asked<'_> {
    fn asset(&self, id: &AssetId) -> LedgerResult<Option<Asset>> {
        let system = self.book(&BookName::system())?;
        Ok(system.and_then(|book| book.assets.iter().find(|asset| asset.id == *id).cloned()))
    }

    fn account(&self, id: &AccountId) -> LedgerResult<Option<(Account, i64)>> {
        let Some(book) = self.book(self.name)? else { return Ok(None) };
        let last = book.state.last_seq();
        let Some(account) = book.state.account(id.path(), last) else { return Ok(None) };
        Ok(Some((account.clone(), book.state.mark(id.path(), last).map_or(0, |mark| mark.net))))
    }

    fn seq_of_key(&self, key: &str) -> LedgerResult<Option<Seq>> {
        let Some(book) = self.book(self.name)? else { return Ok(None) };
        Ok(book.find_key(&self.open.logs, fingerprint::of_key(key), key)?.map(|found| found.seq))
    }

    fn has_id(&self, id: TransactionId) -> LedgerResult<bool> {
        for entry in self.books.values() {
            if let Entry::Whole(book) = entry
                && book.find_id(&self.open.logs, fingerprint::of_id(id), id)?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Open {
    pub(super) fn adopt_events(&self, name: &BookName, events: &[Event]) -> LedgerResult<u64> {
        let (count, through) = {
            let mut books = self.write()?;
            let asked = Asked { open: self, books: &books, name };
            let book = asked.book(name)?;
            book.map_or(Ok(()), Book::check_open)?;
            let end = book.map_or(End::default(), |book| End { seq: book.end.seq, at: book.state.last_at() });
            let new = adopt::behind(name, end.seq, events, |from, count| {
                let lines = self.logs.lines(name, from, end.seq, count)?;
                lines.iter().map(|line| event(name, line)).collect()
            })?;
            let following = adopt::judge_events(name, end, new, &asked)?;
            let last = self.append_following(&mut books, name, end.seq, &following)?;
            (following.len() as u64, last)
        };
        self.sync(name, through)?;
        Ok(count)
    }

    /// Writes events that follow the end of a book, and takes them in.
    fn append_following(
        &self,
        books: &mut Books,
        name: &BookName,
        before: Seq,
        following: &[Following<'_>],
    ) -> LedgerResult<Seq> {
        let Some((first, rest)) = following.split_first() else { return Ok(before) };
        if before == Seq::START {
            // A book's log appears with its first event, which is never a transaction.
            let end = self.logs.create(name, &first.text)?;
            let mut book = Book::new(name, &self.book_options);
            take_in(&mut book, first);
            book.end = end;
            book.is_durable(end.seq);
            books.insert(name.clone(), Entry::Whole(Box::new(book)));
            return self.append_following(books, name, end.seq, rest);
        }
        let lines: Vec<NewLine<'_>> =
            following.iter().map(|one| NewLine { key: key_of(one.event), text: one.text.as_bytes() }).collect();
        let end = self.logs.append(name, before, &[&lines])?;
        let Some(Entry::Whole(book)) = books.get_mut(name) else {
            return Err(LedgerError::from(StoreError::backend(format!("the book {name} is gone"))));
        };
        following.iter().for_each(|one| take_in(book, one));
        book.end = end;
        Ok(end.seq)
    }
}

fn key_of(event: &Event) -> Option<&str> {
    match &event.body {
        EventBody::Transaction(draft) => Some(&draft.key),
        _ => None,
    }
}

fn take_in(book: &mut Book, one: &Following<'_>) {
    let Event { seq, at, body, .. } = one.event;
    match body {
        EventBody::AssetRegistered(asset) => {
            book.state.push(*at);
            book.assets.push(asset.clone());
        }
        EventBody::AccountOpened(account) => drop(book.state.push_account(*at, account.clone())),
        EventBody::Transaction(draft) => {
            book.state.push_changes(*at, &one.changes);
            return book.note(*seq, &[fingerprint::of_key(&draft.key), fingerprint::of_id(draft.id)]);
        }
    }
    book.note(*seq, &[]);
}
