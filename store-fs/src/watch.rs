//! Following a segment: the log is looked at by name and read when its file grew or is another one.
//!
//! A tail has a descriptor of its own and takes no lock at all. What looks damaged is read once more a moment later instead,
//! because a writer may just have taken back a torn line.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use store_core::follow::{Follower, POLL, TailSource};
use store_core::{
    Lease, LeaseHolder, Position, Record, Result, SegmentId, Seq, SessionId, StoreError, Tail, TailFrom, TimestampMs,
    Watch,
};

use crate::disk::{Disk, FileStat};
use crate::error::{At as _, found};
use crate::layout::LogName;
use crate::logs::{LogKey, Logs, Purpose};
use crate::read::read_behind;
use crate::record_log::{End, Look, View};
use crate::store::FsStore;

/// How long a writer is given to take back what it could not write whole.
const SECOND_LOOK: Duration = Duration::from_millis(2);

impl Watch for FsStore {
    fn tail(&self, session: SessionId, segment: SegmentId, from: TailFrom) -> Result<Box<dyn Tail>> {
        let disk = Arc::clone(&self.disk);
        let logs = Logs::new(Arc::clone(&disk), self.layout.clone(), false, 1, None);
        let followed = Followed { disk, logs, session, segment, read_to: None };
        Ok(Box::new(Follower::start(followed, segment, from, POLL)?))
    }

    fn lease(&self, session: SessionId, segment: SegmentId, holder: &str, now: TimestampMs) -> Result<Lease> {
        self.take_lease(session, segment, holder, now)
    }

    fn leased(&self, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>> {
        self.lease_holder(session, segment)
    }
}

/// A segment's log as a tail reads it.
struct Followed {
    disk: Arc<dyn Disk>,
    /// The one log, kept open so that its file's number is given to no other file.
    logs: Logs,
    session: SessionId,
    segment: SegmentId,
    /// The newest part as it was read last; `None` where it did not end with a whole line, so that its length says nothing: a torn
    /// one may be replaced by as many bytes.
    read_to: Option<(LogName, FileStat)>,
}

impl Followed {
    fn look<T>(&mut self, read: impl Fn(&View<'_>, &End) -> Result<T>) -> Result<T> {
        match self.look_once(Look::First, &read) {
            Err(StoreError::Corrupt(_)) => {
                thread::sleep(SECOND_LOOK);
                self.look_once(Look::Again, &read)
            }
            done => done,
        }
    }

    fn look_once<T>(&mut self, look: Look, read: impl Fn(&View<'_>, &End) -> Result<T>) -> Result<T> {
        self.read_to = None;
        let key = LogKey::Segment(self.session, self.segment);
        let looked = self.logs.on(key, Purpose::Read, |log| {
            let looked = log.peek(look, |view| {
                let end = view.end()?;
                Ok((read(view, &end)?, end))
            })?;
            Ok(looked.map(|(done, stat)| (done, (log.name().clone(), stat))))
        })?;
        let ((done, end), (name, stat)) = looked.ok_or(StoreError::no_segment(self.segment))?;
        let is_whole = end.bytes == stat.bytes && end.missing.is_empty();
        self.read_to = is_whole.then_some((name, stat));
        Ok(done)
    }
}

impl TailSource for Followed {
    fn is_unchanged(&mut self) -> Result<bool> {
        let Some((name, read_to)) = &self.read_to else { return Ok(false) };
        let stat = |name: &LogName| found(self.disk.stat(&name.path)).at("stat", &name.path);
        // A part that is sealed has lost its write bits; who read it without them asks whether it is the last one still.
        let is_last = read_to.writable || stat(&name.of_part(name.part + 1))?.is_none();
        Ok(is_last && stat(name)? == Some(*read_to))
    }

    fn read(&mut self, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let segment = self.segment;
        self.look(|view, end| read_behind(view, end, segment, after, limit))
    }

    fn end(&mut self) -> Result<Position> {
        self.look(|_, end| Ok(end.position()))
    }
}
