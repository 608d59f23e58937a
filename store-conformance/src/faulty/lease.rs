//! Faults of leases.

use std::sync::Arc;

use store_core::StoreError::{Busy, NotFound, TooLarge};
use store_core::{LEASE_HOLDER_BYTES_MAX, Lease, LeaseHolder, Result, SegmentId, SessionId, Store as _, TimestampMs};

use super::FaultyStore;
use super::concurrency::let_others_go;
use super::handle::{Handle, Notes, Rules};

/// A lease that holds nothing.
fn paper(holder: &str, now: TimestampMs) -> Lease {
    let holder = LeaseHolder { holder: holder.to_owned(), host: None, since: Some(now) };
    Lease::new(holder, Box::new(()))
}

/// Forgets a note when the lease is given up.
struct Noted(Arc<Notes>, String, #[expect(dead_code, reason = "held")] Lease);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.remove(&self.1);
    }
}

/// The lease, with a note of this handle for as long as it is held.
fn noted(at: &Handle, session: SessionId, segment: SegmentId, holder: &str, now: TimestampMs) -> Result<Lease> {
    let lease = at.inner.lease(session, segment, holder, now)?;
    at.own.put(segment.to_string(), holder);
    let shown = lease.holder().clone();
    Ok(Lease::new(shown, Box::new(Noted(Arc::clone(&at.own), segment.to_string(), lease))))
}

/// The segment of a session that was made first.
fn first_of(at: &Handle, session: SessionId, segment: SegmentId) -> SegmentId {
    at.inner.list_segments(session).unwrap_or_default().last().copied().unwrap_or(segment)
}

macro_rules! leases {
    ($name:literal, |$at:ident, $session:ident, $segment:ident, $holder:ident, $now:ident| $lease:expr) => {
        FaultyStore::new($name, Rules { lease: Some(|$at, $session, $segment, $holder, $now| $lease), ..Rules::KEPT })
    };
}

