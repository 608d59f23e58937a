//! Who writes a session now.

use store_core::{Backend, LeaseHolder, SegmentId, SessionId};

use crate::error::{Result, SessionError};

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

/// Refuses to go on while somebody writes the session.
///
/// # Errors
/// `Live`; what the store fails with.
pub fn refuse_live(store: &dyn Backend, session: SessionId) -> Result<()> {
    match live_writer(store, session)? {
        Some((_, holder)) => Err(SessionError::Live { session, holder }),
        None => Ok(()),
    }
}
