//! Who used what: each provider request counts once in the whole store.
//!
//! A request is owned by the session that holds it first: ancestors before descendants, then by birth, then by id. A
//! session's id begins with its birth, so that the order of ids is both. Everywhere else it is inherited: where its
//! entries stand again, and where a session continues a log that holds it. What counts is the largest of its repeats.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use store_core::{LlmUsage, Seq, SessionId};

use super::decimal::Decimal;
use super::rows::{SegmentRow, read_id, to_db, to_u64};
use crate::fold::{UsageTotals, usage_size};
use crate::usage::Use;

/// Notes a use of a request at an entry, and the folder that was worked in there; answers whether it had one before.
pub(super) fn put_usage(
    db: &Connection,
    (segment, seq): (i64, Seq),
    request: &str,
    usage: &LlmUsage,
    cwd: Option<&str>,
) -> rusqlite::Result<bool> {
    let known = db.prepare_cached("SELECT 1 FROM usage WHERE request = ?1")?.exists([request])?;
    let mut put = db.prepare_cached(
        "INSERT INTO usage (segment, seq, request, input_total, cache_read, cache_write, output, reasoning, cost, at_ms, model, cwd)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    put.execute(params![
        segment,
        to_db(seq.0),
        request,
        to_db(usage.input_total_tokens),
        to_db(usage.cache_read_tokens),
        to_db(usage.cache_write_tokens),
        to_db(usage.output_tokens),
        usage.reasoning_tokens.map(to_db),
        usage.cost,
        to_db(usage.ts),
        usage.model,
        cwd,
    ])?;
    Ok(known)
}

/// What a session used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionUsage {
    /// By requests that it owns.
    pub(super) own: UsageTotals,
    /// By requests that it continues or repeats.
    pub(super) inherited: UsageTotals,
    /// What its own cost, if there are any and every one of them says so.
    pub(super) cost: Option<String>,
    /// Its own, by the number of the segment that holds them first.
    pub(super) by_segment: HashMap<i64, UsageTotals>,
}

/// One request, as far as its uses were read.
#[derive(Default)]
struct Request {
    name: String,
    /// The largest of its uses.
    largest: LlmUsage,
    /// When it was recorded first.
    first_ms: u64,
    holders: BTreeSet<SessionId>,
    segments: HashSet<i64>,
    /// The first of its uses in each of those: when, at which entry, and in which folder.
    first_in: HashMap<SessionId, (u64, u64, Option<String>)>,
}

/// Every use, anywhere, of the requests that a session holds or continues, request by request. The parts that it continues are pairs of a
/// segment's number and the last seq.
const USES: &str = "SELECT usage.request, segment.session, segment.no, usage.input_total, usage.cache_read,
  usage.cache_write, usage.output, usage.reasoning, usage.cost, usage.at_ms, usage.model,
  usage.seq, usage.cwd
  FROM usage JOIN segment ON segment.no = usage.segment
  WHERE usage.request IN (
    SELECT held.request FROM segment AS holder JOIN usage AS held ON held.segment = holder.no WHERE holder.session = ?1
    UNION SELECT held.request FROM json_each(?2) AS part JOIN usage AS held
    ON held.segment = part.value ->> 0 AND held.seq <= part.value ->> 1)
  ORDER BY usage.request";

/// Sums up a session, whose segments are given in their order. Of all its requests one is held at a time.
pub(super) fn of_session(db: &Connection, session: SessionId, rows: &[SegmentRow]) -> rusqlite::Result<SessionUsage> {
    let parts: Vec<(i64, i64)> =
        continued(db, session, rows)?.into_iter().map(|(segment, through)| (segment, to_db(through.0))).collect();
    let parts =
        serde_json::to_string(&parts).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let mut sum =
        Sum { db, session, rows, usage: SessionUsage::default(), ancestors: HashMap::new(), cost: None, owned: 0 };
    let mut query = db.prepare_cached(USES)?;
    let mut uses = query.query(params![session.to_string(), parts])?;
    let mut request: Option<Request> = None;
    while let Some(row) = uses.next()? {
        let name = row.get_ref(0)?.as_str()?;
        if let Some(done) = request.take_if(|request| request.name != name) {
            sum.add(&done)?;
        }
        request.get_or_insert_with(|| Request { name: name.to_owned(), ..Request::default() }).add_use(row)?;
    }
    if let Some(last) = request {
        sum.add(&last)?;
    }
    sum.usage.cost = sum.cost.map(|cost| cost.to_string());
    Ok(sum.usage)
}

/// Every use of every request, request by request.
const ALL_USES: &str = "SELECT usage.request, segment.session, segment.no, usage.input_total, usage.cache_read,
  usage.cache_write, usage.output, usage.reasoning, usage.cost, usage.at_ms, usage.model,
  usage.seq, usage.cwd
  FROM usage JOIN segment ON segment.no = usage.segment";

