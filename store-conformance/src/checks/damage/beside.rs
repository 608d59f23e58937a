//! Damage beside the logs: told, repaired without losing what is valid, and in nobody's way who reads the log.

use serde_json::json;
use store_core::StoreError::{Corrupt, NotFound};
use store_core::integrity::{EventKind, RecordAt, RecordRepair};
use store_core::{Backend, Fact, FactScope};

use super::super::fixture::{TIME, Works as _, append, create_first, holds, note, records, refused, same, session};
use super::super::integrity::{dry, integrity, options, verify};
use crate::{Failure, Harness, Outcome};

fn title(n: u64) -> Fact {
    Fact { ts: TIME + n, domain: "title".to_owned(), value: json!({"text": n.to_string(), "by": "person"}) }
}

fn of_session() -> FactScope {
    FactScope::Session(session(1))
}

fn facts(store: &dyn Backend, scope: FactScope) -> Result<Vec<Fact>, Failure> {
    store.facts(scope).works("reading facts")
}

/// Three facts of a scope, of which the second is damaged, beside segment 1 of session 1.
fn damaged(harness: &mut dyn Harness, scope: FactScope) -> Outcome {
    create_first(harness.store(), 2)?;
    for n in 1..=3 {
        harness.store().put_fact(scope, &title(n)).works("putting a fact")?;
    }
    let hit = harness.damage_fact(scope, 2);
    holds("the harness can damage facts, or says in `not_offered` that it damages nothing", hit)?;
    harness.reopen();
    Ok(())
}

fn repair(store: &dyn Backend, scope: FactScope) -> Result<Vec<RecordRepair>, Failure> {
    let session = match scope {
        FactScope::Session(session) => Some(session),
        FactScope::Store => None,
    };
    integrity(store)?.repair_beside(session, &options()).works("repairing what lies beside the logs")
}

fn shape(done: &[RecordRepair]) -> Vec<(RecordAt, u64, u64, usize)> {
    done.iter().map(|one| (one.at, one.kept, one.lost, one.quarantined.len())).collect()
}

pub(crate) fn damaged_facts_are_told_and_never_read_over(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, of_session())?;
    refused!("reading the facts", harness.store().facts(of_session()), Corrupt(_))?;
    let report = verify(harness.store())?;
    let told: Vec<_> = report.damage.iter().map(|found| (found.session_id, found.segment_id)).collect();
    same("what is told", told, vec![(Some(session(1)), None)])
}

pub(crate) fn a_repair_of_facts_keeps_every_other_in_order(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, of_session())?;
    let store = harness.store();
    same("what was done", shape(&repair(store, of_session())?), vec![(RecordAt::facts(Some(session(1))), 2, 1, 1)])?;
    same("the facts", facts(store, of_session())?, vec![title(1), title(3)])?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn repaired_facts_are_gone_on_with(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, of_session())?;
    repair(harness.store(), of_session())?;
    harness.store().put_fact(of_session(), &title(4)).works("putting a fact behind a repair")?;
    harness.reopen();
    let store = harness.store();
    same("the facts", facts(store, of_session())?, vec![title(1), title(3), title(4)])?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn damaged_facts_keep_nobody_from_the_log(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, of_session())?;
    append(harness.store(), &[note("on")])?;
    same("how many entries are read", records(harness.store())?.len(), 3)
}

pub(crate) fn facts_about_the_store_are_repaired(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, FactScope::Store)?;
    let store = harness.store();
    same("what was done", shape(&repair(store, FactScope::Store)?), vec![(RecordAt::facts(None), 2, 1, 1)])?;
    same("the facts", facts(store, FactScope::Store)?, vec![title(1), title(3)])?;
    same("what is wrong then", verify(store)?.damage, vec![])
}

pub(crate) fn a_dry_repair_of_facts_changes_nothing(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, of_session())?;
    let store = harness.store();
    let done = integrity(store)?.repair_beside(Some(session(1)), &dry()).works("asking what a repair would do")?;
    same("what would be done", shape(&done), vec![(RecordAt::facts(Some(session(1))), 2, 1, 1)])?;
    refused!("reading the facts after it", store.facts(of_session()), Corrupt(_))?;
    same("the events", integrity(store)?.events().works("reading the events")?, vec![])
}

pub(crate) fn a_repair_of_facts_is_recorded(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, of_session())?;
    let store = harness.store();
    let done = repair(store, of_session())?;
    let events = integrity(store)?.events().works("reading the events")?;
    let told = events.into_iter().filter_map(|event| match event.what {
        EventKind::RecordRepaired { migration_id, at, kept, lost, .. } => Some((migration_id, at, kept, lost)),
        _ => None,
    });
    let expected: Vec<_> = done.iter().map(|one| (one.migration_id, one.at, one.kept, one.lost)).collect();
    same("the events of it", told.collect(), expected)
}

pub(crate) fn a_repair_of_facts_names_the_session_as_changed(harness: &mut dyn Harness) -> Outcome {
    damaged(harness, of_session())?;
    let store = harness.store();
    let before = store.changes(None).works("asking for a cursor")?.cursor;
    repair(store, of_session())?;
    let changed = store.changes(Some(&before)).works("asking for changes")?;
    holds("the session is named as changed", changed.sessions.contains(&session(1)))
}

pub(crate) fn whole_records_need_no_repair(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    for scope in [of_session(), FactScope::Store] {
        store.put_fact(scope, &title(1)).works("putting a fact")?;
        same("what was done", repair(store, scope)?, vec![])?;
        same("the facts", facts(store, scope)?, vec![title(1)])?;
    }
    same("the events", integrity(store)?.events().works("reading the events")?, vec![])
}

pub(crate) fn an_unknown_session_has_no_records_to_repair(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = integrity(store)?.repair_beside(Some(session(2)), &options());
    refused!("a repair", answer, NotFound(_))
}
