//! Making a new database of what a damaged one still holds.
//!
//! SQLite reads a row through every page above it, so one bad byte in an inner page hides thousands of good rows. Here every page is taken apart
//! by itself, and a row is believed for its own checksum, which names its log and its place. The decision that follows: nothing in the source
//! is trusted as a whole, and what has no checksum (which session a segment belongs to, how long it was) is a hint that is used where
//! no valid row says it. The price is a reader of SQLite's file format, some three hundred lines, and that the whole file is read twice.
//!
//! The pages of deleted rows lie in the file, too. A row is *live* on a page that is not free; on one that is, it counts only for a live segment, within its count, and where nobody
//! live has its place: a page that a damaged list calls free.

mod btree;
mod find;
mod ledger;
mod pages;
mod rows;
mod write;

use std::path::Path;

use store_core::integrity::{Event, EventKind, Lost};
use store_core::ledger::BookName;
use store_core::{Durability, MigrationId, Result, SegmentId, Seq, SessionId, StoreError, TimestampMs};

use self::find::Finds;
use self::pages::Pages;
use self::write::Writing;
use crate::disk::Place;
use crate::integrity;
use crate::store::SqliteStore;
use crate::store_lock::StoreLock;

/// What was saved, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseSalvage {
    /// How many pages the source has, the log's included.
    pub pages: u64,
    /// Pages that the medium did not give.
    pub unreadable_pages: Vec<u32>,
    /// Whether the write-ahead log goes on behind a frame that is damaged: what was committed from there on is lost.
    pub log_is_cut: bool,
    /// Rows that were found and whose checksum does not hold.
    pub damaged_rows: u64,
    /// How many sessions the new database has.
    pub sessions: u64,
    /// How many segments the new database has.
    pub segments: u64,
    /// How many entries were saved.
    pub entries: u64,
    /// The segments that lost entries, each with the seqs that are lost.
    pub lost: Vec<LostEntries>,
    /// Segments of which so few entries were found, so far apart, that no log was made of them.
    pub segments_lost: Vec<SegmentId>,
    /// Segments whose first entry and whose row were lost, so that nobody knows their session: each is in a session of its own, of the same id.
    pub without_session: Vec<SegmentId>,
    /// How many facts, traces, checkpoints (as lines of their record) and events were saved.
    pub side_rows: u64,
    /// How many of these are missing between others or were left out, because nothing is left that they belong to.
    pub side_rows_lost: u64,
    /// How many blobs were saved.
    pub blobs: u64,
    /// The blobs of which only pieces were found.
    pub blobs_lost: Vec<String>,
    /// How many books of the ledger have events.
    pub ledger_books: u64,
    /// How many events of the ledger were saved.
    pub ledger_events: u64,
    /// The books that lost events.
    pub ledger_lost: Vec<LostEvents>,
}

/// The events that a book lost. Nothing behind the first of them is saved: a book is gapless, and its balances are those of whole histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEvents {
    /// The book.
    pub book: BookName,
    /// The first event that is lost.
    pub from: Seq,
    /// The last event that anything tells of.
    pub through: Seq,
}

/// The seqs of a segment whose entries are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEntries {
    /// The session.
    pub session: SessionId,
    /// The segment.
    pub segment: SegmentId,
    /// The seqs, in order.
    pub seqs: Vec<Lost>,
}

/// Makes a new database at `target` of everything valid that the one at `source` holds: every entry whose checksum holds with its seq and key, facts, traces,
/// checkpoints, events, quarantine, blobs whose bytes are true, and of each book of the ledger the events up to the first that is lost. Where entries are lost their segment says so
/// ([`LOST_DOMAIN`](store_core::integrity::LOST_DOMAIN)); a segment that others continue and of which nothing is left is made of such entries alone.
///
/// The source is not changed, and need not be one that SQLite can open; its write-ahead log is read too. The new store has an identity of its own, so cursors of the old
/// one mean everything. It records the salvage as a migration at `now`, in milliseconds since the epoch. If it fails, what was made at `target`
/// is no whole store, and is to be deleted.
///
/// # Errors
/// `NoStore` if nothing is at `source`; `NotAStore` if nothing of ours is found in it; `Locked` if anybody has it open to write; `Io` of kind `AlreadyExists` if something is at
/// `target`; those of the media.
pub fn salvage_database(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    now: TimestampMs,
) -> Result<DatabaseSalvage> {
    let place = Place::resolve(source.as_ref(), false)?;
    let _alone = StoreLock::take_if_there(&place)?;
    let pages = Pages::open(place.path(), &place.beside("-wal"))?;
    let mut salvage = DatabaseSalvage { pages: pages.count.into(), log_is_cut: pages.log_is_cut, ..Default::default() };
    let finds = Finds::look(&pages, &mut salvage);
    if finds.is_empty() {
        let detail = "no row of a store was found in it".to_owned();
        return Err(StoreError::NotAStore { path: pages.path().to_owned(), detail });
    }
    let store = SqliteStore::create(target)?;
    let writer = store.connections().writer()?;
    writer.write_alone(Durability::Synced, |transaction| {
        Writing { transaction, pages: &pages, finds: &finds }.write(&mut salvage)?;
        let what = EventKind::Migrated {
            migration_id: MigrationId::mint(now),
            source: format!("sqlite:{}", pages.path().display()),
            sessions: salvage.sessions,
            segments: salvage.segments,
            entries: salvage.entries,
            verification: None,
        };
        integrity::insert_event(transaction, &Event::done(now, what))
    })?;
    Ok(salvage)
}
