//! The folds that everything else stands on: turns, settings and usage of a branch.
//!
//! Each is incremental: fed with the entries of a branch in order, from its root, and asked at any point. Each can be
//! stored and taken up again, so that a projection need not read a branch from its root when it grows. There is
//! one fold for each question, and every part of the crate asks it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use store_core::{Item, LlmUsage, LogEntry, SessionConfig};

/// A tool call without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    /// What pairs it with its result.
    pub call_id: String,
    /// The tool.
    pub name: String,
}

/// What an entry did to the turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnChange {
    /// Nothing: it belongs to the open turn, or to none.
    None,
    /// It is the first entry of a turn.
    Began,
    /// It ended the open turn.
    Ended,
}

/// The turns of a branch.
///
/// * A `user_input` begins a turn if none is open; otherwise it belongs to the open one.
/// * An assistant item or a tool result without an open turn begins one.
/// * `turn_end`, `run_completed` and `run_errored` end the open turn.
/// * Nothing else begins or ends one; the start of a segment does not either, so that a turn may go on behind a
///   fork or a compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnFold {
    turns: u64,
    open: bool,
    answered: bool,
    interrupted: bool,
    calls: Vec<OpenCall>,
}

impl TurnFold {
    /// Takes the next entry of the branch and says what it did.
    pub fn apply(&mut self, entry: &LogEntry) -> TurnChange {
        match entry {
            LogEntry::UserInput(_) => self.begin_unless_open(),
            LogEntry::AssistantItem(item) => {
                let change = self.begin_unless_open();
                self.answered = true;
                self.take_item(&item.item);
                change
            }
            LogEntry::ToolResult(item) => {
                let change = self.begin_unless_open();
                self.take_item(&item.item);
                change
            }
            LogEntry::TurnEnd(_) => {
                let was_open = self.open;
                let change = self.end();
                // Behind a run's own end it adds nothing to what that said.
                if was_open {
                    self.interrupted = false;
                }
                change
            }
            LogEntry::RunCompleted(end) => self.end_run(end.interrupted),
            LogEntry::RunErrored(end) => self.end_run(end.interrupted),
            _ => TurnChange::None,
        }
    }

    fn begin_unless_open(&mut self) -> TurnChange {
        if self.open {
            return TurnChange::None;
        }
        *self = Self { turns: self.turns + 1, open: true, ..Self::default() };
        TurnChange::Began
    }

    const fn end(&mut self) -> TurnChange {
        if !self.open {
            return TurnChange::None;
        }
        self.open = false;
        TurnChange::Ended
    }

    const fn end_run(&mut self, interrupted: bool) -> TurnChange {
        self.interrupted = interrupted;
        self.end()
    }

    fn take_item(&mut self, item: &Item) {
        match item {
            Item::ToolCall { call_id, name, .. } => {
                self.calls.push(OpenCall { call_id: call_id.clone(), name: name.clone() });
            }
            Item::ToolResult { call_id, .. } => {
                if let Some(at) = self.calls.iter().position(|call| call.call_id == *call_id) {
                    self.calls.remove(at);
                }
            }
            _ => {}
        }
    }

    /// The open turn, else the last one; 1-based from the branch's root, 0 before the first.
    pub const fn turn(&self) -> u64 {
        self.turns
    }

    /// How many turns have begun.
    pub const fn turn_count(&self) -> u64 {
        self.turns
    }

    /// Whether the last turn has not ended.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the model said anything in the last turn.
    pub const fn is_answered(&self) -> bool {
        self.answered
    }

    /// The calls of the last turn that have no result, in the order they were made.
    pub fn open_calls(&self) -> &[OpenCall] {
        &self.calls
    }

    /// Whether the last turn ended with a `run_completed` or `run_errored` that says it was interrupted.
    ///
    /// A turn that is still open was not interrupted as far as the log knows, also if calls of it are open.
    pub const fn last_run_interrupted(&self) -> bool {
        self.interrupted
    }
}

/// The settings of a branch: those of each `segment_start`, changed by each `config_changed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigFold {
    config: SessionConfig,
}

impl ConfigFold {
    /// Takes the next entry of the branch.
    pub fn apply(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::SegmentStart(start) => self.config.apply(&start.config),
            LogEntry::ConfigChanged(change) => self.config.apply(&change.config),
            _ => {}
        }
    }

    /// The settings that hold now.
    pub const fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The settings that hold at the end.
    pub fn into_config(self) -> SessionConfig {
        self.config
    }
}

/// Sums of tokens. Input without the cache's part, so that the four add up to the total; reasoning is part of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageTotals {
    /// Input tokens that were neither read from nor written to the cache.
    pub input_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Input tokens that were read from the cache.
    pub cache_read_tokens: u64,
    /// Input tokens that were written to the cache.
    pub cache_write_tokens: u64,
    /// Output tokens that were reasoning, as far as providers say so.
    pub reasoning_tokens: u64,
    /// Input, output, cache reads and cache writes.
    pub total_tokens: u64,
}

impl UsageTotals {
    /// Adds one request. Counts that contradict each other never go below zero.
    pub const fn add(&mut self, usage: &LlmUsage) {
        let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
        let input = usage.input_total_tokens.saturating_sub(cached);
        let total = input.saturating_add(cached).saturating_add(usage.output_tokens);
        self.input_tokens = self.input_tokens.saturating_add(input);
        self.output_tokens = self.output_tokens.saturating_add(usage.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(usage.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(usage.cache_write_tokens);
        if let Some(reasoning) = usage.reasoning_tokens {
            self.reasoning_tokens = self.reasoning_tokens.saturating_add(reasoning);
        }
        self.total_tokens = self.total_tokens.saturating_add(total);
    }
}

/// What a request's repeats are compared by: all tokens, then output.
pub const fn usage_size(usage: &LlmUsage) -> (u64, u64) {
    (usage.input_total_tokens.saturating_add(usage.output_tokens), usage.output_tokens)
}

/// One request's usage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The largest that was recorded for it.
    pub usage: LlmUsage,
    /// Whether another session recorded it first.
    pub inherited: bool,
}

/// The usage of a branch: each request once, with the largest of its repeats. An entry without an id is a request of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageFold {
    rows: Vec<UsageRow>,
    by_id: HashMap<String, usize>,
}

impl UsageFold {
    /// Takes the next entry of the branch; `inherited` says whether it stands in another session.
    pub fn apply(&mut self, entry: &LogEntry, inherited: bool) {
        let LogEntry::LlmUsage(usage) = entry else { return };
        if let Some(id) = &usage.request_id {
            if let Some(row) = self.by_id.get(id).and_then(|at| self.rows.get_mut(*at)) {
                if usage_size(usage) > usage_size(&row.usage) {
                    row.usage = usage.clone();
                }
                return;
            }
            self.by_id.insert(id.clone(), self.rows.len());
        }
        self.rows.push(UsageRow { usage: usage.clone(), inherited });
    }

    /// The requests in the order in which they were first recorded.
    pub fn rows(&self) -> &[UsageRow] {
        &self.rows
    }

    /// The sums over the requests that are inherited, or over those that are not.
    pub fn totals(&self, inherited: bool) -> UsageTotals {
        let mut totals = UsageTotals::default();
        for row in self.rows.iter().filter(|row| row.inherited == inherited) {
            totals.add(&row.usage);
        }
        totals
    }

    /// What was recorded for each request, in the order in which they were first recorded.
    pub fn into_history(self) -> Vec<LlmUsage> {
        self.rows.into_iter().map(|row| row.usage).collect()
    }
}
