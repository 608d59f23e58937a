//! The debug traces of segments: rows of their own, numbered apart from the entries.

use store_core::{Durability, SegmentId, SessionId, TraceEntry, call};

use crate::connection::Connections;
use crate::error::Result;
use crate::side::SideTable;
use crate::{read, row};

pub(crate) fn append_trace(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
    trace: &TraceEntry,
) -> Result<()> {
    let body = call::prepare_trace(trace)?;
    connections.writer()?.write(Durability::Buffered, move |transaction| {
        let seq = read::segment_of(transaction, session, segment)?.trace_count + 1;
        let crc32c = SideTable::Traces.checksum(segment.as_bytes(), seq, &body);
        transaction
            .prepare_cached("INSERT INTO traces (segment_id, seq, body, crc32c) VALUES (?1, ?2, ?3, ?4)")?
            .execute((segment.as_bytes(), row::to_sql(seq), &body, crc32c))?;
        transaction
            .prepare_cached("UPDATE segments SET trace_count = ?2 WHERE segment_id = ?1")?
            .execute((segment.as_bytes(), row::to_sql(seq)))?;
        Ok(())
    })
}

pub(crate) fn read_traces(
    connections: &Connections,
    session: SessionId,
    segment: SegmentId,
) -> Result<Vec<TraceEntry>> {
    connections.read(|connection| {
        let found = read::segment_of(connection, session, segment)?;
        SideTable::Traces.read(connection, segment.as_bytes(), Some(segment), found.trace_count)
    })
}
