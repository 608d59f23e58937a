//! What a writer answers when something was not written.

use std::sync::Arc;

use crate::budget::OverBudget;
use crate::error::SessionError;
use crate::writer::Submission;

/// Why something was not written, as the tickets concerned and the calls after it say. Several may be told of one cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// As many entries wait as may. Nothing is wrong: wait for [`room`](crate::SessionWriter::room), then submit again.
    #[error("{entries_max} entries wait to be written, which is as many as may")]
    Full {
        /// The bound that is reached.
        entries_max: usize,
    },

    /// The store refuses these entries: they could not be read back, are too large, or use a key that another entry has. Nothing of
    /// them was written; what was submitted before and after them is.
    #[error("the entry was refused: {0}")]
    Refused(#[source] Arc<SessionError>),

    /// Writing has ended: a sync failed, the medium is full, the segment was rolled back or deleted, or somebody else writes and the
    /// writer was told to refuse. What was not written may have been written all the same unless the error says otherwise; submitted
    /// again to another writer under the keys that [`close`](crate::SessionWriter::close) gives back it is never there twice.
    #[error("the writer has stopped: {0}")]
    Stopped(#[source] Arc<SessionError>),

    /// The turn may not begin: its budget is spent. What is submitted is written all the same.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),

    /// The turn may not begin: the ledger, or the segment's lease, could not be had. The writer goes on; beginning the turn may be tried again.
    #[error("the turn may not begin: {0}")]
    NoTurn(#[source] Arc<SessionError>),

    /// The writer was closed.
    #[error("the writer is closed")]
    Closed,
}

/// What could not be queued, given back.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NotQueued {
    /// Why.
    #[source]
    pub why: WriteError,
    /// What was submitted, in order.
    pub entries: Vec<Submission>,
}

/// What a writer leaves behind that could not write everything.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", self.counted())]
pub struct Unfinished {
    /// The first thing that went wrong and that no [`flush`](crate::SessionWriter::flush) has told.
    #[source]
    pub why: WriteError,
    /// What is not known to be written, in order, each with its key. Refused entries are not among them: their tickets told.
    pub unwritten: Vec<Submission>,
    /// How many entries, or compactions, the store refused since the last flush.
    pub refused: usize,
}

impl Unfinished {
    fn counted(&self) -> String {
        match (self.unwritten.len(), self.refused) {
            (0, 0) => "the writer did not end well".to_owned(),
            (unwritten, 0) => format!("not known to be written: {unwritten}"),
            (0, refused) => format!("refused: {refused}"),
            (unwritten, refused) => format!("not known to be written: {unwritten}, refused: {refused}"),
        }
    }
}
