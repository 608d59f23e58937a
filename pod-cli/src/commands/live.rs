//! Being a conversation's live writer while it is changed.

use session_store::SegmentLocation;
use store_core::{Backend, Lease};

use crate::app::App;
use crate::error::Result;

/// Becomes a segment's live writer, where the backend knows such a thing.
pub(super) fn lease(app: &App, store: &dyn Backend, at: SegmentLocation, holder: &str) -> Result<Option<Lease>> {
    let Some(watch) = store.watch() else { return Ok(None) };
    Ok(Some(watch.lease(at.session_id, at.segment_id, holder, app.environment.now)?))
}
