//! The simulated disk: processes, descriptors and locks on an [`Image`], and what goes wrong when.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::image::{File, Folder, Image, Loss, Node};
use super::random::Random;
use crate::disk::{Disk, DiskFile, FileId, FileKind, FileStat, Listed, LockKind, Medium, OpenMode};

/// Nobody keeps a lock this long: whoever waits longer would wait for ever.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(20);

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
    /// Syncs a file.
    SyncFile,
    /// Syncs a folder.
    SyncFolder,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Look, Self::Make, Self::Write, Self::Truncate, Self::Name, Self::SyncFile, Self::SyncFolder];
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
struct State {
    image: Image,
    calls: BTreeMap<CallKind, u64>,
    faults: Vec<(u64, Fault)>,
    met: BTreeMap<Fault, u64>,
    random: Random,
    dead: BTreeSet<u32>,
    processes: u32,
    descriptors: u64,
    /// Who holds a lock on which file: the descriptor and its process.
    locks: BTreeMap<u64, Vec<(u64, u32, LockKind)>>,
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
    process: u32,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

fn refused() -> io::Error {
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
            processes: 1,
            descriptors: 0,
            locks: BTreeMap::new(),
            mark: 0,
            snapshots: None,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), unlocked: Condvar::new() }), process: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process on the same disk.
    #[must_use]
    pub fn process(&self) -> Self {
        let mut state = self.state();
        let process = state.processes;
        state.processes += 1;
        Self { shared: Arc::clone(&self.shared), process }
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

    /// Counts a call, and says what goes wrong in it.
    fn begin(&self, kind: CallKind) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.state();
        if state.dead.contains(&self.process) {
            return Err(dead());
        }
        *state.calls.entry(kind).or_default() += 1;
        let call = state.call();
        let due = state.faults.iter().position(|(at, fault)| *at <= call && fault.applies_to(kind));
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
    fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        self.begin(CallKind::Look).map(|(state, _)| state)
    }

    /// A call that changes names: it is done whole or not at all.
    fn change<T>(&self, kind: CallKind, work: impl FnOnce(&mut Image, u64) -> io::Result<T>) -> io::Result<T> {
        let (mut state, _) = self.begin(kind)?;
        let stamp = state.image.stamp();
        let done = work(&mut state.image, stamp)?;
        state.snapshot(kind);
        Ok(done)
    }

    fn descriptor(&self, node: u64) -> Box<dyn DiskFile> {
        let mut state = self.state();
        state.descriptors += 1;
        Box::new(SimFile { disk: self.clone(), node, descriptor: state.descriptors })
    }
}

impl State {
    fn call(&self) -> u64 {
        self.calls.values().sum()
    }

    fn kill(&mut self, process: u32) {
        self.dead.insert(process);
        for holders in self.locks.values_mut() {
            holders.retain(|(_, holder, _)| *holder != process);
        }
    }

