//! Following a segment: its row is looked at, and its entries are read when its change or its count is another one.
//!
//! A tail has a connection of its own. Readers of a write-ahead log keep no writer waiting.

use store_core::follow::{Follower, POLL, TailSource};
use store_core::{Position, Record, SegmentId, Seq, SessionId, Tail, TailFrom};

use crate::connection::Connections;
use crate::{append, read};

pub(crate) fn tail(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    from: TailFrom,
) -> store_core::Result<Box<dyn Tail>> {
    let followed = Followed { connections: connections.following()?, session, segment, read_to: None };
    Ok(Box::new(Follower::start(followed, segment, from, POLL)?))
}

/// A segment as a tail reads it.
struct Followed {
    connections: Connections,
    session: SessionId,
    segment: SegmentId,
    /// What the segment's row said when it was read: its change and its count, one of which every change of it changes.
    read_to: Option<(u64, u64)>,
}

impl TailSource for Followed {
    fn is_unchanged(&mut self) -> store_core::Result<bool> {
        let Some(read_to) = self.read_to else { return Ok(false) };
        let found = self.connections.read(|connection| read::find_segment(connection, self.segment))?;
        Ok(found.is_some_and(|found| (found.change, found.entry_count) == read_to))
    }

    fn read(&mut self, after: Seq, limit: usize) -> store_core::Result<Vec<Record>> {
        self.read_to = None;
        let (records, read_to) = self.connections.read(|connection| {
            let found = read::segment_of(connection, self.session, self.segment)?;
            let records = match limit {
                0 => Vec::new(),
                _ => read::read_rows(connection, self.segment, after.0, limit, found.entry_count)?,
            };
            Ok((records, (found.change, found.entry_count)))
        })?;
        self.read_to = Some(read_to);
        Ok(records)
    }

    fn end(&mut self) -> store_core::Result<Position> {
        Ok(self.connections.read(|connection| {
            let found = read::segment_of(connection, self.session, self.segment)?;
            read::check_end(connection, self.segment, found.entry_count)?;
            append::end(connection, self.segment, found.entry_count)
        })?)
    }
}
