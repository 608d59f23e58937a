//! Collecting blobs: nothing that anybody refers to, or is about to.

use serde_json::{Value, json};
use store_core::StoreError::{Busy, NotFound};
use store_core::integrity::Collection;
use store_core::{Backend, BlobRef, Fact, FactScope, NewEntry};

use super::{checkpoint, integrity, rollback};
use crate::checks::concurrency::at_once;
use crate::checks::fixture::{TIME, Works as _, append, create_first, refused, same, session};
use crate::{Failure, Harness, Outcome};

const BYTES: &[u8] = b"beside the log";

fn put(store: &dyn Backend) -> Result<BlobRef, Failure> {
    Ok(store.put_blob(BYTES).works("putting a blob")?.reference().clone())
}

fn collect(store: &dyn Backend) -> Result<Collection, Failure> {
    integrity(store)?.collect(false).works("collecting blobs while nobody puts any")
}

fn reference(blob: &BlobRef) -> Value {
    json!({"$blob": blob.sha256, "bytes": blob.bytes})
}

fn entry(data: &Value) -> NewEntry {
    NewEntry::text(json!({"kind": "note", "ts": TIME, "data": data}).to_string())
}

/// The blob is there still.
fn is_kept(store: &dyn Backend, blob: &BlobRef) -> Outcome {
    let kept = store.get_blob(blob).works("reading a blob that is referred to, after a collection")?;
    same("its bytes", kept, BYTES.to_vec())
}

pub(crate) fn a_blob_that_nothing_refers_to_is_collected(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    let blob = put(store)?;
    let collected = collect(store)?.blobs;
    same("what was removed", (collected.removed, collected.bytes), (1, BYTES.len() as u64))?;
    refused!("reading it", store.get_blob(&blob), NotFound(_))
}

pub(crate) fn a_blob_that_an_entry_refers_to_is_kept(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let blob = put(store)?;
    append(store, &[entry(&reference(&blob))])?;
    same("what was removed", collect(store)?.blobs.removed, 0)?;
    is_kept(store, &blob)
}

pub(crate) fn a_blob_that_is_referred_to_deep_within_an_entry_is_kept(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let blob = put(store)?;
    append(store, &[entry(&json!([1, [{"a": {"b": [reference(&blob)]}}]]))])?;
    collect(store)?;
    is_kept(store, &blob)
}

pub(crate) fn a_blob_whose_reference_is_spelt_with_escapes_is_kept(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let blob = put(store)?;
    let address = blob.sha256.char_indices().map(|(at, digit)| match at {
        0 => format!("\\u{:04x}", u32::from(digit)),
        _ => digit.to_string(),
    });
    let (address, bytes) = (address.collect::<String>(), blob.bytes);
    let text = format!(r#"{{"kind":"note","ts":1,"data":{{"\u0024bl\u006Fb":"{address}","bytes":{bytes}}}}}"#);
    append(store, &[NewEntry::text(text)])?;
    collect(store)?;
    is_kept(store, &blob)
}

pub(crate) fn a_blob_that_a_fact_refers_to_is_kept(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let blob = put(store)?;
    let fact = Fact { ts: TIME, domain: "icon".to_owned(), value: json!([reference(&blob)]) };
    store.put_fact(FactScope::Session(session(1)), &fact).works("putting a fact")?;
    collect(store)?;
    is_kept(store, &blob)
}

pub(crate) fn a_blob_that_a_fact_about_the_store_refers_to_is_kept(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let blob = put(store)?;
    let fact = Fact { ts: TIME, domain: "icon".to_owned(), value: reference(&blob) };
    store.put_fact(FactScope::Store, &fact).works("putting a fact")?;
    collect(store)?;
    is_kept(store, &blob)
}

pub(crate) fn a_blob_of_entries_that_were_rolled_back_is_kept(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    checkpoint(store)?;
    let blob = put(store)?;
    append(store, &[entry(&reference(&blob))])?;
    rollback(store, 1)?;
    collect(store)?;
    is_kept(store, &blob)
}

pub(crate) fn a_blob_of_a_deleted_session_is_collected(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    let blob = put(store)?;
    append(store, &[entry(&reference(&blob))])?;
    store.delete_session(session(1)).works("deleting a session")?;
    same("what was removed", collect(store)?.blobs.removed, 1)?;
    refused!("reading it", store.get_blob(&blob), NotFound(_))
}

pub(crate) fn nothing_is_collected_while_a_guard_lives(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let guard = store.put_blob(BYTES).works("putting a blob")?;
    refused!("a collection beside a guard", integrity(store)?.collect(false), Busy { .. })?;
    is_kept(store, guard.reference())?;
    drop(guard);
    same("what is removed when the guard is gone", collect(store)?.blobs.removed, 1)
}

pub(crate) fn a_guard_of_another_handle_keeps_blobs(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    let guard = other.put_blob(BYTES).works("putting a blob")?;
    refused!("a collection beside another handle's guard", integrity(store)?.collect(false), Busy { .. })?;
    is_kept(store, guard.reference())
}

pub(crate) fn a_dry_collection_removes_nothing(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let blob = put(store)?;
    let would = integrity(store)?.collect(true).works("a dry collection")?;
    is_kept(store, &blob)?;
    same("what a dry run says", would.blobs, collect(store)?.blobs)
}

pub(crate) fn a_blob_that_was_collected_can_be_put_again(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 1)?;
    put(store)?;
    collect(store)?;
    let blob = put(store)?;
    append(store, &[entry(&reference(&blob))])?;
    collect(store)?;
    is_kept(store, &blob)
}

pub(crate) fn collections_and_puts_at_once_lose_nothing(harness: &mut dyn Harness) -> Outcome {
    create_first(harness.store(), 1)?;
    let put_beside = at_once(harness, |store, n| -> Result<Vec<BlobRef>, Failure> {
        let mut put = Vec::new();
        for round in 0..10 {
            if n == 0 {
                match integrity(store)?.collect(false) {
                    Ok(_) | Err(Busy { .. }) => {}
                    Err(error) => return Err(error).works("collecting beside puts"),
                }
                continue;
            }
            let bytes = format!("{n} {round}");
            let guard = store.put_blob(bytes.as_bytes()).works("putting a blob beside collections")?;
            append(store, &[entry(&reference(guard.reference()))])?;
            put.push(guard.reference().clone());
        }
        Ok(put)
    })?;
    collect(harness.store())?;
    for blob in put_beside.into_iter().collect::<Result<Vec<_>, _>>()?.concat() {
        harness.store().get_blob(&blob).works("reading a blob that an entry refers to")?;
    }
    let report = super::verify(harness.store())?;
    same("the blobs that are missing", report.damage, vec![])
}