pub(super) const STORES: &[FaultyStore] = &[
    leases!("a_handle_gets_its_own_lease_again", |at, session, segment, holder, now| {
        if at.own.has(&segment.to_string()) {
            return Ok(paper(holder, now));
        }
        noted(at, session, segment, holder, now)
    }),
    leases!("a_lease_keeps_its_own_handle_from_it_only", |at, session, segment, holder, now| {
        match noted(at, session, segment, holder, now) {
            Err(Busy { .. }) if !at.own.has(&segment.to_string()) => Ok(paper(holder, now)),
            answer => answer,
        }
    }),
    leases!("a_refused_lease_does_not_tell_who_holds_it", |at, session, segment, holder, now| {
        at.inner.lease(session, segment, holder, now).map_err(|error| match error {
            Busy { host, since, .. } => Busy { holder: "another process".to_owned(), host, since },
            other => other,
        })
    }),
    leases!("a_refused_lease_does_not_tell_since_when_it_is_held", |at, session, segment, holder, now| {
        at.inner.lease(session, segment, holder, now).map_err(|error| match error {
            Busy { holder, host, .. } => Busy { holder, host, since: Some(now + 1) },
            other => other,
        })
    }),
    leases!("a_lease_is_not_given_up", |at, session, segment, holder, now| {
        std::mem::forget(at.inner.lease(session, segment, holder, now)?);
        Ok(paper(holder, now))
    }),
    FaultyStore::new(
        "a_deletion_forgets_to_look_at_leases",
        Rules {
            delete: Some(|at, session| match at.inner.delete_session(session) {
                Err(Busy { .. }) => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    leases!("a_leases_segment_is_looked_for_before_the_lock", |at, session, segment, holder, now| {
        at.inner.leased(session, segment)?;
        if let_others_go(|| at.inner.leased(session, segment).is_err()) {
            return Ok(paper(holder, now));
        }
        at.inner.lease(session, segment, holder, now)
    }),
    FaultyStore::new(
        "a_session_that_was_ever_leased_is_not_deleted",
        Rules {
            lease: Some(|at, session, segment, holder, now| {
                at.shared.put(session.to_string(), holder);
                at.inner.lease(session, segment, holder, now)
            }),
            delete: Some(|at, session| match at.shared.get(&session.to_string()) {
                Some(holder) if at.inner.exists(session)? => {
                    let since = at.inner.delete_session(session).err().and_then(|error| match error {
                        Busy { since, .. } => since,
                        _ => None,
                    });
                    Err(Busy { holder, host: None, since })
                }
                _ => at.inner.delete_session(session),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "nobody_is_said_to_hold_a_lease",
        Rules { leased: Some(|at, session, segment| at.inner.leased(session, segment).map(|_| None)), ..Rules::KEPT },
    ),
    FaultyStore::new(
        "whoever_held_a_lease_last_is_said_to_hold_it",
        Rules {
            lease: Some(|at, session, segment, holder, now| {
                let lease = at.inner.lease(session, segment, holder, now)?;
                at.shared.put(segment.to_string(), holder);
                Ok(lease)
            }),
            leased: Some(|at, session, segment| match at.inner.leased(session, segment)? {
                None => Ok(at.shared.get(&segment.to_string()).map(|holder| paper(&holder, 1).holder().clone())),
                held => Ok(held),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "asking_for_the_holder_takes_the_lease_for_a_moment",
        Rules {
            leased: Some(|at, session, segment| match at.inner.lease(session, segment, "asking", 1) {
                Ok(lease) => {
                    let_others_go(|| false);
                    drop(lease);
                    Ok(None)
                }
                Err(Busy { .. }) => at.inner.leased(session, segment),
                Err(error) => Err(error),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_leased_segment_takes_appends_of_its_holders_handle_only",
        Rules {
            lease: Some(noted),
            append: Some(|at, session, segment, entries, options| {
                match at.inner.leased(session, segment).ok().flatten() {
                    Some(holder) if !at.own.has(&segment.to_string()) => Err(holder.into_busy()),
                    _ => at.inner.append_with(session, segment, entries, options),
                }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_has_one_lease_for_all_its_segments",
        Rules {
            lease: Some(|at, session, segment, holder, now| {
                at.inner.leased(session, segment)?;
                at.inner.lease(session, first_of(at, session, segment), holder, now)
            }),
            leased: Some(|at, session, segment| {
                at.inner.leased(session, segment)?;
                at.inner.leased(session, first_of(at, session, segment))
            }),
            ..Rules::KEPT
        },
    ),
    leases!("an_unknown_segment_is_leased", |at, session, segment, holder, now| {
        match at.inner.lease(session, segment, holder, now) {
            Err(NotFound(_)) if at.inner.lookup_session_of(segment)?.is_none() => Ok(paper(holder, now)),
            answer => answer,
        }
    }),
    leases!("leases_do_not_look_at_the_session", |at, session, segment, holder, now| {
        at.inner.lease(at.inner.lookup_session_of(segment)?.unwrap_or(session), segment, holder, now)
    }),
    FaultyStore::new(
        "nobody_holds_the_lease_of_an_unknown_segment",
        Rules {
            leased: Some(|at, session, segment| match at.inner.leased(session, segment) {
                Err(NotFound(_)) => Ok(None),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    leases!("a_holders_text_ends_with_its_first_line", |at, session, segment, holder, now| {
        at.inner.lease(session, segment, holder.split(['\n', '\0']).next().unwrap_or_default(), now)
    }),
    leases!("a_holders_text_is_cut_to_the_limit", |at, session, segment, holder, now| {
        match at.inner.lease(session, segment, holder, now) {
            Err(TooLarge { .. }) => {
                let cut = &holder[..usize::try_from(LEASE_HOLDER_BYTES_MAX).unwrap_or(0)];
                at.inner.lease(session, segment, cut, now)
            }
            answer => answer,
        }
    }),
    leases!("a_holders_text_may_have_255_bytes", |at, session, segment, holder, now| {
        if holder.len() > 255 {
            return Err(TooLarge { bytes: holder.len() as u64, bytes_max: 255 });
        }
        at.inner.lease(session, segment, holder, now)
    }),
    leases!("a_lease_is_looked_at_before_it_is_taken", |at, session, segment, holder, now| {
        let taken = || at.inner.leased(session, segment).ok().flatten().is_some();
        if taken() || !let_others_go(taken) {
            return at.inner.lease(session, segment, holder, now);
        }
        Ok(paper(holder, now))
    }),
    leases!("a_lease_cannot_be_taken_after_a_reopen", |at, session, segment, holder, now| {
        if at.reopened {
            return Err(Busy { holder: String::new(), host: None, since: None });
        }
        at.inner.lease(session, segment, holder, now)
    }),
];
