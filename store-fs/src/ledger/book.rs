//! One book: its state in memory, what of it is on stable storage, and how it is read from its log.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use store_core::codec::Line;
use store_core::ledger::text::{self, EventKind};
use store_core::ledger::{
    AccountId, Asset, BookName, BookState, Event, LedgerError, LedgerResult, Side, Transaction, fingerprint,
};
use store_core::{Position, Result, Seq, StoreError, TransactionId};

use super::index::{Index, KeysFolder};
use super::log::{BookLogs, ReadLine, told};
use super::snapshot;
use crate::disk::Disk;
use crate::layout::Layout;
use crate::record_log::lock_mutex;

/// What a book is opened with.
#[derive(Clone, Debug)]
pub(super) struct BookOptions {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) layout: Layout,
    pub(super) keys_held_max: usize,
    /// Whether the process owns the ledger.
    pub(super) is_owner: bool,
}

impl BookOptions {
    fn keys(&self, book: &BookName) -> KeysFolder {
        KeysFolder::new(Arc::clone(&self.disk), self.layout.book_keys(book))
    }
}

/// A book that something was written to.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) name: BookName,
    /// What all events fold to, those that are not on stable storage yet included.
    pub(super) state: BookState,
    /// The assets that were registered in it.
    pub(super) assets: Vec<Asset>,
    /// Where the last event stands.
    pub(super) end: Position,
    index: Mutex<Index>,
    /// The last event that is on stable storage, and with it visible.
    durable: AtomicU64,
    /// Why nothing is written any more.
    closed: OnceLock<String>,
    /// The last event of the newest snapshot.
    pub(super) snapshot: AtomicU64,
    options: BookOptions,
}

/// What is known of a book while its log is read.
struct Reading {
    state: BookState,
    assets: Vec<Asset>,
    index: Index,
    end: Position,
    snapshot: Seq,
}

impl Book {
    /// A book whose first event was just written.
    pub(super) fn new(name: &BookName, options: &BookOptions) -> Self {
        let index = Index::empty(options.is_owner.then(|| options.keys(name)), options.keys_held_max);
        Self {
            name: name.clone(),
            state: BookState::default(),
            assets: Vec::new(),
            end: Position { seq: Seq::START, crc32c: 0 },
            index: Mutex::new(index),
            durable: AtomicU64::default(),
            closed: OnceLock::new(),
            snapshot: AtomicU64::default(),
            options: options.clone(),
        }
    }

    /// Reads a book; `None` if nothing was written to it. All of it is on stable storage then.
    pub(super) fn open(name: &BookName, options: &BookOptions, logs: &BookLogs) -> LedgerResult<Option<Self>> {
        let end = if options.is_owner { logs.settle(name) } else { logs.settled_end(name, Seq::START) };
        let Some(end) = end.map_err(|error| told(name, error))? else { return Ok(None) };
        let reading = read(name, options, logs, end)?;
        Ok(Some(Self {
            state: reading.state,
            assets: reading.assets,
            end: reading.end,
            index: Mutex::new(reading.index),
            durable: AtomicU64::new(reading.end.seq.0),
            snapshot: AtomicU64::new(reading.snapshot.0),
            ..Self::new(name, options)
        }))
    }

    /// Takes in what others wrote; for who only reads.
    pub(super) fn refresh(&mut self, logs: &BookLogs) -> LedgerResult<()> {
        let end = logs.settled_end(&self.name, self.end.seq).map_err(|error| told(&self.name, error))?;
        match end {
            Some(end) if end == self.end => Ok(()),
            // Behind a repair another event may stand where this one was known.
            Some(end) if end.seq > self.end.seq && stands(&self.name, logs, self.end).unwrap_or(false) => {
                for line in logs.lines(&self.name, self.end.seq.next(), end.seq, usize::MAX)? {
                    let taken = text::parse(&self.name, line.seq, &line.text)?;
                    self.take_in(line.seq, line.key.as_deref(), &taken)?;
                }
                self.end = end;
                self.durable.store(end.seq.0, Ordering::Release);
                Ok(())
            }
            // Somebody put another log in its place.
            _ => {
                if let Some(anew) = Self::open(&self.name, &self.options, logs)? {
                    *self = anew;
                }
                Ok(())
            }
        }
    }

    fn take_in(&mut self, seq: Seq, key: Option<&str>, event: &text::EventText<'_>) -> LedgerResult<()> {
        let fingerprints = fold(&self.name, &mut self.state, &mut self.assets, key, event)
            .ok_or_else(|| text::damaged(&self.name, seq, "the event does not follow from those before it"))?;
        lock_mutex(&self.index).note(seq, fingerprints.as_ref().map_or(&[], |both| both.as_slice()));
        Ok(())
    }

