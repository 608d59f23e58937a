//! Creation: a segment exists with all its entries or not at all.

use store_core::StoreError::{AlreadyExists, InvalidEntry};

use super::fixture::Works as _;
use super::fixture::{
    count, create, create_first, input, later_texts, note, notes, refused, same, segment, seqs, session, start,
    texts_in, texts_of, try_append, try_create,
};
use crate::{Harness, Outcome};

pub(crate) fn a_created_segment_has_all_its_entries_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let entries = [start(session(1)), input("one"), note("two"), note("three")];
    try_create(store, session(1), segment(1), &entries).works("creating a segment with four entries")?;
    same("the entries of the segment", texts_in(store, session(1), segment(1))?, texts_of(&entries))
}

pub(crate) fn a_creation_answers_with_every_position_from_one(harness: &mut dyn Harness) -> Outcome {
    let positions = create_first(harness.store(), 3)?;
    same("the seqs that a creation answers with", seqs(&positions), vec![1, 2, 3])
}

pub(crate) fn a_creation_without_entries_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = try_create(harness.store(), session(1), segment(1), &[]);
    refused!("a creation without entries", answer, InvalidEntry { .. })
}

pub(crate) fn a_first_entry_that_is_no_start_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = try_create(harness.store(), session(1), segment(1), &[note("first")]);
    refused!("a segment whose first entry is not segment_start", answer, InvalidEntry { index: 0, .. })
}

pub(crate) fn a_start_that_names_another_session_is_refused(harness: &mut dyn Harness) -> Outcome {
    let answer = try_create(harness.store(), session(1), segment(1), &[start(session(2))]);
    refused!("a segment_start that names another session", answer, InvalidEntry { index: 0, .. })
}

pub(crate) fn a_second_start_in_a_creation_is_refused(harness: &mut dyn Harness) -> Outcome {
    let entries = [start(session(1)), note("one"), start(session(1))];
    let answer = try_create(harness.store(), session(1), segment(1), &entries);
    refused!("a creation with two segment_starts", answer, InvalidEntry { index: 2, .. })
}

pub(crate) fn a_segment_cannot_be_created_twice(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let answer = try_create(store, session(1), segment(1), &[start(session(1))]);
    refused!("creating a segment that exists", answer, AlreadyExists { session: s, segment: g }
        if (*s, *g) == (session(1), segment(1)))
}

pub(crate) fn a_segment_id_is_unique_across_sessions(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = try_create(store, session(2), segment(1), &[start(session(2))]);
    refused!("a segment id that another session has", answer, AlreadyExists { session: s, segment: g }
        if (*s, *g) == (session(1), segment(1)))
}

pub(crate) fn a_refused_second_creation_changes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let again = [start(session(2)), note("other")];
    let _ = try_create(store, session(2), segment(1), &again);
    let _ = try_create(store, session(1), segment(1), &[start(session(1)), note("other")]);
    same("the entries of the first creation", later_texts(store)?, texts_of(&notes(1)))?;
    same("the session of the refused creation exists", store.exists(session(2)).works("exists")?, false)
}

pub(crate) fn a_refused_creation_leaves_nothing_behind(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let entries = [start(session(1)), note("good"), input("good"), super::append::without_kind()];
    let answer = try_create(store, session(1), segment(1), &entries);
    refused!("a creation whose last entry has no kind", answer, InvalidEntry { index: 3, .. })?;
    same("the session exists", store.exists(session(1)).works("exists")?, false)?;
    let found = store.lookup_session_of(segment(1)).works("looking a segment up")?;
    same("the session of the segment", found, None)
}

pub(crate) fn an_id_that_was_refused_can_be_created_after_all(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let _ = try_create(store, session(1), segment(1), &[start(session(1)), super::append::without_kind()]);
    create_first(store, 2)?;
    same("the entries of the creation that succeeded", count(store)?, 2)
}

pub(crate) fn segments_of_one_session_are_separate_logs(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(1), segment(2), &[])?;
    try_append(store, session(1), segment(2), &[note("second")]).works("appending to the second segment")?;
    same("the entries of the first segment", count(store)?, 1)
}