/// Requests of the store once each, with the session that owns them, by name ascending: those whose names a query of the tables gives, or all.
pub(super) fn uses<P: Params>(db: &Connection, names: Option<&str>, parameters: P) -> rusqlite::Result<Vec<Use>> {
    let only = names.map_or_else(String::new, |names| format!(" WHERE usage.request IN ({names})"));
    let mut query = db.prepare_cached(&format!("{ALL_USES}{only} ORDER BY usage.request"))?;
    let (mut rows, mut ancestors, mut sessions) = (query.query(parameters)?, HashMap::new(), HashMap::new());
    let (mut uses, mut request) = (Vec::new(), None::<Request>);
    loop {
        let row = rows.next()?;
        let name = row.map(|row| row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)).transpose()?;
        if let Some(done) = request.take_if(|request| Some(request.name.as_str()) != name)
            && let Some(session) = owner(db, &done.holders, &mut ancestors)?
        {
            let (agent, latest) = match sessions.get(&session) {
                Some(known) => Clone::clone(known),
                None => sessions.entry(session).or_insert(of_whom(db, session)?).clone(),
            };
            // What was spent in a folder stays there when the session goes on in another one.
            let project = done.first_in.get(&session).and_then(|(.., folder)| folder.clone()).or(latest);
            let usage = LlmUsage { ts: done.first_ms, ..done.largest };
            uses.push(Use { request: done.name, session, agent, project, usage });
        }
        let (Some(row), Some(name)) = (row, name) else { return Ok(uses) };
        request.get_or_insert_with(|| Request { name: name.to_owned(), ..Request::default() }).add_use(row)?;
    }
}

/// The requests that a session owns, by name ascending.
pub(super) fn own(db: &Connection, session: SessionId) -> rusqlite::Result<Vec<Use>> {
    const HELD: &str = "SELECT held.request FROM segment AS holder JOIN usage AS held ON held.segment = holder.no
      WHERE holder.session = ?1";
    let mut uses = uses(db, Some(HELD), [session.to_string()])?;
    uses.retain(|one| one.session == session);
    Ok(uses)
}

/// The agent that wrote a session, and the folder it works in now.
fn of_whom(db: &Connection, session: SessionId) -> rusqlite::Result<(Option<String>, Option<String>)> {
    let mut query = db.prepare_cached(
        "SELECT agent, CASE WHEN summary <> '' THEN summary ->> 'cwd' END FROM session WHERE id = ?1",
    )?;
    let found = query.query_row([session.to_string()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.unwrap_or_default())
}

/// What a session used, as far as its requests were read.
struct Sum<'a> {
    db: &'a Connection,
    session: SessionId,
    rows: &'a [SegmentRow],
    usage: SessionUsage,
    ancestors: HashMap<SessionId, BTreeSet<SessionId>>,
    cost: Option<Decimal>,
    owned: u64,
}

impl Sum<'_> {
    fn add(&mut self, request: &Request) -> rusqlite::Result<()> {
        if owner(self.db, &request.holders, &mut self.ancestors)? != Some(self.session) {
            self.usage.inherited.add(&request.largest);
            return Ok(());
        }
        self.usage.own.add(&request.largest);
        if let Some(first) = self.rows.iter().find(|row| request.segments.contains(&row.no)) {
            self.usage.by_segment.entry(first.no).or_default().add(&request.largest);
        }
        let price = request.largest.cost.as_deref().and_then(Decimal::parse);
        self.cost = match (self.owned, self.cost, price) {
            (0, _, price) => price,
            (_, Some(sum), Some(price)) => Decimal::checked_add(sum, price),
            _ => None,
        };
        self.owned += 1;
        Ok(())
    }
}

impl Request {
    fn add_use(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let usage = read_usage(row, 3)?;
        let usage_ms = usage.ts;
        self.first_ms = if self.holders.is_empty() { usage.ts } else { self.first_ms.min(usage.ts) };
        if self.holders.is_empty() || rank(&usage) > rank(&self.largest) {
            self.largest = usage;
        }
        let holder = read_id(row, 1)?;
        let first = (usage_ms, to_u64(row.get(11)?), row.get(12)?);
        let known = self.first_in.entry(holder).or_insert_with(|| first.clone());
        if first < *known {
            *known = first;
        }
        self.holders.insert(holder);
        self.segments.insert(row.get(2)?);
        Ok(())
    }
}

/// What uses of one request are compared by. The texts of the rest make one order of uses that are equally large, whichever was read first.
pub(super) fn rank(usage: &LlmUsage) -> impl Ord + use<> {
    (usage_size(usage), usage.cost.clone(), usage.reasoning_tokens, usage.cache_read_tokens, usage.model.clone())
}

