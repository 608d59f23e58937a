//! Writing what was found into the new database, as a repair would have left it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, params_from_iter};
use store_core::call::Prepared;
use store_core::chain::{self, Chain, ChainHead};
use store_core::integrity::{
    Checkpoint, CheckpointLine, Event, Planned, RepairPlan, RepairPlanner, Scanned, ScannedEntry, list_checkpoints,
};
use store_core::{BlobRef, Fact, LogEntry, Position, SegmentId, SegmentOrigin, Seq, SessionId, TraceEntry, json};

use super::find::{Finds, Spot, with_row};
use super::pages::Pages;
use super::rows::Row;
use super::{DatabaseSalvage, LostEntries};
use crate::error::Result;
use crate::side::SideTable;
use crate::{append, blobs, changes, integrity, row};

/// How much longer than twice its last valid entry a segment can have been.
const COUNT_BEYOND_MAX: u64 = 4096;

/// The new database, in the transaction that fills it.
pub(super) struct Writing<'a> {
    pub(super) transaction: &'a Connection,
    pub(super) pages: &'a Pages,
    pub(super) finds: &'a Finds,
}

/// What is known of a segment before it is written.
#[derive(Default)]
struct Known {
    session: Option<SessionId>,
    origin: Option<SegmentOrigin>,
    /// The greatest seq that anything says it had.
    at_least: u64,
}

