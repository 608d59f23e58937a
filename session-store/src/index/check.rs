//! Whether a kept index is what the logs say.
//!
//! The file is a projection: nothing is lost with it. But a list that says something else than the logs do misleads, so whoever verifies a store
//! wants to know, and the index is made anew where it was wrong.

use std::path::PathBuf;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Rows};
use store_core::Backend;

use super::projection::Index;
use super::rows::Fault;
use super::schema;
use super::search::SearchProgress;
use crate::error::Result;

/// What is derived from logs alone, however they came to be read, by names that do not depend on that.
const TABLES: [(&str, &str); 5] = [
    (
        "segment",
        "SELECT id, session, agent, native_id, origin_session, origin_segment, origin_seq, seq, crc, damaged, superseded,
         own, branch FROM segment ORDER BY id",
    ),
    (
        "session",
        "SELECT id, facts, facts_damaged, summary, title, title_key, agent, subagent, archived, trashed, created_ms,
         updated_ms, last_message_ms FROM session ORDER BY id",
    ),
    (
        "listed",
        "SELECT agent, subagent, archived, trashed, sessions FROM listed WHERE sessions <> 0
         ORDER BY agent, subagent, archived, trashed",
    ),
    ("folder", "SELECT session, path FROM folder ORDER BY session, path"),
    (
        "usage",
        "SELECT segment.id, usage.seq, request, input_total, cache_read, cache_write, output, reasoning, cost,
         at_ms, model FROM usage JOIN segment ON segment.no = usage.segment ORDER BY segment.id, usage.seq",
    ),
];

/// What was found of a kept index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexCheck {
    /// Its file.
    pub path: PathBuf,
    /// How many bytes the file had.
    pub bytes: u64,
    /// What was wrong with it; it has been made anew if there is anything.
    pub findings: Vec<String>,
    /// Whether it was compared with the logs, row by row.
    pub compared: bool,
}

/// Looks at the index that a store keeps: at its pages, and with `deep` at every row, against one that is made from the logs for this. A wrong one is made anew.
///
/// `None` if none is kept. While a log is damaged an index may know more of it than can be read now, so that then no rows are compared.
///
/// # Errors
/// What the store fails with as a whole; `Busy`; `Index`.
pub fn check(backend: &dyn Backend, deep: bool) -> Result<Option<IndexCheck>> {
    let info = backend.info();
    let Some(path) = info.projection_path.filter(|path| !info.read_only && path.is_file()) else { return Ok(None) };
    let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
    let mut found = IndexCheck { path, bytes, findings: Vec::new(), compared: false };
    // Opening would make a damaged file anew without a word.
    if let Some(detail) = page_damage(&found.path) {
        found.findings.push(detail);
        // What cannot be removed cannot be opened either, and is dealt with there.
        let _ = schema::discard(&found.path);
    }
    if found.findings.is_empty() && !deep {
        return Ok(Some(found));
    }
    let kept = Index::open(backend)?;
    kept.refresh(backend)?;
    if deep {
        let fresh = Index::nameless(backend)?;
        fresh.refresh(backend)?;
        found.compared = !fresh.knows_damage()?;
        if found.compared {
            let mut differences = compare(&kept, &fresh)?;
            if kept.knows_words()? {
                for index in [&kept, &fresh] {
                    while index.read_texts(backend, &mut SearchProgress::default())? {}
                }
                differences.extend(compare_words(&kept, &fresh)?);
            }
            if !differences.is_empty() {
                kept.make_anew(backend)?;
            }
            found.findings.extend(differences);
        }
    }
    Ok(Some(found))
}

/// What is wrong with the pages of a file, if anything is.
fn page_damage(path: &std::path::Path) -> Option<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let look = || -> rusqlite::Result<String> {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(schema::BUSY_WAIT)?;
        db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
    };
    match look() {
        Ok(verdict) if verdict == "ok" => None,
        Ok(verdict) => Some(format!("the index's file is damaged: {verdict}")),
        Err(error) if schema::is_busy(&error) => None,
        Err(error) => Some(format!("the index's file cannot be read: {error}")),
    }
}

fn compare(kept: &Index, fresh: &Index) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for (table, query) in TABLES {
        told.extend(first_difference(kept, fresh, query)?.map(|row| match row.first() {
            Some(Value::Text(id)) => format!("the index says something else than the logs do: {table} {id}"),
            _ => format!("the index says something else than the logs do: {table}"),
        }));
    }
    Ok(told)
}

