//! Whether the tables beside the events say what the events say.
//!
//! The checksum of an event's row covers its book, seq, key and body. What else stands in its columns, and every other table of the ledger, follows from that, and is held against it here,
//! row by row, in one read transaction for each book. What it says wrong is told; the events are right.

use std::collections::HashMap;

use rusqlite::Connection;
use store_core::Seq;
use store_core::ledger::{BookName, EventBody, LedgerFinding, LedgerFindingKind, LedgerResult};

use super::read;
use super::row;
use crate::error::Result;
use crate::row::number;

/// How many events are looked at in one transaction.
const EVENTS_AT_ONCE: usize = 1024;

type Findings = Vec<LedgerFinding>;

/// What no book has, and what lies in no book.
pub(super) fn beside_books(connection: &Connection) -> Result<LedgerResult<Findings>> {
    let mut findings = unnamed_books(connection)?;
    let strays = strays(connection)?.into_iter().chain(surplus_assets(connection)?);
    findings.extend(strays.map(|detail| LedgerFinding::projection(&BookName::system(), detail)));
    Ok(Ok(findings))
}

/// Accounts and balances that lie in no book.
pub(super) fn strays(connection: &Connection) -> Result<Vec<String>> {
    let accounts = "SELECT count(*) FROM ledger_accounts WHERE book NOT IN
         (SELECT book FROM ledger_books UNION SELECT book FROM ledger_events)";
    let balances = "SELECT count(*) FROM ledger_balances b WHERE NOT EXISTS
         (SELECT 1 FROM ledger_accounts a WHERE a.account_id = b.account_id)";
    let mut told = Vec::new();
    for (what, sql) in [("accounts", accounts), ("balances", balances)] {
        told.extend(surplus(connection, what, sql)?);
    }
    Ok(told)
}

/// Assets that no event registered.
pub(super) fn surplus_assets(connection: &Connection) -> Result<Option<String>> {
    let sql = "SELECT abs((SELECT count(*) FROM ledger_assets) - (SELECT count(*) FROM ledger_events WHERE book = '_system'))";
    surplus(connection, "assets", sql)
}

fn surplus(connection: &Connection, what: &str, sql: &str) -> Result<Option<String>> {
    let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok((count > 0).then(|| format!("{count} {what} are in the tables that no event tells of")))
}

/// The books that have events and are not in the table of books: they are there, and no call tells of them.
fn unnamed_books(connection: &Connection) -> Result<Findings> {
    let mut statement = connection.prepare_cached(
        "SELECT book, count(*) FROM ledger_events WHERE book NOT IN (SELECT book FROM ledger_books) GROUP BY book",
    )?;
    let (mut rows, mut findings) = (statement.query([])?, Findings::new());
    while let Some(row) = rows.next()? {
        let (name, count): (String, i64) = (row.get(0)?, row.get(1)?);
        let book = name.parse().unwrap_or_else(|_| BookName::system());
        let detail = format!("{count} events of {name} are there, and the table of books does not have it");
        findings.push(LedgerFinding::of(&book, None, LedgerFindingKind::Answer, detail));
    }
    Ok(findings)
}

/// What the columns beside the checksum say of the events from `from` on; answers with the last event that was looked at.
pub(super) fn columns(connection: &Connection, book: &BookName, from: Seq) -> Result<LedgerResult<(Findings, Seq)>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, key, body, crc32c, at, transaction_id FROM ledger_events WHERE book = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let limit = i64::try_from(EVENTS_AT_ONCE).unwrap_or(i64::MAX);
    let mut rows = statement.query((book.as_str(), crate::row::to_sql(from.0), limit))?;
    let (mut findings, mut last) = (Findings::new(), Seq::START);
    while let Some(row) = rows.next()? {
        last = Seq(number(row, 0)?);
        // Reading the event tells what is wrong with it itself.
        let Ok(event) = row::event(book, row, 0)? else { continue };
        let id: Option<Vec<u8>> = row.get(5)?;
        let expected = match &event.body {
            EventBody::Transaction(draft) => Some(draft.id.as_bytes().to_vec()),
            _ => None,
        };
        let at = number(row, 4)?;
        if at != event.at || id != expected {
            let detail = format!("the columns of event {last} say another time or id than its body");
            findings.push(LedgerFinding::projection(book, detail));
        }
    }
    Ok(Ok((findings, last)))
}

