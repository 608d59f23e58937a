//! The debug event trace of a segment: what a runtime wants to look at later, apart from the conversation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::TimestampMs;

/// One event of a segment's debug trace. It is never part of the log and never counted in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEntry {
    /// When, in milliseconds since the epoch.
    pub ts: TimestampMs,
    /// What happened, as the runtime names it.
    pub event: String,
    /// Whatever belongs to it.
    #[serde(default)]
    pub payload: Value,
}
