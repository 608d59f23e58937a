//! An entry on its way into a segment.

use store_core::call::ENTRY_BYTES_MAX;
use store_core::json::DEPTH_MAX;
use store_core::{BlobGuard, LogEntry, NewEntry, Record, Serialized, Store, StoreError, TimestampMs};

use crate::blob;
use crate::error::Result;
use crate::import::claude::OUTPUT_DOMAIN;

/// An entry on its way.
#[derive(Debug)]
pub(super) struct Pending {
    entry: Serialized,
    pub(super) key: String,
    pub(super) line: u64,
    pub(super) ts: TimestampMs,
    #[expect(dead_code, reason = "held until the append that refers to the blobs has returned")]
    guards: Vec<BlobGuard>,
}

impl Pending {
    /// Makes an entry ready: its large parts are in the store.
    pub(super) fn new(store: &dyn Store, entry: LogEntry, key: String, line: u64, ts: TimestampMs) -> Result<Self> {
        let (entry, guards) = blob::externalize(store, entry)?;
        let entry = Serialized::new(entry).map_err(StoreError::backend)?;
        Ok(Self { entry, key, line, ts, guards })
    }

    /// Why no store takes the entry.
    pub(super) fn problem(&self) -> Option<String> {
        if self.bytes() as u64 > ENTRY_BYTES_MAX {
            return Some(format!("an entry of {} bytes is too large to be stored and was left out", self.bytes()));
        }
        self.entry
            .is_too_deep()
            .then(|| format!("an entry nested deeper than {DEPTH_MAX} cannot be stored and was left out"))
    }

    /// The entry as it is stored.
    pub(super) fn entry(&self) -> &LogEntry {
        self.entry.entry()
    }

    /// How many bytes its text has.
    pub(super) fn bytes(&self) -> usize {
        self.entry.text().len()
    }

    /// Whether the entry stands in the store.
    pub(super) fn is(&self, record: &Record) -> bool {
        record.key.as_deref() == Some(&*self.key)
            && (record.text == self.entry.text() || is_alike(&record.entry, self.entry()))
    }
}

/// Whether two entries of one key may differ: a file may have moved since its segment began, and an output that lay beside
/// it may have come or gone.
fn is_alike(stored: &LogEntry, new: &LogEntry) -> bool {
    match (stored, new) {
        (LogEntry::SegmentStart(stored), LogEntry::SegmentStart(new)) => stored.origin() == new.origin(),
        (LogEntry::Extension(stored), LogEntry::Extension(new)) => {
            stored.domain == OUTPUT_DOMAIN && new.domain == OUTPUT_DOMAIN
        }
        _ => false,
    }
}

/// What the store is given.
pub(super) fn new_entries(pending: &[Pending]) -> Vec<NewEntry> {
    pending.iter().map(|new| NewEntry::serialized(new.entry.clone()).with_key(new.key.clone())).collect()
}
