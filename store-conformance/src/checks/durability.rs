//! Durability and visibility: every option is accepted, and what a call wrote is there for every handle, at once and
//! after a reopen.

use store_core::Expected::Count;
use store_core::StoreError::Conflict;
use store_core::{AppendOptions, Backend, CreateOptions, Durability};

use super::fixture::{
    Works as _, append, append_at, count, create_first, input, later_texts, note, notes, refused, same, segment,
    session, start, texts_in, texts_of,
};
use crate::{Harness, Outcome};

fn append_with(store: &dyn Backend, durability: Durability) -> Outcome {
    create_first(store, 1)?;
    let options = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
    let answer = store.append_with(session(1), segment(1), &notes(2), &options);
    answer.works(&format!("an append with {durability:?}")).map(|_| ())
}

fn create_with(store: &dyn Backend, durability: Durability) -> Outcome {
    let options = CreateOptions { durability: Some(durability) };
    let answer = store.create_segment(session(1), segment(1), &[start(session(1)), note("1")], &options);
    answer.works(&format!("a creation with {durability:?}")).map(|_| ())
}

pub(crate) fn a_buffered_append_is_seen_by_another_handle(harness: &mut dyn Harness) -> Outcome {
    append_with(harness.store(), Durability::Buffered)?;
    same("what the other handle reads", later_texts(&*harness.second_handle())?, texts_of(&notes(2)))
}

pub(crate) fn a_synced_append_is_seen_by_another_handle(harness: &mut dyn Harness) -> Outcome {
    append_with(harness.store(), Durability::Synced)?;
    same("what the other handle reads", later_texts(&*harness.second_handle())?, texts_of(&notes(2)))
}

pub(crate) fn a_buffered_creation_is_seen_by_another_handle(harness: &mut dyn Harness) -> Outcome {
    create_with(harness.store(), Durability::Buffered)?;
    same("what the other handle reads", later_texts(&*harness.second_handle())?, texts_of(&notes(1)))
}

pub(crate) fn a_synced_creation_is_seen_by_another_handle(harness: &mut dyn Harness) -> Outcome {
    create_with(harness.store(), Durability::Synced)?;
    same("what the other handle reads", later_texts(&*harness.second_handle())?, texts_of(&notes(1)))
}

pub(crate) fn an_open_handle_sees_what_another_one_appends(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    same("the other handle's count before", count(&*other)?, 1)?;
    append(store, &[note("1")])?;
    same("the other handle's count behind", count(&*other)?, 2)
}

pub(crate) fn handles_append_in_turn(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    for (at, entry) in notes(6).into_iter().enumerate() {
        append(if at % 2 == 0 { store } else { &*other }, &[entry])?;
    }
    same("what the first handle reads", later_texts(store)?, texts_of(&notes(6)))?;
    same("what the second handle reads", later_texts(&*other)?, texts_of(&notes(6)))
}

pub(crate) fn a_handle_is_told_of_the_others_append_by_a_conflict(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    append(store, &[note("1")])?;
    let end = append(&*other, &[note("2")])?[0];
    let answer = append_at(store, &[note("3")], Count(2));
    refused!("an append at the count from before", answer, Conflict { actual, .. } if *actual == end)
}

pub(crate) fn a_segment_that_another_handle_created_can_be_appended_to(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(&*other, 1)?;
    append(store, &[note("1")])?;
    same("what the creator reads", later_texts(&*other)?, texts_of(&notes(1)))
}

pub(crate) fn a_log_is_the_same_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 2)?;
    append(harness.store(), &[input("\u{2028}"), note("k").with_key("k")])?;
    let before = super::fixture::records(harness.store())?;
    harness.reopen();
    same("the records", super::fixture::records(harness.store())?, before)
}

pub(crate) fn appending_goes_on_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    let first = create_first(harness.store(), 2)?;
    harness.reopen();
    let options = AppendOptions::expecting(store_core::Expected::At(first[1]));
    let answer = harness.store().append_with(session(1), segment(1), &[note("2")], &options);
    answer.works("an append at the position from before the reopen")?;
    same("the entries", texts_in(harness.store(), session(1), segment(1))?[1..].to_vec(), texts_of(&notes(2)))
}
