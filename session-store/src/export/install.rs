//! Putting an exported file in its place: whole or not at all, readable by its owner alone, and never over another file.
//!
//! A file that stands there already is left as it is, whatever it is: an agent may be writing to it, and what it added may be nowhere else. Only one that
//! says exactly the same is taken for the export itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The file was written.
    Written,
    /// The same file stood there already.
    Unchanged,
}

/// Why a file was not put in its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The file stands there, and has more: the agent went on in it. Import it.
    #[error("{} has more than what would be written: the agent went on in it", .0.display())]
    WentOn(PathBuf),
    /// Another file stands there.
    #[error("another file is at {}", .0.display())]
    Occupied(PathBuf),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes a file with mode 0600 and syncs it, folders too; folders that are missing are made.
///
/// # Errors
/// [`InstallError`]; nothing stands there then that did not before.
pub fn install(path: &Path, bytes: &[u8]) -> Result<Installed, InstallError> {
    if let Some(standing) = standing(path, bytes)? {
        return standing;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(|source| failure(folder, source))?;
    let made = Temporary::new(path, folder, bytes)?;
    // A link is made only where nothing is, which a rename does not ask.
    match fs::hard_link(&made.path, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return standing_now(path, bytes);
        }
        Err(_) if !path.exists() => fs::rename(&made.path, path).map_err(|source| failure(path, source))?,
        Err(source) => return Err(failure(path, source)),
    }
    drop(made);
    sync_folder(folder)?;
    Ok(Installed::Written)
}

fn failure(path: &Path, source: io::Error) -> InstallError {
    InstallError::Io { path: path.to_owned(), source }
}

fn standing_now(path: &Path, bytes: &[u8]) -> Result<Installed, InstallError> {
    standing(path, bytes)?.unwrap_or_else(|| Err(InstallError::Occupied(path.to_owned())))
}

/// What stands at the place, held against what is to be there; `None`: nothing.
fn standing(path: &Path, bytes: &[u8]) -> Result<Option<Result<Installed, InstallError>>, InstallError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failure(path, source)),
    };
    if !meta.is_file() || meta.len() < bytes.len() as u64 {
        return Ok(Some(Err(InstallError::Occupied(path.to_owned()))));
    }
    let mut beginning = Vec::with_capacity(bytes.len());
    let file = File::open(path).map_err(|source| failure(path, source))?;
    file.take(bytes.len() as u64).read_to_end(&mut beginning).map_err(|source| failure(path, source))?;
    Ok(Some(match (beginning == bytes, meta.len() == bytes.len() as u64) {
        (true, true) => Ok(Installed::Unchanged),
        (true, false) => Err(InstallError::WentOn(path.to_owned())),
        (false, _) => Err(InstallError::Occupied(path.to_owned())),
    }))
}

/// A file on its way, removed unless it arrived under its name.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn new(target: &Path, folder: &Path, bytes: &[u8]) -> Result<Self, InstallError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // No agent takes it for a conversation. One of an earlier try that was cut off is nobody's.
        let path = folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path).and_then(|()| options.open(&path))
            }
            opened => opened,
        };
        let mut file = opened.map_err(|source| failure(&path, source))?;
        let made = Self { path };
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|source| failure(&made.path, source))?;
        Ok(made)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Where it was renamed it is not there any more.
        drop(fs::remove_file(&self.path));
    }
}

fn sync_folder(folder: &Path) -> Result<(), InstallError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| failure(folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_written_once_and_never_over_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/x.jsonl");
        assert_eq!(install(&path, b"one\n").expect("written"), Installed::Written);
        assert_eq!(install(&path, b"one\n").expect("the same"), Installed::Unchanged);
        assert!(matches!(install(&path, b"two\n"), Err(InstallError::Occupied(_))));
        fs::write(&path, b"one\nmore\n").expect("the agent");
        assert!(matches!(install(&path, b"one\n"), Err(InstallError::WentOn(_))));
        assert_eq!(fs::read(&path).expect("the file"), b"one\nmore\n");
        assert_eq!(names(&folder.path().join("a/b")), ["x.jsonl"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_its_owners_alone_and_a_link_is_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.jsonl");
        install(&path, b"one\n").expect("written");
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let link = folder.path().join("y.jsonl");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).expect("a link");
        assert!(matches!(install(&link, b"one\n"), Err(InstallError::Occupied(_))));
        assert_eq!(names(folder.path()), ["x.jsonl", "y.jsonl"]);
    }
}
