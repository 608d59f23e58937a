//! The logs of books: one call of lines at a time, read and synced by what keeps the logs of segments.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use store_core::codec::{Line, LineFields, encode_line};
use store_core::ledger::{BookName, LedgerError, LedgerResult};
use store_core::{Position, Result, Seq, StoreError};

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::At as _;
use crate::events::Events;
use crate::layout::{BookKey, Layout};
use crate::logs::{LogKey, Logs, Purpose};
use crate::record_log::{NewLine, append_all_or_nothing};
use crate::store::ensure_folder;

/// How many logs of books are kept open.
const OPEN_MAX: usize = 64;

/// The logs of all books.
#[derive(Debug)]
pub(super) struct BookLogs {
    disk: Arc<dyn Disk>,
    layout: Layout,
    logs: Logs,
    max_part_bytes: u64,
}

/// A line of a book's log.
#[derive(Debug)]
pub(super) struct ReadLine {
    pub(super) seq: Seq,
    pub(super) key: Option<String>,
    pub(super) text: String,
}

/// The store's error of a book's log, in the ledger's terms.
pub(super) fn told(book: &BookName, error: StoreError) -> LedgerError {
    match error {
        StoreError::Corrupt(damage) => {
            let detail = format!("part {}, byte {}: {}", damage.part, damage.offset, damage.detail);
            LedgerError::Damaged { book: book.clone(), seq: damage.seq.unwrap_or(Seq::START), detail }
        }
        error => error.into(),
    }
}

impl BookLogs {
    pub(super) fn new(disk: Arc<dyn Disk>, layout: Layout, events: Option<Arc<Events>>, max_part_bytes: u64) -> Self {
        let logs = Logs::new(Arc::clone(&disk), layout.clone(), events.is_some(), OPEN_MAX, events);
        Self { disk, layout, logs, max_part_bytes }
    }

    const fn key(book: BookKey) -> LogKey {
        LogKey::Book(book)
    }

    /// Makes a book's log with its first event, at once and on stable storage. It has no write bits until its name is there too: who opens it before that, because whoever made it
    /// died, sees to the name first.
    pub(super) fn create(&self, book: &BookName, text: &str) -> Result<Position> {
        let name = self.layout.book_log_name(BookKey::new(book));
        let folder = self.layout.book(book);
        ensure_folder(&*self.disk, &folder)?;
        let mut bytes = Vec::new();
        let fields = LineFields { seq: Seq(1), ..LineFields::default() };
        let crc32c = encode_line(&mut bytes, &name.context, &fields, text);
        let file = self.put(&name.path, &bytes)?;
        self.disk.sync_folder(&folder).at("sync", &folder)?;
        file.set_writable(true).at("unprotect", &name.path)?;
        Ok(Position { seq: Seq(1), crc32c })
    }

    /// Writes a file whole and gives it its name, write-protected.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<Box<dyn DiskFile>> {
        let temporary = self.layout.ledger_new_name();
        let file = self.disk.open(&temporary, OpenMode::CreateNew).at("create", &temporary)?;
        let written = append_all_or_nothing(&*file, 0, bytes)
            .at("write", &temporary)
            .and_then(|()| file.set_writable(false).at("write-protect", &temporary))
            .and_then(|()| file.sync_file().at("sync", &temporary))
            .and_then(|()| self.disk.rename(&temporary, path).at("rename", &temporary));
        if written.is_err() {
            // What stays is a leftover, and is cleared away with the others.
            let _ = self.disk.remove_file(&temporary);
        }
        written.map(|()| file)
    }

    /// Appends calls with one write, in a new part if this one is full, and answers where the last line stands. `after` is the last event that the caller knows.
    pub(super) fn append(&self, book: &BookName, after: Seq, calls: &[&[NewLine<'_>]]) -> Result<Position> {
        let appended = self.logs.on(Self::key(BookKey::new(book)), Purpose::Append, |log| {
            let done = log.with_lock(|log| {
                if log.seq() != after {
                    let holder = format!("another writer of the book {book}");
                    return Err(StoreError::Busy { holder, host: None, since: None });
                }
                let mut draft = log.draft();
                calls.iter().for_each(|lines| log.add_call(&mut draft, lines.iter().copied()));
                if log.is_full_for(&draft, self.max_part_bytes) {
                    log.roll_over()?;
                    return Ok(None);
                }
                Ok(log.write_draft(draft)?.pop())
            })?;
            Ok(done.flatten())
        })?;
        appended.ok_or_else(|| self.gone(book))
    }

    /// Returns when everything through `seq` is on stable storage.
    pub(super) fn sync(&self, book: &BookName, seq: Seq) -> Result<()> {
        let key = Self::key(BookKey::new(book));
        let synced = self.logs.on(key, Purpose::Append, |log| log.sync_through(seq).map(Some))?;
        synced.ok_or_else(|| self.gone(book))
    }

    /// Makes the log end with its last whole call, all of it on stable storage, and answers where it ends; `None` if there is none.
    pub(super) fn settle(&self, book: &BookName) -> Result<Option<Position>> {
        self.logs.on(Self::key(BookKey::new(book)), Purpose::Append, |log| {
            log.with_lock(|log| {
                log.settle_end()?;
                Ok(log.end())
            })
        })
    }

    /// Where the log ends, for who only reads, when all of that is on stable storage.
    pub(super) fn settled_end(&self, book: &BookName, known: Seq) -> Result<Option<Position>> {
        self.logs.on(Self::key(BookKey::new(book)), Purpose::Read, |log| {
            let Some(end) = log.read(|view| Ok(view.end()?.position()))? else { return Ok(None) };
            if end.seq > known {
                log.sync_through(end.seq)?;
            }
            Ok(Some(end))
        })
    }

    /// Hands the lines from `first` on to `each`, until it breaks off. What looks damaged is read again, from `first` on: `begin` is
    /// called before each reading.
    pub(super) fn read<T>(
        &self,
        book: &BookName,
        first: Seq,
        begin: impl Fn() -> T,
        each: impl Fn(&mut T, &Line<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<T> {
        let taken = RefCell::new(None);
        self.logs.on(Self::key(BookKey::new(book)), Purpose::Read, |log| {
            log.read(|view| {
                let mut done = begin();
                let end = view.end()?;
                view.read_from(&end, first, |_, line| each(&mut done, line))?;
                taken.replace(Some(done));
                Ok(())
            })
        })?;
        Ok(taken.into_inner().unwrap_or_else(begin))
    }

    /// At most `limit` lines from `first` through `last`.
    pub(super) fn lines(&self, book: &BookName, first: Seq, last: Seq, limit: usize) -> LedgerResult<Vec<ReadLine>> {
        let first = first.max(Seq(1));
        if limit == 0 || first > last {
            return Ok(Vec::new());
        }
        let read = self.read(book, first, Vec::new, |lines, line| {
            lines.push(ReadLine { seq: line.seq, key: line.key.as_deref().map(str::to_owned), text: line.text() });
            let goes_on = lines.len() < limit && line.seq < last;
            Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        });
        read.map_err(|error| told(book, error))
    }

    /// One line.
    pub(super) fn line(&self, book: &BookName, seq: Seq) -> LedgerResult<Option<ReadLine>> {
        Ok(self.lines(book, seq, seq, 1)?.pop())
    }

    fn gone(&self, book: &BookName) -> StoreError {
        let path = self.layout.book(book);
        let missing = std::io::ErrorKind::NotFound.into();
        StoreError::io("open", Path::new(&path), missing)
    }
}
