//! The debug trace of a segment: apart from its log.

use serde_json::{Value, json};
use store_core::Expected::Count;
use store_core::StoreError::{InvalidEntry, NotFound};
use store_core::{Backend, TraceEntry};

use super::fixture::{
    TIME, Works as _, append_at, count, create, create_first, nested, note, refused, same, segment, session,
};
use crate::{Failure, Harness, Outcome};

fn trace(event: &str, payload: Value) -> TraceEntry {
    TraceEntry { ts: TIME, event: event.to_owned(), payload }
}

fn put(store: &dyn Backend, trace: &TraceEntry) -> Outcome {
    store.append_trace(session(1), segment(1), trace).works("appending a trace event")
}

fn traces(store: &dyn Backend) -> Result<Vec<TraceEntry>, Failure> {
    store.read_traces(session(1), segment(1)).works("reading the trace of a segment")
}

pub(crate) fn traces_come_back_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let events =
        [trace("b", json!({"z": 1, "a": "\u{0}\u{2028}\n"})), trace("a", Value::Null), trace("b", json!([1.5]))];
    events.iter().try_for_each(|event| put(store, event))?;
    same("the trace", traces(store)?, events.to_vec())
}

pub(crate) fn a_segment_without_traces_has_an_empty_trace(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    same("the trace", traces(store)?, vec![])
}

pub(crate) fn traces_are_not_counted_in_the_log(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    put(store, &trace("a", Value::Null))?;
    same("the entries of the log", count(store)?, 2)?;
    append_at(store, &[note("next")], Count(2)).works("an append at the count from before the trace").map(|_| ())
}

pub(crate) fn traces_belong_to_their_segment(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(1), segment(2), &[])?;
    store.append_trace(session(1), segment(2), &trace("other", Value::Null)).works("appending a trace event")?;
    same("the trace of the first segment", traces(store)?, vec![])
}

pub(crate) fn a_trace_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = store.append_trace(session(1), segment(2), &trace("a", Value::Null));
    refused!("a trace event for an unknown segment", answer, NotFound(_))?;
    refused!("the trace of an unknown segment", store.read_traces(session(1), segment(2)), NotFound(_))
}

pub(crate) fn a_trace_of_another_sessions_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    let answer = store.append_trace(session(2), segment(1), &trace("a", Value::Null));
    refused!("a trace event by another session", answer, NotFound(_))?;
    refused!("the trace for another session", store.read_traces(session(2), segment(1)), NotFound(_))
}

pub(crate) fn traces_are_there_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    put(harness.store(), &trace("a", Value::Null))?;
    harness.reopen();
    put(harness.store(), &trace("b", Value::Null))?;
    same("the trace", traces(harness.store())?, vec![trace("a", Value::Null), trace("b", Value::Null)])
}

pub(crate) fn a_trace_nested_too_deep_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    put(store, &trace("deep", nested(127)))?;
    let answer = store.append_trace(session(1), segment(1), &trace("deeper", nested(128)));
    refused!("a trace event nested 129 deep", answer, InvalidEntry { .. })?;
    same("the events of the trace", traces(store)?.len(), 1)
}
