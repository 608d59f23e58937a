//! Repairing a ledger where it is, in one transaction with its events in the store's record.
//!
//! A plan is made of the rows of events alone, by the rules that are everybody's (`store_core::ledger::repair`). What is cut off is put into the store as bytes that a fact names
//! ([`aside`]), so no table is needed that earlier versions do not know, and what collects bytes that nobody refers to leaves them alone. All other tables follow from events and are
//! made again of them where they say otherwise ([`tables`]). The price is that other writers wait while everything is read.

mod aside;
mod tables;

use std::ops::ControlFlow;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use store_core::integrity::MaintenanceOptions;
use store_core::ledger::repair::{BookPlan, LedgerRepairPlanner, Met, MetVisit};
use store_core::ledger::{Asset, BookName, BookRepair, Clock, LedgerError, LedgerFinding, LedgerRepair, LedgerResult};
use store_core::{Durability, Seq, StoreError};

use super::{examine, read, row};
use crate::blob_lock::BlobLock;
use crate::connection::Connections;
use crate::error::{Result, damage};
use crate::row::Utf8;
use crate::schema;

/// What of a ledger needs a repair.
#[derive(Default)]
struct Looked {
    books: Vec<(BookPlan, BookRepair)>,
    unregistered: Vec<store_core::ledger::AssetId>,
    /// Texts in columns of names that name no book.
    nameless: Vec<Vec<u8>>,
    /// What belongs to no book.
    strays: Vec<String>,
}

pub(super) fn repair(
    connections: &Connections,
    clock: &Clock,
    only: Option<&BookName>,
    options: &MaintenanceOptions,
) -> LedgerResult<LedgerRepair> {
    if options.dry_run {
        let looked = connections.read(|connection| look(connection, clock, only)).map_err(StoreError::from)??;
        return Ok(looked.told(options));
    }
    let writer = connections.writer().map_err(StoreError::from)?;
    // While this is held nobody collects bytes that a fact is about to name.
    let _shared = BlobLock::share(connections.place())?;
    let done = writer.write_alone(Durability::Synced, |transaction| {
        let looked = match look(transaction, clock, only)? {
            Ok(looked) => looked,
            Err(error) => return Ok(Err(error)),
        };
        apply(transaction, looked, options).and_then(|done| {
            let again = look(transaction, clock, only);
            match again? {
                Err(LedgerError::UnknownBook { .. }) => Ok(Ok(done)),
                Ok(again) if again.is_whole() => Ok(Ok(done)),
                _ => Err(damage(None, None, "what was written does not read back as it should").into()),
            }
        })
    });
    done.map_err(StoreError::from)?
}

impl Looked {
    fn is_whole(&self) -> bool {
        self.books.iter().all(|(_, done)| done.is_whole()) && self.strays.is_empty()
    }

    fn told(self, options: &MaintenanceOptions) -> LedgerRepair {
        let strays = (!self.strays.is_empty()).then(|| BookRepair::of_no_book(self.strays));
        let books = self.books.into_iter().map(|(_, done)| done).chain(strays);
        LedgerRepair { books: books.map(|done| done.named(options)).collect(), unregistered: self.unregistered }
    }
}

/// Finds out what is to be done.
fn look(connection: &Connection, clock: &Clock, only: Option<&BookName>) -> Result<LedgerResult<Looked>> {
    let mut looked = Looked::default();
    if !schema::has_ledger(connection)? {
        return Ok(only.map_or(Ok(looked), |only| Err(LedgerError::UnknownBook { book: only.clone() })));
    }
    let mut books = names(connection, &mut looked.nameless)?;
    LedgerRepairPlanner::sort(&mut books);
    if let Some(only) = only.filter(|only| !books.contains(*only)) {
        return Ok(Err(LedgerError::UnknownBook { book: only.clone() }));
    }
    let now = clock().min(i64::MAX.cast_unsigned());
    let mut planner = LedgerRepairPlanner::default();
    for book in &books {
        let told = |error| StoreError::from(error).into();
        let known = || tables::assets(connection).map_err(told);
        let planned = planner.plan(book, now, known, |visit| scan(connection, book, visit).map_err(told));
        let plan = match super::write::unless_stores(planned)? {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        if only.is_some_and(|only| only != book) {
            continue;
        }
        let mut done = BookRepair::of_plan(&plan);
        if plan.lost.is_none() {
            done.made_anew = out_of_step(connection, book)?;
        }
        looked.books.push((plan, done));
    }
    looked.unregistered = planner.unregistered();
    if only.is_none() {
        looked.strays = examine::strays(connection)?;
        let nameless = looked.nameless.iter().map(|name| format!("{:?} names no book", String::from_utf8_lossy(name)));
        looked.strays.extend(nameless);
    }
    Ok(Ok(looked))
}

/// Every book that any table tells of.
fn names(connection: &Connection, nameless: &mut Vec<Vec<u8>>) -> Result<Vec<BookName>> {
    let mut statement = connection.prepare_cached(
        "SELECT book FROM ledger_events UNION SELECT book FROM ledger_books
         UNION SELECT '_system' WHERE EXISTS (SELECT 1 FROM ledger_assets)",
    )?;
    let (mut rows, mut books) = (statement.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?;
        match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
            Some(book) => books.push(book),
            None => nameless.push(bytes.to_vec()),
        }
    }
    Ok(books)
}

