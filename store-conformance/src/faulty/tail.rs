//! Faults of following a log.

use std::sync::{Arc, Weak};
use std::time::Duration;

use store_core::StoreError::{Diverged, NotFound};
use store_core::{
    AppendOptions, LogEntry, Position, Record, Result, SegmentId, Seq, SessionId, StopHandle, Store as _, Tail,
    TailEvent, TailFrom, UserInput,
};

use super::FaultyStore;
use super::handle::{Handle, Notes, Rules};
use super::reference::Reference;

type Next = fn(&mut Bent, Duration) -> Result<TailEvent>;

/// A tail of the reference whose answers are bent.
struct Bent {
    inner: Box<dyn Tail>,
    store: Reference,
    session: SessionId,
    segment: SegmentId,
    next: Next,
    began: Position,
    /// Whether it is the tail of a second handle.
    second: bool,
    calls: usize,
    shared: Arc<Notes>,
    handle: Weak<Notes>,
}

impl Bent {
    /// Follows again, from somewhere else.
    fn restart(&mut self, from: TailFrom) -> Result<()> {
        self.inner = self.store.follow(self.session, self.segment, from)?;
        Ok(())
    }

    fn only(&mut self, timeout: Duration, keep: impl Fn(&Record) -> bool) -> Result<TailEvent> {
        match self.inner.next(timeout)? {
            TailEvent::Records(mut records) => {
                records.retain(keep);
                Ok(if records.is_empty() { TailEvent::Nothing } else { TailEvent::Records(records) })
            }
            other => Ok(other),
        }
    }
}

impl Tail for Bent {
    fn next(&mut self, timeout: Duration) -> Result<TailEvent> {
        self.calls += 1;
        (self.next)(self, timeout)
    }

    fn position(&self) -> Position {
        self.inner.position()
    }

    fn stop_handle(&self) -> StopHandle {
        self.inner.stop_handle()
    }
}

fn bent(at: &Handle, session: SessionId, segment: SegmentId, from: TailFrom, next: Next) -> Result<Bent> {
    let inner = at.inner.follow(session, segment, from)?;
    let (shared, handle, began) = (Arc::clone(&at.shared), Arc::downgrade(&at.own), inner.position());
    let store = at.inner.clone();
    Ok(Bent { inner, store, session, segment, next, began, second: at.second, calls: 0, shared, handle })
}

/// A tail that forgets where it is.
struct Forgetful(Bent);

impl Tail for Forgetful {
    fn next(&mut self, timeout: Duration) -> Result<TailEvent> {
        self.0.next(timeout)
    }

    fn position(&self) -> Position {
        self.0.began
    }

    fn stop_handle(&self) -> StopHandle {
        self.0.stop_handle()
    }
}

/// A tail that is stopped by stopping another one.
struct Unstoppable(Bent, Box<dyn Tail>);

impl Tail for Unstoppable {
    fn next(&mut self, timeout: Duration) -> Result<TailEvent> {
        self.0.next(timeout)
    }

    fn position(&self) -> Position {
        self.0.position()
    }

    fn stop_handle(&self) -> StopHandle {
        self.1.stop_handle()
    }
}

/// A tail of what is not there.
fn tail_of_nothing() -> Result<Box<dyn Tail>> {
    let store = Reference::default();
    let (session, segment) = (SessionId::derive(1, b"nothing"), SegmentId::derive(1, b"nothing"));
    let start = store_core::SegmentStart::new(session, 1);
    let start = store_core::NewEntry::typed(LogEntry::SegmentStart(Box::new(start)));
    store.create_segment(session, segment, &[start], &store_core::CreateOptions::default())?;
    store.follow(session, segment, TailFrom::End)
}

/// The position that stands at a seq.
fn standing(at: &Handle, session: SessionId, segment: SegmentId, seq: u64) -> TailFrom {
    let Some(after) = seq.checked_sub(1) else { return TailFrom::Start };
    let found = at.inner.read_range(session, segment, Seq(after), 1).unwrap_or_default();
    found.first().map_or(TailFrom::End, |record| TailFrom::After(record.position))
}

