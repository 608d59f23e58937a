//! Creating a segment, and with its first segment a session: one transaction.

use rusqlite::params_from_iter;
use rusqlite::types::Value;
use store_core::origin::{self, SegmentFacts};
use store_core::{CreateOptions, NewEntry, Position, SegmentId, SessionId, StoreError, call};

use crate::connection::Connections;
use crate::error::Result;
use crate::{append, changes, read, row};

pub(crate) fn create_segment(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    entries: &[NewEntry],
    options: &CreateOptions,
) -> Result<Vec<Position>> {
    let prepared = call::prepare_create(session, entries)?;
    let durability = connections.durability_of(options.durability, &prepared);
    let slots = call::resolve_keys(&prepared, |_| Ok(None))?;
    let answer = slots.clone();
    let written = connections.writer()?.write(durability, move |transaction| {
        let writes = call::entries_to_write(&prepared, &slots);
        let start = prepared.first().and_then(|first| first.start.as_deref());
        if let Some(holder) = read::find_segment(transaction, segment)? {
            return Err(StoreError::AlreadyExists { session: holder.session, segment }.into());
        }
        if let Some(start) = start {
            origin::check_origin(segment, start, |id| {
                let found = read::find_segment(transaction, id)?;
                Ok(found.map(|found| SegmentFacts {
                    session: found.session,
                    entry_count: found.entry_count,
                    origin: found.origin,
                }))
            })?;
        }
        let change = row::to_sql(changes::next(transaction)?);
        if !read::has_session(transaction, session)? {
            transaction
                .prepare_cached("INSERT INTO sessions (session_id, fact_count, change) VALUES (?1, 0, ?2)")?
                .execute((session.as_bytes(), change))?;
            transaction
                .prepare_cached("DELETE FROM deleted_sessions WHERE session_id = ?1")?
                .execute([session.as_bytes()])?;
        }
        let mut values = vec![
            Value::Blob(segment.as_bytes().to_vec()),
            Value::Blob(session.as_bytes().to_vec()),
            Value::Integer(row::to_sql(writes.len() as u64)),
            Value::Integer(change),
        ];
        values.extend(row::origin_values(start.and_then(|start| start.origin())));
        transaction
            .prepare_cached(
                "INSERT INTO segments (segment_id, session_id, entry_count, trace_count, change,
                     origin_session_id, origin_segment_id, origin_seq, origin_turn)
                 VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params_from_iter(values))?;
        append::insert(transaction, segment, 0, &writes)
    })?;
    Ok(call::answer(&answer, &written))
}
