//! Where the idempotency keys and the ids of a book's transactions stand.
//!
//! A key or an id is known by its fingerprint, and its transaction by its seq; the line there tells whether it is the one. The latest
//! are held, up to a bound; older ones are put aside in sorted files with checksums, behind a Bloom filter, whose names say which events they
//! cover. All of it follows from the log: what is missing, damaged or covers events that are not there is made
//! again by reading the log.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use store_core::Seq;

use crate::disk::{Disk, FileKind};
use crate::error::found;
use crate::layout::{Layout, RunName};
use crate::record_log::{Named, Pair, RunNames, Runs};

/// The folder of a book's runs, which is made when it is needed.
#[derive(Clone, Debug)]
pub(super) struct KeysFolder {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl RunNames for KeysFolder {
    fn new_name(&self) -> PathBuf {
        Layout::new_run(&self.folder)
    }

    fn name(&self, from: Seq, through: Seq, pairs: u64) -> PathBuf {
        Layout::run(&self.folder, RunName { from, through, pairs })
    }
}

impl KeysFolder {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder }
    }

    fn make(&self) -> io::Result<()> {
        match self.disk.create_folder(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// The runs that cover the events from the first on without a gap, and no event behind `last`; with them, whatever else lies there.
    fn list(&self, last: Seq) -> io::Result<(Vec<RunName>, Vec<PathBuf>)> {
        let listed = found(self.disk.list(&self.folder))?.unwrap_or_default();
        let (mut names, mut rest) = (Vec::new(), Vec::new());
        for listed in listed.iter().filter(|listed| listed.kind == FileKind::File) {
            match Layout::parse_run(listed) {
                Some(name) => names.push(name),
                None => rest.push(Layout::listed(&self.folder, listed)),
            }
        }
        // Of those that begin with the same event, the one that covers most is looked at first.
        names.sort_unstable_by_key(|name| (name.from, std::cmp::Reverse(name.through)));
        let (mut chosen, mut next) = (Vec::new(), Seq(1));
        for name in names {
            if name.from == next && name.through <= last && name.through >= name.from {
                next = name.through.next();
                chosen.push(name);
            } else {
                rest.push(Layout::run(&self.folder, name));
            }
        }
        Ok((chosen, rest))
    }
}

/// Where a book's keys and ids stand.
#[derive(Debug)]
pub(super) struct Index {
    recent: HashMap<u64, Seq>,
    runs: Runs,
    /// The last event that was looked at.
    through: Seq,
    recent_max: usize,
    /// `None`: nothing is put aside.
    folder: Option<KeysFolder>,
}

impl Index {
    /// An index that knows nothing.
    pub(super) fn empty(folder: Option<KeysFolder>, recent_max: usize) -> Self {
        let recent_max = recent_max.max(1);
        Self { recent: HashMap::new(), runs: Runs::default(), through: Seq::START, recent_max, folder }
    }

    /// An index that knows what was put aside of the events through `last`.
    pub(super) fn open(folder: &KeysFolder, is_owner: bool, recent_max: usize, last: Seq) -> Self {
        let mut index = Self::empty(Some(folder.clone()), recent_max);
        let Ok((chosen, rest)) = folder.list(last) else { return index };
        for name in chosen {
            let path = Layout::run(&folder.folder, name);
            let named = Named { path, from: name.from, through: name.through };
            if index.runs.take_up(&*folder.disk, named, name.pairs).is_err() {
                index.forget_runs(is_owner);
                break;
            }
            index.through = name.through;
        }
        if is_owner {
            // What cannot be removed covers nothing that is believed.
            rest.iter().for_each(|path| drop(folder.disk.remove_file(path)));
        }
        if !is_owner {
            index.folder = None;
        }
        index
    }

    /// Forgets all that was put aside, and what is held beside it.
    fn forget_runs(&mut self, is_owner: bool) {
        (self.runs, self.through) = (Runs::default(), Seq::START);
        self.recent.clear();
        let Some(folder) = self.folder.as_ref().filter(|_| is_owner) else { return };
        let (chosen, rest) = folder.list(Seq(u64::MAX)).unwrap_or_default();
        let runs = chosen.into_iter().map(|name| Layout::run(&folder.folder, name));
        runs.chain(rest).for_each(|path| drop(folder.disk.remove_file(&path)));
    }

    /// Forgets everything: what is there was found to be damaged. The log has to be read from its first event on.
    pub(super) fn start_over(&mut self) {
        let is_owner = self.folder.is_some();
        self.forget_runs(is_owner);
    }

    /// The last event that was looked at.
    pub(super) const fn through(&self) -> Seq {
        self.through
    }

    /// The last event that is put aside.
    pub(super) fn put_aside(&self) -> Seq {
        self.runs.through()
    }

    /// What is held, for a snapshot.
    pub(super) fn recent(&self) -> impl ExactSizeIterator<Item = Pair> {
        self.recent.iter().map(|(hash, seq)| (*hash, *seq))
    }

    /// Takes up what was held when everything through `through` had been looked at; answers whether nothing is missing then.
    pub(super) fn resume(&mut self, recent: Vec<Pair>, put_aside: Seq, through: Seq) -> bool {
        if self.runs.through() < put_aside || self.through > through {
            return self.through >= through;
        }
        self.recent.extend(recent);
        self.through = through;
        true
    }

    /// Notes the fingerprints of the next event; events come in their order.
    pub(super) fn note(&mut self, seq: Seq, fingerprints: &[u64]) {
        if seq <= self.through {
            return;
        }
        for fingerprint in fingerprints {
            self.recent.insert(*fingerprint, seq);
        }
        self.through = seq;
        if self.recent.len() >= self.recent_max && self.put_recent_aside().is_err() {
            self.recent_max *= 2;
        }
    }

    fn put_recent_aside(&mut self) -> io::Result<()> {
        let folder = self.folder.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        if self.runs.is_empty() {
            folder.make()?;
        }
        let mut pairs: Vec<Pair> = self.recent().collect();
        pairs.sort_unstable();
        let span = (self.runs.through().next(), self.through);
        self.runs.put_named(&*folder.disk, folder, span, &pairs)?;
        self.recent.clear();
        Ok(())
    }

    /// Where a fingerprint stands, as far as the log was looked at; of several places, one.
    pub(super) fn find(&self, fingerprint: u64) -> io::Result<Option<Seq>> {
        match self.recent.get(&fingerprint) {
            Some(seq) => Ok(Some(*seq)),
            None => self.runs.find(fingerprint),
        }
    }
}
