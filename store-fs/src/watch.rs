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
use crate::layout::Layout;
use crate::logs::{LogKey, Logs, Purpose};
use crate::record_log::{End, View};
use crate::store::{FsStore, read_behind};

/// How long a writer is given to take back what it could not write whole.
const SECOND_LOOK: Duration = Duration::from_millis(2);

impl Watch for FsStore {
    fn tail(&self, session: SessionId, segment: SegmentId, from: TailFrom) -> Result<Box<dyn Tail>> {
        let (disk, layout) = (Arc::clone(&self.disk), self.layout.clone());
        let logs = Logs::new(Arc::clone(&disk), layout.clone(), false, 1);
        let followed = Followed { disk, layout, logs, session, segment, read_to: None };
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
    layout: Layout,
    /// The one log, kept open so that its file's number is given to no other file.
    logs: Logs,
    session: SessionId,
    segment: SegmentId,
    /// The file as it was read last; `None` where it did not end with a whole line, so that its length says nothing: a torn
    /// one may be replaced by as many bytes.
    read_to: Option<FileStat>,
}

impl Followed {
    fn look<T>(&mut self, read: impl Fn(&View<'_>, &End) -> Result<T>) -> Result<T> {
        match self.look_once(&read) {
            Err(StoreError::Corrupt(_)) => {
                thread::sleep(SECOND_LOOK);
                self.look_once(&read)
            }
            done => done,
        }
    }

    fn look_once<T>(&mut self, read: impl Fn(&View<'_>, &End) -> Result<T>) -> Result<T> {
        self.read_to = None;
        let key = LogKey::Segment(self.session, self.segment);
        let looked = self.logs.on(key, Purpose::Read, |log| {
            log.peek(|view| {
                let end = view.end()?;
                Ok((read(view, &end)?, end))
            })
        })?;
        let ((done, end), stat) = looked.ok_or(StoreError::no_segment(self.segment))?;
        self.read_to = Some(stat).filter(|stat| end.bytes == stat.bytes && end.missing.is_empty());
        Ok(done)
    }
}

impl TailSource for Followed {
    fn is_unchanged(&mut self) -> Result<bool> {
        let Some(read_to) = self.read_to else { return Ok(false) };
        let path = self.layout.log(self.session, self.segment);
        Ok(found(self.disk.stat(&path)).at("stat", &path)? == Some(read_to))
    }

    fn read(&mut self, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let segment = self.segment;
        self.look(|view, end| read_behind(view, end, segment, after, limit))
    }

    fn end(&mut self) -> Result<Position> {
        self.look(|_, end| Ok(end.position()))
    }
}
