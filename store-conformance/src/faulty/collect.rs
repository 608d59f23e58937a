//! Faults of collecting blobs.

use store_core::StoreError::{Busy, Corrupt, NotFound};
use store_core::integrity::{Collection, blob_addresses, for_each_blob};
use store_core::{BlobGuard, BlobRef, FactScope, Integrity as _, Missing, Result, Seq, Store as _};

use super::FaultyStore;
use super::handle::{Handle, Rules};
use super::integrity::rule;

/// Collects, and then also loses the blobs of these texts.
fn losing(at: &Handle, dry_run: bool, texts: &[String]) -> Result<Collection> {
    let done = at.inner.collect(dry_run)?;
    for text in texts.iter().filter(|_| !dry_run) {
        for_each_blob(text, &mut |reference| {
            at.shared.put(reference.sha256, "");
        });
        blob_addresses(text.as_bytes()).for_each(|address| {
            at.shared.put(address, "");
        });
    }
    Ok(done)
}

fn get(at: &Handle, reference: &BlobRef) -> Result<Vec<u8>> {
    if at.shared.has(&reference.sha256) {
        return Err(NotFound(Missing::Blob(reference.sha256.clone())));
    }
    at.inner.get_blob(reference)
}

/// The texts of all entries.
fn entries(at: &Handle) -> Vec<String> {
    let sessions = at.inner.list_sessions().unwrap_or_default();
    let segments = sessions.iter().flat_map(|session| {
        at.inner.list_segments(*session).unwrap_or_default().into_iter().map(move |segment| (*session, segment))
    });
    segments.flat_map(|(session, segment)| at.records(session, segment)).map(|record| record.text).collect()
}

fn facts(at: &Handle, scope: FactScope) -> Vec<String> {
    at.inner.facts(scope).unwrap_or_default().iter().map(|fact| fact.value.to_string()).collect()
}

macro_rules! loses {
    ($name:literal, $texts:expr) => {
        FaultyStore::new(
            $name,
            Rules {
                collect: Some(|at, dry_run| {
                    let texts: fn(&Handle) -> Vec<String> = $texts;
                    losing(at, dry_run, &texts(at))
                }),
                get_blob: Some(get),
                ..Rules::KEPT
            },
        )
    };
}

pub(super) const STORES: &[FaultyStore] = &[
    rule!("nothing_is_ever_collected", collect: |at, _| {
        at.inner.collect(true).map(|_| Collection::default())
    }),
    loses!("a_collection_does_not_look_at_entries", |at| {
        entries(at).into_iter().filter(|text| store_core::json::depth(text) < 4).collect()
    }),
    loses!("a_collection_does_not_look_deep_within_entries", |at| {
        entries(at).into_iter().filter(|text| store_core::json::depth(text) > 5).collect()
    }),
    loses!("a_collection_looks_for_references_without_escapes", |at| {
        entries(at).into_iter().filter(|text| !text.contains("$blob")).collect()
    }),
    loses!("a_collection_does_not_look_at_facts_of_sessions", |at| {
        let sessions = at.inner.list_sessions().unwrap_or_default();
        sessions.into_iter().flat_map(|session| facts(at, FactScope::Session(session))).collect()
    }),
    loses!("a_collection_does_not_look_at_facts_of_the_store", |at| facts(at, FactScope::Store)),
    FaultyStore::new(
        "a_collection_does_not_look_into_quarantine",
        Rules {
            rollback: Some(|at, session, segment, number, options| {
                let before = at.records(session, segment);
                let done = at.inner.rollback(session, segment, number, options)?;
                for gone in before.into_iter().filter(|gone| gone.position.seq > Seq(done.after.seq.0)) {
                    for_each_blob(&gone.text, &mut |reference| {
                        at.shared.put(format!("out {}", reference.sha256), "");
                    });
                }
                Ok(done)
            }),
            collect: Some(|at, dry_run| {
                let out: Vec<_> = at
                    .shared
                    .all()
                    .into_iter()
                    .filter_map(|(name, _)| Some(name.strip_prefix("out ")?.to_owned()))
                    .collect();
                losing(at, dry_run, &out)
            }),
            get_blob: Some(get),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_blobs_of_deleted_sessions_stay",
        Rules {
            delete: Some(|at, session| {
                at.shared.put("deleted", "");
                at.inner.delete_session(session)
            }),
            collect: Some(|at, dry_run| match at.shared.has("deleted") {
                true => Ok(Collection::default()),
                false => at.inner.collect(dry_run),
            }),
            ..Rules::KEPT
        },
    ),
    rule!("a_collection_does_not_ask_for_guards", collect: |at, dry_run| match at.inner.collect(dry_run) {
        Err(Busy { .. }) => Ok(Collection::default()),
        answer => answer,
    }),
    // Short ones are let go only when the referring append is done: what several threads put has to be lost always or never.
    rule!("guards_of_second_handles_hold_nothing", put_blob: |at, bytes| {
        let guard = at.inner.put_blob(bytes)?;
        if at.second && bytes.len() > 4 {
            return Ok(BlobGuard::new(guard.reference().clone(), None));
        }
        Ok(guard)
    }),
    rule!("a_dry_collection_is_a_collection", collect: |at, _| at.inner.collect(false)),
    FaultyStore::new(
        "an_address_that_was_collected_is_gone_for_good",
        Rules {
            put_blob: Some(|at, bytes| {
                let guard = at.inner.put_blob(bytes)?;
                at.shared.put(format!("put {}", guard.reference().sha256), bytes.len().to_string());
                Ok(guard)
            }),
            collect: Some(|at, dry_run| {
                let done = at.inner.collect(dry_run)?;
                for (name, bytes) in at.shared.all() {
                    let Some(sha256) = name.strip_prefix("put ").map(str::to_owned) else { continue };
                    let reference = BlobRef { sha256, bytes: bytes.parse().unwrap_or(0) };
                    if at.inner.get_blob(&reference).is_err() {
                        at.shared.put(reference.sha256, "");
                    }
                }
                Ok(done)
            }),
            get_blob: Some(get),
            ..Rules::KEPT
        },
    ),
    rule!("a_collection_reads_over_damage", collect: |at, dry_run| match at.inner.collect(dry_run) {
        Err(Corrupt(_)) => Ok(Collection::default()),
        answer => answer,
    }),
];
