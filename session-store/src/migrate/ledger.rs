//! Copying a ledger: the same events, at the same seqs and times, read back and compared.
//!
//! As with conversations the target says how far a copy came: what stands there is held against the source by the target itself, and only what is behind it is new. So a copy can be cut off anywhere
//! and made again. A book that the target has otherwise is left as it is: books are never merged, because their seqs and times would no longer be the ones that were told.
//! The reserved book is the exception, because all that follows from it is which assets there are: a target that registered its own has them at other times, and only what it lacks is registered.

use std::ops::ControlFlow;

use serde::Serialize;
use store_core::Seq;
use store_core::ledger::{Asset, BookName, Event, Ledger, LedgerError, LedgerFindingKind, verify_ledger};

use super::MigrateFailureKind;
use crate::error::{Result, SessionError};

/// How many events go at once.
const EVENTS_AT_ONCE: usize = 500;

/// A book that is not in the target as it is in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookFailure {
    /// The book.
    pub book: BookName,
    /// Why, for a program.
    pub kind: MigrateFailureKind,
    /// Why, for a person.
    pub message: String,
}

/// What copying a ledger did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerMigrated {
    /// How many books the source has, the reserved one included.
    pub books: u64,
    /// How many events of them were read.
    pub events: u64,
    /// The events that were copied.
    pub new_events: u64,
    /// The books of which something was copied, and all is there now.
    pub migrated: u64,
    /// The books that were there already.
    pub already: u64,
    /// The books that could not be copied.
    pub failed: u64,
    /// Whether everything that this copy came to was read back as the source has it, and the target's ledger proves itself; `true` if nothing was written.
    pub verified: bool,
    /// What could not be copied.
    pub failures: Vec<BookFailure>,
    /// Nothing was written.
    pub dry_run: bool,
    /// Somebody said stop: the same again goes on from there.
    pub stopped: bool,
}

/// Copies the books of `source` into `target`; with `dry_run` it says what would be copied, and `target` may be `None` for one that is not there yet.
///
/// A book that the target has already stays, one whose beginning it has is gone on with, one that it has otherwise is a failure and is left alone. Of the reserved book it is enough that the target
/// counts each asset alike. A book that the source holds and no longer names is a failure (`Damaged`) too. `progress` is told how many events were looked at after each
/// few, and may say stop.
///
/// # Errors
/// What either ledger fails with as a whole, such as `ReadOnly` or `BookClosed`. What fails one book is an answer.
pub fn migrate_ledger(
    source: &dyn Ledger,
    target: Option<&dyn Ledger>,
    dry_run: bool,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<LedgerMigrated> {
    let mut copy = Copy {
        source,
        target,
        progress,
        visited: Vec::new(),
        report: LedgerMigrated { dry_run, verified: true, ..LedgerMigrated::default() },
    };
    let system = BookName::system();
    let mut books = source.list_books()?;
    // What accounts count is registered there.
    books.sort_by_key(|book| *book != system);
    copy.report.books = books.len() as u64;
    copy.unnamed(&books)?;
    for book in &books {
        if copy.report.stopped {
            break;
        }
        copy.book(book)?;
    }
    if copy.report.new_events > 0 && !dry_run {
        copy.prove()?;
    }
    Ok(copy.report)
}

struct Copy<'a> {
    source: &'a dyn Ledger,
    target: Option<&'a dyn Ledger>,
    progress: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
    /// The books of which everything through an event is in the target.
    visited: Vec<(BookName, Seq)>,
    report: LedgerMigrated,
}

