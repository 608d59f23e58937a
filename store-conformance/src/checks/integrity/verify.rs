//! Verifying: what is whole is said to be, and heads name histories.

use std::ops::ControlFlow;

use serde_json::json;
use store_core::StoreError::NotFound;
use store_core::chain::Chain;
use store_core::integrity::{FindingKind, ManifestOptions, Scanned, Scope, VerifyOptions, manifest};
use store_core::{Backend, Fact, FactScope, Seq, TraceEntry};

use super::{integrity, verify, verify_head, verify_with};
use crate::checks::fixture::{
    TIME, Works as _, append, create, create_first, fork_of, holds, input, note, notes, point, records, refused, same,
    segment, session, start_with, texts_in, try_create,
};
use crate::{Failure, Harness, Outcome};

pub(crate) fn a_new_store_verifies(harness: &mut dyn Harness) -> Outcome {
    let report = verify(harness.store())?;
    same("what is wrong with a new store", report.damage, vec![])?;
    holds("a new store is whole", report.ok)?;
    same("its sessions, segments and entries", (report.sessions, report.segments, report.entries), (0, 0, 0))
}

/// Two sessions, the second of which continues the first; facts, a trace and a blob.
fn fill(store: &dyn Backend) -> Outcome {
    create_first(store, 3)?;
    let guard = store.put_blob(b"kept beside the log").works("putting a blob")?;
    let reference = serde_json::to_string(guard.reference()).unwrap_or_default();
    let entry = format!(r#"{{"kind":"note","ts":{TIME},"data":[{reference}]}}"#);
    append(store, &[store_core::NewEntry::text(entry).with_key("blob")])?;
    let start = start_with(fork_of(session(2), point(session(1), segment(1), 3)));
    try_create(store, session(2), segment(2), &[start, note("on")]).works("forking")?;
    let fact = Fact { ts: TIME, domain: "title".to_owned(), value: json!({"text": "a"}) };
    store.put_fact(FactScope::Store, &fact).works("putting a fact")?;
    store.put_fact(FactScope::Session(session(1)), &fact).works("putting a fact")?;
    let trace = TraceEntry { ts: TIME, event: "a".to_owned(), payload: json!({}) };
    store.append_trace(session(1), segment(1), &trace).works("appending a trace")
}

pub(crate) fn a_store_with_something_of_everything_verifies(harness: &mut dyn Harness) -> Outcome {
    fill(harness.store())?;
    super::checkpoint(harness.store())?;
    for _ in 0..2 {
        let report = verify(harness.store())?;
        same("what is wrong with it", report.damage, vec![])?;
        holds("it is whole", report.ok)?;
        same("its sessions, segments and entries", (report.sessions, report.segments, report.entries), (2, 2, 6))?;
        harness.reopen();
    }
    Ok(())
}

pub(crate) fn an_examination_of_whole_sessions_finds_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    fill(store)?;
    let integrity = integrity(store)?;
    for session in [None, Some(session(1)), Some(session(2))] {
        same("the findings", integrity.examine(session).works("examining")?, vec![])?;
    }
    refused!("examining an unknown session", integrity.examine(Some(session(3))), NotFound(_))
}

pub(crate) fn a_scan_hands_over_every_entry_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 3)?;
    append(store, &[note("keyed").with_key("a key"), input("plain")])?;
    let mut found = Vec::new();
    let visit = &mut |scanned: Scanned<'_>| {
        if let Scanned::Entry(entry) = scanned {
            found.push((entry.position, entry.key.map(str::to_owned), entry.text.to_owned()));
        }
        ControlFlow::Continue(())
    };
    integrity(store)?.scan(session(1), segment(1), visit).works("scanning")?;
    let read = records(store)?.into_iter().map(|record| (record.position, record.key, record.text)).collect();
    same("what a scan hands over", found, read)
}

pub(crate) fn a_scan_can_be_broken_off(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 5)?;
    let mut met = 0;
    let visit = &mut |_: Scanned<'_>| {
        met += 1;
        if met == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    integrity(store)?.scan(session(1), segment(1), visit).works("scanning")?;
    same("the entries that were handed over", met, 2)
}

pub(crate) fn a_scan_of_an_unknown_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let answer = integrity(store)?.scan(session(1), segment(2), &mut |_| ControlFlow::Continue(()));
    refused!("scanning an unknown segment", answer, NotFound(_))
}

