//! Where importers left their files: kept here for them, and never read by anything else.
//!
//! It is only of use as it was written, so each piece has a sum; what does not match it is not there.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use store_core::SessionId;

use super::rows::to_db;

fn sum(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The state that was kept for a file.
pub(super) fn state(db: &Connection, session: SessionId, native_id: &str) -> rusqlite::Result<Option<String>> {
    let mut query = db.prepare_cached("SELECT state, sum FROM bookmark WHERE session = ?1 AND native_id = ?2")?;
    let found = query.query_row(params![session.to_string(), native_id], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?))
    });
    Ok(found.optional()?.filter(|(state, stored)| sum(state.as_bytes()) == *stored).map(|(state, _)| state))
}

/// One piece of the notes that belong to a state.
pub(super) fn notes(
    db: &Connection,
    session: SessionId,
    native_id: &str,
    number: u64,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut query =
        db.prepare_cached("SELECT notes, sum FROM bookmark_notes WHERE session = ?1 AND native_id = ?2 AND no = ?3")?;
    let found = query.query_row(params![session.to_string(), native_id, to_db(number)], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, [u8; 32]>(1)?))
    });
    Ok(found.optional()?.filter(|(notes, stored)| sum(notes) == *stored).map(|(notes, _)| notes))
}

/// Puts a piece of notes that no state counts yet.
pub(super) fn put_notes(
    db: &Connection,
    session: SessionId,
    native_id: &str,
    number: u64,
    notes: &[u8],
) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached(
        "INSERT OR REPLACE INTO bookmark_notes (session, native_id, no, notes, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    put.execute(params![session.to_string(), native_id, to_db(number), notes, sum(notes)]).map(drop)
}

/// Puts states in the place of those before, each together with the last pieces of notes that it counts.
pub(super) fn put(
    db: &mut Connection,
    bookmarks: impl Iterator<Item = (SessionId, String, String, Vec<(u64, Vec<u8>)>)>,
) -> rusqlite::Result<()> {
    let mut bookmarks = bookmarks.peekable();
    if bookmarks.peek().is_none() {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (session, native_id, state, pieces) in bookmarks {
        for (number, notes) in &pieces {
            put_notes(&transaction, session, &native_id, *number, notes)?;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO bookmark (session, native_id, state, sum) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![session.to_string(), native_id, state, sum(state.as_bytes())])?;
    }
    transaction.commit()
}

/// Forgets where the files of a session were left.
pub(super) fn forget(db: &Connection, session: SessionId) -> rusqlite::Result<()> {
    for table in ["DELETE FROM bookmark WHERE session = ?1", "DELETE FROM bookmark_notes WHERE session = ?1"] {
        db.prepare_cached(table)?.execute([session.to_string()])?;
    }
    Ok(())
}
