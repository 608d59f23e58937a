//! What a person means by an id: a session, a segment, an agent's own id, a title, or `@last`.

use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde::{Deserialize, Serialize};
use store_core::{SegmentId, SessionId, TimestampMs};

use super::list::{IN_FOLDER, folder_values};
use super::rows::{read_id, read_json};
use super::summary::SessionSummary;

/// The newest conversation.
const LAST: &str = "@last";

/// How much of an id must be given.
pub(super) const PARTIAL_CHARS_MIN: usize = 4;

/// How long a UUID is with its hyphens.
const UUID_CHARS: usize = 36;

/// Whose titles are names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Titled {
    /// Of conversations that are not in the trash.
    InUse,
    /// Of those that are.
    InTrash,
}

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session.
    pub session: SessionId,
    /// The named segment; the session's current leaf, as the store has it now, where no segment was named.
    pub segment: SegmentId,
    /// A segment was named, not a session.
    pub exact_segment: bool,
}

/// One of several conversations that an id may mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its session.
    pub session_id: SessionId,
    /// The segment that the id would mean there.
    pub segment_id: SegmentId,
    /// Its title.
    pub title: Option<String>,
    /// The agent that wrote it.
    pub agent: Option<String>,
    /// That agent's own id of it.
    pub native_id: Option<String>,
    /// The folder in which it works.
    pub cwd: Option<String>,
    /// Time of its latest entry.
    #[serde(with = "super::time::rfc3339")]
    pub updated_at: TimestampMs,
}

/// What became of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It names this.
    Found(Target),
    /// It may mean each of these, newest first.
    Ambiguous(Vec<Candidate>),
    /// It names nothing.
    NotFound,
}

/// Looks an id up; a title counts in the folder first, then everywhere. What is found as it stands wins over what it may be
/// another way of writing.
pub(super) fn resolve(
    db: &Connection,
    text: &str,
    folder: Option<&str>,
    among: Titled,
) -> rusqlite::Result<Resolution> {
    if text == LAST {
        return Ok(last(db)?.map_or(Resolution::NotFound, Resolution::Found));
    }
    let mut targets = by_id(db, "ids.name = ?1", text)?;
    if targets.is_empty() {
        targets = by_title(db, text, folder, among)?;
        targets.extend(by_part(db, text)?);
    }
    for usual in usual_forms(text) {
        if targets.is_empty() {
            targets = by_id(db, "ids.name = ?1", &usual)?;
        }
        if targets.is_empty() {
            targets = by_part(db, &usual)?;
        }
    }
    decide(db, targets)
}

/// The forms in which ids are kept that a UUID, or the beginning or end of one, may be meant as: it was written in upper case, or
/// without hyphens from its beginning on. The text itself is not among them.
pub fn usual_forms(text: &str) -> Vec<String> {
    if !text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
        return Vec::new();
    }
    let lower = text.to_ascii_lowercase();
    let mut grouped = String::with_capacity(UUID_CHARS);
    for digit in lower.chars().filter(|digit| *digit != '-') {
        if matches!(grouped.len(), 8 | 13 | 18 | 23) {
            grouped.push('-');
        }
        grouped.push(digit);
    }
    let mut forms = vec![lower, grouped];
    forms.retain(|form| form != text && form.len() <= UUID_CHARS);
    forms.dedup();
    forms
}

/// What the beginning or the end of an id names.
fn by_part(db: &Connection, text: &str) -> rusqlite::Result<Vec<Target>> {
    if text.chars().count() < PARTIAL_CHARS_MIN {
        return Ok(Vec::new());
    }
    // A range, so that a prefix is found by the tables' order; nothing sorts behind the last character.
    let mut targets = by_id(db, "ids.name BETWEEN ?1 AND ?1 || char(0x10FFFF)", text)?;
    targets.extend(by_id(db, "substr(ids.name, -length(?1)) = ?1", text)?);
    Ok(targets)
}

/// A conversation of the layout in which a session had one segment, with its own id, is named by that id, also when it has more segments
/// since: the id means the session, as any session's does.
fn without_namesakes(mut targets: Vec<Target>) -> Vec<Target> {
    let sessions: HashSet<SessionId> =
        targets.iter().filter(|target| !target.exact_segment).map(|target| target.session).collect();
    let is_namesake = |target: &Target| target.segment.as_bytes() == target.session.as_bytes();
    targets.retain(|target| !(target.exact_segment && is_namesake(target) && sessions.contains(&target.session)));
    targets
}

