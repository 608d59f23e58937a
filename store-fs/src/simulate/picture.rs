//! What a store holds, read through the contract: the texts of each log.

use store_core::{Fact, FactScope, Result, Seq, Store as _, TraceEntry};

use super::record::{LogId, Picture};
use crate::FsStore;

pub(super) fn fact_text(fact: &Fact) -> String {
    format!("{} {} {}", fact.ts, fact.domain, fact.value)
}

pub(super) fn trace_text(trace: &TraceEntry) -> String {
    format!("{} {} {}", trace.ts, trace.event, trace.payload)
}

/// The texts of one log.
pub(super) fn read_texts(store: &FsStore, log: LogId) -> Result<Vec<String>> {
    match log {
        LogId::Segment(session, segment) => {
            let records = store.read_range(session, segment, Seq::START, usize::MAX)?;
            Ok(records.into_iter().map(|record| record.text).collect())
        }
        LogId::Trace(session, segment) => Ok(store.read_traces(session, segment)?.iter().map(trace_text).collect()),
        LogId::Facts(session) => {
            let scope = session.map_or(FactScope::Store, FactScope::Session);
            Ok(store.facts(scope)?.iter().map(fact_text).collect())
        }
    }
}

/// Every log that a store lists.
pub(super) fn list_logs(store: &FsStore) -> Result<Vec<LogId>> {
    let mut logs = vec![LogId::Facts(None)];
    for session in store.list_sessions()? {
        logs.push(LogId::Facts(Some(session)));
        for segment in store.list_segments(session)? {
            logs.extend([LogId::Segment(session, segment), LogId::Trace(session, segment)]);
        }
    }
    Ok(logs)
}

pub(super) fn read_picture(store: &FsStore) -> Result<Picture> {
    list_logs(store)?.into_iter().map(|log| Ok((log, read_texts(store, log)?))).collect()
}
