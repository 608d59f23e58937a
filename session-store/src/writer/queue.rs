//! What waits between those who submit and the thread that writes.
//!
//! The lock is held for as long as it takes to put something in or to take something out, never while anything is written, so that
//! submitting costs the same however slow the medium is. What is being written counts as waiting until it has landed.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use store_core::{LogEntry, SegmentId, TimestampMs, TurnEnd};

use super::error::{NotQueued, Unfinished, WriteError};
use super::options::Submission;
use super::ticket::{Promise, Ticket};
use crate::budget::Wanted;
use crate::error::SessionError;
use crate::fold::TurnFold;
use crate::segment::NewSegment;

/// The most entries that are written in one call, unless they were submitted together.
const CALL_ENTRIES_MAX: usize = 256;

/// What was submitted together, and is written together or not at all.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) entries: Vec<Submission>,
    /// Whether any of the keys is the caller's, so that it may stand in the branch already.
    pub(super) given_keys: bool,
    /// Whether it is the end of a turn whose number is known when what came before has landed or was refused.
    pub(super) is_turn_end: bool,
    pub(super) promise: Promise,
}

/// What the writing thread does next.
#[derive(Debug)]
pub(super) enum Work {
    Append(Vec<Unit>),
    Flush(Promise),
    Compact(Box<NewSegment>, Promise),
    BeginTurn(Wanted, Promise),
}

#[derive(Debug)]
enum Waiting {
    Unit(Unit),
    Flush(Promise),
    Compact(Box<NewSegment>, Promise),
    BeginTurn(Wanted, Promise),
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    /// The entries that wait or are being written.
    entries: usize,
    keys: u64,
    closed: bool,
    stopped: Option<Arc<SessionError>>,
    /// The first refusal that no flush has told, and how many entries were refused since that flush.
    refused: Option<(Arc<SessionError>, usize)>,
    unwritten: Vec<Submission>,
    room_wakers: Vec<Waker>,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    entries_max: usize,
    key_prefix: String,
}

impl Queue {
    pub(super) fn new(entries_max: usize, now: TimestampMs) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            entries: 0,
            keys: 0,
            closed: false,
            stopped: None,
            refused: None,
            unwritten: Vec::new(),
            room_wakers: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            entries_max: entries_max.max(1),
            key_prefix: key_prefix(now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn submit(&self, entries: Vec<Submission>) -> Result<Ticket, NotQueued> {
        self.push(entries, false)
    }

    /// Submits the end of the turn. It is counted when all that was submitted before stands where it will: some of it may be
    /// refused, and some may have stood there before.
    pub(super) fn submit_turn_end(&self, ts: TimestampMs) -> Result<Ticket, NotQueued> {
        self.push(vec![LogEntry::TurnEnd(TurnEnd { ts, turn_count: 0 }).into()], true)
    }

    fn push(&self, mut entries: Vec<Submission>, is_turn_end: bool) -> Result<Ticket, NotQueued> {
        let mut state = self.lock();
        if let Some(why) = state.refusal() {
            return Err(NotQueued { why, entries });
        }
        if !self.has_room(&state, entries.len()) {
            return Err(NotQueued { why: WriteError::Full { entries_max: self.entries_max }, entries });
        }
        let mut given_keys = false;
        for submission in &mut entries {
            given_keys |= submission.key.is_some();
            if submission.key.is_none() {
                state.keys += 1;
                submission.key = Some(format!("{}{}", self.key_prefix, state.keys));
            }
        }
        state.entries += entries.len();
        let (promise, ticket) = Promise::new();
        state.waiting.push_back(Waiting::Unit(Unit { entries, given_keys, is_turn_end, promise }));
        self.work.notify_one();
        Ok(ticket)
    }

    pub(super) fn flush(&self) -> Ticket {
        self.order(Waiting::Flush)
    }

    pub(super) fn compact(&self, new: NewSegment) -> Ticket {
        self.order(|promise| Waiting::Compact(Box::new(new), promise))
    }

    pub(super) fn begin_turn(&self, wanted: Wanted) -> Ticket {
        self.order(|promise| Waiting::BeginTurn(wanted, promise))
    }

    fn order(&self, order: impl FnOnce(Promise) -> Waiting) -> Ticket {
        let (promise, ticket) = Promise::new();
        let mut state = self.lock();
        match state.refusal() {
            Some(why) => {
                drop(state);
                promise.keep(Err(why));
            }
            None => {
                state.waiting.push_back(order(promise));
                self.work.notify_one();
            }
        }
        ticket
    }

    /// Why nothing more is taken, if so.
    pub(super) fn refusal(&self) -> Option<WriteError> {
        self.lock().refusal()
    }

    /// What is larger than the whole queue goes in alone; else it never would.
    fn has_room(&self, state: &State, entries: usize) -> bool {
        state.entries == 0 || state.entries + entries <= self.entries_max
    }

    pub(super) fn room(&self, entries: usize) -> Room<'_> {
        Room { queue: self, entries }
    }

    /// What is to be done next; `None` when nothing ever will be. The thread that writes calls it.
    pub(super) fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed || state.stopped.is_some() {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.waiting.pop_front()? {
            Waiting::Flush(promise) => Some(Work::Flush(promise)),
            Waiting::Compact(new, promise) => Some(Work::Compact(new, promise)),
            Waiting::BeginTurn(wanted, promise) => Some(Work::BeginTurn(wanted, promise)),
            Waiting::Unit(first) => {
                let mut count = first.entries.len();
                let mut given_keys = first.given_keys;
                let mut units = vec![first];
                while let Some(Waiting::Unit(next)) = state.waiting.front()
                    && count + next.entries.len() <= CALL_ENTRIES_MAX
                    // What stands there already is not counted again, so the count waits until that is known.
                    && !(next.is_turn_end && given_keys)
                {
                    count += next.entries.len();
                    given_keys |= next.given_keys;
                    units.extend(state.waiting.pop_front().and_then(Waiting::into_unit));
                }
                Some(Work::Append(units))
            }
        }
    }

