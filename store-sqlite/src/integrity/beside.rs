//! Repairing what lies beside the logs, in one transaction: rows that are not as they were written go, those that are left are numbered
//! and counted anew.
//!
//! What is taken out of what belongs to a session lies in `quarantine`, with a segment of that session, and goes with it. What belongs to the store lies in the event itself,
//! because nothing else outlives every session.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::{Value, json};
use store_core::integrity::{
    MaintenanceOptions, Quarantined, RecordAt, RecordKind, RecordRepair, list_checkpoints, void_untrue,
};
use store_core::{Durability, Fact, FactScope, MigrationId, SegmentId, SessionId, StoreError, json as read_json};

use super::scan::scan_in;
use super::transaction::{length, quarantine_row, unless_dry};
use super::{checkpoint, event};
use crate::connection::Connections;
use crate::error::Result;
use crate::side::SideTable;
use crate::{changes, facts, read, row};

pub(super) fn repair(
    connections: &Connections,
    session: Option<SessionId>,
    options: &MaintenanceOptions,
) -> store_core::Result<Vec<RecordRepair>> {
    let done = connections.writer()?.write_alone(Durability::Synced, |transaction| {
        unless_dry(transaction, options.dry_run, || repair_all(transaction, session, options))
    })?;
    Ok(done)
}

fn repair_all(
    transaction: &Connection,
    session: Option<SessionId>,
    options: &MaintenanceOptions,
) -> Result<Vec<RecordRepair>> {
    let mut records = Vec::new();
    match session {
        Some(session) if !read::has_session(transaction, session)? => {
            return Err(StoreError::no_session(session).into());
        }
        Some(session) => {
            records.push(RecordAt::facts(Some(session)));
            for segment in read::segments_of(transaction, session)? {
                records.extend([RecordAt::traces(session, segment), RecordAt::checkpoints(session, segment)]);
            }
        }
        // What is done to any other is written there.
        None => records.extend([RecordAt::EVENTS, RecordAt::facts(None)]),
    }
    let mut done = Vec::new();
    for at in records {
        let record = Record::of(at);
        if !record.is_whole(transaction)? {
            done.push(record.repair(transaction, options)?);
        }
    }
    Ok(done)
}

/// The rows of one owner in one table.
struct Record {
    at: RecordAt,
    table: SideTable,
    owner: Vec<u8>,
}

/// What of a record is kept and what goes.
#[derive(Default)]
struct Sorted {
    /// The seqs of rows that are kept, in order.
    kept: Vec<i64>,
    /// The seqs of rows that go, with what stands in them, for a person.
    gone: Vec<(i64, Value)>,
    quarantined: Vec<Quarantined>,
}

impl Record {
    fn of(at: RecordAt) -> Self {
        let table = match at.record {
            RecordKind::Facts => SideTable::Facts,
            RecordKind::Traces => SideTable::Traces,
            RecordKind::Checkpoints => SideTable::Checkpoints,
            RecordKind::Events => SideTable::Events,
        };
        let owner = match (at.segment, at.session) {
            (Some(segment), _) => segment.as_bytes().to_vec(),
            (None, Some(session)) => session.as_bytes().to_vec(),
            (None, None) => Vec::new(),
        };
        Self { at, table, owner }
    }

    /// Whether everybody can read it.
    fn is_whole(&self, connection: &Connection) -> Result<bool> {
        let checked = match (self.at.record, self.at.segment) {
            (RecordKind::Facts, _) => {
                super::examine::check_facts(connection, self.at.session.map_or(FactScope::Store, FactScope::Session))
            }
            (RecordKind::Events, _) => event::read(connection).map(drop),
            (RecordKind::Checkpoints, Some(segment)) => checkpoint::lines(connection, segment).map(drop),
            (RecordKind::Traces, Some(segment)) => self.check_traces(connection, segment),
            (RecordKind::Checkpoints | RecordKind::Traces, None) => Ok(()),
        };
        match checked {
            Err(error) if error.is_corrupt() => Ok(false),
            checked => checked.map(|()| true),
        }
    }

