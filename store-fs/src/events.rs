//! What happened to a store's bytes: `migrations.jsonl`, where recovery, repairs and migrations write what they did.
//!
//! It is a record log like any other. An event that has to be recorded and cannot be fails the call that caused it.

use std::sync::Arc;

use store_core::{Result, SegmentId, Seq, StoreError, TimestampMs, call};

use crate::disk::Disk;
use crate::layout::Layout;
use crate::logs::{LogKey, Logs, Purpose};
use crate::record_log::NewLine;
use crate::store::FsStore;

pub use store_core::integrity::{Event, EventKind, Outcome};

/// Writes events. It has the log open for itself, so that recovering another log can record what it did.
#[derive(Debug)]
pub(crate) struct Events {
    logs: Logs,
    now: TimestampMs,
}

impl Events {
    pub(crate) fn new(disk: Arc<dyn Disk>, layout: Layout, now: TimestampMs) -> Self {
        Self { logs: Logs::new(disk, layout, true, 1, None), now }
    }

    /// Appends an event and returns when it is on stable storage.
    pub(crate) fn record(&self, what: EventKind) -> Result<()> {
        self.append(&Event::done(self.now, what))
    }

    /// The same, of one that says itself when it was.
    pub(crate) fn append(&self, event: &Event) -> Result<()> {
        let text = serde_json::to_string(event).map_err(StoreError::backend)?;
        call::check_size(text.len() as u64, call::ENTRY_BYTES_MAX)?;
        let recorded = self.logs.on(LogKey::Migrations, Purpose::Create, |log| {
            let written = log.with_lock(|log| {
                log.write(&[NewLine { key: None, text: text.as_bytes() }])?;
                Ok(log.seq())
            })?;
            let Some(seq) = written else { return Ok(None) };
            log.sync_through(seq).map(Some)
        })?;
        recorded.ok_or_else(|| StoreError::backend("the store's folder is gone"))
    }
}

/// What a power loss left of a log's end: a line that breaks into zeros, and everything behind it. Readers stop before
/// it; the next writer takes it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The last entry that is read.
    pub after: Seq,
    /// In which part of the log it is: always the newest.
    pub part: u32,
    /// Where in the part it starts.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

impl FsStore {
    /// What was done to the store's bytes, in order. As [`Integrity::events`](store_core::integrity::Integrity::events).
    ///
    /// # Errors
    /// `Corrupt` if the record itself is damaged; those of the medium.
    pub fn events(&self) -> Result<Vec<Event>> {
        let texts = self.read_side_texts(LogKey::Migrations)?;
        texts.iter().map(|text| parse(text)).collect()
    }

    /// The hole that a power loss left in a segment's log and that no writer has taken out yet. Those that were
    /// taken out stand in [`Integrity::events`](store_core::integrity::Integrity::events).
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`; those of the medium.
    pub fn hole(&self, session: store_core::SessionId, segment: SegmentId) -> Result<Option<Hole>> {
        self.read_segment(session, segment, |view| {
            let end = view.end()?;
            let (part, offset) = (view.part(), end.bytes);
            Ok(end.hole.then(|| Hole { after: end.seq, part, offset, bytes: view.bytes - offset }))
        })
    }
}

fn parse(text: &str) -> Result<Event> {
    Event::from_text(text).map_err(|error| crate::error::corrupt(None, 0, None, format!("not an event: {error}")))
}