impl Copy<'_> {
    /// What the source holds of books that it does not name would be left behind without a word.
    fn unnamed(&mut self, named: &[BookName]) -> Result<()> {
        for finding in self.source.examine()? {
            let book = finding.book.unwrap_or_else(BookName::system);
            if finding.kind != LedgerFindingKind::Projection && !named.contains(&book) {
                self.fail(&book, MigrateFailureKind::Damaged, finding.detail);
            }
        }
        Ok(())
    }

    fn book(&mut self, book: &BookName) -> Result<()> {
        if !book.is_reserved() && !self.counts_alike()? {
            let message = "the target counts an asset otherwise, or does not know it".to_owned();
            self.fail(book, MigrateFailureKind::Ancestor, message);
            return Ok(());
        }
        let (mut next, mut new, mut through) = (Seq(1), 0, Seq::START);
        loop {
            let events = match self.source.read_events(book, next, EVENTS_AT_ONCE) {
                Ok(events) => events,
                Err(error @ LedgerError::Damaged { .. }) => {
                    self.fail(book, MigrateFailureKind::Damaged, error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let Some(last) = events.last() else { break };
            next = last.seq.next();
            match self.put(book, &events) {
                Ok(count) => new += count,
                Err(LedgerError::Unfit { .. }) if book.is_reserved() && self.is_alike_or_missing()? => {
                    self.report.events += self.source.list_assets()?.len() as u64;
                    self.report.events -= events.first().map_or(0, |first| first.seq.0 - 1);
                    new += self.register_missing()?;
                    break;
                }
                Err(error @ LedgerError::Unfit { .. }) => {
                    let kind = self.kind_of(book, &error)?;
                    self.fail(book, kind, error.to_string());
                    return Ok(());
                }
                Err(error @ LedgerError::Damaged { .. }) => {
                    self.fail(book, MigrateFailureKind::Refused, format!("in the target: {error}"));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
            self.report.events += events.len() as u64;
            through = last.seq;
            if (self.progress)(self.report.events).is_break() {
                self.report.stopped = true;
                break;
            }
        }
        self.visited.push((book.clone(), through));
        self.report.new_events += new;
        if !self.report.stopped {
            *(if new > 0 { &mut self.report.migrated } else { &mut self.report.already }) += 1;
        }
        Ok(())
    }

    fn fail(&mut self, book: &BookName, kind: MigrateFailureKind, message: String) {
        self.report.failed += 1;
        self.report.failures.push(BookFailure { book: book.clone(), kind, message });
    }

    /// Whether every asset of the source has the same precision in the target. A dry run has copied none, and an empty target will have them all.
    fn counts_alike(&self) -> Result<bool> {
        let Some(target) = self.target else { return Ok(true) };
        let known = target.list_assets()?;
        let assets = self.source.list_assets()?;
        let is_other = |asset| !known.contains(asset);
        let is_registered = self.report.failures.iter().all(|failure| !failure.book.is_reserved());
        Ok(!assets.iter().any(is_other) || (self.report.dry_run && is_registered))
    }

    /// Whether the target has no asset of the source with another precision.
    fn is_alike_or_missing(&self) -> Result<bool> {
        let Some(target) = self.target else { return Ok(true) };
        let known = target.list_assets()?;
        let is_other = |asset: &Asset| known.iter().any(|one| one.id == asset.id && one != asset);
        Ok(!self.source.list_assets()?.iter().any(is_other))
    }

    /// Registers the assets that the target does not have, at its own time; a dry run counts them.
    fn register_missing(&self) -> Result<u64> {
        let Some(target) = self.target else { return Ok(0) };
        let known = target.list_assets()?;
        let missing: Vec<Asset> =
            self.source.list_assets()?.into_iter().filter(|asset| !known.contains(asset)).collect();
        for asset in missing.iter().filter(|_| !self.report.dry_run) {
            target.register_asset(asset)?;
        }
        Ok(missing.len() as u64)
    }

    /// Takes events over; a dry run looks which are new.
    fn put(&self, book: &BookName, events: &[Event]) -> Result<u64, LedgerError> {
        let Some(target) = self.target else { return Ok(events.len() as u64) };
        if !self.report.dry_run {
            return target.adopt_events(book, events);
        }
        let Some(first) = events.first() else { return Ok(0) };
        let there = target.read_events(book, first.seq, events.len())?;
        match events.iter().zip(&there).find(|(event, there)| event != there) {
            Some((event, _)) => Err(LedgerError::Unfit {
                book: book.clone(),
                seq: event.seq,
                detail: "another event stands there".to_owned(),
            }),
            None => Ok((events.len() - there.len()) as u64),
        }
    }

    fn kind_of(&self, book: &BookName, error: &LedgerError) -> Result<MigrateFailureKind> {
        let (Some(target), LedgerError::Unfit { seq, .. }) = (self.target, error) else {
            return Ok(MigrateFailureKind::Refused);
        };
        let stands = !target.read_events(book, *seq, 1)?.is_empty();
        Ok(if stands { MigrateFailureKind::Differs } else { MigrateFailureKind::Refused })
    }

    /// Reads back what was copied, and has the target prove itself.
    fn prove(&mut self) -> Result<()> {
        let Some(target) = self.target else { return Ok(()) };
        for (book, through) in std::mem::take(&mut self.visited) {
            self.report.verified &= match self.stands_in(target, &book, through) {
                Err(SessionError::Ledger(LedgerError::Damaged { .. })) => false,
                stands => stands?,
            };
        }
        self.report.verified &= self.counts_alike()? && verify_ledger(target)?.ok;
        Ok(())
    }

    /// Whether the target has each event of a book through one of them as the source has it. What the source has got since then is for the next time.
    fn stands_in(&self, target: &dyn Ledger, book: &BookName, through: Seq) -> Result<bool> {
        let mut next = Seq(1);
        while next <= through {
            let here = self.source.read_events(book, next, EVENTS_AT_ONCE)?;
            let Some(last) = here.last() else { return Ok(false) };
            let there = target.read_events(book, next, here.len())?;
            let is_copied = |event: &&Event| event.seq <= through;
            if !here.iter().take_while(is_copied).eq(there.iter().take_while(is_copied)) {
                return Ok(false);
            }
            next = last.seq.next();
        }
        Ok(true)
    }
}
