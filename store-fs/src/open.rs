//! Opening a store: what may be there, who else may have it open, and what is left alone.
//!
//! A folder becomes a store only if it does not exist or is empty. What another program made, and what a newer
//! version made for newer writers only, is never touched.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use store_core::{Damage, Durability, Result, StoreError, TimestampMs};

use crate::disk::{Disk, DiskFile, LockKind, Medium, OpenMode, OsDisk};
use crate::error::{At as _, found};
use crate::layout::{FORMAT_VERSION, Layout};
use crate::migrate_layout::holds_older;
use crate::store::{Access, FsStore};

/// What is synced when a call does not say so itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DurabilityPolicy {
    /// `segment_start`, `user_input`, `turn_end`, `run_completed`, `run_errored` and facts; the rest ride along.
    #[default]
    Turn,
    /// Every call the same.
    Always(Durability),
}

/// How a store behind a network or a user-space filesystem is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RemoteMedium {
    /// For reading only, because such a medium may not keep what locks and syncs promise.
    #[default]
    ReadOnly,
    /// Like any other, at the caller's risk.
    Trusted,
}

/// Who else may have the store open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenAs {
    /// Any number of other handles.
    Shared,
    /// No other handle but those that only read.
    Exclusive,
    /// Anybody: nothing is locked and nothing is written.
    ReadOnly,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsOptions {
    /// The present time: when a store that this call makes was created.
    pub now: TimestampMs,
    /// What is synced when a call does not say so itself.
    pub durability: DurabilityPolicy,
    /// How a store that is not on a local filesystem is opened.
    pub remote: RemoteMedium,
    /// How many logs are kept open at most.
    pub open_logs_max: usize,
    /// How many bytes a part of a segment's log may have. A call that would make it longer starts a new part; a call that is longer by
    /// itself has a part of its own.
    pub max_part_bytes: u64,
}

/// Large enough that few logs ever have two, small enough to be copied, checked and replaced at once.
const PART_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl FsOptions {
    /// The defaults, at the given time.
    pub const fn at(now: TimestampMs) -> Self {
        Self {
            now,
            durability: DurabilityPolicy::Turn,
            remote: RemoteMedium::ReadOnly,
            open_logs_max: 128,
            max_part_bytes: PART_BYTES_MAX,
        }
    }
}

/// More than `store.json` has, in this version or any other.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What `store.json` says. A newer version may say more.
// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: u32,
    min_reader: u32,
    min_writer: u32,
    created_at: TimestampMs,
}

impl Header {
    const fn new(created_at: TimestampMs) -> Self {
        Self { format: FORMAT_VERSION, min_reader: 1, min_writer: 1, created_at }
    }

    const fn is_readable(self) -> bool {
        self.min_reader <= FORMAT_VERSION
    }

    const fn is_writable(self) -> bool {
        self.format <= FORMAT_VERSION && self.min_writer <= FORMAT_VERSION
    }
}

impl FsStore {
    /// Opens a store, and makes one if there is nothing or an empty folder.
    ///
    /// A store of a newer format that this version may read is opened and refuses every write.
    ///
    /// # Errors
    /// `NotAStore` for a folder of other things, which is left as it is; `Corrupt` for a store whose `store.json` is not JSON any
    /// more; `Locked` while somebody has it open
    /// exclusively; `UnsupportedVersion` for a format that this version may not read; `Unsupported` if it would have to be made on a
    /// remote medium; those of the medium.
    pub fn open(path: impl AsRef<Path>, options: &FsOptions) -> Result<Self> {
        Self::open_on(Arc::new(OsDisk), path.as_ref(), OpenAs::Shared, options)
    }

    /// Opens or makes a store, while no other handle has it open that could write.
    ///
    /// # Errors
    /// As [`open`](Self::open); `Locked` if any other handle has it open; `UnsupportedVersion` for a format that this version may
    /// not write.
    pub fn open_exclusive(path: impl AsRef<Path>, options: &FsOptions) -> Result<Self> {
        Self::open_on(Arc::new(OsDisk), path.as_ref(), OpenAs::Exclusive, options)
    }