/// A store whose tails answer like this.
macro_rules! bends {
    ($name:literal, |$tail:ident, $timeout:ident| $answer:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                follow: Some(|at, session, segment, from| {
                    Ok(Box::new(bent(at, session, segment, from, |$tail, $timeout| $answer)?))
                }),
                ..Rules::KEPT
            },
        )
    };
}

/// A store whose tails begin elsewhere.
macro_rules! begins {
    ($name:literal, |$at:ident, $session:ident, $segment:ident, $from:ident| $begin:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                follow: Some(|$at, $session, $segment, $from| $at.inner.follow($session, $segment, $begin)),
                ..Rules::KEPT
            },
        )
    };
}

pub(super) const STORES: &[FaultyStore] = &[
    begins!("a_tail_from_the_start_leaves_out_the_first_entry", |at, session, segment, from| match from {
        TailFrom::Start => standing(at, session, segment, 1),
        from => from,
    }),
    begins!("a_tail_repeats_what_it_begins_behind", |at, session, segment, from| match from {
        TailFrom::After(position) if at.inner.follow(session, segment, from).is_ok() =>
            standing(at, session, segment, position.seq.0.saturating_sub(1)),
        from => from,
    }),
    begins!("a_tail_from_the_end_begins_with_the_last_entry", |at, session, segment, from| match from {
        TailFrom::End => standing(at, session, segment, at.end(session, segment).seq.0.saturating_sub(1)),
        from => from,
    }),
    begins!("a_tail_looks_at_the_seq_of_a_position_only", |at, session, segment, from| match from {
        TailFrom::After(position) if position.seq <= at.end(session, segment).seq =>
            standing(at, session, segment, position.seq.0),
        from => from,
    }),
    begins!("a_tail_from_beyond_the_end_begins_at_the_end", |at, session, segment, from| match from {
        TailFrom::After(position) if position.seq > at.end(session, segment).seq => TailFrom::End,
        from => from,
    }),
    bends!("a_tail_ends_when_it_has_given_something", |tail, timeout| match tail.calls {
        1 => tail.inner.next(timeout),
        _ => Ok(TailEvent::Nothing),
    }),
    bends!("a_tail_ends_when_it_has_nothing_to_give", |tail, timeout| {
        if tail.calls > 1 && tail.inner.position() == tail.began && tail.shared.has("in vain") {
            return Ok(TailEvent::Nothing);
        }
        let event = tail.inner.next(timeout)?;
        if event == TailEvent::Nothing {
            tail.shared.put("in vain", "");
        }
        Ok(event)
    }),
    bends!("a_tail_that_waits_does_not_look", |tail, timeout| {
        if timeout < Duration::from_secs(1) {
            return tail.inner.next(timeout);
        }
        Ok(TailEvent::Nothing)
    }),
    FaultyStore::new(
        "a_tail_follows_its_own_handle_only",
        Rules {
            append: Some(|at, session, segment, entries, options| {
                let written = at.inner.append_with(session, segment, entries, options)?;
                for position in written.iter().filter(|_| at.second) {
                    at.shared.put(format!("{segment} {}", position.seq), "second");
                }
                Ok(written)
            }),
            follow: Some(|at, session, segment, from| {
                Ok(Box::new(bent(at, session, segment, from, |tail, timeout| {
                    let (shared, second, segment) = (Arc::clone(&tail.shared), tail.second, tail.segment);
                    tail.only(timeout.min(Duration::from_millis(300)), |record| {
                        second || !shared.has(&format!("{segment} {}", record.position.seq))
                    })
                })?))
            }),
            ..Rules::KEPT
        },
    ),
    bends!("a_tail_gives_the_twentieth_record_twice", |tail, timeout| {
        let mut event = tail.inner.next(timeout)?;
        if let TailEvent::Records(records) = &mut event
            && let Some(at) = records.iter().position(|record| record.position.seq.0 == 20)
        {
            records.insert(at, records[at].clone());
        }
        Ok(event)
    }),
    bends!("a_tail_loses_what_comes_after_twenty_records", |tail, timeout| tail
        .only(timeout.min(Duration::from_millis(300)), |record| record.position.seq.0 <= 20)),
    bends!("tails_share_what_there_is", |tail, timeout| {
        let (shared, segment) = (Arc::clone(&tail.shared), tail.segment);
        tail.only(timeout, |record| shared.put(format!("{segment} {}", record.position), "").is_none())
    }),
    bends!("a_tail_with_nothing_to_give_gives_no_records", |tail, timeout| match tail.inner.next(timeout)? {
        TailEvent::Nothing => Ok(TailEvent::Records(Vec::new())),
        event => Ok(event),
    }),
    bends!("a_tail_that_waited_in_vain_has_stopped", |tail, timeout| match tail.inner.next(timeout)? {
        TailEvent::Nothing if !timeout.is_zero() => Ok(TailEvent::Stopped),
        event => Ok(event),
    }),
    FaultyStore::new(
        "stopping_a_tail_does_nothing",
        Rules {
            follow: Some(|at, session, segment, from| {
                let short: Next = |tail, timeout| tail.inner.next(timeout.min(Duration::from_millis(300)));
                let other = at.inner.follow(session, segment, from)?;
                Ok(Box::new(Unstoppable(bent(at, session, segment, from, short)?, other)))
            }),
            ..Rules::KEPT
        },
    ),
    bends!("a_stopped_tail_can_be_used_again", |tail, timeout| {
        let event = tail.inner.next(timeout)?;
        if event == TailEvent::Stopped {
            tail.restart(TailFrom::After(tail.inner.position()))?;
        }
        Ok(event)
    }),
    FaultyStore::new(
        "a_tail_forgets_where_it_is",
        Rules {
            follow: Some(|at, session, segment, from| {
                let plain: Next = |tail, timeout| tail.inner.next(timeout);
                Ok(Box::new(Forgetful(bent(at, session, segment, from, plain)?)))
            }),
            ..Rules::KEPT
        },
    ),
    bends!("a_tail_ends_with_its_handle", |tail, timeout| match tail.handle.upgrade() {
        Some(_) => tail.inner.next(timeout),
        None => Ok(TailEvent::Stopped),
    }),
    FaultyStore::new(
        "an_unknown_segment_is_followed",
        Rules {
            follow: Some(|at, session, segment, from| match at.inner.follow(session, segment, from) {
                Err(NotFound(_)) if at.inner.lookup_session_of(segment)?.is_none() => tail_of_nothing(),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "tails_do_not_look_at_the_session",
        Rules {
            follow: Some(|at, session, segment, from| {
                let holder = at.inner.lookup_session_of(segment)?.unwrap_or(session);
                at.inner.follow(holder, segment, from)
            }),
            ..Rules::KEPT
        },
    ),
    bends!("a_tail_of_a_deleted_segment_is_quiet", |tail, timeout| match tail.inner.next(timeout) {
        Err(NotFound(_)) => Ok(TailEvent::Nothing),
        answer => answer,
    }),
    bends!("a_tail_does_not_compare_what_it_read", |tail, timeout| match tail.inner.next(timeout) {
        Err(Diverged { .. }) => {
            tail.restart(TailFrom::End)?;
            Ok(TailEvent::Nothing)
        }
        answer => answer,
    }),
    bends!("a_diverged_tail_goes_on_when_it_is_asked_again", |tail, timeout| match tail.inner.next(timeout) {
        Err(error @ Diverged { .. }) => {
            tail.restart(TailFrom::End)?;
            Err(error)
        }
        answer => answer,
    }),
    bends!("a_diverged_tail_says_that_it_agrees_to_the_end", |tail, timeout| {
        let mut answer = tail.inner.next(timeout);
        if let Err(Diverged { agreed, expected, .. }) = &mut answer {
            *agreed = *expected;
        }
        answer
    }),
    FaultyStore::new(
        "following_leaves_an_entry_in_the_log",
        Rules {
            follow: Some(|at, session, segment, from| {
                let seen = LogEntry::UserInput(UserInput { ts: 1, content: Vec::new() });
                at.inner.append_with(session, segment, &[seen.into()], &AppendOptions::default())?;
                at.inner.follow(session, segment, from)
            }),
            ..Rules::KEPT
        },
    ),
];