/// What the tables of a book say: its end, its accounts, and every balance after every event.
pub(super) fn tables(connection: &Connection, book: &BookName) -> Result<LedgerResult<Findings>> {
    let (mut findings, mut folded) = (Findings::new(), Folded::default());
    let mut next = Seq(1);
    loop {
        // Reading tells what is damaged; behind it nobody knows what the tables should say.
        let Ok(events) = read::events(connection, book, next, EVENTS_AT_ONCE)? else { return Ok(Ok(findings)) };
        let Some(last) = events.last() else { break };
        (next, folded.last_at) = (last.seq.next(), last.at);
        for event in &events {
            let told = folded.take_in(connection, book, event)?;
            findings.extend(told.map(|detail| LedgerFinding::projection(book, detail)));
        }
    }
    let end = (Seq(next.0 - 1), folded.last_at);
    match row::end(connection, book)? {
        Some((last, _)) if last >= next => {
            let detail = format!("the table of books has it through event {last}, and its events end before {next}");
            findings.push(LedgerFinding::of(book, Some(next), LedgerFindingKind::Event, detail));
        }
        told if told != Some(end) => {
            findings.push(LedgerFinding::projection(book, "the table of books says another end than the events"));
        }
        _ => {}
    }
    findings
        .extend(folded.differing(connection, book)?.into_iter().map(|detail| LedgerFinding::projection(book, detail)));
    Ok(Ok(findings))
}

/// The nets of accounts by path, with how often each changed.
#[derive(Default)]
struct Folded {
    last_at: u64,
    accounts: HashMap<String, (i128, Seq, u64)>,
}

impl Folded {
    /// Answers with what the tables say otherwise of this event.
    fn take_in(
        &mut self,
        connection: &Connection,
        book: &BookName,
        event: &store_core::ledger::Event,
    ) -> Result<Option<String>> {
        match &event.body {
            EventBody::AssetRegistered(asset) => {
                if row::asset(connection, &asset.id)?.as_ref() != Some(asset) {
                    return Ok(Some(format!("the table of assets says otherwise of {}", asset.id)));
                }
            }
            EventBody::AccountOpened(account) => {
                self.accounts.insert(account.id.path().to_owned(), (0, Seq::START, 0));
                let found = row::AccountRow::find(connection, &account.id)?;
                if found.map(|found| found.account).as_ref() != Some(account) {
                    return Ok(Some(format!("the table of accounts says otherwise of {}", account.id)));
                }
            }
            EventBody::Transaction(draft) => {
                for posting in &draft.postings {
                    let Some((net, seq, changes)) = self.accounts.get_mut(posting.account.path()) else { continue };
                    let amount = i128::from(posting.amount);
                    *net += if posting.side == store_core::ledger::Side::Debit { amount } else { -amount };
                    *changes += u64::from(*seq != event.seq);
                    *seq = event.seq;
                }
                let mut statement = connection.prepare_cached(
                    "SELECT b.net FROM ledger_balances b JOIN ledger_accounts a ON a.account_id = b.account_id
                     WHERE a.book = ?1 AND a.path = ?2 AND b.seq = ?3",
                )?;
                for posting in &draft.postings {
                    let path = posting.account.path();
                    let mut rows = statement.query((book.as_str(), path, crate::row::to_sql(event.seq.0)))?;
                    let stored: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
                    let expected = self.accounts.get(path).map(|(net, ..)| *net);
                    if stored.map(i128::from) != expected {
                        return Ok(Some(format!(
                            "the table of balances says otherwise of {path} after event {}",
                            event.seq
                        )));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The accounts whose row says something else than their postings come to.
    fn differing(&self, connection: &Connection, book: &BookName) -> Result<Vec<String>> {
        let mut statement = connection.prepare_cached(
            "SELECT path, net, updated_seq, (SELECT count(*) FROM ledger_balances b WHERE b.account_id = a.account_id)
             FROM ledger_accounts a WHERE book = ?1 ORDER BY path",
        )?;
        let mut rows = statement.query([book.as_str()])?;
        let mut told = Vec::new();
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (path, net): (String, i64) = (row.get(0)?, row.get(1)?);
            count += 1;
            let stored = (i128::from(net), Seq(number(row, 2)?), number(row, 3)?);
            if self.accounts.get(&path) != Some(&stored) {
                told.push(format!("the account {path} is not what its postings come to"));
            }
        }
        if count < self.accounts.len() {
            told.push(format!("{} accounts are missing from their table", self.accounts.len() - count));
        }
        Ok(told)
    }
}
