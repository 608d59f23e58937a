//! What can go wrong above a store, as a caller would act on it.
//!
//! Conditions only: words for people, hints and exit codes belong to the program.

use std::path::PathBuf;

use crate::budget::OverBudget;
use store_core::ledger::LedgerError;
use store_core::{BoxError, HistoryRef, LeaseHolder, SegmentId, Seq, SessionId, StoreError};

/// The result of every call of this crate.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;

/// Why a segment's lineage cannot be followed. Each names the segment that is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineageError {
    /// Following the origins comes back to a segment that was already passed.
    #[error("the lineage comes back to segment {segment}")]
    Cycle {
        /// The segment that occurs twice.
        segment: SegmentId,
    },

    /// A segment continues one that is not in the store, or not in the session that it names.
    #[error("segment {child} continues segment {segment}, which is not there")]
    MissingParent {
        /// The segment that is not there.
        segment: SegmentId,
        /// The segment that continues it.
        child: SegmentId,
    },

    /// A segment is continued, or was asked for, at an entry that it does not have.
    #[error("segment {segment} has {count} entries, not a seq {seq}")]
    BeyondEnd {
        /// The segment that is too short.
        segment: SegmentId,
        /// The entry that was asked for.
        seq: Seq,
        /// How many entries the segment has.
        count: u64,
    },

    /// A segment does not begin with a `segment_start` that this version understands.
    #[error("segment {segment} does not begin with a readable segment_start")]
    NoStart {
        /// The segment.
        segment: SegmentId,
    },

    /// A segment's history refers to entries that are not in its lineage.
    #[error(
        "the history of segment {segment} refers to {} {}..={}, which is not in its lineage",
        reference.segment_id, reference.from, reference.through
    )]
    HistoryOutside {
        /// The segment with the history.
        segment: SegmentId,
        /// What it refers to.
        reference: HistoryRef,
    },
}

/// Why the session layer did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// The ledger refused or failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),

    /// A turn may not begin: its budget is spent.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),

    /// A time zone that this machine does not know.
    #[error("{name:?} is no time zone that is known here")]
    UnknownZone {
        /// The name.
        name: String,
    },

    /// A segment's lineage cannot be followed.
    #[error(transparent)]
    Lineage(#[from] LineageError),

    /// No backend of this name. `feature` is the cargo feature that would bring it, if this program was built without.
    #[error("no backend for {scheme:?}{}", feature.map(|name| format!(": built without the feature {name:?}")).unwrap_or_default())]
    UnknownScheme {
        /// The scheme that was asked for.
        scheme: String,
        /// The schemes that would work, sorted.
        known: Vec<String>,
        /// The feature that is switched off.
        feature: Option<&'static str>,
    },

    /// The scheme already has a backend.
    #[error("the scheme {scheme:?} already has a backend")]
    SchemeTaken {
        /// The scheme.
        scheme: String,
    },

    /// The text is not a store's URL.
    #[error("{url:?} is not a store: {detail}")]
    BadUrl {
        /// The text.
        url: String,
        /// What is wrong with it.
        detail: String,
    },

    /// A store cannot be migrated into itself.
    #[error("{url} is the store itself")]
    SameStore {
        /// The store.
        url: String,
    },

    /// A search without a word to look for.
    #[error("there is no word to search for")]
    NothingToSearch,

    /// Nothing of that name: an id, an agent's own id, a title.
    #[error("nothing is called {id:?}")]
    NotFound {
        /// What was looked for.
        id: String,
    },

    /// A copy that was to take the place of a segment does not say what the segment says. Nothing was deleted.
    #[error("entry {seq} of segment {copy}, a copy of segment {segment}, says something else than the original")]
    CopyDiffers {
        /// The original.
        segment: SegmentId,
        /// The copy.
        copy: SegmentId,
        /// The first entry that differs, or that the copy lacks.
        seq: Seq,
    },

    /// The branch has no such turn.
    #[error("the branch has {turns} turns, not a turn {at}")]
    InvalidTurn {
        /// The turn that was asked for.
        at: u64,
        /// How many there are.
        turns: u64,
    },

    /// Nothing would get shorter: all that a summary could stand for is kept, or is one already.
    #[error("there is nothing to compact: the branch has {turns} turns, and {kept} of them are to be kept")]
    NothingToCompact {
        /// How many turns the branch has.
        turns: u64,
        /// How many of them stay as they are.
        kept: u64,
    },

    /// A summary that says nothing cannot stand for a conversation.
    #[error("the summary is empty")]
    EmptySummary,

    /// Somebody writes the session now.
    #[error("session {session} is being written by {}{}", holder.holder, holder.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default())]
    Live {
        /// The session.
        session: SessionId,
        /// Who writes it.
        holder: LeaseHolder,
    },

    /// The session is not in the trash, so that it cannot be taken out of there.
    #[error("session {session} is not in the trash")]
    NotTrashed {
        /// The session.
        session: SessionId,
    },

    /// The index could not answer. The store is untouched by that.
    #[error("index: {detail}")]
    Index {
        /// What was tried.
        detail: String,
        /// What the database said.
        #[source]
        source: Option<BoxError>,
    },

    /// The text is not the cursor of a page of this list. Ask for the first page.
    #[error("{cursor:?} is not a cursor of this list")]
    BadCursor {
        /// The text.
        cursor: String,
    },

    /// A file is not a conversation, or could not be read as one.
    #[error("{}: {detail}", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// What the system said.
        #[source]
        source: Option<BoxError>,
    },
}
