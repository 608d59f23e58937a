//! Disks that lie: each hides one mistake behind calls that seem to succeed, as if the store itself made it.
//!
//! A simulator that finds nothing proves nothing until it finds these.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::{SegmentId, Seq};

use crate::disk::{Disk, DiskFile, FileStat, Listed, LockKind, Medium, OpenMode};
use crate::record_log::lock_mutex;

/// A mistake that a store could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lie {
    /// No folder is synced: a name that was made may be lost.
    FoldersUnsynced,
    /// Calls are acknowledged before the log is synced.
    LogsUnsynced,
    /// Facts are acknowledged before they are synced.
    FactsUnsynced,
    /// What is taken out of a log is copied nowhere first.
    NoQuarantine,
    /// The copy of what is taken out of a log is not synced first.
    QuarantineUnsynced,
    /// A file gets its name before its bytes are on stable storage.
    RenamedUnsynced,
    /// The lines of a call do not say that they belong together.
    MoreIgnored,
    /// What a handle touches is listed in `live/` after it was written to.
    AnnouncedLate,
    /// What a handle touches is listed in `live/`, and that is not synced.
    AnnouncedUnsynced,
    /// A sync that failed is tried again, and what that says is believed.
    SyncRetried,
    /// A line says that all before it is on stable storage, which nobody has seen to.
    MarkedEarly,
    /// What a power loss left is cut off, and kept nowhere.
    HolesCut,
    /// A log is written to through the descriptor that is open, whatever its name stands for now.
    StaleDescriptor,
    /// The lock of a ledger is told to be taken, whoever has it.
    LockIgnored,
}

impl Lie {
    /// Every lie about what keeps ledgers.
    pub const ON_LEDGERS: [Self; 10] = [
        Self::FoldersUnsynced,
        Self::LogsUnsynced,
        Self::NoQuarantine,
        Self::QuarantineUnsynced,
        Self::RenamedUnsynced,
        Self::MoreIgnored,
        Self::SyncRetried,
        Self::MarkedEarly,
        Self::HolesCut,
        Self::LockIgnored,
    ];

    /// Every lie about what keeps sessions.
    pub const ALL: [Self; 13] = [
        Self::FoldersUnsynced,
        Self::LogsUnsynced,
        Self::FactsUnsynced,
        Self::NoQuarantine,
        Self::QuarantineUnsynced,
        Self::RenamedUnsynced,
        Self::MoreIgnored,
        Self::AnnouncedLate,
        Self::AnnouncedUnsynced,
        Self::SyncRetried,
        Self::MarkedEarly,
        Self::HolesCut,
        Self::StaleDescriptor,
    ];
}

/// What a file is for, as far as a lie needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Log(SegmentId),
    Facts,
    Quarantine,
    Live,
    New,
    LedgerLock,
    Other,
}

fn role_of(path: &Path) -> Role {
    let name_of =
        |path: Option<&Path>| path.and_then(Path::file_name).and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(name), folder) = (name_of(Some(path)), name_of(path.parent())) else { return Role::Other };
    if folder.as_deref() == Some("quarantine") {
        Role::Quarantine
    } else if folder.as_deref() == Some("live") {
        Role::Live
    } else if path.iter().any(|part| part.to_string_lossy().starts_with(".new-")) {
        Role::New
    } else if folder.as_deref() == Some("ledger") && name == "LOCK" {
        Role::LedgerLock
    } else if name == "facts.jsonl" {
        Role::Facts
    } else {
        // A part of a log is called like the log, with the part's number behind it.
        let stem = name.strip_suffix(".jsonl").map(|stem| stem.split_once('.').map_or(stem, |(stem, _)| stem));
        stem.and_then(|stem| stem.parse().ok()).map_or(Role::Other, Role::Log)
    }
}

impl Lie {
    /// Whether a sync of such a file is said to have happened, and has not.
    const fn hides_sync_of(self, role: Role) -> bool {
        matches!(
            (self, role),
            (Self::LogsUnsynced, Role::Log(_))
                | (Self::FactsUnsynced, Role::Facts)
                | (Self::NoQuarantine | Self::QuarantineUnsynced, Role::Quarantine)
                | (Self::RenamedUnsynced, Role::New)
                | (Self::AnnouncedLate | Self::AnnouncedUnsynced, Role::Live)
        )
    }
}

/// Bytes that are yet to be written, and where.
type Late = (Arc<dyn DiskFile>, Vec<u8>);

/// What a process has told nobody yet.
#[derive(Debug, Default)]
struct Secrets {
    late: Mutex<Vec<Late>>,
    /// The descriptor of each log that was opened last.
    opened: Mutex<BTreeMap<PathBuf, Arc<dyn DiskFile>>>,
}

impl Secrets {
    fn tell(&self) -> io::Result<()> {
        for (file, bytes) in lock_mutex(&self.late).drain(..) {
            file.append(&bytes)?;
            file.sync_file()?;
        }
        Ok(())
    }
}