/// The first row of `kept` that is another one in `fresh`, or the first that it lacks. Both are read side by side, so that no more than
/// a row of each is held.
fn first_difference(kept: &Index, fresh: &Index, query: &str) -> Result<Option<Vec<Value>>> {
    let compared = kept.ask(|kept| {
        let mut kept = kept.prepare(query)?;
        let mut kept = kept.query([])?;
        let compared = fresh.ask(|fresh| {
            let mut fresh = fresh.prepare(query)?;
            let mut fresh = fresh.query([])?;
            loop {
                let new = next_row(&mut fresh)?;
                // An error of the one is not the other's.
                match next_row(&mut kept) {
                    Ok(old) if old != new => return Ok(Ok(old.or(new))),
                    Ok(None) => return Ok(Ok(None)),
                    Ok(Some(_)) => {}
                    Err(error) => return Ok(Err(error)),
                }
            }
        });
        compared.map_or_else(|error| Ok(Err(error)), |compared| compared.map(Ok))
    });
    compared?
}

fn next_row(rows: &mut Rows<'_>) -> rusqlite::Result<Option<Vec<Value>>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    (0..row.as_ref().column_count()).map(|at| row.get(at)).collect::<rusqlite::Result<_>>().map(Some)
}

/// The first word that is not found as often as it should be. Both vocabularies are read side by side, too.
fn compare_words(kept: &Index, fresh: &Index) -> Result<Option<String>> {
    let word = kept.ask(|kept| Ok(fresh.ask(|fresh| Ok(first_other_word(kept, fresh)))))?;
    let word = word?.map_err(Fault::from)?;
    Ok(word.map(|word| format!("the index says something else than the logs do: word {word:?}")))
}

fn first_other_word(kept: &Connection, fresh: &Connection) -> rusqlite::Result<Option<String>> {
    let query = "SELECT term, doc, cnt FROM vocabulary ORDER BY term";
    let (mut kept_words, mut fresh_words) = (kept.prepare(query)?, fresh.prepare(query)?);
    let (mut kept_words, mut fresh_words) = (kept_words.query([])?, fresh_words.query([])?);
    let (mut old, mut new) = (next_word(&mut kept_words)?, next_word(&mut fresh_words)?);
    while let Some(word) = [&old, &new].into_iter().flatten().map(|(word, _)| word.clone()).min() {
        let at = |found: &Option<Word>| found.as_ref().filter(|(of, _)| *of == word).map(|(_, counts)| *counts);
        // What was forgotten is still counted until the database tidies up: only what is found says what is known.
        if at(&old) != at(&new) && places_of(kept, &word)? != places_of(fresh, &word)? {
            return Ok(Some(word));
        }
        let (in_old, in_new) = (at(&old).is_some(), at(&new).is_some());
        if in_old {
            old = next_word(&mut kept_words)?;
        }
        if in_new {
            new = next_word(&mut fresh_words)?;
        }
    }
    Ok(None)
}

/// A word, with how many entries it stands in and how often in all.
type Word = (String, (i64, i64));

fn next_word(rows: &mut Rows<'_>) -> rusqlite::Result<Option<Word>> {
    rows.next()?.map(|row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).transpose()
}

fn places_of(db: &Connection, word: &str) -> rusqlite::Result<i64> {
    let expression = format!("\"{}\"", word.replace('"', "\"\""));
    let mut query = db.prepare_cached("SELECT count(*) FROM words WHERE words MATCH ?1")?;
    query.query_row([&expression], |row| row.get(0))
}

impl Index {
    /// Whether a log or facts could not be read.
    fn knows_damage(&self) -> Result<bool> {
        self.ask(|db| {
            db.query_row(
                "SELECT EXISTS (SELECT 1 FROM segment WHERE damaged) OR EXISTS (SELECT 1 FROM session WHERE facts_damaged)",
                [],
                |row| row.get(0),
            )
        })
    }

    /// Whether anybody has searched.
    fn knows_words(&self) -> Result<bool> {
        self.ask(|db| db.query_row("SELECT EXISTS (SELECT 1 FROM searched)", [], |row| row.get(0)))
    }

    /// Forgets everything and reads the store again.
    fn make_anew(&self, backend: &dyn Backend) -> Result<()> {
        self.forget().map_err(Fault::from)?;
        self.refresh(backend).map(drop)
    }
}
