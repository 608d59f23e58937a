//! The calls that write: one savepoint each, in a transaction that calls of other threads may share.

use rusqlite::Connection;
use store_core::ledger::rules::{self, Change};
use store_core::ledger::{
    Account, Asset, BookName, Clock, Draft, EventBody, Known, LedgerError, LedgerResult, Receipt, Transaction, text,
};
use store_core::{Durability, Seq, StoreError, TransactionId};

use super::read::transaction_of;
use super::row::{self, AccountRow};
use crate::connection::Connections;
use crate::error::{Error, Result};
use crate::row::to_sql;

/// Runs `work` in a synced transaction. What `work` answers within is the ledger's, and nothing was written for it if it is an error.
pub(super) fn write<T: Send + 'static>(
    connections: &Connections,
    book: &BookName,
    work: impl Fn(&Connection) -> Result<LedgerResult<T>> + Send + Sync + 'static,
) -> LedgerResult<T> {
    let written = connections.writer().and_then(|writer| writer.write(Durability::Synced, work));
    match written.map_err(StoreError::from) {
        Ok(answer) => answer,
        Err(StoreError::Io { op: "sync", source, .. }) => {
            Err(LedgerError::BookClosed { book: book.clone(), reason: source.to_string() })
        }
        Err(error) => Err(error.into()),
    }
}

/// What the store answered is no refusal of the ledger's: the whole call fails.
pub(super) fn unless_stores<T>(answer: LedgerResult<T>) -> Result<LedgerResult<T>> {
    match answer {
        Err(LedgerError::Store(error)) => Err(Error::Store(error)),
        answer => Ok(answer),
    }
}

pub(super) fn register_asset(connections: &Connections, clock: &Clock, asset: &Asset) -> LedgerResult<()> {
    rules::check_asset(asset)?;
    let (asset, clock, system) = (asset.clone(), clock.clone(), BookName::system());
    write(connections, &BookName::system(), move |transaction| {
        if let Some(known) = row::asset(transaction, &asset.id)? {
            return Ok(rules::check_same_asset(&known, &asset));
        }
        let end = Appender::begin(transaction, &clock, &system)?;
        end.append(transaction, None, &EventBody::AssetRegistered(asset.clone()))?;
        insert_asset(transaction, &asset)?;
        end.finish(transaction, 1)?;
        Ok(Ok(()))
    })
}

pub(super) fn open_account(connections: &Connections, clock: &Clock, account: &Account) -> LedgerResult<()> {
    rules::check_account(account)?;
    let (account, clock) = (account.clone(), clock.clone());
    write(connections, account.id.book(), {
        let account = account.clone();
        move |transaction| {
            if let Some(known) = AccountRow::find(transaction, &account.id)? {
                return Ok(rules::check_same_account(&known.account, &account));
            }
            if row::asset(transaction, &account.asset)?.is_none() {
                return Ok(Err(LedgerError::UnknownAsset { asset: account.asset.clone() }));
            }
            let end = Appender::begin(transaction, &clock, account.id.book())?;
            end.append(transaction, None, &EventBody::AccountOpened(account.clone()))?;
            insert_account(transaction, &account)?;
            end.finish(transaction, 1)?;
            Ok(Ok(()))
        }
    })
}

pub(super) fn insert_asset(transaction: &Connection, asset: &Asset) -> Result<()> {
    transaction
        .prepare_cached("INSERT INTO ledger_assets (asset, precision) VALUES (?1, ?2)")?
        .execute((asset.id.as_str(), asset.precision))?;
    Ok(())
}

pub(super) fn insert_account(transaction: &Connection, account: &Account) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO ledger_accounts (book, path, asset, kind, min_balance, net, updated_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)",
        )?
        .execute((
            account.id.book().as_str(),
            account.id.path(),
            account.asset.as_str(),
            account.kind.as_str(),
            account.min_balance,
        ))?;
    Ok(())
}

pub(super) fn commit_batch(
    connections: &Connections,
    clock: &Clock,
    book: &BookName,
    drafts: &[Draft],
) -> LedgerResult<Vec<LedgerResult<Receipt>>> {
    rules::check_book(book)?;
    let (name, drafts, clock) = (book.clone(), drafts.to_vec(), clock.clone());
    write(connections, book, move |transaction| {
        let mut end = Appender::begin(transaction, &clock, &name)?;
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            answers.push(commit(transaction, &mut end, draft)?);
        }
        end.finish(transaction, 0)?;
        Ok(Ok(answers))
    })
}

