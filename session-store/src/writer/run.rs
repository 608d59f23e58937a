//! The thread that writes: takes what waits, appends it where the writer stands, and forks where somebody else went on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwap;
use store_core::{
    AppendOptions, Backend, Durability, Expected, Lease, NewEntry, Position, SegmentId, Store, StoreError, TimestampMs,
};

use super::error::WriteError;
use super::keys::BranchKeys;
use super::options::{OnLive, WriterOptions};
use super::queue::{Queue, Unit, Work};
use super::ticket::{Landed, Promise};
use super::turn::HeldTurns;
use crate::budget::{Standing, Wanted};
use crate::error::{Result, SessionError};
use crate::segment::{Call, NewSegment, SegmentLocation};
use crate::state::{SegmentHead, SegmentState};

/// How often one call goes on in a new segment, or waits once more for a store that is busy, before its error is told.
const TRIES: usize = 8;

/// The last entry that was written to a segment and may not be on stable storage.
struct Unsynced {
    location: SegmentLocation,
    position: Position,
    entry: NewEntry,
}

/// Who writes.
pub(super) struct Worker {
    store: Arc<dyn Backend>,
    state: Arc<SegmentState>,
    queue: Arc<Queue>,
    options: WriterOptions,
    lease: Option<(SegmentId, Lease)>,
    unsynced: Vec<Unsynced>,
    keys: Option<BranchKeys>,
    turns: HeldTurns,
}

/// Ends all waiting if the thread that writes ends where it should not.
struct NobodyWaits(Arc<Queue>, Arc<SegmentState>);

impl Drop for NobodyWaits {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Vec::new(), self.1.head().turns.clone(), &super::ticket::lost_thread());
        }
    }
}

impl Worker {
    /// A writer that holds the lease of the state's segment, if the store has leases and nobody else holds it.
    ///
    /// # Errors
    /// `Busy` if somebody does, and the options say to refuse; `NotFound`; what the store fails with.
    pub(super) fn new(
        store: Arc<dyn Backend>,
        state: Arc<SegmentState>,
        queue: Arc<Queue>,
        options: WriterOptions,
    ) -> Result<Self> {
        let turns = HeldTurns::new(&store, options.budget.as_ref())?;
        let mut worker = Self { store, state, queue, options, lease: None, unsynced: Vec::new(), keys: None, turns };
        match worker.take_lease() {
            Err(SessionError::Store(StoreError::Busy { .. })) if worker.forks() => {}
            other => other?,
        }
        Ok(worker)
    }

    /// Where the standings of its budgets are told.
    pub(super) fn standings(&self) -> Arc<ArcSwap<Vec<Standing>>> {
        self.turns.standings()
    }

    fn forks(&self) -> bool {
        self.options.on_live == OnLive::Fork
    }

    /// Works until the queue is closed or something ends all writing.
    pub(super) fn run(mut self) {
        let _nobody_waits = NobodyWaits(Arc::clone(&self.queue), Arc::clone(&self.state));
        while let Some(work) = self.queue.next() {
            match work {
                Work::Append(units) => self.append(units),
                Work::Flush(promise) => self.flush(promise),
                Work::Compact(new, promise) => self.compact(&new, promise),
                Work::BeginTurn(wanted, promise) => self.begin_turn(wanted, promise),
            }
        }
        // Behind a failed sync no other one proves anything.
        if !matches!(self.queue.refusal(), Some(WriteError::Stopped(_)))
            && let Err(error) = attempt(|| self.sync())
        {
            self.stop(Vec::new(), &Arc::new(error));
        }
        // What is written is on stable storage before anybody waits for the ledger. The lease is still held, so nobody else thinks that the turn's owner has died.
        self.turns.finish(self.options.clock.now());
        drop(self.lease);
    }

    /// Writes in one call what came in together; where the store refuses that, each for itself, so that only the refused one is left out.
    fn append(&mut self, mut units: Vec<Unit>) {
        match attempt(|| self.write(&mut units)) {
            Ok(landed) => self.keep(units, &landed),
            Err(error) if is_about_entries(&error) && units.len() > 1 => self.append_each(units),
            Err(error) => self.fail(units, error),
        }
    }

    fn append_each(&mut self, units: Vec<Unit>) {
        let mut units = units.into_iter();
        while let Some(unit) = units.next() {
            let mut unit = [unit];
            match attempt(|| self.write(&mut unit)) {
                Ok(landed) => self.keep(unit.into(), &landed),
                Err(error) if is_about_entries(&error) => self.fail(unit.into(), error),
                Err(error) => {
                    self.queue.put_back(units);
                    return self.fail(unit.into(), error);
                }
            }
        }
    }

    fn stop(&self, in_hand: Vec<Unit>, error: &Arc<SessionError>) {
        self.queue.stop(in_hand, self.state.head().turns.clone(), error);
    }

