//! Who of this process has the index of a database's write-ahead log open, and how.
//!
//! SQLite opens that index once for all connections of a process, as the first of them may use it: beside one that came
//! first and may only read it, none can write. So connections that write nothing make way for one that is opened to
//! write; once it is open they share what it opened.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::connection::guard;
use crate::disk::FileId;
use crate::reading::Idle;
use crate::shared::Shared;

/// How long a connection that is opened to write waits for reads of this process, and a read for such a connection.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The databases that are read without writing, or opened, in this process.
static OPEN: Shared<LogIndex> = Shared::new();

/// What the connections of this process to one database share.
#[derive(Default)]
pub(crate) struct LogIndex {
    users: Mutex<Users>,
    changed: Condvar,
}

#[derive(Default)]
struct Users {
    /// Reads on connections that write nothing, under way.
    reading: usize,
    /// Connections that write: waiting to be opened, or being opened.
    opening: usize,
    /// Where connections that write nothing wait for their next read.
    idle: Vec<Weak<Idle>>,
}

/// A read on a connection that writes nothing. It holds up who opens one that writes.
pub(crate) struct Pass<'a>(&'a LogIndex);

/// No connection of this process that writes nothing is open while this is held.
pub(crate) struct Opening<'a>(&'a LogIndex);

impl LogIndex {
    /// What the connections to this file share.
    pub(crate) fn of(file: FileId) -> Arc<Self> {
        OPEN.of(file)
    }

    /// Begins a read on a connection that comes from `idle` and goes back there. `None`: a connection that writes was
    /// not opened in time.
    pub(crate) fn begin_read(&self, idle: &Arc<Idle>) -> Option<Pass<'_>> {
        let mut users = self.wait_while(|users| users.opening > 0)?;
        users.reading += 1;
        users.idle.retain(|known| known.strong_count() > 0);
        if !users.idle.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(idle))) {
            users.idle.push(Arc::downgrade(idle));
        }
        Some(Pass(self))
    }

    /// Closes every connection that writes nothing, and lets none be opened. `None`: reads did not end in time.
    pub(crate) fn begin_open(&self) -> Option<Opening<'_>> {
        guard(&self.users).opening += 1;
        let opening = Opening(self);
        let mut users = self.wait_while(|users| users.reading > 0)?;
        let idle: Vec<_> = users.idle.drain(..).filter_map(|idle| idle.upgrade()).collect();
        drop(users);
        idle.iter().for_each(|idle| idle.close());
        Some(opening)
    }

    fn wait_while(&self, held_up: impl Fn(&Users) -> bool) -> Option<MutexGuard<'_, Users>> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut users = guard(&self.users);
        while held_up(&users) {
            let left = deadline.checked_duration_since(Instant::now())?;
            (users, _) = self.changed.wait_timeout(users, left).unwrap_or_else(PoisonError::into_inner);
        }
        Some(users)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        guard(&self.0.users).reading -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        guard(&self.0.users).opening -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_writes_is_opened_when_reads_are_over_and_before_the_next() {
        let index = LogIndex::of(FileId::for_tests(11));
        let idle = Arc::new(Idle::new(1));
        let order = Mutex::new(Vec::new());
        let note = |what| guard(&order).push(what);
        std::thread::scope(|scope| {
            let reading = index.begin_read(&idle).unwrap();
            scope.spawn(|| {
                let opening = index.begin_open().unwrap();
                note("opened");
                drop(opening);
            });
            while guard(&index.users).opening == 0 {
                std::thread::yield_now();
            }
            scope.spawn(|| {
                let reading = index.begin_read(&idle).unwrap();
                note("read");
                drop(reading);
            });
            note("first read");
            drop(reading);
        });
        assert_eq!(*guard(&order), ["first read", "opened", "read"]);
        assert_eq!(guard(&index.users).idle.len(), 1, "a pool is known once");
    }
}
