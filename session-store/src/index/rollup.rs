//! From a session's segments and facts to its row in lists.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use store_core::{Fact, FactScope, SegmentId, SessionId, SessionKind, Store, TimestampMs};

use super::branch::Branch;
use super::rows::{Fault, SegmentRow, read_json, to_db, to_json};
use super::summary::{ForkedFrom, SegmentSummary, SessionSummary};
use super::usage::{self, SessionUsage};
use crate::facts::SessionFacts;
use crate::leaf::{SegmentNode, SegmentTree, Undecided, is_damage};
use crate::live::Live;

/// Sorts sessions without a title behind all others.
const NO_TITLE: &str = "\u{10FFFF}";

/// Reads the facts of a session; answers whether they say anything new. Facts that cannot be read are marked, and what
/// was known of them stays.
///
/// Fails with `NotFound` for a session that does not exist.
pub(super) fn read_facts(db: &Connection, store: &dyn Store, session: SessionId) -> Result<bool, Fault> {
    let mut query = db.prepare_cached("SELECT facts, facts_damaged FROM session WHERE id = ?1")?;
    let known: Option<(String, bool)> =
        query.query_row([session.to_string()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (facts, damaged) = match store.facts(FactScope::Session(session)) {
        Ok(stored) => (to_json(&fold_facts(&stored))?, false),
        Err(error) if is_damage(&error) => match &known {
            Some((facts, _)) => (facts.clone(), true),
            None => (to_json(&SessionFacts::default())?, true),
        },
        Err(error) => return Err(error.into()),
    };
    if known.as_ref().is_some_and(|(known, was_damaged)| (known, *was_damaged) == (&facts, damaged)) {
        return Ok(false);
    }
    let mut put = db.prepare_cached(
        "INSERT INTO session (id, facts, facts_damaged, summary, title_key, subagent, archived, trashed, created_ms,
         updated_ms) VALUES (?1, ?2, ?3, '', '', 0, 0, 0, 0, 0)
         ON CONFLICT (id) DO UPDATE SET facts = ?2, facts_damaged = ?3",
    )?;
    put.execute(params![session.to_string(), facts, damaged])?;
    Ok(true)
}

fn fold_facts(stored: &[Fact]) -> SessionFacts {
    let mut facts = SessionFacts::default();
    for fact in stored {
        facts.apply(fact);
    }
    // What importers remember is theirs, and long.
    facts.cursors.clear();
    facts
}

/// A session's segments and what follows from all of them together.
pub(super) struct Family {
    session: SessionId,
    rows: Vec<SegmentRow>,
    facts: SessionFacts,
    facts_damaged: bool,
    tree: SegmentTree,
    /// The current leaf; the segment to blame where it is not known.
    current: SegmentId,
    undecided: Option<Undecided>,
    usage: SessionUsage,
}

impl Family {
    /// Loads a session; `None` if the index knows no segment of it.
    pub(super) fn load(db: &Connection, session: SessionId) -> rusqlite::Result<Option<Self>> {
        let mut query = db.prepare_cached("SELECT facts, facts_damaged FROM session WHERE id = ?1")?;
        let found = query.query_row([session.to_string()], |row| Ok((read_json(row, 0)?, row.get(1)?))).optional()?;
        let Some((facts, facts_damaged)): Option<(SessionFacts, bool)> = found else { return Ok(None) };
        let rows = SegmentRow::of_session(db, session)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let (unreadable, readable): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.is_unreadable());
        let tree = SegmentTree::new(session, readable.into_iter().map(to_node))
            .with_unreadable(unreadable.into_iter().map(|row| row.id));
        let (current, undecided) = match tree.current(facts.current_leaf.as_ref(), &facts.superseded) {
            Ok(Some(current)) => (current, None),
            Ok(None) => return Ok(None),
            Err(undecided) => (undecided.segment(), Some(undecided)),
        };
        let tree = tree.without(&facts.superseded);
        let usage = usage::of_session(db, session, &rows)?;
        Ok(Some(Self { session, rows, facts, facts_damaged, tree, current, undecided, usage }))
    }

    /// Whether the facts name a segment that is not there. It may come back without a word.
    fn lacks_its_leaf(&self) -> bool {
        matches!(self.undecided, Some(Undecided::Missing(_)))
    }

    /// The rows of `pod segments`, in the order in which the segments began.
    pub(super) fn segments(&self) -> Vec<SegmentSummary> {
        self.rows.iter().map(|row| self.segment(row)).collect()
    }

    fn segment(&self, row: &SegmentRow) -> SegmentSummary {
        let own = &row.own;
        SegmentSummary {
            segment_id: row.id,
            native_id: own.native_id.clone(),
            title: own.prompt.clone(),
            entries: row.position.seq.0,
            turns: own.turns_through.saturating_sub(own.turns_before),
            usage: self.usage.by_segment.get(&row.no).copied().unwrap_or_default(),
            created_at: row.created_ms(),
            updated_at: row.updated_ms(),
            forked_from: own.forked_from,
            compacted_from: own.compacted_from,
            leaf: self.tree.is_leaf(row.id),
            current: row.id == self.current,
            superseded: self.facts.superseded.contains(&row.id),
            damaged: row.damaged,
        }
    }

    /// The row of `pod list`, where `branch` is the fold of the current leaf.
    fn session(&self, branch: &Branch) -> SessionSummary {
        let first = self.first();
        let current = self.rows.iter().find(|row| row.id == self.current);
        let of_current = |name: fn(&SegmentRow) -> Option<String>| {
            current.and_then(name).or_else(|| self.rows.iter().find_map(name))
        };
        let origin = first.and_then(|row| row.own.origin()).filter(|origin| origin.session_id != self.session);
        let config = branch.config.config();
        SessionSummary {
            session_id: self.session,
            segment_id: self.current,
            title: self.facts.title().map(str::to_owned).or_else(|| branch.prompt.clone()).or_else(|| {
                // Of a leaf that cannot be read nothing is known; what was said before it still tells what it was about.
                self.undecided.and_then(|_| self.rows.iter().find_map(|row| row.own.prompt.clone()))
            }),
            agent: of_current(|row| row.own.agent.clone()),
            native_id: of_current(|row| row.own.native_id.clone()),
            cwd: config.cwd.clone(),
            branch: config.branch.clone(),
            model: config.model.clone(),
            kind: first.map(|row| row.own.kind).unwrap_or_default(),
            parent_session_id: self.rows.iter().find_map(|row| row.own.parent_session_id),
            forked_from: origin.map(ForkedFrom::from),
            created_at: self.rows.iter().map(SegmentRow::created_ms).min().unwrap_or_default(),
            updated_at: self.rows.iter().map(SegmentRow::updated_ms).max().unwrap_or_default(),
            last_message_at: branch.last_message_ms,
            segments: self.rows.len() as u64,
            entries: self.rows.iter().map(|row| row.position.seq.0).sum(),
            messages: branch.transcript.messages(),
            turns: branch.turns.turn_count(),
            usage: self.usage.own,
            usage_inherited: self.usage.inherited,
            cost_usd: self.usage.cost.clone(),
            live: Live::Unknown,
            damaged: self.facts_damaged || self.lacks_its_leaf() || self.rows.iter().any(|row| row.damaged),
            archived: self.facts.archived,
            trashed: self.facts.trashed,
            pinned: self.facts.pinned,
            tags: self.facts.tags.clone(),
        }
    }

    /// The segment that the session began with: the oldest that continues none of the session.
    fn first(&self) -> Option<&SegmentRow> {
        let continues_own =
            |row: &&SegmentRow| row.own.origin().is_some_and(|origin| origin.session_id == self.session);
        counted(&self.rows, &self.facts.superseded).find(|row| !continues_own(row)).or(self.rows.first())
    }
}

