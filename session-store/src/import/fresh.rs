//! What a run has written that the index does not know yet, and how it gets there.
//!
//! A thread with a handle of its own on the index's file brings in what was written while the next files are read. The importer waits for it
//! only where an answer could depend on it: the records of what is on its way are remembered, and who asks for one of them waits until the index
//! has it. An index without a file has no second handle, and is fed when somebody asks, or at the end of the run. The price is a digest
//! of each record that is on its way, of which there are a bounded number.

use std::cell::RefCell;
use std::collections::HashSet;
use std::iter;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use store_core::{Backend, SessionId, Store};

use super::memory::Key;
use super::writer::Outcome;
use crate::error::Result;
use crate::index::{Index, RecordHome};
use crate::segment::SegmentLocation;

/// How many records are remembered before the index has to know them.
const RECORDS_MAX: usize = 100_000;
/// How many segments are brought in together, if as many were written while the ones before them were.
const SEGMENTS_TOGETHER: usize = 16;

/// A bookmark on its way into the index.
pub(super) struct Kept {
    pub(super) session: SessionId,
    pub(super) native_id: String,
    pub(super) state: String,
    pub(super) pieces: Vec<(u64, Vec<u8>)>,
}

enum Fed {
    Segments(Vec<SegmentLocation>),
    Bookmark(Kept),
}

/// The other thread's ends: what goes there, and a word for each that is in.
struct Feeder {
    give: Sender<Fed>,
    told: Receiver<()>,
    /// How many are not in yet.
    given: usize,
}

/// What a run has written that the index does not know yet.
pub(super) struct Fresh<'a> {
    store: &'a dyn Store,
    index: &'a Index,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// Not on their way yet.
    segments: Vec<SegmentLocation>,
    records: HashSet<Key>,
    /// On their way.
    leaving: HashSet<Key>,
    /// Of both.
    sessions: HashSet<SessionId>,
    feeder: Option<Feeder>,
}

impl<'a> Fresh<'a> {
    /// For who writes nothing, or has nobody to help.
    pub(super) fn alone(store: &'a dyn Store, index: &'a Index) -> Self {
        Self { store, index, state: RefCell::default() }
    }

    /// Does `work` while another thread brings what it writes into the index, if the index can have two handles.
    pub(super) fn beside<T>(store: &dyn Backend, index: &Index, work: impl FnOnce(&Fresh<'_>) -> T) -> T {
        let Some(second) = index.second_handle() else { return work(&Fresh::alone(store, index)) };
        thread::scope(|scope| {
            let (give, take) = channel();
            let (tell, told) = channel();
            scope.spawn(move || feed(store, &second, &take, &tell));
            let fresh = Fresh::alone(store, index);
            fresh.state.borrow_mut().feeder = Some(Feeder { give, told, given: 0 });
            work(&fresh)
        })
    }

    /// Takes note of what came of a file.
    pub(super) fn wrote(&self, outcome: &Outcome) -> Result<()> {
        if outcome.entries == 0 && !outcome.said {
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        let session_id = outcome.session;
        state.sessions.insert(session_id);
        let segments = outcome.segments.iter().map(|id| SegmentLocation { session_id, segment_id: *id });
        state.segments.extend(segments);
        let is_too_much = match &outcome.records {
            Some(records) => {
                state.records.extend(records);
                state.records.len() > RECORDS_MAX
            }
            None => true,
        };
        if state.segments.len() >= SEGMENTS_TOGETHER {
            state.send_when_free();
        }
        drop(state);
        if is_too_much { self.bring_in() } else { Ok(()) }
    }

    /// Keeps a bookmark in the index. Without it the next run replays the file.
    pub(super) fn keep(&self, kept: Kept) {
        let mut state = self.state.borrow_mut();
        if let Some(kept) = state.give(Fed::Bookmark(kept))
            && let Fed::Bookmark(Kept { session, native_id, state, pieces }) = kept
        {
            let _ = self.index.put_bookmark(session, &native_id, &state, &pieces);
        }
    }

    /// Brings in what the run has written, and nothing else: what others write meanwhile can wait for the end.
    pub(super) fn bring_in(&self) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let segments = std::mem::take(&mut state.segments);
        if !segments.is_empty()
            && let Some(Fed::Segments(segments)) = state.give(Fed::Segments(segments))
        {
            self.index.refresh_segments(self.store, &segments)?;
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
        self.state.borrow().sessions.contains(&session)
    }

    /// As [`Index::record_homes`], with what the run has written.
    pub(super) fn record_homes(&self, agent: &str, record: &str) -> Result<Vec<RecordHome>> {
        let is_fresh = {
            let state = self.state.borrow();
            let any = !state.records.is_empty() || !state.leaving.is_empty();
            any && {
                let key = Key::of(record);
                state.records.contains(&key) || state.leaving.contains(&key)
            }
        };
        if is_fresh {
            self.bring_in()?;
        }
        self.index.record_homes(agent, record)
    }
}

impl State {
    /// Hands something to the other thread; gives it back if there is none.
    fn give(&mut self, fed: Fed) -> Option<Fed> {
        let Some(feeder) = &mut self.feeder else { return Some(fed) };
        match feeder.give.send(fed) {
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
        let segments = std::mem::take(&mut self.segments);
        self.sessions.extend(segments.iter().map(|segment| segment.session_id));
        if let Some(Fed::Segments(segments)) = self.give(Fed::Segments(segments)) {
            self.segments = segments;
        }
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
        self.sessions = self.segments.iter().map(|segment| segment.session_id).collect();
    }
}

/// Brings in whatever comes, as much as there is at once.
fn feed(store: &dyn Backend, index: &Index, take: &Receiver<Fed>, tell: &Sender<()>) {
    while let Ok(first) = take.recv() {
        let (mut segments, mut bookmarks, mut count) = (Vec::new(), Vec::new(), 0);
        for fed in iter::once(first).chain(take.try_iter()) {
            count += 1;
            match fed {
                Fed::Segments(more) => segments.extend(more),
                Fed::Bookmark(kept) => bookmarks.push(kept),
            }
        }
        if !segments.is_empty() && index.refresh_segments(store, &segments).is_err() {
            return;
        }
        for Kept { session, native_id, state, pieces } in bookmarks {
            // Without it the next run replays the file.
            let _ = index.put_bookmark(session, &native_id, &state, &pieces);
        }
        for _ in 0..count {
            if tell.send(()).is_err() {
                return;
            }
        }
    }
}
