//! The calls that read.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};
use store_core::ledger::{
    Account, AccountId, Asset, AssetId, Balance, BookName, Event, EventBody, HistoryRow, LedgerResult, TimestampUs,
    Transaction, TrialRow, rows_of,
};
use store_core::{Seq, TransactionId};

use super::row::{self, ACCOUNT_COLUMNS, AccountRow};
use crate::error::Result;
use crate::row::{number, to_sql};

/// What a call answers: the outer error is SQLite's or the medium's, the inner one the ledger's.
type Answer<T> = Result<LedgerResult<T>>;

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn assets(connection: &Connection) -> Answer<Vec<Asset>> {
    let mut statement = connection.prepare_cached("SELECT asset, precision FROM ledger_assets ORDER BY asset")?;
    let (mut rows, mut assets) = (statement.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        assets.push(row::asset_of(row)?);
    }
    Ok(Ok(assets))
}

pub(super) fn books(connection: &Connection) -> Answer<Vec<BookName>> {
    let mut statement = connection.prepare_cached("SELECT book FROM ledger_books ORDER BY book")?;
    let (mut rows, mut books) = (statement.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        books.push(row::book(row, 0)?);
    }
    Ok(Ok(books))
}

fn account_rows(connection: &Connection, book: &BookName) -> Result<Vec<AccountRow>> {
    let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM ledger_accounts WHERE book = ?1 ORDER BY path");
    let mut statement = connection.prepare_cached(&sql)?;
    let (mut rows, mut found) = (statement.query([book.as_str()])?, Vec::new());
    while let Some(row) = rows.next()? {
        found.push(AccountRow::read(book, row)?);
    }
    Ok(found)
}

pub(super) fn accounts(connection: &Connection, book: &BookName) -> Answer<Vec<Account>> {
    Ok(Ok(account_rows(connection, book)?.into_iter().map(|found| found.account).collect()))
}

pub(super) fn events(connection: &Connection, book: &BookName, from: Seq, limit: usize) -> Answer<Vec<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, key, body, crc32c FROM ledger_events WHERE book = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let (mut rows, mut events) =
        (statement.query((book.as_str(), to_sql(from.0), limit_of(limit)))?, Vec::<Event>::new());
    while let Some(row) = rows.next()? {
        match row::event(book, row, 0)? {
            Ok(event) if event.seq.0 == from.0.max(1) + events.len() as u64 => events.push(event),
            Ok(event) => {
                let detail = format!("seq {} stands here", event.seq);
                return Ok(Err(store_core::ledger::text::damaged(
                    book,
                    Seq(from.0.max(1) + events.len() as u64),
                    detail,
                )));
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(events))
}

/// The last event that was committed by a time, or at all.
fn seq_at(connection: &Connection, book: &BookName, as_of: Option<TimestampUs>) -> Result<Seq> {
    let Some(as_of) = as_of else { return Ok(row::end(connection, book)?.map_or(Seq::START, |(seq, _)| seq)) };
    let mut statement = connection.prepare_cached(
        "SELECT seq FROM ledger_events WHERE book = ?1 AND at <= ?2 ORDER BY at DESC, seq DESC LIMIT 1",
    )?;
    let found = statement.query_row((book.as_str(), to_sql(as_of)), |row| Ok(number(row, 0))).optional()?;
    Ok(Seq(found.transpose()?.unwrap_or(0)))
}

/// An account's net at an event, and the event that made it so.
fn net_at(connection: &Connection, account: i64, at: Seq) -> Result<(i64, Seq)> {
    let mut statement = connection.prepare_cached(
        "SELECT net, seq FROM ledger_balances WHERE account_id = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
    )?;
    let found = statement.query_row((account, to_sql(at.0)), |row| Ok((row.get(0)?, number(row, 1)))).optional()?;
    match found {
        Some((net, seq)) => Ok((net, Seq(seq?))),
        None => Ok((0, Seq::START)),
    }
}

/// `None` if the account was never opened.
pub(super) fn balance(connection: &Connection, id: &AccountId, as_of: Option<TimestampUs>) -> Answer<Option<Balance>> {
    let Some(found) = AccountRow::find(connection, id)? else { return Ok(Ok(None)) };
    let (net, updated_seq) = match as_of {
        None => (found.net, found.updated_seq),
        Some(_) => net_at(connection, found.number, seq_at(connection, id.book(), as_of)?)?,
    };
    let Account { id, asset, kind, .. } = found.account;
    Ok(Ok(Some(Balance { account: id, asset, amount: kind.balance(net), updated_seq })))
}

/// `None` if the account was never opened.
pub(super) fn history(
    connection: &Connection,
    id: &AccountId,
    after: Seq,
    limit: usize,
) -> Answer<Option<Vec<HistoryRow>>> {
    let Some(found) = AccountRow::find(connection, id)? else { return Ok(Ok(None)) };
    let mut statement = connection.prepare_cached(
        "SELECT e.seq, e.key, e.body, e.crc32c, b.net FROM ledger_balances b
         JOIN ledger_events e ON e.book = ?2 AND e.seq = b.seq
         WHERE b.account_id = ?1 AND b.seq > ?3 ORDER BY b.seq LIMIT ?4",
    )?;
    let mut rows = statement.query((found.number, id.book().as_str(), to_sql(after.0), limit_of(limit)))?;
    let mut history = Vec::new();
    while let Some(row) = rows.next()? {
        let event = match row::event(id.book(), row, 0)? {
            Ok(event) => event,
            Err(error) => return Ok(Err(error)),
        };
        if let EventBody::Transaction(draft) = &event.body {
            let balance = found.account.kind.balance(row.get(4)?);
            history.extend(rows_of(id, event.seq, event.at, draft, balance));
        }
    }
    Ok(Ok(Some(history)))
}

pub(super) fn transaction(connection: &Connection, id: TransactionId) -> Answer<Option<Transaction>> {
    let mut statement = connection
        .prepare_cached("SELECT book, seq, key, body, crc32c FROM ledger_events WHERE transaction_id = ?1")?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(Ok(None)) };
    let event = row::event(&row::book(row, 0)?, row, 1)?;
    Ok(event.map(transaction_of))
}

/// The transaction of an event, if it is one.
pub(super) fn transaction_of(event: Event) -> Option<Transaction> {
    let Event { book, seq, at, body } = event;
    match body {
        EventBody::Transaction(draft) => Some(Transaction { book, seq, at, draft }),
        _ => None,
    }
}

pub(super) fn trial_balance(
    connection: &Connection,
    book: &BookName,
    as_of: Option<TimestampUs>,
) -> Answer<Vec<TrialRow>> {
    let at = seq_at(connection, book, as_of)?;
    let mut sums: BTreeMap<AssetId, (i128, i128)> = BTreeMap::new();
    for found in account_rows(connection, book)? {
        let (net, updated_seq) = match as_of {
            None => (found.net, found.updated_seq),
            Some(_) => net_at(connection, found.number, at)?,
        };
        if updated_seq == Seq::START {
            continue;
        }
        let (debit, credit) = sums.entry(found.account.asset).or_default();
        *debit += i128::from(net.max(0));
        *credit -= i128::from(net.min(0));
    }
    Ok(Ok(sums.into_iter().map(|(asset, (debit, credit))| TrialRow { asset, debit, credit }).collect()))
}
