//! The simulated disk: processes, descriptors and locks on an [`Image`], and what goes wrong when.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::file::File;
use super::image::{Image, Loss};
use super::random::Random;
use crate::disk::{FileId, FileStat, LockKind};

/// Nobody keeps a lock this long: whoever waits longer would wait for ever.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(20);

/// How many calls it takes to leave the mark of a failed sync.
const MARK_CALLS: u64 = 5;

/// Processes that were started, on all simulated disks. 0 is this process itself.
static PROCESSES: AtomicU64 = AtomicU64::new(1);

/// Something that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The call fails with EIO and does nothing.
    Refused,
    /// A call that needs space takes a part, or nothing, and fails with ENOSPC.
    Full,
    /// A write takes only a part.
    Short,
    /// A file's sync fails, and the bytes that were to be synced are forgotten: later syncs succeed without them.
    ForgottenSync,
    /// The process dies in the call; of a write a part is done.
    Death,
}

/// What a call on the disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// Looks at something, or takes or gives back a lock: changes nothing that a power loss could take.
    Look,
    /// Makes a file or a folder.
    Make,
    /// Appends to a file.
    Write,
    /// Cuts a file.
    Truncate,
    /// Gives another name, or takes one away.
    Name,
    /// Gives or takes write bits.
    Mode,
    /// Syncs a file.
    SyncFile,
    /// Syncs a folder.
    SyncFolder,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::Look, Self::Make, Self::Write, Self::Truncate, Self::Name, Self::Mode, Self::SyncFile, Self::SyncFolder];
}

impl Fault {
    const fn applies_to(self, kind: CallKind) -> bool {
        match self {
            Self::Refused | Self::Death => true,
            Self::Full => matches!(kind, CallKind::Make | CallKind::Write),
            Self::Short => matches!(kind, CallKind::Write),
            Self::ForgottenSync => matches!(kind, CallKind::SyncFile),
        }
    }
}

/// The disk as it was in the middle of a call that changed it, before a sync took effect.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The number of the call, from 1.
    pub call: u64,
    /// What the call was.
    pub kind: CallKind,
    /// What was last given to [`SimDisk::set_mark`].
    pub mark: usize,
    image: Image,
}

impl Snapshot {
    /// A disk with what a power loss at that moment leaves.
    pub fn crash(&self, loss: Loss, seed: u64) -> SimDisk {
        SimDisk::on(self.image.crash(loss, seed))
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) image: Image,
    calls: BTreeMap<CallKind, u64>,
    pub(super) faults: Vec<(u64, Fault)>,
    met: BTreeMap<Fault, u64>,
    pub(super) random: Random,
    dead: BTreeSet<u64>,
    /// How many more calls of a process no fault happens in.
    spared: BTreeMap<u64, u64>,
    descriptors: u64,
    /// Who holds a lock on which file: the descriptor and its process.
    locks: BTreeMap<u64, Vec<(u64, u64, LockKind)>>,
    mark: usize,
    snapshots: Option<Vec<Snapshot>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    unlocked: Condvar,
}

/// One process's view of a disk in memory. A clone is the same process.
#[derive(Clone, Debug)]
pub struct SimDisk {
    shared: Arc<Shared>,
    process: u64,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

fn next_process() -> u64 {
    PROCESSES.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

pub(super) fn refused() -> io::Error {
    io::Error::other("input/output error")
}

impl SimDisk {
    /// The first process on an empty disk.
    pub fn new() -> Self {
        Self::on(Image::new())
    }

    fn on(image: Image) -> Self {
        let state = State {
            image,
            calls: BTreeMap::new(),
            faults: Vec::new(),
            met: BTreeMap::new(),
            random: Random::new(0),
            dead: BTreeSet::new(),
            spared: BTreeMap::new(),
            descriptors: 0,
            locks: BTreeMap::new(),
            mark: 0,
            snapshots: None,
        };
        Self {
            shared: Arc::new(Shared { state: Mutex::new(state), unlocked: Condvar::new() }),
            process: next_process(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process on the same disk.
    #[must_use]
    pub fn start_process(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), process: next_process() }
    }

    /// The process's number, which no other process on any simulated disk has.
    pub(super) const fn number(&self) -> u64 {
        self.process
    }

    /// Kills the process: none of its calls does anything any more, and its locks are free. What it wrote stays.
    pub fn kill(&self) {
        self.state().kill(self.process);
        self.shared.unlocked.notify_all();
    }

    /// Whether the process was killed.
    pub fn is_dead(&self) -> bool {
        self.state().dead.contains(&self.process)
    }

    /// How many calls were made, by all processes.
    pub fn calls(&self) -> u64 {
        self.state().call()
    }

    /// How many calls of each kind were made, by all processes.
    pub fn calls_by_kind(&self) -> BTreeMap<CallKind, u64> {
        self.state().calls.clone()
    }

    /// Lets each fault happen in the first call with that number or a higher one in which it can. Calls are numbered from 1.
    pub fn plan(&self, seed: u64, mut faults: Vec<(u64, Fault)>) {
        faults.sort_by_key(|(call, _)| *call);
        let mut state = self.state();
        state.faults = faults;
        state.random = Random::of(seed, 2);
    }

    /// Which of the planned faults have happened, and how often.
    pub fn met(&self) -> BTreeMap<Fault, u64> {
        self.state().met.clone()
    }

    /// How many of the planned faults have happened.
    pub fn faulted(&self) -> u64 {
        self.state().met.values().sum()
    }

    /// Keeps a snapshot of every call that changes the disk or syncs it, from now on.
    pub fn keep_snapshots(&self) {
        self.state().snapshots = Some(Vec::new());
    }

    /// The snapshots that were kept, and no more from now on.
    pub fn take_snapshots(&self) -> Vec<Snapshot> {
        self.state().snapshots.take().unwrap_or_default()
    }

    /// What is noted in the next snapshots: how far the caller has come.
    pub fn set_mark(&self, mark: usize) {
        self.state().mark = mark;
    }

    /// A disk with what a power loss at this moment leaves.
    #[must_use]
    pub fn crash(&self, loss: Loss, seed: u64) -> Self {
        Self::on(self.state().image.crash(loss, seed))
    }

    /// Every file with its bytes and every folder with none, by path, as processes see them.
    pub fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        self.state().image.tree()
    }

    /// Time passes, until a file is on stable storage with its name; then the medium loses a bit of it. Nobody called for that.
    pub(super) fn rot(&self, path: &Path, at: Option<usize>) -> io::Result<()> {
        let mut state = self.state();
        let (node, (parent, _)) = (state.image.find(path)?, state.image.find_parent(path)?);
        state.image.folder_mut(parent)?.sync();
        if let Some(file) = state.image.file_mut(node) {
            match at {
                Some(at) => file.rot(at),
                None => file.settle(),
            }
        }
        Ok(())
    }

    /// Counts a call, and says what goes wrong in it.
    pub(super) fn begin(&self, kind: CallKind) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.state();
        if state.dead.contains(&self.process) {
            return Err(dead());
        }
        *state.calls.entry(kind).or_default() += 1;
        let call = state.call();
        let is_spared = state.spared.get_mut(&self.process).is_some_and(|left| {
            let spared = *left > 0;
            *left = left.saturating_sub(1);
            spared
        });
        let due = state.faults.iter().position(|(at, fault)| !is_spared && *at <= call && fault.applies_to(kind));
        let fault = due.map(|at| state.faults.remove(at).1);
        if let Some(fault) = fault {
            *state.met.entry(fault).or_default() += 1;
        }
        match fault {
            Some(Fault::Refused) => Err(refused()),
            Some(Fault::Full) if kind != CallKind::Write => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Death) if kind != CallKind::Write => {
                state.kill(self.process);
                drop(state);
                self.shared.unlocked.notify_all();
                Err(dead())
            }
            fault => Ok((state, fault)),
        }
    }

