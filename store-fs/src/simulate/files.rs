//! The calls of the store on a simulated disk, each counted, and each one in which a fault may happen.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{CallKind, Fault, SimDisk, State, dead, refused};
use super::file::File;
use super::image::{Folder, Node};
use crate::disk::{Disk, DiskFile, FileKind, FileStat, Listed, LockKind, Medium, OpenMode};

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: u64,
    descriptor: u64,
}

impl SimFile {
    fn try_take(&self, state: &mut State, kind: LockKind) -> io::Result<bool> {
        if state.is_dead(self.disk.number()) {
            return Err(dead());
        }
        Ok(state.lock(self.node, self.descriptor, self.disk.number(), kind))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().unlock(self.node, self.descriptor);
        self.disk.notify();
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
                state.kill(self.disk.number());
                drop(state);
                self.disk.notify();
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

    fn set_writable(&self, writable: bool) -> io::Result<()> {
        self.disk.change(CallKind::Mode, |image, _| {
            image.file_mut(self.node).ok_or_else(|| io::Error::other(GONE))?.set_writable(writable);
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
            state.spare(self.disk.number());
            return Err(refused());
        }
        file.sync();
        Ok(())
    }

    fn lock(&self, kind: LockKind) -> io::Result<()> {
        let mut state = self.disk.look()?;
        while !self.try_take(&mut state, kind)? {
            state = self.disk.wait(state)?;
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
        self.disk.notify();
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
                let Some(file) = state.image.file(node) else {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
                };
                if mode != OpenMode::Read && !file.is_writable() {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                node
            }
        };
        Ok(Box::new(SimFile { disk: self.clone(), node, descriptor: self.descriptor() }))
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

    fn sync_all(&self, _root: &Path, files: &[PathBuf], folders: &[PathBuf]) -> io::Result<()> {
        // No more than what is named: a store that relies on the rest is found out.
        let (mut state, fault) = self.begin(CallKind::SyncFile)?;
        state.snapshot(CallKind::SyncFile);
        let stamp = state.image.stamp();
        for path in files {
            let node = state.image.find(path)?;
            let file = state.image.file_mut(node).ok_or_else(|| io::Error::other(GONE))?;
            if fault == Some(Fault::ForgottenSync) {
                file.forget(stamp);
            } else {
                file.sync();
            }
        }
        if fault == Some(Fault::ForgottenSync) {
            state.spare(self.number());
            return Err(refused());
        }
        for path in folders {
            let node = state.image.find(path)?;
            state.image.folder_mut(node)?.sync();
        }
        Ok(())
    }

    fn medium_of(&self, folder: &Path) -> io::Result<Medium> {
        self.look()?.image.find(folder)?;
        Ok(Medium::Local)
    }

    fn process(&self) -> u64 {
        self.number()
    }
}
