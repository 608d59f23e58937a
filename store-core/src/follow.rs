//! What every backend's tails have in common: what was read last must still stand, then come the records behind it.
//!
//! A backend says how its log is read ([`TailSource`]) and how often it has to be looked at; a [`Follower`] does the rest. No
//! clock is read: time passes by waiting, so a wait is longer than asked for by what looking takes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Result, StoreError};
use crate::id::{Position, SegmentId, Seq};
use crate::store::Record;
use crate::watch::{StopHandle, Tail, TailEvent, TailFrom};

/// How often a backend without events looks at a log that others may append to.
pub const POLL: Duration = Duration::from_millis(20);
/// The most records that a tail gives at once.
pub const RECORDS_MAX: usize = 256;
/// How many positions a tail remembers in order to say how far a log that diverged still agrees.
const REMEMBERED_MAX: usize = 64;
const BEGINNING: Position = Position { seq: Seq::START, crc32c: 0 };

/// How a backend reads the log that a tail follows. Takes no lock that a writer waits for.
pub trait TailSource: Send {
    /// Whether the log is certainly as it was when it was last read.
    ///
    /// # Errors
    /// `NotFound`; those of the medium.
    fn is_unchanged(&mut self) -> Result<bool>;

    /// At most `limit` records behind `after`, as [`Store::read_range`](crate::Store::read_range).
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`; those of the medium.
    fn read(&mut self, after: Seq, limit: usize) -> Result<Vec<Record>>;

    /// The position of the last entry.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`; those of the medium.
    fn end(&mut self) -> Result<Position>;
}

/// What ends the waiting of a tail.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SignalState {
    stopped: bool,
    woken: bool,
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, SignalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Says that there is something to read.
    pub(crate) fn wake(&self) {
        self.lock().woken = true;
        self.changed.notify_all();
    }

    /// Forgets earlier wake-ups, whose cause is about to be read, and answers whether the tail goes on.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        state.woken = false;
        !state.stopped
    }

    fn wait(&self, time: Duration) {
        let idle = |state: &mut SignalState| !state.stopped && !state.woken;
        drop(self.changed.wait_timeout_while(self.lock(), time, idle));
    }
}

/// A tail over any [`TailSource`].
#[derive(Debug)]
pub struct Follower<S> {
    source: S,
    segment: SegmentId,
    at: Position,
    /// Positions that were read, ascending: fewer, the longer ago.
    remembered: Vec<Position>,
    /// Whether the log is read whatever the source says of changes.
    behind: bool,
    poll: Duration,
    signal: Arc<Signal>,
}

impl<S: TailSource> Follower<S> {
    /// A tail that looks every `poll`.
    ///
    /// # Errors
    /// As [`Watch::tail`](crate::Watch::tail).
    pub fn start(source: S, segment: SegmentId, from: TailFrom, poll: Duration) -> Result<Self> {
        Self::start_with(source, segment, from, poll, Arc::default())
    }

    pub(crate) fn start_with(
        mut source: S,
        segment: SegmentId,
        from: TailFrom,
        poll: Duration,
        signal: Arc<Signal>,
    ) -> Result<Self> {
        let at = match from {
            TailFrom::End => source.end()?,
            TailFrom::After(position) if position.seq > Seq::START => position,
            TailFrom::Start | TailFrom::After(_) => BEGINNING,
        };
        let mut follower = Self { source, segment, at, remembered: Vec::new(), behind: true, poll, signal };
        let stands = follower.position_at(at.seq)?;
        if stands != Some(at) {
            return Err(follower.diverged(stands));
        }
        follower.remember(at);
        Ok(follower)
    }

    /// What stands at a seq. A segment that is not there is an error also where nothing is looked for.
    fn position_at(&mut self, seq: Seq) -> Result<Option<Position>> {
        let Some(after) = seq.0.checked_sub(1) else {
            self.source.read(Seq::START, 0)?;
            return Ok(Some(BEGINNING));
        };
        Ok(self.source.read(Seq(after), 1)?.first().map(|record| record.position))
    }