    fn snapshot(&mut self, kind: CallKind) {
        let (call, mark) = (self.call(), self.mark);
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.push(Snapshot { call, kind, mark, image: self.image.clone() });
        }
    }

    fn unlock(&mut self, node: u64, descriptor: u64) {
        if let Some(holders) = self.locks.get_mut(&node) {
            holders.retain(|(holder, ..)| *holder != descriptor);
        }
    }

    fn lock(&mut self, node: u64, descriptor: u64, process: u32, kind: LockKind) -> bool {
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

    fn stat(&self, node: u64) -> io::Result<FileStat> {
        let kind = self.image.kind(node).ok_or(io::ErrorKind::NotFound)?;
        let bytes = self.image.file(node).map_or(0, |file| file.bytes().len() as u64);
        Ok(FileStat { id: FileId { device: 1, inode: node }, kind, bytes })
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: u64,
    descriptor: u64,
}

impl SimFile {
    fn try_take(&self, state: &mut State, kind: LockKind) -> io::Result<bool> {
        if state.dead.contains(&self.disk.process) {
            return Err(dead());
        }
        Ok(state.lock(self.node, self.descriptor, self.disk.process, kind))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().unlock(self.node, self.descriptor);
        self.disk.shared.unlocked.notify_all();
    }
}

const GONE: &str = "a descriptor keeps its file";

impl DiskFile for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let (mut state, fault) = self.disk.begin(CallKind::Write)?;
        let taken = match fault {
            Some(Fault::Short) => 1 + state.random.below(bytes.len().max(2) - 1),
            Some(Fault::Full | Fault::Death) => state.random.below(bytes.len() + 1),
            _ => bytes.len(),
        };
        let taken = taken.min(bytes.len());
        if taken > 0 {
            let stamp = state.image.stamp();
            state.image.file_mut(self.node).ok_or_else(|| io::Error::other(GONE))?.append(stamp, &bytes[..taken]);
            state.snapshot(CallKind::Write);
        }
        match fault {
            Some(Fault::Death) => {
                state.kill(self.disk.process);
                drop(state);
                self.disk.shared.unlocked.notify_all();
                Err(dead())
            }
            Some(Fault::Full) if taken == 0 => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Full) => {
                // The disk stays full for the rest of the bytes.
                let next = state.call() + 1;
                state.faults.push((next, Fault::Full));
                Ok(taken)
            }
            _ => Ok(taken),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.look()?;
        let bytes = state.image.file(self.node).ok_or_else(|| io::Error::other(GONE))?.bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn stat(&self) -> io::Result<FileStat> {
        self.disk.look()?.stat(self.node)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        self.disk.change(CallKind::Truncate, |image, stamp| {
            image.file_mut(self.node).ok_or_else(|| io::Error::other(GONE))?.truncate(stamp, length);
            Ok(())
        })
    }

    fn sync_file(&self) -> io::Result<()> {
        let (mut state, fault) = self.disk.begin(CallKind::SyncFile)?;
        state.snapshot(CallKind::SyncFile);
        let stamp = state.image.stamp();
        let file = state.image.file_mut(self.node).ok_or_else(|| io::Error::other(GONE))?;
        if fault == Some(Fault::ForgottenSync) {
            file.forget(stamp);
            return Err(refused());
        }
        file.sync();
        Ok(())
    }

    fn lock(&self, kind: LockKind) -> io::Result<()> {
        let mut state = self.disk.look()?;
        while !self.try_take(&mut state, kind)? {
            let waited = self.disk.shared.unlocked.wait_timeout(state, LOCK_WAIT_MAX);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the lock is not given back"));
            }
            state = again;
        }
        Ok(())
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        let mut state = self.disk.look()?;
        self.try_take(&mut state, kind)
    }

    fn unlock(&self) -> io::Result<()> {
        // No fault of a medium keeps a lock, so none is met here.
        self.disk.state().unlock(self.node, self.descriptor);
        self.disk.shared.unlocked.notify_all();
        Ok(())
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let there = self.state().image.find(path);
        let node = match there {
            Ok(_) if mode == OpenMode::CreateNew => {
                drop(self.look()?);
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && mode != OpenMode::Read && mode != OpenMode::Append =>
            {
                self.change(CallKind::Make, |image, stamp| {
                    match image.find(path) {
                        Ok(_) if mode == OpenMode::CreateNew => return Err(io::ErrorKind::AlreadyExists.into()),
                        Ok(node) => return Ok(node),
                        Err(_) => {}
                    }
                    let (parent, name) = image.find_parent(path)?;
                    let node = image.add(Node::File(File::default()));
                    image.folder_mut(parent)?.change(stamp, vec![(name, Some(node))]);
                    Ok(node)
                })?
            }
            there => {
                let state = self.look()?;
                let node = there?;
                if state.image.kind(node) != Some(FileKind::File) {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
                }
                node
            }
        };
        Ok(self.descriptor(node))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let state = self.look()?;
        state.stat(state.image.find(path)?)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let state = self.look()?;
        let names = state.image.folder(state.image.find(folder)?)?.names();
        let listed =
            |(name, node): &(_, u64)| Some(Listed { name: Clone::clone(name), kind: state.image.kind(*node)? });
        Ok(names.iter().filter_map(listed).collect())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.change(CallKind::Make, |image, stamp| {
            if image.find(path).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let (parent, name) = image.find_parent(path)?;
            let node = image.add(Node::Folder(Folder::default()));
            image.folder_mut(parent)?.change(stamp, vec![(name, Some(node))]);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(CallKind::Name, |image, stamp| {
            let node = image.find(from)?;
            let (from_folder, from_name) = image.find_parent(from)?;
            let (to_folder, to_name) = image.find_parent(to)?;
            if let Ok(there) = image.find(to)
                && let Ok(folder) = image.folder(there)
                && !folder.names().is_empty()
            {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            if from_folder == to_folder {
                image.folder_mut(to_folder)?.change(stamp, vec![(from_name, None), (to_name, Some(node))]);
            } else {
                image.folder_mut(from_folder)?.change(stamp, vec![(from_name, None)]);
                image.folder_mut(to_folder)?.change(stamp, vec![(to_name, Some(node))]);
            }
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(CallKind::Name, |image, stamp| {
            if image.kind(image.find(path)?) != Some(FileKind::File) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let (parent, name) = image.find_parent(path)?;
            image.folder_mut(parent)?.change(stamp, vec![(name, None)]);
            Ok(())
        })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.change(CallKind::Name, |image, stamp| {
            if !image.folder(image.find(path)?)?.names().is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let (parent, name) = image.find_parent(path)?;
            image.folder_mut(parent)?.change(stamp, vec![(name, None)]);
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let (mut state, _) = self.begin(CallKind::SyncFolder)?;
        state.snapshot(CallKind::SyncFolder);
        let node = state.image.find(path)?;
        state.image.folder_mut(node)?.sync();
        Ok(())
    }

    fn medium_of(&self, folder: &Path) -> io::Result<Medium> {
        self.look()?.image.find(folder)?;
        Ok(Medium::Local)
    }
}
