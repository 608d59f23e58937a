//! Deletion: a whole session at once or nothing, and then it is unknown everywhere.

use serde_json::{Value, json};
use store_core::StoreError::{NotFound, Referenced};
use store_core::{Backend, Fact, FactScope, Missing, NewEntry, SegmentId, Seq, SessionId, TraceEntry};

use super::fixture::{
    TIME, Works as _, append, count, create, create_first, fork_of, later_texts, note, notes, point, refused, same,
    segment, session, start_with, texts_of, try_append, try_create,
};
use crate::{Failure, Harness, Outcome};

/// Deletes session 1, which has to work.
fn delete(store: &dyn Backend) -> Outcome {
    store.delete_session(session(1)).works("deleting a session")
}

fn exists(store: &dyn Backend, session: SessionId) -> Result<bool, Failure> {
    store.exists(session).works("exists")
}

/// Session 1 with two segments, the first of them with a trace and facts.
fn full_session(store: &dyn Backend) -> Outcome {
    create_first(store, 2)?;
    create(store, session(1), segment(2), &[])?;
    append(store, &[note("keyed").with_key("k")])?;
    let trace = TraceEntry { ts: TIME, event: "a".to_owned(), payload: Value::Null };
    store.append_trace(session(1), segment(1), &trace).works("appending a trace event")?;
    let fact = Fact { ts: TIME, domain: "title".to_owned(), value: json!("a") };
    store.put_fact(FactScope::Session(session(1)), &fact).works("putting a fact")
}

/// A segment of `of` that continues the first entry of segment 1 of session 1.
fn fork(store: &dyn Backend, of: SessionId, segment_id: SegmentId) -> Outcome {
    let start = start_with(fork_of(of, point(session(1), segment(1), 1)));
    try_create(store, of, segment_id, &[start]).works("forking").map(|_| ())
}

pub(crate) fn a_deleted_session_is_in_no_list(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    create(store, session(2), segment(3), &[])?;
    delete(store)?;
    same("it exists", exists(store, session(1))?, false)?;
    same("the sessions", store.list_sessions().works("listing")?, vec![session(2)])?;
    same("its segments", store.list_segments(session(1)).works("listing")?, vec![])
}

pub(crate) fn the_segments_of_a_deleted_session_are_unknown(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    delete(store)?;
    for n in [1, 2] {
        let found = store.lookup_session_of(segment(n)).works("looking up")?;
        same(&format!("the session of segment {n}"), found, None)?;
        refused!("reading it", store.read_range(session(1), segment(n), Seq::START, 9), NotFound(_))?;
        refused!("counting it", store.read_entry_count(session(1), segment(n)), NotFound(_))?;
    }
    Ok(())
}

pub(crate) fn the_facts_and_traces_of_a_deleted_session_are_unknown(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    delete(store)?;
    refused!("its facts", store.facts(FactScope::Session(session(1))), NotFound(Missing::Session(_)))?;
    refused!("its trace", store.read_traces(session(1), segment(1)), NotFound(Missing::Segment(_)))
}

pub(crate) fn an_append_to_a_deleted_session_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    delete(store)?;
    refused!("an append", try_append(store, session(1), segment(1), &[note("late")]), NotFound(_))?;
    same("the session exists", exists(store, session(1))?, false)
}

pub(crate) fn deleting_an_unknown_session_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = store.delete_session(session(2));
    refused!("deleting an unknown session", answer, NotFound(Missing::Session(id)) if *id == session(2))
}

pub(crate) fn other_sessions_stay_when_one_is_deleted(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    create(store, session(2), segment(2), &[])?;
    store.delete_session(session(2)).works("deleting a session")?;
    same("the entries of the other session", later_texts(store)?, texts_of(&notes(1)))
}

pub(crate) fn facts_about_the_store_outlive_every_session(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    let fact = Fact { ts: TIME, domain: "tombstone.x".to_owned(), value: json!(true) };
    store.put_fact(FactScope::Store, &fact).works("putting a fact")?;
    delete(store)?;
    same("the facts of the store", store.facts(FactScope::Store).works("reading facts")?, vec![fact])
}

pub(crate) fn deleted_ids_can_be_used_again(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    delete(store)?;
    create(store, session(2), segment(1), &[])?;
    let found = store.lookup_session_of(segment(1)).works("looking up")?;
    same("the session of the segment", found, Some(session(2)))
}

pub(crate) fn nothing_comes_back_with_a_deleted_id(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    delete(store)?;
    create_first(store, 1)?;
    same("the entries", count(store)?, 1)?;
    let keyed: NewEntry = note("for another entry").with_key("k");
    try_append(store, session(1), segment(1), &[keyed]).works("a key of the deleted segment")?;
    same("the trace", store.read_traces(session(1), segment(1)).works("reading the trace")?, vec![])?;
    same("the facts", store.facts(FactScope::Session(session(1))).works("reading facts")?, vec![])
}

pub(crate) fn a_session_that_another_one_continues_is_not_deleted(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    fork(store, session(2), segment(2))?;
    fork(store, session(3), segment(3))?;
    fork(store, session(1), segment(4))?;
    let refers = |by: &[SegmentId]| by.len() == 2 && by.contains(&segment(2)) && by.contains(&segment(3));
    refused!("deleting it", store.delete_session(session(1)), Referenced { by } if refers(by))
}

pub(crate) fn a_refused_deletion_deletes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    full_session(store)?;
    fork(store, session(2), segment(3))?;
    same("the deletion succeeded", store.delete_session(session(1)).is_ok(), false)?;
    same("the entries of the first segment", count(store)?, 3)?;
    let segments = store.list_segments(session(1)).works("listing")?;
    same("the segments", segments, vec![segment(2), segment(1)])?;
    same("the facts", store.facts(FactScope::Session(session(1))).works("reading facts")?.len(), 1)
}

pub(crate) fn a_sessions_own_forks_do_not_keep_it(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    fork(store, session(1), segment(2))?;
    delete(store)
}

pub(crate) fn a_session_can_be_deleted_after_those_that_continue_it(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    fork(store, session(2), segment(2))?;
    store.delete_session(session(2)).works("deleting the session that continues the other")?;
    delete(store)
}

pub(crate) fn a_continued_segment_is_kept_after_a_reopen_too(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    fork(harness.store(), session(2), segment(2))?;
    harness.reopen();
    refused!("deleting it", harness.store().delete_session(session(1)), Referenced { .. })
}

pub(crate) fn a_deletion_holds_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    full_session(harness.store())?;
    create(harness.store(), session(2), segment(3), &[])?;
    delete(harness.store())?;
    harness.reopen();
    same("the sessions", harness.store().list_sessions().works("listing")?, vec![session(2)])?;
    let found = harness.store().lookup_session_of(segment(1)).works("looking up")?;
    same("the session of the deleted segment", found, None)
}

pub(crate) fn a_deletion_by_another_handle_is_seen(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    full_session(store)?;
    delete(&*other)?;
    refused!("an append", try_append(store, session(1), segment(1), &[note("late")]), NotFound(_))?;
    refused!("reading", store.read_range(session(1), segment(1), Seq::START, 9), NotFound(_))?;
    same("it exists", exists(store, session(1))?, false)
}
