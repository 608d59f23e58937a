//! Feeding the usage books from the index, and reading them beside it.
//!
//! Recording a conversation never touches the ledger: whoever holds it says what the index knows and the books do not. The index remembers how far it has read each book and which sessions changed since
//! the books were told ([`Index`]), so that a feed costs what is new, and nothing is asked for each use. That is a cursor that may be lost: the books themselves say what they were told, and so a new index, another price, or another
//! process that feeds at the same time ends in the same books.
//!
//! What was spent stays spent: the books keep a request whose conversation was purged or rolled back, and the index passes it on ([`known_uses`]).

use std::collections::BTreeMap;

use store_core::SessionId;
use store_core::ledger::Ledger;

use super::PricedUse;
use super::post::{Known, Posted, bring_in_step};
use super::prices::PriceTable;
use super::standing::{Line, Standing, is_usage_book, line_of};
use crate::error::{Result, SessionError};
use crate::index::{ArchivedFilter, BookCursor, Index, KindFilter, ListQuery, Verdict};

/// How many events of a book are read at once.
const EVENTS_MAX: usize = 4096;

/// Whether [`feed`] may have anything to tell the books, by what the index was last refreshed to. Asks the index alone.
///
/// # Errors
/// `Index`.
pub fn is_unfed(index: &Index, prices: &PriceTable) -> Result<bool> {
    index.is_unfed(&prices.fingerprint())
}

/// Whether the index knows what the books say: a new one does not before they are [followed](follow) or fed. Asks the index alone.
///
/// # Errors
/// `Index`.
pub fn is_followed(index: &Index) -> Result<bool> {
    index.knows_books()
}

/// Sees to it that the books say what the index knows, as of its last refresh. Costs what changed since they were last fed.
///
/// # Errors
/// Those of the ledger: `Ledger` with `ReadOnly` for one that was opened to read. `Busy`; `Index`. What was posted by then stays, and feeding again goes on from there.
pub fn feed(index: &Index, ledger: &dyn Ledger, prices: &PriceTable) -> Result<Posted> {
    feed_with(index, ledger, prices, &mut |_, _| {})
}

/// As [`feed`], and tells again and again how many uses are done, and of how many.
///
/// # Errors
/// As [`feed`].
pub fn feed_with(
    index: &Index,
    ledger: &dyn Ledger,
    prices: &PriceTable,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Posted> {
    follow(index, ledger)?;
    let fingerprint = prices.fingerprint();
    let due = index.due(&fingerprint)?;
    let all = due.uses.len() as u64;
    let posted = bring_in_step(ledger, prices, &due.uses, &mut InIndex(index), &mut |done| progress(done, all))?;
    index.put_fed(&due, &fingerprint)?;
    Ok(posted)
}

/// Takes in what the books say, for who only reads them.
///
/// # Errors
/// Those of the ledger; `Busy`; `Index`.
pub fn follow(index: &Index, ledger: &dyn Ledger) -> Result<()> {
    // Books that are not those that were read before are read from their beginning, once.
    if !read_on(index, ledger)? {
        index.forget_books()?;
        read_on(index, ledger)?;
    }
    Ok(())
}

/// Reads each book on from where it was read before; `false` if another one stands there.
fn read_on(index: &Index, ledger: &dyn Ledger) -> Result<bool> {
    let mut cursors = index.book_cursors()?;
    for book in ledger.list_books()?.into_iter().filter(is_usage_book) {
        let mut cursor = cursors.remove(&book);
        loop {
            let from = cursor.as_ref().map_or(store_core::Seq::START, |cursor| cursor.seq);
            let events = ledger.read_events(&book, from, EVENTS_MAX)?;
            let new = match (&cursor, events.split_first()) {
                (Some(cursor), Some((known, new))) if BookCursor::behind(known) == *cursor => new,
                (Some(_), _) => return Ok(false),
                (None, _) => events.as_slice(),
            };
            let Some(last) = new.last() else { break };
            let lines: Vec<Line> = new.iter().filter_map(line_of).collect();
            let through = BookCursor::behind(last);
            index.take_in(&book, cursor.as_ref(), &lines, &through)?;
            cursor = Some(through);
        }
    }
    // What is left was read once, and is not there any more.
    Ok(cursors.is_empty())
}

/// The books as the index knows them.
struct InIndex<'a>(&'a Index);

impl Known for InIndex<'_> {
    type Error = SessionError;

    fn follow(&mut self, ledger: &dyn Ledger) -> Result<()> {
        follow(self.0, ledger)
    }

    fn standing(&mut self, request: &str) -> Result<Standing> {
        self.0.standing(request)
    }
}

/// Reads the books anew, from their beginning, and has the next [`feed`] hold every use against them: for who changed them otherwise.
///
/// # Errors
/// As [`follow`].
pub fn reread(index: &Index, ledger: &dyn Ledger) -> Result<()> {
    index.forget_books()?;
    follow(index, ledger)
}

/// What each session continues or repeats of requests that others own, once each, with what it cost; as far as the index was refreshed.
///
/// # Errors
/// `Index`.
pub fn inherited_uses(index: &Index, prices: &PriceTable) -> Result<BTreeMap<SessionId, Vec<PricedUse>>> {
    let all = ListQuery {
        kind: KindFilter::All,
        archived: ArchivedFilter::All,
        trashed: ArchivedFilter::All,
        limit: None,
        ..ListQuery::default()
    };
    let mut inherited = BTreeMap::new();
    for row in index.list(&all)?.rows {
        let mut of_session: BTreeMap<String, PricedUse> = BTreeMap::new();
        for record in index.explain_usage(row.session_id, None)? {
            if record.verdict == Verdict::Inherited {
                let request = record.request.clone();
                of_session.entry(request).or_insert_with(|| PricedUse::of(record.into_use(), prices));
            }
        }
        if !of_session.is_empty() {
            inherited.insert(row.session_id, of_session.into_values().collect());
        }
    }
    Ok(inherited)
}

/// Every request that is known, once, with what it cost: those of the logs by these prices, and those that only the books know any more as they stand there. As far as the index was refreshed and the books were
/// followed.
///
/// # Errors
/// `Index`.
pub fn known_uses(index: &Index, prices: &PriceTable) -> Result<Vec<PricedUse>> {
    let mut known: Vec<PricedUse> = index.uses()?.into_iter().map(|one| PricedUse::of(one, prices)).collect();
    known.extend(index.booked_alone()?.iter().filter_map(|(request, standing)| standing.to_use(request)));
    Ok(known)
}
