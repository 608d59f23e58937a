//! The writer for runtimes.

mod access;
mod fault;
mod foreign;
mod gate;
mod keys;
mod ledger;
mod model;
mod processes;
mod room;

use std::sync::Arc;

use session_store::{Clock, Landed, SegmentLocation, SegmentState, SessionWriter, WriterOptions, lineage};
use store_core::{Backend, LogEntry, SegmentOrigin, Store};

use crate::common::NOW;

/// Options of a writer whose clock stands still.
fn options() -> WriterOptions {
    WriterOptions::new("the writer", Clock::new(|| NOW))
}

/// A writer at the end of a segment.
fn writer_at(store: &Arc<dyn Backend>, at: SegmentLocation, options: WriterOptions) -> SessionWriter {
    let state = SegmentState::open(&**store, at).unwrap();
    SessionWriter::start(Arc::clone(store), state, options).unwrap()
}

/// What stands at a place.
fn entry_at(store: &dyn Store, landed: Landed) -> LogEntry {
    let Landed { location, position } = landed;
    let before = store_core::Seq(position.seq.0 - 1);
    let record = store.read_range(location.session_id, location.segment_id, before, 1).unwrap().remove(0);
    assert_eq!(record.position, position);
    record.entry
}

/// The texts of the prompts of a segment's branch, from its root.
fn prompts(store: &dyn Store, at: SegmentLocation) -> Vec<String> {
    let parts = lineage::load(store, at.session_id, at.segment_id).unwrap();
    let entries = parts.into_iter().flat_map(|part| part.entries);
    entries.filter_map(|entry| text_of(&entry)).collect()
}

/// The text of a prompt.
fn text_of(entry: &LogEntry) -> Option<String> {
    match entry {
        LogEntry::UserInput(input) => input.content.first()?.as_text().map(str::to_owned),
        _ => None,
    }
}

/// What a segment continues.
fn origin_of(store: &dyn Store, at: SegmentLocation) -> SegmentOrigin {
    *lineage(store, at.session_id, at.segment_id).unwrap().last().unwrap().start.origin().unwrap()
}
