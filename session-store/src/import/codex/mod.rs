//! Codex: `sessions/YYYY/MM/DD/rollout-*.jsonl` and `archived_sessions/`.
//!
//! Three forms are read: lines `{timestamp, ordinal?, type, payload}` of newer and of older versions, and the flat form of
//! 2025, whose first line is the header itself and whose items stand bare. Every message occurs twice, as
//! `response_item` and as event: the item is taken, the event only tells what a person typed.
//!
//! * [`head`] tells what a file is from its first records.
//! * [`CodexReader`] turns records into steps; what a `response_item` says is read by `item`, what events tell of it by
//!   `event`, what a compaction goes on with by `history`, what was used by `usage`, the settings by `settings`,
//!   what is left of a record by `rest`.
//! * [`spawning_call`] finds the call of a conversation that started a sub-agent.

mod event;
mod head;
mod history;
mod item;
mod place;
mod reader;
mod rest;
mod settings;
mod spawn;
mod usage;

pub(super) use head::{head, sniff};
pub(super) use reader::CodexReader;
pub(super) use spawn::spawning_call;

#[cfg(test)]
mod tests;