impl Writing<'_> {
    pub(super) fn write(&self, salvage: &mut DatabaseSalvage) -> Result<()> {
        let mut sessions = BTreeSet::new();
        for (segment, known) in self.segments() {
            self.write_segment(segment, &known, &mut sessions, salvage)?;
        }
        salvage.sessions = sessions.len() as u64;
        self.write_facts(&sessions, salvage)?;
        self.write_events(salvage)?;
        self.write_quarantine(salvage)?;
        self.write_ledger(salvage)?;
        self.write_blobs(salvage)
    }

    /// Every segment that is there or that another one continues.
    fn segments(&self) -> BTreeMap<SegmentId, Known> {
        let mut all: BTreeMap<SegmentId, Known> = BTreeMap::new();
        for (segment, hint) in &self.finds.hints {
            let known = all.entry(*segment).or_default();
            let last = self.finds.entries.get(segment).and_then(|entries| entries.last_key_value());
            let at_least = believed(hint.entry_count, last.map_or(0, |(seq, _)| *seq));
            *known = Known { session: Some(hint.session), origin: hint.origin, at_least };
        }
        for (segment, entries) in &self.finds.entries {
            let known = all.entry(*segment).or_default();
            let start = entries.get(&1).and_then(|spot| self.text(*spot)).map(|(_, text)| LogEntry::from_text(&text));
            if let Some(Ok(LogEntry::SegmentStart(start))) = start {
                known.session = Some(start.session_id);
                known.origin = start.origin().copied();
            }
        }
        let origins: Vec<SegmentOrigin> = all.values().filter_map(|known| known.origin).collect();
        for origin in origins {
            let known = all.entry(origin.segment_id).or_default();
            known.at_least = known.at_least.max(origin.seq.0);
            known.session = known.session.or(Some(origin.session_id));
        }
        all
    }

    /// An entry's key and text.
    fn text(&self, spot: Spot) -> Option<(Option<String>, String)> {
        with_row(self.pages, spot, |row| match row {
            Row::Entry { key, text, .. } => Some((key.map(str::to_owned), (*text).to_owned())),
            _ => None,
        })?
    }

    fn write_segment(
        &self,
        segment: SegmentId,
        known: &Known,
        sessions: &mut BTreeSet<SessionId>,
        salvage: &mut DatabaseSalvage,
    ) -> Result<()> {
        let session = known.session.or_else(|| self.finds.session_of(segment)).unwrap_or_else(|| {
            salvage.without_session.push(segment);
            SessionId::from_bytes(*segment.as_bytes())
        });
        let none = BTreeMap::new();
        let entries = self.finds.entries.get(&segment).unwrap_or(&none);
        let lines = self.checkpoint_lines(segment, salvage);
        let plan = match self.plan((session, segment), known, entries, &lines) {
            Err(error) if error.is_corrupt() => {
                salvage.segments_lost.push(segment);
                return Ok(());
            }
            plan => plan?,
        };
        self.insert_owner(session, segment, known, sessions)?;
        let heads = self.insert_entries(segment, &plan, entries)?;
        for line in &still_true(lines, &heads) {
            integrity::insert_checkpoint_line(self.transaction, segment, line)?;
        }
        let traces = self.write_traces(segment, salvage)?;
        self.transaction
            .prepare_cached("UPDATE segments SET entry_count = ?2, trace_count = ?3 WHERE segment_id = ?1")?
            .execute((segment.as_bytes(), row::to_sql(plan.through().0), row::to_sql(traces)))?;
        salvage.segments += 1;
        salvage.entries += plan.kept.len() as u64;
        if !plan.lost.is_empty() {
            salvage.lost.push(LostEntries { session, segment, seqs: plan.lost });
        }
        Ok(())
    }

    fn plan(
        &self,
        (session, segment): (SessionId, SegmentId),
        known: &Known,
        entries: &BTreeMap<u64, Spot>,
        lines: &[CheckpointLine],
    ) -> Result<RepairPlan> {
        let mut planner = RepairPlanner::new(session, segment);
        let mut keys = HashSet::new();
        for (seq, spot) in entries {
            let Some((key, text)) = self.text(*spot) else { continue };
            // A key stands once: whoever has it second was taken out before.
            if key.as_ref().is_some_and(|key| !keys.insert(key.clone())) {
                continue;
            }
            let position = Position { seq: Seq(*seq), crc32c: 0 };
            let (key, offset, bytes) = (key.as_deref(), *seq, text.len() as u64);
            planner.add(&Scanned::Entry(ScannedEntry {
                position,
                key,
                text: &text,
                part: 1,
                offset,
                bytes,
                out_of_step: None,
            }));
        }
        let live = list_checkpoints(lines.iter().cloned()).into_iter().filter(|one| !one.void);
        let remembered = live.map(|one| one.checkpoint.seq.0).max().unwrap_or(0);
        Ok(planner.finish(Seq(known.at_least.max(remembered)), known.origin)?)
    }

    fn insert_owner(
        &self,
        session: SessionId,
        segment: SegmentId,
        known: &Known,
        sessions: &mut BTreeSet<SessionId>,
    ) -> Result<()> {
        let change = row::to_sql(changes::next(self.transaction)?);
        if sessions.insert(session) {
            self.transaction
                .prepare_cached("INSERT INTO sessions (session_id, fact_count, change) VALUES (?1, 0, ?2)")?
                .execute((session.as_bytes(), change))?;
        }
        let mut values = vec![segment.as_bytes().to_vec().into(), session.as_bytes().to_vec().into(), change.into()];
        values.extend(row::origin_values(known.origin.as_ref()));
        self.transaction
            .prepare_cached(
                "INSERT INTO segments (segment_id, session_id, entry_count, trace_count, change,
                     origin_session_id, origin_segment_id, origin_seq, origin_turn)
                 VALUES (?1, ?2, 0, 0, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params_from_iter(values))?;
        Ok(())
    }

    /// Writes the entries of a plan, and answers with the chain's head behind each.
    fn insert_entries(
        &self,
        segment: SegmentId,
        plan: &RepairPlan,
        entries: &BTreeMap<u64, Spot>,
    ) -> Result<HashMap<Seq, ChainHead>> {
        let (mut chain, mut heads) = (Chain::START, HashMap::new());
        for planned in plan.entries() {
            let entry = match planned {
                Planned::Lost(_, text) => integrity::prepared(text)?,
                Planned::Kept(kept) => {
                    let found = entries.get(&kept.seq.0).and_then(|spot| self.text(*spot));
                    let gone = || crate::error::damage(Some(segment), Some(kept.seq.0), "it could be read only once");
                    let (key, text) = found.ok_or_else(gone)?;
                    Prepared { key, ..integrity::prepared(text)? }
                }
            };
            append::insert(self.transaction, segment, chain.seq.0, &[&entry])?;
            chain.push(entry.text.as_str());
            heads.insert(chain.seq, chain.head);
        }
        Ok(heads)
    }

    /// The rows of an owner in order, and how many are missing between them.
    fn side_rows(
        &self,
        table: SideTable,
        owner: &[u8],
        salvage: &mut DatabaseSalvage,
    ) -> Vec<(String, Option<String>)> {
        let Some(rows) = self.finds.sides.get(&table).and_then(|owners| owners.get(owner)) else { return Vec::new() };
        let read = |spot: &Spot| {
            with_row(self.pages, *spot, |row| match row {
                Row::Side { body, domain, .. } => Some(((*body).to_owned(), domain.map(str::to_owned))),
                _ => None,
            })?
        };
        let found: Vec<_> = rows.values().filter_map(read).collect();
        let last = rows.last_key_value().map_or(0, |(seq, _)| *seq);
        salvage.side_rows += found.len() as u64;
        salvage.side_rows_lost += last.saturating_sub(found.len() as u64);
        found
    }

    fn checkpoint_lines(&self, segment: SegmentId, salvage: &mut DatabaseSalvage) -> Vec<CheckpointLine> {
        let rows = self.side_rows(SideTable::Checkpoints, segment.as_bytes(), salvage);
        rows.iter().filter_map(|(body, _)| json::from_str(body).ok()).collect()
    }

    fn write_traces(&self, segment: SegmentId, salvage: &mut DatabaseSalvage) -> Result<u64> {
        let mut seq = 0;
        for (body, _) in self.side_rows(SideTable::Traces, segment.as_bytes(), salvage) {
            if json::from_str::<TraceEntry>(&body).is_ok() {
                seq += 1;
                let crc32c = SideTable::Traces.checksum(segment.as_bytes(), seq, &body);
                self.transaction
                    .prepare_cached("INSERT INTO traces (segment_id, seq, body, crc32c) VALUES (?1, ?2, ?3, ?4)")?
                    .execute((segment.as_bytes(), row::to_sql(seq), body, crc32c))?;
            }
        }
        Ok(seq)
    }

    fn write_facts(&self, sessions: &BTreeSet<SessionId>, salvage: &mut DatabaseSalvage) -> Result<()> {
        let Some(owners) = self.finds.sides.get(&SideTable::Facts) else { return Ok(()) };
        for (owner, rows) in owners {
            let session = <[u8; 16]>::try_from(owner.as_slice()).ok().map(SessionId::from_bytes);
            if !owner.is_empty() && !session.is_some_and(|session| sessions.contains(&session)) {
                salvage.side_rows_lost += rows.len() as u64;
                continue;
            }
            let mut seq = 0;
            for (body, _) in self.side_rows(SideTable::Facts, owner, salvage) {
                let Ok(fact) = json::from_str::<Fact>(&body) else { continue };
                seq += 1;
                let crc32c = SideTable::Facts.checksum(owner, seq, &body);
                self.transaction
                    .prepare_cached("INSERT INTO facts (scope, seq, domain, body, crc32c) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute((owner, row::to_sql(seq), fact.domain, body, crc32c))?;
            }
            match session {
                None => self.transaction.execute("UPDATE store SET fact_count = ?1", [row::to_sql(seq)])?,
                Some(session) => self.transaction.execute(
                    "UPDATE sessions SET fact_count = ?2 WHERE session_id = ?1",
                    (session.as_bytes(), row::to_sql(seq)),
                )?,
            };
        }
        Ok(())
    }

    fn write_events(&self, salvage: &mut DatabaseSalvage) -> Result<()> {
        for (body, _) in self.side_rows(SideTable::Events, &[], salvage) {
            if let Ok(event) = Event::from_text(&body) {
                integrity::insert_event(self.transaction, &event)?;
            }
        }
        Ok(())
    }

    fn write_quarantine(&self, salvage: &mut DatabaseSalvage) -> Result<()> {
        for spot in self.finds.quarantine.values() {
            let written = with_row(self.pages, *spot, |row| match *row {
                Row::Quarantined { migration_id, segment, seq, values, .. } if self.is_there(segment)? => {
                    integrity::quarantine_row(self.transaction, &migration_id, segment, seq, values).map(|_| true)
                }
                _ => Ok(false),
            });
            match written.transpose()? {
                Some(true) => salvage.side_rows += 1,
                _ => salvage.side_rows_lost += 1,
            }
        }
        Ok(())
    }

    fn is_there(&self, segment: SegmentId) -> Result<bool> {
        Ok(crate::read::find_segment(self.transaction, segment)?.is_some())
    }

    fn write_blobs(&self, salvage: &mut DatabaseSalvage) -> Result<()> {
        for (sha256, parts) in &self.finds.blobs {
            let mut bytes = Vec::new();
            for spot in parts.values() {
                with_row(self.pages, *spot, |row| {
                    if let Row::BlobPart { data, .. } = row {
                        bytes.extend_from_slice(data);
                    }
                });
            }
            if chain::sha256_hex(&bytes) == *sha256 {
                let reference = BlobRef { sha256: sha256.clone(), bytes: bytes.len() as u64 };
                blobs::insert(self.transaction, &reference, &bytes)?;
                salvage.blobs += 1;
            } else {
                salvage.blobs_lost.push(sha256.clone());
            }
        }
        Ok(())
    }
}

/// How many entries a segment had whose last valid one is `last`. A count has no checksum: one that is far beyond what is there is not believed.
fn believed(count: u64, last: u64) -> u64 {
    if count > last.saturating_mul(2).saturating_add(COUNT_BEYOND_MAX) { last } else { count }
}

/// The lines of a record of checkpoints, and one more that makes void those that are not true of the log.
fn still_true(mut lines: Vec<CheckpointLine>, heads: &HashMap<Seq, ChainHead>) -> Vec<CheckpointLine> {
    let holds = |checkpoint: &Checkpoint| heads.get(&checkpoint.seq) == Some(&checkpoint.head);
    let listed = list_checkpoints(lines.iter().cloned());
    let live = listed.iter().filter(|one| !one.void).map(|one| &one.checkpoint);
    if let Some(first) = live.filter(|checkpoint| !holds(checkpoint)).map(|checkpoint| checkpoint.number).min() {
        lines.push(CheckpointLine::Void { void_after: first - 1 });
    }
    lines
}
