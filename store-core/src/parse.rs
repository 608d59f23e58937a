//! Parsing many entries with several threads, in the order in which they are read.
//!
//! Parsing an entry takes several times as long as reading and checking it, so whoever reads a whole log lets other threads parse what was
//! read. The reader hands over batches of texts; when enough of them wait it parses one itself, so that memory holds the entries and
//! a bounded number of batches, and every thread has something to do. A log of one batch is parsed where it is read.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::entry::LogEntry;
use crate::error::{Result, StoreError};

/// How many bytes of texts a batch has, the last text not counted.
const BATCH_BYTES: usize = 128 * 1024;
/// How many batches wait for each thread at most.
const BATCHES_PER_THREAD: usize = 2;
/// More threads than this wait for the one that reads.
const THREADS_MAX: usize = 8;

/// Entries from the texts that `read` hands over one after the other, each with a place. `damaged` makes the error of a text that is no
/// entry, of its place and what is wrong.
///
/// # Errors
/// That of the first text that is no entry; else that of `read`.
pub fn parse_entries<P: Send>(
    read: impl FnOnce(&mut dyn FnMut(&str, P)) -> Result<()>,
    damaged: impl Fn(P, String) -> StoreError + Sync,
) -> Result<Vec<LogEntry>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let shared = Shared { state: Mutex::default(), changed: Condvar::new() };
    thread::scope(|scope| {
        let mut helpers = 0;
        let mut batches = 0;
        let mut batch = Batch::default();
        // However this ends, nobody waits for more.
        let closing = Closing(&shared);
        let was_read = read(&mut |text, place| {
            batch.push(text, place);
            if batch.texts.len() < BATCH_BYTES {
                return;
            }
            let full = std::mem::take(&mut batch);
            if helpers + 1 < threads {
                helpers += 1;
                scope.spawn(|| shared.help(&damaged));
            }
            if helpers == 0 || shared.is_full(helpers) {
                shared.done(batches, full.parse(&damaged));
            } else {
                shared.put(batches, full);
            }
            batches += 1;
        });
        shared.done(batches, batch.parse(&damaged));
        // What waits still is parsed here too.
        while let Some((number, waiting)) = shared.take() {
            shared.done(number, waiting.parse(&damaged));
        }
        drop(closing);
        let parsed = shared.parsed(batches + 1)?;
        was_read.map(|()| parsed)
    })
}

/// Texts behind each other, where each ends, and its place.
struct Batch<P> {
    texts: String,
    ends: Vec<(usize, P)>,
}

impl<P> Default for Batch<P> {
    fn default() -> Self {
        Self { texts: String::new(), ends: Vec::new() }
    }
}

impl<P> Batch<P> {
    fn push(&mut self, text: &str, place: P) {
        self.texts.push_str(text);
        self.ends.push((self.texts.len(), place));
    }

    fn parse(self, damaged: &impl Fn(P, String) -> StoreError) -> Result<Vec<LogEntry>> {
        let mut from = 0;
        let texts = &self.texts;
        let entry = |(end, place): (usize, P)| {
            let text = &texts[std::mem::replace(&mut from, end)..end];
            LogEntry::from_text(text).map_err(|error| damaged(place, error.to_string()))
        };
        self.ends.into_iter().map(entry).collect()
    }
}

/// What the threads share.
struct Shared<P> {
    state: Mutex<State<P>>,
    changed: Condvar,
}

struct State<P> {
    waiting: VecDeque<(usize, Batch<P>)>,
    /// By batch; those that are still parsed are `None`.
    done: Vec<Option<Result<Vec<LogEntry>>>>,
    /// Nothing is put any more.
    closed: bool,
}

impl<P> Default for State<P> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), done: Vec::new(), closed: false }
    }
}

impl<P> Shared<P> {
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, helpers: usize) -> bool {
        self.lock().waiting.len() >= helpers * BATCHES_PER_THREAD
    }

    fn put(&self, number: usize, batch: Batch<P>) {
        self.lock().waiting.push_back((number, batch));
        self.changed.notify_all();
    }

    fn take(&self) -> Option<(usize, Batch<P>)> {
        self.lock().waiting.pop_front()
    }

    fn done(&self, number: usize, parsed: Result<Vec<LogEntry>>) {
        let mut state = self.lock();
        let count = state.done.len().max(number + 1);
        state.done.resize_with(count, || None);
        state.done[number] = Some(parsed);
        self.changed.notify_all();
    }

    /// Parses what waits until nothing more comes.
    fn help(&self, damaged: &impl Fn(P, String) -> StoreError) {
        loop {
            let mut state = self.lock();
            let next = loop {
                if let Some(next) = state.waiting.pop_front() {
                    break next;
                }
                if state.closed {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let (number, batch) = next;
            // A thread that panics leaves its batch undone, and is told of at the end of the scope.
            let undone = Undone { shared: self, number: Some(number) };
            let parsed = batch.parse(damaged);
            undone.done(parsed);
        }
    }

    /// All batches in order, when the last of them is parsed.
    fn parsed(&self, count: usize) -> Result<Vec<LogEntry>> {
        let mut state = self.lock();
        while state.done.len() < count || state.done.iter().any(Option::is_none) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut all = Vec::new();
        for batch in std::mem::take(&mut state.done).into_iter().flatten() {
            all.append(&mut batch?);
        }
        Ok(all)
    }
}

/// Says that nothing more comes.
struct Closing<'a, P>(&'a Shared<P>);

impl<P> Drop for Closing<'_, P> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// A batch that is being parsed.
struct Undone<'a, P> {
    shared: &'a Shared<P>,
    number: Option<usize>,
}

impl<P> Undone<'_, P> {
    fn done(mut self, parsed: Result<Vec<LogEntry>>) {
        if let Some(number) = self.number.take() {
            self.shared.done(number, parsed);
        }
    }
}

impl<P> Drop for Undone<'_, P> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.shared.done(number, Ok(Vec::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize) -> String {
        format!(r#"{{"kind":"note","ts":{number},"text":"{}"}}"#, "x".repeat(number % 700))
    }

    fn parse(count: usize, broken: &[usize], stops_at: Option<usize>) -> Result<Vec<LogEntry>> {
        parse_entries(
            |each| {
                for number in 0..count {
                    if stops_at == Some(number) {
                        return Err(StoreError::backend("the medium"));
                    }
                    each(&if broken.contains(&number) { "{".to_owned() } else { text(number) }, number);
                }
                Ok(())
            },
            |number, _| StoreError::backend(format!("text {number}")),
        )
    }

    #[test]
    fn entries_come_in_the_order_of_their_texts_however_many_there_are() {
        for count in [0, 1, 300, 20_000] {
            let entries = parse(count, &[], None).unwrap();
            assert_eq!(entries.len(), count);
            assert!(entries.iter().enumerate().all(|(number, entry)| entry.ts() == number as u64), "{count}");
        }
    }

    #[test]
    fn the_first_text_that_is_no_entry_is_told() {
        let error = parse(20_000, &[19_000, 7_000, 12_345], None).unwrap_err();
        assert!(format!("{error:?}").contains("text 7000"), "{error:?}");
        let error = parse(20_000, &[7_000], Some(9_000)).unwrap_err();
        assert!(format!("{error:?}").contains("text 7000"), "it stands before what could not be read: {error:?}");
    }

    #[test]
    fn what_could_not_be_read_is_told() {
        let error = parse(20_000, &[], Some(9_000)).unwrap_err();
        assert!(format!("{error:?}").contains("the medium"), "{error:?}");
    }
}
