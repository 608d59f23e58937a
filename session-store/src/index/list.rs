//! Pages of conversations: filters, orders, cursors.

use std::fmt;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use store_core::{SessionId, SessionKind, TimestampMs};

use super::branch::clean_path;
use super::rows::{read_json, to_db, to_u64};
use super::summary::{Hidden, Page, SessionSummary};

/// Which kinds of conversations are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindFilter {
    /// Those of this kind.
    Only(SessionKind),
    /// All.
    All,
}

impl Default for KindFilter {
    fn default() -> Self {
        Self::Only(SessionKind::Main)
    }
}

/// Whether archived conversations, or those in the trash, are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchivedFilter {
    /// Only those that are not.
    #[default]
    No,
    /// Only those that are.
    Only,
    /// All.
    All,
}

/// In which order conversations are listed. Of equals the newer id comes first, in the order by title the older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Latest entry first.
    #[default]
    Updated,
    /// Latest beginning first.
    Created,
    /// By title, whatever its case; those without one last.
    Title,
}

/// What is asked of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those of this agent.
    pub agent: Option<String>,
    /// Only those that ever worked in this folder, or in one below it. An absolute path.
    pub cwd: Option<String>,
    /// Only those with an entry at this time or later, in milliseconds since the epoch.
    pub since: Option<TimestampMs>,
    /// Which kinds.
    pub kind: KindFilter,
    /// Archived ones or not.
    pub archived: ArchivedFilter,
    /// Those in the trash or not.
    pub trashed: ArchivedFilter,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// The order.
    pub sort: SortBy,
    /// At most so many rows; `None`: all.
    pub limit: Option<usize>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// The place of a row in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageCursor {
    sort: SortBy,
    key: SortKey,
    id: SessionId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SortKey {
    Time(TimestampMs),
    Title(String),
}

impl SortBy {
    const fn letter(self) -> &'static str {
        match self {
            Self::Updated => "u",
            Self::Created => "c",
            Self::Title => "t",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Updated => "updated_ms",
            Self::Created => "created_ms",
            Self::Title => "title_key",
        }
    }

    const fn is_descending(self) -> bool {
        !matches!(self, Self::Title)
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.", self.sort.letter(), self.id)?;
        match &self.key {
            SortKey::Time(ms) => ms.fmt(f),
            SortKey::Title(title) => title.bytes().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl PageCursor {
    /// Reads a cursor of a list in this order.
    pub(super) fn parse(sort: SortBy, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(sort.letter())?.strip_prefix('.')?;
        let (id, key) = rest.split_once('.')?;
        let key = match sort {
            SortBy::Updated | SortBy::Created => SortKey::Time(key.parse().ok()?),
            SortBy::Title => SortKey::Title(from_hex(key)?),
        };
        Some(Self { sort, key, id: id.parse().ok()? })
    }

    fn key(&self) -> Value {
        match &self.key {
            SortKey::Time(ms) => Value::Integer(to_db(*ms)),
            SortKey::Title(title) => Value::Text(title.clone()),
        }
    }
}

fn from_hex(hex: &str) -> Option<String> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect::<Option<_>>()?;
    String::from_utf8(bytes).ok()
}

/// A condition in SQL and its values, in order.
#[derive(Clone, Default)]
pub(super) struct Filter {
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { "" } else { " AND " });
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    /// Everything that is asked for.
    pub(super) fn of_list(query: &ListQuery) -> Self {
        let mut filter = Self::of_subject(query);
        filter.restrict(query);
        filter
    }

    /// The same of one session alone.
    pub(super) fn and_id(mut self, session: SessionId) -> Self {
        self.and("id = ?", [Value::Text(session.to_string())]);
        self
    }

    /// The condition.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Its values, in order.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// What is asked for apart from kind, archive and trash.
    fn of_subject(query: &ListQuery) -> Self {
        let mut filter = Self::default();
        filter.and("summary <> ''", []);
        if let Some(agent) = &query.agent {
            filter.and("agent = ?", [Value::Text(agent.clone())]);
        }
        if let Some(since) = query.since {
            filter.and("updated_ms >= ?", [Value::Integer(to_db(since))]);
        }
        if let Some(folder) = &query.cwd {
            filter.and(IN_FOLDER, folder_values(folder));
        }
        if let Some(tag) = &query.tag {
            filter.and(
                "EXISTS (SELECT 1 FROM json_each(summary, '$.tags') AS tag WHERE tag.value = ?)",
                [Value::Text(tag.clone())],
            );
        }
        filter
    }

    fn restrict(&mut self, query: &ListQuery) {
        match query.trashed {
            ArchivedFilter::No => self.and("NOT trashed", []),
            ArchivedFilter::Only => self.and("trashed", []),
            ArchivedFilter::All => {}
        }
        match query.archived {
            ArchivedFilter::No => self.and("NOT archived", []),
            ArchivedFilter::Only => self.and("archived", []),
            ArchivedFilter::All => {}
        }
        match query.kind {
            KindFilter::Only(SessionKind::Main) => self.and("NOT subagent", []),
            KindFilter::Only(SessionKind::Subagent) => self.and("subagent", []),
            KindFilter::All => {}
        }
    }
}