    /// Opens an existing store for reading. Takes no lock and writes nothing, so it also serves a folder that cannot be
    /// written to; every write answers `ReadOnly`.
    ///
    /// # Errors
    /// `NoStore` if there is nothing; `NotAStore`; `Corrupt` as in [`open`](Self::open); `UnsupportedVersion`; those of the medium.
    pub fn open_read_only(path: impl AsRef<Path>, options: &FsOptions) -> Result<Self> {
        Self::open_on(Arc::new(OsDisk), path.as_ref(), OpenAs::ReadOnly, options)
    }

    /// Opens a store on any [`Disk`].
    ///
    /// # Errors
    /// As [`open`](Self::open), [`open_exclusive`](Self::open_exclusive) and [`open_read_only`](Self::open_read_only).
    pub fn open_on(disk: Arc<dyn Disk>, root: &Path, open_as: OpenAs, options: &FsOptions) -> Result<Self> {
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let layout = Layout::new(root);
        let header = read_header(&*disk, &layout)?;
        let remote = options.remote == RemoteMedium::ReadOnly && is_remote(&*disk, root)?;
        let known = FORMAT_VERSION;
        match header {
            Some(header) if !header.is_readable() => {
                Err(StoreError::UnsupportedVersion { found: header.min_reader, known })
            }
            Some(header) if open_as == OpenAs::ReadOnly || (remote && open_as == OpenAs::Shared) => {
                Ok(Self::assemble(disk, layout, Access::ReadOnly, header.format, None, options))
            }
            Some(header) if !header.is_writable() => {
                let found = header.format.max(header.min_writer);
                if open_as == OpenAs::Exclusive {
                    return Err(StoreError::UnsupportedVersion { found, known });
                }
                Ok(Self::assemble(disk, layout, Access::TooNew { found }, header.format, None, options))
            }
            None if holds_older(&*disk, &layout)? => Self::open_older(disk, layout, open_as, remote, options),
            None if open_as == OpenAs::ReadOnly => match occupant(&*disk, &layout)? {
                Occupant::Nothing => Err(StoreError::NoStore { path: root.to_owned() }),
                // Somebody made it one since the header was looked for.
                Occupant::Store => Self::open_on(disk, root, open_as, options),
                Occupant::Foreign(name) => {
                    Err(not_a_store(root, format!("it holds {} and no store.json", name.to_string_lossy())))
                }
            },
            _ if remote => Err(StoreError::Unsupported { what: "writing to a store on a remote filesystem" }),
            Some(_) | None => Self::open_for_writing(disk, layout, open_as, options),
        }
    }

    /// Opens a folder of logs of the older layouts. Who may write to it writes nothing yet, unless nobody else is to have it open.
    fn open_older(
        disk: Arc<dyn Disk>,
        layout: Layout,
        open_as: OpenAs,
        remote: bool,
        options: &FsOptions,
    ) -> Result<Self> {
        match open_as {
            OpenAs::ReadOnly => Ok(Self::assemble(disk, layout, Access::ReadOnly, 0, None, options)),
            OpenAs::Shared if remote => Ok(Self::assemble(disk, layout, Access::ReadOnly, 0, None, options)),
            _ if remote => Err(StoreError::Unsupported { what: "writing to a store on a remote filesystem" }),
            OpenAs::Shared => {
                let path = layout.lock();
                let lock = found(disk.open(&path, OpenMode::Append)).at("open", &path)?;
                if let Some(lock) = &lock
                    && !lock.try_lock(LockKind::Shared).at("lock", &path)?
                {
                    return Err(StoreError::Locked { path });
                }
                Ok(Self::assemble(disk, layout, Access::Write, 0, lock, options))
            }
            OpenAs::Exclusive => {
                let lock = write_permission(&*disk, &layout, LockKind::Exclusive)?;
                let store = Self::assemble(disk, layout, Access::Write, 0, Some(lock), options);
                store.adopt()?;
                Ok(store)
            }
        }
    }

    fn open_for_writing(disk: Arc<dyn Disk>, layout: Layout, open_as: OpenAs, options: &FsOptions) -> Result<Self> {
        prepare_root(&*disk, &layout)?;
        let kind = if open_as == OpenAs::Exclusive { LockKind::Exclusive } else { LockKind::Shared };
        let lock = write_permission(&*disk, &layout, kind)?;
        let header = create_header(&*disk, &layout, options.now)?;
        if !header.is_writable() {
            let found = header.format.max(header.min_writer);
            return Err(StoreError::UnsupportedVersion { found, known: FORMAT_VERSION });
        }
        let store = Self::assemble(disk, layout, Access::Write, header.format, Some(lock), options);
        // What cannot be cleared away now says nothing where it is.
        let _ = store.clear_new_blobs();
        Ok(store)
    }
}

