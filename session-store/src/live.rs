//! Whether somebody writes to a conversation now: what the leases of its segments say.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use store_core::{Backend, LeaseHolder, SegmentId, SessionId};

use crate::error::{Result, SessionError};
use crate::time;

/// Whether somebody writes to a session now. In JSON `null` where nobody can know, `false` if nobody does, else who:
/// `{"holder","host","since"}`, the last two `null` where that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Live {
    /// The store has no leases, or could not be asked.
    #[default]
    Unknown,
    /// Nobody holds a lease.
    Nobody,
    /// Who holds the lease of one of its segments.
    Writer(LeaseHolder),
}

impl Live {
    /// Who writes, if anybody is known to.
    pub const fn writer(&self) -> Option<&LeaseHolder> {
        match self {
            Self::Writer(holder) => Some(holder),
            Self::Unknown | Self::Nobody => None,
        }
    }
}

impl Serialize for Live {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => to.serialize_none(),
            Self::Nobody => to.serialize_bool(false),
            Self::Writer(LeaseHolder { holder, host, since }) => {
                let mut fields = to.serialize_map(Some(3))?;
                fields.serialize_entry("holder", holder)?;
                fields.serialize_entry("host", host)?;
                fields.serialize_entry("since", &since.map(time::to_text))?;
                fields.end()
            }
        }
    }
}

/// Asks for the leases of these segments of a session, in this order, until one is held.
pub fn live(store: &dyn Backend, session: SessionId, segments: impl IntoIterator<Item = SegmentId>) -> Live {
    let Some(watch) = store.watch() else { return Live::Unknown };
    let mut answer = Live::Nobody;
    for segment in segments {
        match watch.leased(session, segment) {
            Ok(Some(holder)) => return Live::Writer(holder),
            Ok(None) => {}
            // Whether it was deleted meanwhile or cannot be read: nobody can say.
            Err(_) => answer = Live::Unknown,
        }
    }
    answer
}

/// Refuses to go on while somebody writes the session. Looks at every segment of it.
///
/// # Errors
/// `Live`; what the store fails with.
pub fn refuse_live(store: &dyn Backend, session: SessionId) -> Result<()> {
    match live(store, session, store.list_segments(session)?) {
        Live::Writer(holder) => Err(SessionError::Live { session, holder }),
        Live::Nobody | Live::Unknown => Ok(()),
    }
}
