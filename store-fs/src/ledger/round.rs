//! Batches of many threads that one of them commits for all: the books are held once, the log is written to once and synced once.
//!
//! What a thread can do by itself it does before it queues: the text of each draft is made, and its key and id are turned into fingerprints.
//! Whoever leads judges the batches in the order in which they came, each behind what those before it are about to write, and keeps them
//! apart in the log, so that a crash leaves all or nothing of each. Batches that cannot be written together are written one by one, as if
//! there were no others: whoever would have succeeded alone succeeds. The price is a copy of each draft, because a thread cannot lend what
//! it might take away with it.

use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use store_core::Seq;
use store_core::group_commit::{Poisoned, Rounds};
use store_core::ledger::{BookName, Draft, LedgerError, LedgerResult, Receipt, TimestampUs, fingerprint, rules, text};

use super::Open;
use super::book::Book;
use super::plan::{Fate, Plan};
use super::write::In;
use crate::record_log::lock_mutex;

/// How many bytes of texts are written at once, the last batch not counted.
const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// What a batch answers.
type Answer = LedgerResult<Vec<LedgerResult<Receipt>>>;

/// The batches of a book that wait.
pub(super) type Queue = Rounds<Batch>;

/// A draft, and what its thread made of it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) draft: Draft,
    /// Its text, with a commit time that may still change; `None` if its form is wrong.
    pub(super) text: Option<String>,
    /// The fingerprints of its key and of its id.
    pub(super) fingerprints: [u64; 2],
}

impl Prepared {
    fn new(book: &BookName, at: TimestampUs, draft: &Draft) -> Self {
        let is_formed = rules::check_draft(book, draft).is_ok();
        let text = is_formed.then(|| text::encode_transaction(at, draft).ok()).flatten();
        let fingerprints = [fingerprint::of_key(&draft.key), fingerprint::of_id(draft.id)];
        Self { draft: draft.clone(), text, fingerprints }
    }
}

/// A batch that waits for whoever leads.
#[derive(Debug)]
pub(super) struct Batch {
    /// When it came.
    now: TimestampUs,
    drafts: Vec<Prepared>,
    written: Option<Written>,
    reply: Arc<Mutex<Option<Reply>>>,
}

/// The answer to a batch, and what it was made of, so that its own thread tidies up.
#[derive(Debug)]
struct Reply {
    answer: Answer,
    _drafts: Vec<Prepared>,
}

/// What a batch answers that was written, or needs no writing.
#[derive(Debug)]
struct Written {
    answers: Vec<LedgerResult<Receipt>>,
    /// How far the log has to be on stable storage before they are given.
    through: Option<Seq>,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.drafts.iter().filter_map(|prepared| prepared.text.as_ref()).map(String::len).sum()
    }

    fn settle(&mut self, answer: Answer) {
        let reply = Reply { answer, _drafts: mem::take(&mut self.drafts) };
        *lock_mutex(&self.reply) = Some(reply);
    }
}

impl Open {
    pub(super) fn commit_batch(&self, name: &BookName, drafts: &[Draft]) -> Answer {
        rules::check_book(name)?;
        let queue = self.queue_of(name);
        let now = (self.options.clock)();
        let drafts = drafts.iter().map(|draft| Prepared::new(name, now, draft)).collect();
        let reply = Arc::default();
        let batch = Batch { now, drafts, written: None, reply: Arc::clone(&reply) };
        let mut has_led = false;
        let made = match queue {
            Some(queue) => queue.call(batch, |batches| {
                self.make_round(name, batches);
                has_led = true;
                Ok::<_, Infallible>(())
            }),
            // Nothing is going to be written to a book that has no account: there is nobody to wait for.
            None => {
                self.make_round(name, vec![batch]);
                Ok(())
            }
        };
        if has_led {
            self.snapshot_if_due(name);
        }
        match (lock_mutex(&reply).take(), made) {
            (Some(Reply { answer, .. }), _) => answer,
            // Whoever led the round panicked.
            (None, Err(Poisoned { reason })) => {
                Err(LedgerError::BookClosed { book: name.clone(), reason: reason.to_string() })
            }
            (None, Ok(())) => unreachable!("a round answers every batch that it takes"),
        }
    }