fn not_a_store(root: &Path, detail: impl Into<String>) -> StoreError {
    StoreError::NotAStore { path: root.to_owned(), detail: detail.into() }
}

pub(crate) fn is_remote(disk: &dyn Disk, root: &Path) -> Result<bool> {
    let mut folder = root;
    loop {
        let existing = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Some(medium) = found(disk.medium_of(existing)).at("inspect", existing)? {
            return Ok(medium == Medium::Remote);
        }
        let Some(parent) = folder.parent() else { return Ok(false) };
        folder = parent;
    }
}

fn read_header(disk: &dyn Disk, layout: &Layout) -> Result<Option<Header>> {
    let path = layout.store_json();
    let Some(file) = found(disk.open(&path, OpenMode::Read)).at("open", &path)? else { return Ok(None) };
    let bytes = read_small(&*file, HEADER_BYTES_MAX).at("read", &path)?;
    match serde_json::from_slice(&bytes) {
        Ok(header) => Ok(Some(header)),
        Err(error) if is_beside_ours(disk, layout, error.classify())? => {
            let detail = format!("{}: {error}", path.display());
            Err(StoreError::Corrupt(Damage { segment: None, part: 1, offset: 0, seq: None, detail }))
        }
        Err(error) => Err(not_a_store(layout.root(), format!("store.json: {error}"))),
    }
}

/// What this version writes as the header that these bytes are; `None` for a newer version's, and for what is no header.
pub(crate) fn canonical_header(bytes: &[u8]) -> Option<Vec<u8>> {
    let header: Header = serde_json::from_slice(bytes).ok()?;
    let own = Header::new(header.created_at);
    let mut text = serde_json::to_vec(&own).ok().filter(|_| header.format <= FORMAT_VERSION)?;
    text.push(b'\n');
    Some(text)
}

/// Whether there is a `store.json` that cannot be read beside what only a store has.
pub(crate) fn is_damaged_header(disk: &dyn Disk, layout: &Layout) -> Result<bool> {
    match read_header(disk, layout) {
        Err(StoreError::Corrupt(_)) => Ok(true),
        header => header.map(|_| false),
    }
}

/// The bytes of a `store.json`.
pub(crate) fn header_text(created_at: TimestampMs) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(&Header::new(created_at)).map_err(StoreError::backend)?;
    text.push(b'\n');
    Ok(text)
}

/// Whether what a store has beside its `store.json` stands there. One that is JSON and says something else may be somebody else's, who has a `LOCK` too.
fn is_beside_ours(disk: &dyn Disk, layout: &Layout, what: Category) -> Result<bool> {
    let lock = Some(layout.lock()).filter(|_| what != Category::Data);
    for path in std::iter::once(layout.by_segment_root()).chain(lock) {
        if found(disk.stat(&path)).at("stat", &path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// At most the first `bytes_max` bytes of a file that has fewer.
pub(crate) fn read_small(file: &dyn DiskFile, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bytes_max];
    let mut done = 0;
    while done < bytes_max {
        match file.read_at(&mut bytes[done..], done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// What stands where a store is looked for.
enum Occupant {
    /// Nothing, or what a creation left that was cut short.
    Nothing,
    Store,
    /// This, and no store.
    Foreign(OsString),
}

fn occupant(disk: &dyn Disk, layout: &Layout) -> Result<Occupant> {
    let root = layout.root();
    let is_store =
        || -> Result<bool> { Ok(found(disk.stat(&layout.store_json())).at("stat", &layout.store_json())?.is_some()) };
    if is_store()? {
        // What a large store holds is not listed for that.
        return Ok(Occupant::Store);
    }
    let names = match disk.list(root) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupant::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_store(root, "it is not a folder"));
        }
        Err(error) => return Err(StoreError::io("list", root, error)),
    };
    Ok(match names.into_iter().find(|listed| !Layout::is_of_unfinished_store(listed)) {
        None => Occupant::Nothing,
        // Somebody else may have made it one since.
        Some(_) if is_store()? => Occupant::Store,
        Some(foreign) => Occupant::Foreign(foreign.name),
    })
}

/// Makes the root if it is not there; refuses one that holds something else.
fn prepare_root(disk: &dyn Disk, layout: &Layout) -> Result<()> {
    let root = layout.root();
    match occupant(disk, layout)? {
        Occupant::Store => Ok(()),
        Occupant::Nothing => create_folders(disk, root),
        Occupant::Foreign(name) => {
            Err(not_a_store(root, format!("it holds {} and no store.json", name.to_string_lossy())))
        }
    }
}

pub(crate) fn create_folders(disk: &dyn Disk, folder: &Path) -> Result<()> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut next = Some(folder);
    while let Some(folder) = next.filter(|folder| !folder.as_os_str().is_empty()) {
        match disk.create_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break,
            made => {
                made.at("create", folder)?;
                break;
            }
        }
        next = folder.parent();
    }
    for folder in missing.iter().rev() {
        match disk.create_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.at("create", folder)?,
        }
    }
    Ok(())
}

