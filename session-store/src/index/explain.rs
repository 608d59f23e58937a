//! What each usage record of a session counts for, and why.
//!
//! Of a request one record counts, in the session that owns it: the largest in the first of its segments that holds any, so that what segments are said to have used adds up to what the session
//! did. It counts with the amounts of the largest record anywhere, which may stand in another session that has more of the same request.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, Row};
use serde::Serialize;
use store_core::{LlmUsage, SegmentId, Seq, SessionId};

use super::rows::{SegmentRow, read_id, to_db, to_u64};
use super::usage::{continued, owner, rank, read_usage};
use crate::usage::Use;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RecordPlace {
    /// The session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The entry.
    pub seq: Seq,
}

/// What a record counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the one that counts of its request.
    Counted,
    /// Another session owns its request.
    Inherited,
    /// Another record of its session counts for its request.
    Duplicate,
}

/// A usage record of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRecord {
    /// Where it stands: in the session, or in one that it continues.
    pub place: RecordPlace,
    /// What it says.
    pub usage: LlmUsage,
    /// The request that it is of, under the name that tells its repeats.
    pub request: String,
    /// What it counts for.
    pub verdict: Verdict,
    /// The record that counts of the request; it stands in the session that owns it.
    pub counted: RecordPlace,
    /// What the request counts with: its largest record, and the time of its first.
    pub counted_usage: LlmUsage,
}

impl UsageRecord {
    /// The request that it is of, as it counts. Of whose it is only the session is told.
    pub fn into_use(self) -> Use {
        let Self { request, counted, counted_usage, .. } = self;
        Use { request, session: counted.session_id, agent: None, project: None, usage: counted_usage }
    }
}

/// A record as the tables have it.
struct Found {
    request: String,
    session: SessionId,
    segment: i64,
    place: RecordPlace,
    usage: LlmUsage,
}

const COLUMNS: &str = "usage.request, segment.session, segment.no, segment.id, usage.seq, usage.input_total,
  usage.cache_read, usage.cache_write, usage.output, usage.reasoning, usage.cost, usage.at_ms, usage.model
  FROM usage JOIN segment ON segment.no = usage.segment";

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (session, seq) = (read_id(row, 1)?, Seq(to_u64(row.get(4)?)));
        Ok(Self {
            request: row.get(0)?,
            session,
            segment: row.get(2)?,
            place: RecordPlace { session_id: session, segment_id: read_id(row, 3)?, seq },
            usage: read_usage(row, 5)?,
        })
    }
}

/// What a request counts with, and where.
#[derive(Clone)]
struct Counted {
    place: RecordPlace,
    usage: LlmUsage,
}

/// Every usage record of a session, what it continues first, or of one segment of it.
pub(super) fn explain(
    db: &Connection,
    session: SessionId,
    segment: Option<SegmentId>,
) -> rusqlite::Result<Vec<UsageRecord>> {
    let rows = SegmentRow::of_session(db, session)?;
    let mut parts: Vec<(i64, Seq)> = Vec::new();
    if segment.is_none() {
        let continued: BTreeMap<i64, Seq> = continued(db, session, &rows)?;
        parts.extend(continued);
    }
    let own = rows.iter().filter(|row| segment.is_none_or(|segment| row.id == segment));
    parts.extend(own.map(|row| (row.no, Seq(u64::MAX))));
    let mut query = db
        .prepare_cached(&format!("SELECT {COLUMNS} WHERE usage.segment = ?1 AND usage.seq <= ?2 ORDER BY usage.seq"))?;
    let (mut records, mut counted, mut families) = (Vec::new(), HashMap::new(), Families::default());
    for (no, through) in parts {
        let found: Vec<Found> =
            query.query_map([no, to_db(through.0)], Found::read)?.collect::<rusqlite::Result<_>>()?;
        for Found { request, place, usage, .. } in found {
            let counted = match counted.get(&request) {
                Some(counted) => Clone::clone(counted),
                None => match families.count(db, &request)? {
                    Some(found) => counted.entry(request.clone()).or_insert(found).clone(),
                    None => continue,
                },
            };
            let verdict = match (counted.place.session_id == session, counted.place == place) {
                (false, _) => Verdict::Inherited,
                (true, true) => Verdict::Counted,
                (true, false) => Verdict::Duplicate,
            };
            let Counted { place: counted, usage: counted_usage } = counted;
            records.push(UsageRecord { place, usage, request, verdict, counted, counted_usage });
        }
    }
    Ok(records)
}

/// What is known of sessions on the way: whom they continue, and the order of their segments.
#[derive(Default)]
struct Families {
    ancestors: HashMap<SessionId, BTreeSet<SessionId>>,
    orders: HashMap<SessionId, Vec<i64>>,
}

impl Families {
    /// The record that counts of a request.
    fn count(&mut self, db: &Connection, request: &str) -> rusqlite::Result<Option<Counted>> {
        let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} WHERE usage.request = ?1"))?;
        let all: Vec<Found> = query.query_map([request], Found::read)?.collect::<rusqlite::Result<_>>()?;
        let holders: BTreeSet<SessionId> = all.iter().map(|found| found.session).collect();
        let Some(owner) = owner(db, &holders, &mut self.ancestors)? else { return Ok(None) };
        let order = match self.orders.get(&owner) {
            Some(order) => order,
            None => {
                let order = SegmentRow::of_session(db, owner)?.iter().map(|row| row.no).collect();
                self.orders.entry(owner).or_insert(order)
            }
        };
        let place_of = |found: &Found| order.iter().position(|no| *no == found.segment);
        let owned = all.iter().filter(|found| found.session == owner);
        let counts =
            owned.min_by_key(|found| (place_of(found), std::cmp::Reverse(rank(&found.usage)), found.place.seq));
        let largest = all.iter().max_by_key(|found| rank(&found.usage));
        let first_ms = all.iter().map(|found| found.usage.ts).min().unwrap_or_default();
        Ok(counts.zip(largest).map(|(counts, largest)| Counted {
            place: counts.place,
            usage: LlmUsage { ts: first_ms, ..largest.usage.clone() },
        }))
    }
}
