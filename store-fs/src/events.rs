//! What happened to a store's bytes: `migrations.jsonl`, where recovery, repairs and migrations write what they did.
//!
//! It is a record log like any other. An event that has to be recorded and cannot be fails the call that caused it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Result, SegmentId, Seq, StoreError, TimestampMs};

use crate::disk::Disk;
use crate::layout::Layout;
use crate::logs::{LogKey, Logs, Purpose};
use crate::record_log::NewLine;
use crate::store::FsStore;

/// How something that was done to a store ended.
// Persisted: never rename a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// It failed and can be tried again.
    RecoverableError,
    /// It failed for good.
    FatalError,
}

/// What was done to a store.
// Persisted: never rename a variant or a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A writer took out what a power loss had left of a log's end.
    HoleTakenOut {
        /// The log, relative to the store's root.
        log: String,
        /// The segment, if it is a segment's log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        segment: Option<SegmentId>,
        /// The last entry that is left.
        after: Seq,
        /// Where in the log the bytes stood that were taken out.
        offset: u64,
        /// How many they were.
        bytes: u64,
        /// Where they are kept, relative to the store's root.
        kept: String,
    },
    /// A writer wrote a log into a new file because a sync of the old one had failed.
    LogRewritten {
        /// The log, relative to the store's root.
        log: String,
        /// The segment, if it is a segment's log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        segment: Option<SegmentId>,
        /// How many entries the new file has.
        entries: u64,
        /// How many bytes the new file has.
        bytes: u64,
    },
    /// Something that this version does not know.
    #[serde(untagged)]
    Other(Value),
}

/// An event in `migrations.jsonl`.
// Persisted: never rename a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When the handle was opened that did it, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// What was done.
    #[serde(flatten)]
    pub what: EventKind,
    /// How it ended.
    pub outcome: Outcome,
    /// The kind of error, if it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// What tells the events of one operation from those of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

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
        let event = Event { ts: self.now, what, outcome: Outcome::Ok, error_class: None, correlation_id: None };
        let text = serde_json::to_string(&event).map_err(StoreError::backend)?;
        let recorded = self.logs.on(LogKey::Migrations, Purpose::Create, |log| {
            let written = log.with_lock(|log| {
                log.write(&[NewLine { key: None, text: &text }])?;
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
    /// What was done to the store's bytes, in order: holes that were taken out, logs that were rewritten.
    ///
    /// # Errors
    /// `Corrupt` if the record itself is damaged; those of the medium.
    pub fn events(&self) -> Result<Vec<Event>> {
        let texts = self.read_side_texts(LogKey::Migrations)?;
        texts.iter().map(|text| parse(text)).collect()
    }

    /// The hole that a power loss left in a segment's log and that no writer has taken out yet. Those that were
    /// taken out stand in [`events`](Self::events).
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
    store_core::json::from_str(text)
        .map_err(|error| crate::error::corrupt(None, 0, None, format!("not an event: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_later_version_is_kept_as_it_is() {
        let text = r#"{"ts":1,"event":"rolled_back","to":7,"outcome":"recoverable_error","error_class":"io","correlation_id":"c-1"}"#;
        let event = parse(text).unwrap();
        assert_eq!((event.ts, event.outcome, event.error_class.as_deref()), (1, Outcome::RecoverableError, Some("io")));
        let EventKind::Other(what) = &event.what else { panic!("{event:?}") };
        assert_eq!((&what["event"], &what["to"]), (&"rolled_back".into(), &7.into()));
    }

    #[test]
    fn the_forms_of_events_are_the_documented_ones() {
        let what = [
            EventKind::HoleTakenOut {
                log: "facts.jsonl".to_owned(),
                segment: None,
                after: Seq(4),
                offset: 400,
                bytes: 100,
                kept: "quarantine/facts.jsonl.400.1".to_owned(),
            },
            EventKind::LogRewritten { log: "facts.jsonl".to_owned(), segment: None, entries: 4, bytes: 400 },
        ];
        let event = |what| Event { ts: 1, what, outcome: Outcome::Ok, error_class: None, correlation_id: None };
        let texts = what.map(|what| serde_json::to_string(&event(what)).unwrap());
        assert_eq!(
            texts,
            [
                r#"{"ts":1,"event":"hole_taken_out","log":"facts.jsonl","after":4,"offset":400,"bytes":100,"kept":"quarantine/facts.jsonl.400.1","outcome":"ok"}"#,
                r#"{"ts":1,"event":"log_rewritten","log":"facts.jsonl","entries":4,"bytes":400,"outcome":"ok"}"#,
            ]
        );
        for text in texts {
            assert_eq!(serde_json::to_string(&parse(&text).unwrap()).unwrap(), text);
        }
    }
}
