//! The files around the database: where it stands, and what stands beside it.
//!
//! Nothing here ever opens the database file itself. Closing any descriptor of a file drops all locks that the process
//! holds on it, also those of SQLite's own connections, so the database is only looked at by name (`stat`), and
//! opened by SQLite alone.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use store_core::{Result, StoreError};

pub(crate) const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// What others than the owner may do.
const OTHERS: u32 = 0o077;
/// The files that a database is built in.
const NEW: [&str; 4] = [".new", ".new-journal", ".new-wal", ".new-shm"];

/// Where the database stands: a folder without symbolic links in its path, and a name in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    path: PathBuf,
}

/// What stands in the database's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// Nothing.
    Nothing,
    /// A file without bytes.
    EmptyFile,
    /// A file with bytes.
    File,
}

/// Which file a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// How a database that nobody of this handle writes can be read without writing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stillness {
    /// Somebody has it open for writing, or died with it open.
    Live,
    /// It was closed: the database file holds everything.
    Still(Stamp),
    /// Its write-ahead log holds commits, and no index of that log stands beside it.
    Unindexed(Stamp),
}

/// What changes about the files when somebody writes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    database: FileStamp,
    log: Option<FileStamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    size_bytes: u64,
    modified: (i64, i64),
}

#[cfg(test)]
impl FileId {
    /// Tells files apart that do not exist.
    pub(crate) const fn for_tests(inode: u64) -> Self {
        Self { device: u64::MAX, inode }
    }
}