    /// Says that so many entries wait no more.
    pub(super) fn make_room(&self, entries: usize) {
        let mut state = self.lock();
        state.entries = state.entries.saturating_sub(entries);
        self.tell_room(state);
    }

    fn tell_room(&self, mut state: MutexGuard<'_, State>) {
        let wakers = mem::take(&mut state.room_wakers);
        drop(state);
        self.room.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Remembers that so many entries were refused, for the next flush.
    pub(super) fn note_refusal(&self, error: &Arc<SessionError>, entries: usize) {
        let mut state = self.lock();
        state.refused.get_or_insert_with(|| (Arc::clone(error), 0)).1 += entries;
    }

    /// Why something was refused first since this was asked last.
    pub(super) fn take_refusal(&self) -> Option<Arc<SessionError>> {
        self.lock().refused.take().map(|(error, _)| error)
    }

    /// Gives back what was taken out and not tried, to be taken out again before all else.
    pub(super) fn put_back(&self, units: impl DoubleEndedIterator<Item = Unit>) {
        let mut state = self.lock();
        units.rev().for_each(|unit| state.waiting.push_front(Waiting::Unit(unit)));
    }

    /// Ends all writing: what is in hand and what waits is unwritten, and everybody is told why. `turns` are those that are
    /// written: ends of turns that nobody tried to write are given back as if all before them lands.
    pub(super) fn stop(&self, in_hand: Vec<Unit>, mut turns: TurnFold, error: &Arc<SessionError>) {
        let mut state = self.lock();
        let error = Arc::clone(state.stopped.get_or_insert_with(|| Arc::clone(error)));
        let tried = in_hand.len();
        let waiting = mem::take(&mut state.waiting);
        let mut promises = Vec::new();
        for (at, waiting) in in_hand.into_iter().map(Waiting::Unit).chain(waiting).enumerate() {
            promises.push(match waiting {
                Waiting::Unit(mut unit) => {
                    unit.count(&mut turns, at < tried);
                    state.unwritten.extend(unit.entries);
                    unit.promise
                }
                Waiting::Flush(promise) | Waiting::Compact(_, promise) | Waiting::BeginTurn(_, promise) => promise,
            });
        }
        state.entries = 0;
        self.tell_room(state);
        for promise in promises {
            promise.keep(Err(WriteError::Stopped(Arc::clone(&error))));
        }
    }

    /// Takes nothing more; what waits is still written.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.work.notify_all();
        self.tell_room(state);
    }

    /// What is left when the thread that wrote has ended; `None` if nothing went wrong that nobody was told of.
    pub(super) fn take_rest(&self) -> Option<Unfinished> {
        let mut state = self.lock();
        let (first, refused) = state.refused.take().map_or((None, 0), |(first, count)| (Some(first), count));
        let stopped = state.stopped.clone().map(WriteError::Stopped);
        let why = stopped.or_else(|| first.map(WriteError::Refused))?;
        Some(Unfinished { why, unwritten: mem::take(&mut state.unwritten), refused })
    }
}

impl Unit {
    /// Goes through the unit's entries, and numbers the end of a turn unless its number was `told` already.
    pub(super) fn count(&mut self, turns: &mut TurnFold, told: bool) {
        for submission in &mut self.entries {
            if let LogEntry::TurnEnd(end) = &mut submission.entry
                && self.is_turn_end
                && !told
            {
                end.turn_count = turns.turn_count();
            }
            turns.apply(&submission.entry);
        }
    }
}

impl State {
    fn refusal(&self) -> Option<WriteError> {
        match &self.stopped {
            Some(error) => Some(WriteError::Stopped(Arc::clone(error))),
            None => self.closed.then_some(WriteError::Closed),
        }
    }
}

impl Waiting {
    fn into_unit(self) -> Option<Unit> {
        match self {
            Self::Unit(unit) => Some(unit),
            Self::Flush(_) | Self::Compact(..) | Self::BeginTurn(..) => None,
        }
    }
}

/// What the keys begin with that one writer makes up: 62 random bits and 2 fixed ones, because an entry's key is kept as long as the entry.
fn key_prefix(now: TimestampMs) -> String {
    let id = SegmentId::mint(now);
    let random: String = id.as_bytes().iter().skip(8).map(|byte| format!("{byte:02x}")).collect();
    format!("w.{random}.")
}

/// Room in the queue: wait for it, or await it. Somebody else may take it first.
#[derive(Debug)]
#[must_use = "it does nothing unless it is waited for or awaited"]
pub struct Room<'a> {
    queue: &'a Queue,
    entries: usize,
}

impl Room<'_> {
    /// Waits until the entries fit that it was asked for.
    ///
    /// # Errors
    /// `Stopped` and `Closed`: there will be none.
    pub fn wait(&self) -> Result<(), WriteError> {
        let queue = self.queue;
        let mut state = queue.lock();
        loop {
            if let Some(answer) = self.look(&state) {
                return answer;
            }
            state = queue.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn look(&self, state: &State) -> Option<Result<(), WriteError>> {
        match state.refusal() {
            Some(why) => Some(Err(why)),
            None => self.queue.has_room(state, self.entries).then_some(Ok(())),
        }
    }
}

impl Future for Room<'_> {
    type Output = Result<(), WriteError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.queue.lock();
        if let Some(answer) = self.look(&state) {
            return Poll::Ready(answer);
        }
        // A task that polls again before there is room gave this waker before.
        if !state.room_wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.room_wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}