    fn check_traces(&self, connection: &Connection, segment: SegmentId) -> Result<()> {
        let Some(session) = self.at.session else { return Ok(()) };
        let count = read::segment_of(connection, session, segment)?.trace_count;
        let read = self.table.read::<store_core::TraceEntry>(connection, &self.owner, Some(segment), count);
        read.map(drop)
    }

    /// The count that its owner keeps.
    fn counted(&self, connection: &Connection) -> Result<u64> {
        match (self.at.record, self.at.session, self.at.segment) {
            (RecordKind::Facts, session, _) => {
                facts::count(connection, session.map_or(FactScope::Store, FactScope::Session))
            }
            (RecordKind::Events, ..) => event::count(connection),
            (RecordKind::Checkpoints, _, Some(segment)) => checkpoint::count(connection, segment),
            (RecordKind::Traces, Some(session), Some(segment)) => {
                Ok(read::segment_of(connection, session, segment)?.trace_count)
            }
            _ => Ok(0),
        }
    }

    fn repair(&self, transaction: &Connection, options: &MaintenanceOptions) -> Result<RecordRepair> {
        let migration_id = MigrationId::mint(options.now);
        // A count has no checksum, and may be what is wrong.
        let counted = self.counted(transaction).unwrap_or(0);
        let sorted = self.sort(transaction, migration_id)?;
        for (seq, _) in &sorted.gone {
            let sql = format!("DELETE FROM {} WHERE {} AND seq = ?2", self.table.name(), self.table.owned());
            transaction.prepare_cached(&sql)?.execute((&self.owner, seq))?;
        }
        let kept = sorted.kept.len() as u64;
        let last = sorted.kept.last().map_or(0, |last| u64::try_from(*last).unwrap_or(0));
        self.renumber(transaction, &sorted.kept)?;
        self.count(transaction, kept)?;
        if let (RecordKind::Checkpoints, Some(segment)) = (self.at.record, self.at.segment) {
            let listed = list_checkpoints(checkpoint::lines(transaction, segment)?);
            if let Some(void) = void_untrue(&listed, |visit| scan_in(transaction, segment, visit))? {
                checkpoint::insert(transaction, segment, &void)?;
            }
        }
        // A count beyond what was there by more than that is what is wrong.
        let believed = if counted > last.saturating_mul(2).saturating_add(4096) { last } else { counted };
        let mut done = RecordRepair {
            migration_id,
            at: self.at,
            kept,
            lost: believed.max(last).saturating_sub(kept).max(sorted.gone.len() as u64),
            quarantined: sorted.quarantined,
        };
        if options.dry_run {
            done.quarantined.iter_mut().for_each(|taken| taken.path = None);
            return Ok(done);
        }
        self.record(transaction, &mut done, sorted.gone, options)?;
        Ok(done)
    }

