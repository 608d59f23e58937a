//! Bringing the index up to date: what the store says has changed is read behind where it was read before.
//!
//! The work is done in transactions of bounded length, so that a first pass over a large store neither starves another
//! process nor starts from nothing when it is cut off: a segment that was read is not read again, and the cursor
//! moves when everything before it is in. A log that cannot be read never stops the rest: it is marked, keeps
//! what is known of it, and is tried again with every refresh.

use std::collections::{BTreeSet, VecDeque};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use store_core::{ChangeCursor, SegmentId, SessionId, Store, StoreError};

use super::books;
use super::plan::Plan;
use super::reading::{MadeEntries, Nothing};
use super::rollup;
use super::rows::{Fault, read_id};
use super::scan::Scan;
use crate::segment::SegmentLocation;

/// How much is read, in entries, before what was found is made visible.
const CHUNK_ENTRIES: u64 = 20_000;

/// What a refresh looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Segments whose logs were looked at.
    pub segments: u64,
    /// Sessions whose rows were made anew.
    pub sessions: u64,
}

/// What has to be looked at.
#[derive(Debug, Default)]
struct Work {
    sessions: BTreeSet<SessionId>,
    segments: BTreeSet<(SessionId, SegmentId)>,
    /// Segments of these whose entries may be others from the first on, so that none of what is known of them holds.
    rewritten: BTreeSet<SegmentId>,
}

/// Brings the tables up to date. `reconcile` compares the sessions with those of the store, once for each open index:
/// another store may stand where this one's file was made.
pub(super) fn refresh(db: &mut Connection, store: &dyn Store, reconcile: bool) -> Result<Refreshed, Fault> {
    let stored = cursor(db)?;
    let changes = store.changes(stored.as_ref())?;
    let mut work = Work {
        sessions: changes.sessions.into_iter().collect(),
        segments: changes.segments.into_iter().collect(),
        rewritten: changes.rewritten.into_iter().map(|(_, segment)| segment).collect(),
    };
    if reconcile {
        compare_sessions(db, store, &mut work)?;
    }
    add_damaged(db, &mut work)?;
    let moved = stored.as_ref() != Some(&changes.cursor);
    if work.sessions.is_empty() && work.segments.is_empty() && !moved {
        return Ok(Refreshed::default());
    }
    let done = bring_in(db, store, &Nothing, work)?;
    if moved {
        put_cursor(db, &changes.cursor)?;
    }
    Ok(done)
}

/// Brings in some segments with their sessions, whatever else has changed. The cursor stays: what is brought in here is
/// looked at once more by the next [`refresh`].
pub(super) fn refresh_segments(
    db: &mut Connection,
    store: &dyn Store,
    made: &dyn MadeEntries,
    segments: &[SegmentLocation],
) -> Result<Refreshed, Fault> {
    let work = Work {
        sessions: segments.iter().map(|location| location.session_id).collect(),
        segments: segments.iter().map(|location| (location.session_id, location.segment_id)).collect(),
        rewritten: BTreeSet::new(),
    };
    bring_in(db, store, made, work)
}

fn bring_in(db: &mut Connection, store: &dyn Store, made: &dyn MadeEntries, work: Work) -> Result<Refreshed, Fault> {
    let plan = Plan::new(db, store, &work.segments)?;
    let mut done = Refreshed { segments: plan.order.len() as u64, sessions: 0 };
    let mut scan = Scan::new(store, made, plan.wanted, work.rewritten);
    let mut segments = VecDeque::from(plan.order);
    let mut sessions = work.sessions.into_iter().peekable();
    while !segments.is_empty() || sessions.peek().is_some() {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut looked_at, mut changed) = (BTreeSet::new(), BTreeSet::new());
        scan.begin_chunk();
        while scan.entries_in_chunk() < CHUNK_ENTRIES
            && let Some((session, segment)) = segments.pop_front()
        {
            changed.extend(scan.segment(&transaction, session, segment)?);
        }
        if segments.is_empty() {
            // A session costs its facts: about as much as some entries.
            let room = CHUNK_ENTRIES.saturating_sub(scan.entries_in_chunk()) / 8;
            looked_at.extend(sessions.by_ref().take(usize::try_from(room).unwrap_or(usize::MAX).max(1)));
        }
        done.sessions += finish_chunk(&transaction, store, &mut scan, &looked_at, &changed)?;
        transaction.commit()?;
        segments.extend(scan.take_again());
    }
    Ok(done)
}

/// Makes the rows of sessions anew: of those that `changed`, and of those of which something turns out to be new.
fn finish_chunk(
    db: &Connection,
    store: &dyn Store,
    scan: &mut Scan<'_>,
    looked_at: &BTreeSet<SessionId>,
    changed: &BTreeSet<SessionId>,
) -> Result<u64, Fault> {
    let mut rollups = BTreeSet::new();
    for session in looked_at.union(changed) {
        match rollup::read_facts(db, store, *session) {
            Err(Fault::Store(StoreError::NotFound(_))) => scan.drop_session(db, *session)?,
            Err(error) => return Err(error),
            Ok(new) => {
                // A session that was deleted and made again may have lost segments without a word about them.
                let segments = looked_at.contains(session) && scan.compare_segments(db, *session)?;
                if new || segments || changed.contains(session) {
                    rollups.insert(*session);
                }
            }
        }
    }
    rollups.extend(scan.touched().affected(db)?);
    for session in &rollups {
        rollup::roll_up(db, *session)?;
        books::note_change(db, &session.to_string())?;
    }
    scan.sweep(db)?;
    Ok(rollups.len() as u64)
}

fn cursor(db: &Connection) -> rusqlite::Result<Option<ChangeCursor>> {
    let mut query = db.prepare_cached("SELECT value FROM meta WHERE name = 'cursor'")?;
    query.query_row([], |row| row.get(0).map(ChangeCursor)).optional()
}

fn put_cursor(db: &Connection, cursor: &ChangeCursor) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('cursor', ?1)")?;
    put.execute([&cursor.0]).map(drop)
}

fn compare_sessions(db: &Connection, store: &dyn Store, work: &mut Work) -> Result<(), Fault> {
    let mut query = db.prepare("SELECT id FROM session UNION SELECT session FROM segment")?;
    let known: BTreeSet<SessionId> = query.query_map([], |row| read_id(row, 0))?.collect::<rusqlite::Result<_>>()?;
    let stored: BTreeSet<SessionId> = store.list_sessions()?.into_iter().collect();
    work.sessions.extend(known.difference(&stored));
    for session in stored.difference(&known) {
        work.sessions.insert(*session);
        work.segments.extend(store.list_segments(*session)?.into_iter().map(|segment| (*session, segment)));
    }
    Ok(())
}

fn add_damaged(db: &Connection, work: &mut Work) -> rusqlite::Result<()> {
    let mut query = db.prepare_cached("SELECT session, id FROM segment WHERE damaged")?;
    for found in query.query_map([], |row| Ok((read_id(row, 0)?, read_id(row, 1)?)))? {
        work.segments.insert(found?);
    }
    let mut query = db.prepare_cached("SELECT id FROM session WHERE facts_damaged")?;
    for found in query.query_map([], |row| read_id(row, 0))? {
        work.sessions.insert(found?);
    }
    Ok(())
}