pub(crate) fn a_scan_of_another_sessions_segment_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    create(store, session(2), segment(2), &[])?;
    let answer = integrity(store)?.scan(session(2), segment(1), &mut |_| ControlFlow::Continue(()));
    refused!("scanning a segment as another session", answer, NotFound(_))
}

/// The head that segment 1 of session 1 has by its texts.
fn computed(store: &dyn Backend) -> Result<Chain, Failure> {
    let mut chain = Chain::START;
    texts_in(store, session(1), segment(1))?.iter().for_each(|text| chain.push(text));
    Ok(chain)
}

pub(crate) fn the_head_of_known_texts_is_the_documented_one(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 3)?;
    let report = verify(store)?;
    let head = report.heads.first().map(|head| (head.segment_id, head.seq, head.head.to_string()));
    same("the head", head, Some((segment(1), Seq(3), HEAD_OF_THREE.to_owned())))
}

/// SHA-256 over the texts that `create_first` writes, chained: the same on every backend, for ever.
const HEAD_OF_THREE: &str = "121b28b6fe2f12b9f04150c7f8539a2dac8b082de2665c5a8a50cc120ddac440";

pub(crate) fn heads_depend_on_texts_alone(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    append(store, &[note("a").with_key("k")])?;
    append(store, &notes(3))?;
    let chain = computed(store)?;
    let found: Vec<_> = verify(store)?.heads.iter().map(|head| (head.seq, head.head)).collect();
    same("the head of what is read", found, vec![(chain.seq, chain.head)])
}

pub(crate) fn an_expected_head_is_found_at_the_end(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 4)?;
    let report = verify_head(store, computed(store)?.head)?;
    holds("a store with its own head is whole", report.ok)?;
    same("where it is", report.expected.first().map(|found| (found.segment_id, found.seq)), Some((segment(1), Seq(4))))
}

pub(crate) fn an_expected_head_of_an_earlier_moment_is_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 4)?;
    let before = computed(store)?.head;
    append(store, &[input("later")])?;
    let report = verify_head(store, before)?;
    holds("a store that goes on is whole", report.ok)?;
    same("where it is", report.expected.first().map(|found| (found.segment_id, found.seq)), Some((segment(1), Seq(4))))
}

pub(crate) fn verifying_a_fork_verifies_what_it_continues(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    fill(store)?;
    let scope = Scope::Segments(vec![(session(2), segment(2))]);
    let report = verify_with(store, &VerifyOptions { scope, ..VerifyOptions::default() })?;
    holds("it is whole", report.ok)?;
    let heads: Vec<_> = report.heads.iter().map(|head| head.segment_id).collect();
    same("the segments that were verified", heads, vec![segment(1), segment(2)])
}

pub(crate) fn a_blob_that_is_missing_is_told(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let data = json!({"deep": [{"$blob": "ab".repeat(32), "bytes": 7}]});
    let entry = json!({"kind": "note", "ts": TIME, "data": data});
    append(store, &[store_core::NewEntry::text(entry.to_string())])?;
    let report = verify(store)?;
    holds("a store that lacks a blob is damaged", !report.ok)?;
    let found: Vec<_> = report.damage.iter().map(|finding| (finding.kind, finding.segment_id, finding.seq)).collect();
    same("what is told", found, vec![(FindingKind::Blob, Some(segment(1)), Some(Seq(2)))])
}

pub(crate) fn a_manifest_tells_what_is_stored(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    fill(store)?;
    append(store, &[input("a question")])?;
    let go_on = |_| ControlFlow::Continue(());
    let made = manifest(integrity(store)?, session(1), &ManifestOptions::default(), &go_on).works("a manifest")?;
    let Some(made) = made else { return Err(Failure::new("a manifest that nobody stopped must be made")) };
    let bytes: usize = texts_in(store, session(1), segment(1))?.iter().map(String::len).sum();
    same(
        "entries, messages and bytes",
        (made.counters.entries, made.counters.messages, made.counters.bytes),
        (5, 1, bytes as u64),
    )?;
    same("the head", made.head, Some(computed(store)?.head))?;
    same("the last checksum", Some(made.last_crc32c), records(store)?.last().map(|last| last.position.crc32c))?;
    let holding = serde_json::to_value(made.invariants).unwrap_or_default();
    let all = holding.as_object().is_some_and(|all| all.values().all(|holds| holds == true));
    holds(&format!("every invariant of a whole session holds: {holding}"), all)?;
    same("its hash", Some(&made.manifest_hash), made.compute_hash().ok().as_ref())
}