/// Judges a draft by what the tables say now, and writes it.
fn commit(transaction: &Connection, end: &mut Appender, draft: &Draft) -> Result<LedgerResult<Receipt>> {
    if let Err(error) = rules::check_draft(&end.book, draft) {
        return Ok(Err(error));
    }
    match by_key(transaction, &end.book, &draft.key)? {
        Ok(None) => {}
        Ok(Some(known)) => {
            let compared = rules::check_same_postings(&draft.key, known.seq, &known.draft.postings, &draft.postings);
            return Ok(compared.map(|()| Receipt { id: known.draft.id, seq: known.seq, at: known.at }));
        }
        Err(error) => return Ok(Err(error)),
    }
    if has_id(transaction, draft.id)? {
        return Ok(Err(LedgerError::AlreadyExists { what: Known::Transaction(draft.id) }));
    }
    let mut found = Vec::new();
    let judged = rules::judge(draft, |id| {
        let account = AccountRow::find(transaction, id).map_err(StoreError::from)?;
        let standing = account.as_ref().map(AccountRow::standing);
        found.extend(account);
        Ok(standing)
    });
    let changes = match unless_stores(judged)? {
        Ok(changes) => changes,
        Err(error) => return Ok(Err(error)),
    };
    end.append(transaction, Some(draft), &EventBody::Transaction(draft.clone()))?;
    let receipt = Receipt { id: draft.id, seq: end.next(), at: end.at };
    for change in &changes {
        let account = found.iter().find(|found| found.account.id == change.account);
        if let Some(account) = account {
            apply(transaction, account.number, receipt.seq, change)?;
        }
    }
    end.count += 1;
    Ok(Ok(receipt))
}

pub(super) fn by_key(
    transaction: &Connection,
    book: &BookName,
    key: &str,
) -> Result<LedgerResult<Option<Transaction>>> {
    let mut statement =
        transaction.prepare_cached("SELECT seq, key, body, crc32c FROM ledger_events WHERE book = ?1 AND key = ?2")?;
    let mut rows = statement.query((book.as_str(), key))?;
    let Some(row) = rows.next()? else { return Ok(Ok(None)) };
    Ok(row::event(book, row, 0)?.map(transaction_of))
}

pub(super) fn has_id(transaction: &Connection, id: TransactionId) -> Result<bool> {
    let mut statement = transaction.prepare_cached("SELECT 1 FROM ledger_events WHERE transaction_id = ?1")?;
    Ok(statement.exists([id.as_bytes()])?)
}

pub(super) fn apply(transaction: &Connection, account: i64, seq: Seq, change: &Change) -> Result<()> {
    let seq = to_sql(seq.0);
    transaction
        .prepare_cached("UPDATE ledger_accounts SET net = ?2, updated_seq = ?3 WHERE account_id = ?1")?
        .execute((account, change.net, seq))?;
    transaction
        .prepare_cached("INSERT INTO ledger_balances (account_id, seq, net) VALUES (?1, ?2, ?3)")?
        .execute((account, seq, change.net))?;
    Ok(())
}

/// The end of a book that is written to.
pub(super) struct Appender {
    book: BookName,
    /// The last event before.
    before: Seq,
    /// The commit time of what is written.
    at: u64,
    /// How many transactions were written.
    count: u64,
}

impl Appender {
    fn begin(transaction: &Connection, clock: &Clock, book: &BookName) -> Result<Self> {
        let (before, last_at) = row::end(transaction, book)?.unwrap_or((Seq::START, 0));
        // What does not fit is the largest, as everywhere.
        let at = rules::commit_time(clock(), last_at).min(i64::MAX.cast_unsigned());
        Ok(Self { book: book.clone(), before, at, count: 0 })
    }

    /// One that writes an event with this commit time behind another.
    pub(super) fn behind(book: &BookName, before: Seq, at: u64) -> Self {
        Self { book: book.clone(), before, at, count: 0 }
    }

    const fn next(&self) -> Seq {
        Seq(self.before.0 + self.count + 1)
    }

    pub(super) fn append(&self, transaction: &Connection, draft: Option<&Draft>, body: &EventBody) -> Result<()> {
        let text = text::encode(self.at, body);
        let text = text.map_err(|error| StoreError::backend(error.to_string()))?;
        let seq = self.next();
        let key = draft.map(|draft| draft.key.as_str());
        transaction
            .prepare_cached(
                "INSERT INTO ledger_events (book, seq, at, key, transaction_id, body, crc32c)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                self.book.as_str(),
                to_sql(seq.0),
                to_sql(self.at),
                key,
                draft.map(|draft| draft.id.as_bytes()),
                &text,
                row::checksum(&self.book, seq.0, key, &text),
            ))?;
        Ok(())
    }

    /// Says where the book ends now: behind the transactions, and `others` events beside them.
    pub(super) fn finish(self, transaction: &Connection, others: u64) -> Result<()> {
        let written = self.count + others;
        if written > 0 {
            transaction
                .prepare_cached(
                    "INSERT INTO ledger_books (book, last_seq, last_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (book) DO UPDATE SET last_seq = ?2, last_at = ?3",
                )?
                .execute((self.book.as_str(), to_sql(self.before.0 + written), to_sql(self.at)))?;
        }
        Ok(())
    }
}
