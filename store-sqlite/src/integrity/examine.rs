//! What is wrong beside the logs: of a session its facts and what its segments carry, of the store SQLite's own checks, the store's row,
//! events, blobs and permissions.
//!
//! Every piece of a database that is not free is covered by something: texts by a checksum, ids and changes by an index that SQLite holds against
//! the rows, counts by what they count, the other columns by the texts that they repeat, the schema by the migrations.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use store_core::integrity::{Finding, FindingKind};
use store_core::{Fact, FactScope, SegmentId, SessionId, StoreError, TraceEntry};

use super::transaction::quarantine_checksum;
use super::{checkpoint, columns, event};
use crate::connection::Connections;
use crate::disk::Place;
use crate::error::{Error, Result, damage};
use crate::side::SideTable;
use crate::{blobs, facts, read, row, schema};

/// How many lines of SQLite's own check are told.
const LINES_MAX: u32 = 100;

pub(super) fn examine(connections: &Connections, session: Option<SessionId>) -> Result<Vec<Finding>> {
    if let Some(session) = session {
        return connections.read(|connection| of_session(connection, session));
    }
    let mut findings = connections.read(of_store)?;
    findings.extend(permissions(connections.place())?);
    Ok(findings)
}

/// Findings as they come up. A check that meets damage is over, the others go on.
#[derive(Default)]
struct Found {
    session: Option<SessionId>,
    findings: Vec<Finding>,
}

impl Found {
    fn tell(&mut self, kind: FindingKind, checked: Result<()>) -> Result<()> {
        match checked {
            Err(error) if error.is_corrupt() => match StoreError::from(error) {
                StoreError::Corrupt(damage) => {
                    self.findings.push(Finding::of_damage(self.session, kind, damage));
                    Ok(())
                }
                error => Err(error.into()),
            },
            checked => checked,
        }
    }

    fn push(&mut self, kind: FindingKind, detail: impl Into<String>) {
        self.findings.push(Finding { session_id: self.session, ..Finding::of_store(kind, detail) });
    }
}

fn of_session(connection: &Connection, session: SessionId) -> Result<Vec<Finding>> {
    if !read::has_session(connection, session)? {
        return Err(StoreError::no_session(session).into());
    }
    let mut found = Found { session: Some(session), findings: Vec::new() };
    let facts = check_facts(connection, FactScope::Session(session));
    found.tell(FindingKind::Checksum, facts)?;
    for segment in read::segments_of(connection, session)? {
        let checked = check_segment(connection, session, segment, &mut found);
        found.tell(FindingKind::Checksum, checked)?;
    }
    Ok(found.findings)
}

fn check_segment(connection: &Connection, session: SessionId, segment: SegmentId, found: &mut Found) -> Result<()> {
    let row = read::segment_of(connection, session, segment)?;
    let traces = SideTable::Traces.read::<TraceEntry>(connection, segment.as_bytes(), Some(segment), row.trace_count);
    found.tell(FindingKind::Checksum, traces.map(drop))?;
    found.tell(FindingKind::Checksum, checkpoint::lines(connection, segment).map(drop))?;
    found.tell(FindingKind::Checksum, check_quarantine(connection, segment))?;
    found.tell(FindingKind::Projection, read::check_end(connection, segment, row.entry_count))?;
    let out_of_step = columns::segment_out_of_step(connection, session, segment);
    let out_of_step = out_of_step.map(|findings| found.findings.extend(findings));
    found.tell(FindingKind::Projection, out_of_step)
}

fn check_quarantine(connection: &Connection, segment: SegmentId) -> Result<()> {
    if !schema::has_integrity(connection)? {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "SELECT number, migration_id, seq, key, body, row_crc32c, crc32c FROM quarantine WHERE segment_id = ?1",
    )?;
    let mut rows = statement.query([segment.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let (number, seq, stored): (i64, i64, i64) = (row.get(0)?, row.get(2)?, row.get(6)?);
        let id = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let values: [ValueRef<'_>; 3] = [row.get_ref(3)?, row.get_ref(4)?, row.get_ref(5)?];
        if i64::from(quarantine_checksum(number, id, segment.as_bytes(), seq, values)) != stored {
            return Err(damage(Some(segment), None, format!("quarantine {number} is not what was put there")).into());
        }
    }
    Ok(())
}

/// The facts of a scope are as they were written, and each has its domain beside it.
pub(super) fn check_facts(connection: &Connection, scope: FactScope) -> Result<()> {
    let owner = facts::scope_bytes(&scope);
    let facts: Vec<Fact> = SideTable::Facts.read(connection, owner, None, facts::count(connection, scope)?)?;
    let mut statement = connection.prepare_cached("SELECT domain FROM facts WHERE scope = ?1 ORDER BY seq")?;
    let domains = statement.query_map([owner], |row| row.get::<_, String>(0))?;
    for (seq, (fact, domain)) in (1..).zip(facts.iter().zip(domains)) {
        if fact.domain != domain? {
            return Err(damage(None, Some(seq), "facts: the row's domain is not that of its text").into());
        }
    }
    Ok(())
}

fn of_store(connection: &Connection) -> Result<Vec<Finding>> {
    let mut found = Found::default();
    let mut findings = Vec::new();
    found.tell(FindingKind::Structure, check_schema(connection, &mut findings))?;
    found.tell(FindingKind::Structure, check_structure(connection, &mut findings))?;
    findings.drain(..).for_each(|detail| found.push(FindingKind::Structure, detail));
    found.tell(FindingKind::Checksum, check_facts(connection, FactScope::Store))?;
    found.tell(FindingKind::Checksum, event::read(connection).map(drop))?;
    found.tell(FindingKind::Projection, check_rows(connection, &mut findings))?;
    findings.drain(..).for_each(|detail| found.push(FindingKind::Projection, detail));
    let blobs = check_blobs(connection, &mut findings);
    found.tell(FindingKind::Blob, blobs)?;
    findings.drain(..).for_each(|detail| found.push(FindingKind::Blob, detail));
    Ok(found.findings)
}

/// The head and the tables are those that the migrations made.
fn check_schema(connection: &Connection, findings: &mut Vec<String>) -> Result<()> {
    let format = schema::format(connection)?;
    if format.application_id != schema::APPLICATION_ID {
        findings.push(format!("the application id is {:#010X}", format.application_id));
    }
    // What a newer version has nobody knows here.
    if format.user_version > schema::VERSION {
        return Ok(());
    }
    let (found, made) = (schema::objects(connection)?, schema::objects_of(format.user_version)?);
    let told = |(kind, name, ..): &schema::Object| {
        format!("the {kind} {name} is not as version {} makes it", format.user_version)
    };
    findings.extend(found.iter().filter(|object| !made.contains(object)).map(told));
    findings.extend(made.iter().filter(|object| !found.contains(object)).map(told));
    findings.sort_unstable();
    findings.dedup();
    Ok(())
}

/// SQLite's own checks: pages, the order of rows, every index against its table, the types of columns, references between tables.
fn check_structure(connection: &Connection, findings: &mut Vec<String>) -> Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({LINES_MAX})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            findings.push(format!("integrity_check: {line}"));
        }
    }
    findings.extend(orphans(connection)?);
    Ok(())
}

