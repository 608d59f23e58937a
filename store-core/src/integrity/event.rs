//! What was done to a store's bytes: recovery, rollbacks, repairs, migrations, and who acknowledged what.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::beside::RecordAt;
use super::maintain::{Quarantined, Verification};
use super::repair::Lost;
use crate::chain::ChainHead;
use crate::error::StoreError;
use crate::id::{MigrationId, SegmentId, Seq, SessionId, TimestampMs};
use crate::ledger::LostEvents;

/// How something that was done to a store ended.
// Persisted: never rename a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// It failed, everything is as it was, and it can be tried again.
    RecoverableError,
    /// It failed for good: a person has to look.
    FatalError,
}

impl Outcome {
    /// How something ended that failed with this.
    pub const fn of_error(error: &StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::FatalError,
            _ => Self::RecoverableError,
        }
    }
}

/// Where a segment ends.
// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndState {
    /// Its last entry.
    pub seq: Seq,
    /// The chain's head behind it; `None` where damage stands before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<ChainHead>,
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
    /// A person took note of a hole.
    HoleAcknowledged {
        /// The log, as in the hole's own event.
        log: String,
        /// Where the bytes are kept, as in the hole's own event.
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
    /// A writer wrote a log of an older layout into the present one, before it wrote to it.
    LayoutRewritten {
        /// Names what was done.
        migration_id: MigrationId,
        /// The session.
        session: SessionId,
        /// The segment.
        segment: SegmentId,
        /// The log as it was, relative to the store's root.
        log: String,
        /// Where its bytes are kept, relative to the store's root.
        kept: String,
        /// How many these are.
        bytes: u64,
        /// Where the segment ended before, as far as that was found out.
        before: EndState,
        /// Where it ended after that.
        after: EndState,
        /// What was found when the result was read back; missing where damage stands in both.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verification: Option<Verification>,
    },
    /// A segment was rolled back, or was to be.
    RolledBack {
        /// Names what was done.
        migration_id: MigrationId,
        /// The session.
        session: SessionId,
        /// The segment.
        segment: SegmentId,
        /// The checkpoint's number.
        checkpoint: u64,
        /// Where the segment ended before, as far as that was found out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<EndState>,
        /// Where it ended after that; missing if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<EndState>,
        /// What was found when the result was read back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verification: Option<Verification>,
        /// What was taken out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        quarantined: Vec<Quarantined>,
    },
    /// A segment was repaired, or was to be.
    Repaired {
        /// Names what was done.
        migration_id: MigrationId,
        /// The session.
        session: SessionId,
        /// The segment.
        segment: SegmentId,
        /// Where the segment ended before, as far as that was found out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<EndState>,
        /// Where it ended after that; missing if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<EndState>,
        /// What was found when the result was read back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verification: Option<Verification>,
        /// What was taken out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        quarantined: Vec<Quarantined>,
        /// The seqs whose entries are lost.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lost: Vec<Lost>,
    },
    /// A record beside the logs was repaired.
    RecordRepaired {
        /// Names what was done.
        migration_id: MigrationId,
        /// Which record.
        #[serde(flatten)]
        at: RecordAt,
        /// How many texts were kept.
        kept: u64,
        /// How many are known to be lost.
        lost: u64,
        /// What was taken out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        quarantined: Vec<Quarantined>,
    },
    /// Sessions were copied into this store from another one.
    Migrated {
        /// Names what was done.
        migration_id: MigrationId,
        /// The store they came from, as a URL.
        source: String,
        /// How many sessions were copied.
        sessions: u64,
        /// How many segments were copied.
        segments: u64,
        /// How many entries were copied.
        entries: u64,
        /// What was found when they were read back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verification: Option<Verification>,
    },
    /// A book of the ledger was repaired, or what belongs to no book.
    LedgerRepaired {
        /// Names what was done.
        migration_id: MigrationId,
        /// The book; missing for what belongs to none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        book: Option<String>,
        /// How many events were kept.
        kept: u64,
        /// What was not; missing if every event was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<LostEvents>,
        /// Where the bytes are that were taken out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        set_aside: Vec<Quarantined>,
        /// The assets that were registered again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        registered: Vec<String>,
        /// What beside the events was made anew of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        made_anew: Vec<String>,
    },
    /// Something that this version does not know.
    #[serde(untagged)]
    Other(Value),
}