    /// Where the batches of a book wait; `None` if nothing was ever written to it.
    fn queue_of(&self, name: &BookName) -> Option<Arc<Queue>> {
        if let Some(queue) = self.queues.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(Arc::clone(queue));
        }
        // Only of books that are there: what is asked for may be anything.
        if !self.books.read().unwrap_or_else(PoisonError::into_inner).contains_key(name) {
            return None;
        }
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(queues.entry(name.clone()).or_default()))
    }

    /// Answers every batch.
    fn make_round(&self, name: &BookName, mut batches: Vec<Batch>) {
        for together in split(&mut batches) {
            match self.write_batches(name, together) {
                Ok(()) => {}
                Err(error) if together.len() == 1 => together[0].settle(Err(error)),
                // What failed fails again for whom it concerns.
                Err(_) => together.iter_mut().for_each(|batch| {
                    if let Err(error) = self.write_batches(name, std::slice::from_mut(batch)) {
                        batch.settle(Err(error));
                    }
                }),
            }
        }
        let written = batches.iter().filter_map(|batch| batch.written.as_ref());
        if let Some(through) = written.filter_map(|written| written.through).max() {
            // Each is asked for below.
            let _ = self.sync(name, through);
        }
        for batch in &mut batches {
            let Some(Written { answers, through }) = batch.written.take() else { continue };
            let synced = through.map_or(Ok(()), |through| self.sync(name, through));
            batch.settle(synced.map(|()| answers));
        }
    }

    /// Judges batches, writes what is new of them with one write, and takes it in; nothing is on stable storage yet.
    fn write_batches(&self, name: &BookName, batches: &mut [Batch]) -> LedgerResult<()> {
        // The latest time at which one of them came.
        let now = batches.iter().map(|batch| batch.now).max().unwrap_or_default();
        let mut books = self.write()?;
        let book = books.get(name).map(|entry| entry.book(name)).transpose()?;
        book.map_or(Ok(()), Book::check_open)?;
        let at = book.map_or(now, |book| rules::commit_time(now, book.state.last_at()));
        let texts =
            batches.iter_mut().flat_map(|batch| &mut batch.drafts).filter_map(|prepared| prepared.text.as_mut());
        texts.for_each(|text| text::set_transaction_time(text, at));
        let mut plan = Plan::new(name, book);
        let stands = In { open: self, books: &books, name };
        let mut fates: Vec<(Vec<Fate>, usize)> = Vec::with_capacity(batches.len());
        for batch in &*batches {
            let before = plan.new.len();
            let judged = plan.judge_all(&stands, &batch.drafts)?;
            fates.push((judged, plan.new.len() - before));
        }
        let before = book.map_or(Seq::START, |book| book.end.seq);
        let new = plan.into_new();
        let calls = fates.iter().map(|(_, lines)| *lines);
        let last = self.append_transactions(&mut books, name, (before, at), (&new, calls))?;
        drop(books);
        let written: Vec<_> = fates
            .into_iter()
            .map(|(fates, _)| Written {
                through: fates.iter().filter_map(|fate| fate.through(last)).max(),
                answers: fates.into_iter().map(|fate| fate.answer(&new, before.next(), at)).collect(),
            })
            .collect();
        batches.iter_mut().zip(written).for_each(|(batch, written)| batch.written = Some(written));
        Ok(())
    }
}

/// Batches that are written at once.
fn split(batches: &mut [Batch]) -> impl Iterator<Item = &mut [Batch]> {
    let mut rest = batches;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let is_full = |batch: &Batch| {
            bytes += batch.bytes();
            bytes >= WRITE_BYTES
        };
        let count = rest.iter().position(is_full).map_or(rest.len(), |last| last + 1);
        let (next, behind) = mem::take(&mut rest).split_at_mut(count);
        rest = behind;
        (!next.is_empty()).then_some(next)
    })
}
