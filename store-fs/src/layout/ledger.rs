//! Where a ledger lies.

use std::path::{Path, PathBuf};

use store_core::codec::LogContext;
use store_core::ledger::BookName;
use store_core::{SegmentId, Seq};

use super::{Layout, LogName, new_name, part_name};
use crate::disk::{FileKind, Listed};

// Persisted: never rename.
pub(super) const LEDGER: &str = "ledger";
const HEADER: &str = "ledger.json";
const LOCK: &str = "LOCK";
const SNAPSHOTS: &str = "snapshots";
const KEYS: &str = "keys";
const QUARANTINE: &str = "quarantine";
const RUN: &str = ".run";
const ASIDE: &str = ".aside-";

/// The longest name of a book.
const BOOK_BYTES_MAX: usize = 64;

/// A book's name, as what tells one open log from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BookKey {
    bytes: [u8; BOOK_BYTES_MAX],
    length: usize,
}

impl BookKey {
    pub(crate) fn new(book: &BookName) -> Self {
        let name = book.as_str().as_bytes();
        let mut bytes = [0; BOOK_BYTES_MAX];
        let length = name.len().min(BOOK_BYTES_MAX);
        bytes[..length].copy_from_slice(&name[..length]);
        Self { bytes, length }
    }

    fn as_str(&self) -> &str {
        // It was a name.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl std::fmt::Debug for BookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file of keys that were put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunName {
    /// The first event that it covers.
    pub(crate) from: Seq,
    /// The last.
    pub(crate) through: Seq,
    /// How many pairs it has.
    pub(crate) pairs: u64,
}

impl Layout {
    pub(crate) fn ledger(&self) -> PathBuf {
        self.root.join(LEDGER)
    }

    pub(crate) fn ledger_header(&self) -> PathBuf {
        self.ledger().join(HEADER)
    }

    pub(crate) fn ledger_lock(&self) -> PathBuf {
        self.ledger().join(LOCK)
    }

    /// A name for something that is being made in the ledger; it belongs to whoever holds the ledger's lock.
    pub(crate) fn ledger_new_name(&self) -> PathBuf {
        new_name(&self.ledger())
    }

    pub(crate) fn book(&self, book: &BookName) -> PathBuf {
        self.ledger().join(book.as_str())
    }

    pub(crate) fn book_snapshots(&self, book: &BookName) -> PathBuf {
        self.book(book).join(SNAPSHOTS)
    }

    pub(crate) fn book_keys(&self, book: &BookName) -> PathBuf {
        self.book(book).join(KEYS)
    }

    /// The name that what lies beside a book's log gets when a repair puts it aside.
    pub(crate) fn set_aside(folder: &Path, attempt: u32) -> PathBuf {
        let mut path = folder.to_owned().into_os_string();
        path.push(format!("{ASIDE}{attempt}"));
        path.into()
    }

    /// A path in the store relative to its root, for people.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    pub(crate) fn run(keys: &Path, name: RunName) -> PathBuf {
        keys.join(format!("{}-{}-{}{RUN}", name.from, name.through, name.pairs))
    }

    pub(crate) fn new_run(keys: &Path) -> PathBuf {
        new_name(keys)
    }

    /// The first part of a book's log. It has an id like a segment's, which follows from the book's name: so the log of a book is
    /// kept, recovered and parted by what does that for segments.
    pub(crate) fn book_log_name(&self, book: BookKey) -> LogName {
        let folder = self.ledger().join(book.as_str());
        let id = SegmentId::derive(0, format!("{LEDGER}/{}", book.as_str()).as_bytes());
        LogName {
            path: folder.join(part_name(id, 1)),
            context: LogContext::segment(id),
            segment: Some(id),
            part: 1,
            quarantine: folder.join(QUARANTINE),
            root: self.root.clone(),
            replacing: None,
        }
    }

    /// What was listed in the ledger's folder, if it is a book's.
    pub(crate) fn parse_book(listed: &Listed) -> Option<BookName> {
        listed.name.to_str().filter(|_| listed.kind == FileKind::Folder)?.parse().ok()
    }

    /// What was listed among a book's keys, if it is a file of them.
    pub(crate) fn parse_run(listed: &Listed) -> Option<RunName> {
        let stem = listed.name.to_str()?.strip_suffix(RUN)?;
        let mut numbers = stem.split('-').map(str::parse::<u64>);
        let name = RunName {
            from: Seq(numbers.next()?.ok()?),
            through: Seq(numbers.next()?.ok()?),
            pairs: numbers.next()?.ok()?,
        };
        let spelt = Self::run(Path::new(""), name);
        (numbers.next().is_none() && spelt.to_str() == listed.name.to_str()).then_some(name)
    }
}