    /// The last visible event.
    pub(super) fn visible(&self) -> Seq {
        Seq(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn is_durable(&self, seq: Seq) {
        self.durable.fetch_max(seq.0, Ordering::AcqRel);
    }

    pub(super) fn close(&self, reason: &str) {
        // Whoever came first said it.
        let _ = self.closed.set(reason.to_owned());
    }

    /// # Errors
    /// `BookClosed`.
    pub(super) fn check_open(&self) -> LedgerResult<()> {
        match self.closed.get() {
            Some(reason) => Err(LedgerError::BookClosed { book: self.name.clone(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Notes the fingerprints of an event that was written: a transaction's, or none.
    pub(super) fn note(&self, seq: Seq, fingerprints: &[u64]) {
        lock_mutex(&self.index).note(seq, fingerprints);
    }

    /// The transaction with an idempotency key, which has this fingerprint.
    pub(super) fn find_key(&self, logs: &BookLogs, fingerprint: u64, key: &str) -> LedgerResult<Option<Transaction>> {
        self.find(logs, fingerprint, |found| found.draft.key == key)
    }

    /// The transaction with an id, which has this fingerprint.
    pub(super) fn find_id(
        &self,
        logs: &BookLogs,
        fingerprint: u64,
        id: TransactionId,
    ) -> LedgerResult<Option<Transaction>> {
        self.find(logs, fingerprint, |found| found.draft.id == id)
    }

    fn find(
        &self,
        logs: &BookLogs,
        fingerprint: u64,
        is_it: impl Fn(&Transaction) -> bool,
    ) -> LedgerResult<Option<Transaction>> {
        let Some(seq) = self.place_of(logs, fingerprint)? else { return Ok(None) };
        let found = logs.line(&self.name, seq)?.map(|line| self.transaction(&line)).transpose()?.flatten();
        if let Some(found) = found.filter(&is_it) {
            return Ok(Some(found));
        }
        // Another text has this fingerprint too, and took its place: the log is gone through.
        for line in logs.lines(&self.name, Seq(1), self.end.seq, usize::MAX)? {
            if let Some(found) = self.transaction(&line)?.filter(&is_it) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A transaction whose key or id is not found where it stands, if there is one; the inner error is that of what was put aside.
    pub(super) fn missing_key(&self, logs: &BookLogs) -> LedgerResult<std::io::Result<Option<Seq>>> {
        const AT_ONCE: usize = 1024;
        let mut next = Seq(1);
        while next <= self.visible() {
            let lines = logs.lines(&self.name, next, self.visible(), AT_ONCE)?;
            let Some(last) = lines.last() else { break };
            next = last.seq.next();
            for line in &lines {
                let event = text::parse(&self.name, line.seq, &line.text)?;
                let (Some(id), Some(key)) = (event.id, &line.key) else { continue };
                for fingerprint in [fingerprint::of_key(key), fingerprint::of_id(id)] {
                    match lock_mutex(&self.index).find(fingerprint) {
                        // Of two texts with one fingerprint the later has the place.
                        Ok(Some(seq)) if seq >= line.seq => {}
                        Ok(_) => return Ok(Ok(Some(line.seq))),
                        Err(error) => return Ok(Err(error)),
                    }
                }
            }
        }
        Ok(Ok(None))
    }

    fn place_of(&self, logs: &BookLogs, fingerprint: u64) -> LedgerResult<Option<Seq>> {
        let mut index = lock_mutex(&self.index);
        if let Ok(place) = index.find(fingerprint) {
            return Ok(place);
        }
        // What was put aside is damaged, or gone: it is made again of the log.
        index.start_over();
        catch_up(&self.name, logs, &mut index, self.end.seq)?;
        index.find(fingerprint).map_err(|error| {
            let folder = self.options.layout.book_keys(&self.name);
            StoreError::io("read", &folder, error).into()
        })
    }

    fn transaction(&self, line: &ReadLine) -> LedgerResult<Option<Transaction>> {
        let Event { book, seq, at, body } = text::decode(&self.name, line.seq, line.key.as_deref(), &line.text)?;
        Ok(match body {
            store_core::ledger::EventBody::Transaction(draft) => Some(Transaction { book, seq, at, draft }),
            _ => None,
        })
    }

    /// The bytes of a snapshot of what is there now.
    pub(super) fn snapshot_bytes(&self) -> Option<Vec<u8>> {
        let index = lock_mutex(&self.index);
        snapshot::encode(self.end, &self.state, index.put_aside(), index.recent())
    }
}

/// Folds an event into a state; the fingerprints of a transaction. `None` if it cannot follow.
#[expect(clippy::option_option, reason = "an event that cannot follow is another thing than one without fingerprints")]
fn fold(
    book: &BookName,
    state: &mut BookState,
    assets: &mut Vec<Asset>,
    key: Option<&str>,
    event: &text::EventText<'_>,
) -> Option<Option<[u64; 2]>> {
    match event.kind {
        EventKind::Asset => {
            let asset = Asset { id: event.asset.as_deref()?.parse().ok()?, precision: event.precision? };
            state.push(event.at);
            assets.push(asset);
            Some(None)
        }
        EventKind::Account => {
            let account = text::account(book, event)?;
            if state.account(account.id.path(), state.last_seq()).is_some() {
                return None;
            }
            state.push_account(event.at, account);
            Some(None)
        }
        EventKind::Transaction => {
            let postings = event.postings.iter().map(|posting| {
                let delta = match posting.amount()? {
                    (Side::Debit, amount) => i128::from(amount),
                    (Side::Credit, amount) => -i128::from(amount),
                };
                Some((&*posting.account, delta))
            });
            let postings = postings.collect::<Option<Vec<_>>>()?;
            let fingerprints = [fingerprint::of_key(key?), fingerprint::of_id(event.id?)];
            state.push_postings(event.at, postings.into_iter())?;
            Some(Some(fingerprints))
        }
    }
}

/// Reads the log from where the newest snapshot that belongs to it ends.
fn read(name: &BookName, options: &BookOptions, logs: &BookLogs, end: Position) -> LedgerResult<Reading> {
    let mut reading = begin(name, options, logs, end)?;
    let from = reading.end.seq.next();
    if reading.index.through() < reading.snapshot {
        catch_up(name, logs, &mut reading.index, reading.snapshot)?;
    }
    if from > end.seq {
        return Ok(reading);
    }
    let (begun, refused) = (RefCell::new(Some(reading)), RefCell::new(None));
    let done = logs.read(
        name,
        from,
        || begun.take(),
        |reading, line| {
            // A log that looked damaged is read once more, to see whether it is: what was folded of it is gone then.
            let Some(reading) = reading else { return Ok(ControlFlow::Continue(())) };
            take_line(name, reading, line).inspect_err(|error| drop(refused.replace(Some(error.to_string()))))
        },
    );
    match (done.map_err(|error| told(name, error))?, refused.take()) {
        (Some(reading), _) if reading.end.seq == end.seq => Ok(reading),
        (_, refused) => {
            let detail = refused.unwrap_or_else(|| "the log is not what it was a moment ago".to_owned());
            Err(text::damaged(name, end.seq, detail))
        }
    }
}

fn begin(name: &BookName, options: &BookOptions, logs: &BookLogs, end: Position) -> LedgerResult<Reading> {
    let index = || Index::open(&options.keys(name), options.is_owner, options.keys_held_max, end.seq);
    let folder = options.layout.book_snapshots(name);
    let found = snapshot::find(&options.disk, &folder, name, |found| {
        let is_ours = found.position.seq <= end.seq && stands(name, logs, found.position).unwrap_or(false);
        is_ours.then_some(found)
    });
    let Some(found) = found else {
        let end = Position { seq: Seq::START, crc32c: 0 };
        let (state, assets) = (BookState::default(), Vec::new());
        return Ok(Reading { state, assets, index: index(), end, snapshot: Seq::START });
    };
    let mut index = index();
    index.resume(found.recent, found.put_aside, found.position.seq);
    let snapshot = found.position.seq;
    Ok(Reading { state: found.state, assets: Vec::new(), index, end: found.position, snapshot })
}

/// Whether the line that a snapshot knows stands in the log.
fn stands(name: &BookName, logs: &BookLogs, position: Position) -> Result<bool> {
    logs.read(
        name,
        position.seq,
        || false,
        |stands, line| {
            *stands = line.seq == position.seq && line.crc32c == position.crc32c;
            Ok(ControlFlow::Break(()))
        },
    )
}

fn take_line(name: &BookName, reading: &mut Reading, line: &Line<'_>) -> Result<ControlFlow<()>> {
    let text = line.text();
    let damaged = |detail: String| {
        let damage = store_core::Damage { segment: None, part: 1, offset: 0, seq: Some(line.seq), detail };
        StoreError::Corrupt(damage)
    };
    let event = text::parse(name, line.seq, &text).map_err(|error| damaged(error.to_string()))?;
    let fingerprints = fold(name, &mut reading.state, &mut reading.assets, line.key.as_deref(), &event)
        .ok_or_else(|| damaged("the event does not follow from those before it".to_owned()))?;
    reading.index.note(line.seq, fingerprints.as_ref().map_or(&[], |both| both.as_slice()));
    reading.end = Position { seq: line.seq, crc32c: line.crc32c };
    Ok(ControlFlow::Continue(()))
}

/// Notes the keys and ids of every event through `last` that the index has not looked at.
fn catch_up(name: &BookName, logs: &BookLogs, index: &mut Index, last: Seq) -> LedgerResult<()> {
    const AT_ONCE: usize = 4096;
    while index.through() < last {
        let lines = logs.lines(name, index.through().next(), last, AT_ONCE)?;
        if lines.is_empty() {
            return Err(text::damaged(name, index.through().next(), "the event is not there"));
        }
        for line in lines {
            let event = text::parse(name, line.seq, &line.text)?;
            match (event.id, &line.key) {
                (Some(id), Some(key)) => index.note(line.seq, &[fingerprint::of_key(key), fingerprint::of_id(id)]),
                _ => index.note(line.seq, &[]),
            }
        }
    }
    Ok(())
}

/// The event of a line.
pub(super) fn event(book: &BookName, line: &ReadLine) -> LedgerResult<Event> {
    text::decode(book, line.seq, line.key.as_deref(), &line.text)
}

/// The error of an account that is not there.
pub(super) fn unknown(account: &AccountId) -> LedgerError {
    LedgerError::UnknownAccount { account: account.clone() }
}
