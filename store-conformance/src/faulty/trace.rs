//! Faults of the debug trace.

use store_core::StoreError::{InvalidEntry, NotFound};
use store_core::{Store as _, StoreError};

use super::FaultyStore;
use super::handle::Rules;

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "traces_are_read_newest_first",
        Rules {
            traces: Some(|at, session, segment| {
                let mut traces = at.inner.read_traces(session, segment)?;
                traces.reverse();
                Ok(traces)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_segment_without_traces_is_not_found",
        Rules {
            traces: Some(|at, session, segment| match at.inner.read_traces(session, segment)? {
                none if none.is_empty() => Err(StoreError::no_segment(segment)),
                traces => Ok(traces),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "traces_are_counted",
        Rules {
            count: Some(|at, session, segment| {
                let traces = at.inner.read_traces(session, segment)?.len() as u64;
                Ok(at.inner.read_entry_count(session, segment)? + traces)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_session_has_one_trace_for_all_its_segments",
        Rules {
            traces: Some(|at, session, segment| {
                at.inner.read_traces(session, segment)?;
                let mut traces = Vec::new();
                for segment in at.inner.list_segments(session)? {
                    traces.extend(at.inner.read_traces(session, segment)?);
                }
                Ok(traces)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_trace_of_an_unknown_segment_is_dropped",
        Rules {
            append_trace: Some(|at, session, segment, trace| match at.inner.append_trace(session, segment, trace) {
                Err(NotFound(_)) => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_trace_of_an_unknown_segment_is_empty",
        Rules {
            traces: Some(|at, session, segment| match at.inner.read_traces(session, segment) {
                Err(NotFound(_)) => Ok(Vec::new()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "traces_do_not_look_at_the_session",
        Rules {
            append_trace: Some(|at, session, segment, trace| {
                let holder = at.inner.lookup_session_of(segment)?.unwrap_or(session);
                at.inner.append_trace(holder, segment, trace)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_trace_that_is_too_deep_is_dropped",
        Rules {
            append_trace: Some(|at, session, segment, trace| match at.inner.append_trace(session, segment, trace) {
                Err(InvalidEntry { .. }) => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_trace_event_loses_its_payload",
        Rules {
            append_trace: Some(|at, session, segment, trace| {
                let mut trace = trace.clone();
                if trace.payload.is_object() {
                    trace.payload = serde_json::Value::Null;
                }
                at.inner.append_trace(session, segment, &trace)
            }),
            ..Rules::KEPT
        },
    ),
];