    fn keep(&mut self, units: Vec<Unit>, landed: &[Landed]) {
        let head = self.state.head();
        let head = Landed { location: head.location, position: head.position };
        let entries = units.iter().flat_map(|unit| &unit.entries);
        let ended = self.turns.note(entries.zip(landed));
        let mut behind = 0;
        for unit in units {
            behind += unit.entries.len();
            let last = if unit.entries.is_empty() { head } else { landed.get(behind - 1).copied().unwrap_or(head) };
            // Whoever learns that it landed finds room for the next.
            self.queue.make_room(unit.entries.len());
            unit.promise.keep(Ok(last));
        }
        // Nobody who waits for an entry waits for the ledger.
        if ended {
            self.turns.settle(self.options.clock.now());
        }
    }

    fn begin_turn(&mut self, wanted: Wanted, promise: Promise) {
        // Who reserves is known by the lease, so the writer has to be where it will write.
        if self.turns.are_held()
            && let Err(error) = attempt(|| self.until_done(Self::take_lease))
        {
            return promise.keep(Err(WriteError::NoTurn(Arc::new(error))));
        }
        let head = self.state.head();
        let head = Landed { location: head.location, position: head.position };
        self.turns.begin(self.options.clock.now(), head, wanted, promise);
    }

    fn fail(&self, units: Vec<Unit>, error: SessionError) {
        let is_refusal = is_about_entries(&error);
        let error = Arc::new(error);
        if !is_refusal {
            return self.stop(units, &error);
        }
        self.queue.note_refusal(&error, units.iter().map(|unit| unit.entries.len()).sum());
        for unit in units {
            self.queue.make_room(unit.entries.len());
            unit.promise.keep(Err(WriteError::Refused(Arc::clone(&error))));
        }
    }

    /// Appends the entries of all units in one call and answers with the place of each entry.
    fn write(&mut self, units: &mut [Unit]) -> Result<Vec<Landed>> {
        let mut turns = self.state.head().turns.clone();
        for unit in &mut *units {
            unit.count(&mut turns, false);
        }
        let store = Arc::clone(&self.store);
        let submissions = units.iter().flat_map(|unit| &unit.entries);
        let call = Call::prepare(&*store, submissions.map(|one| (one.entry.clone(), one.key.clone())))?;
        let given_keys = units.iter().any(|unit| unit.given_keys);
        self.until_done(|worker| {
            worker.take_lease()?;
            if given_keys {
                return worker.write_unless_standing(&call.entries);
            }
            worker.write_call(&call.entries)
        })
    }