    /// Looks at every row, and puts those that go into quarantine, if they are of a session.
    fn sort(&self, transaction: &Connection, id: MigrationId) -> Result<Sorted> {
        let mut sorted = Sorted::default();
        let holder = match (self.at.segment, self.at.session) {
            (Some(segment), _) => Some(segment),
            (None, Some(session)) => read::segments_of(transaction, session)?.into_iter().min(),
            (None, None) => None,
        };
        let domain = if self.table == SideTable::Facts { "domain" } else { "NULL" };
        let sql = format!(
            "SELECT seq, body, crc32c, {domain} FROM {} WHERE {} ORDER BY seq",
            self.table.name(),
            self.table.owned()
        );
        let mut statement = transaction.prepare(&sql)?;
        let mut rows = statement.query([&self.owner])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            if self.is_valid(row) {
                sorted.kept.push(seq);
                continue;
            }
            let values = [row.get_ref(3)?, row.get_ref(1)?, row.get_ref(2)?];
            let path = match holder {
                Some(segment) => {
                    let number = quarantine_row(transaction, id.as_bytes(), segment, seq, values)?;
                    Some(format!("quarantine {number}"))
                }
                None => None,
            };
            let offset = u64::try_from(seq).unwrap_or(0);
            sorted.quarantined.push(Quarantined { part: 1, offset, bytes: length(&values[1]), path });
            let [domain, body, crc32c] = values.map(told);
            sorted.gone.push((seq, json!({"seq": seq, "domain": domain, "body": body, "crc32c": crc32c})));
        }
        Ok(sorted)
    }

    fn is_valid(&self, row: &Row<'_>) -> bool {
        let (Ok(seq), Ok(ValueRef::Text(body)), Ok(ValueRef::Integer(stored))) =
            (row::number(row, 0), row.get_ref(1), row.get_ref(2))
        else {
            return false;
        };
        let Ok(body) = std::str::from_utf8(body) else { return false };
        let is_true = seq > 0 && i64::from(self.table.checksum(&self.owner, seq, body)) == stored;
        is_true && self.at.record.check(body).is_ok()
    }

    /// Gives the rows that are left the numbers from 1, in their order, and facts the domain that their text says.
    fn renumber(&self, transaction: &Connection, kept: &[i64]) -> Result<()> {
        let (name, owned) = (self.table.name(), self.table.owned());
        for (new, old) in (1_u64..).zip(kept) {
            let select = format!("SELECT body FROM {name} WHERE {owned} AND seq = ?2");
            let body: String = transaction.prepare_cached(&select)?.query_row((&self.owner, old), |row| row.get(0))?;
            let crc32c = self.table.checksum(&self.owner, new, &body);
            if row::to_sql(new) != *old {
                let update = format!("UPDATE {name} SET seq = ?3, crc32c = ?4 WHERE {owned} AND seq = ?2");
                transaction.prepare_cached(&update)?.execute((&self.owner, old, row::to_sql(new), crc32c))?;
            }
            if self.table == SideTable::Facts {
                let fact: Fact = read_json::from_str(&body).map_err(StoreError::backend)?;
                transaction.prepare_cached("UPDATE facts SET domain = ?3 WHERE scope = ?1 AND seq = ?2")?.execute((
                    &self.owner,
                    row::to_sql(new),
                    fact.domain,
                ))?;
            }
        }
        Ok(())
    }

    /// Says at the owner how many rows there are.
    fn count(&self, transaction: &Connection, kept: u64) -> Result<()> {
        let change = match (self.at.record, self.at.session) {
            (RecordKind::Facts, Some(_)) => Some(row::to_sql(changes::next(transaction)?)),
            _ => None,
        };
        let sql = match (self.at.record, self.at.session) {
            (RecordKind::Facts, None) => "UPDATE store SET fact_count = ?1 WHERE id = 1",
            (RecordKind::Facts, Some(_)) => "UPDATE sessions SET fact_count = ?1, change = ?3 WHERE session_id = ?2",
            (RecordKind::Events, _) => "UPDATE store SET event_count = ?1 WHERE id = 1",
            (RecordKind::Traces, _) => "UPDATE segments SET trace_count = ?1 WHERE segment_id = ?2",
            (RecordKind::Checkpoints, _) => "UPDATE segments SET checkpoint_count = ?1 WHERE segment_id = ?2",
        };
        let mut values: Vec<rusqlite::types::Value> = vec![row::to_sql(kept).into()];
        if !self.owner.is_empty() {
            values.push(self.owner.clone().into());
        }
        values.extend(change.map(Into::into));
        transaction.prepare_cached(sql)?.execute(params_from_iter(values))?;
        Ok(())
    }

    /// Records what was done. What was taken out of what belongs to the store is told with it.
    fn record(
        &self,
        transaction: &Connection,
        done: &mut RecordRepair,
        gone: Vec<(i64, Value)>,
        options: &MaintenanceOptions,
    ) -> Result<()> {
        if self.at.session.is_none() && !gone.is_empty() {
            let number = event::count(transaction)? + 1;
            done.quarantined.iter_mut().for_each(|taken| taken.path = Some(format!("event {number}")));
            let rows: Vec<Value> = gone.into_iter().map(|(_, row)| row).collect();
            let mut event = serde_json::to_value(done.to_event(options)).map_err(StoreError::backend)?;
            event["rows"] = rows.into();
            return event::insert_text(transaction, &event.to_string());
        }
        event::insert(transaction, &done.to_event(options))
    }
}

/// A value as an event tells it: bytes that are no text in hexadecimal digits.
fn told(value: ValueRef<'_>) -> Value {
    let hex = |bytes: &[u8]| json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()});
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_or_else(|_| hex(bytes), Into::into),
        ValueRef::Blob(bytes) => hex(bytes),
    }
}