    fn remember(&mut self, position: Position) {
        if self.remembered.len() == REMEMBERED_MAX {
            let mut keep = false;
            self.remembered.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.remembered.push(position);
    }

    fn diverged(&mut self, actual: Option<Position>) -> StoreError {
        let remembered = std::mem::take(&mut self.remembered);
        // What cannot be read agrees with nothing.
        let mut stands = |position: &Position| self.position_at(position.seq).ok().flatten() == Some(*position);
        let agreed = remembered.iter().rev().copied().find(&mut stands).unwrap_or(BEGINNING);
        self.remembered = remembered;
        StoreError::Diverged { segment: self.segment, expected: self.at, actual, agreed }
    }

    fn look(&mut self) -> Result<Vec<Record>> {
        if !self.behind && self.source.is_unchanged()? {
            return Ok(Vec::new());
        }
        self.behind = true;
        let Some(before) = self.at.seq.0.checked_sub(1) else {
            return self.source.read(Seq::START, RECORDS_MAX).map(|records| self.give(records));
        };
        let mut records = self.source.read(Seq(before), RECORDS_MAX + 1)?;
        let stands = records.first().map(|first| first.position);
        if stands != Some(self.at) {
            return Err(self.diverged(stands));
        }
        records.remove(0);
        Ok(self.give(records))
    }

    fn give(&mut self, records: Vec<Record>) -> Vec<Record> {
        self.behind = records.len() == RECORDS_MAX;
        if let Some(last) = records.last() {
            self.at = last.position;
            self.remember(self.at);
        }
        records
    }
}

impl<S: TailSource> Tail for Follower<S> {
    fn next(&mut self, timeout: Duration) -> Result<TailEvent> {
        let mut remaining = timeout;
        loop {
            if !self.signal.begin() {
                return Ok(TailEvent::Stopped);
            }
            let records = self.look()?;
            if !records.is_empty() {
                return Ok(TailEvent::Records(records));
            }
            if remaining.is_zero() {
                return Ok(TailEvent::Nothing);
            }
            let pause = remaining.min(self.poll);
            self.signal.wait(pause);
            remaining -= pause;
        }
    }

    fn position(&self) -> Position {
        self.at
    }

    fn stop_handle(&self) -> StopHandle {
        StopHandle::new(Arc::clone(&self.signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::LogEntry;

    /// A log that a test rewrites between two looks; every look says that something may have changed.
    #[derive(Debug, Default)]
    struct Script {
        records: Vec<Record>,
        reads: usize,
        changed: bool,
    }

    impl TailSource for Script {
        fn is_unchanged(&mut self) -> Result<bool> {
            Ok(!std::mem::take(&mut self.changed))
        }

        fn read(&mut self, after: Seq, limit: usize) -> Result<Vec<Record>> {
            self.reads += 1;
            let skip = usize::try_from(after.0).unwrap();
            Ok(self.records.iter().skip(skip).take(limit).cloned().collect())
        }

        fn end(&mut self) -> Result<Position> {
            Ok(self.records.last().map_or(BEGINNING, |last| last.position))
        }
    }

    fn record(seq: u64, crc32c: u32) -> Record {
        let text = r#"{"kind":"note","ts":1}"#.to_owned();
        let entry = LogEntry::from_text(&text).unwrap();
        Record { position: Position { seq: Seq(seq), crc32c }, key: None, text, entry }
    }

    fn follow(records: Vec<Record>, from: TailFrom) -> Follower<Script> {
        let source = Script { records, ..Script::default() };
        Follower::start(source, SegmentId::derive(1, b"followed"), from, POLL).unwrap()
    }

    fn seqs(event: &TailEvent) -> Vec<u64> {
        let TailEvent::Records(records) = event else { panic!("{event:?}") };
        records.iter().map(|record| record.position.seq.0).collect()
    }

    #[test]
    fn a_long_log_comes_in_pieces_and_then_costs_nothing() {
        let count = 2 * RECORDS_MAX as u64;
        let mut tail = follow((1..=count).map(|seq| record(seq, 7)).collect(), TailFrom::Start);
        let pieces: Vec<u64> = (0..2).flat_map(|_| seqs(&tail.next(Duration::ZERO).unwrap())).collect();
        assert_eq!(pieces, (1..=count).collect::<Vec<_>>());
        assert_eq!(tail.next(Duration::ZERO).unwrap(), TailEvent::Nothing);
        let reads = tail.source.reads;
        assert_eq!(tail.next(Duration::ZERO).unwrap(), TailEvent::Nothing);
        assert_eq!(tail.source.reads, reads, "an unchanged log was read");
    }

    #[test]
    fn a_log_that_diverged_says_how_far_it_agrees() {
        let mut tail = follow((1..=3).map(|seq| record(seq, 7)).collect(), TailFrom::Start);
        for seq in 4..=200 {
            tail.next(Duration::ZERO).unwrap();
            tail.source.records.push(record(seq, 7));
            tail.source.changed = true;
        }
        tail.next(Duration::ZERO).unwrap();
        assert!(tail.remembered.len() <= REMEMBERED_MAX);
        for changed in 150..200 {
            tail.source.records[changed] = record(changed as u64 + 1, 8);
        }
        tail.source.changed = true;
        for _ in 0..2 {
            match tail.next(Duration::ZERO) {
                Err(StoreError::Diverged { expected, actual, agreed, .. }) => {
                    assert_eq!(expected, record(200, 7).position);
                    assert_eq!(actual, Some(record(200, 8).position));
                    assert_eq!(agreed.crc32c, 7);
                    assert!((140..=150).contains(&agreed.seq.0), "{agreed}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_log_that_got_shorter_has_diverged() {
        let mut tail = follow((1..=3).map(|seq| record(seq, 7)).collect(), TailFrom::End);
        tail.source.records.truncate(1);
        tail.source.changed = true;
        let answer = tail.next(Duration::ZERO);
        let Err(StoreError::Diverged { actual: None, agreed, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(agreed, BEGINNING, "nothing but the end was ever seen");
    }
}
