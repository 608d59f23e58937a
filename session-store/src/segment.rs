//! Segments: where a conversation is written.

use serde::{Deserialize, Serialize};
use store_core::{SegmentId, SessionId};

/// A segment and the session it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentLocation {
    /// The session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
}
