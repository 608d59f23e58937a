//! The pages of a database file, without SQLite: read by number, the newest of each, also if it stands in the write-ahead log only.
//!
//! Source: the "Database File Format" page of sqlite.org, sections 1 and 4. Numbers are big-endian.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use store_core::{Result, StoreError};

use super::btree;

/// What our databases have, and what is tried if the head does not say.
const PAGE_BYTES: usize = 4096;
const PAGE_BYTES_MIN: usize = 512;
const PAGE_BYTES_MAX: usize = 65536;
/// How many pages are looked at to find out how long they are.
const PROBES: u64 = 512;
const LOG_HEAD_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 24;

/// A file that is read and never closed: closing it would drop the locks that other connections of this process hold on it.
struct Source {
    path: PathBuf,
    file: ManuallyDrop<File>,
    bytes: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", path, error)),
        };
        let bytes = file.metadata().map_err(|error| StoreError::io("look at", path, error))?.len();
        Ok(Some(Self { path: path.to_owned(), file: ManuallyDrop::new(file), bytes }))
    }

    /// Exactly so many bytes from `offset`; `None` if they are not there, or the medium does not give them.
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    }
}

/// All pages of a database.
pub(super) struct Pages {
    database: Source,
    log: Option<Source>,
    page_bytes: usize,
    /// Where the newest version of a page stands in the log.
    in_log: HashMap<u32, u64>,
    /// How many pages there are.
    pub(super) count: u32,
    /// Whether the log goes on behind what could be read of it.
    pub(super) log_is_cut: bool,
}

impl Pages {
    /// Opens a database to be read page by page.
    ///
    /// # Errors
    /// `NoStore` if nothing is there; `Io`.
    pub(super) fn open(path: &Path, log: &Path) -> Result<Self> {
        let missing = || StoreError::NoStore { path: path.to_owned() };
        let database = Source::open(path)?.ok_or_else(missing)?;
        let log = Source::open(log)?;
        let page_bytes = page_bytes(&database);
        let count = u32::try_from(database.bytes.div_ceil(page_bytes as u64)).unwrap_or(u32::MAX);
        let mut pages = Self { database, log, page_bytes, in_log: HashMap::new(), count, log_is_cut: false };
        pages.read_log();
        Ok(pages)
    }

    /// The path of the database.
    pub(super) fn path(&self) -> &Path {
        &self.database.path
    }

    /// How many bytes of a page are SQLite's to use. Our databases reserve none.
    pub(super) const fn usable(&self) -> usize {
        self.page_bytes
    }

    /// A page; `None` if there is none, or it cannot be read.
    pub(super) fn get(&self, number: u32) -> Option<Vec<u8>> {
        if number == 0 || number > self.count {
            return None;
        }
        match (self.in_log.get(&number), &self.log) {
            (Some(offset), Some(log)) => log.read(*offset, self.page_bytes),
            _ => self.database.read(u64::from(number - 1) * self.page_bytes as u64, self.page_bytes),
        }
    }

    /// The pages that are free, as far as the list of them can be followed, and whether that is to its end.
    pub(super) fn free(&self) -> (HashSet<u32>, bool) {
        let mut free = HashSet::new();
        let Some(head) = self.get(1) else { return (free, false) };
        let mut trunk = number(&head, 32);
        while let Some(page) = self.get(trunk).filter(|_| !free.contains(&trunk)) {
            let (next, leaves) = (number(&page, 0), number(&page, 4) as usize);
            // Bytes that are no such list: nothing of it can be believed.
            if next > self.count || leaves > self.page_bytes / 4 - 2 {
                break;
            }
            free.insert(trunk);
            free.extend((0..leaves).map(|leaf| number(&page, 8 + 4 * leaf)).filter(|leaf| *leaf <= self.count));
            trunk = next;
        }
        let is_whole = trunk == 0 && free.len() == number(&head, 36) as usize;
        (free, is_whole)
    }

    /// Finds the newest version of each page that the log's transactions wrote.
    fn read_log(&mut self) {
        let Some(log) = &self.log else { return };
        let Some(head) = log.read(0, LOG_HEAD_BYTES) else { return };
        let magic = number(&head, 0);
        if magic | 1 != 0x377F_0683 || number(&head, 8) as usize != self.page_bytes {
            self.log_is_cut = log.bytes > 0;
            return;
        }
        let big_endian = magic & 1 == 1;
        let mut sum = checksum((0, 0), &head[..24], big_endian);
        if sum != (number(&head, 24), number(&head, 28)) {
            self.log_is_cut = true;
            return;
        }
        let (mut offset, mut open) = (LOG_HEAD_BYTES as u64, HashMap::new());
        let frame_bytes = FRAME_HEAD_BYTES + self.page_bytes;
        while let Some(frame) = log.read(offset, frame_bytes) {
            let (page, commit) = (number(&frame, 0), number(&frame, 4));
            // Frames of an earlier round stand behind those of this one.
            if frame[8..16] != head[16..24] {
                break;
            }
            sum = checksum(checksum(sum, &frame[..8], big_endian), &frame[FRAME_HEAD_BYTES..], big_endian);
            if sum != (number(&frame, 16), number(&frame, 20)) {
                self.log_is_cut = true;
                break;
            }
            open.insert(page, offset + FRAME_HEAD_BYTES as u64);
            if commit > 0 {
                self.in_log.extend(open.drain());
                self.count = commit.max(self.count);
            }
            offset += frame_bytes as u64;
        }
    }
}

/// A number of 4 bytes; 0 behind the end.
pub(super) fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The log's checksum, carried on over some bytes.
fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let bytes: [u8; 4] = bytes.try_into().unwrap_or_default();
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    for pair in bytes.chunks_exact(8) {
        one = one.wrapping_add(word(&pair[..4])).wrapping_add(two);
        two = two.wrapping_add(word(&pair[4..])).wrapping_add(one);
    }
    (one, two)
}

/// How long pages are: as the head says, if the pages look like it.
fn page_bytes(database: &Source) -> usize {
    let said = match database.read(16, 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]])) {
        Some(1) => PAGE_BYTES_MAX,
        Some(said) => said.into(),
        None => PAGE_BYTES,
    };
    let is_size = |size: &usize| size.is_power_of_two() && (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(size);
    let all = (9..=16).map(|power| 1_usize << power);
    // Of two sizes that explain as much the later one wins.
    let candidates = all.chain([PAGE_BYTES, said]).filter(is_size);
    let explained = |size: &usize| {
        let pages = (database.bytes / *size as u64).min(PROBES);
        let trees = (1..pages).filter(|page| {
            database.read(page * *size as u64, *size).is_some_and(|page| btree::is_of_size(&page, *size))
        });
        trees.count() * size
    };
    candidates.max_by_key(explained).unwrap_or(PAGE_BYTES)
}