/// A disk that hides one mistake from the store above it.
#[derive(Debug)]
pub struct LyingDisk {
    disk: Arc<dyn Disk>,
    lie: Lie,
    secrets: Arc<Secrets>,
}

impl LyingDisk {
    /// The same disk with a lie.
    pub fn new(disk: Arc<dyn Disk>, lie: Lie) -> Self {
        Self { disk, lie, secrets: Arc::default() }
    }
}

#[derive(Debug)]
struct LyingFile {
    file: Arc<dyn DiskFile>,
    role: Role,
    lie: Lie,
    secrets: Arc<Secrets>,
}

/// The lines of a call with other fields.
fn respelt(segment: SegmentId, bytes: &[u8], respell: impl Fn(&mut LineFields<'_>)) -> Vec<u8> {
    let context = LogContext::segment(segment);
    let mut told = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match decode_line(&context, line.strip_suffix(b"\n").unwrap_or(line)) {
            Ok(line) => {
                let mut fields =
                    LineFields { seq: line.seq, more: line.more, key: line.key.as_deref(), synced: line.synced };
                respell(&mut fields);
                encode_line(&mut told, &context, &fields, &line.text());
            }
            Err(_) => told.extend_from_slice(line),
        }
    }
    told
}

impl DiskFile for LyingFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        match (self.lie, self.role) {
            (Lie::NoQuarantine, Role::Quarantine) => Ok(bytes.len()),
            (Lie::HolesCut, Role::Quarantine) if bytes.contains(&0) => Ok(bytes.len()),
            (Lie::MoreIgnored, Role::Log(segment)) => {
                self.file.append(&respelt(segment, bytes, |line| line.more = 0)).map(|_| bytes.len())
            }
            (Lie::MarkedEarly, Role::Log(segment)) => {
                let early = |line: &mut LineFields<'_>| line.synced = Some(Seq(line.seq.0 - 1)).filter(|seq| seq.0 > 0);
                self.file.append(&respelt(segment, bytes, early)).map(|_| bytes.len())
            }
            (Lie::AnnouncedLate, Role::Live) => {
                lock_mutex(&self.secrets.late).push((Arc::clone(&self.file), bytes.to_vec()));
                Ok(bytes.len())
            }
            (Lie::AnnouncedLate, Role::Log(_)) => {
                let taken = self.file.append(bytes)?;
                self.secrets.tell()?;
                Ok(taken)
            }
            _ => self.file.append(bytes),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn stat(&self) -> io::Result<FileStat> {
        let stat = self.file.stat()?;
        match (self.lie, self.role) {
            (Lie::StaleDescriptor, Role::Log(_)) => Ok(FileStat { writable: true, links: 1, ..stat }),
            _ => Ok(stat),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }

    fn set_writable(&self, writable: bool) -> io::Result<()> {
        self.file.set_writable(writable)
    }

    fn sync_file(&self) -> io::Result<()> {
        match (self.lie, self.role) {
            (lie, role) if lie.hides_sync_of(role) => Ok(()),
            (Lie::SyncRetried, Role::Log(_)) => self.file.sync_file().or_else(|_| self.file.sync_file()),
            _ => self.file.sync_file(),
        }
    }

    fn lock(&self, kind: LockKind) -> io::Result<()> {
        self.file.lock(kind)
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        if self.lie == Lie::LockIgnored && self.role == Role::LedgerLock {
            return Ok(true);
        }
        self.file.try_lock(kind)
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

impl Disk for LyingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let role = role_of(path);
        let file: Arc<dyn DiskFile> = Arc::from(self.disk.open(path, mode)?);
        if self.lie == Lie::StaleDescriptor && matches!(role, Role::Log(_)) {
            lock_mutex(&self.secrets.opened).insert(path.to_owned(), Arc::clone(&file));
        }
        Ok(Box::new(LyingFile { file, role, lie: self.lie, secrets: Arc::clone(&self.secrets) }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let stat = self.disk.stat(path)?;
        match lock_mutex(&self.secrets.opened).get(path) {
            Some(file) => file.stat(),
            None => Ok(stat),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.disk.list(folder)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.create_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if self.lie == Lie::FoldersUnsynced { Ok(()) } else { self.disk.sync_folder(path) }
    }

    fn sync_all(&self, root: &Path, files: &[PathBuf], folders: &[PathBuf]) -> io::Result<()> {
        let is_synced = |path: &&PathBuf| !self.lie.hides_sync_of(role_of(path));
        let files: Vec<PathBuf> = files.iter().filter(is_synced).cloned().collect();
        let folders = if self.lie == Lie::FoldersUnsynced { &[] } else { folders };
        self.disk.sync_all(root, &files, folders)
    }

    fn medium_of(&self, folder: &Path) -> io::Result<Medium> {
        self.disk.medium_of(folder)
    }

    fn process(&self) -> u64 {
        self.disk.process()
    }
}
