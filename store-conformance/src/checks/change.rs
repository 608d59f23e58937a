//! Changes: what may have changed since a cursor. May repeat, never misses.

use serde_json::json;
use store_core::{Backend, ChangeCursor, Changes, Fact, FactScope};

use super::fixture::{TIME, Works as _, append, create, create_first, holds, note, same, segment, session, try_append};
use crate::{Failure, Harness, Outcome};

fn changes(store: &dyn Backend, cursor: Option<&ChangeCursor>) -> Result<Changes, Failure> {
    store.changes(cursor).works("asking for changes")
}

fn now(store: &dyn Backend) -> Result<ChangeCursor, Failure> {
    Ok(changes(store, None)?.cursor)
}

fn names_segment(changes: &Changes, n: u64) -> Outcome {
    let named = changes.segments.contains(&(session(n), segment(n)));
    holds(&format!("segment {n} is named as changed"), named)
}

fn names_session(changes: &Changes, n: u64) -> Outcome {
    holds(&format!("session {n} is named as changed"), changes.sessions.contains(&session(n)))
}

/// Two sessions with a segment each.
fn two(store: &dyn Backend) -> Outcome {
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[]).map(|_| ())
}

pub(crate) fn a_new_store_has_no_changes(harness: &mut dyn Harness) -> Outcome {
    let changes = changes(harness.store(), None)?;
    same("the sessions and segments of a new store", (changes.sessions, changes.segments), (vec![], vec![]))
}

pub(crate) fn without_a_cursor_everything_has_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    let all = changes(store, None)?;
    same("the sessions", all.sessions, vec![session(1), session(2)])?;
    same("the segments", all.segments, vec![(session(1), segment(1)), (session(2), segment(2))])
}

pub(crate) fn with_an_unknown_cursor_everything_has_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    for text in ["", "nobody gave this", "999999999", "-1", "../../x", "{\"a\":1}", "\u{0}"] {
        let all = changes(store, Some(&ChangeCursor(text.to_owned())))?;
        (1..=2).try_for_each(|n| names_segment(&all, n).and(names_session(&all, n)))?;
    }
    Ok(())
}

pub(crate) fn a_created_segment_has_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let cursor = now(store)?;
    create(store, session(2), segment(2), &[])?;
    names_segment(&changes(store, Some(&cursor))?, 2)
}

pub(crate) fn a_created_session_has_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let cursor = now(store)?;
    create_first(store, 1)?;
    names_session(&changes(store, Some(&cursor))?, 1)
}

pub(crate) fn a_segment_that_was_appended_to_has_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    let cursor = now(store)?;
    append(store, &[note("new")])?;
    names_segment(&changes(store, Some(&cursor))?, 1)
}

pub(crate) fn every_append_between_two_cursors_is_named(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    let mut cursor = now(store)?;
    for n in [1, 2, 2, 1, 1] {
        try_append(store, session(n), segment(n), &[note("new")]).works("appending")?;
        let since = changes(store, Some(&cursor))?;
        names_segment(&since, n)?;
        cursor = since.cursor;
    }
    Ok(())
}

pub(crate) fn an_earlier_cursor_can_be_used_again(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    let cursor = now(store)?;
    append(store, &[note("new")])?;
    changes(store, Some(&cursor))?;
    try_append(store, session(2), segment(2), &[note("new")]).works("appending")?;
    let since = changes(store, Some(&cursor))?;
    names_segment(&since, 1).and(names_segment(&since, 2))
}

pub(crate) fn a_session_with_a_new_fact_has_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    let cursor = now(store)?;
    let fact = Fact { ts: TIME, domain: "title".to_owned(), value: json!("new") };
    store.put_fact(FactScope::Session(session(1)), &fact).works("putting a fact")?;
    names_session(&changes(store, Some(&cursor))?, 1)
}

pub(crate) fn a_deleted_session_has_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    let cursor = now(store)?;
    store.delete_session(session(1)).works("deleting a session")?;
    names_session(&changes(store, Some(&cursor))?, 1)
}

pub(crate) fn changes_of_another_handle_are_named(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    two(store)?;
    append(&*other, &[note("before")])?;
    let cursor = now(store)?;
    append(&*other, &[note("behind")])?;
    names_segment(&changes(store, Some(&cursor))?, 1)
}

pub(crate) fn changes_of_a_handle_that_was_closed_are_named(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    two(store)?;
    let cursor = now(store)?;
    let other = harness.second_handle();
    append(&*other, &[note("new")])?;
    drop(other);
    names_segment(&changes(store, Some(&cursor))?, 1)
}

pub(crate) fn a_cursor_is_good_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    two(harness.store())?;
    let cursor = now(harness.store())?;
    append(harness.store(), &[note("new")])?;
    harness.reopen();
    try_append(harness.store(), session(2), segment(2), &[note("new")]).works("appending")?;
    let since = changes(harness.store(), Some(&cursor))?;
    names_segment(&since, 1).and(names_segment(&since, 2))
}

pub(crate) fn changes_are_named_once_and_ascending(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let cursor = now(store)?;
    for n in [3, 1, 2] {
        create(store, session(n), segment(n), &[])?;
        try_append(store, session(n), segment(n), &[note("new")]).works("appending")?;
    }
    let since = changes(store, Some(&cursor))?;
    same("the sessions", since.sessions, [1, 2, 3].map(session).to_vec())?;
    same("the segments", since.segments, [1, 2, 3].map(|n| (session(n), segment(n))).to_vec())
}
