//! Hashes of keys that are put aside, sorted, in files without a name.
//!
//! A run is written once, in pages that have a checksum each, and looked through by guessing: the hashes are spread evenly, so that one
//! or two pages tell whether a hash is there. Runs of about the same length are made one, so that there are few of
//! them, and a filter of a fixed size keeps most hashes that were never put aside from being looked for at all. When it has taken in so
//! many that it says yes too often, a look costs a page of each run more, and no memory.
//!
//! The files of a segment's keys belong to the process alone and are gone with it; those of a ledger's have names, which say what they
//! cover, and are found again ([`Named`]). What cannot be read back as it was written is an error, never an answer.

use std::io;
use std::path::{Path, PathBuf};

use store_core::Seq;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::found;
use crate::record_log::append_all_or_nothing;

use super::filter::Filter;

/// A key's hash, and the seq of its entry.
pub(crate) type Pair = (u64, Seq);

const PAIR_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
const PAGE_BYTES: usize = 4096;
const PAGE_PAIRS: usize = (PAGE_BYTES - CRC_BYTES) / PAIR_BYTES;
/// How many bytes are written at once.
const WRITE_BYTES: usize = 16 * PAGE_BYTES;
/// How often a page is guessed before the rest is halved.
const GUESSES_MAX: u32 = 4;

/// All that is put aside of one log.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// From the longest to the shortest.
    runs: Vec<Run>,
    filter: Filter,
}

#[derive(Debug)]
struct Run {
    file: Box<dyn DiskFile>,
    pairs: u64,
    named: Option<Named>,
}

/// What a run with a name covers.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) path: PathBuf,
    /// The first entry that it covers.
    pub(crate) from: Seq,
    /// The last.
    pub(crate) through: Seq,
}

/// The names of runs that are found again.
pub(crate) trait RunNames {
    /// A name for a run that is being written.
    fn new_name(&self) -> PathBuf;
    /// The name of a run of so many pairs that covers the entries from one through another.
    fn name(&self, from: Seq, through: Seq, pairs: u64) -> PathBuf;
}

/// The pairs of a page.
type Page = Vec<Pair>;

impl Runs {
    /// Puts pairs aside, which are sorted; `name` gives names for files. After an error nothing has changed.
    pub(super) fn put(&mut self, disk: &dyn Disk, name: impl Fn() -> PathBuf, pairs: &[Pair]) -> io::Result<()> {
        let new = Run::write(disk, &name(), pairs.iter().copied().map(Ok))?;
        self.filter.add(pairs.iter().map(|(hash, _)| *hash));
        self.runs.push(new);
        while let [.., longer, shorter] = &self.runs[..]
            && longer.pairs < 2 * shorter.pairs
        {
            // Two runs say the same as one that cannot be made of them.
            let Ok(one) = Run::write(disk, &name(), merged(longer, shorter)) else { break };
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(one);
        }
        Ok(())
    }

    /// Puts pairs aside, which are sorted, in a run with a name that covers these entries, which follow those that the runs before cover.
    /// After an error nothing has changed.
    pub(crate) fn put_named(
        &mut self,
        disk: &dyn Disk,
        names: &dyn RunNames,
        (from, through): (Seq, Seq),
        pairs: &[Pair],
    ) -> io::Result<()> {
        let path = names.name(from, through, pairs.len() as u64);
        let named = Named { path, from, through };
        let new = Run::write_named(disk, &names.new_name(), named, pairs.iter().copied().map(Ok))?;
        self.filter.add(pairs.iter().map(|(hash, _)| *hash));
        self.runs.push(new);
        while let [.., longer, shorter] = &self.runs[..]
            && longer.pairs < 2 * shorter.pairs
            && let (Some(first), Some(last)) = (&longer.named, &shorter.named)
        {
            let path = names.name(first.from, last.through, longer.pairs + shorter.pairs);
            let named = Named { path, from: first.from, through: last.through };
            let merged = Run::write_named(disk, &names.new_name(), named, merged(longer, shorter));
            // Two runs say the same as one that cannot be made of them.
            let Ok(one) = merged else { break };
            for old in self.runs.drain(self.runs.len() - 2..) {
                // What stays is covered twice, which is no harm.
                let _ = old.named.map(|named| disk.remove_file(&named.path));
            }
            self.runs.push(one);
        }
        Ok(())
    }

