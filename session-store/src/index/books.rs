//! What the usage books of the ledger say, and what they are still to be told.
//!
//! A projection of two things at once: of the books, read behind a cursor for each of them, and of the sessions that changed since the books were last brought in step. So a feed looks at what
//! changed and at nothing else, and one with nothing new asks one question. All of it may be lost: then the books are read from their beginning and every use is held against them, which takes time and
//! changes nothing. A cursor holds if the event that it names is still the one that it was; else other books stand there, and everything is read anew.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use store_core::Seq;
use store_core::ledger::{BookName, Event, EventBody};

use super::projection::Index;
use super::rows::{read_json, to_db, to_json, to_u64};
use super::usage;
use crate::error::Result;
use crate::usage::{Line, Standing, Use};

/// How far a book was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BookCursor {
    /// The last event that was.
    pub(crate) seq: Seq,
    /// What tells that event from any other.
    mark: String,
}

impl BookCursor {
    /// The cursor behind an event.
    pub(crate) fn behind(event: &Event) -> Self {
        let what = match &event.body {
            EventBody::AssetRegistered(asset) => asset.id.to_string(),
            EventBody::AccountOpened(account) => account.id.path().to_owned(),
            EventBody::Transaction(draft) => draft.id.to_string(),
        };
        Self { seq: event.seq, mark: format!("{} {what}", event.at) }
    }
}

/// What the books are to be told.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// The uses that may be others than the books say, by name ascending.
    pub(crate) uses: Vec<Use>,
    /// The number of the last note of a change.
    through: i64,
}

/// Notes that the uses of a session may be others than they were.
pub(super) fn note_change(db: &Connection, session: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO unfed (session) VALUES (?1)")?.execute([session]).map(drop)
}

/// The requests that the sessions hold which changed.
const CHANGED: &str = "SELECT held.request FROM unfed JOIN segment AS holder ON holder.session = unfed.session
  JOIN usage AS held ON held.segment = holder.no";

impl Index {
    /// Whether the books may say something else of uses than is known, by prices that have this fingerprint.
    ///
    /// # Errors
    /// `Index`.
    pub(crate) fn is_unfed(&self, prices: &str) -> Result<bool> {
        self.ask(|db| Ok((fed_prices(db)?.as_deref() != Some(prices) && has_uses(db)?) || has_changes(db)?))
    }

    /// Whether the books were ever read, or told anything.
    pub(crate) fn knows_books(&self) -> Result<bool> {
        self.ask(|db| {
            let read =
                db.prepare_cached("SELECT EXISTS (SELECT 1 FROM usage_book)")?.query_row([], |row| row.get(0))?;
            Ok(read || fed_prices(db)?.is_some())
        })
    }

    /// What the books are to be told, by prices that have this fingerprint: everything if they were fed by others.
    pub(crate) fn due(&self, prices: &str) -> Result<Due> {
        self.ask(|db| {
            let through = db
                .prepare_cached("SELECT max(no) FROM unfed")?
                .query_row([], |row| row.get::<_, Option<i64>>(0))?
                .unwrap_or(0);
            let uses = if fed_prices(db)?.as_deref() == Some(prices) {
                usage::uses(db, Some(CHANGED), [])?
            } else {
                usage::uses(db, None, [])?
            };
            Ok(Due { uses, through })
        })
    }

    /// Notes that the books were told that.
    pub(crate) fn put_fed(&self, due: &Due, prices: &str) -> Result<()> {
        self.change(|db| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.prepare_cached("DELETE FROM unfed WHERE no <= ?1")?.execute([due.through])?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('fed_prices', ?1)")?
                .execute([prices])?;
            transaction.commit()
        })
    }

    /// How far each book was read.
    pub(crate) fn book_cursors(&self) -> Result<BTreeMap<BookName, BookCursor>> {
        self.ask(|db| {
            let mut query = db.prepare_cached("SELECT name, seq, mark FROM usage_book")?;
            let rows = query.query_map([], |row| {
                let name: String = row.get(0)?;
                Ok((name, BookCursor { seq: Seq(to_u64(row.get(1)?)), mark: row.get(2)? }))
            })?;
            let mut cursors = BTreeMap::new();
            for row in rows {
                let (name, cursor) = row?;
                if let Ok(name) = name.parse() {
                    cursors.insert(name, cursor);
                }
            }
            Ok(cursors)
        })
    }

    /// Takes in what stands behind a cursor of a book, up to another one, unless somebody else has.
    pub(crate) fn take_in(
        &self,
        book: &BookName,
        behind: Option<&BookCursor>,
        lines: &[Line],
        through: &BookCursor,
    ) -> Result<()> {
        self.change(|db| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let known = cursor(&transaction, book)?;
            if known.as_ref() != behind {
                return Ok(());
            }
            for line in lines {
                let mut standing = standing(&transaction, &line.request)?;
                standing.apply(line);
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO booked (request, standing) VALUES (?1, ?2)")?
                    .execute(params![line.request, to_json(&standing)?])?;
            }
            transaction
                .prepare_cached("INSERT OR REPLACE INTO usage_book (name, seq, mark) VALUES (?1, ?2, ?3)")?
                .execute(params![book.as_str(), to_db(through.seq.0), through.mark])?;
            transaction.commit()
        })
    }

    /// Forgets all that was read of the books, and that they were told anything.
    pub(crate) fn forget_books(&self) -> Result<()> {
        self.change(|db| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(
                "DELETE FROM booked; DELETE FROM usage_book; DELETE FROM meta WHERE name = 'fed_prices';",
            )?;
            transaction.commit()
        })
    }

    /// What the books say of a request, as far as they were read.
    pub(crate) fn standing(&self, request: &str) -> Result<Standing> {
        self.ask(|db| standing(db, request))
    }

    /// What the books say of requests that stand in no log any more, as far as they were read; by name ascending.
    pub(crate) fn booked_alone(&self) -> Result<Vec<(String, Standing)>> {
        self.ask(|db| {
            let mut query = db.prepare_cached(
                "SELECT request, standing FROM booked WHERE NOT EXISTS
                 (SELECT 1 FROM usage JOIN segment ON segment.no = usage.segment WHERE usage.request = booked.request)
                 ORDER BY request",
            )?;
            query.query_map([], |row| Ok((row.get(0)?, read_json(row, 1)?)))?.collect()
        })
    }
}

fn has_uses(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM usage LIMIT 1")?.exists([])
}

fn has_changes(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached(&format!("{CHANGED} LIMIT 1"))?.exists([])
}

fn fed_prices(db: &Connection) -> rusqlite::Result<Option<String>> {
    let mut query = db.prepare_cached("SELECT value FROM meta WHERE name = 'fed_prices'")?;
    query.query_row([], |row| row.get(0)).optional()
}

fn cursor(db: &Connection, book: &BookName) -> rusqlite::Result<Option<BookCursor>> {
    let mut query = db.prepare_cached("SELECT seq, mark FROM usage_book WHERE name = ?1")?;
    let read = |row: &rusqlite::Row<'_>| Ok(BookCursor { seq: Seq(to_u64(row.get(0)?)), mark: row.get(1)? });
    query.query_row([book.as_str()], read).optional()
}

fn standing(db: &Connection, request: &str) -> rusqlite::Result<Standing> {
    let mut query = db.prepare_cached("SELECT standing FROM booked WHERE request = ?1")?;
    Ok(query.query_row([request], |row| read_json(row, 0)).optional()?.unwrap_or_default())
}
