//! Rows of the index's tables as values, and the errors on the way.

use std::str::FromStr;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Position, SegmentId, Seq, SessionId, StoreError};

use super::branch::{Branch, Own};
use super::schema;
use crate::error::SessionError;

/// Why the index did not answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The index's own database.
    Db(rusqlite::Error),
    /// The store that it is fed from.
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fault> for SessionError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error.into(),
            Fault::Db(error) if schema::is_busy(&error) => StoreError::Busy {
                holder: "another process that refreshes the index".to_owned(),
                host: None,
                since: None,
            }
            .into(),
            Fault::Db(error) => Self::Index { detail: "its database failed".to_owned(), source: Some(Box::new(error)) },
        }
    }
}

/// The tables count in `i64`; what does not fit is cut to the largest.
pub(super) fn to_db(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The tables never hold a negative count.
pub(super) fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn unreadable(column: usize, error: impl Into<store_core::BoxError>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

/// An id in a text column.
pub(super) fn read_id<T: FromStr<Err = store_core::ParseIdError>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error: store_core::ParseIdError| unreadable(column, error))
}

/// A value in a column of JSON text.
pub(super) fn read_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

/// The JSON text of a value.
pub(super) fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A segment, without the fold of its branch.
#[derive(Clone, Debug)]
pub(super) struct SegmentRow {
    /// Its number, which is never used again.
    pub(super) no: i64,
    pub(super) id: SegmentId,
    pub(super) session: SessionId,
    /// How far its log was read; seq 0: not at all.
    pub(super) position: Position,
    pub(super) damaged: bool,
    pub(super) own: Own,
}

const COLUMNS: &str = "no, id, session, seq, crc, damaged, own";

impl SegmentRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let crc: i64 = row.get(4)?;
        let crc32c = u32::try_from(crc).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(4, crc))?;
        Ok(Self {
            no: row.get(0)?,
            id: read_id(row, 1)?,
            session: read_id(row, 2)?,
            position: Position { seq: Seq(to_u64(row.get(3)?)), crc32c },
            damaged: row.get(5)?,
            own: read_json(row, 6)?,
        })
    }

    /// The row of a segment.
    pub(super) fn find(db: &Connection, segment: SegmentId) -> rusqlite::Result<Option<Self>> {
        let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM segment WHERE id = ?1"))?;
        query.query_row([segment.to_string()], Self::read).optional()
    }

    /// The row of the segment with this number.
    pub(super) fn numbered(db: &Connection, no: i64) -> rusqlite::Result<Option<Self>> {
        let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM segment WHERE no = ?1"))?;
        query.query_row([no], Self::read).optional()
    }

    /// The rows of a session, oldest first entry first.
    pub(super) fn of_session(db: &Connection, session: SessionId) -> rusqlite::Result<Vec<Self>> {
        let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM segment WHERE session = ?1"))?;
        let mut rows: Vec<Self> =
            query.query_map([session.to_string()], Self::read)?.collect::<rusqlite::Result<_>>()?;
        rows.sort_by_key(|row| (row.created_ms(), row.id));
        Ok(rows)
    }

    /// A row for a segment of which nothing was read yet.
    pub(super) fn insert(db: &Connection, session: SessionId, segment: SegmentId) -> rusqlite::Result<Self> {
        let mut insert = db.prepare_cached(
            "INSERT INTO segment (id, session, seq, crc, damaged, superseded, own, branch)
             VALUES (?1, ?2, 0, 0, 1, 0, ?3, ?4)",
        )?;
        let own = Own::default();
        let (own_text, branch) = (to_json(&own)?, to_json(&Branch::default())?);
        let no = insert.insert(params![segment.to_string(), session.to_string(), own_text, branch])?;
        let position = Position { seq: Seq::START, crc32c: 0 };
        Ok(Self { no, id: segment, session, position, damaged: true, own })
    }

    /// Writes what is known of the segment now.
    pub(super) fn save(&self, db: &Connection, branch: &Branch) -> rusqlite::Result<()> {
        let origin = self.own.origin();
        let mut update = db.prepare_cached(
            "UPDATE segment SET agent = ?2, native_id = ?3, origin_session = ?4, origin_segment = ?5, origin_seq = ?6,
             seq = ?7, crc = ?8, damaged = ?9, own = ?10, branch = ?11 WHERE no = ?1",
        )?;
        let written = update.execute(params![
            self.no,
            self.own.agent,
            self.own.native_id,
            origin.map(|origin| origin.session_id.to_string()),
            origin.map(|origin| origin.segment_id.to_string()),
            origin.map(|origin| to_db(origin.seq.0)),
            to_db(self.position.seq.0),
            self.position.crc32c,
            self.damaged,
            to_json(&self.own)?,
            to_json(branch)?,
        ])?;
        debug_assert_eq!(written, 1, "a segment is inserted before it is saved");
        db.prepare_cached("INSERT OR IGNORE INTO unsearched (segment) VALUES (?1)")?.execute([self.no])?;
        Ok(())
    }

    /// The fold of the branch up to the end of what was read.
    pub(super) fn branch(&self, db: &Connection) -> rusqlite::Result<Branch> {
        let mut query = db.prepare_cached("SELECT branch FROM segment WHERE no = ?1")?;
        query.query_row([self.no], |row| read_json(row, 0))
    }

    /// Whether its own log could not be read to its end, so that it is not known where that is.
    pub(super) const fn is_unreadable(&self) -> bool {
        self.position.seq.0 == 0 || (self.damaged && !self.own.detached)
    }

    /// When it began: its first entry's time, else what its id says.
    pub(super) fn created_ms(&self) -> u64 {
        self.own.first_ms.unwrap_or_else(|| self.id.timestamp_ms())
    }

    /// The time of its latest entry.
    pub(super) fn updated_ms(&self) -> u64 {
        self.own.last_ms.unwrap_or_else(|| self.created_ms())
    }
}