/// Makes the folder's name last, and those of all folders that it stands in, as far as this user may.
pub(crate) fn sync_ancestors(disk: &dyn Disk, folder: &Path) -> Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    for ancestor in folder.ancestors().skip(1) {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        match disk.sync_folder(ancestor) {
            Err(error) if matches!(error.kind(), PermissionDenied | InvalidInput | Unsupported) => {}
            done => done.at("sync", ancestor)?,
        }
    }
    Ok(())
}

/// The header that is there, or a new one.
fn create_header(disk: &dyn Disk, layout: &Layout, now: TimestampMs) -> Result<Header> {
    if let Some(header) = read_header(disk, layout)? {
        return Ok(header);
    }
    let lock_path = layout.create_lock();
    let lock = disk.open(&lock_path, OpenMode::AppendOrCreate).at("open", &lock_path)?;
    lock.lock(LockKind::Exclusive).at("lock", &lock_path)?;
    find_or_write_header(disk, layout, now)
}

/// The lock of a handle on the store.
pub(crate) fn write_permission(disk: &dyn Disk, layout: &Layout, kind: LockKind) -> Result<Box<dyn DiskFile>> {
    let path = layout.lock();
    let lock = disk.open(&path, OpenMode::AppendOrCreate).at("open", &path)?;
    if lock.try_lock(kind).at("lock", &path)? { Ok(lock) } else { Err(StoreError::Locked { path }) }
}

/// Makes a folder a store, unless somebody else has. The caller holds `CREATE`.
pub(crate) fn write_header(disk: &dyn Disk, layout: &Layout, now: TimestampMs) -> Result<()> {
    let header = find_or_write_header(disk, layout, now)?;
    if header.is_writable() {
        return Ok(());
    }
    let found = header.format.max(header.min_writer);
    Err(StoreError::UnsupportedVersion { found, known: FORMAT_VERSION })
}

fn find_or_write_header(disk: &dyn Disk, layout: &Layout, now: TimestampMs) -> Result<Header> {
    if let Some(header) = read_header(disk, layout)? {
        return Ok(header);
    }
    // Whoever made these folders may not have come to syncing them; a header says that the store can be built on.
    sync_ancestors(disk, layout.root())?;
    let header = Header::new(now);
    write_whole(disk, &layout.new_name(), &layout.store_json(), &header_text(now)?)?;
    disk.sync_folder(layout.root()).at("sync", layout.root())?;
    Ok(header)
}

/// Writes a file that appears under its name whole or not at all. The name's folder is not synced.
pub(crate) fn write_whole(disk: &dyn Disk, temporary: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let file = disk.open(temporary, OpenMode::CreateNew).at("create", temporary)?;
    let written = crate::record_log::append_all_or_nothing(&*file, 0, bytes)
        .at("write", temporary)
        .and_then(|()| file.sync_file().at("sync", temporary))
        .and_then(|()| disk.rename(temporary, path).at("rename", temporary));
    if written.is_err() {
        // What stays is a leftover, and is cleared away with the others.
        let _ = disk.remove_file(temporary);
    }
    written
}