/// Whether a session ever worked in a folder or below it; takes [`folder_values`].
pub(super) const IN_FOLDER: &str = "EXISTS (SELECT 1 FROM folder WHERE folder.session = session.id
  AND (folder.path = ? OR (folder.path >= ? AND folder.path < ?)))";

/// The values of [`IN_FOLDER`]. What is below a folder begins with its path and a slash; the character behind the slash is `0`.
pub(super) fn folder_values(folder: &str) -> [Value; 3] {
    let path = clean_path(folder);
    let stem = path.trim_end_matches('/').to_owned();
    [Value::Text(path), Value::Text(format!("{stem}/")), Value::Text(format!("{stem}0"))]
}

/// One page of the list, from a cursor on.
pub(super) fn list(db: &Connection, query: &ListQuery, cursor: Option<&PageCursor>) -> rusqlite::Result<Page> {
    let subject = Filter::of_subject(query);
    let (total, hidden) = count(db, query, &subject)?;
    let mut filter = subject;
    filter.restrict(query);

    let (column, behind, direction) =
        if query.sort.is_descending() { (query.sort.column(), "<", "DESC") } else { (query.sort.column(), ">", "ASC") };
    if let Some(cursor) = cursor {
        let id = Value::Text(cursor.id.to_string());
        filter.and(&format!("({column}, id) {behind} (?, ?)"), [cursor.key(), id]);
    }
    let limit = query.limit.unwrap_or(usize::MAX);
    filter.values.push(Value::Integer(to_db(limit as u64).saturating_add(1)));
    let sql = format!(
        "SELECT summary, title_key FROM session WHERE {} ORDER BY {column} {direction}, id {direction} LIMIT ?",
        filter.sql
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&filter.values), |row| Ok((read_json(row, 0)?, row.get(1)?)))?;
    let mut rows: Vec<(SessionSummary, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map(|(row, title_key)| {
        let key = match query.sort {
            SortBy::Updated => SortKey::Time(row.updated_at),
            SortBy::Created => SortKey::Time(row.created_at),
            SortBy::Title => SortKey::Title(title_key.clone()),
        };
        PageCursor { sort: query.sort, key, id: row.session_id }
    });
    Ok(Page {
        rows: rows.into_iter().map(|(row, _)| row).collect(),
        total,
        hidden,
        next_cursor: last.map(|last| last.to_string()),
    })
}

/// How many rows a list has, and how many of its subject it leaves out; of those each counts for the first reason that holds.
fn count(db: &Connection, query: &ListQuery, subject: &Filter) -> rusqlite::Result<(u64, Hidden)> {
    let is_counted = query.cwd.is_none() && query.since.is_none() && query.tag.is_none();
    let (sql, values) = match &query.agent {
        None if is_counted => ("SELECT trashed, archived, subagent, sessions FROM listed".to_owned(), Vec::new()),
        Some(agent) if is_counted => (
            "SELECT trashed, archived, subagent, sessions FROM listed WHERE agent = ?".to_owned(),
            vec![Value::Text(agent.clone())],
        ),
        _ => (
            format!("SELECT trashed, archived, subagent, count(*) FROM session WHERE {} GROUP BY 1, 2, 3", subject.sql),
            subject.values.clone(),
        ),
    };
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut total, mut hidden) = (0, Hidden::default());
    while let Some(row) = rows.next()? {
        let (trashed, archived, subagent): (bool, bool, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let sessions = to_u64(row.get(3)?);
        let counter = match () {
            () if query.trashed == ArchivedFilter::No && trashed => &mut hidden.trashed,
            () if query.trashed == ArchivedFilter::Only && !trashed => continue,
            () if query.archived == ArchivedFilter::No && archived => &mut hidden.archived,
            () if query.archived == ArchivedFilter::Only && !archived => continue,
            () if query.kind == KindFilter::Only(SessionKind::Main) && subagent => &mut hidden.subagent,
            () if query.kind == KindFilter::Only(SessionKind::Subagent) && !subagent => continue,
            () => &mut total,
        };
        *counter += sessions;
    }
    Ok((total, hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_holds_for_its_order_only() {
        let id = SessionId::derive(7, b"x");
        let cursors = [
            PageCursor { sort: SortBy::Updated, key: SortKey::Time(12), id },
            PageCursor { sort: SortBy::Created, key: SortKey::Time(u64::MAX), id },
            PageCursor { sort: SortBy::Title, key: SortKey::Title("ä. b\0".to_owned()), id },
            PageCursor { sort: SortBy::Title, key: SortKey::Title(String::new()), id },
        ];
        for cursor in cursors {
            let text = cursor.to_string();
            assert_eq!(PageCursor::parse(cursor.sort, &text), Some(cursor.clone()), "{text}");
            for other in [SortBy::Updated, SortBy::Created, SortBy::Title] {
                assert_eq!(PageCursor::parse(other, &text).is_some(), other == cursor.sort, "{text}");
            }
        }
        for bad in ["", "u", "u.", "u.x.1", "t.019a.zz", "u.1"] {
            assert_eq!(PageCursor::parse(SortBy::Updated, bad), None, "{bad}");
        }
    }
}
