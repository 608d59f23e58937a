//! Facts: what is said about a session or the store, beside the logs.

use serde_json::{Value, json};
use store_core::Expected::At;
use store_core::FactScope::{Session, Store};
use store_core::StoreError::{InvalidEntry, NotFound};
use store_core::{Backend, Fact, FactScope, Missing};

use super::fixture::{
    TIME, Works as _, append_at, count, create, create_first, nested, note, refused, same, segment, session,
};
use crate::{Failure, Harness, Outcome};

fn fact(domain: &str, value: Value) -> Fact {
    Fact { ts: TIME, domain: domain.to_owned(), value }
}

fn put(store: &dyn Backend, scope: FactScope, fact: &Fact) -> Outcome {
    store.put_fact(scope, fact).works("putting a fact")
}

fn facts(store: &dyn Backend, scope: FactScope) -> Result<Vec<Fact>, Failure> {
    store.facts(scope).works("reading facts")
}

pub(crate) fn facts_come_back_in_the_order_they_were_put(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let all = [fact("title", json!("b")), fact("tags", json!(["x"])), fact("title", json!("a"))];
    all.iter().try_for_each(|fact| put(store, Session(session(1)), fact))?;
    same("the facts of the session", facts(store, Session(session(1)))?, all.to_vec())
}

pub(crate) fn equal_facts_are_all_kept(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let all = [fact("title", json!("a")), fact("title", json!("b")), fact("title", json!("a"))];
    all.iter().try_for_each(|fact| put(store, Session(session(1)), fact))?;
    let last = facts(store, Session(session(1)))?.pop();
    same("the latest title", last, Some(fact("title", json!("a"))))
}

pub(crate) fn facts_about_the_store_come_back_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let all =
        [fact("source./a b", json!({"bytes": 2})), fact("tombstone.x", json!(true)), fact("source./a b", json!(3))];
    all.iter().try_for_each(|fact| put(store, Store, fact))?;
    same("the facts of the store", facts(store, Store)?, all.to_vec())
}

pub(crate) fn a_new_store_has_no_facts(harness: &mut dyn Harness) -> Outcome {
    same("the facts of a new store", facts(harness.store(), Store)?, vec![])
}

pub(crate) fn a_new_session_has_no_facts(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    put(store, Store, &fact("source.x", Value::Null))?;
    same("the facts of a new session", facts(store, Session(session(1)))?, vec![])
}

pub(crate) fn facts_about_a_session_are_not_about_the_store(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    put(store, Session(session(1)), &fact("title", json!("a")))?;
    same("the facts of the store", facts(store, Store)?, vec![])
}

pub(crate) fn facts_belong_to_their_session(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    put(store, Session(session(1)), &fact("title", json!("a")))?;
    same("the facts of the other session", facts(store, Session(session(2)))?, vec![])
}

pub(crate) fn a_fact_about_an_unknown_session_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let answer = harness.store().put_fact(Session(session(1)), &fact("title", Value::Null));
    refused!("a fact about an unknown session", answer, NotFound(Missing::Session(id)) if *id == session(1))
}

pub(crate) fn the_facts_of_an_unknown_session_are_not_found(harness: &mut dyn Harness) -> Outcome {
    let answer = harness.store().facts(Session(session(1)));
    refused!("the facts of an unknown session", answer, NotFound(Missing::Session(id)) if *id == session(1))
}

pub(crate) fn a_fact_disturbs_no_log(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let end = create_first(store, 2)?[1];
    put(store, Session(session(1)), &fact("title", json!("a")))?;
    put(store, Store, &fact("source.x", json!("a")))?;
    same("the entries of the log", count(store)?, 2)?;
    append_at(store, &[note("next")], At(end)).works("an append at the end from before the facts").map(|_| ())
}

pub(crate) fn facts_are_there_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    let (about_session, about_store) = (fact("title", json!("a")), fact("source.x", json!("b")));
    put(harness.store(), Session(session(1)), &about_session)?;
    put(harness.store(), Store, &about_store)?;
    harness.reopen();
    same("the facts of the session", facts(harness.store(), Session(session(1)))?, vec![about_session])?;
    same("the facts of the store", facts(harness.store(), Store)?, vec![about_store])
}

pub(crate) fn facts_of_another_handle_are_seen(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    create_first(store, 1)?;
    put(store, Session(session(1)), &fact("title", json!("a")))?;
    put(&*other, Session(session(1)), &fact("title", json!("b")))?;
    put(store, Session(session(1)), &fact("title", json!("c")))?;
    let values: Vec<_> = facts(&*other, Session(session(1)))?.into_iter().map(|fact| fact.value).collect();
    same("the facts of both handles", values, vec![json!("a"), json!("b"), json!("c")])
}

pub(crate) fn a_facts_value_comes_back_as_it_was(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let value =
        json!({"z": 1, "a": [0.1, -0.0, u64::MAX, null], "s": "\u{0}\u{2028}\n\"\\👩‍👩‍👧", "seq": 1, "crc32c": "x"});
    put(store, Store, &fact("cursor.\"x\"\n../../", value.clone()))?;
    same("the facts", facts(store, Store)?, vec![fact("cursor.\"x\"\n../../", value)])
}

pub(crate) fn a_fact_without_a_domain_is_refused(harness: &mut dyn Harness) -> Outcome {
    refused!("a fact without a domain", harness.store().put_fact(Store, &fact("", Value::Null)), InvalidEntry { .. })
}

pub(crate) fn a_domain_may_have_4096_bytes_and_no_more(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    put(store, Store, &fact(&"d".repeat(4096), Value::Null))?;
    let answer = store.put_fact(Store, &fact(&"d".repeat(4097), Value::Null));
    refused!("a domain of 4097 bytes", answer, InvalidEntry { .. })
}

pub(crate) fn a_fact_may_be_nested_127_deep_and_no_deeper(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    put(store, Store, &fact("deep", nested(127)))?;
    let answer = store.put_fact(Store, &fact("deeper", nested(128)));
    refused!("a fact whose value is nested 128 deep", answer, InvalidEntry { .. })?;
    same("the facts", facts(store, Store)?.len(), 1)
}
