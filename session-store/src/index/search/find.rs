//! Which entries say what was searched for.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, params_from_iter};
use store_core::{Backend, SegmentId, Seq, SessionId};

use super::super::list::Filter;
use super::super::lookup::compacted_sessions;
use super::super::rows::{read_id, read_json, to_u64};
use super::super::summary::SessionSummary;
use super::SearchQuery;
use super::fill::place_of;
use crate::query::History;

/// The entries of a segment that match.
#[derive(Clone, Debug)]
pub(in crate::index) struct Match {
    pub(in crate::index) session: SessionId,
    pub(in crate::index) segment: SegmentId,
    pub(in crate::index) title: Option<String>,
    /// Newest first.
    pub(in crate::index) seqs: Vec<Seq>,
}

/// A session that may be searched.
struct Admitted {
    title: Option<String>,
    last_ms: u64,
}

/// All entries that match an expression, newest conversation first.
pub(in crate::index) fn find(
    db: &Connection,
    store: &dyn Backend,
    expression: &str,
    query: &SearchQuery,
) -> rusqlite::Result<Vec<Match>> {
    let mut by_segment: HashMap<i64, Vec<Seq>> = HashMap::new();
    let mut words = db.prepare_cached("SELECT rowid FROM words WHERE words MATCH ?1")?;
    for number in words.query_map([expression], |row| row.get(0))? {
        let (segment, seq) = place_of(number?);
        by_segment.entry(segment).or_default().push(seq);
    }
    let compacted = if query.query.asks_for_compactions() { compacted_sessions(db)? } else { BTreeSet::new() };
    let mut sessions: HashMap<SessionId, Option<Admitted>> = HashMap::new();
    let mut found = Vec::new();
    let mut segments = db.prepare_cached("SELECT session, id FROM segment WHERE no = ?1 AND NOT superseded")?;
    for (no, mut seqs) in by_segment {
        let row = segments.query_row([no], |row| Ok((read_id(row, 0)?, read_id(row, 1)?))).optional()?;
        let Some((session, segment)): Option<(SessionId, SegmentId)> = row else { continue };
        let admitted = match sessions.entry(session) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert({
                let history = History::of(compacted.contains(&session));
                admit(db, store, session, history, query)?
            }),
        };
        if let Some(Admitted { title, last_ms }) = admitted {
            seqs.sort_unstable_by(|a, b| b.cmp(a));
            found.push(((*last_ms, session, no), Match { session, segment, title: title.clone(), seqs }));
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

/// A session, if it is among those that are searched.
fn admit(
    db: &Connection,
    store: &dyn Backend,
    session: SessionId,
    history: History,
    query: &SearchQuery,
) -> rusqlite::Result<Option<Admitted>> {
    let filter = Filter::of_list(&query.among).and_id(session);
    let sql =
        format!("SELECT title, coalesce(last_message_ms, updated_ms), summary FROM session WHERE {}", filter.sql());
    let mut rows = db.prepare_cached(&sql)?;
    let row = rows.query_row(params_from_iter(filter.values()), |row| {
        // The whole row is read only if something is asked of it.
        let admits = query.query.conditions.is_empty() || {
            let mut summary: SessionSummary = read_json(row, 2)?;
            if query.query.asks_who_writes() {
                summary.look_for_writer(store);
            }
            query.query.admits(&summary, history)
        };
        Ok(admits.then_some(Admitted { title: row.get(0)?, last_ms: to_u64(row.get(1)?) }))
    });
    row.optional().map(Option::flatten)
}