/// The segments that no other one took the place of; all of them if that leaves none.
fn counted<'a>(rows: &'a [SegmentRow], superseded: &'a BTreeSet<SegmentId>) -> impl Iterator<Item = &'a SegmentRow> {
    let all = rows.iter().all(|row| superseded.contains(&row.id));
    rows.iter().filter(move |row| all || !superseded.contains(&row.id))
}

fn to_node(row: &SegmentRow) -> SegmentNode {
    SegmentNode {
        segment_id: row.id,
        entry_count: row.position.seq.0,
        last_ts: row.own.end_ms,
        origin: row.own.origin().copied(),
    }
}

/// Makes a session's row in lists anew. A session without segments has none.
pub(super) fn roll_up(db: &Connection, session: SessionId) -> rusqlite::Result<()> {
    let id = session.to_string();
    db.prepare_cached("DELETE FROM folder WHERE session = ?1")?.execute([&id])?;
    let Some(family) = Family::load(db, session)? else {
        db.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([&id])?;
        return Ok(());
    };
    let mut current = Branch::default();
    let mut folders = BTreeSet::new();
    let mut last_message_ms = None;
    for row in &family.rows {
        let branch = row.branch(db)?;
        last_message_ms = last_message_ms.max(branch.last_message_ms);
        folders.extend(branch.folders.iter().cloned());
        if row.id == family.current {
            current = branch;
        }
        db.prepare_cached("UPDATE segment SET superseded = ?2 WHERE no = ?1 AND superseded <> ?2")?
            .execute(params![row.no, family.facts.superseded.contains(&row.id)])?;
    }
    if family.undecided.is_some() {
        // A leaf that cannot be read makes the conversation no older than what is left of it.
        current.last_message_ms = last_message_ms;
    }
    for folder in &folders {
        db.prepare_cached("INSERT INTO folder (session, path) VALUES (?1, ?2)")?.execute(params![id, folder])?;
    }
    if family.lacks_its_leaf() {
        // Looked at again with every refresh, like facts that cannot be read.
        db.prepare_cached("UPDATE session SET facts_damaged = 1 WHERE id = ?1")?.execute([&id])?;
    }
    put_summary(db, &family.session(&current))
}

fn put_summary(db: &Connection, summary: &SessionSummary) -> rusqlite::Result<()> {
    let time = |ms: Option<TimestampMs>| ms.map(to_db);
    let mut update = db.prepare_cached(
        "UPDATE session SET summary = ?2, title = ?3, title_key = ?4, agent = ?5, subagent = ?6, archived = ?7,
         trashed = ?8, created_ms = ?9, updated_ms = ?10, last_message_ms = ?11 WHERE id = ?1",
    )?;
    update.execute(params![
        summary.session_id.to_string(),
        to_json(summary)?,
        summary.title,
        summary.title.as_deref().map_or_else(|| NO_TITLE.to_owned(), str::to_lowercase),
        summary.agent,
        summary.kind == SessionKind::Subagent,
        summary.archived,
        summary.trashed,
        time(Some(summary.created_at)),
        time(Some(summary.updated_at)),
        time(summary.last_message_at),
    ])?;
    Ok(())
}
