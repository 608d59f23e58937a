//! What a run has written that the index does not know yet, and how it gets there.
//!
//! A thread with a handle of its own on the index's file brings in what was written while the next files are read. The importer waits for it
//! only where an answer could depend on it: the records of what is on its way are remembered, and who asks for one of them waits until the index
//! has it. An index without a file has no second handle, and is fed when somebody asks, or at the end of the run. The price is a digest
//! of each record that is on its way, of which there are a bounded number.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use store_core::{Backend, Position, SegmentId, Seq, SessionId, Store};

use super::bookmark::Bookmark;
use super::made::WithMade;
use super::memory::{ByKey, Key};
use super::staging::{Made, Staging};
use super::writer::Outcome;
use crate::error::Result;
use crate::index::{Index, RecordHome};
use crate::segment::SegmentLocation;

/// How many records are remembered before the index has to know them.
const RECORDS_MAX: usize = 100_000;
/// How many segments are brought in together, if as many were written while the ones before them were.
const SEGMENTS_TOGETHER: usize = 16;

/// How much text that was just made waits for the index at most.
const MADE_BYTES_MAX: usize = 16 << 20;

/// A bookmark on its way into the index.
pub(super) struct Kept {
    pub(super) session: SessionId,
    pub(super) native_id: String,
    pub(super) bookmark: Bookmark,
    pub(super) pieces: Vec<(u64, Vec<u8>)>,
}

/// Segments for the index, and those of them that are in memory.
#[derive(Default)]
struct Written {
    segments: Vec<SegmentLocation>,
    made: Vec<Arc<Made>>,
    bookmarks: Vec<Kept>,
}

impl Written {
    fn bring_in(self, store: &dyn Store, index: &Index) -> Result<()> {
        if !self.segments.is_empty() {
            let store = WithMade::in_store(store, &self.made);
            index.refresh_made(&store, &store, &self.segments)?;
        }
        // Without one the next run replays its file.
        let _ = index.put_bookmarks(self.bookmarks.into_iter().filter_map(|kept| {
            let state = serde_json::to_string(&kept.bookmark).ok()?;
            Some((kept.session, kept.native_id, state, kept.pieces))
        }));
        Ok(())
    }

    fn made_bytes(&self) -> usize {
        self.made.iter().map(|made| made.bytes()).sum()
    }
}

/// The other thread's ends: what goes there, and a word for each that is in.
struct Feeder {
    give: Sender<Written>,
    told: Receiver<()>,
    /// How many are not in yet.
    given: usize,
}

/// What a run has written that the index does not know yet.
pub(super) struct Fresh<'a> {
    store: &'a dyn Store,
    staging: &'a Staging<'a>,
    index: &'a Index,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// In the store, and not on its way yet.
    written: Written,
    records: HashSet<Key, ByKey>,
    /// Of sessions that are held.
    held: HashSet<Key, ByKey>,
    held_bookmarks: Vec<Kept>,
    /// On their way.
    leaving: HashSet<Key, ByKey>,
    /// Of what is not held.
    sessions: HashSet<SessionId>,
    feeder: Option<Feeder>,
}

impl<'a> Fresh<'a> {
    /// For who writes nothing, or has nobody to help. `staging` is before `store`.
    pub(super) fn alone(store: &'a dyn Store, staging: &'a Staging<'a>, index: &'a Index) -> Self {
        Self { store, staging, index, state: RefCell::default() }
    }

