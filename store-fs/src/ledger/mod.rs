//! The ledger in files: a log for each book, and all that follows from it in memory.
//!
//! One process writes a ledger; a lock on its folder says so as long as it lives. Of the threads that commit to a book one judges, writes and takes in what
//! all of them have queued while it holds the books, and then syncs once for all (`round`). What was written is judged by at once, and told only when it is
//! on stable storage: each book knows its last visible event, and every answer is given through that. So a failed sync leaves nothing
//! visible that may be lost; the book takes no writes from then on, and opening the ledger anew finds out what of it is there.
//!
//! What is in memory is small: of each event its time, of each posting a seq and a balance. Texts are read from the log when they are asked for.
//! A snapshot saves opening from reading the whole log; a lost or damaged one costs that reading, and nothing else.
//!
//! Who opens it for reading takes no lock, looks at the logs on every call, and syncs what it shows.

mod adopt;
mod book;
mod examine;
mod header;
mod index;
mod log;
mod plan;
mod read;
mod repair;
mod round;
mod snapshot;
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use store_core::ledger::{BookName, Clock, Event, EventSource, LedgerError, LedgerResult};
use store_core::{Result, Seq, StoreError};

use self::book::{Book, BookOptions};
use self::log::BookLogs;
use self::round::Queue;
use crate::disk::{Disk, DiskFile, LockKind, OpenMode, OsDisk};
use crate::error::{At as _, found};
use crate::events::Events;
use crate::layout::{BookKey, Layout};
use crate::open::{create_folders, is_remote, sync_ancestors};
use crate::record_log::{find_parts, lock_mutex};

/// How a ledger is opened.
#[derive(Clone)]
pub struct LedgerOptions {
    /// Where it asks what time it is.
    pub clock: Clock,
    /// After how many events of a book a snapshot of it is made; 0 for never.
    pub snapshot_every: u64,
    /// How many keys and ids of a book are held in memory at most; older ones are looked up in files.
    pub keys_held_max: usize,
    /// How many bytes a part of a book's log may have.
    pub max_part_bytes: u64,
}

impl LedgerOptions {
    /// The defaults, with this clock.
    pub fn new(clock: Clock) -> Self {
        Self { clock, snapshot_every: 100_000, keys_held_max: 56 << 10, max_part_bytes: 64 * 1024 * 1024 }
    }
}

impl std::fmt::Debug for LedgerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerOptions")
            .field("snapshot_every", &self.snapshot_every)
            .field("keys_held_max", &self.keys_held_max)
            .field("max_part_bytes", &self.max_part_bytes)
            .finish_non_exhaustive()
    }
}

