//! Reading a database without writing anything, not even the index that SQLite keeps beside a write-ahead log. How that
//! is done depends on whether somebody has the database open ([`Stillness`]).

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use store_core::StoreError;

use crate::connection::{configure, guard, in_read_transaction};
use crate::disk::{FileId, Place, Stillness};
use crate::error::Result;
use crate::log_index::LogIndex;

/// How often a read that writers disturb is tried at least, however short the wait is that the caller wants.
const ATTEMPTS_MIN: u32 = 16;
const PAUSE: Duration = Duration::from_millis(1);

/// Connections that write nothing, between two reads.
pub(crate) struct Idle {
    snapshots: Mutex<Vec<Snapshot>>,
    snapshots_max: usize,
}

impl Idle {
    /// Keeps so many connections at most.
    pub(crate) const fn new(snapshots_max: usize) -> Self {
        Self { snapshots: Mutex::new(Vec::new()), snapshots_max }
    }

    /// Closes all of them.
    pub(crate) fn close(&self) {
        let closed = std::mem::take(&mut *guard(&self.snapshots));
        drop(closed);
    }

    /// One that is good for the files as they are now; those that no longer are, are closed.
    fn take(&self, file: FileId, stillness: Stillness) -> Option<Snapshot> {
        let mut snapshots = guard(&self.snapshots);
        snapshots.retain(|snapshot| snapshot.file == file && snapshot.stillness == stillness);
        snapshots.pop()
    }

    fn keep(&self, snapshot: Snapshot) {
        let mut snapshots = guard(&self.snapshots);
        if snapshots.len() < self.snapshots_max {
            snapshots.push(snapshot);
        }
    }
}

/// Runs `work` in one read transaction, which writers that come and go may make it run again.
pub(crate) fn read<T>(
    place: &Place,
    idle: &Arc<Idle>,
    busy_timeout: Duration,
    work: &impl Fn(&Connection) -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + busy_timeout;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let over = attempts >= ATTEMPTS_MIN && Instant::now() >= deadline;
        if let Some(answer) = attempt(place, idle, busy_timeout, work, over)? {
            return Ok(answer);
        }
        if over {
            return Err(disturbed(place).into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// One read. `None`: it met a writer who came or went, so its answer does not count. At the last attempt such an error
/// is told.
fn attempt<T>(
    place: &Place,
    idle: &Arc<Idle>,
    busy_timeout: Duration,
    work: &impl Fn(&Connection) -> Result<T>,
    is_last: bool,
) -> Result<Option<T>> {
    let file = place.file_id()?.ok_or_else(|| place.missing())?;
    let stillness = place.stillness()?;
    let index = LogIndex::of(file);
    // Held for longer than the connection is used.
    let _pass = match stillness {
        Stillness::Live => Some(index.begin_read(idle).ok_or_else(|| disturbed(place))?),
        Stillness::Still(_) | Stillness::Unindexed(_) => None,
    };
    let read = || -> Result<_> {
        let known = idle.take(file, stillness);
        let snapshot =
            known.map_or_else(|| Snapshot::open(place, Arc::clone(&index), file, stillness, busy_timeout), Ok)?;
        let answer = in_read_transaction(snapshot.connection(), work)?;
        Ok((answer, snapshot))
    };
    let answer = read();
    let counts = match (stillness, &answer) {
        (Stillness::Live, Ok(_)) => true,
        (Stillness::Live, Err(error)) => is_last || !error.may_pass(),
        // What a closed database answers counts only if nobody changed it meanwhile.
        _ => place.stillness()? == stillness && place.file_id()? == Some(file),
    };
    if !counts {
        return Ok(None);
    }
    let (answer, snapshot) = answer?;
    idle.keep(snapshot);
    Ok(Some(answer))
}

/// Writers came and went for as long as a read waits for them.
fn disturbed(place: &Place) -> StoreError {
    let holder = format!("writers of {}", place.path().display());
    StoreError::Busy { holder, host: None, since: None }
}

/// A connection that writes nothing, as good as what it was opened on.
struct Snapshot {
    file: FileId,
    stillness: Stillness,
    connection: Option<Connection>,
    /// Last, so that who opens a connection that writes finds this one for as long as it is open.
    _index: Arc<LogIndex>,
}

impl Snapshot {
    /// Opens the database as it stands now.
    fn open(
        place: &Place,
        index: Arc<LogIndex>,
        file: FileId,
        stillness: Stillness,
        busy_timeout: Duration,
    ) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_URI;
        let path = uri_path(place.path());
        let opened = match stillness {
            Stillness::Live => Connection::open_with_flags(format!("file:{path}?mode=ro&readonly_shm=1"), flags),
            Stillness::Still(_) => Connection::open_with_flags(format!("file:{path}?mode=ro&immutable=1"), flags),
            Stillness::Unindexed(_) => {
                // In exclusive mode SQLite keeps the log's index in its own memory. That mode wants a lock that a
                // read-only descriptor cannot have, and there is nobody to lock out: whoever writes makes an index.
                Connection::open_with_flags_and_vfs(format!("file:{path}?mode=ro"), flags, c"unix-none")
            }
        };
        let snapshot = Self { file, stillness, connection: Some(opened?), _index: index };
        let connection = snapshot.connection();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        configure(connection, busy_timeout)?;
        if matches!(stillness, Stillness::Unindexed(_)) {
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        Ok(snapshot)
    }

    fn connection(&self) -> &Connection {
        // Taken only by `drop`.
        self.connection.as_ref().unwrap_or_else(|| unreachable!("a snapshot keeps its connection while it lives"))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if matches!(self.stillness, Stillness::Unindexed(_)) {
            // Without locks SQLite closes the file at once, which would drop the locks that this process's other
            // connections hold on it. The descriptor is left to the end of the process instead.
            std::mem::forget(self.connection.take());
        }
    }
}

/// A path as it stands in a `file:` URI.
fn uri_path(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_in_a_uri_without_its_special_characters() {
        assert_eq!(uri_path(Path::new("/a b/50%?#é.db")), "/a%20b/50%25%3F%23%C3%A9.db");
    }
}
