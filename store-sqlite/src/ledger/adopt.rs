//! Taking over the events of another ledger: judged like new ones, by what the tables say, and written with their own seqs and times.

use rusqlite::Connection;
use store_core::ledger::adopt::{self, End, Following, Stands};
use store_core::ledger::{Account, AccountId, Asset, AssetId, BookName, Event, EventBody, LedgerResult};
use store_core::{Seq, StoreError, TransactionId};

use super::row::{self, AccountRow};
use super::write::{Appender, apply, by_key, has_id, insert_account, insert_asset, unless_stores, write};
use crate::connection::Connections;
use crate::error::Result;

/// The tables, as events that are adopted ask them.
struct Asked<'c> {
    connection: &'c Connection,
    book: &'c BookName,
}

impl Stands for Asked<'_> {
    fn asset(&self, id: &AssetId) -> LedgerResult<Option<Asset>> {
        Ok(row::asset(self.connection, id).map_err(StoreError::from)?)
    }

    fn account(&self, id: &AccountId) -> LedgerResult<Option<(Account, i64)>> {
        let found = AccountRow::find(self.connection, id).map_err(StoreError::from)?;
        Ok(found.map(|found| (found.account, found.net)))
    }

    fn seq_of_key(&self, key: &str) -> LedgerResult<Option<Seq>> {
        let found = by_key(self.connection, self.book, key).map_err(StoreError::from)??;
        Ok(found.map(|found| found.seq))
    }

    fn has_id(&self, id: TransactionId) -> LedgerResult<bool> {
        Ok(has_id(self.connection, id).map_err(StoreError::from)?)
    }
}

pub(super) fn adopt_events(connections: &Connections, book: &BookName, events: &[Event]) -> LedgerResult<u64> {
    let (name, events) = (book.clone(), events.to_vec());
    write(connections, book, move |transaction| adopt_in(transaction, &name, &events))
}

/// Adopts events in a transaction.
pub(crate) fn adopt_in(transaction: &Connection, book: &BookName, events: &[Event]) -> Result<LedgerResult<u64>> {
    let end = row::end(transaction, book)?.map_or(End::default(), |(seq, at)| End { seq, at });
    let known = |from, count| super::read::events(transaction, book, from, count).map_err(StoreError::from)?;
    let judged = adopt::behind(book, end.seq, events, known)
        .and_then(|new| adopt::judge_events(book, end, new, &Asked { connection: transaction, book }));
    let following = match unless_stores(judged)? {
        Ok(following) => following,
        Err(error) => return Ok(Err(error)),
    };
    for one in &following {
        append(transaction, book, one)?;
    }
    Ok(Ok(following.len() as u64))
}

fn append(transaction: &Connection, book: &BookName, one: &Following<'_>) -> Result<()> {
    let Event { seq, at, body, .. } = one.event;
    let end = Appender::behind(book, Seq(seq.0 - 1), *at);
    match body {
        EventBody::AssetRegistered(asset) => {
            end.append(transaction, None, body)?;
            insert_asset(transaction, asset)?;
        }
        EventBody::AccountOpened(account) => {
            end.append(transaction, None, body)?;
            insert_account(transaction, account)?;
        }
        EventBody::Transaction(draft) => {
            end.append(transaction, Some(draft), body)?;
            for change in &one.changes {
                if let Some(account) = AccountRow::find(transaction, &change.account)? {
                    apply(transaction, account.number, *seq, change)?;
                }
            }
        }
    }
    end.finish(transaction, 1)
}