/// A [`Ledger`](store_core::ledger::Ledger) in the folder `ledger` of a store's folder.
///
/// Clones are handles on the same opened ledger.
#[derive(Clone, Debug)]
pub struct FsLedger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None` once it was shut down. Each call holds it for reading, so that shutting down waits for them.
    open: RwLock<Option<Open>>,
    news: News,
}

/// An open ledger.
#[derive(Debug)]
struct Open {
    options: LedgerOptions,
    book_options: BookOptions,
    logs: BookLogs,
    books: RwLock<BTreeMap<BookName, Entry>>,
    /// The batches of each book that wait. Beside the books, so that queueing does not wait for who holds those.
    queues: RwLock<BTreeMap<BookName, Arc<Queue>>>,
    is_read_only: bool,
    /// Held by whoever makes a snapshot, or repairs a book.
    snapshotting: Mutex<()>,
    /// Where it is recorded what was done to the ledger; `None` for who only reads.
    events: Option<Arc<Events>>,
    /// Whether the header was not there, beside books; until a repair has told that.
    lost_header: AtomicBool,
    /// Last, so that it is given up when everything else is closed.
    _lock: Option<Box<dyn DiskFile>>,
}

/// What is wrong with a book that has lost its log.
const WITHOUT_LOG: &str = "the log is not there, and beside it lies what was made of it";

/// A book, or why it cannot be read.
#[derive(Debug)]
enum Entry {
    Whole(Box<Book>),
    Damaged { seq: Seq, detail: String },
}

impl Entry {
    fn open(listed: &ListedBook, options: &BookOptions, logs: &BookLogs) -> LedgerResult<Option<Self>> {
        if !listed.has_log {
            return Ok(Some(Self::without_log()));
        }
        match Book::open(&listed.name, options, logs) {
            Ok(book) => Ok(book.map(|book| Self::Whole(Box::new(book)))),
            Err(LedgerError::Damaged { seq, detail, .. }) => Ok(Some(Self::Damaged { seq, detail })),
            Err(error) => Err(error),
        }
    }

    fn without_log() -> Self {
        Self::Damaged { seq: Seq(1), detail: WITHOUT_LOG.to_owned() }
    }

    fn book(&self, name: &BookName) -> LedgerResult<&Book> {
        match self {
            Self::Whole(book) => Ok(book),
            Self::Damaged { seq, detail } => {
                Err(LedgerError::Damaged { book: name.clone(), seq: *seq, detail: detail.clone() })
            }
        }
    }
}

type Books = BTreeMap<BookName, Entry>;

/// Wakes those who wait for events.
#[derive(Debug, Default)]
struct News {
    waiting: Mutex<usize>,
    changed: Condvar,
}

impl News {
    fn tell(&self) {
        // Waking nobody is a call of the system all the same.
        if *lock_mutex(&self.waiting) > 0 {
            self.changed.notify_all();
        }
    }

    fn wait(&self, time: Duration) {
        let mut waiting = lock_mutex(&self.waiting);
        *waiting += 1;
        // Who comes between a look and this waits for the time at most.
        let (mut waiting, _) = self.changed.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner);
        *waiting -= 1;
    }
}

impl FsLedger {
    /// Opens the ledger of the store in a folder, makes it if there is none, and owns it until it is shut down or the last clone is dropped.
    ///
    /// Where the store itself is to be made too, open that first.
    ///
    /// # Errors
    /// `Locked` while another process, or another opening in this one, owns it; `UnsupportedVersion`; `Unsupported` on a remote medium, where locks and syncs may
    /// not do what they say; those of the medium. A book whose log is damaged keeps nobody from the others: its own calls answer `Damaged`.
    pub fn open(root: impl AsRef<Path>, options: &LedgerOptions) -> LedgerResult<Self> {
        if is_remote(&OsDisk, root.as_ref())? {
            return Err(StoreError::Unsupported { what: "writing to a ledger on a remote filesystem" }.into());
        }
        Self::open_on(Arc::new(OsDisk), root.as_ref(), options)
    }

    /// Opens an existing ledger for reading, also while somebody owns it. Takes no lock; every write answers `ReadOnly`.
    ///
    /// # Errors
    /// `NotFound` of the system if there is none; `NotAStore` if there are books without the header of a ledger; `UnsupportedVersion`; those of the medium.
    pub fn open_read_only(root: impl AsRef<Path>, options: &LedgerOptions) -> LedgerResult<Self> {
        Self::open_read_only_on(Arc::new(OsDisk), root.as_ref(), options)
    }

    /// As [`open_read_only`](Self::open_read_only), for a dry run of a repair: also without the header of a ledger, which whoever opens it for writing makes again.
    ///
    /// # Errors
    /// `UnsupportedVersion`; `NotAStore` for a header that cannot be read; those of the medium.
    pub fn open_to_plan_repair(root: impl AsRef<Path>, options: &LedgerOptions) -> LedgerResult<Self> {
        let (disk, layout) = (Arc::new(OsDisk), Layout::new(root.as_ref()));
        let was_lost = header::check(&*disk, &layout, header::Lost::IsTold)?;
        Self::assemble(disk, layout, None, (was_lost, options))
    }

    /// As [`open`](Self::open), on any [`Disk`], whose medium the caller has judged.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, root: &Path, options: &LedgerOptions) -> LedgerResult<Self> {
        let layout = Layout::new(root);
        let folder = layout.ledger();
        create_folders(&*disk, &folder)?;
        let path = layout.ledger_lock();
        let lock = disk.open(&path, OpenMode::AppendOrCreate).at("open", &path)?;
        if !lock.try_lock(LockKind::Exclusive).at("lock", &path)? {
            return Err(StoreError::Locked { path }.into());
        }
        sync_ancestors(&*disk, &folder)?;
        let now = (options.clock)();
        let was_lost = header::find_or_write(&*disk, &layout, now)?;
        clear_leftovers(&*disk, &layout)?;
        let events = Arc::new(Events::new(Arc::clone(&disk), layout.clone(), now / 1000));
        Self::assemble(disk, layout, Some((lock, events)), (was_lost, options))
    }

    /// As [`open_read_only`](Self::open_read_only), on any [`Disk`].
    ///
    /// # Errors
    /// As [`open_read_only`](Self::open_read_only).
    pub fn open_read_only_on(disk: Arc<dyn Disk>, root: &Path, options: &LedgerOptions) -> LedgerResult<Self> {
        let layout = Layout::new(root);
        header::check(&*disk, &layout, header::Lost::IsRefused)?;
        Self::assemble(disk, layout, None, (false, options))
    }

    fn assemble(
        disk: Arc<dyn Disk>,
        layout: Layout,
        owned: Option<(Box<dyn DiskFile>, Arc<Events>)>,
        (was_lost, options): (bool, &LedgerOptions),
    ) -> LedgerResult<Self> {
        let (lock, events) = owned.unzip();
        let logs = BookLogs::new(Arc::clone(&disk), layout.clone(), events.clone(), options.max_part_bytes);
        let is_read_only = lock.is_none();
        let keys_held_max = options.keys_held_max;
        let book_options = BookOptions { disk, layout, keys_held_max, is_owner: !is_read_only };
        let mut books = Books::new();
        for listed in list(&book_options)? {
            if let Some(entry) = Entry::open(&listed, &book_options, &logs)? {
                books.insert(listed.name, entry);
            }
        }
        let open = Open {
            options: options.clone(),
            book_options,
            logs,
            books: RwLock::new(books),
            queues: RwLock::default(),
            is_read_only,
            snapshotting: Mutex::default(),
            events,
            lost_header: AtomicBool::new(was_lost),
            _lock: lock,
        };
        Ok(Self(Arc::new(Shared { open: RwLock::new(Some(open)), news: News::default() })))
    }
}

/// A book that there is, or was.
struct ListedBook {
    name: BookName,
    has_log: bool,
}

/// The books whose logs are there, and those that have only lost theirs.
fn list(options: &BookOptions) -> Result<Vec<ListedBook>> {
    let (disk, layout) = (&*options.disk, &options.layout);
    let folder = layout.ledger();
    let listed = found(disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
    let mut books = Vec::new();
    for name in listed.iter().filter_map(Layout::parse_book) {
        let log = layout.book_log_name(BookKey::new(&name));
        let stat = |path: &Path| found(disk.stat(path)).at("stat", path);
        let is_there = |path: &Path| stat(path).map(|found| found.is_some());
        // An empty file is what a repair that is cut short leaves of a log of which nothing could be kept.
        let has_log = stat(&log.path)?.is_some_and(|stat| stat.bytes > 0) || find_parts(disk, &log)?.newest > 1;
        // A folder with nothing in it is what a creation left that was cut short. Snapshots and keys are made of a log.
        if has_log || is_there(&layout.book_snapshots(&name))? || is_there(&layout.book_keys(&name))? {
            books.push(ListedBook { name, has_log });
        }
    }
    Ok(books)
}

fn clear_leftovers(disk: &dyn Disk, layout: &Layout) -> Result<()> {
    let root = layout.ledger();
    let listed = disk.list(&root).at("list", &root)?;
    for book in listed.iter().filter_map(Layout::parse_book) {
        repair::finish_decided(disk, layout, &book)?;
    }
    let mut folders: Vec<_> =
        listed.iter().filter_map(Layout::parse_book).map(|book| layout.book_keys(&book)).collect();
    folders.push(root);
    for folder in folders {
        let listed = found(disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
        for listed in
            listed.iter().filter(|listed| Layout::is_new(listed) && listed.kind == crate::disk::FileKind::File)
        {
            // What stays is in nobody's way.
            let _ = disk.remove_file(&Layout::listed(&folder, listed));
        }
    }
    Ok(())
}

impl Shared {
    /// Does `work` on the open ledger.
    fn with<T>(&self, work: impl FnOnce(&Open) -> LedgerResult<T>) -> LedgerResult<T> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        work(open.as_ref().ok_or(LedgerError::ShutDown)?)
    }
}

impl Open {
    fn read(&self) -> LedgerResult<RwLockReadGuard<'_, Books>> {
        if self.is_read_only {
            self.refresh()?;
        }
        Ok(self.books.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> LedgerResult<RwLockWriteGuard<'_, Books>> {
        if self.is_read_only {
            return Err(StoreError::ReadOnly.into());
        }
        Ok(self.books.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in what the ledger's owner wrote.
    fn refresh(&self) -> LedgerResult<()> {
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        let listed = list(&self.book_options)?;
        // A repair may have found nothing to keep of a book.
        books.retain(|name, _| listed.iter().any(|listed| listed.name == *name));
        for listed in listed {
            match books.get_mut(&listed.name) {
                Some(Entry::Whole(book)) if listed.has_log => match book.refresh(&self.logs) {
                    Err(LedgerError::Damaged { seq, detail, .. }) => {
                        books.insert(listed.name, Entry::Damaged { seq, detail });
                    }
                    done => done?,
                },
                _ => {
                    let opened = Entry::open(&listed, &self.book_options, &self.logs)?;
                    opened.map(|entry| books.insert(listed.name, entry));
                }
            }
        }
        Ok(())
    }
}

/// A book with visible events; `None` if there is none of this name.
fn find<'b>(books: &'b Books, name: &BookName) -> LedgerResult<Option<&'b Book>> {
    let book = books.get(name).map(|entry| entry.book(name)).transpose()?;
    Ok(book.filter(|book| book.visible() > Seq::START))
}

impl EventSource for Shared {
    fn events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>> {
        self.with(|open| open.read_events(book, from, limit))
    }

    fn wait(&self, _book: &BookName, _from: Seq, time: Duration) {
        self.news.wait(time);
    }
}
