//! The tables that follow from events, made again of them.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};
use store_core::Seq;
use store_core::ledger::repair::BookPlan;
use store_core::ledger::{Asset, BookName, Event, EventBody, Side};

use super::{asset_of, kept};
use crate::error::{Result, damage};
use crate::ledger::write::{Appender, insert_account, insert_asset};
use crate::row::to_sql;

/// The last event that the table of books tells of.
pub(super) fn told_end(connection: &Connection, book: &BookName) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT last_seq FROM ledger_books WHERE book = ?1")?;
    Ok(statement.query_row([book.as_str()], |row| row.get(0)).optional()?)
}

/// What the table of assets says, as far as it can be.
pub(super) fn assets(connection: &Connection) -> Result<Vec<Asset>> {
    let mut statement = connection.prepare_cached("SELECT asset, precision FROM ledger_assets ORDER BY asset")?;
    let (mut rows, mut assets) = (statement.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str().unwrap_or_default();
        assets.extend(asset_of(name, row.get(1)?));
    }
    Ok(assets)
}

/// Takes the ids out of a book's rows, where nothing else of them is to be written anew.
pub(super) fn forget_ids(transaction: &Connection, book: &BookName) -> Result<()> {
    transaction
        .prepare_cached("UPDATE ledger_events SET transaction_id = NULL WHERE book = ?1")?
        .execute([book.as_str()])?;
    Ok(())
}

/// Writes what a plan has beside what is kept, and all that follows from both.
pub(super) fn make_anew(transaction: &Connection, plan: &BookPlan) -> Result<()> {
    let book = &plan.book;
    for event in &plan.registered {
        let end = Appender::behind(book, Seq(event.seq.0 - 1), event.at);
        end.append(transaction, None, &event.body)?;
    }
    forget_tables(transaction, book)?;
    let events = kept(transaction, plan)?;
    let mut folded = Folded { transaction, accounts: HashMap::new() };
    for event in &events {
        transaction
            .prepare_cached("UPDATE ledger_events SET at = ?3, transaction_id = ?4 WHERE book = ?1 AND seq = ?2")?
            .execute((book.as_str(), to_sql(event.seq.0), to_sql(event.at), id_of(event)))?;
        folded.take_in(event)?;
    }
    folded.finish()?;
    if let Some(last) = events.last() {
        transaction
            .prepare_cached("INSERT INTO ledger_books (book, last_seq, last_at) VALUES (?1, ?2, ?3)")?
            .execute((book.as_str(), to_sql(last.seq.0), to_sql(last.at)))?;
    }
    Ok(())
}

fn id_of(event: &Event) -> Option<&[u8; 16]> {
    match &event.body {
        EventBody::Transaction(draft) => Some(draft.id.as_bytes()),
        _ => None,
    }
}

fn forget_tables(transaction: &Connection, book: &BookName) -> Result<()> {
    for sql in [
        "DELETE FROM ledger_balances WHERE account_id IN (SELECT account_id FROM ledger_accounts WHERE book = ?1)",
        "DELETE FROM ledger_accounts WHERE book = ?1",
        "DELETE FROM ledger_books WHERE book = ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([book.as_str()])?;
    }
    // A new account may get the number of one that is gone.
    transaction.execute_batch(
        "DELETE FROM ledger_balances WHERE account_id NOT IN (SELECT account_id FROM ledger_accounts)",
    )?;
    if *book == BookName::system() {
        transaction.execute_batch("DELETE FROM ledger_assets")?;
    }
    Ok(())
}

/// Removes what belongs to no book that has events.
pub(super) fn remove_strays(transaction: &Connection) -> Result<()> {
    Ok(transaction.execute_batch(
        "DELETE FROM ledger_books WHERE book NOT IN (SELECT book FROM ledger_events);
         DELETE FROM ledger_balances WHERE account_id IN
             (SELECT account_id FROM ledger_accounts WHERE book NOT IN (SELECT book FROM ledger_books));
         DELETE FROM ledger_accounts WHERE book NOT IN (SELECT book FROM ledger_books);
         DELETE FROM ledger_balances WHERE account_id NOT IN (SELECT account_id FROM ledger_accounts)",
    )?)
}

/// An account while its postings are gone through.
struct Net {
    number: i64,
    net: i64,
    updated: Seq,
}

/// Accounts and balances, written as the events come.
struct Folded<'t> {
    transaction: &'t Connection,
    accounts: HashMap<String, Net>,
}

impl Folded<'_> {
    fn take_in(&mut self, event: &Event) -> Result<()> {
        match &event.body {
            EventBody::AssetRegistered(asset) => insert_asset(self.transaction, asset),
            EventBody::AccountOpened(account) => {
                insert_account(self.transaction, account)?;
                let number = self.transaction.last_insert_rowid();
                let net = Net { number, net: 0, updated: Seq::START };
                self.accounts.insert(account.id.path().to_owned(), net);
                Ok(())
            }
            EventBody::Transaction(draft) => {
                for posting in &draft.postings {
                    let path = posting.account.path();
                    let account = self.accounts.get_mut(path).ok_or_else(|| not_judged(event.seq))?;
                    let amount = if posting.side == Side::Debit { posting.amount } else { -posting.amount };
                    // On its way to what was judged it may leave the bounds, and comes back.
                    account.net = account.net.wrapping_add(amount);
                    account.updated = event.seq;
                }
                for posting in &draft.postings {
                    let Some(account) = self.accounts.get(posting.account.path()) else { continue };
                    self.transaction
                        .prepare_cached(
                            "INSERT OR REPLACE INTO ledger_balances (account_id, seq, net) VALUES (?1, ?2, ?3)",
                        )?
                        .execute((account.number, to_sql(event.seq.0), account.net))?;
                }
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<()> {
        let mut statement = self
            .transaction
            .prepare_cached("UPDATE ledger_accounts SET net = ?2, updated_seq = ?3 WHERE account_id = ?1")?;
        for Net { number, net, updated } in self.accounts.into_values() {
            statement.execute((number, net, to_sql(updated.0)))?;
        }
        Ok(())
    }
}

fn not_judged(seq: Seq) -> store_core::StoreError {
    damage(None, Some(seq.0), "an event that was judged to follow names an account that was not opened")
}
