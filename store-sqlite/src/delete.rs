//! Deleting a session: one transaction takes its segments with all that belongs to them, and its facts, and leaves its id in the changes.

use store_core::{Durability, SessionId, StoreError};

use crate::connection::Connections;
use crate::error::Result;
use crate::lease::{self, HeldLease};
use crate::{changes, read, row};

/// In the order that the references between the tables want.
const STATEMENTS: [&str; 7] = [
    "DELETE FROM entries WHERE segment_id IN (SELECT segment_id FROM segments WHERE session_id = ?1)",
    "DELETE FROM traces WHERE segment_id IN (SELECT segment_id FROM segments WHERE session_id = ?1)",
    "DELETE FROM checkpoints WHERE segment_id IN (SELECT segment_id FROM segments WHERE session_id = ?1)",
    "DELETE FROM quarantine WHERE segment_id IN (SELECT segment_id FROM segments WHERE session_id = ?1)",
    "DELETE FROM segments WHERE session_id = ?1",
    "DELETE FROM facts WHERE scope = ?1",
    "DELETE FROM sessions WHERE session_id = ?1",
];

pub(crate) fn delete_session(connections: &Connections, session: SessionId) -> Result<()> {
    // Held until the deletion is there for everybody to see. Alone, because what is held once cannot be taken again.
    let _leases: Vec<HeldLease> = connections.writer()?.write_alone(Durability::Synced, |transaction| {
        if !read::has_session(transaction, session)? {
            return Err(StoreError::no_session(session).into());
        }
        let leases = lease::hold_all(connections.place(), transaction, session)?;
        let mut statement = transaction.prepare_cached(
            "SELECT segment_id FROM segments WHERE origin_session_id = ?1 AND session_id <> ?1
             ORDER BY session_id, segment_id",
        )?;
        let by: Vec<_> =
            statement.query_and_then([session.as_bytes()], |row| row::segment_id(row, 0))?.collect::<Result<_>>()?;
        if !by.is_empty() {
            return Err(StoreError::Referenced { by }.into());
        }
        for sql in STATEMENTS {
            transaction.prepare_cached(sql)?.execute([session.as_bytes()])?;
        }
        let change = changes::next(transaction)?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO deleted_sessions (session_id, change) VALUES (?1, ?2)")?
            .execute((session.as_bytes(), row::to_sql(change)))?;
        Ok(leases)
    })?;
    Ok(())
}