    /// Takes a run up again that was put aside by an earlier process. All of it is read, so that it is known to be whole. After an error
    /// nothing of the runs may be relied on.
    pub(crate) fn take_up(&mut self, disk: &dyn Disk, named: Named, pairs: u64) -> io::Result<()> {
        let file = disk.open(&named.path, OpenMode::Read)?;
        let run = Run { file, pairs, named: Some(named) };
        if run.file.stat()?.bytes != run.pages() * PAGE_BYTES as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for page in 0..run.pages() {
            self.filter.add(run.page(page)?.into_iter().map(|(hash, _)| hash));
        }
        self.runs.push(run);
        Ok(())
    }

    /// The last entry that the runs cover, if they have names.
    pub(crate) fn through(&self) -> Seq {
        self.runs.last().and_then(|run| run.named.as_ref()).map_or(Seq::START, |named| named.through)
    }

    /// Whether nothing was put aside.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Where a hash's entry stands, if it was put aside; of several entries, that of one.
    pub(crate) fn find(&self, hash: u64) -> io::Result<Option<Seq>> {
        if !self.filter.may_hold(hash) {
            return Ok(None);
        }
        for run in self.runs.iter().rev() {
            if let Some(seq) = run.find(hash)? {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.runs.len()
    }
}

impl Run {
    fn write(disk: &dyn Disk, path: &Path, pairs: impl Iterator<Item = io::Result<Pair>>) -> io::Result<Self> {
        let file = disk.open(path, OpenMode::CreateNew)?;
        // Who clears leftovers away may have been quicker, which is as good.
        found(disk.remove_file(path))?;
        Self::fill(file, pairs)
    }

    /// Writes a run that has a name when it is whole. It is not synced: what a power loss makes of it has no right checksums.
    fn write_named(
        disk: &dyn Disk,
        new: &Path,
        named: Named,
        pairs: impl Iterator<Item = io::Result<Pair>>,
    ) -> io::Result<Self> {
        let file = disk.open(new, OpenMode::CreateNew)?;
        let written = Self::fill(file, pairs).and_then(|run| disk.rename(new, &named.path).map(|()| run));
        if written.is_err() {
            // What stays is a leftover of whoever owns the folder.
            let _ = disk.remove_file(new);
        }
        written.map(|run| Self { named: Some(named), ..run })
    }

    fn fill(file: Box<dyn DiskFile>, pairs: impl Iterator<Item = io::Result<Pair>>) -> io::Result<Self> {
        let mut run = Self { file, pairs: 0, named: None };
        let (mut written, mut waiting, mut page) = (0, Vec::with_capacity(WRITE_BYTES), Page::new());
        for pair in pairs {
            page.push(pair?);
            run.pairs += 1;
            if page.len() == PAGE_PAIRS {
                put_page(&mut waiting, written, &page);
                page.clear();
            }
            if waiting.len() == WRITE_BYTES {
                append_all_or_nothing(&*run.file, written, &waiting)?;
                written += waiting.len() as u64;
                waiting.clear();
            }
        }
        if !page.is_empty() {
            put_page(&mut waiting, written, &page);
        }
        append_all_or_nothing(&*run.file, written, &waiting)?;
        Ok(run)
    }

    const fn pages(&self) -> u64 {
        self.pairs.div_ceil(PAGE_PAIRS as u64)
    }

    fn page(&self, number: u64) -> io::Result<Page> {
        let offset = number * PAGE_BYTES as u64;
        let mut bytes = [0; PAGE_BYTES];
        let mut done = 0;
        while done < PAGE_BYTES {
            match self.file.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let (body, crc) = bytes.split_at(PAGE_BYTES - CRC_BYTES);
        if crc_of(offset, body).to_le_bytes() != crc {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "keys that were put aside are damaged"));
        }
        let pairs = usize::try_from(self.pairs - number * PAGE_PAIRS as u64).unwrap_or(usize::MAX).min(PAGE_PAIRS);
        let (words, _) = body.as_chunks::<8>();
        let (pair, _) = words.as_chunks::<2>();
        Ok(pair[..pairs].iter().map(|[hash, seq]| (u64::from_le_bytes(*hash), Seq(u64::from_le_bytes(*seq)))).collect())
    }

    fn find(&self, hash: u64) -> io::Result<Option<Seq>> {
        let (mut low, mut high) = (0, self.pages());
        let (mut least, mut most) = (0, u64::MAX);
        let mut guesses = 0;
        while low < high {
            let at = if guesses < GUESSES_MAX {
                low + share(hash - least, most - least, high - low)
            } else {
                low + (high - low) / 2
            };
            guesses += 1;
            let page = self.page(at)?;
            let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) else { return Ok(None) };
            if hash < *first {
                (high, most) = (at, *first);
            } else if hash > *last {
                (low, least) = (at + 1, *last);
            } else {
                let place = page.binary_search_by_key(&hash, |(hash, _)| *hash);
                return Ok(place.ok().map(|place| page[place].1));
            }
        }
        Ok(None)
    }

