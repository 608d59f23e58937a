//! Who writes a session now.

use store_core::{Backend, LeaseHolder, SegmentId, SessionId};

use crate::error::Result;

/// The live writer of a session: a segment of it that somebody holds the lease of, and who that is. `None` if nobody does, or if
/// the backend keeps no leases, so that nobody can know.
///
/// Looks at every segment of the session.
///
/// # Errors
/// What the store fails with.
pub fn live_writer(store: &dyn Backend, session: SessionId) -> Result<Option<(SegmentId, LeaseHolder)>> {
    let Some(watch) = store.watch() else { return Ok(None) };
    for segment in store.list_segments(session)? {
        if let Some(holder) = watch.leased(session, segment)? {
            return Ok(Some((segment, holder)));
        }
    }
    Ok(None)
}
