//! What stands beside the logs, traces, facts, checkpoints and events: rows that are numbered per owner and counted by it, so that one that
//! is missing is noticed wherever it stood.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params_from_iter};
use serde::de::DeserializeOwned;
use store_core::{SegmentId, json};

use crate::error::{Result, damage};
use crate::row;

/// A table of such rows. The owner is a segment, a session, or the store, which has no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SideTable {
    Traces,
    Facts,
    Checkpoints,
    Events,
}

impl SideTable {
    /// The table's name, and what every row's checksum starts with.
    // Persisted: never renumber or reuse.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Facts => "facts",
            Self::Checkpoints => "checkpoints",
            Self::Events => "events",
        }
    }

    /// What says whose rows are meant, by the first parameter. Events have no owner but the store, and no column for it.
    pub(crate) const fn owned(self) -> &'static str {
        match self {
            Self::Traces | Self::Checkpoints => "segment_id = ?1",
            Self::Facts => "scope = ?1",
            Self::Events => "?1 IS NOT NULL",
        }
    }

    const fn select(self) -> &'static str {
        match self {
            Self::Traces => "SELECT seq, body, crc32c FROM traces WHERE segment_id = ?1 ORDER BY seq",
            Self::Facts => "SELECT seq, body, crc32c FROM facts WHERE scope = ?1 ORDER BY seq",
            Self::Checkpoints => "SELECT seq, body, crc32c FROM checkpoints WHERE segment_id = ?1 ORDER BY seq",
            Self::Events => "SELECT seq, body, crc32c FROM events ORDER BY seq",
        }
    }

    /// The checksum of a row: CRC-32C of the table's name, the owner's id, the seq (8 bytes, big-endian) and the body.
    pub(crate) fn checksum(self, owner: &[u8], seq: u64, body: &str) -> u32 {
        let crc = crc32c::crc32c(self.name().as_bytes());
        let crc = crc32c::crc32c_append(crc, owner);
        let crc = crc32c::crc32c_append(crc, &seq.to_be_bytes());
        crc32c::crc32c_append(crc, body.as_bytes())
    }

    /// All rows of an owner, which must be the `count` that it counts. `segment` is named where they are damaged.
    pub(crate) fn read<T: DeserializeOwned>(
        self,
        connection: &Connection,
        owner: &[u8],
        segment: Option<SegmentId>,
        count: u64,
    ) -> Result<Vec<T>> {
        let bad = |seq: u64, detail: String| damage(segment, Some(seq), format!("{}: {detail}", self.name()));
        let mut statement = connection.prepare_cached(self.select())?;
        // Events have no owner but the store, and no column for it.
        let mut rows = statement.query(params_from_iter((self != Self::Events).then_some(owner)))?;
        let mut read = Vec::new();
        let mut seq = 0;
        while let Some(row) = rows.next()? {
            seq += 1;
            let found = row::number(row, 0)?;
            if found != seq {
                return Err(bad(seq, format!("row {seq} is missing, {found} follows")).into());
            }
            read.push(self.verify(owner, seq, row).map_err(|detail| bad(seq, detail))?);
        }
        if seq != count {
            return Err(bad(seq.min(count) + 1, format!("{count} are counted, {seq} are there")).into());
        }
        Ok(read)
    }

    fn verify<T: DeserializeOwned>(self, owner: &[u8], seq: u64, row: &Row<'_>) -> std::result::Result<T, String> {
        let column = |at| row.get_ref(at).map_err(|error| error.to_string());
        let (ValueRef::Text(body), ValueRef::Integer(stored)) = (column(1)?, column(2)?) else {
            return Err("the row does not have its columns' types".to_owned());
        };
        let body = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let crc32c = self.checksum(owner, seq, body);
        if i64::from(crc32c) != stored {
            return Err(format!("the checksum is {crc32c:08X}, the row says {stored:08X}"));
        }
        json::from_str(body).map_err(|error| error.to_string())
    }
}
