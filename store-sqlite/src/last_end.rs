//! What a writing connection remembers of the segment that it appended to last: where it ends, so that the next append there need not
//! look it up, nor read and check its last row again.
//!
//! It holds as long as nobody else wrote to the database, which SQLite tells by a number that changes with others' commits, and as long as
//! this connection wrote nothing else and took nothing back: whoever does either forgets it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use store_core::{Position, SegmentId, SessionId};

use crate::error::Result;

/// The end of a segment, which is also the one that changed last.
#[derive(Clone, Copy)]
struct Known {
    session: SessionId,
    segment: SegmentId,
    end: Position,
    /// What SQLite's number was.
    version: i64,
}

/// The memory of one writing connection.
#[derive(Default)]
pub(crate) struct LastEnd(Mutex<Option<Known>>);

impl LastEnd {
    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a segment of this session ends, if that is known. To be asked within a write transaction.
    pub(crate) fn get(&self, transaction: &Connection, ids: (SessionId, SegmentId)) -> Result<Option<Position>> {
        let Some(known) = *self.lock() else { return Ok(None) };
        let holds = (known.session, known.segment) == ids && known.version == version(transaction)?;
        Ok(holds.then_some(known.end))
    }

    /// Remembers where a segment ends that was appended to in this transaction.
    pub(crate) fn set(&self, transaction: &Connection, ids: (SessionId, SegmentId), end: Position) -> Result<()> {
        let (session, segment) = ids;
        *self.lock() = Some(Known { session, segment, end, version: version(transaction)? });
        Ok(())
    }

    /// Says that what is remembered need not be true any more.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }
}

/// A number that stays as it is for this connection until another one commits.
fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use store_core::Seq;

    use super::*;

    #[test]
    fn what_is_remembered_holds_for_this_segment_until_somebody_else_commits() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Connection::open(folder.path().join("a.db")).unwrap();
        let (own, other) = (open(), open());
        own.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let ids = |n| (SessionId::derive(n, b"s"), SegmentId::derive(n, b"g"));
        let end = Position { seq: Seq(3), crc32c: 7 };
        let last = LastEnd::default();
        let write = |connection: &Connection| connection.execute("INSERT INTO t VALUES (1)", []).unwrap();
        assert_eq!(last.get(&own, ids(1)).unwrap(), None);
        write(&own);
        last.set(&own, ids(1), end).unwrap();
        write(&own);
        assert_eq!(last.get(&own, ids(1)).unwrap(), Some(end), "what this connection commits changes nothing");
        assert_eq!(last.get(&own, (ids(2).0, ids(1).1)).unwrap(), None);
        assert_eq!(last.get(&own, ids(2)).unwrap(), None);
        write(&other);
        assert_eq!(last.get(&own, ids(1)).unwrap(), None);
        last.set(&own, ids(1), end).unwrap();
        last.forget();
        assert_eq!(last.get(&own, ids(1)).unwrap(), None);
    }
}
