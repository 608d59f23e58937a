//! Blobs: bytes beside the logs, by content address.

use store_core::StoreError::{Corrupt, NotFound};
use store_core::{Backend, BlobRef, chain};

use super::fixture::{Works as _, refused, same};
use crate::{Failure, Harness, Outcome};

fn put(store: &dyn Backend, bytes: &[u8]) -> Result<BlobRef, Failure> {
    Ok(store.put_blob(bytes).works("putting a blob")?.reference().clone())
}

fn get(store: &dyn Backend, reference: &BlobRef) -> Result<Vec<u8>, Failure> {
    store.get_blob(reference).works("getting a blob that was put")
}

fn every_byte() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(100_000).collect()
}

pub(crate) fn a_blob_comes_back_byte_for_byte(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let reference = put(store, &every_byte())?;
    same("the blob", get(store, &reference)?, every_byte())
}

pub(crate) fn an_empty_blob_comes_back(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let reference = put(store, b"")?;
    same("the blob", get(store, &reference)?, vec![])
}

pub(crate) fn a_blob_is_named_by_its_sha256_and_length(harness: &mut dyn Harness) -> Outcome {
    let reference = put(harness.store(), b"some bytes")?;
    same("the reference", reference, BlobRef { sha256: chain::sha256_hex(b"some bytes"), bytes: 10 })
}

pub(crate) fn the_same_bytes_can_be_put_again(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let first = put(store, b"some bytes")?;
    same("the reference of the same bytes", put(store, b"some bytes")?, first.clone())?;
    same("the blob", get(store, &first)?, b"some bytes".to_vec())
}

pub(crate) fn blobs_are_kept_apart(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let one = put(store, b"one")?;
    put(store, b"two")?;
    same("the first blob", get(store, &one)?, b"one".to_vec())
}

pub(crate) fn an_unknown_blob_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    put(store, b"other")?;
    let reference = BlobRef { sha256: chain::sha256_hex(b"never put"), bytes: 9 };
    refused!("a blob that was never put", store.get_blob(&reference), NotFound(_))
}

pub(crate) fn a_reference_with_the_wrong_length_is_corrupt(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let reference = put(store, b"some bytes")?;
    let answer = store.get_blob(&BlobRef { bytes: reference.bytes - 1, ..reference });
    refused!("a reference with the wrong length", answer, Corrupt(_))
}

pub(crate) fn a_reference_that_is_no_address_is_not_found(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let address = put(store, b"some bytes")?.sha256;
    let hostile = [
        String::new(),
        "../../x".to_owned(),
        "/etc/hostname".to_owned(),
        format!("{address}/../{address}"),
        format!("{address}\0"),
        address.to_uppercase(),
        address[..62].to_owned(),
        "é".repeat(32),
    ];
    for sha256 in hostile {
        let answer = store.get_blob(&BlobRef { sha256: sha256.clone(), bytes: 10 });
        refused!(&format!("the reference {sha256:?}"), answer, NotFound(_))?;
    }
    Ok(())
}

pub(crate) fn blobs_are_there_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    let reference = put(harness.store(), b"some bytes")?;
    harness.reopen();
    same("the blob", get(harness.store(), &reference)?, b"some bytes".to_vec())
}

pub(crate) fn blobs_of_another_handle_are_seen(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    let from_first = put(store, b"one")?;
    let from_second = put(&*other, b"two")?;
    same("the first handle's blob", get(&*other, &from_first)?, b"one".to_vec())?;
    same("the second handle's blob", get(store, &from_second)?, b"two".to_vec())
}
