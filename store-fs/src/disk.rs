//! The door to the operating system: the only place that touches files.
//!
//! [`Disk`] is the whole of what the store asks of a medium. It is object-safe and small on purpose: a disk that
//! tears a write, loses what was not synced or runs full is a few dozen lines, and everything above it can be
//! tested against that. Nothing here knows what a file is for.

mod medium;
#[cfg(target_os = "linux")]
mod stat;

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{DirBuilder, DirEntry, File, FileType, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
use rustix::fs as system;

/// How a file is opened. No mode follows a symbolic link in the last place of a path, and none truncates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and appending; it must exist.
    Append,
    /// For reading and appending; it is made (mode 0600) if it does not exist.
    AppendOrCreate,
    /// For reading and appending; it must not exist and is made (mode 0600).
    CreateNew,
}

/// Who else may hold a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Other holders of a shared lock.
    Shared,
    /// Nobody.
    Exclusive,
}

/// Which file it is, whatever its name: a renamed file keeps it, a replaced one has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The file's number on it, which is not given away while the file is open.
    pub inode: u64,
}

/// What kind of thing a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, a pipe, a device.
    Other,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Which file.
    pub id: FileId,
    /// Its kind.
    pub kind: FileKind,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether anybody may write to it by its permissions.
    pub writable: bool,
    /// Its permissions: the nine bits of owner, group and others.
    pub mode: u32,
    /// How many names it has; 0 for an open file that was removed or had another one put in its place.
    pub links: u64,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, without the folder's.
    pub name: OsString,
    /// What it stands for; a symbolic link is not followed.
    pub kind: FileKind,
}

/// Where a folder's bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// On this machine: locks and syncs do what they say.
    Local,
    /// Behind a network or a user-space filesystem: locks and syncs may not do what they say.
    Remote,
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// One write at the end of the file; answers with how many of the bytes were taken.
    ///
    /// # Errors
    /// Those of the medium.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;

    /// One read at a place; 0 bytes at the end of the file.
    ///
    /// # Errors
    /// Those of the medium.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// What the open file is now, whatever its name stands for.
    ///
    /// # Errors
    /// Those of the medium.
    fn stat(&self) -> io::Result<FileStat>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// Those of the medium.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Gives or takes the owner's permission to write. Whoever has the file open goes on as before.
    ///
    /// # Errors
    /// Those of the medium.
    fn set_writable(&self, writable: bool) -> io::Result<()>;

    /// Returns when everything that was written to the file, through any descriptor, is on stable storage.
    ///
    /// # Errors
    /// Those of the medium; what was written since the last sync is then lost or not, nobody knows.
    fn sync_file(&self) -> io::Result<()>;

    /// Waits for a lock on this descriptor. Two descriptors exclude each other, in one process too; the lock goes
    /// with the descriptor.
    ///
    /// # Errors
    /// Those of the medium.
    fn lock(&self, kind: LockKind) -> io::Result<()>;

    /// Takes the lock if it is free, and says whether it did.
    ///
    /// # Errors
    /// Those of the medium.
    fn try_lock(&self, kind: LockKind) -> io::Result<bool>;

    /// Gives the lock back.
    ///
    /// # Errors
    /// Those of the medium.
    fn unlock(&self) -> io::Result<()>;
}

/// A medium that holds folders and files.
pub trait Disk: Debug + Send + Sync {
    /// Opens a regular file.
    ///
    /// # Errors
    /// Those of the medium; a symbolic link and anything that is not a regular file is refused.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;

    /// What the name stands for, without following a symbolic link.
    ///
    /// # Errors
    /// Those of the medium; `NotFound` if there is nothing.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;

    /// The names in a folder and what they stand for, in no order.
    ///
    /// # Errors
    /// Those of the medium.
    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>>;

    /// Makes one folder (mode 0700); its parent exists.
    ///
    /// # Errors
    /// Those of the medium; `AlreadyExists`.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or folder another name, at once, in place of a file of that name.
    ///
    /// # Errors
    /// Those of the medium.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// Those of the medium.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// Those of the medium.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names in the folder are on stable storage.
    ///
    /// # Errors
    /// Those of the medium.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Returns when all that was written to these files below `root`, and the names in these folders, are on stable storage:
    /// as by [`sync_file`](DiskFile::sync_file) and [`sync_folder`](Self::sync_folder) for each, with fewer waits where the system can.
    ///
    /// # Errors
    /// Those of the medium; what was written to any of them since its last sync is then lost or not, nobody knows.
    fn sync_all(&self, root: &Path, files: &[PathBuf], folders: &[PathBuf]) -> io::Result<()> {
        let _ = root;
        files.iter().try_for_each(|file| self.open(file, OpenMode::Read)?.sync_file())?;
        folders.iter().try_for_each(|folder| self.sync_folder(folder))
    }

