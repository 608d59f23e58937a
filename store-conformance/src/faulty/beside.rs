//! Faults of repairing what lies beside the logs, and of those who read it damaged.

use store_core::StoreError::{Corrupt, NotFound};
use store_core::integrity::{Event, EventKind, MaintenanceOptions};
use store_core::{FactScope, Integrity as _, Store as _};

use super::FaultyStore;
use super::handle::Rules;
use super::integrity::rule;

pub(super) const STORES: &[FaultyStore] = &[
    rule!("damaged_facts_are_no_facts", facts: |at, scope| match at.inner.facts(scope) {
        Err(Corrupt(_)) => Ok(Vec::new()),
        answer => answer,
    }),
    FaultyStore::new(
        "repaired_facts_come_back_without_the_first",
        Rules {
            repair_beside: Some(|at, session, options| {
                let done = at.inner.repair_beside(session, options)?;
                if !done.is_empty() && !options.dry_run {
                    at.shared.put("repaired".to_owned(), "");
                }
                Ok(done)
            }),
            facts: Some(|at, scope| {
                let mut facts = at.inner.facts(scope)?;
                if at.shared.has("repaired") {
                    facts.remove(0);
                }
                Ok(facts)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "nothing_is_put_behind_repaired_facts",
        Rules {
            repair_beside: Some(|at, session, options| {
                let done = at.inner.repair_beside(session, options)?;
                if !done.is_empty() {
                    at.shared.put("repaired".to_owned(), "");
                }
                Ok(done)
            }),
            put_fact: Some(|at, scope, fact| match at.shared.has("repaired") {
                true => Ok(()),
                false => at.inner.put_fact(scope, fact),
            }),
            ..Rules::KEPT
        },
    ),
    rule!("damaged_facts_lock_the_log", range: |at, session, segment, after, limit| {
        at.inner.facts(FactScope::Session(session))?;
        at.inner.read_range(session, segment, after, limit)
    }),
    rule!("facts_about_the_store_are_not_repaired", repair_beside: |at, session, options| match session {
        None => Ok(Vec::new()),
        session => at.inner.repair_beside(session, options),
    }),
    rule!("a_dry_repair_of_facts_is_a_repair", repair_beside: |at, session, options| {
        at.inner.repair_beside(session, &MaintenanceOptions { dry_run: false, ..options.clone() })
    }),
    rule!("a_repair_of_facts_is_not_recorded", events: |at| {
        let mut events = at.inner.events()?;
        events.retain(|event| !matches!(event.what, EventKind::RecordRepaired { .. }));
        Ok(events)
    }),
    FaultyStore::new(
        "a_repair_of_facts_is_no_change",
        Rules {
            repair_beside: Some(|at, session, options| {
                let done = at.inner.repair_beside(session, options)?;
                if !done.is_empty() {
                    at.shared.put("repaired".to_owned(), "");
                }
                Ok(done)
            }),
            changes: Some(|at, cursor| {
                let mut changes = at.inner.changes(cursor)?;
                if at.shared.has("repaired") {
                    changes.sessions.clear();
                }
                Ok(changes)
            }),
            ..Rules::KEPT
        },
    ),
    rule!("a_repair_of_whole_records_is_recorded", repair_beside: |at, session, options| {
        let done = at.inner.repair_beside(session, options)?;
        if done.is_empty() && !options.dry_run {
            let what = serde_json::json!({"event": "nothing repaired"});
            at.inner.record(&Event::done(options.now, EventKind::Other(what)))?;
        }
        Ok(done)
    }),
    rule!("an_unknown_session_needs_no_repair_of_facts", repair_beside: |at, session, options| {
        match at.inner.repair_beside(session, options) {
            Err(NotFound(_)) => Ok(Vec::new()),
            answer => answer,
        }
    }),
];