fn decide(db: &Connection, targets: Vec<Target>) -> rusqlite::Result<Resolution> {
    let targets = without_namesakes(targets);
    let mut distinct: Vec<Target> = Vec::new();
    for target in targets {
        match distinct.iter_mut().find(|known| (known.session, known.segment) == (target.session, target.segment)) {
            Some(known) => known.exact_segment &= target.exact_segment,
            None => distinct.push(target),
        }
    }
    match distinct.as_slice() {
        [] => Ok(Resolution::NotFound),
        [only] => Ok(Resolution::Found(*only)),
        several => {
            let mut candidates = Vec::with_capacity(several.len());
            for target in several {
                candidates.extend(candidate(db, target)?);
            }
            candidates.sort_by_key(|one| std::cmp::Reverse((one.updated_at, one.session_id, one.segment_id)));
            Ok(Resolution::Ambiguous(candidates))
        }
    }
}

fn candidate(db: &Connection, target: &Target) -> rusqlite::Result<Option<Candidate>> {
    Ok(summary(db, target.session)?.map(|row| Candidate {
        session_id: row.session_id,
        segment_id: target.segment,
        title: row.title,
        agent: row.agent,
        native_id: row.native_id,
        cwd: row.cwd,
        updated_at: row.updated_at,
    }))
}

/// The row of a session.
pub(super) fn summary(db: &Connection, session: SessionId) -> rusqlite::Result<Option<SessionSummary>> {
    let mut query = db.prepare_cached("SELECT summary FROM session WHERE id = ?1 AND summary <> ''")?;
    query.query_row([session.to_string()], |row| read_json(row, 0)).optional()
}

/// What an id of any kind that fits a condition names.
fn by_id(db: &Connection, condition: &str, text: &str) -> rusqlite::Result<Vec<Target>> {
    let sql = format!(
        "WITH ids (name, session, segment) AS (
           SELECT id, id, NULL FROM session
           UNION ALL SELECT id, session, id FROM segment
           UNION ALL SELECT native_id, session, NULL FROM segment WHERE native_id IS NOT NULL)
         SELECT DISTINCT ids.session, ids.segment, session.summary ->> 'segment_id'
         FROM ids JOIN session ON session.id = ids.session WHERE session.summary <> '' AND {condition}"
    );
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map([text], |row| {
        let exact_segment = row.get_ref(1)?.as_str_or_null()?.is_some();
        Ok(Target {
            session: read_id(row, 0)?,
            segment: read_id(row, if exact_segment { 1 } else { 2 })?,
            exact_segment,
        })
    })?;
    rows.collect()
}

/// The conversations with exactly this title, in the folder if there are any.
fn by_title(db: &Connection, title: &str, folder: Option<&str>, among: Titled) -> rusqlite::Result<Vec<Target>> {
    let where_it_is = match among {
        Titled::InUse => " AND NOT trashed",
        Titled::InTrash => " AND trashed",
    };
    let in_folder = match folder {
        Some(folder) => titled(db, title, &format!("{where_it_is} AND {IN_FOLDER}"), &folder_values(folder))?,
        None => Vec::new(),
    };
    if in_folder.is_empty() { titled(db, title, where_it_is, &[]) } else { Ok(in_folder) }
}

fn titled(db: &Connection, title: &str, condition: &str, values: &[Value]) -> rusqlite::Result<Vec<Target>> {
    let sql = format!("SELECT summary FROM session WHERE summary <> '' AND title = ?{condition}");
    let values = std::iter::once(Value::Text(title.to_owned())).chain(values.iter().cloned());
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(values), |row| read_json(row, 0).map(|row| target(&row)))?;
    rows.collect()
}

const fn target(row: &SessionSummary) -> Target {
    Target { session: row.session_id, segment: row.segment_id, exact_segment: false }
}

/// The conversation with the newest message: no sub-agent, not archived, not in the trash.
fn last(db: &Connection) -> rusqlite::Result<Option<Target>> {
    let mut query = db.prepare_cached(
        "SELECT summary FROM session
         WHERE summary <> '' AND last_message_ms IS NOT NULL AND NOT subagent AND NOT archived AND NOT trashed
         ORDER BY last_message_ms DESC, id DESC LIMIT 1",
    )?;
    query.query_row([], |row| read_json::<SessionSummary>(row, 0)).optional().map(|row| row.as_ref().map(target))
}
