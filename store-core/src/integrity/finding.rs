//! What is found to be wrong with a store.

use std::fmt;

use serde::Serialize;

use crate::error::Damage;
use crate::id::{SegmentId, Seq, SessionId};

/// What kind of thing is wrong.
// The names are part of the JSON that scripts rely on: never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Stored bytes are not those that were written.
    Checksum,
    /// A write that stopped: never acknowledged, taken out by the next writer. No damage.
    TornTail,
    /// A log of an older layout whose lines have no checksums: it is read, and nothing holds what it says against what was written. No damage.
    Unproved,
    /// What a power loss left of the end, and nobody has acknowledged.
    Hole,
    /// Seqs that do not follow each other, entries that are missing or stand where they may not.
    Sequence,
    /// A text that is not an entry, although its checksum is right.
    Json,
    /// A history that is not the one that a checkpoint or the caller knows.
    Chain,
    /// A segment that continues what does not exist, or itself.
    Origin,
    /// A blob that is referred to and missing, or holds other bytes.
    Blob,
    /// Something derived that is not in step with the logs: a look-up, a count.
    Projection,
    /// A file or folder that others may read or write.
    Permission,
    /// A file that is missing or not what its name says, a database whose structure is broken.
    Structure,
}

impl FindingKind {
    /// Whether the store is damaged. A torn tail is what a crash is expected to leave, and what nobody can prove need not be wrong.
    pub const fn is_damage(self) -> bool {
        !matches!(self, Self::TornTail | Self::Unproved)
    }
}

impl fmt::Display for FindingKind {
    /// As in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The session; `None` for what belongs to the store.
    pub session_id: Option<SessionId>,
    /// The segment; `None` for what belongs to the session or the store.
    pub segment_id: Option<SegmentId>,
    /// Which part of the log or file, from 1.
    pub part: u32,
    /// Bytes from the start of the part; a row number where the medium has no bytes.
    pub offset: u64,
    /// The seq that should stand there, where it is known.
    pub seq: Option<Seq>,
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// What is wrong, for a person.
    pub detail: String,
}

impl Finding {
    /// Something wrong with the store as a whole.
    pub fn of_store(kind: FindingKind, detail: impl Into<String>) -> Self {
        Self { session_id: None, segment_id: None, part: 1, offset: 0, seq: None, kind, detail: detail.into() }
    }

    /// Something wrong with a session, beside its logs.
    pub fn of_session(session: SessionId, kind: FindingKind, detail: impl Into<String>) -> Self {
        Self { session_id: Some(session), ..Self::of_store(kind, detail) }
    }

    /// Something wrong with a segment as a whole.
    pub fn of_segment(
        session: SessionId,
        segment: SegmentId,
        seq: Option<Seq>,
        kind: FindingKind,
        detail: impl Into<String>,
    ) -> Self {
        Self { session_id: Some(session), segment_id: Some(segment), seq, ..Self::of_store(kind, detail) }
    }

    /// Damage that a call was refused with.
    pub fn of_damage(session: Option<SessionId>, kind: FindingKind, damage: Damage) -> Self {
        let Damage { segment, part, offset, seq, detail } = damage;
        Self { session_id: session, segment_id: segment, part, offset, seq, kind, detail }
    }

    /// The same as what a call is refused with.
    pub fn to_damage(&self) -> Damage {
        Damage {
            segment: self.segment_id,
            part: self.part,
            offset: self.offset,
            seq: self.seq,
            detail: self.detail.clone(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.to_damage())
    }
}
