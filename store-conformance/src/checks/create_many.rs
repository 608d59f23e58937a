//! Creating many sessions at once: each whole, in the order of the call, and each for itself.

use serde_json::json;
use store_core::StoreError::{AlreadyExists, InvalidEntry, InvalidOrigin};
use store_core::{Backend, Created, Fact, FactScope, NewEntry, NewSegment, NewSession, SegmentId, SessionId};

use super::fixture::Works as _;
use super::fixture::{
    TIME, create_first, fork_of, note, notes, point, refused, same, segment, seqs, session, start, start_with,
    texts_in, texts_of,
};
use crate::{Failure, Harness, Outcome};

fn fact(n: u64) -> Fact {
    Fact { ts: TIME + n, domain: "title".to_owned(), value: json!({ "text": n }) }
}

/// The n-th session with the n-th segment: a start, n notes, and two facts.
fn new(n: u64) -> NewSession {
    let entries = [vec![start(session(n))], notes(usize::try_from(n).unwrap_or_default())].concat();
    let segments = vec![NewSegment { segment: segment(n), entries }];
    NewSession { session: session(n), segments, facts: vec![fact(n), fact(n + 10)] }
}

fn with(mut new: NewSession, segment: SegmentId, entries: Vec<NewEntry>) -> NewSession {
    new.segments.push(NewSegment { segment, entries });
    new
}

fn create(store: &dyn Backend, sessions: &[NewSession]) -> Result<Vec<Created>, Failure> {
    store.create_sessions(sessions).works("creating sessions")
}

fn exists(store: &dyn Backend, session: SessionId) -> Result<bool, Failure> {
    store.exists(session).works("asking for a session")
}

pub(crate) fn sessions_are_created_with_all_their_entries(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let second = with(new(2), segment(3), vec![start(session(2)), note("more")]);
    create(store, &[new(1), second.clone()])?;
    same(
        "the entries of the first session",
        texts_in(store, session(1), segment(1))?,
        texts_of(&new(1).segments[0].entries),
    )?;
    for made in &second.segments {
        same("the entries of the second", texts_in(store, session(2), made.segment)?, texts_of(&made.entries))?;
    }
    Ok(())
}

pub(crate) fn sessions_are_created_with_their_facts_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create(store, &[new(1), new(2)])?;
    for n in [1, 2] {
        let facts = store.facts(FactScope::Session(session(n))).works("reading facts")?;
        same("the facts of a session", facts, new(n).facts)?;
    }
    Ok(())
}

pub(crate) fn creating_sessions_answers_with_every_position(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let answers = create(store, &[new(2), new(1)])?;
    let answers: Vec<_> =
        answers.into_iter().map(|answer| answer.works("creating a session")).collect::<Result<_, _>>()?;
    let found: Vec<Vec<Vec<u64>>> =
        answers.iter().map(|of_session| of_session.iter().map(|positions| seqs(positions)).collect()).collect();
    same("the seqs that are answered", found, vec![vec![vec![1, 2, 3]], vec![vec![1, 2]]])?;
    let last = store.read_tail(session(2), segment(2), 1).works("reading the last entry")?;
    let last = last.first().map(|record| record.position);
    same("the last position that is answered", answers[0][0].last().copied(), last)
}

pub(crate) fn sessions_that_were_created_have_changed(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let before = store.changes(None).works("asking for changes")?;
    create(store, &[new(1), new(2)])?;
    let changes = store.changes(Some(&before.cursor)).works("asking for changes")?;
    let expected = vec![(session(1), segment(1)), (session(2), segment(2))];
    same("the segments that have changed", changes.segments, expected)
}

pub(crate) fn a_session_that_is_refused_touches_no_other(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let bad =
        NewSession { segments: vec![NewSegment { segment: segment(2), entries: vec![note("no start")] }], ..new(2) };
    let answers = create(store, &[new(1), bad, new(3)])?;
    same("which sessions were created", answers.iter().map(Result::is_ok).collect(), vec![true, false, true])?;
    same("the session behind it exists", exists(store, session(3))?, true)
}

pub(crate) fn a_session_whose_last_segment_is_refused_is_not_there(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let beyond = start_with(fork_of(session(1), point(session(1), segment(1), 99)));
    let answer = create(store, &[with(new(1), segment(2), vec![beyond])])?.remove(0);
    refused!("a session whose second segment continues nothing", answer, InvalidOrigin { .. })?;
    same("the session exists", exists(store, session(1))?, false)?;
    let found = store.lookup_session_of(segment(1)).works("looking a segment up")?;
    same("the session of its first segment", found, None)
}

pub(crate) fn a_session_whose_last_fact_is_refused_is_not_there(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let nameless = Fact { domain: String::new(), ..fact(1) };
    let answer = create(store, &[NewSession { facts: vec![fact(1), nameless], ..new(1) }])?.remove(0);
    refused!("a session with a fact without a domain", answer, InvalidEntry { .. })?;
    same("the session exists", exists(store, session(1))?, false)
}

pub(crate) fn a_session_that_exists_gets_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let other =
        NewSession { segments: vec![NewSegment { segment: segment(2), entries: vec![start(session(1))] }], ..new(1) };
    let answer = create(store, &[other])?.remove(0);
    refused!("creating a session that exists", answer, AlreadyExists { session: s, .. } if *s == session(1))?;
    same("its segments", store.list_segments(session(1)).works("listing segments")?, vec![segment(1)])
}

pub(crate) fn a_session_stands_once_in_a_call(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let again =
        NewSession { segments: vec![NewSegment { segment: segment(2), entries: vec![start(session(1))] }], ..new(1) };
    let answer = create(store, &[new(1), again])?.remove(1);
    refused!("a session that stands twice in a call", answer, AlreadyExists { session: s, .. } if *s == session(1))?;
    same("its segments", store.list_segments(session(1)).works("listing segments")?, vec![segment(1)])
}

pub(crate) fn a_session_without_a_segment_is_refused(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let answer = create(store, &[NewSession { segments: Vec::new(), ..new(1) }])?.remove(0);
    refused!("a session without a segment", answer, InvalidEntry { .. })?;
    same("the session exists", exists(store, session(1))?, false)
}

pub(crate) fn a_session_may_continue_one_before_it_in_the_call(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let fork = start_with(fork_of(session(2), point(session(1), segment(1), 2)));
    let child = NewSession { segments: vec![NewSegment { segment: segment(2), entries: vec![fork] }], ..new(2) };
    let answers = create(store, &[new(1), child])?;
    same("which sessions were created", answers.iter().map(Result::is_ok).collect(), vec![true, true])
}
