//! Saving what a store still holds that cannot be opened any more.

use serde::Serialize;
use store_core::integrity::Lost;
use store_core::ledger::BookName;
use store_core::{SegmentId, Seq, SessionId, StoreError, TimestampMs};

use super::{schemes, sqlite, unknown};
use crate::error::{Result, SessionError};

/// What was saved of a store that could not be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Salvaged {
    /// How many sessions the new store has.
    pub sessions: u64,
    /// How many segments the new store has.
    pub segments: u64,
    /// How many entries were saved.
    pub entries: u64,
    /// How many blobs were saved.
    pub blobs: u64,
    /// The entries that were not.
    pub lost: Vec<SalvageLoss>,
    /// Segments of which too little was found to make a log of it.
    pub segments_lost: Vec<SegmentId>,
    /// Segments whose session nobody knows any more: each is in one of its own.
    pub without_session: Vec<SegmentId>,
    /// The blobs of which only pieces were found.
    pub blobs_lost: Vec<String>,
    /// How many facts, traces, checkpoints and events were not saved.
    pub beside_lost: u64,
    /// How many books of the ledger the new store has.
    pub ledger_books: u64,
    /// How many events of the ledger were saved.
    pub ledger_events: u64,
    /// The events of the ledger that were not.
    pub ledger_lost: Vec<SalvageLedgerLoss>,
}

impl Salvaged {
    /// Whether nothing was lost.
    pub fn is_whole(&self) -> bool {
        let nothing_lost = self.lost.is_empty() && self.segments_lost.is_empty() && self.blobs_lost.is_empty();
        nothing_lost && self.without_session.is_empty() && self.beside_lost == 0 && self.ledger_lost.is_empty()
    }
}

/// What a segment lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SalvageLoss {
    /// The session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The seqs whose entries are lost, in order.
    pub lost: Vec<Lost>,
}

/// What a book of the ledger lost: everything from an event on, because a book has no gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SalvageLedgerLoss {
    /// The book.
    pub book: BookName,
    /// The first event that is lost.
    pub from: Seq,
    /// The last one that anything tells of.
    pub through: Seq,
}

/// What is put right of a store that cannot be opened where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderRepaired {
    /// What the store says now of the time when it was made, in milliseconds since the epoch: the one thing that was lost.
    pub created_at: TimestampMs,
    /// Where the old bytes are kept, relative to the store; `null` if nothing was done.
    pub kept: Option<String>,
}

/// Puts right what says that a store is one, where that is damaged and everything else says so; `None` if there is nothing of the kind to put right.
///
/// # Errors
/// `BadUrl`; what the backend fails with: `Locked`, `UnsupportedVersion`, `NotAStore`.
pub fn repair_header(url: &str, now: TimestampMs, dry_run: bool) -> Result<Option<HeaderRepaired>> {
    let Some(("fs", folder)) = url.split_once(':') else { return Ok(None) };
    super::fs::repair_header(folder, now, dry_run)
}

/// Makes a new store at the URL `into` of everything valid that the one at `url` still holds, also where it cannot be opened. The source is not changed.
///
/// Only a database can be damaged so that a conversation cannot be repaired where it is; a filesystem store has a file for each.
///
/// # Errors
/// `BadUrl`, `UnknownScheme`; `Unsupported` unless both are databases; what the backend fails with, and `Io` of kind `AlreadyExists` if something is at `into`.
pub fn salvage_into(url: &str, into: &str, now: TimestampMs) -> Result<Salvaged> {
    let location = |url: &str| -> Result<String> {
        let bad = |detail: &str| SessionError::BadUrl { url: url.to_owned(), detail: detail.to_owned() };
        let (scheme, location) = url.split_once(':').ok_or_else(|| bad("it wants the form scheme:location"))?;
        match scheme {
            "sqlite" if location.is_empty() => Err(bad("it wants a path behind the colon")),
            "sqlite" => Ok(location.to_owned()),
            scheme if schemes().iter().any(|known| known == scheme) => {
                Err(StoreError::Unsupported { what: "salvaging what is no database" }.into())
            }
            scheme => Err(unknown(scheme, None)),
        }
    };
    sqlite::salvage(&location(url)?, &location(into)?, now)
}