    fn pairs(&self) -> impl Iterator<Item = io::Result<Pair>> {
        (0..self.pages()).flat_map(|number| {
            let (page, error) = match self.page(number) {
                Ok(page) => (page, None),
                Err(error) => (Page::new(), Some(Err(error))),
            };
            page.into_iter().map(Ok).chain(error)
        })
    }
}

/// Which of `pages` a hash is in that lies `hash` behind the first of numbers that are spread over `numbers`.
fn share(hash: u64, numbers: u64, pages: u64) -> u64 {
    let page = u128::from(hash) * u128::from(pages) / (u128::from(numbers) + 1);
    u64::try_from(page).unwrap_or(u64::MAX).min(pages - 1)
}

fn put_page(bytes: &mut Vec<u8>, written: u64, page: &[Pair]) {
    let start = bytes.len();
    for (hash, seq) in page {
        bytes.extend_from_slice(&hash.to_le_bytes());
        bytes.extend_from_slice(&seq.0.to_le_bytes());
    }
    bytes.resize(start + PAGE_BYTES - CRC_BYTES, 0);
    let crc = crc_of(written + start as u64, &bytes[start..]);
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// The checksum of a page, which is another one elsewhere in the file.
fn crc_of(offset: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), body)
}

/// The pairs of two runs in their order.
fn merged(one: &Run, other: &Run) -> impl Iterator<Item = io::Result<Pair>> {
    let (mut one, mut other) = (one.pairs().peekable(), other.pairs().peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(Ok(left)), Some(Ok(right))) => {
            if left <= right {
                one.next()
            } else {
                other.next()
            }
        }
        // An error is what is told next.
        (Some(Err(_)), _) | (Some(_), None) => one.next(),
        _ => other.next(),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::disk::OsDisk;
    use crate::simulate::{Fault, SimDisk};

    /// Numbers that are spread evenly, and none twice.
    fn spread(number: u64) -> u64 {
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn pairs(numbers: std::ops::Range<u64>) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = numbers.map(|number| (spread(number), Seq(number))).collect();
        pairs.sort_unstable();
        pairs
    }

    fn names(folder: &Path) -> impl Fn() -> PathBuf {
        let (folder, next) = (folder.to_owned(), Cell::new(0));
        move || {
            next.set(next.get() + 1);
            folder.join(next.get().to_string())
        }
    }

    #[test]
    fn what_was_put_aside_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let name = names(folder.path());
        let mut runs = Runs::default();
        for start in (0..8000).step_by(200) {
            runs.put(&OsDisk, &name, &pairs(start..start + 200)).unwrap();
        }
        for number in 0..8000 {
            assert_eq!(runs.find(spread(number)).unwrap(), Some(Seq(number)));
            assert_eq!(runs.find(spread(number + 1_000_000)).unwrap(), None);
        }
        assert!(runs.count() <= 7, "{} runs of 40 parts", runs.count());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the files have no names");
    }

    #[test]
    fn hashes_that_are_not_spread_at_all_are_found_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::default();
        let crowded: Vec<Pair> = (0..20_000).map(|number| (number / 700, Seq(number))).collect();
        runs.put(&OsDisk, names(folder.path()), &crowded).unwrap();
        for hash in 0..20_000 / 700 {
            assert_eq!(runs.find(hash).unwrap().map(|seq| seq.0 / 700), Some(hash));
        }
        assert_eq!(runs.find(u64::MAX).unwrap(), None);
    }

    /// A disk whose files answer with another byte than was written, when they are told to.
    #[derive(Clone, Debug, Default)]
    struct Rotten(Arc<Mutex<Option<u64>>>);

    #[derive(Debug)]
    struct RottenFile(Box<dyn DiskFile>, Rotten);

    impl DiskFile for RottenFile {
        fn append(&self, bytes: &[u8]) -> io::Result<usize> {
            self.0.append(bytes)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let count = self.0.read_at(buffer, offset)?;
            if let Some(rotten) = *self.1.0.lock().unwrap()
                && (offset..offset + count as u64).contains(&rotten)
            {
                buffer[usize::try_from(rotten - offset).unwrap()] ^= 1;
            }
            Ok(count)
        }

        fn stat(&self) -> io::Result<crate::disk::FileStat> {
            self.0.stat()
        }

        fn truncate(&self, bytes: u64) -> io::Result<()> {
            self.0.truncate(bytes)
        }

        fn set_writable(&self, writable: bool) -> io::Result<()> {
            self.0.set_writable(writable)
        }

        fn sync_file(&self) -> io::Result<()> {
            self.0.sync_file()
        }

        fn lock(&self, kind: crate::disk::LockKind) -> io::Result<()> {
            self.0.lock(kind)
        }

        fn try_lock(&self, kind: crate::disk::LockKind) -> io::Result<bool> {
            self.0.try_lock(kind)
        }

        fn unlock(&self) -> io::Result<()> {
            self.0.unlock()
        }
    }

    #[test]
    fn a_page_that_is_not_as_it_was_written_is_an_error_and_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let rotten = Rotten::default();
        let mut runs = Runs::default();
        runs.put(&OsDisk, names(folder.path()), &pairs(0..200)).unwrap();
        let run = runs.runs.pop().unwrap();
        runs.runs.push(Run { file: Box::new(RottenFile(run.file, rotten.clone())), ..run });
        for byte in 0..PAGE_BYTES as u64 {
            *rotten.0.lock().unwrap() = Some(byte);
            assert_eq!(runs.find(spread(7)).unwrap_err().kind(), io::ErrorKind::InvalidData, "{byte}");
        }
        *rotten.0.lock().unwrap() = None;
        assert_eq!(runs.find(spread(7)).unwrap(), Some(Seq(7)));
    }

    #[test]
    fn a_full_disk_takes_nothing_of_what_is_put_aside_already() {
        let disk = SimDisk::new();
        let folder = Path::new("/keys");
        disk.create_folder(folder).unwrap();
        let name = names(folder);
        for fault in 1..20 {
            let mut runs = Runs::default();
            let mut known = Vec::new();
            disk.plan(fault, vec![(disk.calls() + fault, Fault::Full)]);
            for start in [0, 300, 600] {
                if runs.put(&disk, &name, &pairs(start..start + 300)).is_ok() {
                    known.extend(start..start + 300);
                }
            }
            for number in 0..900 {
                let found = known.contains(&number).then_some(Seq(number));
                assert_eq!(runs.find(spread(number)).unwrap(), found, "fault {fault}");
            }
        }
    }
}