/// Hands over the rows of a book's events, and what the other tables know of more.
fn scan(connection: &Connection, book: &BookName, visit: &mut MetVisit<'_>) -> Result<()> {
    // What stands before the first place there is stands at none.
    let mut statement = connection
        .prepare_cached("SELECT seq, key, body, crc32c FROM ledger_events WHERE book = ?1 ORDER BY seq < 1, seq")?;
    let mut rows = statement.query([book.as_str()])?;
    let mut last = 0;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        last = last.max(seq);
        let flow = match whole(book, seq, row.get_ref(1)?, row.get_ref(2)?, row.get(3)?) {
            Ok((key, text)) => visit(Met::Whole { seq: Seq(seq.cast_unsigned()), key, text }),
            Err(detail) => visit(Met::Damaged { detail: &detail }),
        };
        if flow == ControlFlow::Break(()) {
            return Ok(());
        }
    }
    let told: Option<i64> = tables::told_end(connection, book)?;
    let has_assets = *book == BookName::system() && last == 0 && !tables::assets(connection)?.is_empty();
    if told.is_some_and(|told| told > last) || has_assets {
        let detail = format!("the tables tell of more events than the {last} that are there");
        let _ = visit(Met::Missing { detail: &detail });
    }
    Ok(())
}

/// The key and body of a row, if its checksum is right.
fn whole<'r>(
    book: &BookName,
    seq: i64,
    key: ValueRef<'r>,
    body: ValueRef<'r>,
    stored: i64,
) -> std::result::Result<(Option<&'r str>, &'r str), String> {
    let text = |value: ValueRef<'r>| value.as_str().map_err(|error| error.to_string());
    let key = if key == ValueRef::Null { None } else { Some(text(key)?) };
    let body = text(body)?;
    let computed =
        u64::try_from(seq).map(|seq| row::checksum(book, seq, key, body)).map_err(|error| error.to_string())?;
    if i64::from(computed) == stored {
        return Ok((key, body));
    }
    Err(format!("the checksum is {computed:08X}, the row says {stored:08X}"))
}

/// What the tables say otherwise than the events of a book, which are whole.
fn out_of_step(connection: &Connection, book: &BookName) -> Result<Vec<String>> {
    let details = |findings: Vec<LedgerFinding>| findings.into_iter().map(|finding| finding.detail);
    // What stands in a row and cannot be is out of step, too.
    let told = |found: Result<LedgerResult<Vec<LedgerFinding>>>| match found {
        Ok(Ok(findings)) => Ok(findings),
        Ok(Err(error)) => Ok(vec![LedgerFinding::projection(book, error.to_string())]),
        Err(error) if error.is_corrupt() => {
            Ok(vec![LedgerFinding::projection(book, StoreError::from(error).to_string())])
        }
        Err(error) => Err(error),
    };
    let mut out: Vec<String> = details(told(examine::tables(connection, book))?).collect();
    let mut next = Seq(1);
    loop {
        let mut last = Seq::START;
        let columns = examine::columns(connection, book, next).map(|found| {
            found.map(|(findings, through)| {
                last = through;
                findings
            })
        });
        out.extend(details(told(columns)?));
        if last < next {
            break;
        }
        next = last.next();
    }
    if *book == BookName::system() {
        out.extend(examine::surplus_assets(connection)?);
    }
    Ok(out)
}

/// Does it; answers with what was done.
fn apply(transaction: &Connection, looked: Looked, options: &MaintenanceOptions) -> Result<LedgerRepair> {
    let Looked { books, unregistered, nameless, strays } = looked;
    let mut repair = LedgerRepair { books: Vec::new(), unregistered };
    let mut changed = Vec::new();
    for (plan, done) in books {
        let mut done = done.named(options);
        if let Some(id) = done.migration_id {
            let bytes = Utf8(plan.book.as_str().as_bytes());
            done.set_aside = aside::set_aside(transaction, (bytes, plan.kept.seq), id, options)?;
            tables::forget_ids(transaction, &plan.book)?;
            changed.push(plan);
        }
        repair.books.push(done);
    }
    // Ids are unique in the whole ledger: none is written before all that are wrong are gone.
    for plan in &changed {
        tables::make_anew(transaction, plan)?;
    }
    if !strays.is_empty() {
        let mut done = BookRepair::of_no_book(strays).named(options);
        for name in &nameless {
            if let Some(id) = done.migration_id {
                done.set_aside.extend(aside::set_aside(transaction, (Utf8(name), Seq::START), id, options)?);
            }
        }
        tables::remove_strays(transaction)?;
        repair.books.push(done);
    }
    for event in repair.books.iter().filter_map(|done| done.event(options)) {
        crate::integrity::insert_event(transaction, &event)?;
    }
    Ok(repair)
}

/// The events of a book through the last that is kept, which are whole.
fn kept(connection: &Connection, plan: &BookPlan) -> Result<Vec<store_core::ledger::Event>> {
    let count = usize::try_from(plan.last().seq.0).unwrap_or(usize::MAX);
    Ok(read::events(connection, &plan.book, Seq(1), count)?.map_err(|error| StoreError::backend(error.to_string()))?)
}

/// An asset as two columns say it, if they can.
fn asset_of(name: &str, precision: i64) -> Option<Asset> {
    Some(Asset { id: name.parse().ok()?, precision: u8::try_from(precision).ok()? })
}
