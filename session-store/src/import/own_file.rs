//! The agent's own file of a segment: where it lies, and whether an agent that opens it stands where the segment ends.

use std::path::PathBuf;

use store_core::{LogEntry, SegmentMeta, Seq, Store};

use super::record::Agent;
use super::writer::Cursor;
use crate::error::Result;
use crate::facts::SessionFacts;
use crate::segment::SegmentLocation;

/// The file that a segment was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFile {
    /// Whose it is.
    pub agent: Agent,
    /// The agent's own id of it.
    pub native_id: String,
    /// Where it lay when it was read last. It may be gone.
    pub path: PathBuf,
    /// The agent stands in it where the segment ends: the segment is the file's active branch, and nobody else wrote to it since.
    pub is_at_end: bool,
}

/// What a segment is to agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was read from a file of an agent's own.
    Own(OwnFile),
    /// It was made for an agent to go on in, which has added nothing yet.
    Waiting {
        /// Whose it is.
        agent: Agent,
        /// The id that the agent's file is to have.
        native_id: String,
    },
    /// No agent has a file that ends with it.
    Nobodys {
        /// The agent whose conversation it was until then, if that is known.
        agent: Option<Agent>,
    },
}

impl Standing {
    /// The agent whose conversation it is or was.
    pub const fn agent(&self) -> Option<Agent> {
        match self {
            Self::Own(OwnFile { agent, .. }) | Self::Waiting { agent, .. } => Some(*agent),
            Self::Nobodys { agent } => *agent,
        }
    }
}

/// Finds out what a segment is to agents. Reads its first and its last entry and the session's facts.
///
/// # Errors
/// `NotFound`; what the store fails with.
pub fn standing(store: &dyn Store, at: SegmentLocation) -> Result<Standing> {
    let SegmentLocation { session_id, segment_id } = at;
    let first = store.read_range(session_id, segment_id, Seq::START, 1)?.into_iter().next();
    let meta = match first.map(|first| first.entry) {
        Some(LogEntry::SegmentStart(start)) => start.meta,
        _ => SegmentMeta::default(),
    };
    let agent = meta.agent.as_deref().and_then(Agent::named);
    let (Some(agent), Some(native_id)) = (agent, meta.native_id) else { return Ok(Standing::Nobodys { agent }) };
    let last = store.read_tail(session_id, segment_id, 1)?.into_iter().next();
    if meta.source.is_none() && last.as_ref().is_none_or(|last| last.position.seq == Seq(1)) {
        return Ok(Standing::Waiting { agent, native_id });
    }
    let facts = SessionFacts::read(store, session_id)?;
    let Some(cursor) = Cursor::read(&facts, &native_id) else { return Ok(Standing::Nobodys { agent: Some(agent) }) };
    let was_imported = last.and_then(|last| last.key).is_some_and(|key| is_of_record(&key));
    let (path, leaf) = cursor.file();
    Ok(Standing::Own(OwnFile { agent, native_id, path, is_at_end: was_imported && leaf == Some(segment_id) }))
}

/// Whether an entry's key is one that an importer gave: `<record>#<n>`.
fn is_of_record(key: &str) -> bool {
    key.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
