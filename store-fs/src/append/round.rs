//! Calls of many threads that wait for stable storage, made by one of them: one lock, as few writes as can be, one sync.
//!
//! Calls are decided in the order in which they came, each behind what those before it are about to write. A key is looked up in the file, so
//! what waits to be written is written before that. Whatever is out of the common (a part that is full, a log that was replaced, a medium
//! that runs full, damage) ends the common way, and each call that has no answer by then is made by itself, as if there were no others:
//! it gets the answer that it would have got alone, at the price of a sync of its own.

use std::convert::Infallible;
use std::mem;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use store_core::call::{self, Prepared, Slot};
use store_core::{Expected, Position, Result, StoreError};

use super::{Ids, refuse_unexpected, resolve, writes_of};
use crate::live::Touched;
use crate::record_log::{Draft, Locked, RecordLog, lock_mutex};
use crate::store::FsStore;

/// How many bytes of calls are written at once, the last call not counted.
const DRAFT_BYTES: usize = 1024 * 1024;

/// What a call answers: its positions, or `None` if the log has to be opened anew.
type Answer = Result<Option<Vec<Position>>>;

/// A call that waits for whoever leads the round.
#[derive(Debug)]
pub(crate) struct Waiting {
    entries: Vec<Prepared>,
    expected: Option<Expected>,
    answer: Mutex<Option<Answer>>,
}

impl Waiting {
    pub(super) fn new(entries: Vec<Prepared>, expected: Option<Expected>) -> Arc<Self> {
        Arc::new(Self { entries, expected, answer: Mutex::default() })
    }

    fn settle(&self, answer: Answer) {
        *lock_mutex(&self.answer) = Some(answer);
    }

    fn is_settled(&self) -> bool {
        lock_mutex(&self.answer).is_some()
    }
}

/// Calls that were written, or that stood already, and wait for the sync.
type Written<'c> = Vec<(&'c Waiting, Vec<Position>)>;

impl FsStore {
    /// Makes a call together with those of other threads that wait, and returns when it is on stable storage.
    pub(super) fn append_in_round(&self, ids: Ids, waiting: &Arc<Waiting>, log: &RecordLog) -> Answer {
        let made = log.rounds().call(Arc::clone(waiting), |calls| {
            self.make_round(ids, &calls, log);
            Ok::<_, Infallible>(())
        });
        match (lock_mutex(&waiting.answer).take(), made) {
            (Some(answer), _) => answer,
            // Whoever led the round panicked.
            (None, Err(poisoned)) => Err(log.failed_sync(&poisoned)),
            (None, Ok(())) => unreachable!("a round answers every call that it takes"),
        }
    }

    fn make_round(&self, ids: Ids, calls: &[Arc<Waiting>], log: &RecordLog) {
        if calls.len() > 1 {
            self.make_together(ids, calls, log);
        }
        for call in calls.iter().filter(|call| !call.is_settled()) {
            call.settle(self.make_alone(ids, call, log));
        }
    }

    fn make_alone(&self, ids: Ids, call: &Waiting, log: &RecordLog) -> Answer {
        let Some((positions, seq)) = self.append_alone(ids, (&call.entries, call.expected), log)? else {
            return Ok(None);
        };
        log.sync_through(seq)?;
        Ok(Some(positions))
    }

    /// Answers those calls that can be made together, and leaves the others.
    fn make_together(&self, ids: Ids, calls: &[Arc<Waiting>], log: &RecordLog) {
        let mut written = Vec::new();
        // What fails here fails again for whom it concerns.
        let Ok(Some(seq)) = log.with_lock(|locked| {
            let (draft, drafted, written) = (None, Vec::new(), &mut written);
            Together { store: self, ids, log: &mut *locked, draft, drafted, written }.write_all(calls);
            Ok(locked.seq())
        }) else {
            return;
        };
        if written.is_empty() {
            return;
        }
        let mut synced = log.sync_through(seq);
        for (call, positions) in written {
            let others = if synced.is_ok() { Ok(()) } else { Err(log.untrusted()) };
            call.settle(mem::replace(&mut synced, others).map(|()| Some(positions)));
        }
    }
}

/// A call in a draft: where its entries stand that stood already, and which lines of the draft are the others.
struct Drafted<'c> {
    call: &'c Waiting,
    slots: Option<Vec<Slot>>,
    lines: Range<usize>,
}

/// The calls of a round on their way into the log.
struct Together<'a, 'l, 'c> {
    store: &'a FsStore,
    ids: Ids,
    log: &'a mut Locked<'l>,
    draft: Option<Draft<'c>>,
    drafted: Vec<Drafted<'c>>,
    written: &'a mut Written<'c>,
}

impl<'c> Together<'_, '_, 'c> {
    /// Takes calls up and writes them, as far as the common way goes.
    fn write_all(&mut self, calls: &'c [Arc<Waiting>]) {
        for call in calls {
            if !matches!(self.take_up(call), Ok(ControlFlow::Continue(()))) {
                break;
            }
        }
        // Who is not written with the others has no answer yet.
        let _ = self.write();
    }

    fn take_up(&mut self, call: &'c Waiting) -> Result<ControlFlow<()>> {
        if call.entries.iter().any(|entry| entry.key.is_some()) {
            self.write()?;
        }
        let slots = match resolve(&call.entries, self.log) {
            Err(error @ StoreError::KeyReused { .. }) => return Ok(Self::refuse(call, error)),
            slots => slots?,
        };
        let writes = writes_of(&call.entries, slots.as_deref());
        if let (Some(slots), true) = (&slots, writes.is_empty()) {
            self.written.push((call, call::answer(slots, &[])));
            return Ok(ControlFlow::Continue(()));
        }
        if refuse_unexpected(call.expected, self.end()).is_err() {
            // What is only about to be written is no reason to refuse anything.
            self.write()?;
            if let Err(error) = refuse_unexpected(call.expected, self.end()) {
                return Ok(Self::refuse(call, error));
            }
        }
        self.store.touch(Touched::segment(self.ids.0, self.ids.1))?;
        let mut draft = self.draft.take().unwrap_or_else(|| self.log.draft());
        let before = draft.place();
        self.log.add_call(&mut draft, writes.into_iter());
        if self.log.is_full_for(&draft, self.store.max_part_bytes) {
            draft.cut_back(&before);
            self.draft = Some(draft);
            return Ok(ControlFlow::Break(()));
        }
        self.drafted.push(Drafted { call, slots, lines: before.lines..draft.place().lines });
        let is_long = draft.place().bytes >= DRAFT_BYTES;
        self.draft = Some(draft);
        if is_long {
            self.write()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn refuse(call: &Waiting, error: StoreError) -> ControlFlow<()> {
        call.settle(Err(error));
        ControlFlow::Continue(())
    }

    /// Where the log ends with all that was taken up.
    fn end(&self) -> Position {
        self.draft.as_ref().map_or(self.log.end(), Draft::end)
    }

    /// Writes what was taken up. If that fails it has no answer.
    fn write(&mut self) -> Result<()> {
        let drafted = mem::take(&mut self.drafted);
        let Some(draft) = self.draft.take().filter(|_| !drafted.is_empty()) else { return Ok(()) };
        let positions = self.log.write_draft(draft)?;
        for Drafted { call, slots, lines } in drafted {
            let own = &positions[lines];
            self.written.push((call, slots.map_or_else(|| own.to_vec(), |slots| call::answer(&slots, own))));
        }
        Ok(())
    }
}