/// Something that was done to a store, when, and how it ended.
// Persisted: never rename a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When: for what recovery does, the time when the handle was opened; in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// What was done.
    #[serde(flatten)]
    pub what: EventKind,
    /// How it ended.
    pub outcome: Outcome,
    /// The class of the error, if it did not end well: [`StoreError::class`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// What tells the events of one operation from those of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl Event {
    /// Something that ended as it should.
    pub const fn done(ts: TimestampMs, what: EventKind) -> Self {
        Self { ts, what, outcome: Outcome::Ok, error_class: None, correlation_id: None }
    }

    /// The event that a text holds. One of a later version is kept as it is.
    ///
    /// # Errors
    /// The text is not an event.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        crate::json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_later_version_is_kept_as_it_is() {
        let text = r#"{"ts":1,"event":"folded","to":7,"outcome":"recoverable_error","error_class":"io","correlation_id":"c-1"}"#;
        let event = Event::from_text(text).unwrap();
        assert_eq!((event.ts, event.outcome, event.error_class.as_deref()), (1, Outcome::RecoverableError, Some("io")));
        let EventKind::Other(what) = &event.what else { panic!("{event:?}") };
        assert_eq!((&what["event"], &what["to"]), (&"folded".into(), &7.into()));
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
            assert_eq!(serde_json::to_string(&Event::from_text(&text).unwrap()).unwrap(), text);
        }
    }

    fn record_repaired(migration_id: MigrationId, at: RecordAt) -> EventKind {
        let quarantined = vec![Quarantined { part: 1, offset: 3, bytes: 20, path: Some("quarantine/c".to_owned()) }];
        EventKind::RecordRepaired { migration_id, at, kept: 3, lost: 1, quarantined }
    }

    #[test]
    fn the_forms_of_what_is_done_on_purpose_are_the_documented_ones() {
        let migration_id = MigrationId::derive(1, b"m");
        let (session, segment) = (SessionId::derive(1, b"s"), SegmentId::derive(1, b"s"));
        let head = Some(ChainHead::ROOT);
        let verification =
            Some(Verification { entry_count_match: true, hash_chain_match: true, order_consistent: true });
        let quarantined = vec![Quarantined { part: 1, offset: 400, bytes: 100, path: Some("quarantine/a".to_owned()) }];
        let what = [
            EventKind::RolledBack {
                migration_id,
                session,
                segment,
                checkpoint: 1,
                before: Some(EndState { seq: Seq(5), head: None }),
                after: Some(EndState { seq: Seq(3), head }),
                verification,
                quarantined: quarantined.clone(),
            },
            EventKind::Repaired {
                migration_id,
                session,
                segment,
                before: None,
                after: Some(EndState { seq: Seq(5), head }),
                verification,
                quarantined,
                lost: vec![Lost { from: Seq(4), through: Seq(4) }],
            },
            EventKind::Migrated {
                migration_id,
                source: "sqlite:/a.db".to_owned(),
                sessions: 1,
                segments: 2,
                entries: 3,
                verification: None,
            },
            record_repaired(migration_id, RecordAt::traces(session, segment)),
            EventKind::HoleAcknowledged { log: "facts.jsonl".to_owned(), kept: "quarantine/b".to_owned() },
            EventKind::LayoutRewritten {
                migration_id,
                session,
                segment,
                log: "a.jsonl".to_owned(),
                kept: "a/quarantine/a.jsonl.0.1".to_owned(),
                bytes: 400,
                before: EndState { seq: Seq(5), head },
                after: EndState { seq: Seq(5), head },
                verification,
            },
            EventKind::LedgerRepaired {
                migration_id,
                book: Some("home".to_owned()),
                kept: 3,
                lost: Some(LostEvents { from: Seq(4), lines: 2, detail: "a bit was flipped".to_owned() }),
                set_aside: vec![Quarantined { part: 1, offset: 0, bytes: 100, path: Some("ledger/a".to_owned()) }],
                registered: vec!["EUR".to_owned()],
                made_anew: vec!["the keys".to_owned()],
            },
        ];
        let texts = what.map(|what| serde_json::to_string(&Event::done(1, what)).unwrap());
        insta::assert_snapshot!(texts.join("\n"));
        for text in texts {
            let event = Event::from_text(&text).unwrap();
            assert!(!matches!(event.what, EventKind::Other(_)), "{event:?}");
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }
}