/// Rows whose segment, session or blob has no row.
fn orphans(connection: &Connection) -> Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT \"table\", \"parent\", count(*) FROM pragma_foreign_key_check GROUP BY 1, 2")?;
    let mut rows = statement.query([])?;
    let mut told = Vec::new();
    while let Some(row) = rows.next()? {
        let (table, parent, count): (String, String, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        told.push(format!("{count} rows of {table} belong to nothing in {parent}"));
    }
    Ok(told)
}

/// Refuses a database in which rows are left of a segment or session whose own row is gone: nobody lists it, and what it referred to is not known.
pub(super) fn refuse_lost(connection: &Connection) -> Result<()> {
    let mut told = orphans(connection)?;
    told.extend(without_each_other(connection)?);
    let short = count(
        connection,
        "SELECT count(*) FROM segments WHERE entry_count <>
           ifnull((SELECT max(seq) FROM entries WHERE entries.segment_id = segments.segment_id), 0)",
    )?;
    if short > 0 {
        told.push(format!("{short} segments count other entries than they have"));
    }
    match told.into_iter().next() {
        Some(detail) => Err(damage(None, None, detail).into()),
        None => Ok(()),
    }
}

/// Rows that stand for each other.
fn check_rows(connection: &Connection, findings: &mut Vec<String>) -> Result<()> {
    findings.extend(without_each_other(connection)?);
    let both = count(connection, "SELECT count(*) FROM sessions JOIN deleted_sessions USING (session_id)")?;
    if both > 0 {
        findings.push(format!("{both} sessions are there and deleted"));
    }
    let last = count(connection, "SELECT last_change FROM store WHERE id = 1")?;
    let taken = count(
        connection,
        "SELECT max(ifnull((SELECT max(change) FROM segments), 0), ifnull((SELECT max(change) FROM sessions), 0),
                    ifnull((SELECT max(change) FROM deleted_sessions), 0))",
    )?;
    if last != taken {
        findings.push(format!("the last change is said to be {last}, and is {taken}"));
    }
    Ok(())
}

fn count(connection: &Connection, sql: &str) -> Result<u64> {
    connection.prepare(sql)?.query_row([], |row| Ok(row::number(row, 0)))?
}

/// Sessions that have lost their segments, and facts that have lost their session.
fn without_each_other(connection: &Connection) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let alone = count(
        connection,
        "SELECT count(*) FROM sessions WHERE NOT EXISTS (SELECT 1 FROM segments WHERE segments.session_id = sessions.session_id)",
    )?;
    if alone > 0 {
        findings.push(format!("{alone} sessions have no segment"));
    }
    let alone = count(
        connection,
        "SELECT count(*) FROM facts WHERE length(scope) > 0 AND scope NOT IN (SELECT session_id FROM sessions)",
    )?;
    if alone > 0 {
        findings.push(format!("{alone} facts belong to no session"));
    }
    Ok(findings)
}

fn check_blobs(connection: &Connection, findings: &mut Vec<String>) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT sha256 FROM blobs ORDER BY sha256")?;
    let all = statement.query_map([], |row| row.get::<_, String>(0))?;
    for sha256 in all {
        match blobs::verify(connection, &sha256?) {
            Ok(_) => {}
            Err(error) if error.is_corrupt() => findings.push(told(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn told(error: Error) -> String {
    match StoreError::from(error) {
        StoreError::Corrupt(damage) => damage.detail,
        error => error.to_string(),
    }
}

fn permissions(place: &Place) -> Result<Vec<Finding>> {
    let told = |(path, mode): (std::path::PathBuf, u32)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Finding::of_store(FindingKind::Permission, format!("{name} has permissions {mode:04o}: others may use it"))
    };
    Ok(place.too_open()?.into_iter().map(told).collect())
}
