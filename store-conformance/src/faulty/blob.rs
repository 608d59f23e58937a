//! Faults of blobs.

use store_core::StoreError::{Corrupt, NotFound};
use store_core::{BlobGuard, BlobRef, Missing, Store as _, StoreError, chain};

use super::FaultyStore;
use super::handle::Rules;

pub(super) const STORES: &[FaultyStore] = &[
    FaultyStore::new(
        "a_blob_is_read_as_text",
        Rules {
            get_blob: Some(|at, reference| {
                Ok(String::from_utf8_lossy(&at.inner.get_blob(reference)?).into_owned().into_bytes())
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_empty_blob_is_not_kept",
        Rules {
            get_blob: Some(|at, reference| match reference.bytes {
                0 => Err(NotFound(Missing::Blob(reference.sha256.clone()))),
                _ => at.inner.get_blob(reference),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "addresses_are_compared_without_case",
        Rules {
            get_blob: Some(|at, reference| {
                at.inner.get_blob(&BlobRef { sha256: reference.sha256.to_lowercase(), ..*reference })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "blobs_are_named_in_upper_case",
        Rules {
            put_blob: Some(|at, bytes| {
                let sha256 = at.inner.put_blob(bytes)?.reference().sha256.to_uppercase();
                Ok(BlobGuard::new(BlobRef { sha256, bytes: bytes.len() as u64 }, None))
            }),
            get_blob: Some(|at, reference| {
                at.inner.get_blob(&BlobRef { sha256: reference.sha256.to_lowercase(), ..*reference })
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_same_bytes_are_refused_the_second_time",
        Rules {
            put_blob: Some(|at, bytes| match at.shared.put(chain::sha256_hex(bytes), "") {
                Some(_) => Err(StoreError::backend("exists")),
                None => at.inner.put_blob(bytes),
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_blob_that_was_put_last_is_read",
        Rules {
            put_blob: Some(|at, bytes| {
                at.shared.put("last", chain::sha256_hex(bytes));
                at.inner.put_blob(bytes)
            }),
            get_blob: Some(|at, reference| {
                let bytes = at.inner.get_blob(reference)?;
                let sha256 = at.shared.get("last").unwrap_or_default();
                Ok(at.inner.get_blob(&BlobRef { sha256, bytes: reference.bytes }).unwrap_or(bytes))
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "an_unknown_blob_is_empty",
        Rules {
            get_blob: Some(|at, reference| match at.inner.get_blob(reference) {
                Err(NotFound(_)) if chain::is_sha256_hex(&reference.sha256) => Ok(Vec::new()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "the_length_of_a_reference_is_not_looked_at",
        Rules {
            get_blob: Some(|at, reference| match at.inner.get_blob(reference) {
                Err(Corrupt(_)) => Ok(Vec::new()),
                answer => answer,
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_handle_reads_its_own_blobs_only",
        Rules {
            put_blob: Some(|at, bytes| {
                at.own.put(chain::sha256_hex(bytes), "");
                at.inner.put_blob(bytes)
            }),
            get_blob: Some(|at, reference| match at.own.has(&reference.sha256) {
                true => at.inner.get_blob(reference),
                false => Err(NotFound(Missing::Blob(reference.sha256.clone()))),
            }),
            ..Rules::KEPT
        },
    ),
];
