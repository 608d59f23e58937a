//! A record's place, and the steps that stand there.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Extension, Item, LogEntry, SystemItem, TimestampMs};

use super::rest;
use crate::import::fields::storable;
use crate::import::record::{HistoryPart, Parent, Step};

/// The domain under which records are kept that have no form of their own.
// Persisted: never rename or reuse.
const DOMAIN: &str = "import.claude";

/// A record's place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) record: String,
    pub(super) line: u64,
    pub(super) ts: TimestampMs,
}

impl Place {
    /// What the record gives.
    pub(super) fn entries(&self, parent: Parent, entries: Vec<LogEntry>) -> Step {
        let Self { record, line, ts } = self.clone();
        Step::Entries { record, line, ts, parent, entries }
    }

    /// What is left of the record, if anything is.
    pub(super) fn rest(&self, payload: Option<Value>, out: &mut Vec<Step>) {
        if let Some(payload) = payload {
            let Self { record, line, ts } = self.clone();
            out.push(Step::Rest { record, line, ts, domain: rest::DOMAIN, payload });
        }
    }

    /// The turn ends here.
    pub(super) fn end_turn(&self) -> Step {
        let Self { record, line, ts } = self.clone();
        Step::EndTurn { record, line, ts }
    }

    /// The turn fails here.
    pub(super) fn fail(&self, message: String, interrupted: bool) -> Step {
        let Self { record, line, ts } = self.clone();
        Step::Fail { record, line, ts, message, interrupted }
    }

    /// It gives nothing.
    pub(super) const fn skipped(&self) -> Step {
        Step::Skipped { line: self.line }
    }

    /// Something about the record that a person should know.
    pub(super) fn warning(&self, message: &str) -> Step {
        Step::Warning { line: self.line, message: message.to_owned() }
    }

    /// The record as it is.
    pub(super) fn extension(&self, value: Value) -> LogEntry {
        LogEntry::Extension(Extension { ts: self.ts, domain: DOMAIN.to_owned(), payload: storable(value) })
    }

    /// What the program put in.
    pub(super) const fn injected(&self, item: Item) -> LogEntry {
        LogEntry::SystemItem(SystemItem { ts: self.ts, item, injected: true })
    }
}

/// A compaction.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Boundary {
    pub(super) place: Place,
    /// The record before it.
    pub(super) behind: Option<String>,
    pub(super) preserved: Vec<String>,
    /// What is left of its record.
    pub(super) rest: Option<Value>,
}

impl Boundary {
    /// The conversation goes on with this summary and what is preserved.
    pub(super) fn compact(self, summary: Option<Item>, out: &mut Vec<Step>) {
        let Self { place, behind, preserved, rest } = self;
        let mut history: Vec<HistoryPart> = summary.into_iter().map(HistoryPart::Item).collect();
        if !preserved.is_empty() {
            history.push(HistoryPart::Records(preserved));
        }
        let Place { record, line, ts } = place.clone();
        out.push(Step::Compact { record, line, ts, behind, history });
        place.rest(rest, out);
    }
}
