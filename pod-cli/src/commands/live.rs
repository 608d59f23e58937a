//! Live conversations: nobody changes under a writer what that one stands on.

use session_store::{SegmentLocation, live_writer};
use store_core::{Backend, Lease, SessionId};

use crate::app::App;
use crate::error::{CliError, Result};

/// Refuses to go on while somebody writes the conversation.
pub(super) fn refuse_live(store: &dyn Backend, session: SessionId) -> Result<()> {
    match live_writer(store, session)? {
        Some((_, holder)) => Err(CliError::Live { session, holder }),
        None => Ok(()),
    }
}

/// Becomes a segment's live writer, where the backend knows such a thing.
pub(super) fn lease(app: &App, store: &dyn Backend, at: SegmentLocation, holder: &str) -> Result<Option<Lease>> {
    let Some(watch) = store.watch() else { return Ok(None) };
    Ok(Some(watch.lease(at.session_id, at.segment_id, holder, app.environment.now)?))
}