    /// Where an existing folder is kept.
    ///
    /// # Errors
    /// Those of the medium.
    fn medium_of(&self, folder: &Path) -> io::Result<Medium>;

    /// Which process the handles on this disk belong to: those of one process share what they know of the syncs of a file,
    /// which they tell by its [`FileId`]. 0 is the process itself on the system's own files; a disk that numbers files by itself, or
    /// that plays several processes, answers with a number that no other disk has.
    fn process(&self) -> u64;

    /// What the machine that works on the medium is called, if it is called anything.
    fn host_name(&self) -> Option<String> {
        None
    }
}

/// The operating system's own files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

#[derive(Debug)]
struct OsFile {
    file: File,
    /// Whether a lock of this descriptor is to be given back.
    is_locked: AtomicBool,
}

impl OsFile {
    fn note_locked(&self, locked: bool) {
        self.is_locked.store(locked, Ordering::Relaxed);
    }
}

impl Drop for OsFile {
    /// A process that another thread is just starting has a copy of the descriptor until it runs its own program, and the kernel
    /// drops a lock with the last copy.
    fn drop(&mut self) {
        if *self.is_locked.get_mut() {
            let _ = self.file.unlock();
        }
    }
}

fn kind_of(file_type: FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::File
    } else if file_type.is_dir() {
        FileKind::Folder
    } else {
        FileKind::Other
    }
}

fn stat_of(metadata: &Metadata) -> FileStat {
    let kind = kind_of(metadata.file_type());
    FileStat {
        id: FileId { device: metadata.dev(), inode: metadata.ino() },
        kind,
        bytes: metadata.len(),
        writable: metadata.mode() & 0o222 != 0,
        mode: metadata.mode() & 0o777,
        links: metadata.nlink(),
    }
}

impl DiskFile for OsFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn stat(&self) -> io::Result<FileStat> {
        #[cfg(target_os = "linux")]
        if let Ok(stat) = stat::stat(&self.file) {
            return Ok(stat);
        }
        Ok(stat_of(&self.file.metadata()?))
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn set_writable(&self, writable: bool) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(if writable { 0o600 } else { 0o400 }))
    }

    fn sync_file(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn lock(&self, kind: LockKind) -> io::Result<()> {
        loop {
            let locked = match kind {
                LockKind::Shared => self.file.lock_shared(),
                LockKind::Exclusive => self.file.lock(),
            };
            match locked {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.inspect(|()| self.note_locked(true)),
            }
        }
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        let locked = match kind {
            LockKind::Shared => self.file.try_lock_shared(),
            LockKind::Exclusive => self.file.try_lock(),
        };
        match locked {
            Ok(()) => {
                self.note_locked(true);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.note_locked(false);
        self.file.unlock()
    }
}

/// No symbolic link in the last place, and no waiting for the other end of a pipe that stands in a file's place.
fn open_flags() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed()
}

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600).custom_flags(open_flags());
        match mode {
            OpenMode::Read => {}
            OpenMode::Append => _ = options.append(true),
            OpenMode::AppendOrCreate => _ = options.append(true).create(true),
            OpenMode::CreateNew => _ = options.append(true).create_new(true),
        }
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Box::new(OsFile { file, is_locked: AtomicBool::default() }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        Ok(stat_of(&std::fs::symlink_metadata(path)?))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let listed = |entry: io::Result<DirEntry>| {
            let entry = entry?;
            Ok(Listed { name: entry.file_name(), kind: kind_of(entry.file_type()?) })
        };
        std::fs::read_dir(folder)?.map(listed).collect()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn sync_all(&self, root: &Path, files: &[PathBuf], folders: &[PathBuf]) -> io::Result<()> {
        if files.len() + folders.len() >= medium::WHOLE_FROM && medium::tells_failed_syncs() {
            return Ok(rustix::fs::syncfs(File::open(root)?)?);
        }
        files.iter().try_for_each(|file| self.open(file, OpenMode::Read)?.sync_file())?;
        folders.iter().try_for_each(|folder| self.sync_folder(folder))
    }

    fn medium_of(&self, folder: &Path) -> io::Result<Medium> {
        let remote = medium::is_remote(&rustix::fs::statfs(folder)?);
        Ok(if remote { Medium::Remote } else { Medium::Local })
    }

    fn process(&self) -> u64 {
        0
    }

    fn host_name(&self) -> Option<String> {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(name).filter(|name| !name.is_empty())
    }
}

/// What a system says of a filesystem.
type StatFs = rustix::fs::StatFs;

/// The two numbers that a system writes a device with.
pub(crate) fn device_numbers(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}