    /// Does `work` while another thread brings what it writes into the index, if the index can have two handles.
    pub(super) fn beside<T>(
        store: &dyn Backend,
        staging: &Staging<'_>,
        index: &Index,
        work: impl FnOnce(&Fresh<'_>) -> T,
    ) -> T {
        let Some(second) = index.second_handle() else { return work(&Fresh::alone(store, staging, index)) };
        thread::scope(|scope| {
            let (give, take) = channel();
            let (tell, told) = channel();
            scope.spawn(move || feed(store, &second, &take, &tell));
            let fresh = Fresh::alone(store, staging, index);
            fresh.state.borrow_mut().feeder = Some(Feeder { give, told, given: 0 });
            work(&fresh)
        })
    }

    /// Takes note of what came of a file.
    pub(super) fn wrote(&self, outcome: &Outcome) -> Result<()> {
        self.index.unpin();
        if outcome.entries == 0 && !outcome.said {
            return Ok(());
        }
        let is_held = self.staging.holds(outcome.session);
        let mut state = self.state.borrow_mut();
        let session_id = outcome.session;
        if !is_held {
            state.sessions.insert(session_id);
            let segments = outcome.segments.iter().map(|id| SegmentLocation { session_id, segment_id: *id });
            state.written.segments.extend(segments);
        }
        let is_too_much = match &outcome.records {
            Some(records) => {
                let to = if is_held { &mut state.held } else { &mut state.records };
                to.extend(records);
                state.records.len() + state.held.len() > RECORDS_MAX
            }
            None => true,
        };
        drop(state);
        if is_too_much {
            return self.bring_in();
        }
        self.take_made();
        let mut state = self.state.borrow_mut();
        if state.written.segments.len() >= SEGMENTS_TOGETHER {
            state.send_when_free();
        }
        let has_room = state.written.made_bytes() <= MADE_BYTES_MAX || state.make_room();
        drop(state);
        if has_room { Ok(()) } else { self.bring_in() }
    }

    /// Takes note of what was made of what was held.
    fn take_made(&self) {
        let made = self.staging.take_made();
        if made.is_empty() {
            return;
        }
        let mut state = self.state.borrow_mut();
        // Some of them may be held still: to be asked for once too often costs a wait.
        let held = std::mem::take(&mut state.held);
        state.records.extend(held);
        let position = |segment: SegmentId, seq: Seq| made.iter().find_map(|made| made.position(segment, seq));
        let (held, ready): (Vec<Kept>, Vec<Kept>) =
            std::mem::take(&mut state.held_bookmarks).into_iter().partition(|kept| self.staging.holds(kept.session));
        state.held_bookmarks = held;
        state.written.bookmarks.extend(ready.into_iter().map(|kept| kept.placed(&position)));
        for made in &made {
            state.sessions.extend(made.locations().map(|segment| segment.session_id));
            state.written.segments.extend(made.locations());
        }
        state.written.made.extend(made);
    }

    /// Keeps a bookmark in the index. Without it the next run replays the file.
    pub(super) fn keep(&self, kept: Kept) {
        let is_held = self.staging.holds(kept.session);
        let mut state = self.state.borrow_mut();
        if is_held {
            state.held_bookmarks.push(kept);
        } else {
            state.written.bookmarks.push(kept);
        }
    }

    /// Brings in what the run has written, and nothing else: what others write meanwhile can wait for the end.
    pub(super) fn bring_in(&self) -> Result<()> {
        self.index.unpin();
        self.staging.commit();
        self.take_made();
        let mut state = self.state.borrow_mut();
        let written = std::mem::take(&mut state.written);
        if let Some(written) = state.give(written) {
            written.bring_in(self.store, self.index)?;
        }
        if !state.wait() {
            // Whoever fed the index has failed: this handle meets what it met, and tells.
            self.index.refresh(self.store)?;
        }
        state.forget();
        state.records.clear();
        Ok(())
    }

    /// Whether something of a session is not in the index yet.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.staging.holds(session) || self.state.borrow().sessions.contains(&session)
    }

    /// As [`Index::record_homes`], with what the run has written.
    pub(super) fn record_homes(&self, agent: &str, record: &str) -> Result<Vec<RecordHome>> {
        let is_fresh = {
            let state = self.state.borrow();
            let all = [&state.records, &state.held, &state.leaving];
            all.iter().any(|records| !records.is_empty()) && {
                let key = Key::of(record);
                all.iter().any(|records| records.contains(&key))
            }
        };
        if is_fresh {
            self.bring_in()?;
        }
        self.index.record_homes_pinned(agent, record)
    }
}

impl Kept {
    /// The same with the places that the entries have in the store, where that was not known yet.
    fn placed(mut self, position: &dyn Fn(SegmentId, Seq) -> Option<Position>) -> Self {
        self.bookmark.place(position);
        self
    }
}

impl State {
    /// Hands something to the other thread; gives it back if there is none.
    fn give(&mut self, written: Written) -> Option<Written> {
        let Some(feeder) = &mut self.feeder else { return Some(written) };
        match feeder.give.send(written) {
            Ok(()) => {
                feeder.given += 1;
                None
            }
            Err(back) => Some(back.0),
        }
    }

    /// Sends what was written on its way if nothing else is.
    fn send_when_free(&mut self) {
        let Some(feeder) = &mut self.feeder else { return };
        feeder.given -= feeder.told.try_iter().count();
        if feeder.given > 0 {
            return;
        }
        self.forget();
        self.leaving = std::mem::take(&mut self.records);
        let written = std::mem::take(&mut self.written);
        self.sessions.extend(written.segments.iter().map(|segment| segment.session_id));
        if let Some(written) = self.give(written) {
            self.written = written;
        }
    }

    /// Waits until what left before is in, and sends what was written since after it. False if there is no other thread.
    fn make_room(&mut self) -> bool {
        let is_free = self.feeder.is_some() && self.wait();
        if is_free {
            self.send_when_free();
        }
        is_free
    }

    /// Waits until nothing is on its way. False if it will never come in.
    fn wait(&mut self) -> bool {
        let Some(feeder) = &mut self.feeder else { return true };
        while feeder.given > 0 {
            if feeder.told.recv().is_err() {
                self.feeder = None;
                return false;
            }
            feeder.given -= 1;
        }
        true
    }

    /// Forgets what was on its way and is in.
    fn forget(&mut self) {
        self.leaving.clear();
        self.sessions = self.written.segments.iter().map(|segment| segment.session_id).collect();
    }
}

/// Brings in whatever comes.
fn feed(store: &dyn Backend, index: &Index, take: &Receiver<Written>, tell: &Sender<()>) {
    while let Ok(written) = take.recv() {
        if written.bring_in(store, index).is_err() || tell.send(()).is_err() {
            return;
        }
    }
}
