//! Where a record stands, and the entries that it gives.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{
    ConfigChanged, Extension, Item, ItemEntry, LlmUsage, LogEntry, SessionConfig, SystemItem, TimestampMs,
};

use super::rest;
use crate::import::fields::storable;
use crate::import::record::{Parent, Step};

/// The domain under which records are kept that have no form of their own.
pub(super) const DOMAIN: &str = "import.codex";

/// A record's place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its id.
    pub(super) record: String,
    /// Its line.
    pub(super) line: u64,
    /// Its time.
    pub(super) ts: TimestampMs,
}

impl Place {
    /// What the record gives.
    pub(super) fn entries(&self, entries: Vec<LogEntry>) -> Step {
        let Self { record, line, ts } = self.clone();
        Step::Entries { record, line, ts, parent: Parent::Previous, entries }
    }

    /// What is left of the record, if anything is.
    pub(super) fn rest(&self, payload: Option<Value>, out: &mut Vec<Step>) {
        if let Some(payload) = payload {
            let Self { record, line, ts } = self.clone();
            out.push(Step::Rest { record, line, ts, domain: rest::DOMAIN, payload });
        }
    }

    /// What is left of the event that ended the turn, if it did.
    pub(super) fn rest_of_end(&self, event: Value, out: &mut Vec<Step>) {
        if matches!(out.last(), Some(Step::EndTurn { .. } | Step::Fail { .. })) {
            self.rest(rest::of_end(event), out);
        }
    }

    /// It gives nothing.
    pub(super) const fn skipped(&self) -> Step {
        Step::Skipped { line: self.line }
    }
}

/// Numbers records by their ordinals, or by their lines.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ordinals {
    last: Option<u64>,
    line: Option<u64>,
    on_line: u32,
}

impl Ordinals {
    /// The id of the next record, which no record before it has.
    pub(super) fn take(&mut self, ordinal: Option<u64>, line: u64) -> String {
        self.on_line = if self.line == Some(line) { self.on_line + 1 } else { 0 };
        self.line = Some(line);
        let id = ordinal.unwrap_or(line);
        if self.last.is_none_or(|last| id > last) {
            self.last = Some(id);
            return id.to_string();
        }
        match self.on_line {
            0 => format!("{id}@{line}"),
            more => format!("{id}@{line}.{more}"),
        }
    }
}

/// What the model said.
pub(super) const fn assistant(ts: TimestampMs, item: Item) -> LogEntry {
    LogEntry::AssistantItem(ItemEntry { ts, item })
}

/// What a tool answered.
pub(super) const fn tool_result(ts: TimestampMs, item: Item) -> LogEntry {
    LogEntry::ToolResult(ItemEntry { ts, item })
}

/// What was put in.
pub(super) const fn system(ts: TimestampMs, item: Item) -> LogEntry {
    LogEntry::SystemItem(SystemItem { ts, item, injected: true })
}

/// Changed settings.
pub(super) const fn config_changed(ts: TimestampMs, config: SessionConfig) -> LogEntry {
    LogEntry::ConfigChanged(ConfigChanged { ts, config })
}

/// What has no form of its own.
pub(super) fn extension(ts: TimestampMs, payload: Value) -> LogEntry {
    LogEntry::Extension(Extension { ts, domain: DOMAIN.into(), payload: storable(payload) })
}

/// What a response used, if it says so.
pub(super) fn push_usage(place: &Place, usage: Option<LlmUsage>, out: &mut Vec<Step>) {
    match usage {
        Some(usage) => out.push(place.entries(vec![LogEntry::LlmUsage(usage)])),
        None => out.push(place.skipped()),
    }
}
