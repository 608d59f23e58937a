//! Leases: locked files in a folder beside the database, each named after its segment.
//!
//! The lock is the lease; the kernel drops it with the process. The file's text only says who holds it, and means nothing
//! without the lock. Whoever gives a lease up removes the file first, so whoever gets the lock makes sure that the
//! file still has its name.
//!
//! Who asks for the holder takes the lock shared, for a moment, because there is no other way to see it. Whoever
//! wants the lease tells the two apart: a lock that can be shared is no lease.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rustix::fs::OFlags;
use store_core::{Durability, Lease, LeaseHolder, SegmentId, SessionId, StoreError, TimestampMs};

use crate::connection::Connections;
use crate::disk::{FILE_MODE, Place};
use crate::error::Result;
use crate::lock_file::LockFile;
use crate::{read, row};

/// More than a lease says: a holder's text with every byte escaped, and a host's name.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// How often somebody is waited for who only asks, and how long each time.
const TRIES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(1);
/// How often a holder's text is read that is not whole yet.
const TEXT_TRIES: usize = 20;

/// Whether a lease's file is made if it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Make,
    Leave,
}

/// The lock on a lease's file. Dropping it gives the lease up.
pub(crate) struct HeldLease {
    path: PathBuf,
    file: LockFile,
}

impl HeldLease {
    fn write(&self, holder: &LeaseHolder) -> Result<()> {
        let mut text = serde_json::to_vec(holder).map_err(StoreError::backend)?;
        text.push(b'\n');
        let written = self.file.set_len(0).and_then(|()| (&*self.file).write_all(&text));
        Ok(written.map_err(|error| StoreError::io("write", &self.path, error))?)
    }

    /// Whether the path still stands for this file.
    fn is_named(&self) -> std::io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        // A file that cannot be removed is nobody's lease without its lock.
        if self.is_named().unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path, missing: Missing) -> Result<Option<LockFile>> {
    let mut options = OpenOptions::new();
    options.read(true).mode(FILE_MODE).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    if missing == Missing::Make {
        options.write(true).create(true).truncate(false);
    }
    match options.open(path) {
        Ok(file) => Ok(Some(file.into())),
        Err(error) if error.kind() == ErrorKind::NotFound && missing == Missing::Leave => Ok(None),
        Err(error) => Err(StoreError::io("open", path, error).into()),
    }
}

fn is_taken(locked: std::result::Result<(), TryLockError>, path: &Path) -> Result<bool> {
    match locked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path, error).into()),
    }
}

/// Who says to hold the lease; nobody known if the file does not say so in time.
fn read_holder(path: &Path, file: &File) -> Result<LeaseHolder> {
    let mut text = vec![0; TEXT_BYTES_MAX];
    for _ in 0..TEXT_TRIES {
        let length = file.read_at(&mut text, 0).map_err(|error| StoreError::io("read", path, error))?;
        match serde_json::from_slice(&text[..length]) {
            Ok(holder) => return Ok(holder),
            // The holder has the lock already and is about to write.
            Err(_) => thread::sleep(PAUSE),
        }
    }
    Ok(LeaseHolder::default())
}

/// The lock on a lease; `None` if its file is not there and is not to be made.
fn hold(path: &Path, missing: Missing) -> Result<Option<HeldLease>> {
    for _ in 0..TRIES {
        let Some(file) = open(path, missing)? else { return Ok(None) };
        if is_taken(file.try_lock(), path)? {
            let held = HeldLease { path: path.to_owned(), file };
            if held.is_named().map_err(|error| StoreError::io("look at", path, error))? {
                return Ok(Some(held));
            }
        } else if is_taken(file.try_lock_shared(), path)? {
            drop(file);
            thread::sleep(PAUSE);
        } else {
            return Err(read_holder(path, &file)?.into_busy().into());
        }
    }
    Err(LeaseHolder::default().into_busy().into())
}

/// The locks on all leases of a session's segments, taken inside the transaction that keeps every other writer out.
pub(crate) fn hold_all(place: &Place, connection: &Connection, session: SessionId) -> Result<Vec<HeldLease>> {
    let folder = place.leases();
    let mut statement = connection.prepare_cached("SELECT segment_id FROM segments WHERE session_id = ?1")?;
    let mut rows = statement.query([session.as_bytes()])?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        held.extend(hold(&folder.join(row::segment_id(row, 0)?.to_string()), Missing::Leave)?);
    }
    Ok(held)
}

/// The lock on one segment's lease if somebody left its file, taken inside the transaction that keeps every other writer out. Without a file
/// nobody holds the lease, and who takes it now waits for that transaction.
pub(crate) fn hold_one(place: &Place, segment: SegmentId) -> Result<Option<HeldLease>> {
    hold(&place.leases().join(segment.to_string()), Missing::Leave)
}

pub(crate) fn lease(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    holder: &str,
    now: TimestampMs,
) -> Result<Lease> {
    let writer = connections.writer()?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let holder = LeaseHolder::new(holder, Some(host).filter(|host| !host.is_empty()), now)?;
    connections.read(|connection| read::segment_of(connection, session, segment).map(drop))?;
    let path = connections.place().make_leases()?.join(segment.to_string());
    let held = hold(&path, Missing::Make)?.ok_or(StoreError::no_segment(segment))?;
    held.write(&holder)?;
    // A deletion that has looked for leases already is over when this transaction begins; any later one finds the lock.
    writer.write_alone(Durability::Buffered, |connection| read::segment_of(connection, session, segment).map(drop))?;
    Ok(Lease::new(holder, Box::new(held)))
}

pub(crate) fn leased(connections: &Connections, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>> {
    connections.read(|connection| read::segment_of(connection, session, segment).map(drop))?;
    let path = connections.place().leases().join(segment.to_string());
    let Some(file) = open(&path, Missing::Leave)? else { return Ok(None) };
    if is_taken(file.try_lock_shared(), &path)? {
        return Ok(None);
    }
    read_holder(&path, &file).map(Some)
}