    /// Tries again while the store is busy, and in a new segment where somebody else writes to this one.
    fn until_done<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            match work(self) {
                Err(SessionError::Store(error)) if tries < TRIES => match self.make_way(error) {
                    // What stood in the way stands there still, and is met again.
                    Err(SessionError::Store(StoreError::Busy { .. })) if self.forks() => {}
                    other => other?,
                },
                other => return other,
            }
        }
    }

    /// Does what lets a call succeed that failed with this; gives the error back where nothing does.
    fn make_way(&mut self, error: StoreError) -> Result<()> {
        match error {
            StoreError::Conflict { .. } if self.forks() => {
                self.go_on_elsewhere(|state, store, now| state.ensure_head_or_fork(store, now))
            }
            StoreError::Busy { .. } if self.is_held_elsewhere()? => {
                if !self.forks() {
                    return Err(error.into());
                }
                self.go_on_elsewhere(SegmentState::fork_here)
            }
            // The store was busy and wrote nothing, or who held the lease has gone.
            StoreError::Busy { .. } => Ok(()),
            error => Err(error.into()),
        }
    }

    fn go_on_elsewhere(
        &mut self,
        fork: impl FnOnce(&SegmentState, &dyn Store, TimestampMs) -> Result<SegmentLocation>,
    ) -> Result<()> {
        let left = self.state.head();
        fork(&self.state, &*self.store, self.options.clock.now())?;
        self.left(&left)
    }

    /// The writer has gone on behind where it stood.
    fn left(&mut self, head: &SegmentHead) -> Result<()> {
        match &mut self.keys {
            Some(keys) if self.state.location() != head.location => keys.left(&*self.store, head),
            _ => Ok(()),
        }
    }

    /// Whether nobody else may hold the lease of the segment that is written to.
    fn is_leased(&self) -> bool {
        let at = self.state.location().segment_id;
        self.store.watch().is_none() || self.lease.as_ref().is_some_and(|(leased, _)| *leased == at)
    }

    fn is_held_elsewhere(&self) -> Result<bool> {
        let SegmentLocation { session_id, segment_id } = self.state.location();
        match self.store.watch() {
            Some(watch) if !self.is_leased() => Ok(watch.leased(session_id, segment_id)?.is_some()),
            _ => Ok(false),
        }
    }

    /// Holds the lease of the segment that is written to. A store without leases is written to without one.
    fn take_lease(&mut self) -> Result<()> {
        if self.is_leased() {
            return Ok(());
        }
        let Some(watch) = self.store.watch() else { return Ok(()) };
        let SegmentLocation { session_id, segment_id } = self.state.location();
        match watch.lease(session_id, segment_id, &self.options.holder, self.options.clock.now()) {
            Ok(lease) => {
                if let Some((_, former)) = self.lease.replace((segment_id, lease)) {
                    self.turns.keep_while_open(former);
                }
            }
            Err(StoreError::Unsupported { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn write_call(&mut self, call: &[NewEntry]) -> Result<Vec<Landed>> {
        let location = self.state.location();
        if call.is_empty() {
            return Ok(Vec::new());
        }
        let positions = self.state.append_call(&*self.store, call, self.options.durability)?;
        if let (Some(entry), Some(position)) = (call.last(), positions.last())
            && self.options.durability != Some(Durability::Synced)
        {
            self.unsynced.retain(|one| one.location != location);
            self.unsynced.push(Unsynced { location, position: *position, entry: entry.clone() });
        }
        Ok(positions.into_iter().map(|position| Landed { location, position }).collect())
    }

    /// Writes what does not stand in the segments that this one continues.
    fn write_unless_standing(&mut self, call: &[NewEntry]) -> Result<Vec<Landed>> {
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => BranchKeys::read(&*self.store, self.state.location())?,
        };
        let keys = self.keys.insert(keys);
        let standing: Vec<Option<Landed>> = call.iter().map(|new| keys.find(new)).collect::<Result<_>>()?;
        let missing = call.iter().zip(&standing).filter(|(_, standing)| standing.is_none());
        let missing: Vec<NewEntry> = missing.map(|(new, _)| new.clone()).collect();
        let mut written = self.write_call(&missing)?.into_iter();
        let place = |standing: Option<Landed>| standing.or_else(|| written.next());
        let landed: Option<Vec<Landed>> = standing.into_iter().map(place).collect();
        Ok(landed.ok_or_else(|| StoreError::backend("the store gave no position for an entry"))?)
    }

    fn flush(&mut self, promise: Promise) {
        if let Err(error) = attempt(|| self.sync()) {
            let error = Arc::new(error);
            self.stop(Vec::new(), &error);
            return promise.keep(Err(WriteError::Stopped(error)));
        }
        let head = self.state.head();
        promise.keep(match self.queue.take_refusal() {
            Some(error) => Err(WriteError::Refused(error)),
            None => Ok(Landed { location: head.location, position: head.position }),
        });
    }

    /// Brings all that was written to stable storage: an entry that stands already, asked for once more under its key, is synced and not
    /// written. Were it gone, the log could not end with it either, and nothing would be written.
    fn sync(&mut self) -> Result<()> {
        let mut tries = 0;
        while let Some(Unsynced { location, position, entry }) = self.unsynced.last() {
            tries += 1;
            let options =
                AppendOptions { expected: Some(Expected::At(*position)), durability: Some(Durability::Synced) };
            let SegmentLocation { session_id, segment_id } = *location;
            match self.store.append_with(session_id, segment_id, std::slice::from_ref(entry), &options) {
                Ok(_) => drop(self.unsynced.pop()),
                Err(StoreError::Busy { .. }) if tries < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn compact(&mut self, new: &NewSegment, promise: Promise) {
        match attempt(|| self.begin_compacted(new)) {
            Ok(landed) => promise.keep(Ok(landed)),
            Err(error) => {
                let error = Arc::new(error);
                let is_about_history = matches!(&*error, SessionError::Store(StoreError::InvalidOrigin { .. }));
                if is_about_entries(&error) || is_about_history {
                    self.queue.note_refusal(&error, 1);
                    return promise.keep(Err(WriteError::Refused(error)));
                }
                self.stop(Vec::new(), &error);
                promise.keep(Err(WriteError::Stopped(error)));
            }
        }
    }

    fn begin_compacted(&mut self, new: &NewSegment) -> Result<Landed> {
        self.until_done(|worker| {
            worker.take_lease()?;
            let left = worker.state.head();
            worker.state.compact(&*worker.store, worker.options.clock.now(), new.clone())?;
            worker.left(&left)
        })?;
        // Somebody may have been quicker to take it; then the next entry goes on elsewhere.
        match self.take_lease() {
            Err(SessionError::Store(StoreError::Busy { .. })) if self.forks() => {}
            other => other?,
        }
        let head = self.state.head();
        Ok(Landed { location: head.location, position: head.position })
    }
}

/// Does the work; a store that panics has failed.
pub(super) fn attempt<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(StoreError::backend("the store panicked").into()))
}

/// Whether the store refused what it was given and wrote nothing, so that others may still be written.
fn is_about_entries(error: &SessionError) -> bool {
    match error {
        SessionError::Store(error) => matches!(
            error,
            StoreError::InvalidEntry { .. } | StoreError::TooLarge { .. } | StoreError::KeyReused { .. }
        ),
        _ => false,
    }
}