    /// A call that only looks.
    pub(super) fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        self.begin(CallKind::Look).map(|(state, _)| state)
    }

    /// A call that changes names: it is done whole or not at all.
    pub(super) fn change<T>(
        &self,
        kind: CallKind,
        work: impl FnOnce(&mut Image, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let (mut state, _) = self.begin(kind)?;
        let stamp = state.image.stamp();
        let done = work(&mut state.image, stamp)?;
        state.snapshot(kind);
        Ok(done)
    }

    /// The number of a new descriptor.
    pub(super) fn descriptor(&self) -> u64 {
        let mut state = self.state();
        state.descriptors += 1;
        state.descriptors
    }

    /// Says that a lock may be free.
    pub(super) fn notify(&self) {
        self.shared.unlocked.notify_all();
    }

    /// Waits until a lock may be free; an error if that takes for ever.
    pub(super) fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> io::Result<MutexGuard<'a, State>> {
        let waited = self.shared.unlocked.wait_timeout(state, LOCK_WAIT_MAX);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the lock is not given back"));
        }
        Ok(state)
    }
}

impl State {
    pub(super) fn call(&self) -> u64 {
        self.calls.values().sum()
    }

    pub(super) fn kill(&mut self, process: u64) {
        self.dead.insert(process);
        for holders in self.locks.values_mut() {
            holders.retain(|(_, holder, _)| *holder != process);
        }
    }

    /// Lets a process whose sync failed leave the mark of that. A medium that does not take the mark either is not what the store
    /// promises anything for.
    pub(super) fn spare(&mut self, process: u64) {
        self.spared.insert(process, MARK_CALLS);
    }

    pub(super) fn is_dead(&self, process: u64) -> bool {
        self.dead.contains(&process)
    }

    pub(super) fn snapshot(&mut self, kind: CallKind) {
        let (call, mark) = (self.call(), self.mark);
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.push(Snapshot { call, kind, mark, image: self.image.clone() });
        }
    }

    pub(super) fn unlock(&mut self, node: u64, descriptor: u64) {
        if let Some(holders) = self.locks.get_mut(&node) {
            holders.retain(|(holder, ..)| *holder != descriptor);
        }
    }

    pub(super) fn lock(&mut self, node: u64, descriptor: u64, process: u64, kind: LockKind) -> bool {
        let holders = self.locks.entry(node).or_default();
        let excluded = holders.iter().any(|(holder, _, held)| {
            *holder != descriptor && (kind == LockKind::Exclusive || *held == LockKind::Exclusive)
        });
        if !excluded {
            holders.retain(|(holder, ..)| *holder != descriptor);
            holders.push((descriptor, process, kind));
        }
        !excluded
    }

    pub(super) fn stat(&self, node: u64) -> io::Result<FileStat> {
        let kind = self.image.kind(node).ok_or(io::ErrorKind::NotFound)?;
        let file = self.image.file(node);
        let bytes = file.map_or(0, |file| file.bytes().len() as u64);
        let writable = file.is_none_or(File::is_writable);
        let mode = if writable { 0o600 } else { 0o400 } | if kind == crate::disk::FileKind::Folder { 0o100 } else { 0 };
        let links = self.image.links(node);
        Ok(FileStat { id: FileId { device: 1, inode: node }, kind, bytes, writable, mode, links })
    }
}