impl FileStamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { size_bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

impl Place {
    /// The place that a path names. With `make_folders`, folders that are missing are made.
    ///
    /// # Errors
    /// `Unsupported` on a network filesystem or FUSE; `NotAStore` if a symbolic link or a folder stands there.
    pub(crate) fn resolve(path: &Path, make_folders: bool) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(not_a_store(path, "the path does not name a file"));
        };
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if make_folders {
            make_folder(folder)?;
        }
        let folder = fs::canonicalize(folder).map_err(|error| StoreError::io("open", folder, error))?;
        refuse_network(&folder)?;
        let place = Self { path: folder.join(name), folder };
        for suffix in ["", "-wal", "-shm", "-journal", ".lock", ".blobs"] {
            let path = place.beside(suffix);
            if let Some(found) = look(&path)?
                && !found.is_file()
            {
                let what = if found.is_symlink() { "a symbolic link" } else { "not a file" };
                return Err(not_a_store(&path, &format!("it is {what}")));
            }
        }
        Ok(place)
    }

    /// The database file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file beside the database whose name is the database's and this.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(suffix);
        path.into()
    }

    /// The folder of the leases' files.
    pub(crate) fn leases(&self) -> PathBuf {
        self.beside(".leases")
    }

    /// Makes the folder of the leases' files if it is missing; nothing else may stand there.
    pub(crate) fn make_leases(&self) -> Result<PathBuf> {
        let folder = self.leases();
        match DirBuilder::new().mode(FOLDER_MODE).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(StoreError::io("create", &folder, error));
            }
            _ => {}
        }
        match look(&folder)? {
            Some(found) if found.is_dir() => Ok(folder),
            _ => Err(StoreError::io("create", &folder, ErrorKind::NotADirectory.into())),
        }
    }

    /// What stands in the database's place.
    pub(crate) fn occupant(&self) -> Result<Occupant> {
        Ok(match look(&self.path)? {
            None => Occupant::Nothing,
            Some(found) if found.len() == 0 => Occupant::EmptyFile,
            Some(_) => Occupant::File,
        })
    }

    /// Refuses a database that this process may not read. SQLite would only say that it cannot open it.
    pub(crate) fn refuse_unreadable(&self) -> Result<()> {
        rustix::fs::access(&self.path, Access::READ_OK)
            .map_err(|errno| StoreError::io("read", &self.path, errno.into()))
    }

    /// The file that the database's name leads to; `None` if there is none.
    pub(crate) fn file_id(&self) -> Result<Option<FileId>> {
        let found = look(&self.path)?;
        Ok(found.map(|found| FileId { device: found.dev(), inode: found.ino() }))
    }

    /// A file that was put in the database's place, or a database that was removed, is not the one that was opened.
    pub(crate) fn refuse_replaced(&self, file: FileId) -> Result<()> {
        match self.file_id()? {
            Some(found) if found == file => Ok(()),
            Some(_) => Err(not_a_store(&self.path, "another file was put in its place while it was open")),
            None => Err(self.missing()),
        }
    }

    /// How the database can be read without writing.
    pub(crate) fn stillness(&self) -> Result<Stillness> {
        let database = look(&self.path)?.ok_or_else(|| self.missing())?;
        let log = look(&self.beside("-wal"))?;
        let index = look(&self.beside("-shm"))?;
        let stamp = Stamp { database: FileStamp::of(&database), log: log.as_ref().map(FileStamp::of) };
        Ok(match (log, index) {
            (Some(_), Some(_)) => Stillness::Live,
            (Some(log), None) if log.len() > 0 => Stillness::Unindexed(stamp),
            _ => Stillness::Still(stamp),
        })
    }

    /// The error for a database that is not there.
    pub(crate) fn missing(&self) -> StoreError {
        StoreError::io("open", &self.path, ErrorKind::NotFound.into())
    }

    /// A log that a lost database left may hold its commits, and would be played into a new one.
    pub(crate) fn refuse_orphaned_log(&self) -> Result<()> {
        for suffix in ["-wal", "-journal"] {
            let path = self.beside(suffix);
            if look(&path)?.is_some_and(|found| found.len() > 0) {
                return Err(not_a_store(&path, "it is the log of a database that is missing"));
            }
        }
        Ok(())
    }

    /// Makes the empty file that a new database is built in, without anything that an earlier attempt left.
    pub(crate) fn begin_new(&self) -> Result<PathBuf> {
        self.discard_new()?;
        let path = self.beside(".new");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        options.open(&path).map_err(|error| StoreError::io("create", &path, error))?;
        Ok(path)
    }

    /// Puts the database that was built into its place, where nothing or an empty file stands, and makes the name durable.
    pub(crate) fn publish_new(&self) -> Result<()> {
        let new = self.beside(".new");
        fs::rename(&new, &self.path).map_err(|error| StoreError::io("create", &self.path, error))?;
        sync_folder(&self.folder)
    }

    /// What an attempt to build a database left, each with its size in bytes.
    pub(crate) fn leftovers(&self) -> Result<Vec<(PathBuf, u64)>> {
        let found = NEW.map(|suffix| {
            let path = self.beside(suffix);
            Ok(look(&path)?.map(|found| (path, found.len())))
        });
        found.into_iter().filter_map(Result::transpose).collect()
    }

    /// What stands beside the database and is not for its owner alone: a path and its permissions.
    pub(crate) fn too_open(&self) -> Result<Vec<(PathBuf, u32)>> {
        let mut open = Vec::new();
        for suffix in ["", "-wal", "-shm", ".lock", ".blobs", ".leases"] {
            let path = self.beside(suffix);
            let Some(found) = look(&path)? else { continue };
            if found.mode() & OTHERS != 0 {
                open.push((path, found.mode() & 0o7777));
            }
        }
        Ok(open)
    }

    /// Removes what an attempt to build a database left.
    pub(crate) fn discard_new(&self) -> Result<()> {
        for suffix in NEW {
            let path = self.beside(suffix);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Brings everything that was committed to stable storage, by whomever it was committed.
    pub(crate) fn sync_log(&self) -> Result<()> {
        let path = self.beside("-wal");
        match File::open(&path) {
            Ok(log) => log.sync_data().map_err(|error| StoreError::io("sync", &path, error))?,
            // Whoever removed the log brought its commits to the database and synced that first.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("open", &path, error)),
        }
        sync_folder(&self.folder)
    }
}

/// `NotAStore` with its reason.
pub(crate) fn not_a_store(path: &Path, detail: &str) -> StoreError {
    StoreError::NotAStore { path: path.to_owned(), detail: detail.to_owned() }
}

fn look(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("look at", path, error)),
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| StoreError::io("sync", folder, error))
}

/// Makes a folder and what is missing above it, each synced into the one above.
fn make_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    };
    make_folder(above)?;
    refuse_network(above)?;
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StoreError::io("create", folder, error)),
        _ => sync_folder(above),
    }
}

/// Refuses a filesystem on which SQLite's locks and shared memory do not hold.
fn refuse_network(folder: &Path) -> Result<()> {
    let found = rustix::fs::statfs(folder).map_err(|errno| StoreError::io("look at", folder, errno.into()))?;
    if is_network(&found) {
        return Err(StoreError::Unsupported { what: "a SQLite store on a network filesystem or FUSE" });
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn is_network(found: &rustix::fs::StatFs) -> bool {
    // The field's type and sign differ between architectures; the magic numbers are 32 bits.
    u32::try_from(i128::from(found.f_type) & 0xFFFF_FFFF).is_ok_and(store_core::medium::is_remote_type)
}

#[cfg(not(target_os = "linux"))]
fn is_network(found: &rustix::fs::StatFs) -> bool {
    let name: String = found
        .f_fstypename
        .iter()
        .map_while(|byte| u8::try_from(*byte).ok().filter(|byte| *byte != 0))
        .map(char::from)
        .collect();
    store_core::medium::is_remote_name(&name)
}
