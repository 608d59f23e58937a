//! Faults of facts.

use serde_json::Value;
use store_core::FactScope::{Session, Store};
use store_core::StoreError::{InvalidEntry, NotFound};
use store_core::{AppendOptions, Extension, Fact, LogEntry, NewEntry, Store as _};

use super::FaultyStore;
use super::handle::Rules;

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "facts_are_read_by_their_domains",
        Rules {
            facts: Some(|at, scope| {
                let mut facts = at.inner.facts(scope)?;
                facts.sort_by(|one, other| one.domain.cmp(&other.domain));
                Ok(facts)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_fact_that_was_said_before_is_not_put_again",
        Rules {
            put_fact: Some(|at, scope, fact| {
                if at.inner.facts(scope)?.contains(fact) {
                    return Ok(());
                }
                at.inner.put_fact(scope, fact)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_new_store_has_a_fact",
        Rules {
            facts: Some(|at, scope| {
                let mut facts = at.inner.facts(scope)?;
                if scope == Store && facts.is_empty() {
                    facts.push(Fact { ts: 1, domain: "made".to_owned(), value: Value::Null });
                }
                Ok(facts)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "facts_about_the_store_are_about_every_session",
        Rules {
            facts: Some(|at, scope| {
                Ok([at.inner.facts(scope)?, if scope == Store { vec![] } else { at.inner.facts(Store)? }].concat())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "facts_about_sessions_are_about_the_store_too",
        Rules {
            put_fact: Some(|at, scope, fact| {
                at.inner.put_fact(scope, fact)?;
                if scope == Store { Ok(()) } else { at.inner.put_fact(Store, fact) }
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "facts_about_one_session_are_about_all",
        Rules {
            facts: Some(|at, scope| {
                let mut facts = at.inner.facts(scope)?;
                for other in at.inner.list_sessions()? {
                    if scope != Store && scope != Session(other) {
                        facts.extend(at.inner.facts(Session(other))?);
                    }
                }
                Ok(facts)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_fact_about_an_unknown_session_is_dropped",
        Rules {
            put_fact: Some(|at, scope, fact| match at.inner.put_fact(scope, fact) {
                Err(NotFound(_)) => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_unknown_session_has_no_facts",
        Rules {
            facts: Some(|at, scope| match at.inner.facts(scope) {
                Err(NotFound(_)) => Ok(Vec::new()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_fact_is_written_to_the_log",
        Rules {
            put_fact: Some(|at, scope, fact| {
                if let Session(session) = scope
                    && let Some(segment) = at.inner.list_segments(session)?.pop()
                {
                    let extension = Extension { ts: fact.ts, domain: fact.domain.clone(), payload: fact.value.clone() };
                    let entry = NewEntry::typed(LogEntry::Extension(extension));
                    at.inner.append_with(session, segment, &[entry], &AppendOptions::default())?;
                }
                at.inner.put_fact(scope, fact)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_handle_reads_its_own_facts_only",
        Rules {
            put_fact: Some(|at, scope, fact| {
                at.own.put(format!("{scope:?} {fact:?}"), "");
                at.inner.put_fact(scope, fact)
            }),
            facts: Some(|at, scope| {
                let facts = at.inner.facts(scope)?.into_iter();
                Ok(facts.filter(|fact| at.own.has(&format!("{scope:?} {fact:?}"))).collect())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_domain_of_a_fact_is_one_line",
        Rules {
            put_fact: Some(|at, scope, fact| {
                let domain = fact.domain.replace('\n', " ");
                at.inner.put_fact(scope, &Fact { domain, ..fact.clone() })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "numbers_of_facts_are_floats",
        Rules {
            put_fact: Some(|at, scope, fact| {
                let text = fact.value.to_string().replace(&u64::MAX.to_string(), "1.8446744073709552e19");
                let value = serde_json::from_str(&text).unwrap_or_else(|_| fact.value.clone());
                at.inner.put_fact(scope, &Fact { value, ..fact.clone() })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_fact_without_a_domain_is_dropped",
        Rules {
            put_fact: Some(
                |at, scope, fact| if fact.domain.is_empty() { Ok(()) } else { at.inner.put_fact(scope, fact) },
            ),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_long_domain_is_cut",
        Rules {
            put_fact: Some(|at, scope, fact| {
                let domain = fact.domain.get(..4096).unwrap_or(&fact.domain).to_owned();
                at.inner.put_fact(scope, &Fact { domain, ..fact.clone() })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_fact_that_is_too_deep_is_dropped",
        Rules {
            put_fact: Some(|at, scope, fact| match at.inner.put_fact(scope, fact) {
                Err(InvalidEntry { .. }) if fact.value.is_array() => Ok(()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
];
