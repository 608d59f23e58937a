//! Creating a segment, and with its first segment a session: one transaction. Many sessions at once are one transaction too, with a
//! savepoint around each.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use store_core::call::{Prepared, Slot};
use store_core::origin::{self, SegmentFacts};
use store_core::{
    CreateOptions, Created, Durability, NewEntry, NewSession, Position, SegmentId, SessionId, StoreError, call,
};

use crate::connection::Connections;
use crate::error::{Error, Result};
use crate::facts::ReadyFact;
use crate::transaction::in_savepoint;
use crate::{append, changes, read, row};

/// A segment whose entries may be written.
struct Ready {
    session: SessionId,
    segment: SegmentId,
    prepared: Vec<Prepared>,
    slots: Vec<Slot>,
}

impl Ready {
    fn new(session: SessionId, segment: SegmentId, entries: &[NewEntry]) -> store_core::Result<Self> {
        let prepared = call::prepare_create(session, entries)?;
        let slots = call::resolve_keys(&prepared, |_| Ok(None))?;
        Ok(Self { session, segment, prepared, slots })
    }
}

/// A session of which everything may be written, unless the store has it.
struct ReadySession {
    session: SessionId,
    segments: Vec<Ready>,
    facts: Vec<ReadyFact>,
}

impl ReadySession {
    fn new(new: &NewSession) -> store_core::Result<Self> {
        new.check(false)?;
        let segments = new.segments.iter().map(|one| Ready::new(new.session, one.segment, &one.entries));
        let segments = segments.collect::<store_core::Result<_>>()?;
        let facts = new.facts.iter().map(ReadyFact::new).collect::<store_core::Result<_>>()?;
        Ok(Self { session: new.session, segments, facts })
    }

    fn create(&self, transaction: &Connection) -> Result<Vec<Vec<Position>>> {
        if let Some(first) = self.segments.first()
            && read::has_session(transaction, self.session)?
        {
            return Err(StoreError::AlreadyExists { session: self.session, segment: first.segment }.into());
        }
        let made = self.segments.iter().map(|segment| create(transaction, segment)).collect::<Result<_>>()?;
        self.facts.iter().try_for_each(|fact| fact.put(transaction, store_core::FactScope::Session(self.session)))?;
        Ok(made)
    }
}

pub(crate) fn create_segment(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    entries: &[NewEntry],
    options: &CreateOptions,
) -> Result<Vec<Position>> {
    let ready = Ready::new(session, segment, entries)?;
    let durability = connections.durability_of(options.durability, &ready.prepared);
    connections.writer()?.write(durability, move |transaction| create(transaction, &ready))
}

pub(crate) fn create_sessions(connections: &Connections, sessions: &[NewSession]) -> Result<Vec<Created>> {
    let mut refused = Vec::with_capacity(sessions.len());
    let mut ready = Vec::with_capacity(sessions.len());
    for new in sessions {
        match ReadySession::new(new) {
            Ok(new) => {
                ready.push(new);
                refused.push(None);
            }
            Err(error) => refused.push(Some(error)),
        }
    }
    let made = connections.writer()?.write(Durability::Synced, move |transaction| create_each(transaction, &ready))?;
    let mut made = made.into_iter();
    let answers = refused.into_iter().map(|refused| match refused {
        Some(error) => Err(error),
        None => made.next().unwrap_or_else(|| Err(StoreError::backend("a session was not looked at"))),
    });
    Ok(answers.collect())
}

/// Creates sessions, each under a savepoint. What SQLite fails with fails all of them.
fn create_each(transaction: &Connection, sessions: &[ReadySession]) -> Result<Vec<Created>> {
    let mut made = Vec::with_capacity(sessions.len());
    for session in sessions {
        let mut done = None;
        in_savepoint(transaction, |transaction| done.insert(session.create(transaction)).is_ok())?;
        made.push(match done {
            Some(Err(Error::Store(refused))) => Err(refused),
            Some(done) => Ok(done?),
            None => Err(StoreError::backend("a savepoint did nothing")),
        });
    }
    Ok(made)
}

fn create(transaction: &Connection, ready: &Ready) -> Result<Vec<Position>> {
    let Ready { session, segment, prepared, slots } = ready;
    let writes = call::entries_to_write(prepared, slots);
    let start = prepared.first().and_then(|first| first.start.as_deref());
    if let Some(holder) = read::find_segment(transaction, *segment)? {
        return Err(StoreError::AlreadyExists { session: holder.session, segment: *segment }.into());
    }
    if let Some(start) = start {
        origin::check_origin(*segment, start, |id| {
            let found = read::find_segment(transaction, id)?;
            Ok(found.map(|found| SegmentFacts {
                session: found.session,
                entry_count: found.entry_count,
                origin: found.origin,
            }))
        })?;
    }
    let change = row::to_sql(changes::next(transaction)?);
    if !read::has_session(transaction, *session)? {
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
    let written = append::insert(transaction, *segment, 0, &writes)?;
    Ok(call::answer(slots, &written))
}