/// A use in the columns from `first` on, as every query here has them.
pub(super) fn read_usage(row: &Row<'_>, first: usize) -> rusqlite::Result<LlmUsage> {
    Ok(LlmUsage {
        input_total_tokens: to_u64(row.get(first)?),
        cache_read_tokens: to_u64(row.get(first + 1)?),
        cache_write_tokens: to_u64(row.get(first + 2)?),
        output_tokens: to_u64(row.get(first + 3)?),
        reasoning_tokens: row.get::<_, Option<i64>>(first + 4)?.map(to_u64),
        cost: row.get(first + 5)?,
        ts: to_u64(row.get(first + 6)?),
        model: row.get(first + 7)?,
        ..LlmUsage::default()
    })
}

/// The segments of other sessions that a session continues, each with the last seq that it does.
pub(super) fn continued(
    db: &Connection,
    session: SessionId,
    rows: &[SegmentRow],
) -> rusqlite::Result<BTreeMap<i64, Seq>> {
    let mut parts: BTreeMap<i64, Seq> = BTreeMap::new();
    for row in rows {
        let mut next = row.own.origin().copied();
        let mut passed = HashSet::from([row.id]);
        while let Some(origin) = next {
            if !passed.insert(origin.segment_id) {
                break;
            }
            let Some(parent) = SegmentRow::find(db, origin.segment_id)? else { break };
            if parent.session != session {
                let through = parts.entry(parent.no).or_default();
                *through = (*through).max(origin.seq);
            }
            next = parent.own.origin().copied();
        }
    }
    Ok(parts)
}

/// Who holds a request first.
pub(super) fn owner(
    db: &Connection,
    holders: &BTreeSet<SessionId>,
    ancestors: &mut HashMap<SessionId, BTreeSet<SessionId>>,
) -> rusqlite::Result<Option<SessionId>> {
    if holders.len() > 1 {
        for holder in holders {
            if !ancestors.contains_key(holder) {
                ancestors.insert(*holder, related(db, ANCESTORS, *holder)?);
            }
            let before = ancestors.get(holder);
            let follows = |other: &SessionId| before.is_some_and(|before| other != holder && before.contains(other));
            if !holders.iter().any(follows) {
                return Ok(Some(*holder));
            }
        }
    }
    Ok(holders.first().copied())
}

/// The sessions that a session continues, with those that they continue, and itself.
const ANCESTORS: &str = "WITH RECURSIVE found (id) AS (
    SELECT ?1 UNION SELECT segment.origin_session FROM found JOIN segment ON segment.session = found.id
    WHERE segment.origin_session IS NOT NULL) SELECT id FROM found";

/// The sessions that continue a session, with those that continue them, and itself.
const DESCENDANTS: &str = "WITH RECURSIVE found (id) AS (
    SELECT ?1 UNION SELECT segment.session FROM found JOIN segment ON segment.origin_session = found.id)
    SELECT id FROM found";

fn related(db: &Connection, query: &str, session: SessionId) -> rusqlite::Result<BTreeSet<SessionId>> {
    db.prepare_cached(query)?.query_map([session.to_string()], |row| read_id(row, 0))?.collect()
}

/// What a refresh did that may change whose a request is.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Requests of which uses went, or came beside others.
    pub(super) requests: HashSet<String>,
    /// Sessions that began or ceased to continue another one.
    pub(super) regrafted: BTreeSet<SessionId>,
}

impl Touched {
    /// Notes the requests of a segment whose uses are about to go.
    pub(super) fn note_segment(&mut self, db: &Connection, segment: i64) -> rusqlite::Result<()> {
        let mut query = db.prepare_cached("SELECT request FROM usage WHERE segment = ?1")?;
        for request in query.query_map([segment], |row| row.get(0))? {
            self.requests.insert(request?);
        }
        Ok(())
    }

    /// The sessions whose usage may differ now, beside those that changed themselves.
    pub(super) fn affected(&self, db: &Connection) -> rusqlite::Result<BTreeSet<SessionId>> {
        let mut affected = BTreeSet::new();
        for session in &self.regrafted {
            affected.extend(related(db, DESCENDANTS, *session)?);
        }
        let mut shared = BTreeSet::new();
        let mut sharers = db.prepare_cached(
            "SELECT DISTINCT other_segment.session FROM segment AS mine
             JOIN usage ON usage.segment = mine.no JOIN usage AS other ON other.request = usage.request
             JOIN segment AS other_segment ON other_segment.no = other.segment
             WHERE mine.session = ?1 AND other_segment.session <> ?1",
        )?;
        for session in &affected {
            for other in sharers.query_map([session.to_string()], |row| read_id::<SessionId>(row, 0))? {
                shared.insert(other?);
            }
        }
        let mut holders = db.prepare_cached(
            "SELECT DISTINCT segment.session FROM usage JOIN segment ON segment.no = usage.segment
             WHERE usage.request = ?1",
        )?;
        for request in &self.requests {
            for holder in holders.query_map([request], |row| read_id::<SessionId>(row, 0))? {
                shared.insert(holder?);
            }
        }
        for session in &shared {
            affected.extend(related(db, DESCENDANTS, *session)?);
        }
        affected.extend(shared);
        Ok(affected)
    }
}
